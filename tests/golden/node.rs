//! Registries over Kubo with Postgres: a folder of the node's MFS, and a schema.

use super::shared::{
    Facts, assert_goes_on, assert_landed, assert_pulls, assert_purged, assert_root, finish_upload,
    read, unhex,
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
    opens_and_goes_on("v0");
}

#[test]
fn a_registry_of_version_1_over_kubo_and_postgres_opens_and_everything_in_it_goes_on() {
    opens_and_goes_on("v1");
}

fn opens_and_goes_on(version: &str) {
    let Some(home) = Home::start() else { return };
    let facts = Facts::read(&format!("{version}/kubo/facts.json"));
    let pair = home.registry(version, "index.sql", &facts);
    let mut server = Server::start_over(&pair, |_| {});

    assert_pulls(&server, &facts);
    assert_landed(&server, &facts, facts.text("hello"), facts.text("hello"));
    assert_root(&server, facts.text("root_after"));
    if version != "v0" {
        assert_purged(&server, &facts);
    }
    finish_upload(&server, &facts, &b"an upload by way of a node\n".repeat(200));
    assert_goes_on(&mut server, &facts);
}

#[test]
fn a_database_as_each_earlier_migration_left_it_is_migrated_and_served() {
    let Some(home) = Home::start() else { return };
    for (made, version) in [("v0", 1), ("v0", 2), ("v0", 3), ("v1", 4), ("v1", 5)] {
        let facts = Facts::read(&format!("{made}/kubo/facts.json"));
        let pair = home.registry(made, &format!("index-after-{version}.sql"), &facts);
        let mut server = Server::start_over(&pair, |_| {});
        assert_pulls(&server, &facts);
        let other = Repository::of(&server, "team/hello").get("manifests/v2");
        assert_eq!(other.header("docker-content-digest"), facts.text("other"));
        assert_root(&server, facts.text("root_before"));
        assert_goes_on(&mut server, &facts);
    }
}
