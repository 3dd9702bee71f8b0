//! Rebuilding the index from the tree.
//!
//! Every blob is read and its digest compared; what the tree lost and is kept still is put back into
//! it. Every manifest is checked as a PUT would check it. What a PUT would refuse is dropped from the
//! tree too, for a tree lists nothing that is not whole.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::blobs::{named_blob, new_blob};
use super::intent::new_manifest;
use super::references::References;
use super::root::{count_links, fold_edits};
use super::walk::{Link, PassedOver, RepositoryLinks, TREE, TagLinks};
use super::{Progress, Registry, RegistryError, Result, Steps, deletion, layout, now};
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
    /// How many leftovers were removed from the tree: blobs that no manifest of their repository names, or none of any.
    pub leftovers: usize,
    /// How many bytes of content the tree has less for it.
    pub leftover_bytes: u64,
    /// What else is not in the index, and stays where it is, a sentence each.
    pub left: Vec<String>,
}

/// What becomes of what no manifest names.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Leftovers {
    /// It goes from the tree.
    Remove,
    /// It stays, so that the root does.
    Keep,
}

/// Whether anything is changed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// The index is replaced, and what is not whole goes from the tree.
    Real,
    /// Nothing is.
    Dry,
}

/// A rebuild under way.
struct Rebuild<'a> {
    registry: &'a Registry,
    blobs: HashMap<CanonicalDigest, Finished>,
    /// What was written a moment ago, and need not be read again.
    fresh: HashMap<CanonicalDigest, Finished>,
    /// What some repository had a link to that no manifest of it needs.
    unlinked: HashSet<CanonicalDigest>,
    /// What was looked for, and is not there or is not what it is named.
    lost: HashSet<CanonicalDigest>,
    /// What goes from the tree.
    removals: Vec<Edit>,
    leftovers: Leftovers,
    mode: Mode,
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
        self.rebuild(HashMap::new(), Leftovers::Remove, Mode::Real, progress).await
    }

    /// Says what [`Registry::rebuild_index`] would drop, remove and leave, and changes neither the tree nor the index
    /// nor what is kept.
    ///
    /// # Errors
    /// As there.
    pub async fn plan_rebuild(&self, progress: &dyn Progress) -> Result<Rebuilt> {
        self.rebuild(HashMap::new(), Leftovers::Remove, Mode::Dry, progress).await
    }

    /// The same for a copy, whose root stays with all leftovers that it has. What is `fresh` was verified as it was
    /// written a moment ago: where the tree holds it, it is not read again.
    pub(super) async fn rebuild_index_after(
        &self,
        fresh: HashMap<CanonicalDigest, Finished>,
        progress: &dyn Progress,
    ) -> Result<Rebuilt> {
        self.rebuild(fresh, Leftovers::Keep, Mode::Real, progress).await
    }

    async fn rebuild(
        &self,
        fresh: HashMap<CanonicalDigest, Finished>,
        leftovers: Leftovers,
        mode: Mode,
        progress: &dyn Progress,
    ) -> Result<Rebuilt> {
        let mut rebuild = Rebuild {
            registry: self,
            blobs: HashMap::new(),
            fresh,
            unlinked: HashSet::new(),
            lost: HashSet::new(),
            removals: Vec::new(),
            leftovers,
            mode,
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
        if leftovers == Leftovers::Remove {
            rebuild.remove_unnamed(writer.as_mut()).await?;
        }
        if mode == Mode::Dry {
            writer.rollback().await?;
            rebuild.passed.expect_readable()?;
            return rebuild.planned().await;
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
        rebuild.passed = passed;
        rebuild.planned().await
    }
}

impl Rebuild<'_> {
    /// Says what there is beside what the index has.
    async fn planned(mut self) -> Result<Rebuilt> {
        for stray in std::mem::take(&mut self.passed.strays) {
            let why = "no registry has that name; it stays where it is";
            self.result.left.push(format!("skipped {}/{stray}: {why}", TREE.as_str()));
        }
        self.look_at_the_rest().await?;
        self.result.blobs = self.blobs.len();
        Ok(self.result)
    }

    /// Removes the links of a repository that none of its manifests needs, and forgets its blobs without a link.
    async fn remove_links(
        &mut self,
        writer: &mut dyn Writer,
        name: &RepositoryName,
        linked: BTreeSet<CanonicalDigest>,
    ) -> Result<()> {
        for canonical in linked {
            let edits = deletion::unlink(writer, name, &canonical).await?;
            if !edits.is_empty() {
                self.result.leftovers += 1;
                self.unlinked.insert(canonical);
                self.removals.extend(edits);
            }
        }
        Ok(writer.forget_unlinked(name).await?)
    }

    /// Removes content that no repository of the tree names.
    async fn remove_unnamed(&mut self, writer: &mut dyn Writer) -> Result<()> {
        let mut unnamed = Vec::new();
        for canonical in self.blobs.keys() {
            if !writer.is_named(canonical).await? {
                unnamed.push(*canonical);
            }
        }
        unnamed.sort_unstable();
        for canonical in unnamed {
            writer.forget_blob(&canonical).await?;
            self.removals.push(Edit::remove(layout::blob_data(&canonical)));
            if let Some(finished) = self.blobs.remove(&canonical) {
                self.result.leftovers += usize::from(!self.unlinked.contains(&canonical));
                self.result.leftover_bytes += finished.content.size;
            }
        }
        Ok(())
    }

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
                if self.mode == Mode::Real {
                    storage.adopt(TREE, &path, &sound.content).await?;
                }
                self.blobs.insert(*canonical, sound);
                return Ok(Ok(()));
            }
        };
        let Some(kept) = self.kept(canonical).await? else {
            self.lost.insert(*canonical);
            return Ok(Err(why));
        };
        if self.mode == Mode::Dry {
            // Its blocks are of no use, since no row stays.
            let (content, leaves) = (kept, Vec::new());
            self.blobs.insert(*canonical, Finished { content, leaves, is_replaced: false });
            return Ok(Ok(()));
        }
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
                Ok(None) if self.mode == Mode::Dry => {}
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
            let blob = named_blob(&content, vec![link.name]);
            writer.put_blob(Some(name), &blob, now()).await?;
            layers.push(link.name);
            linked.insert(content.canonical);
        }
        writer.set_linked(name, &layers, true).await?;
        let kept = self.manifests(writer, name, &links.revisions).await?;
        for tag in &links.tags {
            self.tag(writer, name, tag, &kept).await?;
        }
        if self.leftovers == Leftovers::Remove {
            self.remove_links(writer, name, linked).await?;
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
        let mut candidates: Vec<Candidate<'_>> = Vec::new();
        let mut places: HashMap<CanonicalDigest, usize> = HashMap::new();
        for link in revisions {
            let Some(content) = self.is_sound(writer, link).await? else {
                self.drop_link(
                    &link.path,
                    &format!("manifest {} of `{name}`: its content is missing", link.name),
                );
                continue;
            };
            let place = *places.entry(content.canonical).or_insert(candidates.len());
            if place == candidates.len() {
                candidates.push(Candidate { content, links: Vec::new() });
            }
            candidates[place].links.push(link);
        }
        let mut by_name = HashMap::new();
        for (place, candidate) in candidates.iter().enumerate() {
            by_name.extend(candidate.links.iter().map(|link| (link.name, place)));
        }
        let mut children: Vec<Vec<usize>> = Vec::with_capacity(candidates.len());
        for candidate in &candidates {
            let named = self.children(&candidate.content).await?;
            children.push(named.iter().filter_map(|name| by_name.get(name)).copied().collect());
        }
        let mut kept = HashMap::new();
        for place in children_first(&children) {
            let Candidate { content, links } = &candidates[place];
            match self.manifest(writer, name, content, links).await? {
                Ok(()) => {
                    kept.insert(content.canonical, links.iter().map(|link| link.name).collect());
                }
                Err(why) => {
                    for link in links {
                        let what = format!("manifest {} of `{name}`: {why}", link.name);
                        self.drop_link(&link.path, &what);
                    }
                }
            }
        }
        Ok(kept)
    }

    /// Lists the manifests that a manifest names; none of one that cannot be read, which is said elsewhere.
    async fn children(&self, content: &Content) -> Result<Vec<Digest>> {
        let Some(bytes) = self.registry.tree_manifest(&content.canonical).await? else {
            return Ok(Vec::new());
        };
        let parsed = Manifest::parse(&bytes, None);
        let children = parsed.map(|manifest| manifest.children).unwrap_or_default();
        Ok(children.into_iter().map(|child| child.digest).collect())
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

/// A manifest of a repository that is looked at.
struct Candidate<'a> {
    content: Content,
    /// Its names.
    links: Vec<&'a Link<Digest>>,
}

/// Orders manifests, of each of which it is said which ones it names, so that each comes after those; in time that
/// follows their number. Nothing names itself, since a digest depends on what it is the digest of.
fn children_first(children: &[Vec<usize>]) -> Vec<usize> {
    let mut parents: Vec<Vec<usize>> = vec![Vec::new(); children.len()];
    let mut open: Vec<usize> = children.iter().map(Vec::len).collect();
    for (place, children) in children.iter().enumerate() {
        for child in children {
            parents[*child].push(place);
        }
    }
    let mut ordered: Vec<usize> =
        (0..children.len()).filter(|place| children[*place].is_empty()).collect();
    let mut done = 0;
    while let Some(place) = ordered.get(done).copied() {
        for parent in std::mem::take(&mut parents[place]) {
            open[parent] -= 1;
            if open[parent] == 0 {
                ordered.push(parent);
            }
        }
        done += 1;
    }
    ordered
}

#[cfg(test)]
mod tests {
    use super::*;

    const LENGTH: usize = 500_000;

    #[test]
    fn what_is_named_comes_first_also_in_a_long_chain() {
        assert_eq!(children_first(&[]), [0; 0]);
        assert_eq!(children_first(&[vec![2, 1], vec![], vec![1, 1], vec![0]]), [1, 2, 0, 3]);
        // Each names the next: with a pass for each this would not end.
        let chain: Vec<Vec<usize>> = (0..LENGTH)
            .map(|place| if place + 1 < LENGTH { vec![place + 1] } else { Vec::new() })
            .collect();
        assert!(children_first(&chain).into_iter().eq((0..LENGTH).rev()));
    }
}
