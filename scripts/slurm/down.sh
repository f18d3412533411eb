#!/usr/bin/env bash
# Stop what up.sh started in FOLDER: cancel its jobs, end its two daemons by their pids. FOLDER itself stays.
#   bash scripts/slurm/down.sh FOLDER
set -uo pipefail
folder="$(cd "${1:?usage: down.sh FOLDER}" && pwd)" || exit 2
export SLURM_CONF="$folder/slurm.conf"

jobs_left() { timeout 5 squeue --noheader --format=%A 2>/dev/null | sort -u; }
left="$(jobs_left)"
if [ -n "$left" ]; then
  # shellcheck disable=SC2086  # one word per job
  timeout 10 scancel $left
  for _ in $(seq 100); do [ -n "$(jobs_left)" ] || break; sleep 0.1; done
fi

for name in slurmd slurmctld; do
  pid="$(cat "$folder/$name.pid" 2>/dev/null)" || continue
  alive() { grep -qE "^$pid \($name\) [^ZX]" "/proc/$pid/stat" 2>/dev/null; }
  [ -n "$pid" ] && alive || continue
  kill -TERM "$pid"
  for _ in $(seq 150); do alive || break; sleep 0.1; done
  if alive; then kill -KILL "$pid"; fi
  rm -f "$folder/$name.pid"
done
