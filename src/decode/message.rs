//! One request → its messages: envelope, era, method, params, mirrored headers, in this order.

use bytes::Bytes;
use serde_json::value::RawValue;

use super::envelope::{self, Envelope};
use super::method::{self, Row, What};
use super::params::Params;
use super::version::{self, Spoken};
use super::{Action, Decoded, Era, Message, Meta, Rejected, RequestId, Version};
use super::{action, json, media, mirror};
use crate::inbound::Head;
use crate::refusal::Refusal;

/// How many messages a batch may hold.
const BATCH: usize = 100;

/// A request without a body: GET or DELETE (legacy).
pub(super) fn bare(
    head: &Head,
    body: &Bytes,
    session: Option<Version>,
    action: Action,
) -> Result<Message, Refusal> {
    if !body.is_empty() {
        return Err(Refusal::BadHttp("a GET or DELETE with a body"));
    }
    let spoken = version::agree(head, None, session)?;
    if spoken.era == Era::Modern {
        return Err(Refusal::MethodNotAllowed { allow: "POST" });
    }
    Ok(Message {
        era: spoken.era,
        version: spoken.version,
        id: None,
        method: "",
        action,
        meta: Meta::default(),
        state: None,
        bytes: Bytes::new(),
    })
}

/// The message or the batch that a POST brings.
pub(super) fn post(
    head: &Head,
    body: &Bytes,
    session: Option<Version>,
    depth: usize,
) -> Result<Decoded, Box<Rejected>> {
    let frame = Frame { head, session, depth: json::bounded(depth), batched: false };
    let early = |refusal| frame.rejected(refusal, None);
    media::check(head).map_err(early)?;
    let text = json::text(body).map_err(|flaw| early(flaw.into()))?;
    if text.trim_start().starts_with('[') {
        return Frame { batched: true, ..frame }.batch(text, body).map(Decoded::Batch);
    }
    frame.one(text, body.clone()).map(Decoded::One)
}

/// What judging a message needs besides its text.
#[derive(Debug, Clone, Copy)]
struct Frame<'h> {
    head: &'h Head,
    session: Option<Version>,
    depth: usize,
    batched: bool,
}

/// What is known of a message by the time that it is refused.
#[derive(Debug)]
struct Known {
    id: Option<RequestId>,
    era: Era,
}

impl Frame<'_> {
    fn rejected(&self, refusal: Refusal, id: Option<RequestId>) -> Box<Rejected> {
        Box::new(Rejected { refusal, id, era: version::header_era(self.head) })
    }

    /// An array is a batch in a 2025-03-26 session, and nothing anywhere else (2025-03-26 basic/index).
    fn batch(&self, text: &str, body: &Bytes) -> Result<Vec<Message>, Box<Rejected>> {
        let refused = |what: &str| self.rejected(Refusal::Invalid(what.into()), None);
        let elements: Vec<&RawValue> = serde_json::from_str(text)
            .map_err(|error| self.rejected(Refusal::NotJson(error.to_string()), None))?;
        if self.session != Some(Version::V2025_03_26) {
            return Err(refused("a batch outside a 2025-03-26 session"));
        }
        if elements.is_empty() {
            return Err(refused("an empty batch"));
        }
        if elements.len() > BATCH {
            return Err(refused("a batch of more than 100 messages"));
        }
        let messages = elements.into_iter().map(|element| {
            let bytes = body.slice_ref(element.get().as_bytes());
            self.one(element.get(), bytes).map_err(|rejected| Box::new(Rejected { id: None, ..*rejected }))
        });
        distinct(messages.collect::<Result<_, _>>()?).map_err(|refusal| self.rejected(refusal, None))
    }

    fn one(&self, text: &str, bytes: Bytes) -> Result<Message, Box<Rejected>> {
        let mut known = Known { id: None, era: version::header_era(self.head) };
        self.judge(text, bytes, &mut known).map_err(|refusal| {
            let id = known.id.or_else(|| envelope::salvaged_id(text));
            Box::new(Rejected { refusal, id, era: known.era })
        })
    }

    fn judge(&self, text: &str, bytes: Bytes, known: &mut Known) -> Result<Message, Refusal> {
        match envelope::read(text, self.depth)? {
            Envelope::Response { id } => self.response(id, bytes),
            Envelope::Call { id, method, params } => {
                known.id.clone_from(&id);
                if !params.meta.version.is_absent() {
                    known.era = Era::Modern;
                }
                let spoken = self.spoken(&params)?;
                known.era = spoken.era;
                mirror::method(self.head, spoken.era, &method, id.is_some())?;
                let row = row(&method, spoken, id.is_some())?;
                self.call(row, id, &params, spoken, bytes)
            }
        }
    }

    fn spoken(&self, params: &Params<'_>) -> Result<Spoken, Refusal> {
        let said = &params.meta.version;
        if said.text().is_none() && !said.is_absent() {
            return Err(Refusal::MalformedParams("the protocol version in `_meta` must be a string".into()));
        }
        version::agree(self.head, said.text(), self.session)
    }

    fn call(
        &self,
        row: &Row,
        id: Option<RequestId>,
        params: &Params<'_>,
        spoken: Spoken,
        bytes: Bytes,
    ) -> Result<Message, Refusal> {
        if spoken.era == Era::Modern && id.is_some() {
            required(params)?;
        }
        if row.what == What::Initialize {
            self.fresh()?;
        }
        let action = action::read(row.what, params)?;
        mirror::name(self.head, spoken.era, action::mirrored_name(&action), id.is_some())?;
        Ok(Message {
            era: spoken.era,
            version: spoken.version,
            id,
            method: row.name,
            action,
            meta: params.meta(),
            state: params.state()?,
            bytes,
        })
    }

    /// A session begins once, and not inside a batch.
    fn fresh(&self) -> Result<(), Refusal> {
        if self.batched {
            return Err(Refusal::Invalid("`initialize` inside a batch".into()));
        }
        if self.session.is_some() || self.head.headers.contains_key("mcp-session-id") {
            return Err(Refusal::Invalid(
                "`initialize` inside a session; send it without Mcp-Session-Id".into(),
            ));
        }
        Ok(())
    }

    /// A client answers a request of the server: legacy only, as modern servers make none.
    fn response(&self, id: RequestId, bytes: Bytes) -> Result<Message, Refusal> {
        let spoken = version::agree(self.head, None, self.session)?;
        if spoken.era == Era::Modern {
            return Err(Refusal::Invalid("a client sends no responses in this revision".into()));
        }
        mirror::method(self.head, spoken.era, "", false)?;
        mirror::name(self.head, spoken.era, None, false)?;
        Ok(Message {
            era: spoken.era,
            version: spoken.version,
            id: Some(id),
            method: "",
            action: Action::Respond,
            meta: Meta::default(),
            state: None,
            bytes,
        })
    }
}

/// The method's row: requests have an id, notifications have none.
fn row(name: &str, spoken: Spoken, request: bool) -> Result<&'static Row, Refusal> {
    let quoted = json::quoted(name);
    let notifies = |row: &Row| matches!(row.what, What::Notify(_));
    match method::find(name, spoken.effective()) {
        Some(row) if notifies(row) && request => {
            Err(Refusal::Invalid(format!("the notification {quoted} with an id")))
        }
        Some(row) if !notifies(row) && !request => Err(Refusal::Invalid(format!("{quoted} without an id"))),
        Some(row) => Ok(row),
        None if request => Err(Refusal::UnknownMethod(quoted)),
        None => Err(Refusal::Invalid(format!("the notification {quoted} is not known here"))),
    }
}

/// What every modern request carries (2026-07-28 basic/index, `_meta`).
fn required(params: &Params<'_>) -> Result<(), Refusal> {
    if params.meta.version.is_absent() {
        return Err(Refusal::MalformedParams(
            "`_meta` must have `io.modelcontextprotocol/protocolVersion`".into(),
        ));
    }
    if params.meta.capabilities.is_none() {
        return Err(Refusal::MalformedParams(
            "`_meta` must have `io.modelcontextprotocol/clientCapabilities`, an object".into(),
        ));
    }
    Ok(())
}

/// Two requests of one id in a batch could not be told apart in the answer.
fn distinct(messages: Vec<Message>) -> Result<Vec<Message>, Refusal> {
    let mut ids = std::collections::HashSet::new();
    if messages.iter().filter_map(|message| message.id.as_ref()).all(|id| ids.insert(id)) {
        return Ok(messages);
    }
    Err(Refusal::Invalid("an id twice in one batch".into()))
}
