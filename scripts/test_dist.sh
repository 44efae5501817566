#!/usr/bin/env bash
# The archives of `make dist` and `make gpu-bundle`, unpacked elsewhere: they train with a libtorch, and without one say what is
# missing; the acceptance run comes as far as this machine's devices.
#
#   scripts/test_dist.sh LIBTORCH
#
# PYTHON (.venv/bin/python) is a Python with torch 2.11.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# Open MPI refuses root unless told otherwise.
if ((EUID == 0)); then export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1; fi

libtorch=$1 python=$(realpath -s "${PYTHON:-.venv/bin/python}")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { echo "test_dist: $*" >&2; exit 1; }

check() {
    local root code=0 said
    mkdir "$work/$1"
    tar -xzf dist/regatta-*-"$1".tar.gz -C "$work/$1"
    root=$(echo "$work/$1"/regatta-*)
    cd "$work/$1"
    LIBTORCH=$libtorch "$root/bin/trainer" --config "$root/configs/debug.toml" --debug >out 2>&1 || fail "$1: the trainer does not train: $(cat out)"
    LIBTORCH=$libtorch "$root/bin/launcher" run --config "$root/configs/debug.toml" -n 2 --oversubscribe --set train.max_steps=4 >out 2>&1 ||
        fail "$1: the launcher does not start two ranks: $(cat out)"
    compgen -G "runs/debug/checkpoints/step-*/manifest.json" >/dev/null || fail "$1: no checkpoint"
    said=$(LIBTORCH=$work "$root/bin/trainer" --version 2>&1) || code=$?
    [[ $code == 2 && $said == *"has no lib/libtorch_cpu.so"* ]] || fail "$1: without a libtorch: exit code $code, $said"
    [[ -s $root/share/man/man1/launcher.1 && -s $root/share/completions/launcher.bash ]] || fail "$1: manual pages or completions are missing"
    cd "$OLDPWD"
}

check linux
check linux-gpu-bundle
root=$(echo "$work"/linux-gpu-bundle/regatta-*)
PYTHON=$python "$root/scripts/gpu_acceptance.sh" --plan | grep -q "passes if: " || fail "the acceptance run prints no plan"
if ! compgen -G "/dev/nvidia[0-9]*" >/dev/null; then
    said=$(PYTHON=$python "$root/scripts/gpu_acceptance.sh" "$work/acceptance" 2>&1) || fail "the acceptance run fails: $said"
    [[ $said == *"torch sees no CUDA device"* ]] || fail "the acceptance run says: $said"
fi
echo "test_dist: passed"
