//! Patterns of repository names.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use super::Namespace;
use crate::oci::RepositoryName;

/// Which repositories a grant or a scope is about, matched component by component: `*` is exactly one component, and `**`,
/// which stands last only, is one or more. Neither is part of a component. So `org/*` is `org/a`, `org/**` is `org/a` and
/// `org/a/b`, and neither is `org`, which has no component below it; `**` is every repository.
///
/// Names below a domain, a CID or an IPNS key are matched like all others. The first component may be a host with a port
/// (`host:5000/a/**`), since that is how other registries' names are written; no repository here has such a name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Pattern {
    components: Vec<Component>,
    /// Whether `**` follows.
    is_deep: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Component {
    Any,
    Named(String),
}

impl Component {
    fn matches(&self, text: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Named(name) => name == text,
        }
    }

    fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Any, _) => true,
            (Self::Named(name), Self::Named(other)) => name == other,
            (Self::Named(_), Self::Any) => false,
        }
    }

    fn as_str(&self) -> &str {
        match self {
            Self::Any => "*",
            Self::Named(name) => name,
        }
    }
}

impl Pattern {
    /// The longest pattern in characters: as long as a repository's name.
    pub const MAX_LENGTH: usize = RepositoryName::MAX_LENGTH;

    /// Tells whether a repository of that name is one of those.
    #[must_use]
    pub fn matches(&self, name: &RepositoryName) -> bool {
        let mut names = name.as_str().split('/');
        let is_begun = self
            .components
            .iter()
            .all(|component| names.next().is_some_and(|it| component.matches(it)));
        is_begun && names.next().is_some() == self.is_deep
    }

    /// Tells whether it matches everything that another one matches.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        let (own, others) = (self.components.len(), other.components.len());
        let is_long_enough = match (self.is_deep, other.is_deep) {
            (false, false) => own == others,
            (false, true) => false,
            (true, false) => own < others,
            (true, true) => own <= others,
        };
        is_long_enough
            && self.components.iter().zip(&other.components).all(|(it, other)| it.covers(other))
    }

    /// Tells whether all that it matches is in a namespace.
    #[must_use]
    pub fn is_within(&self, namespace: &Namespace) -> bool {
        matches!(self.components.first(), Some(Component::Named(first)) if first == namespace.as_str())
    }
}

/// Why a text is no pattern.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PatternError {
    /// It has more than [`Pattern::MAX_LENGTH`] characters.
    #[error("a pattern has at most 255 characters, this one has {0} bytes")]
    TooLong(usize),
    /// `**` is followed by something.
    #[error("{0:?} is not a pattern: `**` stands last only")]
    Deep(String),
    /// `*` is a part of a component.
    #[error("{0:?} is not a pattern: `*` is a whole component, and `**` too")]
    Part(String),
    /// It breaks the grammar in another way.
    #[error(
        "{0:?} is not a pattern: use a repository's name, or one with `*` or `**` as components"
    )]
    Form(String),
}

impl FromStr for Pattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        if text.len() > Self::MAX_LENGTH {
            return Err(PatternError::TooLong(text.len()));
        }
        let (rest, is_deep) = match text.strip_suffix("**") {
            Some("") => return Ok(Self { components: Vec::new(), is_deep: true }),
            Some(rest) => match rest.strip_suffix('/') {
                Some(rest) => (rest, true),
                None => return Err(PatternError::Part(text.to_owned())),
            },
            None => (text, false),
        };
        let mut components = Vec::new();
        for component in rest.split('/') {
            let may_be_host = components.is_empty() && (is_deep || rest.contains('/'));
            components.push(match component {
                "*" => Component::Any,
                "**" => return Err(PatternError::Deep(text.to_owned())),
                name if name.contains('*') => return Err(PatternError::Part(text.to_owned())),
                name if is_named(name) || (may_be_host && is_host(name)) => {
                    Component::Named(name.to_owned())
                }
                _ => return Err(PatternError::Form(text.to_owned())),
            });
        }
        Ok(Self { components, is_deep })
    }
}

fn is_named(text: &str) -> bool {
    text.parse::<RepositoryName>().is_ok()
}

fn is_host(text: &str) -> bool {
    text.split_once(':').is_some_and(|(host, port)| {
        is_named(host)
            && (1..=5).contains(&port.len())
            && port.bytes().all(|byte| byte.is_ascii_digit())
    })
}

impl fmt::Display for Pattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let components = self.components.iter().map(Component::as_str);
        let all: Vec<_> = components.chain(self.is_deep.then_some("**")).collect();
        formatter.write_str(&all.join("/"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::oci::hostile;

    fn pattern(text: &str) -> Pattern {
        text.parse().unwrap()
    }

    #[test]
    fn near_misses_do_not_match() {
        for (text, matched, missed) in [
            ("org", &["org"][..], &["org/a", "or", "orgs", "a/org", "org.example"][..]),
            ("org/*", &["org/a", "org/b-c"], &["org", "org/a/b", "orgs/a", "or/g", "a/org/b"]),
            (
                "org/**",
                &["org/a", "org/a/b", "org/a/b/c"],
                &["org", "orgs", "orgs/a", "a/org", "org.example/a"],
            ),
            ("*", &["a", "org"], &["a/b"]),
            ("**", &["a", "a/b/c", "example.com/a"], &[]),
            ("*/**", &["a/b", "a/b/c"], &["a"]),
            ("*/app", &["a/app"], &["app", "a/apps", "a/b/app"]),
            ("org/*/x", &["org/a/x"], &["org/x", "org/a/b/x", "org/a/y"]),
            (
                "example.com/**",
                &["example.com/a"],
                &["sub.example.com/a", "example.co/m", "example.com.evil/a"],
            ),
            ("host:5000/a/**", &[], &["host/a/b", "host/5000/a/b"]),
        ] {
            assert_eq!(pattern(text).to_string(), text);
            for name in matched {
                assert!(pattern(text).matches(&name.parse().unwrap()), "{text} {name}");
            }
            for name in missed {
                assert!(!pattern(text).matches(&name.parse().unwrap()), "{text} {name}");
            }
        }
    }

    type Refusal = fn(String) -> PatternError;

    #[test]
    fn what_is_no_pattern_is_refused() {
        use PatternError::{Deep, Form, Part};
        let (deep, form, part): (Refusal, Refusal, Refusal) = (Deep, Form, Part);
        for (text, error) in [
            ("", form),
            ("/", form),
            ("a/", form),
            ("/a", form),
            ("a//b", form),
            ("A/*", form),
            ("a/*/", form),
            ("/**", form),
            ("a/../b", form),
            ("a%2f*", part),
            ("a b", form),
            ("\u{2217}", form),
            ("a/\u{ff0a}", form),
            ("host:5000", form),
            ("a/host:5000/b", form),
            ("host:/a", form),
            (":1/a", form),
            ("host:123456/a", form),
            ("host:5000:1/a", form),
            ("a?", form),
            ("a\0", form),
            ("a/*\n", part),
            ("**/a", deep),
            ("a/**/b", deep),
            ("**/**", deep),
            ("**/*", deep),
            ("a*", part),
            ("*a", part),
            ("a/b*", part),
            ("a**", part),
            ("a/b**", part),
            ("***", part),
            ("a/***", part),
            ("****", part),
            ("* *", part),
        ] {
            assert_eq!(text.parse::<Pattern>(), Err(error(text.to_owned())), "{text:?}");
        }
        let long = format!("{}/**", "a".repeat(253));
        assert_eq!(long.parse::<Pattern>(), Err(PatternError::TooLong(256)));
        assert!(long[1..].parse::<Pattern>().is_ok());
    }

    #[test]
    fn a_pattern_covers_what_matches_no_more_than_it_does() {
        for (wide, narrow, covers) in [
            ("**", "**", true),
            ("**", "*", true),
            ("**", "a/b", true),
            ("*", "**", false),
            ("*/**", "**", false),
            ("**", "*/**", true),
            ("*/**", "*", false),
            ("*/**", "*/*", true),
            ("a/**", "a/*", true),
            ("a/**", "a", false),
            ("a/*", "a/**", false),
            ("a/**", "a/*/**", true),
            ("a/*/**", "a/**", false),
            ("a/*", "a/b", true),
            ("a/b", "a/*", false),
            ("*/b", "a/*", false),
            ("a/**", "*/**", false),
            ("a/*/c", "a/b/c", true),
            ("org/**", "orgs/**", false),
            ("*/a/**", "host:5000/a/**", true),
        ] {
            assert_eq!(pattern(wide).covers(&pattern(narrow)), covers, "{wide} {narrow}");
        }
        let acme: Namespace = "acme".parse().unwrap();
        for (text, is_in) in [
            ("acme", true),
            ("acme/**", true),
            ("acme/*/x", true),
            ("*/x", false),
            ("**", false),
            ("acm", false),
        ] {
            assert_eq!(pattern(text).is_within(&acme), is_in, "{text}");
        }
    }

    /// What a pattern means, word by word.
    fn naive(pattern: &[&str], name: &[&str]) -> bool {
        match (pattern, name) {
            ([], []) | (["**"], [_, ..]) => true,
            (["*", pattern @ ..], [_, name @ ..]) => naive(pattern, name),
            ([first, pattern @ ..], [component, name @ ..]) => {
                first == component && naive(pattern, name)
            }
            _ => false,
        }
    }

    /// Every name of up to five components out of three letters.
    fn names() -> Vec<Vec<&'static str>> {
        let mut all: Vec<Vec<&str>> = vec![vec![]];
        let mut last = all.clone();
        for _ in 0..5 {
            last = last
                .iter()
                .flat_map(|name| ["a", "b", "c"].map(|next| [name.as_slice(), &[next]].concat()))
                .collect();
            all.extend(last.clone());
        }
        all.into_iter().filter(|name| !name.is_empty()).collect()
    }

    fn patterns() -> impl Strategy<Value = String> {
        let component = prop::sample::select(vec!["a", "b", "*", "*"]);
        (prop::collection::vec(component, 0..4), any::<bool>()).prop_filter_map(
            "empty",
            |(mut all, is_deep)| {
                all.extend(is_deep.then_some("**"));
                (!all.is_empty()).then(|| all.join("/"))
            },
        )
    }

    proptest! {
        #[test]
        fn it_matches_and_covers_what_the_model_says(one in patterns(), other in patterns()) {
            let model = |text: &str| -> Vec<bool> {
                let split: Vec<_> = text.split('/').collect();
                names().iter().map(|name| naive(&split, name)).collect()
            };
            let (of_one, of_other) = (model(&one), model(&other));
            for (name, expected) in names().iter().zip(&of_one) {
                let name = name.join("/");
                prop_assert_eq!(pattern(&one).matches(&name.parse().unwrap()), *expected, "{} {}", one, name);
            }
            let covers = of_one.iter().zip(&of_other).all(|(one, other)| *one || !*other);
            prop_assert_eq!(pattern(&one).covers(&pattern(&other)), covers, "{} {}", one, other);
        }

        #[test]
        fn what_is_read_is_written_the_same(
            text in hostile::texts("([a-z0-9]{1,4}(:[0-9]{1,4})?|\\*)(/([a-z0-9]{1,4}|\\*)){0,3}(/\\*\\*)?")
        ) {
            if let Ok(pattern) = text.parse::<Pattern>() {
                prop_assert_eq!(pattern.to_string(), text.clone());
                prop_assert!(pattern.covers(&pattern) && super::Pattern::from_str("**").unwrap().covers(&pattern));
                if let Ok(name) = text.parse::<RepositoryName>() {
                    prop_assert!(pattern.matches(&name));
                }
            } else {
                prop_assert!(text.parse::<RepositoryName>().is_err(), "a name is a pattern: {}", text);
            }
        }
    }
}
