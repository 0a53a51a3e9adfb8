//! Who a session or a task belongs to, as one digest.

use sha2::{Digest, Sha256};

use crate::identify::Caller;

impl Caller {
    /// A digest of who the caller is: tenant, user, agent, issuer, kind of proof and scoped URL. What was opened by one
    /// principal is not found by another; roles and attributes may change in between.
    #[must_use]
    pub fn principal(&self) -> [u8; 32] {
        let mut digest = Sha256::new();
        digest.update(b"portcullis principal 1");
        let scope = self.scope.as_ref().map(|scope| scope.id.as_str());
        let parts = [
            Some(self.tenant.as_str()),
            self.user.as_ref().map(crate::name::UserId::as_str),
            self.agent.as_ref().map(crate::name::AgentId::as_str),
            self.authentication.issuer.as_deref(),
            Some(self.authentication.kind.as_str()),
            scope,
        ];
        for part in parts {
            add(&mut digest, part);
        }
        digest.finalize().into()
    }
}

/// Each part with its length, so that no two lists of parts read the same; an absent one differs from an empty one.
fn add(digest: &mut Sha256, part: Option<&str>) {
    match part {
        None => digest.update([0]),
        Some(text) => {
            digest.update([1]);
            digest.update((text.len() as u64).to_be_bytes());
            digest.update(text);
        }
    }
}
