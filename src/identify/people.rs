//! What a directory of the operator's says of callers: groups, roles, attributes, and whether somebody is still there.
//!
//! # Why a file
//! Whoever provisions users by SCIM has them as RFC 7643 resources already; a file of them needs no account at the directory,
//! and is there when the directory is not. It is read again when it changes; one that is wrong changes nothing.

mod index;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use serde_json::Value;

use crate::config;
use crate::identify::clock::Clock;
use crate::identify::people::index::Index;
use crate::identify::problem::IdentityProblem;
use crate::identify::proof::BadProof;
use crate::identify::{Caller, Proof};

/// How often a file is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// The directories.
#[derive(Debug)]
pub(in crate::identify) struct People(Vec<Arc<Directory>>);

#[derive(Debug)]
struct Directory {
    of: config::Directory,
    index: ArcSwap<Index>,
    /// The tick, in milliseconds, after which the file is looked at again.
    due_ms: AtomicU64,
    clock: Clock,
}

/// By what one sees that a file is another one.
type Stamp = Option<(SystemTime, u64)>;

impl People {
    pub(in crate::identify) fn new(
        directories: &[config::Directory],
        clock: &Clock,
        problems: &mut Vec<IdentityProblem>,
    ) -> Self {
        let mut read = Vec::with_capacity(directories.len());
        for (at, of) in directories.iter().enumerate() {
            match Index::read(of) {
                Ok(index) => read.push(Arc::new(Directory {
                    of: of.clone(),
                    index: ArcSwap::from_pointee(index),
                    due_ms: AtomicU64::new(millis(clock.tick() + LOOK)),
                    clock: clock.clone(),
                })),
                Err(error) => problems.push(IdentityProblem::new(
                    format!("identity.directories[{at}].file"),
                    error.to_string(),
                    "name a list of users and groups as RFC 7643 has them: `{\"Resources\": […]}`",
                )),
            }
        }
        Self(read)
    }

    /// The caller with what the directories of their tenant say of them. Who came by a token gets roles, groups and
    /// attributes; a key, a certificate or a scoped URL has those that it was given, and ends with its user all the same.
    ///
    /// # Errors
    /// They are not there any more, or never were where that matters.
    pub(in crate::identify) fn introduce(&self, caller: Arc<Caller>) -> Result<Arc<Caller>, BadProof> {
        let mut known = caller;
        for directory in &self.0 {
            if directory.of.tenant.as_ref().is_none_or(|tenant| *tenant == known.tenant) {
                known = directory.introduce(known)?;
            }
        }
        Ok(known)
    }
}

impl Directory {
    fn introduce(self: &Arc<Self>, caller: Arc<Caller>) -> Result<Arc<Caller>, BadProof> {
        let index = self.now();
        let person = match caller.user.as_ref().map(|user| index.person(user.as_str())) {
            Some(Some(person)) if !person.active => return Err(BadProof::Gone),
            Some(None) if self.of.refuse_unknown => return Err(BadProof::Gone),
            Some(person) => person,
            None => None,
        };
        if caller.authentication.kind != Proof::Jwt {
            return Ok(caller);
        }
        let mut told = Caller::clone(&caller);
        for group in caller.groups.iter().filter_map(|group| index.group(group)) {
            add(&mut told.groups, std::slice::from_ref(&group.name));
            add(&mut told.roles, &group.roles);
        }
        if let Some(person) = person {
            add(&mut told.groups, &person.groups);
            add(&mut told.roles, &person.roles);
            let attributes: BTreeMap<String, Value> = person.attributes.clone();
            told.attributes.extend(attributes);
        }
        Ok(Arc::new(told))
    }

    /// What the file says; where it is time, it is looked at meanwhile.
    fn now(self: &Arc<Self>) -> Arc<Index> {
        let tick = millis(self.clock.tick());
        let due = self.due_ms.load(Ordering::Acquire);
        let next = tick.saturating_add(millis(LOOK));
        let order = (Ordering::AcqRel, Ordering::Acquire);
        if tick >= due && self.due_ms.compare_exchange(due, next, order.0, order.1).is_ok() {
            let this = Arc::clone(self);
            tokio::task::spawn_blocking(move || this.look());
        }
        self.index.load_full()
    }

    fn look(&self) {
        let held = self.index.load_full();
        if stamp(&self.of.file) == held.stamp {
            return;
        }
        let file = self.of.file.display();
        match Index::read(&self.of) {
            Ok(index) => {
                tracing::info!(%file, people = index.len(), "Directory was read again");
                self.index.store(Arc::new(index));
            }
            Err(error) => {
                tracing::warn!(%file, %error, "Directory was not taken, and what it said before counts");
                // Said once for each text, and not each second.
                self.index.store(Arc::new(held.stamped(stamp(&self.of.file))));
            }
        }
    }
}

fn add(all: &mut Vec<Arc<str>>, more: &[Arc<str>]) {
    for word in more {
        if !all.contains(word) {
            all.push(Arc::clone(word));
        }
    }
}

fn stamp(file: &Path) -> Stamp {
    let about = std::fs::metadata(file).ok()?;
    Some((about.modified().ok()?, about.len()))
}

fn millis(tick: Duration) -> u64 {
    u64::try_from(tick.as_millis()).unwrap_or(u64::MAX)
}
