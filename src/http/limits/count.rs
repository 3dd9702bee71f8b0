//! Counting up to a limit: of all, and of each client.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How many there are, and may be.
pub(super) struct Totals {
    most: usize,
    most_per_client: usize,
    numbers: Mutex<Numbers>,
}

#[derive(Default)]
struct Numbers {
    all: usize,
    clients: HashMap<IpAddr, usize>,
}

/// Which limit was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Full {
    /// That of all.
    All,
    /// That of this client.
    Client,
}

impl Totals {
    pub(super) fn new(most: usize, most_per_client: usize) -> Arc<Self> {
        Arc::new(Self { most, most_per_client, numbers: Mutex::default() })
    }

    /// Counts one more until what is returned is dropped; that of no client only among all.
    pub(super) fn take(self: &Arc<Self>, client: Option<IpAddr>) -> Result<Counted, Full> {
        let mut numbers = self.numbers();
        if numbers.all >= self.most {
            return Err(Full::All);
        }
        if let Some(client) = client {
            let number = numbers.clients.entry(client).or_default();
            if *number >= self.most_per_client {
                return Err(Full::Client);
            }
            *number += 1;
        }
        numbers.all += 1;
        Ok(Counted { totals: Arc::clone(self), client })
    }

    /// Returns how many there are.
    pub(super) fn count(&self) -> usize {
        self.numbers().all
    }

    fn numbers(&self) -> MutexGuard<'_, Numbers> {
        self.numbers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One that counts until it is dropped.
pub(super) struct Counted {
    totals: Arc<Totals>,
    client: Option<IpAddr>,
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut numbers = self.totals.numbers();
        numbers.all -= 1;
        let Some(client) = self.client else { return };
        if let Some(number) = numbers.clients.get_mut(&client) {
            *number -= 1;
            if *number == 0 {
                numbers.clients.remove(&client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_client_has_its_own_limit_and_all_have_one() {
        let totals = Totals::new(3, 2);
        let [anna, bob] = ["192.0.2.1", "192.0.2.2"].map(|text| Some(text.parse().unwrap()));
        let first = totals.take(anna).unwrap();
        let second = totals.take(anna).unwrap();
        assert_eq!(totals.take(anna).err(), Some(Full::Client));
        let third = totals.take(bob).unwrap();
        assert_eq!(totals.take(bob).err(), Some(Full::All));
        assert_eq!(totals.take(None).err(), Some(Full::All));
        drop((first, third));
        assert_eq!((totals.count(), totals.numbers().clients.len()), (1, 1));
        assert!(totals.take(None).is_ok() && totals.take(anna).is_ok());
        drop(second);
        assert_eq!((totals.count(), totals.numbers().clients.len()), (0, 0));
    }
}
