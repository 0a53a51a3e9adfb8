//! An agent that says exactly what a test wants it to say, in either era.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use reqwest::{Client, Method, RequestBuilder, Response};
use serde_json::{Value, json};

use crate::mcp::{LEGACY, MODERN};

/// An agent with its endpoint, its credential and, in the legacy era, its session.
#[derive(Debug, Clone)]
pub struct Agent {
    /// The endpoint.
    pub url: String,
    /// The HTTP client: one connection pool.
    pub http: Client,
    /// What it sends with every request.
    pub headers: Vec<(String, String)>,
    /// Its session.
    pub session: Option<String>,
}

/// An answer, read to its end.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The HTTP status.
    pub status: StatusCode,
    /// The header.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Agent {
    /// An agent at this endpoint, with a bearer token where one is given.
    #[must_use]
    pub fn new(url: &str, bearer: Option<&str>) -> Self {
        let http = Client::builder().no_proxy().timeout(Duration::from_secs(30)).build().expect("a client");
        let headers =
            bearer.map(|b| ("Authorization".to_owned(), format!("Bearer {b}"))).into_iter().collect();
        Self { url: url.into(), http, headers, session: None }
    }

    /// The same agent with one more header.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Opens a legacy session.
    ///
    /// # Panics
    /// Where the gate does not open one.
    #[must_use]
    pub async fn initialized(mut self) -> Self {
        let params = json!({"protocolVersion": LEGACY, "capabilities": {}, "clientInfo": {"name": "agent", "version": "1"}});
        let answer = self.send(self.post().json(&rpc("initialize", params))).await;
        assert_eq!(answer.status, 200, "initialize: {answer:?}");
        self.session = answer.headers.get("mcp-session-id").map(|v| v.to_str().expect("text").to_owned());
        let note = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
        assert_eq!(self.legacy_message(&note).await.status, 202);
        self
    }

    /// A legacy request.
    pub async fn legacy(&self, method: &str, params: Value) -> Answer {
        self.legacy_message(&rpc(method, params)).await
    }

    /// Any message in the legacy era.
    pub async fn legacy_message(&self, message: &Value) -> Answer {
        self.send(self.post().header("MCP-Protocol-Version", LEGACY).json(message)).await
    }

    /// A modern request with the headers that belong to it.
    pub async fn modern(&self, method: &str, params: Value) -> Answer {
        self.send(self.modern_request(method, params)).await
    }

    /// A modern request, not yet sent.
    pub fn modern_request(&self, method: &str, mut params: Value) -> RequestBuilder {
        params["_meta"]["io.modelcontextprotocol/protocolVersion"] = json!(MODERN);
        let capabilities = &mut params["_meta"]["io.modelcontextprotocol/clientCapabilities"];
        if capabilities.is_null() {
            *capabilities = json!({});
        }
        let name = ["name", "uri", "taskId"].iter().find_map(|k| params[*k].as_str()).map(str::to_owned);
        let request = self.post().header("MCP-Protocol-Version", MODERN).header("Mcp-Method", method);
        let named =
            matches!(method, "tools/call" | "prompts/get" | "resources/read") || method.starts_with("tasks/");
        let request = match name.filter(|_| named) {
            Some(name) => request.header("Mcp-Name", name),
            None => request,
        };
        request.json(&rpc(method, params))
    }

    /// Calls a tool in the modern era.
    pub async fn calls(&self, tool: &str, arguments: Value) -> Answer {
        self.modern("tools/call", json!({"name": tool, "arguments": arguments})).await
    }

    /// The names of the tools that it is shown, in the modern era.
    pub async fn sees(&self) -> Vec<String> {
        let answer = self.modern("tools/list", json!({})).await.result();
        answer["tools"]
            .as_array()
            .expect("tools")
            .iter()
            .map(|t| t["name"].as_str().expect("a name").into())
            .collect()
    }

    /// A POST with the agent's headers and session.
    pub fn post(&self) -> RequestBuilder {
        self.request(Method::POST)
    }

    /// A request with the agent's headers and session.
    pub fn request(&self, method: Method) -> RequestBuilder {
        let mut request =
            self.http.request(method, &self.url).header("Accept", "application/json, text/event-stream");
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        match &self.session {
            Some(session) => request.header("Mcp-Session-Id", session),
            None => request,
        }
    }

    /// Sends a request and reads its answer.
    pub async fn send(&self, request: RequestBuilder) -> Answer {
        Answer::read(request.send().await.expect("the gate answers")).await
    }
}

impl Answer {
    /// Reads an answer to its end.
    pub async fn read(response: Response) -> Self {
        let (status, headers) = (response.status(), response.headers().clone());
        let body = response.bytes().await.expect("a whole body");
        Self { status, headers, body }
    }

    /// Every JSON-RPC message in it, whether it is JSON or an event stream.
    #[must_use]
    pub fn messages(&self) -> Vec<Value> {
        let kind = self.headers.get("content-type").and_then(|v| v.to_str().ok()).unwrap_or_default();
        if kind.starts_with("text/event-stream") {
            return events(&String::from_utf8_lossy(&self.body));
        }
        match serde_json::from_slice(&self.body) {
            Ok(Value::Array(batch)) => batch,
            Ok(message) => vec![message],
            Err(_) => Vec::new(),
        }
    }

    /// The response in it: the last message.
    #[must_use]
    pub fn message(&self) -> Value {
        self.messages().pop().unwrap_or(Value::Null)
    }

    /// The result; a failed test where there is none.
    #[must_use]
    pub fn result(&self) -> Value {
        let message = self.message();
        message.get("result").unwrap_or_else(|| panic!("no result: {self:?}")).clone()
    }

    /// The code of the error, where it is one.
    #[must_use]
    pub fn code(&self) -> Option<i64> {
        self.message()["error"]["code"].as_i64()
    }

    /// Whether it is a tool's result that says that the call was refused or failed.
    #[must_use]
    pub fn is_error_result(&self) -> bool {
        self.message()["result"]["isError"] == true
    }

    /// What is said to the caller about a refusal: an error's `data`, or the same beside a refused tool's words.
    #[must_use]
    pub fn detail(&self) -> Value {
        let message = self.message();
        let result = &message["result"];
        let places = [&message["error"]["data"], &result["_meta"]["dev.portcullis/refusal"]];
        places.into_iter().find(|p| p.get("reason").is_some()).cloned().unwrap_or(Value::Null)
    }

    /// The whole answer as text: what a leak would show in.
    #[must_use]
    pub fn everything(&self) -> String {
        format!("{:?}\n{}", self.headers, String::from_utf8_lossy(&self.body))
    }
}

/// The messages of an event stream.
#[must_use]
pub fn events(text: &str) -> Vec<Value> {
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    text.split("\n\n").filter_map(|event| serde_json::from_str(&data(event)).ok()).collect()
}

fn data(event: &str) -> String {
    let lines = event.lines().filter_map(|l| l.strip_prefix("data:"));
    lines.map(|l| l.strip_prefix(' ').unwrap_or(l)).collect::<Vec<_>>().join("\n")
}

/// A JSON-RPC request with the id 1.
#[must_use]
pub fn rpc(method: &str, params: Value) -> Value {
    json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
}
