//! Whose password is checked when: each check costs as much as a hash, so they wait in a queue
//! of which one client cannot take all, and a client that sends wrong passwords has to pause.
//!
//! Clients alternate: of one client one password is checked at a time, and the queue lets it have no more slots
//! than are left. A user who has signed in from an address before is counted apart from the others there, so that
//! wrong passwords of a neighbour behind the same address do not keep that user out. The method may count wrong passwords by
//! the user's name, too, from whatever addresses they come: that slows down many clients that guess one user's password, and
//! never keeps that user out at an address of before.
//!
//! Access tokens are counted in the same way and apart from passwords: a client that sends wrong ones has to pause, but for
//! tokens that it has used before.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::super::AuthError;
use super::Bounds;

/// For how long after the last one wrong passwords count.
pub(super) const REMEMBERED: Duration = Duration::from_mins(15);

/// For how long a user who has signed in from an address is known there.
const KNOWN: Duration = Duration::from_hours(24);

/// How many clients are remembered, and how many users with their addresses; the oldest go first.
const CAPACITY: usize = 10_000;

/// The `Retry-After` of a client for which the queue has no slot.
const SOON: Duration = Duration::from_secs(1);

/// The longest user name that wrong passwords are counted by, in bytes.
const LONGEST_NAME: usize = 256;

/// The queue, and what is remembered of clients.
pub(super) struct SignIns {
    bounds: Bounds,
    checks: Arc<Semaphore>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    waiting: usize,
    clients: HashMap<IpAddr, Waiting>,
    wrong: HashMap<Suspect, Wrong>,
    known: HashMap<(IpAddr, String), Instant>,
    known_tokens: HashMap<(IpAddr, String), Instant>,
}

/// What one client has in the queue.
struct Waiting {
    count: usize,
    /// One at a time.
    slot: Arc<Semaphore>,
}

/// What wrong passwords are counted by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Suspect {
    /// A client, for all users who have not signed in from there.
    Client(IpAddr),
    /// A user who has.
    User(IpAddr, String),
    /// The name of a user, for all clients from which that user has not signed in.
    Name(String),
    /// A client, for all access tokens that it has not used before.
    Tokens(IpAddr),
    /// An access token that it has, by its id.
    Token(IpAddr, String),
}

#[derive(Clone, Copy)]
struct Wrong {
    count: u32,
    last: Instant,
}

/// A check that is under way. Dropped without an end, it says nothing about its client.
pub(super) struct Attempt {
    sign_ins: Arc<SignIns>,
    client: IpAddr,
    suspects: Vec<Suspect>,
    permits: Vec<OwnedSemaphorePermit>,
}

/// An access token that is looked at. Dropped without an end, it says nothing about its client.
pub(super) struct TokenAttempt {
    sign_ins: Arc<SignIns>,
    key: (IpAddr, String),
    suspect: Suspect,
}

impl SignIns {
    pub(super) fn new(bounds: Bounds) -> Arc<Self> {
        let checks = Arc::new(Semaphore::new(bounds.at_once));
        Arc::new(Self { bounds, checks, state: Mutex::default() })
    }

    /// Waits until a password of this client may be checked.
    ///
    /// # Errors
    /// [`AuthError::Busy`] where it has to come back later.
    pub(super) async fn begin(
        self: &Arc<Self>,
        client: IpAddr,
        user: &str,
    ) -> Result<Attempt, AuthError> {
        let (mut attempt, slot) = self.enter(client, user, Instant::now())?;
        attempt.permits.extend(slot.acquire_owned().await);
        // The one before may have been wrong.
        self.state().pause(&attempt.suspects, &self.bounds, Instant::now())?;
        attempt.permits.extend(Arc::clone(&self.checks).acquire_owned().await);
        Ok(attempt)
    }

    /// Looks whether this client may try an access token of that id. That costs no hash, so it waits for no other one.
    ///
    /// # Errors
    /// [`AuthError::Busy`] where it has to come back later; also with a right one that it has not used before: else a
    /// client that guesses would learn it during the pause.
    pub(super) fn begin_token(
        self: &Arc<Self>,
        client: IpAddr,
        id: &str,
        is_repeated: bool,
    ) -> Result<TokenAttempt, AuthError> {
        let (key, now) = ((client, id.to_owned()), Instant::now());
        let state = self.state();
        let is_known = state.known_tokens.get(&key);
        let is_known = is_known.is_some_and(|since| now.saturating_duration_since(*since) < KNOWN);
        let suspect =
            if is_known { Suspect::Token(key.0, key.1.clone()) } else { Suspect::Tokens(client) };
        if !is_repeated {
            state.pause(std::slice::from_ref(&suspect), &self.bounds, now)?;
        }
        Ok(TokenAttempt { sign_ins: Arc::clone(self), key, suspect })
    }

    /// Takes a slot in the queue.
    fn enter(
        self: &Arc<Self>,
        client: IpAddr,
        user: &str,
        now: Instant,
    ) -> Result<(Attempt, Arc<Semaphore>), AuthError> {
        let mut state = self.state();
        let suspects = state.suspects(client, user, &self.bounds, now);
        state.pause(&suspects, &self.bounds, now)?;
        let own = state.clients.get(&client).map_or(0, |waiting| waiting.count);
        if own >= self.bounds.limits.per_client {
            return Err(busy("sign_ins_per_client", SOON));
        }
        // The more of the queue is taken, the fewer one client may have; a client without any needs a free one.
        if own >= self.bounds.limits.waiting.saturating_sub(state.waiting) {
            return Err(busy("sign_ins", SOON));
        }
        state.waiting += 1;
        let entry = state.clients.entry(client);
        let waiting =
            entry.or_insert_with(|| Waiting { count: 0, slot: Arc::new(Semaphore::new(1)) });
        waiting.count += 1;
        let slot = Arc::clone(&waiting.slot);
        let sign_ins = Arc::clone(self);
        Ok((Attempt { sign_ins, client, suspects, permits: Vec::new() }, slot))
    }

    /// Returns how many checks are under way.
    #[cfg(test)]
    pub(super) fn under_way(&self) -> usize {
        self.bounds.at_once - self.checks.available_permits()
    }

    /// Tells whether none waits or is under way.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.state().waiting == 0 && self.state().clients.is_empty()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Attempt {
    /// Ends it: the password of that user was right, or was not.
    pub(super) fn end(self, user: &str, is_right: bool) {
        let now = Instant::now();
        let mut state = self.sign_ins.state();
        if is_right {
            bounded(&mut state.known, (self.client, user.to_owned()), now, |since| *since);
            state.wrong.remove(&Suspect::User(self.client, user.to_owned()));
            return;
        }
        for suspect in &self.suspects {
            state.count(suspect, now);
        }
    }
}

impl TokenAttempt {
    /// Ends it: the token was right.
    pub(super) fn succeed(self) {
        let mut state = self.sign_ins.state();
        state.wrong.remove(&Suspect::Token(self.key.0, self.key.1.clone()));
        bounded(&mut state.known_tokens, self.key, Instant::now(), |since| *since);
    }

    /// Ends it: the token was wrong, and is counted.
    pub(super) fn fail(self) {
        self.sign_ins.state().count(&self.suspect, Instant::now());
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        let mut state = self.sign_ins.state();
        state.waiting -= 1;
        if let Some(waiting) = state.clients.get_mut(&self.client) {
            waiting.count -= 1;
            if waiting.count == 0 {
                state.clients.remove(&self.client);
            }
        }
    }
}

impl State {
    fn suspects(&self, client: IpAddr, user: &str, bounds: &Bounds, now: Instant) -> Vec<Suspect> {
        let key = (client, user.to_owned());
        match self.known.get(&key) {
            Some(since) if now.saturating_duration_since(*since) < KNOWN => {
                vec![Suspect::User(key.0, key.1)]
            }
            _ => {
                let is_counted = bounds.wrong_by_user.is_some() && user.len() <= LONGEST_NAME;
                let name = is_counted.then_some(Suspect::Name(key.1));
                [Suspect::Client(client)].into_iter().chain(name).collect()
            }
        }
    }

    /// Returns the wrong passwords that still count.
    fn recent(&self, suspect: &Suspect, now: Instant) -> Option<Wrong> {
        let wrong = *self.wrong.get(suspect)?;
        (now.saturating_duration_since(wrong.last) < REMEMBERED).then_some(wrong)
    }

    /// Counts a wrong one.
    fn count(&mut self, suspect: &Suspect, now: Instant) {
        let count = self.recent(suspect, now).map_or(0, |wrong| wrong.count);
        let wrong = Wrong { count: count.saturating_add(1), last: now };
        bounded(&mut self.wrong, suspect.clone(), wrong, |wrong| wrong.last);
    }

    /// Refuses one that has to pause.
    fn pause(&self, suspects: &[Suspect], bounds: &Bounds, now: Instant) -> Result<(), AuthError> {
        let rest = suspects.iter().filter_map(|suspect| {
            let wrong = self.recent(suspect, now)?;
            let free = match suspect {
                Suspect::Client(_)
                | Suspect::User(..)
                | Suspect::Tokens(_)
                | Suspect::Token(..) => bounds.limits.wrong_passwords,
                Suspect::Name(_) => bounds.wrong_by_user?,
            };
            let passed = now.saturating_duration_since(wrong.last);
            pause(wrong.count, free, bounds.limits.longest_pause).checked_sub(passed)
        });
        let is_token = |it: &Suspect| matches!(it, Suspect::Tokens(_) | Suspect::Token(..));
        let limit = if suspects.iter().any(is_token) { "wrong_tokens" } else { "wrong_passwords" };
        match rest.max() {
            None | Some(Duration::ZERO) => Ok(()),
            Some(rest) => Err(busy(limit, rest)),
        }
    }
}

/// Returns how long a client pauses after so many wrong passwords, of which some are free: a second after the first one
/// too many, and twice as long after each further one.
fn pause(count: u32, free: u32, longest: Duration) -> Duration {
    let Some(beyond) = count.checked_sub(free) else { return Duration::ZERO };
    let seconds = 1_u64.checked_shl(beyond).unwrap_or(u64::MAX);
    Duration::from_secs(seconds).min(longest)
}

/// Puts something into a map that is bounded; the oldest goes where it is full.
fn bounded<K: Clone + Eq + Hash, V>(
    map: &mut HashMap<K, V>,
    key: K,
    value: V,
    since: impl Fn(&V) -> Instant,
) {
    if map.len() >= CAPACITY && !map.contains_key(&key) {
        let oldest = map.iter().min_by_key(|(_, value)| since(value));
        if let Some(oldest) = oldest.map(|(key, _)| key.clone()) {
            map.remove(&oldest);
        }
    }
    map.insert(key, value);
}

fn busy(limit: &'static str, retry_after: Duration) -> AuthError {
    AuthError::Busy { limit, retry_after }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::SignInSettings;

    const LIMITS: SignInSettings = SignInSettings {
        waiting: 8,
        per_client: 4,
        wrong_passwords: 3,
        longest_pause: Duration::from_mins(1),
    };

    fn bounds(wrong_by_user: Option<u32>) -> Bounds {
        Bounds { limits: LIMITS, at_once: 1, wrong_by_user }
    }

    fn client(number: u8) -> IpAddr {
        [198, 51, 100, number].into()
    }

    fn limit<T>(result: Result<T, AuthError>) -> &'static str {
        match result {
            Ok(_) => "none",
            Err(AuthError::Busy { limit, .. }) => limit,
            Err(error) => panic!("{error}"),
        }
    }

    #[test]
    fn pauses_grow_up_to_a_limit() {
        let seconds = |count| pause(count, 3, LIMITS.longest_pause).as_secs();
        assert_eq!([0, 1, 2, 3, 4, 5].map(seconds), [0, 0, 0, 1, 2, 4]);
        assert_eq!([9, 66, 67, 68, u32::MAX].map(seconds), [60; 5]);
    }

    #[test]
    fn one_client_leaves_slots_in_the_queue() {
        let sign_ins = SignIns::new(bounds(None));
        let now = Instant::now();
        let enter = |number| sign_ins.enter(client(number), "anna", now);
        let mut waiting: Vec<_> = (0..4).map(|_| enter(1)).collect();
        assert_eq!(limit(enter(1)), "sign_ins_per_client");
        // Half of the queue is left: another may have half of that, and one more each as long as there are any.
        waiting.extend((0..2).map(|_| enter(2)));
        assert_eq!(limit(enter(2)), "sign_ins");
        for number in 3..5 {
            waiting.push(enter(number));
        }
        assert!(waiting.iter().all(Result::is_ok));
        assert_eq!(limit(enter(5)), "sign_ins");
        drop(waiting);
        assert_eq!(limit(enter(5)), "none");
        assert!(sign_ins.is_empty());
    }

    #[tokio::test]
    async fn wrong_passwords_pause_their_client_and_no_other() {
        let sign_ins = SignIns::new(bounds(None));
        let begin = |number, user| {
            let sign_ins = Arc::clone(&sign_ins);
            async move { sign_ins.begin(client(number), user).await }
        };
        begin(1, "bob").await.unwrap().end("bob", true);
        for _ in 0..3 {
            begin(1, "anna").await.unwrap().end("anna", false);
        }
        assert_eq!(limit(begin(1, "anna").await), "wrong_passwords");
        assert_eq!(limit(begin(1, "carol").await), "wrong_passwords", "whichever user it tries");
        assert_eq!(limit(begin(2, "anna").await), "none");
        assert_eq!(limit(begin(1, "bob").await), "none", "who has signed in from there");
        for _ in 0..3 {
            begin(1, "bob").await.unwrap().end("bob", false);
        }
        assert_eq!(limit(begin(1, "bob").await), "wrong_passwords");
        let later = Instant::now() + Duration::from_secs(2);
        assert_eq!(limit(sign_ins.enter(client(1), "anna", later)), "none");
    }

    #[tokio::test]
    async fn many_clients_that_guess_one_users_password_have_to_pause() {
        let sign_ins = SignIns::new(bounds(Some(5)));
        let begin = |number, user: &'static str| {
            let sign_ins = Arc::clone(&sign_ins);
            async move { sign_ins.begin(client(number), user).await }
        };
        begin(100, "anna").await.unwrap().end("anna", true);
        for number in 0..5 {
            begin(number, "anna").await.unwrap().end("anna", false);
        }
        assert_eq!(limit(begin(9, "anna").await), "wrong_passwords");
        assert_eq!(limit(begin(9, "bob").await), "none", "it is about anna alone");
        assert_eq!(limit(begin(100, "anna").await), "none", "who has signed in from there");
        let soon = Instant::now() + Duration::from_secs(2);
        assert_eq!(limit(sign_ins.enter(client(9), "anna", soon)), "none", "and never for good");
        let long: &'static str = "x".repeat(LONGEST_NAME + 1).leak();
        for number in 10..20 {
            begin(number, long).await.unwrap().end(long, false);
        }
        assert!(
            sign_ins
                .state()
                .wrong
                .keys()
                .all(|it| !matches!(it, Suspect::Name(name) if name == long))
        );
    }

    #[test]
    fn wrong_access_tokens_pause_their_client_but_for_those_that_it_has_used() {
        let sign_ins = SignIns::new(bounds(None));
        let begin = |number, id: &str| sign_ins.begin_token(client(number), id, false);
        begin(1, "used").unwrap().succeed();
        for _ in 0..3 {
            begin(1, "guess").unwrap().fail();
        }
        assert_eq!(limit(begin(1, "guess")), "wrong_tokens");
        assert_eq!(limit(begin(1, "right")), "wrong_tokens", "or a guess would be answered");
        assert_eq!(limit(sign_ins.begin_token(client(1), "guess", true)), "none", "a repeated one");
        assert_eq!(limit(begin(2, "guess")), "none");
        assert_eq!(limit(sign_ins.enter(client(1), "anna", Instant::now())), "none");
        begin(1, "used").unwrap().succeed();
        for _ in 0..3 {
            begin(1, "used").unwrap().fail();
        }
        assert_eq!(limit(begin(1, "used")), "wrong_tokens");
        drop(begin(3, "unknown"));
        assert!(sign_ins.state().recent(&Suspect::Tokens(client(3)), Instant::now()).is_none());
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut map = HashMap::new();
        let now = Instant::now();
        for number in 0..=CAPACITY as u64 {
            bounded(&mut map, number, now + Duration::from_millis(number), |since| *since);
        }
        assert_eq!(map.len(), CAPACITY);
        assert!(!map.contains_key(&0) && map.contains_key(&1));
    }
}
