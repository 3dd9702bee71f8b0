//! The events of what this room does: who did it, and to what.

use std::borrow::Cow;
use std::time::Duration;

use super::guard::Guard;
use super::intent::Intent;
use super::{Registry, Result, now};
use crate::auth::Caller;
use crate::index::{Actor, NewEvent, PrunedEvents, Writer};
use crate::oci::Tag;

/// A manifest was pushed.
pub(super) const PUSH: &str = "push";

/// A tag, a manifest, a blob or a repository was deleted.
pub(super) const DELETE: &str = "delete";

/// A rule has deleted a tag, or a manifest without one.
pub(super) const RETENTION: &str = "retention";

/// A protected tag was to be deleted.
pub(super) const REFUSED: &str = "refused";

/// A manifest or a blob was purged.
pub(super) const PURGE: &str = "purge";

/// Others may see a repository than could before.
pub(super) const VISIBILITY: &str = "visibility";

/// Garbage was collected.
pub(super) const COLLECT: &str = "collect";

/// The public root was published.
pub(super) const PUBLISH: &str = "publish";

impl Registry {
    /// Removes events that are older than `keep`, and handled by all subscribers or twice as old.
    ///
    /// # Errors
    /// Those of the index; it may be repeated.
    pub async fn prune_events(&self, keep: Duration) -> Result<PrunedEvents> {
        let keep = i64::try_from(keep.as_millis()).unwrap_or(i64::MAX);
        let (old, oldest) =
            (now().saturating_sub(keep), now().saturating_sub(keep.saturating_mul(2)));
        Ok(self.index.prune_events(old, oldest).await?)
    }
}

impl Intent {
    /// Adds to the event of a deletion what goes with it: of a tag the digest that it names, of a manifest its tags. To be
    /// called before the rows go.
    pub(super) async fn with_what_goes(
        &self,
        writer: &mut Writer,
        mut event: NewEvent,
    ) -> Result<NewEvent> {
        match self {
            Self::DeleteTag { repository, tag, .. } => {
                event.digest = writer.tag(repository, tag).await?.map(|row| row.digest);
            }
            Self::DeleteManifest { repository, digest, .. } => {
                if let Some(row) = writer.manifest(repository, digest).await? {
                    // Its bytes are found by that name alone.
                    event.digest = Some(row.canonical.into());
                    let tags = writer.tags_of(repository, &row.canonical).await?;
                    let tags: Vec<String> = tags.iter().map(|(tag, _)| tag.to_string()).collect();
                    event.reference = (!tags.is_empty()).then(|| tags.join(","));
                }
            }
            _ => {}
        }
        Ok(event)
    }
}

impl From<&Caller> for Actor {
    fn from(caller: &Caller) -> Self {
        Self { name: caller.audited_name().map(Cow::into_owned), address: caller.address }
    }
}

impl Guard {
    /// The kind of the event of a deletion: only rules demand that something has been so for long.
    fn kind_of_deletion(&self) -> &'static str {
        let is_by_rule = self.unmoved_for.is_some() || self.untagged_for.is_some();
        if is_by_rule { RETENTION } else { DELETE }
    }
}

impl Intent {
    /// Returns the event that is written when the intent was carried out; `size` is that of the manifest it puts.
    pub(super) fn event(&self, actor: Actor, size: Option<u64>) -> NewEvent {
        let (kind, reference, digest) = match self {
            Self::PutManifest { digest, tags, .. } => {
                let tags: Vec<&str> = tags.iter().map(Tag::as_str).collect();
                (PUSH, (!tags.is_empty()).then(|| tags.join(",")), Some(*digest))
            }
            // What it pointed to, and which tags a manifest had, `with_what_goes` adds.
            Self::DeleteTag { tag, guard, .. } => {
                (guard.kind_of_deletion(), Some(tag.to_string()), None)
            }
            Self::DeleteManifest { digest, guard, .. } => {
                (guard.kind_of_deletion(), None, Some(*digest))
            }
            Self::DeleteBlob { digest, .. } => (DELETE, None, Some(*digest)),
            Self::Purge { digest, .. } => (PURGE, None, Some(*digest)),
            Self::SetVisibility { .. } => (VISIBILITY, None, None),
            Self::RemoveRepository { .. } => (DELETE, None, None),
            Self::Collect { .. } => (COLLECT, None, None),
        };
        let detail = match self {
            Self::SetVisibility { visibility, .. } => Some(visibility.as_str().to_owned()),
            Self::RemoveRepository { .. } => Some("the repository".to_owned()),
            _ => None,
        };
        NewEvent {
            kind: Cow::Borrowed(kind),
            actor,
            repository: self.repository().cloned(),
            reference,
            digest,
            size,
            detail,
        }
    }
}
