//! How an entry lies in the file: its version, when it vanishes (both big-endian), the value.

use crate::store::{StoreError, Stored};

const NUMBER_BYTES: usize = 8;
/// Of an entry that stays.
pub(super) const NEVER: u64 = 0;

#[derive(Debug, Clone, Copy)]
pub(super) struct Entry<'a> {
    pub(super) version: u64,
    /// In microseconds since 1970; [`NEVER`]: it stays.
    pub(super) vanishes_at: u64,
    pub(super) value: &'a [u8],
}

impl<'a> Entry<'a> {
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, StoreError> {
        let (version, rest) = number(bytes)?;
        let (vanishes_at, value) = number(rest)?;
        Ok(Self { version, vanishes_at, value })
    }

    /// An entry of the first schema, which had only a version before its value.
    pub(super) fn read_first_schema(bytes: &'a [u8]) -> Result<Self, StoreError> {
        let (version, value) = number(bytes)?;
        Ok(Self { version, vanishes_at: NEVER, value })
    }

    /// What is there of it at that time.
    pub(super) fn at(self, now: u64) -> Option<Self> {
        (self.vanishes_at == NEVER || now < self.vanishes_at).then_some(self)
    }

    pub(super) fn stored(self) -> Stored {
        Stored { value: self.value.to_vec(), version: self.version }
    }

    pub(super) fn to_bytes(self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(2 * NUMBER_BYTES + self.value.len());
        bytes.extend_from_slice(&self.version.to_be_bytes());
        bytes.extend_from_slice(&self.vanishes_at.to_be_bytes());
        bytes.extend_from_slice(self.value);
        bytes
    }
}

fn number(bytes: &[u8]) -> Result<(u64, &[u8]), StoreError> {
    let (number, rest) = bytes
        .split_first_chunk::<NUMBER_BYTES>()
        .ok_or_else(|| StoreError::Failed("an entry is too short to be one".into()))?;
    Ok((u64::from_be_bytes(*number), rest))
}
