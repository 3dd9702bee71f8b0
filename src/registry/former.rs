//! What public roots had of repositories that are not public any more: their folders, which are served no more, also
//! while the rest of those roots is.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use cid::Cid;
use tokio::task::spawn_blocking;

use super::tree_nodes::TreeNodes;
use super::visibility::withhold_content;
use super::{Registry, RegistryError, Result, layout};
use crate::index::Writer;
use crate::ipld::{self, Directory, RAW};
use crate::oci::{CanonicalDigest, RepositoryName, TreeId};
use crate::storage::Edit;

/// What public roots had of repositories that leave.
#[derive(Default)]
pub(super) struct Former {
    nodes: HashSet<Cid>,
    /// What their links name.
    contents: HashSet<CanonicalDigest>,
    /// The directories that have nothing but the content of these digests.
    of_contents: HashMap<Cid, Vec<CanonicalDigest>>,
}

impl Registry {
    /// Looks for what the public root, and earlier ones that are still served, have of the repositories that edits of the
    /// public tree take away.
    pub(super) async fn former(
        &self,
        root: Option<Cid>,
        repositories: Vec<RepositoryName>,
    ) -> Result<Former> {
        if repositories.is_empty() {
            return Ok(Former::default());
        }
        let mut roots: Vec<Cid> = root.into_iter().collect();
        for (cid, bytes) in self.index.removed_nodes(self.grace_began()).await? {
            if is_root(&cid, &bytes) {
                roots.push(cid);
            }
        }
        let mut nodes = TreeNodes::new(self.index.clone());
        let looking = spawn_blocking(move || {
            let mut former = Former::default();
            for &root in &roots {
                for repository in &repositories {
                    former.add(root, repository, &mut nodes)?;
                }
            }
            for root in roots {
                former.add_places(root, &mut nodes)?;
            }
            Ok(former)
        });
        looking.await.map_err(|error| RegistryError::Record(error.to_string()))?
    }
}

/// Lists the repositories that edits of a tree take away as a whole.
pub(super) fn leaving(edits: &[Edit]) -> Vec<RepositoryName> {
    let mut found = Vec::new();
    for edit in edits {
        if let Edit::Remove { path } = edit {
            found.extend(layout::read_manifests(path));
        }
    }
    found
}

impl Former {
    /// Serves it no more, as far as the public tree, which is folded without it, has not got it elsewhere. In a
    /// transaction.
    pub(super) async fn hide(self, writer: &mut Writer) -> Result<()> {
        let mut nodes: Vec<Cid> = self.nodes.into_iter().collect();
        for canonical in &self.contents {
            if !writer.is_named(TreeId::Public, canonical).await? {
                withhold_content(writer, canonical).await?;
                nodes.extend(writer.content_cid(canonical).await?);
            }
        }
        'directories: for (cid, contents) in self.of_contents {
            for canonical in contents {
                if writer.is_named(TreeId::Public, &canonical).await? {
                    continue 'directories;
                }
            }
            nodes.push(cid);
        }
        Ok(writer.hide_nodes(&nodes).await?)
    }

    /// Adds what a root has of a repository.
    fn add(&mut self, root: Cid, repository: &RepositoryName, nodes: &mut TreeNodes) -> Result<()> {
        let path = layout::repository(repository);
        let Some(folder) = resolve(root, path.components(), nodes)? else { return Ok(()) };
        let names = entries(folder, nodes)?;
        let is_own = |name: &str| layout::OF_REPOSITORY.contains(&name);
        // Its folder may lead to other repositories, too.
        if names.iter().all(|(name, _)| is_own(name)) {
            return self.add_below(folder, nodes);
        }
        for (_, cid) in names.into_iter().filter(|(name, _)| is_own(name)) {
            self.add_below(cid, nodes)?;
        }
        Ok(())
    }

    /// Adds the directories that a root has for the content of links, which are named by its digests.
    fn add_places(&mut self, root: Cid, nodes: &mut TreeNodes) -> Result<()> {
        let blobs = layout::blobs();
        let Some(blobs) = resolve(root, blobs.components(), nodes)? else { return Ok(()) };
        for canonical in &self.contents {
            let hex = canonical.hex();
            let Some(group) = resolve(blobs, [&hex[..2]], nodes)? else { continue };
            let Some(folder) = resolve(group, [hex.as_str()], nodes)? else { continue };
            self.of_contents.insert(folder, vec![*canonical]);
            if self.of_contents.contains_key(&group) {
                continue;
            }
            let names = entries(group, nodes)?;
            let digests = names.iter().map(|(hex, _)| format!("sha256:{hex}").parse());
            if let Ok(contents) = digests.collect::<std::result::Result<_, _>>() {
                self.of_contents.insert(group, contents);
            }
        }
        Ok(())
    }

    /// Adds a node and all nodes below it.
    fn add_below(&mut self, first: Cid, nodes: &mut TreeNodes) -> Result<()> {
        let mut open = vec![first];
        while let Some(cid) = open.pop() {
            if !self.nodes.insert(cid) {
                continue;
            }
            // What is not there is not served.
            let Some(bytes) = nodes.find(&cid)? else { continue };
            if cid.codec() == RAW {
                let text = std::str::from_utf8(&bytes).ok();
                self.contents.extend(text.and_then(|text| text.parse::<CanonicalDigest>().ok()));
                continue;
            }
            let links = ipld::links(&cid, &bytes).map_err(|error| unreadable(&cid, &error))?;
            open.extend(links.into_iter().map(|link| link.cid));
        }
        Ok(())
    }
}

/// Tells whether a node may be the root of a tree.
fn is_root(cid: &Cid, bytes: &Bytes) -> bool {
    let first = layout::root();
    let first = first.components().next();
    cid.codec() != RAW
        && ipld::links(cid, bytes)
            .is_ok_and(|links| matches!(&links[..], [only] if Some(only.name.as_str()) == first))
}

/// Finds what is at a path below a directory.
fn resolve<'a>(
    root: Cid,
    names: impl IntoIterator<Item = &'a str>,
    nodes: &mut TreeNodes,
) -> Result<Option<Cid>> {
    let mut at = root;
    for name in names {
        if nodes.find(&at)?.is_none() {
            return Ok(None);
        }
        let directory = Directory::open(&at, nodes).map_err(|error| unreadable(&at, &error))?;
        let entry = directory.get(name, nodes).map_err(|error| unreadable(&at, &error))?;
        let Some(entry) = entry else { return Ok(None) };
        at = entry.cid;
    }
    Ok(Some(at))
}

/// Lists what is in a directory.
fn entries(folder: Cid, nodes: &mut TreeNodes) -> Result<Vec<(String, Cid)>> {
    if nodes.find(&folder)?.is_none() {
        return Ok(Vec::new());
    }
    let directory = Directory::open(&folder, nodes).map_err(|error| unreadable(&folder, &error))?;
    let entries = directory.entries(nodes).map_err(|error| unreadable(&folder, &error))?;
    Ok(entries.into_iter().map(|entry| (entry.name, entry.cid)).collect())
}

fn unreadable(cid: &Cid, error: &dyn std::error::Error) -> RegistryError {
    RegistryError::Record(format!("node {cid}: {error}"))
}
