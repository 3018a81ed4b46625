#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Measures Kamaitachi beside its peers and writes docs/BENCHMARKS.md; see --help.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=scripts/lib/common.sh
. "$root/scripts/lib/common.sh"
# shellcheck source=scripts/lib/install.sh
. "$root/scripts/lib/install.sh"
# shellcheck source=scripts/lib/build.sh
. "$root/scripts/lib/build.sh"

harness=$root/bench/harness/main.py

usage() {
    cat <<'END'
usage: bench/run_benchmarks.sh [--quick] [--only NAME]… [--rounds N] [--seconds S] [--resume]
                               [--load TOOL] [--out FILE] [--dir DIR] [--no-build]
                               [--no-install] [--list]

Installs the peers that are missing (haproxy, nginx, etcd, redis, wrk, hey, valgrind), builds, starts
what each line needs on private ports and in temporary directories, measures the contenders in turn,
round by round, and writes docs/BENCHMARKS.md and docs/benchmarks.json. A line that fails says why and
does not stop the rest; a peer that can't be had is left out and named. ^C ends everything that was
started and writes what there is.

  --quick        every line once, for a second: below three minutes in all
  --only NAME    this line, or those whose names begin so; the others stay in the report. Repeatable
  --rounds N     rounds (5; 1 with --quick)
  --seconds S    of one sample (4; 1 with --quick)
  --resume       go on after an interruption: leaves out what this commit has measured
  --load TOOL    what drives the lines: wrk (the default), pressure_test, hey
  --out FILE     the report (docs/BENCHMARKS.md); the JSON stands beside it
  --dir DIR      where databases are made (TMPDIR, /tmp): put it on the disk that is to be measured
  --no-build     takes bin/ and build/bench/ as they are
  --no-install   installs nothing
  --list         names and meanings of the lines
END
}

build=yes install=yes passed=()
while [ $# -gt 0 ]; do
    case $1 in
    --no-build) build=no ;;
    --no-install) install=no ;;
    -h | --help) usage && exit 0 ;;
    *) passed+=("$1") ;;
    esac
    shift
done

case " ${passed[*]} " in
*" --list "*) exec python3 "$harness" "${passed[@]}" ;;
esac

# A peer that can't be installed is left out of the lines; what builds and runs us must be there.
install_peers() {
    local package
    # shellcheck disable=SC2086 # a list
    (install_packages $packages_bench) && return 0
    for package in $packages_bench; do
        (install_packages "$package") || warn "without $package"
    done
}

if [ "$install" = yes ]; then
    # shellcheck disable=SC2046,SC2086 # lists
    install_packages $([ "$build" = no ] || printf '%s' "$packages_build") $packages_etcd python3
    install_peers
fi
if [ "$build" = yes ]; then
    build_programs
    compile "$root/build" bench_programs
fi
exec python3 "$harness" "${passed[@]}"
