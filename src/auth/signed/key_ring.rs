//! The registry's keys at one moment.

use serde_json::{Value, json};

use super::public_key::PublicKey;
use super::signing_key::SigningKey;

/// The key that tokens are signed with, and all others whose tokens may be in use: retired ones, and one that is
/// published before it signs.
pub struct KeyRing {
    current: SigningKey,
    others: Vec<SigningKey>,
}

impl KeyRing {
    /// Takes the keys.
    #[must_use]
    pub fn new(current: SigningKey, others: Vec<SigningKey>) -> Self {
        Self { current, others }
    }

    /// Returns the key that tokens are signed with.
    #[must_use]
    pub fn current(&self) -> &SigningKey {
        &self.current
    }

    /// Returns the public parts of all keys (RFC 7517, 5), for `/.well-known/jwks.json`.
    #[must_use]
    pub fn public_set(&self) -> Value {
        let keys: Vec<Value> = self.all().map(|key| json!(key.jwk())).collect();
        json!({ "keys": keys })
    }

    /// Finds the key that a token names.
    pub(super) fn find(&self, id: &str) -> Option<&PublicKey> {
        self.all().map(SigningKey::public).find(|key| key.id() == id)
    }

    fn all(&self) -> impl Iterator<Item = &SigningKey> {
        std::iter::once(&self.current).chain(&self.others)
    }
}
