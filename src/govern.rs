//! Whether it may happen now: rates by tenant, user, agent and tool, slots per account, streams and budget per tenant →
//! [`Slot`].
//!
//! # Why after `decide`
//! Policy data may set the limits, and a refused call must not take a slot. The price is that a flood reaches policy,
//! whose decisions are cached; `listen` bounds connections and bytes before that.

mod budget;

pub use budget::{Paid, Saved};

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use dashmap::DashMap;
use globset::GlobMatcher;
use governor::clock::{Clock, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use jiff::Timestamp;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::{Account, Rate, Rates};
use crate::decide::{Permit, Subject};
use crate::govern::budget::{Budgets, Charge};
use crate::identify::Caller;
use crate::name::{ServerName, TenantId, ToolName};
use crate::refusal::{Exhausted, Limit, Refusal};

/// A place in flight, given back when dropped.
#[derive(Debug)]
#[must_use]
pub struct Slot {
    _place: Option<OwnedSemaphorePermit>,
    _stream: Option<Standing>,
    charge: Charge,
}

impl Slot {
    /// No place: for what no caller asked for, and what bounds itself.
    pub fn none() -> Self {
        Self { _place: None, _stream: None, charge: Charge::default() }
    }

    /// The call goes to the server now: what it costs is spent. Until then it is given back with the place.
    pub fn pay(&mut self) -> Paid {
        std::mem::take(&mut self.charge).pay()
    }
}

/// One standing stream of a tenant, counted until it is dropped.
#[derive(Debug)]
struct Standing(Arc<AtomicUsize>);

impl Drop for Standing {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Whose rate a limiter counts. The tenant comes first, so no counter can be reached from another.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Counter {
    tenant: TenantId,
    who: Who,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Who {
    Tenant,
    User(crate::name::UserId),
    Agent(crate::name::AgentId),
    Tool(ServerName, ToolName),
}

/// A limiter and the rate that it was made for: when the rate changes, so does the limiter.
#[derive(Debug)]
struct Limiter {
    rate: Rate,
    cells: Cells,
    /// How many requests were left, and when: of a tenant's own rate, which policy may read.
    seen: Option<Mutex<(Instant, u32)>>,
}

type Cells = RateLimiter<NotKeyed, InMemoryState, DefaultClock, StateInformationMiddleware>;

/// Slots of one account and how many it was made for.
#[derive(Debug)]
struct Slots {
    many: NonZeroU32,
    places: Arc<Semaphore>,
}

/// The counters of this gate. They outlive a change of configuration or policy.
#[derive(Debug, Default)]
pub struct Govern {
    limiters: DashMap<Counter, Arc<Limiter>>,
    slots: DashMap<(TenantId, ServerName), Slots>,
    streams: DashMap<TenantId, Arc<AtomicUsize>>,
    budgets: Budgets,
    clock: DefaultClock,
}

/// The rates that apply to a tenant, with its tool patterns compiled.
#[derive(Debug, Default)]
pub struct Quotas {
    rates: Rates,
    tools: Vec<(GlobMatcher, Rate)>,
}

impl Quotas {
    /// Compiles the tool patterns of `rates`; a pattern that is no glob was refused when the configuration was read.
    #[must_use]
    pub fn new(rates: &Rates) -> Self {
        let tools = rates
            .tools
            .iter()
            .filter_map(|(pattern, rate)| Some((globset::Glob::new(pattern).ok()?.compile_matcher(), *rate)))
            .collect();
        Self { rates: rates.clone(), tools }
    }

    fn of_tool(&self, tool: &ToolName) -> Option<Rate> {
        self.tools.iter().find(|(pattern, _)| pattern.is_match(tool.as_str())).map(|(_, rate)| *rate)
    }
}

impl Govern {
    /// Counts the message, takes what it costs from the tenant's budget, and takes a place on the account, waiting at most
    /// `patience` for one.
    ///
    /// # Errors
    /// [`Refusal::TooMany`] with what is exhausted and when a retry can succeed.
    pub async fn admit(
        &self,
        permit: &Permit,
        quotas: &Quotas,
        account: Option<&Account>,
        patience: Duration,
    ) -> Result<Slot, Refusal> {
        self.count(permit.caller(), &permit.server().name, permit.subject(), quotas)?;
        let charge = self.charge(permit, quotas)?;
        let place = match account {
            Some(account) => self.place(account, patience).await?,
            None => None,
        };
        Ok(Slot { _place: place, _stream: None, charge })
    }

    /// Counts the opening of a standing stream, of which a tenant may have `most`. It may last for hours and makes no
    /// call, so it takes no place on the account.
    ///
    /// # Errors
    /// [`Refusal::TooMany`], and [`Refusal::Overloaded`] where the tenant has `most` already.
    pub fn admit_stream(&self, permit: &Permit, quotas: &Quotas, most: usize) -> Result<Slot, Refusal> {
        self.count(permit.caller(), &permit.server().name, permit.subject(), quotas)?;
        let charge = self.charge(permit, quotas)?;
        let stream = self.stream(permit.caller().tenant(), most)?;
        Ok(Slot { _place: None, _stream: Some(stream), charge })
    }

    fn charge(&self, permit: &Permit, quotas: &Quotas) -> Result<Charge, Refusal> {
        let (tenant, cost) = (permit.caller().tenant(), permit.verdict().cost);
        self.budgets.charge(tenant, cost, quotas.rates.budget, Timestamp::now())
    }

    /// What the tenant's calls have cost this month.
    #[must_use]
    pub fn spent(&self, tenant: &TenantId, now: Timestamp) -> f64 {
        self.budgets.spent(tenant, now)
    }

    /// How many requests are left in the tenant's rate, this one included; `None`: it has none.
    #[must_use]
    pub fn rate_remaining(&self, tenant: &TenantId, quotas: &Quotas) -> Option<u32> {
        let rate = quotas.rates.tenant?;
        let counter = Counter { tenant: tenant.clone(), who: Who::Tenant };
        let limiter = self.limiters.get(&counter).filter(|limiter| limiter.rate == rate);
        Some(limiter.map_or(rate.burst.get(), |limiter| limiter.left()))
    }

    /// What was spent and the store does not have yet.
    #[must_use]
    pub fn unsaved(&self) -> Vec<Saved> {
        self.budgets.unsaved()
    }

    /// The store has this now, and `sum` of all gates together.
    pub fn stored(&self, saved: &Saved, sum: f64) {
        self.budgets.stored(saved, sum);
    }

    /// Takes up what a tenant had spent before the gate was started; false where it cannot be understood.
    #[must_use]
    pub fn restore(&self, saved: &Saved) -> bool {
        self.budgets.restore(saved)
    }

    fn stream(&self, tenant: &TenantId, most: usize) -> Result<Standing, Refusal> {
        let open = Arc::clone(&self.streams.entry(tenant.clone()).or_default());
        let one_more = |open: usize| (open < most).then_some(open + 1);
        match open.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more) {
            Ok(_) => Ok(Standing(open)),
            Err(_) => Err(Refusal::Overloaded("the tenant has as many event streams open as it may")),
        }
    }

    /// Counts a message that is refused before it has a permit: a flood of refused calls is a flood.
    ///
    /// # Errors
    /// [`Refusal::TooMany`].
    pub fn count_refused(&self, caller: &Caller, quotas: &Quotas) -> Result<(), Refusal> {
        self.count_callers(caller, quotas)
    }

    /// Counts a question about a call, which is a request as the call is.
    ///
    /// # Errors
    /// [`Refusal::TooMany`].
    pub fn count_question(&self, caller: &Caller, quotas: &Quotas) -> Result<(), Refusal> {
        self.count_callers(caller, quotas)
    }

    fn count(
        &self,
        caller: &Caller,
        server: &ServerName,
        subject: &Subject,
        quotas: &Quotas,
    ) -> Result<(), Refusal> {
        if let Subject::Tool(tool) = subject
            && let Some(rate) = quotas.of_tool(&tool.name)
        {
            let who = Who::Tool(server.clone(), tool.name.clone());
            self.take(caller.tenant(), who, rate, || Limit::ToolRate(tool.name.clone()))?;
        }
        self.count_callers(caller, quotas)
    }

    fn count_callers(&self, caller: &Caller, quotas: &Quotas) -> Result<(), Refusal> {
        if let (Some(rate), Some(user)) = (quotas.rates.user, caller.user()) {
            self.take(caller.tenant(), Who::User(user.clone()), rate, || Limit::UserRate)?;
        }
        if let (Some(rate), Some(agent)) = (quotas.rates.agent, caller.agent()) {
            self.take(caller.tenant(), Who::Agent(agent.clone()), rate, || Limit::AgentRate(agent.clone()))?;
        }
        if let Some(rate) = quotas.rates.tenant {
            self.take(caller.tenant(), Who::Tenant, rate, || Limit::TenantRate)?;
        }
        Ok(())
    }

    fn take(
        &self,
        tenant: &TenantId,
        who: Who,
        rate: Rate,
        what: impl FnOnce() -> Limit,
    ) -> Result<(), Refusal> {
        let counter = Counter { tenant: tenant.clone(), who };
        let limiter = self.limiter(counter, rate);
        match limiter.cells.check() {
            Ok(state) => {
                limiter.saw(state.remaining_burst_capacity());
                Ok(())
            }
            Err(not_until) => Err(Refusal::TooMany(Exhausted {
                what: what(),
                limit: rate.requests.get(),
                window: rate.per,
                remaining: 0,
                retry: not_until.wait_time_from(self.clock.now()),
            })),
        }
    }

    fn limiter(&self, counter: Counter, rate: Rate) -> Arc<Limiter> {
        if let Some(limiter) = self.limiters.get(&counter)
            && limiter.rate == rate
        {
            return Arc::clone(&limiter);
        }
        let fresh = Arc::new(Limiter::new(rate, &counter.who));
        self.limiters.insert(counter, Arc::clone(&fresh));
        fresh
    }

    async fn place(
        &self,
        account: &Account,
        patience: Duration,
    ) -> Result<Option<OwnedSemaphorePermit>, Refusal> {
        let Some(many) = account.slots else { return Ok(None) };
        let places = self.places(account, many);
        let waiting = tokio::time::timeout(patience, places.acquire_owned());
        match waiting.await {
            Ok(Ok(place)) => Ok(Some(place)),
            Ok(Err(_)) | Err(_) => Err(Refusal::TooMany(Exhausted {
                what: Limit::Slots,
                limit: many.get(),
                window: patience,
                remaining: 0,
                retry: patience.max(Duration::from_millis(100)),
            })),
        }
    }

    fn places(&self, account: &Account, many: NonZeroU32) -> Arc<Semaphore> {
        let key = (account.tenant.clone(), account.server.clone());
        let mut slots = self.slots.entry(key).or_insert_with(|| Slots::new(many));
        if slots.many != many {
            *slots = Slots::new(many);
        }
        Arc::clone(&slots.places)
    }

    /// Forgets counters that are full again; to be called now and then.
    pub fn tidy(&self) {
        self.limiters.retain(|_, limiter| Arc::strong_count(limiter) > 1 || !is_idle(limiter));
        self.limiters.shrink_to_fit();
    }
}

impl Slots {
    fn new(many: NonZeroU32) -> Self {
        let places =
            usize::try_from(many.get()).unwrap_or(Semaphore::MAX_PERMITS).min(Semaphore::MAX_PERMITS);
        Self { many, places: Arc::new(Semaphore::new(places)) }
    }
}

impl Limiter {
    fn new(rate: Rate, who: &Who) -> Self {
        let cells = RateLimiter::direct(quota(rate)).with_middleware();
        let seen = match who {
            Who::Tenant => Some(Mutex::new((Instant::now(), rate.burst.get()))),
            Who::User(_) | Who::Agent(_) | Who::Tool(..) => None,
        };
        Self { rate, cells, seen }
    }

    fn saw(&self, left: u32) {
        if let Some(seen) = &self.seen {
            *seen.lock().unwrap_or_else(PoisonError::into_inner) = (Instant::now(), left);
        }
    }

    /// How many requests are left: those that were, and those that time has given back since.
    fn left(&self) -> u32 {
        let Some(seen) = &self.seen else { return self.rate.burst.get() };
        let (at, left) = *seen.lock().unwrap_or_else(PoisonError::into_inner);
        let back = at.elapsed().as_nanos() / step(self.rate).as_nanos();
        u32::try_from(back).unwrap_or(u32::MAX).saturating_add(left).min(self.rate.burst.get())
    }
}

/// Whether the limiter would admit its whole burst, and so is worth what a new one is.
fn is_idle(limiter: &Limiter) -> bool {
    limiter.cells.check_n(limiter.rate.burst).is_ok_and(|now| now.is_ok())
}

/// After how long one more request is given back; never zero.
fn step(rate: Rate) -> Duration {
    (rate.per / rate.requests.get()).max(Duration::from_nanos(1))
}

fn quota(rate: Rate) -> Quota {
    Quota::with_period(step(rate)).unwrap_or_else(|| Quota::per_second(rate.requests)).allow_burst(rate.burst)
}

#[cfg(test)]
mod tests;
