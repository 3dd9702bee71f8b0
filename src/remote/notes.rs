//! Notes about cached content: the names that lead to it, and its sha512 digest once that was computed.
//! Each content has one small file of notes, however many names there are.
//!
//! ```text
//! notes/<ab>/<hex>    a line for each name, the newest last: half of its sha256; and a line `sha512:<hex>`
//! links/<ab>/<hex>/   as earlier versions had it: an empty file for each name, by its sha256
//! ```

use std::collections::HashSet;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use crate::oci::{CanonicalDigest, Digest};

/// How many names are noted of one content; the oldest go.
const NAMES: usize = 64;

/// How many hexadecimal digits of its hash represent a name.
const NAME: usize = 32;

/// The notes of a cache. All methods do file I/O: do not call them on an async worker.
pub(super) struct Notes {
    folder: PathBuf,
    temporary: AtomicU64,
    /// Locked while a file is replaced.
    changing: Mutex<()>,
}

/// The notes about one content.
#[derive(Debug, Default, PartialEq, Eq)]
struct Known {
    /// The newest last.
    names: Vec<String>,
    sha512: Option<Digest>,
}

impl Known {
    /// Reads a file; what a crash left unreadable is passed over.
    fn parse(text: &str) -> Self {
        let mut known = Self::default();
        for line in text.lines() {
            if line.starts_with("sha512:") {
                known.sha512 = line.parse().ok();
            } else if line.len() == NAME {
                known.names.push(line.to_owned());
            }
        }
        known
    }

    fn text(&self) -> String {
        let names = self.names.iter().map(|name| format!("{name}\n"));
        names.chain(self.sha512.map(|digest| format!("{digest}\n"))).collect()
    }

    /// Adds a name as the newest; none if it is there.
    fn add(&mut self, name: String) -> Option<()> {
        if self.names.contains(&name) {
            return None;
        }
        self.names.push(name);
        let excess = self.names.len().saturating_sub(NAMES);
        self.names.drain(..excess);
        Some(())
    }
}

impl Notes {
    pub(super) fn open(folder: &Path) -> io::Result<Self> {
        for name in ["notes", "tmp"] {
            fs::create_dir_all(folder.join(name))?;
        }
        let (temporary, changing) = (AtomicU64::new(0), Mutex::default());
        Ok(Self { folder: folder.to_owned(), temporary, changing })
    }

    /// Returns whether a name was seen to lead to that content.
    pub(super) fn knows(&self, name: &str, digest: &CanonicalDigest) -> bool {
        let name = CanonicalDigest::of(name.as_bytes()).hex();
        self.read(digest).names.iter().any(|known| *known == name[..NAME])
            || self.path("links", digest).join(name).exists()
    }

    /// Notes that a name leads to that content.
    pub(super) fn note(&self, name: &str, digest: &CanonicalDigest) -> io::Result<()> {
        let name = CanonicalDigest::of(name.as_bytes()).hex();
        self.change(digest, |known| known.add(name[..NAME].to_owned()))
    }

    /// Returns the sha512 digest of that content, if it was computed.
    pub(super) fn sha512(&self, digest: &CanonicalDigest) -> Option<Digest> {
        self.read(digest).sha512
    }

    /// Notes the sha512 digest of that content.
    pub(super) fn note_sha512(&self, digest: &CanonicalDigest, sha512: Digest) -> io::Result<()> {
        self.change(digest, |known| (known.sha512.replace(sha512) != Some(sha512)).then_some(()))
    }

    /// Removes the notes about content.
    pub(super) fn forget(&self, digest: &CanonicalDigest) {
        // Notes that stay are about nothing, and are removed at the next start.
        let _ = fs::remove_file(self.path("notes", digest));
        let _ = fs::remove_dir_all(self.path("links", digest));
    }

    /// Migrates the notes of earlier versions about content whose digest begins with `shard`, and removes those
    /// that are about none of `contents` and older than `opened`.
    pub(super) fn clean_up(
        &self,
        shard: &str,
        contents: &HashSet<String>,
        opened: SystemTime,
    ) -> io::Result<()> {
        let is_old = |about: &fs::Metadata| about.modified().is_ok_and(|time| time < opened);
        for file in entries(&self.folder.join("notes").join(shard))? {
            let file = file?;
            let is_about = file.file_name().to_str().is_some_and(|name| contents.contains(name));
            if !is_about && is_old(&file.metadata()?) {
                fs::remove_file(file.path())?;
            }
        }
        for links in entries(&self.folder.join("links").join(shard))? {
            let links = links?;
            let name = links.file_name().to_string_lossy().into_owned();
            if contents.contains(&name)
                && let Ok(digest) = format!("sha256:{name}").parse()
            {
                self.take_over(&digest, &links.path())?;
            }
            fs::remove_dir_all(links.path())?;
        }
        Ok(())
    }

    /// Migrates the notes of an earlier version about content.
    fn take_over(&self, digest: &CanonicalDigest, links: &Path) -> io::Result<()> {
        let mut names = Vec::new();
        for link in entries(links)? {
            let link = link?;
            names.push((link.metadata()?.modified()?, link.file_name()));
            if names.len() == 2 * NAMES {
                names.sort_unstable();
                names.drain(..NAMES);
            }
        }
        names.sort_unstable();
        let names = names.iter().filter_map(|(_, name)| name.to_str()?.get(..NAME));
        self.change(digest, |known| {
            let newer = std::mem::take(&mut known.names);
            for name in names.map(str::to_owned).chain(newer) {
                known.add(name);
            }
            Some(())
        })
    }

    fn path(&self, kind: &str, digest: &CanonicalDigest) -> PathBuf {
        let hex = digest.hex();
        self.folder.join(kind).join(&hex[..2]).join(hex)
    }

    fn read(&self, digest: &CanonicalDigest) -> Known {
        let text = fs::read_to_string(self.path("notes", digest));
        text.map(|text| Known::parse(&text)).unwrap_or_default()
    }

    /// Replaces the notes about content, unless nothing changes.
    fn change(
        &self,
        digest: &CanonicalDigest,
        change: impl FnOnce(&mut Known) -> Option<()>,
    ) -> io::Result<()> {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut known = self.read(digest);
        if change(&mut known).is_none() {
            return Ok(());
        }
        let number = self.temporary.fetch_add(1, Ordering::Relaxed);
        let temporary = self.folder.join("tmp").join(format!("note-{number}"));
        fs::write(&temporary, known.text())?;
        let path = self.path("notes", digest);
        fs::create_dir_all(path.parent().expect("it stands below the folder"))?;
        fs::rename(temporary, path)
    }
}

/// Lists a folder, which need not exist.
pub(super) fn entries(
    folder: &Path,
) -> io::Result<impl Iterator<Item = io::Result<fs::DirEntry>> + use<>> {
    match fs::read_dir(folder) {
        Ok(entries) => Ok(Some(entries).into_iter().flatten()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None.into_iter().flatten()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::oci::Algorithm;

    fn notes() -> (tempfile::TempDir, Notes, CanonicalDigest) {
        let folder = tempfile::TempDir::new().unwrap();
        let notes = Notes::open(folder.path()).unwrap();
        (folder, notes, CanonicalDigest::of(b"content"))
    }

    #[test]
    fn of_many_names_the_newest_are_known_in_one_small_file() {
        let (folder, notes, digest) = notes();
        let sha512 = Digest::of(Algorithm::Sha512, b"content");
        notes.note_sha512(&digest, sha512).unwrap();
        for number in 0..300 {
            notes.note(&number.to_string(), &digest).unwrap();
        }
        let known = |number: usize| notes.knows(&number.to_string(), &digest);
        assert!((300 - NAMES..300).all(known) && !(0..300 - NAMES).any(known));
        assert_eq!(notes.sha512(&digest), Some(sha512));
        let shard = folder.path().join("notes").join(&digest.hex()[..2]);
        let files: Vec<_> = fs::read_dir(shard).unwrap().map(Result::unwrap).collect();
        assert!(files.len() == 1 && files[0].metadata().unwrap().len() <= 4096);
        assert_eq!(fs::read_dir(folder.path().join("tmp")).unwrap().count(), 0);
        notes.forget(&digest);
        assert!(!known(299) && notes.sha512(&digest).is_none());
    }

    #[test]
    fn what_earlier_versions_noted_counts_before_and_after_it_is_taken_over() {
        let (folder, notes, digest) = notes();
        let hex = digest.hex();
        let link = |name: &str| {
            let links = folder.path().join("links").join(&hex[..2]).join(&hex);
            fs::create_dir_all(&links).unwrap();
            fs::write(links.join(CanonicalDigest::of(name.as_bytes()).hex()), "").unwrap();
        };
        link("old");
        notes.note("new", &digest).unwrap();
        let known = || ["old", "new", "other"].map(|name| notes.knows(name, &digest));
        assert_eq!(known(), [true, true, false]);
        notes.clean_up(&hex[..2], &HashSet::from([hex.clone()]), SystemTime::now()).unwrap();
        assert_eq!(known(), [true, true, false]);
        assert!(!folder.path().join("links").join(&hex[..2]).join(&hex).exists());
    }

    #[test]
    fn what_is_about_nothing_is_forgotten_but_not_what_was_noted_since() {
        let (_folder, notes, digest) = notes();
        let hour = Duration::from_hours(1);
        notes.note("name", &digest).unwrap();
        let clean_up = |opened| {
            notes.clean_up(&digest.hex()[..2], &HashSet::new(), opened).unwrap();
            notes.knows("name", &digest)
        };
        assert!(clean_up(SystemTime::now() - hour));
        assert!(!clean_up(SystemTime::now() + hour));
    }

    #[test]
    fn half_a_file_is_read_as_far_as_it_goes() {
        let name = "0123456789abcdef0123456789abcdef";
        let known = Known::parse(&format!("{name}\nsha512:00\n{}", &name[..20]));
        assert_eq!(known, Known { names: vec![name.to_owned()], sha512: None });
    }
}
