# Processes and ports: waiting for an end, finding what is left over. Sourced by ./dev.
# shellcheck shell=bash

wait_for_end() { # PID SECONDS
  local deadline=$((SECONDS + $2))
  while kill -0 "$1" 2>/dev/null; do
    if [ $SECONDS -ge $deadline ]; then
      echo "Process $1 ($(command_of "$1")) did not stop within $2 s and is killed."
      kill -KILL "$1" 2>/dev/null || true
    fi
    sleep 0.1
  done
}

command_of() { if [ -d /proc/self ]; then tr '\0' ' ' <"/proc/$1/cmdline"; else ps -p "$1" -o args=; fi 2>/dev/null || true; }

# The running processes of this checkout's `up`, itself first. Another process may have a number by now.
left_overs() {
  local pid
  for pid in $(cat "$DEV/pids" 2>/dev/null || true); do
    case $(command_of "$pid") in *millrace-* | *"dev up"*) echo "$pid" ;; esac
  done
}

refuse_taken_port() { # WHOSE PORT SETTING
  (exec 3<>"/dev/tcp/127.0.0.1/$2") 2>/dev/null || return 0
  local pid
  pid=$(ss -Hltnp "sport = :$2" 2>/dev/null | sed -n 's/.*pid=\([0-9]*\).*/\1/p' | head -n 1)
  die "Port $2, wanted for $1, is taken by process ${pid:-?} ($(command_of "${pid:-none}")). Stop it, or choose another port with $3."
}
