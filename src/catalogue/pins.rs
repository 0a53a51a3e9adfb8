//! How what a server offers stands to its pins: compared when a list is learned, never per call.

use std::collections::HashMap;

use crate::catalogue::definition::{Digest, ItemName};
use crate::catalogue::lock::{BadLock, Lock};
use crate::catalogue::thing::{Thing, Things};
use crate::config::{Config, PinMode, Pinning, Server};
use crate::name::{ServerName, TenantId};

/// The pins that one generation of the gate works with.
#[derive(Debug, Default)]
pub struct Pins {
    servers: HashMap<ServerName, HashMap<Thing, HashMap<ItemName, Vec<Digest>>>>,
    things: Things,
    /// `None`: there is no lock, and tools are not compared.
    revision: Option<Digest>,
}

/// How something differs from what was pinned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Drift {
    /// Nothing is pinned under its name.
    Appeared,
    /// Something else is pinned under its name.
    Changed,
}

impl Drift {
    /// Its name in audit and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Appeared => "appeared",
            Self::Changed => "changed",
        }
    }
}

/// Something that does not match its pin, for whoever is to know.
#[derive(Debug, Clone)]
pub struct Change {
    /// Whose account saw it.
    pub tenant: TenantId,
    /// At which server.
    pub server: ServerName,
    /// What it is.
    pub thing: Thing,
    /// Which.
    pub name: ItemName,
    /// How it differs.
    pub drift: Drift,
    /// What becomes of it.
    pub mode: PinMode,
    /// What is pinned, where one text alone is.
    pub pinned: Option<Digest>,
    /// What the server says now; `None`: it can be read in two ways.
    pub now: Option<Digest>,
}

/// Under which pins, and how strictly, a listing was judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::catalogue) struct Under {
    revision: Option<Digest>,
    mode: PinMode,
}

impl Under {
    /// Whether definitions were looked at.
    pub(in crate::catalogue) fn compares(self) -> bool {
        self.mode != PinMode::Off
    }
}

impl Pins {
    /// No pins: tools are not compared.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// The pins that a configuration asks for. Where no server wants them, no file is read.
    ///
    /// # Errors
    /// The lock cannot be used.
    pub fn load(config: &Config) -> Result<Self, BadLock> {
        let wanted = config.servers.values().any(|server| server.pins != PinMode::Off);
        match &config.pins {
            Some(pins) if wanted => Lock::load(&pins.file).and_then(|lock| Self::covering(lock, pins)),
            Some(_) | None => Ok(Self::none()),
        }
    }

    /// The pins of a lock.
    #[must_use]
    pub fn of(lock: &Lock) -> Self {
        let mut servers: HashMap<_, HashMap<_, HashMap<_, _>>> = HashMap::new();
        for (server, pinned) in &lock.servers {
            let known = servers.entry(server.clone()).or_default();
            for ((thing, name), texts) in pinned {
                let digests = texts.iter().map(super::Definition::digest).collect();
                known.entry(*thing).or_default().insert(name.clone(), digests);
            }
        }
        Self { servers, things: lock.things.clone(), revision: Some(Digest::of(lock.text().as_bytes())) }
    }

    /// The pins of a lock that speaks of all that the configuration wants pinned.
    fn covering(lock: Lock, pins: &Pinning) -> Result<Self, BadLock> {
        let wanted = pins.also.iter().flatten().filter_map(|kind| Thing::of_plural(kind.as_str()));
        match wanted.into_iter().find(|thing| !lock.things.contains(thing)) {
            None => Ok(Self::of(&lock)),
            Some(thing) => Err(BadLock {
                file: pins.file.clone(),
                what: format!("it does not pin {}, which `pins.also` wants", thing.plural()),
                fix: "pin them with `portcullis catalogue pin`, and see its diff before you commit it",
                missing: false,
            }),
        }
    }

    /// Whether things of this kind are compared.
    #[must_use]
    pub fn compares(&self, thing: Thing) -> bool {
        self.things.contains(&thing)
    }

    /// The names that are pinned of a kind.
    pub fn names(&self, server: &ServerName, thing: Thing) -> impl Iterator<Item = &ItemName> {
        let known = self.servers.get(server).and_then(|pinned| pinned.get(&thing));
        known.into_iter().flat_map(HashMap::keys)
    }

    /// Which lock it is: the digest of its text as the gate writes it; `None`: there is none.
    #[must_use]
    pub fn revision(&self) -> Option<Digest> {
        self.revision
    }

    /// What becomes of a server's tools that do not match.
    #[must_use]
    pub fn mode(&self, server: &Server) -> PinMode {
        if self.revision.is_some() { server.pins } else { PinMode::Off }
    }

    pub(in crate::catalogue) fn under(&self, server: &Server) -> Under {
        let mode = self.mode(server);
        Under { revision: self.revision.filter(|_| mode != PinMode::Off), mode }
    }

    /// How a tool differs from its pin; `None`: it matches.
    #[must_use]
    pub fn drift(&self, server: &ServerName, tool: &str, digest: Option<Digest>) -> Option<Drift> {
        match (self.pinned(server, Thing::Tool, tool), digest) {
            ([], _) => Some(Drift::Appeared),
            (pinned, Some(digest)) if pinned.contains(&digest) => None,
            (_, _) => Some(Drift::Changed),
        }
    }

    /// What is pinned under a name.
    #[must_use]
    pub fn pinned(&self, server: &ServerName, thing: Thing, name: &str) -> &[Digest] {
        let known = self.servers.get(server).and_then(|pinned| pinned.get(&thing));
        known.and_then(|known| known.get(name)).map(Vec::as_slice).unwrap_or_default()
    }
}
