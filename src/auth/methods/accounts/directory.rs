//! What this method needs to know of accounts.

use std::time::SystemTime;

use async_trait::async_trait;
use secrecy::SecretSlice;

use super::super::super::accounts::{AccountName, Rights, TokenHash, TokenId, TokenScopes};
use super::super::super::passwords::PasswordHash;
use super::super::super::signed::Algorithm;

/// What is stored of accounts cannot be had now; the cause is in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unavailable;

/// Where accounts are. What is damaged, disabled or revoked is as good as absent.
#[async_trait]
pub trait Directory: Send + Sync {
    /// Returns the state of the accounts: what was read after a state was seen counts as long as the same is seen again.
    /// A change that was acknowledged before the call, on whatever replica, has another state.
    async fn state(&self) -> Result<u64, Unavailable>;

    /// Finds the user of a name that has a password.
    async fn password(&self, name: &AccountName) -> Result<Option<StoredPassword>, Unavailable>;

    /// Returns the greatest cost of the passwords that are stored by bcrypt; none if there are none.
    async fn dearest_bcrypt(&self) -> Result<Option<u32>, Unavailable>;

    /// Finds a user or a robot by its number.
    async fn principal(&self, id: i64) -> Result<Option<StoredPrincipal>, Unavailable>;

    /// Finds an access token, which may have expired.
    async fn access_token(&self, id: &TokenId) -> Result<Option<StoredToken>, Unavailable>;

    /// Lists the keys that tokens are signed with, the newest first.
    async fn signing_keys(&self) -> Result<Vec<StoredKey>, Unavailable>;

    /// Stores the same password of a user by another hash, if it still has the old one; that may fail.
    async fn rehash(&self, id: i64, old: &PasswordHash, new: &PasswordHash);

    /// Notes that an access token was used now; to be called at each use. That may fail.
    async fn note_use(&self, id: &TokenId);
}

/// The password of a user.
#[derive(Debug, Clone)]
pub struct StoredPassword {
    /// The number of the user.
    pub id: i64,
    /// How often it was changed.
    pub changes: i64,
    /// What the password is checked by.
    pub hash: PasswordHash,
}

/// A user or a robot, and what it may do by itself.
#[derive(Debug, Clone)]
pub struct StoredPrincipal {
    /// Its number, which is never given again.
    pub id: i64,
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: PrincipalKind,
    /// Its rights.
    pub rights: Rights,
    /// How often its password was changed: what was given out for an earlier one is no longer good.
    pub password_changes: i64,
}

/// What a principal is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PrincipalKind {
    /// A user.
    User,
    /// A robot.
    Robot {
        /// The user who made it, and whose rights bound it; without one it has none.
        maker: Option<i64>,
    },
}

/// An access token.
#[derive(Debug, Clone)]
pub struct StoredToken {
    /// What its text is compared with.
    pub hash: TokenHash,
    /// The number of whom it is of.
    pub principal: i64,
    /// The number of the user who made it, and whose rights bound it; without one it has none.
    pub maker: Option<i64>,
    /// What it is good for.
    pub scopes: TokenScopes,
    /// When it ends, if ever.
    pub expires: Option<SystemTime>,
}

/// A signing key.
#[derive(Debug, Clone)]
pub struct StoredKey {
    /// What it signs by.
    pub algorithm: Algorithm,
    /// The key pair in PKCS #8.
    pub private_key: SecretSlice<u8>,
    /// From when on it only verifies, if that is known.
    pub retired: Option<SystemTime>,
}

/// A directory that is not there, before there is an index and where no method needs one.
pub struct NoDirectory;

#[async_trait]
impl Directory for NoDirectory {
    async fn state(&self) -> Result<u64, Unavailable> {
        Err(Unavailable)
    }

    async fn password(&self, _: &AccountName) -> Result<Option<StoredPassword>, Unavailable> {
        Err(Unavailable)
    }

    async fn dearest_bcrypt(&self) -> Result<Option<u32>, Unavailable> {
        Err(Unavailable)
    }

    async fn principal(&self, _: i64) -> Result<Option<StoredPrincipal>, Unavailable> {
        Err(Unavailable)
    }

    async fn access_token(&self, _: &TokenId) -> Result<Option<StoredToken>, Unavailable> {
        Err(Unavailable)
    }

    async fn signing_keys(&self) -> Result<Vec<StoredKey>, Unavailable> {
        Err(Unavailable)
    }

    async fn rehash(&self, _: i64, _: &PasswordHash, _: &PasswordHash) {}

    async fn note_use(&self, _: &TokenId) {}
}
