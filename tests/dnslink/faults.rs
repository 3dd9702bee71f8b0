//! Name servers that misbehave.

use std::time::Duration;

use futures_util::future::join_all;
use hickory_resolver::proto::op::ResponseCode;
use roadstead::config::DnsServer;
use roadstead::dnslink::{DnslinkErrorKind, Resolver};

use super::server::{Manner, Server};
use super::{A, B, kind, resolve, resolver, root, settings, shown, wait};

const NAME: &str = "names.test";
const RECORD: &str = "_dnslink.names.test";
const PAUSE: Duration = Duration::from_millis(50);

fn texts(root: &str) -> Vec<String> {
    vec![format!("dnslink=/ipfs/{root}")]
}

/// What no client can take for an answer.
fn failures() -> Vec<Manner> {
    vec![
        Manner::Code(ResponseCode::ServFail),
        Manner::Code(ResponseCode::Refused),
        Manner::Code(ResponseCode::NotImp),
        Manner::Silence,
        Manner::Garbage,
        Manner::AlwaysTruncated,
        Manner::WrongId(texts(B)),
    ]
}

/// Does that with each of them, at the same time.
async fn of_each(act: impl AsyncFn(Manner)) {
    join_all(failures().into_iter().map(|manner| act(manner))).await;
}

#[tokio::test]
async fn no_answer_differs_from_the_answer_that_there_is_no_record() {
    of_each(async |manner| {
        let server = Server::start(manner.clone()).await;
        let found = kind(&resolver(&server.address()), NAME).await;
        assert_eq!(found, DnslinkErrorKind::Unavailable, "{manner:?}");
    })
    .await;
    for code in [ResponseCode::NXDomain, ResponseCode::NoError] {
        let server = Server::start(Manner::Code(code)).await;
        let found = kind(&resolver(&server.address()), NAME).await;
        assert_eq!(found, DnslinkErrorKind::NotFound, "{code}");
    }
}

#[tokio::test]
async fn a_root_serves_on_whatever_befalls_the_server_and_comes_back_fresh() {
    of_each(async |manner| {
        let server = Server::start(Manner::Texts(texts(A), 0)).await;
        let resolver = resolver(&server.address());
        assert_eq!(root(&resolver, NAME).await, A);
        server.change(manner.clone());
        tokio::time::sleep(PAUSE).await;
        let stale = resolve(&resolver, NAME).await.unwrap();
        assert_eq!(shown(&stale), A, "{manner:?}");
        assert!(stale.stale_since.is_some(), "{manner:?}");
        server.change(Manner::Texts(texts(B), 3600));
        wait(async || shown(&resolve(&resolver, NAME).await.unwrap()) == B).await;
        assert_eq!(root(&resolver, NAME).await, B);
    })
    .await;
}

#[tokio::test]
async fn a_root_serves_on_no_longer_than_the_setting_says() {
    let server = Server::start(Manner::Texts(texts(A), 0)).await;
    let mut settings = settings(&server.address());
    settings.stale_for = Duration::from_millis(1);
    let resolver = Resolver::open(&settings).unwrap();
    assert_eq!(root(&resolver, NAME).await, A);
    server.change(Manner::Code(ResponseCode::ServFail));
    tokio::time::sleep(PAUSE).await;
    assert_eq!(kind(&resolver, NAME).await, DnslinkErrorKind::Unavailable);
}

#[tokio::test]
async fn a_name_that_is_gone_does_not_serve_on() {
    let server = Server::start(Manner::Texts(texts(A), 0)).await;
    let resolver = resolver(&server.address());
    assert_eq!(root(&resolver, NAME).await, A);
    server.change(Manner::Code(ResponseCode::NXDomain));
    tokio::time::sleep(PAUSE).await;
    assert_eq!(kind(&resolver, NAME).await, DnslinkErrorKind::NotFound);
    server.change(Manner::Code(ResponseCode::ServFail));
    wait(async || kind(&resolver, NAME).await == DnslinkErrorKind::Unavailable).await;
}

#[tokio::test]
async fn failures_and_absence_are_cached_so_that_many_requests_query_once() {
    for code in [ResponseCode::ServFail, ResponseCode::NXDomain] {
        let server = Server::start(Manner::Code(code)).await;
        let resolver = resolver(&server.address());
        for _ in 0..50 {
            assert!(resolve(&resolver, NAME).await.is_err());
        }
        assert_eq!(server.count(RECORD), 1, "{code}");
    }
}

#[tokio::test]
async fn all_who_ask_at_once_share_one_question_and_the_first_may_leave() {
    let server = Server::start(Manner::Slow(texts(A))).await;
    let resolver = resolver(&server.address());
    let first = tokio::spawn({
        let resolver = resolver.clone();
        async move { resolve(&resolver, NAME).await.map(drop) }
    });
    wait(async || server.count(RECORD) > 0).await;
    let others = join_all((0..100).map(|_| root(&resolver, NAME)));
    first.abort();
    assert!(others.await.iter().all(|found| found == A));
    assert!(first.await.unwrap_err().is_cancelled());
    assert_eq!(root(&resolver, NAME).await, A);
    assert_eq!(server.count(RECORD), 1);
}

#[tokio::test]
async fn a_truncated_answer_is_fetched_by_tcp() {
    let server = Server::start(Manner::Truncated(texts(A))).await;
    assert_eq!(root(&resolver(&server.address()), NAME).await, A);
    assert_eq!(server.count(RECORD), 2);
}

#[tokio::test]
async fn an_answer_of_64_kilobytes_is_accepted_and_only_its_records_are_cached() {
    let mut records = texts(A);
    // Each takes 12 bytes more, and the name is written once.
    records.extend((0..61).map(|number| format!("ipfsnode={number:01000}")));
    records.push("x".repeat(2000));
    let server = Server::start(Manner::Truncated(records.clone())).await;
    let resolver = resolver(&server.address());
    assert_eq!(root(&resolver, NAME).await, A);
    let answer = resolve(&resolver, NAME).await.unwrap();
    assert!(answer.resolved.hints.is_empty());
    let trace = resolver.trace(&super::domain(NAME)).await;
    assert_eq!(trace.outcome.unwrap().root.to_string(), A);
    assert!(serde_json::to_string(&trace.steps).unwrap().len() < 32 * 1024, "it is cut");
}

#[tokio::test]
async fn a_server_that_is_down_or_refuses_only_slows_what_another_answers() {
    let good = Server::with_root(A).await;
    of_each(async |manner| {
        let bad = Server::start(manner.clone()).await;
        let mut settings = settings(&bad.address());
        settings.servers.push(DnsServer::Plain(good.address().parse().unwrap()));
        let resolver = Resolver::open(&settings).unwrap();
        assert_eq!(root(&resolver, NAME).await, A, "{manner:?}");
        assert!(bad.count(RECORD) > 0, "{manner:?}: the order of the settings counts");
    })
    .await;
}

#[tokio::test]
async fn unanswered_hints_do_not_delay_a_root() {
    let server = Server::start(Manner::Alone(texts(A))).await;
    let resolver = resolver(&server.address());
    assert_eq!(root(&resolver, NAME).await, A);
    assert_eq!(server.count(NAME), 1, "they were asked for");
    server.change(Manner::Alone(vec!["nothing of ours".to_owned()]));
    let other = kind(&resolver, "other.test").await;
    assert_eq!(other, DnslinkErrorKind::Unavailable, "the link itself may stand there");
}

#[tokio::test]
async fn many_names_at_once_are_resolved_a_few_at_a_time() {
    let server = Server::start(Manner::Slow(texts(A))).await;
    let resolver = resolver(&server.address());
    let names: Vec<String> = (0..200).map(|number| format!("n{number}.names.test")).collect();
    for found in join_all(names.iter().map(|name| root(&resolver, name))).await {
        assert_eq!(found, A);
    }
}
