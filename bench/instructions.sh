#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Instructions per operation of the hot paths, counted by callgrind; see --help.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=scripts/lib/common.sh
. "$root/scripts/lib/common.sh"

usage() {
    cat <<'END'
usage: bench/instructions.sh [--json] [--quick] [--op NAME] [--tools DIR] [--dir DIR] [--keep]

Runs bench/microbench under valgrind --tool=callgrind and prints the instructions that each operation
takes (user space only). They are the same however busy the machine is, so that a change can be judged
by them. What waits for the disk is left out.

  --json        for the report
  --quick       a tenth of the repetitions
  --op NAME     this operation only (microbench -list)
  --tools DIR   where microbench is (build/bench)
  --dir DIR     where databases and callgrind's files are made (a temporary directory)
  --keep        keeps callgrind.out.N (for callgrind_annotate) and says where
END
}

json=no keep=no tools=$root/build/bench dir='' flags=(-callgrind)
while [ $# -gt 0 ]; do
    case $1 in
    --json) json=yes ;;
    --quick) flags+=(-quick) ;;
    --keep) keep=yes ;;
    --op | --tools | --dir)
        [ -n "${2:-}" ] || usage_error "$1 wants a value"
        case $1 in
        --op) flags+=(-op "$2") ;;
        --tools) tools=$2 ;;
        --dir) dir=$2 ;;
        esac
        shift
        ;;
    -h | --help) usage && exit 0 ;;
    *) usage_error "unknown option '$1'" ;;
    esac
    shift
done

command -v valgrind >/dev/null || die "valgrind is not installed"
[ -x "$tools/microbench" ] || die "$tools/microbench is not built: ninja -C build bench_programs"

work=$(mktemp -d "${dir:-${TMPDIR:-/tmp}}/kt_instructions.XXXXXX")
finish() {
    if [ "$keep" = yes ]; then say "kept: $work" >&2; else rm -rf "$work"; fi
}
trap finish EXIT
trap 'exit 130' INT TERM HUP

# Collecting goes on and off at micro_measured(), and what it collected is written when it is left:
# callgrind.out.1 for the first operation, and so on.
valgrind --tool=callgrind --toggle-collect=micro_measured --dump-after=micro_measured \
    --callgrind-out-file="$work/callgrind.out" \
    "$tools/microbench" "${flags[@]}" -dir "$work" >"$work/operations" 2>"$work/valgrind.log" ||
    die "microbench under valgrind failed: $(tail -n 5 "$work/valgrind.log")"

# NAME TIMES BYTES WHAT… -> with the instructions per operation in front
number=0
while read -r name times bytes what; do
    number=$((number + 1))
    total=$(sed -n 's/^\(totals\|summary\): *\([0-9]*\).*/\2/p' "$work/callgrind.out.$number" |
        tail -n 1)
    [ -n "$total" ] || die "callgrind wrote no counts for $name"
    printf '%s\t%s\t%s\t%s\t%s\n' "$((total / times))" "$name" "$times" "$bytes" "$what"
done <"$work/operations" >"$work/counted"
[ -s "$work/counted" ] || die "nothing was counted"

if [ "$json" = yes ]; then
    awk -F '\t' 'BEGIN { printf "{\"operations\":[" }
        { printf "%s{\"name\":\"%s\",\"what\":\"%s\",\"instructions\":%s,\"bytes\":%s,\"iterations\":%s}",
            (NR > 1 ? "," : ""), $2, $5, $1, ($4 > 0 ? $4 : "null"), $3 }
        END { print "]}" }' "$work/counted"
else
    awk -F '\t' 'BEGIN { printf "%-16s %14s %10s %8s  %s\n", "operation", "instructions", "bytes", "times", "what" }
        { printf "%-16s %14s %10s %8s  %s\n", $2, $1, ($4 > 0 ? $4 : "-"), $3, $5 }' "$work/counted"
fi
