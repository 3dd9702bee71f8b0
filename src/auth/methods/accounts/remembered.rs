//! What was read of accounts, remembered under the state in which it was read.

use std::hash::Hash;
use std::sync::Arc;

use quick_cache::sync::Cache;

use super::directory::Unavailable;

/// How many entries one of these has at most.
const ENTRIES: usize = 4096;

/// What was found under keys, also that nothing was.
pub(super) struct Remembered<K, V>(Cache<K, (u64, Option<Arc<V>>)>);

impl<K: Clone + Eq + Hash, V> Default for Remembered<K, V> {
    fn default() -> Self {
        Self(Cache::new(ENTRIES))
    }
}

impl<K: Clone + Eq + Hash, V> Remembered<K, V> {
    /// Returns what was read under this state of the accounts, or reads it. The state was seen before.
    pub(super) async fn get(
        &self,
        key: &K,
        state: u64,
        read: impl Future<Output = Result<Option<V>, Unavailable>>,
    ) -> Result<Option<Arc<V>>, Unavailable> {
        match self.0.get(key) {
            Some((then, found)) if then == state => return Ok(found),
            _ => {}
        }
        let found = read.await?.map(Arc::new);
        self.0.insert(key.clone(), (state, found.clone()));
        Ok(found)
    }
}
