//! Hashes of passwords, as they are stored.

use std::fmt;
use std::str::FromStr;

use bcrypt::HashParts;
use thiserror::Error;

use super::{NewPassword, argon2id};

/// What a hash by bcrypt begins with, in the ways that there are of writing it.
const BCRYPT: [&str; 3] = ["$2a$", "$2b$", "$2y$"];

/// The longest text of a hash that is read, in bytes.
const LONGEST: usize = 256;

/// The hash of a password: by argon2id, as new ones are, or by bcrypt, as password files have them. What it costs to check a
/// password by it is bounded when it is read.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(String);

/// Why a text is no hash of a password. It says nothing of the text, which may be a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum HashError {
    /// It is by another function, or no hash.
    #[error("it is not a hash by argon2id or bcrypt")]
    Unknown,
    /// It is damaged, or is one by argon2id that costs too much.
    #[error("the hash is malformed, or costs too much")]
    Malformed,
    /// It is by bcrypt, with a cost out of bounds.
    #[error("the hash has a cost outside 4 to 17")]
    Cost,
}

impl PasswordHash {
    /// The dearest hashes by bcrypt that are taken, as `htpasswd -C` makes them: each step doubles the work.
    pub const DEAREST: u32 = 17;

    /// The dearest hashes by bcrypt that users are imported with, about a second of one core: as long as there are such
    /// users, each check takes so long, for whatever name.
    pub const DEAREST_IMPORTED: u32 = 14;

    /// Hashes a password, which takes some ten milliseconds and 19 MiB: never on an async worker, and within a server by
    /// [`Checks::hash`](super::Checks::hash) only.
    #[must_use]
    pub fn new(password: &NewPassword) -> Self {
        Self::of(password.expose())
    }

    pub(super) fn of(password: &str) -> Self {
        Self(argon2id::hash(password))
    }

    /// Returns a hash to check the passwords of unknown users by: of no password, and as dear as new ones.
    #[must_use]
    pub fn of_no_password() -> Self {
        Self(argon2id::of_no_password())
    }

    /// Returns one by bcrypt with that cost to check the passwords of unknown users by, where all have such ones.
    pub(in super::super) fn bcrypt_of_no_password(cost: u32) -> Self {
        Self(format!("$2b${cost:02}${}", ".".repeat(53)))
    }

    /// Returns what bcrypt costs by this hash; none if it is by argon2id.
    #[must_use]
    pub fn bcrypt_cost(&self) -> Option<u32> {
        self.0.parse::<HashParts>().ok().map(|parts| parts.get_cost())
    }

    /// Tells whether it is by bcrypt.
    #[must_use]
    pub fn is_bcrypt(&self) -> bool {
        self.bcrypt_cost().is_some()
    }

    /// Tells whether it should be replaced when the password is known next time.
    #[must_use]
    pub fn needs_rehash(&self) -> bool {
        !argon2id::parse(&self.0).is_some_and(|parsed| parsed.is_current())
    }

    /// Tells whether it is that of a password; takes as long as [`Self::new`], or as bcrypt does.
    pub(super) fn is_of(&self, password: &str) -> bool {
        // No password is longer, and of a longer one nothing is hashed.
        if password.len() > NewPassword::LONGEST && self.bcrypt_cost().is_none() {
            return false;
        }
        match argon2id::parse(&self.0) {
            Some(parsed) => parsed.is_of(password),
            None => bcrypt::verify(password, &self.0).unwrap_or(false),
        }
    }

    /// Does what another hash costs more to check a password by: of those by argon2id, and those by bcrypt up to that cost.
    /// With [`Self::is_of`] before, each takes the same.
    pub(super) fn even_out(&self, password: &str, dearest: u32) {
        let dearest = dearest.min(Self::DEAREST_IMPORTED);
        for work in self.missing_work(dearest) {
            work.is_of(password);
        }
    }

    /// Returns what is to be checked beside it. Each cost of bcrypt is twice the one before, so one of `cost` and those from
    /// `cost` to the one before `dearest` are as dear as `dearest`.
    fn missing_work(&self, dearest: u32) -> Vec<Self> {
        match self.bcrypt_cost() {
            None => vec![Self::bcrypt_of_no_password(dearest)],
            Some(cost) => {
                let cheaper = (cost..dearest).map(Self::bcrypt_of_no_password);
                cheaper.chain([Self::of_no_password()]).collect()
            }
        }
    }

    /// Returns the hash as it is stored.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for PasswordHash {
    type Err = HashError;

    fn from_str(text: &str) -> Result<Self, HashError> {
        let is_bcrypt = BCRYPT.iter().any(|prefix| text.starts_with(prefix));
        if !is_bcrypt && !text.starts_with("$argon2id$") {
            return Err(HashError::Unknown);
        }
        if text.len() > LONGEST {
            return Err(HashError::Malformed);
        }
        if is_bcrypt {
            let parts: HashParts = text.parse().map_err(|_| HashError::Malformed)?;
            if !(4..=Self::DEAREST).contains(&parts.get_cost()) {
                return Err(HashError::Cost);
            }
        } else if argon2id::parse(text).is_none() {
            return Err(HashError::Malformed);
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("PasswordHash(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In the form that `htpasswd -B -C 4` writes.
    const BY_BCRYPT: &str = "$2y$04$......................w74bL5gU7LSJClZClCa.Pkz14aTv/XO";

    #[test]
    fn hashes_by_both_functions_are_checked_and_old_ones_replaced() {
        let old: PasswordHash = bcrypt::hash("password", 4).unwrap().parse().unwrap();
        assert!(old.is_of("password") && !old.is_of("Password") && old.needs_rehash());
        let new = PasswordHash::of("password");
        assert_eq!(new.as_str().parse(), Ok(new.clone()));
        assert!(new.is_of("password") && !new.is_of("passwor") && !new.needs_rehash());
        assert!(!new.is_of(&"p".repeat(1025)));
        let cheap = new.as_str().replace("t=2", "t=1").parse::<PasswordHash>().unwrap();
        assert!(cheap.needs_rehash());
        assert!(
            !PasswordHash::of_no_password().is_of("")
                && !PasswordHash::of_no_password().needs_rehash()
        );
        assert_eq!(PasswordHash::bcrypt_of_no_password(4).bcrypt_cost(), Some(4));
        assert!(!PasswordHash::bcrypt_of_no_password(4).is_of(""));
    }

    #[test]
    fn each_hash_is_evened_out_to_the_same_work() {
        // In units of bcrypt's least, and how many by argon2id.
        let work = |hashes: &[PasswordHash]| {
            let costs = hashes.iter().filter_map(PasswordHash::bcrypt_cost);
            let by_argon2id = hashes.iter().filter(|hash| !hash.is_bcrypt()).count();
            (costs.map(|cost| 1_u64 << (cost - 4)).sum::<u64>(), by_argon2id)
        };
        for dearest in [4, 5, 12] {
            let mut hashes = vec![PasswordHash::of_no_password(), PasswordHash::of("password")];
            hashes.extend((4..=dearest).map(PasswordHash::bcrypt_of_no_password));
            for hash in hashes {
                let mut all = hash.missing_work(dearest);
                all.push(hash);
                assert_eq!(work(&all), (1 << (dearest - 4), 1), "{dearest}");
            }
        }
    }

    #[test]
    fn what_is_no_hash_is_refused_and_not_shown() {
        for (text, error) in [
            ("", HashError::Unknown),
            ("secret", HashError::Unknown),
            ("{SHA}2PRZAyDhNDqRW2OUFwZQqPNdaSY=", HashError::Unknown),
            ("$argon2i$v=19$m=8,t=1,p=1$c29tZXNhbHQ$x", HashError::Unknown),
            ("$2x$04$......................w74bL5gU7LSJClZClCa.Pkz14aTv/XO", HashError::Unknown),
            ("$2y$04$short", HashError::Malformed),
            ("$argon2id$secret", HashError::Malformed),
            (&BY_BCRYPT.replace("04", "18"), HashError::Cost),
            (&BY_BCRYPT.replace("04", "31"), HashError::Cost),
            (&"$2y$04$".repeat(1000), HashError::Malformed),
            (&"secret".repeat(1000), HashError::Unknown),
        ] {
            assert_eq!(text.parse::<PasswordHash>(), Err(error), "{text}");
            assert!(!error.to_string().contains("secret"));
        }
        let hash: PasswordHash = BY_BCRYPT.parse().unwrap();
        assert!(!format!("{hash:?}").contains("w74b"));
    }
}
