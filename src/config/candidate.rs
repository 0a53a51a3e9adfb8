//! A policy that is tried beside the one that serves, and for whom it decides.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::Policy;
use crate::name::TenantId;

/// What a tenant's bucket is made from beside its name; it never changes, so that nobody moves between policies.
const BUCKETS: &[u8] = b"portcullis canary v1\0";

/// A policy that is tried beside the one that serves.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// Where it is, with the limits of the policy that serves.
    pub policy: Policy,
    /// For whom it decides, whatever its revision; `None`: for nobody, it is only compared.
    pub canary: Option<Canary>,
}

/// The tenants for whom a candidate decides.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Canary {
    /// Those that are named.
    pub tenants: BTreeSet<TenantId>,
    /// And so many of a hundred others.
    pub percent: Percent,
}

/// A share of a hundred.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct Percent(u8);

impl Percent {
    /// So many of a hundred; `None`: more than all.
    #[must_use]
    pub fn new(percent: u8) -> Option<Self> {
        (percent <= 100).then_some(Self(percent))
    }

    /// As a number from 0 to 100.
    #[must_use]
    pub fn get(self) -> u8 {
        self.0
    }
}

impl TryFrom<u8> for Percent {
    type Error = &'static str;

    fn try_from(percent: u8) -> Result<Self, Self::Error> {
        Self::new(percent).ok_or("a share is at most 100")
    }
}

impl From<Percent> for u8 {
    fn from(percent: Percent) -> Self {
        percent.0
    }
}

impl Canary {
    /// Whether the candidate decides for a tenant. One tenant always falls into the same bucket, at every gate and for
    /// every candidate: a growing share only adds tenants.
    #[must_use]
    pub fn covers(&self, tenant: &TenantId) -> bool {
        self.tenants.contains(tenant) || bucket(tenant) < self.percent.0
    }
}

/// A number from 0 to 99 that is the tenant's own.
fn bucket(tenant: &TenantId) -> u8 {
    let digest = Sha256::new().chain_update(BUCKETS).chain_update(tenant.as_str()).finalize();
    let first = digest.iter().take(8).fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    u8::try_from(first % 100).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canary(percent: u8, tenants: &[&str]) -> Canary {
        let tenants = tenants.iter().map(|tenant| TenantId::parse(tenant).unwrap()).collect();
        Canary { tenants, percent: Percent::new(percent).unwrap() }
    }

    fn covered(canary: &Canary) -> BTreeSet<TenantId> {
        let tenants = (0..1000).map(|n| TenantId::parse(&format!("tenant-{n}")).unwrap());
        tenants.filter(|tenant| canary.covers(tenant)).collect()
    }

    #[test]
    fn a_growing_share_only_adds_tenants() {
        let mut before = covered(&canary(0, &[]));
        assert!(before.is_empty());
        for percent in 1..=100 {
            let now = covered(&canary(percent, &[]));
            assert!(now.is_superset(&before), "{percent} took a tenant back");
            before = now;
        }
        assert_eq!(before.len(), 1000);
        let tenth = covered(&canary(10, &[])).len();
        assert!((70..=130).contains(&tenth), "10 of 100 are {tenth} of 1000");
    }

    #[test]
    fn a_bucket_is_the_same_in_every_version() {
        let bucket = |name| super::bucket(&TenantId::parse(name).unwrap());
        assert_eq!((bucket("acme"), bucket("globex")), (19, 32));
    }

    #[test]
    fn a_named_tenant_is_covered_whatever_its_bucket() {
        assert!(canary(0, &["acme"]).covers(&TenantId::parse("acme").unwrap()));
        assert!(!canary(0, &["acme"]).covers(&TenantId::parse("Acme").unwrap()));
    }
}
