//! What is not what was pinned, told to the operator: in the log, in metrics, and on the record.

use crate::catalogue::{Change, Digest};
use crate::gateway::build::Shared;
use crate::record::DriftLine;

/// So many of one page get a line of their own; the rest are counted. A server may list whatever it likes.
const MOST: usize = 50;

impl Shared {
    /// Tells of tools, prompts and resources that changed or appeared after they were pinned.
    pub(in crate::gateway) fn tell(&self, changes: &[Change]) {
        for change in changes {
            let (kind, thing) = (change.drift.as_str(), change.thing.as_str());
            self.metrics.catalogue_changed(&change.server, kind, thing);
        }
        for change in changes.iter().take(MOST) {
            let text = |digest: Option<Digest>| digest.map(|digest| digest.to_string());
            let (pinned, now) = (text(change.pinned), text(change.now));
            tracing::warn!(
                tenant = %change.tenant, server = %change.server, thing = change.thing.as_str(), name = change.name.as_str(),
                change = change.drift.as_str(), mode = change.mode.as_str(), pinned, now,
                "Something is not what was pinned: see `portcullis catalogue diff`"
            );
            self.record.drifted(&DriftLine {
                tenant: &change.tenant,
                server: &change.server,
                thing: (change.thing.as_str(), change.name.as_str()),
                change: change.drift.as_str(),
                mode: change.mode.as_str(),
                pinned: pinned.as_deref(),
                now: now.as_deref(),
            });
        }
        if let Some(more) = changes.len().checked_sub(MOST).filter(|more| *more > 0) {
            tracing::warn!(more, "More is not what was pinned: see `portcullis catalogue diff`");
        }
    }
}
