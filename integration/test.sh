#!/bin/sh
# Everything that must hold before a change is taken: formatting, lints, dependencies, tests.
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
cd "$here/.."
tools="${CARGO_TARGET_DIR:-target}/tools"

integration/setup.sh
cargo fmt --all --check
cargo clippy --workspace --all-targets --locked -- -D warnings
"$tools/bin/cargo-deny" --workspace check bans licenses sources
cargo test --workspace --locked
