# shellcheck shell=bash
# Debian's packages: what is missing is installed, as root, through `sudo -n`, or not at all: then
# the line to type is printed and the exit status is 3.

packages_build='gcc libc6-dev meson ninja-build pkgconf libsqlite3-dev libcurl4-openssl-dev
    libssl-dev zlib1g-dev libxxhash-dev libuv1-dev libinih-dev libcjson-dev libcivetweb-dev'
packages_run='curl'
packages_etcd='etcd-server'
packages_test='python3 etcd-client etcd-server curl'

is_installed() {
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

# pkg-config is a package of its own or a part of pkgconf; either will do.
has_package() {
    is_installed "$1" || { [ "$1" = pkgconf ] && command -v pkg-config >/dev/null; } ||
        { [ "$1" = gcc ] && [ -n "${CC:-}" ]; }
}

# Runs as root. Debian's etcd-server would start its service; policy-rc.d (101 = forbidden) is
# Debian's own way to say no. Whatever was there before is put back, however this ends.
install_as_root='
    set -e
    policy=/usr/sbin/policy-rc.d
    guarded=no
    restore() {
        [ "$guarded" = yes ] || return 0
        rm -f "$policy"
        [ ! -e "$policy.kamaitachi" ] || mv "$policy.kamaitachi" "$policy"
    }
    trap restore EXIT
    trap "exit 1" HUP INT TERM
    case " $* " in
    *" etcd-server "*)
        [ ! -e "$policy" ] || mv "$policy" "$policy.kamaitachi"
        guarded=yes
        printf "#!/bin/sh\nexit 101\n" >"$policy"
        chmod 755 "$policy"
        ;;
    esac
    export DEBIAN_FRONTEND=noninteractive
    apt-get -qq -o Acquire::Retries=3 update
    apt-get -qq -y -o Acquire::Retries=3 -o Dpkg::Use-Pty=0 install --no-install-recommends "$@"
'

# install_packages PACKAGE…
install_packages() {
    local package missing=() log
    if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
        warn "not a Debian system: it must already have what Debian calls $*"
        return 0
    fi
    for package in "$@"; do
        has_package "$package" || missing+=("$package")
    done
    [ "${#missing[@]}" -gt 0 ] || return 0
    step "installing ${missing[*]}"
    log=$(mktemp)
    local as_root=(sh -c "$install_as_root" install "${missing[@]}")
    if [ "$(id -u)" -ne 0 ]; then
        if ! command -v sudo >/dev/null || ! sudo -n true 2>/dev/null; then
            rm -f "$log"
            say "These packages are missing and installing them needs root:"
            say "    apt-get install --no-install-recommends ${missing[*]}"
            exit 3
        fi
        as_root=(sudo -n "${as_root[@]}")
    fi
    if ! "${as_root[@]}" </dev/null >"$log" 2>&1; then
        tail -n 20 "$log" >&2
        rm -f "$log"
        die "apt-get could not install: ${missing[*]}"
    fi
    rm -f "$log"
}
