//! `params` and `_meta`: what of them the gate reads, and the keys that nothing in them may be taken for.

use serde::de::MapAccess;
use serde_json::value::RawValue;

use super::json::{self, Walk};
use super::object::{Members, Object, Scalar, Text};
use super::{Asking, Meta, baggage};
use crate::refusal::Refusal;

/// The capability by which a client declares the tasks extension.
pub(crate) const TASKS: &str = "io.modelcontextprotocol/tasks";

/// The params of any method. Which of them count, the method says.
#[derive(Debug, Default)]
pub(super) struct Params<'a> {
    /// Of a tool or a prompt.
    pub(super) name: Scalar<'a>,
    /// Of a resource.
    pub(super) uri: Scalar<'a>,
    /// Of a task.
    pub(super) task_id: Scalar<'a>,
    /// Of `initialize`.
    pub(super) protocol_version: Scalar<'a>,
    /// Of a tool or a prompt; walked.
    pub(super) arguments: Option<&'a RawValue>,
    /// What to complete; walked.
    pub(super) reference: Option<&'a RawValue>,
    /// What to listen to; walked.
    pub(super) notifications: Option<&'a RawValue>,
    /// Whether the request is to run as a task (2025-11-25).
    pub(super) task: bool,
    /// `_meta`.
    pub(super) meta: MetaFields<'a>,
    /// `requestState`.
    pub(super) state: Scalar<'a>,
    client: Option<Client<'a>>,
    meta_is_no_object: bool,
}

impl Params<'_> {
    /// Checks what was kept as text, inside which `left` containers may open.
    pub(super) fn check(&self, left: usize) -> Result<(), Refusal> {
        for kept in [self.arguments, self.reference, self.notifications].into_iter().flatten() {
            json::walk(kept, left)?;
        }
        if self.meta_is_no_object {
            return Err(Refusal::MalformedParams("`_meta` must be an object".into()));
        }
        Ok(())
    }

    /// `requestState`, which is a string where it is there (2026-07-28 basic/patterns/mrtr).
    pub(super) fn state(&self) -> Result<Option<Box<str>>, Refusal> {
        match (&self.state, self.state.is_absent()) {
            (state, false) if state.text().is_none() => {
                Err(Refusal::BadParams("`requestState` must be a string".into()))
            }
            (state, _) => Ok(state.text().map(Into::into)),
        }
    }

    /// What the gate keeps of `_meta`, and of the client's own words in `initialize`.
    pub(super) fn meta(&self) -> Meta {
        let client = self.meta.client.as_ref().or(self.client.as_ref());
        let text = |scalar: &Scalar<'_>| scalar.text().map(str::to_owned);
        let boxed = |scalar: &Scalar<'_>| scalar.text().map(Into::into);
        Meta {
            client_name: client.and_then(|client| text(&client.name)),
            client_version: client.and_then(|client| boxed(&client.version)),
            traceparent: boxed(&self.meta.traceparent),
            workflow: self.meta.baggage.text().and_then(baggage::workflow).map(Into::into),
            tasks: self.meta.capabilities.as_ref().is_some_and(|capabilities| capabilities.extensions.tasks),
            offers: self.meta.capabilities.as_ref().map(|it| it.offers).unwrap_or_default(),
        }
    }
}

impl<'de> Members<'de> for Params<'de> {
    #[rustfmt::skip]
    const KNOWN: &'static [&'static str] = &[
        "name", "arguments", "_meta", "uri", "cursor", "inputResponses", "requestState", "task", "taskId", "ref",
        "argument", "context", "level", "protocolVersion", "capabilities", "clientInfo", "notifications",
        "requestId", "reason", "progressToken", "progress", "total", "message",
    ];

    fn member<A: MapAccess<'de>>(
        &mut self,
        key: &'static str,
        left: usize,
        members: &mut A,
    ) -> Result<(), A::Error> {
        match key {
            "name" => self.name = members.next_value_seed(Text { left })?,
            "uri" => self.uri = members.next_value_seed(Text { left })?,
            "taskId" => self.task_id = members.next_value_seed(Text { left })?,
            "requestState" => self.state = members.next_value_seed(Text { left })?,
            "protocolVersion" => self.protocol_version = members.next_value_seed(Text { left })?,
            "arguments" => self.arguments = Some(members.next_value()?),
            "ref" => self.reference = Some(members.next_value()?),
            "notifications" => self.notifications = Some(members.next_value()?),
            "clientInfo" => {
                self.client = members.next_value_seed(Object { into: Client::default(), left })?
            }
            "_meta" => match members.next_value_seed(Object { into: MetaFields::default(), left })? {
                Some(meta) => self.meta = meta,
                None => self.meta_is_no_object = true,
            },
            "task" => {
                self.task = true;
                members.next_value_seed(Walk { left })?;
            }
            _ => members.next_value_seed(Walk { left })?,
        }
        Ok(())
    }
}

/// The keys of `_meta` (2026-07-28 basic/index, `_meta`).
#[derive(Debug, Default)]
pub(super) struct MetaFields<'a> {
    /// The revision; only modern requests have it.
    pub(super) version: Scalar<'a>,
    /// What the client can do: an object, if it is there.
    pub(super) capabilities: Option<Capabilities>,
    client: Option<Client<'a>>,
    traceparent: Scalar<'a>,
    baggage: Scalar<'a>,
}

impl<'de> Members<'de> for MetaFields<'de> {
    const KNOWN: &'static [&'static str] = &[
        "io.modelcontextprotocol/protocolVersion",
        "io.modelcontextprotocol/clientCapabilities",
        "io.modelcontextprotocol/clientInfo",
        "io.modelcontextprotocol/logLevel",
        "io.modelcontextprotocol/subscriptionId",
        "io.modelcontextprotocol/related-task",
        "io.modelcontextprotocol/serverInfo",
        "progressToken",
        "traceparent",
        "tracestate",
        "baggage",
    ];

    fn member<A: MapAccess<'de>>(
        &mut self,
        key: &'static str,
        left: usize,
        members: &mut A,
    ) -> Result<(), A::Error> {
        match key {
            "io.modelcontextprotocol/protocolVersion" => {
                self.version = members.next_value_seed(Text { left })?;
            }
            "io.modelcontextprotocol/clientCapabilities" => {
                self.capabilities =
                    members.next_value_seed(Object { into: Capabilities::default(), left })?;
            }
            "io.modelcontextprotocol/clientInfo" => {
                self.client = members.next_value_seed(Object { into: Client::default(), left })?;
            }
            "traceparent" => self.traceparent = members.next_value_seed(Text { left })?,
            "baggage" => self.baggage = members.next_value_seed(Text { left })?,
            _ => members.next_value_seed(Walk { left })?,
        }
        Ok(())
    }
}

/// The client as it names itself.
#[derive(Debug, Default)]
struct Client<'a> {
    name: Scalar<'a>,
    version: Scalar<'a>,
}

impl<'de> Members<'de> for Client<'de> {
    const KNOWN: &'static [&'static str] = &["name", "version"];

    fn member<A: MapAccess<'de>>(
        &mut self,
        key: &'static str,
        left: usize,
        members: &mut A,
    ) -> Result<(), A::Error> {
        let value = members.next_value_seed(Text { left })?;
        if key == "name" {
            self.name = value;
        } else {
            self.version = value;
        }
        Ok(())
    }
}

/// The client's capabilities.
#[derive(Debug, Default)]
pub(super) struct Capabilities {
    extensions: Extensions,
    offers: [Option<Asking>; 3],
}

impl<'de> Members<'de> for Capabilities {
    const KNOWN: &'static [&'static str] =
        &["extensions", "elicitation", "sampling", "roots", "experimental"];

    fn member<A: MapAccess<'de>>(
        &mut self,
        key: &'static str,
        left: usize,
        members: &mut A,
    ) -> Result<(), A::Error> {
        if key != "extensions" {
            if let Some(free) = self.offers.iter_mut().find(|offer| offer.is_none()) {
                *free = Asking::by_capability(key);
            }
            return members.next_value_seed(Walk { left });
        }
        let extensions = members.next_value_seed(Object { into: Extensions::default(), left })?;
        self.extensions = extensions.unwrap_or_default();
        Ok(())
    }
}

#[derive(Debug, Default)]
struct Extensions {
    tasks: bool,
}

impl<'de> Members<'de> for Extensions {
    const KNOWN: &'static [&'static str] = &[TASKS];

    fn member<A: MapAccess<'de>>(
        &mut self,
        _: &'static str,
        left: usize,
        members: &mut A,
    ) -> Result<(), A::Error> {
        self.tasks = true;
        members.next_value_seed(Walk { left })
    }
}
