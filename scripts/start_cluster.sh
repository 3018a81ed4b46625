#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# From a fresh checkout to a running cluster with data in it: etcd, masters, slaves, a gateway.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=scripts/lib/common.sh
. "$root/scripts/lib/common.sh"
# shellcheck source=scripts/lib/process.sh
. "$root/scripts/lib/process.sh"
# shellcheck source=scripts/lib/install.sh
. "$root/scripts/lib/install.sh"
# shellcheck source=scripts/lib/build.sh
. "$root/scripts/lib/build.sh"
# shellcheck source=scripts/lib/etcd.sh
. "$root/scripts/lib/etcd.sh"
# shellcheck source=scripts/lib/nodes.sh
. "$root/scripts/lib/nodes.sh"
# shellcheck source=scripts/lib/sample.sh
. "$root/scripts/lib/sample.sh"
# shellcheck source=scripts/lib/failover.sh
. "$root/scripts/lib/failover.sh"

usage() {
    cat <<'END'
usage: scripts/start_cluster.sh [options]

Installs what is missing, builds, starts etcd, the masters, the slaves and a gateway, fills an empty
cluster with sample data and prints what to try. Running it again is harmless.

  -m MASTERS            nodes that want to lead (1)
  -n SLAVES             nodes that follow (2)
  --etcd 1|3            how many private etcd members, if none answers already (1)
  --etcd-endpoints E    use this etcd, "host:port,…", and start none
  --data-dir D          everything that is kept: databases, logs, pids (run/ in the checkout)
  --config-dir C        configuration files of your own: master.ini, slave.ini, slave2.ini,
                        gateway.ini, … Whoever has none there takes the one of conf/. Ports, databases
                        and etcd stay this script's business. D remembers C; "" forgets it
  --base-port P         the gateway on P, data nodes from P+1 on, etcd clients on P+51…P+53, etcd
                        peers on P+61…P+63. Without it: gateway 9000, data nodes from 8080 on,
                        etcd 9051…9053 and 9061…9063
  --no-build            use bin/ as it is
  --no-sample           leave an empty cluster empty
  --stop                stop what runs in D
  --restart             stop, then start
  --status              show what runs in D: who leads, who is in sync, revisions, lag; exit status 0
                        when all of it is well
  --kill NODE           kill -9 of one process of D: master, slave, slave2, gateway, etcd1, … or its
                        address; says what to watch
  --start NODE          start it again, it alone
  --promote NODE        hand the lead over to this data node; says how long that took
  --clean               stop, remove D, and the prefix in etcd if it holds D's cluster
  -h, --help            this text

etcd: one that answers where master.ini (or KAMAITACHI_ETCD_ENDPOINTS) says is used as it is.
Otherwise private members run under D; the service that Debian's package brings is never started.
Exit status: 0 done, 1 failed, 2 wrong usage, 3 packages are missing and can't be installed here.
END
}

masters='' slaves='' etcd_count='' base_port='' etcd_endpoints_given=''
config_dir='' config_dir_given=no
data_dir=$root/run
build=yes sample=yes action=start target=''

require_number() { # FLAG VALUE MIN MAX
    case $2 in '' | *[!0-9]*) usage_error "$1 wants a number, not '$2'" ;; esac
    if [ "${#2}" -gt 5 ] || [ "$2" -lt "$3" ] || [ "$2" -gt "$4" ]; then
        usage_error "$1 wants a number from $3 to $4, not $2"
    fi
}

# A directory without a file that anybody would read is a mistyped one.
take_config_dir() { # DIR, or "" for none
    local file
    config_dir='' config_dir_given=yes
    [ -n "$1" ] || return 0
    [ -d "$1" ] || usage_error "--config-dir: there is no directory '$1'"
    config_dir=$(cd "$1" && pwd)
    for file in "$config_dir"/{master,slave,gateway}*.ini; do
        [ ! -f "$file" ] || return 0
    done
    usage_error "--config-dir: $config_dir holds no master.ini, slave.ini or gateway.ini"
}

parse_arguments() {
    while [ $# -gt 0 ]; do
        case $1 in
        -m | -n | --etcd | --etcd-endpoints | --data-dir | --config-dir | --base-port | \
            --kill | --start | --promote)
            [ $# -ge 2 ] || usage_error "$1 wants a value"
            ;;
        esac
        case $1 in
        -m) require_number -m "$2" 1 8 && masters=$2 && shift ;;
        -n) require_number -n "$2" 0 30 && slaves=$2 && shift ;;
        --etcd)
            [ "$2" = 1 ] || [ "$2" = 3 ] || usage_error "--etcd wants 1 or 3, not '$2'"
            etcd_count=$2 && shift
            ;;
        --etcd-endpoints)
            case $2 in
            '' | *[!A-Za-z0-9.:,/_\[\]-]*) usage_error "--etcd-endpoints wants host:port,…" ;;
            https://* | *,https://*) usage_error "--etcd-endpoints: https is not supported here" ;;
            esac
            etcd_endpoints_given=$2 && shift
            ;;
        --data-dir) [ -n "$2" ] || usage_error "--data-dir wants a directory" && data_dir=$2 && shift ;;
        --config-dir) take_config_dir "$2" && shift ;;
        --base-port) require_number --base-port "$2" 1024 65400 && base_port=$2 && shift ;;
        --no-build) build=no ;;
        --no-sample) sample=no ;;
        --stop | --restart | --status | --clean) action=${1#--} ;;
        --kill | --start | --promote)
            [ -n "$2" ] || usage_error "$1 wants the name or the address of a node"
            action=${1#--}_one target=$2 && shift
            ;;
        -h | --help) usage && exit 0 ;;
        *) usage_error "unknown option '$1'" ;;
        esac
        shift
    done
}

# --- the data directory and what it remembers ---

marker=.kamaitachi-cluster

has_marker() { [ -f "$data_dir/$marker" ]; }

own_data_dir() {
    if [ -d "$data_dir" ] && ! has_marker && [ -n "$(ls -A "$data_dir")" ]; then
        die "$data_dir is not empty and was not made by this script (no $marker in it)"
    fi
    mkdir -p "$data_dir"
    data_dir=$(cd "$data_dir" && pwd)
    [ -f "$data_dir/$marker" ] || : >"$data_dir/$marker"
    exec 9>"$data_dir/.lock"
    flock -n 9 || die "another start_cluster.sh is at work on $data_dir"
}

saved() { sed -n "s/^$1=//p" "$data_dir/cluster.env" 2>/dev/null || true; }

settle_config_dir() {
    [ "$config_dir_given" = no ] || return 0
    config_dir=$(saved config_dir)
    [ -z "$config_dir" ] || [ -d "$config_dir" ] || [[ $action != start* ]] ||
        die "$data_dir was started with --config-dir $config_dir, which is gone;" \
            "name another one, or --config-dir '' for conf/"
}

# What was asked for, else what D was started with, else the default.
settle_settings() {
    local saved_base saved_kind
    masters=${masters:-$(saved masters)} masters=${masters:-1}
    slaves=${slaves:-$(saved slaves)} slaves=${slaves:-2}
    settle_config_dir
    saved_base=$(saved base_port) saved_kind=$(saved etcd_kind)
    if [ -n "$base_port" ] && [ -n "$saved_kind" ] && [ "$base_port" != "$saved_base" ]; then
        die "$data_dir was started with other ports (${saved_base:-the default ones});" \
            "nodes keep their addresses: use --clean first or another --data-dir"
    fi
    base_port=${base_port:-$saved_base}
    gateway_port=${base_port:-9000}
    node_port=$((base_port ? base_port + 1 : 8080))
    etcd_port=$((gateway_port + 50))
    prefix=${KAMAITACHI_ETCD_PREFIX:-$(saved prefix)}
    prefix=${prefix:-$(ini_value "$(config_source master)" etcd prefix)} prefix=${prefix:-/kamaitachi}
    prefix=${prefix%/}
    if [ -n "$saved_kind" ] && [ -n "$etcd_count" ] && [ "$etcd_count" != "$(saved etcd_count)" ]; then
        die "$data_dir has $(saved etcd_count) etcd member(s); their number can't change"
    fi
    etcd_kind=$saved_kind etcd_count=${etcd_count:-$(saved etcd_count)} etcd_count=${etcd_count:-1}
    etcd_endpoints=$(saved etcd_endpoints)
    if [ -n "$etcd_endpoints_given" ]; then
        if [ "$saved_kind" = private ] && [ "$etcd_endpoints_given" != "$etcd_endpoints" ]; then
            die "$data_dir has an etcd of its own; --etcd-endpoints can't replace it"
        fi
        [ "$saved_kind" = private ] || etcd_kind=external etcd_endpoints=$etcd_endpoints_given
    fi
}

choose_etcd() { # only when D has no etcd yet; before anything is installed
    local configured
    [ -z "$etcd_kind" ] || return 0
    configured=$(configured_endpoints)
    if etcd_answers "$configured"; then
        etcd_kind=external etcd_endpoints=$configured
    else
        etcd_kind=private etcd_endpoints=$(private_endpoints)
    fi
}

save_settings() {
    {
        printf 'masters=%s\nslaves=%s\nbase_port=%s\n' "$masters" "$slaves" "$base_port"
        printf 'etcd_kind=%s\netcd_count=%s\netcd_endpoints=%s\n' "$etcd_kind" "$etcd_count" \
            "$etcd_endpoints"
        printf 'prefix=%s\nconfig_dir=%s\n' "$prefix" "$config_dir"
    } >"$data_dir/cluster.env"
}

# --- the actions ---

# fail_start NAME: its log's tail, then the end; cleanup stops what this run started.
fail_start() {
    log_tail "$1"
    die "$1 could not be started; nothing that was started now is left running"
}

cleanup() {
    local rc=$? i names=()
    trap - EXIT
    if [ "$rc" -ne 0 ] && [ "${#started_names[@]}" -gt 0 ]; then
        remember_cluster || true
        for ((i = ${#started_names[@]} - 1; i >= 0; i--)); do names+=("${started_names[i]}"); done
        stop_in_order "${names[@]}" || true
    fi
    exit "$rc"
}

# The gateway, then the data nodes, then etcd: each needs the next one to say goodbye.
stop_in_order() { # NAMES…
    local name gateways=() nodes=() etcds=()
    for name in "$@"; do
        case $name in
        gateway*) gateways+=("$name") ;;
        etcd*) etcds+=("$name") ;;
        *) nodes+=("$name") ;;
        esac
    done
    [ "${#gateways[@]}" -eq 0 ] || stop_processes "${gateways[@]}"
    [ "${#nodes[@]}" -eq 0 ] || stop_processes "${nodes[@]}"
    [ "${#etcds[@]}" -eq 0 ] || stop_processes "${etcds[@]}"
}

stop_all() {
    local names
    mapfile -t names < <(known_names)
    if [ "${#names[@]}" -eq 0 ]; then
        say "nothing runs in $data_dir"
        return 0
    fi
    stop_in_order "${names[@]}"
    say "stopped ${names[*]}"
}

all_running() {
    local name
    for name in $(etcd_names) $(node_names) gateway; do is_running "$name" || return 1; done
}

check_ports() { # before anything is started
    local name
    for name in $(node_names) gateway; do
        is_running "$name" || require_port "$(port_of "$name")" "$name"
    done
}

show_running() {
    print_status || return 1
    print_try_lines
}

start() {
    # shellcheck disable=SC2046 # a list
    if [ -n "$etcd_kind" ] && all_running && all_healthy $(node_names) gateway &&
        { [ "$sample" = no ] || [ -e "$data_dir/sample.done" ] || [ ! -e "$data_dir/sample.begun" ]; }; then
        say "the cluster in $data_dir is up"
        show_running
        return
    fi
    choose_etcd
    # shellcheck disable=SC2046,SC2086 # lists
    install_packages $packages_run $([ "$build" = no ] || printf '%s' "$packages_build") \
        $([ "$etcd_kind" != private ] || printf '%s' "$packages_etcd")
    [ "$build" = no ] || build_programs
    [ -x "$root/bin/gateway" ] || die "bin/ holds no executables; leave out --no-build"
    check_configs
    check_ports
    trap cleanup EXIT
    trap 'exit 130' INT TERM HUP
    step "starting etcd ($etcd_kind, $etcd_endpoints)"
    [ "$etcd_kind" != private ] || start_private_etcd
    refuse_other_cluster
    save_settings
    step "starting $(node_names | tr '\n' ' ')and gateway"
    start_nodes
    remember_cluster
    [ "$sample" = no ] || fill_with_sample
    trap - EXIT
    show_running
}

main() {
    parse_arguments "$@"
    case $action in
    status | stop | clean | *_one)
        if ! has_marker; then
            [ "$action" != clean ] || [ ! -e "$data_dir" ] ||
                die "$data_dir was not made by this script (no $marker in it); it stays as it is"
            say "no cluster in $data_dir"
            case $action in status | *_one) exit 1 ;; esac
            exit 0
        fi
        ;;
    esac
    [ "$action" = status ] || own_data_dir
    settle_settings
    case $action in
    start) start ;;
    restart)
        stop_all
        start
        ;;
    stop) stop_all ;;
    status) show_running ;;
    clean) stop_all_and_clean ;;
    *_one) "${action}" "$target" ;;
    esac
}

stop_all_and_clean() {
    # A private etcd goes with the directory; somebody else's keeps what is not ours.
    stop_all
    [ "$etcd_kind" != external ] || clean_prefix
    rm -rf -- "$data_dir"
    say "removed $data_dir"
}

main "$@"
