//! What a well-behaved MCP server answers, in both eras: the tools, resources and prompts that the cases speak of.

use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};

use crate::reply::{Reply, Step, event};
use crate::upstream::Exchange;

/// So many sessions were opened: no two of them have one id.
static OPENED: AtomicU64 = AtomicU64::new(1);

/// The modern revision.
pub const MODERN: &str = "2026-07-28";
/// The newest legacy revision.
pub const LEGACY: &str = "2025-11-25";

/// Answers a request as it should be answered.
#[must_use]
pub fn answer(exchange: &Exchange) -> Reply {
    match exchange.method.as_str() {
        "GET" => return Reply::stream(": open\n\n", &[Step::Hang]),
        "DELETE" => return Reply::empty(200),
        _ => {}
    }
    match exchange.message() {
        Value::Array(batch) => Reply::json(
            &batch.iter().filter(|m| m.get("id").is_some()).map(|m| respond(m, exchange)).collect(),
        ),
        message if message.get("id").is_none() || message.get("method").is_none() => Reply::empty(202),
        message => one(&message, exchange),
    }
}

fn one(message: &Value, exchange: &Exchange) -> Reply {
    match message["method"].as_str() {
        Some("initialize") => initialize(message, exchange),
        Some("subscriptions/listen") => listen(message),
        Some("server/discover") if !is_modern(exchange) => refuse(message),
        _ => Reply::json(&respond(message, exchange)),
    }
}

/// The response to one request.
#[must_use]
pub fn respond(message: &Value, exchange: &Exchange) -> Value {
    match result(message) {
        Some(mut result) => {
            if is_modern(exchange) {
                modernise(&mut result, message["method"].as_str().unwrap_or_default());
            }
            json!({"jsonrpc": "2.0", "id": message["id"], "result": result})
        }
        None => {
            json!({"jsonrpc": "2.0", "id": message["id"], "error": {"code": -32602, "message": "no such thing"}})
        }
    }
}

/// A result of one text.
#[must_use]
pub fn text(text: &str) -> Value {
    json!({"content": [{"type": "text", "text": text}], "isError": false})
}

/// The tools.
#[must_use]
pub fn tools() -> Value {
    let tool = |name: &str, properties: Value| {
        json!({"name": name, "description": format!("{name} of the sample"),
               "inputSchema": {"type": "object", "properties": properties}})
    };
    let mirrored = |kind: &str, header: &str| json!({"type": kind, "x-mcp-header": header});
    json!([
        tool(
            "safe",
            json!({"marker": {"type": "string"}, "region": mirrored("string", "Region"), "count": mirrored("integer", "Count")})
        ),
        tool("danger", json!({})),
        tool("list_all_netsuite_invoices", json!({"region": {"type": "string"}})),
        tool("employees", json!({})),
        tool("secret_echo", json!({})),
        tool("delete_everything", json!({})),
    ])
}

fn result(message: &Value) -> Option<Value> {
    let params = &message["params"];
    Some(match message["method"].as_str()? {
        "ping" | "logging/setLevel" | "resources/subscribe" | "resources/unsubscribe" => json!({}),
        "server/discover" => json!({"supportedVersions": [MODERN, LEGACY], "capabilities": capabilities()}),
        "tools/list" => json!({"tools": tools()}),
        "tools/call" => call(params)?,
        "resources/list" => {
            json!({"resources": [{"uri": "file:///pub/a", "name": "a"}, {"uri": "file:///secret", "name": "secret"}]})
        }
        "resources/templates/list" => {
            json!({"resourceTemplates": [{"uriTemplate": "file:///pub/{name}", "name": "public"},
                                                                   {"uriTemplate": "file:///private/{name}", "name": "private"}]})
        }
        "resources/read" => json!({"contents": [{"uri": params["uri"], "text": "the text"}]}),
        "prompts/list" => json!({"prompts": [{"name": "hello"}, {"name": "root"}]}),
        "prompts/get" => {
            json!({"messages": [{"role": "user", "content": {"type": "text", "text": "hello"}}]})
        }
        "completion/complete" => json!({"completion": {"values": ["a", "b"]}}),
        "tasks/get" => json!({"taskId": params["taskId"], "status": "working"}),
        _ => return None,
    })
}

fn call(params: &Value) -> Option<Value> {
    let arguments = &params["arguments"];
    Some(match params["name"].as_str()? {
        "safe" => text(&format!("safe {}", arguments["marker"].as_str().unwrap_or_default())),
        "list_all_netsuite_invoices" => text(&format!("invoices of {}", arguments["region"])),
        "employees" => {
            let all =
                json!({"employees": [{"name": "Ada", "salary": 100}, {"name": "Grace", "salary": 200}]});
            json!({"content": [{"type": "text", "text": all.to_string()}], "structuredContent": all, "isError": false})
        }
        "danger" | "secret_echo" | "delete_everything" => text("done"),
        _ => return None,
    })
}

fn initialize(message: &Value, exchange: &Exchange) -> Reply {
    let asked = message["params"]["protocolVersion"].as_str().unwrap_or(LEGACY);
    let version = if asked == MODERN { LEGACY } else { asked };
    let result = json!({"protocolVersion": version, "capabilities": capabilities(), "serverInfo": {"name": "upstream", "version": "1"}});
    let body = json!({"jsonrpc": "2.0", "id": message["id"], "result": result}).to_string();
    let session =
        format!("upstream-session-{}-{}", exchange.connection, OPENED.fetch_add(1, Ordering::Relaxed));
    Reply::new(200, &[("Content-Type", "application/json"), ("Mcp-Session-Id", &session)], body.as_bytes())
}

fn listen(message: &Value) -> Reply {
    let asked = &message["params"]["notifications"];
    let acknowledged = json!({"jsonrpc": "2.0", "method": "notifications/subscriptions/acknowledged", "params": {
        "notifications": asked, "_meta": {"io.modelcontextprotocol/subscriptionId": message["id"]}}});
    Reply::stream(&event(&acknowledged), &[Step::Hang])
}

fn refuse(message: &Value) -> Reply {
    let error = json!({"jsonrpc": "2.0", "id": message["id"], "error": {"code": -32000, "message": "Bad Request: Server not initialized"}});
    Reply::new(400, &[("Content-Type", "application/json")], error.to_string().as_bytes())
}

fn capabilities() -> Value {
    json!({"tools": {"listChanged": true}, "resources": {"subscribe": true}, "prompts": {}, "completions": {}, "logging": {}})
}

fn is_modern(exchange: &Exchange) -> bool {
    exchange.header("mcp-protocol-version") == [MODERN]
}

fn modernise(result: &mut Value, method: &str) {
    result["resultType"] = json!("complete");
    if matches!(
        method,
        "tools/list"
            | "resources/list"
            | "resources/templates/list"
            | "prompts/list"
            | "resources/read"
            | "server/discover"
    ) {
        result["ttlMs"] = json!(60_000);
        result["cacheScope"] = json!("public");
    }
}
