//! Limits on how many new names are looked up for clients: a name that is not cached costs queries to foreign
//! servers, and any client can make names up.

use std::cell::Cell;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::{DnslinkError, DnslinkErrorKind, Result};

/// The time in which a limit comes back as a whole.
const PERIOD: Duration = Duration::from_mins(1);

/// How many clients are remembered before those that have their whole limit again are forgotten.
const CLIENTS: usize = 1000;

tokio::task_local! {
    static CLIENT: Client;
}

/// The client on whose behalf names are looked up.
struct Client {
    address: IpAddr,
    exceeded: Cell<Option<&'static str>>,
}

/// Runs something on behalf of a client; the new names that are looked up meanwhile, in this task, count for it. Returns
/// the limit that was exceeded, if one was, beside the result.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use roadstead::dnslink::on_behalf_of;
///
/// let (output, exceeded) = on_behalf_of("192.0.2.1".parse()?, async { 7 }).await;
/// assert_eq!((output, exceeded), (7, None));
/// # Ok(())
/// # }
/// ```
pub async fn on_behalf_of<F: Future>(
    address: IpAddr,
    future: F,
) -> (F::Output, Option<&'static str>) {
    let client = Client { address, exceeded: Cell::default() };
    let run = async { (future.await, CLIENT.with(|client| client.exceeded.get())) };
    CLIENT.scope(client, run).await
}

/// The limits on new names, and what is left of them.
pub(super) struct NewNameLimits {
    per_client: u32,
    all: u32,
    left: Mutex<Left>,
}

struct Left {
    all: Bucket,
    clients: HashMap<IpAddr, Bucket>,
}

/// What is left of a limit, and since when.
#[derive(Clone, Copy)]
struct Bucket {
    left: f64,
    since: Instant,
}

impl Bucket {
    fn full(limit: u32, now: Instant) -> Self {
        Self { left: limit.into(), since: now }
    }

    /// Adds the share that was regained since.
    fn refill(&mut self, limit: u32, now: Instant) {
        let came = now.saturating_duration_since(self.since).as_secs_f64() / PERIOD.as_secs_f64();
        self.left = f64::from(limit).min(self.left + came * f64::from(limit));
        self.since = now;
    }
}

impl NewNameLimits {
    /// Allows so many new names in a minute for each client, and for all of them.
    pub(super) fn new(per_client: u32, all: u32) -> Self {
        let left = Left { all: Bucket::full(all, Instant::now()), clients: HashMap::new() };
        Self { per_client, all, left: Mutex::new(left) }
    }

    /// Counts a new name for the client on whose behalf this task runs; others do not count.
    pub(super) fn admit(&self, name: &impl std::fmt::Display) -> Result<()> {
        let exceeded = CLIENT.try_with(|client| {
            let exceeded = self.take(client.address, Instant::now()).err()?;
            client.exceeded.set(Some(exceeded));
            Some(exceeded)
        });
        match exceeded {
            Ok(Some(_)) => Err(DnslinkError::new(DnslinkErrorKind::TooMany, name.to_string())),
            Ok(None) | Err(_) => Ok(()),
        }
    }

    /// Takes one from both limits, or returns the exhausted one.
    fn take(&self, client: IpAddr, now: Instant) -> std::result::Result<(), &'static str> {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        if left.clients.len() >= CLIENTS && !left.clients.contains_key(&client) {
            let limit = f64::from(self.per_client);
            left.clients.retain(|_, bucket| {
                bucket.refill(self.per_client, now);
                bucket.left < limit
            });
        }
        left.all.refill(self.all, now);
        let is_exhausted = left.all.left < 1.0;
        let new = Bucket::full(self.per_client, now);
        // A client that takes nothing is not remembered: so at most as many are remembered as names are allowed.
        let mut bucket = left.clients.get(&client).copied().unwrap_or(new);
        bucket.refill(self.per_client, now);
        if bucket.left < 1.0 {
            return Err("new_names_per_client");
        }
        if is_exhausted {
            return Err("new_names");
        }
        bucket.left -= 1.0;
        left.clients.insert(client, bucket);
        left.all.left -= 1.0;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(number: u32) -> IpAddr {
        std::net::Ipv4Addr::from(number).into()
    }

    #[test]
    fn each_client_has_its_own_limit_and_all_have_one_and_both_come_back() {
        let (limits, begun) = (NewNameLimits::new(3, 5), Instant::now());
        let take = |client, after| limits.take(address(client), begun + after).err();
        for _ in 0..3 {
            assert_eq!(take(1, Duration::ZERO), None);
        }
        assert_eq!(take(1, Duration::ZERO), Some("new_names_per_client"));
        assert_eq!([take(2, Duration::ZERO), take(2, Duration::ZERO)], [None, None]);
        assert_eq!(take(2, Duration::ZERO), Some("new_names"));
        assert_eq!(take(1, PERIOD / 2), None);
        assert_eq!(take(1, PERIOD / 2), Some("new_names_per_client"));
        assert_eq!(take(1, 2 * PERIOD), None);
    }

    #[test]
    fn clients_that_have_their_whole_limit_again_are_forgotten() {
        let (limits, begun) = (NewNameLimits::new(2, 1_000_000), Instant::now());
        for number in 0..10_000 {
            let now = begun + PERIOD * number / 100;
            assert_eq!(limits.take(address(number), now), Ok(()));
        }
        assert!(limits.left.lock().unwrap().clients.len() <= CLIENTS);
    }

    #[tokio::test]
    async fn only_what_is_done_on_behalf_of_a_client_counts() {
        let limits = NewNameLimits::new(1, 10);
        for _ in 0..20 {
            assert!(limits.admit(&"a.test").is_ok());
        }
        let admit_both = async { [limits.admit(&"a.test"), limits.admit(&"b.test")] };
        let ([first, second], exceeded) = on_behalf_of(address(1), admit_both).await;
        assert!(first.is_ok());
        assert_eq!(second.unwrap_err().kind, DnslinkErrorKind::TooMany);
        assert_eq!(exceeded, Some("new_names_per_client"));
        let admit_both = async { limits.admit(&"c.test") };
        let (other, exceeded) = on_behalf_of(address(2), admit_both).await;
        assert!(other.is_ok() && exceeded.is_none());
    }
}
