//! Tokens that were verified a while ago, so that a pull costs one signature check and not one for each request.

use std::hash::Hash;
use std::time::SystemTime;

use aws_lc_rs::digest::{SHA256, digest};
use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{DefaultHashBuilder, OptionsBuilder, Weighter};

/// How many bytes of tokens are remembered; what is remembered of one is about as long as its text.
const BYTES: u64 = 16 * 1024 * 1024;

/// What an entry takes beside that, about.
const ENTRY_BYTES: u64 = 512;

/// Into how many parts it is divided, each with one lock.
const SHARDS: usize = 8;

/// What verified tokens say, by the SHA-256 of their text. An entry counts until the token ends, and only under the
/// generation under which it was verified.
pub struct VerifiedTokens<T>(Cache<Hashed, Entry<T>, Weights>);

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Hashed([u8; 32]);

#[derive(Clone)]
struct Entry<T> {
    generation: u64,
    until: SystemTime,
    length: u64,
    content: T,
}

#[derive(Clone)]
struct Weights;

impl<T> Weighter<Hashed, Entry<T>> for Weights {
    fn weight(&self, _: &Hashed, entry: &Entry<T>) -> u64 {
        ENTRY_BYTES + entry.length
    }
}

impl<T: Clone> Default for VerifiedTokens<T> {
    fn default() -> Self {
        Self::of(BYTES, SHARDS)
    }
}

impl<T: Clone> VerifiedTokens<T> {
    fn of(bytes: u64, shards: usize) -> Self {
        let entries = usize::try_from(bytes / (2 * ENTRY_BYTES)).unwrap_or(usize::MAX);
        let options = OptionsBuilder::new()
            .shards(shards)
            .estimated_items_capacity(entries)
            .weight_capacity(bytes)
            .build()
            .expect("all that is needed was given");
        let (hasher, lifecycle) = (DefaultHashBuilder::default(), DefaultLifecycle::default());
        Self(Cache::with_options(options, Weights, hasher, lifecycle))
    }

    /// Returns what a token says that was verified under this generation and has not ended.
    #[must_use]
    pub fn get(&self, text: &str, generation: u64, now: SystemTime) -> Option<T> {
        let key = hashed(text);
        let entry = self.0.get(&key)?;
        if entry.generation == generation && now < entry.until {
            return Some(entry.content);
        }
        // A later generation may be there already: what is newer stays.
        if entry.generation < generation || now >= entry.until {
            self.0.remove(&key);
        }
        None
    }

    /// Remembers what a verified token says. `generation` was read before the token was verified.
    pub fn insert(&self, text: &str, generation: u64, until: SystemTime, content: T) {
        let length = text.len() as u64;
        self.0.insert(hashed(text), Entry { generation, until, length, content });
    }
}

fn hashed(text: &str) -> Hashed {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest(&SHA256, text.as_bytes()).as_ref());
    Hashed(bytes)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn an_entry_counts_until_the_token_ends() {
        let tokens = VerifiedTokens::default();
        tokens.insert("a", 1, at(100), "anna");
        assert_eq!(tokens.get("a", 1, at(99)), Some("anna"));
        assert_eq!(tokens.get("b", 1, at(99)), None);
        assert_eq!(tokens.get("a", 1, at(100)), None);
        assert_eq!(tokens.get("a", 1, at(99)), None, "it was removed");
    }

    #[test]
    fn an_entry_counts_under_its_generation_only() {
        let tokens = VerifiedTokens::default();
        tokens.insert("a", 2, at(100), "anna");
        assert_eq!(tokens.get("a", 1, at(0)), None, "a request that is behind");
        assert_eq!(tokens.get("a", 2, at(0)), Some("anna"));
        assert_eq!(tokens.get("a", 3, at(0)), None);
        assert_eq!(tokens.get("a", 2, at(0)), None, "it was removed");
    }

    #[test]
    fn no_more_is_remembered_than_the_bound() {
        let tokens = VerifiedTokens::of(100 * (ENTRY_BYTES + 488), 1);
        for number in 0..10_000 {
            tokens.insert(&format!("{number:0488}"), 1, at(100), number);
        }
        assert!(tokens.0.len() <= 100 && tokens.0.weight() <= 100 * (ENTRY_BYTES + 488));
        tokens.insert(&"x".repeat(1_000_000), 1, at(100), 1);
        assert!(tokens.0.weight() <= 100 * (ENTRY_BYTES + 488));
    }
}
