//! Failed sign-ins and refused rights, counted in memory until they are written as events. However many there are, they take
//! bounded memory and become a bounded number of rows.

use std::borrow::Cow;
use std::collections::HashMap;
use std::mem;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::accounts::AccountName;
use super::{Caller, Credentials};
use crate::oci::RepositoryName;

/// How many rows of a kind there may be at once, where there were none for a while.
const BURST: u32 = 500;

/// How soon there may be one more.
const REFILL: Duration = Duration::from_secs(12);

/// The longest name of a caller, in bytes; what is longer is cut.
const LONGEST_NAME: usize = 256;

/// The user name of workloads, which is no name of an account.
const WORKLOAD: &str = "oidc";

/// What was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RefusalKind {
    /// The user name and the password of a sign-in.
    SignIn,
    /// An act of a caller that has signed in.
    Act,
}

/// What is counted as one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Refusal {
    /// What was refused.
    pub kind: RefusalKind,
    /// The name of the caller. Of a sign-in it is the name that was sent, if it could be that of an account.
    pub user: Option<String>,
    /// The address of the client, as far as limits count by it.
    pub address: Option<IpAddr>,
    /// The repository that the act was about.
    pub repository: Option<RepositoryName>,
    /// Which act it was.
    pub act: Option<Cow<'static, str>>,
}

/// A row to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CountedRefusal {
    /// That was refused so many times.
    One(Refusal, u32),
    /// So many more of that kind were refused.
    More(RefusalKind, u32),
}

/// Counts what is refused, until it is taken.
#[derive(Default)]
pub struct Refusals(Mutex<State>);

#[derive(Default)]
struct State {
    counts: HashMap<Refusal, u32>,
    rows: HashMap<RefusalKind, Budget>,
    /// How many of the present rows are of one client.
    own: HashMap<(RefusalKind, Option<IpAddr>), u32>,
    more: HashMap<RefusalKind, u32>,
}

/// How many rows there may be.
struct Budget {
    left: u32,
    filled: Instant,
}

impl Refusals {
    /// Notes that a user name and a password were refused. Other credentials are no sign-in.
    pub(super) fn note_sign_in(&self, credentials: &Credentials, client: IpAddr) {
        let Credentials::Basic { user, .. } = credentials else { return };
        // A password in the wrong field is in no row.
        let is_name = user == WORKLOAD || user.parse::<AccountName>().is_ok();
        self.note(Refusal {
            kind: RefusalKind::SignIn,
            user: is_name.then(|| user.clone()),
            address: Some(client),
            repository: None,
            act: None,
        });
    }

    /// Notes that a caller was refused an act, which is called so. One that has not signed in was only challenged to do so.
    pub fn note_act(
        &self,
        caller: &Caller,
        repository: Option<&RepositoryName>,
        act: impl Into<Cow<'static, str>>,
    ) {
        let Some(user) = caller.audited_name() else { return };
        self.note(Refusal {
            kind: RefusalKind::Act,
            user: Some(user[..user.floor_char_boundary(LONGEST_NAME)].to_owned()),
            address: caller.address,
            repository: repository.cloned(),
            act: Some(act.into()),
        });
    }

    fn note(&self, refusal: Refusal) {
        let mut state = self.state();
        if let Some(count) = state.counts.get_mut(&refusal) {
            *count = count.saturating_add(1);
            return;
        }
        let kind = refusal.kind;
        let client = (kind, refusal.address);
        let own = state.own.get(&client).copied().unwrap_or_default();
        let budget = state.rows.entry(kind).or_insert_with(Budget::full);
        if budget.take(own, Instant::now()) {
            state.counts.insert(refusal, 1);
            state.own.insert(client, own + 1);
        } else {
            let more = state.more.entry(kind).or_default();
            *more = more.saturating_add(1);
        }
    }

    /// Takes what was counted, for its rows.
    pub fn take(&self) -> Vec<CountedRefusal> {
        let (counts, more) = {
            let mut state = self.state();
            state.own.clear();
            (mem::take(&mut state.counts), mem::take(&mut state.more))
        };
        let mut rows: Vec<CountedRefusal> = counts
            .into_iter()
            .map(|(refusal, count)| CountedRefusal::One(refusal, count))
            .collect();
        let mut more: Vec<(RefusalKind, u32)> = more.into_iter().collect();
        more.sort_unstable();
        rows.extend(more.into_iter().map(|(kind, count)| CountedRefusal::More(kind, count)));
        rows
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Budget {
    fn full() -> Self {
        Self { left: BURST, filled: Instant::now() }
    }

    /// Takes one row, if there is one left by then. A client that has `own` rows already gets no more than half of what is
    /// left, so that it leaves some to others.
    fn take(&mut self, own: u32, now: Instant) -> bool {
        let periods = now.saturating_duration_since(self.filled).as_secs() / REFILL.as_secs();
        if periods > 0 {
            self.left =
                u32::try_from(periods).map_or(BURST, |new| (self.left + new.min(BURST)).min(BURST));
            self.filled = now;
        }
        let is_left = own < self.left.div_ceil(2);
        self.left -= u32::from(is_left);
        is_left
    }
}

#[cfg(test)]
mod tests {
    use super::super::CallerKind;
    use super::*;

    fn basic(user: &str) -> Credentials {
        Credentials::Basic { user: user.to_owned(), password: "wrong".into() }
    }

    fn client(number: u8) -> IpAddr {
        [192, 0, 2, number].into()
    }

    #[test]
    fn equal_ones_are_one_row() {
        let refusals = Refusals::default();
        for _ in 0..3 {
            refusals.note_sign_in(&basic("anna"), client(1));
        }
        refusals.note_sign_in(&Credentials::None, client(1));
        refusals.note_sign_in(&Credentials::Bearer("token".into()), client(1));
        let app = "team/app".parse().unwrap();
        refusals.note_act(&Caller::anonymous(), Some(&app), "pull");
        refusals.note_act(&Caller::user("ben"), Some(&app), "pull");
        let mut rows = refusals.take();
        rows.sort_by_key(
            |row| matches!(row, CountedRefusal::One(it, _) if it.kind == RefusalKind::Act),
        );
        let [CountedRefusal::One(sign_in, 3), CountedRefusal::One(act, 1)] = &rows[..] else {
            panic!("{rows:?}");
        };
        assert_eq!((sign_in.user.as_deref(), sign_in.address), (Some("anna"), Some(client(1))));
        assert_eq!((act.user.as_deref(), act.repository.as_ref()), (Some("ben"), Some(&app)));
        assert!(refusals.take().is_empty());
    }

    #[test]
    fn each_act_is_counted_apart() {
        let refusals = Refusals::default();
        let app = "team/app".parse().unwrap();
        for act in ["pull", "push", "push"] {
            refusals.note_act(&Caller::user("ben"), Some(&app), act);
        }
        let rows = refusals.take().into_iter().map(|row| match row {
            CountedRefusal::One(refusal, count) => (refusal.act.unwrap().into_owned(), count),
            CountedRefusal::More(..) => panic!("there is room for two"),
        });
        let mut rows: Vec<_> = rows.collect();
        rows.sort();
        assert_eq!(rows, [("pull".to_owned(), 1), ("push".to_owned(), 2)]);
    }

    #[test]
    fn a_workload_is_named_apart_from_accounts() {
        let refusals = Refusals::default();
        let name = "repo:acme/app:ref:refs/heads/main".to_owned();
        let identity = "https://issuer.example 7".to_owned();
        let kind = CallerKind::Workload { name, identity, rules: Vec::new() };
        refusals.note_act(&kind.into(), None, "metrics");
        let rows = refusals.take();
        let [CountedRefusal::One(refusal, 1)] = &rows[..] else { panic!("{rows:?}") };
        assert_eq!(refusal.user.as_deref(), Some("oidc:repo:acme/app:ref:refs/heads/main"));
    }

    #[test]
    fn what_is_no_name_is_not_in_a_row() {
        let refusals = Refusals::default();
        for user in ["correct horse battery", "rds_abc_def", "", "Anna", &"a".repeat(10_000)] {
            refusals.note_sign_in(&basic(user), client(1));
        }
        refusals.note_sign_in(&basic("oidc"), client(1));
        let rows = refusals.take();
        assert_eq!(rows.len(), 2, "{rows:?}");
        assert!(!format!("{rows:?}").contains("horse"));
    }

    #[test]
    fn an_attacker_fills_neither_memory_nor_the_rows_of_others() {
        let refusals = Refusals::default();
        for number in 0..100_000 {
            refusals.note_sign_in(&basic(&format!("user{number}")), client(1));
        }
        refusals.note_act(&Caller::user("ben"), None, "metrics");
        refusals.note_sign_in(&basic("anna"), client(2));
        let of = |rows: &[CountedRefusal], address| {
            let is_of = |row: &&CountedRefusal| matches!(row, CountedRefusal::One(it, _) if it.address == Some(address));
            rows.iter().filter(is_of).count()
        };
        let rows = refusals.take();
        assert!(rows.len() < BURST as usize && of(&rows, client(1)) > 100, "{}", rows.len());
        assert_eq!(of(&rows, client(2)), 1);
        assert!(matches!(rows.last(), Some(CountedRefusal::More(RefusalKind::SignIn, 99_000..))));
        // If it goes on, something is left.
        for _ in 0..5 {
            for number in 0..1000 {
                refusals.note_sign_in(&basic(&format!("user{number}")), client(1));
            }
            refusals.note_sign_in(&basic("ben"), client(3));
            assert_eq!(of(&refusals.take(), client(3)), 1);
        }
    }

    #[test]
    fn rows_come_back_slowly() {
        let mut budget = Budget::full();
        let begin = budget.filled;
        assert_eq!((0..2 * BURST).filter(|_| budget.take(0, begin)).count(), BURST as usize);
        let later = begin + REFILL * 3;
        assert_eq!((0..10).filter(|_| budget.take(0, later)).count(), 3);
        let much_later = begin + REFILL * (10 * BURST);
        assert_eq!((0..2 * BURST).filter(|_| budget.take(0, much_later)).count(), BURST as usize);
    }
}
