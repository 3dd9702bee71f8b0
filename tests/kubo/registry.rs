//! A registry over a node of the test's own.

use std::collections::HashMap;
use std::process::Command;

use crate::common::repository::Repository;
use crate::common::{KuboNode, Server, run, succeed};

/// The folder of MFS that the settings name by default.
pub(crate) const MFS_ROOT: &str = "/roadstead";

/// A running registry, and the settings by which its commands find the same node.
pub(crate) struct Registry {
    pub(crate) server: Server,
    settings: HashMap<String, String>,
}

impl Registry {
    /// Starts one with its defaults.
    pub(crate) fn start(node: &KuboNode) -> Self {
        Self::start_with(node, &[])
    }

    /// Starts one with other settings: `("STORAGE__KUBO__CLEAN_INTERVAL", "1s")`.
    pub(crate) fn start_with(node: &KuboNode, more: &[(&str, &str)]) -> Self {
        let settings = settings(node, more);
        let given = settings.clone();
        let server = Server::start_with(move |command| {
            command.envs(&given);
        });
        Self { server, settings }
    }

    /// A repository of it.
    pub(crate) fn repository(&self, name: &str) -> Repository<'_> {
        Repository::of(&self.server, name)
    }

    /// A command on the same registry.
    pub(crate) fn command<const COUNT: usize>(&self, arguments: [&str; COUNT]) -> Command {
        let mut command = self.server.command(arguments);
        command.envs(&self.settings);
        command
    }

    /// What `roadstead root` says.
    pub(crate) fn root(&self) -> String {
        succeed(&mut self.command(["root"]))
    }

    /// Checks that the store is whole, and that its root is what the node has.
    pub(crate) fn assert_whole(&self, node: &KuboNode) {
        let report = run(&mut self.command(["check"]));
        assert!(report.succeeded(), "{report}");
        assert_eq!(self.root(), published(node));
    }
}

/// The settings of a registry over a node, as environment.
pub(crate) fn settings(node: &KuboNode, more: &[(&str, &str)]) -> HashMap<String, String> {
    let (api, gateway) = (node.api(), node.gateway());
    let own = [
        ("STORAGE__DRIVER", "kubo"),
        ("STORAGE__KUBO__API", &api),
        ("STORAGE__KUBO__GATEWAY", &gateway),
        ("STORAGE__KUBO__MFS_ROOT", MFS_ROOT),
    ];
    let all = own.iter().chain(more);
    all.map(|(name, value)| (format!("ROADSTEAD_{name}"), (*value).to_owned())).collect()
}

/// The public tree of the snapshot that counts, as the node says it.
pub(crate) fn published(node: &KuboNode) -> String {
    node.ipfs(["files", "stat", "--hash", &tree(node)])
}

/// Where the public tree of the snapshot that counts stands on the node.
pub(crate) fn tree(node: &KuboNode) -> String {
    let roots = node.ipfs(["files", "ls", &format!("{MFS_ROOT}/roots")]);
    let last = roots.lines().filter_map(|name| name.parse::<u64>().ok()).max();
    let last = last.expect("something was pushed");
    format!("{MFS_ROOT}/roots/{last}/public")
}
