#!/usr/bin/env bash
# clang-tidy over every C file of ours, with the compile commands of a build directory (default build).
set -euo pipefail
cd "$(git -C "$(dirname "$0")" rev-parse --show-toplevel)"
git ls-files 'common/*.c' 'gateway/*.c' 'master/*.c' 'slave/*.c' 'bench/*.c' |
    xargs -P "$(nproc)" -n 4 clang-tidy --quiet -p "${1:-build}"
