//! Servers that lie, are endless, or say nothing: each ends with an error of the right kind.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use roadstead::client::{Client, ClientErrorKind, Limits, Options, Repository, Timeouts};

use crate::client::fake::{Fake, answer, chunked};
use crate::client::{client, digest, repository};

/// A repository of a registry that gives this answer to everything.
fn answering(bytes: Vec<u8>, options: Options) -> (Repository, Fake) {
    let fake = Fake::start(move |_| bytes.clone());
    let client = Client::with(&fake.url(), options).expect("it is a URL");
    (repository(&client, "a"), fake)
}

#[tokio::test]
async fn other_bytes_are_not_given_to_the_end() {
    let long = vec![1; 1 << 20];
    for (bytes, form) in [
        (b"hallo".to_vec(), answer as fn(u16, &str, &[u8]) -> Vec<u8>),
        (long.clone(), answer),
        (b"hallo".to_vec(), chunked),
        (long.clone(), chunked),
    ] {
        let (repository, _fake) = answering(form(200, "", &bytes), Options::default());
        let mut blob = repository.blob(&digest(b"hello")).await.unwrap();
        let (mut received, mut failure) = (0, None);
        while failure.is_none() {
            match blob.next().await {
                Ok(Some(piece)) => received += piece.len(),
                Ok(None) => break,
                Err(error) => failure = Some(error.kind),
            }
        }
        assert_eq!(failure, Some(ClientErrorKind::Corrupt));
        assert!(received < bytes.len());
        assert_eq!(blob.next().await.unwrap_err().kind, ClientErrorKind::Corrupt, "it stays so");
        let blob = repository.blob(&digest(b"hello")).await.unwrap().unchecked();
        assert!(blob.read_to_end(bytes.len()).await.unwrap() == bytes);

        let error = repository.manifest(&digest(b"hello").to_string().parse().unwrap()).await;
        assert_eq!(error.unwrap_err().kind, ClientErrorKind::Corrupt);
    }
}

#[tokio::test]
async fn a_manifest_that_is_not_what_its_header_says_is_corrupt() {
    let header = format!("Docker-Content-Digest: {}\r\n", digest(b"hello"));
    let (repository, _fake) = answering(answer(200, &header, b"hallo"), Options::default());
    let error = repository.manifest(&"v1".parse().unwrap()).await.unwrap_err();
    assert_eq!(error.kind, ClientErrorKind::Corrupt);
}

#[tokio::test]
async fn an_answer_beyond_its_limit_is_not_read() {
    let limits = Limits { manifest: 4, page: 4, entries: 3, blob: 4 };
    let options = Options { limits, ..Options::default() };
    let (repository, _fake) = answering(answer(200, "", b"hello"), options.clone());
    let error = repository.manifest(&"v1".parse().unwrap()).await.unwrap_err();
    assert_eq!(error.kind, ClientErrorKind::TooLarge);
    assert_eq!(repository.tags().all().await.unwrap_err().kind, ClientErrorKind::TooLarge);
    let error = repository.blob(&digest(b"hello")).await.err().unwrap();
    assert_eq!(error.kind, ClientErrorKind::TooLarge);
}

/// A registry whose list goes on with every page, each of which has these bytes.
fn endless_list(page: &'static [u8], limits: Limits) -> (Repository, Fake) {
    let count = AtomicUsize::new(0);
    let fake = Fake::start(move |_| {
        let number = count.fetch_add(1, Ordering::Relaxed);
        let link = format!("Link: </v2/a/tags/list?last={number}>; rel=\"next\"\r\n");
        answer(200, &link, page)
    });
    let options = Options { limits, ..Options::default() };
    let client = Client::with(&fake.url(), options).expect("it is a URL");
    (repository(&client, "a"), fake)
}

#[tokio::test]
async fn a_list_ends() {
    let limits = Limits { page: 100, entries: 3, ..Limits::default() };
    let page = br#"{"tags":["one"],"filler":"some twenty more bytes"}"#;
    let many = Limits { entries: 1000, ..limits };
    for (page, limits, kind, requests) in [
        (&page[..], limits, ClientErrorKind::TooLarge, 4),
        (page, many, ClientErrorKind::TooLarge, 9),
        (br#"{"tags":[]}"#, many, ClientErrorKind::Protocol, 4),
    ] {
        let (repository, fake) = endless_list(page, limits);
        assert_eq!(repository.tags().all().await.unwrap_err().kind, kind);
        assert_eq!(fake.requests().len(), requests);
    }
    let link = "Link: </v2/a/tags/list>; rel=\"next\"\r\n";
    let itself = answer(200, link, br#"{"tags":["one"]}"#);
    let (repository, fake) = answering(itself, Options::default());
    assert_eq!(repository.tags().all().await.unwrap_err().kind, ClientErrorKind::Protocol);
    assert!(fake.requests().len() <= 2);
}

#[tokio::test]
async fn a_page_that_failed_is_not_the_end_of_its_list() {
    let limits = Limits { page: 4, ..Limits::default() };
    let options = Options { limits, ..Options::default() };
    let (repository, fake) = answering(answer(200, "", br#"{"tags":["one"]}"#), options);
    let mut tags = repository.tags();
    for _ in 0..2 {
        assert_eq!(tags.next().await.unwrap_err().kind, ClientErrorKind::TooLarge);
    }
    assert_eq!(fake.requests().len(), 2);

    // A registry that is restarted between two pages.
    let count = AtomicUsize::new(0);
    let fake = Fake::start(move |_| match count.fetch_add(1, Ordering::Relaxed) {
        0 => {
            let link = "Link: </v2/a/tags/list?last=one>; rel=\"next\"\r\n";
            answer(200, link, br#"{"tags":["one"]}"#)
        }
        1 => answer(503, "", b""),
        _ => answer(200, "", br#"{"tags":["two"]}"#),
    });
    let mut tags = crate::client::repository(&client(&fake.url()), "a").tags();
    assert_eq!(tags.next().await.unwrap(), Some(vec!["one".parse().unwrap()]));
    assert_eq!(tags.next().await.unwrap_err().kind, ClientErrorKind::Unavailable);
    assert_eq!(tags.next().await.unwrap(), Some(vec!["two".parse().unwrap()]));
    assert_eq!(tags.next().await.unwrap(), None);
}

#[tokio::test]
async fn a_list_does_not_lead_to_another_host() {
    let link = "Link: <http://127.0.0.1:1/v2/a/tags/list>; rel=\"next\"\r\n";
    let (repository, _fake) = answering(answer(200, link, br#"{"tags":[]}"#), Options::default());
    assert_eq!(repository.tags().all().await.unwrap_err().kind, ClientErrorKind::Protocol);
}

#[tokio::test]
async fn silence_ends_a_request() {
    let short = Duration::from_millis(100);
    let timeouts = Timeouts { answer: short, silence: short, ..Timeouts::default() };
    let options = Options { timeouts, ..Options::default() };
    let (repository, _fake) = answering(Vec::new(), options.clone());
    let error = repository.manifest(&"v1".parse().unwrap()).await.unwrap_err();
    assert_eq!(error.kind, ClientErrorKind::TimedOut);
    let error = repository.push_blob(&digest(b"hello"), &"hello".into()).await.unwrap_err();
    assert_eq!(error.kind, ClientErrorKind::TimedOut);
}

#[tokio::test]
async fn a_blob_that_changed_between_two_requests_is_not_mixed() {
    // The first answer ends early; the second begins anew with other bytes.
    let fake = Fake::start(|head| {
        let mut bytes = answer(200, "ETag: \"a\"\r\n", b"hello");
        if head.contains("range: bytes=2-") {
            assert!(head.contains("if-range: \"a\""), "{head}");
            return answer(200, "ETag: \"b\"\r\n", b"world");
        }
        bytes.truncate(bytes.len() - 3);
        bytes
    });
    let blob = repository(&client(&fake.url()), "a").blob(&digest(b"hello")).await.unwrap();
    let error = blob.read_to_end(5).await.unwrap_err();
    assert_eq!(error.kind, ClientErrorKind::Corrupt);
    assert_eq!(fake.requests().len(), 2);
}

#[test]
fn a_registry_is_named_by_its_host_alone() {
    for url in [
        "",
        "registry.example",
        "ftp://registry.example",
        "http://user:password@registry.example",
        "https://registry.example/v2",
        "https://registry.example?a=b",
    ] {
        let error = Client::new(url).unwrap_err();
        assert_eq!(error.kind, ClientErrorKind::Input, "{url}");
        assert!(!error.to_string().contains("password"), "{error}");
    }
}
