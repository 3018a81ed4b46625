#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Installs what is missing, builds, runs every suite, and sums up: `N passed, N failed`.
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
usage: scripts/test.sh [--quick]

Suites: the unit tests and the layer check (meson), the cluster tests (real etcd, real processes),
the conformance table (raw requests), all again under AddressSanitizer and
UndefinedBehaviorSanitizer, the unit tests and one cluster run under ThreadSanitizer, ten seconds of
fuzzing for each decoder, and the style of C and shell files where clang-format 14 and shellcheck are
there. The last line is the sum of all of them.

  --quick   the cluster tests run under sanitizers without the slow ones; no ThreadSanitizer, no
            fuzzing

Environment: KAMAITACHI_REQUIRE=data,etcd,format,fuzz,netns,openssl makes a missing data set or tool a failure instead
of a skipped test. KT_WERROR=true makes every warning an error. KT_DATA_DIR: where the data sets are.
END
}

quick=no
while [ $# -gt 0 ]; do
    case $1 in
    --quick) quick=yes ;;
    -h | --help) usage && exit 0 ;;
    *) usage_error "unknown option '$1'" ;;
    esac
    shift
done

required() { case ",${KAMAITACHI_REQUIRE:-}," in *",$1,"*) return 0 ;; *) return 1 ;; esac; }

passed=0 failed=0 skipped=0 failed_suites=''
logs=$root/build/test-logs

# suite NAME COMMAND…: its last line `N passed, N failed` counts; without one it is a single test.
suite() {
    local name=$1 log=$logs/$1.log start=$SECONDS rc=0 sum p f s
    shift
    step "$name"
    if [ -t 1 ] || [ -n "${KT_VERBOSE:-}" ]; then
        "$@" </dev/null 2>&1 | tee "$log" || rc=1
    else
        "$@" </dev/null >"$log" 2>&1 || rc=1
    fi
    sum=$(grep -E '^[0-9]+ passed, [0-9]+ failed(, [0-9]+ skipped)?$' "$log" | tail -n 1) || sum=''
    if [ -n "$sum" ]; then
        read -r p _ f _ s _ <<<"${sum//,/}"
    elif [ "$rc" -eq 0 ]; then
        p=1 f=0 s=0
    else
        p=0 f=1 s=0
    fi
    [ "$rc" -eq 0 ] || [ "$f" -gt 0 ] || f=1
    passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + ${s:-0}))
    say "    $name: $p passed, $f failed${s:+, $s skipped} ($((SECONDS - start)) s)"
    if [ "$f" -gt 0 ]; then
        failed_suites="$failed_suites $name"
        [ -t 1 ] || tail -n 200 "$log"
    fi
}

skip_suite() { # NAME WHY
    if required "$3"; then
        say "    $1: required, but $2"
        failed=$((failed + 1)) failed_suites="$failed_suites $1"
    else
        say "    $1: skipped, $2"
    fi
}

# Kernels that scatter memory wider than GCC 12's ThreadSanitizer expects need it switched off.
unscattered=()

# Twice as many at a time as there are cores: the long ones wait most of the time.
meson_tests() { # BUILD-DIR TIMEOUT-FACTOR
    "${unscattered[@]}" meson test -C "$1" --no-rebuild --print-errorlogs -t "$2" \
        --num-processes $((2 * $(nproc))) || true
    python3 "$root/tests/sum_meson.py" "$1/meson-logs/testlog.json"
}

# One lane more than there are cores, at most four: these tests wait most of the time.
cluster_tests() { # BIN-DIR SLOW-FACTOR [FLAGS…]
    local bin=$1 slow=$2 lanes
    shift 2
    lanes=$(($(nproc) + 1))
    "${unscattered[@]}" python3 "$root/tests/cluster/run.py" --bin "$bin" --slow "$slow" \
        --lanes $((lanes > 4 ? 4 : lanes)) "$@"
}

conformance_tests() { # BIN-DIR SLOW-FACTOR
    python3 "$root/tests/conformance/run.py" --bin "$1" --slow "$2"
}

shell_style() {
    cd "$root"
    shellcheck -x -P "$root" scripts/*.sh scripts/dev/*.sh bench/*.sh tests/*.sh .ci/run
}

build_all() { # DIR [OPTIONS…]
    step "building $1"
    configure "$root/$1" -Dwerror="${KT_WERROR:-false}" "${@:2}"
    compile "$root/$1"
}

thread_sanitizer() {
    build_all build-tsan -Db_sanitize=thread -Db_lundef=false -Doptimization=1
    install_programs "$root/build-tsan" "$root/build-tsan/bin"
    local probe=("$root/build-tsan/bin/sample_data" -subjects 1)
    if ! "${probe[@]}" >/dev/null 2>&1; then
        unscattered=(setarch "$(uname -m)" -R)
        if ! "${unscattered[@]}" "${probe[@]}" >/dev/null 2>&1; then
            skip_suite thread_sanitizer "it does not run on this kernel" tsan
            return
        fi
    fi
    TSAN_OPTIONS="suppressions=$root/tests/tsan.supp" suite unit_threads meson_tests "$root/build-tsan" 5
    suite cluster_threads cluster_tests "$root/build-tsan/bin" 5 RealData
}

# Ten seconds for each decoder of bytes from outside; their corpora run with the unit tests.
fuzz() {
    local cc
    cc=$(command -v clang-14 || command -v clang) || cc=''
    if [ -z "$cc" ] || ! printf 'int LLVMFuzzerTestOneInput(const void *p, unsigned long n) %s' \
        '{ return p && n > 99; }' | "$cc" -fsanitize=fuzzer -x c - -o "$logs/fuzz-probe" 2>/dev/null; then
        skip_suite fuzz "there is no clang with libFuzzer" fuzz
        return
    fi
    step "building build-fuzz"
    CC=$cc configure "$root/build-fuzz" -Dfuzz=true -Db_sanitize=address,undefined \
        -Db_lundef=false -Doptimization=1 -Dwerror="${KT_WERROR:-false}"
    compile "$root/build-fuzz" fuzz_programs
    suite fuzz "${unscattered[@]}" python3 "$root/tests/fuzz/run.py" "$root/build-fuzz"
}

main() {
    local start=$SECONDS
    # shellcheck disable=SC2046,SC2086 # lists
    install_packages $packages_build $packages_test \
        $(if required format; then printf 'clang-format shellcheck'; fi) \
        $(if required fuzz; then printf 'clang-14 libclang-rt-14-dev'; fi)
    build_all build
    install_programs "$root/build" "$root/bin"
    mkdir -p "$logs"

    suite unit meson_tests "$root/build" 1
    if command -v clang-format >/dev/null && clang-format --version | grep -q 'version 14'; then
        suite format "$root/scripts/dev/format.sh" --check
    else
        skip_suite format "there is no clang-format 14" format
    fi
    if command -v shellcheck >/dev/null; then
        suite shell_style shell_style
    else
        skip_suite shell_style "there is no shellcheck" format
    fi
    suite cluster cluster_tests "$root/bin" 1
    suite conformance conformance_tests "$root/bin" 1

    build_all build-asan -Db_sanitize=address,undefined -Db_lundef=false -Doptimization=1
    install_programs "$root/build-asan" "$root/build-asan/bin"
    suite unit_sanitized meson_tests "$root/build-asan" 5
    # shellcheck disable=SC2046 # a flag or nothing
    suite cluster_sanitized cluster_tests "$root/build-asan/bin" 4 --sanitized \
        $(if [ "$quick" = yes ]; then printf -- --quick; fi)
    suite conformance_sanitized conformance_tests "$root/build-asan/bin" 4
    [ "$quick" = yes ] || thread_sanitizer
    [ "$quick" = yes ] || fuzz

    say
    [ "$skipped" -eq 0 ] || say "$skipped skipped"
    [ -z "$failed_suites" ] || say "failed:$failed_suites (logs in $logs)"
    say "after $((SECONDS - start)) s:"
    say "$passed passed, $failed failed"
    [ "$failed" -eq 0 ]
}

main
