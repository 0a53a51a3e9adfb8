//! What is asked about: every tool, resource and prompt of a catalogue file, or the tools that are named exactly.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::catalogue::{Catalogue, Page, Pins, Thing, Tool};
use crate::config::{Config, Server};
use crate::decide::{Names, Subject};
use crate::name::{BadName, ServerName, TenantId, ToolName};
use crate::review::{Offered, Unlisted, What};

/// What a pattern has and a name has not.
const PATTERN: [char; 6] = ['*', '?', '[', ']', '{', '}'];

/// What a name of a list is about.
type Named = fn(Arc<str>) -> Subject;

/// A catalogue file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BadCatalogue {
    /// It cannot be read.
    #[error("the catalogue cannot be read: {0}")]
    Unreadable(#[from] std::io::Error),
    /// It is not what `portcullis catalogue pull` writes.
    #[error("it is no catalogue: {0}")]
    NoCatalogue(#[from] serde_json::Error),
    /// Nothing can be learned under this name.
    #[error("the catalogue cannot be read: {0}")]
    Name(#[from] BadName),
}

/// What was found to ask about.
#[derive(Debug, Default)]
pub struct Found {
    /// All of it.
    pub what: Vec<What>,
    /// What the reader should know of it.
    pub notes: Vec<String>,
}

/// The file: what each server offers, as its own lists say it.
#[derive(Deserialize)]
struct File<'a> {
    #[serde(borrow)]
    servers: BTreeMap<String, Offer<'a>>,
}

#[derive(Deserialize)]
struct Offer<'a> {
    #[serde(borrow, default)]
    tools: Vec<&'a RawValue>,
    #[serde(borrow, default)]
    resources: Vec<&'a RawValue>,
    #[serde(borrow, default)]
    templates: Vec<&'a RawValue>,
    #[serde(borrow, default)]
    prompts: Vec<&'a RawValue>,
}

impl Found {
    /// Everything that a catalogue file says configured servers offer.
    ///
    /// # Errors
    /// It cannot be read, or is no catalogue.
    pub fn in_catalogue(file: &Path, config: &Config) -> Result<Self, BadCatalogue> {
        Self::in_text(&std::fs::read_to_string(file)?, config)
    }

    /// The same of a catalogue's text.
    ///
    /// # Errors
    /// It is no catalogue.
    pub fn in_text(text: &str, config: &Config) -> Result<Self, BadCatalogue> {
        let written: File<'_> = serde_json::from_str(text)?;
        let mut found = Self::default();
        let pins = Pins::load(config).unwrap_or_else(|why| {
            found.note(format!("no tool counts as pinned, for the lock cannot be used: {why}"));
            Pins::none()
        });
        for (name, offer) in &written.servers {
            match ServerName::parse(name).ok().and_then(|name| config.servers.get(&name)) {
                Some(server) => found.offered(server, &pins, offer)?,
                None => found.note(format!("the catalogue's server `{name}` is not configured: left out")),
            }
        }
        for name in config.servers.keys().filter(|name| !written.servers.contains_key(name.as_str())) {
            found.note(format!("the catalogue does not have the configured server `{name}`"));
        }
        Ok(found.beside_own(config))
    }

    /// The tools that the configuration and the policies' grants name exactly.
    #[must_use]
    pub fn named(config: &Config, names: &Names) -> Self {
        let mut found = Self::default();
        for server in config.servers.values() {
            let configured = server.tools.iter().map(|rule| rule.pattern.glob().glob());
            let exact = configured.filter(|name| !name.contains(PATTERN));
            let mut tools: Vec<ToolName> = exact.filter_map(|name| ToolName::parse(name).ok()).collect();
            let granted = names.tools.iter().filter(|(term, _)| is_meant(server, term));
            tools.extend(granted.map(|(_, tool)| tool.clone()));
            for tool in tools {
                let subject = Subject::Tool(Arc::new(Tool::named(server, tool)));
                found.what.push(What { server: Arc::clone(server), subject, offered: Offered::default() });
            }
        }
        found.note("without a catalogue only tools that are named exactly are asked about; patterns cannot be expanded: `portcullis catalogue pull` makes one for --catalogue".to_owned());
        found.beside_own(config)
    }

    /// Marks the tools whose name the gate's own tool has.
    fn beside_own(mut self, config: &Config) -> Self {
        let own = config.ask_first.as_ref().map(ToolName::as_str);
        for what in self.what.iter_mut().filter(|what| what.kind() == "tool" && Some(what.name()) == own) {
            what.offered.unlisted = Some(Unlisted::Own);
        }
        self
    }

    fn offered(&mut self, server: &Arc<Server>, pins: &Pins, offer: &Offer<'_>) -> Result<(), BadName> {
        // The tools are read as the gate reads them from a server's list; whose list it is does not matter here.
        let (reader, page) = (Catalogue::default(), Page { tools: &offer.tools, first: true, last: true });
        let tenant = TenantId::parse("catalogue")?;
        let learned = reader.learn(&tenant, server, pins, &page).tools;
        let unread = learned.iter().filter(|listed| listed.is_none()).count();
        if unread > 0 {
            self.note(format!("{unread} tools of `{}` have no name that the gate would pass", server.name));
        }
        for listed in learned.into_iter().flatten() {
            let offered = Offered::tool(&listed, pins.mode(server));
            let subject = Subject::Tool(Arc::clone(&listed.tool));
            self.what.push(What { server: Arc::clone(server), subject, offered });
        }
        let kinds: [(Thing, Named, _); 3] = [
            (Thing::Resource, Subject::Resource, &offer.resources),
            (Thing::Template, Subject::Resource, &offer.templates),
            (Thing::Prompt, Subject::Prompt, &offer.prompts),
        ];
        // All is learned first: which resources are approved depends on the templates.
        for (thing, _, items) in kinds {
            let _ = reader.learn_things(&tenant, server, pins, thing, items);
        }
        for (thing, named, items) in kinds {
            for item in items {
                let Some(name) = name(thing, item) else {
                    self.note(format!("one of `{}`'s {} has no name: left out", server.name, thing.plural()));
                    continue;
                };
                let offered = Offered::thing((&reader, &tenant), server, pins, (thing, &name));
                let subject = named(name.into());
                self.what.push(What { server: Arc::clone(server), subject, offered });
            }
        }
        Ok(())
    }

    fn note(&mut self, note: String) {
        self.notes.push(note);
    }
}

/// What tells an item of a list from the others; `None`: nobody is shown it.
fn name(thing: Thing, item: &RawValue) -> Option<String> {
    let value: Value = serde_json::from_str(item.get()).ok()?;
    Some(value.get(thing.key())?.as_str()?.to_owned())
}

/// Whether a grant's word for servers means this one.
fn is_meant(server: &Server, term: &str) -> bool {
    match term.strip_prefix("tag:") {
        Some(tag) => server.tags.iter().any(|own| **own == *tag),
        None => term == "*" || term == server.name.as_str(),
    }
}
