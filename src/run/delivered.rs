//! Policies that are delivered: fetched, loaded, kept and swapped in, again and again.
//!
//! # Why a start asks the source first
//! What was kept may be older than what served a minute ago elsewhere. So a start asks, briefly; and where there is no
//! answer it serves what was kept, verified anew, and says so. Where nothing was kept there is no policy and no gate.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::config::{Config, Delivery, Policy};
use crate::decide::Decide;
use crate::deliver::{About, Asked, Deliver, Fetched, Setback, Staged};
use crate::gateway::{Gate, Shared, Source};
use crate::name::{Invocation, Revision};
use crate::record::metrics::{Fetch, Reload};
use crate::run::{doubts, rollout};

/// How long a start waits for the source, where there is something to serve without it.
const PATIENCE: Duration = Duration::from_secs(5);
/// Between two questions to a source that tells what is new itself.
const BREATH: Duration = Duration::from_millis(200);
/// After a first failure; then twice as long each time, up to [`LONGEST`].
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(300);

/// The source that a gate follows, and what serves of it.
pub(in crate::run) struct Follow {
    deliver: Deliver,
    every: Duration,
    last: About,
    /// Why the newest is not served, at the start.
    trouble: Option<String>,
    failures: u32,
}

/// A revision that was loaded, or why none was.
type Loaded = Result<(Arc<Decide>, About), Setback>;

/// The policy that a gate starts with, and its source.
///
/// # Errors
/// The source gives none, and none was kept: every reason, for the operator.
pub(in crate::run) async fn first(
    config: &Config,
    delivery: &Delivery,
    shared: &Shared,
) -> Result<(Arc<Decide>, Follow), String> {
    let deliver = Deliver::new(delivery, config.state.policies()).map_err(|error| told(delivery, &error))?;
    let kept = deliver.last();
    let fetched = deliver.fetch(kept.as_ref(), Asked::AtOnce);
    let fetched = match &kept {
        None => fetched.await,
        Some(_) => tokio::time::timeout(PATIENCE, fetched).await.unwrap_or_else(|_| {
            let why = format!("no answer within {PATIENCE:?}");
            Err(Setback::Unreachable { why, wait: None })
        }),
    };
    let asked = match fetched {
        Ok(Fetched::New(staged)) => load(&deliver, staged, config, shared).await.map(Some),
        Ok(Fetched::Same) => Ok(None),
        Err(why) => Err(why),
    };
    let (outcome, trouble) = match &asked {
        Ok(Some(_)) => (Fetch::New, None),
        Ok(None) => (Fetch::Unchanged, None),
        Err(why) => (failed(why), Some(why.to_string())),
    };
    shared.metrics().fetched(outcome, jiff::Timestamp::now().as_second());
    let (policy, last) = match asked {
        Ok(Some(loaded)) => loaded,
        Ok(None) | Err(_) => again(&deliver, config, shared, trouble.as_deref()).await?,
    };
    tracing::info!(revision = %last.revision, source = deliver.place(), "Policy delivered");
    let follow = Follow { deliver, every: delivery.every(), last, trouble, failures: 0 };
    Ok((policy, follow))
}

/// What was kept, verified and loaded again.
async fn again(
    deliver: &Deliver,
    config: &Config,
    shared: &Shared,
    trouble: Option<&str>,
) -> Result<(Arc<Decide>, About), String> {
    let place = deliver.place();
    let fetched = trouble.unwrap_or("it has nothing newer than what was kept");
    let none = |kept: String| {
        format!(
            "there is no policy to serve. The source `{place}`: {fetched}. Kept in the state directory: {kept}"
        )
    };
    let fetched_at = deliver.last().map(|about| about.fetched_at);
    let staged = match deliver.again().await {
        Ok(Some(staged)) => staged,
        Ok(None) => return Err(none("nothing of this source".to_owned())),
        Err(why) => return Err(none(why.to_string())),
    };
    let (policy, mut about) =
        load(deliver, staged, config, shared).await.map_err(|why| none(why.to_string()))?;
    about.fetched_at = fetched_at.unwrap_or(about.fetched_at);
    Ok((policy, about))
}

/// Loads a revision, which checks everything, and keeps it.
async fn load(deliver: &Deliver, staged: Staged, config: &Config, shared: &Shared) -> Loaded {
    let policy = Policy { directory: staged.directory(), ..config.policy.clone() };
    let servers = config.servers.clone();
    let broken_off = |_| Setback::Unable("the load broke off".to_owned());
    let loaded = tokio::task::spawn_blocking(move || {
        let inside = format!("{}/", policy.directory.display());
        let plain = |problem: String| problem.replace(&inside, "");
        Decide::load(&policy)
            .inspect(|_| doubts::tell(&policy.directory, &servers))
            .map_err(|problems| problems.iter().map(|problem| plain(problem.to_string())).collect::<Vec<_>>())
    });
    let loaded = loaded.await.map_err(broken_off)?;
    let decide = loaded.map_err(|problems| Setback::Refused(problems.join("\n")))?;
    let name = staged.revision(decide.revision());
    let name: Revision =
        name.map_err(|bad| Setback::Refused(format!("the bundle's revision is no name: {bad}")))?;
    if let Some(signer) = staged.signer() {
        tracing::info!(revision = %name, signer, "Policy signature verified");
    }
    let about = deliver.keep(staged, name.clone())?;
    Ok((Arc::new(decide.called(name).counting(shared.tally())), about))
}

impl Follow {
    /// Asks the source again and again until `stop` turns true.
    pub(in crate::run) async fn follow(mut self, gate: Arc<Gate>, mut stop: watch::Receiver<bool>) {
        let mut pause = match self.trouble.take() {
            Some(why) => {
                self.keep(&gate, &why);
                self.back_off(None)
            }
            None => self.every.min(BREATH),
        };
        loop {
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => return,
                () = tokio::time::sleep(pause) => {}
            }
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => return,
                next = self.round(&gate) => pause = next,
            }
        }
    }

    /// Asks once; how long to wait for the next time.
    async fn round(&mut self, gate: &Gate) -> Duration {
        let began = Instant::now();
        let fetched = self.deliver.fetch(Some(&self.last), Asked::WithTime).await;
        let took = began.elapsed();
        let outcome = match fetched {
            Ok(Fetched::Same) => Ok(Fetch::Unchanged),
            Ok(Fetched::New(staged)) => self.take(gate, staged).await.map(|()| Fetch::New),
            Err(why) => Err(why),
        };
        let current = gate.current();
        let count = |outcome| current.shared().metrics().fetched(outcome, jiff::Timestamp::now().as_second());
        match outcome {
            Ok(outcome) => {
                count(outcome);
                gate.mended(Source::Policy);
                self.failures = 0;
                if self.deliver.tells(outcome == Fetch::New, took) { BREATH } else { self.every }
            }
            Err(why) => {
                count(failed(&why));
                if failed(&why) == Fetch::Refused {
                    current.shared().metrics().reloaded(Reload::KeptOld);
                }
                self.keep(gate, &why.to_string());
                let wait = match why {
                    Setback::Unreachable { wait, .. } => wait,
                    Setback::Refused(_) | Setback::Unable(_) => None,
                };
                self.back_off(wait)
            }
        }
    }

    async fn take(&mut self, gate: &Gate, staged: Staged) -> Result<(), Setback> {
        let current = gate.current();
        let (policy, about) = load(&self.deliver, staged, current.config(), current.shared()).await?;
        let unfit = |errors: Vec<crate::gateway::BuildError>| {
            Setback::Unable(errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
        };
        {
            // The configuration or the pins may have changed meanwhile: this policy goes with those of now.
            let _turn = gate.turn();
            let next = gate.current().with_policy(policy).map_err(unfit)?;
            gate.swap(next, Source::Policy);
            rollout::settle(gate, &Handle::current());
        }
        current.shared().metrics().reloaded(Reload::Loaded);
        tracing::info!(revision = %about.revision, source = self.deliver.place(), "Policy reloaded");
        self.last = about;
        Ok(())
    }

    /// Says loudly, once for each reason, that the newest is not what serves.
    fn keep(&self, gate: &Gate, why: &str) {
        let (place, last) = (self.deliver.place(), &self.last);
        let note = format!("{place}: {why}\n{} of {:.0} serves on", last.revision, last.fetched_at);
        if gate.kept_because(Source::Policy).is_none_or(|before| *before != note) {
            for line in why.lines() {
                tracing::error!(problem = line, serving = %last.revision, "Policy not delivered; the old one serves");
            }
        }
        gate.keep(Source::Policy, note);
    }

    /// Longer after each failure, by chance up to a half less, so that gates do not come all at once; and no shorter than the source asks for.
    fn back_off(&mut self, asked: Option<Duration>) -> Duration {
        let doubled = SHORTEST.saturating_mul(1 << self.failures.min(16));
        self.failures = self.failures.saturating_add(1);
        let longest = doubled.min(self.every.max(SHORTEST)).min(LONGEST);
        let chosen = longest.mul_f64(1.0 - Invocation::new().chance() / 2.0);
        chosen.max(asked.unwrap_or_default())
    }
}

fn failed(why: &Setback) -> Fetch {
    match why {
        Setback::Refused(_) => Fetch::Refused,
        Setback::Unreachable { .. } | Setback::Unable(_) => Fetch::Failed,
    }
}

fn told(delivery: &Delivery, why: &Setback) -> String {
    format!("{}: {why}", delivery.place())
}
