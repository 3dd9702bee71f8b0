//! A whole foreign registry, found: what can be restored.

use cid::Cid;

use super::super::{RegistryError, Result};
use super::roots::{Located, Roots};
use crate::ipld::Entry;
use crate::oci::RootName;
use crate::remote::{Remote, RemoteError, RemoteErrorKind};

/// How many entries a directory on the way to the tree may have.
const ENTRIES: usize = 10_000;

/// A published root, and the sources of what is below it.
pub struct Restorable {
    /// The root of the tree.
    pub root: Cid,
    /// The sources.
    pub remote: Remote,
}

impl Roots {
    /// Finds the tree that a name leads to. Whose images are *served* has nothing to do with it.
    ///
    /// # Errors
    /// Those of looking it up; [`RegistryError::Remote`] when no source has it.
    pub async fn restorable(&self, name: &RootName) -> Result<Restorable> {
        let Located { mut root, path, remote } = self.find(name).await?;
        for name in &path {
            let entries = list(&remote, root).await?;
            let entry = entries.into_iter().find(|entry| entry.name == *name);
            root = entry.ok_or_else(|| nowhere(&path))?.cid;
        }
        // That there is one is known before anything is made for it.
        list(&remote, root).await?;
        Ok(Restorable { root, remote })
    }
}

async fn list(remote: &Remote, root: Cid) -> Result<Vec<Entry>> {
    let found = remote.list(root, Vec::new(), ENTRIES).await?;
    let file = || RemoteError::new(RemoteErrorKind::Invalid, format!("{root} is not a directory"));
    Ok(found.ok_or_else(file)?)
}

fn nowhere(path: &[String]) -> RegistryError {
    let what = format!("nothing at {} below the root", path.join("/"));
    RemoteError::new(RemoteErrorKind::Invalid, what).into()
}
