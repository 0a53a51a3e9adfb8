//! Where the gate's binary is.
//!
//! # Why it is built here
//! Cargo tells a package's tests where that package's own binaries are, and only those. The binary that stands beside
//! the test executable may be older than the source, so it is asked for again; that costs a moment when it is fresh.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

static BUILT: OnceLock<PathBuf> = OnceLock::new();

/// The gate's binary, of the same profile as the test. `PORTCULLIS_BIN` names another one.
pub fn portcullis() -> &'static Path {
    BUILT.get_or_init(|| match std::env::var_os("PORTCULLIS_BIN") {
        Some(path) => path.into(),
        None => build(),
    })
}

fn build() -> PathBuf {
    let test = std::env::current_exe().expect("a test knows its own path");
    let profile = test.parent().and_then(Path::parent).expect("target/<profile>/deps/<test>");
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--quiet", "--workspace", "--bin", "portcullis", "--locked", "--target-dir"]);
    cargo.arg(profile.parent().expect("target")).current_dir(crate::repository());
    // What cargo tells the test of its own package is not for this build: `ring` would be built anew for it, and all above.
    let own = |name: &OsStr| {
        name.to_str().is_some_and(|n| n.starts_with("CARGO_PKG_") || n.starts_with("CARGO_MANIFEST_"))
    };
    std::env::vars_os().filter(|(name, _)| own(name)).for_each(|(name, _)| {
        cargo.env_remove(name);
    });
    if profile.ends_with("release") {
        cargo.arg("--release");
    }
    let built = cargo.status().expect("cargo runs");
    assert!(built.success(), "the gate does not build");
    profile.join("portcullis")
}
