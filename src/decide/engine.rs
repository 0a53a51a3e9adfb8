//! The engine of the room: a policy directory → permits, sights and rates.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use quick_cache::sync::Cache;
use tokio::runtime::{Handle, RuntimeFlavor};

use crate::config::{Policy, Rates, Server};
use crate::decide::allowance::Purse;
use crate::decide::bundle::{self, Bundle};
use crate::decide::conditions;
use crate::decide::constraint::Constraints;
use crate::decide::contract::{Field, Reads};
use crate::decide::paths::Module;
use crate::decide::reads::ReadSet;
use crate::decide::rego::{Answer, Coverage, Failure, Rego, Trial, Values};
use crate::decide::{
    Circumstances, CopyError, Denied, Panel, Permit, Phase, PolicyProblem, Question, Sight, Sources, Subject,
    Tally, Verdict, check, key, rates, reads, rego,
};
use crate::decode::Message;
use crate::identify::{Caller, Proof};
use crate::name::{Revision, TenantId};
use crate::refusal::Refusal;

/// Verdicts under a longer key are not kept: the number of verdicts is what bounds the memory.
const LONGEST_KEY: usize = 4096;

/// Bytes of arguments over which one function of the policy may take longer than the time limit, which is not looked at
/// inside a function. Such a question leaves the thread's other calls to another thread.
const LARGE: usize = 16 * 1024;

/// What is said where policy has no reason of its own.
const NO_RULE: &str = "no rule of the policy allows it";

thread_local! {
    /// Where keys are written, so that a look-up allocates nothing.
    static KEY: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Policy, loaded: it answers every question until another takes its place.
#[derive(Debug)]
pub struct Decide {
    rego: Rego,
    pub(in crate::decide) reads: ReadSet,
    kept: Option<Cache<Box<[u8]>, Arc<Verdict>>>,
    rates: BTreeMap<TenantId, Rates>,
    revision: Revision,
    sources: Arc<Sources>,
    tally: Arc<Tally>,
}

/// Whether a load runs the policy's tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::decide) enum Tests {
    /// It does, and they must pass.
    MustPass,
    /// Whoever loads it runs them.
    Elsewhere,
}

/// Why there is no permit, before it is put in words for the caller.
pub(in crate::decide) struct No {
    pub(in crate::decide) refusal: Refusal,
    pub(in crate::decide) verdict: Option<Arc<Verdict>>,
}

impl Decide {
    /// Loads a policy directory: reads it, checks it, runs its tests, and has it answer once. It blocks while it does.
    ///
    /// # Errors
    /// Every mistake that was found.
    pub fn load(config: &Policy) -> Result<Self, Vec<PolicyProblem>> {
        Self::assemble(config, Tests::MustPass)
    }

    /// The same, where tests that fail are told elsewhere.
    pub(in crate::decide) fn assemble(config: &Policy, tested: Tests) -> Result<Self, Vec<PolicyProblem>> {
        let (bundle, mut problems) = Bundle::read(&config.directory);
        let unread = problems.len();
        let serving = rego::parse(&bundle.modules, &mut problems);
        let tests = rego::parse(&bundle.tests, &mut problems);
        let whole = problems.len() == unread;
        let rates = rates::read(&bundle).unwrap_or_else(|mut found| {
            problems.append(&mut found);
            BTreeMap::new()
        });
        // Names that lead into a file that cannot be read are nobody's mistake.
        if !whole || !problems.is_empty() {
            problems.extend(serving.iter().flat_map(reads::check));
            return Err(sorted(problems));
        }
        let (defined, mut found) = check::check(&bundle, &serving, &tests);
        found.extend(conditions::check(&bundle));
        if !found.is_empty() {
            return Err(sorted(found));
        }
        let values = Values::of(&bundle).map_err(|problem| vec![problem])?;
        let modules: Vec<&Module> = serving.iter().chain(&tests).collect();
        // Side by side, for somebody waits for the change to take effect.
        let (ready, failed) = std::thread::scope(|scope| {
            let trying = scope.spawn(|| tried(&bundle, &values, &modules, tested));
            let ready = Rego::ready(&bundle, &values, &serving, &defined, config.timeout);
            (ready, trying.join().unwrap_or_else(|_| vec![rego::broke_down(&bundle.modules)]))
        });
        problems.extend(failed);
        match ready {
            Ok(rego) if problems.is_empty() => Ok(Self {
                rego,
                reads: ReadSet::of(&serving),
                kept: (config.cache > 0).then(|| Cache::new(config.cache)),
                rates,
                revision: bundle.revision,
                sources: Arc::new(bundle.sources),
                tally: Arc::default(),
            }),
            Ok(_) => Err(sorted(problems)),
            Err(found) => Err(sorted(problems.into_iter().chain(found).collect())),
        }
    }

    /// The same, counting in `tally` what it is asked.
    #[must_use]
    pub fn counting(self, tally: Arc<Tally>) -> Self {
        Self { tally, ..self }
    }

    /// The same under the name of what delivered it; its decisions are told by that.
    #[must_use]
    pub fn called(self, revision: Revision) -> Self {
        Self { revision, ..self }
    }

    /// The revision of a policy directory, where it can be read; whether it would load is not looked at.
    #[must_use]
    pub fn revision_of(directory: &Path) -> Option<Revision> {
        bundle::fingerprint(directory)
    }

    /// Copies a policy directory, as far as it counts, to a directory that is not there yet, and returns the copy's
    /// revision. The files are read once, so that the copy is one state of them.
    ///
    /// # Errors
    /// A file cannot be read or written.
    pub fn copy(from: &Path, to: &Path) -> Result<Revision, CopyError> {
        bundle::copy(from, to)
    }

    /// Judges one message by this policy alone: see [`Panel::permit`].
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
        Panel::alone(self).permit(caller, server, subject, message, circumstances)
    }

    /// What a list shows by this policy alone: see [`Panel::may_see`].
    #[must_use]
    pub fn may_see(&self, question: Question<'_>) -> Sight {
        Panel::alone(self).may_see(&question)
    }

    /// All that a verdict on some tool of the server depends on beside the tool, in one text that begins with the tenant;
    /// `None` where verdicts are not kept, because policy reads what passes or the operator wants none kept.
    #[must_use]
    pub fn viewer(&self, caller: &Caller, server: &Server, circumstances: &Circumstances) -> Option<Vec<u8>> {
        if self.kept.is_none() || self.reads.passing {
            return None;
        }
        let method = "tools/call";
        let question =
            Question { caller, server, method, subject: &Subject::Server, arguments: None, circumstances };
        let mut key = Vec::with_capacity(256);
        key::write(&mut key, &self.reads.values, &question, Phase::List);
        (key.len() <= LONGEST_KEY).then_some(key)
    }

    /// Which policy this is.
    #[must_use]
    pub fn revision(&self) -> &Revision {
        &self.revision
    }

    /// The files that it was loaded from.
    #[must_use]
    pub fn sources(&self) -> &Sources {
        &self.sources
    }

    /// The rates and budgets that tenants' data asks for: `data.tenants.<tenant>.rates` and `.budget`.
    pub fn rates(&self) -> impl Iterator<Item = (&TenantId, &Rates)> {
        self.rates.iter()
    }

    /// Judges a question as a call. `held`: whether it has arguments to be held to constraints.
    pub(in crate::decide) fn judge(
        &self,
        question: &Question<'_>,
        held: bool,
        purse: Purse<'_>,
    ) -> Result<Arc<Verdict>, No> {
        let judged = self.judged(question, held, purse);
        judged.unwrap_or_else(|failure| Err(self.failed(question, &failure)))
    }

    /// The same, where a failure is the asker's to tell.
    pub(in crate::decide) fn judged(
        &self,
        question: &Question<'_>,
        held: bool,
        purse: Purse<'_>,
    ) -> Result<Result<Arc<Verdict>, No>, Failure> {
        let verdict = self.verdict(question, Phase::Call, purse)?;
        if let Some(unknown) = unknown(question.subject)
            && !self.shown(question, &verdict, purse)?
        {
            return Ok(Err(No { refusal: unknown, verdict: Some(verdict) }));
        }
        if !verdict.allow {
            return Ok(Err(No { refusal: reasons(question.caller, &verdict), verdict: Some(verdict) }));
        }
        if held && !verdict.constraints.is_empty() {
            let hold = || verdict.constraints.hold(question.arguments);
            if let Err(refusal) = purse.pay(hold).ok_or(Failure::NotAsked)? {
                return Ok(Err(No { refusal, verdict: Some(verdict) }));
            }
        }
        Ok(Ok(verdict))
    }

    /// Whether a list shows the subject, given the verdict on its use.
    fn shown(&self, question: &Question<'_>, verdict: &Verdict, purse: Purse<'_>) -> Result<bool, Failure> {
        let usual = question.subject.used_by() == Some(question.method) || !self.reads.has(Field::Method);
        let differs = self.reads.has(Field::Phase) || self.reads.has(Field::Arguments);
        if usual && !differs && !self.reads.passing {
            return Ok(verdict.allow);
        }
        self.listed(question, purse).map(|verdict| verdict.allow)
    }

    pub(in crate::decide) fn listed(
        &self,
        question: &Question<'_>,
        purse: Purse<'_>,
    ) -> Result<Arc<Verdict>, Failure> {
        let method = question.subject.used_by().unwrap_or(question.method);
        self.verdict(&Question { method, arguments: None, ..*question }, Phase::List, purse)
    }

    /// The verdict on a question: a kept one, or a new one that `purse` pays for.
    pub(in crate::decide) fn verdict(
        &self,
        question: &Question<'_>,
        phase: Phase,
        purse: Purse<'_>,
    ) -> Result<Arc<Verdict>, Failure> {
        let kept = match &self.kept {
            Some(kept) if !self.reads.passing => kept,
            Some(_) | None => return self.ask(question, phase, purse),
        };
        let look_up = |key: &RefCell<Vec<u8>>| {
            let mut key = key.borrow_mut();
            key::write(&mut key, &self.reads.values, question, phase);
            kept.get(key.as_slice()).ok_or_else(|| key.clone())
        };
        match KEY.with(look_up) {
            Ok(verdict) => {
                self.tally.kept.fetch_add(1, Ordering::Relaxed);
                Ok(verdict)
            }
            Err(key) => {
                let verdict = self.ask(question, phase, purse)?;
                if key.len() <= LONGEST_KEY {
                    kept.insert(key.into_boxed_slice(), Arc::clone(&verdict));
                }
                Ok(verdict)
            }
        }
    }

    fn ask(&self, question: &Question<'_>, phase: Phase, purse: Purse<'_>) -> Result<Arc<Verdict>, Failure> {
        let large = question.arguments.is_some_and(|arguments| arguments.get().len() > LARGE);
        let ask = || match large && self.reads.has(Field::Arguments) {
            true => aside(|| self.rego.ask(question, phase)),
            false => self.rego.ask(question, phase),
        };
        let answer = purse.pay(ask).ok_or(Failure::NotAsked)?;
        self.tally.new.fetch_add(1, Ordering::Relaxed);
        purse.evaluated(matches!(answer, Err(Failure::TimedOut(_))));
        Ok(Arc::new(Verdict::of(answer?, self.revision.clone())?))
    }

    fn failed(&self, question: &Question<'_>, failure: &Failure) -> No {
        self.report(question, failure);
        No { refusal: Refusal::PolicyFailed, verdict: None }
    }

    /// The operator's line. An error of the engine may quote a value, so where arguments are read only its place is told.
    pub(in crate::decide) fn report(&self, question: &Question<'_>, failure: &Failure) {
        let text = failure.to_string();
        let told =
            if self.reads.has(Field::Arguments) { text.split("error:").next() } else { Some(text.as_str()) };
        tracing::error!(
            revision = %self.revision,
            method = question.method,
            invocation = %question.circumstances.invocation,
            why = told.unwrap_or_default().trim(),
            "Policy could not decide"
        );
    }

    /// What of a question the policy reads and the audit does not keep.
    #[must_use]
    pub fn unrecorded(&self) -> Vec<&'static str> {
        let mut parts: Vec<&'static str> = self.reads.values.iter().filter_map(Reads::unrecorded).collect();
        parts.dedup();
        parts
    }

    pub(in crate::decide) fn rego(&self) -> &Rego {
        &self.rego
    }

    /// How many verdicts are kept.
    #[cfg(test)]
    pub(in crate::decide) fn kept(&self) -> usize {
        self.kept.as_ref().map_or(0, Cache::len)
    }

    /// How many packages were worked out when the policy was loaded.
    #[cfg(test)]
    pub(in crate::decide) fn settled(&self) -> usize {
        self.rego.settled()
    }

    /// What the policy reads.
    #[cfg(test)]
    pub(in crate::decide) fn read_set(&self) -> &ReadSet {
        &self.reads
    }
}

impl Verdict {
    fn of(answer: Answer, revision: Revision) -> Result<Self, Failure> {
        let constraints = Constraints::ready(answer.constraints)
            .map_err(|e| Failure::WrongType { key: "constraints", what: e.to_string() })?;
        Ok(Self {
            allow: answer.allow && answer.deny.is_empty(),
            challenge: answer.challenge.filter(|_| answer.allow),
            deny: answer.deny,
            rules: answer.rules,
            redact: answer.redact,
            cost: answer.cost,
            annotations: answer.annotations,
            revision,
            constraints,
        })
    }
}

/// Does what may take long, where the runtime has other threads for everybody else.
fn aside<T>(work: impl FnOnce() -> T) -> T {
    match Handle::try_current().map(|runtime| runtime.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(work),
        Ok(_) | Err(_) => work(),
    }
}

/// What the bundle's tests say against it.
fn tried(bundle: &Bundle, values: &Values, modules: &[&Module], tests: Tests) -> Vec<PolicyProblem> {
    match Trial::ready(bundle, values, Coverage::Uncounted) {
        Ok(_) if tests == Tests::Elsewhere => Vec::new(),
        Ok(mut trial) => {
            let tested = trial.run(modules, |_| true);
            tested.into_iter().filter_map(|test| test.problem).collect()
        }
        Err(broken) => vec![broken],
    }
}

fn sorted(mut problems: Vec<PolicyProblem>) -> Vec<PolicyProblem> {
    problems.sort();
    problems.dedup();
    problems
}

/// How a subject is refused that its caller may not see; the server itself is never hidden.
fn unknown(subject: &Subject) -> Option<Refusal> {
    match subject {
        Subject::Tool(tool) => Some(Refusal::UnknownTool(tool.name.clone())),
        Subject::Resource(_) => Some(Refusal::NotFound("resource")),
        Subject::Prompt(_) => Some(Refusal::NotFound("prompt")),
        Subject::Server => None,
    }
}

/// Whoever came by a token can be told to come with a better one, where that lifts every denial.
fn reasons(caller: &Caller, verdict: &Verdict) -> Refusal {
    let code = verdict.deny.iter().find_map(|(code, _)| code.clone());
    let messages: Vec<&str> = verdict.deny.iter().map(|(_, message)| message.as_str()).collect();
    let message = if messages.is_empty() { NO_RULE.to_owned() } else { messages.join("; ") };
    match &verdict.challenge {
        Some(challenge) if caller.authentication().kind == Proof::Jwt => {
            match challenge.acr_values.is_empty() && challenge.max_age.is_none() {
                true => Refusal::InsufficientScope { scopes: challenge.scopes.clone() },
                false => Refusal::StepUp { challenge: challenge.clone(), message },
            }
        }
        Some(_) | None => Refusal::Denied { code, message },
    }
}
