//! How many passwords are checked.

use std::thread::available_parallelism;

use crate::config::SignInSettings;

/// How many times as many wrong passwords one user name may have as one client.
const BY_USER: u32 = 10;

/// How many passwords are checked.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// As the operator says.
    pub limits: SignInSettings,
    /// How many at a time.
    pub at_once: usize,
    /// After how many wrong ones for one user name, from addresses at which that user has not signed in before, these
    /// addresses have to pause; none: whatever there are.
    pub wrong_by_user: Option<u32>,
}

impl Bounds {
    /// Wide ones, for tests of rooms that know no settings.
    #[cfg(test)]
    pub(crate) fn wide() -> Self {
        let longest_pause = std::time::Duration::from_secs(1);
        let (waiting, per_client, wrong_passwords) = (100, 100, 100);
        Self::of_accounts(SignInSettings { waiting, per_client, wrong_passwords, longest_pause })
    }

    /// For users in a password file.
    #[must_use]
    pub fn of_file(limits: SignInSettings) -> Self {
        Self { limits, at_once: half_of_the_machine(), wrong_by_user: None }
    }

    /// For users in the index, whose passwords take memory to check, so two at a time at the most; a user name that many
    /// clients guess the password of makes them pause.
    #[must_use]
    pub fn of_accounts(limits: SignInSettings) -> Self {
        let wrong_by_user = Some(limits.wrong_passwords.saturating_mul(BY_USER));
        Self { limits, at_once: half_of_the_machine().min(2), wrong_by_user }
    }
}

/// Returns how many passwords half of the machine checks at a time: wrong ones cannot keep it from serving then.
fn half_of_the_machine() -> usize {
    available_parallelism().map_or(1, |count| (count.get() / 2).max(1))
}
