//! `roadstead info`: what an image consists of.

use std::fmt::Write as _;
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use serde_json::{Value, json};

use super::advice::registry;
use super::describe::{self, Described};
use super::name::ImageName;
use super::seen;
use super::size::shown;
use crate::cli::administration::print;
use crate::cli::connection::{Connection, ConnectionArguments};
use crate::cli::output::escape;
use crate::cli::runtime;
use crate::client::{Repository, Result};
use crate::images::{Platform, again};
use crate::oci::{ManifestKind, MediaType, Reference};

/// Shows what an image consists of
#[derive(Debug, Args)]
#[command(
    after_help = "Of an index, the layers are those of --platform, else of this machine, else of its first image.\n\n\
    JSON: {image, digest, mediaType, artifactType, size, own, shared, cid, created, pushed, pulls, lastPulled, annotations, platform, config, layers: [{mediaType, digest, \
        size, cid}], platforms: [{platform, digest, size, cid}], history, referrers: [{digest, mediaType, artifactType, size}], \
        ipfs: [command]}. Sizes are in bytes; what the registry does not say is null.\n\n\
    Example:\n  roadstead info registry.example/team/app:v1 --json"
)]
pub(in crate::cli) struct InfoArguments {
    /// The image: HOST/NAME:TAG or HOST/NAME@DIGEST
    #[arg(value_name = "IMAGE")]
    image: ImageName,
    /// The image of that platform, such as linux/arm64
    #[arg(long, value_name = "OS/ARCH")]
    platform: Option<Platform>,
    /// Prints JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: ConnectionArguments,
}

/// Shows it.
pub(in crate::cli) fn run(arguments: &InfoArguments) -> anyhow::Result<ExitCode> {
    let name = &arguments.image;
    let described = runtime()?.block_on(async {
        let connection = arguments.connection.connect(&name.host, Some(&name.repository)).await?;
        let described = arguments.describe(&connection).await;
        let described = described.map_err(|error| registry(error, &[&connection]))?;
        described.with_context(|| match &arguments.platform {
            Some(platform) => format!("cannot find an image for {platform} in {name}"),
            None => format!("cannot read {name}"),
        })
    })?;
    if arguments.json {
        let text = serde_json::to_string_pretty(&described).context("cannot write JSON")?;
        print(&(text + "\n"))?;
    } else {
        print(&report(&described))?;
    }
    Ok(ExitCode::SUCCESS)
}

impl InfoArguments {
    /// Describes the image; nothing if it has none for the platform.
    async fn describe(&self, connection: &Connection) -> Result<Option<Value>> {
        let name = &self.image;
        let repository = connection.repository(&name.repository);
        let root = describe::manifest(&repository, &name.reference()).await?;
        let images = describe::images(&repository, &root).await?;
        let Some(image) = self.choose(&root, &images) else { return Ok(None) };
        let config = describe::config(&repository, &image.manifest).await;
        // What names no platform is good for any.
        if root.manifest.kind == ManifestKind::Image
            && let (Some(platform), Some(found)) = (&self.platform, config.platform())
            && !platform.matches(found)
        {
            return Ok(None);
        }
        let all = images.iter().map(|(_, image)| image).chain([&root]);
        let (first, layers) = match image.manifest.media_type {
            MediaType::OciManifest | MediaType::DockerManifest => {
                image.manifest.blobs.split_at(image.manifest.blobs.len().min(1))
            }
            _ => (&[][..], &image.manifest.blobs[..]),
        };
        let config_blob = describe::blobs(&repository, first).await?.pop();
        let layers = describe::blobs(&repository, layers).await?;
        let size = describe::size(all);
        let platforms = images.iter().map(|(platform, image)| {
            json!({
                "platform": platform.as_ref().map(ToString::to_string),
                "digest": image.digest.to_string(),
                "size": describe::size([image]),
                "cid": image.cid,
            })
        });
        let platforms: Vec<Value> = platforms.collect();
        let mut described = json!({
            "image": name.to_string(),
            "digest": root.digest.to_string(),
            "mediaType": root.manifest.media_type.as_str(),
            "artifactType": root.manifest.artifact_type,
            "size": size,
            "cid": root.cid,
            "created": config.created,
            "annotations": root.manifest.annotations,
            "platform": config.platform().map(ToString::to_string),
            "config": config_blob,
            "ipfs": fetching(root.cid.as_deref(), &layers),
            "layers": layers,
            "platforms": platforms,
            "history": config.history,
            "referrers": referrers(&repository, &root).await?,
        });
        let reference = Reference::Digest(root.digest);
        match seen::image(&connection.client, &name.repository, &reference).await {
            Some(seen) => seen.add_to(&mut described),
            None => seen::add_nothing_to(&mut described),
        }
        Ok(Some(described))
    }

    /// Chooses the image whose layers are shown.
    fn choose<'a>(
        &self,
        root: &'a Described,
        images: &'a [(Option<Platform>, Described)],
    ) -> Option<&'a Described> {
        if root.manifest.kind == ManifestKind::Image {
            return Some(root);
        }
        let find = |platform: &Platform| {
            let matches = |known: &Option<Platform>| {
                known.as_ref().is_some_and(|known| platform.matches(known))
            };
            images.iter().find(|(known, _)| matches(known)).map(|(_, image)| image)
        };
        if let Some(platform) = &self.platform {
            return find(platform);
        }
        let first = images.first().map_or(root, |(_, image)| image);
        Some(find(&Platform::of_this_machine()).unwrap_or(first))
    }
}

async fn referrers(repository: &Repository, root: &Described) -> Result<Vec<Value>> {
    let found = again(|| repository.referrers(&root.digest, None)).await?;
    let shown = found.iter().map(|it| {
        json!({
            "digest": it.descriptor.digest.to_string(),
            "mediaType": it.descriptor.media_type,
            "artifactType": it.artifact_type,
            "size": it.descriptor.size,
            "annotations": it.annotations,
        })
    });
    Ok(shown.collect())
}

/// Returns how the parts are fetched by IPFS, where their CIDs are known.
fn fetching(cid: Option<&str>, layers: &[Value]) -> Vec<String> {
    let layers = layers.iter().filter_map(|layer| layer["cid"].as_str());
    cid.into_iter().chain(layers).map(|cid| format!("ipfs cat {cid}")).collect()
}

fn report(image: &Value) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: Option<String>| {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            let _ = writeln!(text, "{name:<10} {value}");
        }
    };
    let field = |value: &Value, name: &str| value[name].as_str().map(escape);
    for name in ["image", "digest", "mediaType", "cid", "created", "platform"] {
        line(if name == "mediaType" { "type" } else { name }, field(image, name));
    }
    line("size", image["size"].as_u64().map(shown));
    line("shared", image["shared"].as_u64().map(shown));
    line("pushed", field(image, "pushed"));
    line("pulls", image["pulls"].as_u64().map(|pulls| pulls.to_string()));
    let list = |name: &str| image[name].as_array().map_or(&[][..], Vec::as_slice);
    let row = |value: &Value, first: &str| {
        let texts = [first, "digest", "cid"].map(|name| field(value, name).unwrap_or_default());
        let size = value["size"].as_u64().map(shown).unwrap_or_default();
        format!("{:<16} {:>10}  {}  {}", texts[0], size, texts[1], texts[2]).trim_end().to_owned()
    };
    for (title, name, first) in [
        ("platforms", "platforms", "platform"),
        ("layers", "layers", ""),
        ("referrers", "referrers", "artifactType"),
    ] {
        for (position, value) in list(name).iter().enumerate() {
            line(if position == 0 { title } else { "" }, Some(row(value, first)));
        }
    }
    text
}
