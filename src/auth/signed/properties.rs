//! What holds of any bytes that come as a token, as its claims, or as the keys of an issuer.
//!
//! One function for each target of `fuzz/`; the tests below give them what proptest makes up, and the seeds of
//! `fuzz/seeds/`. Each panics where its property does not hold.

#![expect(
    clippy::missing_panics_doc,
    reason = "that is how each says that its property does not hold"
)]

use std::sync::OnceLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::Header;
use secrecy::ExposeSecret;
use serde_json::Value;

use super::algorithm::Algorithm;
use super::issuer::claimed_issuer;
use super::jws;
use super::key_ring::KeyRing;
use super::key_set::KeySet;
use super::own_tokens::OwnTokens;
use super::signing_key::SigningKey;
use crate::oci::generated::Property;

/// The issuer and the service of the tokens that are made here.
const ISSUER: &str = "https://registry.example";
const SERVICE: &str = "roadstead";

/// What comes before the secret of Ed25519 in PKCS #8 (RFC 8410, 7).
const PKCS8: [u8; 16] = [0x30, 46, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];

/// The registry and the issuer that tokens are given to, both with one key.
struct Setup {
    tokens: OwnTokens,
    keys: KeySet,
}

fn setup() -> &'static Setup {
    static SETUP: OnceLock<Setup> = OnceLock::new();
    SETUP.get_or_init(|| {
        let key = [&PKCS8[..], &[7; 32]].concat();
        let key = SigningKey::from_pkcs8(Algorithm::EdDsa, &key).expect("it is a key");
        let ring = KeyRing::new(key, Vec::new());
        let keys = KeySet::parse(ring.public_set().to_string().as_bytes());
        let keys = keys.expect("what the registry publishes is a set of keys");
        Setup { tokens: OwnTokens::new(ISSUER, SERVICE, ring), keys }
    })
}

/// The moment at which they are verified.
fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_hours(500_000)
}

/// A text that was not signed is never taken for a token, by the registry or for one of an issuer.
pub fn token(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let Setup { tokens, keys } = setup();
    let _ = claimed_issuer(&text);
    let is_signed = |text: &str| {
        let (message, signature) = text.rsplit_once('.')?;
        let own = tokens.ring().current().sign(message.as_bytes()).ok()?;
        (BASE64_URL_SAFE_NO_PAD.decode(signature).ok()? == own).then_some(())
    };
    if is_signed(&text).is_none() {
        assert_eq!(tokens.verify_access(&text, now()).ok(), None);
        assert_eq!(tokens.verify_refresh(&text, now()).ok(), None);
        if let Ok(header) = jws::header(&text) {
            assert_eq!(keys.verify(&text, &header).ok(), None);
        }
    }
}

/// Whatever an issuer signs is read without harm; what the registry takes for its own says the same when it is issued
/// again, and is never good both for access and for a refresh. The bytes are the header and the claims, with a line
/// break between them.
pub fn signed_token(bytes: &[u8]) {
    let Setup { tokens, keys } = setup();
    let parts = bytes.iter().position(|byte| *byte == b'\n');
    let (head, claims) = parts.map_or((&[][..], bytes), |at| (&bytes[..at], &bytes[at + 1..]));
    let ring = tokens.ring();
    let key = ring.current();
    let usual = format!(r#"{{"alg":"EdDSA","typ":"JWT","kid":"{}"}}"#, key.id());
    let head = if head.is_empty() { usual.as_bytes() } else { head };
    let [head, claims] = [head, claims].map(|part| BASE64_URL_SAFE_NO_PAD.encode(part));
    let message = format!("{head}.{claims}");
    let signature = key.sign(message.as_bytes()).expect("the key is good");
    let text = format!("{message}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature));

    let access = tokens.verify_access(&text, now());
    let refresh = tokens.verify_refresh(&text, now());
    assert!(access.is_err() || refresh.is_err());
    let lifetime = Duration::from_mins(5);
    if let Ok(access) = access {
        assert!(now() < access.until);
        let again = tokens.access(&access.subject, &access.scopes, lifetime, now());
        let again = again.expect("it is no longer than the one that was read");
        let again = tokens.verify_access(again.text.expose_secret(), now());
        let again = again.expect("it was just issued");
        assert_eq!(
            (again.subject, again.scopes.access()),
            (access.subject, access.scopes.access())
        );
    }
    let header: Result<Header, _> = jws::header(&text);
    let Some(claims) = header.ok().and_then(|header| keys.verify(&text, &header).ok()) else {
        return;
    };
    if claims.check(ISSUER, now()).is_ok() {
        assert_eq!(claims.get("iss").and_then(Value::as_str), Some(ISSUER));
        assert!(claims.get("exp").is_some_and(Value::is_number));
        assert!(now() < claims.until());
    }
    let _ = (claims.scopes(), claims.is_for(SERVICE), claims.subject());
}

/// A set of keys is read without harm, and no key of it makes a token good that it has not signed.
pub fn key_set(bytes: &[u8]) {
    let Ok(keys) = KeySet::parse(bytes) else { return };
    let unsigned = ["e30.e30.", "eyJhbGciOiJFZERTQSJ9.e30.AAAA", "eyJhbGciOiJSUzI1NiJ9.e30.AAAA"];
    for text in unsigned {
        if let Ok(header) = jws::header(text) {
            assert_eq!(keys.verify(text, &header).ok(), None);
        }
    }
}

/// Every property.
pub const ALL: &[Property] =
    &[("key_set", key_set), ("signed_token", signed_token), ("token", token)];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::auth::signed::{Subject, SubjectKind};
    use crate::auth::{Scopes, signed};
    use crate::oci::generated::{self, seeds};

    #[test]
    fn each_property_holds_of_its_seeds_and_of_generated_inputs() {
        generated::check(ALL);
    }

    #[test]
    fn the_seeds_are_not_all_refused() {
        assert!(seeds("key_set").iter().any(|seed| KeySet::parse(seed).is_ok()));
        let is_token = |seed: &Vec<u8>| jws::header(&String::from_utf8_lossy(seed)).is_ok();
        assert!(seeds("token").iter().any(is_token));
        let own = |seed: &Vec<u8>| serde_json::from_slice::<signed::own_claims::OwnClaims>(seed);
        assert!(seeds("signed_token").iter().any(|seed| own(seed).is_ok()));
    }

    proptest! {
        #[test]
        fn each_property_holds_of_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            for (_, property) in ALL {
                property(&bytes);
            }
        }

        #[test]
        fn no_text_but_the_token_itself_is_one(
            edit in crate::oci::hostile::edited(Just("~".repeat(400))),
        ) {
            let Setup { tokens, .. } = setup();
            let scopes = Scopes::requested(["repository:team/app:pull"]);
            let anna = Subject::new(SubjectKind::User, "7", "anna");
            let token = tokens.access(&anna, &scopes, Duration::from_mins(5), now()).unwrap();
            let text = token.text.expose_secret();
            // What the edits left stands for the token's own bytes there.
            let mut own = text.chars();
            let edited: String =
                edit.chars().filter_map(|it| if it == '~' { own.next() } else { Some(it) }).collect();
            let edited = edited + own.as_str();
            if edited != *text {
                prop_assert!(tokens.verify_access(&edited, now()).is_err(), "{}", edited);
            }
        }
    }
}
