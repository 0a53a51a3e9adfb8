//! `.signatures.json`: one JWT whose payload lists every file of the bundle with its digest.
//!
//! # What makes a bundle signed
//! One of the operator's keys verifies the JWT by that key's own algorithm; its scope is the operator's; and the files
//! that it lists are the bundle's files, no more and no less, each with its digest. Anything else is not signed.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::config::{Signing, SigningKey};
use crate::deliver::bundle::digest::digest;
use crate::deliver::files::Files;
use crate::secret::Secret;

/// A shared secret is no shorter, in bytes (RFC 7518 section 3.2).
const SHORTEST_SECRET: usize = 32;

/// A signature that holds.
pub(in crate::deliver::bundle) struct Signed {
    /// The id of the key.
    pub(in crate::deliver::bundle) key: String,
    /// When it was made, in seconds since 1970, if it says so.
    pub(in crate::deliver::bundle) at: Option<i64>,
}

#[derive(Deserialize)]
struct Signatures {
    #[serde(default)]
    signatures: Vec<String>,
    #[serde(default)]
    plugin: String,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    #[serde(default)]
    kid: String,
    /// Extensions that must be understood (RFC 7515 section 4.1.11): none is.
    crit: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct Payload {
    files: Vec<Listed>,
    #[serde(default)]
    keyid: String,
    #[serde(default)]
    scope: String,
    iat: Option<i64>,
}

#[derive(Deserialize)]
struct Listed {
    name: String,
    hash: String,
    #[serde(default)]
    algorithm: String,
}

/// Verifies that `files` are what one of the operator's keys signed.
pub(in crate::deliver::bundle) fn verify(
    files: &Files,
    signatures: Option<&[u8]>,
    signing: &Signing,
) -> Result<Signed, String> {
    let text = signatures.ok_or("it has no `.signatures.json`, and signatures are needed")?;
    let token = token(text)?;
    let (signer, payload) = authentic(&token, signing)?;
    if payload.scope != signing.scope.as_deref().unwrap_or_default() {
        let needed = signing.scope.as_deref().unwrap_or("no scope");
        return Err(format!(
            "its signature has the scope `{}`, and needed is {needed}",
            payload.scope.escape_debug()
        ));
    }
    same(files, &payload.files)?;
    Ok(Signed { key: signer.to_owned(), at: payload.iat })
}

fn token(text: &[u8]) -> Result<String, String> {
    let read: Signatures = serde_json::from_slice(text)
        .map_err(|error| format!("its `.signatures.json` cannot be read: {error}"))?;
    if !read.plugin.is_empty() {
        return Err(format!(
            "its signature needs the plugin `{}`, which is not here",
            read.plugin.escape_debug()
        ));
    }
    match <[String; 1]>::try_from(read.signatures) {
        Ok([token]) => Ok(token),
        Err(several) => Err(format!("its `.signatures.json` has {} signatures, and not one", several.len())),
    }
}

/// The payload of a token, once the key that it names has verified it; and that key's id.
fn authentic<'a>(token: &str, signing: &'a Signing) -> Result<(&'a str, Payload), String> {
    let malformed = || "its signature is not a JWT".to_owned();
    let (message, signature) = token.rsplit_once('.').ok_or_else(malformed)?;
    let (header, payload) = message.split_once('.').ok_or_else(malformed)?;
    let header: Header = part(header).ok_or_else(malformed)?;
    let payload: Payload = part(payload).ok_or_else(|| "its signature lists no files".to_owned())?;
    if header.crit.is_some() {
        return Err("its signature has extensions that must be understood, and are not".to_owned());
    }
    let named = [header.kid.as_str(), payload.keyid.as_str()].into_iter().find(|name| !name.is_empty());
    let (id, key) = chosen(named, signing)?;
    if header.alg != format!("{:?}", key.algorithm) {
        return Err(format!(
            "its signature is by `{}`, and the key `{id}` is for {:?}",
            header.alg.escape_debug(),
            key.algorithm
        ));
    }
    let good = jsonwebtoken::crypto::verify(signature, message.as_bytes(), &decoding(key)?, key.algorithm);
    match good {
        Ok(true) => Ok((id, payload)),
        Ok(false) | Err(_) => Err(format!("its signature is not by the key `{id}`")),
    }
}

/// The key that a signature names. One that names none can only be by the only key that there is.
fn chosen<'a>(named: Option<&str>, signing: &'a Signing) -> Result<(&'a str, &'a SigningKey), String> {
    let found = match named {
        Some(name) => signing.keys.get_key_value(name),
        None if signing.keys.len() == 1 => signing.keys.first_key_value(),
        None => return Err("its signature names no key".to_owned()),
    };
    let unknown = || {
        format!(
            "its signature names the key `{}`, which is not configured",
            named.unwrap_or("").escape_debug()
        )
    };
    found.map(|(id, key)| (id.as_str(), key)).ok_or_else(unknown)
}

/// Whether the files are those that are listed, both ways.
fn same(files: &Files, listed: &[Listed]) -> Result<(), String> {
    let mut left: BTreeMap<&str, &Listed> = BTreeMap::new();
    for file in listed {
        let name = file.name.trim_start_matches('/');
        if left.insert(name, file).is_some() {
            return Err(format!("its signature lists `{}` twice", name.escape_debug()));
        }
    }
    for (path, content) in files.iter() {
        let file = left.remove(path).ok_or_else(|| format!("`{path}` is not in its signature"))?;
        let wanted =
            hex::decode(&file.hash).map_err(|_| format!("its signature has no digest of `{path}`"))?;
        if digest(path, content, &file.algorithm)? != wanted {
            return Err(format!("`{path}` is not what was signed"));
        }
    }
    match left.keys().next() {
        Some(name) => Err(format!("`{}` is in its signature and not in the bundle", name.escape_debug())),
        None => Ok(()),
    }
}

fn part<T: DeserializeOwned>(text: &str) -> Option<T> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).ok()?).ok()
}

/// The keys that cannot be used as they are configured.
pub(in crate::deliver::bundle) fn unready(signing: &Signing) -> Vec<String> {
    signing.keys.values().filter_map(|key| decoding(key).err()).collect()
}

fn decoding(key: &SigningKey) -> Result<DecodingKey, String> {
    let name = key.file.display();
    let text = std::fs::read_to_string(&key.file).map(Secret::new);
    let text = text.map_err(|error| format!("the key `{name}` cannot be read: {error}"))?;
    let pem = text.expose().as_bytes();
    let made = match key.algorithm {
        Algorithm::ES256 | Algorithm::ES384 => DecodingKey::from_ec_pem(pem),
        Algorithm::EdDSA => DecodingKey::from_ed_pem(pem),
        Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512 => {
            let secret = text.expose().trim_end().as_bytes();
            if secret.len() < SHORTEST_SECRET {
                return Err(format!("the secret in `{name}` is shorter than {SHORTEST_SECRET} bytes"));
            }
            return Ok(DecodingKey::from_secret(secret));
        }
        _ => DecodingKey::from_rsa_pem(pem),
    };
    made.map_err(|_| format!("`{name}` holds no public key for {:?} in PEM", key.algorithm))
}
