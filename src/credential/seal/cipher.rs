//! AES-256-GCM under one key, and the bytes that come of it.

use aws_lc_rs::aead::{AES_256_GCM, Aad, Nonce, RandomizedNonceKey};
use aws_lc_rs::digest;
use zeroize::Zeroizing;

use crate::credential::seal::{KEY_BYTES, Owner, SealError};
use crate::secret::Key;

const ID_BYTES: usize = 8;
const NONCE_BYTES: usize = 12;
const TAG_BYTES: usize = 16;

/// By which a key is known: it tells nothing of the key.
pub(super) type KeyId = [u8; ID_BYTES];

/// What sealed bytes are. The number is their first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    /// A value under the wrapping key itself, as the first version sealed.
    Direct = 1,
    /// A value under its tenant's data key.
    UnderDataKey = 2,
    /// A data key under a wrapping key that is here.
    Wrapped = 3,
    /// A data key that a service has wrapped.
    WrappedElsewhere = 4,
}

/// Sealed bytes in their parts: layout (1 byte), id of the key (8), and what was made with it.
pub(super) struct Parts<'a> {
    pub(super) layout: Layout,
    pub(super) id: KeyId,
    pub(super) rest: &'a [u8],
}

impl<'a> Parts<'a> {
    pub(super) fn read(sealed: &'a [u8]) -> Result<Self, SealError> {
        let (layout, rest) = sealed.split_first().ok_or(SealError::Damaged)?;
        let layout = match layout {
            1 => Layout::Direct,
            2 => Layout::UnderDataKey,
            3 => Layout::Wrapped,
            4 => Layout::WrappedElsewhere,
            other => return Err(SealError::Layout(*other)),
        };
        let (id, rest) = rest.split_first_chunk::<ID_BYTES>().ok_or(SealError::Damaged)?;
        Ok(Self { layout, id: *id, rest })
    }

    /// The bytes that are read as these parts.
    pub(super) fn write(layout: Layout, id: KeyId, rest: &[&[u8]]) -> Vec<u8> {
        let mut sealed = vec![layout as u8];
        sealed.extend_from_slice(&id);
        rest.iter().for_each(|part| sealed.extend_from_slice(part));
        sealed
    }
}

/// A key that is here.
pub(super) struct Cipher {
    key: RandomizedNonceKey,
    id: KeyId,
}

impl Cipher {
    pub(super) fn new(key: &Key) -> Result<Self, SealError> {
        let bytes = key.expose();
        let cipher = RandomizedNonceKey::new(&AES_256_GCM, bytes)
            .map_err(|_| SealError::BadKey(format!("it must be {KEY_BYTES} bytes")))?;
        Ok(Self { key: cipher, id: named(&[b"portcullis sealing key id", bytes]) })
    }

    pub(super) fn id(&self) -> KeyId {
        self.id
    }

    /// Seals under a new random nonce.
    pub(super) fn seal(&self, layout: Layout, owner: Owner<'_>, plain: &[u8]) -> Result<Vec<u8>, SealError> {
        let mut text = Zeroizing::new(Vec::with_capacity(plain.len() + TAG_BYTES));
        text.extend_from_slice(plain);
        let aad = Aad::from(associated(layout, self.id, owner));
        let nonce = self.key.seal_in_place_append_tag(aad, &mut *text).map_err(|_| SealError::Damaged)?;
        Ok(Parts::write(layout, self.id, &[nonce.as_ref(), &text]))
    }

    /// Opens what was sealed for the same owner; the parts must be of this key.
    pub(super) fn open(&self, owner: Owner<'_>, parts: &Parts<'_>) -> Result<Key, SealError> {
        let (nonce, text) = parts.rest.split_first_chunk::<NONCE_BYTES>().ok_or(SealError::Damaged)?;
        let mut text = Zeroizing::new(text.to_vec());
        let aad = Aad::from(associated(parts.layout, self.id, owner));
        let plain = self.key.open_in_place(Nonce::assume_unique_for_key(*nonce), aad, &mut text);
        plain.map(|plain| Key::new(plain.to_vec())).map_err(|_| SealError::Damaged)
    }
}

/// An id made of what something is.
pub(super) fn named(parts: &[&[u8]]) -> KeyId {
    let mut context = digest::Context::new(&digest::SHA256);
    parts.iter().for_each(|part| context.update(part));
    context.finish().as_ref().first_chunk::<ID_BYTES>().copied().unwrap_or_default()
}

/// Each part with its length before it, so that no two owners give the same bytes.
fn associated(layout: Layout, id: KeyId, owner: Owner<'_>) -> Vec<u8> {
    let mut data = Parts::write(layout, id, &[]);
    for part in [owner.tenant, owner.server, owner.kind] {
        data.extend_from_slice(&(part.len() as u64).to_be_bytes());
        data.extend_from_slice(part.as_bytes());
    }
    data
}
