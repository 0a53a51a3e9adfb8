//! The sample server of the demo: four tools over invoices, in both eras of the protocol.
//!
//! It takes only the gate's own credential, and calls only with the gate's signed statement of who is calling.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use serde_json::{Value, json};

use crate::identify::key::new_api_key;
use crate::secret::Secret;

/// Its tools, in the order of its list.
pub(super) const TOOLS: [&str; 4] = ["list_invoices", "get_invoice", "create_invoice", "delete_invoice"];

/// The revision of the modern era.
const MODERN: &str = "2026-07-28";
/// The revisions of the legacy era, newest first.
const LEGACY: [&str; 4] = ["2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"];

/// The sample server, as the gate is told of it.
pub(super) struct Sample {
    /// Where it listens.
    pub(super) address: SocketAddr,
    /// What it takes as `Authorization: Bearer`.
    pub(super) credential: Arc<Secret>,
}

/// A JSON-RPC error.
struct Wrong {
    status: StatusCode,
    code: i64,
    message: String,
    data: Value,
}

type Answer = Result<Value, Wrong>;

/// Starts it on a free port of loopback; it ends with the runtime.
pub(super) async fn start() -> std::io::Result<Sample> {
    let (credential, _) = new_api_key().map_err(|_| std::io::Error::other("no random bytes"))?;
    let credential = Arc::new(credential);
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    // POST alone: GET and DELETE are answered 405, since it opens no streams and keeps no sessions.
    let router = Router::new().route("/mcp", post(serve)).with_state(Arc::clone(&credential));
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(Sample { address, credential })
}

async fn serve(State(credential): State<Arc<Secret>>, headers: HeaderMap, body: Bytes) -> Response {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if header("origin").is_some() {
        return StatusCode::FORBIDDEN.into_response();
    }
    if header("authorization").and_then(|value| value.strip_prefix("Bearer ")) != Some(credential.expose()) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let Ok(message) = serde_json::from_slice::<Value>(&body) else {
        let error = json!({"jsonrpc": "2.0", "error": {"code": -32700, "message": "Parse error"}});
        return (StatusCode::BAD_REQUEST, Json(error)).into_response();
    };
    let Some(id) = message.get("id") else { return StatusCode::ACCEPTED.into_response() };
    let method = message.get("method").and_then(Value::as_str).unwrap_or_default();
    let nothing = json!({});
    let params = message.get("params").unwrap_or(&nothing);
    let vouched = header("txn-token").is_some_and(|token| token.split('.').count() == 3);
    let answer = match params.pointer("/_meta/io.modelcontextprotocol~1protocolVersion") {
        Some(version) => {
            agree(version, method, params, header).and_then(|()| modern(method, params, vouched))
        }
        None => legacy(method, params, vouched),
    };
    match answer {
        Ok(result) => Json(json!({"jsonrpc": "2.0", "id": id, "result": result})).into_response(),
        Err(wrong) => {
            let mut error = json!({"code": wrong.code, "message": wrong.message});
            if let (Value::Object(error), false) = (&mut error, wrong.data.is_null()) {
                error.insert("data".to_owned(), wrong.data);
            }
            (wrong.status, Json(json!({"jsonrpc": "2.0", "id": id, "error": error}))).into_response()
        }
    }
}

/// Whether a modern message is of this revision, whole, and what its headers say.
fn agree<'h>(
    version: &Value,
    method: &str,
    params: &Value,
    header: impl Fn(&str) -> Option<&'h str>,
) -> Result<(), Wrong> {
    let bad = |code, message: &str| Wrong::new(StatusCode::BAD_REQUEST, code, message);
    if version != MODERN {
        let data = json!({"supported": revisions(), "requested": version});
        return Err(Wrong { data, ..bad(-32022, "Unsupported protocol version") });
    }
    let capabilities = params.pointer("/_meta/io.modelcontextprotocol~1clientCapabilities");
    if !capabilities.is_some_and(Value::is_object) {
        return Err(bad(-32602, "clientCapabilities are missing"));
    }
    let name = params.get("name").and_then(Value::as_str).filter(|_| method == "tools/call");
    let mirrored = header("mcp-protocol-version") == Some(MODERN)
        && header("mcp-method") == Some(method)
        && (name.is_none() || header("mcp-name") == name);
    if mirrored { Ok(()) } else { Err(bad(-32020, "Header mismatch")) }
}

fn modern(method: &str, params: &Value, vouched: bool) -> Answer {
    let mut result = match method {
        "server/discover" => json!({
            "supportedVersions": revisions(), "capabilities": {"tools": {}}, "ttlMs": 0, "cacheScope": "public",
        }),
        "tools/list" => json!({"tools": tools(), "ttlMs": 0, "cacheScope": "public"}),
        "tools/call" => call(params, vouched)?,
        _ => return Err(Wrong::new(StatusCode::NOT_FOUND, -32601, "Method not found")),
    };
    if let Value::Object(result) = &mut result {
        result.insert("resultType".to_owned(), json!("complete"));
        result.insert("_meta".to_owned(), json!({"io.modelcontextprotocol/serverInfo": myself()}));
    }
    Ok(result)
}

fn legacy(method: &str, params: &Value, vouched: bool) -> Answer {
    match method {
        "initialize" => {
            let wanted = params.get("protocolVersion").and_then(Value::as_str);
            let version = LEGACY.into_iter().find(|known| Some(*known) == wanted).unwrap_or(LEGACY[0]);
            Ok(json!({"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": myself()}))
        }
        "ping" => Ok(json!({})),
        "tools/list" => Ok(json!({"tools": tools()})),
        "tools/call" => call(params, vouched),
        _ => Err(Wrong::new(StatusCode::OK, -32601, "Method not found")),
    }
}

fn call(params: &Value, vouched: bool) -> Answer {
    if !vouched {
        return Err(Wrong::new(StatusCode::FORBIDDEN, -32602, "A call needs the gate's signed statement"));
    }
    let argument = |name: &str| {
        let value = params.get("arguments").and_then(|arguments| arguments.get(name));
        value.and_then(Value::as_str).unwrap_or_default()
    };
    let text = match params.get("name").and_then(Value::as_str).unwrap_or_default() {
        "list_invoices" => match argument("region") {
            "EMEA" => "INV-1001 Adler GmbH 1200 EUR; INV-1002 Boreal AS 310 EUR",
            "US" => "INV-2001 Cactus Inc 980 USD",
            _ => "there are no invoices",
        }
        .to_owned(),
        "get_invoice" => format!("{} of {}: open", argument("id"), argument("region")),
        "create_invoice" => format!("INV-3001 for {}: created", argument("customer")),
        "delete_invoice" => format!("{}: deleted", argument("id")),
        other => {
            return Err(Wrong::new(StatusCode::OK, -32602, &format!("Unknown tool: {other}")));
        }
    };
    Ok(json!({"content": [{"type": "text", "text": text}], "isError": false}))
}

fn tools() -> Value {
    let schema = |arguments: &[&str]| {
        let properties: serde_json::Map<String, Value> =
            arguments.iter().map(|name| ((*name).to_owned(), json!({"type": "string"}))).collect();
        json!({"type": "object", "properties": properties, "required": arguments})
    };
    let described = |name: &str| match name {
        "list_invoices" => ("The invoices of a region", schema(&["region"])),
        "get_invoice" => ("One invoice of a region", schema(&["region", "id"])),
        "create_invoice" => ("Makes an invoice", schema(&["region", "customer"])),
        _ => ("Deletes an invoice", schema(&["id"])),
    };
    let each = |name: &str| {
        let (description, schema) = described(name);
        json!({"name": name, "description": description, "inputSchema": schema})
    };
    TOOLS.into_iter().map(each).collect()
}

fn myself() -> Value {
    json!({"name": "portcullis-demo-invoices", "version": env!("CARGO_PKG_VERSION")})
}

fn revisions() -> Vec<&'static str> {
    [MODERN].into_iter().chain(LEGACY).collect()
}

impl Wrong {
    fn new(status: StatusCode, code: i64, message: &str) -> Self {
        Self { status, code, message: message.to_owned(), data: Value::Null }
    }
}
