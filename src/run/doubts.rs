//! What a policy may well say and hardly means, logged when it is loaded: as `check` tells it.

use std::path::Path;

use crate::decide::{Decide, Servers};

/// So many of a policy's doubts are logged; `check` tells all.
const MOST: usize = 20;

/// Logs the doubts about the policy in a directory. It reads the directory again, and blocks meanwhile.
pub(in crate::run) fn tell(directory: &Path, servers: &Servers) {
    let doubts = Decide::lint(directory, Some(servers));
    for doubt in doubts.iter().take(MOST) {
        tracing::warn!(%doubt, "Policy loaded, and its author should look at this again");
    }
    if let Some(more) = doubts.len().checked_sub(MOST).filter(|more| *more > 0) {
        tracing::warn!(more, "More in the policy should be looked at again: see `portcullis check`");
    }
}
