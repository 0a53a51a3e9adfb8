//! The fixture of most cases: a gate before a recording server, tenants `a` and `b`, and alice of `a`, who may call
//! `safe`, read `file:///pub/*` and get `hello`. `danger`, `file:///secret` and `root` exist and are not for her.

use serde_json::{Map, Value, json};

use crate::agent::Agent;
use crate::gate::{Gate, House, minimal};
use crate::issuer::{Issuer, sha256_hex};
use crate::upstream::Upstream;

/// What the tokens of the fixture are for.
pub const AUDIENCE: &str = "http://gw.test";
/// The gate's own credential at the server, for tenant `a`.
pub const UPSTREAM_SECRET_A: &str = "upstream-secret-of-a-4711";
/// The same for tenant `b`.
pub const UPSTREAM_SECRET_B: &str = "upstream-secret-of-b-0815";
/// An API key of bob of tenant `b`.
pub const KEY_BOB: &str = "pck_bob_of_b_000000000000000000000001";

/// The roles of both tenants.
pub const ROLES: &str = r#"
roles:
  reader:
    - servers: [up]
      tools: [safe]
      resources: ["file:///pub/*"]
      prompts: [hello]
  regional:
    - servers: [up]
      tools: [list_all_netsuite_invoices]
      when: {region: caller.region}
  people:
    - servers: [up]
      tools: [employees]
      redact: ["/employees/*/salary"]
"#;

/// A gate, its server and its issuer.
pub struct Std {
    /// The gate.
    pub gate: Gate,
    /// The server behind it.
    pub upstream: Upstream,
    /// Who issues the tokens.
    pub issuer: Issuer,
}

impl Std {
    /// Starts both as they are described above.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with(|_| {})
    }

    /// Starts both; the configuration is changed first.
    #[must_use]
    pub fn start_with(change: impl FnOnce(&mut Value)) -> Self {
        Self::before(Upstream::start(), change)
    }

    /// Starts the gate before this server.
    #[must_use]
    pub fn before(upstream: Upstream, change: impl FnOnce(&mut Value)) -> Self {
        Self::at(upstream, change, |_| {})
    }

    /// Starts both; the configuration and the gate's directory are changed first.
    #[must_use]
    pub fn prepared(change: impl FnOnce(&mut Value), prepare: impl FnOnce(&House)) -> Self {
        Self::at(Upstream::start(), change, prepare)
    }

    fn at(upstream: Upstream, change: impl FnOnce(&mut Value), prepare: impl FnOnce(&House)) -> Self {
        let issuer = Issuer::new("https://idp.test", "key-1");
        let mut config = config(&upstream.url);
        change(&mut config);
        let house = House::new(&config, &[("a", ROLES), ("b", ROLES)]);
        house.write("jwks.json", &issuer.jwks().to_string());
        prepare(&house);
        Self { gate: house.open(1), upstream, issuer }
    }

    /// The same after the gate was killed and started again.
    #[must_use]
    pub fn restarted(self) -> Self {
        Self { gate: self.gate.kill().open(1), upstream: self.upstream, issuer: self.issuer }
    }

    /// A token of this user, with claims of the test's choice.
    #[must_use]
    pub fn token(&self, tenant: &str, user: &str, change: impl FnOnce(&mut Map<String, Value>)) -> String {
        let mut claims = self.issuer.claims(AUDIENCE, tenant, user);
        change(&mut claims);
        self.issuer.sign(&claims)
    }

    /// A token of alice of tenant `a`.
    #[must_use]
    pub fn alice_token(&self) -> String {
        self.token("a", "alice", |_| {})
    }

    /// Alice of tenant `a`.
    #[must_use]
    pub fn alice(&self) -> Agent {
        self.agent(&self.alice_token())
    }

    /// Alice with these roles and the attribute `region`.
    #[must_use]
    pub fn alice_as(&self, roles: &[&str], region: &str) -> Agent {
        self.agent(&self.token("a", "alice", |claims| {
            claims.insert("roles".into(), json!(roles));
            claims.insert("region".into(), json!(region));
        }))
    }

    /// Carol of tenant `b`, who has the same role there.
    #[must_use]
    pub fn carol(&self) -> Agent {
        self.agent(&self.token("b", "carol", |_| {}))
    }

    /// An agent with this bearer token at the server's endpoint.
    #[must_use]
    pub fn agent(&self, bearer: &str) -> Agent {
        Agent::new(&self.gate.server("up"), Some(bearer))
    }
}

/// The configuration of the fixture.
#[must_use]
pub fn config(upstream: &str) -> Value {
    let mut config = minimal("up", upstream);
    config["identity"] = json!({
        "jwt": [{
            "issuer": "https://idp.test", "audiences": [AUDIENCE], "jwks": {"file": "jwks.json"},
            "tenant": {"claim": "/tid"}, "leeway": "30s", "require_at_jwt": true, "scopes": ["mcp"],
            "claims": {"user": "/sub", "agent": "/client_id", "roles": "/roles", "attributes": {"region": "/region"}},
        }],
        "api_keys": [{"sha256": sha256_hex(KEY_BOB), "tenant": "b", "user": "bob", "agent": "batch", "roles": ["reader"]}],
    });
    // Its server speaks both eras, and tests count what it is sent.
    config["servers"]["up"]["era"] = json!("both");
    let account = |tenant: &str, secret: &str| json!({"tenant": tenant, "server": "up", "credential": {"bearer": {"inline": secret}}});
    config["accounts"] = json!([account("a", UPSTREAM_SECRET_A), account("b", UPSTREAM_SECRET_B)]);
    config
}
