//! What the gate is given to do: a signed token, a policy of 1,000 grants, limits, a credential, the audit chain.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rcgen::{KeyPair, PKCS_ED25519, PublicKeyData as _};
use serde_json::json;

const ISSUER: &str = "https://idp.bench.example";
const AUDIENCE: &str = "https://gate.bench.example";
const ROLES: usize = 10;
const TOOLS_PER_ROLE: usize = 100;

/// One kind of call.
#[derive(Clone, Copy)]
pub enum Scenario {
    Call300,
    Call10k,
    List,
}

impl Scenario {
    pub const ALL: [Self; 3] = [Self::Call300, Self::Call10k, Self::List];

    pub fn name(self) -> &'static str {
        match self {
            Self::Call300 => "call_300b",
            Self::Call10k => "call_10k",
            Self::List => "list_100_tools",
        }
    }

    /// Whether it is measured on this target: cold decisions and forced disks only for a small call.
    pub fn is_for(self, target: &str) -> bool {
        let everywhere = target != Kind::Cold.name() && target != Kind::Synced.name();
        everywhere || matches!(self, Self::Call300)
    }

    /// The request as JSON.
    pub fn body(self) -> String {
        match self {
            Self::Call300 => call_of(60),
            Self::Call10k => call_of(10_000),
            Self::List => request("tools/list", json!({ "_meta": meta() })),
        }
    }

    fn method(self) -> &'static str {
        match self {
            Self::Call300 | Self::Call10k => "tools/call",
            Self::List => "tools/list",
        }
    }
}

fn meta() -> serde_json::Value {
    json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
    })
}

/// A call with a note of that length.
pub fn call_of(length: usize) -> String {
    call(&"x".repeat(length))
}

fn call(note: &str) -> String {
    let arguments = json!({ "region": "EMEA", "status": "open", "note": note });
    request("tools/call", json!({ "name": "list_records_7", "arguments": arguments, "_meta": meta() }))
}

fn request(method: &str, params: serde_json::Value) -> String {
    json!({ "jsonrpc": "2.0", "id": 7, "method": method, "params": params }).to_string()
}

/// Gates of the benchmark; each has files of its own.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Every decision is kept.
    Warm,
    /// No decision is kept.
    Cold,
    /// As `Warm`, and each audit line is on the disk before its call is forwarded. The others force the disk ten times a
    /// second: what one disk needs for that says nothing about the gate.
    Synced,
    /// As `Warm`, for a call of 4 MiB.
    Large,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Self::Warm => "gate warm",
            Self::Cold => "gate cold",
            Self::Synced => "gate synced",
            Self::Large => "gate large",
        }
    }

    fn cache(self) -> usize {
        if self == Self::Cold { 0 } else { 100_000 }
    }

    fn fsync(self) -> &'static str {
        if self == Self::Synced { "always" } else { "100ms" }
    }
}

/// Files of the benchmark, and the token of its caller.
pub struct Fixture {
    directory: tempfile::TempDir,
    token: String,
}

impl Fixture {
    pub fn make() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let key = KeyPair::generate_for(&PKCS_ED25519).unwrap();
        let jwk = json!({ "keys": [{
            "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": "bench",
            "x": URL_SAFE_NO_PAD.encode(key.der_bytes()),
        }]});
        std::fs::write(directory.path().join("jwks.json"), jwk.to_string()).unwrap();
        std::fs::write(directory.path().join("secret"), "upstream-credential-of-acme").unwrap();
        policies(&directory.path().join("policies"));
        let token = token(&EncodingKey::from_ed_der(&key.serialize_der()));
        Self { directory, token }
    }

    /// One request, head and body; the gate's has the caller's token.
    pub fn request(&self, scenario: Scenario, gate: bool) -> Vec<u8> {
        self.post(scenario.method(), &scenario.body(), gate)
    }

    /// A call of any size for the gate.
    pub fn call(&self, body: &str) -> Vec<u8> {
        self.post("tools/call", body, true)
    }

    fn post(&self, method: &str, body: &str, gate: bool) -> Vec<u8> {
        let mut head =
            String::from("POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n");
        head.push_str("Accept: application/json, text/event-stream\r\nMCP-Protocol-Version: 2026-07-28\r\n");
        write!(head, "Mcp-Method: {}\r\n", method).unwrap();
        if method == "tools/call" {
            head.push_str("Mcp-Name: list_records_7\r\n");
        }
        if gate {
            write!(head, "Authorization: Bearer {}\r\n", self.token).unwrap();
        }
        write!(head, "Content-Length: {}\r\n\r\n{body}", body.len()).unwrap();
        head.into_bytes()
    }

    /// A GET for the server's own stream.
    pub fn open_stream(&self) -> Vec<u8> {
        format!(
            "GET /mcp HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\nMCP-Protocol-Version: 2025-11-25\r\nAuthorization: Bearer {}\r\n\r\n",
            self.token
        )
        .into_bytes()
    }

    /// The configuration of a gate at `address` before `server`.
    pub fn config(&self, kind: Kind, address: SocketAddr, server: SocketAddr) -> PathBuf {
        let (name, cache, fsync) = (kind.name(), kind.cache(), kind.fsync());
        let text = format!(
            r#"
listen: [{{address: "{address}"}}]
hosts: [localhost]
threads: 1
limits: {{connections: 20000, streams_per_tenant: 20000}}
admin: off
identity:
  jwt:
    - issuer: {ISSUER}
      audiences: [{AUDIENCE}]
      jwks: {{file: jwks.json}}
      tenant: {{claim: /tid}}
      claims: {{user: /sub, agent: /client_id, roles: /roles, attributes: {{region: /region}}}}
servers:
  records: {{url: "http://{server}/mcp", tags: [erp]}}
accounts:
  - {{tenant: acme, server: records, credential: {{bearer: {{file: secret}}}}, slots: 20000}}
policies: {{directory: policies, cache: {cache}}}
rates:
  tenant: {{requests: 100000000, per: 1m, burst: 1000000}}
  user: {{requests: 100000000, per: 1m, burst: 1000000}}
  tools: {{"list_*": {{requests: 100000000, per: 1m, burst: 1000000}}}}
audit: {{directory: "audit of {name}", fsync: {fsync}}}
state: {{directory: "state of {name}"}}
"#
        );
        let path = self.directory.path().join(format!("{name}.yaml"));
        std::fs::write(&path, text).unwrap();
        path
    }
}

fn token(key: &EncodingKey) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let claims = json!({
        "iss": ISSUER, "aud": AUDIENCE, "sub": "alice@acme.example", "client_id": "bench", "tid": "acme",
        "roles": ["role-3"], "region": "EMEA", "iat": now, "exp": now + 3600, "jti": "bench",
    });
    let mut header = Header::new(Algorithm::EdDSA);
    header.kid = Some("bench".into());
    header.typ = Some("at+jwt".into());
    jsonwebtoken::encode(&header, &claims, key).unwrap()
}

/// The stock policies with one tenant of 1,000 grants.
fn policies(directory: &Path) {
    let stock = Path::new(env!("CARGO_MANIFEST_DIR")).join("../policies");
    let tenant = directory.join("tenants/acme");
    std::fs::create_dir_all(&tenant).unwrap();
    for file in std::fs::read_dir(stock).unwrap().flatten() {
        let name = file.file_name();
        if name.to_string_lossy().ends_with(".rego") && !name.to_string_lossy().ends_with("_test.rego") {
            std::fs::copy(file.path(), directory.join(name)).unwrap();
        }
    }
    let mut data = String::from("roles:\n");
    for role in 0..ROLES {
        writeln!(data, "  role-{role}:").unwrap();
        for tool in 0..TOOLS_PER_ROLE {
            writeln!(data, "    - {{servers: [records], tools: [list_records_{tool}]}}").unwrap();
        }
    }
    std::fs::write(tenant.join("data.yaml"), data).unwrap();
}
