#!/bin/sh
# Everything that must hold before a change is taken: formatting, lints, dependencies, tests.
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
cd "$here/.."
tools="${CARGO_TARGET_DIR:-target}/tools"

integration/setup.sh
engines="--manifest-path integration/engines/Cargo.toml"
target="--target-dir ${CARGO_TARGET_DIR:-target}"
cargo fmt --all --check
cargo fmt $engines --check
cargo clippy --workspace --all-targets --locked -- -D warnings
cargo clippy $engines $target --all-targets --locked -- -D warnings
"$tools/bin/cargo-deny" --workspace check bans licenses sources
"$tools/bin/cargo-deny" $engines --config .deny.toml check bans licenses sources
cargo test --workspace --locked
cargo test $engines $target --locked
