//! State: one trait, two engines, and the same promises of both.

mod engines;

mod suite;
