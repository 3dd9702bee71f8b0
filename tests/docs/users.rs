//! Who runs a command of a page. Where the tests do not run as root, all of them are the same user.

use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::process::{getegid, geteuid};

/// Ids that no machine is known to have a user for.
const SERVICE: u32 = 64_001;
const USER: u32 = 64_002;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Account {
    /// By `sudo`.
    Root,
    /// By `sudo -u roadstead`, and as systemd starts the unit.
    Service,
    /// The reader of the page.
    User,
}

impl Account {
    /// Tells who runs a command, and what they run.
    pub(crate) fn of(command: &str) -> (Self, &str) {
        let beginnings = [("sudo -u roadstead ", Self::Service), ("sudo ", Self::Root)];
        let found = beginnings
            .iter()
            .find_map(|(beginning, account)| Some((*account, command.strip_prefix(beginning)?)));
        let (account, rest) = found.unwrap_or((Self::User, command));
        assert!(!rest.contains("sudo "), "`{command}` has more than one user");
        (account, rest)
    }

    /// The ids of user and group.
    pub(crate) fn ids(self) -> (u32, u32) {
        match self {
            Self::Service if geteuid().is_root() => (SERVICE, SERVICE),
            Self::User if geteuid().is_root() => (USER, USER),
            _ => (geteuid().as_raw(), getegid().as_raw()),
        }
    }

    /// Lets them run it.
    pub(crate) fn takes(self, command: &mut Command) {
        let (user, group) = self.ids();
        if (user, group) != Self::Root.ids() {
            command.uid(user).gid(group);
        }
    }
}

#[test]
fn a_command_says_who_runs_it() {
    assert_eq!(Account::of("sudo -u roadstead one"), (Account::Service, "one"));
    assert_eq!(Account::of("sudo one -u two"), (Account::Root, "one -u two"));
    assert_eq!(Account::of("one"), (Account::User, "one"));
}
