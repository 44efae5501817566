#!/usr/bin/env bash
# Measures Regatta's trainer against tuned PyTorch DDP, in alternating runs on the same machine,
# and writes the table to bench/results/. bench/README.md documents the options.
set -euo pipefail
cd "$(dirname "$0")/.."
invocation=bench/run.sh
[ $# -eq 0 ] || invocation+=$(printf ' %q' "$@")

pairs=3
processes="1 2"
precisions="fp32 bf16"
programs="regatta pytorch"
steps="" warmup_steps="" window_steps=""
results=bench/results

while [ $# -gt 0 ]; do
    case "$1" in
        --pairs) pairs=$2 ;;
        --processes) processes=$2 ;;
        --precisions) precisions=$2 ;;
        --programs) programs=$2 ;;
        --steps) steps=$2 ;;
        --warmup-steps) warmup_steps=$2 ;;
        --window-steps) window_steps=$2 ;;
        --results) results=$2 ;;
        *) echo "unknown option $1: bench/README.md lists them" >&2; exit 2 ;;
    esac
    shift 2
done

if [ -x .venv/bin/python ]; then PATH="$PWD/.venv/bin:$PATH"; fi
python=${PYTHON:-python3}
read -r load _ < /proc/loadavg
commit=$(git describe --always --dirty 2>/dev/null || echo "(not from a git checkout)")
lines=$(mktemp)
trap 'rm -f "$lines"' EXIT

for count in $processes; do
    for precision in $precisions; do
        lengths=(--warmup-steps "${warmup_steps:-10}" --steps "${steps:-60}" --window-steps "${window_steps:-10}")
        # Without avx512_bf16 libtorch emulates bf16, and a step takes seconds: few steps suffice.
        if [ "$precision" = bf16 ] && ! grep -qw avx512_bf16 /proc/cpuinfo; then
            lengths=(--warmup-steps "${warmup_steps:-2}" --steps "${steps:-6}" --window-steps "${window_steps:-2}")
        fi
        for _ in $(seq "$pairs"); do
            for program in $programs; do
                case "$program" in
                    regatta) script=bench/regatta.py ;;
                    pytorch) script=bench/pytorch_ddp.py ;;
                    *) echo "--programs accepts regatta and pytorch, not $program" >&2; exit 2 ;;
                esac
                "$python" "$script" --json --processes "$count" --precision "$precision" "${lengths[@]}" \
                    | tee -a "$lines"
            done
        done
    done
done

"$python" bench/table.py "$lines" --command "$invocation" --load "$load" --commit "$commit" --results "$results"
