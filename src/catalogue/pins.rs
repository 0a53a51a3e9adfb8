//! How a server's tools stand to their pins: compared when a list is learned, never per call.

use std::collections::HashMap;

use crate::catalogue::definition::Digest;
use crate::catalogue::lock::{BadLock, Lock};
use crate::config::{Config, PinMode, Server};
use crate::name::{ServerName, TenantId, ToolName};

/// The pins that one generation of the gate works with.
#[derive(Debug, Default)]
pub struct Pins {
    servers: HashMap<ServerName, HashMap<ToolName, Vec<Digest>>>,
    /// `None`: there is no lock, and tools are not compared.
    revision: Option<Digest>,
}

/// How a tool differs from what was pinned.
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

/// A tool that does not match its pin, for whoever is to know.
#[derive(Debug, Clone)]
pub struct Change {
    /// Whose account saw it.
    pub tenant: TenantId,
    /// At which server.
    pub server: ServerName,
    /// Which tool.
    pub tool: ToolName,
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

    pub(in crate::catalogue) fn revision(self) -> Option<Digest> {
        self.revision
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
            Some(pins) if wanted => Lock::load(&pins.file).map(|lock| Self::of(&lock)),
            Some(_) | None => Ok(Self::none()),
        }
    }

    /// The pins of a lock.
    #[must_use]
    pub fn of(lock: &Lock) -> Self {
        let digests = |tools: &Vec<_>| tools.iter().map(super::Definition::digest).collect();
        let servers = lock.servers.iter().map(|(server, pinned)| {
            (server.clone(), pinned.iter().map(|(tool, texts)| (tool.clone(), digests(texts))).collect())
        });
        Self { servers: servers.collect(), revision: Some(Digest::of(lock.text().as_bytes())) }
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
    pub fn drift(&self, server: &ServerName, tool: &ToolName, digest: Option<Digest>) -> Option<Drift> {
        match (self.pinned(server, tool), digest) {
            ([], _) => Some(Drift::Appeared),
            (pinned, Some(digest)) if pinned.contains(&digest) => None,
            (_, _) => Some(Drift::Changed),
        }
    }

    /// What is pinned under a name.
    #[must_use]
    pub fn pinned(&self, server: &ServerName, tool: &ToolName) -> &[Digest] {
        self.servers.get(server).and_then(|pinned| pinned.get(tool)).map(Vec::as_slice).unwrap_or_default()
    }
}
