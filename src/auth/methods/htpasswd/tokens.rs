//! Tokens, for clients that sign in once and then say who they are. They hold an end, a name and the scopes that
//! they were requested with, and are signed by a key that all processes share. What their bearer may do is decided at
//! each request, and is never more than the scopes.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::hmac;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use super::super::super::{Caller, CallerKind, Scopes, Token};
use super::users::Users;

/// How long one is good; clients fetch another when it is not.
const LIFETIME: Duration = Duration::from_mins(5);

/// How the second line begins that names a user, and what it is for anonymous clients.
const USER: &str = "user:";
const ANONYMOUS: &str = "anonymous";

/// Makes tokens and reads them.
pub(super) struct Tokens {
    key: hmac::Key,
}

impl Tokens {
    pub(super) fn new(key: &[u8; 32]) -> Self {
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, key) }
    }

    /// Makes one for a user of the file, or for an anonymous client.
    pub(super) fn issue(&self, caller: &Caller, users: &Users) -> Option<Token> {
        let end = now() + LIFETIME.as_secs();
        let scopes = caller.scopes.as_ref().map(|scopes| scopes.lines()).unwrap_or_default();
        let bearer =
            caller.subject().map_or_else(|| ANONYMOUS.to_owned(), |user| format!("{USER}{user}"));
        let claim = [vec![end.to_string(), bearer], scopes].concat().join("\n");
        let signed = hmac::sign(&self.key, &signed(&claim, caller, users)?);
        let [claim, signature] =
            [claim.as_bytes(), signed.as_ref()].map(|part| BASE64_URL_SAFE_NO_PAD.encode(part));
        let text = format!("{claim}.{signature}").into();
        Some(Token { text, lifetime: LIFETIME, refresh: None })
    }

    /// Returns its user; none if it has ended, is not ours, or is of a user who left or has
    /// another password since.
    pub(super) fn read(&self, token: &str, users: &Users) -> Option<Caller> {
        let (claim, signature) = token.split_once('.')?;
        let claim = String::from_utf8(BASE64_URL_SAFE_NO_PAD.decode(claim).ok()?).ok()?;
        let signature = BASE64_URL_SAFE_NO_PAD.decode(signature).ok()?;
        let mut lines = claim.split('\n');
        let (end, bearer) = (lines.next()?, lines.next()?);
        let kind = match bearer {
            ANONYMOUS => CallerKind::Anonymous,
            bearer => CallerKind::User { name: bearer.strip_prefix(USER)?.to_owned(), id: None },
        };
        let caller =
            Caller { kind, scopes: Some(Arc::new(Scopes::requested(lines))), ..Caller::default() };
        hmac::verify(&self.key, &signed(&claim, &caller, users)?, &signature).ok()?;
        (now() < end.parse().ok()?).then_some(caller)
    }
}

/// Returns what is signed: the user's hash too, so that a token ends with the password.
fn signed(claim: &str, caller: &Caller, users: &Users) -> Option<Vec<u8>> {
    let hash = match caller.subject() {
        Some(user) => users.hash(user)?.as_str(),
        None => "",
    };
    Some([claim.as_bytes(), &[0], hash.as_bytes()].concat())
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use secrecy::ExposeSecret;

    use super::*;

    const KEY: [u8; 32] = [7; 32];
    const HASH: &str = "$2y$04$......................w74bL5gU7LSJClZClCa.Pkz14aTv/XO";

    #[test]
    fn a_token_is_good_for_whom_it_was_made() {
        let users = Users::parse(&format!("anna:{HASH}")).unwrap();
        let tokens = Tokens::new(&KEY);
        for kind in [CallerKind::Anonymous, Caller::user("anna").kind] {
            let scopes = Scopes::requested(["repository:team/app:pull,push registry:catalog:*"]);
            let caller = Caller { kind, scopes: Some(Arc::new(scopes)), ..Caller::default() };
            let token = tokens.issue(&caller, &users).unwrap();
            let text = token.text.expose_secret();
            assert_eq!(tokens.read(text, &users), Some(caller.clone()));
            assert_eq!(Tokens::new(&KEY).read(text, &users), Some(caller), "another process");
            assert_eq!(Tokens::new(&[8; 32]).read(text, &users), None, "another key");
            for bad in ["", ".", "x.y", &text[1..], &text[..text.len() - 2], &text.replace('.', "")]
            {
                assert_eq!(tokens.read(bad, &users), None, "{bad}");
            }
        }
    }

    #[test]
    fn a_token_ends_with_the_password() {
        let users = Users::parse(&format!("anna:{HASH}")).unwrap();
        let tokens = Tokens::new(&KEY);
        let anna = Caller::user("anna");
        let token = tokens.issue(&anna, &users).unwrap();
        let changed = Users::parse(&format!("anna:{}", HASH.replace("2y", "2b"))).unwrap();
        for later in [changed, Users::parse("").unwrap()] {
            assert_eq!(tokens.read(token.text.expose_secret(), &later), None);
        }
        let unscoped = Caller::user("bob");
        assert!(tokens.issue(&unscoped, &users).is_none());
    }

    proptest! {
        #[test]
        fn no_text_but_the_token_itself_is_one(
            edit in crate::oci::hostile::edited(Just("~".repeat(90))), is_annas in any::<bool>(),
        ) {
            let users = Users::parse(&format!("anna:{HASH}")).unwrap();
            let tokens = Tokens::new(&KEY);
            let caller = if is_annas { Caller::user("anna") } else { Caller::anonymous() };
            let caller = Caller { scopes: Some(Arc::default()), ..caller };
            let token = tokens.issue(&caller, &users).unwrap();
            let text = token.text.expose_secret();
            // What the edits left stands for the token's own bytes there.
            let mut own = text.chars();
            let edited: String =
                edit.chars().filter_map(|it| if it == '~' { own.next() } else { Some(it) }).collect();
            if edited.trim() != text {
                prop_assert_eq!(tokens.read(&edited, &users), None, "{}", edited);
            }
            let _ = tokens.read(&edit, &users);
        }
    }
}
