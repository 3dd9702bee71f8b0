//! The names of a tree that is restored: its directories and links.

use bytes::Bytes;
use cid::Cid;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use super::super::layout::{self, TreeFile};
use super::error::Result;
use super::{BATCH, Restoration, RestoreError, STRAY, WIDTH, blobs, list, patiently};
use crate::ipld::{Entry, RAW};
use crate::oci::{CanonicalDigest, RepositoryName};
use crate::remote::{Remote, Repeats};
use crate::storage::{Edit, TreePath};

/// The longest link that is read.
const LINK: u64 = 1024;

/// How many components a path may have: a name has 128 at most.
const DEPTH: usize = 140;

/// How many names a tree may have, so that one that leads to the same directory again and again has an end.
const NAMES: usize = 20_000_000;

/// How many names may be known and not looked at.
const WAITING: usize = 1_000_000;

/// What is at a path.
enum Met {
    Directory(Cid, Vec<(TreePath, Entry)>),
    Link(TreePath, CanonicalDigest),
}

impl Restoration<'_> {
    /// Puts every link into the tree; returns the directory that all content is in.
    pub(super) async fn take_names(&mut self, root: Cid) -> Result<Option<Cid>> {
        let remote = self.names_from.clone();
        let (mut content, mut count) = (None, 0);
        let mut repeats = Repeats::default();
        let mut waiting = vec![(TreePath::root(), root)];
        let mut running = FuturesUnordered::new();
        loop {
            while running.len() < WIDTH
                && let Some((path, cid)) = waiting.pop()
            {
                running.push(meet(&remote, path, cid));
            }
            let Some(met) = running.next().await else { return Ok(content) };
            match met? {
                Met::Directory(cid, entries) => {
                    count += entries.len();
                    if repeats.is_endless(&cid, entries.len()) {
                        let why = "it repeats the same directories too often";
                        return Err(RestoreError::unfit("", why));
                    }
                    if count > NAMES || waiting.len() + entries.len() > WAITING {
                        let why = format!("more than {NAMES} names, or too many at a time");
                        return Err(RestoreError::unfit("", why));
                    }
                    for (path, entry) in entries {
                        if path == blobs() {
                            content = Some(entry.cid);
                        } else {
                            self.expect_name(&path, &entry)?;
                            waiting.push((path, entry.cid));
                        }
                    }
                }
                Met::Link(path, canonical) => {
                    self.edits.push(Edit::put(path, canonical.to_string()));
                    self.apply(BATCH).await?;
                }
            }
        }
    }

    /// Refuses what cannot be on the way to a file of a tree, or is not this registry's.
    fn expect_name(&self, path: &TreePath, entry: &Entry) -> Result<()> {
        if path.components().count() > DEPTH {
            return Err(RestoreError::unfit(path.as_str(), "too many directories deep"));
        }
        let above = layout::repositories();
        let leads_to =
            |candidate: &TreePath| format!("{candidate}/").starts_with(&format!("{path}/"));
        let below = path.as_str().strip_prefix(above.as_str());
        let stray = || RestoreError::unfit(path.as_str(), STRAY);
        let Some(name) = below.and_then(|below| below.strip_prefix('/')) else {
            return if leads_to(&above) || leads_to(&blobs()) { Ok(()) } else { Err(stray()) };
        };
        let is_inside = name.split('/').any(|part| part.starts_with('_'));
        if !is_inside {
            let name: RepositoryName = name.parse().map_err(|_| stray())?;
            if let Some(foreign) = self.names.foreign(&name) {
                let why = format!(
                    "names that begin with `{}` belong to other registries: if the tree is from Roadstead, list \
                     it in server.local_namespaces to accept it",
                    foreign.root
                );
                return Err(RestoreError::unfit(path.as_str(), why));
            }
        }
        // A file has to be that of a link.
        if entry.cid.codec() == RAW && !matches!(layout::read(path), Some(TreeFile::Link(_))) {
            return Err(stray());
        }
        Ok(())
    }
}

async fn meet(remote: &Remote, path: TreePath, cid: Cid) -> Result<Met> {
    if cid.codec() != RAW {
        return Ok(Met::Directory(cid, list(remote, cid, &path).await?));
    }
    let read = patiently(async || {
        let read = remote.read(cid, Vec::new(), LINK).await;
        read.map_err(|error| RestoreError::unread(&path, error))
    });
    let (_, bytes) = read.await?.ok_or_else(|| RestoreError::unfit(path.as_str(), "not a file"))?;
    let canonical = digest(&bytes)
        .ok_or_else(|| RestoreError::unfit(path.as_str(), "a link without a digest"))?;
    Ok(Met::Link(path, canonical))
}

/// Reads what a link holds, if it is written as links are.
fn digest(bytes: &Bytes) -> Option<CanonicalDigest> {
    let text = std::str::from_utf8(bytes).ok()?;
    let canonical: CanonicalDigest = text.parse().ok()?;
    (canonical.to_string() == text).then_some(canonical)
}
