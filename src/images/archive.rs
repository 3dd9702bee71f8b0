//! Tar archives: where in the file each entry is. Nothing is unpacked to paths.

use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use tar::EntryType;

use super::source::LARGEST_MANIFEST;

/// How many entries an archive may have.
const MOST_ENTRIES: usize = 100_000;

/// How many links may lead from one to the next.
const MOST_LINKS: usize = 8;

/// The size of the head of an entry.
const HEAD: usize = 512;

/// How many bytes may be read behind a head: names that are too long for it, in the forms of GNU and POSIX.
const LONGEST_NAME: usize = 1 << 20;

/// An archive whose entries are known.
pub(super) struct Archive {
    pub(super) file: Arc<File>,
    files: HashMap<String, Range<u64>>,
    /// Links between entries, as older archives of docker have them for layers that are the same.
    links: HashMap<String, String>,
}

impl fmt::Debug for Archive {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Archive").field("files", &self.files.len()).finish_non_exhaustive()
    }
}

impl Archive {
    /// Reads the heads of all entries. Blocks.
    pub(super) fn read_heads(file: File) -> io::Result<Self> {
        let unsound = |text: String| io::Error::new(io::ErrorKind::InvalidData, text);
        let length = file.metadata()?.len();
        let file = Arc::new(file);
        let (mut files, mut links) = (HashMap::new(), HashMap::new());
        let mut reader = Heads { file: &file, left: LONGEST_NAME };
        reader.seek(SeekFrom::Start(0))?;
        let mut archive = tar::Archive::new(reader);
        for entry in archive.entries_with_seek()? {
            let entry = entry?;
            if files.len() + links.len() > MOST_ENTRIES {
                return Err(unsound(format!("it has more than {MOST_ENTRIES} entries")));
            }
            let kind = entry.header().entry_type();
            let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            // What leads outside is the name of nothing that is looked up.
            let Some(name) = clean(&path) else { continue };
            match kind {
                EntryType::Regular | EntryType::Continuous => {
                    let start = entry.raw_file_position();
                    let end = start.checked_add(entry.size()).filter(|end| *end <= length);
                    let Some(end) = end else {
                        return Err(unsound(format!("it ends within {path:?}")));
                    };
                    if files.insert(name, start..end).is_some() {
                        return Err(unsound(format!("it has {path:?} twice")));
                    }
                }
                EntryType::Link | EntryType::Symlink => {
                    let Some(target) = entry.link_name_bytes() else { continue };
                    let target = String::from_utf8_lossy(&target).into_owned();
                    let below = match kind {
                        EntryType::Symlink => name.rsplit_once('/').map_or("", |(below, _)| below),
                        _ => "",
                    };
                    if let Some(target) = clean(&format!("{below}/{target}")) {
                        links.insert(name, target);
                    }
                }
                _ => {}
            }
        }
        Ok(Self { file, files, links })
    }

    /// Finds an entry, also where links to others lead to it.
    pub(super) fn find(&self, name: &str) -> Option<Range<u64>> {
        let mut name = clean(name)?;
        for _ in 0..MOST_LINKS {
            if let Some(range) = self.files.get(&name) {
                return Some(range.clone());
            }
            name = self.links.get(&name)?.clone();
        }
        None
    }

    /// Reads a small entry. Blocks.
    pub(super) fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        let range = self.find(name).ok_or(io::ErrorKind::NotFound)?;
        let length = range.end - range.start;
        if length > LARGEST_MANIFEST {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "it is too large"));
        }
        let mut bytes = vec![0; usize::try_from(length).map_err(io::Error::other)?];
        self.file.read_exact_at(&mut bytes, range.start)?;
        Ok(bytes)
    }

    /// Reads the first bytes of an entry. Blocks.
    pub(super) fn begin(&self, range: &Range<u64>) -> io::Result<[u8; 4]> {
        let mut first = [0; 4];
        let length = first.len().min(usize::try_from(range.end - range.start).unwrap_or(4));
        self.file.read_exact_at(&mut first[..length], range.start)?;
        Ok(first)
    }
}

/// The heads of an archive. What it has between them is sought past, but for long names, which are read whole.
struct Heads<'a> {
    file: &'a File,
    /// How many bytes may be read before the next head.
    left: usize,
}

impl Read for Heads<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.len() == HEAD {
            self.left = LONGEST_NAME;
        }
        let read = self.file.read(buffer)?;
        let left = self.left.checked_sub(read);
        let text = "it has a name that is too long";
        self.left = left.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, text))?;
        Ok(read)
    }
}

impl Seek for Heads<'_> {
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        self.file.seek(position)
    }
}

/// Returns a path without `.` and `..`; nothing if it leads outside of the archive.
fn clean(path: &str) -> Option<String> {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/")).filter(|path| !path.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An archive of an entry before which such a body of a name stands.
    fn archive(kind: EntryType, body: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        let mut builder = tar::Builder::new(&mut file);
        for (kind, body) in [(kind, body), (EntryType::Regular, b"hello")] {
            let mut header = tar::Header::new_gnu();
            header.set_path("short").unwrap();
            header.set_entry_type(kind);
            header.set_size(body.len() as u64);
            header.set_cksum();
            builder.append(&header, body).unwrap();
        }
        builder.finish().unwrap();
        drop(builder);
        file
    }

    #[test]
    fn names_that_are_too_long_are_not_read() {
        let long = "n".repeat(150_000);
        let record = |text: &str| format!("{} path={text}\n", text.len() + 13);
        let found = |kind, body: &str| Archive::read_heads(archive(kind, body.as_bytes()));
        for (kind, body) in
            [(EntryType::GNULongName, format!("{long}\0")), (EntryType::XHeader, record(&long))]
        {
            assert_eq!(found(kind, &body).unwrap().read(&long).unwrap(), b"hello", "{kind:?}");
        }
        let longer = "n".repeat(2 << 20);
        for kind in [EntryType::GNULongName, EntryType::GNULongLink, EntryType::XHeader] {
            let error = found(kind, &longer).unwrap_err().to_string();
            assert!(error.contains("too long"), "{error}");
        }
        // Many heads without anything between them are not one name.
        let mut file = tempfile::tempfile().unwrap();
        let mut builder = tar::Builder::new(&mut file);
        for number in 0..5000 {
            let mut header = tar::Header::new_gnu();
            header.set_size(0);
            builder.append_data(&mut header, number.to_string(), &b""[..]).unwrap();
        }
        drop(builder);
        assert!(Archive::read_heads(file).unwrap().find("4999").is_some());
    }

    #[test]
    fn paths_stay_within_the_archive() {
        for (path, cleaned) in [
            ("a/b", Some("a/b")),
            ("./a//b/", Some("a/b")),
            ("a/../b", Some("b")),
            ("/a", Some("a")),
            ("../a", None),
            ("a/../../b", None),
            ("", None),
        ] {
            assert_eq!(clean(path).as_deref(), cleaned, "{path}");
        }
    }
}
