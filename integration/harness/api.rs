//! The admin API, as a program of an operator or of a tenant's admin uses it.

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Method};
use serde_json::{Value, json};

use crate::gate::Gate;

/// Somebody who uses the admin API.
#[derive(Debug, Clone)]
pub struct Api {
    base: String,
    token: Option<String>,
    client: Client,
}

/// What it answered.
#[derive(Debug, Clone)]
pub struct Told {
    /// The HTTP status.
    pub status: u16,
    /// The header.
    pub headers: HeaderMap,
    /// The body; null where it is no JSON.
    pub body: Value,
}

impl Api {
    /// The operator of a gate.
    #[must_use]
    pub fn operator(gate: &Gate) -> Self {
        Self::bearer(&gate.admin_url, &gate.admin_token())
    }

    /// Whoever has this token.
    #[must_use]
    pub fn bearer(base: &str, token: &str) -> Self {
        let client = Client::builder().no_proxy().build().expect("a client");
        Self { base: base.to_owned(), token: Some(token.to_owned()), client }
    }

    /// Whoever this client is by its certificate.
    #[must_use]
    pub fn over(base: &str, client: Client) -> Self {
        Self { base: base.to_owned(), token: None, client }
    }

    /// A request without a body or a header of its own.
    pub async fn ask(&self, method: Method, path: &str) -> Told {
        self.send(method, path, &[], None).await
    }

    /// `POST` of this body.
    pub async fn post(&self, path: &str, body: Value) -> Told {
        self.send(Method::POST, path, &[], Some(body)).await
    }

    /// A request.
    ///
    /// # Panics
    /// Where the gate does not answer.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&'static str, &str)],
        body: Option<Value>,
    ) -> Told {
        let mut request = self.client.request(method, format!("{}{path}", self.base));
        for (name, value) in headers {
            let value = HeaderValue::from_str(value).expect("a header's value");
            request = request.header(HeaderName::from_static(name), value);
        }
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await.expect("the admin listener answers");
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        Told { status, headers, body: answer.json().await.unwrap_or_default() }
    }

    /// Makes a tenant with an account at `server` whose bearer token is `secret`.
    ///
    /// # Panics
    /// Where the gate does not take it.
    pub async fn onboard(&self, tenant: &str, server: &str, secret: &str) {
        self.post("/v1/tenants", json!({"tenant": tenant})).await.done(201);
        let account =
            json!({"tenant": tenant, "server": server, "credential": {"bearer": "sealed"}, "secret": secret});
        self.post("/v1/accounts", account).await.done(201);
    }
}

impl Told {
    /// The body of an answer with this status.
    ///
    /// # Panics
    /// Where it has another.
    pub fn done(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.body);
        self.body
    }

    /// A header's text.
    ///
    /// # Panics
    /// Where it is missing.
    #[must_use]
    pub fn header(&self, name: &str) -> String {
        self.headers.get(name).unwrap_or_else(|| panic!("no {name}")).to_str().expect("text").to_owned()
    }
}
