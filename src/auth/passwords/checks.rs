//! The check of a password when a user signs in, and the hash of a new one.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

use super::super::AuthError;
use super::sign_ins::{SignIns, TokenAttempt};
use super::verified::Proof;
use super::{Bounds, NewPassword, PasswordHash, Verified};

/// Checks passwords within bounds. All that a process checks goes through one of these.
pub struct Checks {
    sign_ins: Arc<SignIns>,
    rehashes: bool,
}

/// A name and a password, and the client that sent them.
#[derive(Clone, Copy)]
pub struct SignIn<'a> {
    /// The address that limits count by.
    pub client: IpAddr,
    /// The name, whatever it is.
    pub user: &'a str,
    /// The password.
    pub password: &'a SecretString,
}

/// What the password of a name is checked by.
#[derive(Debug, Clone)]
pub enum Stored {
    /// By the user's own hash.
    Known(PasswordHash),
    /// There is no such user, or none that signs in by password: by one that costs as much.
    Unknown(PasswordHash),
}

/// What a check has found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Checked {
    /// It is not the password, or there is no such user.
    Wrong,
    /// It is the password.
    Right {
        /// What is to be stored instead of the hash, if that was old. It may be lost; then there will be another one.
        rehashed: Option<PasswordHash>,
    },
}

/// An access token that is looked at. Dropped without an end, it says nothing about its client.
pub struct TokenCheck {
    attempt: TokenAttempt,
    verified: Arc<Verified>,
    client: IpAddr,
    proof: Proof,
    is_repeated: bool,
}

impl Checked {
    const REMEMBERED: Self = Self::Right { rehashed: None };

    /// Tells whether it is the password.
    #[must_use]
    pub fn is_right(&self) -> bool {
        match self {
            Self::Wrong => false,
            Self::Right { .. } => true,
        }
    }
}

impl Checks {
    /// Checks within these bounds.
    #[must_use]
    pub fn new(bounds: Bounds) -> Self {
        Self { sign_ins: SignIns::new(bounds), rehashes: false }
    }

    /// Hashes anew what was hashed by an older function, when the password is known.
    #[must_use]
    pub fn rehashing(self) -> Self {
        Self { rehashes: true, ..self }
    }

    /// Checks a password; it takes as long for a user that there is not. What was found out before under the same stored
    /// hash is remembered, so that a client which repeats a wrong password has guessed once, however it sends it.
    ///
    /// The check goes on when the future is dropped, and counts; until it has ended, none begins in its stead.
    ///
    /// # Errors
    /// [`AuthError::Busy`] where the client has to come back later.
    pub async fn check(
        &self,
        verified: &Arc<Verified>,
        sign_in: SignIn<'_>,
        stored: Stored,
    ) -> Result<Checked, AuthError> {
        self.check_evenly(verified, sign_in, stored, None).await
    }

    /// The same where some passwords are stored by bcrypt, at most so dear, and others by argon2id: it takes as long for
    /// each of them.
    ///
    /// # Errors
    /// [`AuthError::Busy`] where the client has to come back later.
    pub async fn check_evenly(
        &self,
        verified: &Arc<Verified>,
        sign_in: SignIn<'_>,
        stored: Stored,
        dearest_bcrypt: Option<u32>,
    ) -> Result<Checked, AuthError> {
        let SignIn { client, user, password } = sign_in;
        let (hash, is_known) = match stored {
            Stored::Known(hash) => (hash, true),
            Stored::Unknown(hash) => (hash, false),
        };
        let proof = verified.proof(user, password, &hash);
        if let Some(checked) = remembered(verified, client, &proof) {
            return Ok(checked);
        }
        let attempt = self.sign_ins.begin(client, user).await;
        // A push sends several requests at once: the first one has found out for the others.
        if let Some(checked) = remembered(verified, client, &proof) {
            return Ok(checked);
        }
        let attempt = attempt?;
        let (user, password) = (user.to_owned(), password.clone());
        let may_rehash = self.rehashes;
        let verified = Arc::clone(verified);
        let checked = tokio::task::spawn_blocking(move || {
            let password = password.expose_secret();
            let is_right = hash.is_of(password) && is_known;
            if let Some(dearest) = dearest_bcrypt {
                hash.even_out(password, dearest);
            }
            if is_right {
                verified.remember(proof);
            } else {
                verified.remember_wrong(client, proof);
            }
            let is_old = is_right && may_rehash && hash.needs_rehash();
            let rehashed = is_old.then(|| PasswordHash::of(password));
            // Last: the next of this client goes on then, and finds what this one has found out.
            attempt.end(&user, is_right);
            if is_right { Checked::Right { rehashed } } else { Checked::Wrong }
        });
        Ok(checked.await.unwrap_or(Checked::Wrong))
    }

    /// Begins to look at an access token, whose id is that; empty if it has none. One that the client repeats has been
    /// counted when it was wrong before, and is looked at again.
    ///
    /// # Errors
    /// [`AuthError::Busy`] where the client has sent too many wrong ones, and has to come back later.
    pub fn begin_token(
        &self,
        verified: &Arc<Verified>,
        client: IpAddr,
        token: &SecretString,
        id: &str,
    ) -> Result<TokenCheck, AuthError> {
        let proof = verified.proof_of_token(token);
        let is_repeated = verified.is_wrong(client, &proof);
        let attempt = self.sign_ins.begin_token(client, id, is_repeated)?;
        Ok(TokenCheck { attempt, verified: Arc::clone(verified), client, proof, is_repeated })
    }

    /// Hashes a new password for a client, in the same queue as the checks. `user` is who sends it.
    ///
    /// # Errors
    /// [`AuthError::Busy`] where the client has to come back later.
    pub async fn hash(
        &self,
        client: IpAddr,
        user: &str,
        password: NewPassword,
    ) -> Result<PasswordHash, AuthError> {
        let attempt = self.sign_ins.begin(client, user).await?;
        let hashed = tokio::task::spawn_blocking(move || {
            let hash = PasswordHash::new(&password);
            drop(attempt);
            hash
        });
        let retry_after = Duration::from_secs(1);
        hashed.await.map_err(|_| AuthError::Busy { limit: "sign_ins", retry_after })
    }
}

impl TokenCheck {
    /// Ends it: the token was right, or was not.
    pub fn end(self, is_right: bool) {
        if is_right {
            self.attempt.succeed();
        } else if !self.is_repeated {
            self.verified.remember_wrong(self.client, self.proof);
            self.attempt.fail();
        }
    }
}

fn remembered(verified: &Verified, client: IpAddr, proof: &Proof) -> Option<Checked> {
    if verified.has(proof) {
        return Some(Checked::REMEMBERED);
    }
    // A machine that goes on sending an old password has guessed once.
    verified.is_wrong(client, proof).then_some(Checked::Wrong)
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;
    use std::time::Instant;

    use super::*;
    use crate::config::SignInSettings;

    const LIMITS: SignInSettings = SignInSettings {
        waiting: 64,
        per_client: 32,
        wrong_passwords: 3,
        longest_pause: Duration::from_mins(1),
    };

    /// Of `password`.
    static BY_BCRYPT: LazyLock<String> = LazyLock::new(|| bcrypt::hash("password", 4).unwrap());

    fn checks(at_once: usize) -> Checks {
        Checks::new(Bounds { limits: LIMITS, at_once, wrong_by_user: None }).rehashing()
    }

    fn client(number: u8) -> IpAddr {
        [198, 51, 100, number].into()
    }

    fn known() -> Stored {
        Stored::Known(BY_BCRYPT.parse().unwrap())
    }

    async fn check(
        checks: &Checks,
        verified: &Arc<Verified>,
        number: u8,
        password: &str,
        stored: Stored,
    ) -> Result<Checked, AuthError> {
        let password = password.into();
        let sign_in = SignIn { client: client(number), user: "anna", password: &password };
        checks.check(verified, sign_in, stored).await
    }

    #[tokio::test]
    async fn a_hash_by_an_old_function_is_made_anew_once_the_password_is_known() {
        let (checks, verified) = (checks(1), Arc::default());
        assert_eq!(check(&checks, &verified, 1, "wrong", known()).await, Ok(Checked::Wrong));
        let Ok(Checked::Right { rehashed: Some(hash) }) =
            check(&checks, &verified, 1, "password", known()).await
        else {
            panic!("it is right, and old");
        };
        assert!(hash.is_of("password") && !hash.needs_rehash());
        let again = check(&checks, &verified, 1, "password", known()).await;
        assert_eq!(again, Ok(Checked::REMEMBERED));
        let new = check(&checks, &verified, 1, "password", Stored::Known(hash)).await;
        assert_eq!(new, Ok(Checked::REMEMBERED), "it is not old any more");
    }

    #[tokio::test]
    async fn what_is_checked_evenly_is_found_as_before() {
        for dearest in [None, Some(4), Some(6)] {
            let (checks, verified) = (checks(1), Arc::default());
            for (password, stored, is_right) in [
                ("password", known(), true),
                ("wrong", known(), false),
                ("password", Stored::Known(PasswordHash::of("password")), true),
                ("other", Stored::Unknown(PasswordHash::of_no_password()), false),
            ] {
                let password = password.into();
                let sign_in = SignIn { client: client(1), user: "anna", password: &password };
                let checked = checks.check_evenly(&verified, sign_in, stored, dearest).await;
                assert_eq!(checked.unwrap().is_right(), is_right, "{dearest:?}");
            }
        }
    }

    #[tokio::test]
    async fn what_was_right_is_forgotten_with_the_hash_and_of_unknown_users_nothing_is_right() {
        let (checks, verified) = (checks(1), Arc::default());
        assert!(check(&checks, &verified, 1, "password", known()).await.unwrap().is_right());
        let other = Stored::Known(PasswordHash::of("another password"));
        assert_eq!(check(&checks, &verified, 1, "password", other).await, Ok(Checked::Wrong));
        let gone = Stored::Unknown(BY_BCRYPT.parse().unwrap());
        let other = Arc::default();
        assert_eq!(check(&checks, &other, 1, "password", gone).await, Ok(Checked::Wrong));
    }

    /// Rule 17 of the token flow: a POST, and the GET that follows it.
    #[tokio::test]
    async fn a_wrong_password_that_is_sent_twice_counts_once() {
        let (checks, verified) = (checks(1), Arc::default());
        for _ in 0..20 {
            assert_eq!(check(&checks, &verified, 1, "stale", known()).await, Ok(Checked::Wrong));
        }
        for guess in ["1", "2"] {
            assert_eq!(check(&checks, &verified, 1, guess, known()).await, Ok(Checked::Wrong));
        }
        let limited = check(&checks, &verified, 1, "3", known()).await;
        assert!(
            matches!(limited, Err(AuthError::Busy { limit: "wrong_passwords", .. })),
            "{limited:?}"
        );
    }

    #[tokio::test]
    async fn the_permit_of_a_client_that_hangs_up_is_free_when_its_hash_has_ended() {
        let (checks, verified) = (Arc::new(checks(1)), Arc::<Verified>::default());
        let dear = || Stored::Unknown(PasswordHash::bcrypt_of_no_password(12));
        let gone = {
            let (checks, verified) = (Arc::clone(&checks), Arc::clone(&verified));
            tokio::spawn(async move { check(&checks, &verified, 1, "guess", dear()).await })
        };
        while checks.sign_ins.under_way() == 0 {
            tokio::task::yield_now().await;
        }
        gone.abort();
        assert!(gone.await.unwrap_err().is_cancelled());
        assert_eq!(checks.sign_ins.under_way(), 1, "the hash goes on");
        // One that waits and hangs up leaves nothing behind.
        let soon = Duration::from_millis(5);
        let waiting = check(&checks, &verified, 2, "guess", known());
        assert!(tokio::time::timeout(soon, waiting).await.is_err(), "another one began beside it");
        let begun = Instant::now();
        while checks.sign_ins.under_way() > 0 {
            assert!(begun.elapsed() < Duration::from_mins(1), "a permit is lost");
            tokio::time::sleep(soon).await;
        }
        assert!(checks.sign_ins.is_empty(), "a slot is lost");
        let again = check(&checks, &verified, 1, "guess", dear()).await;
        assert_eq!(again, Ok(Checked::Wrong), "it was counted, and is remembered");
    }

    #[tokio::test]
    async fn a_new_password_waits_in_the_same_queue() {
        let checks = checks(1);
        let password = || NewPassword::new("correct horse".into()).unwrap();
        let hash = checks.hash(client(1), "anna", password()).await.unwrap();
        assert!(hash.is_of("correct horse"));
        let full = Checks::new(Bounds {
            limits: SignInSettings { waiting: 0, ..LIMITS },
            at_once: 1,
            wrong_by_user: None,
        });
        let refused = full.hash(client(1), "anna", password()).await;
        assert!(matches!(refused, Err(AuthError::Busy { limit: "sign_ins", .. })), "{refused:?}");
    }
}
