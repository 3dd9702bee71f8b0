//! `roadstead delete`: tags, and the manifests that nothing else needs.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::Args;
use serde_json::json;

use super::advice::registry;
use super::management::manage;
use super::name;
use super::removal::{Doomed, DoomedKind, Removal, What};
use crate::cli::administration::{RegistryHost, print};
use crate::cli::connection::{Connection, ConnectionArguments};
use crate::cli::output::printable;
use crate::cli::runtime;
use crate::client::{ClientErrorKind, Repository, Result};
use crate::images::again;
use crate::oci::{Digest, Reference, RepositoryName, Tag};

/// Deletes images
#[derive(Debug, Args)]
#[command(
    after_help = "Of a tag, or of all tags that a pattern such as 'HOST/NAME:pr-*' matches, the manifest goes as well where no other tag and no tagged \
        index needs it, and with it the images of its platforms and what refers to them, such as signatures. Of a digest, all its \
        tags go. All that goes is listed first; on a terminal the command asks then, elsewhere it needs --yes.\n\n\
    With --purge the gateway serves nothing of it any more, under no root, unless another image needs it; it cannot be undone. What \
        others have fetched stays with them. It takes a Roadstead with accounts. Otherwise a Roadstead puts back what was deleted \
        (`roadstead undelete`) as long as no collection took it.\n\n\
    An index without a tag is not known to the command: what such an index lists may be deleted. When the bytes are freed is up \
        to the registry.\n\n\
    JSON: {repository, dryRun, tags: [tag], manifests: [{digest, kind}]}; kind is image, child or referrer.\n\n\
    Examples:\n  roadstead delete registry.example/team/app:v1\n  \
        roadstead delete registry.example/team/app@$DIGEST --dry-run"
)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(in crate::cli) struct DeleteArguments {
    /// HOST/NAME:TAG, HOST/NAME:PATTERN or HOST/NAME@DIGEST
    #[arg(value_name = "IMAGE", value_parser = parse)]
    target: Target,
    /// Does not ask
    #[arg(short, long)]
    yes: bool,
    /// Lists what would go, and deletes nothing
    #[arg(long)]
    dry_run: bool,
    /// Deletes the tags alone
    #[arg(long)]
    tag_only: bool,
    /// Withdraws it from all public roots of a Roadstead as well, earlier ones too; for maintainers
    #[arg(long, conflicts_with = "tag_only")]
    purge: bool,
    /// Prints JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: ConnectionArguments,
}

/// What is to be deleted.
#[derive(Debug, Clone)]
struct Target {
    host: RegistryHost,
    repository: RepositoryName,
    what: What,
}

fn parse(text: &str) -> std::result::Result<Target, String> {
    let (host, rest) = name::split(text)?;
    let (name, what) = if let Some((name, digest)) = rest.split_once('@') {
        let digest = digest.parse::<Digest>().map_err(|error| error.to_string())?;
        // A tag and a digest: the digest decides.
        let name = name.rsplit_once(':').map_or(name, |(name, _)| name);
        (name, What::Digest(digest))
    } else if let Some((name, tag)) = rest.rsplit_once(':') {
        let what = if tag.contains('*') {
            What::Pattern(tag.to_owned())
        } else {
            What::Tag(tag.parse::<Tag>().map_err(|error| error.to_string())?)
        };
        (name, what)
    } else {
        return Err("expected a tag or a digest: HOST/NAME:TAG or HOST/NAME@DIGEST".to_owned());
    };
    let repository = name::repository(&host, name)?;
    Ok(Target { host, repository, what })
}

/// Deletes them.
pub(in crate::cli) fn run(arguments: &DeleteArguments) -> anyhow::Result<ExitCode> {
    let Target { host, repository: name, what } = &arguments.target;
    let runtime = runtime()?;
    let (connection, mut removal) = runtime.block_on(async {
        let connection = arguments.connection.connect(host, Some(name)).await?;
        let repository = connection.repository(name);
        let removal = Removal::find(&repository, what, arguments.tag_only).await;
        let removal = removal.map_err(|error| registry(error, &[&connection]))?;
        anyhow::Ok((connection, removal))
    })?;
    let shown_name = format!("{host}/{name}");
    if let Some((digest, tag)) = &removal.needed {
        bail!(
            "cannot delete {shown_name}@{digest}: the index {shown_name}:{tag} lists it; delete that first"
        );
    }
    if !arguments.tag_only && !removal.unreadable.is_empty() {
        let tags: Vec<&str> = removal.unreadable.iter().map(Tag::as_str).collect();
        note(&format!(
            "the registry fails to say what these tags of {shown_name} name, so manifests that they may need stay: {}",
            tags.join(", ")
        ));
    }
    if removal.tags.is_empty() && removal.manifests.is_empty() {
        match what {
            // It may have been deleted before, or a purge of it was interrupted.
            What::Digest(digest) if arguments.purge => {
                removal.manifests.push(Doomed { digest: *digest, kind: DoomedKind::Image });
            }
            _ => bail!("there is nothing to delete: {shown_name} has no such image"),
        }
    }
    if arguments.purge && removal.manifests.is_empty() {
        bail!(
            "cannot purge it: other tags of {shown_name} need its manifest; delete those as well, or purge it by its digest"
        );
    }
    let is_purge = arguments.purge;
    if !arguments.dry_run && !arguments.yes {
        confirm(&list(&shown_name, &removal, is_purge, true))?;
        // Others may have pushed while the question stood there.
        let repository = connection.repository(name);
        let found = runtime.block_on(Removal::find(&repository, what, arguments.tag_only));
        let found = found.map_err(|error| registry(error, &[&connection]))?;
        let is_gone = is_purge && found.tags.is_empty() && found.manifests.is_empty();
        if !is_gone && !found.is_same(&removal) {
            bail!("nothing was deleted: {shown_name} has changed since it was listed; delete anew");
        }
    }
    if !arguments.dry_run {
        if arguments.purge {
            runtime.block_on(purge(&connection, name, &removal))?;
        } else {
            runtime.block_on(carry_out(&connection, &connection.repository(name), &removal))?;
        }
    }
    let text = if arguments.json {
        let manifests = removal.manifests.iter();
        let manifests = manifests.map(|Doomed { digest, kind }| {
            json!({ "digest": digest.to_string(), "kind": kind.as_str() })
        });
        let value = json!({
            "repository": shown_name,
            "dryRun": arguments.dry_run,
            "tags": removal.tags.iter().map(Tag::as_str).collect::<Vec<_>>(),
            "manifests": manifests.collect::<Vec<_>>(),
        });
        serde_json::to_string_pretty(&value).context("cannot write JSON")? + "\n"
    } else {
        list(&shown_name, &removal, is_purge, arguments.dry_run)
    };
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// Writes a note to standard error. If that fails, it cannot be reported.
fn note(text: &str) {
    let _ = writeln!(io::stderr(), "note: {}", printable(text));
}

fn list(name: &str, removal: &Removal, is_purge: bool, would: bool) -> String {
    let verb = |is_purged: bool| match (is_purged, would) {
        (true, true) => "would purge",
        (true, false) => "purged",
        (false, true) => "would delete",
        (false, false) => "deleted",
    };
    let tags = removal.tags.iter().map(|tag| {
        // The manifest of others stays, since something else needs it.
        let verb = verb(is_purge && removal.goes_with_manifest(tag));
        format!("{verb} tag {name}:{tag}\n")
    });
    let manifests = removal.manifests.iter().map(|Doomed { digest, kind }| {
        format!("{} {} {name}@{digest}\n", verb(is_purge), kind.as_str())
    });
    tags.chain(manifests).collect()
}

/// Asks on a terminal.
///
/// # Errors
/// When the answer is no, or there is no terminal.
fn confirm(list: &str) -> anyhow::Result<()> {
    const DOING: &str = "cannot ask on the terminal";

    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        bail!(
            "cannot ask whether to delete it: there is no terminal; use --yes, or --dry-run first"
        );
    }
    let mut terminal = io::stderr().lock();
    write!(terminal, "{}Do it? Type yes: ", printable(list)).context(DOING)?;
    terminal.flush().context(DOING)?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer).context(DOING)?;
    if answer.trim().eq_ignore_ascii_case("yes") {
        return Ok(());
    }
    bail!("nothing was deleted")
}

/// Has the registry purge the manifests, with their tags; those that an index lists go with it. Then deletes the other tags.
async fn purge(
    connection: &Connection,
    name: &RepositoryName,
    removal: &Removal,
) -> anyhow::Result<()> {
    let repository = connection.repository(name);
    let mut left = &*removal.manifests;
    while let [doomed, others @ ..] = left {
        purge_one(connection, &repository, doomed).await.with_context(|| {
            // Once the tags are gone, the digests are found by nothing else.
            let left: Vec<String> = left.iter().map(|it| it.digest.to_string()).collect();
            let what = "purge each of these by its digest, also if nothing finds it any more";
            format!("cannot purge all of {repository}; {what}: {}", left.join(", "))
        })?;
        left = others;
    }
    for tag in removal.tags.iter().filter(|tag| !removal.goes_with_manifest(tag)) {
        delete_tag(connection, &repository, removal, tag).await?;
    }
    Ok(())
}

async fn purge_one(
    connection: &Connection,
    repository: &Repository,
    Doomed { digest, kind }: &Doomed,
) -> anyhow::Result<()> {
    const PURGE: &str = "mutation($repository: String!, $digest: String!) \
        { purgeManifest(repository: $repository, digest: $digest) { root } }";

    // Those that an index lists went with it, but for those that have tags of their own.
    if *kind == DoomedKind::Child {
        let reference = Reference::Digest(*digest);
        let found = again(|| repository.find_manifest(&reference)).await;
        if found.map_err(|error| registry(error, &[connection]))?.is_none() {
            return Ok(());
        }
    }
    let variables =
        json!({ "repository": repository.name().as_str(), "digest": digest.to_string() });
    manage(connection, "purge", PURGE, variables).await?;
    Ok(())
}

/// Deletes the tags, then the manifests, those first that list others. What has gone meanwhile is fine; a tag that was moved is not.
async fn carry_out(
    connection: &Connection,
    repository: &Repository,
    removal: &Removal,
) -> anyhow::Result<()> {
    let (mut tags, mut manifests) = (&*removal.tags, &*removal.manifests);
    let deleting = async {
        while let [tag, others @ ..] = tags {
            delete_tag(connection, repository, removal, tag).await?;
            tags = others;
        }
        while let [Doomed { digest, .. }, others @ ..] = manifests {
            let done = delete(repository, &Reference::Digest(*digest)).await;
            done.map_err(|error| registry(error, &[connection]))?;
            manifests = others;
        }
        anyhow::Ok(())
    };
    let done = deleting.await;
    if tags.len() == removal.tags.len() && manifests.len() == removal.manifests.len() {
        return done;
    }
    // Once the tags are gone, the digests are found by nothing else.
    done.with_context(|| {
        let tags = tags.iter().map(|tag| format!("tag {tag}"));
        let manifests = manifests.iter().map(|it| it.digest.to_string());
        let left: Vec<String> = tags.chain(manifests).collect();
        format!("cannot delete all of {repository}, left are {}", left.join(", "))
    })
}

/// Deletes a tag that names what it was listed with.
async fn delete_tag(
    connection: &Connection,
    repository: &Repository,
    removal: &Removal,
    tag: &Tag,
) -> anyhow::Result<()> {
    let reference = Reference::Tag(tag.clone());
    let failed = |error| registry(error, &[connection]);
    if removal.unreadable.contains(tag) {
        return delete(repository, &reference).await.map_err(failed);
    }
    let found = again(|| repository.find_manifest(&reference)).await.map_err(failed)?;
    let Some(found) = found else { return Ok(()) };
    if removal.digest_of(tag).is_some_and(|listed| listed != found.digest) {
        bail!("tag {tag} names {} meanwhile: delete anew", found.digest);
    }
    match delete(repository, &reference).await {
        // A registry that deletes no tags deletes them with their manifest.
        Err(error) if error.kind == ClientErrorKind::Refused && removal.goes_with_manifest(tag) => {
            Ok(())
        }
        done => done.map_err(failed),
    }
}

async fn delete(repository: &Repository, reference: &Reference) -> Result<()> {
    match again(|| repository.delete_manifest(reference)).await {
        Err(error) if error.kind == ClientErrorKind::NotFound => Ok(()),
        done => done,
    }
}
