//! What a deletion takes out of the tree: the names first, then the links that no other manifest of the repository
//! needs, then the content that no repository of the tree names.
//!
//! The tree is a function of what the repositories have, whatever was there before: a push and the deletion of what
//! it pushed leave the root as it was. The rows of blobs stay, and so does their content.

use std::collections::BTreeSet;

use super::intent::{PlannedInTree, Refusal};
use super::{Condition, Result, layout};
use crate::index::{EdgeKind, Writer};
use crate::oci::{CanonicalDigest, Digest, RepositoryName, TreeId};
use crate::storage::Edit;

/// How many manifests are named that keep something from being deleted.
const REFERENCES: u32 = 100;

/// Checks the deletion of a manifest of a repository that is in that tree, and takes its rows away in the open
/// transaction.
pub(super) async fn plan_manifest(
    writer: &mut Writer,
    tree: TreeId,
    repository: &RepositoryName,
    digest: &Digest,
    condition: &Condition,
) -> Result<PlannedInTree> {
    let Some(row) = writer.manifest(repository, digest).await? else {
        return Ok(Err(Refusal::Unknown));
    };
    let names = writer.manifest_names(repository, &row.canonical).await?;
    if let Some(refusal) = references(writer, repository, &names).await? {
        return Ok(Err(refusal));
    }
    // Here too, what is wrong without a condition came first.
    if !condition.allows(Some(digest)) {
        return Ok(Err(Refusal::ConditionOn(Some(*digest))));
    }
    let mut edits = Vec::new();
    for (tag, _) in writer.tags_of(repository, &row.canonical).await? {
        edits.push(Edit::remove(layout::tag(repository, &tag)));
    }
    for name in &names {
        edits.push(Edit::remove(layout::revision_link(repository, name)));
    }
    let mut targets = Vec::new();
    for edge in writer.edges(repository, &row.canonical).await? {
        if edge.kind == EdgeKind::Subject {
            let links = names
                .iter()
                .map(|name| Edit::remove(layout::referrer_link(repository, &edge.target, name)));
            edits.extend(links);
        } else {
            targets.push(edge.target);
        }
    }
    let blobs = writer.recorded_blobs(repository, &targets).await?;
    let mut contents: BTreeSet<CanonicalDigest> =
        blobs.into_values().map(|row| row.canonical).collect();
    writer.remove_manifest(repository, &row.canonical).await?;
    for canonical in &contents {
        edits.extend(unlink(writer, repository, canonical).await?);
    }
    contents.insert(row.canonical);
    edits.extend(unnamed(writer, tree, contents).await?);
    Ok(Ok(edits))
}

/// Checks the deletion of a blob of a repository that is in that tree, and takes its rows away in the open transaction.
pub(super) async fn plan_blob(
    writer: &mut Writer,
    tree: TreeId,
    repository: &RepositoryName,
    digest: &Digest,
) -> Result<PlannedInTree> {
    let Some(row) = writer.blob(repository, digest).await? else {
        return Ok(Err(Refusal::Unknown));
    };
    let names = writer.blob_names(repository, &row.canonical).await?;
    if let Some(refusal) = references(writer, repository, &names).await? {
        return Ok(Err(refusal));
    }
    // The tree of an earlier version may have them.
    let mut edits = unlink(writer, repository, &row.canonical).await?;
    writer.remove_blob(repository, &row.canonical).await?;
    if !edits.is_empty() {
        edits.extend(unnamed(writer, tree, [row.canonical]).await?);
    }
    Ok(Ok(edits))
}

/// Refuses a deletion while manifests of the repository reference one of these names.
async fn references(
    writer: &mut Writer,
    repository: &RepositoryName,
    names: &[Digest],
) -> Result<Option<Refusal>> {
    let by = writer.referencing(repository, names, REFERENCES).await?;
    let by: Vec<Digest> = by.into_iter().map(Digest::from).collect();
    Ok((!by.is_empty()).then_some(Refusal::ReferencedBy(by)))
}

/// Removes the links to a blob that no manifest of the repository needs. In a transaction, in which they are noted
/// as gone.
pub(super) async fn unlink(
    writer: &mut Writer,
    repository: &RepositoryName,
    canonical: &CanonicalDigest,
) -> Result<Vec<Edit>> {
    let mut links = writer.linked_names(repository, canonical).await?;
    if links.is_empty() {
        return Ok(Vec::new());
    }
    let needed = writer.needed_names(repository, &links).await?;
    // The canonical link goes with the last of them.
    let own = Digest::from(*canonical);
    links.retain(|name| if *name == own { needed.is_empty() } else { !needed.contains(name) });
    writer.set_linked(repository, &links, false).await?;
    Ok(links.iter().map(|name| Edit::remove(layout::layer_link(repository, name))).collect())
}

/// Removes content that no repository of the tree names any more.
pub(super) async fn unnamed(
    writer: &mut Writer,
    tree: TreeId,
    contents: impl IntoIterator<Item = CanonicalDigest>,
) -> Result<Vec<Edit>> {
    let mut edits = Vec::new();
    for canonical in contents {
        if !writer.is_named(tree, &canonical).await? {
            edits.push(Edit::remove(layout::blob_data(&canonical)));
        }
    }
    Ok(edits)
}
