//! State that a server leaves with a caller between the rounds of one call (`requestState`, MCP 2026-07-28 basic/patterns/mrtr).
//!
//! # Why the gate seals it
//! Servers must treat it as an attacker's, and not all do. Sealed, it comes back only from the caller whom it was given to,
//! for the same call, within the hour; the server gets its own text, byte for byte.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sha2::{Digest, Sha256};

use super::sealed::{Bound, Sealed};
use crate::identify::Caller;
use crate::name::ServerName;
use crate::refusal::Refusal;
use crate::secret::Key;

/// So long a caller may take to answer: a person may have to be asked.
const LIFETIME: Duration = Duration::from_secs(3600);

/// The call that a state belongs to.
#[derive(Debug, Clone, Copy)]
pub struct Round<'a> {
    /// Whose call.
    pub caller: &'a Caller,
    /// To which server.
    pub server: &'a ServerName,
    /// By which method.
    pub method: &'a str,
    /// Of which tool, prompt or resource.
    pub name: &'a str,
    /// With which arguments, in canonical form; empty for none.
    pub arguments: &'a str,
}

impl Round<'_> {
    fn bound(&self) -> Bound {
        Bound::default()
            .to(&self.caller.principal())
            .to(self.server.as_str().as_bytes())
            .to(self.method.as_bytes())
            .to(self.name.as_bytes())
            .to(&Sha256::digest(self.arguments))
    }
}

/// Seals and opens the states of calls under a key derived from the gate's.
#[derive(Debug)]
pub struct States(Sealed);

impl States {
    /// Derives the key.
    ///
    /// # Errors
    /// [`Refusal::Internal`] where the cryptographic library fails.
    pub fn new(gate_key: &Key) -> Result<Self, Refusal> {
        Sealed::new(gate_key, b"request states 1").map(Self)
    }

    /// What the caller is given for the server's `state`.
    ///
    /// # Errors
    /// [`Refusal::Internal`] where the cryptographic library fails.
    pub fn seal(&self, state: &str, round: &Round<'_>, now: SystemTime) -> Result<String, Refusal> {
        let mut plain = seconds(now + LIFETIME).to_be_bytes().to_vec();
        plain.extend_from_slice(state.as_bytes());
        self.0.seal(plain, round.bound())
    }

    /// The server's state; nothing where the text was given to another caller, for another call, or too long ago.
    #[must_use]
    pub fn open(&self, text: &str, round: &Round<'_>, now: SystemTime) -> Option<String> {
        let plain = self.0.open(text, round.bound())?;
        let (until, state) = plain.split_first_chunk::<8>()?;
        if u64::from_be_bytes(*until) < seconds(now) {
            return None;
        }
        String::from_utf8(state.to_vec()).ok()
    }
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identify::caller_for_test;

    #[test]
    fn a_state_comes_back_from_its_caller_for_the_same_call_within_the_hour_and_not_else() {
        let states = States::new(&Key::new(vec![7; 32])).unwrap();
        let (alice, mallory) = (caller_for_test("a", "alice", &[]), caller_for_test("a", "mallory", &[]));
        let (erp, crm) = (ServerName::parse("erp").unwrap(), ServerName::parse("crm").unwrap());
        let round =
            Round { caller: &alice, server: &erp, method: "tools/call", name: "pay", arguments: "{}" };
        let now = SystemTime::now();
        let sealed = states.seal("the server's \u{e9}", &round, now).unwrap();
        assert_eq!(states.open(&sealed, &round, now).as_deref(), Some("the server's \u{e9}"));
        let others = [
            Round { caller: &mallory, ..round },
            Round { server: &crm, ..round },
            Round { method: "prompts/get", ..round },
            Round { name: "payall", ..round },
            Round { arguments: r#"{"sum":9}"#, ..round },
        ];
        for other in &others {
            assert_eq!(states.open(&sealed, other, now), None, "{other:?}");
        }
        let later = now + LIFETIME + Duration::from_secs(1);
        assert_eq!(states.open(&sealed, &round, later), None);
        assert_eq!(states.open("made up", &round, now), None);
        let other_gate = States::new(&Key::new(vec![8; 32])).unwrap();
        assert_eq!(other_gate.open(&sealed, &round, now), None);
    }
}
