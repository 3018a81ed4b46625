# shellcheck shell=bash
# Masters, slaves and the gateway: names, ports, configuration files, health.

node_names() { # masters first
    local i
    for i in $(seq "$masters"); do printf '%s\n' "$(numbered master "$i")"; done
    for i in $(seq "$slaves"); do printf '%s\n' "$(numbered slave "$i")"; done
}

numbered() { if [ "$2" -eq 1 ]; then printf '%s' "$1"; else printf '%s%s' "$1" "$2"; fi; }
program_of() { printf '%s' "${1%%[0-9]*}"; }

port_of() {
    local name i=0
    if [ "$1" = gateway ]; then
        printf '%s' "$gateway_port"
        return
    fi
    for name in $(node_names); do
        if [ "$name" = "$1" ]; then
            printf '%s' $((node_port + i))
            return
        fi
        i=$((i + 1))
    done
}

address_of() { printf '127.0.0.1:%s' "$(port_of "$1")"; }

# The file of the user's directory or of conf/ that a node is configured by: its own, else its
# program's. conf/slave2.ini, only another port and database, does not hide a slave.ini of the user's.
config_source() { # NAME
    local file
    for file in ${config_dir:+"$config_dir/$1.ini" "$config_dir/$(program_of "$1").ini"} \
        "$root/conf/$1.ini"; do
        if [ -f "$file" ]; then
            printf '%s' "$file"
            return
        fi
    done
    printf '%s' "$root/conf/$(program_of "$1").ini"
}

# A node without a file of its own gets a copy of its program's with its own port.
config_of() {
    local source target
    source=$(config_source "$1")
    if [ "$(basename "$source")" = "$1.ini" ]; then
        printf '%s' "$source"
        return
    fi
    target=$data_dir/conf/$1.ini
    mkdir -p "$data_dir/conf"
    {
        printf '# %s: made by scripts/start_cluster.sh from %s.\n' "$1" "$source"
        sed -e "/^\[server\]/,/^\[/s/^#\{0,1\} *port *=.*/port = $(port_of "$1")/" "$source"
    } >"$target"
    printf '%s' "$target"
}

# Ports, files and etcd are given by environment, over what the configuration files say.
settings_of() { # NAME: into the array `settings`
    local name=$1 dir=$data_dir/nodes/$1
    settings=(
        "KAMAITACHI_SERVER_PORT=$(port_of "$name")"
        "KAMAITACHI_SERVER_SERVICE_ADDR=127.0.0.1"
        "KAMAITACHI_ETCD_ENDPOINTS=$etcd_endpoints"
        "KAMAITACHI_ETCD_PREFIX=$prefix"
    )
    if [ "$(program_of "$name")" != gateway ]; then
        settings+=(
            "KAMAITACHI_STORE_DB=$dir/$name.db"
            "KAMAITACHI_CACHE_SNAPSHOT_PATH=$dir/$name.cache"
            "KAMAITACHI_CLUSTER_EXPECT=$((masters + slaves))"
        )
    fi
}

start_node() { # NAME
    local name=$1 settings config
    is_running "$name" && return 0
    mkdir -p "$data_dir/nodes/$name"
    settings_of "$name"
    config=$(config_of "$name")
    start_process "$name" env "${settings[@]}" "$root/bin/$(program_of "$name")" -config "$config"
}

# Before anything is started: a mistake in a file is shown with its file and line.
check_configs() { # [NAMES…]: all of them
    local name settings config answer
    # shellcheck disable=SC2046 # a list
    [ $# -gt 0 ] || set -- $(node_names) gateway
    for name in "$@"; do
        is_running "$name" && continue
        settings_of "$name"
        config=$(config_of "$name")
        answer=$(env "${settings[@]}" "$root/bin/$(program_of "$name")" -config "$config" \
            -check-config 2>&1) || die "$name can't be started with $config:"$'\n'"$answer"
    done
}

health_answer() { # NAME: what it says of itself, well or not
    curl --noproxy '*' -sS --max-time 2 "http://$(address_of "$1")/health" 2>/dev/null || true
}

health_of() { # NAME [ANSWER]: ok, or what keeps it from it
    local answer health count
    if [ $# -gt 1 ]; then answer=$2; else answer=$(health_answer "$1"); fi
    health=$(printf '%s' "$answer" | sed -n 's/^{"status":"\([^"]*\)".*/\1/p')
    # The gateway is well with one node; a write wants it to have found the leader well.
    if [ "$1" = gateway ] && [ "$health" = ok ]; then
        count=$(printf '%s' "$answer" | sed -n 's/.*"count":\([0-9]*\).*/\1/p')
        [ "$count" = $((masters + slaves)) ] || health="sees $count of $((masters + slaves)) nodes"
    fi
    printf '%s' "${health:-no answer}"
}

all_healthy() { # NAMES…; remembers in $failed_name who has ended
    local name health
    for name in "$@"; do
        if ! is_running "$name"; then
            failed_name=$name
            waiting_for="$name has ended"
            return 2
        fi
    done
    for name in "$@"; do
        health=$(health_of "$name")
        if [ "$health" != ok ]; then
            failed_name=$name
            waiting_for="$name: $health"
            return 1
        fi
    done
    waiting_for=''
}

start_nodes() {
    local name all=()
    for name in $(node_names) gateway; do
        start_node "$name"
        all+=("$name")
    done
    wait_until 60 "starting ${all[*]}" all_healthy "${all[@]}" || fail_start "$failed_name"
}

number_in() { # TEXT MEMBER: the number of "MEMBER":123
    printf '%s' "$1" | sed -n "s/.*\"$2\":\([0-9][0-9]*\).*/\1/p"
}

revision_of() { number_in "$(http_get "http://$(address_of "$1")/health")" revision; }

all_at_revision() { # REVISION
    local name revision
    for name in $(node_names); do
        revision=$(revision_of "$name")
        waiting_for="$name is at ${revision:-?} of $1"
        [ "${revision:-0}" -ge "$1" ] || return 1
    done
    waiting_for=''
}

# The answer to /cluster/info of the leader (which knows how far the others are), else of any node.
cluster_info() {
    local name answer found=''
    for name in $(node_names); do
        is_running "$name" || continue
        answer=$(http_get "http://$(address_of "$name")/cluster/info") || continue
        found=$answer
        case $answer in *'"is_leader":true'*) break ;; esac
    done
    printf '%s' "$found"
}

members_in() { # INFO: the objects of its list, one a line
    printf '%s' "$1" | sed 's/.*"nodes":\[//' | tr '{' '\n'
}

member_in() { # INFO ADDRESS: what it says of this node
    members_in "$1" | grep -F "\"address\":\"$2\""
}

status_line() { # NAME ADDRESS PID ROLE IN-SYNC REVISION LAG HEALTH
    printf '%-10s %-21s %-8s %-9s %-8s %-10s %-9s %s\n' "$@"
}

print_node_status() { # NAME PID INFO; fails when the node is not well
    local name=$1 pid=$2 answer='' member role=- in_sync=- revision=- lag=- health='not running'
    member=$(member_in "$3" "$(address_of "$name")") || true
    case $member in
    *'"in_sync":true'*) in_sync=yes ;;
    *'"in_sync":false'*) in_sync=no ;;
    esac
    lag=$(number_in "$member" lag_ms)
    if [ "$pid" != - ]; then
        answer=$(health_answer "$name")
        health=$(health_of "$name" "$answer")
        role=$(printf '%s' "$answer" | sed -n 's/.*"role":"\([a-z]*\)".*/\1/p')
        revision=$(number_in "$answer" revision)
        lag=${lag:-$(number_in "$answer" lag_ms)}
    fi
    if [ "$name" = gateway ]; then role=gateway in_sync=- revision=- lag=''; fi
    status_line "$name" "$(address_of "$name")" "$pid" "${role:--}" "$in_sync" "${revision:--}" \
        "${lag:--}${lag:+ ms}" "$health"
    [ "$health" = ok ]
}

print_leader() { # INFO
    local address epoch count
    address=$(printf '%s' "$1" | sed -n 's/.*"leader":"\([^"]*\)".*/\1/p')
    epoch=$(printf '%s' "$1" | sed -n 's/^[^[]*"epoch":\([0-9]*\).*/\1/p')
    count=$(members_in "$1" | grep -c '"in_sync":true') || true
    if [ -n "$address" ]; then
        say "leader: ${address}, epoch ${epoch:-?}, $count of $((masters + slaves)) in sync"
    else
        say "leader: none"
    fi
}

print_status() { # exit status 0 when everything is up and well
    local name rc=0 pid info health
    info=$(cluster_info)
    status_line name address pid role 'in sync' revision lag health
    for name in $(etcd_names) $(node_names) gateway; do
        pid=$(running_pid "$name") || pid=-
        case $name in
        etcd*)
            health=$([ "$pid" = - ] && printf 'not running' || printf 'running')
            status_line "$name" "127.0.0.1:$(etcd_client_port "${name#etcd}")" "$pid" etcd - - - \
                "$health"
            ;;
        *) print_node_status "$name" "$pid" "$info" || rc=1 ;;
        esac
        [ "$pid" != - ] || rc=1
    done
    [ "$etcd_kind" = private ] || say "etcd at $etcd_endpoints (not ours)"
    print_leader "$info"
    return "$rc"
}
