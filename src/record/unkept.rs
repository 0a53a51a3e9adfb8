//! What of a caller a line does not keep, by its kind: so that a later question knows what it does not know.
//!
//! # Why not the values
//! Groups and attributes say something of a person, and a keyed hash of them would answer no policy. That they were there
//! says nothing, and is what a replay must know in order not to guess.

use std::sync::Arc;

use serde::{Serialize, Serializer};

use crate::identify::{Caller, Scope};

/// The kinds of what was known of the caller and is not kept.
#[derive(Debug, Clone, Copy)]
pub(super) struct Unkept<'a>(pub(super) &'a Caller);

impl Serialize for Unkept<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let proof = self.0.authentication();
        let parts = [
            ("groups", !self.0.groups().is_empty()),
            ("attributes", !self.0.attributes().is_empty()),
            ("authentication", proof.issuer.is_some() || !proof.scopes.is_empty() || proof.at.is_some()),
        ];
        to.collect_seq(parts.into_iter().filter(|(_, there)| *there).map(|(part, _)| part))
    }
}

/// What the scoped URL, which may be gone by the time that somebody asks, narrowed its holder to.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Narrowed<'a> {
    methods: &'a [Arc<str>],
    tags: &'a [Arc<str>],
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<Moment>,
}

/// A time as a line writes it.
#[derive(Debug, Clone, Copy)]
struct Moment(jiff::Timestamp);

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&self.0)
    }
}

impl<'a> Narrowed<'a> {
    pub(super) fn of(scope: &'a Scope) -> Self {
        Self { methods: &scope.methods, tags: &scope.tags, expires_at: scope.expires_at.map(Moment) }
    }
}
