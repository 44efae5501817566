#!/usr/bin/env bash
# The archive of `make dist`, unpacked elsewhere: it starts with a libtorch, and without one says what is missing.
#
#   scripts/test_dist.sh LIBTORCH
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

libtorch=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
tar -xzf dist/regatta-*-linux.tar.gz -C "$work"
root=$(echo "$work"/regatta-*)
fail() { echo "test_dist: $*" >&2; exit 1; }

LIBTORCH=$libtorch "$root/bin/trainer" summary --config "$root/configs/debug.toml" >/dev/null || fail "the trainer does not start"
"$root/bin/launcher" --version >/dev/null || fail "the launcher does not start"
code=0
said=$(LIBTORCH=$work "$root/bin/trainer" --version 2>&1) || code=$?
[[ $code == 2 && $said == *"has no lib/libtorch_cpu.so"* ]] || fail "without a libtorch: exit code $code, $said"
[[ -s $root/share/man/man1/launcher.1 && -s $root/share/completions/launcher.bash ]] || fail "manual pages or completions are missing"
echo "test_dist: passed"
