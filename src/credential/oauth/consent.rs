//! A person connects an account: the URL that they are sent to, and the callback that they come back with.
//!
//! # Why nothing of it is in the browser
//! `state` is 256 random bits, good once and for ten minutes; the store has its HMAC, and under that the tenant, the server and the
//! PKCE verifier, sealed. Whoever reads the store can finish no consent, and a callback can only reach the account that it was begun for.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use jiff::{SignedDuration, Timestamp};
use reqwest::Url;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::config::{Account, AuthorizationCode};
use crate::credential::Places;
use crate::credential::oauth::answer::is_code;
use crate::credential::oauth::authority::{self, Authority};
use crate::credential::oauth::endpoint::{Endpoint, Proof, checked};
use crate::credential::oauth::form::Form;
use crate::credential::oauth::grant::{self, Client, Grant, State, copied, exposed, hidden};
use crate::credential::oauth::keeper::{Keeper, key};
use crate::credential::oauth::register::{CALLBACK, client};
use crate::credential::seal::{Owner, SealedSecret};
use crate::name::{ServerName, TenantId};
use crate::secret::{Key, Secret};
use crate::store::{StoreError, Table};

/// How long a person has.
const LIFE: Duration = Duration::from_secs(10 * 60);
/// The gate's own: whose consent it is stands inside.
const OWNER: Owner<'static> = Owner { tenant: "", server: "", kind: "consent" };

/// A consent that a person is asked for.
#[derive(Debug)]
pub struct Consent {
    /// Where they are to go.
    pub url: String,
    /// When it is too late.
    pub expires_at: Timestamp,
}

/// Why an account could not be connected.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// There is no such account.
    #[error("there is no account of tenant `{0}` for server `{1}`")]
    NoAccount(TenantId, ServerName),
    /// Nobody connects it.
    #[error(
        "the account of tenant `{0}` for server `{1}` does not say `authorization_code`, so nobody connects it"
    )]
    NotConnectable(TenantId, ServerName),
    /// The authorization server cannot be found or used, in words for the operator.
    #[error("{0}")]
    Authority(String),
    /// The callback belongs to no consent that is open: it was used, is too old, or was made up.
    #[error("this consent has been used, is too old, or was never begun")]
    Unknown,
    /// The callback is not what an authorization server sends.
    #[error("the callback cannot be used: {0}")]
    BadCallback(&'static str),
    /// The person, or the authorization server for them, said no.
    #[error("the authorization server refused: {0}")]
    Refused(String),
    /// The store or the sealing key failed.
    #[error("{0}")]
    Failed(String),
}

impl From<StoreError> for ConnectError {
    fn from(error: StoreError) -> Self {
        Self::Failed(error.to_string())
    }
}

/// What is kept of a consent until its callback comes.
#[derive(Serialize, Deserialize)]
pub(in crate::credential) struct Pending {
    pub(in crate::credential) tenant: TenantId,
    pub(in crate::credential) server: ServerName,
    #[serde(serialize_with = "exposed", deserialize_with = "hidden")]
    verifier: Secret,
    redirect_uri: String,
    issuer: Option<String>,
    says_issuer: bool,
    token_url: String,
    client: Client,
    scopes: Vec<String>,
    resource: Option<String>,
}

/// What a callback says (RFC 6749 section 4.1.2).
#[derive(Default)]
pub(in crate::credential) struct Callback {
    state: Option<String>,
    code: Option<Zeroizing<String>>,
    issuer: Option<String>,
    error: Option<String>,
}

/// What consents are made with.
pub(in crate::credential) struct Consents {
    pub(in crate::credential) public_url: String,
    key: Hmac<Sha256>,
}

impl Consents {
    /// # Errors
    /// The gate's key cannot be used.
    pub(in crate::credential) fn new(public_url: &str, gate_key: &Key) -> Result<Self, String> {
        let mut key = Hmac::<Sha256>::new_from_slice(gate_key.expose())
            .map_err(|_| "the gate key cannot be used".to_owned())?;
        key.update(b"portcullis consents");
        let own = Zeroizing::new(<[u8; 32]>::from(key.finalize().into_bytes()));
        let key = Hmac::new_from_slice(&own[..]).map_err(|_| "the gate key cannot be used".to_owned())?;
        Ok(Self { public_url: public_url.to_owned(), key })
    }

    fn name(&self, state: &str) -> Vec<u8> {
        let mut mac = self.key.clone();
        mac.update(state.as_bytes());
        mac.finalize().into_bytes().to_vec()
    }
}

/// Begins a consent for an account at the MCP server `url`.
pub(in crate::credential) async fn begin(
    keeper: &Keeper,
    account: &AuthorizationCode,
    url: &str,
) -> Result<Consent, ConnectError> {
    let places = &keeper.places;
    let authority = authority::find(&keeper.http, &account.authority, url).await;
    let authority = authority.map_err(ConnectError::Authority)?;
    let before = keeper.kept().await.ok().map(|kept| kept.grant);
    let public_url = &places.consents.public_url;
    let client = client(&keeper.http, account, &authority, public_url, before.as_ref()).await;
    let client = client.map_err(ConnectError::Authority)?;
    let (state, verifier) = (random()?, random()?);
    let pending = Pending {
        tenant: keeper.tenant.clone(),
        server: keeper.server.clone(),
        verifier,
        redirect_uri: format!("{public_url}{CALLBACK}"),
        issuer: authority.issuer.clone(),
        says_issuer: authority.says_issuer,
        token_url: authority.token.to_string(),
        client,
        scopes: scopes(account, &authority),
        resource: account.resource.clone().or_else(|| authority.resource.clone()),
    };
    let url = pending.authorization(&authority, &state);
    let mut plain = Zeroizing::new(Vec::with_capacity(2048));
    let failed = |_| ConnectError::Failed("the consent cannot be written".into());
    serde_json::to_writer(&mut *plain, &pending).map_err(failed)?;
    let sealed = places.sealer.seal(OWNER, &plain).await;
    let sealed = sealed.map_err(|error| ConnectError::Failed(error.to_string()))?;
    let name = places.consents.name(state.expose());
    places.store.put_for(Table::Consents, &name, sealed.as_bytes(), Some(0), LIFE).await?;
    let mark = mark(&pending.tenant, &pending.server);
    places.store.put_for(Table::Consents, &mark, &[], None, LIFE).await?;
    let expires_at = SignedDuration::try_from(LIFE).map(|life| Timestamp::now() + life);
    Ok(Consent { url, expires_at: expires_at.unwrap_or_else(|_| Timestamp::now()) })
}

/// The entry by which one sees that a consent is open. The others are named by an HMAC of 32 bytes, which begins with no such word.
pub(in crate::credential) fn mark(tenant: &TenantId, server: &ServerName) -> Vec<u8> {
    [b"of the account\0".as_slice(), &key(tenant, server)].concat()
}

/// The scopes to ask for: as configured, or as the server asks; with what a refresh token needs, where that is known.
fn scopes(account: &AuthorizationCode, authority: &Authority) -> Vec<String> {
    if !account.scopes.is_empty() {
        return account.scopes.clone();
    }
    let mut scopes = authority.scopes.clone();
    if authority.knows_offline_access && !scopes.iter().any(|scope| scope == "offline_access") {
        scopes.push("offline_access".into());
    }
    scopes
}

impl Pending {
    fn authorization(&self, authority: &Authority, state: &Secret) -> String {
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(self.verifier.expose()));
        let mut url = authority.authorization.clone();
        {
            let mut query = url.query_pairs_mut();
            query
                .append_pair("response_type", "code")
                .append_pair("client_id", &self.client.id)
                .append_pair("redirect_uri", &self.redirect_uri)
                .append_pair("state", state.expose())
                .append_pair("code_challenge", &challenge)
                .append_pair("code_challenge_method", "S256");
            if !self.scopes.is_empty() {
                query.append_pair("scope", &self.scopes.join(" "));
            }
            if let Some(resource) = &self.resource {
                query.append_pair("resource", resource);
            }
            // OpenID Connect Core 1.0 section 11.
            if self.scopes.iter().any(|scope| scope == "offline_access") {
                query.append_pair("prompt", "consent");
            }
        }
        url.into()
    }

    /// The issuer is compared as it is written (RFC 9207 section 2.4).
    fn is_from(&self, callback: &Callback) -> Result<(), ConnectError> {
        match (&callback.issuer, &self.issuer) {
            (Some(said), Some(known)) if said != known => {
                Err(ConnectError::BadCallback("it is of another authorization server"))
            }
            (None, _) if self.says_issuer => Err(ConnectError::BadCallback("it does not say its issuer")),
            (Some(_) | None, _) => Ok(()),
        }
    }
}

impl Callback {
    /// Reads the query of a callback; what is there twice could be read in two ways.
    pub(in crate::credential) fn read(query: &str) -> Result<Self, ConnectError> {
        let url = Url::parse(&format!("http://callback/?{query}"))
            .map_err(|_| ConnectError::BadCallback("it has no query"))?;
        let mut read = Self::default();
        for (name, value) in url.query_pairs() {
            let value = value.into_owned();
            let again = match name.as_ref() {
                "state" => read.state.replace(value).is_some(),
                "code" => read.code.replace(Zeroizing::new(value)).is_some(),
                "iss" => read.issuer.replace(value).is_some(),
                "error" => read.error.replace(value).is_some(),
                _ => false,
            };
            if again {
                return Err(ConnectError::BadCallback("it says something twice"));
            }
        }
        Ok(read)
    }

    /// The consent that it belongs to, which from now on nobody else can use.
    pub(in crate::credential) async fn take(&self, places: &Places) -> Result<Pending, ConnectError> {
        let state = self.state.as_deref().ok_or(ConnectError::Unknown)?;
        let name = places.consents.name(state);
        let stored = places.store.get(Table::Consents, &name).await?.ok_or(ConnectError::Unknown)?;
        match places.store.remove_version(Table::Consents, &name, stored.version).await {
            Ok(true) => {}
            Ok(false) | Err(StoreError::Changed) => return Err(ConnectError::Unknown),
            Err(error) => return Err(error.into()),
        }
        let sealed = SealedSecret::from_bytes(stored.value);
        let opened = places.sealer.open_sealed(OWNER, &sealed).await;
        let opened = opened.map_err(|error| ConnectError::Failed(error.to_string()))?;
        serde_json::from_slice(opened.expose()).map_err(|_| ConnectError::Unknown)
    }
}

/// Ends a consent: the code becomes the account's grant.
pub(in crate::credential) async fn end(
    keeper: &Keeper,
    account: &AuthorizationCode,
    secret: &Secret,
    pending: Pending,
    callback: Callback,
) -> Result<(), ConnectError> {
    pending.is_from(&callback)?;
    let _ = keeper.places.store.remove(Table::Consents, &mark(&keeper.tenant, &keeper.server)).await;
    if let Some(error) = &callback.error {
        let code = if is_code(error) { error.as_str() } else { "it does not say why" };
        return Err(ConnectError::Refused(code.to_owned()));
    }
    let code = callback.code.ok_or(ConnectError::BadCallback("it has no code"))?;
    let url = checked("token_url", &pending.token_url).map_err(ConnectError::Authority)?;
    let form = Form::new("authorization_code")
        .with("code", &code)
        .with("redirect_uri", &pending.redirect_uri)
        .with("code_verifier", pending.verifier.expose())
        .with_some("resource", pending.resource.as_deref());
    let proof = match (&pending.client.secret, pending.client.registered) {
        (Some(secret), true) if pending.client.in_body => Proof::Body(secret),
        (Some(secret), true) => Proof::Basic(secret),
        (None, true) => Proof::Id,
        (_, false) => Proof::of(&account.proof, secret, &url, &pending.scopes),
    };
    let asked = Endpoint { http: &keeper.http, url: &url, client_id: &pending.client.id, proof };
    let answer = asked.ask(form).await.map_err(|setback| ConnectError::Refused(setback.why))?;
    let now = Timestamp::now();
    let granted = Grant {
        state: State::Active,
        expires_at: grant::end(answer.life, answer.refresh_token.is_some(), now),
        access_token: answer.access_token,
        refresh_token: answer.refresh_token.as_ref().map(copied),
        obtained_at: now,
        connected_at: now,
        scopes: answer.scopes.unwrap_or_else(|| pending.scopes.clone()),
        resource: pending.resource,
        issuer: pending.issuer,
        token_url: pending.token_url,
        client: pending.client,
        refreshes: 0,
        failures: 0,
        last_failure: None,
    };
    keeper.save(&granted, None).await?;
    tracing::info!(tenant = %keeper.tenant, server = %keeper.server, refreshes = granted.refresh_token.is_some(), "The account is connected");
    Ok(())
}

/// The URL of the MCP server as the account reaches it.
pub(in crate::credential) fn server_url(account: &Account, upstream: Option<&http::Uri>) -> Option<String> {
    account.url.as_ref().or(upstream).map(ToString::to_string)
}

/// 256 random bits, as text.
fn random() -> Result<Secret, ConnectError> {
    let mut bytes = Zeroizing::new([0_u8; 32]);
    aws_lc_rs::rand::fill(&mut bytes[..])
        .map_err(|_| ConnectError::Failed("the system gives no random bits".into()))?;
    Ok(Secret::new(URL_SAFE_NO_PAD.encode(&bytes[..])))
}
