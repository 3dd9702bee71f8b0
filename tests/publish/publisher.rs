//! A registry that publishes, and the name server that it publishes to.

use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::common::bind::{Bind, KEY};
use crate::common::repository::{Repository, wait};
use crate::common::{Server, http, run, succeed};

/// The domain, which is a zone of its own.
pub(crate) const DOMAIN: &str = "publisher.test";

/// The name of its records.
pub(crate) const NAME: &str = "_dnslink.publisher.test";

/// The registry, the name server, and what the registry says where it is.
pub(crate) struct Publisher {
    pub(crate) server: Server,
    pub(crate) dns: Bind,
}

/// Has a command publish to a name server, by the key that it knows.
pub(crate) fn publish_to(command: &mut Command, dns: &str) {
    let [name, algorithm, secret] = KEY;
    command
        .env("ROADSTEAD_PUBLISH__DOMAIN", DOMAIN)
        .env("ROADSTEAD_PUBLISH__PROVIDER", "rfc2136")
        .env("ROADSTEAD_PUBLISH__DEBOUNCE", "200ms")
        .env("ROADSTEAD_PUBLISH__TTL", "1s")
        .env("ROADSTEAD_PUBLISH__RFC2136__SERVER", dns)
        .env("ROADSTEAD_PUBLISH__RFC2136__KEY_NAME", name)
        .env("ROADSTEAD_PUBLISH__RFC2136__KEY_ALGORITHM", algorithm)
        .env("ROADSTEAD_PUBLISH__RFC2136__KEY_SECRET", secret)
        .env("ROADSTEAD_SERVER__EXTERNAL_URL", "http://127.0.0.1:5000");
}

/// Waits for what may take long on a machine that has other things to do.
pub(crate) fn wait_long(mut until: impl FnMut() -> bool, complaint: &str) {
    let begun = Instant::now();
    while !until() {
        assert!(begun.elapsed() < Duration::from_mins(2), "{complaint}");
        thread::sleep(Duration::from_millis(100));
    }
}

impl Publisher {
    /// Starts both with nothing published; none where there is no name server.
    pub(crate) fn start() -> Option<Self> {
        Self::start_with(|_| {})
    }

    /// The same, after `configure` has said more to the registry.
    pub(crate) fn start_with(
        configure: impl Fn(&mut Command) + Send + Sync + 'static,
    ) -> Option<Self> {
        let dns = Bind::start(&[(DOMAIN, "")])?;
        Some(Self::start_on(dns, configure))
    }

    /// The same with a name server that the test has started.
    pub(crate) fn start_on(
        dns: Bind,
        configure: impl Fn(&mut Command) + Send + Sync + 'static,
    ) -> Self {
        let address = dns.address();
        let server = Server::start_with(move |command| {
            publish_to(command, &address);
            configure(command);
        });
        Self { server, dns }
    }

    /// A command beside the server, with the same settings.
    pub(crate) fn command<const N: usize>(&self, arguments: [&str; N]) -> Command {
        let mut command = self.server.command(arguments);
        publish_to(&mut command, &self.dns.address());
        command
    }

    pub(crate) fn repository(&self) -> Repository<'_> {
        Repository::of(&self.server, "team/app")
    }

    /// The root of what the registry has.
    pub(crate) fn root(&self) -> String {
        succeed(&mut self.server.command(["root"]))
    }

    /// What the name server tells.
    pub(crate) fn texts(&self) -> Vec<String> {
        self.dns.texts(NAME)
    }

    /// The links that the name server tells.
    pub(crate) fn links(&self) -> Vec<String> {
        self.texts().into_iter().filter(|text| text.starts_with("dnslink=")).collect()
    }

    /// Waits until the name server tells a root, and nothing else.
    pub(crate) fn wait_for(&self, root: &str) {
        let expected = vec![format!("dnslink=/ipfs/{root}")];
        wait(|| self.links() == expected, "the root is not in the DNS");
    }

    /// Waits until the name server tells the root of what the registry has, and gives it.
    pub(crate) fn wait_until_published(&self) -> String {
        let root = self.root();
        self.wait_for(&root);
        wait(|| self.status()["publishing"] == "ok", "the registry does not know it");
        root
    }

    /// Why the last try to publish has failed, as `roadstead status` says.
    pub(crate) fn failure(&self) -> String {
        let finished = run(self.command(["status"]).arg("--json"));
        let status: Value = serde_json::from_str(&finished.stdout).unwrap_or_default();
        status["publishing"]["failure"].to_string()
    }

    /// What `/readyz` says.
    pub(crate) fn status(&self) -> Value {
        let response = http::get(&self.server.url("/readyz"));
        assert_eq!(response.status, 200, "{}", response.text());
        response.json()
    }
}
