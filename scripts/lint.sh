#!/usr/bin/env bash
# Formatting, lints, licences and advisories of dependencies, shell scripts: all must be clean.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

cargo fmt --all --check
cargo clippy --release --workspace --all-targets -- -D warnings

if cargo deny --version >/dev/null 2>&1; then
    cargo deny check licenses bans sources
    if cargo deny fetch db; then
        cargo deny check advisories
    else
        echo "lint: the advisory database cannot be reached: advisories are not checked"
    fi
else
    echo "lint: no cargo-deny here (cargo install cargo-deny): licences and advisories are not checked"
fi

if type -P shellcheck >/dev/null; then
    find . \( -path ./target -o -path ./.venv -o -path ./runs -o -path ./datasets -o -path ./.git \) -prune \
        -o \( -name '*.sh' -o -path ./.ci/run \) -not -path './.setup/*' -exec shellcheck --shell=bash {} +
else
    echo "lint: no shellcheck here: shell scripts are not checked"
fi
