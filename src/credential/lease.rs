//! A credential for one call: it can be put on a request, and found in an answer.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Instant;

use http::{HeaderMap, Method, Uri};

use crate::credential::connection::Connection;
use crate::credential::material::{Carrier, Material};
use crate::credential::signing::Signed;
use crate::refusal::Refusal;
use crate::secret::Secret;

/// The tenant's own credential for one call of one server. What the call takes beside itself shares it.
#[derive(Clone)]
#[must_use]
pub struct Lease {
    pub(in crate::credential) connection: Arc<Connection>,
    pub(in crate::credential) material: Arc<Material>,
    pub(in crate::credential) until: Option<Instant>,
}

/// A request that the credential is put on, as it will be sent. Some credentials sign it.
#[derive(Debug)]
pub struct Outgoing<'a> {
    /// The HTTP method.
    pub method: &'a Method,
    /// The URL, as the server is reached.
    pub url: &'a Uri,
    /// The headers.
    pub headers: &'a mut HeaderMap,
    /// The body.
    pub body: &'a [u8],
    /// What the query gets more, encoded.
    pub query: &'a mut Option<Arc<Secret>>,
}

impl Lease {
    /// Puts the credential on a request, in place of any that is there. A header is marked sensitive.
    ///
    /// # Errors
    /// The credential has ended since it was leased, or the request has no room for it.
    pub fn apply(&self, request: Outgoing<'_>) -> Result<(), Refusal> {
        if self.until.is_some_and(|until| until <= Instant::now()) {
            return Err(self.connection.unavailable());
        }
        let Outgoing { method, url, headers, body, query } = request;
        match self.material.carrier() {
            Carrier::Nothing => Ok(()),
            Carrier::Header(name, value) => {
                headers.try_insert(name, value.clone()).map(drop).map_err(|_| Refusal::Internal)
            }
            Carrier::Query(pair) => {
                *query = Some(Arc::clone(pair));
                Ok(())
            }
            Carrier::Oauth1(signer) => {
                signer.sign(Signed { method, url, headers, body }).map_err(|_| Refusal::Internal)
            }
            Carrier::Sigv4(signer) => {
                signer.sign(Signed { method, url, headers, body }).map_err(|_| Refusal::Internal)
            }
        }
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

    /// Whether another credential can be had where the server does not accept this one.
    #[must_use]
    pub fn is_renewable(&self) -> bool {
        self.connection.is_renewable()
    }

    /// Tells the vault that the server did not accept the credential (401): a token that was got from a token endpoint is
    /// dropped, so that the next lease gets a new one, unless this one is itself only seconds old.
    pub fn rejected(&self) {
        self.connection.rejected(&self.material);
    }

    /// Another credential in the place of this one, which the server did not accept; `None` where there is no other.
    ///
    /// # Errors
    /// [`Refusal::NeedsReauth`] or [`Refusal::CredentialUnavailable`].
    pub async fn renewed(&self) -> Result<Option<Self>, Refusal> {
        self.rejected();
        let lease = self.connection.lease().await?;
        Ok((!Arc::ptr_eq(&lease.material, &self.material)).then_some(lease))
    }
}

impl std::fmt::Debug for Lease {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Lease(…)")
    }
}
