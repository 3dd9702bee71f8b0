//! Quotas: what a namespace may have at most.

use super::acting::Acting;
use super::{Administration, AdministrationError as Error, Page, PageRequest, Result, now};
use crate::auth::Caller;
use crate::auth::accounts::{AccountName, ServerAct};
use crate::index::{Changed, Quota, QuotaRow};

/// How many times as many bytes that no manifest names a namespace may have, where that is not said: what was deleted
/// waits for its collection, and beside it the same can be pushed once more.
const UNREFERENCED: u64 = 2;

impl Administration {
    /// Limits a namespace, by an administrator: what is none in `quota` stays as it was. With a number of bytes and none of
    /// unreferenced ones, of these there may be twice as many.
    ///
    /// # Errors
    /// Why not.
    pub async fn set_quota(
        &self,
        caller: &Caller,
        namespace: &str,
        quota: Quota,
    ) -> Result<QuotaRow> {
        let acting = self.acting(caller)?;
        acting.expect(ServerAct::Admin, "set a quota")?;
        if quota == Quota::default() {
            return Err(Error::Invalid(
                "cannot set a quota without a limit: say how many bytes, unreferenced bytes, repositories or tags"
                    .to_owned(),
            ));
        }
        let before = self.index.quota(namespace).await?.map(|row| row.quota).unwrap_or_default();
        let doubled = |bytes: Option<u64>| bytes.map(|it| it.saturating_mul(UNREFERENCED));
        // What was set apart stays.
        let follows = before.unreferenced.is_none() || before.unreferenced == doubled(before.bytes);
        let following = doubled(quota.bytes).filter(|_| follows);
        let quota = Quota {
            bytes: quota.bytes.or(before.bytes),
            unreferenced: quota.unreferenced.or(following).or(before.unreferenced),
            repositories: quota.repositories.or(before.repositories),
            tags: quota.tags.or(before.tags),
        };
        match self.index.set_quota(namespace, &quota, &acting.actor, now()).await? {
            Changed::Unknown => Err(no_namespace(namespace)),
            _ => self.index.quota(namespace).await?.ok_or_else(|| no_quota(namespace)),
        }
    }

    /// Takes the quota of a namespace away, by an administrator.
    ///
    /// # Errors
    /// Why not; that it has none.
    pub async fn remove_quota(&self, caller: &Caller, namespace: &str) -> Result<()> {
        let acting = self.acting(caller)?;
        acting.expect(ServerAct::Admin, "remove a quota")?;
        match self.index.remove_quota(namespace, &acting.actor, now()).await? {
            Changed::Done => Ok(()),
            _ => Err(no_quota(namespace)),
        }
    }

    /// Lists quotas by the names of their namespaces, with what these have: of the namespaces of the caller, all for
    /// administrators.
    ///
    /// # Errors
    /// Why not.
    pub async fn quotas(&self, caller: &Caller, page: PageRequest<'_>) -> Result<Page<QuotaRow>> {
        let acting = self.acting(caller)?;
        if acting.may(ServerAct::Admin) {
            let rows = self.index.quotas(page.after, page.read()).await?;
            return Ok(page.page(rows, |row| row.namespace.clone()));
        }
        if !acting.has_scope(ServerAct::Namespaces) {
            return Err(Acting::lacks("namespaces", "list quotas"));
        }
        let mut rows = Vec::new();
        for name in acting.namespaces_after(page.after) {
            rows.extend(self.index.quota(name).await?);
            if rows.len() >= page.read() as usize {
                break;
            }
        }
        Ok(page.page(rows, |row| row.namespace.clone()))
    }
}

fn no_namespace(name: &str) -> Error {
    let name = short(name);
    Error::unknown(format!("there is no namespace `{name}`; see `roadstead namespace list`"))
}

fn no_quota(name: &str) -> Error {
    let name = short(name);
    Error::unknown(format!("the namespace `{name}` has no quota; see `roadstead quota list`"))
}

fn short(name: &str) -> String {
    name.chars().take(AccountName::MAX_LENGTH).collect()
}
