# shellcheck shell=bash
# Trying a failover: one process killed, started again, one node made the leader.

# Sets $node_name from a name (master, slave2; slave1 is slave) or an address (127.0.0.1:8081, 8081).
find_node() { # FLAG NODE CANDIDATES…
    local flag=$1 node=$2 name
    shift 2
    case $node in master1 | slave1 | gateway1) node=${node%1} ;; esac
    for name in "$@"; do
        case ${node#localhost:} in
        "$name" | "$(client_port_of "$name")" | "127.0.0.1:$(client_port_of "$name")")
            node_name=$name
            return 0
            ;;
        esac
    done
    usage_error "$flag: there is no '$node' here, but $*"
}

client_port_of() { # NAME
    case $1 in
    etcd*) etcd_client_port "${1#etcd}" ;;
    *) port_of "$1" ;;
    esac
}

every_name() { printf '%s\n' "$(etcd_names)" "$(node_names)" gateway | sed '/^$/d'; }

leader_answer() { # who leads, as the first that knows it says: the answer to /cluster/leader
    local name
    for name in gateway $(node_names); do
        http_get "http://$(address_of "$name")/cluster/leader" && return 0
    done
    return 1
}

leader_address() { leader_answer | sed -n 's/.*"address":"\([^"]*\)".*/\1/p'; }

name_at() { # ADDRESS: the name of the data node there
    local name
    for name in $(node_names); do
        [ "$(address_of "$name")" != "$1" ] || printf '%s' "$name"
    done
}

# The lifetime of a leader's lease. Who founds a cluster decides about it; here all have one file.
lease_seconds() {
    local ttl=${KAMAITACHI_ETCD_TTL:-}
    [ -n "$ttl" ] || ttl=$(ini_value "$(config_source master)" etcd ttl)
    printf '%s' "${ttl:-5}"
}

# This script and its directory as a person types them behind one another.
again() {
    printf 'scripts/start_cluster.sh'
    [ "$data_dir" = "$root/run" ] || printf ' --data-dir %q' "$data_dir"
    printf ' %s' "$@"
}

kill_one() { # NODE
    local pid leader
    # shellcheck disable=SC2046 # a list
    find_node --kill "$1" $(every_name)
    pid=$(running_pid "$node_name") || die "$node_name does not run"
    leader=$(name_at "$(leader_address)")
    kill -KILL "$pid" || die "process $pid ($node_name) could not be killed"
    wait_until 5 "killing $node_name" has_ended "$node_name" || die "process $pid is still there"
    rm -f "$(pid_file "$node_name")"
    say "killed $node_name (process $pid, 127.0.0.1:$(client_port_of "$node_name"))"
    print_after_kill "$leader"
}

print_after_kill() { # LEADER: the name of who led
    local logs=$data_dir/logs
    say
    case $node_name in
    etcd*)
        say "Reads go on. With the majority of etcd gone the leader stops taking writes when its lease"
        say "ends, after $(lease_seconds) s at the latest; it leads again when etcd is back."
        ;;
    gateway) say "Clients of the gateway get no connection; the data nodes answer as before." ;;
    "$1")
        say "It led. When its lease has ended, after $(lease_seconds) s, an in-sync follower is elected;"
        say "reads go on, and writes through the gateway wait for it instead of failing."
        ;;
    *)
        say "It followed. The leader (${1:-none now}) takes it out of the in-sync set within a second"
        say "or two; until then writes wait for it."
        ;;
    esac
    say
    say "Watch:"
    say "  watch -n 0.2 '$(again --status)'"
    say "  tail -f ${logs@Q}/*.log      # won, leading, following …"
    [ "$node_name" = gateway ] || print_write_line
    say "Then:"
    say "  $(again --start "$node_name")"
}

print_write_line() {
    local url body
    url=http://$(address_of gateway)$api/save
    body='{"records":[{"subject":"try:failover","time":"2026-01-01","data":{"attempt":1}}]}'
    say "  time curl -s '$url' -d '$body'"
}

start_one() { # NODE
    # shellcheck disable=SC2046 # a list
    find_node --start "$1" $(every_name)
    is_running "$node_name" && say "$node_name runs already" && return 0
    [ -x "$root/bin/gateway" ] || die "bin/ holds no executables; run this script without --start"
    trap cleanup EXIT
    trap 'exit 130' INT TERM HUP
    case $node_name in
    etcd*) start_private_etcd "$node_name" ;;
    *)
        check_configs "$node_name"
        require_port "$(port_of "$node_name")" "$node_name"
        start_node "$node_name"
        # One that waits for others runs too; what it waits for is shown below.
        wait_until $((3 * $(lease_seconds))) "starting $node_name" all_healthy "$node_name" ||
            is_running "$node_name" || fail_start "$node_name"
        ;;
    esac
    trap - EXIT
    say "started $node_name (process $(running_pid "$node_name")," \
        "127.0.0.1:$(client_port_of "$node_name"))"
    say
    print_status || true
}

milliseconds() { printf '%s' $((10#${EPOCHREALTIME/[.,]/} / 1000)); }

leads_now() { # NAME
    local answer
    answer=$(http_get "http://$(address_of "$1")/cluster/info") || return 1
    case $answer in *'"is_leader":true'*) return 0 ;; esac
    return 1
}

promote_one() { # NODE
    local before start header answer url tried='' asked
    # shellcheck disable=SC2046 # a list
    find_node --promote "$1" $(node_names)
    is_running "$node_name" || die "$node_name does not run; see --start"
    before=$(name_at "$(leader_address)")
    [ "$before" != "$node_name" ] || { say "$node_name leads already" && return 0; }
    start=$(milliseconds)
    for asked in gateway ${before:+"$before"}; do
        url=http://$(address_of "$asked")/cluster/failover
        header=$(auth_header_file admin_token "$asked")
        answer=$(curl --noproxy '*' -sS --max-time 30 -H 'Content-Type: application/json' \
            -H "@$header" -d "{\"to\":\"$(address_of "$node_name")\"}" "$url" 2>&1) || {
            tried="$tried; $asked: $answer"
            answer=''
            continue
        }
        break
    done
    rm -f "$data_dir/auth.header"
    [ -n "$answer" ] || die "nobody could be asked${tried}"
    case $answer in
    '{"status_code":0,'*) ;;
    *) die "$asked refused: $(printf '%s' "$answer" | sed -n 's/.*"status_msg":"\([^"]*\)".*/\1/p')" ;;
    esac
    wait_until 10 "waiting for $node_name to lead" leads_now "$node_name" ||
        die "$asked said yes, but $node_name does not lead; see $(again --status)"
    say "$node_name leads now, after $(($(milliseconds) - start)) ms (before: ${before:-nobody})"
    say
    print_status || true
}
