//! Rebuilding the index from the tree.
//!
//! What the queue holds is carried out first: the tree may have lost it with the power. Then every
//! blob is read and its digest compared; every manifest is checked as a PUT would check it. What a
//! PUT would refuse is dropped from the tree too, for a tree lists nothing that is not whole.

use std::collections::HashMap;

use super::blobs::{named_blob, new_blob};
use super::intent::{References, new_manifest};
use super::root::{count_links, fold_edits};
use super::walk::{Link, PassedOver, RepositoryLinks, TREE, TagLinks};
use super::{Progress, Registry, Result, Steps, layout, now};
use crate::index::{StoredManifest, TagRow, Writer};
use crate::oci::{Algorithm, CanonicalDigest, Digest, Manifest, RepositoryName};
use crate::storage::{Content, Edit, Finished, StorageErrorKind, TreePath};

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
    /// What is not in the index, a sentence each: what was dropped from the tree, what was skipped
    /// and stays in it, and changes that could not be carried out.
    pub dropped: Vec<String>,
}

/// A rebuild under way.
struct Rebuild<'a> {
    registry: &'a Registry,
    blobs: HashMap<CanonicalDigest, Finished>,
    /// What goes from the tree.
    removals: Vec<Edit>,
    passed: PassedOver,
    result: Rebuilt,
}

impl Registry {
    /// Makes the index anew from the public tree. Users, grants and uploads stay; blobs that no
    /// manifest names and media types that the bytes do not tell are forgotten. Nobody else may use
    /// the data folder meanwhile.
    ///
    /// First the queue is carried out, as at a start; a change of it that cannot be is named, except
    /// where it only waits for room or for a database, which ends the call. From then on the index
    /// stays as it was until one transaction replaces it, whose root is that of the tree without
    /// what is dropped. Only then that is removed from the tree. So after an error, or a crash, either all is as it was or
    /// the index is right and the tree still has what it does not list; repeating the call drops,
    /// and names, the same again.
    ///
    /// # Errors
    /// Those of the index and the storage.
    pub async fn rebuild_index(&self, progress: &dyn Progress) -> Result<Rebuilt> {
        progress.begin("carrying out the queue", Steps::Unknown);
        let mut rebuild = Rebuild {
            registry: self,
            blobs: HashMap::new(),
            removals: Vec::new(),
            passed: PassedOver::default(),
            result: Rebuilt { dropped: self.carry_out_queue().await?, ..Rebuilt::default() },
        };
        let mut writer = self.index.lock().await?;
        rebuild.read_blobs(progress).await?;
        writer.begin().await?;
        writer.clear().await?;
        for finished in rebuild.blobs.values() {
            writer.put_blob(None, &new_blob(finished, Vec::new())?, now()).await?;
        }
        let repositories = self.tree().repositories(&mut rebuild.passed).await;
        progress.begin("checking repositories", Steps::each(&repositories));
        for name in repositories {
            let links = self.tree().links(&name, &mut rebuild.passed).await;
            rebuild.repository(writer.as_mut(), &links).await?;
            progress.advance(1);
        }
        progress.begin("computing the root", Steps::Unknown);
        let mut passed = std::mem::take(&mut rebuild.passed);
        let mut edits = self.tree_edits(&|canonical| rebuild.content(canonical), &mut passed).await;
        passed.expect_readable()?;
        edits.extend(rebuild.removals.iter().cloned());
        let folded = fold_edits(self.index.clone(), None, edits).await?;
        count_links(writer.as_mut(), None, &folded).await?;
        writer.set_root(TREE, &folded.root, 0).await?;
        // The queue goes with the commit, so what it did has to last.
        self.storage.sync().await?;
        writer.commit().await?;
        self.storage.apply(TREE, &rebuild.removals).await?;
        self.storage.sync().await?;
        for stray in passed.strays {
            let why = "no registry has that name; it stays where it is";
            rebuild.result.dropped.push(format!("skipped {}/{stray}: {why}", TREE.as_str()));
        }
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
    fn drop_link(&mut self, path: &TreePath, what: &str) {
        self.result.dropped.push(format!("dropped {what}"));
        self.removals.push(Edit::remove(path.clone()));
    }

    /// Reads every blob; one that is not what it is named is left out, and so is what needs it.
    async fn read_blobs(&mut self, progress: &dyn Progress) -> Result<()> {
        let blobs = self.registry.tree().blobs(&mut self.passed).await;
        progress.begin("reading blobs", Steps::each(&blobs));
        for canonical in blobs {
            progress.advance(1);
            let path = layout::blob_data(&canonical);
            let finished = match self.registry.storage.identify(TREE, &path).await {
                Err(error) if error.kind == StorageErrorKind::NotFound => {
                    // Takes the empty directory with it.
                    self.drop_link(&path, &format!("blob {canonical}: its content is missing"));
                    continue;
                }
                identified => identified?,
            };
            if finished.content.canonical == canonical {
                self.registry.storage.adopt(TREE, &path, &finished.content).await?;
                self.blobs.insert(canonical, finished);
            } else {
                self.drop_link(
                    &path,
                    &format!("blob {canonical}: its bytes are {}", finished.content.canonical),
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
                    &format!("blob {} of `{name}`: its content is missing", link.name),
                );
                continue;
            };
            // Its blocks are noted already.
            let blob = named_blob(&content, vec![link.name]);
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
                    &format!("referrer {} of `{name}`: its manifest is missing", link.name.1),
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
                    &format!("manifest {} of `{name}`: its content is missing", link.name),
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
                            &format!("manifest {} of `{name}`: {why}", link.name),
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
                &format!("tag `{name}:{}`: its manifest is missing", tag.current.name),
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
