//! All that a server offers to a tenant's account, for the operator: the same engine as every other look, in either era.

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderValue;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::catalogue::{Definition, Thing, Unreadable};
use crate::decode::splice;
use crate::gateway::Gateway;
use crate::gateway::call::{Eyes, Way};
use crate::gateway::look::{MOST_PAGES, NOWHERE, own_head};
use crate::identify::Caller;
use crate::name::{ServerName, TenantId};
use crate::refusal::Refusal;

/// What a server offers, each item as it lists it.
#[derive(Debug, Default, serde::Serialize)]
pub struct Offer {
    /// `tools/list`.
    pub tools: Vec<Box<RawValue>>,
    /// `resources/list`.
    pub resources: Vec<Box<RawValue>>,
    /// `resources/templates/list`.
    pub templates: Vec<Box<RawValue>>,
    /// `prompts/list`.
    pub prompts: Vec<Box<RawValue>>,
    /// The lists that could not be had, by their members here: what is not in them is not known to be gone.
    pub unasked: Vec<&'static str>,
    /// What the operator should know of it.
    pub notes: Vec<String>,
}

/// The eras in which a server can be asked.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::gateway) enum Asking {
    Legacy,
    Modern,
}

/// The lists, and the members of their results.
pub(in crate::gateway) const TOOLS: (&str, &str) = ("tools/list", "tools");
const RESOURCES: (&str, &str) = ("resources/list", "resources");
const TEMPLATES: (&str, &str) = ("resources/templates/list", "resourceTemplates");
const PROMPTS: (&str, &str) = ("prompts/list", "prompts");

/// The server does not know the method: it has no such things (JSON-RPC 2.0 section 5.1).
const NO_METHOD: &str = "-32601";

type Items = Vec<Box<RawValue>>;

impl Gateway {
    /// Asks a server for its tools, and for what else of `kinds` it offers to a tenant's account, page by page.
    ///
    /// # Errors
    /// Why its tools could not be listed, in words for the operator.
    pub async fn pull(
        self: &Arc<Self>,
        tenant: &TenantId,
        server: &ServerName,
        kinds: &[Thing],
    ) -> Result<Offer, String> {
        let known = self.config.servers.get(server).map(Arc::clone);
        let server = known.ok_or_else(|| format!("there is no server `{server}`"))?;
        let caller = Arc::new(Caller::operator(tenant));
        let account =
            self.directory.find(tenant, &server.name).await.map_err(|refusal| refusal.to_string())?;
        let way = Way { caller, server, account, session: None, eyes: Eyes::Operator };
        // As agents do: a server that does not speak the modern era is asked again in the legacy one.
        if let Ok(tools) = self.all(&way, Asking::Modern, TOOLS).await {
            return Ok(self.others(&way, Asking::Modern, tools, kinds).await);
        }
        let (way, _) = self.initialized(&way).await.map_err(|refusal| refusal.to_string())?;
        let tools = self.all(&way, Asking::Legacy, TOOLS).await;
        let offer = match tools {
            Ok(tools) => Ok(self.others(&way, Asking::Legacy, tools, kinds).await),
            Err(why) => Err(why),
        };
        self.ended(&way).await;
        offer
    }

    async fn others(self: &Arc<Self>, way: &Way, asking: Asking, tools: Items, kinds: &[Thing]) -> Offer {
        let mut offer = Offer { notes: doubtful(&tools), tools, ..Offer::default() };
        for thing in kinds {
            let list = match thing {
                Thing::Tool => continue,
                Thing::Prompt => PROMPTS,
                Thing::Resource => RESOURCES,
                Thing::Template => TEMPLATES,
            };
            let items = self.all(way, asking, list).await.unwrap_or_else(|why| {
                offer.notes.push(format!("{} could not be asked: {why}", list.0));
                offer.unasked.push(thing.plural());
                Vec::new()
            });
            match thing {
                Thing::Tool => {}
                Thing::Prompt => offer.prompts = items,
                Thing::Resource => offer.resources = items,
                Thing::Template => offer.templates = items,
            }
        }
        offer
    }

    /// Every page of a list.
    pub(in crate::gateway) async fn all(
        self: &Arc<Self>,
        way: &Way,
        asking: Asking,
        (method, member): (&'static str, &'static str),
    ) -> Result<Items, String> {
        let (mut items, mut cursor) = (Vec::new(), None);
        for _ in 0..MOST_PAGES {
            let page =
                self.one(way, asking, method, cursor.as_deref()).await.map_err(|why| why.to_string())?;
            let page = page.ok_or_else(|| "the server gave no answer".to_owned())?;
            let get = |path: &[&str]| splice::get(&page, path).ok().flatten();
            match get(&["error", "code"]) {
                // A modern server says so of a method; a legacy one may say so of the whole era.
                Some(NO_METHOD) if asking == Asking::Legacy || method != TOOLS.0 => return Ok(Vec::new()),
                Some(code) => return Err(format!("the server answered with error {code}")),
                None => {}
            }
            let list = get(&["result", member]).ok_or_else(|| "the answer is no list".to_owned())?;
            let list: Items = serde_json::from_str(list).map_err(|_| "the answer is no list".to_owned())?;
            items.extend(list);
            match get(&["result", "nextCursor"]).filter(|next| *next != "null") {
                Some(next) => cursor = Some(next.to_owned()),
                None => return Ok(items),
            }
        }
        Err(format!("the list has more than {MOST_PAGES} pages"))
    }

    async fn one(
        self: &Arc<Self>,
        way: &Way,
        asking: Asking,
        method: &'static str,
        cursor: Option<&str>,
    ) -> Result<Option<Bytes>, Refusal> {
        let mut head = own_head(way, (asking == Asking::Modern).then_some(TOOLS.0));
        if asking == Asking::Modern {
            head.headers.insert("mcp-method", HeaderValue::from_static(method));
        }
        Ok(self.ask(head, way, body(asking, method, cursor), NOWHERE).await?.message)
    }
}

fn body(asking: Asking, method: &str, cursor: Option<&str>) -> Bytes {
    let meta = r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}"#;
    let meta = (asking == Asking::Modern).then(|| meta.to_owned());
    let cursor = cursor.map(|cursor| format!("\"cursor\":{cursor}"));
    let params: Vec<String> = meta.into_iter().chain(cursor).collect();
    let params = params.join(",");
    format!(r#"{{"jsonrpc":"2.0","id":"portcullis-pull","method":"{method}","params":{{{params}}}}}"#).into()
}

/// Tools that two readers could read in two ways: they match no pin.
fn doubtful(tools: &[Box<RawValue>]) -> Vec<String> {
    let doubt = |tool: &RawValue| {
        let why = Definition::read(Thing::Tool, tool).err()?;
        let value: Value = serde_json::from_str(tool.get()).unwrap_or_default();
        let name = value.get("name").and_then(Value::as_str).unwrap_or("?").escape_debug().to_string();
        match why {
            Unreadable::Nameless => {
                Some("a tool has no name that a tool may have: nobody is shown it".to_owned())
            }
            Unreadable::Ambiguous(why) => Some(format!("tool `{name}` matches no pin, because {why}")),
        }
    };
    tools.iter().map(AsRef::as_ref).filter_map(doubt).collect()
}
