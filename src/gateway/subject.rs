//! What a message is about, as policy sees it: for tools that takes the catalogue, and at first a look at the server.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method};

use crate::catalogue::{Known, Listed, Tool};
use crate::decide::Subject;
use crate::decode::{Action, Decoded, Era, Message, Reference, ToolCall, decode, splice};
use crate::gateway::Gateway;
use crate::gateway::call::{Call, Way};
use crate::inbound::{Head, Inbound, Target};
use crate::name::ServerName;
use crate::refusal::Refusal;
use crate::respond::Body;

/// After so long a tool that was absent may have appeared.
const STALE: Duration = Duration::from_secs(30);
/// A server's list has so many pages at most; the rest stays unseen.
const MOST_PAGES: usize = 50;

impl Gateway {
    /// What `message` is about.
    pub(in crate::gateway) async fn subject<I: Inbound>(
        self: &Arc<Self>,
        inbound: &I,
        way: &Way,
        message: &Message,
        call: &Call,
    ) -> Result<Subject, Refusal> {
        Ok(match &message.action {
            Action::CallTool(tool_call) => {
                Subject::Tool(self.tool(inbound.head(), way, message, tool_call, call).await?)
            }
            Action::ReadResource { uri } | Action::Subscribe { uri } | Action::Unsubscribe { uri } => {
                Subject::Resource(uri.as_str().into())
            }
            Action::GetPrompt { name, .. } | Action::Complete(Reference::Prompt(name)) => {
                Subject::Prompt(name.as_str().into())
            }
            Action::Complete(Reference::Resource(uri)) => Subject::Resource(uri.as_str().into()),
            Action::Initialize { .. }
            | Action::Discover
            | Action::Ping
            | Action::List(_)
            | Action::SetLevel
            | Action::Listen(_)
            | Action::Task { .. }
            | Action::Notify(_)
            | Action::Respond
            | Action::OpenStream
            | Action::EndSession => Subject::Server,
        })
    }

    async fn tool(
        self: &Arc<Self>,
        head: &Head,
        way: &Way,
        message: &Message,
        tool_call: &ToolCall,
        call: &Call,
    ) -> Result<Arc<Tool>, Refusal> {
        let mut known = self.known(way, tool_call);
        if known.is_older_than(STALE) {
            self.look(head, way, message, call).await;
            known = self.known(way, tool_call);
        }
        match known {
            Known::Listed(listed) => {
                check_mirrored(head, message, &listed, tool_call)?;
                Ok(Arc::clone(&listed.tool))
            }
            Known::Absent { .. } => Err(Refusal::UnknownTool(tool_call.name.clone())),
            Known::Unseen => Ok(Arc::new(Tool::named(&way.server, tool_call.name.clone()))),
        }
    }

    fn known(&self, way: &Way, tool_call: &ToolCall) -> Known {
        self.shared.catalogue.tool(way.caller.tenant(), &way.server.name, &tool_call.name)
    }

    /// Looks at the server's list on the caller's behalf: judged, recorded and sent like a list that the caller had
    /// asked for. One look at a time; whoever waits shares its outcome.
    fn look<'a>(
        self: &'a Arc<Self>,
        head: &'a Head,
        way: &'a Way,
        message: &'a Message,
        call: &'a Call,
    ) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        Box::pin(async move {
            let Some(_turn) = self.shared.looks.turn(way.caller.tenant(), &way.server.name).await else {
                return;
            };
            let mut cursor = None;
            for _ in 0..MOST_PAGES {
                let Some(page) = self.page(head, way, message, call, cursor.as_deref()).await else { return };
                match splice::get(&page, &["result", "nextCursor"]) {
                    Ok(Some(next)) => cursor = Some(next.to_owned()),
                    Ok(None) | Err(_) => return,
                }
            }
        })
    }

    /// One page of the server's list. The answer passes the filter on its way, which teaches the catalogue.
    async fn page(
        self: &Arc<Self>,
        head: &Head,
        way: &Way,
        message: &Message,
        call: &Call,
        cursor: Option<&str>,
    ) -> Option<Bytes> {
        let body = list_request(message, cursor)?;
        let mut looking = Looking(list_head(head, &way.server.name, message.era));
        let depth = self.config.listen.limits.json_depth;
        let Ok(Decoded::One(list)) = decode(&looking.0, body, way.version(), depth) else { return None };
        let mut sub = Call::sibling(way, call.source);
        match self.message(&mut looking, way, list, &mut sub).await {
            Ok(answer) => match answer.body {
                Body::Full(bytes) => Some(bytes),
                Body::Events(relay) => relay.collect().await.pop(),
                Body::Empty => None,
            },
            Err(refusal) => {
                tracing::info!(server = %way.server.name, %refusal, "The server's tools could not be listed");
                self.refuse(&refusal, sub, None);
                None
            }
        }
    }
}

/// Compares `Mcp-Param-*` headers with the arguments, as the tool's schema says which are mirrored.
fn check_mirrored(head: &Head, message: &Message, listed: &Listed, call: &ToolCall) -> Result<(), Refusal> {
    match message.era {
        Era::Modern => listed.mirrored.check(head, call.arguments.as_deref()),
        Era::Legacy => Ok(()),
    }
}

fn list_request(message: &Message, cursor: Option<&str>) -> Option<Bytes> {
    let id = format!("portcullis-{}", crate::name::Invocation::new());
    let mut members = Vec::new();
    if let Ok(Some(meta)) = splice::get(&message.bytes, &["params", "_meta"])
        && message.era == Era::Modern
    {
        let meta = splice::remove(meta.as_bytes(), &["progressToken"]).ok()?.unwrap_or_else(|| meta.into());
        members.push(format!("\"_meta\":{}", String::from_utf8(meta).ok()?));
    }
    members.extend(cursor.map(|cursor| format!("\"cursor\":{cursor}")));
    let params = members.join(",");
    Some(format!(r#"{{"jsonrpc":"2.0","id":"{id}","method":"tools/list","params":{{{params}}}}}"#).into())
}

fn list_head(head: &Head, server: &ServerName, era: Era) -> Head {
    let mut headers = head.headers.clone();
    let mirrored: Vec<_> =
        headers.keys().filter(|name| name.as_str().starts_with("mcp-param-")).cloned().collect();
    for name in mirrored {
        headers.remove(name);
    }
    headers.remove("mcp-name");
    headers.remove("last-event-id");
    if era == Era::Modern {
        headers.insert("mcp-method", HeaderValue::from_static("tools/list"));
    }
    Head {
        method: Method::POST,
        target: Target::Server(server.clone()),
        headers,
        peer: head.peer,
        certificate: head.certificate.clone(),
    }
}

/// A request of the gate's own: it has no socket, so its client never goes away.
struct Looking(Head);

impl Inbound for Looking {
    fn head(&self) -> &Head {
        &self.0
    }

    async fn body(&mut self) -> Result<Bytes, Refusal> {
        Ok(Bytes::new())
    }

    async fn gone(&mut self) {
        std::future::pending().await
    }
}
