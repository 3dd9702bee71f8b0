//! The removal of a repository with all that it has, in one commit.
//!
//! What leaves the public tree is withheld, as with a change of visibility: the gateway serves it no more, under no root. The
//! bytes of what it had stay stored until they are collected.

use super::intent::{Intent, Planned, Refusal};
use super::{Registry, RegistryError, Result, deletion, layout};
use crate::auth::RemovalGrant;
use crate::index::Writer;
use crate::oci::{CanonicalDigest, RepositoryName};
use crate::storage::{Edit, TreeEdit};

impl Registry {
    /// Removes a repository, and ends the uploads into it. When it returns, that is so for each request, and no root that
    /// the gateway serves leads to it.
    ///
    /// # Errors
    /// [`RegistryError::NameUnknown`]; [`RegistryError::Waiting`], after which it may still be done; those of the index and
    /// the storage.
    pub async fn remove_repository(&self, grant: &RemovalGrant) -> Result<()> {
        let (actor, repository) = (grant.caller().into(), grant.repository().clone());
        let registry = self.clone();
        let removing = async move {
            let record = registry.index.repository(&repository).await?;
            let record = record.ok_or_else(|| RegistryError::NameUnknown(repository.clone()))?;
            let uploads = registry.index.upload_ids_of(&repository).await?;
            registry.commit(actor, Intent::RemoveRepository { repository }).await?;
            for id in uploads {
                registry.end_upload(&id).await;
                registry.discard_upload(&id).await?;
            }
            if record.visibility.is_public() {
                registry.root().await?;
            }
            Ok(())
        };
        self.spawn_uncancellable(removing).await
    }
}

/// Checks the removal of a repository, and takes its rows away in the open transaction.
pub(super) async fn plan(writer: &mut Writer, repository: &RepositoryName) -> Result<Planned> {
    let Some(record) = writer.repository(repository).await? else {
        return Ok(Err(Refusal::Unknown));
    };
    let whole = writer.whole_repository(repository).await?;
    writer.remove_repository(repository).await?;
    let mut edits: Vec<Edit> = layout::parts(repository).map(Edit::remove).into();
    let contents: Vec<CanonicalDigest> = whole.contents.iter().map(|row| row.canonical).collect();
    edits.extend(deletion::unnamed(writer, record.tree, contents).await?);
    Ok(Ok(TreeEdit::all(record.tree, edits)))
}

/// Begins what removes repositories, before anything else is done in the open transaction.
pub(super) async fn begin_all(
    writer: &mut Writer,
    intents: impl Iterator<Item = &Intent>,
) -> Result<()> {
    for intent in intents {
        if let Intent::RemoveRepository { repository } = intent {
            writer.begin_removal(repository).await?;
        }
    }
    Ok(())
}
