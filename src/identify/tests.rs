//! Who calls: with real keys, a real key server on loopback, and a clock that is moved by hand.

pub(in crate::identify) mod fixture;
mod issuers;
mod keys;
mod possession;
mod schemes;
mod tokens;
