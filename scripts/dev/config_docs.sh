#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Makes docs/CONFIG.md and conf/*.ini from the executables' own tables.
#
# usage: config_docs.sh [--check] [BIN-DIR]     BIN-DIR is bin/; --check only compares (exit 1)
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
check=no
if [ "${1:-}" = --check ]; then
    check=yes
    shift
fi
bin=${1:-$root/bin}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/docs" "$work/conf"

{
    cat <<'END'
# Configuration

Made by `scripts/dev/config_docs.sh` from the tables in the programs; edit those.

Each server reads the file given by `-config`, or `conf/<program>.ini` below the working directory
if there is one. Later ones win: defaults, file, environment, flags. The variable of a key is
`KAMAITACHI_<SECTION>_<KEY>` in capitals, such as `KAMAITACHI_SERVER_PORT`; set and empty, it unsets:
`KAMAITACHI_ETCD_ENDPOINTS=` makes a data node standalone. Sizes take `k`, `m`, `g`, `t` (powers of
1024). `-check-config` prints every value and where it came from. An unknown section or key, a bad
value or one out of range ends a program with exit status 2 and names file, line and what is allowed.

Flags of every server, with one or two dashes:

END
    "$bin/master" -help | sed -n '/^  -/s/^/    /p'
    printf '\n    (-db, -rejoin and -detach are for data nodes only)\n'
    for program in master slave gateway; do
        printf '\n'
        "$bin/$program" -print-config-md
    done
} >"$work/docs/CONFIG.md"

for program in master slave gateway; do
    "$bin/$program" -print-config-ini >"$work/conf/$program.ini"
done
# The second slave of the cluster that start_cluster.sh makes: a port and a database of its own.
sed -e '1s/every key at its default/port and db differ, every other key at its default/' \
    -e 's/^port = 8081$/port = 8082/' -e 's/^db = data\/slave\.db$/db = data\/slave2.db/' \
    "$work/conf/slave.ini" >"$work/conf/slave2.ini"

rc=0
for file in docs/CONFIG.md conf/master.ini conf/slave.ini conf/slave2.ini conf/gateway.ini; do
    if cmp -s "$work/$file" "$root/$file"; then
        continue
    fi
    if [ "$check" = yes ]; then
        printf '%s is not what the tables say; run scripts/dev/config_docs.sh\n' "$file"
        diff -u "$root/$file" "$work/$file" | head -n 20 || true
        rc=1
    else
        mkdir -p "$root/$(dirname "$file")"
        cp "$work/$file" "$root/$file"
        printf 'wrote %s\n' "$file"
    fi
done
exit "$rc"
