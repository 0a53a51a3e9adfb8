//! Addresses that ask for scoped URLs or API keys which are not there: each may do so a number of times per minute, and then
//! waits.
//!
//! # Why at all
//! Nobody guesses 256 bits. But each guess is a look-up in the store, which others wait for.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use quick_cache::sync::Cache;

use crate::identify::clock::Clock;

/// Addresses that are remembered; one that is forgotten begins anew.
const REMEMBERED: usize = 20_000;

/// The addresses that asked of late.
#[derive(Debug)]
pub(in crate::identify) struct Strangers {
    quota: Option<Quota>,
    seen: Cache<IpAddr, Arc<Stranger>>,
    clock: Clock,
}

#[derive(Debug)]
struct Stranger {
    misses: DefaultDirectRateLimiter,
    /// Until when it waits, in ms of the clock's tick.
    waits_until: AtomicU64,
}

impl Strangers {
    /// `per_minute`: how often an address may ask for what is not there; 0: as often as it likes.
    pub(in crate::identify) fn new(per_minute: u32, clock: Clock) -> Self {
        let quota = NonZeroU32::new(per_minute).map(Quota::per_minute);
        Self { quota, seen: Cache::new(REMEMBERED), clock }
    }

    /// Whether the address may look now.
    pub(in crate::identify) fn may_look(&self, address: IpAddr) -> bool {
        let stranger = self.seen.get(&network(address));
        stranger.is_none_or(|stranger| self.now() >= stranger.waits_until.load(Ordering::Relaxed))
    }

    /// It looked and found nothing.
    pub(in crate::identify) fn missed(&self, address: IpAddr) {
        let Some(quota) = self.quota else { return };
        let new = || {
            let misses = RateLimiter::direct(quota);
            Ok::<_, std::convert::Infallible>(Arc::new(Stranger { misses, waits_until: AtomicU64::new(0) }))
        };
        let Ok(stranger) = self.seen.get_or_insert_with(&network(address), new);
        if let Err(until) = stranger.misses.check() {
            let wait = until.wait_time_from(DefaultClock::default().now()).max(Duration::from_secs(1));
            let until = self.now().saturating_add(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
            stranger.waits_until.fetch_max(until, Ordering::Relaxed);
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.clock.tick().as_millis()).unwrap_or(u64::MAX)
    }
}

/// One subscriber has a whole /64 of IPv6 (RFC 6177).
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6((u128::from(address) >> 64 << 64).into()),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_that_asks_too_often_waits_and_no_other_does() {
        let clock = Clock::standing();
        let strangers = Strangers::new(5, clock.clone());
        let (guesser, other) = (address("10.0.0.1"), address("10.0.0.2"));
        for _ in 0..5 {
            strangers.missed(guesser);
            assert!(strangers.may_look(guesser));
        }
        strangers.missed(guesser);
        assert!(!strangers.may_look(guesser));
        assert!(strangers.may_look(other));
        clock.advance(Duration::from_secs(61));
        assert!(strangers.may_look(guesser));
    }

    #[test]
    fn a_subscribers_many_addresses_are_one() {
        let strangers = Strangers::new(1, Clock::standing());
        strangers.missed(address("2001:db8:1:2::1"));
        strangers.missed(address("2001:db8:1:2:ffff::1"));
        assert!(!strangers.may_look(address("2001:db8:1:2::7")));
        assert!(strangers.may_look(address("2001:db8:1:3::1")));
        strangers.missed(address("::ffff:10.0.0.1"));
        strangers.missed(address("10.0.0.1"));
        assert!(!strangers.may_look(address("10.0.0.1")));
    }

    #[test]
    fn without_a_limit_nobody_waits() {
        let strangers = Strangers::new(0, Clock::standing());
        (0..100).for_each(|_| strangers.missed(address("10.0.0.1")));
        assert!(strangers.may_look(address("10.0.0.1")));
    }
}
