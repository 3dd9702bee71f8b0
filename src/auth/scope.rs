//! What a token is good for: the scopes that a client requested it with, in the words of the stock registry's
//! token authentication (`repository:team/app:pull,push`, `registry:catalog:*`).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Act, Action};
use crate::oci::RepositoryName;

/// How many repositories one token is good for; what is requested beyond is left out.
const REPOSITORIES: usize = 64;

/// What a token is good for. Without any scope that is no more than to say who its bearer is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Scopes {
    repositories: BTreeMap<RepositoryName, Actions>,
    catalog: bool,
}

/// What may be done with one repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Actions {
    pull: bool,
    push: bool,
    delete: bool,
}

/// What a token says that it is good for: an entry of its claim `access` (the token specification of the stock registry).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Access {
    /// `repository` or `registry`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The name of a repository, or `catalog`.
    pub name: String,
    /// What may be done with it.
    #[serde(default)]
    pub actions: Vec<String>,
}

impl Actions {
    /// Lists them as clients know them.
    fn words(self) -> Vec<&'static str> {
        let words = [(self.pull, "pull"), (self.push, "push"), (self.delete, "delete")];
        words.into_iter().filter_map(|(is_in, word)| is_in.then_some(word)).collect()
    }
}

impl Scopes {
    /// Reads scopes as clients ask for them: several values, each of several scopes, in any order, also twice.
    /// What is not known here is left out.
    #[must_use]
    pub fn requested<'a>(values: impl IntoIterator<Item = &'a str>) -> Self {
        let mut scopes = Self::default();
        for scope in values.into_iter().flat_map(str::split_ascii_whitespace) {
            scopes.add(scope);
        }
        scopes
    }

    fn add(&mut self, scope: &str) {
        let Some((kind, rest)) = scope.split_once(':') else { return };
        let Some((name, actions)) = rest.rsplit_once(':') else { return };
        // A class may follow the kind: `repository(plugin)`.
        let kind = kind.split_once('(').map_or(kind, |(kind, _)| kind);
        self.add_actions(kind, name, actions.split(','));
    }

    fn add_actions<'a>(
        &mut self,
        kind: &str,
        name: &str,
        mut actions: impl Iterator<Item = &'a str>,
    ) {
        match kind {
            "registry" if name == "catalog" => self.catalog |= actions.any(|it| it == "*"),
            "repository" => {
                let Ok(name) = name.parse::<RepositoryName>() else { return };
                let is_full = self.repositories.len() >= REPOSITORIES;
                if is_full && !self.repositories.contains_key(&name) {
                    return;
                }
                let known = self.repositories.entry(name).or_default();
                for action in actions {
                    known.pull |= matches!(action, "pull" | "*");
                    known.push |= matches!(action, "push" | "*");
                    known.delete |= matches!(action, "delete" | "*");
                }
            }
            _ => {}
        }
    }

    /// Reads the claim `access` of a token that was verified. What is not known here is left out.
    #[must_use]
    pub fn from_access(entries: &[Access]) -> Self {
        let mut scopes = Self::default();
        for entry in entries {
            let actions = entry.actions.iter().map(String::as_str);
            scopes.add_actions(&entry.kind, &entry.name, actions);
        }
        scopes
    }

    /// Writes the claim `access`; what allows nothing is left out.
    #[must_use]
    pub fn access(&self) -> Vec<Access> {
        let entry = |kind: &str, name: &str, actions: Vec<&str>| Access {
            kind: kind.to_owned(),
            name: name.to_owned(),
            actions: actions.into_iter().map(str::to_owned).collect(),
        };
        let repositories = self.repositories.iter().map(|(name, actions)| (name, actions.words()));
        let repositories = repositories.filter(|(_, words)| !words.is_empty());
        repositories
            .map(|(name, words)| entry("repository", name.as_str(), words))
            .chain(self.catalog.then(|| entry("registry", "catalog", vec!["*"])))
            .collect()
    }

    /// Leaves no more than what anonymous clients may do.
    #[must_use]
    pub fn only_pulls(mut self) -> Self {
        self.catalog = false;
        for actions in self.repositories.values_mut() {
            *actions = Actions { pull: actions.pull, ..Actions::default() };
        }
        self
    }

    /// Returns the repositories that they name.
    pub fn repositories(&self) -> impl Iterator<Item = &RepositoryName> {
        self.repositories.keys()
    }

    /// Adds an act, if it is one that scopes name.
    pub(super) fn add_act(&mut self, act: Act<'_>) {
        match act {
            Act::Ask | Act::SignIn | Act::Any(_) => {}
            Act::List | Act::Metrics => self.catalog = true,
            Act::On(action, name) => {
                let known = self.repositories.entry(name.clone()).or_default();
                match action {
                    Action::Pull => known.pull = true,
                    Action::Push => known.push = true,
                    Action::Delete => known.delete = true,
                    Action::Visibility | Action::Remove => {}
                }
            }
        }
    }

    /// Tells whether a token of these scopes is good for an act. Who its bearer is decides about everything that
    /// is about no repository.
    pub(super) fn allow(&self, act: Act<'_>) -> bool {
        match act {
            Act::Ask | Act::SignIn | Act::Any(_) => true,
            Act::List | Act::Metrics => self.catalog,
            Act::On(action, name) => self.repositories.get(name).is_some_and(|it| match action {
                Action::Pull => it.pull,
                Action::Push => it.push,
                Action::Delete => it.delete,
                Action::Visibility | Action::Remove => false,
            }),
        }
    }

    /// Writes them, each on a line; [`Self::requested`] reads them again.
    pub(super) fn lines(&self) -> Vec<String> {
        let repositories = self
            .repositories
            .iter()
            .map(|(name, actions)| format!("repository:{name}:{}", actions.words().join(",")));
        repositories.chain(self.catalog.then(|| CATALOG.to_owned())).collect()
    }
}

const CATALOG: &str = "registry:catalog:*";

/// Says what a token would have to be good for, as clients know it.
pub(super) fn needed(act: Act<'_>) -> Option<String> {
    match act {
        Act::Ask | Act::SignIn | Act::Any(_) | Act::On(Action::Visibility | Action::Remove, _) => {
            None
        }
        Act::List | Act::Metrics => Some(CATALOG.to_owned()),
        Act::On(Action::Pull, name) => Some(format!("repository:{name}:pull")),
        Act::On(Action::Push, name) => Some(format!("repository:{name}:pull,push")),
        Act::On(Action::Delete, name) => Some(format!("repository:{name}:delete")),
    }
}

/// Says with what scope a client should fetch a token for an act: with all that it might want there next. Some clients
/// request what the first challenge says, and never more.
pub(super) fn broad(act: Act<'_>) -> Option<String> {
    match act {
        Act::On(Action::Pull | Action::Push, name) => Some(format!("repository:{name}:pull,push")),
        Act::On(Action::Delete, name) => Some(format!("repository:{name}:pull,push,delete")),
        act => needed(act),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(values: &[&str]) -> Vec<String> {
        Scopes::requested(values.iter().copied()).lines()
    }

    #[test]
    fn scopes_are_read_as_clients_send_them() {
        for (values, expected) in [
            (&["repository:a/b:pull"][..], &["repository:a/b:pull"][..]),
            (&["repository:a:push,pull"], &["repository:a:pull,push"]),
            (&["repository:a:pull repository:a:push,pull"], &["repository:a:pull,push"]),
            (
                &["repository:b:pull", "repository:a:pull"],
                &["repository:a:pull", "repository:b:pull"],
            ),
            (&["repository:a:*"], &["repository:a:pull,push,delete"]),
            (&["repository(plugin):a:pull"], &["repository:a:pull"]),
            (&["registry:catalog:*"], &["registry:catalog:*"]),
            (&["registry:catalog:pull", "registry:other:*"], &[]),
            (&["", "  ", "nonsense", "repository:A:pull", "repository::pull", "other:a:pull"], &[]),
            (&["repository:a:fly"], &["repository:a:"]),
        ] {
            assert_eq!(lines(values), expected, "{values:?}");
            let again = lines(values);
            assert_eq!(lines(&again.iter().map(String::as_str).collect::<Vec<_>>()), again);
        }
    }

    #[test]
    fn a_scope_is_good_for_its_repository_and_its_actions() {
        let name = |text: &str| text.parse::<RepositoryName>().unwrap();
        let (own, other) = (name("a"), name("a/b"));
        let scopes = Scopes::requested(["repository:a:pull,push"]);
        assert!(
            scopes.allow(Act::On(Action::Pull, &own)) && scopes.allow(Act::On(Action::Push, &own))
        );
        assert!(!scopes.allow(Act::On(Action::Delete, &own)));
        assert!(!scopes.allow(Act::On(Action::Pull, &other)));
        assert!(scopes.allow(Act::SignIn) && scopes.allow(Act::Ask) && !scopes.allow(Act::List));
        let pulls = Scopes::requested(["repository:a:* registry:catalog:*"]).only_pulls();
        assert_eq!(pulls.lines(), ["repository:a:pull"]);
    }

    #[test]
    fn the_claim_of_a_token_says_the_same_as_the_scopes() {
        let scopes = Scopes::requested([
            "repository:a:push,pull repository:b/c:* registry:catalog:* repository:d:",
        ]);
        let access = scopes.access();
        assert_eq!(
            serde_json::to_string(&access).unwrap(),
            r#"[{"type":"repository","name":"a","actions":["pull","push"]},{"type":"repository","name":"b/c","actions":["pull","push","delete"]},{"type":"registry","name":"catalog","actions":["*"]}]"#
        );
        assert_eq!(
            Scopes::from_access(&access).lines(),
            scopes.lines()[..2].iter().chain(&scopes.lines()[3..]).cloned().collect::<Vec<_>>()
        );
        let others = r#"[{"type":"repository","class":"","name":"a","actions":["*"]},{"type":"repository","name":"A","actions":["pull"]},
            {"type":"repository","name":"e"},{"type":"registry","name":"catalog","actions":["pull"]},{"type":"x","name":"a","actions":["push"]}]"#;
        let others: Vec<Access> = serde_json::from_str(others).unwrap();
        assert_eq!(
            Scopes::from_access(&others).lines(),
            ["repository:a:pull,push,delete", "repository:e:"]
        );
    }

    #[test]
    fn no_token_is_good_for_more_repositories_than_it_can_name() {
        let many: Vec<_> = (0..1000).map(|number| format!("repository:n{number}:pull")).collect();
        let scopes = Scopes::requested(many.iter().map(String::as_str));
        assert_eq!(scopes.lines().len(), REPOSITORIES);
    }
}
