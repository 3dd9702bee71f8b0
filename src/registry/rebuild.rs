//! Rebuilding the index from the tree.
//!
//! Every blob is read and its digest compared; what the tree lost and is kept still is put back into
//! it. Every manifest is checked as a PUT would check it. What a PUT would refuse is dropped from the
//! tree too, for a tree lists nothing that is not whole.

use std::collections::{HashMap, HashSet};

use super::blobs::{named_blob, new_blob};
use super::intent::new_manifest;
use super::references::References;
use super::root::{count_links, fold_edits};
use super::walk::{Link, PassedOver, RepositoryLinks, TREE, TagLinks};
use super::{Progress, Registry, RegistryError, Result, Steps, layout, now};
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
    /// What was dropped from the tree since it was not whole, a sentence each.
    pub dropped: Vec<String>,
    /// What else is not in the index, and stays where it is, a sentence each.
    pub left: Vec<String>,
}

/// A rebuild under way.
struct Rebuild<'a> {
    registry: &'a Registry,
    blobs: HashMap<CanonicalDigest, Finished>,
    /// What was written a moment ago, and need not be read again.
    fresh: HashMap<CanonicalDigest, Finished>,
    /// What was looked for, and is not there or is not what it is named.
    lost: HashSet<CanonicalDigest>,
    /// What goes from the tree.
    removals: Vec<Edit>,
    passed: PassedOver,
    result: Rebuilt,
}

impl Registry {
    /// Makes the index anew from the public tree. Users, grants and uploads stay; blobs that no
    /// manifest names and media types that the bytes do not tell are forgotten. Nobody else may use
    /// the data folder meanwhile. The queue is given up: [`Registry::carry_out_queue`] comes first.
    ///
    /// The index stays as it was until one transaction replaces it, whose root is that of the tree
    /// without what is dropped. Only then that is removed from the tree. So after an error, or a
    /// crash, either all is as it was or the index is right and the tree still has what it does not
    /// list; repeating the call drops, and names, the same again.
    ///
    /// # Errors
    /// [`RegistryError::TreeLost`], which changes nothing; those of the index and the storage.
    pub async fn rebuild_index(&self, progress: &dyn Progress) -> Result<Rebuilt> {
        self.rebuild_index_after(HashMap::new(), progress).await
    }

    /// The same, where what is `fresh` was verified as it was written a moment ago: where the tree holds it,
    /// it is not read again.
    pub(super) async fn rebuild_index_after(
        &self,
        fresh: HashMap<CanonicalDigest, Finished>,
        progress: &dyn Progress,
    ) -> Result<Rebuilt> {
        let mut rebuild = Rebuild {
            registry: self,
            blobs: HashMap::new(),
            fresh,
            lost: HashSet::new(),
            removals: Vec::new(),
            passed: PassedOver::default(),
            result: Rebuilt::default(),
        };
        let mut writer = self.index.lock().await?;
        let repositories = rebuild.repositories().await?;
        rebuild.read_blobs(progress).await?;
        writer.begin().await?;
        writer.clear().await?;
        for finished in rebuild.blobs.values() {
            writer.put_blob(None, &new_blob(finished, Vec::new())?, now()).await?;
        }
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
            rebuild.result.left.push(format!("skipped {}/{stray}: {why}", TREE.as_str()));
        }
        rebuild.look_at_the_rest().await?;
        rebuild.result.blobs = rebuild.blobs.len();
        Ok(rebuild.result)
    }
}

impl Rebuild<'_> {
    fn drop_link(&mut self, path: &TreePath, what: &str) {
        self.result.dropped.push(format!("dropped {what}"));
        self.removals.push(Edit::remove(path.clone()));
    }

    /// Lists the repositories of the tree, which has some if the index has.
    async fn repositories(&mut self) -> Result<Vec<RepositoryName>> {
        let repositories = self.registry.tree().repositories(&mut self.passed).await;
        if repositories.is_empty() {
            self.passed.expect_readable()?;
            if !self.registry.index.repositories(None, 1).await?.is_empty() {
                return Err(RegistryError::TreeLost);
            }
        }
        Ok(repositories)
    }

    /// Reads every blob; one that is not what it is named is left out, and so is what needs it.
    async fn read_blobs(&mut self, progress: &dyn Progress) -> Result<()> {
        let blobs = self.registry.tree().blobs(&mut self.passed).await;
        progress.begin("reading blobs", Steps::each(&blobs));
        for canonical in blobs {
            progress.advance(1);
            if let Err(why) = self.read_blob(&canonical).await? {
                // Takes the directory with it where that is empty.
                let path = layout::blob_data(&canonical);
                self.drop_link(&path, &format!("blob {canonical}: {why}"));
            }
        }
        Ok(())
    }

    /// Reads a blob in the tree or, where that has not got it, as it is kept; says what is wrong
    /// with it if neither is what it is named.
    async fn read_blob(
        &mut self,
        canonical: &CanonicalDigest,
    ) -> Result<std::result::Result<(), String>> {
        let storage = &self.registry.storage;
        let path = layout::blob_data(canonical);
        if let Some(fresh) = self.fresh.remove(canonical)
            && storage.holds(TREE, &path, &fresh.content).await?
        {
            self.blobs.insert(*canonical, fresh);
            return Ok(Ok(()));
        }
        let why = match storage.identify(TREE, &path).await {
            Err(error) if error.kind == StorageErrorKind::NotFound => {
                "its content is missing".to_owned()
            }
            Ok(found) if found.content.canonical != *canonical => {
                format!("its bytes are {}", found.content.canonical)
            }
            sound => {
                let sound = sound?;
                storage.adopt(TREE, &path, &sound.content).await?;
                self.blobs.insert(*canonical, sound);
                return Ok(Ok(()));
            }
        };
        let Some(kept) = self.kept(canonical).await? else {
            self.lost.insert(*canonical);
            return Ok(Err(why));
        };
        storage.apply(TREE, &[Edit::link(path.clone(), &kept)]).await?;
        let finished = storage.identify(TREE, &path).await?;
        self.blobs.insert(*canonical, finished);
        Ok(Ok(()))
    }

    /// Reads what is kept under a digest; none if that is not what it is named.
    async fn kept(&self, canonical: &CanonicalDigest) -> Result<Option<Content>> {
        match self.registry.storage.examine(canonical).await {
            Err(error) if error.kind == StorageErrorKind::NotFound => Ok(None),
            examined => Ok(Some(examined?).filter(|kept| kept.canonical == *canonical)),
        }
    }

    /// Looks at what is kept and not in the tree. It stays if it is what it is named; what is not
    /// goes, for a push of that digest would be content with it.
    async fn look_at_the_rest(&mut self) -> Result<()> {
        let storage = &self.registry.storage;
        let (mut count, mut bytes) = (0_u64, 0);
        for canonical in storage.contents().await? {
            if self.blobs.contains_key(&canonical) {
                continue;
            }
            match self.kept(&canonical).await {
                Ok(Some(kept)) => {
                    count += 1;
                    bytes += kept.size;
                }
                Ok(None) => storage.forget(&canonical).await?,
                Err(error) => {
                    let line = format!("skipped blob {canonical}, which cannot be read: {error}");
                    self.result.left.push(line);
                }
            }
        }
        if count > 0 {
            let blobs = if count == 1 { "blob" } else { "blobs" };
            let line =
                format!("kept {count} {blobs} ({bytes} bytes) that nothing in the tree names");
            self.result.left.push(line);
        }
        Ok(())
    }

    fn content(&self, canonical: &CanonicalDigest) -> Option<Content> {
        self.blobs.get(canonical).map(|finished| finished.content)
    }

    /// Tells whether the bytes that a link leads to have the name that it stands under.
    async fn is_sound(
        &mut self,
        writer: &mut dyn Writer,
        link: &Link<Digest>,
    ) -> Result<Option<Content>> {
        let Some(target) = link.target else { return Ok(None) };
        if !self.blobs.contains_key(&target) && !self.lost.contains(&target) {
            // The tree lost its directory too.
            let _ = self.read_blob(&target).await?;
            if let Some(finished) = self.blobs.get(&target) {
                writer.put_blob(None, &new_blob(finished, Vec::new())?, now()).await?;
            }
        }
        let Some(content) = self.content(&target) else { return Ok(None) };
        let sound = match link.name.algorithm() {
            Algorithm::Sha256 => link.name == content.canonical.into(),
            Algorithm::Sha512 => link.name == self.registry.sha512(&content).await?,
        };
        Ok(sound.then_some(content))
    }

    async fn repository(&mut self, writer: &mut dyn Writer, links: &RepositoryLinks) -> Result<()> {
        let name = &links.name;
        for link in &links.layers {
            let Some(content) = self.is_sound(writer, link).await? else {
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
            let Some(content) = self.is_sound(writer, link).await? else {
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
