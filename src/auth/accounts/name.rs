//! Names of accounts, and the namespaces that repositories are in.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::oci::{NameError, RepositoryName, RootName};

/// Words that stand for something else where the name of an account is expected: clients that have not signed in, the
/// user name of workloads, and the registry itself.
const RESERVED: &[&str] = &["anonymous", "library", "oidc", "system"];

/// How the text of an access token begins. As a name it would be one in the wrong field, and logs show names.
const TOKEN: &str = "rds_";

/// The name of a user, a robot or a team: `[a-z0-9]+([._-][a-z0-9]+)*`, at most 64 characters, and nothing that could be
/// the root of another registry. A user owns the namespace of the same name, and below `example.com/` or a CID there are
/// the repositories of others: so no name has a dot, which makes a first component a domain, and none is a CID or an IPNS
/// key. Users, robots and the word `oidc` share one space of names.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AccountName(String);

impl AccountName {
    /// The longest name in characters.
    pub const MAX_LENGTH: usize = 64;

    /// Returns the name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the namespace of that name.
    #[must_use]
    pub fn namespace(&self) -> Namespace {
        Namespace(self.0.clone())
    }
}

/// Why a text is no name of an account. What is too long or could be a token is not repeated.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AccountNameError {
    /// It has more than [`AccountName::MAX_LENGTH`] characters.
    #[error("the name is too long: one has at most 64 characters, this one has {0} bytes")]
    TooLong(usize),
    /// It is the text of an access token.
    #[error("the name begins like an access token: a token is given in the place of the password")]
    Token,
    /// It breaks the grammar.
    #[error(
        "{0:?} cannot be a name: use lower-case letters and digits, with single `_` or `-` between"
    )]
    Form(String),
    /// It could be the root of another registry.
    #[error(
        "`{0}` cannot be a name: it means another registry, as a domain, CID or IPNS key; use a name without dots"
    )]
    Root(String),
    /// It is one of some words that mean something else.
    #[error("`{0}` cannot be a name: the word is reserved; use another one")]
    Reserved(String),
}

impl FromStr for AccountName {
    type Err = AccountNameError;

    fn from_str(text: &str) -> Result<Self, AccountNameError> {
        if text.starts_with(TOKEN) {
            return Err(AccountNameError::Token);
        }
        if text.len() > Self::MAX_LENGTH {
            return Err(AccountNameError::TooLong(text.len()));
        }
        let is_part = |part: &str| {
            !part.is_empty()
                && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
        };
        if !text.split(['.', '_', '-']).all(is_part) {
            return Err(AccountNameError::Form(text.to_owned()));
        }
        if text.parse::<RootName>().is_ok() {
            return Err(AccountNameError::Root(text.to_owned()));
        }
        if RESERVED.contains(&text) {
            return Err(AccountNameError::Reserved(text.to_owned()));
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for AccountName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// The first component of a repository's name; of a name with one component all of it. An administrator's push may make
/// a namespace that no account can have the name of, such as `a--b`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Namespace(String);

impl Namespace {
    /// Returns the namespace that a repository is in.
    #[must_use]
    pub fn of(name: &RepositoryName) -> Self {
        Self(name.namespace().unwrap_or(name.as_str()).to_owned())
    }

    /// Tells whether a repository is in it.
    #[must_use]
    pub fn contains(&self, name: &RepositoryName) -> bool {
        name.namespace().unwrap_or(name.as_str()) == self.0
    }

    /// Returns the namespace as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Namespace {
    type Err = NameError;

    /// Reads any first component that a repository's name can have.
    fn from_str(text: &str) -> Result<Self, NameError> {
        let name: RepositoryName = text.parse()?;
        match name.namespace() {
            None => Ok(Self(text.to_owned())),
            Some(_) => Err(NameError::Form(text.to_owned())),
        }
    }
}

impl fmt::Display for Namespace {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use proptest::prelude::*;
    use regex_lite::Regex;

    use super::*;
    use crate::oci::hostile;

    #[test]
    fn a_name_is_small_letters_and_digits_with_single_separators() {
        for text in
            ["a", "0", "anna", "anna-b_c", "7up", "admin", "oidcs", "rds", "rds-x", "team-1"]
        {
            assert_eq!(
                text.parse::<AccountName>().map(|name| name.to_string()),
                Ok(text.to_owned())
            );
        }
        for text in [
            "",
            "-",
            "_a",
            "a_",
            "-a",
            "a-",
            "a--b",
            "a__b",
            "a-_b",
            "Anna",
            "an na",
            "anna\n",
            "\0",
            "a/b",
            "a:b",
            "a@b",
            "a+b",
            "a%62",
            "ann\u{e4}",
            "\u{430}nna",
            "a\u{200b}b",
            "ａ",
            "team:a",
            "*",
            "**",
            ".a",
            "a.",
            "a..b",
        ] {
            assert_eq!(
                text.parse::<AccountName>(),
                Err(AccountNameError::Form(text.to_owned())),
                "{text}"
            );
        }
        assert!("a".repeat(64).parse::<AccountName>().is_ok());
        assert_eq!("a".repeat(65).parse::<AccountName>(), Err(AccountNameError::TooLong(65)));
    }

    #[test]
    fn no_account_has_the_name_of_another_registry_or_a_word_that_means_something() {
        for text in [
            "example.com",
            "anna.b",
            "127.0.0.1",
            "1.2",
            "bafybeiczsscdsbs7ffqz55asqdf3smv6klcw3gofszvwlyarci47bgf354",
            "k51qzi5uqu5dlvj2baxnqndepeb86cbk3ng7n3i46uzyxzyqj2xjonzllnv0v8",
            "bafkqaaa",
        ] {
            assert_eq!(
                text.parse::<AccountName>(),
                Err(AccountNameError::Root(text.to_owned())),
                "{text}"
            );
        }
        for text in ["oidc", "anonymous", "system"] {
            let reserved = AccountNameError::Reserved(text.to_owned());
            assert_eq!(text.parse::<AccountName>(), Err(reserved));
        }
        let token = "rds_aaaa_secret".parse::<AccountName>().unwrap_err();
        assert_eq!(token, AccountNameError::Token);
        assert!(!token.to_string().contains("secret"));
    }

    #[test]
    fn a_namespace_is_the_first_component() {
        let namespace = |name: &str| Namespace::of(&name.parse().unwrap()).to_string();
        assert_eq!(namespace("myapp"), "myapp");
        assert_eq!(namespace("acme/app/x"), "acme");
        let acme: Namespace = "acme".parse().unwrap();
        for (name, is_in) in [
            ("acme", true),
            ("acme/a/b", true),
            ("acme2", false),
            ("acm/e", false),
            ("a/acme", false),
        ] {
            assert_eq!(acme.contains(&name.parse().unwrap()), is_in, "{name}");
        }
        for text in ["", "a/b", "A", "a/", "*", "_x"] {
            assert!(text.parse::<Namespace>().is_err(), "{text}");
        }
        assert_eq!("anna".parse::<AccountName>().unwrap().namespace().as_str(), "anna");
    }

    static GRAMMAR: LazyLock<Regex> =
        LazyLock::new(|| Regex::new("^[a-z0-9]+([._-][a-z0-9]+)*$").unwrap());

    proptest! {
        #[test]
        fn a_name_follows_the_grammar_and_is_a_namespace_of_this_registry(
            text in hostile::texts("[a-z0-9]{1,9}([._-][a-z0-9]{1,9}){0,3}")
        ) {
            match text.parse::<AccountName>() {
                Ok(name) => {
                    prop_assert!(GRAMMAR.is_match(&text) && text.len() <= 64);
                    let below: RepositoryName = format!("{name}/app").parse().unwrap();
                    prop_assert!(below.root().is_none(), "{text}");
                    prop_assert_eq!(Namespace::of(&below), name.namespace());
                    prop_assert_eq!(text.parse::<Namespace>(), Ok(name.namespace()));
                }
                Err(AccountNameError::Form(_)) => prop_assert!(!GRAMMAR.is_match(&text), "{text}"),
                Err(_) => {}
            }
        }
    }
}
