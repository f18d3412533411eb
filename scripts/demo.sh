#!/usr/bin/env bash
# From a bare machine to decoded pictures and a report: environment, install, run.
#   bash scripts/demo.sh [key=value ...]      further arguments go to `neurodecode run`
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"
cd "$root"
exec neurodecode run experiment=demo "$@"
