//! How much content nothing needs.

use std::collections::HashSet;
use std::time::Duration;

use super::super::Result;
use super::content::Reading;
use super::look::Look;
use crate::oci::CanonicalDigest;

/// How long the row of an upload that was just finished may take.
const ROW_LIMIT: Duration = Duration::from_secs(1);

impl Reading<'_> {
    /// Counts what no repository has and no tree has either, with its bytes.
    pub(super) async fn orphans(&self, look: &Look) -> Result<(usize, u64)> {
        let (mut orphans, mut unsure) = (Vec::new(), Vec::new());
        for (canonical, size) in self.sizes() {
            if look.is_in_a_tree(&canonical) || look.is_referenced(&canonical) {
                continue;
            }
            let is_known = self.registry.expected_content(&canonical).await?.is_some();
            if !is_known {
                unsure.push((canonical, size));
            } else if !self.has_repository(&canonical).await? {
                orphans.push(size);
            }
        }
        if !unsure.is_empty() {
            // Content comes before its row.
            tokio::time::sleep(ROW_LIMIT).await;
        }
        for (canonical, size) in unsure {
            if self.registry.expected_content(&canonical).await?.is_none() {
                orphans.push(size);
            }
        }
        Ok((orphans.len(), orphans.iter().sum()))
    }

    /// Counts what no manifest names, with its bytes.
    pub(super) fn unreferenced(&self, look: &Look) -> (usize, u64) {
        let sizes = self.sizes().filter(|(canonical, _)| !look.is_referenced(canonical));
        sizes.fold((0, 0), |(count, bytes), (_, size)| (count + 1, bytes + size))
    }

    /// Counts what a tree has although no manifest names it there, with the bytes of content among it.
    pub(super) fn leftovers(&self, look: &Look) -> (usize, u64) {
        let linked: HashSet<&CanonicalDigest> =
            look.leftover_links.iter().map(|(_, canonical)| canonical).collect();
        let (mut count, mut bytes) = (look.leftover_links.len(), 0);
        for (_, canonical) in look.in_tree.difference(&look.referenced) {
            count += usize::from(!linked.contains(canonical));
            bytes += self.sound(canonical).map_or(0, |content| content.size);
        }
        (count, bytes)
    }
}
