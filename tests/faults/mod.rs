//! What breaks registries: killed processes, full and broken disks, crowds, rude clients. Nothing acknowledged may be lost, nothing may
//! be half-done, and whoever asks is told.

mod broken_disk;
pub(crate) mod crowd;
mod disk;
mod growth;
mod kill;
mod pulls;
pub(crate) mod rude;

use crate::common::{Server, roadstead, run, succeed};

/// Checks that the store is whole, and that its root is the CID of its folder.
fn assert_whole(server: &Server) {
    let report = run(&mut server.command(["check"]));
    assert!(report.succeeded(), "{report}");
    let computed = succeed(roadstead(["cid"]).arg(server.public()));
    assert_eq!(succeed(&mut server.command(["root"])), computed);
}
