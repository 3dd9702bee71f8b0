//! Several processes over one Kubo node and one Postgres: whatever a client does at one it finds at the others,
//! and a process that is killed takes nothing along.

mod client;
mod collections;
mod load;
mod pulls;
mod purges;
mod tags;
mod uploads;

use crate::common::repository::wait;
use crate::common::{Ipfs, Replicas, succeed};
use tempfile::TempDir;

/// Checks that all tell the same root, that it is the CID of the tree's files, and that all is whole.
fn assert_whole(replicas: &Replicas) {
    let root = succeed(&mut replicas.servers[0].command(["root"]));
    for server in &replicas.servers {
        assert_eq!(succeed(&mut server.command(["root"])), root);
        let report = succeed(&mut server.command(["check"]));
        assert!(report.ends_with(": all is well"), "{report}");
    }
    let Some(ipfs) = Ipfs::find() else { return };
    let home = TempDir::new().expect("a temporary folder can be made");
    let folder = home.path().join("public");
    replicas.pair.export(&root, &folder);
    assert_eq!(ipfs.cid(&folder, &[]), root, "`ipfs add` of the tree's files, then the root");
}

/// Checks that nobody holds a lock, now that nobody does anything.
fn assert_no_lock_is_left(replicas: &Replicas) {
    let query = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'";
    wait(|| replicas.pair.number(query) == 0, "a lock is left behind");
}
