//! An entry of the queue that collects: what it takes is looked at again, in its order among all changes.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};

use super::super::events::COLLECT;
use super::super::intent::Planned;
use super::super::{Result, deletion};
use crate::index::{Actor, Collectable, NewEvent, WithForeignLayers, Writer};
use crate::oci::{CanonicalDigest, Descriptor, Digest, Manifest, RepositoryName};
use crate::storage::TreeEdit;

/// What an entry took.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::registry) struct Taken {
    links: u64,
    contents: u64,
    bytes: u64,
}

impl Taken {
    /// Returns the event of it; none if nothing was taken.
    pub(in crate::registry) fn event(self, actor: Actor) -> Option<NewEvent> {
        let Self { links, contents, bytes } = self;
        (links > 0 || contents > 0).then(|| NewEvent {
            kind: Cow::Borrowed(COLLECT),
            actor,
            repository: None,
            reference: None,
            digest: None,
            size: (contents > 0).then_some(bytes),
            detail: Some(format!("{links} blobs of repositories, {contents} stored contents")),
        })
    }
}

/// Checks which of these blobs of repositories may go still; returns the edits that take the links away which trees of
/// earlier versions have to them. What is renewed between this and [`record`] stays without such a link, as any blob
/// that no manifest names. In a transaction.
pub(in crate::registry) async fn plan(
    writer: &mut Writer,
    before: i64,
    blobs: &[(RepositoryName, CanonicalDigest)],
) -> Result<Planned> {
    let mut edits = Vec::new();
    let mut unlinked = Vec::new();
    for row in collectable(writer, before, blobs).await?.iter().filter(|row| row.is_linked) {
        let gone = deletion::unlink(writer, &row.repository, &row.canonical).await?;
        edits.extend(TreeEdit::all(row.tree, gone));
        unlinked.push((row.tree, row.canonical));
    }
    for (tree, canonical) in unlinked {
        let gone = deletion::unnamed(writer, tree, [canonical]).await?;
        edits.extend(TreeEdit::all(tree, gone));
    }
    Ok(Ok(edits))
}

/// Takes these blobs from their repositories, if they may go still, and notes which of the contents are to be forgotten:
/// those that no repository has, and no root that is still served. In a transaction.
pub(in crate::registry) async fn record(
    writer: &mut Writer,
    before: i64,
    blobs: &[(RepositoryName, CanonicalDigest)],
    contents: &[CanonicalDigest],
) -> Result<Taken> {
    let mut taken = Taken::default();
    let mut names: BTreeMap<RepositoryName, Vec<Digest>> = BTreeMap::new();
    for row in collectable(writer, before, blobs).await? {
        taken.links += 1;
        names.entry(row.repository).or_default().extend(row.names);
    }
    for (repository, names) in names {
        writer.remove_names(&repository, &names).await?;
    }
    if !contents.is_empty() {
        for content in writer.free_content(contents, before).await? {
            taken.contents += 1;
            taken.bytes += content.size;
            // No tree has it, nor any root that is still served.
            writer.discard(&content.canonical).await?;
        }
    }
    Ok(taken)
}

/// Returns those that may go: no manifest names them, also not as a layer that need not be here.
async fn collectable(
    writer: &mut Writer,
    before: i64,
    blobs: &[(RepositoryName, CanonicalDigest)],
) -> Result<Vec<Collectable>> {
    if blobs.is_empty() {
        return Ok(Vec::new());
    }
    let mut rows = writer.collectable(blobs, before).await?;
    let mut foreign: HashMap<RepositoryName, HashSet<Digest>> = HashMap::new();
    let candidates: HashSet<&Digest> = rows.iter().flat_map(|row| &row.names).collect();
    for row in &rows {
        if foreign.contains_key(&row.repository) {
            continue;
        }
        let (mut layers, mut last) = (HashSet::new(), None);
        loop {
            let page = writer.manifests_with_foreign_layers(&row.repository, last.as_ref()).await?;
            let Some((end, ..)) = page.last() else { break };
            last = Some(*end);
            let named = foreign_layers(&page).into_iter();
            layers.extend(named.filter(|layer| candidates.contains(&layer)));
        }
        foreign.insert(row.repository.clone(), layers);
    }
    rows.retain(|row| {
        let layers = foreign.get(&row.repository);
        layers.is_none_or(|layers| row.names.iter().all(|name| !layers.contains(name)))
    });
    Ok(rows)
}

/// Returns the digests of layers that need not be in the registry, out of manifests.
pub(in crate::registry) fn foreign_layers(manifests: &[WithForeignLayers]) -> HashSet<Digest> {
    let mut layers = HashSet::new();
    for (_, media_type, bytes) in manifests {
        let Ok(manifest) = Manifest::parse(bytes, Some(media_type)) else { continue };
        let foreign = manifest.blobs.iter().filter(|blob| Descriptor::is_foreign(blob));
        layers.extend(foreign.map(|blob| blob.digest));
    }
    layers
}
