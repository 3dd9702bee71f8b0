//! What refers to foreign manifests.

use std::sync::Arc;

use futures_util::{Stream, StreamExt, stream};

use super::super::{Result, layout};
use super::Federation;
use crate::index::{ManifestRow, ReferrerRow};
use crate::oci::{Digest, ForeignName};

/// How many manifests are read at a time.
const WIDTH: usize = 8;

impl Federation {
    /// Reads the manifests that refer to a subject, after `last`, ordered by digest; nothing of one that the
    /// repository does not have.
    pub(in super::super) async fn referrers<'a>(
        &'a self,
        name: &ForeignName,
        subject: &Digest,
        last: Option<&Digest>,
    ) -> Result<impl Stream<Item = Result<(Digest, Option<ReferrerRow>)>> + use<'a>> {
        self.roots.allow(&name.root)?;
        let repository = Arc::new(self.find(name).await?);
        let mut digests: Vec<Digest> = Vec::new();
        for name in repository.names() {
            let hexes =
                repository.list(&layout::referrers(name, subject)).await?.unwrap_or_default();
            let parsed = hexes.iter().map(|hex| format!("sha256:{hex}").parse::<Digest>());
            digests.extend(parsed.filter_map(std::result::Result::ok));
        }
        digests.sort_by_cached_key(ToString::to_string);
        digests.dedup();
        if let Some(last) = last.map(ToString::to_string) {
            digests.retain(|digest| digest.to_string() > last);
        }
        let reading =
            move |digest: Digest| {
                let repository = Arc::clone(&repository);
                async move {
                    let found = self.manifest_by_digest(&repository, &digest).await?;
                    let row = found.map(|ManifestRow { digest, media_type, bytes, .. }| {
                        ReferrerRow { digest, media_type, bytes }
                    });
                    Ok((digest, row))
                }
            };
        Ok(stream::iter(digests).map(reading).buffered(WIDTH))
    }
}
