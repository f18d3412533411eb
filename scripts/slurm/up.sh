#!/usr/bin/env bash
# Start a real SLURM of one node on this machine, for tests: Debian packages, loopback only, no systemd.
#   bash scripts/slurm/up.sh FOLDER         then: source FOLDER/env.sh
# FOLDER keeps configuration, state and logs; what runs already goes on (a killed daemon comes back).
#   TESTBED_CPUS=8          how many the node claims to have; jobs share the real ones
#   TESTBED_PREEMPT_S=15    a preempted job gets its notice, then this long
# Exit code 77: there is no SLURM and it cannot be installed here (needs root and apt-get).
set -euo pipefail
folder="$(mkdir -p "${1:?usage: up.sh FOLDER}" && cd "$1" && pwd)"
cpus="${TESTBED_CPUS:-8}"
preempt_s="${TESTBED_PREEMPT_S:-15}"
export PATH="$PATH:/usr/sbin"
export SLURM_CONF="$folder/slurm.conf"        # never talk to a cluster this machine may belong to

cannot() { echo "no SLURM test bed: $1" >&2; exit 77; }
failed() { echo "the SLURM test bed failed: $1" >&2; tail -n 20 "$folder"/log/*.log >&2; exit 1; }

install() {
  [ "$(id -u)" = 0 ] || cannot "slurmctld runs as root here, and this is user $(id -un)"
  command -v slurmctld >/dev/null && command -v slurmd >/dev/null && command -v sbatch >/dev/null && return
  exec 8>"${TMPDIR:-/tmp}/neurodecode-slurm-install.lock"; flock 8     # one installs, the others wait
  command -v slurmctld >/dev/null && command -v slurmd >/dev/null && return
  command -v apt-get >/dev/null || cannot "slurmctld is not installed and there is no apt-get"
  { apt-get update -qq &&
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
      slurmctld slurmd slurm-client; } >"$folder/log/apt.log" 2>&1 || cannot "apt-get failed, see $folder/log/apt.log"
}

# Two ports that nobody listens on; kept, so that a daemon that was killed comes back to its own.
choose_ports() {
  [ -s "$folder/ports" ] || python3 - >"$folder/ports" <<'PY'
import socket
held = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
print(*(s.getsockname()[1] for s in held))
PY
  read -r port_ctld port_d <"$folder/ports"
}

configure() {
  local memory_mb=$(($(awk '/^MemTotal/ {print $2}' /proc/meminfo) / 1024 - 256))
  cat >"$SLURM_CONF" <<CONF
# who and where: one node, this machine, reached by loopback only
ClusterName=testbed
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort=$port_ctld
SlurmdPort=$port_d
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
SlurmUser=root
SlurmdUser=root
NodeName=localhost NodeAddr=127.0.0.1 NodeHostname=localhost CPUs=$cpus RealMemory=$memory_mb State=UNKNOWN
# one user on one machine: nothing to authenticate; a requeued job waits for its credential to expire
AuthType=auth/none
CredType=cred/none
AuthInfo=cred_expire=5
# no cgroups, no MPI, no accounting (as on many a lab's cluster)
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SlurmdParameters=config_overrides
# files
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
SlurmctldLogFile=$folder/log/slurmctld.log
SlurmdLogFile=$folder/log/slurmd.log
# jobs: quick to start, requeued after preemption and after the loss of the node
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=2,bf_interval=2,batch_sched_delay=1
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SlurmctldParameters=preempt_send_user_signal
JobRequeue=1
ReturnToService=2
KillWait=5
MinJobAge=600
SlurmdTimeout=30
PartitionName=main Nodes=localhost Default=YES State=UP DefaultTime=60 PriorityTier=1 GraceTime=$preempt_s
PartitionName=urgent Nodes=localhost State=UP DefaultTime=60 PriorityTier=10 PreemptMode=OFF
CONF
  printf 'export SLURM_CONF=%q\n' "$SLURM_CONF" >"$folder/env.sh"
}

# A daemon is up if the process of its pid file bears its name and is no zombie.
runs() {
  local pid; pid="$(cat "$folder/$1.pid" 2>/dev/null)" || return 1
  [ -n "$pid" ] && grep -qE "^$pid \($1\) [^ZX]" "/proc/$pid/stat" 2>/dev/null
}

within() { # SECONDS COMMAND…: until it succeeds
  local end=$((SECONDS + $1)); shift
  until "$@" >/dev/null 2>&1; do [ $SECONDS -lt $end ] || return 1; sleep 0.1; done
}

node_ready() { [[ "$(sinfo --noheader --nodes=localhost --format=%T | sort -u)" =~ ^(idle|mixed|allocated)$ ]]; }

mkdir -p "$folder"/{log,state,spool}
install
exec 8>&-; exec 9>"$folder/lock"; flock 9                # two callers at once: the second finds it running
choose_ports
configure
runs slurmctld || { rm -f "$folder/slurmctld.pid"; slurmctld 9>&-; }
within 20 scontrol show partition main || failed "slurmctld does not answer"
runs slurmd || { rm -f "$folder/slurmd.pid"; slurmd -N localhost 9>&-; }
within 10 node_ready || scontrol update NodeName=localhost State=RESUME || true
within 15 node_ready || failed "the node does not come up: $(sinfo -h -N -o '%T %E')"
echo "SLURM $(sinfo --version | cut -d' ' -f2) with $cpus CPUs: source $folder/env.sh"
