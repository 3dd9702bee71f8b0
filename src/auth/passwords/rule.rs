//! What a new password has to be.

use secrecy::{ExposeSecret, SecretString};
use thiserror::Error;

use super::super::accounts::AccessToken;

/// A password that a user may have from now on: 12 characters or more, and at most 1024 bytes. Which characters is left to
/// the user, as NIST SP 800-63B-4 (3.1.1.2) says: length is what counts, rules of composition make passwords worse. (It wants
/// 15 characters where a password is all that there is; here it mostly is exchanged for tokens, and guesses are slowed down.
/// Characters are Unicode's code points, and are hashed as they come.) The upper bound is on what a request makes the server
/// hash.
#[derive(Clone)]
pub struct NewPassword(SecretString);

/// Why a password is refused. It says nothing of the password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PasswordRuleError {
    /// It has fewer than [`NewPassword::SHORTEST`] characters.
    #[error("the password is too short: use at least 12 characters")]
    Short,
    /// It has more than [`NewPassword::LONGEST`] bytes.
    #[error("the password is too long: use at most 1024 bytes")]
    Long,
    /// It begins as access tokens do, so it would never be taken for a password.
    #[error("the password begins with `rds_`, as access tokens do: use another one")]
    Token,
    /// It has a control character, which few clients can send.
    #[error("the password has a control character, perhaps the end of a line: use another one")]
    Control,
}

impl NewPassword {
    /// The shortest in characters.
    pub const SHORTEST: usize = 12;

    /// The longest in bytes.
    pub const LONGEST: usize = 1024;

    /// Checks one.
    ///
    /// # Errors
    /// Which part of the rule it breaks.
    pub fn new(password: SecretString) -> Result<Self, PasswordRuleError> {
        let text = password.expose_secret();
        if text.len() > Self::LONGEST {
            Err(PasswordRuleError::Long)
        } else if text.chars().any(char::is_control) {
            Err(PasswordRuleError::Control)
        } else if AccessToken::begins(text) {
            Err(PasswordRuleError::Token)
        } else if text.chars().count() < Self::SHORTEST {
            Err(PasswordRuleError::Short)
        } else {
            Ok(Self(password))
        }
    }

    pub(super) fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn length_is_what_counts() {
        let check = |text: &str| NewPassword::new(text.into()).err();
        for text in [
            "correct horse",
            "aaaaaaaaaaaa",
            "            ",
            "\u{fc}\u{fc}\u{fc}\u{fc}\u{fc}\u{fc}\u{fc}\u{fc}\u{fc}\u{fc}\u{fc}\u{fc}",
        ] {
            assert_eq!(check(text), None, "{text}");
        }
        assert_eq!(check(&"a".repeat(1024)), None);
        for (text, error) in [
            ("", PasswordRuleError::Short),
            ("elevenchars", PasswordRuleError::Short),
            ("\u{1f600}\u{1f600}\u{1f600}", PasswordRuleError::Short),
            (&"a".repeat(1025), PasswordRuleError::Long),
            (&"\u{fc}".repeat(513), PasswordRuleError::Long),
            ("rds_secretsecret", PasswordRuleError::Token),
            ("correct horse\n", PasswordRuleError::Control),
            ("correct\0horse", PasswordRuleError::Control),
        ] {
            assert_eq!(check(text), Some(error), "{text}");
            assert!(text.is_empty() || !error.to_string().contains(text));
        }
    }
}
