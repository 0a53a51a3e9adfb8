//! Legacy session ids and event ids that only the caller who got them can use.
//!
//! # Why sealed and not stored
//! The id that the agent holds is the server's own id, encrypted and bound to the caller and the server. Another caller's id
//! is simply not an id (MCP 2025-11-25, session hijacking).

use super::sealed::{Bound, Sealed};
use crate::decode::Version;
use crate::identify::Caller;
use crate::name::ServerName;
use crate::refusal::Refusal;
use crate::secret::Key;

/// Seals and opens session ids under a key derived from the gate's.
#[derive(Debug)]
pub struct Sessions {
    ids: Sealed,
    events: Sealed,
}

impl Sessions {
    /// Derives the key (HKDF-SHA256, RFC 5869).
    ///
    /// # Errors
    /// [`Refusal::Internal`] where the cryptographic library fails.
    pub fn new(gate_key: &Key) -> Result<Self, Refusal> {
        let ids = Sealed::new(gate_key, b"session ids 1")?;
        Ok(Self { ids, events: Sealed::new(gate_key, b"event ids 2")? })
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
        self.ids.seal(sealed, bound_to(server, caller))
    }

    /// The server's id and the revision of its session; nothing where another caller, server or gate key sealed it.
    #[must_use]
    pub fn open(&self, text: &str, server: &ServerName, caller: &Caller) -> Option<(String, Version)> {
        let opened = self.ids.open(text, bound_to(server, caller))?;
        let (version, upstream) = opened.split_first()?;
        Some((std::str::from_utf8(upstream).ok()?.to_owned(), revision(*version)?))
    }
}

impl Sessions {
    /// The id that the caller is given for an event, from which a stream of the session can be resumed (2025-11-25
    /// basic/transports, resumability); `None`: the stream belongs to no session yet.
    ///
    /// # Errors
    /// [`Refusal::Internal`] where the cryptographic library fails.
    pub fn seal_event(
        &self,
        event: Vec<u8>,
        server: &ServerName,
        caller: &Caller,
        session: Option<&str>,
    ) -> Result<String, Refusal> {
        self.events.seal(event, in_session(server, caller, session))
    }

    /// What was sealed; nothing where it was given to another caller, in another session, or to nobody.
    #[must_use]
    pub fn open_event(
        &self,
        text: &str,
        server: &ServerName,
        caller: &Caller,
        session: Option<&str>,
    ) -> Option<Vec<u8>> {
        self.events.open(text, in_session(server, caller, session))
    }
}

fn bound_to(server: &ServerName, caller: &Caller) -> Bound {
    Bound::default().to(&caller.principal()).to(server.as_str().as_bytes())
}

fn in_session(server: &ServerName, caller: &Caller, session: Option<&str>) -> Bound {
    bound_to(server, caller).to(session.unwrap_or_default().as_bytes())
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
    fn an_event_id_resumes_a_stream_of_its_caller_in_their_session_only_and_is_no_session_id() {
        let (alice, mallory) = (caller_for_test("a", "alice", &[]), caller_for_test("a", "mallory", &[]));
        let text = sessions().seal_event(b"ev-1".to_vec(), &name("erp"), &alice, Some("s1")).unwrap();
        let opened = |server, caller, session| sessions().open_event(&text, &name(server), caller, session);
        assert_eq!(opened("erp", &alice, Some("s1")).as_deref(), Some(&b"ev-1"[..]));
        assert_eq!(opened("erp", &mallory, Some("s1")), None);
        assert_eq!(opened("crm", &alice, Some("s1")), None);
        assert_eq!(opened("erp", &alice, Some("s2")), None);
        assert_eq!(opened("erp", &alice, None), None);
        assert_eq!(sessions().open(&text, &name("erp"), &alice), None);
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
