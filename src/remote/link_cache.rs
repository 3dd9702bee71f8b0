//! The cache of links: under one root a path leads to the same digest for ever.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{fs, io};

use cid::Cid;

use super::discard::discard;
use super::notes::entries;
use crate::oci::CanonicalDigest;

/// How many links are cached at the most; when there would be more, all are removed: the folder is renamed, and
/// its content removed in the background.
const MOST: usize = 100_000;

/// Links that were read below foreign roots, in a folder of its own.
pub struct LinkCache {
    folder: PathBuf,
    count: Arc<AtomicUsize>,
}

impl LinkCache {
    /// Opens the folder, which is made if need be.
    ///
    /// # Errors
    /// When it cannot be written to.
    pub fn open(folder: &Path) -> io::Result<Self> {
        let cache = Self::open_uncounted(folder)?;
        let (counted, shards) = (Arc::clone(&cache.count), folder.to_owned());
        // There are a hundred thousand at most, and no caller waits for that. A link that is stored meanwhile may
        // count twice: then all are removed a little earlier.
        let counting = std::thread::Builder::new().name("answers".to_owned()).spawn(move || {
            for byte in 0..=255_u8 {
                let there = entries(&shards.join(format!("{byte:02x}")));
                counted.fetch_add(there.map_or(0, Iterator::count), Ordering::Relaxed);
            }
        });
        drop(counting?);
        Ok(cache)
    }

    /// Opens the folder as if there were none yet.
    fn open_uncounted(folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        Ok(Self { folder: folder.to_owned(), count: Arc::new(AtomicUsize::new(0)) })
    }

    /// Removes all if there are so many.
    fn clear_if_full(&self, most: usize) -> io::Result<()> {
        let forget = |count| (count >= most).then_some(0);
        if self.count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, forget).is_ok() {
            discard(&self.folder)?;
            fs::create_dir_all(&self.folder)?;
        }
        Ok(())
    }

    /// Returns the digest that the link at a path below a root holds, if it was read before. It reads a file.
    #[must_use]
    pub fn recall(&self, root: &Cid, path: &[String]) -> Option<CanonicalDigest> {
        fs::read_to_string(self.path_of(root, path)).ok()?.parse().ok()
    }

    /// Stores the digest; it writes a file. Half of it is never read: it is no digest.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn remember(
        &self,
        root: &Cid,
        path: &[String],
        digest: &CanonicalDigest,
    ) -> io::Result<()> {
        self.clear_if_full(MOST)?;
        let file = self.path_of(root, path);
        if let Some(folder) = file.parent() {
            fs::create_dir_all(folder)?;
        }
        self.count.fetch_add(1, Ordering::Relaxed);
        fs::write(file, digest.to_string())
    }

    fn path_of(&self, root: &Cid, path: &[String]) -> PathBuf {
        let name = CanonicalDigest::of(format!("{root}/{}", path.join("/")).as_bytes());
        let hex = name.hex();
        self.folder.join(&hex[..2]).join(hex)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_recalled_for_the_root_and_path_that_it_was_given_for() {
        let folder = tempfile::TempDir::new().unwrap();
        let answers = LinkCache::open(folder.path()).unwrap();
        let (root, path) = (crate::ipld::no_root(), ["a".to_owned(), "b".to_owned()]);
        let digest = CanonicalDigest::of(b"content");
        assert_eq!(answers.recall(&root, &path), None);
        answers.remember(&root, &path, &digest).unwrap();
        let again = LinkCache::open(folder.path()).unwrap();
        assert_eq!(again.recall(&root, &path), Some(digest));
        assert_eq!(again.recall(&root, &path[..1]), None);
        assert_eq!(again.recall(&crate::ipld::raw_cid([1; 32]), &path), None);
    }

    #[test]
    fn when_there_are_too_many_all_are_forgotten() {
        let folder = tempfile::TempDir::new().unwrap();
        let answers = LinkCache::open_uncounted(folder.path()).unwrap();
        let (root, path) = (crate::ipld::no_root(), ["a".to_owned()]);
        let digest = CanonicalDigest::of(b"content");
        answers.remember(&root, &path, &digest).unwrap();
        answers.clear_if_full(2).unwrap();
        assert_eq!(answers.recall(&root, &path), Some(digest));
        answers.remember(&root, &["b".to_owned()], &digest).unwrap();
        answers.clear_if_full(2).unwrap();
        assert_eq!(answers.recall(&root, &path), None);
        answers.remember(&root, &path, &digest).unwrap();
        answers.clear_if_full(2).unwrap();
        assert_eq!(answers.recall(&root, &path), Some(digest));
    }

    #[test]
    fn half_an_answer_is_none() {
        let folder = tempfile::TempDir::new().unwrap();
        let answers = LinkCache::open(folder.path()).unwrap();
        let (root, path) = (crate::ipld::no_root(), ["a".to_owned()]);
        answers.remember(&root, &path, &CanonicalDigest::of(b"content")).unwrap();
        let file = answers.path_of(&root, &path);
        fs::write(&file, &fs::read(&file).unwrap()[..40]).unwrap();
        assert_eq!(answers.recall(&root, &path), None);
    }
}
