//! Tenants and accounts on a real store.

mod accounts;
mod fixture;
mod scale;
mod tenants;
