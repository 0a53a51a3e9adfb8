//! OPA bundles as a build server makes them: packed, and signed by the format's description alone.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use flate2::Compression;
use flate2::write::GzEncoder;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::reply::Reply;
use crate::upstream::Upstream;

/// A key that signs bundles.
pub struct BundleKey {
    /// Its id.
    pub id: String,
    key: KeyPair,
}

/// The files of a bundle by their paths.
#[derive(Debug, Clone, Default)]
pub struct Files(pub BTreeMap<String, String>);

impl BundleKey {
    /// A fresh ES256 key.
    #[must_use]
    pub fn new(id: &str) -> Self {
        Self { id: id.into(), key: KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key") }
    }

    /// Its public half in PEM.
    #[must_use]
    pub fn public_pem(&self) -> String {
        self.key.public_key_pem()
    }

    /// `.signatures.json` with this payload.
    #[must_use]
    pub fn signed(&self, payload: &Value) -> String {
        self.signed_as(payload, &Header { kid: Some(self.id.clone()), ..Header::new(Algorithm::ES256) })
    }

    /// The same under a header of the test's choice; by HS256, the secret is the public key.
    #[must_use]
    pub fn signed_as(&self, payload: &Value, header: &Header) -> String {
        let key = match header.alg {
            Algorithm::HS256 => EncodingKey::from_secret(self.public_pem().as_bytes()),
            _ => EncodingKey::from_ec_pem(self.key.serialize_pem().as_bytes()).expect("a P-256 key"),
        };
        let token = jsonwebtoken::encode(header, payload, &key).expect("a token");
        json!({"signatures": [token]}).to_string()
    }
}

impl Files {
    /// The stock policies and these roles for tenants `a` and `b`.
    #[must_use]
    pub fn stock(revision: &str, roles: &Value) -> Self {
        let mut files = Self::default();
        for entry in std::fs::read_dir(crate::repository().join("policies")).expect("policies").flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.ends_with(".rego") || name.ends_with(".json") {
                files.0.insert(name, std::fs::read_to_string(entry.path()).expect("text"));
            }
        }
        let tenants = json!({"tenants": {"a": {"roles": roles}, "b": {"roles": roles}}});
        // Not in the form that is signed, as of a person who formats JSON.
        files.0.insert("data.json".into(), serde_json::to_string_pretty(&tenants).expect("JSON"));
        files.0.insert(
            ".manifest".into(),
            json!({"revision": revision, "roots": [""], "rego_version": 1}).to_string(),
        );
        files
    }

    /// The payload of their signature.
    #[must_use]
    pub fn payload(&self) -> Value {
        let listed = self.0.iter().map(|(name, text)| {
            let structured = matches!(name.rsplit('/').next(), Some("data.json" | ".manifest"));
            // Keys sorted and no white space: what serde_json writes of a value.
            let said = match structured {
                true => serde_json::from_str::<Value>(text).expect("JSON").to_string(),
                false => text.clone(),
            };
            json!({"name": name, "hash": sha256(said.as_bytes()), "algorithm": "SHA-256"})
        });
        json!({"files": listed.collect::<Vec<_>>()})
    }

    /// Signed by `key`, and packed.
    #[must_use]
    pub fn signed_by(&self, key: &BundleKey) -> Vec<u8> {
        self.with(".signatures.json", &key.signed(&self.payload())).packed()
    }

    /// With another file.
    #[must_use]
    pub fn with(&self, name: &str, text: &str) -> Self {
        let mut files = self.clone();
        files.0.insert(name.into(), text.into());
        files
    }

    /// As `opa build` packs them: tar.gz, each name with a slash before it.
    #[must_use]
    pub fn packed(&self) -> Vec<u8> {
        let mut builder = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
        for (name, text) in &self.0 {
            let mut header = tar::Header::new_gnu();
            let path = format!("/{name}");
            header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
            header.set_mode(0o644);
            header.set_size(text.len() as u64);
            header.set_cksum();
            builder.append(&header, text.as_bytes()).expect("memory");
        }
        builder.into_inner().and_then(GzEncoder::finish).expect("memory")
    }
}

/// A server that gives one bundle at a time, with an entity tag.
pub struct BundleServer {
    /// The server, for what it received.
    pub server: Upstream,
    /// The bundle's URL.
    pub url: String,
    now: Arc<Mutex<(Vec<u8>, String)>>,
}

impl BundleServer {
    /// Gives `bundle`.
    #[must_use]
    pub fn with(bundle: Vec<u8>) -> Self {
        let server = Upstream::start();
        let url = format!("http://{}/bundles/policy.tar.gz", server.address);
        let serving = Self { server, url, now: Arc::default() };
        serving.gives(bundle);
        let now = Arc::clone(&serving.now);
        serving.server.answers(move |request| {
            let (bundle, etag) = now.lock().expect("whole").clone();
            match request.header("if-none-match") == [etag.as_str()] {
                true => Reply::new(304, &[("ETag", &etag)], b""),
                false => Reply::new(200, &[("Content-Type", "application/gzip"), ("ETag", &etag)], &bundle),
            }
        });
        serving
    }

    /// From now on it gives this one.
    pub fn gives(&self, bundle: Vec<u8>) {
        let etag = format!("\"{}\"", sha256(&bundle));
        *self.now.lock().expect("whole") = (bundle, etag);
    }
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
