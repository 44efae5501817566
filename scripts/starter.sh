#!/usr/bin/env bash
# Starts the trainer of this archive with the libtorch 2.11 that the machine has: LIBTORCH, else the torch of the active
# python3. Says what is missing.
set -euo pipefail

root=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.." && pwd)
die() {
    printf 'trainer: %s\n' "$@" >&2
    exit 2
}

# Without importing torch, which takes seconds.
torch_of_python() {
    python3 - <<'PYTHON' 2>/dev/null
import importlib.util, os, re, sys
spec = importlib.util.find_spec("torch")
folder = spec and spec.submodule_search_locations[0]
version = folder and re.search(r"__version__ = '(2\.11\.[^']*)'", open(os.path.join(folder, "version.py")).read())
print(folder) if version else sys.exit(1)
PYTHON
}

if [[ -n ${LIBTORCH:-} ]]; then
    [[ -e $LIBTORCH/lib/libtorch_cpu.so ]] || die "LIBTORCH=$LIBTORCH has no lib/libtorch_cpu.so"
    torch=$LIBTORCH
else
    torch=$(torch_of_python) || die "no libtorch 2.11: activate a Python that has torch 2.11 (pip install torch==2.11.0)," \
        "or name the folder of a libtorch 2.11 in LIBTORCH"
fi
libraries=$torch/lib

# libmpi of the mpirun on the path, where the dynamic linker does not know it; else the one that came with this archive.
if ! ldconfig -p 2>/dev/null | grep -q 'libmpi\.so\.40'; then
    mpirun=$(type -P mpirun || true)
    if [[ -n $mpirun && -e $(dirname "$(dirname "$mpirun")")/lib/libmpi.so.40 ]]; then
        libraries+=:$(dirname "$(dirname "$mpirun")")/lib
    elif [[ -e $root/openmpi/lib/libmpi.so.40 ]]; then
        libraries+=:$root/openmpi/lib
        export OPAL_PREFIX=$root/openmpi
    fi
fi
export LD_LIBRARY_PATH=$libraries${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}

missing=$(ldd "$root/libexec/trainer" 2>&1 | sed -n 's/^\t\(.*\) => not found$/\1/p' | paste -sd' ')
case " $missing " in
"  ") ;;
*" libmpi.so.40 "*) die "libmpi.so.40 is missing: install Open MPI 4 (Debian: openmpi-bin), or put its mpirun on the path" ;;
*) die "libraries are missing: $missing" ;;
esac
exec "$root/libexec/trainer" "$@"
