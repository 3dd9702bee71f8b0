//! What every command takes, and runs on.

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use tokio::runtime::Runtime;

use crate::config::{Flag, Sources};

/// Arguments that every command takes.
#[derive(Debug, Args)]
pub(super) struct CommonArguments {
    /// The settings file (default: `$ROADSTEAD_CONFIG`, else `./roadstead.toml`)
    #[arg(long, global = true, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// The data folder (setting `server.data`)
    #[arg(long, global = true, value_name = "DIR")]
    pub(super) data: Option<String>,
}

impl CommonArguments {
    /// Returns them as they are to be typed for another command.
    pub(super) fn typed(&self) -> String {
        let config = self.config.as_ref().map(|path| path.display().to_string());
        let given = [("--config", config), ("--data", self.data.clone())];
        let words = given.into_iter().filter_map(|(flag, value)| Some((flag, value?)));
        let quoted = |value: String| format!("'{}'", value.replace('\'', r"'\''"));
        words
            .flat_map(|(flag, value)| {
                [" ".to_owned(), flag.to_owned(), " ".to_owned(), quoted(value)]
            })
            .collect()
    }

    /// Says where settings are read from; `flags` are those of the command itself.
    pub(super) fn sources(&self, flags: Vec<Flag>) -> Sources {
        let data = self.data.clone();
        let data = data.map(|value| Flag { flag: "--data", setting: "server.data", value });
        Sources::of_process(self.config.clone(), data.into_iter().chain(flags).collect())
    }
}

/// Makes the runtime that a command runs on.
pub(super) fn runtime() -> anyhow::Result<Runtime> {
    Runtime::new().context("cannot start the runtime")
}
