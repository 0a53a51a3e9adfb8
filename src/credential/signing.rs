//! Credentials that are never sent: they sign the very request that is.

pub(in crate::credential) mod oauth1;
pub(in crate::credential) mod sigv4;

use http::{HeaderMap, Method, Uri};

/// A request that is to be signed, as it will be sent.
pub(in crate::credential) struct Signed<'a> {
    pub(in crate::credential) method: &'a Method,
    pub(in crate::credential) url: &'a Uri,
    pub(in crate::credential) headers: &'a mut HeaderMap,
    pub(in crate::credential) body: &'a [u8],
}

/// Why a request cannot be signed.
#[derive(Debug)]
pub(in crate::credential) struct CannotSign;
