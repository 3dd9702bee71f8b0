//! The content of the trees: read as a whole, and compared with its name.

use super::super::blobs::new_blob;
use super::super::walk::Link;
use super::super::{Progress, Result, Steps, layout, now};
use super::{Mode, Rebuild};
use crate::index::Writer;
use crate::oci::{Algorithm, CanonicalDigest, Digest, TreeId};
use crate::storage::{Content, Edit, Finished, StorageErrorKind, TreeEdit};

impl Rebuild<'_> {
    /// Reads every blob; one that has another digest is left out, and so is what needs it.
    pub(super) async fn read_blobs(&mut self, progress: &dyn Progress) -> Result<()> {
        let mut blobs = Vec::new();
        for tree in TreeId::ALL {
            self.tree = tree;
            let registry = self.registry;
            let found = registry.tree(tree).blobs(self.passed()).await;
            blobs.extend(found.into_iter().map(|canonical| (tree, canonical)));
        }
        progress.begin("reading blobs", Steps::each(&blobs));
        for (tree, canonical) in blobs {
            progress.advance(1);
            self.tree = tree;
            if let Err(why) = self.read_blob(&canonical).await? {
                // Takes the directory with it where that is empty.
                let path = layout::blob_data(&canonical);
                self.drop_link(&path, &format!("blob {canonical}: {why}"));
            }
        }
        Ok(())
    }

    /// Reads a blob in the tree or, where that has not got it, as it is stored; says what is wrong
    /// with it if neither has that digest.
    async fn read_blob(
        &mut self,
        canonical: &CanonicalDigest,
    ) -> Result<std::result::Result<(), String>> {
        let (storage, tree) = (&self.registry.storage, self.tree);
        let path = layout::blob_data(canonical);
        let fresh = self.fresh.remove(canonical).or_else(|| self.blobs.get(canonical).cloned());
        if let Some(fresh) = fresh
            && storage.is_linked(tree, &path, &fresh.content).await?
        {
            self.note(fresh);
            return Ok(Ok(()));
        }
        let why = match storage.identify(tree, &path).await {
            Err(error) if error.kind == StorageErrorKind::NotFound => {
                "its content is missing".to_owned()
            }
            Ok(found) if found.content.canonical != *canonical => {
                format!("its bytes are {}", found.content.canonical)
            }
            sound => {
                let sound = sound?;
                if self.mode == Mode::Real {
                    storage.adopt(tree, &path, &sound.content).await?;
                }
                self.note(sound);
                return Ok(Ok(()));
            }
        };
        let Some(stored) = self.stored(canonical).await? else {
            self.lost.insert(*canonical);
            return Ok(Err(why));
        };
        if self.mode == Mode::Dry {
            // Its blocks are of no use, since no row stays.
            let (content, leaves) = (stored, Vec::new());
            self.note(Finished { content, leaves, is_replaced: false });
            return Ok(Ok(()));
        }
        let edit = Edit::link(path.clone(), &stored);
        storage.apply(&[TreeEdit { tree, edit }]).await?;
        let finished = storage.identify(tree, &path).await?;
        self.note(finished);
        Ok(Ok(()))
    }

    /// Notes content that the tree has.
    fn note(&mut self, finished: Finished) {
        self.in_tree.insert((self.tree, finished.content.canonical));
        self.blobs.insert(finished.content.canonical, finished);
    }

    /// Reads what is stored under a digest; none if the bytes have another one.
    async fn stored(&self, canonical: &CanonicalDigest) -> Result<Option<Content>> {
        let found = self.registry.storage.find(canonical).await?;
        Ok(found.filter(|stored| stored.canonical == *canonical))
    }

    /// Looks at what is stored and in no tree. It stays if the bytes have its digest; what is not
    /// goes, for a push of that digest would be content with it.
    pub(super) async fn look_at_the_rest(&mut self) -> Result<()> {
        let storage = &self.registry.storage;
        let (mut count, mut bytes) = (0_u64, 0);
        for canonical in storage.contents().await? {
            if self.blobs.contains_key(&canonical) {
                continue;
            }
            match self.stored(&canonical).await {
                Ok(Some(stored)) => {
                    count += 1;
                    bytes += stored.size;
                }
                Ok(None) if self.mode == Mode::Dry => {}
                Ok(None) => storage.forget(&[canonical]).await?,
                Err(error) => {
                    let line = format!("cannot read blob {canonical}: {error}; skipped it");
                    self.result.left.push(line);
                }
            }
        }
        if count > 0 {
            let blobs = if count == 1 { "blob" } else { "blobs" };
            let line = format!(
                "retained {count} {blobs} ({bytes} bytes) that nothing in the tree references"
            );
            self.result.left.push(line);
        }
        Ok(())
    }

    pub(super) fn content(&self, canonical: &CanonicalDigest) -> Option<Content> {
        self.blobs.get(canonical).map(|finished| finished.content)
    }

    /// Returns whether the bytes that a link leads to have the name that it is under.
    pub(super) async fn is_sound(
        &mut self,
        writer: &mut Writer,
        link: &Link<Digest>,
    ) -> Result<Option<Content>> {
        let Some(target) = link.target else { return Ok(None) };
        if !self.in_tree.contains(&(self.tree, target)) && !self.lost.contains(&target) {
            // The tree lost its directory too.
            let is_new = !self.blobs.contains_key(&target);
            let _ = self.read_blob(&target).await?;
            if is_new && let Some(finished) = self.blobs.get(&target) {
                writer.put_blob(None, &new_blob(finished, Vec::new())?, now()).await?;
            }
        }
        if !self.in_tree.contains(&(self.tree, target)) {
            return Ok(None);
        }
        let Some(content) = self.content(&target) else { return Ok(None) };
        let sound = match link.name.algorithm() {
            Algorithm::Sha256 => link.name == content.canonical.into(),
            Algorithm::Sha512 => link.name == self.registry.sha512(&content).await?,
        };
        Ok(sound.then_some(content))
    }
}
