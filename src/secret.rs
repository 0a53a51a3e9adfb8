//! Values that must not be seen: they print nothing, serialise to nothing, and are wiped.

use std::fmt;

use zeroize::Zeroizing;

/// A secret text. It has no `Display`, `Clone`, `Eq` or `Serialize`; `expose` is the one way to its value,
/// so that a search for `expose()` is the whole review.
pub struct Secret(Zeroizing<Box<str>>);

impl Secret {
    /// Takes over `text`; its allocation is wiped when the secret is dropped.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text.into_boxed_str()))
    }

    /// The value itself.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Secret bytes: a key.
pub struct Key(Zeroizing<Box<[u8]>>);

impl Key {
    /// Takes over `bytes`; they are wiped when the key is dropped.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes.into_boxed_slice()))
    }

    /// The value itself.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_prints_nothing_of_itself() {
        let printed = format!("{:?} {:?}", Secret::new("hunter2".into()), Key::new(b"hunter2".to_vec()));
        assert_eq!(printed, "Secret(…) Key(…)");
    }
}
