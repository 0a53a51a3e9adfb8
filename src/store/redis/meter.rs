//! Rates and places that all gates count together, each call by one script.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use redis::Script;

use crate::store::StoreError;
use crate::store::meter::{Meter, Metered, Place, Verdict};
use crate::store::redis::link::Link;
use crate::store::redis::{RedisStore, WRITE};

/// Places in one script.
const CHUNK: usize = 500;

/// The scripts, and the prefix of their keys.
pub(super) struct Scripts {
    prefix: String,
    count: Script,
    keep: Script,
    leave: Script,
}

impl Scripts {
    pub(super) fn new(prefix: &str) -> Self {
        Self {
            prefix: format!("{{{prefix}}}"),
            count: Script::new(include_str!("count.lua")),
            keep: Script::new(include_str!("keep.lua")),
            leave: Script::new(include_str!("leave.lua")),
        }
    }

    fn rate(&self, rate: &Metered) -> Vec<u8> {
        [self.prefix.as_bytes(), b":r:", &rate.key].concat()
    }

    fn place(&self, place: &Place) -> Vec<u8> {
        [self.prefix.as_bytes(), b":p:", &place.key].concat()
    }

    fn count(
        &self,
        rates: &[Metered],
        place: Option<(&Place, u32)>,
        life: Duration,
    ) -> redis::ScriptInvocation<'_> {
        let mut call = self.count.arg(rates.len());
        for rate in rates {
            call.key(self.rate(rate)).arg(rate.step.as_secs_f64() * 1e6).arg(rate.burst);
        }
        if let Some((place, most)) = place {
            call.key(self.place(place)).arg(place.holder.as_slice()).arg(most).arg(milliseconds(life));
        }
        call
    }
}

#[async_trait]
impl Meter for RedisStore {
    async fn count(
        &self,
        rates: &[Metered],
        place: Option<(&Place, u32)>,
        life: Duration,
    ) -> Result<Verdict, StoreError> {
        let script = &self.meter.count(rates, place, life);
        let counted = |link: Arc<Link>| async move { script.invoke_async(&mut link.writes()).await };
        let (what, rate, number): (String, usize, u64) = self.on_link(WRITE, counted).await?;
        Ok(match what.as_str() {
            "admitted" => Verdict::Admitted { left: u32::try_from(number).unwrap_or(u32::MAX) },
            "full" => Verdict::Full,
            _ => Verdict::Exhausted { rate, retry: Duration::from_micros(number) },
        })
    }

    async fn keep(&self, places: &[Place], life: Duration) -> Result<(), StoreError> {
        for places in places.chunks(CHUNK) {
            let mut call = self.meter.keep.arg(milliseconds(life));
            for place in places {
                call.key(self.meter.place(place)).arg(place.holder.as_slice());
            }
            let call = &call;
            let kept = |link: Arc<Link>| async move { call.invoke_async::<i64>(&mut link.writes()).await };
            self.on_link(WRITE, kept).await?;
        }
        Ok(())
    }

    async fn leave(&self, places: &[Place]) -> Result<(), StoreError> {
        for places in places.chunks(CHUNK) {
            let mut call = self.meter.leave.prepare_invoke();
            for place in places {
                call.key(self.meter.place(place)).arg(place.holder.as_slice());
            }
            let call = &call;
            let left = |link: Arc<Link>| async move { call.invoke_async::<i64>(&mut link.writes()).await };
            self.on_link(WRITE, left).await?;
        }
        Ok(())
    }
}

fn milliseconds(life: Duration) -> u64 {
    u64::try_from(life.as_millis()).unwrap_or(u64::MAX)
}
