# shellcheck shell=bash
# Saying, failing, waiting, and who holds a port. Sourced, never run.

say() { printf '%s\n' "$*"; }
step() { printf '==> %s\n' "$*"; }
warn() { printf 'warning: %s\n' "$*" >&2; }
die() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}
usage_error() {
    printf '%s\n' "$*" >&2
    printf "Try '%s --help'.\n" "$0" >&2
    exit 2
}

seconds_now() { printf '%s' "$SECONDS"; }

# wait_until SECONDS WHAT FUNCTION [ARGS…]: polls FUNCTION until it succeeds. A function that knows
# that it never will returns 2. Progress is a line every few seconds: WHAT and what FUNCTION left in
# $waiting_for.
waiting_for=''
wait_until() {
    local limit=$1 what=$2 start=$SECONDS next_line=3 rc
    shift 2
    while true; do
        rc=0
        "$@" || rc=$?
        [ "$rc" -eq 0 ] && return 0
        [ "$rc" -eq 2 ] && return 1
        if [ $((SECONDS - start)) -ge "$limit" ]; then
            warn "$what: not within $limit s${waiting_for:+ ($waiting_for)}"
            return 1
        fi
        if [ $((SECONDS - start)) -ge "$next_line" ]; then
            say "    $what: $((SECONDS - start)) s${waiting_for:+, $waiting_for}"
            next_line=$((next_line + 3))
        fi
        sleep 0.1
    done
}

# The inode of the socket that listens on a TCP port and its owner's uid; nothing when it is free.
port_listener() {
    local hex
    hex=$(printf ':%04X' "$1")
    cat /proc/net/tcp /proc/net/tcp6 2>/dev/null |
        awk -v port="$hex" '$4 == "0A" && substr($2, length($2) - 4) == port { print $10, $8; exit }'
}

port_is_free() { [ -z "$(port_listener "$1")" ]; }

# Which process listens on a port, for a person: "process 1234 (python3 -m http.server 8081)"; nothing
# when it can't be named.
named_port_holder() {
    local inode fd pid
    read -r inode _ <<<"$(port_listener "$1")" || true
    [ -n "${inode:-}" ] || return 0
    fd=$(find /proc/[0-9]*/fd -lname "socket:\\[$inode\\]" -print -quit 2>/dev/null) || true
    [ -n "$fd" ] || return 0
    pid=${fd#/proc/}
    pid=${pid%%/*}
    printf 'process %s (%s)' "$pid" "$(tr '\0' ' ' <"/proc/$pid/cmdline" | sed 's/ *$//')"
}

port_holder() {
    local name inode uid
    name=$(named_port_holder "$1")
    read -r inode uid <<<"$(port_listener "$1")" || true
    printf '%s' "${name:-a process of user ${uid:-?} that is ending or can not be looked at (socket ${inode:-?})}"
}

# A process that was killed lets go of its port a moment later: then nobody can be named.
port_is_settled() { port_is_free "$1" || [ -n "$(named_port_holder "$1")" ]; }

require_port() { # PORT FOR-WHOM
    wait_until 5 "waiting for port $1" port_is_settled "$1" 2>/dev/null || true
    port_is_free "$1" || die "port $1, wanted by $2, is held by $(port_holder "$1");" \
        "stop it or choose other ports with --base-port"
}

# One GET without curl (which may not be installed yet): prints the answer, fails when none came.
plain_get() { # HOST PORT PATH
    # shellcheck disable=SC2016 # for the inner shell
    timeout 2 bash -c '
        exec 3<>"/dev/tcp/$1/$2" || exit 1
        printf "GET %s HTTP/1.0\r\nHost: %s\r\n\r\n" "$3" "$1" >&3
        cat <&3' plain_get "$1" "$2" "$3" 2>/dev/null
}

http_get() { # URL
    curl --noproxy '*' -fsS --max-time 2 "$1" 2>/dev/null
}
