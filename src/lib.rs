//! Portcullis: a policy gate in front of MCP servers.
//!
//! # The path of a call
//! `gateway` is the whole path, on one screen. Each step is a room of its own, in this order:
//!
//! | room | question | makes |
//! | --- | --- | --- |
//! | `listen` | sockets, TLS, limits on size and time | [`inbound::Inbound`] |
//! | [`identify`] | who is calling? | [`identify::Caller`] |
//! | [`decode`] | what is being asked? | [`decode::Message`] |
//! | [`decide`] | may it happen? | [`decide::Permit`] |
//! | `govern` | may it happen now? | `Slot` |
//! | `record` | is it on the record? | `Entry` |
//! | `credential` | with whose key? | `Lease` |
//! | `vouch` | who says so? | a Txn-Token |
//! | `forward` | to the server | `Reply` |
//! | [`bridge`] | … in an era that it speaks | the same |
//! | `respond` | what is the caller told? | `Answer` |
//!
//! Beside the path: [`tenancy`] knows the tenants and their accounts, [`store`] keeps what was made while the gate runs, and
//! [`admin`] is where it is made.

pub mod address;
pub mod admin;
pub mod bridge;
pub mod catalogue;
pub mod cli;
pub mod config;
pub mod credential;
pub mod decide;
pub mod decode;
pub mod deliver;
pub mod forward;
pub mod gateway;
pub mod govern;
pub mod identify;
pub mod inbound;
pub mod listen;
pub mod name;
pub mod record;
pub mod refusal;
pub mod respond;
pub mod review;
pub mod run;
pub mod secret;
pub mod store;
pub mod tenancy;
pub mod vouch;
