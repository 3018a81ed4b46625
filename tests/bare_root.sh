#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# As root: a bare Debian 12 in a directory, with git, ca-certificates and this machine's apt settings;
# clone, start the cluster, ask it, start it again, run the tests. Not part of scripts/test.sh.
#
# usage: bare_root.sh [--no-tests] [--keep] [DIR]     DIR: where the root is made (a temporary one)
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
tests=yes keep=no dir=''
for argument in "$@"; do
    case $argument in
    --no-tests) tests=no ;;
    --keep) keep=yes ;;
    -*) sed -n '3,7s/^# \{0,1\}//p' "$0" && exit 2 ;;
    *) dir=$argument ;;
    esac
done
[ "$(id -u)" -eq 0 ] || { echo "bare_root.sh wants to be root" >&2; exit 2; }
command -v debootstrap >/dev/null || { echo "debootstrap is missing" >&2; exit 2; }
dir=${dir:-$(mktemp -d)}
data=${KT_DATA_DIR:-$root/../shared/data}
passed=0 failed=0

in_root() { # COMMAND…, in the checkout
    chroot "$dir" /usr/bin/env -i HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 \
        KT_DATA_DIR=/home/shared/data "${proxies[@]}" \
        bash -c 'cd /home/kamaitachi && exec "$@"' in_root "$@" </dev/null
}

proxies=()
for name in http_proxy https_proxy no_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY; do
    if [ -n "${!name:-}" ]; then proxies+=("$name=${!name}"); fi
done

cleanup() {
    in_root scripts/start_cluster.sh --clean >/dev/null 2>&1 || true
    umount "$dir/proc" "$dir" 2>/dev/null || true
    if mountpoint -q "$dir/proc" || mountpoint -q "$dir"; then
        echo "could not unmount $dir; it stays" >&2
    elif [ "$keep" = no ]; then
        rm -rf "$dir"
    fi
}
trap cleanup EXIT

check() { # WHAT COMMAND…
    local what=$1
    shift
    if "$@"; then
        echo "ok - $what"
        passed=$((passed + 1))
    else
        echo "FAIL - $what"
        failed=$((failed + 1))
    fi
}

mirror() { # the first one that this machine's apt uses for bookworm
    cat /etc/apt/sources.list /etc/apt/sources.list.d/*.sources /etc/apt/sources.list.d/*.list \
        2>/dev/null | grep -oE 'https?://[^ ]*/debian/?' | sort -u | head -n 1 || true
}

copy_apt_settings() {
    local path
    for path in sources.list sources.list.d apt.conf apt.conf.d auth.conf.d keyrings trusted.gpg \
        trusted.gpg.d; do
        [ ! -e "/etc/apt/$path" ] || cp -a "/etc/apt/$path" "$dir/etc/apt/"
    done
    # Sources and pins of others than Debian would only be missing keys there.
    cp -a /usr/share/keyrings/. "$dir/usr/share/keyrings/" 2>/dev/null || true
    cp /etc/resolv.conf "$dir/etc/resolv.conf"
    cp /etc/hosts "$dir/etc/hosts"
    if [ -d /usr/local/share/ca-certificates ]; then
        mkdir -p "$dir/usr/local/share/ca-certificates"
        cp -a /usr/local/share/ca-certificates/. "$dir/usr/local/share/ca-certificates/"
    fi
    chroot "$dir" update-ca-certificates >/dev/null 2>&1 || true
}

make_root() {
    local url
    url=$(mirror)
    echo "==> debootstrap into $dir from ${url:-the default mirror}"
    debootstrap --variant=minbase --include=git,ca-certificates bookworm "$dir" \
        "${url:-http://deb.debian.org/debian}" >"$dir.log" 2>&1 ||
        { tail -n 20 "$dir.log" >&2; exit 1; }
    rm -f "$dir.log"
    copy_apt_settings
    mount --bind "$dir" "$dir" # network namespaces want / to be a mount point
    mount -t proc proc "$dir/proc"
    # As a user would get it: what is committed, nothing else.
    git clone -q "file://$root" "$dir/home/kamaitachi"
    chown -R 0:0 "$dir/home/kamaitachi"
    if [ -d "$data" ]; then
        mkdir -p "$dir/home/shared"
        cp -r "$data" "$dir/home/shared/data"
    fi
}

answer_has_5000() {
    local line
    line=$(sed -n "s/^ *\(curl -s '.*snapshot'.*\)$/\1/p" "$dir/start.out" | head -n 1)
    [ -n "$line" ] || return 1
    in_root bash -c "$line" | grep -q '"total":5000'
}

second_run() {
    local start=$SECONDS before after
    before=$(cat "$dir"/home/kamaitachi/run/pids/*.pid)
    in_root scripts/start_cluster.sh >"$dir/second.out" || return 1
    after=$(cat "$dir"/home/kamaitachi/run/pids/*.pid)
    echo "    the second run took $((SECONDS - start)) s"
    [ "$before" = "$after" ] && [ $((SECONDS - start)) -le 5 ]
}

start_cluster() { in_root scripts/start_cluster.sh 2>&1 | tee "$dir/start.out"; }
run_tests() { in_root .ci/run 2>&1 | tee "$dir/test.out"; }

make_root
check "start_cluster.sh starts a cluster" start_cluster
check "the printed curl answers 5000 subjects" answer_has_5000
check "a second run takes at most 5 s and starts nothing" second_run
check "the cluster stops" in_root scripts/start_cluster.sh --stop
[ "$tests" = no ] || check "the tests pass" run_tests
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
