//! What the caller of one permitted message may see of what comes back.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::value::RawValue;

use crate::catalogue::{Edition, Listed, Page, Pins, Thing, Tool};
use crate::config::{PinMode, Server};
use crate::decide::{self, Circumstances, Comparison, Narrowed, Panel, Question, Rollout, Subject};
use crate::decode::reply::server_method;
use crate::decode::{Era, ListKind, Message, splice};
use crate::gateway::beside::Differing;
use crate::gateway::build::Shared;
use crate::gateway::call::Eyes;
use crate::gateway::pages::Pages;
use crate::gateway::rounds;
use crate::identify::Caller;
use crate::identify::state::States;
use crate::name::ToolName;
use crate::respond::access::own_tool;
use crate::respond::list;
use crate::respond::redact::Redaction;

/// The eyes of one caller on one server, under the policy that the message began with.
#[derive(Clone)]
pub(in crate::gateway) struct Sight {
    pub rollout: Arc<Rollout>,
    pub shared: Arc<Shared>,
    pub caller: Arc<Caller>,
    pub server: Arc<Server>,
    pub pins: Arc<Pins>,
    pub pages: Arc<Pages>,
    pub states: Arc<States>,
    pub eyes: Eyes,
    /// The gate's own tool, where it has one.
    pub own: Option<ToolName>,
    pub circumstances: Circumstances,
}

impl Sight {
    fn question<'a>(&'a self, method: &'a str, subject: &'a Subject) -> Question<'a> {
        Question {
            caller: &self.caller,
            server: &self.server,
            method,
            subject,
            arguments: None,
            circumstances: &self.circumstances,
        }
    }

    fn look(&self, panel: Panel<'_>, tool: &Arc<Tool>) -> (decide::Sight, Option<Comparison>) {
        panel.look(&self.question("tools/call", &Subject::Tool(Arc::clone(tool))))
    }

    /// What a filtered page depends on beside the server's bytes and this generation; `None` where that cannot be said.
    fn page_key(&self, asked: &Message) -> Option<Vec<u8>> {
        if self.eyes == Eyes::Operator {
            return None;
        }
        let panel = self.rollout.panel(self.caller.tenant());
        let mut key = panel.viewer(&self.caller, &self.server, &self.circumstances)?;
        key.push(match asked.era {
            Era::Legacy => 0,
            Era::Modern => 1,
        });
        let cursor = splice::get(&asked.bytes, &["params", "cursor"]).ok()?;
        for part in [Some(self.server.name.as_str()), cursor] {
            key.extend_from_slice(part.unwrap_or_default().as_bytes());
            key.push(0);
        }
        Some(key)
    }

    fn edition(&self) -> Option<Edition> {
        self.shared.catalogue.edition(self.caller.tenant(), &self.server, &self.pins)
    }

    fn shows(&self, method: &str, subject: &Subject) -> bool {
        let panel = self.rollout.panel(self.caller.tenant());
        self.eyes == Eyes::Operator
            || matches!(panel.may_see(&self.question(method, subject)), decide::Sight::Shown(_))
    }
}

impl list::Sight for Sight {
    fn tools<'a>(&self, page: &Page<'a>) -> Vec<Option<Cow<'a, RawValue>>> {
        let learned = self.shared.catalogue.learn(self.caller.tenant(), &self.server, &self.pins, page);
        self.shared.tell(&learned.changes);
        if self.eyes == Eyes::Operator {
            return page.tools.iter().map(|text| Some(Cow::Borrowed(*text))).collect();
        }
        let mode = self.pins.mode(&self.server);
        let panel = self.rollout.panel(self.caller.tenant());
        let mut differing = Differing::default();
        let not_own = |listed: &Arc<Listed>| self.own.as_ref() != Some(&listed.tool.name);
        let shown = |(text, listed): (&&'a RawValue, Option<Arc<Listed>>)| {
            let listed = listed.filter(|listed| !listed.is_withheld(mode)).filter(not_own)?;
            let (seen, comparison) = self.look(panel, &listed.tool);
            if let Some(comparison) = comparison {
                differing.note(&self.shared, &listed.tool, &seen, &comparison);
            }
            let decide::Sight::Shown(verdict) = seen else { return None };
            let narrowed = match verdict.narrow(listed.input_schema.as_deref()) {
                Narrowed::AsIs => Cow::Borrowed(*text),
                Narrowed::To(schema) => with_schema(text, "inputSchema", &schema)?,
                Narrowed::Unusable => {
                    tracing::debug!(tool = %listed.tool.name, "Not listed: no arguments fit both its schema and policy");
                    return None;
                }
            };
            match Redaction::of(&verdict.redact) {
                None => Some(narrowed),
                Some(redaction) => masked_output(narrowed, &redaction),
            }
        };
        let own = self.own.as_ref().filter(|_| page.last).and_then(|own| own_tool(own.as_str()));
        let shown = page.tools.iter().zip(learned.tools).map(shown);
        let tools = shown.chain(own.map(|own| Some(Cow::Owned(own)))).collect();
        differing.record(self);
        tools
    }

    fn fits(&self, kind: ListKind, items: &[&RawValue]) -> Vec<bool> {
        let Some(thing) = Thing::listed(kind) else { return vec![true; items.len()] };
        let (tenant, pins) = (self.caller.tenant(), &self.pins);
        let taught = self.shared.catalogue.learn_things(tenant, &self.server, pins, thing, items);
        self.shared.tell(&taught.changes);
        match (self.eyes, pins.mode(&self.server)) {
            (Eyes::Caller | Eyes::Nobody, PinMode::Enforce) => taught.fits,
            (Eyes::Caller | Eyes::Nobody, PinMode::Warn | PinMode::Off) | (Eyes::Operator, _) => {
                vec![true; items.len()]
            }
        }
    }

    fn page_again(&self, asked: &Message, page: &[u8]) -> Option<Bytes> {
        self.pages.again(&self.page_key(asked)?, page, asked.id.as_ref()?, &self.edition()?)
    }

    fn page_seen(&self, asked: &Message, page: &[u8], passed: &Bytes) {
        if let (Some(key), Some(id), Some(edition)) = (self.page_key(asked), &asked.id, self.edition()) {
            self.pages.keep(key, page, passed, id, edition);
        }
    }

    fn sealed(&self, asked: &Message, state: &str) -> Option<String> {
        match self.eyes {
            Eyes::Caller => rounds::sealed(&self.states, &self.caller, &self.server.name, asked, state),
            Eyes::Operator | Eyes::Nobody => None,
        }
    }

    fn resource(&self, uri: &str) -> bool {
        self.shows("resources/read", &Subject::Resource(uri.into()))
    }

    fn prompt(&self, name: &str) -> bool {
        self.shows("prompts/get", &Subject::Prompt(name.into()))
    }

    fn task_redaction(&self, id: &str) -> Option<Option<Redaction>> {
        let bound =
            self.shared.tasks.of(self.caller.tenant(), &self.server.name, id, &self.caller.principal())?;
        Some(Redaction::of(&bound.redact))
    }

    fn request(&self, method: &str) -> bool {
        // A ping asks nothing of anyone.
        method == "ping" || (server_method(method).is_some() && self.shows(method, &Subject::Server))
    }

    fn list_changed(&self, kind: ListKind) {
        if let Some(thing) = Thing::listed(kind) {
            self.shared.catalogue.forget_things(self.caller.tenant(), &self.server.name, thing);
        }
    }

    fn tools_changed(&self) {
        self.shared.catalogue.forget(self.caller.tenant(), &self.server.name);
    }
}

/// The tool with another schema.
fn with_schema<'a>(tool: &RawValue, member: &str, schema: &RawValue) -> Option<Cow<'a, RawValue>> {
    let bytes = splice::set(tool.get().as_bytes(), &[member], schema).ok()?;
    RawValue::from_string(String::from_utf8(bytes).ok()?).ok().map(Cow::Owned)
}

/// The tool with an output schema that its results fit when they are masked, or with none.
fn masked_output<'a>(tool: Cow<'a, RawValue>, redaction: &Redaction) -> Option<Cow<'a, RawValue>> {
    const MEMBER: &str = "outputSchema";
    let bytes = tool.get().as_bytes();
    let Some(schema) = splice::get(bytes, &[MEMBER]).ok()? else { return Some(tool) };
    let schema = RawValue::from_string(schema.to_owned()).ok()?;
    if let Some(schema) = redaction.output_schema(&schema) {
        return with_schema(&tool, MEMBER, &schema);
    }
    let bytes = splice::remove(bytes, &[MEMBER]).ok()??;
    RawValue::from_string(String::from_utf8(bytes).ok()?).ok().map(Cow::Owned)
}
