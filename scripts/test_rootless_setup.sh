#!/usr/bin/env bash
# Runs scripts/setup.sh as somebody who is not root, on a machine with no MPI, nasm, libclang or data
# set, and checks that what it brings works and stays inside the checkout.
#
# Works on a copy of this checkout in a temporary folder: as the user `nobody` when started by root,
# else as the caller without sudo. The libtorch that is there already is used (LIBTORCH).
set -euo pipefail
export LC_ALL=C

checkout=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
work=$(mktemp -d "${TMPDIR:-/tmp}/regatta-rootless.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
copy=$work/checkout
time_limit=300s

fail() {
    printf 'rootless set-up: %s\n' "$*" >&2
    exit 1
}

# ---- the stage ---------------------------------------------------------------------------------

copy_checkout() {
    cd "$checkout"
    mkdir "$copy"
    if git -c safe.directory="$checkout" ls-files -z --cached --others --exclude-standard >"$work/files" 2>/dev/null; then
        tar -c --null --ignore-failed-read -T "$work/files" 2>/dev/null | tar -x -C "$copy"
    else # not a git checkout
        cp -r scripts "$copy"
    fi
}

# A PATH with the system's programs, but for those that set-up must do without.
hide_programs() {
    local folder
    mkdir "$work/bin"
    for folder in /usr/local/bin /usr/bin /bin; do
        if [[ -d $folder ]]; then
            find "$folder" -maxdepth 1 ! -type d ! -name 'mpi*' ! -name 'orte*' ! -name 'llvm-config*' \
                ! -name sudo ! -name spack ! -name nasm -exec ln -sf -t "$work/bin" {} +
        fi
    done
}

# The libtorch that set-up found for the real checkout; where the user may not look (it is in
# /root, say) a stand-in with the files that set-up looks at.
find_libtorch() {
    libtorch=${LIBTORCH:-$(sed -n 's/^LIBTORCH = "\(.*\)"$/\1/p' "$checkout/.cargo/config.toml" 2>/dev/null || true)}
    [[ -e $libtorch/lib/libtorch.so ]] || fail "no libtorch yet: run scripts/setup.sh first"
    if ! as_user test -r "$libtorch/lib/libtorch.so"; then
        mkdir -p "$work/torch/lib"
        cp "$libtorch/lib/libtorch.so" "$work/torch/lib/"
        libtorch=$work/torch
    fi
}

# as_user COMMAND...: runs it unprivileged, in the copy, with nothing of our environment but what
# pip needs to reach its index.
as_user() {
    local variable user=() environment=(PATH="$work/bin" HOME="$work/home" TMPDIR="$work/tmp" LC_ALL=C)
    for variable in $(compgen -e); do
        case $variable in
            PIP_* | SSL_CERT_* | REQUESTS_CA_BUNDLE | *_proxy | *_PROXY) environment+=("$variable=${!variable}") ;;
        esac
    done
    if ((EUID == 0)); then
        user=(setpriv --reuid nobody --regid "$(id -g nobody)" --clear-groups --no-new-privs)
    fi
    (cd "$copy" && timeout --kill-after 10s "$time_limit" "${user[@]}" env -i "${environment[@]}" "$@")
}

setup() {
    as_user LIBTORCH="$libtorch" REGATTA_SYSTEM_ROOT="$work/no-system" PYTHON="${base_python:-python3}" scripts/setup.sh
}

copy_checkout
hide_programs
mkdir "$work/home" "$work/tmp"
chmod 755 "$work"
if ((EUID == 0)); then
    chown -R nobody: "$copy" "$work/home" "$work/tmp"
fi
find_libtorch
base_python=$("$checkout/.venv/bin/python" -c 'import sys; print(sys._base_executable)' 2>/dev/null || true)
touch "$work/start"

# ---- the run -----------------------------------------------------------------------------------

if ! setup </dev/null >"$work/output" 2>&1; then
    if as_user test -x .venv/bin/pip &&
        ! as_user .venv/bin/pip download --quiet --no-deps --dest "$work/tmp" libclang >/dev/null 2>&1; then
        echo "rootless set-up: skipped, no package index can be reached"
        exit 0
    fi
    cat "$work/output" >&2
    fail "scripts/setup.sh failed"
fi

grep -q "using LIBTORCH=$libtorch as it is" "$work/output" || fail "it does not say that it uses LIBTORCH"

# ---- what it must have brought -----------------------------------------------------------------

cat >"$copy/hello.c" <<'C'
#include <mpi.h>
#include <stdio.h>

int main(int argc, char **argv) {
    int rank, size, sum;
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    MPI_Allreduce(&rank, &sum, 1, MPI_INT, MPI_SUM, MPI_COMM_WORLD);
    if (rank == 0) printf("%d ranks, sum %d\n", size, sum);
    MPI_Finalize();
    return 0;
}
C

# MPI: the wheel's compiler and launcher, two ranks that add.
[[ -x $copy/.venv/bin/mpicc ]] || fail "no mpicc in .venv"
as_user .venv/bin/mpicc hello.c -o hello || fail "the wheel's mpicc does not compile"
said=$(as_user OMPI_MCA_rmaps_base_oversubscribe=1 bash -c '. .setup/env.sh && mpirun -n 2 ./hello') ||
    fail "the wheel's mpirun does not run"
[[ $said == "2 ranks, sum 1" ]] || fail "two ranks said: $said"

# libclang: parses mpi.h with the arguments that bindgen gets.
value() { sed -n "s/^$1 = \"\(.*\)\"\$/\1/p" "$copy/.cargo/config.toml"; }
[[ -e $(value LIBCLANG_PATH)/libclang.so ]] || fail "no libclang in LIBCLANG_PATH ($(value LIBCLANG_PATH))"
as_user .venv/bin/python - "$(value BINDGEN_EXTRA_CLANG_ARGS)" <<'PYTHON' || fail "libclang cannot parse mpi.h"
import sys
from clang.cindex import Index
unit = Index.create().parse("hello.c", args=["-I.venv/include", *sys.argv[1].split()])
sys.exit("\n".join(map(str, unit.diagnostics)) or 0)
PYTHON

# nasm: in PATH for whoever reads env.sh.
if [[ $(uname -m) == x86_64 ]]; then
    as_user bash -c '. .setup/env.sh && nasm -v' >/dev/null || fail "no nasm in PATH after .setup/env.sh"
fi

# cargo: libtorch as it was given, the wheel's mpicc, and its libraries found at run time.
[[ $(value LIBTORCH) == "$libtorch" ]] || fail "LIBTORCH is $(value LIBTORCH) in .cargo/config.toml"
[[ $(value MPICC) == "$copy/.venv/bin/mpicc" ]] || fail "MPICC is $(value MPICC) in .cargo/config.toml"
grep -q "^rustflags = .*-rpath,$copy/.venv/lib\"" "$copy/.cargo/config.toml" || fail "no rpath to the wheel's libraries"

# The data set: its four files, in the checkout.
for file in train-images-idx3 train-labels-idx1 t10k-images-idx3 t10k-labels-idx1; do
    compgen -G "$copy/datasets/fashion-mnist/$file-ubyte*" >/dev/null || fail "no $file-ubyte in datasets"
done

# A second run does nothing and says nothing.
before=$(stat -c %Y.%Z "$copy/.cargo/config.toml" "$copy/.setup/fingerprint")
said=$(setup 2>&1) || fail "a second set-up fails: $said"
[[ -z $said ]] || fail "a second set-up says: $said"
[[ $(stat -c %Y.%Z "$copy/.cargo/config.toml" "$copy/.setup/fingerprint") == "$before" ]] || fail "a second set-up writes"

# A libtorch of another version is refused, and nothing is written.
mkdir -p "$work/other/lib"
cp "$libtorch/lib/libtorch.so" "$work/other/lib/"
echo 2.9.1 >"$work/other/build-version"
chmod -R a+rX "$work/other"
config=$(cat "$copy/.cargo/config.toml")
said=$(as_user LIBTORCH="$work/other" scripts/setup.sh 2>&1) && fail "a libtorch 2.9.1 is taken"
[[ $said == *"is version 2.9.1: the trainer needs 2.11"* ]] || fail "of a libtorch 2.9.1 it says: $said"
[[ $(cat "$copy/.cargo/config.toml") == "$config" ]] || fail "a libtorch 2.9.1 is written down"

# The PyTorch of an active environment is used where it is, and named. A stand-in has the files that set-up looks at.
active_python=${base_python:-python3}
as_user "$active_python" -c '' 2>/dev/null || active_python=python3 # the tests' Python may lie where the user may not look
as_user "$active_python" -m venv --without-pip "$work/home/active" || fail "no virtual environment can be made"
packages=$(echo "$work"/home/active/lib/python3.*/site-packages)
as_user mkdir -p "$packages/torch/lib"
as_user touch "$packages/torch/lib/libtorch.so"
as_user sh -c "echo '__version__ = \"2.11.0\"' >'$packages/torch/__init__.py'"
said=$(as_user PATH="$work/home/active/bin:$work/bin" VIRTUAL_ENV="$work/home/active" REGATTA_SYSTEM_ROOT="$work/no-system" scripts/setup.sh 2>&1) ||
    fail "set-up in an active environment fails: $said"
[[ $said == *"using the torch 2.11.0 of $work/home/active/bin/python3"* ]] || fail "in an active environment it says: $said"
[[ $(value LIBTORCH) == "$packages/torch" ]] || fail "in an active environment LIBTORCH is $(value LIBTORCH)"
rm -rf "$work/home/active"

# Nothing was left outside the checkout.
left=$(find "$work/home" "$work/tmp" -mindepth 1)
if ((EUID == 0)); then
    left+=$(find /tmp /var/tmp /dev/shm -path "$work" -prune -o -user nobody -newer "$work/start" -print 2>/dev/null || true)
fi
[[ -z $left ]] || fail "left outside the checkout: $left"
echo "rootless set-up: passed"
