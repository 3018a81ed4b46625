#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Puts load on the running cluster: builds bin/pressure_test if need be and runs it with the given
# arguments. Without -target it goes to the gateway that scripts/start_cluster.sh started.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=scripts/lib/common.sh
. "$root/scripts/lib/common.sh"
# shellcheck source=scripts/lib/install.sh
. "$root/scripts/lib/install.sh"
# shellcheck source=scripts/lib/build.sh
. "$root/scripts/lib/build.sh"

usage() {
    cat <<'END'
usage: scripts/pressure_test.sh [--no-build] [flags of pressure_test]

    scripts/pressure_test.sh -requests 5000 -concurrent 100
    scripts/pressure_test.sh -duration 30 -warmup 5 -html report.html

Builds bin/pressure_test first (--no-build: takes it as it is). Without -target the load goes to the
gateway of scripts/start_cluster.sh. All flags: bin/pressure_test -help; docs/PRESSURE_TEST.md.
END
}

build=yes target=''
arguments=()
for argument in "$@"; do
    case $argument in
    --no-build) build=no ;;
    -h | -help | --help)
        usage
        [ ! -x "$root/bin/pressure_test" ] || "$root/bin/pressure_test" -help
        exit 0
        ;;
    -target | --target | -target=* | --target=*) target=given && arguments+=("$argument") ;;
    *) arguments+=("$argument") ;;
    esac
done

if [ "$build" = yes ]; then
    # shellcheck disable=SC2086 # lists
    install_packages $packages_build
    build_programs >&2
fi
[ -x "$root/bin/pressure_test" ] || die "bin/ holds no pressure_test; leave out --no-build"

# run/ remembers another base port than 9000, if one was given.
if [ -z "$target" ]; then
    port=$(sed -n 's/^base_port=//p' "$root/run/cluster.env" 2>/dev/null || true)
    target=http://127.0.0.1:${port:-9000}
    http_get "$target/health" >/dev/null ||
        die "no healthy gateway at $target: start one with scripts/start_cluster.sh, or give -target"
    arguments+=(-target "$target/data")
fi
exec "$root/bin/pressure_test" "${arguments[@]}"
