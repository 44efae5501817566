#!/usr/bin/env bash
# All tests of the workspace, as `make test` runs them.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if cargo nextest --version >/dev/null 2>&1; then
    cargo nextest run --release --workspace
else
    cargo test --release --workspace --lib --bins --tests
fi

# With --workspace, so that no dependency gets other features and is compiled again.
if grep -rqE --include='*.rs' '^ *//[/!] ```' ./*/src; then
    cargo test --release --workspace --doc
fi

scripts/test_rootless_setup.sh
