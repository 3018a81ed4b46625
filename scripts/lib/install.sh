# shellcheck shell=bash
# Packages: what is missing is installed, as root, through `sudo -n`, or not at all: then the line to
# type is printed and the exit status is 3. They go by Debian's names; dnf and pacman are told what
# their systems call the same.

packages_build='gcc libc6-dev meson ninja-build pkgconf libsqlite3-dev libcurl4-openssl-dev
    libssl-dev zlib1g-dev libxxhash-dev libuv1-dev libinih-dev libcjson-dev libcivetweb-dev'
packages_run='curl'
packages_etcd='etcd-server'
packages_test='python3 etcd-client etcd-server curl openssl iproute2'
packages_bench='haproxy nginx-light redis-server wrk hey valgrind'

# Which package manager this system has: apt, dnf, pacman, or nothing that is known here. A system
# of another kind may have a foreign one installed beside its own, so the own one is asked for first.
package_manager() {
    if command -v dpkg-query >/dev/null && command -v apt-get >/dev/null; then
        printf 'apt'
    elif command -v rpm >/dev/null && command -v dnf >/dev/null; then
        printf 'dnf'
    elif command -v pacman >/dev/null; then
        printf 'pacman'
    fi
}

# package_name MANAGER DEBIAN-NAME: what that system calls it; nothing when another package of the
# list brings it there.
package_name() {
    case $1:$2 in
    apt:*) printf '%s' "$2" ;;
    *:gcc | *:meson | *:curl) printf '%s' "$2" ;;
    dnf:libc6-dev) printf 'glibc-devel' ;;
    dnf:ninja-build) printf 'ninja-build' ;;
    dnf:pkgconf) printf 'pkgconf-pkg-config' ;;
    dnf:libsqlite3-dev) printf 'sqlite-devel' ;;
    dnf:libcurl4-openssl-dev) printf 'libcurl-devel' ;;
    dnf:libssl-dev) printf 'openssl-devel' ;;
    dnf:zlib1g-dev) printf 'zlib-devel' ;;
    dnf:libxxhash-dev) printf 'xxhash-devel' ;;
    dnf:libuv1-dev) printf 'libuv-devel' ;;
    dnf:libinih-dev) printf 'inih-devel' ;;
    dnf:libcjson-dev) printf 'cjson-devel' ;;
    dnf:libcivetweb-dev) printf 'civetweb-devel' ;;
    dnf:python3) printf 'python3' ;;
    dnf:etcd-server | dnf:etcd-client) printf 'etcd' ;;
    dnf:clang-format) printf 'clang-tools-extra' ;;
    dnf:clang-14) printf 'clang' ;;
    dnf:libclang-rt-14-dev) printf 'compiler-rt' ;;
    dnf:shellcheck) printf 'ShellCheck' ;;
    dnf:iproute2) printf 'iproute' ;;
    dnf:nginx-light | pacman:nginx-light) printf 'nginx' ;;
    dnf:redis-server | pacman:redis-server) printf 'redis' ;;
    pacman:libc6-dev) printf 'glibc' ;;
    pacman:ninja-build) printf 'ninja' ;;
    pacman:pkgconf) printf 'pkgconf' ;;
    pacman:libsqlite3-dev) printf 'sqlite' ;;
    pacman:libcurl4-openssl-dev) printf 'curl' ;;
    pacman:libssl-dev) printf 'openssl' ;;
    pacman:zlib1g-dev) printf 'zlib' ;;
    pacman:libxxhash-dev) printf 'xxhash' ;;
    pacman:libuv1-dev) printf 'libuv' ;;
    pacman:libinih-dev) printf 'libinih' ;;
    pacman:libcjson-dev) printf 'cjson' ;;
    pacman:libcivetweb-dev) printf 'civetweb' ;;
    pacman:python3) printf 'python' ;;
    pacman:etcd-server | pacman:etcd-client) printf 'etcd' ;;
    pacman:clang-format | pacman:clang-14) printf 'clang' ;;
    pacman:libclang-rt-14-dev) printf 'compiler-rt' ;;
    *) printf '%s' "$2" ;;
    esac
}

is_installed() { # MANAGER NAME, in that system's words
    case $1 in
    apt) [ "$(dpkg-query -W -f '${db:Status-Status}' "$2" 2>/dev/null)" = installed ] ;;
    dnf) rpm -q --whatprovides "$2" >/dev/null 2>&1 ;;
    pacman) pacman -T "$2" >/dev/null 2>&1 ;;
    esac
}

# pkg-config is a package of its own or a part of pkgconf; either will do. So does an etcd that was
# put there by other means.
has_package() { # MANAGER DEBIAN-NAME
    is_installed "$1" "$(package_name "$1" "$2")" && return 0
    case $2 in
    pkgconf) command -v pkg-config >/dev/null ;;
    gcc) [ -n "${CC:-}" ] ;;
    etcd-server) [ "$1" != apt ] && command -v etcd >/dev/null ;;
    etcd-client) [ "$1" != apt ] && command -v etcdctl >/dev/null ;;
    haproxy | wrk | hey | valgrind | redis-server) command -v "$2" >/dev/null ;;
    nginx-light) command -v nginx >/dev/null || [ -x /usr/sbin/nginx ] ;;
    *) return 1 ;;
    esac
}

# Runs as root. Debian's servers would start their services; policy-rc.d (101 = forbidden) is
# Debian's own way to say no. Whatever was there before is put back, however this ends.
install_with_apt='
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
    *" etcd-server "* | *" haproxy "* | *" nginx-light "* | *" redis-server "*)
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

install_command() { # MANAGER: what a person would type before the names
    case $1 in
    apt) printf 'apt-get install --no-install-recommends' ;;
    dnf) printf 'dnf install' ;;
    pacman) printf 'pacman -S --needed' ;;
    esac
}

# install_packages DEBIAN-NAME…
install_packages() {
    local manager package name missing=() log as_root
    manager=$(package_manager)
    if [ -z "$manager" ]; then
        warn "no apt, dnf or pacman here: the system must already have what Debian calls $*"
        return 0
    fi
    for package in "$@"; do
        has_package "$manager" "$package" && continue
        name=$(package_name "$manager" "$package")
        case " ${missing[*]} " in
        *" $name "*) ;;
        *) missing+=("$name") ;;
        esac
    done
    [ "${#missing[@]}" -gt 0 ] || return 0
    step "installing ${missing[*]}"
    case $manager in
    apt) as_root=(sh -c "$install_with_apt" install "${missing[@]}") ;;
    dnf) as_root=(dnf -q -y --setopt=install_weak_deps=False install "${missing[@]}") ;;
    pacman) as_root=(pacman -S --needed --noconfirm --noprogressbar "${missing[@]}") ;;
    esac
    if [ "$(id -u)" -ne 0 ]; then
        if ! command -v sudo >/dev/null || ! sudo -n true 2>/dev/null; then
            say "These packages are missing and installing them needs root:"
            say "    $(install_command "$manager") ${missing[*]}"
            exit 3
        fi
        as_root=(sudo -n "${as_root[@]}")
    fi
    log=$(mktemp)
    if ! "${as_root[@]}" </dev/null >"$log" 2>&1; then
        tail -n 20 "$log" >&2
        rm -f "$log"
        die "$manager could not install: ${missing[*]}. What its repositories lack (with pacman that" \
            "may be civetweb and etcd) has to be there before: install it by hand and start again"
    fi
    rm -f "$log"
}
