//! Values that policy wants masked in results.
//!
//! # Why withhold
//! Where policy demands a redaction and the content cannot be searched (binary, text that is not JSON), passing it would
//! be a guess. It is withheld, and the place says so. A result that cannot be given in part is given as an error.
//!
//! # Why text and structure are compared
//! The text of a result is mostly its `structuredContent` once more, but not always in the same form: an SDK may put it
//! into `{"result": …}`, or give each element a text of its own. Where one of both has something to mask and the other
//! has not, the other is not taken to be clean.

mod beside;
mod mask;
mod output;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use serde_json::value::RawValue;

use crate::decode::reply::Fields;
use crate::respond::raw::{Object, array, elements, quoted, text};
use crate::respond::redact::mask::Search;

const WITHHELD: &str = "[withheld: policy demands a redaction that cannot be made here]";
const NO_RESULT: &str = "[withheld: policy demands a redaction that cannot be made in this result]";

/// A JSON Pointer (RFC 6901) whose segments may be `*`, any member or element.
#[derive(Debug, Clone)]
struct Pointer(Vec<String>);

/// What is to be masked.
#[derive(Debug, Clone)]
pub(crate) struct Redaction(Vec<Pointer>);

/// What became of a text.
enum Text {
    /// Nothing in it is to be masked.
    Clean,
    /// As it may pass.
    Masked(Box<RawValue>),
    /// It cannot be searched.
    Withheld,
}

/// One item of content, as it may pass.
struct Item {
    json: Box<RawValue>,
    text: Text,
    /// The text that was withheld.
    lost: Option<String>,
}

impl Redaction {
    /// Masks at `pointers`; `None` where there are none.
    pub(crate) fn of(pointers: &[Arc<str>]) -> Option<Self> {
        let parse = |pointer: &Arc<str>| match pointer.strip_prefix('/') {
            None => Pointer(Vec::new()),
            Some(segments) => {
                let segments = segments.split('/');
                Pointer(segments.map(|segment| segment.replace("~1", "/").replace("~0", "~")).collect())
            }
        };
        (!pointers.is_empty()).then(|| Self(pointers.iter().map(parse).collect()))
    }

    /// The result of `tools/call`, `resources/read`, `prompts/get`, `completion/complete` or a task, masked.
    pub(crate) fn result(&self, result: &RawValue) -> Option<Box<RawValue>> {
        let members = Fields::read(result).ok()?;
        let mut items = match members.get("content").map(elements) {
            None => Vec::new(),
            Some(items) => items?.into_iter().map(|item| self.item(item)).collect::<Option<_>>()?,
        };
        let structured = members.get("structuredContent").map(|value| self.structured(value, &mut items));
        let safe = structured.as_ref().is_none_or(Option::is_some);
        self.members(&members, result.get().len(), safe.then_some((structured.flatten(), items)))
            .or_else(|| self.members(&members, 0, None))
    }

    /// The members as they may pass. `found`: structured and other content, masked; `None`: it cannot be given.
    fn members(
        &self,
        members: &Fields<'_>,
        size: usize,
        found: Option<(Option<Box<RawValue>>, Vec<Item>)>,
    ) -> Option<Box<RawValue>> {
        let mut object = Object::sized(size);
        let (given, structured, items) = match found {
            Some((structured, items)) => (true, structured, items),
            None => (false, None, Vec::new()),
        };
        for (key, value) in members.iter() {
            let masked = match key {
                "resultType" if !given => quoted("complete"),
                "isError" | "resultType" | "requestState" | "cacheScope" => Some(value.to_owned()),
                key if beside::of_task(key) => Some(value.to_owned()),
                "_meta" => meta(value),
                _ if !given => continue,
                "structuredContent" => structured.clone(),
                "content" => RawValue::from_string(array(items.iter().map(|item| item.json.get()))).ok(),
                "contents" => Some(self.each(value, |item| self.contents(item).map(|item| item.json))?),
                "messages" => Some(self.messages(value)?),
                // A finished task carries the result of its call, or its error.
                "result" => Some(self.result(value)?),
                "error" => Some(self.error(value)?),
                "task" => Some(self.task(value)?),
                "inputRequests" => Some(self.requests(value)?),
                "completion" => RawValue::from_string(r#"{"values":[]}"#.to_owned()).ok(),
                // What nobody knows cannot be searched.
                _ => continue,
            };
            if given || !matches!(key, "isError" | "requestState") {
                object.add(key, masked.as_deref().unwrap_or(value).get());
            }
        }
        if !given {
            let text = withheld_item(NO_RESULT)?;
            object.add_array("content", std::iter::once(text.get()));
            object.add("isError", "true");
        }
        object.finish()
    }

    /// Structured content, masked; `None` where it cannot be given. Texts beside it that hide what it shows are withheld.
    fn structured(&self, value: &RawValue, items: &mut [Item]) -> Option<Box<RawValue>> {
        let withheld: Vec<String> = items.iter().filter_map(|item| item.lost.clone()).collect();
        let masked = Search { pointers: &self.0, withheld: &withheld }.document(value);
        let of_pointers = Search { pointers: &self.0, withheld: &[] }.document(value).is_some();
        let masked_text = items.iter().any(|item| matches!(item.text, Text::Masked(_)));
        if masked_text && !of_pointers {
            return None;
        }
        for item in items.iter_mut().filter(|item| of_pointers && matches!(item.text, Text::Clean)) {
            item.json = withheld_item(WITHHELD)?;
        }
        let masked = masked.unwrap_or_else(|| value.to_owned());
        masked.get().starts_with('{').then_some(masked)
    }

    /// A tool's output schema as agents need to see it, so that they accept what was masked; `None`: none is to be shown.
    pub(crate) fn output_schema(&self, schema: &RawValue) -> Option<Box<RawValue>> {
        let schema = serde_json::from_str(schema.get()).ok()?;
        serde_json::value::to_raw_value(&output::admitting(schema, &self.0)?).ok()
    }

    fn each(
        &self,
        list: &RawValue,
        change: impl Fn(&RawValue) -> Option<Box<RawValue>>,
    ) -> Option<Box<RawValue>> {
        let changed: Vec<Box<RawValue>> = elements(list)?.into_iter().map(change).collect::<Option<_>>()?;
        RawValue::from_string(array(changed.iter().map(|item| item.get()))).ok()
    }

    fn messages(&self, messages: &RawValue) -> Option<Box<RawValue>> {
        self.each(messages, |message| {
            let members = Fields::read(message).ok()?;
            let mut object = Object::sized(message.get().len());
            for (key, value) in members.iter() {
                match key {
                    "role" => object.add(key, value.get()),
                    "content" if value.get().starts_with('[') => {
                        object.add(key, self.each(value, |item| Some(self.item(item)?.json))?.get());
                    }
                    "content" => object.add(key, self.item(value)?.json.get()),
                    _ => {}
                }
            }
            object.finish()
        })
    }

    /// One item of content: text that is JSON is masked, all else withheld.
    fn item(&self, item: &RawValue) -> Option<Item> {
        let members = Fields::read(item).ok()?;
        let resource = members.get("resource");
        match (members.text("type").ok()?.as_deref(), resource) {
            (Some("text"), _) => self.contents(item),
            (Some("resource"), Some(resource)) => {
                let inner = self.contents(resource)?;
                let mut object = Object::sized(inner.json.get().len() + 32);
                object.add("type", "\"resource\"");
                object.add("resource", inner.json.get());
                Some(Item { json: object.finish()?, ..inner })
            }
            (Some(_) | None, _) => {
                Some(Item { json: withheld_item(WITHHELD)?, text: Text::Withheld, lost: None })
            }
        }
    }

    /// What has a text or a blob: an item of text, or the contents of a resource.
    fn contents(&self, contents: &RawValue) -> Option<Item> {
        let members = Fields::read(contents).ok()?;
        let said = members.text("text").ok()?;
        let found = said.as_ref().map_or(Text::Withheld, |said| self.text(said));
        let mut object = Object::sized(contents.get().len());
        for (key, value) in members.iter() {
            match (key, &found) {
                ("type", _) => object.add(key, value.get()),
                ("mimeType", Text::Clean | Text::Masked(_)) => object.add(key, value.get()),
                ("uri", _) if holds_data(value) => object.add(key, "\"withheld:\""),
                ("uri", _) => object.add(key, value.get()),
                ("_meta", _) => object.add(key, meta(value)?.get()),
                ("text", Text::Clean) => object.add(key, value.get()),
                ("text", Text::Masked(masked)) => object.add(key, masked.get()),
                (_, _) => {}
            }
        }
        let withheld = matches!(found, Text::Withheld);
        if withheld {
            object.add("text", quoted(WITHHELD)?.get());
        }
        let lost = said.filter(|_| withheld).map(|said| said.into_owned());
        Some(Item { json: object.finish()?, text: found, lost })
    }

    fn text(&self, said: &str) -> Text {
        let Some(document) = mask::document(said) else { return Text::Withheld };
        let search = Search { pointers: &self.0, withheld: &[] };
        match search.document(&document) {
            None => Text::Clean,
            Some(masked) => quoted(masked.get()).map_or(Text::Withheld, Text::Masked),
        }
    }
}

/// Whether an address holds the data itself (RFC 2397), or is none.
fn holds_data(uri: &RawValue) -> bool {
    text(uri).is_none_or(|uri| {
        uri.trim_start().get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("data:"))
    })
}

/// Of `_meta` what is the protocol's own.
fn meta(value: &RawValue) -> Option<Box<RawValue>> {
    let members = Fields::read(value).ok()?;
    let mut object = Object::sized(value.get().len());
    for (key, value) in members.iter() {
        if key == "progressToken" || key.starts_with("io.modelcontextprotocol/") {
            object.add(key, value.get());
        }
    }
    object.finish()
}

fn withheld_item(why: &str) -> Option<Box<RawValue>> {
    let mut object = Object::sized(why.len() + 32);
    object.add("type", "\"text\"");
    object.add("text", quoted(why)?.get());
    object.finish()
}

/// A name as a segment of a pointer.
fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}
