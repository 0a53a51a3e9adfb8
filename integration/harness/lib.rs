//! What every test needs: a gate, a server, an agent.
//!
//! The gate is the real binary, started as a user starts it; nothing here links its insides. Whatever is started is
//! stopped when it is dropped, ports are always 0, and every wait is for a condition with a deadline.

pub mod agent;
pub mod api;
pub mod aws;
pub mod binary;
pub mod browser;
pub mod bundle;
pub mod certificate;
pub mod collector;
pub mod dpop;
pub mod fixture;
pub mod gate;
pub mod git;
pub mod identity_provider;
pub mod issuer;
pub mod mcp;
pub mod process;
pub mod provider;
pub mod raw;
pub mod redis;
pub mod reply;
pub mod sdk;
pub mod upstream;
pub mod verify;
pub mod wait;

use std::path::PathBuf;

/// The top of the repository.
#[must_use]
pub fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("the repository exists")
}
