//! `roadstead usage`: what takes how much space.

use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use super::runtime;
use super::session::{RegistryArguments, Session};
use super::table::{Column, print, print_list};

const NAMESPACES: &[Column] = &[
    ("NAMESPACE", "namespace"),
    ("BYTES", "bytes"),
    ("UNREFERENCED", "unreferenced"),
    ("REPOSITORIES", "repositories"),
    ("TAGS", "tags"),
];

const REPOSITORIES: &[Column] = &[
    ("REPOSITORY", "repository"),
    ("BYTES", "bytes"),
    ("UNREFERENCED", "unreferenced"),
    ("MANIFESTS", "manifests"),
    ("TAGS", "tags"),
    ("PULLS", "pulls"),
    ("LAST PULL", "lastPulled"),
];

const OF_NAMESPACES: &str = "query($after: String, $first: Int) { usage(after: $after, first: $first) \
    { items { namespace bytes unreferenced repositories tags } next } }";

const OF_REPOSITORIES: &str = "query($after: String, $first: Int) { repositories(after: $after, first: $first) \
    { items { name visibility contents { bytes unreferenced manifests tags pulls created pushed lastPulled } } next } }";

const COLLECTION: &str = "mutation { collectGarbage(dryRun: true) { uploads links blobs blobBytes manifests manifestBytes \
    leaks } }";

/// Shows how much space namespaces and repositories take, and what a collection would free
#[derive(Debug, Args)]
#[command(
    after_help = "Namespaces are those that are yours, repositories those that you may see; all of them for administrators, and at \
        a registry without accounts. Content counts once for each namespace and for each repository that has it. UNREFERENCED \
        are blobs that no manifest names: a collection takes them after `gc.grace` (`roadstead gc`).\n\n\
    JSON: {namespaces: [{namespace, bytes, unreferenced, repositories, tags}], repositories: [{repository, visibility, bytes, \
        unreferenced, manifests, tags, pulls, created, pushed, lastPulled}], collectable: {bytes, uploads, links, blobs, \
        manifests, leaks}}. `collectable` is what a collection would free now: null unless you are an administrator, or where that takes too long.\n\n\
    Examples:\n  roadstead usage\n  roadstead usage --registry registry.example --json"
)]
pub(in crate::cli) struct UsageArguments {
    #[command(flatten)]
    target: RegistryArguments,
}

/// Shows it.
pub(in crate::cli) fn run(arguments: &UsageArguments) -> anyhow::Result<ExitCode> {
    let UsageArguments { target } = arguments;
    let (namespaces, repositories, collectable) = runtime()?.block_on(async {
        let session = Session::open(target.registry.as_ref())?;
        let namespaces = session.list(OF_NAMESPACES, "usage", json!({})).await?;
        let repositories = session.list(OF_REPOSITORIES, "repositories", json!({})).await?;
        // Only administrators may know, and where there is much it may take longer than a proxy waits.
        let collectable = match session.answer(COLLECTION, json!({})).await {
            Ok(Ok(data)) => freed(&data["collectGarbage"]),
            _ => Value::Null,
        };
        anyhow::Ok((namespaces, repositories, collectable))
    })?;
    let repositories: Vec<Value> = repositories.into_iter().map(flat).collect();
    if target.json {
        let all = json!({
            "namespaces": namespaces,
            "repositories": repositories,
            "collectable": collectable,
        });
        print(&format!("{all:#}\n"))?;
        return Ok(ExitCode::SUCCESS);
    }
    print_list(&namespaces, NAMESPACES, false)?;
    print("\n")?;
    print_list(&repositories, REPOSITORIES, false)?;
    if let Some(bytes) = collectable["bytes"].as_u64() {
        print(&format!("\na collection would free {bytes} bytes now\n"))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Puts what a repository has beside its name.
fn flat(mut repository: Value) -> Value {
    let mut flat = repository["contents"].take();
    flat["repository"] = repository["name"].take();
    flat["visibility"] = repository["visibility"].take();
    flat
}

/// What a collection would free.
fn freed(planned: &Value) -> Value {
    let number = |name: &str| planned[name].as_u64().unwrap_or_default();
    json!({
        "bytes": number("blobBytes").saturating_add(number("manifestBytes")),
        "uploads": number("uploads"),
        "links": number("links"),
        "blobs": number("blobs"),
        "manifests": number("manifests"),
        "leaks": number("leaks"),
    })
}
