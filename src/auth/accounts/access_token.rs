//! Access tokens as text: what their owners paste, and what is stored in its stead.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::{constant_time, digest, rand};
use cid::multibase::Base;
use secrecy::{ExposeSecret, SecretBox, SecretString};
use thiserror::Error;

/// What the text begins with, also for programs that look for secrets in public places.
const PREFIX: &str = "rds_";

/// How many random bytes are a token's id, and how many its secret: each a whole number of characters in base32, with the
/// checksum.
const ID: usize = 10;
const SECRET: usize = 32;
const CHECKSUM: usize = 3;

/// How many characters these are.
const ID_LENGTH: usize = 16;
const LENGTH: usize = PREFIX.len() + ID_LENGTH + 1 + 56;

/// The id of an access token, by which its row is found: 16 characters of base32.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TokenId(String);

/// An access token: `rds_<id>_<secret>`. Both are of the letters and digits of base32 (RFC 4648, in lower case), the secret
/// has 256 random bits, and its last characters are a checksum, which tells a typing error from an unknown token. The secret
/// is in no log: the type has neither `Debug` nor `Display`, and [`Self::into_text`] uses it up.
pub struct AccessToken {
    id: TokenId,
    secret: SecretBox<[u8; SECRET]>,
}

/// What is stored of an access token: the SHA-256 of its text. That is enough, since nobody can guess 256 random bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenHash([u8; 32]);

/// Why a text is no access token. It says nothing of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum AccessTokenError {
    /// It is something else, such as a password.
    #[error("it does not begin as an access token")]
    Other,
    /// It begins like one, and is damaged.
    #[error("the access token is incomplete or mistyped")]
    Damaged,
}

impl TokenId {
    /// Returns the id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TokenId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl FromStr for TokenId {
    type Err = AccessTokenError;

    fn from_str(text: &str) -> Result<Self, AccessTokenError> {
        match decoded::<ID>(text) {
            Some(_) => Ok(Self(text.to_owned())),
            None => Err(AccessTokenError::Damaged),
        }
    }
}

impl AccessToken {
    /// Makes one that there has never been.
    ///
    /// # Panics
    /// Where the system has no random numbers.
    #[must_use]
    pub fn generate() -> Self {
        let mut id = [0; ID];
        rand::fill(&mut id).expect("the system has random numbers");
        let secret = SecretBox::init_with_mut(|secret: &mut [u8; SECRET]| {
            rand::fill(secret).expect("the system has random numbers");
        });
        Self { id: TokenId(Base::Base32Lower.encode(id)), secret }
    }

    /// Tells whether a text begins as an access token does: then it is never taken for a password.
    #[must_use]
    pub fn begins(text: &str) -> bool {
        text.starts_with(PREFIX)
    }

    /// Reads one. A text of another length is not looked at further.
    ///
    /// # Errors
    /// Whether it is something else, or damaged.
    pub fn read(text: &SecretString) -> Result<Self, AccessTokenError> {
        let text = text.expose_secret();
        let rest = text.strip_prefix(PREFIX).ok_or(AccessTokenError::Other)?;
        let damaged = AccessTokenError::Damaged;
        if text.len() != LENGTH {
            return Err(damaged);
        }
        let (id, secret) = rest.split_once('_').ok_or(damaged)?;
        let id: TokenId = id.parse()?;
        let bytes =
            SecretBox::new(Box::new(decoded::<{ SECRET + CHECKSUM }>(secret).ok_or(damaged)?));
        let (secret, sum) = bytes.expose_secret().split_at(SECRET);
        if sum != checksum(&id, secret) {
            return Err(damaged);
        }
        let secret = SecretBox::init_with_mut(|own: &mut [u8; SECRET]| own.copy_from_slice(secret));
        Ok(Self { id, secret })
    }

    /// Returns its id.
    #[must_use]
    pub fn id(&self) -> &TokenId {
        &self.id
    }

    /// Returns what is stored of it.
    #[must_use]
    pub fn hash(&self) -> TokenHash {
        let hash = digest::digest(&digest::SHA256, self.text().expose_secret().as_bytes());
        let mut bytes = [0; 32];
        bytes.copy_from_slice(hash.as_ref());
        TokenHash(bytes)
    }

    /// Returns the text, for its owner alone and only once.
    #[must_use]
    pub fn into_text(self) -> SecretString {
        self.text()
    }

    fn text(&self) -> SecretString {
        let secret = self.secret.expose_secret();
        let mut bytes = SecretBox::new(Box::new([0; SECRET + CHECKSUM]));
        let all: &mut [u8; SECRET + CHECKSUM] =
            secrecy::ExposeSecretMut::expose_secret_mut(&mut bytes);
        all[..SECRET].copy_from_slice(secret);
        all[SECRET..].copy_from_slice(&checksum(&self.id, secret));
        let secret = SecretString::from(Base::Base32Lower.encode(bytes.expose_secret()));
        format!("{PREFIX}{}_{}", self.id, secret.expose_secret()).into()
    }
}

impl TokenHash {
    /// Reads it as it is stored.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// Returns it as it is stored.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Tells whether it is that of a token, in a time that does not depend on where they differ.
    #[must_use]
    pub fn is_of(&self, token: &AccessToken) -> bool {
        constant_time::verify_slices_are_equal(&self.0, &token.hash().0).is_ok()
    }
}

fn decoded<const COUNT: usize>(text: &str) -> Option<[u8; COUNT]> {
    // Upper case is another text; and of one that is too long nothing is decoded.
    let is_right = |byte: u8| byte.is_ascii_lowercase() || (b'2'..=b'7').contains(&byte);
    if text.len() * 5 != COUNT * 8 || !text.bytes().all(is_right) {
        return None;
    }
    Base::Base32Lower.decode(text).ok()?.try_into().ok()
}

/// The checksum is no secret: who has a token's text has its bytes as well.
fn checksum(id: &TokenId, secret: &[u8]) -> [u8; CHECKSUM] {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(b"roadstead access token\n");
    context.update(id.as_str().as_bytes());
    context.update(secret);
    let hash = context.finish();
    let hash = hash.as_ref();
    [hash[0], hash[1], hash[2]]
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;
    use crate::oci::hostile;

    /// Stored hashes are of this text in all versions.
    const GOLDEN: &str =
        "rds_aebagbafaydqqcik_aebagbafaydqqcikbmga2dqpcaireeyuculbogazdinryhi6d4qbotjs";

    fn read(text: &str) -> Result<AccessToken, AccessTokenError> {
        AccessToken::read(&text.into())
    }

    #[test]
    fn a_token_is_read_as_it_was_made() {
        let mut ids = HashSet::new();
        for _ in 0..100 {
            let made = AccessToken::generate();
            let (id, hash) = (made.id().clone(), made.hash());
            let text = made.into_text();
            assert_eq!(text.expose_secret().len(), LENGTH);
            assert_eq!(text.expose_secret().matches('_').count(), 2);
            let again = AccessToken::read(&text).map_err(|error| error.to_string()).unwrap();
            assert_eq!((again.id(), again.hash()), (&id, hash));
            assert!(hash.is_of(&again) && !hash.is_of(&AccessToken::generate()));
            assert_eq!(TokenHash::read(hash.as_bytes()), Some(hash));
            assert_eq!(id.as_str().parse(), Ok(id.clone()));
            assert!(ids.insert(id));
        }
        assert_eq!(TokenHash::read(&[0; 31]), None);
    }

    #[test]
    fn a_token_of_an_earlier_version_is_the_same_now() {
        let token = read(GOLDEN).map_err(|error| error.to_string()).unwrap();
        assert_eq!(token.id().as_str(), "aebagbafaydqqcik");
        let sum = digest::digest(&digest::SHA256, GOLDEN.as_bytes());
        assert_eq!(token.hash().as_bytes()[..], *sum.as_ref());
        assert_eq!(token.into_text().expose_secret(), GOLDEN);
    }

    #[test]
    fn what_is_damaged_is_not_another_token() {
        for text in ["", "secret", "RDS_x", "rd_", " rds_", "ghp_x"] {
            assert_eq!(read(text).err(), Some(AccessTokenError::Other), "{text}");
            assert!(!AccessToken::begins(text));
        }
        let long = format!("rds_{}", "a".repeat(1_000_000));
        let upper = GOLDEN[4..].to_uppercase();
        for text in [
            "rds_",
            "rds__",
            "rds_a_b",
            &long,
            &GOLDEN[..LENGTH - 1],
            &format!("{GOLDEN}a"),
            &format!("{GOLDEN}\n"),
            &format!("rds_{upper}"),
            &GOLDEN.replace("ik_a", "i_ka"),
            &GOLDEN.replace('q', "\u{51b}"),
        ] {
            assert_eq!(read(text).err(), Some(AccessTokenError::Damaged), "{text}");
            assert!(AccessToken::begins(text));
        }
    }

    proptest! {
        #[test]
        fn a_mistyped_token_is_damaged(position in 4_usize..LENGTH, other in "[a-z2-7_]") {
            let mut text = GOLDEN.to_owned();
            text.replace_range(position..=position, &other);
            if text != GOLDEN {
                prop_assert_eq!(read(&text).err(), Some(AccessTokenError::Damaged));
            }
        }

        #[test]
        fn no_text_makes_it_panic(text in hostile::texts("rds_[a-z2-7]{16}_[a-z2-7]{56}")) {
            if let Ok(token) = read(&text) {
                let again = token.into_text();
                prop_assert_eq!(again.expose_secret(), &text);
            }
            let _ = text.parse::<TokenId>();
        }
    }
}
