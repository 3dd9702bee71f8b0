//! Credentials that were right a while ago, so that not every request costs a hash by bcrypt. Only
//! a keyed hash of them is kept, under a key that no other process ever has.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use aws_lc_rs::{hmac, rand};
use secrecy::{ExposeSecret, SecretString};

/// How long they are remembered.
const LIFETIME: Duration = Duration::from_mins(5);

/// How many are remembered.
const CAPACITY: usize = 1024;

/// What was right.
pub(super) struct Verified {
    key: hmac::Key,
    until: Mutex<HashMap<Proof, Instant>>,
}

/// Stands for a user and a password.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Proof(Vec<u8>);

impl Default for Verified {
    fn default() -> Self {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &rand::SystemRandom::new());
        Self { key: key.expect("the system has random numbers"), until: Mutex::default() }
    }
}

impl Verified {
    /// Returns what stands for these credentials.
    pub(super) fn proof(&self, user: &str, password: &SecretString) -> Proof {
        let mut context = hmac::Context::with_key(&self.key);
        // A user's name has no colon, so no two pairs are the same bytes.
        context.update(user.as_bytes());
        context.update(b":");
        context.update(password.expose_secret().as_bytes());
        Proof(context.sign().as_ref().to_vec())
    }

    /// Tells whether they were right a while ago.
    pub(super) fn has(&self, proof: &Proof) -> bool {
        let until = self.until.lock().unwrap_or_else(PoisonError::into_inner);
        until.get(proof).is_some_and(|until| Instant::now() < *until)
    }

    /// Remembers that they are right; the oldest give way.
    pub(super) fn remember(&self, proof: Proof) {
        let now = Instant::now();
        let mut until = self.until.lock().unwrap_or_else(PoisonError::into_inner);
        if until.len() >= CAPACITY {
            until.retain(|_, until| now < *until);
        }
        if until.len() >= CAPACITY
            && let Some(oldest) = until.iter().min_by_key(|(_, until)| **until)
        {
            let oldest = oldest.0.clone();
            until.remove(&oldest);
        }
        until.insert(proof, now + LIFETIME);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_right_is_known_again_and_nothing_else() {
        let verified = Verified::default();
        let proof = |user: &str, password: &str| verified.proof(user, &password.into());
        verified.remember(proof("anna", "secret"));
        assert!(verified.has(&proof("anna", "secret")));
        for (user, password) in
            [("anna", "Secret"), ("bob", "secret"), ("anna", ""), ("a", "nnasecret")]
        {
            assert!(!verified.has(&proof(user, password)), "{user} {password}");
        }
        assert!(!Verified::default().has(&proof("anna", "secret")));
    }

    #[test]
    fn the_oldest_give_way() {
        let verified = Verified::default();
        let proof = |number: usize| verified.proof("anna", &number.to_string().into());
        for number in 0..=CAPACITY {
            verified.remember(proof(number));
        }
        assert!(!verified.has(&proof(0)));
        assert!(verified.has(&proof(1)) && verified.has(&proof(CAPACITY)));
        assert_eq!(verified.until.lock().unwrap().len(), CAPACITY);
    }
}
