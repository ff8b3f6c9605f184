#!/bin/bash
# Several Ray nodes on this one machine, for trying what a cluster does: lose a node, add one, submit a job.
#
#     nodes.sh start [NODES [CPUS]]   a head without trials and NODES workers (2) of CPUS each (1)
#     nodes.sh add [CPUS]             one more worker
#     nodes.sh lose                   kill the last worker, as a lost machine would be
#     nodes.sh env                    what a shell needs to talk to them:  eval "$(nodes.sh env)"
#     nodes.sh stop                   end all of them, and nothing else on this machine
#
# AUTOML_LOCAL: the folder of pids, logs and token (default /tmp/automl-local-UID). AUTOML_LOCAL_PORT: the first of
# three ports (default 26379): the head's, the dashboard's and that of ray:// clients.
set -euo pipefail

state=${AUTOML_LOCAL:-/tmp/automl-local-$(id -u)}
port=${AUTOML_LOCAL_PORT:-26379}
address=127.0.0.1:$port

# What the processes of every node read.
export RAY_USAGE_STATS_ENABLED=0
export RAY_memory_monitor_refresh_ms=0
export TUNE_FUNCTION_THREAD_TIMEOUT_S=60
export RAY_raylet_start_wait_time_s=120  # 30 s, the default, are short for a machine that does other things too
# Ray listens on all interfaces, whatever address it is given: nobody without this file gets in.
export RAY_AUTH_MODE=token
export RAY_AUTH_TOKEN_PATH=$state/token

fail() {
  echo "$1" >&2
  exit 2
}

pids() {  # the nodes of ours that live, the head first
  local file pid
  for file in "$state"/*.pid; do
    [[ -e $file ]] || continue
    pid=$(<"$file")
    # a pid may have passed on to another program since
    if [[ -r /proc/$pid/cmdline ]] && tr '\0' ' ' <"/proc/$pid/cmdline" | grep -q "ray start"; then
      echo "$pid"
    else
      rm -f "$file"
    fi
  done
}

launch() {  # launch NAME RAY_OPTION...: a node in a process group of its own; back when it has joined
  local name=$1 pid
  shift
  setsid ray start --block --object-store-memory=200000000 "$@" >"$state/$name.log" 2>&1 </dev/null &
  pid=$!
  echo "$pid" >"$state/$name.pid"
  until grep -q "Ray runtime started" "$state/$name.log"; do
    kill -0 "$pid" 2>/dev/null || fail "$name ended; expected it to run. Look into $state/$name.log"
    sleep 0.2
  done
}

add() {
  local number=1
  while [[ -e $state/worker-$(printf %02d "$number").pid ]]; do number=$((number + 1)); done
  launch "worker-$(printf %02d "$number")" --address="$address" --num-cpus="$1"
}

case ${1:-} in
  start)
    mkdir -p "$state"
    chmod 700 "$state"
    [[ -z $(pids) ]] || fail "nodes are running already; expected none. Stop them with: $0 stop"
    (umask 077 && python -c 'import secrets; print(secrets.token_hex(32), end="")' >"$RAY_AUTH_TOKEN_PATH")
    dashboard=(--include-dashboard=false)
    if python -c 'import aiohttp' 2>/dev/null; then  # of ray[default]
      dashboard=(--include-dashboard=true --dashboard-host=127.0.0.1 --dashboard-port=$((port + 1)))
    fi
    launch head --head --port="$port" --num-cpus=0 --ray-client-server-port=$((port + 2)) "${dashboard[@]}"
    for ((count = 0; count < ${2:-2}; count++)); do add "${3:-1}"; done
    echo "a head and ${2:-2} workers are there. Next: eval \"\$($0 env)\" && automl run DATA --address $address"
    ;;
  add)
    [[ -n $(pids) ]] || fail "no node is running; expected a head. Start it with: $0 start"
    add "${2:-1}"
    ;;
  lose)
    [[ $(pids | wc -l) -gt 1 ]] || fail "no worker is running; expected one to lose. Start some with: $0 start"
    kill -KILL -- "-$(pids | tail -n 1)"
    ;;
  env)
    echo "export RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH=$RAY_AUTH_TOKEN_PATH RAY_ADDRESS=$address"
    ;;
  stop)
    mapfile -t running < <(pids)
    for ((place = ${#running[@]} - 1; place >= 0; place--)); do  # workers first, the head last
      kill -TERM "${running[place]}" 2>/dev/null || true
    done
    for pid in "${running[@]}"; do
      for ((tries = 0; tries < 40; tries++)); do kill -0 "$pid" 2>/dev/null || break && sleep 0.5; done
      kill -KILL -- "-$pid" 2>/dev/null || true  # whoever is left of its group
    done
    rm -f "$state"/*.pid "$RAY_AUTH_TOKEN_PATH"
    ;;
  *)
    sed -n '2,/^set /{/^set /!s/^# \{0,1\}//p;}' "$0"
    exit 2
    ;;
esac
