//! A gate's identity room, an identity provider with keys of its own, and a store in memory.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, Method};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::config::{ApiKey, Claims, Identity, Issuer, KeySource, Static, Tenancy};
use crate::identify::Records;
use crate::identify::Revocations;
use crate::identify::Tenants;
use crate::identify::clock::Clock;
use crate::identify::key::KeyRecords;
use crate::identify::url::ScopedUrls;
use crate::identify::{Caller, Identify};
use crate::inbound::{ClientCertificate, Head, Target};
use crate::name::{ServerName, TenantId, UserId};
use crate::refusal::Refusal;
use crate::secret::{Key, Secret};
use crate::store::{Store, StoreError, Stored, Table};

pub(in crate::identify) const ISSUER: &str = "https://idp.test";
pub(in crate::identify) const AUDIENCE: &str = "https://gate.test";

pub(in crate::identify) struct Gate {
    pub(in crate::identify) identify: Identify,
    pub(in crate::identify) urls: Arc<ScopedUrls>,
    pub(in crate::identify) clock: Clock,
    pub(in crate::identify) store: Arc<Memory>,
}

impl Gate {
    pub(in crate::identify) fn new(identity: &Identity) -> Self {
        let (clock, store) = (Clock::standing(), Arc::new(Memory::default()));
        let urls = ScopedUrls::with_clock(
            Arc::clone(&store) as Arc<dyn Store>,
            &identity.gate_key,
            identity.second_factor,
            clock.clone(),
        );
        let urls = Arc::new(urls.unwrap());
        let known = (Arc::clone(&urls), records(&store));
        let identify = Identify::with_clock(identity, AUDIENCE, known, clock.clone()).unwrap();
        Self { identify, urls, clock, store }
    }

    pub(in crate::identify) async fn bearer(&self, token: &str) -> Result<Arc<Caller>, Refusal> {
        self.identify.caller(&head(&[("authorization", &format!("Bearer {token}"))])).await
    }

    /// Claims of an access token that is good on this gate.
    pub(in crate::identify) fn claims(&self) -> Value {
        let now = self.clock.now().as_second();
        json!({"iss": ISSUER, "aud": AUDIENCE, "sub": "alice", "tid": "a", "client_id": "desktop", "iat": now,
               "exp": now + 3600, "scope": "mcp extra", "roles": ["reader", "clerk"], "groups": "g1 g2", "region": "EMEA"})
    }
}

/// What the store knows of callers; tenants `a` and `b` are configured.
pub(in crate::identify) fn records(store: &Arc<Memory>) -> Records {
    let store = || Arc::clone(store) as Arc<dyn Store>;
    Records {
        keys: Arc::new(KeyRecords::new(store())),
        tenants: Arc::new(Tenants::configured_for_test(&["a", "b"], store())),
        revocations: Revocations::unread(store()),
        uses: Arc::default(),
    }
}

pub(in crate::identify) fn identity(keys: KeySource) -> Identity {
    let claims = Claims {
        tenant: Tenancy::Claim("/tid".into()),
        tenants: None,
        user: Some("/sub".into()),
        agent: Some("/client_id".into()),
        roles: Some("/roles".into()),
        groups: Some("/groups".into()),
        attributes: BTreeMap::from([("region".into(), "/region".into())]),
    };
    let issuer = Issuer {
        issuer: ISSUER.into(),
        audiences: vec![AUDIENCE.into()],
        keys,
        claims,
        leeway: Duration::from_secs(30),
        require_at_jwt: true,
        scopes: vec!["mcp".into()],
        introspection: None,
        sender_constrained: false,
    };
    Identity { issuers: vec![issuer], ..no_identity() }
}

pub(in crate::identify) fn no_identity() -> Identity {
    Identity {
        issuers: Vec::new(),
        api_keys: Vec::new(),
        certificates: None,
        anonymous: None,
        second_factor: false,
        dpop_nonce: false,
        directories: Vec::new(),
        gate_key: Key::new(vec![7; 32]),
        gate_key_file: std::path::PathBuf::new(),
    }
}

pub(in crate::identify) fn who(tenant: &str, user: &str) -> Static {
    Static {
        tenant: TenantId::parse(tenant).unwrap(),
        user: UserId::parse(user).ok(),
        agent: None,
        roles: Vec::new(),
        groups: Vec::new(),
        attributes: BTreeMap::new(),
    }
}

pub(in crate::identify) fn api_key(tenant: &str, user: &str) -> (Secret, ApiKey) {
    let (secret, sha256) = crate::identify::key::new_api_key().unwrap();
    (secret, ApiKey { sha256, who: who(tenant, user), expires_at: None })
}

pub(in crate::identify) fn head(fields: &[(&'static str, &str)]) -> Head {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(*name, value.parse().unwrap());
    }
    let target = Target::Server(ServerName::parse("erp").unwrap());
    let peer = "127.0.0.1:5000".parse().unwrap();
    Head { method: Method::POST, target, headers, peer, certificate: None }
}

pub(in crate::identify) fn to_url(token: &Secret, fields: &[(&'static str, &str)]) -> Head {
    Head { target: Target::ScopedUrl(Secret::new(token.expose().to_owned())), ..head(fields) }
}

pub(in crate::identify) fn certificate(common_name: &str, sha256: [u8; 32]) -> Arc<ClientCertificate> {
    Arc::new(ClientCertificate {
        sha256,
        common_name: Some(common_name.to_owned()),
        alternative_names: vec![format!("{common_name}.agents.test")],
        organisation: None,
        der: Vec::new(),
    })
}

/// One signing key of an identity provider.
pub(in crate::identify) struct Signer {
    kid: Option<String>,
    algorithm: Algorithm,
    key: EncodingKey,
}

impl Signer {
    pub(in crate::identify) fn es256(kid: &str) -> Self {
        Self::new(kid, Algorithm::ES256)
    }

    pub(in crate::identify) fn new(kid: &str, algorithm: Algorithm) -> Self {
        let pem = |kind| rcgen::KeyPair::generate_for(kind).unwrap().serialize_pem();
        let key = match algorithm {
            Algorithm::ES256 => EncodingKey::from_ec_pem(pem(&rcgen::PKCS_ECDSA_P256_SHA256).as_bytes()),
            Algorithm::ES384 => EncodingKey::from_ec_pem(pem(&rcgen::PKCS_ECDSA_P384_SHA384).as_bytes()),
            Algorithm::EdDSA => {
                let pair = aws_lc_rs::signature::Ed25519KeyPair::generate().unwrap();
                let der =
                    aws_lc_rs::encoding::AsDer::<aws_lc_rs::encoding::Pkcs8V1Der>::as_der(&pair).unwrap();
                Ok(EncodingKey::from_ed_der(der.as_ref()))
            }
            _ => EncodingKey::from_rsa_pem(pem(&rcgen::PKCS_RSA_SHA256).as_bytes()),
        };
        Self { kid: Some(kid.to_owned()), algorithm, key: key.unwrap() }
    }

    /// The same key, used with another algorithm.
    pub(in crate::identify) fn misused(self, algorithm: Algorithm) -> Self {
        Self { algorithm, ..self }
    }

    pub(in crate::identify) fn nameless(mut self) -> Self {
        self.kid = None;
        self
    }

    pub(in crate::identify) fn jwk(&self) -> Value {
        let mut jwk =
            serde_json::to_value(Jwk::from_encoding_key(&self.key, self.algorithm).unwrap()).unwrap();
        if let Some(kid) = &self.kid {
            jwk["kid"] = json!(kid);
        }
        jwk
    }

    /// An access token with these claims.
    pub(in crate::identify) fn token(&self, claims: &Value) -> String {
        self.token_with(&json!({"typ": "at+jwt"}), claims)
    }

    /// A token with further header members, or others.
    pub(in crate::identify) fn token_with(&self, more: &Value, claims: &Value) -> String {
        let mut header = json!({"alg": self.algorithm});
        if let Some(kid) = &self.kid {
            header["kid"] = json!(kid);
        }
        header.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let message = unsigned(&header, claims);
        let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &self.key, self.algorithm).unwrap();
        format!("{message}.{signature}")
    }
}

pub(in crate::identify) fn unsigned(header: &Value, claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}", part(header), part(claims))
}

pub(in crate::identify) fn jwks(signers: &[&Signer]) -> String {
    json!({"keys": signers.iter().map(|signer| signer.jwk()).collect::<Vec<_>>()}).to_string()
}

/// An identity provider's key server on loopback.
pub(in crate::identify) struct KeyServer {
    pub(in crate::identify) url: String,
    answer: Arc<Mutex<(u16, String)>>,
    fetches: Arc<AtomicUsize>,
    pub(in crate::identify) open: Arc<Semaphore>,
}

impl KeyServer {
    pub(in crate::identify) async fn start(document: String) -> Self {
        let answer = Arc::new(Mutex::new((200, document)));
        let (fetches, open) = (Arc::new(AtomicUsize::new(0)), Arc::new(Semaphore::new(1)));
        let seen = (Arc::clone(&answer), Arc::clone(&fetches), Arc::clone(&open));
        let handler = move || {
            let (answer, fetches, open) = seen.clone();
            async move {
                fetches.fetch_add(1, Ordering::SeqCst);
                let _open = open.acquire().await.unwrap();
                let (status, document) = answer.lock().unwrap().clone();
                (axum::http::StatusCode::from_u16(status).unwrap(), document)
            }
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/jwks", listener.local_addr().unwrap());
        let app = axum::Router::new().route("/jwks", axum::routing::get(handler));
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { url, answer, fetches, open }
    }

    pub(in crate::identify) fn answers(&self, status: u16, document: impl Into<String>) {
        *self.answer.lock().unwrap() = (status, document.into());
    }

    pub(in crate::identify) fn fetches(&self) -> usize {
        self.fetches.load(Ordering::SeqCst)
    }

    /// Comes back when so many fetches have arrived.
    pub(in crate::identify) async fn fetched(&self, times: usize) {
        while self.fetches() < times {
            tokio::task::yield_now().await;
        }
    }

    pub(in crate::identify) fn source(&self) -> KeySource {
        let (refresh, max_stale) = (Duration::from_secs(300), Duration::from_secs(3600));
        KeySource::Url { url: self.url.clone(), refresh, max_stale }
    }
}

/// A store in memory.
#[derive(Debug, Default)]
pub(in crate::identify) struct Memory {
    entries: Mutex<BTreeMap<Vec<u8>, Stored>>,
    versions: AtomicU64,
    reads: AtomicUsize,
    pub(in crate::identify) broken: std::sync::atomic::AtomicBool,
}

impl Memory {
    pub(in crate::identify) fn everything(&self) -> Vec<u8> {
        let entries = self.entries.lock().unwrap();
        entries.iter().flat_map(|(key, stored)| [key.clone(), stored.value.clone()].concat()).collect()
    }

    pub(in crate::identify) fn len(&self) -> usize {
        self.entries.lock().unwrap().len()
    }

    pub(in crate::identify) fn reads(&self) -> usize {
        self.reads.load(Ordering::SeqCst)
    }

    fn works(&self) -> Result<(), StoreError> {
        let broken = self.broken.load(Ordering::SeqCst);
        if broken { Err(StoreError::Failed("broken".into())) } else { Ok(()) }
    }
}

#[async_trait]
impl Store for Memory {
    async fn get(&self, _: Table, key: &[u8]) -> Result<Option<Stored>, StoreError> {
        self.works()?;
        self.reads.fetch_add(1, Ordering::SeqCst);
        Ok(self.entries.lock().unwrap().get(key).cloned())
    }

    async fn put(
        &self,
        _: Table,
        key: &[u8],
        value: &[u8],
        expected: Option<u64>,
    ) -> Result<u64, StoreError> {
        self.works()?;
        let mut entries = self.entries.lock().unwrap();
        let there = entries.get(key).map_or(0, |stored| stored.version);
        if expected.is_some_and(|expected| expected != there) {
            return Err(StoreError::Changed);
        }
        let version = self.versions.fetch_add(1, Ordering::SeqCst) + 1;
        entries.insert(key.to_vec(), Stored { value: value.to_vec(), version });
        Ok(version)
    }

    /// Nothing here vanishes by itself.
    async fn put_for(
        &self,
        table: Table,
        key: &[u8],
        value: &[u8],
        expected: Option<u64>,
        _: Duration,
    ) -> Result<u64, StoreError> {
        self.put(table, key, value, expected).await
    }

    async fn put_all(&self, table: Table, entries: Vec<(Vec<u8>, Vec<u8>)>) -> Result<(), StoreError> {
        for (key, value) in entries {
            self.put(table, &key, &value, None).await?;
        }
        Ok(())
    }

    async fn remove(&self, _: Table, key: &[u8]) -> Result<bool, StoreError> {
        self.works()?;
        Ok(self.entries.lock().unwrap().remove(key).is_some())
    }

    async fn remove_version(&self, _: Table, key: &[u8], expected: u64) -> Result<bool, StoreError> {
        self.works()?;
        let mut entries = self.entries.lock().unwrap();
        match entries.get(key).map(|stored| stored.version) {
            None => Ok(false),
            Some(version) if version == expected => Ok(entries.remove(key).is_some()),
            Some(_) => Err(StoreError::Changed),
        }
    }

    async fn scan(&self, table: Table, prefix: &[u8]) -> Result<Vec<(Vec<u8>, Stored)>, StoreError> {
        self.page(table, prefix, None, usize::MAX).await
    }

    async fn vanishing(&self, _: Table) -> Result<std::collections::HashMap<Vec<u8>, Duration>, StoreError> {
        Ok(std::collections::HashMap::new())
    }

    async fn page(
        &self,
        _: Table,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<(Vec<u8>, Stored)>, StoreError> {
        self.works()?;
        let entries = self.entries.lock().unwrap();
        let found = entries.iter().filter(|(key, _)| key.starts_with(prefix));
        let found = found.filter(|(key, _)| after.is_none_or(|after| key.as_slice() > after));
        Ok(found.take(limit).map(|(key, stored)| (key.clone(), stored.clone())).collect())
    }
}
