//! What holds of any bytes that come as the scopes of a request for a token, or as an access token and its scopes.
//!
//! One function for each target of `fuzz/`; the tests below give them what is generated from the seeds of `fuzz/seeds/`. Each
//! panics where its property does not hold.

#![expect(
    clippy::missing_panics_doc,
    reason = "that is how each says that its property does not hold"
)]

use secrecy::{ExposeSecret, SecretString};

use super::accounts::{AccessToken, TokenId, TokenScopes};
use super::{Act, Action, Scopes};
use crate::oci::generated::Property;

/// The most repositories that one token may name.
const REPOSITORIES: usize = 64;

/// Scopes are good for no more than what they name, and say the same when they are written again, as scopes and as a claim.
pub fn scopes(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let scopes = Scopes::requested(text.lines());
    let lines = scopes.lines();
    assert_eq!(Scopes::requested(lines.iter().map(String::as_str)), scopes);
    let access = scopes.access();
    let claimed = Scopes::from_access(&access);
    assert_eq!(claimed.access(), access);
    assert!(scopes.repositories().count() <= REPOSITORIES);
    let pulls = scopes.clone().only_pulls();
    for name in scopes.repositories() {
        assert!(text.contains(name.as_str()));
        for (action, word) in
            [(Action::Pull, "pull"), (Action::Push, "push"), (Action::Delete, "delete")]
        {
            let act = Act::On(action, name);
            if scopes.allow(act) {
                assert!(text.contains(word) || text.contains('*'));
            }
            assert_eq!(scopes.allow(act), claimed.allow(act));
            assert_eq!(pulls.allow(act), action == Action::Pull && scopes.allow(act));
        }
        assert!(!scopes.allow(Act::On(Action::Visibility, name)));
    }
    assert!(!pulls.allow(Act::List));
    assert!(!scopes.allow(Act::List) || text.contains("catalog"));
}

/// A text that is read as an access token is the text of that token and no other; scopes of access tokens say the same when
/// they are written again.
pub fn access_token(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let secret = SecretString::from(text.as_ref());
    if let Ok(token) = AccessToken::read(&secret) {
        assert!(AccessToken::begins(&text));
        assert!(text.contains(token.id().as_str()));
        assert!(token.hash().is_of(&token));
        assert_eq!(token.into_text().expose_secret(), text);
    }
    if let Ok(id) = text.parse::<TokenId>() {
        assert_eq!(id.as_str(), text);
    }
    if let Ok(scopes) = TokenScopes::read(text.split_whitespace()) {
        let written: Vec<String> = scopes.all().iter().map(ToString::to_string).collect();
        let again = TokenScopes::read(written.iter().map(String::as_str));
        assert_eq!(again.ok().as_ref(), Some(&scopes), "{written:?}");
    }
}

/// Every property.
pub const ALL: &[Property] = &[("access_token", access_token), ("scopes", scopes)];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::generated;

    #[test]
    fn each_property_holds_of_its_seeds_and_of_generated_inputs() {
        generated::check(ALL);
    }

    #[test]
    fn the_seeds_are_not_all_refused() {
        let texts = |name| {
            let seeds = generated::seeds(name).into_iter();
            seeds.map(|seed| String::from_utf8(seed).unwrap()).collect::<Vec<_>>()
        };
        let is_token = |text: &String| AccessToken::read(&text.as_str().into()).is_ok();
        let has_scopes = |text: &String| TokenScopes::read(text.split_whitespace()).is_ok();
        assert!(texts("access_token").iter().any(is_token));
        assert!(texts("access_token").iter().any(has_scopes));
        let asks = |text: &String| !Scopes::requested(text.lines()).access().is_empty();
        assert!(texts("scopes").iter().any(asks));
    }
}
