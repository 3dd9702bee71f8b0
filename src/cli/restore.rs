//! `roadstead restore`: an empty registry becomes a copy of a published one.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;

use super::progress::Bar;
use super::resolve::read_name;
use super::{CommonArguments, output, runtime};
use crate::app::{ImportSession, names, roots};
use crate::config::Settings;
use crate::oci::RootName;
use crate::registry::{Progress, Restored, Roots, Steps};

/// Copies a published registry into an empty data folder
#[derive(Debug, Args)]
#[command(
    after_help = "The name is resolved as for a pull. The tree is fetched from the gateways that its publisher \
        names, from those of federation.gateways and by the node of federation.kubo, and every block is verified \
        against its hash. The copy has the same root. Run the same command again to continue after an \
        interruption; complete content is not fetched again. Nothing is served until the copy is complete.\n\n\
    Examples:\n  roadstead restore --from example.com --data /var/lib/roadstead\n  \
    roadstead restore --from bafybeibvvnear7ca3fkxma4p7wn6l7bujck24qr2wfv6bmlaul6tf3rlki"
)]
pub(super) struct RestoreArguments {
    /// The domain, the IPNS key or the CID
    #[arg(long, value_parser = read_name, value_name = "NAME")]
    from: RootName,
    /// Prints JSON
    #[arg(long)]
    json: bool,
}

/// Restores.
pub(super) fn run(
    common: &CommonArguments,
    arguments: &RestoreArguments,
) -> anyhow::Result<ExitCode> {
    let settings = Settings::load(&common.sources(Vec::new()))?;
    let bar = Bar::new(arguments.json);
    let runtime = runtime()?;
    bar.end_on_signal(&runtime, None, unfinished(&settings.server.data))?;
    let restored = runtime.block_on(async {
        bar.begin("looking for the root", Steps::Unknown);
        let roots = roots(&settings)?;
        let restored = restore(&settings, &roots, &arguments.from, &bar).await;
        roots.leave_peers().await;
        restored
    })?;
    drop(bar);
    tell(&restored, arguments.json)
}

async fn restore(
    settings: &Settings,
    roots: &Roots,
    from: &RootName,
    bar: &Bar,
) -> anyhow::Result<Restored> {
    let source = roots.restorable(from).await;
    let source = source.with_context(|| format!("cannot resolve `{from}`"))?;
    let session = ImportSession::restore(settings, source.root).await?;
    bar.begin("fetching names", Steps::Unknown);
    let names_from = source.names_ahead(session.scratch()?, session.scratch()?).await;
    let names = names(settings);
    let restored = session.app.registry.restore(&source, Some(names_from), &names, bar).await;
    let restored = restored.with_context(|| unfinished(&settings.server.data))?;
    session.finish()?;
    Ok(restored)
}

/// Says how to go on.
pub(super) fn unfinished(data: &Path) -> String {
    let data = data.display();
    format!("{data} is not complete yet; run the same command again to continue, or empty {data}")
}

/// Prints what came of it.
pub(super) fn tell(restored: &Restored, json: bool) -> anyhow::Result<ExitCode> {
    let Restored { root, repositories, manifests, tags, blobs, fetched, bytes } = restored;
    let text = if json {
        serde_json::to_string_pretty(restored)? + "\n"
    } else {
        format!(
            "{}; {} ({bytes} bytes) restored; the same root {root}\n",
            output::counts([
                (*repositories, "repository"),
                (*manifests, "manifest"),
                (*tags, "tag"),
                (*blobs, "blob"),
            ]),
            output::counts([(*fetched, "blob")])
        )
    };
    output::print(&text).context("cannot write to standard output")?;
    Ok(ExitCode::SUCCESS)
}
