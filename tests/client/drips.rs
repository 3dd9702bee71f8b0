//! Servers that send a byte at a time: they are never silent, and an answer that is read as a whole ends all the same.

use std::time::{Duration, Instant};

use roadstead::client::{Client, ClientErrorKind, Options, Timeouts};

use crate::client::fake::{Fake, answer};
use crate::client::{digest, repository};

/// How long an answer may take that is read as a whole.
const WHOLE: Duration = Duration::from_millis(300);

/// How long a test may take, in which no answer would be there within a minute.
const MOST: Duration = Duration::from_secs(10);

/// A body that takes longer to come than any test.
const LONG: [u8; 4096] = [b' '; 4096];

/// A client for which a byte at a time is no silence.
fn client_of(fake: &Fake) -> Client {
    let timeouts =
        Timeouts { silence: Duration::from_secs(5), whole: WHOLE, ..Timeouts::default() };
    let options = Options { timeouts, ..Options::default() };
    Client::with(&fake.url(), options).expect("it is a URL")
}

#[tokio::test]
async fn what_is_read_as_a_whole_ends() {
    let begun = Instant::now();
    let fake = Fake::dripping(|head| {
        let status = if head.contains("range: bytes=") { 206 } else { 200 };
        answer(status, "Content-Range: bytes 0-4095/9999\r\n", &LONG)
    });
    let repository = repository(&client_of(&fake), "a");
    let digest = digest(b"hello");
    let kinds = [
        repository.manifest(&"v1".parse().unwrap()).await.unwrap_err().kind,
        repository.tags().all().await.unwrap_err().kind,
        repository.blob_range(&digest, 0..4096).await.unwrap_err().kind,
        repository.blob(&digest).await.unwrap().read_to_end(4096).await.unwrap_err().kind,
    ];
    assert_eq!(kinds, [ClientErrorKind::TimedOut; 4]);
    assert!(begun.elapsed() < MOST, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_failure_is_told_without_the_rest_of_its_explanation() {
    let begun = Instant::now();
    let fake = Fake::dripping(|_| answer(403, "", &LONG));
    let error = client_of(&fake).ping().await.unwrap_err();
    assert_eq!((error.kind, error.status), (ClientErrorKind::Denied, Some(403)));
    assert!(begun.elapsed() < MOST, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_token_service_holds_no_request_for_ever() {
    let begun = Instant::now();
    let service = Fake::dripping(|_| answer(200, "", &LONG));
    let challenge = format!("WWW-Authenticate: Bearer realm=\"{}/token\"\r\n", service.url());
    let registry = Fake::start(move |_| answer(401, &challenge, b""));
    let client = client_of(&registry);
    // The second waits for the token that the first fetches.
    let (first, second) = tokio::join!(client.ping(), client.ping());
    for ended in [first, second] {
        assert_eq!(ended.unwrap_err().kind, ClientErrorKind::TimedOut);
    }
    assert!(begun.elapsed() < MOST, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_blob_that_is_streamed_may_take_longer() {
    let fake = Fake::dripping(|_| answer(200, "", &LONG));
    let mut blob = repository(&client_of(&fake), "a").blob(&digest(&LONG)).await.unwrap();
    let begun = Instant::now();
    while begun.elapsed() < 2 * WHOLE {
        assert!(blob.next().await.unwrap().is_some());
    }
    assert_eq!(fake.requests().len(), 1);
}
