//! A credential for one call: it can be put on a request, and found in an answer.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Instant;

use http::HeaderMap;

use crate::credential::connection::Connection;
use crate::credential::material::Material;
use crate::refusal::Refusal;

/// The tenant's own credential for one call of one server.
#[must_use]
pub struct Lease {
    pub(in crate::credential) connection: Arc<Connection>,
    pub(in crate::credential) material: Arc<Material>,
    pub(in crate::credential) until: Option<Instant>,
}

impl Lease {
    /// Puts the credential on a request, in place of any that is there. The header is marked sensitive.
    ///
    /// # Errors
    /// The credential has ended since it was leased, or the request has no room for it.
    pub fn apply(&self, headers: &mut HeaderMap) -> Result<(), Refusal> {
        if self.until.is_some_and(|until| until <= Instant::now()) {
            return Err(self.connection.unavailable());
        }
        if let Some((name, value)) = self.material.to_header() {
            headers.try_insert(name, value).map_err(|_| Refusal::Internal)?;
        }
        Ok(())
    }

    /// When the credential ends, where that is known.
    #[must_use]
    pub fn until(&self) -> Option<Instant> {
        self.until
    }

    /// Which account this is: SHA-256 of tenant, server and the kind of credential. A key for connection pools.
    #[must_use]
    pub fn fingerprint(&self) -> [u8; 32] {
        self.connection.fingerprint()
    }

    /// Whether `bytes` (JSON, or any text) contain the credential, as it is or in JSON escapes.
    /// Credentials shorter than 8 bytes are not looked for.
    #[must_use]
    pub fn reveals(&self, bytes: &[u8]) -> bool {
        self.material.reveals(bytes)
    }

    /// `bytes` with every occurrence of the credential replaced by `[credential]`. JSON stays JSON.
    #[must_use]
    pub fn mask<'a>(&self, bytes: &'a [u8]) -> Cow<'a, [u8]> {
        self.material.mask(bytes)
    }

    /// Tells the vault that the server did not accept the credential (401): a token that was got from a token endpoint is
    /// dropped, so that the next lease gets a new one, unless this one is itself only seconds old.
    pub fn rejected(&self) {
        self.connection.rejected(&self.material);
    }
}

impl std::fmt::Debug for Lease {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Lease(…)")
    }
}
