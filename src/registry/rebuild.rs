//! Rebuilding the index from the tree alone.
//!
//! Every blob is read and its digest compared; every manifest is checked as a PUT would check it.
//! What a PUT would refuse is dropped from the tree too, for a tree lists nothing that is not whole.

use std::collections::HashMap;

use super::blobs::new_blob;
use super::intent::{References, new_manifest};
use super::root::{count_links, fold_edits};
use super::walk::{Link, RepositoryLinks, TREE, TagLinks};
use super::{Registry, Result, layout, now};
use crate::index::{StoredManifest, TagRow, Writer};
use crate::oci::{Algorithm, CanonicalDigest, Digest, Manifest, RepositoryName};
use crate::storage::{Content, Edit, Finished, TreePath};

/// What a rebuild found.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Rebuilt {
    /// How many repositories there are.
    pub repositories: usize,
    /// How many manifests they have.
    pub manifests: usize,
    /// How many tags they have.
    pub tags: usize,
    /// How many blobs there are, manifests included.
    pub blobs: usize,
    /// What was dropped, a sentence each.
    pub dropped: Vec<String>,
}

/// A rebuild under way.
struct Rebuild<'a> {
    registry: &'a Registry,
    blobs: HashMap<CanonicalDigest, Finished>,
    /// Links that go from the tree.
    removals: Vec<TreePath>,
    result: Rebuilt,
}

impl Registry {
    /// Makes the index anew from the public tree. Users, grants and uploads stay; blobs that no
    /// manifest names and media types that the bytes do not tell are forgotten. Nobody else may use
    /// the data folder meanwhile. Until it has succeeded the index is as it was.
    ///
    /// # Errors
    /// Those of the index and the storage.
    pub async fn rebuild_index(&self) -> Result<Rebuilt> {
        let mut writer = self.index.lock().await?;
        let mut rebuild = Rebuild {
            registry: self,
            blobs: HashMap::new(),
            removals: Vec::new(),
            result: Rebuilt::default(),
        };
        rebuild.read_blobs().await?;
        writer.begin().await?;
        writer.clear().await?;
        for finished in rebuild.blobs.values() {
            writer.put_blob(None, &new_blob(finished, Vec::new())?, now()).await?;
        }
        for name in self.tree_repositories().await? {
            let links = self.tree_links(&name).await?;
            rebuild.repository(writer.as_mut(), &links).await?;
        }
        let removals: Vec<Edit> = rebuild.removals.drain(..).map(Edit::remove).collect();
        self.storage.apply(TREE, &removals).await?;
        self.storage.sync().await?;
        let edits = self.tree_edits(&|canonical| rebuild.content(canonical)).await?;
        let folded = fold_edits(self.index.clone(), None, edits).await?;
        count_links(writer.as_mut(), None, &folded).await?;
        writer.set_root(TREE, &folded.root, 0).await?;
        writer.commit().await?;
        // A push of what is in no tree has to bring it whole.
        for canonical in self.storage.contents().await? {
            if !rebuild.blobs.contains_key(&canonical) {
                self.storage.forget(&canonical).await?;
            }
        }
        rebuild.result.blobs = rebuild.blobs.len();
        Ok(rebuild.result)
    }
}

impl Rebuild<'_> {
    fn drop_link(&mut self, path: &TreePath, why: String) {
        self.result.dropped.push(why);
        self.removals.push(path.clone());
    }

    /// Reads every blob; one that is not what it is named is left out, and so is what needs it.
    async fn read_blobs(&mut self) -> Result<()> {
        for canonical in self.registry.tree_blobs().await? {
            let path = layout::blob_data(&canonical);
            let finished = self.registry.storage.identify(TREE, &path).await?;
            if finished.content.canonical == canonical {
                self.registry.storage.adopt(TREE, &path, &finished.content).await?;
                self.blobs.insert(canonical, finished);
            } else {
                self.drop_link(
                    &path,
                    format!("blob {canonical}: its bytes are {}", finished.content.canonical),
                );
            }
        }
        Ok(())
    }

    fn content(&self, canonical: &CanonicalDigest) -> Option<Content> {
        self.blobs.get(canonical).map(|finished| finished.content)
    }

    /// Tells whether the bytes that a link leads to have the name that it stands under.
    async fn is_sound(&self, link: &Link<Digest>) -> Result<Option<Content>> {
        let Some(content) = link.target.and_then(|target| self.content(&target)) else {
            return Ok(None);
        };
        let sound = match link.name.algorithm() {
            Algorithm::Sha256 => link.name == content.canonical.into(),
            Algorithm::Sha512 => link.name == self.registry.sha512(&content).await?,
        };
        Ok(sound.then_some(content))
    }

    async fn repository(&mut self, writer: &mut dyn Writer, links: &RepositoryLinks) -> Result<()> {
        let name = &links.name;
        for link in &links.layers {
            let Some(content) = self.is_sound(link).await? else {
                self.drop_link(
                    &link.path,
                    format!("blob {} of `{name}`: its content is missing", link.name),
                );
                continue;
            };
            let mut blob = new_blob(&self.blobs[&content.canonical], vec![link.name])?;
            blob.blocks.clear();
            writer.put_blob(Some(name), &blob, now()).await?;
        }
        let kept = self.manifests(writer, name, &links.revisions).await?;
        for tag in &links.tags {
            self.tag(writer, name, tag, &kept).await?;
        }
        for link in &links.referrers {
            let whole = link.target.is_some_and(|target| kept.contains_key(&target));
            if !whole {
                self.drop_link(
                    &link.path,
                    format!("referrer {} of `{name}`: its manifest is missing", link.name.1),
                );
            }
        }
        self.result.repositories += 1;
        self.result.manifests += kept.len();
        Ok(())
    }

    /// Gives the repository its manifests, what they reference before themselves. Returns the names
    /// of those that are whole.
    async fn manifests(
        &mut self,
        writer: &mut dyn Writer,
        name: &RepositoryName,
        revisions: &[Link<Digest>],
    ) -> Result<HashMap<CanonicalDigest, Vec<Digest>>> {
        let mut waiting: Vec<(Content, Vec<&Link<Digest>>)> = Vec::new();
        for link in revisions {
            let Some(content) = self.is_sound(link).await? else {
                self.drop_link(
                    &link.path,
                    format!("manifest {} of `{name}`: its content is missing", link.name),
                );
                continue;
            };
            match waiting.iter_mut().find(|(known, _)| known.canonical == content.canonical) {
                Some((_, links)) => links.push(link),
                None => waiting.push((content, vec![link])),
            }
        }
        let mut kept = HashMap::new();
        loop {
            let mut later = Vec::new();
            let before = waiting.len();
            for (content, links) in waiting {
                match self.manifest(writer, name, &content, &links).await? {
                    Ok(()) => {
                        kept.insert(
                            content.canonical,
                            links.iter().map(|link| link.name).collect(),
                        );
                    }
                    Err(why) => later.push((content, links, why)),
                }
            }
            if later.len() == before {
                for (_, links, why) in later {
                    for link in links {
                        self.drop_link(
                            &link.path,
                            format!("manifest {} of `{name}`: {why}", link.name),
                        );
                    }
                }
                return Ok(kept);
            }
            waiting = later.into_iter().map(|(content, links, _)| (content, links)).collect();
        }
    }

    /// Gives the repository one manifest, or says why a PUT would refuse it.
    async fn manifest(
        &self,
        writer: &mut dyn Writer,
        name: &RepositoryName,
        content: &Content,
        links: &[&Link<Digest>],
    ) -> Result<std::result::Result<(), String>> {
        let Some(bytes) = self.registry.tree_manifest(&content.canonical).await? else {
            return Ok(Err("it is larger than a manifest may be".to_owned()));
        };
        let parsed = match Manifest::parse(&bytes, None) {
            Ok(parsed) => parsed,
            Err(error) => return Ok(Err(error.to_string())),
        };
        let sparse = self.registry.limits.sparse_indexes;
        let needs = References::find(writer, name, &parsed, sparse).await?;
        if let Some(missing) = needs.missing.first() {
            return Ok(Err(format!("it references {missing}, which the repository does not have")));
        }
        let stored = StoredManifest { canonical: content.canonical, cid: content.cid, bytes };
        writer.put_stored_manifest(&stored).await?;
        let names = links.iter().map(|link| link.name).collect();
        writer.put_manifest(name, &new_manifest(content.canonical, names, &parsed), now()).await?;
        Ok(Ok(()))
    }

    async fn tag(
        &mut self,
        writer: &mut dyn Writer,
        name: &RepositoryName,
        tag: &TagLinks,
        kept: &HashMap<CanonicalDigest, Vec<Digest>>,
    ) -> Result<()> {
        let whole = tag.current.target.and_then(|target| Some((target, kept.get(&target)?)));
        let Some((canonical, names)) = whole else {
            let path = layout::tag(name, &tag.current.name);
            self.drop_link(
                &path,
                format!("tag `{name}:{}`: its manifest is missing", tag.current.name),
            );
            return Ok(());
        };
        let mut tagged_by =
            tag.index.iter().filter(|link| link.target == Some(canonical)).map(|link| link.name);
        let digest = tagged_by.find(|digest| names.contains(digest)).unwrap_or(canonical.into());
        writer.put_tag(name, &tag.current.name, &TagRow { digest, canonical }, now()).await?;
        self.result.tags += 1;
        Ok(())
    }
}
