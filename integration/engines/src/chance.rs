//! Choices from a seed: the same seed, the same choices.

use std::env;

/// SplitMix64.
pub struct Chance(u64);

impl Chance {
    /// Choices of their own for each number.
    pub fn of(number: u64) -> Self {
        Self(seed().wrapping_add(number.wrapping_mul(0xd134_2543_de82_ef95)))
    }

    /// Below a number.
    pub fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % n as u64).unwrap()
    }

    /// Whether a thing happens that does once in `n` times.
    pub fn once_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    /// One of several.
    pub fn one<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }

    /// Some of several, in their order.
    pub fn some<T: Clone>(&mut self, of: &[T]) -> Vec<T> {
        of.iter().filter(|_| self.once_in(2)).cloned().collect()
    }
}

/// How many policies are made up.
pub fn rounds(usual: u64) -> u64 {
    env::var("PORTCULLIS_ENGINE_ROUNDS").map_or(usual, |text| text.parse().unwrap())
}

fn seed() -> u64 {
    env::var("PORTCULLIS_ENGINE_SEED").map_or(7, |text| text.parse().unwrap())
}
