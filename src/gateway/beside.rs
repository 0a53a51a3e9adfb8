//! What two policies make of the same traffic: into the metrics, and on the record.

use crate::catalogue::Tool;
use crate::decide::{Compared, Comparison, Seat, Sight};
use crate::gateway::build::Shared;
use crate::gateway::sight;
use crate::record::metrics::Asked;
use crate::record::{ListLine, ToolSeen};

/// The tools of one page that two policies show differently.
#[derive(Default)]
pub(in crate::gateway) struct Differing(Vec<ToolSeen>, Option<Seat>);

impl Differing {
    /// Notes what a comparison said of a tool that the caller gets to see as `seen`.
    pub(in crate::gateway) fn note(
        &mut self,
        shared: &Shared,
        tool: &Tool,
        seen: &Sight,
        beside: &Comparison,
    ) {
        shared.metrics.candidate().compared(Asked::Item, beside);
        let Compared::Differs(difference) = &beside.compared else { return };
        let decided = match seen {
            Sight::Shown(verdict) => verdict.rules.clone(),
            Sight::Hidden => Vec::new(),
        };
        let other = difference.other.rules.clone();
        let (live_rules, candidate_rules) = match beside.decided_by {
            Seat::Live => (decided, other),
            Seat::Candidate => (other, decided),
        };
        let changes = difference.changes.clone();
        self.0.push(ToolSeen { tool: tool.name.clone(), changes, live_rules, candidate_rules });
        self.1 = Some(beside.decided_by);
    }

    /// Puts them on the record, if there are any.
    pub(in crate::gateway) fn record(self, sight: &sight::Sight) {
        let (Some(decided_by), Some(candidacy)) = (self.1, sight.rollout.candidacy()) else { return };
        sight.shared.record.listed(&ListLine {
            invocation: sight.circumstances.invocation,
            caller: &sight.caller,
            server: &sight.server.name,
            method: "tools/list",
            decided_by,
            live: sight.rollout.live().revision(),
            candidate: candidacy.policy().revision(),
            tools: &self.0,
        });
    }
}
