//! What lists have shown of prompts, resources and templates, against their pins.
//!
//! # Why only digests
//! Of a tool the gate must know its schema and annotations. Of all else it must know one thing: whether it still is what
//! was approved.
//!
//! # Why a template lets its resources pass
//! A server may have more resources than anybody can approve, or make them as it goes. Who approved a template has approved
//! what comes of it. A resource that has a pin of its own must be as that says.

use std::collections::HashMap;

use dashmap::DashMap;
use serde_json::value::RawValue;

use crate::catalogue::definition::{Definition, Digest, ItemName, Unreadable};
use crate::catalogue::pins::{Change, Drift, Pins};
use crate::catalogue::template;
use crate::catalogue::thing::Thing;
use crate::config::{PinMode, Server};
use crate::name::{ServerName, TenantId};

/// So many of an account's prompts, resources or templates that have no pin are remembered; those that have one always are.
const MOST: usize = 10_000;

/// How something stands to its pins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stand {
    /// It is what was pinned, comes of a template that is, or is not compared.
    Fits,
    /// It is not.
    Drifted(Drift),
    /// It is pinned, and no list has shown what it is now.
    Unseen,
}

/// The digests that an account's lists have shown of one kind.
#[derive(Debug, Default)]
struct Seen {
    digests: HashMap<ItemName, Option<Digest>>,
    /// The server said that its list has changed.
    stale: bool,
}

/// Everything seen; the keys begin with the tenant.
#[derive(Debug, Default)]
pub(in crate::catalogue) struct SeenThings(DashMap<(TenantId, ServerName, Thing), Seen>);

/// One item of a list.
pub(in crate::catalogue) struct Item {
    pub(in crate::catalogue) name: ItemName,
    pub(in crate::catalogue) digest: Option<Digest>,
}

impl Item {
    /// `None`: it has no name, so that nobody is shown it.
    fn read(thing: Thing, text: &RawValue) -> Option<Self> {
        match Definition::read(thing, text) {
            Ok(read) => Some(Self { digest: Some(read.digest()), name: read.name }),
            Err(Unreadable::Nameless) => None,
            Err(Unreadable::Ambiguous(_)) => {
                let value: serde_json::Value = serde_json::from_str(text.get()).ok()?;
                Some(Self { name: Definition::of(thing, &value)?.name, digest: None })
            }
        }
    }
}

impl SeenThings {
    /// Learns a page of a list. `None` of an item: it cannot be read.
    pub(in crate::catalogue) fn learn(
        &self,
        key: (TenantId, ServerName, Thing),
        pins: &Pins,
        items: &[&RawValue],
    ) -> Vec<Option<Item>> {
        let (server, thing) = (key.1.clone(), key.2);
        let read: Vec<Option<Item>> = items.iter().map(|text| Item::read(thing, text)).collect();
        let mut seen = self.0.entry(key).or_default();
        for item in read.iter().flatten() {
            let known = seen.digests.contains_key(&item.name);
            if known
                || seen.digests.len() < MOST
                || !pins.pinned(&server, thing, item.name.as_str()).is_empty()
            {
                seen.digests.insert(item.name.clone(), item.digest);
            }
        }
        read
    }

    /// Says whether a list should be looked at anew.
    pub(in crate::catalogue) fn mark(&self, key: &(TenantId, ServerName, Thing), stale: bool) {
        if let Some(mut seen) = self.0.get_mut(key) {
            seen.stale = stale;
        }
    }

    /// Whether a list should be looked at anew before it is believed.
    pub(in crate::catalogue) fn is_stale(&self, key: &(TenantId, ServerName, Thing)) -> bool {
        self.0.get(key).is_some_and(|seen| seen.stale)
    }

    pub(in crate::catalogue) fn clear(&self) {
        self.0.clear();
    }

    /// How something stands. `now`: what it is, where a list shows it just now.
    pub(in crate::catalogue) fn stand(
        &self,
        (tenant, server): (&TenantId, &Server),
        pins: &Pins,
        (thing, name): (Thing, &str),
        now: Option<Option<Digest>>,
    ) -> Stand {
        if pins.mode(server) == PinMode::Off || !pins.compares(thing) {
            return Stand::Fits;
        }
        let own = pins.pinned(&server.name, thing, name);
        if own.is_empty() {
            return match thing {
                Thing::Resource => self.made(tenant, server, pins, name),
                Thing::Tool | Thing::Prompt | Thing::Template => Stand::Drifted(Drift::Appeared),
            };
        }
        let known = || {
            let seen = self.0.get(&(tenant.clone(), server.name.clone(), thing))?;
            seen.digests.get(name).copied()
        };
        match now.or_else(known) {
            None => Stand::Unseen,
            Some(Some(digest)) if own.contains(&digest) => Stand::Fits,
            Some(_) => Stand::Drifted(Drift::Changed),
        }
    }

    /// How a resource without a pin of its own stands: as the templates do that it may come of.
    fn made(&self, tenant: &TenantId, server: &Server, pins: &Pins, uri: &str) -> Stand {
        let mut found = Stand::Drifted(Drift::Appeared);
        if !pins.compares(Thing::Template) {
            return found;
        }
        for template in pins.names(&server.name, Thing::Template) {
            if !template::makes(template.as_str(), uri) {
                continue;
            }
            match self.stand((tenant, server), pins, (Thing::Template, template.as_str()), None) {
                Stand::Fits => return Stand::Fits,
                Stand::Unseen => found = Stand::Unseen,
                Stand::Drifted(_) => {}
            }
        }
        found
    }
}

/// What a page of prompts, resources or templates taught.
#[derive(Debug)]
pub struct Taught {
    /// Of each item, whether it fits its pins.
    pub fits: Vec<bool>,
    /// Those that do not and were not told before.
    pub changes: Vec<Change>,
}

impl super::Catalogue {
    /// Learns a page of prompts, resources or templates, and says which of them are what was pinned.
    #[must_use]
    pub fn learn_things(
        &self,
        tenant: &TenantId,
        server: &Server,
        pins: &Pins,
        thing: Thing,
        items: &[&RawValue],
    ) -> Taught {
        if pins.mode(server) == PinMode::Off || !pins.compares(thing) {
            return Taught { fits: vec![true; items.len()], changes: Vec::new() };
        }
        let key = (tenant.clone(), server.name.clone(), thing);
        let read = self.things.learn(key, pins, items);
        let (mut fits, mut changes) = (Vec::with_capacity(read.len()), Vec::new());
        for item in &read {
            let Some(item) = item else {
                fits.push(false);
                continue;
            };
            let name = (thing, item.name.as_str());
            let stand = self.things.stand((tenant, server), pins, name, Some(item.digest));
            fits.push(stand == Stand::Fits);
            let drift = match stand {
                Stand::Drifted(drift) => Some(drift),
                Stand::Fits | Stand::Unseen => None,
            };
            changes.extend(self.news(tenant, server, pins, (thing, &item.name), (drift, item.digest)));
        }
        Taught { fits, changes }
    }

    /// How a prompt, resource or template stands to its pins, as far as lists have shown it.
    #[must_use]
    pub fn stand(&self, tenant: &TenantId, server: &Server, pins: &Pins, thing: Thing, name: &str) -> Stand {
        self.things.stand((tenant, server), pins, (thing, name), None)
    }

    /// Whether an account's list of this kind was said to have changed since it was looked at.
    #[must_use]
    pub fn is_stale(&self, tenant: &TenantId, server: &ServerName, thing: Thing) -> bool {
        self.things.is_stale(&(tenant.clone(), server.clone(), thing))
    }

    /// The server says that its list of this kind has changed.
    pub fn forget_things(&self, tenant: &TenantId, server: &ServerName, thing: Thing) {
        self.things.mark(&(tenant.clone(), server.clone(), thing), true);
    }

    /// The list of this kind has been looked at.
    pub fn seen(&self, tenant: &TenantId, server: &ServerName, thing: Thing) {
        self.things.mark(&(tenant.clone(), server.clone(), thing), false);
    }
}
