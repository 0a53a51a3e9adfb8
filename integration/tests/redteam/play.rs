//! Playing a case that is one request.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::Algorithm;
use portcullis_integration::agent::{Agent, Answer};
use portcullis_integration::fixture::{AUDIENCE, Std};
use portcullis_integration::issuer::{Issuer, now};
use portcullis_integration::raw::raw;
use reqwest::Method;
use serde_json::{Value, json};

use crate::case::{Case, Expect, Request};
use crate::{server, setup};

/// A gate with everything that the cases' placeholders stand for.
pub struct Stage {
    pub std: Std,
    url_a: String,
    url_b: String,
    session: String,
    served: AtomicBool,
}

/// What the gate may ask the server on its own account.
const OWN: [&str; 4] = ["initialize", "notifications/initialized", "tools/list", "server/discover"];

impl Stage {
    /// Starts the gate of this name, and opens alice's session.
    pub async fn set(name: &str) -> Self {
        let std = setup::gate(name);
        let url =
            |tenant: &str| json!({"tenant": tenant, "server": "up", "user": "alice", "roles": ["reader"]});
        let (_, url_a) = std.gate.create_url(&url("a")).await;
        let (_, url_b) = std.gate.create_url(&url("b")).await;
        let alice = Agent::new(&format!("{}{url_a}", std.gate.url), Some(&std.alice_token()));
        let session = match name {
            "tenant_url" => String::new(), // there the server cannot be reached at all
            _ => alice.initialized().await.session.unwrap_or_default(),
        };
        let token = |path: String| path.trim_start_matches("/mcp/").to_owned();
        Self { std, url_a: token(url_a), url_b: token(url_b), session, served: AtomicBool::new(false) }
    }

    /// Plays the case; an error is what went wrong.
    pub async fn play(&self, case: &Case) -> Result<(), String> {
        let (Some(request), Some(expect)) = (&case.request, &case.expect) else {
            return Err("nothing to play".into());
        };
        self.warm().await;
        server::behave(&self.std.upstream, case.upstream.as_deref().unwrap_or_default());
        self.std.upstream.forget();
        if let Some(text) = &request.raw {
            self.check_raw(&self.fill(text), expect).await?;
        } else {
            for answer in self.send_all(request).await {
                self.check(answer, expect)?;
            }
        }
        self.check_server(expect)
    }

    /// One list and one call that work, so that the gate knows the server's tools before they are attacked.
    async fn warm(&self) {
        if !self.served.swap(true, Ordering::SeqCst) && !self.session.is_empty() {
            assert_eq!(self.std.alice().sees().await, ["safe"]);
            let answer = self.std.alice().calls("safe", json!({"marker": "warm", "n": 1})).await;
            assert!(answer.result()["content"][0]["text"] == "safe warm", "{answer:?}");
        }
    }

    async fn check_raw(&self, text: &str, expect: &Expect) -> Result<(), String> {
        let answer = raw(self.std.gate.address(), text.as_bytes()).await;
        let statuses = answer.statuses();
        match statuses.as_slice() {
            [status] if expect.status.contains(status) => Ok(()),
            _ => Err(format!("answered {statuses:?} instead of one of {:?}", expect.status)),
        }
    }

    async fn send_all(&self, request: &Request) -> Vec<Result<Answer, String>> {
        let mut tasks = tokio::task::JoinSet::new();
        let http = self.std.alice().http;
        for _ in 0..request.times.unwrap_or(1) {
            let request = self.build(&http, request);
            tasks.spawn(async move {
                let response = request.send().await.map_err(|e| format!("no answer: {e:?}"))?;
                let read = tokio::time::timeout(Duration::from_secs(20), Answer::read(response));
                read.await.map_err(|_| "the answer does not end".to_owned())
            });
        }
        tasks.join_all().await
    }

    fn build(&self, http: &reqwest::Client, request: &Request) -> reqwest::RequestBuilder {
        let path = self.fill(request.path.as_deref().unwrap_or("/mcp/{{url_a}}"));
        let method: Method = request.method.as_deref().unwrap_or("POST").parse().expect("a method");
        let mut builder = http.request(method, format!("{}{path}", self.std.gate.url));
        for (name, value) in self.headers(request) {
            builder = builder.header(name, value);
        }
        match (&request.body, &request.body_base64) {
            (Some(text), _) => builder.body(self.fill(text)),
            (None, Some(text)) => builder.body(STANDARD.decode(text).expect("base64")),
            (None, None) => builder,
        }
    }

    fn headers(&self, request: &Request) -> Vec<(String, String)> {
        let usual = [
            ("Content-Type", "application/json"),
            ("Accept", "application/json, text/event-stream"),
            ("Authorization", "Bearer {{alice}}"),
            ("MCP-Protocol-Version", "2025-11-25"),
            ("Mcp-Session-Id", "{{session}}"),
        ];
        let left = usual.iter().filter(|(name, _)| !request.headers.contains_key(*name));
        let mut headers: Vec<_> = left.map(|(n, v)| ((*n).to_owned(), self.fill(v))).collect();
        // Where the server cannot be reached there is no session to name.
        headers.retain(|(_, value)| !value.is_empty());
        for (name, value) in &request.headers {
            let values = match value {
                Value::Array(values) => values.clone(),
                Value::Null => Vec::new(),
                one => vec![one.clone()],
            };
            headers.extend(values.iter().map(|v| (name.clone(), self.fill(v.as_str().expect("text")))));
        }
        headers
    }

    fn check(&self, answer: Result<Answer, String>, expect: &Expect) -> Result<(), String> {
        let answer = match answer {
            Err(_) if expect.gone => return Ok(()),
            other => other?,
        };
        let seen = answer.everything();
        let wrong = |what: String| Err(format!("{what}: {}", seen.chars().take(600).collect::<String>()));
        if !expect.status.contains(&answer.status.as_u16()) {
            return wrong(format!("{} instead of one of {:?}", answer.status, expect.status));
        }
        if let Some(codes) = &expect.code {
            let refused = expect.or_refused && answer.is_error_result();
            if !refused && !answer.code().is_some_and(|c| codes.contains(&c)) {
                return wrong(format!("code {:?} instead of one of {codes:?}", answer.code()));
            }
        }
        if expect.own_id && answer.message()["id"] != 1 {
            return wrong("it does not have the request's id".into());
        }
        if let Some(text) = expect.absent.iter().find(|t| seen.contains(*t)) {
            return wrong(format!("the caller sees `{text}`"));
        }
        match expect.present.iter().find(|t| !seen.contains(*t)) {
            Some(text) => wrong(format!("the caller does not see `{text}`")),
            None => Ok(()),
        }
    }

    fn check_server(&self, expect: &Expect) -> Result<(), String> {
        let exchanges = self.std.upstream.exchanges();
        let foreign = exchanges.iter().find(|e| !OWN.contains(&e.rpc().as_str()));
        if let Some(exchange) = foreign.filter(|_| !expect.reaches_server) {
            return Err(format!(
                "it reached the server: {} {}",
                exchange.path,
                String::from_utf8_lossy(&exchange.body)
            ));
        }
        let bytes = String::from_utf8_lossy(&self.std.upstream.bytes()).into_owned();
        if let Some(text) = expect.upstream_absent.iter().find(|t| bytes.contains(*t)) {
            return Err(format!("the server sees `{text}`"));
        }
        match expect.upstream_present.iter().find(|t| !bytes.to_lowercase().contains(*t)) {
            Some(text) => Err(format!("the server does not see `{text}`: {bytes}")),
            None => Ok(()),
        }
    }

    /// Puts in what the placeholders stand for.
    fn fill(&self, text: &str) -> String {
        let mut filled = String::new();
        let mut rest = text;
        while let Some((before, name, after)) = placeholder(rest) {
            filled.push_str(before);
            filled.push_str(&self.value(name));
            rest = after;
        }
        filled + rest
    }

    fn value(&self, name: &str) -> String {
        match (name, name.split_once('*')) {
            ("url_a", _) => self.url_a.clone(),
            ("url_b", _) => self.url_b.clone(),
            ("session", _) => self.session.clone(),
            ("alice", _) => self.std.alice_token(),
            (_, Some((text, times))) => text.repeat(times.parse().expect("a number")),
            _ => self.bad_token(name.trim_start_matches("token:")),
        }
    }

    fn bad_token(&self, kind: &str) -> String {
        let mut claims = self.std.issuer.claims(AUDIENCE, "a", "alice");
        match kind {
            "unsigned" => return self.std.issuer.unsigned(&claims),
            "hs256" => return self.std.issuer.sign_as(&claims, "at+jwt", Algorithm::HS256),
            "id" => return self.std.issuer.sign_as(&claims, "JWT", Algorithm::ES256),
            "old_key" => return Issuer::new(&self.std.issuer.url, "key-0").sign(&claims),
            "audience" => claims.insert("aud".into(), json!("https://other.example")),
            "text_times" => claims.insert("nbf".into(), json!("99999999999")),
            "expired" => claims.insert("exp".into(), json!(now() - 120)),
            other => panic!("no placeholder `{other}`"),
        };
        self.std.issuer.sign(&claims)
    }
}

fn placeholder(text: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = text.split_once("{{")?;
    let (name, after) = rest.split_once("}}")?;
    Some((before, name, after))
}
