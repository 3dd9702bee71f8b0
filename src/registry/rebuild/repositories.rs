//! The repositories of the trees: what a PUT would take of each.

use std::collections::{BTreeSet, HashMap};

use super::super::blobs::blob_without_blocks;
use super::super::plan::new_manifest;
use super::super::references::References;
use super::super::walk::{Link, RepositoryLinks, TagLinks};
use super::super::{Result, deletion, layout, now};
use super::order::children_first;
use super::{Leftovers, Rebuild};
use crate::index::{StoredManifest, TagRow, Writer};
use crate::oci::{CanonicalDigest, Digest, Manifest, RepositoryName, TreeId, Visibility};
use crate::storage::{Content, TreeEdit};

/// A manifest of a repository that is looked at.
struct Candidate<'a> {
    content: Content,
    /// Its names.
    links: Vec<&'a Link<Digest>>,
}

impl Rebuild<'_> {
    pub(super) async fn repository(
        &mut self,
        writer: &mut Writer,
        links: &RepositoryLinks,
    ) -> Result<()> {
        let name = &links.name;
        let visibility = match self.tree {
            TreeId::Public => Visibility::Public,
            // Which of the two it was, its tree does not say.
            TreeId::Private if self.internal.contains(name) => Visibility::Internal,
            TreeId::Private => Visibility::Private,
        };
        writer.set_visibility(name, visibility, now()).await?;
        let (mut layers, mut linked) = (Vec::with_capacity(links.layers.len()), BTreeSet::new());
        for link in &links.layers {
            let Some(content) = self.is_sound(writer, link).await? else {
                self.drop_link(
                    &link.path,
                    &format!("blob {} of `{name}`: its content is missing", link.name),
                );
                continue;
            };
            // Its blocks are noted already.
            let blob = blob_without_blocks(&content, vec![link.name]);
            writer.put_blob(Some(name), &blob, now()).await?;
            layers.push(link.name);
            linked.insert(content.canonical);
        }
        writer.set_linked(name, &layers, true).await?;
        let rebuilt = self.manifests(writer, name, &links.revisions).await?;
        for tag in &links.tags {
            self.tag(writer, name, tag, &rebuilt).await?;
        }
        if self.leftovers == Leftovers::Remove {
            self.remove_links(writer, name, linked).await?;
        }
        for link in &links.referrers {
            let whole = link.target.is_some_and(|target| rebuilt.contains_key(&target));
            if !whole {
                self.drop_link(
                    &link.path,
                    &format!("referrer {} of `{name}`: its manifest is missing", link.name.1),
                );
            }
        }
        self.result.repositories += 1;
        self.result.manifests += rebuilt.len();
        Ok(())
    }

    /// Gives the repository its manifests, what they reference before themselves. Returns the names
    /// of those that are whole.
    async fn manifests(
        &mut self,
        writer: &mut Writer,
        name: &RepositoryName,
        revisions: &[Link<Digest>],
    ) -> Result<HashMap<CanonicalDigest, Vec<Digest>>> {
        let mut candidates: Vec<Candidate<'_>> = Vec::new();
        let mut positions: HashMap<CanonicalDigest, usize> = HashMap::new();
        for link in revisions {
            let Some(content) = self.is_sound(writer, link).await? else {
                self.drop_link(
                    &link.path,
                    &format!("manifest {} of `{name}`: its content is missing", link.name),
                );
                continue;
            };
            let position = *positions.entry(content.canonical).or_insert(candidates.len());
            if position == candidates.len() {
                candidates.push(Candidate { content, links: Vec::new() });
            }
            candidates[position].links.push(link);
        }
        let mut by_name = HashMap::new();
        for (position, candidate) in candidates.iter().enumerate() {
            by_name.extend(candidate.links.iter().map(|link| (link.name, position)));
        }
        let mut children: Vec<Vec<usize>> = Vec::with_capacity(candidates.len());
        for candidate in &candidates {
            let names = self.children(&candidate.content).await?;
            children.push(names.iter().filter_map(|name| by_name.get(name)).copied().collect());
        }
        let mut rebuilt = HashMap::new();
        for position in children_first(&children) {
            let Candidate { content, links } = &candidates[position];
            match self.manifest(writer, name, content, links).await? {
                Ok(()) => {
                    rebuilt.insert(content.canonical, links.iter().map(|link| link.name).collect());
                }
                Err(why) => {
                    for link in links {
                        let what = format!("manifest {} of `{name}`: {why}", link.name);
                        self.drop_link(&link.path, &what);
                    }
                }
            }
        }
        Ok(rebuilt)
    }

    /// Lists the manifests that a manifest names; none of one that cannot be read, which is said elsewhere.
    async fn children(&self, content: &Content) -> Result<Vec<Digest>> {
        let Some(bytes) = self.registry.tree_manifest(self.tree, &content.canonical).await? else {
            return Ok(Vec::new());
        };
        let parsed = Manifest::parse(&bytes, None);
        let children = parsed.map(|manifest| manifest.children).unwrap_or_default();
        Ok(children.into_iter().map(|child| child.digest).collect())
    }

    /// Gives the repository one manifest, or says why a PUT would refuse it.
    async fn manifest(
        &self,
        writer: &mut Writer,
        name: &RepositoryName,
        content: &Content,
        links: &[&Link<Digest>],
    ) -> Result<std::result::Result<(), String>> {
        let Some(bytes) = self.registry.tree_manifest(self.tree, &content.canonical).await? else {
            return Ok(Err("too large for a manifest".to_owned()));
        };
        let parsed = match Manifest::parse(&bytes, None) {
            Ok(parsed) => parsed,
            Err(error) => return Ok(Err(error.to_string())),
        };
        let sparse = self.registry.limits.sparse_indexes;
        let needs = References::find(writer, name, &parsed, sparse).await?;
        if let Some(missing) = needs.missing.first() {
            return Ok(Err(format!("it references {missing}, missing in the repository")));
        }
        let stored = StoredManifest { canonical: content.canonical, cid: content.cid, bytes };
        writer.put_stored_manifest(&stored).await?;
        let names = links.iter().map(|link| link.name).collect();
        writer.put_manifest(name, &new_manifest(content.canonical, names, &parsed), now()).await?;
        Ok(Ok(()))
    }

    async fn tag(
        &mut self,
        writer: &mut Writer,
        name: &RepositoryName,
        tag: &TagLinks,
        rebuilt: &HashMap<CanonicalDigest, Vec<Digest>>,
    ) -> Result<()> {
        let whole = tag.current.target.and_then(|target| Some((target, rebuilt.get(&target)?)));
        let Some((canonical, names)) = whole else {
            let path = layout::tag(name, &tag.current.name);
            self.drop_link(
                &path,
                &format!("tag `{name}:{}`: its manifest is missing", tag.current.name),
            );
            return Ok(());
        };
        let mut tagged_by =
            tag.index.iter().filter(|link| link.target == Some(canonical)).map(|link| link.name);
        let digest = tagged_by.find(|digest| names.contains(digest)).unwrap_or(canonical.into());
        let target = TagRow { digest, canonical };
        writer.put_tag_of_unknown_time(name, &tag.current.name, &target).await?;
        self.result.tags += 1;
        Ok(())
    }

    /// Removes the links of a repository that none of its manifests needs, and forgets its blobs without a link.
    async fn remove_links(
        &mut self,
        writer: &mut Writer,
        name: &RepositoryName,
        linked: BTreeSet<CanonicalDigest>,
    ) -> Result<()> {
        for canonical in linked {
            let edits = deletion::unlink(writer, name, &canonical).await?;
            if !edits.is_empty() {
                self.result.leftovers += 1;
                self.unlinked.insert((self.tree, canonical));
                self.removals.extend(TreeEdit::all(self.tree, edits));
            }
        }
        Ok(writer.forget_unlinked(name).await?)
    }
}
