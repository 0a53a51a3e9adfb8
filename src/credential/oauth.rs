//! OAuth 2.0 as its client: token endpoints, authorization servers, consents, and grants that are kept alive.

pub(in crate::credential) mod answer;
mod assertion;
pub(in crate::credential) mod authority;
pub(in crate::credential) mod consent;
pub(in crate::credential) mod endpoint;
pub(in crate::credential) mod form;
pub(in crate::credential) mod grant;
pub(in crate::credential) mod http;
pub(in crate::credential) mod keeper;
pub(in crate::credential) mod register;
