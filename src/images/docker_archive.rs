//! Archives as sources: those of `docker save`, and layouts in an archive.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::json;

use super::archive::Archive;
use super::error::{ImageError, Result, blocking};
use super::layout::{LayoutFiles, LayoutSource, digest_of};
use super::part_file::unnamed;
use super::source::ImageSource;
use crate::client::Content;
use crate::oci::{Algorithm, Descriptor, Digest, MediaType};

const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// How many documents of a layout are looked into to learn whether it is complete.
const MOST_INDEXES: usize = 200;

/// An image of `manifest.json`, as `docker save` writes it.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Saved {
    config: String,
    repo_tags: Option<Vec<String>>,
    #[serde(default)]
    layers: Vec<String>,
}

/// An image of such an archive. Its manifest is made here: the archive has none.
struct DockerArchive {
    name: String,
    file: Arc<File>,
    root: (Descriptor, Bytes),
    blobs: Vec<(Descriptor, Range<u64>)>,
}

/// Opens an archive; none is standard input. `named` is what names the image in it, `tag` the tag that it is to have.
///
/// # Errors
/// [`ImageError::Choice`] if it has several images and none was named, or not that one; [`ImageError::Unsound`] if it
/// has none; those of the files.
pub(crate) async fn open_archive(
    path: Option<&Path>,
    named: Option<&str>,
    tag: Option<&str>,
) -> Result<Box<dyn ImageSource>> {
    let path = path.map(Path::to_owned);
    let (named, tag) = (named.map(str::to_owned), tag.map(str::to_owned));
    blocking(move || {
        let name = match &path {
            Some(path) => path.display().to_string(),
            None => "standard input".to_owned(),
        };
        let failed = || ImageError::file(format!("cannot read {name}"));
        let file = match &path {
            Some(path) => File::open(path),
            None => spooled(&mut io::stdin().lock()),
        };
        let file = file.map_err(failed())?;
        opened(name, file, named.as_deref(), tag.as_deref())
    })
    .await
}

/// Opens an archive that is read from its beginning. Blocks.
pub(super) fn opened(
    name: String,
    mut file: File,
    named: Option<&str>,
    tag: Option<&str>,
) -> Result<Box<dyn ImageSource>> {
    let failed = || ImageError::file(format!("cannot read {name}"));
    let mut first = [0; 2];
    if file.read(&mut first).map_err(failed())? == 2 && first == [0x1f, 0x8b] {
        let text = format!("cannot read {name}: it is compressed; unpack it first with gunzip");
        return Err(ImageError::Unsound(text));
    }
    let archive = Arc::new(Archive::read_heads(file).map_err(failed())?);
    let is_layout = ["oci-layout", "index.json"].iter().all(|it| archive.find(it).is_some());
    if is_layout && is_complete(&archive) {
        let files = LayoutFiles::Archive(archive);
        return Ok(Box::new(LayoutSource::open(name, files, named, tag)?));
    }
    Ok(Box::new(DockerArchive::open(name, &archive, named, tag)?))
}

/// Copies what cannot be read twice into a file that has no name. Blocks.
fn spooled(input: &mut impl Read) -> io::Result<File> {
    let mut file = unnamed()?;
    io::copy(input, &mut file)?;
    file.flush()?;
    file.seek(SeekFrom::Start(0))?;
    Ok(file)
}

/// Tells whether all that the layout in an archive of docker lists first is there: docker lists platforms that it does
/// not have.
fn is_complete(archive: &Archive) -> bool {
    let listed = |name: &str| -> Vec<String> {
        let document = archive.read(name).ok();
        let document =
            document.and_then(|bytes| serde_json::from_slice::<serde_json::Value>(&bytes).ok());
        let entries = document.as_ref().and_then(|it| it["manifests"].as_array());
        let digests = entries.into_iter().flatten().filter_map(|it| it["digest"].as_str());
        digests.map(|digest| format!("blobs/{}", digest.replacen(':', "/", 1))).collect()
    };
    let mut paths = listed("index.json");
    paths.sort_unstable();
    paths.dedup();
    // An index of indexes, such as docker's, is looked into; deeper ones are complete or fail, and so are those of a list
    // that is too long.
    for path in paths.clone().iter().take(MOST_INDEXES) {
        if !listed(path).iter().all(|child| archive.find(child).is_some()) {
            return false;
        }
    }
    !paths.is_empty() && paths.iter().all(|path| archive.find(path).is_some())
}

impl DockerArchive {
    /// Makes the image of an archive. Blocks.
    fn open(
        name: String,
        archive: &Archive,
        named: Option<&str>,
        tag: Option<&str>,
    ) -> Result<Self> {
        let unsound = |why: &str| ImageError::Unsound(format!("cannot read {name}: {why}"));
        let failed = |file: &str| ImageError::file(format!("cannot read {file} of {name}"));
        let bytes = archive.read("manifest.json").map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => {
                unsound("it is no archive of `docker save`, and no layout: it has no manifest.json")
            }
            _ => failed("manifest.json")(error),
        })?;
        let saved: Vec<Saved> = serde_json::from_slice(&bytes)
            .map_err(|error| unsound(&format!("its manifest.json: {error}")))?;
        let saved = select(&name, saved, named, tag)?;
        let config = archive.read(&saved.config).map_err(failed(&saved.config))?;
        let diff_ids = diff_ids(&config).ok_or_else(|| unsound("its config names no layers"))?;
        if diff_ids.len() != saved.layers.len() {
            return Err(unsound("its config names another number of layers"));
        }
        let mut blobs = Vec::new();
        let range = archive.find(&saved.config).ok_or_else(|| unsound("it has no config"))?;
        blobs.push((descriptor(CONFIG, Digest::of(Algorithm::Sha256, &config), &range), range));
        for (path, diff_id) in saved.layers.iter().zip(diff_ids) {
            let range = archive.find(path).ok_or_else(|| unsound(&format!("it has no {path}")))?;
            let suffix = match archive.begin(&range).map_err(failed(path))? {
                [0x1f, 0x8b, ..] => "+gzip",
                [0x28, 0xb5, 0x2f, 0xfd] => "+zstd",
                _ => "",
            };
            // What is not compressed is what the config names; that is checked when it is sent.
            let digest = match suffix {
                "" => diff_id,
                _ => digest_of(&archive.file, range.clone()).map_err(failed(path))?,
            };
            blobs.push((descriptor(&format!("{LAYER}{suffix}"), digest, &range), range));
        }
        let entry = |(it, _): &(Descriptor, Range<u64>)| json!({ "mediaType": it.media_type, "digest": it.digest.to_string(), "size": it.size });
        let media_type = MediaType::OciManifest.as_str();
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": media_type,
            "config": entry(&blobs[0]),
            "layers": blobs[1..].iter().map(entry).collect::<Vec<_>>(),
        });
        let bytes = Bytes::from(manifest.to_string());
        let root = Descriptor {
            media_type: media_type.to_owned(),
            digest: Digest::of(Algorithm::Sha256, &bytes),
            size: bytes.len() as u64,
        };
        Ok(Self { name, file: Arc::clone(&archive.file), root: (root, bytes), blobs })
    }
}

/// Chooses an image: the one that was named, else the only one, else the one with that tag. Several images may have a
/// tag, and then none of them is meant.
fn select(
    name: &str,
    mut saved: Vec<Saved>,
    named: Option<&str>,
    tag: Option<&str>,
) -> Result<Saved> {
    let is_named = |saved: &Saved, name: &str| {
        let mut tags = saved.repo_tags.iter().flatten();
        tags.any(|tag| tag == name || tag.ends_with(&format!(":{name}")))
    };
    let named = named.or_else(|| tag.filter(|_| saved.len() > 1));
    if let Some(named) = named {
        let found: Vec<&Saved> = saved.iter().filter(|saved| is_named(saved, named)).collect();
        if let Some((first, others)) = found.split_first() {
            let is_first = |it: &&Saved| it.config == first.config && it.layers == first.layers;
            if others.iter().all(is_first) {
                return Ok((*first).clone());
            }
            let tags = listed(&found);
            let text = format!(
                "cannot choose an image of {name}: several are named {named}; name one whole behind the file: {tags}"
            );
            return Err(ImageError::Choice(text));
        }
    } else if saved.len() <= 1 {
        let text = format!("{name} has no image");
        return saved.pop().ok_or(ImageError::Choice(text));
    }
    let tags = listed(&saved.iter().collect::<Vec<_>>());
    let text = format!("cannot choose an image of {name}: it has {tags}; name one behind the file");
    Err(ImageError::Choice(text))
}

/// Lists the names of images, if they are not too many.
fn listed(saved: &[&Saved]) -> String {
    let tags = saved.iter().flat_map(|saved| saved.repo_tags.iter().flatten());
    tags.map(String::as_str).take(10).collect::<Vec<_>>().join(", ")
}

/// Reads the digests of an image's unpacked layers.
fn diff_ids(config: &[u8]) -> Option<Vec<Digest>> {
    #[derive(Deserialize)]
    struct Config {
        rootfs: Rootfs,
    }
    #[derive(Deserialize)]
    struct Rootfs {
        #[serde(default)]
        diff_ids: Vec<String>,
    }

    let config: Config = serde_json::from_slice(config).ok()?;
    config.rootfs.diff_ids.iter().map(|text| text.parse().ok()).collect()
}

fn descriptor(media_type: &str, digest: Digest, range: &Range<u64>) -> Descriptor {
    Descriptor { media_type: media_type.to_owned(), digest, size: range.end - range.start }
}

#[async_trait]
impl ImageSource for DockerArchive {
    fn name(&self) -> String {
        self.name.clone()
    }

    async fn root(&self) -> Result<(Descriptor, Bytes)> {
        Ok(self.root.clone())
    }

    async fn manifest(&self, descriptor: &Descriptor) -> Result<Bytes> {
        let text = format!("cannot find {} in {}", descriptor.digest, self.name);
        Err(ImageError::Unsound(text))
    }

    async fn content(&self, descriptor: &Descriptor) -> Result<Content> {
        let found = self.blobs.iter().find(|(it, _)| it.digest == descriptor.digest);
        let Some((_, range)) = found else {
            let text = format!("cannot find {} in {}", descriptor.digest, self.name);
            return Err(ImageError::Unsound(text));
        };
        Ok(Content::of_file(Arc::clone(&self.file), range.clone()))
    }

    async fn referrers(&self, _subject: &Digest) -> Result<Vec<Descriptor>> {
        Ok(Vec::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn saved(config: &str, tags: &[&str]) -> Saved {
        let tags = tags.iter().map(ToString::to_string).collect();
        Saved { config: config.to_owned(), repo_tags: Some(tags), layers: Vec::new() }
    }

    #[test]
    fn a_tag_that_several_images_have_chooses_none_of_them() {
        let all = || {
            vec![
                saved("one", &["one:latest", "one:v1"]),
                saved("two", &["two:latest"]),
                saved("two", &["two:v2"]),
                saved("two", &["other/two:v2"]),
            ]
        };
        for (named, tag, config) in [
            (Some("one:latest"), None, Some("one")),
            (Some("two:latest"), Some("v1"), Some("two")),
            (Some("v1"), None, Some("one")),
            (None, Some("v1"), Some("one")),
            // The same image twice.
            (Some("v2"), None, Some("two")),
            (Some("latest"), None, None),
            (None, Some("latest"), None),
            (None, Some("v3"), None),
            (None, None, None),
        ] {
            let found = select("app.tar", all(), named, tag);
            assert_eq!(found.as_ref().ok().map(|it| &*it.config), config, "{named:?} {tag:?}");
            if let Err(error) = found {
                assert!(matches!(error, ImageError::Choice(_)), "{error}");
                assert!(error.to_string().contains("two:latest"), "{error}");
            }
        }
    }
}
