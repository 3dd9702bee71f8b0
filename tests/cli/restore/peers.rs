//! Peers that are slow to tell, break off or lie.

use super::copies::{Copy, Original};
use super::proxy::{Manner, Proxy};
use crate::cli::push;

#[test]
fn names_and_links_cost_no_round_trip_each() {
    let original = Original::start();
    let proxy = Proxy::start(original.server.address(), Manner::Good);
    let copy = Copy::new();
    let restored = copy.restore(&original.root, &proxy.url());
    assert!(restored.succeeded(), "{restored}");
    copy.assert_is(&original.root);
    let summary = restored.stdout.split(" blobs; ").next().unwrap();
    let blobs: usize = summary.rsplit(' ').next().unwrap().parse().unwrap();
    // One for each blob and for each directory of blobs, and a few for the root and all names.
    assert!(proxy.requests() <= 2 * blobs + 20, "{}: {restored}", proxy.requests());
}

#[test]
fn a_peer_without_usable_archives_is_read_block_by_block() {
    let original = Original::start();
    for manner in [Manner::Unordered, Manner::NoArchives(406), Manner::NoArchives(501)] {
        let proxy = Proxy::start(original.server.address(), manner);
        let copy = Copy::new();
        let restored = copy.restore(&original.root, &proxy.url());
        assert!(restored.succeeded(), "{restored}");
        copy.assert_is(&original.root);
        assert!(proxy.requests() > 100, "{}", proxy.requests());
    }
}

#[test]
fn a_peer_that_hangs_up_now_and_then_is_tried_again() {
    let original = Original::start();
    let proxy = Proxy::start(original.server.address(), Manner::Flaky);
    let copy = Copy::new();
    let restored = copy.restore(&original.root, &proxy.url());
    assert!(restored.succeeded(), "{restored}");
    copy.assert_is(&original.root);
}

#[test]
fn a_peer_that_lies_or_breaks_off_gives_nothing_and_another_one_all() {
    let original = Original::start();
    // Its names are more than the proxy lets through, and so is a layer.
    push::image(&original.server, "team/large", "v1", &"long".repeat(1 << 20));
    let root = crate::common::succeed(&mut original.server.command(["root"]));
    for (manner, why) in [(Manner::Wrong, "invalid "), (Manner::Cut, "cannot read")] {
        let proxy = Proxy::start(original.server.address(), manner);
        let copy = Copy::new();
        let refused = copy.restore(&root, &proxy.url());
        assert_eq!(refused.code, Some(1), "{refused}");
        assert!(refused.stderr.contains(why), "{refused}");
        copy.assert_unfinished();
        let both = format!("{},{}", proxy.url(), original.server.url(""));
        let restored = copy.restore(&root, &both);
        assert!(restored.succeeded(), "{restored}");
        copy.assert_is(&root);
    }
}
