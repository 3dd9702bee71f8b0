//! `index.json`: what a layout has (image-spec, "OCI Image Layout").

use std::collections::{BTreeMap, HashSet};

use bytes::Bytes;
use serde::Deserialize;

use super::error::{ImageError, Result};
use crate::oci::{Descriptor, Digest};

/// The annotation by which a layout names its images: a tag, or a whole reference.
pub(super) const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// The annotation by which containerd names them.
pub(super) const IMAGE_NAME: &str = "io.containerd.image.name";

/// What a layout has.
#[derive(Debug)]
pub(super) struct LayoutIndex {
    pub(super) bytes: Bytes,
    pub(super) entries: Vec<LayoutEntry>,
}

/// One image of a layout.
#[derive(Debug, Clone)]
pub(super) struct LayoutEntry {
    pub(super) descriptor: Descriptor,
    annotations: BTreeMap<String, String>,
    has_platform: bool,
}

impl LayoutEntry {
    /// Tells whether that is one of its names: a digest, a tag, or a whole reference with that tag.
    fn is_named(&self, name: &str) -> bool {
        let mut names = [REF_NAME, IMAGE_NAME].iter().filter_map(|key| self.annotations.get(*key));
        self.descriptor.digest.to_string() == name
            || names.any(|known| known == name || known.ends_with(&format!(":{name}")))
    }

    fn shown(&self) -> String {
        let name = self.annotations.get(REF_NAME).or_else(|| self.annotations.get(IMAGE_NAME));
        name.cloned().unwrap_or_else(|| self.descriptor.digest.to_string())
    }
}

/// What a layout is read for.
#[derive(Debug)]
pub(super) enum Selected {
    /// One of its images.
    One(Descriptor),
    /// All of them: the index itself is the image.
    All,
}

impl LayoutIndex {
    /// Reads the document; `name` is how messages name the layout.
    pub(super) fn read(name: &str, bytes: Bytes) -> Result<Self> {
        #[derive(Deserialize)]
        struct Index {
            manifests: Vec<Entry>,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Entry {
            #[serde(default)]
            media_type: String,
            digest: String,
            size: u64,
            annotations: Option<BTreeMap<String, String>>,
            platform: Option<serde_json::Value>,
        }

        let unsound =
            |why: String| ImageError::Unsound(format!("cannot read index.json of {name}: {why}"));
        let index: Index =
            serde_json::from_slice(&bytes).map_err(|error| unsound(error.to_string()))?;
        let mut entries = Vec::new();
        for entry in index.manifests {
            let digest: Digest = entry
                .digest
                .parse()
                .map_err(|_| unsound(format!("{:?} is not a digest", entry.digest)))?;
            let (media_type, size) = (entry.media_type, entry.size);
            let descriptor = Descriptor { media_type, digest, size };
            let annotations = entry.annotations.unwrap_or_default();
            entries.push(LayoutEntry {
                descriptor,
                annotations,
                has_platform: entry.platform.is_some(),
            });
        }
        Ok(Self { bytes, entries })
    }

    /// Chooses what is meant: what was named, else what has the tag that it is to have, else the only image, else all of
    /// them if they are those of several platforms. `referrers` are entries that refer to others.
    pub(super) fn select(
        &self,
        layout: &str,
        named: Option<&str>,
        tag: Option<&str>,
        referrers: &[Digest],
    ) -> Result<Selected> {
        if let Some(name) = named {
            return match self.named_entry(layout, name)? {
                Some(entry) => Ok(Selected::One(entry.descriptor.clone())),
                None => Err(ImageError::Choice(format!(
                    "cannot find {name} in {layout}: it has {}",
                    shown(&self.entries.iter().collect::<Vec<_>>())
                ))),
            };
        }
        let images: Vec<&LayoutEntry> = self
            .entries
            .iter()
            .filter(|entry| !referrers.contains(&entry.descriptor.digest))
            .collect();
        let digests: HashSet<Digest> = images.iter().map(|it| it.descriptor.digest).collect();
        match (&*images, digests.len()) {
            ([], _) => Err(ImageError::Choice(format!("{layout} has no image"))),
            ([image, ..], 1) => Ok(Selected::One(image.descriptor.clone())),
            _ => {
                if let Some(tag) = tag
                    && let Some(entry) = self.named_entry(layout, tag)?
                {
                    return Ok(Selected::One(entry.descriptor.clone()));
                }
                if images.iter().all(|entry| entry.has_platform)
                    && images.len() == self.entries.len()
                {
                    return Ok(Selected::All);
                }
                Err(ImageError::Choice(format!(
                    "{layout} has several images; name one of {}, such as {layout}:{}",
                    shown(&images),
                    images[0].shown()
                )))
            }
        }
    }

    /// Returns the image of a name, if there is one. Several may have it, and then none of them is meant.
    fn named_entry(&self, layout: &str, name: &str) -> Result<Option<&LayoutEntry>> {
        let found: Vec<_> = self.entries.iter().filter(|entry| entry.is_named(name)).collect();
        let digests: HashSet<Digest> = found.iter().map(|it| it.descriptor.digest).collect();
        if digests.len() > 1 {
            let named = found.iter().map(|it| format!("{} ({})", it.shown(), it.descriptor.digest));
            return Err(ImageError::Choice(format!(
                "{layout} has several images that are named {name}; choose one by its digest, {layout}@DIGEST: {}",
                shortened(named.collect())
            )));
        }
        Ok(found.first().copied())
    }
}

/// Lists the names of images, if they are not too many.
fn shown(entries: &[&LayoutEntry]) -> String {
    shortened(entries.iter().map(|entry| entry.shown()).collect())
}

fn shortened(mut names: Vec<String>) -> String {
    let left_out = names.len().saturating_sub(10);
    names.truncate(10);
    let more = if left_out > 0 { format!(" and {left_out} more") } else { String::new() };
    names.join(", ") + &more
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_tag_that_several_images_have_chooses_none_of_them() {
        let digest = |letter: &str| format!("sha256:{}", letter.repeat(64));
        let entry = |letter: &str, name: &str| {
            let annotations = json!({ REF_NAME: name });
            json!({ "digest": digest(letter), "size": 2, "annotations": annotations })
        };
        let manifests = [
            entry("a", "one:latest"),
            entry("b", "two:latest"),
            entry("b", "two:v2"),
            entry("b", "other/two:v2"),
            entry("a", "v1"),
        ];
        let index = json!({ "schemaVersion": 2, "manifests": manifests }).to_string();
        let index = LayoutIndex::read("oci:app", index.into()).unwrap();
        let by_digest = digest("b");
        for (named, tag, chosen) in [
            (Some("one:latest"), None, Some("a")),
            (Some("two:latest"), Some("v1"), Some("b")),
            (Some(&*by_digest), None, Some("b")),
            (None, Some("v1"), Some("a")),
            // The same image twice.
            (None, Some("v2"), Some("b")),
            (Some("latest"), None, None),
            (None, Some("latest"), None),
            (None, Some("v3"), None),
        ] {
            let found = match index.select("oci:app", named, tag, &[]) {
                Ok(Selected::One(found)) => Some(found.digest.to_string()),
                Ok(Selected::All) => panic!("{named:?} {tag:?} is one image"),
                Err(error) => {
                    assert!(matches!(error, ImageError::Choice(_)), "{error}");
                    None
                }
            };
            assert_eq!(found, chosen.map(digest), "{named:?} {tag:?}");
        }
    }
}
