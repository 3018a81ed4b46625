# shellcheck shell=bash
# etcd: one that answers where the configuration says, one named by --etcd-endpoints, or private
# ones under $data_dir/etcd. The JSON gateway is asked with curl; keys and values are base64.

first_endpoint() { # ENDPOINTS: without the scheme
    local first=${1%%,*}
    first=${first#http://}
    printf '%s' "${first%/}"
}

etcd_answers() { # ENDPOINTS: does any of them? Works before curl is installed.
    local endpoint
    for endpoint in ${1//,/ }; do
        endpoint=$(first_endpoint "$endpoint")
        if plain_get "${endpoint%:*}" "${endpoint##*:}" /version | grep -q etcdserver; then
            return 0
        fi
    done
    return 1
}

# What the configuration names: the environment, else master.ini, else etcd's own port.
configured_endpoints() {
    if [ -n "${KAMAITACHI_ETCD_ENDPOINTS:-}" ]; then
        printf '%s' "$KAMAITACHI_ETCD_ENDPOINTS"
        return
    fi
    local value
    value=$(ini_value "$(config_source master)" etcd endpoints)
    printf '%s' "${value:-127.0.0.1:2379}"
}

ini_value() { # FILE SECTION KEY
    [ -f "$1" ] || return 0
    awk -v section="[$2]" -v key="$3" '
        { sub(/\r$/, ""); sub(/[ \t][#;].*/, "") }
        /^[ \t]*\[/ { gsub(/[ \t]/, ""); here = ($0 == section); next }
        here && index($0, "=") {
            name = substr($0, 1, index($0, "=") - 1); gsub(/[ \t]/, "", name)
            if (name == key) {
                value = substr($0, index($0, "=") + 1)
                gsub(/^[ \t]+|[ \t]+$/, "", value); print value; exit
            }
        }' "$1"
}

etcd_client_port() { printf '%s' $((etcd_port + $1)); }    # 1…3
etcd_peer_port() { printf '%s' $((etcd_port + 10 + $1)); } # 1…3

etcd_names() {
    local i
    [ "$etcd_kind" = private ] || return 0
    for i in $(seq "$etcd_count"); do printf 'etcd%s\n' "$i"; done
}

private_endpoints() {
    local i list=''
    for i in $(seq "$etcd_count"); do list="$list,127.0.0.1:$(etcd_client_port "$i")"; done
    printf '%s' "${list#,}"
}

start_private_etcd() { # [NAME]: only this member
    local i members='' name client peer
    for i in $(seq "$etcd_count"); do
        members="$members,etcd$i=http://127.0.0.1:$(etcd_peer_port "$i")"
    done
    for i in $(seq "$etcd_count"); do
        name=etcd$i
        [ "${1:-$name}" = "$name" ] || continue
        is_running "$name" && continue
        client=$(etcd_client_port "$i") peer=$(etcd_peer_port "$i")
        require_port "$client" "$name"
        require_port "$peer" "$name (for its peers)"
        mkdir -p "$data_dir/etcd"
        # arm64 is declared experimental in 3.4 and wants to be asked for.
        start_process "$name" env -u ETCD_NAME ETCD_UNSUPPORTED_ARCH=arm64 \
            etcd --name "$name" --data-dir "$data_dir/etcd/$i" \
            --listen-client-urls "http://127.0.0.1:$client" \
            --advertise-client-urls "http://127.0.0.1:$client" \
            --listen-peer-urls "http://127.0.0.1:$peer" \
            --initial-advertise-peer-urls "http://127.0.0.1:$peer" \
            --initial-cluster "${members#,}" --initial-cluster-state new \
            --initial-cluster-token "kamaitachi-$etcd_port" \
            --auto-compaction-retention 1h --logger zap --log-level warn
    done
    if [ $# -gt 0 ]; then # others may be down
        wait_until 30 "starting $1" etcd_answers "127.0.0.1:$(etcd_client_port "${1#etcd}")" ||
            fail_start "$1"
        return
    fi
    wait_until 30 "starting etcd" etcd_is_healthy || fail_start etcd1
}

etcd_is_healthy() {
    local name endpoint
    for name in $(etcd_names); do
        if ! is_running "$name"; then
            waiting_for="$name has ended"
            return 2
        fi
    done
    for endpoint in ${etcd_endpoints//,/ }; do
        waiting_for="$endpoint"
        http_get "http://$(first_endpoint "$endpoint")/health" | grep -q '"true"' || return 1
    done
    waiting_for=''
}

etcd_post() { # PATH BODY: the answer of the first endpoint that gives one
    local endpoint answer
    for endpoint in ${etcd_endpoints//,/ }; do
        if answer=$(curl --noproxy '*' -fsS --max-time 3 -X POST -d "$2" \
            "http://$(first_endpoint "$endpoint")/v3$1" 2>/dev/null); then
            printf '%s' "$answer"
            return 0
        fi
    done
    return 1
}

base64_of() { printf '%s' "$1" | base64 | tr -d '\n'; }

# The id of the cluster that lives under $prefix; "" when none does. Fails when etcd is silent.
cluster_in_etcd() {
    local answer
    answer=$(etcd_post /kv/range "{\"key\":\"$(base64_of "$prefix/cluster/config")\"}") || return 1
    printf '%s' "$answer" | sed -n 's/.*"value":"\([^"]*\)".*/\1/p' | base64 -d 2>/dev/null |
        sed -n 's/.*"cluster":"\([0-9a-f]*\)".*/\1/p'
}

# Is ID the cluster of this data directory? Its file says so, or its databases hold the id.
is_own_cluster() {
    [ -n "$1" ] || return 1
    [ "$(cat "$data_dir/cluster.id" 2>/dev/null)" != "$1" ] || return 0
    grep -qs -F "$1" "$data_dir"/nodes/*/*.db "$data_dir"/nodes/*/*.db-wal 2>/dev/null
}

refuse_other_cluster() {
    local id
    id=$(cluster_in_etcd) || die "etcd at $etcd_endpoints does not answer"
    [ -z "$id" ] || is_own_cluster "$id" ||
        die "the prefix $prefix in etcd at $etcd_endpoints belongs to cluster $id, which is not" \
            "the one of $data_dir; choose another etcd with --etcd-endpoints, or another prefix" \
            "with KAMAITACHI_ETCD_PREFIX"
}

remember_cluster() {
    local id
    id=$(cluster_in_etcd) || return 0
    [ -z "$id" ] || ! is_own_cluster "$id" || printf '%s\n' "$id" >"$data_dir/cluster.id"
}

# Deletes everything below $prefix if it is this data directory's cluster.
clean_prefix() {
    local id
    if ! id=$(cluster_in_etcd); then
        die "etcd at $etcd_endpoints does not answer, so that the prefix $prefix can't be cleaned;" \
            "start it and repeat, or remove $data_dir by hand"
    fi
    if [ -z "$id" ]; then
        say "nothing below $prefix in etcd"
    elif ! is_own_cluster "$id"; then
        say "the prefix $prefix in etcd belongs to cluster $id and stays as it is"
    else
        # Everything from "prefix/" up to "prefix0" ('0' follows '/').
        etcd_post /kv/deleterange "{\"key\":\"$(base64_of "$prefix/")\",\"range_end\":\"$(
            base64_of "${prefix}0")\"}" >/dev/null || die "etcd refused to delete below $prefix"
        say "removed $prefix (cluster $id) from etcd"
    fi
}
