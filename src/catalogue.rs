//! What the gate knows of a server's tools: operation, class, tags, annotations, schema.
//!
//! # Why it is learned per tenant
//! A server may show each account other tools. What one tenant's list taught is never used for another's.

mod operation;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dashmap::DashMap;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::config::Server;
use crate::decode::ParamHeaders;
use crate::name::{ServerName, TenantId, ToolName};

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
    /// Whether it was pinned.
    pub pinned: bool,
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
    /// Which of its arguments are mirrored in headers.
    pub mirrored: ParamHeaders,
}

/// One account's tools, as far as lists have shown them.
#[derive(Debug)]
pub struct Listing {
    by_name: HashMap<ToolName, Arc<Listed>>,
    /// The same by their exact text, so that a list that is seen again is not parsed again.
    by_text: HashMap<Box<str>, Arc<Listed>, ahash::RandomState>,
    /// Whether every page has been seen.
    complete: bool,
    /// When a page was seen last.
    seen: Instant,
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

/// The listings of every account; the key begins with the tenant.
#[derive(Debug, Default)]
pub struct Catalogue(DashMap<(TenantId, ServerName), Arc<Listing>>);

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
        }
    }
}

impl Listed {
    fn read(server: &Server, text: &RawValue) -> Option<Self> {
        let entry: Entry<'_> = serde_json::from_str(text.get()).ok()?;
        let name = ToolName::parse(&entry.name).ok()?;
        Some(Self {
            tool: Arc::new(Tool::described(server, name, entry.annotations)),
            mirrored: entry.input_schema.map(ParamHeaders::of).unwrap_or_default(),
            input_schema: entry.input_schema.map(ToOwned::to_owned),
        })
    }
}

impl Catalogue {
    /// What is known of one tool.
    #[must_use]
    pub fn tool(&self, tenant: &TenantId, server: &ServerName, tool: &ToolName) -> Known {
        let Some(listing) = self.listing(tenant, server) else { return Known::Unseen };
        match listing.by_name.get(tool) {
            Some(listed) => Known::Listed(Arc::clone(listed)),
            None if listing.complete => Known::Absent { seen: listing.seen },
            None => Known::Unseen,
        }
    }

    /// All tools of an account's server, where its whole list has been seen.
    #[must_use]
    pub fn tools(&self, tenant: &TenantId, server: &ServerName) -> Option<Vec<Tool>> {
        let listing = self.listing(tenant, server).filter(|listing| listing.complete)?;
        Some(listing.by_name.values().map(|listed| Tool::clone(&listed.tool)).collect())
    }

    fn listing(&self, tenant: &TenantId, server: &ServerName) -> Option<Arc<Listing>> {
        self.0.get(&(tenant.clone(), server.clone())).map(|listing| Arc::clone(&listing))
    }

    /// Learns a page of `tools/list` and says of each of its tools what policy is asked about; a tool that cannot be
    /// read is `None`, and is not to be shown.
    #[must_use]
    pub fn learn(&self, tenant: &TenantId, server: &Server, page: &Page<'_>) -> Vec<Option<Arc<Listed>>> {
        let before = self.listing(tenant, &server.name);
        let known =
            |text: &RawValue| before.as_ref().and_then(|listing| listing.by_text.get(text.get()).cloned());
        let mut fresh = false;
        let read = |text: &&RawValue| {
            known(text).or_else(|| {
                fresh = true;
                Listed::read(server, text).map(Arc::new)
            })
        };
        let tools: Vec<_> = page.tools.iter().map(read).collect();
        let complete = before.as_ref().is_some_and(|listing| listing.complete);
        let shrunk =
            page.is_whole() && before.as_ref().is_some_and(|listing| listing.by_text.len() != tools.len());
        let aged = before.as_ref().is_some_and(|listing| listing.seen.elapsed() > AGED);
        if fresh || shrunk || aged || (page.last && !complete) {
            let listing = Listing::with(before.as_deref(), page, &tools);
            self.0.insert((tenant.clone(), server.name.clone()), Arc::new(listing));
        }
        tools
    }

    /// Forgets a listing: the server says that it has changed.
    pub fn forget(&self, tenant: &TenantId, server: &ServerName) {
        self.0.remove(&(tenant.clone(), server.clone()));
    }

    /// Forgets everything: what operators say of tools has changed.
    pub fn clear(&self) {
        self.0.clear();
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

impl Listing {
    fn with(before: Option<&Self>, page: &Page<'_>, tools: &[Option<Arc<Listed>>]) -> Self {
        // A first page begins the list anew, so that what the server has dropped is forgotten.
        let before = before.filter(|_| !page.first);
        let mut listing = Self {
            by_name: before.map(|before| before.by_name.clone()).unwrap_or_default(),
            by_text: before.map(|before| before.by_text.clone()).unwrap_or_default(),
            complete: false,
            seen: Instant::now(),
        };
        for (text, listed) in page.tools.iter().zip(tools) {
            if let Some(listed) = listed {
                listing.by_name.insert(listed.tool.name.clone(), Arc::clone(listed));
                listing.by_text.insert(text.get().into(), Arc::clone(listed));
            }
        }
        listing.complete = page.last && (page.first || before.is_some());
        listing
    }
}
