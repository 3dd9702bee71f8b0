//! Roots that are retained: what is below them is served as long as a client may come to them by the DNS.
//!
//! A retained root has one link more in the index, so that it does not die when another root replaces it. It
//! is retained before it is written anywhere, and released `keep` after another one was seen instead, or after
//! another one was written and no server returned it any more.

use cid::Cid;

use super::super::links::unlink;
use super::super::now;
use super::answers::answers;
use super::{Publisher, Result, link, unable};
use crate::dnslink::Change;
use crate::index::PublishedRoot;
use crate::oci::TreeId;

impl Publisher {
    /// Holds the public root. Returns false if it is not that any more.
    pub(super) async fn hold(&self, root: &Cid) -> Result<bool> {
        let index = &self.registry.index;
        let published = index.published_roots().await.map_err(unable)?;
        if published.iter().any(|root_row| root_row.root == *root && root_row.expires.is_none()) {
            return Ok(true);
        }
        let mut writer = index.lock().await.map_err(unable)?;
        if writer.tree_state(TreeId::Public).await.map_err(unable)?.root != Some(*root) {
            return Ok(false);
        }
        let now = now();
        writer.begin().await.map_err(unable)?;
        if writer.hold_root(root, now).await.map_err(unable)? {
            writer.add_node_refs(TreeId::Public, &[(*root, 1)], now).await.map_err(unable)?;
        }
        writer.commit().await.map_err(unable)?;
        Ok(true)
    }

    /// Notes which roots the DNS names: the others may go in a while.
    pub(super) async fn note(&self, roots: &[Cid]) -> Result<()> {
        let now = now();
        let keep = i64::try_from(self.config.keep.as_millis()).unwrap_or(i64::MAX);
        let mut writer = self.registry.index.lock().await.map_err(unable)?;
        writer.set_published(roots, now, now.saturating_add(keep)).await.map_err(unable)
    }

    /// Notes the same where not all servers return what is expected, so that there is an end to what was replaced
    /// before they did: what is expected and what any server returns is retained. Without an answer nothing is known.
    pub(super) async fn note_answered(&self, change: &Change) -> Result<()> {
        let Ok(responses) = self.zone.query(&change.domain).await else { return Ok(()) };
        let Ok(answers) = answers(&responses) else { return Ok(()) };
        let is_in_dns = |root: &PublishedRoot| {
            let link = link(&root.root);
            change.expected.contains(&link) || answers.iter().any(|texts| texts.contains(&link))
        };
        let published = self.registry.index.published_roots().await.map_err(unable)?;
        if published.iter().all(|root| is_in_dns(root) == root.expires.is_none()) {
            return Ok(());
        }
        let in_dns: Vec<Cid> =
            published.into_iter().filter(is_in_dns).map(|root| root.root).collect();
        self.note(&in_dns).await
    }

    /// Releases roots whose time has come, except the one that is to be published.
    pub(super) async fn release(&self, target: &Cid) -> Result<()> {
        let index = &self.registry.index;
        let (mut due, mut retained) = (Vec::new(), Vec::new());
        for root in index.published_roots().await.map_err(unable)? {
            let is_over = root.expires.is_some_and(|expires| expires <= now());
            let list = if is_over && root.root != *target { &mut due } else { &mut retained };
            list.push(root.root);
        }
        if due.is_empty() {
            return Ok(());
        }
        // Before the rows go: while they are there, it is done again if it fails.
        if let Some(announcer) = self.registry.storage.announcer() {
            announcer.release_published(&retained).await.map_err(unable)?;
        }
        for root in &due {
            let mut writer = index.lock().await.map_err(unable)?;
            writer.begin().await.map_err(unable)?;
            if writer.release_root(root).await.map_err(unable)? {
                unlink(&mut writer, root).await.map_err(unable)?;
            }
            writer.commit().await.map_err(unable)?;
        }
        tracing::debug!(count = due.len(), "released replaced roots");
        Ok(())
    }
}
