//! An identity provider that is not ours: npm `oidc-provider`, whose access tokens callers bring to the gate.

use std::process::Command;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Url};
use serde_json::{Value, json};

use crate::browser::{Browser, redirected};
use crate::fixture::AUDIENCE;
use crate::process::Process;
use crate::sdk::set_up;

/// The gate as a client of the provider, which introspects: its id and secret. The secret has all that a form must encode.
pub const GATE: (&str, &str) = ("gate", "a+b%20c:d&e=f");

/// A running identity provider; it ends when it is dropped.
pub struct IdentityProvider {
    /// Its issuer.
    pub issuer: String,
    /// Where its tests speak with it.
    origin: String,
    client: Client,
    process: Process,
}

/// A person who signs in, with the cookies of their browser.
pub struct Person<'a> {
    provider: &'a IdentityProvider,
    browser: Browser,
}

impl IdentityProvider {
    /// One on a port of its own.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with(json!({}), Client::builder())
    }

    /// One with these settings, and a client of it that is made so.
    #[must_use]
    pub fn start_with(mut settings: Value, client: reqwest::ClientBuilder) -> Self {
        set_up();
        settings["audience"] = json!(AUDIENCE);
        let mut command = Command::new("node");
        command.arg("servers/identity_provider.mjs").current_dir(crate::repository().join("integration"));
        command.env("PROVIDER", settings.to_string()).env("NODE_NO_WARNINGS", "1");
        let mut process = Process::start("identity provider", command);
        let issuer = process.until("its issuer", |lines| {
            lines.iter().find_map(|line| line.strip_prefix("issuer ").map(str::to_owned))
        });
        let origin = Url::parse(&issuer).expect("a URL").origin().ascii_serialization();
        let client = client.no_proxy().redirect(reqwest::redirect::Policy::none()).build().expect("a client");
        Self { issuer, origin, client, process }
    }

    /// The port that it listens on.
    #[must_use]
    pub fn port(&self) -> u16 {
        Url::parse(&self.issuer).expect("a URL").port().expect("a port")
    }

    /// Kills it, as a crash would.
    pub fn dies(mut self) {
        self.process.signal("KILL");
        self.process.wait();
    }

    /// From now on its tokens are so: `{"claims": {…}, "format": "opaque", "ttl": 5, "skew": 60, "nbf": true}`.
    pub async fn set(&self, change: Value) {
        self.control("state", &change).await;
    }

    /// A new key signs from now on; the old ones are still published where they are kept.
    pub async fn rotates(&self, keep: bool) {
        self.control("rotate", &json!({"keep": keep})).await;
    }

    /// How often a path was asked for.
    pub async fn asked(&self, path: &str) -> u64 {
        self.control("state", &json!({})).await["asked"][path].as_u64().unwrap_or_default()
    }

    async fn control(&self, what: &str, set: &Value) -> Value {
        let mut url = Url::parse(&format!("{}/control/{what}", self.origin)).expect("a URL");
        url.query_pairs_mut().append_pair("set", &set.to_string());
        self.client.get(url).send().await.expect("it answers").json().await.expect("JSON")
    }

    /// An access token for the gate, by client credentials.
    pub async fn token(&self) -> String {
        self.token_for(AUDIENCE, "agent", None).await
    }

    /// The same for another audience or client, and with a DPoP proof where one is given.
    pub async fn token_for(&self, audience: &str, client: &str, proof: Option<&str>) -> String {
        let form = [("grant_type", "client_credentials"), ("resource", audience), ("scope", "mcp")];
        self.asks_token(&form, client, proof).await
    }

    /// Where it gives tokens.
    #[must_use]
    pub fn token_url(&self) -> String {
        format!("{}/token", self.issuer)
    }

    async fn asks_token(&self, form: &[(&str, &str)], client: &str, proof: Option<&str>) -> String {
        let secret = if client == "agent" { "secret+of+the+agent" } else { "secret" };
        let mut headers = HeaderMap::new();
        if let Some(proof) = proof {
            let proof = HeaderValue::from_str(proof).expect("a header's value");
            headers.insert(HeaderName::from_static("dpop"), proof);
        }
        let request = self.client.post(self.token_url()).basic_auth(client, Some(secret)).headers(headers);
        let answer: Value = request.form(form).send().await.expect("it answers").json().await.expect("JSON");
        answer["access_token"].as_str().unwrap_or_else(|| panic!("no token: {answer}")).to_owned()
    }

    /// Takes a token back (RFC 7009).
    pub async fn revokes(&self, token: &str) {
        let request = self.client.post(format!("{}/token/revocation", self.issuer));
        let form = [("token", token)];
        let answer = request.basic_auth("agent", Some("secret+of+the+agent")).form(&form).send().await;
        assert_eq!(answer.expect("it answers").status(), 200);
    }

    /// A person before a browser.
    #[must_use]
    pub fn person(&self) -> Person<'_> {
        Person { provider: self, browser: Browser::new(self.client.clone()) }
    }
}

impl Person<'_> {
    /// Signs in, with more parameters of the authorization request, such as `acr_values`: an access token for the gate.
    pub async fn signs_in(&mut self, more: &[(&str, &str)]) -> String {
        let mut next = Url::parse(&format!("{}/auth", self.provider.issuer)).expect("a URL");
        let back = "https://agent.test/back";
        let about = [("client_id", "agent"), ("response_type", "code"), ("scope", "openid mcp")];
        let place = [("redirect_uri", back), ("resource", AUDIENCE)];
        next.query_pairs_mut().extend_pairs(about).extend_pairs(place).extend_pairs(more);
        for _ in 0..10 {
            let answer = self.browser.opens(&next, None).await;
            let Some(location) = redirected(&answer, &next) else {
                panic!("a page that nobody expected at {next}: {:?}", answer.text().await);
            };
            next = location;
            if next.as_str().starts_with(back) {
                break;
            }
        }
        let code = next.query_pairs().find(|(name, _)| name == "code");
        let code = code.unwrap_or_else(|| panic!("no code: {next}")).1.into_owned();
        let form = [("grant_type", "authorization_code"), ("code", &*code), ("redirect_uri", back)];
        let form = [&form[..], &[("resource", AUDIENCE)]].concat();
        self.provider.asks_token(&form, "agent", None).await
    }
}
