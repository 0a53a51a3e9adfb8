//! What the gate knows of a server's tools: operation, class, tags, annotations, schema.
//!
//! # Why it is learned per tenant
//! A server may show each account other tools. What one tenant's list taught is never used for another's.

mod compare;
mod definition;
mod listing;
mod lock;
mod operation;
mod pins;
mod scan;
mod template;
mod thing;
mod things;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::{Duration, Instant};

use dashmap::DashMap;
use quick_cache::sync::Cache;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::catalogue::listing::Listing;
use crate::config::{PinMode, Server};
use crate::decode::ParamHeaders;
use crate::name::{ServerName, TenantId, ToolName};

pub use compare::{Difference, compare, distinct};
pub use definition::{Definition, Digest, ItemName, Unreadable, canonical_text};
pub use lock::{BadLock, Lock, Pinned};
pub use pins::{Change, Drift, Pins};
pub use scan::{Finding, Kind, escaped, scan};
pub use thing::{Thing, Things};
pub use things::{Stand, Taught};

/// A tool as policy sees it.
#[derive(Debug, Clone)]
pub struct Tool {
    /// Its name at the server.
    pub name: ToolName,
    /// `list`, `get`, `create`, `update`, `delete`, or the vendor's own verb.
    pub operation: Arc<str>,
    /// What its operation amounts to.
    pub class: Class,
    /// Its tags.
    pub tags: Vec<Arc<str>>,
    /// The annotations as the server gave them, where the server is trusted for them.
    pub annotations: Option<Arc<RawValue>>,
    /// Whether it matches its pin.
    pub pinned: bool,
    /// Which of its arguments are mirrored in headers; no policy reads that.
    pub mirrored: Arc<ParamHeaders>,
}

/// What an operation amounts to: `list` and `get` read; `create`, `update` and `delete` write; all else is custom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// Reads only.
    Read,
    /// Creates, updates or deletes.
    Write,
    /// Anything else, and whatever is not known.
    Custom,
}

impl Class {
    /// Its name in policy input.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Custom => "custom",
        }
    }
}

/// A tool as its server lists it.
#[derive(Debug)]
pub struct Listed {
    /// As policy sees it.
    pub tool: Arc<Tool>,
    /// Its `inputSchema` as it came.
    pub input_schema: Option<Box<RawValue>>,
    /// How it differs from what was pinned; `None`: it does not, or is not compared.
    pub drift: Option<Drift>,
    /// Of its definition; `None`: it can be read in two ways, or nobody asked.
    digest: Option<Digest>,
}

/// What is known of a tool.
#[derive(Debug)]
pub enum Known {
    /// The server lists it.
    Listed(Arc<Listed>),
    /// The server's whole list has been seen, and it is not there.
    Absent {
        /// When the list was seen.
        seen: Instant,
    },
    /// The server's list has not been seen.
    Unseen,
}

impl Known {
    /// Whether the knowledge is that old that the server may have changed its mind.
    #[must_use]
    pub fn is_older_than(&self, age: Duration) -> bool {
        match self {
            Self::Listed(_) => false,
            Self::Absent { seen } => seen.elapsed() > age,
            Self::Unseen => true,
        }
    }
}

/// So often at most a listing that has not changed is written again, to say that it was seen.
const AGED: Duration = Duration::from_secs(15);

/// So many changes are remembered as told; one that is forgotten is told again.
const TOLD: usize = 10_000;

/// The listings of every account; the keys begin with the tenant.
#[derive(Debug)]
pub struct Catalogue {
    listings: DashMap<(TenantId, ServerName), Arc<Listing>>,
    things: things::SeenThings,
    /// The changes that were told: what it was, and under which lock.
    told: Cache<(TenantId, ServerName, Thing, ItemName), Told>,
}

/// Of a change that was told: the digest of the tool, and the lock that it does not match.
type Told = (Option<Digest>, Option<Digest>);

impl Default for Catalogue {
    fn default() -> Self {
        Self { listings: DashMap::new(), things: things::SeenThings::default(), told: Cache::new(TOLD) }
    }
}

/// What a page of a list taught.
#[derive(Debug)]
pub struct Learned {
    /// Its tools; one that cannot be read is `None`, and is not to be shown.
    pub tools: Vec<Option<Arc<Listed>>>,
    /// Those that do not match their pins and were not told before.
    pub changes: Vec<Change>,
}

/// The members of a listed tool that the gate reads.
#[derive(Deserialize)]
struct Entry<'a> {
    name: String,
    #[serde(borrow, default)]
    annotations: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "inputSchema")]
    input_schema: Option<&'a RawValue>,
}

impl Tool {
    /// A tool of `server` by its name alone, as before any list has been seen.
    #[must_use]
    pub fn named(server: &Server, name: ToolName) -> Self {
        Self::described(server, name, None)
    }

    /// What it does, as one says it: `create a purchase order`; `None` where its name does not begin with a known verb.
    #[must_use]
    pub fn spoken(&self, server: &Server) -> Option<String> {
        operation::spoken(server, &self.name)
    }

    /// The same tool, as it would be if that were said of it: its operation, its tags.
    #[must_use]
    pub fn said(mut self, operation: Option<&str>, tags: Option<Vec<Arc<str>>>) -> Self {
        if let Some(written) = operation {
            (self.operation, self.class) = operation::written(written);
        }
        self.tags = tags.unwrap_or(self.tags);
        self
    }

    fn described(server: &Server, name: ToolName, annotations: Option<&RawValue>) -> Self {
        let rule = server.tools.iter().find(|rule| rule.pattern.is_match(name.as_str()));
        let annotations = annotations.filter(|_| server.trust_annotations);
        let (operation, class) = match rule.and_then(|rule| rule.operation.as_deref()) {
            Some(written) => operation::written(written),
            None => operation::derived(server, &name, annotations),
        };
        Self {
            name,
            operation,
            class,
            tags: rule.map(|rule| rule.tags.clone()).unwrap_or_default(),
            annotations: annotations.map(|annotations| annotations.to_owned().into()),
            pinned: false,
            mirrored: Arc::default(),
        }
    }
}

impl Listed {
    fn read(server: &Server, text: &RawValue, pins: &Pins) -> Option<Self> {
        let entry: Entry<'_> = serde_json::from_str(text.get()).ok()?;
        let name = ToolName::parse(&entry.name).ok()?;
        let mut tool = Tool::described(server, name, entry.annotations);
        let compared = pins.under(server).compares();
        let digest =
            compared.then(|| Definition::read(Thing::Tool, text).ok().map(|read| read.digest())).flatten();
        let drift = compared.then(|| pins.drift(&server.name, tool.name.as_str(), digest)).flatten();
        tool.pinned = compared && drift.is_none();
        tool.mirrored = Arc::new(entry.input_schema.map(ParamHeaders::of).unwrap_or_default());
        Some(Self {
            tool: Arc::new(tool),
            input_schema: entry.input_schema.map(ToOwned::to_owned),
            drift,
            digest,
        })
    }

    /// The same under other pins.
    fn judged(&self, server: &Server, pins: &Pins) -> Self {
        let compared = pins.under(server).compares();
        let drift =
            compared.then(|| pins.drift(&server.name, self.tool.name.as_str(), self.digest)).flatten();
        let tool = Tool { pinned: compared && drift.is_none(), ..Tool::clone(&self.tool) };
        Self { tool: Arc::new(tool), input_schema: self.input_schema.clone(), drift, digest: self.digest }
    }

    /// Whether it is kept from callers: it does not match its pin, and pins are enforced.
    #[must_use]
    pub fn is_withheld(&self, mode: PinMode) -> bool {
        self.drift.is_some() && mode == PinMode::Enforce
    }
}

/// All that was known of an account's tools at one moment. Two are the same where nothing was learned or forgotten between.
#[derive(Debug)]
pub struct Edition(Arc<Listing>);

impl PartialEq for Edition {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Catalogue {
    /// What is known now, where the whole list has been seen and need not be learned again yet.
    #[must_use]
    pub fn edition(&self, tenant: &TenantId, server: &Server, pins: &Pins) -> Option<Edition> {
        let listing = self.listing(tenant, server, pins)?;
        (listing.complete && listing.seen.elapsed() <= AGED).then_some(Edition(listing))
    }

    /// What is known of one tool.
    #[must_use]
    pub fn tool(&self, tenant: &TenantId, server: &Server, pins: &Pins, tool: &ToolName) -> Known {
        let Some(listing) = self.listing(tenant, server, pins) else { return Known::Unseen };
        match listing.by_name.get(tool) {
            Some(listed) => Known::Listed(Arc::clone(listed)),
            None if listing.complete => Known::Absent { seen: listing.seen },
            None => Known::Unseen,
        }
    }

    /// What was known of a tool before the list that is being read now was begun.
    #[must_use]
    pub fn before(
        &self,
        tenant: &TenantId,
        server: &Server,
        pins: &Pins,
        tool: &ToolName,
    ) -> Option<Arc<Listed>> {
        let listing = self.listing(tenant, server, pins)?;
        listing.before.as_ref().and_then(|before| before.by_name.get(tool)).map(Arc::clone)
    }

    /// All tools of an account's server that callers may be shown, where its whole list has been seen.
    #[must_use]
    pub fn tools(&self, tenant: &TenantId, server: &Server, pins: &Pins) -> Option<Vec<Tool>> {
        let listing = self.listing(tenant, server, pins).filter(|listing| listing.complete)?;
        let shown = listing.by_name.values().filter(|listed| !listed.is_withheld(pins.mode(server)));
        Some(shown.map(|listed| Tool::clone(&listed.tool)).collect())
    }

    /// A listing as these pins judge it. One that was learned without looking at definitions cannot be judged.
    fn listing(&self, tenant: &TenantId, server: &Server, pins: &Pins) -> Option<Arc<Listing>> {
        let key = (tenant.clone(), server.name.clone());
        let under = pins.under(server);
        let known = self.listings.get(&key).map(|listing| Arc::clone(&listing))?;
        if known.under == under {
            return Some(known);
        }
        let mut slot = self.listings.get_mut(&key)?;
        if slot.under != under {
            *slot = Arc::new(slot.judged(server, pins)?);
        }
        Some(Arc::clone(&slot))
    }

    /// Learns a page of `tools/list`, and says of each of its tools what policy is asked about.
    #[must_use]
    pub fn learn(&self, tenant: &TenantId, server: &Server, pins: &Pins, page: &Page<'_>) -> Learned {
        let before = self.listing(tenant, server, pins);
        let known =
            |text: &RawValue| before.as_ref().and_then(|listing| listing.by_text.get(text.get()).cloned());
        let mut fresh = false;
        let read = |text: &&RawValue| {
            known(text).or_else(|| {
                fresh = true;
                Listed::read(server, text, pins).map(Arc::new)
            })
        };
        let tools: Vec<_> = page.tools.iter().map(read).collect();
        let complete = before.as_ref().is_some_and(|listing| listing.complete);
        let shrunk =
            page.is_whole() && before.as_ref().is_some_and(|listing| listing.by_text.len() != tools.len());
        let aged = before.as_ref().is_some_and(|listing| listing.seen.elapsed() > AGED);
        if fresh || shrunk || aged || (page.last && !complete) {
            let listing = Listing::with(before, page, &tools, pins.under(server));
            self.listings.insert((tenant.clone(), server.name.clone()), Arc::new(listing));
        }
        let changes = self.changes(tenant, server, pins, &tools);
        Learned { tools, changes }
    }

    fn changes(
        &self,
        tenant: &TenantId,
        server: &Server,
        pins: &Pins,
        tools: &[Option<Arc<Listed>>],
    ) -> Vec<Change> {
        let change = |listed: &Arc<Listed>| {
            if listed.drift.is_none() && self.told.is_empty() {
                return None;
            }
            let name = ItemName::new(listed.tool.name.as_str().into());
            self.news(tenant, server, pins, (Thing::Tool, &name), (listed.drift, listed.digest))
        };
        tools.iter().flatten().filter_map(change).collect()
    }

    /// The change, where it was not told before.
    fn news(
        &self,
        tenant: &TenantId,
        server: &Server,
        pins: &Pins,
        (thing, name): (Thing, &ItemName),
        (drift, now): (Option<Drift>, Option<Digest>),
    ) -> Option<Change> {
        let key = (tenant.clone(), server.name.clone(), thing, name.clone());
        let Some(drift) = drift else {
            // It is as it should be again: should it change once more, that is news.
            self.told.remove(&key);
            return None;
        };
        let revision = pins.revision();
        if self.told.get(&key) == Some((now, revision)) {
            return None;
        }
        self.told.insert(key, (now, revision));
        let pinned = match pins.pinned(&server.name, thing, name.as_str()) {
            [one] => Some(*one),
            _ => None,
        };
        let (tenant, mode) = (tenant.clone(), pins.mode(server));
        Some(Change {
            tenant,
            server: server.name.clone(),
            thing,
            name: name.clone(),
            drift,
            mode,
            pinned,
            now,
        })
    }

    /// Forgets that a listing is true: the server says that it has changed. What it was is kept until it is read again.
    pub fn forget(&self, tenant: &TenantId, server: &ServerName) {
        if let Some(mut slot) = self.listings.get_mut(&(tenant.clone(), server.clone())) {
            let before = Listing::kept(&slot);
            *slot = Arc::new(Listing { before, ..Listing::empty(slot.under) });
        }
    }

    /// Forgets everything: what operators say of tools has changed.
    pub fn clear(&self) {
        self.listings.clear();
        self.things.clear();
    }
}

/// One page of a list of tools.
#[derive(Debug)]
pub struct Page<'a> {
    /// The tools, each as its exact text.
    pub tools: &'a [&'a RawValue],
    /// Whether it was asked for without a cursor.
    pub first: bool,
    /// Whether no cursor leads on.
    pub last: bool,
}

impl Page<'_> {
    fn is_whole(&self) -> bool {
        self.first && self.last
    }
}
