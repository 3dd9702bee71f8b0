//! Signing in: at a registry of ours, by both of its ways, and what credentials are never sent to.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bcrypt::Version;
use roadstead::client::ClientErrorKind;
use tempfile::TempDir;

use crate::client::fake::{Fake, answer};
use crate::client::{client, client_of, digest, repository};
use crate::common::Server;

/// Starts a server that knows anna.
fn guarded(anonymous_pull: bool) -> (Server, TempDir) {
    let folder = TempDir::new().expect("a temporary folder can be made");
    let file = folder.path().join("htpasswd");
    let hash = bcrypt::hash_with_result("sesame", 4).expect("4 is a cost");
    fs::write(&file, format!("anna:{}\n", hash.format_for_version(Version::TwoY))).unwrap();
    let server = Server::start_with(move |command| {
        command
            .env("ROADSTEAD_AUTH__METHOD", "htpasswd")
            .env("ROADSTEAD_AUTH__HTPASSWD__FILE", &file)
            .env("ROADSTEAD_AUTH__HTPASSWD__ANONYMOUS_PULL", anonymous_pull.to_string());
    });
    (server, folder)
}

#[tokio::test]
async fn a_user_pushes_by_basic_and_by_a_token() {
    for anonymous_pull in [false, true] {
        let (server, _folder) = guarded(anonymous_pull);
        let anna = client_of(&server.url(""), "anna", "sesame");
        anna.ping().await.unwrap();
        let repository_of = |client| repository(client, "team/app");
        repository_of(&anna).push_blob(&digest(b"layer"), &"layer".into()).await.unwrap();
        assert_eq!(anna.repositories().all().await.unwrap(), []);

        let stranger = repository_of(&client(&server.url("")));
        let push = stranger.push_blob(&digest(b"other"), &"other".into()).await.unwrap_err();
        assert_eq!(push.kind, ClientErrorKind::Unauthorized, "{push}");
        let pull = stranger.blob_size(&digest(b"layer")).await;
        assert_eq!(pull.is_ok(), anonymous_pull, "{pull:?}");

        let liar = client_of(&server.url(""), "anna", "open");
        let error = liar.ping().await.unwrap_err();
        assert_eq!(error.kind, ClientErrorKind::Unauthorized, "{error}");
    }
}

/// A registry with its token service in one, whose tokens are good for one request each.
#[tokio::test]
async fn a_token_that_is_refused_is_renewed_once() {
    let issued = Arc::new(AtomicUsize::new(0));
    let good = Arc::clone(&issued);
    let registry = Fake::start(move |head| {
        if head.starts_with("get /token") {
            let number = good.fetch_add(1, Ordering::SeqCst) + 1;
            return answer(200, "", format!("{{\"access_token\":\"t{number}\"}}").as_bytes());
        }
        // The token that was issued first is refused from the second request on.
        let is_good = head.contains("authorization: bearer t")
            && (!head.contains("bearer t1\r\n") || head.starts_with("get /v2/a/"));
        if is_good {
            return answer(200, "", b"hello");
        }
        let challenge =
            "WWW-Authenticate: Bearer realm=\"/token\",service=\"s\",error=\"invalid_token\"\r\n";
        answer(401, challenge, b"")
    });
    let client = client_of(&registry.url(), "anna", "sesame");
    let read = async |name: &str| {
        repository(&client, name).blob(&digest(b"hello")).await?.read_to_end(5).await
    };
    assert_eq!(read("a").await.unwrap(), "hello");
    assert_eq!(read("a").await.unwrap(), "hello");
    assert_eq!(issued.load(Ordering::SeqCst), 1, "a token is used until it expires");
    assert_eq!(read("b").await.unwrap(), "hello");
    assert_eq!(issued.load(Ordering::SeqCst), 2, "each repository has its token");
    let requests = registry.requests();
    let tokens: Vec<_> = requests.iter().filter(|head| head.starts_with("get /token")).collect();
    assert!(tokens[0].contains("service=s&scope=repository%3aa%3apull"), "{}", tokens[0]);
    assert!(tokens[0].contains("authorization: basic yw5uytpzzxnhbwu="), "{}", tokens[0]);
    assert!(
        requests.iter().all(|head| {
            head.starts_with("get /token") || !head.contains("authorization: basic")
        })
    );
}

#[tokio::test]
async fn a_registry_that_refuses_every_token_gets_two_requests() {
    let registry = Fake::start(|head| {
        if head.starts_with("get /token") {
            return answer(200, "", br#"{"token":"t","expires_in":300}"#);
        }
        answer(401, "WWW-Authenticate: Bearer realm=\"/token\"\r\n", b"{}")
    });
    let error = client_of(&registry.url(), "anna", "sesame").ping().await.unwrap_err();
    assert_eq!(error.kind, ClientErrorKind::Unauthorized);
    let pings = registry.requests().iter().filter(|head| head.starts_with("get /v2/ ")).count();
    assert_eq!(pings, 2);
}

#[tokio::test]
async fn a_password_goes_to_no_other_host_without_tls() {
    let other = Fake::start(|_| answer(200, "", br#"{"token":"t"}"#));
    // Another name of loopback is another host.
    let realm = other.url().replace("127.0.0.1", "localhost");
    let registry = Fake::start(move |_| {
        answer(401, &format!("WWW-Authenticate: Bearer realm=\"{realm}/token\"\r\n"), b"")
    });
    let error = client_of(&registry.url(), "anna", "sesame").ping().await.unwrap_err();
    assert_eq!(error.kind, ClientErrorKind::Insecure, "{error}");
    assert_eq!(other.requests(), [""; 0]);
    // Without a password there is nothing to lose.
    let error = client(&registry.url()).ping().await.unwrap_err();
    assert_eq!(error.kind, ClientErrorKind::Unauthorized, "{error}");
    assert_eq!(other.requests().len(), 1);
}

#[tokio::test]
async fn credentials_do_not_follow_a_redirect_or_an_upload_to_another_host() {
    let store = Fake::start(|head| match head.split(' ').next() {
        Some("put") => answer(201, "", b""),
        _ => answer(200, "", b"hello"),
    });
    let url = store.url();
    let registry = Fake::start(move |head| {
        if !head.contains("authorization: basic") {
            return answer(401, "WWW-Authenticate: Basic realm=\"r\"\r\n", b"");
        }
        let location = format!("Location: {url}/stored\r\n");
        answer(if head.starts_with("post") { 202 } else { 307 }, &location, b"")
    });
    let repository = repository(&client_of(&registry.url(), "anna", "sesame"), "a");
    let blob = repository.blob(&digest(b"hello")).await.unwrap();
    assert_eq!(blob.read_to_end(5).await.unwrap(), "hello");
    repository.push_blob(&digest(b"hello"), &"hello".into()).await.unwrap();
    let requests = store.requests();
    assert_eq!(requests.len(), 2);
    assert!(requests.iter().all(|head| !head.contains("authorization")), "{requests:?}");
}

#[tokio::test]
async fn the_challenge_of_a_host_behind_a_redirect_gets_no_password() {
    let third = Fake::start(|_| answer(200, "", br#"{"token":"stolen"}"#));
    let realm = third.url();
    let store = Fake::start(move |_| {
        answer(401, &format!("WWW-Authenticate: Bearer realm=\"{realm}/token\"\r\n"), b"")
    });
    let elsewhere = format!("Location: {}/stored\r\n", store.url());
    let registry = Fake::start(move |head| {
        if head.starts_with("get /token") {
            return answer(200, "", br#"{"token":"good"}"#);
        }
        if !head.contains("authorization: bearer good") {
            return answer(401, "WWW-Authenticate: Bearer realm=\"/token\"\r\n", b"");
        }
        if head.starts_with("get /v2/a/") {
            return answer(307, &elsewhere, b"");
        }
        answer(200, "", b"hello")
    });
    // The redirect is the first that the client meets, or comes once it has a token.
    for is_signed_in in [false, true] {
        let client = client_of(&registry.url(), "anna", "sesame");
        if is_signed_in {
            client.ping().await.unwrap();
        }
        let error = repository(&client, "a").blob(&digest(b"hello")).await.err().unwrap();
        assert_eq!((error.kind, error.status), (ClientErrorKind::Denied, Some(401)), "{error}");
        let blob = repository(&client, "b").blob(&digest(b"hello")).await.unwrap();
        assert_eq!(blob.read_to_end(5).await.unwrap(), "hello");
    }
    assert_eq!(third.requests(), [""; 0]);
    let requests = store.requests();
    assert_eq!(requests.len(), 2);
    assert!(requests.iter().all(|head| !head.contains("authorization")), "{requests:?}");
}
