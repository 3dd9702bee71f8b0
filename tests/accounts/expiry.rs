//! Tokens that end while a request with them is under way: what counts is when it began.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, SystemTime};

use futures_util::stream;
use reqwest::{Body, Method};
use roadstead::auth::Scopes;
use roadstead::auth::signed::{
    Algorithm, KeyRing, OwnTokens, SigningKey, Subject, SubjectKind, generate,
};
use roadstead::index::{Actor, NewSigningKey};
use secrecy::ExposeSecret;
use tempfile::TempDir;

use super::team::{NOW, Sender, configure, edit, fill, send, token_of, user};
use crate::common::content::sha256;
use crate::common::repository::assert_refused;
use crate::common::{Server, http};

/// How long a token is good beyond its end, for clocks that differ.
const LEEWAY: Duration = Duration::from_mins(1);

/// How long the token of the test is good: enough to begin an upload.
const LEFT: Duration = Duration::from_secs(6);

const SCOPE: &str = "repository:team/secret:pull,push";

const PIECE: &[u8] = b"a piece of a layer\n";

/// Sends a token until it is refused.
fn wait_for_the_end(server: &Server, sender: &Sender) {
    while send(server, Method::GET, "/v2/", sender, Vec::new()).status == 200 {
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn an_upload_goes_on_beyond_the_life_of_its_token_and_is_ended_by_the_next_one() {
    let folder = TempDir::new().expect("a temporary folder can be made");
    let data = folder.path().join("data");
    std::fs::create_dir(&data).expect("the folder is ours");
    let bytes = generate(Algorithm::EdDsa).expect("a key can be made");
    let key = || {
        let key = SigningKey::from_pkcs8(Algorithm::EdDsa, bytes.expose_secret());
        key.expect("it is a key")
    };
    let (id, changes) = edit(&data, async |index| {
        fill(index).await;
        let new = NewSigningKey {
            kid: key().id().to_owned(),
            algorithm: "EdDSA".to_owned(),
            private_key: bytes.clone(),
        };
        index.ensure_signing_key(&new, &Actor::default(), NOW).await.expect("it can be added");
        let will = index.principal("will").await.expect("it can be read").expect("it is there");
        (will.principal.id, will.password_changes)
    });
    let server = Server::start_on_with(&data, configure);
    let subject = Subject::new(SubjectKind::User, id.to_string(), "will");
    let subject = Subject { credential: Some(format!("password:{changes}")), ..subject };
    let tokens = OwnTokens::new("roadstead", "roadstead", KeyRing::new(key(), Vec::new()));
    let lifetime = Duration::from_mins(1);
    let issued = SystemTime::now() + LEFT - LEEWAY - lifetime;
    let token = tokens.access(&subject, &Scopes::requested([SCOPE]), lifetime, issued);
    let token = token.expect("it can be signed").text.expose_secret().to_owned();
    let early = Sender::Bearer(token.clone());

    let begun = send(&server, Method::POST, "/v2/team/secret/blobs/uploads/", &early, Vec::new());
    assert_eq!(begun.status, 202, "{}", begun.text());
    let location = begun.header("location").to_owned();
    let has_ended = AtomicBool::new(false);
    let (patched, sent) = thread::scope(|scope| {
        scope.spawn(|| {
            wait_for_the_end(&server, &early);
            has_ended.store(true, Ordering::SeqCst);
        });
        let (pieces, count) = tokio::sync::mpsc::unbounded_channel::<Vec<u8>>();
        let flag = &has_ended;
        scope.spawn(move || {
            while !flag.load(Ordering::SeqCst) {
                let _ = pieces.send(PIECE.to_vec());
                thread::sleep(Duration::from_millis(50));
            }
            // Once more, after the end.
            let _ = pieces.send(PIECE.to_vec());
        });
        let body = stream::unfold(count, async |mut pieces| {
            let piece = pieces.recv().await?;
            Some((Ok::<_, std::io::Error>(piece), pieces))
        });
        let patched = http::send(|client| {
            let request = client.request(Method::PATCH, server.url(&location));
            request.bearer_auth(&token).body(Body::wrap_stream(body))
        });
        (patched, has_ended.load(Ordering::SeqCst))
    });
    assert!(sent, "the token ended before the upload did");
    assert_eq!(patched.status, 202, "{}", patched.text());
    let range = patched.header("range").to_owned();
    let last: usize = range.trim_start_matches("0-").parse().expect("it is a range");
    let blob = PIECE.repeat((last + 1) / PIECE.len());
    assert_eq!(blob.len(), last + 1, "whole pieces came");

    // The next request is another one: its client gets a new token by the challenge.
    let path = format!("{}?digest={}", patched.header("location"), sha256(&blob));
    let refused = send(&server, Method::PUT, &path, &early, Vec::new());
    assert_refused(&refused, 401, "UNAUTHORIZED");
    let challenge = refused.header("www-authenticate").to_owned();
    assert!(challenge.contains("error=\"invalid_token\""), "{challenge}");
    assert!(challenge.contains(SCOPE), "{challenge}");
    let renewed = token_of(&server, &user("will"), &[SCOPE]).json();
    let renewed = Sender::Bearer(renewed["token"].as_str().expect("it is a text").to_owned());
    let ended = send(&server, Method::PUT, &path, &renewed, Vec::new());
    assert_eq!(ended.status, 201, "{}", ended.text());
}
