#!/usr/bin/env bash
# All tests of the workspace, as `make test` runs them, or with `torture` the long ones alone, as `make torture` does.
# Says at the end which tests took longest.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# ten_slowest PROFILE: from the report that nextest wrote.
ten_slowest() {
    local report=${CARGO_TARGET_DIR:-target}/nextest/$1/junit.xml
    [[ -r $report ]] || return 0
    echo "the slowest tests, in seconds:"
    sed -n 's/.*<testcase name="\([^"]*\)" classname="\([^"]*\)".* time="\([0-9.]*\)".*/\3 \2 \1/p' "$report" |
        sort -rn | awk 'NR <= 10 { printf "%8.1f  %s  %s\n", $1, $2, $3 }'
}

# nextest PROFILE [OPTIONS]: the tests of that profile, and which took longest, whether they passed or not.
nextest() {
    local status=0
    rm -f "${CARGO_TARGET_DIR:-target}/nextest/$1/junit.xml"
    cargo nextest run --release --workspace --profile "$@" || status=$?
    ten_slowest "$1"
    return "$status"
}

if [[ ${1:-} == torture ]]; then
    cargo nextest --version >/dev/null 2>&1 || { echo "test: make torture needs cargo-nextest (https://nexte.st)" >&2; exit 2; }
    REGATTA_TORTURE=1 nextest torture
    exit
fi

if cargo nextest --version >/dev/null 2>&1; then
    # Two ranks a core, at most one test of four ranks per two cores: .config/nextest.toml says why.
    nextest default --test-threads $((2 * $(nproc)))
else
    cargo test --release --workspace --lib --bins --tests
fi

# With --workspace, so that no dependency gets other features and is compiled again.
if grep -rqE --include='*.rs' '^ *//[/!] ```' ./*/src; then
    cargo test --release --workspace --doc
fi

"${REGATTA_PYTHON:-python3}" scripts/test_acceptance.py

scripts/test_rootless_setup.sh
