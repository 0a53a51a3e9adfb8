//! What a tenant's calls have cost in this calendar month (UTC), and an end to it where there is a budget.
//!
//! # Why in memory first
//! A call waits for no disk. What was spent counts at once, for every call of the gate; it is written to the store behind
//! them, and again when the gate stops. A crash loses what the last moment cost, and no more.
//!
//! # How gates count together
//! Each adds to the store what was spent through it since it added last, and takes up the sum. So a budget that several gates share
//! can be passed by what the others let through in the last second, and by no more; a call still waits for nobody.
//!
//! # Why before the call
//! A call is paid for before it is forwarded, so that calls at once cannot together pass a budget that each alone would
//! have passed. What never reaches the server is given back.

use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use dashmap::DashMap;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

use crate::name::TenantId;
use crate::refusal::{Exhausted, Limit, Refusal};

/// Costs are fractions that add up with a rounding error; so much of the budget is none.
const ROUNDING: f64 = 1e-9;

/// What every tenant has spent; the key is the tenant.
#[derive(Debug, Default)]
pub(super) struct Budgets {
    tenants: DashMap<TenantId, Arc<Spending>>,
}

/// What one tenant has spent.
#[derive(Debug)]
struct Spending(Mutex<Spent>);

#[derive(Debug, Clone)]
struct Spent {
    month: Month,
    cost: f64,
    /// What the store had of it when it was last written, of all gates.
    known: f64,
    /// Counts up with every change; `stored` is the one that the store has.
    change: u64,
    stored: u64,
}

/// A calendar month in UTC: its first day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Month(Date);

/// What a tenant has spent, as it is kept.
#[derive(Debug, Clone, PartialEq)]
pub struct Saved {
    /// Whose it is.
    pub tenant: TenantId,
    /// The first day of the month, as `2026-11-01`.
    pub month: String,
    /// What was spent in it, as far as this gate knows.
    pub cost: f64,
    /// How much of that the store does not have; below zero where more was given back.
    pub added: f64,
    /// Which change of it this is.
    pub change: u64,
}

/// What a call costs, as long as it may not come to it: given back when dropped.
#[derive(Debug, Default)]
pub(super) struct Charge(Option<Bill>);

/// What a call has cost.
#[derive(Debug)]
#[must_use]
pub struct Paid(Option<Bill>);

#[derive(Debug)]
struct Bill {
    spending: Arc<Spending>,
    month: Month,
    cost: f64,
}

impl Budgets {
    /// Takes what a call costs from the tenant's budget.
    pub(super) fn charge(
        &self,
        tenant: &TenantId,
        cost: f64,
        budget: Option<NonZeroU32>,
        now: Timestamp,
    ) -> Result<Charge, Refusal> {
        if cost <= 0.0 {
            return Ok(Charge(None));
        }
        let spending = self.of(tenant, now);
        let month = {
            let mut spent = spending.at(now);
            if let Some(budget) = budget
                && spent.cost + cost > f64::from(budget.get()) * (1.0 + ROUNDING)
            {
                return Err(Refusal::TooMany(spent.exhausted(budget, now)));
            }
            spent.cost += cost;
            spent.change += 1;
            spent.month
        };
        Ok(Charge(Some(Bill { spending, month, cost })))
    }

    /// What the tenant has spent this month.
    pub(super) fn spent(&self, tenant: &TenantId, now: Timestamp) -> f64 {
        self.tenants.get(tenant).map_or(0.0, |spending| spending.at(now).cost)
    }

    /// What the store does not have yet.
    pub(super) fn unsaved(&self) -> Vec<Saved> {
        let changed = |spent: &Spent| spent.change != spent.stored;
        let each = self.tenants.iter().map(|entry| (entry.key().clone(), entry.value().read().clone()));
        each.filter(|(_, spent)| changed(spent)).map(|(tenant, spent)| spent.saved(tenant)).collect()
    }

    /// The store has this now, and `sum` of all gates together.
    pub(super) fn stored(&self, saved: &Saved, sum: f64) {
        let Some(spending) = self.tenants.get(&saved.tenant) else { return };
        let mut spent = spending.read();
        spent.stored = spent.stored.max(saved.change);
        if spent.month.0.to_string() == saved.month {
            spent.cost = (sum + spent.cost - saved.cost).max(0.0);
            spent.known = sum;
        }
    }

    /// Takes up what was kept; false where it cannot be understood.
    pub(super) fn restore(&self, saved: &Saved) -> bool {
        let Ok(month) = saved.month.parse() else { return false };
        if !saved.cost.is_finite() || saved.cost < 0.0 {
            return false;
        }
        let spent = Spent { month: Month(month), cost: saved.cost, known: saved.cost, change: 0, stored: 0 };
        self.tenants.insert(saved.tenant.clone(), Arc::new(Spending(Mutex::new(spent))));
        true
    }

    fn of(&self, tenant: &TenantId, now: Timestamp) -> Arc<Spending> {
        if let Some(spending) = self.tenants.get(tenant) {
            return Arc::clone(&spending);
        }
        let new = || Spent { month: Month::of(now), cost: 0.0, known: 0.0, change: 0, stored: 0 };
        let entry = self.tenants.entry(tenant.clone());
        Arc::clone(&entry.or_insert_with(|| Arc::new(Spending(Mutex::new(new())))))
    }
}

impl Spending {
    /// What was spent in the month that it is now. A clock that is set back begins no month anew.
    fn at(&self, now: Timestamp) -> MutexGuard<'_, Spent> {
        let mut spent = self.read();
        let month = Month::of(now);
        if month > spent.month {
            (spent.month, spent.cost, spent.known) = (month, 0.0, 0.0);
            spent.change += 1;
        }
        spent
    }

    fn read(&self) -> MutexGuard<'_, Spent> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Spent {
    fn exhausted(&self, budget: NonZeroU32, now: Timestamp) -> Exhausted {
        let left = (f64::from(budget.get()) - self.cost).max(0.0).floor();
        Exhausted {
            what: Limit::Budget,
            limit: budget.get(),
            window: self.month.lasts(self.month.begins()),
            // Written and read again, as there is no conversion that says what it does with the rest.
            remaining: left.to_string().parse().unwrap_or(0),
            retry: self.month.lasts(Some(now)).max(Duration::from_secs(1)),
        }
    }

    fn saved(self, tenant: TenantId) -> Saved {
        Saved {
            tenant,
            month: self.month.0.to_string(),
            cost: self.cost,
            added: self.cost - self.known,
            change: self.change,
        }
    }
}

impl Month {
    fn of(now: Timestamp) -> Self {
        Self(now.to_zoned(TimeZone::UTC).date().first_of_month())
    }

    fn begins(self) -> Option<Timestamp> {
        self.0.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
    }

    /// How long it lasts from a moment in it.
    fn lasts(self, from: Option<Timestamp>) -> Duration {
        let next = self.0.checked_add(1.month()).ok().and_then(|next| Self(next).begins());
        let left = next.zip(from).map(|(next, from)| next.duration_since(from));
        left.and_then(|left| Duration::try_from(left).ok()).unwrap_or_default()
    }
}

impl Charge {
    /// The call goes to the server now: what it costs is spent.
    pub(super) fn pay(mut self) -> Paid {
        Paid(self.0.take())
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        if let Some(bill) = self.0.take() {
            bill.give_back();
        }
    }
}

impl Paid {
    /// What it was.
    #[must_use]
    pub fn cost(&self) -> f64 {
        self.0.as_ref().map_or(0.0, |bill| bill.cost)
    }

    /// The call did not reach the server after all.
    pub fn give_back(self) {
        if let Some(bill) = self.0 {
            bill.give_back();
        }
    }
}

impl Bill {
    fn give_back(self) {
        let mut spent = self.spending.read();
        // What was spent in a month that is over is not missed in this one.
        if spent.month == self.month {
            spent.cost = (spent.cost - self.cost).max(0.0);
            spent.change += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(time: &str) -> Timestamp {
        time.parse().unwrap()
    }

    fn acme() -> TenantId {
        TenantId::parse("acme").unwrap()
    }

    fn november() -> Timestamp {
        at("2026-11-21T12:00:00Z")
    }

    #[test]
    fn calls_at_once_pass_a_budget_as_often_as_it_pays_for_them() {
        let (budgets, ten) = (Budgets::default(), NonZeroU32::new(10));
        let call = || budgets.charge(&acme(), 1.0, ten, november()).map(Charge::pay).is_ok();
        let passed = std::thread::scope(|scope| {
            let calls: Vec<_> = (0..50).map(|_| scope.spawn(call)).collect();
            calls.into_iter().filter_map(|call| call.join().ok()).filter(|passed| *passed).count()
        });
        assert_eq!(passed, 10);
        assert!(budgets.charge(&TenantId::parse("umbrella").unwrap(), 1.0, ten, november()).is_ok());
    }

    #[test]
    fn what_is_not_forwarded_is_given_back() {
        let (budgets, one) = (Budgets::default(), NonZeroU32::new(1));
        drop(budgets.charge(&acme(), 1.0, one, november()).unwrap());
        budgets.charge(&acme(), 1.0, one, november()).unwrap().pay().give_back();
        assert_eq!(budgets.spent(&acme(), november()), 0.0);
        assert_eq!(budgets.charge(&acme(), 1.0, one, november()).unwrap().pay().cost(), 1.0);
        assert!(budgets.charge(&acme(), 0.1, one, november()).is_err());
        assert!(budgets.charge(&acme(), 0.0, one, november()).is_ok(), "what costs nothing passes");
    }

    #[test]
    fn a_refusal_says_what_is_left_and_when_the_next_month_begins() {
        let (budgets, ten) = (Budgets::default(), NonZeroU32::new(10));
        let _ = budgets.charge(&acme(), 7.5, ten, november()).unwrap().pay();
        let refused = budgets.charge(&acme(), 3.0, ten, november());
        let Err(Refusal::TooMany(exhausted)) = refused else { panic!("passed") };
        assert_eq!((exhausted.what, exhausted.limit, exhausted.remaining), (Limit::Budget, 10, 2));
        assert_eq!(exhausted.retry, Duration::from_secs((9 * 24 + 12) * 3600));
        assert_eq!(exhausted.window, Duration::from_secs(30 * 24 * 3600));
    }

    #[test]
    fn tenths_add_up_to_a_whole() {
        let (budgets, one) = (Budgets::default(), NonZeroU32::new(1));
        for call in 0..10 {
            let charge = budgets.charge(&acme(), 0.1, one, november());
            let _ = charge.unwrap_or_else(|_| panic!("call {call}")).pay();
        }
        assert!(budgets.charge(&acme(), 0.1, one, november()).is_err());
    }

    #[test]
    fn a_month_begins_with_nothing_spent_and_a_clock_set_back_begins_none() {
        let (budgets, one) = (Budgets::default(), NonZeroU32::new(1));
        let late = budgets.charge(&acme(), 1.0, one, at("2026-11-30T23:59:59Z")).unwrap();
        let december = at("2026-12-01T00:00:00Z");
        let _ = budgets.charge(&acme(), 1.0, one, december).unwrap().pay();
        drop(late);
        assert!(budgets.charge(&acme(), 1.0, one, december).is_err(), "november's is no credit");
        assert!(budgets.charge(&acme(), 1.0, one, november()).is_err(), "the clock was set back");
    }

    #[test]
    fn what_other_gates_spent_counts_as_soon_as_it_is_known() {
        let (budgets, ten) = (Budgets::default(), NonZeroU32::new(10));
        let _ = budgets.charge(&acme(), 2.0, ten, november()).unwrap().pay();
        let saved = budgets.unsaved();
        assert_eq!(saved[0].added, 2.0);
        let _ = budgets.charge(&acme(), 1.0, ten, november()).unwrap().pay();
        budgets.stored(&saved[0], 8.0);
        assert_eq!(budgets.spent(&acme(), november()), 9.0, "six elsewhere, and one here since");
        assert_eq!(budgets.unsaved()[0].added, 1.0);
        assert!(budgets.charge(&acme(), 2.0, ten, november()).is_err());
        budgets.stored(&Saved { month: "2026-10-01".into(), ..saved[0].clone() }, 0.0);
        assert_eq!(budgets.spent(&acme(), november()), 9.0, "another month's sum is not this one's");
    }

    #[test]
    fn what_was_kept_is_taken_up_and_only_what_changed_is_kept_again() {
        let budgets = Budgets::default();
        let _ = budgets.charge(&acme(), 2.5, None, november()).unwrap().pay();
        let saved = budgets.unsaved();
        assert_eq!((saved[0].month.as_str(), saved[0].cost), ("2026-11-01", 2.5));
        let _ = budgets.charge(&acme(), 1.0, None, november()).unwrap().pay();
        budgets.stored(&saved[0], 2.5);
        assert_eq!(budgets.unsaved().len(), 1, "it has changed meanwhile");
        budgets.stored(&budgets.unsaved()[0], 3.5);
        assert!(budgets.unsaved().is_empty());

        let again = Budgets::default();
        assert!(again.restore(&saved[0]));
        assert_eq!(again.spent(&acme(), november()), 2.5);
        assert_eq!(again.spent(&acme(), at("2026-12-01T00:00:00Z")), 0.0);
        for bad in
            [Saved { month: "soon".into(), ..saved[0].clone() }, Saved { cost: f64::NAN, ..saved[0].clone() }]
        {
            assert!(!again.restore(&bad), "{bad:?}");
        }
    }
}
