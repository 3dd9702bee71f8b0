//! What holds of any bytes that come as an `Authorization` header, or as the form of a request for a token.
//!
//! One function for each target of `fuzz/`; the tests below give them what is generated from the seeds of `fuzz/seeds/`. Each
//! panics where its property does not hold.

#![expect(
    clippy::missing_panics_doc,
    reason = "that is how each says that its property does not hold"
)]

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use secrecy::ExposeSecret;

use super::{authorization, form};
use crate::auth::{Credentials, Scopes};
use crate::oci::generated::Property;

/// A header is read as what it says: nothing is added to a user, a password or a token, and nothing left out.
pub fn authorization(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let basic = authorization::basic(&text);
    let Some(found) = authorization::parse(&text) else { return };
    let (scheme, rest) = text.split_once(' ').expect("what has no scheme is malformed");
    match found {
        Credentials::Basic { user, password } => {
            assert!(scheme.eq_ignore_ascii_case("basic") && !user.contains(':'));
            let own = format!("{user}:{}", password.expose_secret());
            assert_eq!(basic.as_deref(), Some(own.as_bytes()));
            assert_eq!(BASE64_STANDARD.encode(own), rest.trim());
        }
        Credentials::Bearer(token) => {
            assert!(scheme.eq_ignore_ascii_case("bearer") && basic.is_none());
            assert_eq!(token.expose_secret(), rest.trim());
        }
        found => panic!("a header is never {found:?}"),
    }
}

/// A form says the same when it is written again, and never more than one kind of credentials.
pub fn form(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let Ok(pairs) = form::pairs(&text) else { return };
    let written = serde_urlencoded::to_string(&pairs).expect("texts can be encoded");
    assert_eq!(form::pairs(&written).ok().as_ref(), Some(&pairs));
    let get = |name: &str| pairs.iter().find(|(key, _)| key == name).map(|(_, it)| it.as_str());
    let grant = get("grant_type");
    match form::credentials(get) {
        Some(Credentials::Basic { user, password }) => {
            assert_eq!(grant, Some("password"));
            assert_eq!(get("username").unwrap_or_default(), user);
            assert_eq!(get("password").unwrap_or_default(), password.expose_secret());
        }
        Some(Credentials::Refresh(token)) => {
            assert_eq!(grant, Some("refresh_token"));
            assert_eq!(get("refresh_token").unwrap_or_default(), token.expose_secret());
        }
        None => assert!(!matches!(grant, Some("password" | "refresh_token"))),
        Some(found) => panic!("a form is never {found:?}"),
    }
    let values = pairs.iter().filter(|(key, _)| key == "scope").map(|(_, value)| value.as_str());
    let _ = Scopes::requested(values).access();
}

/// Every property.
pub const ALL: &[Property] = &[("authorization", authorization), ("form", form)];

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
        let header = |text: &String| authorization::parse(text).is_some();
        assert!(texts("authorization").iter().any(header));
        let form = |text: &String| {
            let pairs = form::pairs(text).unwrap();
            let get = |name: &str| pairs.iter().find(|(key, _)| key == name);
            form::credentials(|name| get(name).map(|(_, it)| it.as_str())).is_some()
        };
        assert!(texts("form").iter().any(form));
    }
}
