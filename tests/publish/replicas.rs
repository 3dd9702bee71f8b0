//! Several processes over one Kubo node and one Postgres: one of them publishes.

use std::process::Command;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crate::common::bind::Bind;
use crate::common::repository::{Repository, wait};
use crate::common::{KuboNode, Pair, Postgres, Server, http, succeed};
use crate::publish::publisher::{DOMAIN, NAME, publish_to};

/// Two processes that publish, and what they stand on.
pub(crate) struct Two {
    // Fields are dropped in this order: the processes go before what they use.
    pub(crate) servers: Vec<Server>,
    pub(crate) dns: Bind,
    pub(crate) node: KuboNode,
    pair: Arc<Pair>,
    _postgres: Postgres,
}

impl Two {
    pub(crate) fn start(
        configure: impl Fn(&mut Command) + Copy + Send + Sync + 'static,
    ) -> Option<Self> {
        let dns = Bind::start(&[(DOMAIN, "")])?;
        let node = KuboNode::start()?;
        let postgres = Postgres::start(&[])?;
        let pair = Arc::new(Pair::make_on(&node.api(), &node.gateway(), &postgres.url()));
        let mut two = Self { servers: Vec::new(), dns, node, pair, _postgres: postgres };
        two.servers = two.serve(configure);
        Some(two)
    }

    /// Starts two processes, of which `configure` says more.
    pub(crate) fn serve(
        &self,
        configure: impl Fn(&mut Command) + Copy + Send + Sync + 'static,
    ) -> Vec<Server> {
        let server = |_| {
            let address = self.dns.address();
            Server::start_over(&self.pair, move |command| {
                publish_to(command, &address);
                configure(command);
            })
        };
        (0..2).map(server).collect()
    }

    pub(crate) fn push(&self, server: usize, tag: &str, word: &str) {
        Repository::of(&self.servers[server], "team/app").push_image(tag, word);
    }

    /// Waits until the root is published, and all processes that run know it.
    pub(crate) fn wait_until_published(&self) -> String {
        let root = succeed(&mut self.servers[1].command(["root"]));
        let link = format!("dnslink=/ipfs/{root}");
        wait(|| self.dns.texts(NAME).contains(&link), "the root is not in the DNS");
        let is_done = |server: &Server| {
            let ready = http::try_send(|client| client.get(server.url("/readyz")));
            ready.is_err() || ready.is_ok_and(|ready| ready.json()["publishing"] == "ok")
        };
        wait(|| self.servers.iter().all(is_done), "a process does not know it");
        root
    }
}

#[test]
fn of_several_processes_one_publishes_and_another_takes_over() {
    let Some(mut two) = Two::start(|_| {}) else { return };
    two.push(0, "v1", "one");
    two.wait_until_published();
    for (number, word) in ["two", "three", "four"].into_iter().enumerate() {
        let before = two.dns.serial(DOMAIN);
        two.push(number % 2, "v1", word);
        two.wait_until_published();
        // Long enough for the other one to do it as well.
        thread::sleep(Duration::from_secs(1));
        assert_eq!(two.dns.serial(DOMAIN) - before, 1, "it was written more than once");
    }
    two.servers[0].kill();
    two.push(1, "v1", "five");
    two.wait_until_published();
    let log = two.servers[1].log();
    assert!(!log.contains("failed to publish"), "{log}");
}
