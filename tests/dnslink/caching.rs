//! How long answers are kept.

use std::time::Duration;

use roadstead::dnslink::{DnslinkErrorKind, Resolver};

use super::{A, B, kind, resolve, resolver, root, settings, shown, wait};
use crate::common::Bind;

const ZONE: &str = "names.test";

/// Moves a record of this TTL to another root.
fn move_to(bind: &Bind, name: &str, ttl: u32, target: &str) {
    bind.update(
        ZONE,
        &format!(
            "update delete {name} TXT\nupdate add {name} {ttl} TXT \"dnslink=/ipfs/{target}\""
        ),
    );
}

/// Asks until the domain leads there.
async fn until(resolver: &Resolver, name: &str, expected: &str) {
    let leads = async || resolve(resolver, name).await.map(|answer| shown(&answer));
    wait(async || leads().await.is_ok_and(|target| target == expected)).await;
}

#[tokio::test]
async fn a_record_that_was_moved_is_seen_when_the_time_of_the_old_one_is_over() {
    let records = format!(
        "_dnslink.short 1 TXT \"dnslink=/ipfs/{A}\"\n_dnslink.long 3600 TXT \"dnslink=/ipfs/{A}\"\n"
    );
    let Some(bind) = Bind::start(&[(ZONE, &records)]) else { return };
    let resolver = resolver(&bind.address());
    for name in ["short.names.test", "long.names.test"] {
        assert_eq!(root(&resolver, name).await, A);
    }
    let answer = resolve(&resolver, "long.names.test").await.unwrap();
    assert_eq!(answer.resolved.ttl, Duration::from_hours(1));
    move_to(&bind, "_dnslink.short.names.test", 1, B);
    move_to(&bind, "_dnslink.long.names.test", 3600, B);
    until(&resolver, "short.names.test", B).await;
    assert_eq!(root(&resolver, "long.names.test").await, A, "its hour is not over");
}

#[tokio::test]
async fn the_time_of_a_record_counts_within_the_floor_and_the_ceiling() {
    let records = format!(
        "_dnslink.short 1 TXT \"dnslink=/ipfs/{A}\"\n_dnslink.long 86400 TXT \"dnslink=/ipfs/{A}\"\n"
    );
    let Some(bind) = Bind::start(&[(ZONE, &records)]) else { return };
    let mut settings = settings(&bind.address());
    settings.ttl_floor = Duration::from_mins(1);
    settings.ttl_ceiling = Duration::from_mins(2);
    let resolver = Resolver::open(&settings).unwrap();
    for (name, minutes) in [("short.names.test", 1), ("long.names.test", 2)] {
        let answer = resolve(&resolver, name).await.unwrap();
        assert_eq!(answer.resolved.ttl, Duration::from_mins(minutes), "{name}");
    }
    move_to(&bind, "_dnslink.short.names.test", 1, B);
    assert_eq!(root(&resolver, "short.names.test").await, A);
    let trace = resolver.trace(&super::domain("short.names.test")).await;
    assert_eq!(trace.outcome.unwrap().root.to_string(), B, "a trace asks anew");
}

#[tokio::test]
async fn a_record_that_is_new_is_seen_soon_and_one_that_is_gone_is_no_more() {
    let Some(bind) = Bind::start(&[(ZONE, "")]) else { return };
    let resolver = resolver(&bind.address());
    assert_eq!(kind(&resolver, "a.names.test").await, DnslinkErrorKind::NotFound);
    move_to(&bind, "_dnslink.a.names.test", 1, A);
    until(&resolver, "a.names.test", A).await;
    bind.update(ZONE, "update delete _dnslink.a.names.test TXT");
    wait(async || resolve(&resolver, "a.names.test").await.is_err()).await;
    assert_eq!(kind(&resolver, "a.names.test").await, DnslinkErrorKind::NotFound);
}

#[tokio::test]
async fn a_root_serves_on_while_the_name_server_is_gone_and_says_so() {
    let records = format!("_dnslink.a 1 TXT \"dnslink=/ipfs/{A}\"\n");
    let Some(mut bind) = Bind::start(&[(ZONE, &records)]) else { return };
    let resolver = resolver(&bind.address());
    assert_eq!(root(&resolver, "a.names.test").await, A);
    bind.stop();
    let answer = async || resolve(&resolver, "a.names.test").await.unwrap();
    wait(async || answer().await.stale_since.is_some()).await;
    assert_eq!(shown(&answer().await), A);
    assert_eq!(kind(&resolver, "b.names.test").await, DnslinkErrorKind::Unavailable);
}
