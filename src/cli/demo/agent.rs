//! The agent of the demo: a plain MCP client of the 2025-11-25 revision over Streamable HTTP.

use reqwest::Client;
use serde_json::{Value, json};

use crate::cli::Failure;

/// The revision that it speaks.
const REVISION: &str = "2025-11-25";

/// An agent before the gate.
pub(super) struct Agent {
    client: Client,
    url: String,
    key: String,
    session: Option<String>,
    next: u64,
}

impl Agent {
    /// An agent with an API key at the gate's URL of a server.
    pub(super) fn new(url: String, key: &str) -> Result<Self, Failure> {
        let client = Client::builder().no_proxy().build().map_err(unanswered)?;
        Ok(Self { client, url, key: key.to_owned(), session: None, next: 0 })
    }

    /// Begins: `initialize` and what follows it.
    pub(super) async fn open(&mut self) -> Result<(), Failure> {
        let client = json!({"name": "demo-agent", "version": env!("CARGO_PKG_VERSION")});
        let params = json!({"protocolVersion": REVISION, "capabilities": {}, "clientInfo": client});
        let answer = self.ask("initialize", params).await?;
        if answer.pointer("/result/protocolVersion") != Some(&json!(REVISION)) {
            return Err(Failure::new(
                format!("`initialize` was answered: {answer}"),
                "report this: it is a defect",
            ));
        }
        self.send(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"})).await.map(|_| ())
    }

    /// The tools that it is shown.
    pub(super) async fn tools(&mut self) -> Result<Vec<Value>, Failure> {
        let answer = self.ask("tools/list", json!({})).await?;
        Ok(answer.pointer("/result/tools").and_then(Value::as_array).cloned().unwrap_or_default())
    }

    /// Calls a tool: the whole answer.
    pub(super) async fn call(&mut self, tool: &str, arguments: &Value) -> Result<Value, Failure> {
        self.ask("tools/call", json!({"name": tool, "arguments": arguments})).await
    }

    async fn ask(&mut self, method: &str, params: Value) -> Result<Value, Failure> {
        self.next = self.next.saturating_add(1);
        let message = json!({"jsonrpc": "2.0", "id": self.next, "method": method, "params": params});
        let text = self.send(&message).await?;
        let answer = text.lines().find_map(|line| line.strip_prefix("data: ")).unwrap_or(&text);
        serde_json::from_str(answer).map_err(|error| {
            Failure::new(
                format!("`{method}` was not answered in JSON: {error}"),
                "report this: it is a defect",
            )
        })
    }

    async fn send(&mut self, message: &Value) -> Result<String, Failure> {
        let mut request = self.client.post(&self.url).bearer_auth(&self.key).json(message);
        request = request.header("accept", "application/json, text/event-stream");
        if self.next > 1 || message.get("id").is_none() {
            request = request.header("mcp-protocol-version", REVISION);
        }
        if let Some(session) = &self.session {
            request = request.header("mcp-session-id", session);
        }
        let response = request.send().await.map_err(unanswered)?;
        if let Some(session) = response.headers().get("mcp-session-id").and_then(|id| id.to_str().ok()) {
            self.session = Some(session.to_owned());
        }
        response.text().await.map_err(unanswered)
    }
}

fn unanswered(error: reqwest::Error) -> Failure {
    Failure::new(format!("the gate did not answer: {}", error.without_url()), "report this: it is a defect")
}
