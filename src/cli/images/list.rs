//! `roadstead list`: the repositories of a registry and their tags.

use std::collections::{BTreeSet, HashMap};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;
use clap::Args;
use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::advice::registry;
use super::describe::{self, AT_ONCE};
use super::lines::lines;
use super::pattern::matches;
use super::seen::{self, SeenImage};
use super::size::shown;
use crate::cli::administration::{Column, RegistryHost, print, print_list, registry_or_default};
use crate::cli::connection::ConnectionArguments;
use crate::cli::runtime;
use crate::client::{ClientError, ClientErrorKind, Repository, Result};
use crate::images::again;
use crate::oci::{Digest, Reference, RepositoryName, Tag};

const COLUMNS: &[Column] = &[
    ("REPOSITORY", "repository"),
    ("TAG", "tag"),
    ("SIZE", "size"),
    ("SHARED", "shared"),
    ("CREATED", "created"),
    ("PUSHED", "pushed"),
    ("PULLS", "pulls"),
    ("DIGEST", "digest"),
];

/// Lists the repositories of a registry with their tags
#[derive(Debug, Args)]
#[command(
    after_help = "PATTERN is a name, or one with stars: `*` is anything within a component, `**` anything; behind a colon, the same \
        for tags. Without one, all repositories that you may see are listed.\n\n\
    JSON: a list of {repository, tags: [{tag, digest, mediaType, size, own, shared, cid, created, pushed, pulls, lastPulled}]}. \
        Sizes are in bytes, what several platforms share counts once; of `size` other images of the repository have \
        `shared`, too, and `own` would go with the image. What the registry does not say, or what cannot be read, is null: \
        `own`, `shared`, `pushed`, `pulls` and `lastPulled` at registries other than Roadstead and where you have to sign \
        in to administer it, `cid` at registries without IPFS.\n\n\
    Examples:\n  roadstead list --registry localhost:5000\n  roadstead list 'team/*:v1*' --registry registry.example --json"
)]
pub(in crate::cli) struct ListArguments {
    /// Which repositories, and which of their tags
    #[arg(value_name = "PATTERN")]
    pattern: Option<String>,
    /// The registry (default: `$ROADSTEAD_REGISTRY`, else that of the last `roadstead login`)
    #[arg(long, value_name = "HOST")]
    registry: Option<RegistryHost>,
    /// Prints the names of the repositories alone
    #[arg(short, long, conflicts_with = "json")]
    quiet: bool,
    /// Prints JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: ConnectionArguments,
}

/// Lists them.
pub(in crate::cli) fn run(arguments: &ListArguments) -> anyhow::Result<ExitCode> {
    let host = registry_or_default(arguments.registry.as_ref())?;
    let (names, tags) = match arguments.pattern.as_deref().unwrap_or("**").split_once(':') {
        Some((names, tags)) => (names, tags),
        None => (arguments.pattern.as_deref().unwrap_or("**"), "*"),
    };
    let listed = runtime()?.block_on(async {
        let connection = arguments.connection.connect(&host, None).await?;
        let failed = |error| registry(error, &[&connection]);
        let repositories = find(&connection.client, names).await.map_err(failed)?;
        if arguments.quiet {
            let names = repositories.iter().map(|name| json!({ "repository": name.as_str() }));
            return Ok(names.collect());
        }
        let is_pattern = names.contains('*');
        // After the first repository of which it does not say more it is not asked again.
        let says_more = &AtomicBool::new(true);
        let client = &connection.client;
        let listed = stream::iter(repositories)
            .map(|name| (connection.repository(&name), name))
            .map(|(repository, name)| async move {
                if says_more.load(Ordering::Relaxed) {
                    match describe_seen(client, &repository, tags).await {
                        Some(described) => return Ok(described),
                        None => says_more.store(false, Ordering::Relaxed),
                    }
                }
                match describe_repository(&repository, tags).await {
                    // One of several that may not be read is no reason to be silent about the others.
                    Err(error) if is_pattern && is_unreadable(&error) => {
                        Ok(json!({ "repository": name.as_str(), "tags": null }))
                    }
                    described => described,
                }
            })
            .buffered(AT_ONCE / 2)
            .try_collect::<Vec<Value>>()
            .await;
        let failed = |error| registry(error, &[&connection]);
        listed.map_err(failed)
    });
    let listed: Vec<Value> = listed?;
    if arguments.json {
        let text = serde_json::to_string_pretty(&listed).context("cannot write JSON")?;
        print(&(text + "\n"))?;
    } else if arguments.quiet {
        let names = listed.iter().filter_map(|it| it["repository"].as_str());
        print(&lines(names))?;
    } else {
        print_list(&rows(&listed), COLUMNS, false)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Finds the repositories that a pattern matches. A name is no pattern: many registries list nothing.
async fn find(client: &crate::client::Client, pattern: &str) -> Result<Vec<RepositoryName>> {
    if !pattern.contains('*')
        && let Ok(name) = pattern.parse()
    {
        return Ok(vec![name]);
    }
    let mut pages = client.repositories().of_size(1000);
    let mut found = Vec::new();
    while let Some(page) = pages.next().await? {
        found.extend(page.into_iter().filter(|name| matches(pattern, name.as_str())));
    }
    Ok(found)
}

/// Describes a repository by what a Roadstead says of it: that is no pull of any of its images.
async fn describe_seen(
    client: &crate::client::Client,
    repository: &Repository,
    pattern: &str,
) -> Option<Value> {
    let mut images = seen::images(client, repository.name()).await?;
    images.retain(|image| image.tag().is_some_and(|tag| matches(pattern, tag.as_str())));
    // Several images may have one config.
    let configs: BTreeSet<Digest> = images.iter().filter_map(SeenImage::config).collect();
    let times: HashMap<Digest, Option<String>> = stream::iter(configs)
        .map(|digest| async move {
            let config = describe::config_of(repository, &digest, u64::MAX).await;
            (digest, config.created)
        })
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    let described = images.iter().map(|image| {
        let created = image.config().and_then(|config| times.get(&config)?.as_deref());
        image.described(created)
    });
    let described: Vec<Value> = described.collect();
    Some(json!({ "repository": repository.name().as_str(), "tags": described }))
}

async fn describe_repository(repository: &Repository, pattern: &str) -> Result<Value> {
    let tags = match again(|| repository.tags().all()).await {
        Ok(tags) => tags,
        // The stock registry lists what it has forgotten.
        Err(error) if error.kind == ClientErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error),
    };
    // Several tags may be one image.
    let known = Mutex::new(HashMap::new());
    let chosen = tags.into_iter().filter(|tag| matches(pattern, tag.as_str()));
    let described = stream::iter(chosen)
        .map(|tag| describe_tag(repository, tag, &known))
        .buffered(AT_ONCE)
        .try_filter_map(|described| async { Ok(described) })
        .try_collect::<Vec<Value>>()
        .await?;
    Ok(json!({ "repository": repository.name().as_str(), "tags": described }))
}

/// Tells whether what was to be read may not be read, or is not what it should be.
fn is_unreadable(error: &ClientError) -> bool {
    use ClientErrorKind::{Corrupt, Denied, Protocol, TooLarge, Unauthorized};

    matches!(error.kind, Unauthorized | Denied | Protocol | Corrupt | TooLarge)
}

/// Describes a tag, by nulls if it cannot be read; nothing if it has gone meanwhile.
async fn describe_tag(
    repository: &Repository,
    tag: Tag,
    known: &Mutex<HashMap<Digest, Value>>,
) -> Result<Option<Value>> {
    let mut described = match describe_image(repository, &tag, known).await {
        Ok(described) => described,
        Err(error) if error.kind == ClientErrorKind::NotFound => return Ok(None),
        Err(error) if is_unreadable(&error) => json!({
            "digest": null, "mediaType": null, "size": null, "cid": null, "created": null,
        }),
        Err(error) => return Err(error),
    };
    described["tag"] = json!(tag.as_str());
    seen::add_nothing_to(&mut described);
    Ok(Some(described))
}

async fn describe_image(
    repository: &Repository,
    tag: &Tag,
    known: &Mutex<HashMap<Digest, Value>>,
) -> Result<Value> {
    let root = describe::manifest(repository, &Reference::Tag(tag.clone())).await?;
    let found = known.lock().await.get(&root.digest).cloned();
    Ok(if let Some(described) = found {
        described
    } else {
        let images = describe::images(repository, &root).await?;
        let first = images.first().map_or(&root, |(_, image)| image);
        let config = describe::config(repository, &first.manifest).await;
        let all = images.iter().map(|(_, image)| image).chain([&root]);
        let described = json!({
            "digest": root.digest.to_string(),
            "mediaType": root.manifest.media_type.as_str(),
            "size": describe::size(all),
            "cid": root.cid,
            "created": config.created,
        });
        known.lock().await.insert(root.digest, described.clone());
        described
    })
}

/// Makes a row of each tag, and of each repository without tags.
fn rows(listed: &[Value]) -> Vec<Value> {
    let mut rows = Vec::new();
    for repository in listed {
        let name = &repository["repository"];
        let tags = repository["tags"].as_array().map_or(&[][..], Vec::as_slice);
        if tags.is_empty() {
            rows.push(json!({ "repository": name }));
        }
        for tag in tags {
            let digest = tag["digest"].as_str().unwrap_or_default();
            let day = |name: &str| {
                let day = tag[name].as_str().map(|text| text.chars().take(10).collect::<String>());
                day.unwrap_or_else(|| "-".to_owned())
            };
            let bytes = |name: &str| tag[name].as_u64().map_or_else(|| "-".to_owned(), shown);
            rows.push(json!({
                "repository": name,
                "tag": tag["tag"],
                "size": bytes("size"),
                "shared": bytes("shared"),
                "created": day("created"),
                "pushed": day("pushed"),
                "pulls": tag["pulls"].as_u64().map_or_else(|| "-".to_owned(), |it| it.to_string()),
                "digest": digest.chars().take(19).collect::<String>(),
            }));
        }
    }
    rows
}
