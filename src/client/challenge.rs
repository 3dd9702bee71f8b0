//! `WWW-Authenticate`: how a registry wants its clients to sign in (RFC 9110, 11.6.1).

use reqwest::header::{HeaderMap, WWW_AUTHENTICATE};

/// A challenge: a scheme in lower case, and its parameters, whose names are in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Challenge {
    pub(super) scheme: String,
    parameters: Vec<(String, String)>,
}

impl Challenge {
    /// Reads the challenges of an answer: several headers, and several challenges in one of them.
    pub(super) fn of(headers: &HeaderMap) -> Vec<Self> {
        let values = headers.get_all(WWW_AUTHENTICATE).into_iter();
        values.filter_map(|value| value.to_str().ok()).flat_map(Self::read).collect()
    }

    fn read(text: &str) -> Vec<Self> {
        let mut found: Vec<Self> = Vec::new();
        let mut rest = text;
        loop {
            rest = rest.trim_start_matches([' ', '\t', ',']);
            let (name, after) = token(rest);
            if name.is_empty() {
                return found;
            }
            let after = after.trim_start();
            let name = name.to_ascii_lowercase();
            let Some(after) = after.strip_prefix('=') else {
                found.push(Self { scheme: name, parameters: Vec::new() });
                rest = after;
                continue;
            };
            let (value, after) = value(after.trim_start());
            if let Some(challenge) = found.last_mut() {
                challenge.parameters.push((name, value));
            }
            rest = after;
        }
    }

    /// Returns a parameter; nothing if it is absent or empty.
    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        let mut parameters = self.parameters.iter();
        let found = parameters.find(|(known, _)| known == name).map(|(_, value)| value.as_str());
        found.filter(|value| !value.is_empty())
    }
}

fn token(text: &str) -> (&str, &str) {
    let is_separator = |it: char| it.is_whitespace() || matches!(it, ',' | '=' | '"');
    text.split_at(text.find(is_separator).unwrap_or(text.len()))
}

/// Reads a value, in quotes or without.
fn value(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        // What has `=` in it is a `token68`, which no scheme that is known here uses.
        let end = text.find([',', ' ', '\t']).unwrap_or(text.len());
        return (text[..end].to_owned(), &text[end..]);
    };
    let (mut value, mut is_escaped) = (String::new(), false);
    for (position, character) in quoted.char_indices() {
        match character {
            '"' if !is_escaped => return (value, &quoted[position + 1..]),
            '\\' if !is_escaped => is_escaped = true,
            _ => {
                value.push(character);
                is_escaped = false;
            }
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn challenges_are_read_in_every_form_that_registries_use() {
        let realm = "https://auth.example/token";
        for text in [
            r#"Bearer realm="https://auth.example/token",service="a b",scope="repository:a:pull,push""#,
            r#"bearer scope="repository:a:pull,push", realm="https://auth.example/token" , Service="a b""#,
            r#"Bearer realm=https://auth.example/token, service="a b", scope="repository:a:pull,push", Basic realm="x""#,
            r#"Bearer realm="https://auth.example/token",service="a \b",scope="repository:a:pull,push",error=""#,
        ] {
            let found = Challenge::read(text);
            assert_eq!(found[0].scheme, "bearer", "{text}");
            assert_eq!(found[0].parameter("realm"), Some(realm), "{text}");
            assert_eq!(found[0].parameter("service"), Some("a b"), "{text}");
            assert_eq!(found[0].parameter("scope"), Some("repository:a:pull,push"), "{text}");
            assert_eq!(found[0].parameter("error"), None, "{text}");
        }
        let both = Challenge::read(r#"Negotiate abc==, Basic realm="a", Bearer realm="b""#);
        let schemes: Vec<_> = both.iter().map(|it| it.scheme.as_str()).collect();
        assert!(schemes.ends_with(&["basic", "bearer"]), "{schemes:?}");
    }

    proptest! {
        #[test]
        fn any_text_is_read_to_its_end(text in "[ -~]{0,60}|([a-zB]{1,3}[ ,=\"\\\\]{1,3}){0,9}") {
            for challenge in Challenge::read(&text) {
                prop_assert!(!challenge.scheme.is_empty());
            }
        }
    }
}
