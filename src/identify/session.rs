//! Legacy session ids that only the caller who opened the session can use.
//!
//! # Why sealed and not stored
//! The id that the agent holds is the server's own id, encrypted and bound to the caller and the server. Nothing is kept, so
//! any gate with the same key can open it, and another caller's id is simply not an id (MCP 2025-11-25, session hijacking).

use aws_lc_rs::aead::{AES_256_GCM, Aad, Nonce, RandomizedNonceKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::decode::Version;
use crate::identify::Caller;
use crate::name::ServerName;
use crate::refusal::Refusal;
use crate::secret::Key;

const NONCE: usize = 12;

/// Seals and opens session ids under a key derived from the gate's.
#[derive(Debug)]
pub struct Sessions(RandomizedNonceKey);

impl Sessions {
    /// Derives the key (HKDF-SHA256, RFC 5869).
    ///
    /// # Errors
    /// [`Refusal::Internal`] where the cryptographic library fails.
    pub fn new(gate_key: &Key) -> Result<Self, Refusal> {
        let mut key = zeroize::Zeroizing::new([0; 32]);
        let pseudo_random = Salt::new(HKDF_SHA256, b"portcullis").extract(gate_key.expose());
        let material =
            pseudo_random.expand(&[b"session ids 1"], HKDF_SHA256).map_err(|_| Refusal::Internal)?;
        material.fill(&mut key[..]).map_err(|_| Refusal::Internal)?;
        RandomizedNonceKey::new(&AES_256_GCM, &key[..]).map(Self).map_err(|_| Refusal::Internal)
    }

    /// The id that the caller is given for the server's session `upstream`: visible ASCII (base64url).
    ///
    /// # Errors
    /// [`Refusal::Internal`] where the cryptographic library fails.
    pub fn seal(
        &self,
        upstream: &str,
        version: Version,
        server: &ServerName,
        caller: &Caller,
    ) -> Result<String, Refusal> {
        let mut sealed = vec![number(version)];
        sealed.extend_from_slice(upstream.as_bytes());
        let nonce = self
            .0
            .seal_in_place_append_tag(bound_to(server, caller), &mut sealed)
            .map_err(|_| Refusal::Internal)?;
        sealed.extend_from_slice(nonce.as_ref());
        Ok(URL_SAFE_NO_PAD.encode(sealed))
    }

    /// The server's id and the revision of its session; nothing where another caller, server or gate key sealed it.
    #[must_use]
    pub fn open(&self, text: &str, server: &ServerName, caller: &Caller) -> Option<(String, Version)> {
        let mut sealed = URL_SAFE_NO_PAD.decode(text).ok()?;
        let nonce_at = sealed.len().checked_sub(NONCE)?;
        let (body, nonce) = sealed.split_at_mut_checked(nonce_at)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let opened = self.0.open_in_place(nonce, bound_to(server, caller), body).ok()?;
        let (version, upstream) = opened.split_first()?;
        Some((std::str::from_utf8(upstream).ok()?.to_owned(), revision(*version)?))
    }
}

fn bound_to(server: &ServerName, caller: &Caller) -> Aad<Vec<u8>> {
    let mut bound = caller.principal().to_vec();
    bound.extend_from_slice(server.as_str().as_bytes());
    Aad::from(bound)
}

fn number(version: Version) -> u8 {
    match version {
        Version::V2024_11_05 => 1,
        Version::V2025_03_26 => 2,
        Version::V2025_06_18 => 3,
        Version::V2025_11_25 => 4,
        Version::V2026_07_28 => 5,
    }
}

fn revision(number: u8) -> Option<Version> {
    match number {
        1 => Some(Version::V2024_11_05),
        2 => Some(Version::V2025_03_26),
        3 => Some(Version::V2025_06_18),
        4 => Some(Version::V2025_11_25),
        5 => Some(Version::V2026_07_28),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identify::{Proof, caller_for_test};

    fn sessions() -> Sessions {
        Sessions::new(&Key::new(vec![7; 32])).unwrap()
    }

    fn name(text: &str) -> ServerName {
        ServerName::parse(text).unwrap()
    }

    #[test]
    fn a_session_is_opened_by_the_caller_that_it_was_sealed_for_and_by_nobody_else() {
        let (alice, mallory) = (caller_for_test("a", "alice", &[]), caller_for_test("a", "mallory", &[]));
        let elsewhere = caller_for_test("b", "alice", &[]);
        let text = sessions().seal("up-1", Version::V2025_03_26, &name("erp"), &alice).unwrap();
        assert!(text.bytes().all(|b| b.is_ascii_graphic()));
        let opened = sessions().open(&text, &name("erp"), &alice);
        assert_eq!(opened, Some(("up-1".to_owned(), Version::V2025_03_26)));
        assert_eq!(sessions().open(&text, &name("erp"), &mallory), None);
        assert_eq!(sessions().open(&text, &name("erp"), &elsewhere), None);
        assert_eq!(sessions().open(&text, &name("crm"), &alice), None);
        let other_gate = Sessions::new(&Key::new(vec![8; 32])).unwrap();
        assert_eq!(other_gate.open(&text, &name("erp"), &alice), None);
    }

    #[test]
    fn a_changed_or_made_up_session_id_opens_nothing() {
        let alice = caller_for_test("a", "alice", &[]);
        let text = sessions().seal("up-1", Version::V2025_11_25, &name("erp"), &alice).unwrap();
        for at in 0..text.len() {
            let mut changed = text.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            assert_eq!(sessions().open(&changed, &name("erp"), &alice), None, "{at}");
        }
        for made_up in ["", "A", "AAAAAAAAAAAAAAAA", "é", "up-1"] {
            assert_eq!(sessions().open(made_up, &name("erp"), &alice), None);
        }
    }

    #[test]
    fn the_principal_is_who_they_are_and_how_they_proved_it() {
        let alice = caller_for_test("a", "alice", &["reader"]);
        assert_eq!(alice.principal(), caller_for_test("a", "alice", &["writer"]).principal());
        let mut by_token = alice.clone();
        by_token.authentication.kind = Proof::Jwt;
        assert_ne!(alice.principal(), by_token.principal());
        let (left, right) = (caller_for_test("ab", "c", &[]), caller_for_test("a", "bc", &[]));
        assert_ne!(left.principal(), right.principal());
    }
}
