//! Whether it may happen now: rates by tenant, user, agent and tool, slots per account, streams and budget per tenant →
//! [`Slot`].
//!
//! # Why after `decide`
//! Policy data may set the limits, and a refused call must not take a slot. The price is that a flood reaches policy,
//! whose decisions are cached; `listen` bounds connections and bytes before that.

mod budget;
mod rates;
mod together;

pub use budget::{Paid, Saved};

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use dashmap::DashMap;
use globset::GlobMatcher;
use governor::clock::{Clock, DefaultClock};
use jiff::Timestamp;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::{Account, Rate, Rates};
use crate::decide::{Permit, Subject};
use crate::govern::budget::{Budgets, Charge};
use crate::govern::rates::{Counter, Counting, Limiter, Who, callers, is_idle, key};
use crate::govern::together::{Said, Shared, Together};
use crate::identify::Caller;
use crate::name::{ServerName, TenantId, ToolName};
use crate::refusal::{Exhausted, Limit, Refusal};
use crate::store::Store;
use crate::store::meter::Metered;

/// A place in flight, given back when dropped.
#[derive(Debug)]
#[must_use]
pub struct Slot {
    _place: Option<OwnedSemaphorePermit>,
    _shared: Option<Shared>,
    _stream: Option<Standing>,
    charge: Charge,
}

impl Slot {
    /// No place: for what no caller asked for, and what bounds itself.
    pub fn none() -> Self {
        Self { _place: None, _shared: None, _stream: None, charge: Charge::default() }
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
    together: Option<Together>,
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
    /// Counters that other gates on the same store share, where it is one that they can share. A call waits so long for that.
    #[must_use]
    pub fn on(store: &Arc<dyn Store>, within: Duration) -> Self {
        Self { together: Together::on(store, within), ..Self::default() }
    }

    /// Whether rates and slots are counted with other gates now; `None`: there are none to count with.
    #[must_use]
    pub fn is_together(&self) -> Option<bool> {
        self.together.as_ref().map(Together::is_together)
    }

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
        let begun = Instant::now();
        let counted = self.counting(permit, quotas);
        self.count(permit.caller().tenant(), &counted)?;
        let charge = self.charge(permit, quotas)?;
        let wanted = account.and_then(|account| Some((account, account.slots?)));
        let place = match wanted {
            Some((account, many)) => Some(self.place(account, many, patience).await?),
            None => None,
        };
        let left = patience.saturating_sub(begun.elapsed());
        let shared = self.agree(permit.caller().tenant(), &counted, wanted, Waits { patience, left }).await?;
        Ok(Slot { _place: place, _shared: shared, _stream: None, charge })
    }

    /// Counts the opening of a standing stream, of which a tenant may have `most`. It may last for hours and makes no
    /// call, so it takes no place on the account.
    ///
    /// # Errors
    /// [`Refusal::TooMany`], and [`Refusal::Overloaded`] where the tenant has `most` already.
    pub async fn admit_stream(&self, permit: &Permit, quotas: &Quotas, most: usize) -> Result<Slot, Refusal> {
        let tenant = permit.caller().tenant();
        let counted = self.counting(permit, quotas);
        self.count(tenant, &counted)?;
        let charge = self.charge(permit, quotas)?;
        let stream = self.stream(tenant, most)?;
        self.agree(tenant, &counted, None, Waits::default()).await?;
        Ok(Slot { _place: None, _shared: None, _stream: Some(stream), charge })
    }

    /// What all gates together say of a call that this one admits.
    async fn agree(
        &self,
        tenant: &TenantId,
        counted: &[Counting],
        wanted: Option<(&Account, NonZeroU32)>,
        waits: Waits,
    ) -> Result<Option<Shared>, Refusal> {
        let Some(together) = &self.together else { return Ok(None) };
        let rates: Vec<Metered> = counted.iter().map(|counting| counting.metered(tenant)).collect();
        let place = wanted
            .map(|(account, many)| (key(&[account.tenant.as_str(), account.server.as_str()]), many.get()));
        match Box::pin(together.admit(&rates, place, waits.left)).await {
            Said::Admitted(shared, left) => {
                if let Some(Counting { who: who @ Who::Tenant, rate, .. }) = counted.last() {
                    let counter = Counter { tenant: tenant.clone(), who: who.clone() };
                    self.limiter(counter, *rate).saw_together(left);
                }
                Ok(shared)
            }
            Said::Nothing => Ok(None),
            Said::Full => Err(full(wanted.map_or(0, |(_, many)| many.get()), waits.patience)),
            Said::Exhausted(index, retry) => Err(match counted.get(index) {
                Some(counting) => counting.exhausted(retry),
                None => Refusal::Internal,
            }),
        }
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
        self.count(caller.tenant(), &callers(caller, quotas))
    }

    /// Counts a question about a call, which is a request as the call is.
    ///
    /// # Errors
    /// [`Refusal::TooMany`].
    pub fn count_question(&self, caller: &Caller, quotas: &Quotas) -> Result<(), Refusal> {
        self.count(caller.tenant(), &callers(caller, quotas))
    }

    /// Everything that a permitted message counts against; the tenant's own rate is the last.
    fn counting(&self, permit: &Permit, quotas: &Quotas) -> Vec<Counting> {
        let mut counting = Vec::new();
        if let Subject::Tool(tool) = permit.subject()
            && let Some(rate) = quotas.of_tool(&tool.name)
        {
            let who = Who::Tool(permit.server().name.clone(), tool.name.clone());
            counting.push(Counting { who, rate, what: Limit::ToolRate(tool.name.clone()) });
        }
        counting.extend(callers(permit.caller(), quotas));
        counting
    }

    fn count(&self, tenant: &TenantId, counting: &[Counting]) -> Result<(), Refusal> {
        counting.iter().try_for_each(|counting| self.take(tenant, counting))
    }

    fn take(&self, tenant: &TenantId, counting: &Counting) -> Result<(), Refusal> {
        let counter = Counter { tenant: tenant.clone(), who: counting.who.clone() };
        let limiter = self.limiter(counter, counting.rate);
        match limiter.cells.check() {
            Ok(state) => {
                limiter.saw(state.remaining_burst_capacity());
                Ok(())
            }
            Err(not_until) => Err(counting.exhausted(not_until.wait_time_from(self.clock.now()))),
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
        many: NonZeroU32,
        patience: Duration,
    ) -> Result<OwnedSemaphorePermit, Refusal> {
        let places = self.places(account, many);
        let waiting = tokio::time::timeout(patience, places.acquire_owned());
        match waiting.await {
            Ok(Ok(place)) => Ok(place),
            Ok(Err(_)) | Err(_) => Err(full(many.get(), patience)),
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

/// How long a call waits for a place: in all, and what is left of it.
#[derive(Debug, Default, Clone, Copy)]
struct Waits {
    patience: Duration,
    left: Duration,
}

fn full(many: u32, patience: Duration) -> Refusal {
    Refusal::TooMany(Exhausted {
        what: Limit::Slots,
        limit: many,
        window: patience,
        remaining: 0,
        retry: patience.max(Duration::from_millis(100)),
    })
}

impl Slots {
    fn new(many: NonZeroU32) -> Self {
        let places =
            usize::try_from(many.get()).unwrap_or(Semaphore::MAX_PERMITS).min(Semaphore::MAX_PERMITS);
        Self { many, places: Arc::new(Semaphore::new(places)) }
    }
}

#[cfg(test)]
mod tests;
