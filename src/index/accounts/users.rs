//! Users: adding them, the first administrator, and what they are.

use secrecy::{ExposeSecret, SecretString};

use super::super::connection::{Connection, on};
use super::super::{Actor, Index, Result};
use super::change::Change;
use super::namespaces::{self, has_repositories};
use super::principals::{find, is_last_administrator, is_named, is_reserved};
use super::rows::{Added, Changed, FirstAdministrator, NewUser, PrincipalKind};
use super::setup;

impl Index {
    /// Adds a user, and the namespace of that name, which it owns. The name is taken where there is or was a principal of
    /// that name, where it is reserved, and where the namespace has come to be without it.
    pub async fn add_user(&self, user: &NewUser<'_>, actor: &Actor, now: i64) -> Result<Added> {
        let mut change = self.begin_change(actor, now).await?;
        let connection = change.connection();
        if is_reserved(connection, user.name).await?
            || is_named(connection, user.name).await?
            || namespaces::find(connection, user.name).await?.is_some()
            || has_repositories(connection, user.name).await?
        {
            return change.undo(Added::Taken).await;
        }
        let id = insert(&mut change, user).await?;
        namespaces::insert(change.connection(), user.name, Some(id), now).await?;
        change.commit(Added::Made(id)).await
    }

    /// Returns the greatest cost of the passwords that are stored by bcrypt, as imported users have them until they sign in;
    /// none if there are none.
    pub async fn dearest_bcrypt(&self) -> Result<Option<u32>> {
        let connection = &mut self.read().await?;
        // `$2y$10$…`
        let (cost,): (Option<String>,) = on!(connection, "looking for imported passwords", db =>
            sqlx::query_as("SELECT MAX(substr(password, 5, 2)) FROM principals WHERE password LIKE '$2__%'")
                .fetch_one(db)
                .await)?;
        Ok(cost.and_then(|cost| cost.parse().ok()))
    }

    /// Adds an administrator if there is no user at all, in whatever process that is tried first. A namespace of that name
    /// that is there already stays the administrators', which includes this one.
    pub async fn add_first_administrator(
        &self,
        name: &str,
        password: &SecretString,
        actor: &Actor,
        now: i64,
    ) -> Result<FirstAdministrator> {
        if self.has_users().await? {
            return Ok(FirstAdministrator::Exists);
        }
        let mut change = self.begin_change(actor, now).await?;
        let connection = change.connection();
        if has_users(connection).await? {
            return change.undo(FirstAdministrator::Exists).await;
        }
        if is_reserved(connection, name).await? || is_named(connection, name).await? {
            return change.undo(FirstAdministrator::Taken).await;
        }
        let is_free = namespaces::find(connection, name).await?.is_none();
        let is_empty = is_free && !has_repositories(connection, name).await?;
        let user = NewUser { name, password: Some(password), is_admin: true };
        let id = insert(&mut change, &user).await?;
        if is_free {
            let owner = is_empty.then_some(id);
            namespaces::insert(change.connection(), name, owner, now).await?;
        }
        setup::forget(change.connection()).await?;
        change.commit(FirstAdministrator::Made(id)).await
    }

    /// Tells whether there is any user.
    pub async fn has_users(&self) -> Result<bool> {
        has_users(&mut self.read().await?).await
    }

    /// Gives a user another password, by its hash. What was given out for an earlier one is no longer valid.
    pub async fn set_password(
        &self,
        id: i64,
        password: &SecretString,
        actor: &Actor,
        now: i64,
    ) -> Result<Changed> {
        let mut change = self.begin_change(actor, now).await?;
        let connection = change.connection();
        let found: Option<(String,)> = on!(connection, "setting a password", db => sqlx::query_as(
            "UPDATE principals SET password = $2, password_changes = password_changes + 1 \
             WHERE id = $1 AND kind = 'user' RETURNING name",
        )
        .bind(id)
        .bind(password.expose_secret())
        .fetch_optional(db)
        .await)?;
        let Some((name,)) = found else { return change.undo(Changed::Unknown).await };
        change.note("user", format!("password {name}")).await?;
        change.commit(Changed::Done).await
    }

    /// Stores the same password by another hash, unless it was changed meanwhile. It is no change of the account: what was
    /// given out for it stays valid. Returns whether it was stored.
    pub async fn rehash_password(
        &self,
        id: i64,
        old: &SecretString,
        new: &SecretString,
    ) -> Result<bool> {
        let connection = &mut self.write().await?;
        let stored = on!(connection, "storing a password by another hash", db =>
            sqlx::query("UPDATE principals SET password = $3 WHERE id = $1 AND password = $2")
                .bind(id)
                .bind(old.expose_secret())
                .bind(new.expose_secret())
                .execute(db)
                .await
                .map(|done| done.rows_affected()))?;
        Ok(stored > 0)
    }

    /// Makes a user an administrator, or one no longer.
    pub async fn set_admin(
        &self,
        id: i64,
        is_admin: bool,
        actor: &Actor,
        now: i64,
    ) -> Result<Changed> {
        let mut change = self.begin_change(actor, now).await?;
        let found = find(change.connection(), id).await?;
        let Some(user) = found.filter(|it| it.kind == PrincipalKind::User) else {
            return change.undo(Changed::Unknown).await;
        };
        if user.is_admin == is_admin {
            return change.undo(Changed::Unchanged).await;
        }
        if !is_admin && is_last_administrator(change.connection(), &user).await? {
            return change.undo(Changed::LastAdministrator).await;
        }
        let connection = change.connection();
        on!(connection, "making a user an administrator", db =>
            sqlx::query("UPDATE principals SET is_admin = $2 WHERE id = $1")
                .bind(id)
                .bind(i64::from(is_admin))
                .execute(db)
                .await
                .map(drop))?;
        let done = if is_admin { "promote" } else { "demote" };
        change.note("user", format!("{done} {}", user.name)).await?;
        change.commit(Changed::Done).await
    }
}

async fn has_users(connection: &mut Connection) -> Result<bool> {
    let found: Option<(i64,)> = on!(connection, "looking for users", db =>
        sqlx::query_as("SELECT id FROM principals WHERE kind = 'user' LIMIT 1")
            .fetch_optional(db)
            .await)?;
    Ok(found.is_some())
}

/// Adds the row of a user whose name is free, and its event; returns its number.
async fn insert(change: &mut Change<'_>, user: &NewUser<'_>) -> Result<i64> {
    let now = change.now();
    let connection = change.connection();
    let (id,): (i64,) = on!(connection, "adding a user", db => sqlx::query_as(
        "INSERT INTO principals (kind, name, password, is_admin, is_disabled, created) \
         VALUES ('user', $1, $2, $3, 0, $4) RETURNING id",
    )
    .bind(user.name)
    .bind(user.password.map(ExposeSecret::expose_secret))
    .bind(i64::from(user.is_admin))
    .bind(now)
    .fetch_one(db)
    .await)?;
    let role = if user.is_admin { " as an administrator" } else { "" };
    change.note("user", format!("add {}{role}", user.name)).await?;
    Ok(id)
}
