//! What a transfer consists of: the manifests below a root, and their blobs.

use std::collections::{BTreeMap, HashMap, HashSet};

use bytes::Bytes;

use super::error::{ImageError, Result};
use super::platform::{Platform, platforms};
use super::source::{ImageSource, LARGEST_MANIFEST};
use crate::oci::{Descriptor, Digest, Manifest, ManifestKind, MediaType};

/// How deep indexes may be nested, and referrers refer to each other.
const DEEPEST: usize = 16;

/// How many manifests one transfer may have, and how many bytes they may have together.
const MOST_MANIFESTS: usize = 20_000;
const MOST_BYTES: usize = 256 << 20;

/// The largest config that is read to learn its platform.
const LARGEST_CONFIG: usize = 4 << 20;

/// What of an image is transferred.
#[derive(Debug, Clone, Default)]
pub(crate) struct PlanOptions {
    /// The image of that platform alone, instead of all that an index lists.
    pub(crate) platform: Option<Platform>,
    /// What refers to the manifests, such as signatures, as well.
    pub(crate) referrers: bool,
}

/// A manifest to be written.
#[derive(Debug, Clone)]
pub(crate) struct PlannedManifest {
    /// What names it.
    pub(crate) descriptor: Descriptor,
    /// Its bytes, which have the digest.
    pub(crate) bytes: Bytes,
    /// What it says.
    pub(crate) manifest: Manifest,
    /// Those of a lower level are written before.
    pub(crate) level: usize,
}

/// What a transfer consists of.
#[derive(Debug)]
pub(crate) struct Plan {
    /// The root: it is written last, under the name.
    pub(crate) root: PlannedManifest,
    /// All other manifests.
    pub(crate) manifests: Vec<PlannedManifest>,
    /// Their blobs, each once.
    pub(crate) blobs: Vec<Descriptor>,
    /// Layers that are not distributed by registries, and so are left out.
    pub(crate) foreign: Vec<Descriptor>,
}

impl Plan {
    /// Returns how many bytes the blobs have together.
    pub(crate) fn size(&self) -> u64 {
        self.blobs.iter().fold(0, |sum, blob| sum.saturating_add(blob.size))
    }
}

/// Reads all manifests of an image.
///
/// # Errors
/// [`ImageError::Unsound`] if they are no manifests, contradict each other or are too many; [`ImageError::Choice`] if
/// there is no image of the platform; those of the source.
pub(crate) async fn plan(source: &dyn ImageSource, options: &PlanOptions) -> Result<Plan> {
    let mut walk = Walk { source, found: Vec::new(), levels: HashMap::new(), bytes: 0 };
    let (descriptor, bytes) = source.root().await?;
    let root = match &options.platform {
        Some(platform) => walk.select(descriptor, bytes, platform).await?,
        None => (descriptor, bytes),
    };
    let root_digest = root.0.digest;
    walk.add(root.0, Some(root.1)).await?;
    if options.referrers {
        walk.add_referrers().await?;
    }
    let position = walk.found.iter().position(|it| it.descriptor.digest == root_digest);
    let root = walk.found.swap_remove(position.expect("it was added above"));
    let (mut blobs, mut foreign) = (BTreeMap::new(), BTreeMap::new());
    for PlannedManifest { manifest, .. } in walk.found.iter().chain([&root]) {
        let listed = manifest.children.iter().filter(|child| !is_manifest(child));
        for blob in manifest.blobs.iter().chain(listed) {
            let list = if blob.is_foreign() { &mut foreign } else { &mut blobs };
            let known = list.entry(blob.digest.to_string()).or_insert_with(|| blob.clone());
            if known.size != blob.size {
                let (digest, one, other) = (blob.digest, known.size, blob.size);
                let text = format!(
                    "cannot use {}: it says that {digest} has {one} bytes, and that it has {other}",
                    source.name()
                );
                return Err(ImageError::Unsound(text));
            }
        }
    }
    let values = |list: BTreeMap<String, Descriptor>| list.into_values().collect();
    Ok(Plan { root, manifests: walk.found, blobs: values(blobs), foreign: values(foreign) })
}

/// Tells whether what an index lists is a manifest: older caches of BuildKit list layers there.
pub(super) fn is_manifest(child: &Descriptor) -> bool {
    child.media_type.is_empty() || MediaType::parse(&child.media_type).is_some()
}

/// A walk through the manifests below a root.
struct Walk<'a> {
    source: &'a dyn ImageSource,
    found: Vec<PlannedManifest>,
    levels: HashMap<Digest, usize>,
    bytes: usize,
}

impl Walk<'_> {
    /// Adds a manifest and all below it. A stack instead of recursion: how deep it goes is up to the source.
    async fn add(&mut self, descriptor: Descriptor, bytes: Option<Bytes>) -> Result<()> {
        enum Step {
            Read(Descriptor, Option<Bytes>, usize),
            Add(Box<PlannedManifest>),
        }

        let mut steps = vec![Step::Read(descriptor, bytes, 0)];
        let mut read = HashSet::new();
        while let Some(step) = steps.pop() {
            match step {
                Step::Add(mut planned) => {
                    let below = planned.manifest.children.iter();
                    let levels = below.filter_map(|child| self.levels.get(&child.digest));
                    planned.level = levels.max().map_or(0, |level| level + 1);
                    // A referrer is written after its subject.
                    let subject = planned.manifest.subject.as_ref();
                    if let Some(level) = subject.and_then(|it| self.levels.get(&it.digest)) {
                        planned.level = planned.level.max(level + 1);
                    }
                    self.levels.insert(planned.descriptor.digest, planned.level);
                    self.found.push(*planned);
                }
                Step::Read(descriptor, bytes, depth) => {
                    if self.levels.contains_key(&descriptor.digest)
                        || !read.insert(descriptor.digest)
                    {
                        continue;
                    }
                    let planned = self.read(descriptor, bytes, depth).await?;
                    let children = planned.manifest.children.clone();
                    steps.push(Step::Add(Box::new(planned)));
                    let children = children.into_iter().filter(is_manifest);
                    steps.extend(children.map(|child| Step::Read(child, None, depth + 1)));
                }
            }
        }
        Ok(())
    }

    async fn read(
        &mut self,
        descriptor: Descriptor,
        bytes: Option<Bytes>,
        depth: usize,
    ) -> Result<PlannedManifest> {
        let bytes = match bytes {
            Some(bytes) => bytes,
            None => read_manifest(self.source, &descriptor).await?,
        };
        self.bytes += bytes.len();
        if depth > DEEPEST || self.found.len() >= MOST_MANIFESTS || self.bytes > MOST_BYTES {
            let name = self.source.name();
            let text = format!("cannot use {name}: it has too many manifests, or too deep ones");
            return Err(ImageError::Unsound(text));
        }
        let manifest = parse(&self.source.name(), &descriptor, &bytes)?;
        Ok(PlannedManifest { descriptor, bytes, manifest, level: 0 })
    }

    /// Adds what refers to the manifests, and what refers to that.
    async fn add_referrers(&mut self) -> Result<()> {
        let mut next = 0;
        for _ in 0..DEEPEST {
            let subjects: Vec<Digest> =
                self.found[next..].iter().map(|it| it.descriptor.digest).collect();
            if subjects.is_empty() {
                return Ok(());
            }
            next = self.found.len();
            for subject in subjects {
                for referrer in self.source.referrers(&subject).await? {
                    self.add(referrer, None).await?;
                }
            }
        }
        Ok(())
    }

    /// Finds the image of a platform below a root.
    async fn select(
        &self,
        descriptor: Descriptor,
        bytes: Bytes,
        platform: &Platform,
    ) -> Result<(Descriptor, Bytes)> {
        let manifest = parse(&self.source.name(), &descriptor, &bytes)?;
        let mut listed = Vec::new();
        if manifest.kind == ManifestKind::Index {
            for (listed_platform, digest) in platforms(&bytes) {
                let child = manifest.children.iter().find(|child| child.digest == digest);
                if let Some(child) = child.filter(|_| platform.matches(&listed_platform)) {
                    let bytes = read_manifest(self.source, child).await?;
                    return Ok((child.clone(), bytes));
                }
                listed.push(listed_platform.to_string());
            }
        } else if let Some(config) = manifest.blobs.first() {
            let found = read_config(self.source, config).await?;
            match serde_json::from_slice::<Platform>(&found) {
                // What names no platform is good for any.
                Ok(found) if !found.os.is_empty() && !platform.matches(&found) => {
                    listed.push(found.to_string());
                }
                _ => return Ok((descriptor, bytes)),
            }
        } else {
            return Ok((descriptor, bytes));
        }
        listed.retain(|it| !it.starts_with("unknown/"));
        let (name, listed) = (self.source.name(), listed.join(", "));
        let text = format!("cannot find an image for {platform} in {name}: it has {listed}");
        Err(ImageError::Choice(text))
    }
}

/// Reads a config, which has to be small, and checks its digest.
pub(super) async fn read_config(source: &dyn ImageSource, config: &Descriptor) -> Result<Bytes> {
    use futures_util::TryStreamExt;

    let name = source.name();
    if usize::try_from(config.size).map_or(true, |size| size > LARGEST_CONFIG) {
        let text = format!("cannot use {name}: its config has {} bytes", config.size);
        return Err(ImageError::Unsound(text));
    }
    let content = source.content(config).await?;
    let mut pieces = content.read_from(0);
    let mut bytes = Vec::new();
    let failed = format!("cannot read {} of {name}", config.digest);
    while let Some(piece) = pieces.try_next().await.map_err(ImageError::file(failed.clone()))? {
        bytes.extend_from_slice(&piece);
    }
    if Digest::of(config.digest.algorithm(), &bytes) != config.digest {
        return Err(ImageError::corrupt(&name, config));
    }
    Ok(bytes.into())
}

async fn read_manifest(source: &dyn ImageSource, descriptor: &Descriptor) -> Result<Bytes> {
    let Descriptor { digest, size, .. } = descriptor;
    let name = source.name();
    if *size > LARGEST_MANIFEST {
        let text = format!("cannot use {name}: its manifest {digest} has {size} bytes");
        return Err(ImageError::Unsound(text));
    }
    let bytes = source.manifest(descriptor).await?;
    if bytes.len() as u64 != *size || Digest::of(digest.algorithm(), &bytes) != *digest {
        return Err(ImageError::corrupt(&name, descriptor));
    }
    Ok(bytes)
}

fn parse(source: &str, descriptor: &Descriptor, bytes: &[u8]) -> Result<Manifest> {
    let name = format!("{} of {source}", descriptor.digest);
    let media_type = Some(&*descriptor.media_type).filter(|it| !it.is_empty());
    Manifest::parse(bytes, media_type).map_err(|error| ImageError::manifest(&name, &error))
}
