//! Content: from the index, from a tree that has a copy of its own, or from a source.

use super::super::step::Step;
use super::super::{Registry, Result, layout};
use super::fault::{Mended, cannot_read};
use super::sources::Fetched;
use crate::index::Writer;
use crate::oci::{CanonicalDigest, TreeId};
use crate::storage::{Content, Edit, StorageError, StorageErrorKind, TreeEdit};

/// What stands where content is stored.
enum Stored {
    Sound(Content),
    Damaged {
        /// What is wrong with it.
        what: String,
        /// Whether something stands there that cannot be read.
        is_unreadable: bool,
    },
}

/// Where content was had from.
enum Found {
    /// There it was.
    Copy(&'static str),
    /// It is nowhere; the reason is that of the last place.
    Nowhere(String),
}

impl Registry {
    /// Makes sure that content is stored, and that the trees link to it which name it.
    pub(super) async fn mend_content(&self, canonical: &CanonicalDigest) -> Result<Mended> {
        let about = format!("blob {canonical}");
        let stored = match self.look_at(canonical).await {
            Ok(Stored::Sound(content)) => Stored::Sound(content),
            looked => match (self.drop_damaged(canonical).await, looked) {
                (Err(error), _) => {
                    let why = format!("cannot look at its blocks: {error}");
                    return Ok(Mended::left(&about, why));
                }
                (Ok(_), Ok(damaged)) => damaged,
                // A node breaks off where a block is missing.
                (Ok(1..), Err(_)) => {
                    Stored::Damaged { what: "blocks were missing".to_owned(), is_unreadable: false }
                }
                // Nothing can be said of it now.
                (Ok(0), Err(error)) => return Ok(Mended::left(&about, cannot_read(&error))),
            },
        };
        let (what, is_unreadable) = match stored {
            Stored::Sound(content) => return self.settle_content(&about, &content, None).await,
            Stored::Damaged { what, is_unreadable } => (what, is_unreadable),
        };
        if self.storage.shared().is_none() && self.is_unneeded(canonical).await? {
            return match self.forget_unknown(&[*canonical]).await? {
                0 => Ok(Mended::left(&about, "the index has it by now: check again")),
                _ => Ok(Mended::done(&about, format!("{what}; nothing needs it: removed it"))),
            };
        }
        match self.find_copy(canonical, is_unreadable).await {
            Ok(Found::Copy(from)) => {
                self.failpoint(Step::Restored)?;
                match self.look_at(canonical).await {
                    Ok(Stored::Sound(content)) => {
                        let how = format!("{what}; put it back from {from}");
                        self.settle_content(&about, &content, Some(how)).await
                    }
                    Ok(Stored::Damaged { what, .. }) => {
                        Ok(Mended::left(&about, format!("it is damaged again: {what}")))
                    }
                    Err(error) => Ok(Mended::left(&about, cannot_read(&error))),
                }
            }
            Ok(Found::Nowhere(why)) => {
                let is_blob = self.give_up(canonical).await?;
                let push = if is_blob {
                    "clients are told that it is missing, so the next push brings it"
                } else {
                    "push it again"
                };
                Ok(Mended::left(&about, format!("{why}; {push}")))
            }
            Err(error) if error.is_full() => {
                Ok(Mended::left(&about, "cannot put it back: there is no space on the disk"))
            }
            Err(error) => Ok(Mended::left(&about, format!("cannot put it back: {error}"))),
        }
    }

    /// Reads what is stored under a digest.
    async fn look_at(
        &self,
        canonical: &CanonicalDigest,
    ) -> std::result::Result<Stored, StorageError> {
        let damaged = |what: String, is_unreadable| Ok(Stored::Damaged { what, is_unreadable });
        match self.storage.find(canonical).await {
            Ok(Some(found)) if found.canonical == *canonical => Ok(Stored::Sound(found)),
            Ok(Some(found)) => damaged(format!("its bytes were {}", found.canonical), false),
            // A manifest there is a block that trees name.
            Ok(None) if self.storage.addressed().is_some() => {
                damaged("it was missing or damaged".to_owned(), false)
            }
            Ok(None) => damaged("it was missing".to_owned(), false),
            Err(error) if error.is_retryable() => Err(error),
            Err(error) => damaged(cannot_read(&error), true),
        }
    }

    /// Removes damaged blocks from a storage that would believe to have them; returns how many are not there then.
    async fn drop_damaged(&self, canonical: &CanonicalDigest) -> Result<u64> {
        if let Some(blocks) = self.storage.block_mender()
            && let Some((cid, _)) = self.expected_content(canonical).await?
        {
            return Ok(blocks.drop_damaged(&cid).await?);
        }
        Ok(0)
    }

    /// Returns whether neither the index nor a tree has content of that digest.
    async fn is_unneeded(&self, canonical: &CanonicalDigest) -> Result<bool> {
        if self.index.stored_blob(canonical).await?.is_some()
            || self.index.stored_manifest(canonical).await?.is_some()
        {
            return Ok(false);
        }
        for tree in TreeId::ALL {
            if self.is_in(tree, canonical).await {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Returns whether a tree has a file for content, whatever it is.
    async fn is_in(&self, tree: TreeId, canonical: &CanonicalDigest) -> bool {
        let found = self.storage.read(tree, &layout::blob_data(canonical), 0).await;
        !matches!(found, Ok(None))
    }

    /// Stores content anew from wherever it is to be had.
    async fn find_copy(&self, canonical: &CanonicalDigest, is_unreadable: bool) -> Result<Found> {
        let manifest = self.index.stored_manifest(canonical).await?;
        let bytes = manifest.map(|manifest| manifest.bytes);
        if let Some(bytes) = bytes.filter(|bytes| CanonicalDigest::of(bytes) == *canonical) {
            let _storing = self.storing.read().await;
            self.set_aside(canonical, is_unreadable).await?;
            self.store(*canonical, bytes).await?;
            return Ok(Found::Copy("the index"));
        }
        let path = layout::blob_data(canonical);
        for tree in TreeId::ALL {
            let found = match self.storage.identify(tree, &path).await {
                Ok(found) => found.content,
                // A node without a block says no more than that it breaks off.
                Err(error) if error.is_retryable() && self.storage.block_mender().is_none() => {
                    return Err(error.into());
                }
                Err(_) => continue,
            };
            if found.canonical == *canonical {
                let _storing = self.storing.read().await;
                self.set_aside(canonical, is_unreadable).await?;
                self.storage.adopt(tree, &path, &found).await?;
                return Ok(Found::Copy(match tree {
                    TreeId::Public => "the public tree",
                    TreeId::Private => "the private tree",
                }));
            }
        }
        match self.fetch(canonical, is_unreadable).await? {
            Fetched::Stored => Ok(Found::Copy("a source")),
            Fetched::Failed(why) => Ok(Found::Nowhere(why)),
        }
    }

    /// Takes away what cannot even be read, which nothing could replace otherwise, unless somebody has pushed it meanwhile.
    pub(super) async fn set_aside(
        &self,
        canonical: &CanonicalDigest,
        is_unreadable: bool,
    ) -> Result<()> {
        let is_so_still = async || {
            let looked = self.look_at(canonical).await;
            matches!(looked, Ok(Stored::Damaged { is_unreadable: true, .. }))
        };
        if is_unreadable && is_so_still().await {
            self.storage.forget(&[*canonical]).await?;
        }
        Ok(())
    }

    /// Has the trees link to sound content, and clients see it. `how` says what was done before.
    async fn settle_content(
        &self,
        about: &str,
        content: &Content,
        how: Option<String>,
    ) -> Result<Mended> {
        let mut writer = self.index.lock().await?;
        self.drain(&mut writer).await?;
        let relinked = self.relink(&mut writer, content).await;
        self.failpoint(Step::Relinked)?;
        let relinked = match relinked {
            Ok(relinked) => relinked,
            Err(error) => {
                return Ok(Mended::left(about, format!("cannot link it in the tree: {error}")));
            }
        };
        let was_lost = writer.set_lost(&content.canonical, false).await?;
        drop(writer);
        if how.is_some() || !relinked.is_empty() {
            self.storage.sync().await?;
        }
        let trees: Vec<&str> = relinked.iter().map(|tree| tree.as_str()).collect();
        let trees = trees.join(" and the ");
        Ok(match how {
            Some(how) => Mended::done(about, how),
            None if !relinked.is_empty() => {
                Mended::done(about, format!("linked it in the {trees} tree"))
            }
            None if was_lost => Mended::done(about, "its bytes are there again: clients see it"),
            None => Mended::default(),
        })
    }

    /// Links content in each tree that has it or should; returns those that had another file, or none.
    pub(in crate::registry) async fn relink(
        &self,
        writer: &mut Writer,
        content: &Content,
    ) -> Result<Vec<TreeId>> {
        let path = layout::blob_data(&content.canonical);
        let mut relinked = Vec::new();
        for tree in TreeId::ALL {
            let is_linked = self.storage.is_linked(tree, &path, content).await;
            if matches!(is_linked, Ok(true)) {
                continue;
            }
            let is_named = writer.is_named(tree, &content.canonical).await?;
            if !is_named && !self.is_in(tree, &content.canonical).await {
                continue;
            }
            if let Err(error) = is_linked
                && error.kind != StorageErrorKind::NotFound
            {
                // A file that cannot be looked at is in the way.
                let edit = Edit::remove(path.clone());
                self.storage.apply(&[TreeEdit { tree, edit }]).await?;
            }
            let edit = Edit::link(path.clone(), content);
            self.storage.apply(&[TreeEdit { tree, edit }]).await?;
            relinked.push(tree);
        }
        Ok(relinked)
    }

    /// Notes that the bytes of a blob are lost, unless somebody has pushed it meanwhile; returns whether there is such a
    /// blob.
    async fn give_up(&self, canonical: &CanonicalDigest) -> Result<bool> {
        let was_noted = !self.index.lock().await?.set_lost(canonical, true).await?;
        self.lost_blobs.note();
        // A push that has stored it before this looks may have its row from before the note; one that stores it later has
        // its row after that. Of what cannot be looked at now nothing can be said, but that a node breaks off where a block
        // is missing.
        let is_lost = match self.look_at(canonical).await {
            Ok(Stored::Sound(_)) => false,
            Ok(Stored::Damaged { .. }) => true,
            Err(_) => self.storage.block_mender().is_some(),
        };
        if !was_noted && !is_lost {
            self.index.lock().await?.set_lost(canonical, false).await?;
        }
        Ok(self.index.stored_blob(canonical).await?.is_some())
    }
}
