//! `roadstead adopt`: the folder of a stock registry becomes one of ours.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::Args;

use super::progress::Bar;
use super::{CommonArguments, output, runtime};
use crate::app::{ImportSession, names};
use crate::config::Settings;
use crate::registry::{Adopted, LeftOut, adoptable_path};
use crate::storage::SourceFolder;

/// Imports the folder of a stock registry (distribution) into an empty data folder
#[derive(Debug, Args)]
#[command(
    after_help = "Stop the registry that writes to the folder first; the folder itself is not changed. Blobs are \
        hard-linked where the file system allows it and no other user can change them, else copied; each is \
        verified against its digest. What is left out is listed, with the reason. Run the same command again to \
        continue after an interruption, or once this user may read what it could not.\n\n\
    Exit code 1: a repository, a manifest, a tag or a part of the folder was left out.\n\n\
    Example:\n  roadstead adopt /var/lib/registry --data /var/lib/roadstead"
)]
pub(super) struct AdoptArguments {
    /// The folder that holds `docker/registry/v2`, or that folder itself
    folder: PathBuf,
    /// Prints JSON
    #[arg(long)]
    json: bool,
}

/// Adopts.
pub(super) fn run(
    common: &CommonArguments,
    arguments: &AdoptArguments,
) -> anyhow::Result<ExitCode> {
    let settings = Settings::load(&common.sources(Vec::new()))?;
    let source = find(&arguments.folder)?;
    let bar = Bar::new(arguments.json);
    let runtime = runtime()?;
    let advice =
        "run the same command again to continue; the folder is not served before it is complete"
            .to_owned();
    bar.end_on_signal(&runtime, None, advice)?;
    let adopted = runtime.block_on(async {
        let adoption = ImportSession::adopt(&settings, &arguments.folder).await?;
        let names = names(&settings);
        let adopted = adoption.app.registry.adopt(&source, &names, &bar).await?;
        if !adopted.is_partial {
            adoption.finish()?;
        }
        anyhow::Ok(adopted)
    })?;
    drop(bar);
    let text = if arguments.json {
        serde_json::to_string_pretty(&adopted)? + "\n"
    } else {
        describe(&adopted)
    };
    output::print(&text).context("cannot write to standard output")?;
    if adopted.is_partial {
        let folder = arguments.folder.display();
        bail!(
            "cannot read all of {folder}: allow this user to read it, and run the same command again to continue"
        );
    }
    let is_loss = adopted.left_out.iter().any(LeftOut::is_loss);
    Ok(if is_loss { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Refuses what is no folder of a registry, before anything is made.
fn find(folder: &Path) -> anyhow::Result<SourceFolder> {
    let (path, marks) = adoptable_path();
    let context = || format!("cannot find out whether {} has a registry", folder.display());
    let found = SourceFolder::find(folder, &path, &marks).with_context(context)?;
    found.with_context(|| {
        format!("no registry in {}: neither {path}/repositories nor repositories", folder.display())
    })
}

fn describe(adopted: &Adopted) -> String {
    let mut text = String::new();
    for LeftOut { about, why, .. } in &adopted.left_out {
        // Names of the folder may hold anything, also what a terminal would obey.
        let [about, why] = [about, why].map(|text| output::escape(text));
        text.extend(["left out ", &about, ": ", &why, "\n"]);
    }
    let Adopted { root, repositories, manifests, tags, blobs, bytes, linked, left_out, .. } =
        adopted;
    text + &format!(
        "{}, root {root}\n\
         {} ({bytes} bytes) imported: {linked} linked, {} copied; {} left out\n",
        output::counts([(*repositories, "repository"), (*manifests, "manifest"), (*tags, "tag")]),
        output::counts([(*blobs, "blob")]),
        blobs - linked,
        left_out.len()
    )
}
