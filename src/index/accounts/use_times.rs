//! When access tokens were last used, as far as this process has noted it.

use quick_cache::sync::Cache;

/// How many tokens are remembered.
const TOKENS: usize = 4096;

/// How often the use of a token is noted at most, in milliseconds.
pub(super) const INTERVAL: i64 = 60_000;

/// Uses of tokens that were noted of late.
pub(in super::super) struct TokenUses(Cache<String, i64>);

impl TokenUses {
    pub(in super::super) fn new() -> Self {
        Self(Cache::new(TOKENS))
    }

    /// Tells whether a use has to be noted, and remembers it as noted if so.
    pub(super) fn is_due(&self, id: &str, now: i64) -> bool {
        let is_fresh = |noted: i64| (noted..noted.saturating_add(INTERVAL)).contains(&now);
        if self.0.get(id).is_some_and(is_fresh) {
            return false;
        }
        self.0.insert(id.to_owned(), now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_use_is_noted_once_a_minute_and_after_the_clock_was_set_back() {
        let uses = TokenUses::new();
        assert!(uses.is_due("a", 1_000_000));
        assert!(!uses.is_due("a", 1_000_000 + INTERVAL - 1));
        assert!(uses.is_due("b", 1_000_000));
        assert!(uses.is_due("a", 1_000_000 + INTERVAL));
        assert!(uses.is_due("a", 1));
        assert!(!uses.is_due("a", 2));
    }
}
