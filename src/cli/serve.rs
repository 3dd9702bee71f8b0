//! `roadstead serve`: the registry.

use std::env;
use std::io::{self, IsTerminal};
use std::process::ExitCode;

use clap::Args;

use super::{CommonArguments, output, runtime};
use crate::app::StartOptions;
use crate::config::{Flag, Settings};
use crate::{app, telemetry};

/// Runs the registry server
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    roadstead serve\n  \
    roadstead serve --listen 127.0.0.1:5001 --data /var/lib/roadstead")]
pub(super) struct ServeArguments {
    /// Listens on this address (setting `server.listen`)
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    /// Accepts another `auth.method` than before where several processes share the index: stop all others first
    #[arg(long)]
    change_sign_in: bool,
    /// Makes all repositories public, for an `auth.method` without accounts
    #[arg(long)]
    make_public: bool,
}

/// Serves.
pub(super) fn run(
    common: &CommonArguments,
    arguments: &ServeArguments,
) -> anyhow::Result<ExitCode> {
    let listen = arguments.listen.clone();
    let listen = listen.map(|value| Flag { flag: "--listen", setting: "server.listen", value });
    let sources = common.sources(listen.into_iter().collect());
    let settings = Settings::load(&sources)?;
    let _log = telemetry::init(&settings.log);
    let file = sources.settings_file()?;
    let file = file.map_or_else(|| "none".to_owned(), |file| file.display().to_string());
    tracing::info!(settings = file, "starting");
    let options = StartOptions {
        change_sign_in: arguments.change_sign_in,
        make_public: arguments.make_public,
    };
    runtime()?.block_on(app::serve(&settings, options, async |address, registry| {
        if !io::stdout().is_terminal() {
            return;
        }
        let root =
            registry.root().await.map_or_else(|error| error.to_string(), |root| root.to_string());
        let scheme = if settings.server.tls.is_some() { "https" } else { "http" };
        let sign_in = match settings.auth.method {
            "open" => String::new(),
            _ => format!("docker login {address}\n  "),
        };
        let text = format!(
            "Roadstead listens on {scheme}://{address}\n\
             public root: {root}\n\n\
             Try:\n  \
             {sign_in}docker tag IMAGE {address}/hello:1\n  \
             docker push {address}/hello:1\n  \
             {} root{}\n\n",
            env::args().next().as_deref().unwrap_or("roadstead"),
            common.typed()
        );
        // Without a reader of it the server still serves.
        let _ = output::print(&text);
    }))?;
    Ok(ExitCode::SUCCESS)
}
