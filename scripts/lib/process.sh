# shellcheck shell=bash
# Processes with a pid file and a log file under $data_dir. A pid file holds the pid and the time at
# which that process started, so that a pid given to somebody else is never taken for ours.

started_names=() # by this run, in order

pid_file() { printf '%s/pids/%s.pid' "$data_dir" "$1"; }
log_file() { printf '%s/logs/%s.log' "$data_dir" "$1"; }

start_time_of() { # PID: clock ticks since boot; field 22, counted behind the command in parentheses
    local stat
    stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
    stat=${stat##*) }
    # shellcheck disable=SC2086 # split on purpose
    set -- $stat
    [ "$1" != Z ] && printf '%s' "${20}"
}

running_pid() { # NAME: prints its pid; fails when it does not run
    local pid started
    read -r pid started 2>/dev/null <"$(pid_file "$1")" || return 1
    # Without a time it had ended before its time could be asked for.
    [ -n "$started" ] && [ "$(start_time_of "$pid")" = "$started" ] && printf '%s' "$pid"
}

is_running() { running_pid "$1" >/dev/null; }

# start_process NAME COMMAND…: the environment is the caller's; see `env` there.
start_process() {
    local name=$1 pid
    shift
    mkdir -p "$data_dir/pids" "$data_dir/logs"
    # Descriptor 9 is the lock on the data directory: it must end with this script.
    setsid "$@" </dev/null >>"$(log_file "$name")" 2>&1 9>&- &
    pid=$!
    disown "$pid"
    printf '%s %s\n' "$pid" "$(start_time_of "$pid" || true)" >"$(pid_file "$name")"
    started_names+=("$name")
}

has_ended() { ! is_running "$1"; }

# stop_processes NAME…: all at once, TERM first; KILL for who has not ended within 20 s.
stop_processes() {
    local name pid
    for name in "$@"; do
        if pid=$(running_pid "$name"); then kill -TERM "$pid" 2>/dev/null || true; fi
    done
    for name in "$@"; do
        if ! wait_until 20 "stopping $name" has_ended "$name"; then
            warn "$name did not end on SIGTERM and is killed"
            if pid=$(running_pid "$name"); then kill -KILL "$pid" 2>/dev/null || true; fi
            wait_until 5 "killing $name" has_ended "$name" || true
        fi
        rm -f "$(pid_file "$name")"
    done
}

known_names() { # who has a pid file, running or not
    local file
    for file in "$data_dir"/pids/*.pid; do
        [ -e "$file" ] && basename "$file" .pid
    done
    return 0
}

log_tail() { # NAME
    [ -s "$(log_file "$1")" ] || return 0
    printf -- '--- the end of %s\n' "$(log_file "$1")" >&2
    tail -n 20 "$(log_file "$1")" >&2
}
