//! Cleaning: names that keep what is of no more use are taken away.
//!
//! A removal beside links loses links, and a node that is killed between a removal and the next flush
//! does not start any more if a collection came between. So it is done alone, and what the removal leaves
//! behind on the disk is pinned until that is replaced.

use std::collections::HashSet;

use super::super::permission::{self, Always};
use super::super::{Permission, Result};
use super::mfs_paths::{Owner, owner};
use super::store::Store;

/// How many names are taken away by one call.
const NAMES: usize = 200;

impl Store {
    /// Takes away what uploads and commits have left, and all snapshots but the last. Costs next to
    /// nothing where there is nothing to do.
    pub(super) async fn clean(&self) -> Result<()> {
        let paths = &self.node.paths;
        let staged = self.names(&paths.all_staged()).await?;
        let roots = self.names(&paths.roots()).await?;
        let numbers = || roots.iter().filter_map(|name| name.parse::<u64>().ok());
        let last = numbers().max().unwrap_or_default();
        let released = self.released().clone();
        let is_useless = |name: &&String| match owner(name) {
            Some(Owner::Upload(id)) => released.contains(id),
            Some(Owner::Commit(seq)) => seq <= last,
            None => false,
        };
        let useless: Vec<String> = staged
            .iter()
            .filter(is_useless)
            .map(|name| paths.staged(name))
            .chain(numbers().filter(|seq| *seq < last).map(|seq| paths.snapshot(seq)))
            .collect();
        if !useless.is_empty() {
            self.remove(&useless, &mut Always).await?;
            tracing::debug!(names = useless.len(), "cleaned the node");
        }
        // Something may still have been on its way: an upload is forgotten once nothing was left of it.
        let left: HashSet<&str> = staged
            .iter()
            .filter_map(|name| match owner(name) {
                Some(Owner::Upload(id)) => Some(id),
                _ => None,
            })
            .collect();
        self.released().retain(|id| !released.contains(id) || left.contains(id.as_str()));
        Ok(())
    }

    /// Removes names, with no linking meanwhile, and returns when that is on the disk.
    pub(super) async fn remove(
        &self,
        removed: &[String],
        permission: &mut dyn Permission,
    ) -> Result<()> {
        let (kubo, paths) = (&self.node.kubo, &self.node.paths);
        let remove = async || {
            let mut folders: Vec<&str> = vec!["/", paths.root()];
            for path in removed {
                let mut folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
                while folder.len() > paths.root().len() {
                    if !folders.contains(&folder) {
                        folders.push(folder);
                    }
                    folder = folder.rsplit_once('/').map_or("", |(above, _)| above);
                }
            }
            let mut pinned = Vec::new();
            for folder in folders {
                pinned.extend(kubo.stat(folder).await?.map(|stat| stat.cid));
            }
            kubo.pin_blocks(&pinned, &paths.pin()).await?;
            for names in removed.chunks(NAMES) {
                permission::expect(permission).await?;
                kubo.remove(names).await?;
            }
            kubo.flush(paths.root()).await?;
            Ok(())
        };
        self.node.alone(remove).await
    }

    /// Lists a directory of MFS.
    pub(super) async fn names(&self, path: &str) -> Result<Vec<String>> {
        Ok(self.node.kubo.list(path).await?.unwrap_or_default())
    }
}
