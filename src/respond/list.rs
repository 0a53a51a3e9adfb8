//! Lists, filtered item by item: what is kept stays as its exact text.

use std::borrow::Cow;

use bytes::Bytes;
use serde_json::value::RawValue;

use crate::catalogue::Page;
use crate::decode::reply::Fields;
use crate::decode::{Era, ListKind, Message};
use crate::respond::raw::Object;
use crate::respond::redact::Redaction;

/// What the caller may see; the gateway asks `decide`.
pub(crate) trait Sight {
    /// Each tool of a page as the caller may see it, its schema narrowed; `None` where it is hidden.
    fn tools<'a>(&self, page: &Page<'a>) -> Vec<Option<Cow<'a, RawValue>>>;
    /// Of each item of a page of prompts, resources or templates, whether it may be shown by what was pinned.
    fn fits(&self, kind: ListKind, items: &[&RawValue]) -> Vec<bool>;
    /// What the caller got for this very page of tools before, where nothing has changed that it depends on.
    fn page_again(&self, asked: &Message, page: &[u8]) -> Option<Bytes>;
    /// The caller gets `passed` for this page of tools.
    fn page_seen(&self, asked: &Message, page: &[u8], passed: &Bytes);
    /// State that the server leaves with the caller until the next round of a call, as the caller gets it.
    fn sealed(&self, asked: &Message, state: &str) -> Option<String>;
    /// Whether the caller may see a resource or a resource template.
    fn resource(&self, uri: &str) -> bool;
    /// Whether the caller may see a prompt.
    fn prompt(&self, name: &str) -> bool;
    /// What is masked in a task's result, if the task is the caller's own.
    fn task_redaction(&self, id: &str) -> Option<Option<Redaction>>;
    /// Whether the server may ask the caller this (`sampling/createMessage`, `elicitation/create`, …).
    fn request(&self, method: &str) -> bool;
    /// The server says that its list of prompts, resources or templates has changed.
    fn list_changed(&self, kind: ListKind);
    /// The server says that its tools have changed.
    fn tools_changed(&self);
}

/// A result of a list, read.
pub(in crate::respond) struct Listed<'a> {
    pub fields: Fields<'a>,
    items: Vec<&'a RawValue>,
    kind: ListKind,
    size: usize,
}

impl<'a> Listed<'a> {
    /// Reads a result; `None` where it is not such a list, which must then not be passed on.
    pub(in crate::respond) fn read(result: &'a RawValue, kind: ListKind) -> Option<Self> {
        let (fields, items) = Fields::with_list(result, member_of(kind)).ok()?;
        Some(Self { fields, items, kind, size: result.get().len() })
    }

    /// The same as JSON, without what the caller may not see. `first`: it was asked for without a cursor.
    pub(in crate::respond) fn filtered(&self, first: bool, era: Era, sight: &impl Sight) -> String {
        let last = self.fields.get("nextCursor").is_none();
        let kept = kept(self.kind, &Page { tools: &self.items, first, last }, sight);
        let mut object = Object::sized(self.size + 64);
        for (key, value) in self.fields.iter() {
            match key {
                key if key == member_of(self.kind) => {
                    object.add_array(key, kept.iter().map(|item| item.get()));
                }
                // What is filtered for one caller must not be served to another from a cache on the way.
                "cacheScope" => object.add(key, "\"private\""),
                // Policy may change at any moment, and the list with it.
                "ttlMs" => object.add(key, "0"),
                key => object.add(key, value.get()),
            }
        }
        if era == Era::Modern {
            if self.fields.get("cacheScope").is_none() {
                object.add("cacheScope", "\"private\"");
            }
            if self.fields.get("ttlMs").is_none() {
                object.add("ttlMs", "0");
            }
        }
        object.into_text()
    }
}

fn member_of(kind: ListKind) -> &'static str {
    match kind {
        ListKind::Tools => "tools",
        ListKind::Resources => "resources",
        ListKind::Templates => "resourceTemplates",
        ListKind::Prompts => "prompts",
        ListKind::Tasks => "tasks",
    }
}

fn kept<'a>(kind: ListKind, page: &Page<'a>, sight: &impl Sight) -> Vec<Cow<'a, RawValue>> {
    let visible = |key: &'static str, sees: &dyn Fn(&str) -> bool| {
        let seen = |item: &&RawValue| {
            let text = Fields::read(item).ok().and_then(|item| item.text(key).ok().flatten());
            text.is_some_and(|text| sees(&text))
        };
        let fits = sight.fits(kind, page.tools);
        let fitting = page.tools.iter().copied().zip(fits).filter(|(_, fits)| *fits);
        fitting.map(|(item, _)| item).filter(seen).map(Cow::Borrowed).collect()
    };
    match kind {
        ListKind::Tools => sight.tools(page).into_iter().flatten().collect(),
        ListKind::Resources => visible("uri", &|uri| sight.resource(uri)),
        ListKind::Templates => visible("uriTemplate", &|uri| sight.resource(uri)),
        ListKind::Prompts => visible("name", &|name| sight.prompt(name)),
        ListKind::Tasks => page.tools.iter().copied().filter_map(|task| own_task(task, sight)).collect(),
    }
}

/// A task of the caller's, without the words that its redaction does not let pass.
fn own_task<'a>(task: &'a RawValue, sight: &impl Sight) -> Option<Cow<'a, RawValue>> {
    let id = Fields::read(task).ok()?.text("taskId").ok()??;
    match sight.task_redaction(&id)? {
        None => Some(Cow::Borrowed(task)),
        Some(redaction) => redaction.task(task).map(Cow::Owned),
    }
}
