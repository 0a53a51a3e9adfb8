//! Rates: whose they are, and how they are counted on this gate.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use governor::clock::DefaultClock;
use governor::middleware::StateInformationMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};

use crate::config::Rate;
use crate::govern::Quotas;
use crate::identify::Caller;
use crate::name::{AgentId, ServerName, TenantId, ToolName, UserId};
use crate::refusal::{Exhausted, Limit, Refusal};
use crate::store::meter::Metered;

/// Whose rate a limiter counts. The tenant comes first, so no counter can be reached from another.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Counter {
    pub(super) tenant: TenantId,
    pub(super) who: Who,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Who {
    Tenant,
    User(UserId),
    Agent(AgentId),
    Tool(ServerName, ToolName),
}

/// A limiter and the rate that it was made for: when the rate changes, so does the limiter.
#[derive(Debug)]
pub(super) struct Limiter {
    pub(super) rate: Rate,
    pub(super) cells: Cells,
    /// How many requests were left, and when: of a tenant's own rate, which policy may read.
    seen: Option<Mutex<(Instant, u32)>>,
}

type Cells = RateLimiter<NotKeyed, InMemoryState, DefaultClock, StateInformationMiddleware>;

/// One rate that a message counts against, and what is said where it is exhausted.
pub(super) struct Counting {
    pub(super) who: Who,
    pub(super) rate: Rate,
    pub(super) what: Limit,
}

/// The rates of those for whom a message is sent; the tenant's own is the last.
pub(super) fn callers(caller: &Caller, quotas: &Quotas) -> Vec<Counting> {
    let rates = &quotas.rates;
    let user = rates.user.zip(caller.user()).map(|(rate, user)| Counting {
        who: Who::User(user.clone()),
        rate,
        what: Limit::UserRate,
    });
    let agent = rates.agent.zip(caller.agent()).map(|(rate, agent)| Counting {
        who: Who::Agent(agent.clone()),
        rate,
        what: Limit::AgentRate(agent.clone()),
    });
    let tenant = rates.tenant.map(|rate| Counting { who: Who::Tenant, rate, what: Limit::TenantRate });
    [user, agent, tenant].into_iter().flatten().collect()
}

impl Counting {
    pub(super) fn metered(&self, tenant: &TenantId) -> Metered {
        let whose = match &self.who {
            Who::Tenant => key(&[tenant.as_str(), "tenant"]),
            Who::User(user) => key(&[tenant.as_str(), "user", user.as_str()]),
            Who::Agent(agent) => key(&[tenant.as_str(), "agent", agent.as_str()]),
            Who::Tool(server, tool) => key(&[tenant.as_str(), "tool", server.as_str(), tool.as_str()]),
        };
        Metered { key: whose, step: step(self.rate), burst: self.rate.burst.get() }
    }

    pub(super) fn exhausted(&self, retry: Duration) -> Refusal {
        Refusal::TooMany(Exhausted {
            what: self.what.clone(),
            limit: self.rate.requests.get(),
            window: self.rate.per,
            remaining: 0,
            retry,
        })
    }
}

/// Names with a NUL between, which none of them has.
pub(super) fn key(names: &[&str]) -> Vec<u8> {
    names.join("\0").into_bytes()
}

impl Limiter {
    pub(super) fn new(rate: Rate, who: &Who) -> Self {
        let cells = RateLimiter::direct(quota(rate)).with_middleware();
        let seen = match who {
            Who::Tenant => Some(Mutex::new((Instant::now(), rate.burst.get()))),
            Who::User(_) | Who::Agent(_) | Who::Tool(..) => None,
        };
        Self { rate, cells, seen }
    }

    pub(super) fn saw(&self, left: u32) {
        if let Some(seen) = &self.seen {
            *seen.lock().unwrap_or_else(PoisonError::into_inner) = (Instant::now(), left);
        }
    }

    /// Other gates have taken some as well.
    pub(super) fn saw_together(&self, left: u32) {
        if let Some(seen) = &self.seen {
            let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
            seen.1 = seen.1.min(left);
        }
    }

    /// How many requests are left: those that were, and those that time has given back since.
    pub(super) fn left(&self) -> u32 {
        let Some(seen) = &self.seen else { return self.rate.burst.get() };
        let (at, left) = *seen.lock().unwrap_or_else(PoisonError::into_inner);
        let back = at.elapsed().as_nanos() / step(self.rate).as_nanos();
        u32::try_from(back).unwrap_or(u32::MAX).saturating_add(left).min(self.rate.burst.get())
    }
}

/// Whether the limiter would admit its whole burst, and so is worth what a new one is.
pub(super) fn is_idle(limiter: &Limiter) -> bool {
    limiter.cells.check_n(limiter.rate.burst).is_ok_and(|now| now.is_ok())
}

/// After how long one more request is given back; never zero.
fn step(rate: Rate) -> Duration {
    (rate.per / rate.requests.get()).max(Duration::from_nanos(1))
}

fn quota(rate: Rate) -> Quota {
    Quota::with_period(step(rate)).unwrap_or_else(|| Quota::per_second(rate.requests)).allow_burst(rate.burst)
}
