//! How an intent is checked, and what it does to the tree and to the rows.
//!
//! An intent is checked once, in a transaction that sees all earlier ones; from then on its edits
//! are final. Edits of an image go content, links, revision, tag; removals go tag, revision, links:
//! a client that reads the tree in between never meets a tag without its image.

use std::collections::HashSet;

use super::documents::{Document, Found};
use super::intent::{Intent, Planned, PlannedInTree, Refusal};
use super::references::{Lost, References, with_canonical};
use super::{
    Condition, RegistryError, Result, collection, deletion, layout, now, purge, removal, visibility,
};
use crate::index::{EdgeKind, ManifestEdge, NewManifest, TagRow, Writer};
use crate::oci::{
    CanonicalDigest, Descriptor, Digest, Manifest, RepositoryName, RepositoryRecord, Tag, TreeId,
};
use crate::storage::{Edit, TreeEdit};

impl Intent {
    /// Checks the intent against the rows, and against what is known to be `lost` from the storage; returns its edits,
    /// in the tree where the repository is by then.
    pub(super) async fn plan(
        &self,
        writer: &mut Writer,
        document: Option<&Found>,
        lost: &Lost,
        sparse_indexes: bool,
    ) -> Result<Planned> {
        if let Self::SetVisibility { repository, visibility } = self {
            return visibility::plan(writer, repository, *visibility, lost).await;
        }
        if let Self::RemoveRepository { repository } = self {
            return removal::plan(writer, repository).await;
        }
        if let Self::Collect { before, blobs, .. } = self {
            return collection::plan(writer, *before, blobs).await;
        }
        let Some(repository) = self.repository() else { return Ok(Ok(Vec::new())) };
        let record = writer.repository(repository).await?;
        if let Self::PutManifest { identity: Some(identity), .. } = self
            && record.as_ref().map(RepositoryRecord::identity) != Some(*identity)
        {
            return Ok(Err(Refusal::Removed));
        }
        let tree = match record {
            Some(record) => record.tree,
            None => writer.new_visibility(repository).await?.tree(),
        };
        let planned = self.plan_in(tree, writer, document, lost, sparse_indexes).await?;
        Ok(planned.map(|edits| TreeEdit::all(tree, edits)))
    }

    async fn plan_in(
        &self,
        tree: TreeId,
        writer: &mut Writer,
        document: Option<&Found>,
        lost: &Lost,
        sparse_indexes: bool,
    ) -> Result<PlannedInTree> {
        match self {
            Self::PutManifest {
                repository,
                manifest,
                digest,
                tags,
                by_tag,
                condition,
                guard,
                ..
            } => {
                let Document { content: own, manifest: parsed, .. } = match document {
                    Some(Found::Parsed(document)) => document.as_ref(),
                    Some(Found::Invalid) => return Ok(Err(Refusal::Invalid)),
                    Some(Found::Absent) | None => return Ok(Err(Refusal::Unknown)),
                };
                let needs = References::find(writer, repository, parsed, sparse_indexes).await?;
                if !needs.missing.is_empty() {
                    return Ok(Err(Refusal::MissingReferences(needs.missing)));
                }
                if let Some(why) = needs.first_lost(manifest, lost) {
                    return Ok(Err(Refusal::Failed(why.to_owned())));
                }
                // What is wrong without a condition comes before it (RFC 9110, 13.2.1).
                let by_tag = tags.first().filter(|_| *by_tag);
                if let Some(refusal) =
                    refused(writer, repository, by_tag, digest, condition).await?
                {
                    return Ok(Err(refusal));
                }
                if let Some(refusal) = guard.on_put(writer, repository, tags, manifest).await? {
                    return Ok(Err(refusal));
                }
                let mut edits = needs.edits(repository);
                edits.push(Edit::link(layout::blob_data(manifest), own));
                let names = with_canonical(*manifest, *digest);
                if let Some(subject) = &parsed.subject {
                    edits.extend(names.iter().map(|name| {
                        let path = layout::referrer_link(repository, &subject.digest, name);
                        Edit::put(path, manifest.to_string())
                    }));
                }
                edits.extend(names.iter().map(|name| {
                    Edit::put(layout::revision_link(repository, name), manifest.to_string())
                }));
                for tag in tags {
                    let before = writer.tag(repository, tag).await?;
                    edits.extend(point(
                        repository,
                        tag,
                        manifest,
                        digest,
                        before.map(|row| row.digest),
                    ));
                }
                // An index may have named it as a blob before it was a manifest.
                if !writer.linked_names(repository, manifest).await?.is_empty() {
                    let row = new_manifest(*manifest, vec![*digest], parsed);
                    writer.put_manifest(repository, &row, now()).await?;
                    edits.extend(deletion::unlink(writer, repository, manifest).await?);
                }
                Ok(Ok(edits))
            }
            Self::DeleteTag { repository, tag, condition, guard } => {
                match writer.tag(repository, tag).await? {
                    Some(row) if !condition.allows(Some(&row.digest)) => {
                        Ok(Err(Refusal::ConditionOn(Some(row.digest))))
                    }
                    Some(row) => {
                        let refusal = guard.on_delete_tag(writer, repository, tag, row.digest);
                        let edits = vec![Edit::remove(layout::tag(repository, tag))];
                        Ok(refusal.await?.map_or(Ok(edits), Err))
                    }
                    None => Ok(Err(Refusal::Unknown)),
                }
            }
            Self::DeleteManifest { repository, digest, condition, guard } => {
                let refusal = guard.on_delete_manifest(writer, repository, digest).await?;
                if let Some(refusal) = refusal {
                    return Ok(Err(refusal));
                }
                deletion::plan_manifest(writer, tree, repository, digest, condition).await
            }
            Self::Purge { repository, digest, contents, children, guard } => {
                let refusal = guard.on_delete_manifest(writer, repository, digest).await?;
                if let Some(refusal) = refusal {
                    return Ok(Err(refusal));
                }
                purge::plan(writer, tree, repository, digest, contents, children).await
            }
            Self::DeleteBlob { repository, digest } => {
                deletion::plan_blob(writer, tree, repository, digest).await
            }
            Self::SetVisibility { .. } | Self::RemoveRepository { .. } | Self::Collect { .. } => {
                Ok(Ok(Vec::new()))
            }
        }
    }

    /// Writes the rows of a checked intent that came to these edits. In a transaction.
    pub(super) async fn record(
        &self,
        writer: &mut Writer,
        document: Option<&Found>,
        edits: &[TreeEdit],
    ) -> Result<()> {
        match self {
            Self::PutManifest { repository, manifest, digest, tags, is_adopted, .. } => {
                let Some(found) = document else {
                    return Err(RegistryError::Record(format!("{manifest} was not read")));
                };
                let parsed = &found.expect(manifest)?.manifest;
                let row = new_manifest(*manifest, vec![*digest], parsed);
                let tree = edits.first().map(|edit| edit.tree);
                writer.put_manifest_in(tree, repository, &row, now()).await?;
                let target = TagRow { digest: *digest, canonical: *manifest };
                for tag in tags {
                    if *is_adopted {
                        writer.put_tag_of_unknown_time(repository, tag, &target).await?;
                    } else {
                        writer.put_tag(repository, tag, &target).await?;
                    }
                }
            }
            Self::DeleteTag { repository, tag, .. } => writer.remove_tag(repository, tag).await?,
            Self::DeleteManifest { repository, digest, .. } => {
                if let Some(row) = writer.manifest(repository, digest).await? {
                    let foreign =
                        writer.manifest_with_foreign_layers(repository, &row.canonical).await?;
                    writer.remove_manifest(repository, &row.canonical).await?;
                    // It had no edges to layers that need not be here.
                    let layers: Vec<Digest> =
                        collection::foreign_layers(foreign.as_slice()).into_iter().collect();
                    writer.renew_unnamed(repository, &layers).await?;
                }
            }
            Self::Purge { repository, digest, contents, children, .. } => {
                purge::record(writer, repository, digest, contents, children).await?;
            }
            Self::DeleteBlob { repository, digest } => {
                if let Some(row) = writer.blob(repository, digest).await? {
                    writer.remove_blob(repository, &row.canonical).await?;
                }
            }
            Self::SetVisibility { repository, visibility } => {
                writer.set_visibility(repository, *visibility, now()).await?;
                // Its links went with it.
                return Ok(());
            }
            Self::RemoveRepository { repository } => {
                return Ok(writer.remove_repository(repository).await?);
            }
            Self::Collect { before, blobs, contents } => {
                collection::record(writer, *before, blobs, contents).await?;
            }
        }
        self.record_links(writer, edits).await
    }

    /// Notes which links the trees have now.
    pub(super) async fn record_links(&self, writer: &mut Writer, edits: &[TreeEdit]) -> Result<()> {
        let (mut made, mut gone) = (Vec::new(), Vec::new());
        for TreeEdit { edit, .. } in edits {
            match edit {
                Edit::Put { path, .. } => made.extend(layout::read_layer_link(path)),
                Edit::Remove { path } => gone.extend(layout::read_layer_link(path)),
                Edit::Link { .. } => {}
            }
        }
        // A purge takes links of other repositories, too.
        for links in gone.chunk_by(|(one, _), (other, _)| one == other) {
            let names: Vec<Digest> = links.iter().map(|(_, digest)| *digest).collect();
            writer.set_linked(&links[0].0, &names, false).await?;
        }
        let made: Vec<Digest> = made.into_iter().map(|(_, digest)| digest).collect();
        if let Some(repository) = self.repository() {
            writer.set_linked(repository, &made, true).await?;
        }
        Ok(())
    }
}

/// Refuses a manifest that may not be put where it was pushed to: at a tag, or else at its digest.
async fn refused(
    writer: &mut Writer,
    repository: &RepositoryName,
    tag: Option<&Tag>,
    digest: &Digest,
    condition: &Condition,
) -> Result<Option<Refusal>> {
    if condition.is_none() {
        return Ok(None);
    }
    let current = match tag {
        Some(tag) => writer.tag(repository, tag).await?.map(|row| row.digest),
        None => writer.manifest(repository, digest).await?.map(|_| *digest),
    };
    Ok((!condition.allows(current.as_ref())).then_some(Refusal::ConditionOn(current)))
}

/// Makes the row of a manifest out of its parsed form.
pub(super) fn new_manifest(
    canonical: CanonicalDigest,
    aliases: Vec<Digest>,
    manifest: &Manifest,
) -> NewManifest {
    let edge = |kind| move |target: Digest| ManifestEdge { kind, target };
    let blobs = manifest.blobs.iter().filter(|blob| !blob.is_foreign());
    let edges = (blobs.map(|blob| blob.digest).map(edge(EdgeKind::Blob)))
        .chain(manifest.children.iter().map(|child| child.digest).map(edge(EdgeKind::Child)))
        .chain(manifest.subject.iter().map(|subject| subject.digest).map(edge(EdgeKind::Subject)));
    let mut seen = HashSet::new();
    NewManifest {
        canonical,
        aliases,
        media_type: manifest.media_type.as_str().to_owned(),
        artifact_type: manifest.artifact_type.clone(),
        has_foreign_layers: manifest.blobs.iter().any(Descriptor::is_foreign),
        edges: edges.filter(|edge| seen.insert(edge.clone())).collect(),
    }
}

/// Points a tag to a manifest: first the pointer, without which no client may meet the tag.
fn point(
    repository: &RepositoryName,
    tag: &Tag,
    manifest: &CanonicalDigest,
    digest: &Digest,
    before: Option<Digest>,
) -> Vec<Edit> {
    let mut edits = vec![
        Edit::put(layout::tag_current_link(repository, tag), manifest.to_string()),
        Edit::put(layout::tag_index_link(repository, tag, digest), manifest.to_string()),
    ];
    if let Some(before) = before.filter(|before| before != digest) {
        edits.push(Edit::remove(layout::tag_index_link(repository, tag, &before)));
    }
    edits
}
