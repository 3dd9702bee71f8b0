//! What a password file says: the users, and the hash of each one's password.

use std::collections::HashMap;

use super::super::super::passwords::{HashError, PasswordHash};

/// What a hash costs where there is none to tell.
const USUAL: u32 = 10;

/// The users of a file.
#[derive(Debug)]
pub(super) struct Users {
    hashes: HashMap<String, PasswordHash>,
    unknown_user_hash: PasswordHash,
}

impl Users {
    /// Reads lines of `user:hash`; empty ones and those that begin with `#` are passed over. What is
    /// wrong is reported with its line, and without anything that could be a password.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut hashes = HashMap::new();
        let mut dearest = None;
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let refuse = |reason: &str| Err(format!("line {}: {reason}", index + 1));
            let Some((user, hash)) = line.split_once(':') else {
                return refuse("expected `user:hash`");
            };
            if user.is_empty() || user.contains(char::is_control) {
                return refuse("the user name is empty or has a control character");
            }
            let other = "is not hashed with bcrypt; create the line with `htpasswd -B`";
            let (hash, cost) = match hash.parse::<PasswordHash>() {
                Ok(hash) => match hash.bcrypt_cost() {
                    Some(cost) => (hash, cost),
                    None => return refuse(&format!("the password of `{user}` {other}")),
                },
                Err(HashError::Unknown) => {
                    return refuse(&format!("the password of `{user}` {other}"));
                }
                Err(HashError::Malformed) => {
                    return refuse(&format!("the hash of `{user}` is malformed"));
                }
                Err(HashError::Cost) => {
                    let most = PasswordHash::DEAREST;
                    return refuse(&format!("the hash of `{user}` has a cost outside 4 to {most}"));
                }
            };
            if hashes.insert(user.to_owned(), hash).is_some() {
                return refuse(&format!("`{user}` is in the file twice"));
            }
            dearest = dearest.max(Some(cost));
        }
        let unknown_user_hash = PasswordHash::bcrypt_of_no_password(dearest.unwrap_or(USUAL));
        Ok(Self { hashes, unknown_user_hash })
    }

    /// Returns the hash of a user's password.
    pub(super) fn hash(&self, user: &str) -> Option<&PasswordHash> {
        self.hashes.get(user)
    }

    /// Returns a hash to check the passwords of unknown users by, so that they take as long.
    pub(super) fn unknown_user_hash(&self) -> &PasswordHash {
        &self.unknown_user_hash
    }

    /// Returns how many there are.
    pub(super) fn len(&self) -> usize {
        self.hashes.len()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// `password`, as `htpasswd -B -C 4` writes it but for the salt.
    const HASH: &str = "$2y$04$......................w74bL5gU7LSJClZClCa.Pkz14aTv/XO";

    #[test]
    fn each_user_has_a_hash() {
        let text = format!("# the team\n\nanna:{HASH}\r\n  bob:{}  \n", HASH.replace("2y", "2a"));
        let users = Users::parse(&text).unwrap();
        assert_eq!(users.len(), 2);
        assert_eq!(users.hash("anna").map(PasswordHash::as_str), Some(HASH));
        assert!(users.hash("bob").is_some());
        assert!(users.hash("carol").is_none());
        assert_eq!(Users::parse("").unwrap().len(), 0);
    }

    #[test]
    fn an_error_names_its_line() {
        let good = format!("anna:{HASH}\n");
        for (line, reason) in [
            ("s3cret", "line 2: expected `user:hash`"),
            (&format!(":{HASH}"), "line 2: the user name is empty or has a control character"),
            (
                &format!("a\u{0}b:{HASH}"),
                "line 2: the user name is empty or has a control character",
            ),
            ("bob:$2y$04$tooshort", "line 2: the hash of `bob` is malformed"),
            (&format!("bob:{HASH}:x"), "line 2: the hash of `bob` is malformed"),
            (&good, "line 2: `anna` is in the file twice"),
            (
                &format!("bob:{}", HASH.replace("04", "18")),
                "line 2: the hash of `bob` has a cost outside 4 to 17",
            ),
        ] {
            assert_eq!(Users::parse(&format!("{good}{line}")).unwrap_err(), reason);
        }
        for hash in [
            "s3cret",
            "",
            "{SHA}2PRZAyDhNDqRW2OUFwZQqPNdaSY=",
            "$apr1$xxxxxxxx$dxHfLAsjHkDRmG83UXe8K0",
            "$5$salt$s3cret",
            "$2x$04$......................w74bL5gU7LSJClZClCa.Pkz14aTv/XO",
            "rqXexS6ZhobKA",
        ] {
            let refusal = Users::parse(&format!("{good}# here\nbob:{hash}")).unwrap_err();
            assert!(
                refusal.starts_with("line 3: the password of `bob` is not hashed"),
                "{refusal}"
            );
            assert!(hash.is_empty() || !refusal.contains(hash), "{refusal}");
        }
    }

    #[test]
    fn the_hash_for_unknown_users_matches_no_password_and_costs_as_much() {
        let users = Users::parse(&format!("anna:{HASH}")).unwrap();
        assert_eq!(users.unknown_user_hash().bcrypt_cost(), Some(4));
        assert!(!bcrypt::verify("", users.unknown_user_hash().as_str()).unwrap());
        let none = Users::parse("").unwrap();
        assert!(none.unknown_user_hash().bcrypt_cost().is_some());
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(
            names in proptest::collection::btree_set("[a-zA-Z0-9@.ü -]{0,10}[a-z]", 0..8),
            gaps in proptest::collection::vec("(#[a-z:$]*| *)\n", 0..4),
        ) {
            let trimmed: std::collections::BTreeSet<&str> = names.iter().map(|name| name.trim()).collect();
            prop_assume!(trimmed.len() == names.len());
            let gap = gaps.concat();
            let lines: Vec<String> = names.iter().map(|name| format!("{gap}{name}:{HASH}\n")).collect();
            let users = Users::parse(&lines.concat()).unwrap();
            prop_assert_eq!(users.len(), names.len());
            for name in trimmed {
                prop_assert_eq!(users.hash(name).map(PasswordHash::as_str), Some(HASH));
            }
        }

        #[test]
        fn nothing_makes_it_panic_or_take_what_is_no_hash(text in "(\\PC|\n|:|\\$2y\\$04\\$|#){0,80}") {
            if let Ok(users) = Users::parse(&text) {
                for hash in users.hashes.values() {
                    prop_assert!(bcrypt::verify("x", hash.as_str()).is_ok());
                }
            }
        }
    }
}
