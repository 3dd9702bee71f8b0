//! Credentials that were looked at a while ago, so that not every request costs a hash, and so that a
//! client that repeats one wrong password has guessed once. Only a keyed hash of them is remembered, under a key
//! that no other process ever has, and together with the stored hash: with another one nothing is known.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use aws_lc_rs::{hmac, rand};
use secrecy::{ExposeSecret, SecretString};

use super::PasswordHash;
use super::sign_ins::REMEMBERED;

/// How long right ones are remembered.
const LIFETIME: Duration = Duration::from_mins(5);

/// How many right ones are remembered.
const CAPACITY: usize = 1024;

/// How many wrong ones are remembered.
const WRONG_CAPACITY: usize = 4096;

/// What was right, and what was wrong; a method has one for all its users.
pub struct Verified {
    key: hmac::Key,
    right: Mutex<Memory<Proof>>,
    /// By client: what one has guessed, others do not learn from how soon they are answered.
    wrong: Mutex<Memory<(IpAddr, Proof)>>,
}

/// Stands for a user, a password, and what that was checked by.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Proof(Vec<u8>);

impl Default for Verified {
    fn default() -> Self {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &rand::SystemRandom::new());
        Self {
            key: key.expect("the system has random numbers"),
            right: Mutex::new(Memory::new(LIFETIME, CAPACITY)),
            // As long as a wrong password counts: one that is repeated now and then counts once.
            wrong: Mutex::new(Memory::new(REMEMBERED, WRONG_CAPACITY)),
        }
    }
}

impl Verified {
    /// Returns what stands for these credentials under that stored hash.
    pub(super) fn proof(&self, user: &str, password: &SecretString, hash: &PasswordHash) -> Proof {
        self.proof_under(user, password, hash.as_str())
    }

    /// Returns what stands for an access token.
    pub(super) fn proof_of_token(&self, token: &SecretString) -> Proof {
        // No stored hash is that text.
        self.proof_under("", token, "token")
    }

    fn proof_under(&self, user: &str, password: &SecretString, hash: &str) -> Proof {
        let mut context = hmac::Context::with_key(&self.key);
        // With their lengths, so that no two are the same bytes.
        for text in [user, hash] {
            context.update(&text.len().to_be_bytes());
            context.update(text.as_bytes());
        }
        context.update(password.expose_secret().as_bytes());
        Proof(context.sign().as_ref().to_vec())
    }

    /// Tells whether they were right a while ago.
    pub(super) fn has(&self, proof: &Proof) -> bool {
        lock(&self.right).has(proof, Instant::now())
    }

    /// Remembers that they are right; the oldest give way.
    pub(super) fn remember(&self, proof: Proof) {
        lock(&self.right).insert(proof, Instant::now());
    }

    /// Tells whether this client has sent them before, and they were wrong; then that is remembered for as long again.
    pub(super) fn is_wrong(&self, client: IpAddr, proof: &Proof) -> bool {
        let (key, now) = ((client, proof.clone()), Instant::now());
        let mut wrong = lock(&self.wrong);
        let is_wrong = wrong.has(&key, now);
        if is_wrong {
            wrong.insert(key, now);
        }
        is_wrong
    }

    /// Remembers that this client has sent them, and they are wrong; the oldest give way.
    pub(super) fn remember_wrong(&self, client: IpAddr, proof: Proof) {
        lock(&self.wrong).insert((client, proof), Instant::now());
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Remembers a bounded number of keys for a while.
struct Memory<K> {
    lifetime: Duration,
    capacity: usize,
    until: HashMap<K, Instant>,
}

impl<K: Clone + Eq + Hash> Memory<K> {
    fn new(lifetime: Duration, capacity: usize) -> Self {
        Self { lifetime, capacity, until: HashMap::new() }
    }

    fn has(&self, key: &K, now: Instant) -> bool {
        self.until.get(key).is_some_and(|until| now < *until)
    }

    fn insert(&mut self, key: K, now: Instant) {
        let until = now + self.lifetime;
        if let Some(known) = self.until.get_mut(&key) {
            *known = until;
            return;
        }
        if self.until.len() >= self.capacity {
            self.until.retain(|_, until| now < *until);
        }
        if self.until.len() >= self.capacity
            && let Some(oldest) = self.until.iter().min_by_key(|(_, until)| **until)
        {
            let oldest = oldest.0.clone();
            self.until.remove(&oldest);
        }
        self.until.insert(key, until);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash() -> PasswordHash {
        PasswordHash::bcrypt_of_no_password(4)
    }

    #[test]
    fn what_was_right_is_known_again_and_nothing_else() {
        let verified = Verified::default();
        let proof = |user: &str, password: &str| verified.proof(user, &password.into(), &hash());
        verified.remember(proof("anna", "secret"));
        assert!(verified.has(&proof("anna", "secret")));
        for (user, password) in
            [("anna", "Secret"), ("bob", "secret"), ("anna", ""), ("a", "nnasecret")]
        {
            assert!(!verified.has(&proof(user, password)), "{user} {password}");
        }
        assert!(!Verified::default().has(&proof("anna", "secret")));
        let other = PasswordHash::bcrypt_of_no_password(5);
        assert!(!verified.has(&verified.proof("anna", &"secret".into(), &other)));
    }

    #[test]
    fn the_oldest_give_way() {
        let verified = Verified::default();
        let proof = |number: usize| verified.proof("anna", &number.to_string().into(), &hash());
        for number in 0..=CAPACITY {
            verified.remember(proof(number));
        }
        assert!(!verified.has(&proof(0)));
        assert!(verified.has(&proof(1)) && verified.has(&proof(CAPACITY)));
        assert_eq!(lock(&verified.right).until.len(), CAPACITY);
    }

    #[test]
    fn what_was_wrong_is_known_to_be_wrong_from_the_same_client_for_as_long_as_it_is_repeated() {
        let verified = Verified::default();
        let [anna, bob] = ["192.0.2.1", "192.0.2.2"].map(|text| text.parse().unwrap());
        let proof = verified.proof("anna", &"stale".into(), &hash());
        assert!(!verified.is_wrong(anna, &proof));
        verified.remember_wrong(anna, proof.clone());
        assert!(verified.is_wrong(anna, &proof) && !verified.is_wrong(bob, &proof));
        assert!(!verified.is_wrong(anna, &verified.proof("anna", &"other".into(), &hash())));
        assert!(!verified.has(&proof));

        let mut memory = Memory::new(Duration::from_secs(10), 2);
        let begin = Instant::now();
        let at = |seconds| begin + Duration::from_secs(seconds);
        memory.insert("a", at(0));
        memory.insert("a", at(9));
        assert!(memory.has(&"a", at(18)) && !memory.has(&"a", at(19)));
        memory.insert("b", at(10));
        memory.insert("c", at(11));
        assert!(!memory.has(&"a", at(12)) && memory.has(&"b", at(12)) && memory.has(&"c", at(12)));
    }
}
