//! State: one trait, two engines, and the same promises of both.

mod engines;
mod faults;
mod gates;
mod killed;
mod suite;
mod transfer;
