//! One tenant's connection to one server: its credential, kept ready while nothing about it changes.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use aws_lc_rs::digest;

use crate::config::{Account, Credential, SecretSource};
use crate::credential::account::{kind_name, source};
use crate::credential::endpoint::{Endpoint, Granted};
use crate::credential::lease::Lease;
use crate::credential::material::{Material, NotAHeader};
use crate::credential::seal::Owner;
use crate::credential::source::{Found, Stamp, read};
use crate::credential::tokens::{Failure, Setback, Tokens};
use crate::credential::{Places, VaultError};
use crate::refusal::Refusal;
use crate::secret::Secret;
use crate::store::Table;

/// One account, ready to lease.
pub struct Connection {
    account: Arc<Account>,
    kind: Kind,
    places: Arc<Places>,
    fingerprint: [u8; 32],
    ready: ArcSwapOption<Ready>,
}

/// How the credential comes about.
pub(in crate::credential) enum Kind {
    /// It is what is configured.
    Fixed,
    /// It is fetched with what is configured, and ends.
    Fetched { endpoint: Arc<Endpoint>, tokens: Arc<Tokens> },
}

/// A fixed credential, and by what one sees whether its secret has changed.
struct Ready {
    stamp: Stamp,
    material: Arc<Material>,
}

impl Connection {
    pub(in crate::credential) fn new(account: Arc<Account>, kind: Kind, places: Arc<Places>) -> Self {
        let fingerprint = fingerprint(&account);
        Self { account, kind, places, fingerprint, ready: ArcSwapOption::empty() }
    }

    /// The account.
    #[must_use]
    pub fn account(&self) -> &Arc<Account> {
        &self.account
    }

    pub(in crate::credential) async fn lease(self: &Arc<Self>) -> Result<Lease, Refusal> {
        let leased = match &self.kind {
            Kind::Fixed => self.fixed().await.map(|material| (material, None)),
            Kind::Fetched { endpoint, tokens } => {
                let fetch = fetch(Arc::clone(self), Arc::clone(endpoint));
                tokens.get(fetch).await.map(|token| (Arc::clone(&token.material), Some(token.expires_at)))
            }
        };
        match leased {
            Ok((material, until)) => Ok(Lease { connection: Arc::clone(self), material, until }),
            Err(Failure::NeedsReauth) => Err(Refusal::NeedsReauth { server: self.account.server.clone() }),
            Err(Failure::Unavailable) => Err(self.unavailable()),
        }
    }

    pub(in crate::credential) fn unavailable(&self) -> Refusal {
        Refusal::CredentialUnavailable { server: self.account.server.clone() }
    }

    pub(in crate::credential) fn fingerprint(&self) -> [u8; 32] {
        self.fingerprint
    }

    pub(in crate::credential) fn is_sealed(&self) -> bool {
        matches!(source(&self.account.credential), Some(SecretSource::Sealed))
    }

    pub(in crate::credential) fn rejected(&self, material: &Arc<Material>) {
        match &self.kind {
            Kind::Fixed => {}
            Kind::Fetched { tokens, .. } => tokens.rejected(material),
        }
    }

    pub(in crate::credential) async fn put_secret(&self, secret: &Secret) -> Result<(), VaultError> {
        if secret.expose().is_empty() {
            return Err(VaultError::Unusable("it is empty"));
        }
        self.material(secret).map_err(|_| VaultError::Unusable("it has a control character"))?;
        let sealed = self.places.sealer.seal(self.owner(), secret.expose().as_bytes()).await?;
        self.places.store.put(Table::Credentials, &self.key(), sealed.as_bytes(), None).await?;
        self.forget();
        Ok(())
    }

    pub(in crate::credential) async fn remove_secret(&self) -> Result<bool, VaultError> {
        let was_there = self.places.store.remove(Table::Credentials, &self.key()).await?;
        self.forget();
        Ok(was_there)
    }

    fn forget(&self) {
        self.ready.store(None);
        match &self.kind {
            Kind::Fixed => {}
            Kind::Fetched { tokens, .. } => tokens.forget(),
        }
    }

    async fn fixed(&self) -> Result<Arc<Material>, Failure> {
        let ready = self.ready.load_full();
        match self.secret(ready.as_ref().map(|ready| &ready.stamp)).await? {
            Found::Unchanged => ready.map(|ready| Arc::clone(&ready.material)).ok_or(Failure::Unavailable),
            Found::Secret(stamp, secret) => {
                let material = Arc::new(self.material(&secret).map_err(|_| self.not_a_header())?);
                self.ready.store(Some(Arc::new(Ready { stamp, material: Arc::clone(&material) })));
                Ok(material)
            }
        }
    }

    async fn secret(&self, known: Option<&Stamp>) -> Result<Found, Failure> {
        let Some(source) = source(&self.account.credential) else {
            return Ok(known.map_or_else(Found::nothing, |_| Found::Unchanged));
        };
        read(source, known, &self.places, self.owner(), &self.key()).await
    }

    fn material(&self, secret: &Secret) -> Result<Material, NotAHeader> {
        match &self.account.credential {
            Credential::None | Credential::ClientCredentials { .. } => Ok(Material::nothing()),
            Credential::Bearer(_) => Material::bearer(secret),
            Credential::Basic { user, .. } => Material::basic(user, secret),
            Credential::Header { name, .. } => Material::header(name, secret),
        }
    }

    fn not_a_header(&self) -> Failure {
        let (tenant, server) = (&self.account.tenant, &self.account.server);
        tracing::warn!(%tenant, %server, "The account's secret has a control character inside, which no header can carry");
        Failure::Unavailable
    }

    fn owner(&self) -> Owner<'_> {
        Owner {
            tenant: self.account.tenant.as_str(),
            server: self.account.server.as_str(),
            kind: kind_name(&self.account.credential),
        }
    }

    /// The tenant, a NUL (which no name has), the server.
    fn key(&self) -> Vec<u8> {
        [self.account.tenant.as_str().as_bytes(), &[0], self.account.server.as_str().as_bytes()].concat()
    }
}

/// One fetch of a token, with the secret as it is now.
async fn fetch(connection: Arc<Connection>, endpoint: Arc<Endpoint>) -> Result<Granted, Setback> {
    let secret = match connection.secret(None).await? {
        Found::Secret(_, secret) => secret,
        Found::Unchanged => return Err(Failure::Unavailable.into()),
    };
    let granted = endpoint.fetch(&secret).await;
    if let Err(setback) = &granted {
        let (tenant, server) = (&connection.account.tenant, &connection.account.server);
        tracing::warn!(%tenant, %server, endpoint = %endpoint.place(), why = %setback.why, "No token for the account");
    }
    granted
}

fn fingerprint(account: &Account) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in [account.tenant.as_str(), account.server.as_str(), kind_name(&account.credential)] {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part.as_bytes());
    }
    context.finish().as_ref().first_chunk::<32>().copied().unwrap_or_default()
}
