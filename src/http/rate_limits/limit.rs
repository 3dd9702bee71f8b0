//! One limit, and what is left of it for each who is counted.

use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use governor::clock::{Clock, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::{Quota, RateLimiter};

use super::store::{Check, Store, Who};

/// How often those are forgotten at most who have the whole limit again, where many are counted.
const SWEEP: Duration = Duration::from_secs(1);

/// So many in a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// How many.
    pub count: NonZeroU32,
    /// In which time; not zero.
    pub period: Duration,
}

/// What a limit has left.
#[derive(Debug, Clone, Copy)]
pub(super) struct State {
    pub(super) rate: Rate,
    pub(super) remaining: u32,
    /// How long there will be nothing left.
    pub(super) wait: Duration,
}

/// A limit that counts.
pub(super) struct Limit<C: Clock = DefaultClock> {
    name: &'static str,
    rate: Rate,
    limiter: RateLimiter<Check, Store, C, StateInformationMiddleware>,
    swept: Mutex<Instant>,
}

impl Limit {
    /// Begins to count; the name is that of the setting.
    pub(super) fn new(name: &'static str, rate: Rate) -> Self {
        Self::with_clock(name, rate, DefaultClock::default())
    }
}

impl<C: Clock> Limit<C> {
    fn with_clock(name: &'static str, rate: Rate, clock: C) -> Self {
        let one = (rate.period / rate.count.get()).max(Duration::from_nanos(1));
        let quota = Quota::with_period(one).expect("it is more than nothing");
        let limiter = RateLimiter::new(quota.allow_burst(rate.count), Store::default(), clock);
        Self { name, rate, limiter, swept: Mutex::new(Instant::now()) }
    }

    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    /// Returns what is counted.
    pub(super) fn what(&self) -> &'static str {
        if self.name == "pushes" { "pushes" } else { "pulls" }
    }

    /// Takes one, if there is one left.
    pub(super) fn take(&self, who: &Who) -> State {
        self.sweep();
        self.check(&Check { who: who.clone(), is_look: false })
    }

    /// Looks what is left, and takes nothing.
    pub(super) fn look(&self, who: &Who) -> State {
        let state = self.check(&Check { who: who.clone(), is_look: true });
        let is_any = state.wait.is_zero();
        State { remaining: state.remaining.saturating_add(is_any.into()), ..state }
    }

    fn check(&self, check: &Check) -> State {
        let rate = self.rate;
        match self.limiter.check_key(check) {
            Ok(left) => {
                let remaining = left.remaining_burst_capacity();
                State { rate, remaining, wait: Duration::ZERO }
            }
            Err(until) => {
                let wait = until.wait_time_from(self.limiter.clock().now());
                State { rate, remaining: 0, wait: wait.max(Duration::from_nanos(1)) }
            }
        }
    }

    /// Forgets who has the whole limit again, where there are many.
    fn sweep(&self) {
        if !self.limiter_is_full() {
            return;
        }
        let mut swept = self.swept.lock().unwrap_or_else(PoisonError::into_inner);
        if swept.elapsed() >= SWEEP {
            self.limiter.retain_recent();
            *swept = Instant::now();
        }
    }

    fn limiter_is_full(&self) -> bool {
        self.limiter.len() >= Store::CAPACITY
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use governor::clock::FakeRelativeClock;

    use super::*;

    fn limit(count: u32, seconds: u64) -> (Limit<FakeRelativeClock>, FakeRelativeClock) {
        let clock = FakeRelativeClock::default();
        let rate =
            Rate { count: NonZeroU32::new(count).unwrap(), period: Duration::from_secs(seconds) };
        (Limit::with_clock("pulls", rate, clock.clone()), clock)
    }

    fn address(number: u32) -> Who {
        Who::Client(IpAddr::V4(Ipv4Addr::from_bits(number)))
    }

    #[test]
    fn a_limit_is_used_at_once_and_comes_back_little_by_little() {
        let (limit, clock) = limit(3, 30);
        let (one, other) = (address(1), Who::Caller("user:1".to_owned()));
        assert_eq!(limit.look(&one).remaining, 3);
        for left in [2, 1, 0] {
            let state = limit.take(&one);
            assert_eq!((state.remaining, state.wait), (left, Duration::ZERO));
            assert_eq!(limit.look(&one).remaining, left, "a look takes nothing");
        }
        assert_eq!(limit.take(&one).wait, Duration::from_secs(10));
        assert_eq!(limit.look(&one).remaining, 0);
        assert_eq!(limit.take(&other).remaining, 2, "each is counted apart");
        clock.advance(Duration::from_secs(9));
        assert_eq!(limit.take(&one).wait, Duration::from_secs(1), "a refusal takes nothing");
        clock.advance(Duration::from_secs(1));
        assert!(limit.take(&one).wait.is_zero());
        clock.advance(Duration::from_mins(1));
        assert_eq!(limit.look(&one).remaining, 3);
    }

    #[test]
    fn many_addresses_take_bounded_memory_and_those_that_are_known_are_counted_on() {
        let (limit, clock) = limit(2, 60);
        let known = address(u32::MAX);
        limit.take(&known);
        for number in 0..50_000 {
            limit.take(&address(number));
        }
        assert!(limit.limiter.len() <= Store::MOST, "{}", limit.limiter.len());
        assert_eq!(limit.take(&known).remaining, 0);
        assert!(!limit.take(&known).wait.is_zero());
        // Who is not known shares what is left, and is not let through without a limit.
        let refused =
            (60_000..61_000).filter(|number| !limit.take(&address(*number)).wait.is_zero());
        assert!(refused.count() > 900);
        clock.advance(Duration::from_mins(2));
        limit.limiter.retain_recent();
        assert!(limit.limiter.is_empty(), "they have the whole limit again");
    }
}
