//! Several sources at once.

use roadstead::remote::Remote;

use super::peer::{Manner, Peer};
use super::world::{BEFORE, FILE, World, archive};
use super::{assert_sound, path, remote, source_of, source_with_short_timeouts, until};

#[tokio::test]
async fn of_two_good_ones_the_losers_body_is_not_read_to_its_end() {
    let world = World::new();
    let slow = Peer::start(&world, Manner::Gated(0)).await;
    let fast = Peer::good(&world).await;
    assert_sound(&Remote::new(vec![source_of(&slow), source_of(&fast)]), &world).await;
    assert_eq!((slow.requests().len(), fast.requests().len()), (1, 1));
    slow.release();
    until(async || slow.ended() > 0).await;
    let scope = roadstead::ipld::Scope::Entity(None);
    let whole = archive(&world.root, &world.walk(world.root, path(FILE), scope)).len();
    assert!(slow.sent() < whole, "all of it was sent");
    assert_eq!(fast.sent(), whole);
}

#[tokio::test]
async fn a_silent_one_does_not_keep_the_next_one_waiting() {
    let world = World::new();
    let silent = Peer::start(&world, Manner::Silent).await;
    let good = Peer::good(&world).await;
    // The time-out of the silent one is much longer than any test may take.
    assert_sound(&Remote::new(vec![source_of(&silent), source_of(&good)]), &world).await;
}

#[tokio::test]
async fn one_whose_head_start_is_over_goes_on() {
    let world = World::new();
    let slow = Peer::start(&world, Manner::Gated(0)).await;
    let silent = Peer::start(&world, Manner::Silent).await;
    let remote = Remote::new(vec![source_of(&slow), source_of(&silent)]);
    let release = async {
        until(async || !silent.requests().is_empty()).await;
        slow.release();
    };
    tokio::join!(assert_sound(&remote, &world), release);
    assert_eq!(slow.requests().len(), 1);
    assert_eq!(silent.requests().len(), 1);
}

#[tokio::test]
async fn the_source_that_answered_last_is_tried_first() {
    let world = World::new();
    let bad = Peer::start(&world, Manner::Status(404, String::new())).await;
    let good = Peer::good(&world).await;
    let remote = remote([source_of(&bad), source_of(&good)]);
    assert_sound(&remote, &world).await;
    assert_sound(&remote.clone(), &world).await;
    assert_eq!((bad.requests().len(), good.requests().len()), (1, 2));
}

#[tokio::test]
async fn a_source_on_this_machine_is_tried_first_in_any_case() {
    let world = World::new();
    let near = Peer::start(&world, Manner::Status(404, String::new())).await;
    let good = Peer::good(&world).await;
    let remote = remote([source_of(&good)]).after(source_of(&near));
    assert_sound(&remote, &world).await;
    assert_sound(&remote, &world).await;
    assert_eq!((near.requests().len(), good.requests().len()), (2, 2));
}

#[tokio::test]
async fn one_after_the_other_is_replaced_where_it_stopped() {
    let world = World::new();
    let first = Peer::start(&world, Manner::Wrong(BEFORE.cast_signed() + 1)).await;
    // Its archive begins at the second leaf: it tells that one and the next.
    let second = Peer::start(&world, Manner::Stall(BEFORE + 2)).await;
    let third = Peer::good(&world).await;
    let sources = [source_of(&first), source_with_short_timeouts(&second), source_of(&third)];
    assert_sound(&remote(sources), &world).await;
    let leaf = super::world::LEAF;
    let last = world.content.len() - 1;
    assert!(second.requests()[0].contains(&format!("entity-bytes={leaf}:{last}&")));
    assert!(third.requests()[0].contains(&format!("entity-bytes={}:{last}&", 3 * leaf)));
}
