//! The policies that serve: the one that decides, and beside it a candidate that is tried on live traffic.
//!
//! # Why the other is asked in line, after the decision
//! The line that puts a call on the record is written before the call is forwarded; it is to say what both policies make
//! of it. Asked later, the candidate would need a queue with copies of arguments in it, and a bound on that. What it may
//! cost here is bounded by an allowance of time, and what it does cannot reach the decision, which is made first.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::config::{Canary, Rates, Server};
use crate::decide::allowance::{Allowance, Purse};
use crate::decide::comparison::{Side, compare};
use crate::decide::contract::Field;
use crate::decide::engine::No;
use crate::decide::rego::Failure;
use crate::decide::{
    Circumstances, Compared, Comparison, Decide, Denied, Permit, Question, Seat, Sight, Subject, Verdict,
};
use crate::decode::{Action, Message};
use crate::identify::Caller;
use crate::name::TenantId;
use crate::refusal::Refusal;

/// The policies of one generation.
#[derive(Debug, Clone)]
pub struct Rollout {
    home: Arc<Decide>,
    promoted: Option<Arc<Decide>>,
    loaded: Option<Arc<Candidacy>>,
    candidacy: Option<Arc<Candidacy>>,
}

/// A candidate and how far it has come.
#[derive(Debug)]
pub struct Candidacy {
    policy: Arc<Decide>,
    stage: Stage,
    allowance: Allowance,
}

/// For whom a candidate decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stage {
    /// For nobody: it is compared.
    Shadow,
    /// For these tenants; for the others it is compared.
    Canary(Canary),
}

/// The policies that judge one tenant's messages.
#[derive(Debug, Clone, Copy)]
pub struct Panel<'a> {
    deciding: &'a Decide,
    beside: Option<Beside<'a>>,
}

/// The policy whose decision does not count.
#[derive(Debug, Clone, Copy)]
struct Beside<'a> {
    other: &'a Decide,
    allowance: &'a Allowance,
    decided_by: Seat,
}

impl Candidacy {
    /// A candidate that begins at this stage.
    #[must_use]
    pub fn new(policy: Arc<Decide>, stage: Stage) -> Self {
        Self { policy, stage, allowance: Allowance::full() }
    }

    /// The candidate.
    #[must_use]
    pub fn policy(&self) -> &Arc<Decide> {
        &self.policy
    }

    /// For whom it decides.
    #[must_use]
    pub fn stage(&self) -> &Stage {
        &self.stage
    }

    /// Whether it is not compared any more, because it was late too often.
    #[must_use]
    pub fn is_suspended(&self) -> bool {
        self.allowance.is_suspended()
    }

    fn decides(&self, tenant: &TenantId) -> bool {
        match &self.stage {
            Stage::Shadow => false,
            Stage::Canary(canary) => canary.covers(tenant),
        }
    }
}

impl Rollout {
    /// The policy of the configured directory, `promoted` in its place where a candidate was promoted, and what is `loaded`
    /// to be tried beside it; where that is the same as what serves, there is nothing to try.
    #[must_use]
    pub fn new(home: Arc<Decide>, promoted: Option<Arc<Decide>>, loaded: Option<Arc<Candidacy>>) -> Self {
        let live = promoted.as_ref().unwrap_or(&home).revision();
        let candidacy = loaded.clone().filter(|candidacy| candidacy.policy.revision() != live);
        Self { home, promoted, loaded, candidacy }
    }

    /// The policy that serves: the directory's, or the candidate that was promoted.
    #[must_use]
    pub fn live(&self) -> &Arc<Decide> {
        self.promoted.as_ref().unwrap_or(&self.home)
    }

    /// The policy of the configured directory, whether it serves or not.
    #[must_use]
    pub fn home(&self) -> &Arc<Decide> {
        &self.home
    }

    /// The candidate that was promoted.
    #[must_use]
    pub fn promoted(&self) -> Option<&Arc<Decide>> {
        self.promoted.as_ref()
    }

    /// What was loaded to be tried, even where it is what serves.
    #[must_use]
    pub fn loaded(&self) -> Option<&Arc<Candidacy>> {
        self.loaded.as_ref()
    }

    /// The candidate that is tried.
    #[must_use]
    pub fn candidacy(&self) -> Option<&Arc<Candidacy>> {
        self.candidacy.as_ref()
    }

    /// The policies that judge a tenant's messages: lists and calls alike.
    #[must_use]
    pub fn panel(&self, tenant: &TenantId) -> Panel<'_> {
        let live = self.live().as_ref();
        let Some(candidacy) = self.candidacy.as_deref() else { return Panel::alone(live) };
        let (decided_by, deciding, other) = match candidacy.decides(tenant) {
            false => (Seat::Live, live, candidacy.policy.as_ref()),
            true => (Seat::Candidate, candidacy.policy.as_ref(), live),
        };
        Panel { deciding, beside: Some(Beside { other, allowance: &candidacy.allowance, decided_by }) }
    }

    /// The rates that tenants' data asks for, each in the policy that decides for the tenant.
    pub fn rates(&self) -> impl Iterator<Item = (&TenantId, &Rates)> {
        let candidate = self.candidacy.as_deref();
        let tried = move |tenant: &TenantId| candidate.is_some_and(|candidate| candidate.decides(tenant));
        let live = self.live().rates().filter(move |(tenant, _)| !tried(tenant));
        let own = candidate.map(|candidate| candidate.policy.rates());
        live.chain(own.into_iter().flatten().filter(move |(tenant, _)| tried(tenant)))
    }
}

impl<'a> Panel<'a> {
    /// One policy, and none beside it.
    #[must_use]
    pub fn alone(deciding: &'a Decide) -> Self {
        Self { deciding, beside: None }
    }

    /// Whether a policy reads what is left of the tenant's rate.
    #[must_use]
    pub fn reads_rate(&self) -> bool {
        self.reads(Field::RateRemaining)
    }

    /// Whether a policy reads what the tenant has spent.
    #[must_use]
    pub fn reads_cost(&self) -> bool {
        self.reads(Field::CostThisMonth)
    }

    fn reads(&self, field: Field) -> bool {
        self.deciding.reads.has(field)
            || self.beside.as_ref().is_some_and(|beside| beside.other.reads.has(field))
    }

    /// The policy whose decision counts.
    #[must_use]
    pub fn deciding(&self) -> &'a Decide {
        self.deciding
    }

    /// Judges one message. What its caller may not see does not exist for them; what they see and may not use is refused
    /// with the reason; and arguments are held to what policy narrows them to. The permit or the refusal carries what the
    /// policy beside it makes of the same message.
    ///
    /// # Errors
    /// The refusal, with everything that was handed in.
    pub fn permit(
        &self,
        caller: Arc<Caller>,
        server: Arc<Server>,
        subject: Subject,
        message: Message,
        circumstances: &Circumstances,
    ) -> Result<Permit, Box<Denied>> {
        let question = Question {
            caller: &caller,
            server: &server,
            method: message.method,
            subject: &subject,
            arguments: message.action.arguments(),
            circumstances,
        };
        let judged = self.deciding.judge(&question, takes_arguments(&message.action), self.purse());
        let beside = self.beside.as_ref();
        let comparison = beside.map(|beside| beside.judge(&question, &message.action, &judged));
        let invocation = circumstances.invocation;
        match judged {
            Ok(verdict) => Ok(Permit { caller, server, subject, message, verdict, invocation, comparison }),
            Err(No { refusal, verdict }) => {
                let (rules, deny) =
                    verdict.map(|verdict| (verdict.rules.clone(), verdict.deny.clone())).unwrap_or_default();
                let revision = self.deciding.revision().clone();
                Err(Box::new(Denied {
                    refusal,
                    message,
                    caller,
                    server,
                    subject,
                    rules,
                    deny,
                    revision,
                    invocation,
                    comparison,
                }))
            }
        }
    }

    /// What a list shows of the question's subject. The question's method and arguments do not matter: a list asks about
    /// the use ([`Subject::used_by`]). Where policy fails, nothing is shown.
    #[must_use]
    pub fn may_see(&self, question: &Question<'_>) -> Sight {
        match self.listed(question) {
            Ok(verdict) if verdict.allow => Sight::Shown(verdict),
            Ok(_) | Err(_) => Sight::Hidden,
        }
    }

    /// The same, and what the policy beside it would show.
    #[must_use]
    pub fn look(&self, question: &Question<'_>) -> (Sight, Option<Comparison>) {
        let decided = self.listed(question);
        let comparison = self.beside.as_ref().map(|beside| beside.look(question, &decided));
        let sight = match decided {
            Ok(verdict) if verdict.allow => Sight::Shown(verdict),
            Ok(_) | Err(_) => Sight::Hidden,
        };
        (sight, comparison)
    }

    /// All that a list depends on beside the tools in it: see [`Decide::viewer`]. What the other policy reads is in it too,
    /// so that each view of the two is compared; one that is the same again is not compared again.
    #[must_use]
    pub fn viewer(&self, caller: &Caller, server: &Server, circumstances: &Circumstances) -> Option<Vec<u8>> {
        let mut key = self.deciding.viewer(caller, server, circumstances)?;
        if let Some(beside) = &self.beside {
            key.extend(beside.other.viewer(caller, server, circumstances).unwrap_or_default());
        }
        Some(key)
    }

    fn listed(&self, question: &Question<'_>) -> Result<Arc<Verdict>, Failure> {
        let listed = self.deciding.listed(question, self.purse());
        listed.inspect_err(|failure| self.deciding.report(question, failure))
    }

    fn purse(&self) -> Purse<'a> {
        self.beside.map_or(Purse::Open, |beside| Purse::Decision(beside.allowance))
    }
}

impl Beside<'_> {
    fn judge(
        &self,
        question: &Question<'_>,
        action: &Action,
        judged: &Result<Arc<Verdict>, No>,
    ) -> Comparison {
        let held = takes_arguments(action);
        self.compare(question, &side(judged), held, || {
            self.other.judged(question, held, Purse::Comparison(self.allowance))
        })
    }

    fn look(&self, question: &Question<'_>, decided: &Result<Arc<Verdict>, Failure>) -> Comparison {
        let judged = match decided {
            Ok(verdict) => shown(Arc::clone(verdict)),
            Err(_) => Err(failed()),
        };
        self.compare(question, &side(&judged), true, || {
            self.other.listed(question, Purse::Comparison(self.allowance)).map(shown)
        })
    }

    /// Whatever the other policy does, it ends here.
    fn compare(
        &self,
        question: &Question<'_>,
        decided: &Side<'_>,
        held: bool,
        ask: impl FnOnce() -> Result<Result<Arc<Verdict>, No>, Failure>,
    ) -> Comparison {
        let decided_by = self.decided_by;
        if self.allowance.is_suspended() {
            return Comparison { decided_by, compared: Compared::LeftOut };
        }
        let told = |other: &Side<'_>| compare(decided_by, decided, other, self.other.revision(), held);
        let compared = match catch_unwind(AssertUnwindSafe(ask)) {
            Ok(Err(Failure::NotAsked)) => Compared::LeftOut,
            Ok(Ok(other)) => told(&side(&other)),
            Ok(Err(failure)) => {
                self.report(question, &failure);
                told(&side(&Err(failed())))
            }
            Err(_) => told(&side(&Err(failed()))),
        };
        Comparison { decided_by, compared }
    }

    fn report(&self, question: &Question<'_>, failure: &Failure) {
        if self.allowance.is_first_failure() {
            tracing::warn!("A policy that is compared fails; this is told once, and counted in metrics");
            self.other.report(question, failure);
        }
    }
}

fn failed() -> No {
    No { refusal: Refusal::PolicyFailed, verdict: None }
}

/// What a list shows, as if it had been judged.
fn shown(verdict: Arc<Verdict>) -> Result<Arc<Verdict>, No> {
    match verdict.allow {
        true => Ok(verdict),
        false => Err(No { refusal: Refusal::NotFound("item"), verdict: Some(verdict) }),
    }
}

fn side(judged: &Result<Arc<Verdict>, No>) -> Side<'_> {
    match judged {
        Ok(verdict) => Side { verdict: Some(verdict), refusal: None },
        Err(no) => Side { verdict: no.verdict.as_ref(), refusal: Some(&no.refusal) },
    }
}

pub(in crate::decide) fn takes_arguments(action: &Action) -> bool {
    matches!(action, Action::CallTool(_) | Action::GetPrompt { .. })
}
