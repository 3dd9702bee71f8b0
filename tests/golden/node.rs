//! Registries over Kubo with Postgres: a folder of the node's MFS, and a schema.

use super::shared::{
    Facts, assert_goes_on, assert_landed, assert_pulls, assert_root, finish_upload, read, unhex,
};
use crate::common::pair::Pair;
use crate::common::repository::Repository;
use crate::common::{KuboNode, Postgres, Server};
use std::sync::Arc;

/// The node and the database of a test, which go with it.
struct Home {
    node: KuboNode,
    postgres: Postgres,
}

impl Home {
    fn start() -> Option<Self> {
        let postgres = Postgres::start(&["-c", "fsync=off"])?;
        Some(Self { node: KuboNode::start()?, postgres })
    }

    /// A registry made out of the text files, with that dump as its index.
    fn registry(&self, version: &str, dump: &str, facts: &Facts) -> Arc<Pair> {
        let pair = Pair::make_on(&self.node.api(), &self.node.gateway(), &self.postgres.url());
        pair.load_index(&read(&format!("{version}/kubo/{dump}")));
        let archive = unhex(&read(&format!("{version}/kubo/mfs.car.hex")));
        pair.load_folder(facts.text("cid"), &archive);
        Arc::new(pair)
    }
}

#[test]
fn a_registry_of_version_0_over_kubo_and_postgres_opens_and_everything_in_it_goes_on() {
    let Some(home) = Home::start() else { return };
    let facts = Facts::read("v0/kubo/facts.json");
    let pair = home.registry("v0", "index.sql", &facts);
    let mut server = Server::start_over(&pair, |_| {});

    assert_pulls(&server, &facts);
    assert_landed(&server, &facts, facts.text("hello"), facts.text("hello"));
    assert_root(&server, facts.text("root_after"));
    finish_upload(&server, &facts, &b"an upload by way of a node\n".repeat(200));
    assert_goes_on(&mut server, &facts);
}

#[test]
fn a_database_as_each_earlier_migration_left_it_is_migrated_and_served() {
    let Some(home) = Home::start() else { return };
    let facts = Facts::read("v0/kubo/facts.json");
    for version in 1..=3 {
        let pair = home.registry("v0", &format!("index-after-{version}.sql"), &facts);
        let mut server = Server::start_over(&pair, |_| {});
        assert_pulls(&server, &facts);
        let other = Repository::of(&server, "team/hello").get("manifests/v2");
        assert_eq!(other.header("docker-content-digest"), facts.text("other"));
        assert_root(&server, facts.text("root_before"));
        assert_goes_on(&mut server, &facts);
    }
}
