//! One tenant's connection to one server: its credential, kept ready while nothing about it changes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwapOption;
use aws_lc_rs::digest;
use jiff::Timestamp;
use reqwest::Url;

use crate::config::{Account, AuthorizationCode, ClientProof, Credential, SecretSource};
use crate::credential::fetched::Kept;
use crate::credential::lease::Lease;
use crate::credential::material::{Material, NotAHeader};
use crate::credential::oauth::answer::Answer;
use crate::credential::oauth::consent::{self, ConnectError, Consent};
use crate::credential::oauth::endpoint::{Endpoint, Proof, place};
use crate::credential::oauth::form::Form;
use crate::credential::oauth::grant::{Grant, State, copied};
use crate::credential::oauth::http::Http;
use crate::credential::oauth::keeper::{Keeper, Wanted, key};
use crate::credential::seal::Owner;
use crate::credential::source::{Found, From, Stamp, read};
use crate::credential::tokens::{Failure, Granted, Setback, Token, Tokens};
use crate::credential::{Places, Returned, VaultError};
use crate::refusal::Refusal;
use crate::secret::Secret;
use crate::store::{Stored, Table};

/// The life of a token whose endpoint does not say it.
const LIFE_IF_UNSAID: std::time::Duration = std::time::Duration::from_secs(60);

/// One account, ready to lease.
pub struct Connection {
    account: Arc<Account>,
    kind: Kind,
    places: Arc<Places>,
    fingerprint: [u8; 32],
    /// What is kept of fetched secrets, in the order of the credential's secrets.
    kept: Vec<Option<Arc<Kept>>>,
    ready: ArcSwapOption<Ready>,
}

/// How the credential comes about.
pub(in crate::credential) enum Kind {
    /// It is what is configured.
    Fixed,
    /// It is fetched with what is configured, and ends.
    Fetched { endpoint: Arc<Fetching>, tokens: Arc<Tokens> },
    /// It was granted by a person, is in the store, and is refreshed there for every gate.
    Granted {
        keeper: Arc<Keeper>,
        tokens: Arc<Tokens>,
        /// The version of the entry that was read last, doubled; odd where the account needs to be connected again.
        seen: AtomicU64,
    },
}

/// Where tokens are fetched.
pub(in crate::credential) struct Fetching {
    pub(in crate::credential) http: Http,
    pub(in crate::credential) url: Url,
}

/// A fixed credential, and by what one sees whether its secrets have changed.
struct Ready {
    stamps: Vec<Stamp>,
    material: Arc<Material>,
}

impl Connection {
    pub(in crate::credential) fn new(account: Arc<Account>, kind: Kind, places: Arc<Places>) -> Self {
        let (fingerprint, kept) = (fingerprint(&account), places.sources.kept(&account));
        Self { account, kind, places, fingerprint, kept, ready: ArcSwapOption::empty() }
    }

    /// The account.
    #[must_use]
    pub fn account(&self) -> &Arc<Account> {
        &self.account
    }

    pub(in crate::credential) async fn lease(self: &Arc<Self>) -> Result<Lease, Refusal> {
        let leased = match &self.kind {
            Kind::Fixed => self.fixed().await.map(|material| (material, None)),
            Kind::Fetched { tokens, .. } => {
                tokens.get(|| fetch(Arc::clone(self))).await.map(|token| self.used(&token))
            }
            Kind::Granted { keeper, tokens, seen } => match self.look(keeper, tokens, seen).await {
                Ok(()) => tokens.get(|| fetch(Arc::clone(self))).await.map(|token| self.used(&token)),
                Err(failure) => Err(failure),
            },
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
        self.account.credential.secrets().into_iter().any(|source| matches!(source, SecretSource::Sealed))
    }

    pub(in crate::credential) fn is_renewable(&self) -> bool {
        !matches!(self.kind, Kind::Fixed) || self.kept.iter().any(Option::is_some)
    }

    pub(in crate::credential) fn rejected(&self, material: &Arc<Material>) {
        match &self.kind {
            Kind::Fixed => self.kept.iter().flatten().for_each(|kept| kept.rejected()),
            Kind::Fetched { tokens, .. } | Kind::Granted { tokens, .. } => tokens.rejected(material),
        }
    }

    /// Begins to connect the account: a URL for a person.
    ///
    /// # Errors
    /// Nobody connects it, or its authorization server cannot be used now.
    pub async fn begin_consent(&self) -> Result<Consent, ConnectError> {
        let (keeper, account) = self.connectable()?;
        let upstream = self.places.server_url(&self.account.server);
        let url = consent::server_url(&self.account, upstream);
        let url = url.ok_or_else(|| ConnectError::Authority("the server has no URL".into()))?;
        consent::begin(keeper, account, &url).await
    }

    /// Ends a consent that was begun for this account.
    ///
    /// # Errors
    /// It was begun for another one, the callback is not good, or the authorization server gives no token for it.
    pub async fn end_consent(&self, returned: Returned) -> Result<(), ConnectError> {
        let (keeper, account) = self.connectable()?;
        if returned.account() != (&keeper.tenant, &keeper.server) {
            return Err(ConnectError::Unknown);
        }
        let Returned { pending, callback } = returned;
        let secret = self.one_secret().await;
        let secret = secret.map_err(|_| ConnectError::Failed("the client's secret cannot be had".into()))?;
        consent::end(keeper, account, &secret, pending, callback).await
    }

    pub(in crate::credential) fn connectable(&self) -> Result<(&Keeper, &AuthorizationCode), ConnectError> {
        match (&self.kind, &self.account.credential) {
            (Kind::Granted { keeper, .. }, Credential::AuthorizationCode(account)) => Ok((keeper, account)),
            _ => {
                let (tenant, server) = (self.account.tenant.clone(), self.account.server.clone());
                Err(ConnectError::NotConnectable(tenant, server))
            }
        }
    }

    pub(in crate::credential) async fn put_secret(&self, secret: &Secret) -> Result<(), VaultError> {
        if secret.expose().is_empty() {
            return Err(VaultError::Unusable("it is empty"));
        }
        let sources = self.account.credential.secrets();
        let each: Vec<Secret> = sources.iter().map(|_| copied(secret)).collect();
        material(&self.account.credential, &each)
            .map_err(|_| VaultError::Unusable("it has a control character"))?;
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
            Kind::Fixed | Kind::Granted { .. } => {}
            Kind::Fetched { tokens, .. } => tokens.forget(),
        }
    }

    async fn fixed(&self) -> Result<Arc<Material>, Failure> {
        let ready = self.ready.load_full();
        let sources = self.account.credential.secrets();
        let mut found = Vec::with_capacity(sources.len());
        for (index, source) in sources.iter().enumerate() {
            let known = ready.as_ref().and_then(|ready| ready.stamps.get(index));
            found.push(self.read(index, source, known).await?);
        }
        let is_same = found.iter().all(|found| matches!(found, Found::Unchanged));
        if let Some(ready) = ready.filter(|_| is_same) {
            return Ok(Arc::clone(&ready.material));
        }
        let (mut stamps, mut secrets) = (Vec::new(), Vec::new());
        for (index, (source, found)) in sources.into_iter().zip(found).enumerate() {
            let found = match found {
                Found::Unchanged => self.read(index, source, None).await?,
                changed @ Found::Secret(..) => changed,
            };
            let Found::Secret(stamp, secret) = found else { return Err(Failure::Unavailable) };
            stamps.push(stamp);
            secrets.push(secret);
        }
        let made = material(&self.account.credential, &secrets).map_err(|_| self.not_a_header())?;
        let material = Arc::new(made);
        self.ready.store(Some(Arc::new(Ready { stamps, material: Arc::clone(&material) })));
        Ok(material)
    }

    /// One of its secrets, by its index among them.
    async fn read(
        &self,
        index: usize,
        source: &SecretSource,
        known: Option<&Stamp>,
    ) -> Result<Found, Failure> {
        let kept = self.kept.get(index).and_then(Option::as_ref);
        let from = From { places: &self.places, owner: self.owner(), key: &self.key() };
        read(source, known, kept, from).await
    }

    /// The one secret of a client; empty where it has none.
    async fn one_secret(&self) -> Result<Secret, Failure> {
        let Some(source) = self.account.credential.secrets().into_iter().next() else {
            return Ok(Secret::new(String::new()));
        };
        match self.read(0, source, None).await? {
            Found::Secret(_, secret) => Ok(secret),
            Found::Unchanged => Err(Failure::Unavailable),
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
            kind: self.account.credential.kind(),
        }
    }

    fn key(&self) -> Vec<u8> {
        key(&self.account.tenant, &self.account.server)
    }

    /// A token that a call gets. The first call that does sees to it that the token is renewed before it ends: accounts that
    /// are not used are left alone.
    fn used(self: &Arc<Self>, token: &Token) -> (Arc<Material>, Option<std::time::Instant>) {
        if token.is_first_use() {
            let (connection, at) = (Arc::downgrade(self), token.ahead_at);
            tokio::spawn(async move {
                tokio::time::sleep_until(at.into()).await;
                // A generation of the gate that has ended renews nothing any more.
                let Some(connection) = connection.upgrade() else { return };
                match &connection.kind {
                    Kind::Fixed => {}
                    Kind::Fetched { tokens, .. } | Kind::Granted { tokens, .. } => {
                        tokens.renew_ahead(fetch(Arc::clone(&connection)));
                    }
                }
            });
        }
        (Arc::clone(&token.material), Some(token.expires_at))
    }

    /// Reads the grant where it is another than it was; one that cannot be read now is used as it was, while it is good.
    async fn look(&self, keeper: &Keeper, tokens: &Tokens, seen: &AtomicU64) -> Result<(), Failure> {
        let stored = match keeper.stored().await {
            Ok(stored) => stored,
            Err(error) => {
                let (tenant, server) = (&self.account.tenant, &self.account.server);
                tracing::warn!(%tenant, %server, %error, "The account's grant cannot be read");
                return Ok(());
            }
        };
        let Some(stored) = stored else {
            tokens.forget();
            seen.store(0, Ordering::Release);
            return Err(Failure::NeedsReauth);
        };
        if seen.load(Ordering::Acquire) >> 1 != stored.version {
            self.learn(keeper, tokens, seen, stored).await?;
        }
        match seen.load(Ordering::Acquire) & 1 {
            0 => Ok(()),
            _ => Err(Failure::NeedsReauth),
        }
    }

    async fn learn(
        &self,
        keeper: &Keeper,
        tokens: &Tokens,
        seen: &AtomicU64,
        stored: Stored,
    ) -> Result<(), Failure> {
        let kept = keeper.open(stored).await.map_err(|setback| {
            let (tenant, server) = (&self.account.tenant, &self.account.server);
            tracing::warn!(%tenant, %server, why = %setback.why, "The account's grant cannot be used");
            setback.failure
        })?;
        let needs_reauth = kept.grant.state == State::NeedsReauth;
        if needs_reauth {
            tokens.forget();
        } else {
            tokens.put(&granted(&kept.grant))?;
        }
        seen.fetch_max((kept.version << 1) | u64::from(needs_reauth), Ordering::AcqRel);
        Ok(())
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Connection({} at {})", self.account.tenant, self.account.server)
    }
}

/// What a credential is made of its secrets, which come in the order of [`Credential::secrets`].
pub(in crate::credential) fn material(
    credential: &Credential,
    secrets: &[Secret],
) -> Result<Material, NotAHeader> {
    match (credential, secrets) {
        (Credential::Bearer(_), [token, ..]) => Material::bearer(token),
        (Credential::Basic { user, .. }, [password, ..]) => Material::basic(user, password),
        (Credential::Header { name, .. }, [value, ..]) => Material::header(name, value),
        (Credential::Query { name, .. }, [value, ..]) => Ok(Material::query(name, value)),
        (Credential::Oauth1(account), [consumer, token, ..]) => {
            Ok(Material::oauth1(account, consumer, token))
        }
        (Credential::AwsSigv4(account), [key, session @ ..]) => {
            Ok(Material::sigv4(account, key, session.first()))
        }
        _ => Ok(Material::nothing()),
    }
}

/// One fetch of a token, with the secret as it is now.
async fn fetch(connection: Arc<Connection>) -> Result<Granted, Setback> {
    let secret = connection.one_secret().await?;
    match (&connection.kind, &connection.account.credential) {
        (Kind::Fetched { endpoint, .. }, Credential::ClientCredentials(_)) => {
            let answer = client_credentials(&connection.account.credential, endpoint, &secret).await;
            if let Err(setback) = &answer {
                let (tenant, server) = (&connection.account.tenant, &connection.account.server);
                tracing::warn!(%tenant, %server, endpoint = %place(&endpoint.url), why = %setback.why, "No token for the account");
            }
            let Answer { access_token, life, .. } = answer?;
            let life = Some(life.unwrap_or(LIFE_IF_UNSAID));
            Ok(Granted { token: access_token, left: life, life, came: None })
        }
        (Kind::Granted { keeper, tokens, .. }, Credential::AuthorizationCode(account)) => {
            let wanted = Wanted { account, secret: &secret, instead_of: tokens.outdated() };
            keeper.refresh(&wanted).await.map(|kept| granted(&kept.grant))
        }
        _ => Err(Failure::Unavailable.into()),
    }
}

async fn client_credentials(
    credential: &Credential,
    endpoint: &Fetching,
    secret: &Secret,
) -> Result<Answer, Setback> {
    let Credential::ClientCredentials(it) = credential else { return Err(Failure::Unavailable.into()) };
    let scopes_inside = matches!(&it.proof, ClientProof::Signed(signed) if signed.scopes_inside);
    let scope = (!it.scopes.is_empty() && !scopes_inside).then(|| it.scopes.join(" "));
    let form = Form::new("client_credentials")
        .with_some("scope", scope.as_deref())
        .with_some("resource", it.resource.as_deref());
    let proof = Proof::of(&it.proof, secret, &endpoint.url, &it.scopes);
    Endpoint { http: &endpoint.http, url: &endpoint.url, client_id: &it.client_id, proof }.ask(form).await
}

fn granted(grant: &Grant) -> Granted {
    Granted {
        token: copied(&grant.access_token),
        left: grant.left(Timestamp::now()),
        life: grant.life(),
        came: Some(grant.obtained_at),
    }
}

fn fingerprint(account: &Account) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in [account.tenant.as_str(), account.server.as_str(), account.credential.kind()] {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part.as_bytes());
    }
    context.finish().as_ref().first_chunk::<32>().copied().unwrap_or_default()
}
