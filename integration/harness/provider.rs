//! An authorization server that is not ours: npm `oidc-provider`, with rotation of refresh tokens; and a person who signs in
//! there as a browser does.

use std::collections::BTreeMap;
use std::process::Command;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::HOST;
use reqwest::{Client, Url};
use serde_json::{Value, json};

use crate::browser::{Browser, redirected};
use crate::process::Process;
use crate::sdk::set_up;

/// A running authorization server; it ends when it is dropped.
pub struct Provider {
    /// Its issuer.
    pub issuer: String,
    /// The private keys of the clients that sign, by algorithm, in PEM.
    pub keys: BTreeMap<String, String>,
    client: Client,
    _process: Process,
}

/// The client that is registered beforehand: its id and secret.
pub const CLIENT: (&str, &str) = ("gate", "secret of the gate at the provider");

impl Provider {
    /// One whose access tokens live so many seconds, with the one client.
    #[must_use]
    pub fn start(access_ttl: u64) -> Self {
        Self::start_with(json!({"access_ttl": access_ttl, "clients": [client()]}))
    }

    /// One with these settings.
    #[must_use]
    pub fn start_with(settings: Value) -> Self {
        set_up();
        let mut command = Command::new("node");
        command.arg("servers/authorization_server.mjs").current_dir(crate::repository().join("integration"));
        command.env("PROVIDER", settings.to_string()).env("NODE_NO_WARNINGS", "1");
        let mut process = Process::start("authorization server", command);
        let (issuer, keys) = process.until("its issuer", |lines| {
            let issuer = lines.iter().find_map(|line| line.strip_prefix("issuer ").map(str::to_owned))?;
            Some((issuer, lines.iter().filter_map(|line| key(line)).collect()))
        });
        let client = Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build();
        Self { issuer, keys, client: client.expect("a client"), _process: process }
    }

    /// What its token endpoint was asked so far.
    pub async fn asked(&self) -> Vec<Value> {
        self.control("state", None).await["asked"].as_array().cloned().expect("a list")
    }

    /// How often it was asked for a refresh.
    pub async fn refreshes(&self) -> usize {
        self.asked().await.iter().filter(|asked| asked["grant_type"] == "refresh_token").count()
    }

    /// From now on its token endpoint is so: `{"hold": true}`, `{"hold_answers": true}`, `{"fail": {"status": 500}}`.
    pub async fn set(&self, change: Value) {
        self.control("state", Some(change)).await;
    }

    /// Lets go what it holds up.
    pub async fn release(&self) {
        self.control("release", None).await;
    }

    /// How many requests it holds up.
    pub async fn waiting(&self) -> u64 {
        self.control("state", None).await["waiting"].as_u64().expect("a number")
    }

    async fn control(&self, what: &str, set: Option<Value>) -> Value {
        let mut url = Url::parse(&format!("{}/control/{what}", self.issuer)).expect("a URL");
        if let Some(set) = set {
            url.query_pairs_mut().append_pair("set", &set.to_string());
        }
        let answer = self.client.get(url).send().await.expect("it answers");
        answer.json().await.expect("JSON")
    }

    /// Whether it takes an access token for its own.
    pub async fn knows(&self, token: &str) -> bool {
        let (id, secret) = CLIENT;
        let form = [("token", token), ("token_type_hint", "access_token")];
        let request = self.client.post(format!("{}/token/introspection", self.issuer));
        let answer =
            request.basic_auth(id, Some(encoded(secret))).form(&form).send().await.expect("it answers");
        answer.json::<Value>().await.expect("JSON")["active"] == true
    }

    /// Takes a token back (RFC 7009).
    pub async fn revoke(&self, token: &str) {
        let (id, secret) = CLIENT;
        let request = self.client.post(format!("{}/token/revocation", self.issuer));
        let answer = request.basic_auth(id, Some(encoded(secret))).form(&[("token", token)]).send().await;
        assert_eq!(answer.expect("it answers").status(), 200);
    }

    /// A person opens `url`, signs in and agrees: the URL that they are sent back to.
    pub async fn consents(&self, url: &str) -> Url {
        let mut browser = Browser::new(self.client.clone());
        let mut next = Url::parse(url).expect("a URL");
        let mut form: Option<Vec<(&str, &str)>> = None;
        for _ in 0..20 {
            let answer = browser.opens(&next, form.take().as_deref()).await;
            if let Some(location) = redirected(&answer, &next) {
                next = location;
                if !next.as_str().starts_with(&self.issuer) {
                    return next;
                }
                continue;
            }
            let page = answer.text().await.expect("text");
            form = Some(match () {
                () if page.contains("name=\"login\"") => {
                    vec![("prompt", "login"), ("login", "erin"), ("password", "any")]
                }
                () if page.contains("value=\"consent\"") => vec![("prompt", "consent")],
                () => panic!("a page that nobody expected at {next}: {page}"),
            });
        }
        panic!("the provider never sends the person back")
    }
}

/// The client as the provider is told of it.
#[must_use]
pub fn client() -> Value {
    json!({
        "client_id": CLIENT.0,
        "client_secret": CLIENT.1,
        "redirect_uris": ["http://gw.test/oauth/callback"],
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
    })
}

/// The browser of a person who is sent back: the gate is reached at `gate`, by the name in the URL.
pub async fn comes_back(gate: &str, url: &Url) -> (u16, String) {
    let client = Client::builder().no_proxy().build().expect("a client");
    let place = format!("{gate}{}?{}", url.path(), url.query().unwrap_or_default());
    let answer = client.get(place).header(HOST, url.host_str().expect("a host")).send().await;
    let answer = answer.expect("the gate answers");
    (answer.status().as_u16(), answer.text().await.expect("text"))
}

fn key(line: &str) -> Option<(String, String)> {
    let (algorithm, pem) = line.strip_prefix("key ")?.split_once(' ')?;
    let pem = STANDARD.decode(pem).expect("base64");
    Some((algorithm.to_owned(), String::from_utf8(pem).expect("PEM")))
}

/// As RFC 6749 section 2.3.1 wants it before Basic.
fn encoded(text: &str) -> String {
    text.replace(' ', "+")
}
