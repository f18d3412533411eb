#!/usr/bin/env bash
# The test suite in the project's own environment.
#   bash scripts/test.sh           the fast tests
#   bash scripts/test.sh --all     the slow ones too
#   bash scripts/test.sh tests/core -k lease      further arguments go to pytest
set -euo pipefail
all=0
if [ "${1:-}" = "--all" ]; then all=1; shift; fi
. "$(dirname "${BASH_SOURCE[0]}")/env.sh" "[test]"
cd "$root"
export OMP_NUM_THREADS=1 HF_HUB_OFFLINE=1          # one thread per worker; no test may need a hub
workers="${NEURODECODE_TEST_WORKERS:-$(python -c 'import os; print(len(os.sched_getaffinity(0)))')}"
select=(-m "not slow")
if [ "$all" = 1 ]; then select=(); fi
exec python -m pytest -n "$workers" --dist worksteal "${select[@]}" "$@"
