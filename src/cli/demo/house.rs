//! The directory of the demo: configuration, policies, the server's credential, state and audit.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde_json::json;
use tempfile::TempDir;

use super::server::Sample;
use crate::cli::Failure;
use crate::identify::key::new_api_key;
use crate::secret::Secret;

/// The sample server's name.
pub(super) const SERVER: &str = "invoices";

/// The tenant's data: what a reader of the demo is invited to edit.
const DATA: &str = "policies/tenants/local/data.yaml";

/// The stock policies, and what a clerk may do. The tests of the clerk's role stay out: whoever tries another role here shall see
/// the list change, and not be told that a test of the old one fails.
const FILES: [(&str, &str); 10] = [
    ("policies/authz.rego", include_str!("../../../policies/authz.rego")),
    ("policies/authz_test.rego", include_str!("../../../policies/authz_test.rego")),
    ("policies/deny.rego", include_str!("../../../policies/deny.rego")),
    ("policies/grants.rego", include_str!("../../../policies/grants.rego")),
    ("policies/index.rego", include_str!("../../../policies/index.rego")),
    ("policies/tenant.schema.json", include_str!("../../../policies/tenant.schema.json")),
    ("policies/limits.rego", include_str!("../../../policies/limits.rego")),
    ("policies/methods.rego", include_str!("../../../policies/methods.rego")),
    ("policies/scope.rego", include_str!("../../../policies/scope.rego")),
    (DATA, include_str!("../../../examples/demo/policies/tenants/local/data.yaml")),
];

/// The directory; it is removed when it is dropped.
pub(super) struct House {
    directory: TempDir,
    /// The agent's API key.
    pub(super) key: Secret,
}

impl House {
    /// Writes everything that the gate at `gate` reads.
    pub(super) fn build(gate: SocketAddr, server: &Sample) -> Result<Self, Failure> {
        let (key, sha256) =
            new_api_key().map_err(|_| Failure::new("the system gives no random bytes", "try again"))?;
        let directory = tempfile::Builder::new().prefix("portcullis-demo-").tempdir();
        let house =
            Self { directory: directory.map_err(|error| unwritable(&std::env::temp_dir(), &error))?, key };
        for (name, text) in FILES {
            house.write(name, text)?;
        }
        house.write("invoices.secret", server.credential.expose())?;
        house.write("portcullis.yaml", &configuration(gate, server.address, &hex::encode(sha256)))?;
        Ok(house)
    }

    /// The configuration's file.
    pub(super) fn config(&self) -> PathBuf {
        self.path("portcullis.yaml")
    }

    /// The tenant's data.
    pub(super) fn data(&self) -> PathBuf {
        self.path(DATA)
    }

    /// The audit directory.
    pub(super) fn audit(&self) -> PathBuf {
        self.path("audit")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> Result<(), Failure> {
        let path = self.path(name);
        let made = path.parent().map_or(Ok(()), std::fs::create_dir_all);
        made.and_then(|()| std::fs::write(&path, text)).map_err(|error| unwritable(&path, &error))
    }
}

/// JSON is YAML.
fn configuration(gate: SocketAddr, server: SocketAddr, sha256: &str) -> String {
    let clerk = json!({
        "sha256": sha256, "tenant": "local", "user": "clerk", "roles": ["clerk"], "attributes": {"region": "EMEA"},
    });
    let account = json!({
        "tenant": "local", "server": SERVER, "slots": 5, "credential": {"bearer": {"file": "invoices.secret"}},
    });
    let config = json!({
        "listen": [{"address": gate}],
        "admin": {"address": "127.0.0.1:0"},
        "identity": {"api_keys": [clerk]},
        "servers": {SERVER: {"url": format!("http://{server}/mcp")}},
        "accounts": [account],
        // Longer than usual: a machine that builds at the same time is slow, and a decision in time is not the point here.
        "policies": {"directory": "policies", "timeout": "2s"},
        "audit": {"directory": "audit"},
        "state": {"directory": "state"},
        "drain": "1s",
    });
    format!("{config:#}\n")
}

fn unwritable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(
        format!("`{}` cannot be written: {error}", path.display()),
        "set TMPDIR to a directory that can",
    )
}
