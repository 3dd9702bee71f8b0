//! What a collection would take, found out by reading alone, and what stays.

use std::collections::{HashMap, HashSet};

use super::super::{Registry, Result};
use super::entry::foreign_layers;
use super::report::{Amount, Collected, Retained};
use super::slice::{LISTED, SLICE};
use crate::oci::{CanonicalDigest, Digest, RepositoryName};

impl Registry {
    /// Tells what a collection would take now. Nothing is written.
    ///
    /// # Errors
    /// Those of the index and the storage.
    pub async fn plan_collection(&self) -> Result<Collected> {
        let began = self.index.now().await?;
        let mut planned = Collected { dry_run: true, began, ..Collected::default() };
        let before = self.collected_before(began);
        let mut contents: HashSet<CanonicalDigest> = HashSet::new();
        let mut foreign: HashMap<RepositoryName, HashSet<Digest>> = HashMap::new();
        let mut next = None;
        loop {
            let page = self.index.unreferenced_blobs(before, next.as_ref(), SLICE).await?;
            let pairs: HashSet<(RepositoryName, CanonicalDigest)> =
                page.blobs.into_iter().map(|row| (row.repository, row.canonical)).collect();
            let pairs: Vec<_> = pairs.into_iter().collect();
            planned.candidates += pairs.len() as u64;
            for row in self.index.collectable(&pairs, before).await? {
                if !foreign.contains_key(&row.repository) {
                    let (mut layers, mut last) = (HashSet::new(), None);
                    loop {
                        let page = self
                            .index
                            .manifests_with_foreign_layers(&row.repository, last.as_ref());
                        let page = page.await?;
                        let Some((end, ..)) = page.last() else { break };
                        last = Some(*end);
                        layers.extend(foreign_layers(&page));
                    }
                    foreign.insert(row.repository.clone(), layers);
                }
                if row.names.iter().any(|name| foreign[&row.repository].contains(name)) {
                    continue;
                }
                planned.links += 1;
                contents.insert(row.canonical);
            }
            if page.next.is_none() {
                break;
            }
            next = page.next;
        }
        let mut last = None;
        loop {
            let unowned = self.index.unowned_content(before, last.as_ref(), LISTED).await?;
            let Some(end) = unowned.last() else { break };
            last = Some(*end);
            contents.extend(unowned);
        }
        let contents: Vec<CanonicalDigest> = contents.into_iter().collect();
        for content in self.index.content_freed_by(&contents, before).await? {
            let amount =
                if content.is_manifest { &mut planned.manifests } else { &mut planned.blobs };
            amount.add(content.size);
        }
        planned.leaks = self.leaks().await?.len() as u64;
        planned.retained = self.retained(before).await?;
        Ok(planned)
    }

    /// Says what stays although nothing names it.
    pub(super) async fn retained(&self, before: i64) -> Result<Vec<Retained>> {
        let young = self.index.within_grace(before).await?;
        let served = self.index.unowned_in_roots().await?;
        let uploads = Amount {
            count: self.index.upload_count().await?,
            bytes: self.index.upload_bytes().await?,
        };
        let retained = [
            ("grace", Amount { count: young.blobs, bytes: young.bytes }),
            ("roots", Amount { count: served.blobs, bytes: served.bytes }),
            ("uploads", uploads),
        ];
        let retained = retained.into_iter().filter(|(_, amount)| amount.count > 0);
        Ok(retained
            .map(|(reason, amount)| Retained { reason: reason.to_owned(), amount })
            .collect())
    }
}
