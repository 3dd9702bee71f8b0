//! What is remembered of those who are counted, in bounded memory: an attacker may have more addresses than fit.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use governor::nanos::Nanos;
use governor::state::StateStore;
use governor::state::keyed::ShrinkableKeyedStateStore;

/// How many share what is left where no more are remembered one by one.
const SHARED: u16 = 256;

/// Who is counted.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Who {
    /// A user, robot or workload.
    Caller(String),
    /// An address, or the network that one subscriber has of IPv6.
    Client(IpAddr),
    /// One of those who share.
    Shared(u16),
}

/// What is asked of a limit.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Check {
    pub(super) who: Who,
    /// Whether nothing is taken.
    pub(super) is_look: bool,
}

/// What is remembered: until when each has used the limit up.
#[derive(Debug, Default)]
pub(super) struct Store {
    used: Mutex<HashMap<Who, Nanos>>,
    hasher: RandomState,
}

impl Store {
    /// How many are remembered one by one.
    pub(super) const CAPACITY: usize = 10_000;

    /// How many are remembered at most.
    #[cfg(test)]
    pub(super) const MOST: usize = Self::CAPACITY + SHARED as usize;

    fn used(&self) -> MutexGuard<'_, HashMap<Who, Nanos>> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StateStore for Store {
    type Key = Check;

    fn measure_and_replace<T, F, E>(&self, check: &Check, measure: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let mut used = self.used();
        let who = if used.len() < Self::CAPACITY || used.contains_key(&check.who) {
            check.who.clone()
        } else {
            let hash = self.hasher.hash_one(&check.who) % u64::from(SHARED);
            Who::Shared(u16::try_from(hash).unwrap_or_default())
        };
        let (outcome, next) = measure(used.get(&who).copied())?;
        if !check.is_look {
            used.insert(who, next);
        }
        Ok(outcome)
    }
}

impl ShrinkableKeyedStateStore<Check> for Store {
    fn retain_recent(&self, drop_below: Nanos) {
        self.used().retain(|_, until| *until > drop_below);
    }

    fn len(&self) -> usize {
        self.used().len()
    }

    fn is_empty(&self) -> bool {
        self.used().is_empty()
    }
}
