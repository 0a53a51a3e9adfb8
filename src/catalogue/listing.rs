//! What lists have shown of one account's tools, page by page.
//!
//! # Why one step back is kept
//! While a list is read anew, page by page, or was said to have changed, a tool that stood on the list before is neither
//! known nor absent. Where pins are enforced, such a tool would be refused for that moment; what it was is the better answer.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use crate::catalogue::pins::Under;
use crate::catalogue::{Listed, Page, Pins};
use crate::config::Server;
use crate::name::ToolName;

/// One account's tools, as far as lists have shown them.
#[derive(Debug)]
pub(in crate::catalogue) struct Listing {
    pub(in crate::catalogue) by_name: HashMap<ToolName, Arc<Listed>>,
    /// The same by their exact text, so that a list that is seen again is not parsed again.
    pub(in crate::catalogue) by_text: HashMap<Box<str>, Arc<Listed>, ahash::RandomState>,
    /// Whether every page has been seen.
    pub(in crate::catalogue) complete: bool,
    /// When a page was seen last.
    pub(in crate::catalogue) seen: Instant,
    /// Under which pins it was judged.
    pub(in crate::catalogue) under: Under,
    /// What was known before this list was begun, or was said to have changed; until it is complete.
    pub(in crate::catalogue) before: Option<Arc<Listing>>,
}

impl Listing {
    pub(in crate::catalogue) fn empty(under: Under) -> Self {
        Self {
            by_name: HashMap::new(),
            by_text: HashMap::default(),
            complete: false,
            seen: Instant::now(),
            under,
            before: None,
        }
    }

    /// What is to be remembered of a listing while the next one is read: its last complete state.
    pub(in crate::catalogue) fn kept(listing: &Arc<Self>) -> Option<Arc<Self>> {
        if listing.complete { Some(Arc::clone(listing)) } else { listing.before.clone() }
    }

    pub(in crate::catalogue) fn with(
        before: Option<Arc<Self>>,
        page: &Page<'_>,
        tools: &[Option<Arc<Listed>>],
        under: Under,
    ) -> Self {
        let remembered = before.as_ref().and_then(Self::kept);
        // A first page begins the list anew, so that what the server has dropped is forgotten.
        let before = before.filter(|_| !page.first);
        let mut listing = Self {
            by_name: before.as_ref().map(|before| before.by_name.clone()).unwrap_or_default(),
            by_text: before.as_ref().map(|before| before.by_text.clone()).unwrap_or_default(),
            complete: page.last
                && (page.first || before.as_ref().is_some_and(|before| !before.by_text.is_empty())),
            ..Self::empty(under)
        };
        for (text, listed) in page.tools.iter().zip(tools) {
            if let Some(listed) = listed {
                listing.by_name.insert(listed.tool.name.clone(), Arc::clone(listed));
                listing.by_text.insert(text.get().into(), Arc::clone(listed));
            }
        }
        // One step back and no further: a chain of lists would never end.
        let alone = |before: Arc<Self>| match before.before {
            None => before,
            Some(_) => Arc::new(Self { by_name: before.by_name.clone(), ..Self::empty(before.under) }),
        };
        listing.before = remembered.filter(|_| !listing.complete).map(alone);
        listing
    }

    /// The same under other pins; `None`: definitions were not looked at when it was learned.
    pub(in crate::catalogue) fn judged(&self, server: &Server, pins: &Pins) -> Option<Self> {
        let under = pins.under(server);
        if under.compares() && !self.under.compares() {
            return None;
        }
        let judged = |listed: &Arc<Listed>| Arc::new(listed.judged(server, pins));
        let before = self.before.as_ref().and_then(|before| before.judged(server, pins)).map(Arc::new);
        Some(Self {
            by_name: self.by_name.iter().map(|(name, listed)| (name.clone(), judged(listed))).collect(),
            by_text: self.by_text.iter().map(|(text, listed)| (text.clone(), judged(listed))).collect(),
            complete: self.complete,
            seen: self.seen,
            under,
            before,
        })
    }
}
