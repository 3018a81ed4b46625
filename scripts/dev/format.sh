#!/usr/bin/env bash
# Formats every C file that git knows; with --check only says what would change (exit 1).
set -euo pipefail
cd "$(git -C "$(dirname "$0")" rev-parse --show-toplevel)"
mode=(-i)
[ "${1:-}" = --check ] && mode=(--dry-run --Werror)
git ls-files '*.c' '*.h' | xargs clang-format "${mode[@]}"
