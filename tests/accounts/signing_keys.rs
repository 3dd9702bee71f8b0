//! The keys that tokens are signed with change while the registry runs, and what has ended is removed.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use reqwest::Method;
use roadstead::auth::accounts::AccessToken;
use roadstead::auth::signed::{Algorithm, SigningKey, generate};
use roadstead::index::{Actor, Index, NewAccessToken, NewSigningKey};
use secrecy::ExposeSecret;
use serde_json::Value;
use tempfile::TempDir;

use super::team::{Sender, configure, edit_at, fill, send, token_of, user};
use crate::common::http;
use crate::common::{Postgres, Server};

const DAY: i64 = 24 * 60 * 60 * 1000;

/// How long it may take until the next key signs.
const SWITCHED: Duration = Duration::from_mins(1);

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later");
    i64::try_from(since.as_millis()).expect("it is not that late")
}

fn new_key(algorithm: Algorithm) -> NewSigningKey {
    let private_key = generate(algorithm).expect("one can be made");
    let pair = SigningKey::from_pkcs8(algorithm, private_key.expose_secret());
    let kid = pair.expect("it was just made").id().to_owned();
    NewSigningKey { kid, algorithm: algorithm.to_string(), private_key }
}

/// The ids of the keys that a server publishes.
fn published(server: &Server) -> Vec<String> {
    let keys = http::get(&server.url("/.well-known/jwks.json")).json();
    let keys = keys["keys"].as_array().expect("it is a list").iter();
    let mut ids: Vec<_> =
        keys.map(|key| key["kid"].as_str().unwrap_or_default().to_owned()).collect();
    ids.sort();
    ids
}

/// A token of a server, and the id of its key.
fn token(server: &Server) -> (Sender, String) {
    let answer = token_of(server, &user("anna"), &["repository:team/open:pull"]).json();
    let text = answer["token"].as_str().expect("it is a text").to_owned();
    let header = text.split('.').next().expect("it has three parts");
    let header = BASE64_URL_SAFE_NO_PAD.decode(header).expect("it is base64");
    let header: Value = serde_json::from_slice(&header).expect("it is JSON");
    let kid = header["kid"].as_str().expect("it names its key").to_owned();
    (Sender::Bearer(text), kid)
}

fn is_taken(server: &Server, token: &Sender) -> bool {
    send(server, Method::GET, "/v2/", token, Vec::new()).status == 200
}

/// Waits until something is so.
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < SWITCHED, "{what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

async fn add_token(index: &Index, owner: i64, expires: Option<i64>) -> String {
    let token = AccessToken::generate();
    let hash = token.hash();
    let new = NewAccessToken {
        id: token.id().as_str(),
        principal: owner,
        hash: hash.as_bytes(),
        name: "laptop",
        scopes: "team/**:pull",
        maker: owner,
        expires,
    };
    let added = index.add_access_token(&new, &Actor::default(), now()).await;
    let _ = added.expect("it can be added");
    token.id().to_string()
}

/// Servers over an index at a URL, all of the same settings.
struct Home {
    url: String,
    start: Box<dyn Fn() -> Server>,
    count: usize,
    _folder: Option<TempDir>,
    _postgres: Option<Postgres>,
}

impl Home {
    /// One server with an index of its own.
    fn embedded() -> Self {
        let folder = TempDir::new().expect("a temporary folder can be made");
        let data = folder.path().join("data");
        std::fs::create_dir(&data).expect("the folder is ours");
        let url = format!("sqlite:{}", data.join("index.sqlite").display());
        let start = Box::new(move || Server::start_on_with(&data, configure));
        Self { url, start, count: 1, _folder: Some(folder), _postgres: None }
    }

    /// Two servers on one Postgres.
    fn shared() -> Option<Self> {
        let postgres = Postgres::start(&[])?;
        let url = postgres.url();
        let own = url.clone();
        let start = Box::new(move || {
            let url = own.clone();
            Server::start_with(move |command| {
                configure(command);
                command.env("ROADSTEAD_INDEX__URL", &url);
            })
        });
        Some(Self { url, start, count: 2, _folder: None, _postgres: Some(postgres) })
    }

    fn start(&self) -> Vec<Server> {
        (0..self.count).map(|_| (self.start)()).collect()
    }
}

fn old_keys_are_replaced(home: &Home) {
    let keys = [(); 3].map(|()| new_key(Algorithm::EdDsa));
    let [gone, retired, old] = &keys;
    let other = new_key(Algorithm::Es256);
    let tokens = edit_at(&home.url, async |index| {
        let will = fill(index).await.will;
        let actor = Actor::default();
        let at = |days: i64| now() - days * DAY;
        let add = async |key, days| {
            index.ensure_signing_key(key, &actor, at(days)).await.expect("it can be added");
        };
        let rotate = async |before: &NewSigningKey, key, from, days| {
            let added =
                index.rotate_signing_key(&before.kid, key, at(from), &actor, at(days)).await;
            added.expect("it can be added");
        };
        add(gone, 300).await;
        rotate(gone, retired, 200, 201).await;
        rotate(retired, old, 50, 91).await;
        add(&other, 181).await;
        let mut tokens = Vec::new();
        for expires in [Some(at(31)), Some(at(29)), None] {
            tokens.push(add_token(index, will, expires).await);
        }
        tokens
    });
    let servers = home.start();
    let stay = [retired, old, &other].map(|key| key.kid.clone());
    for server in &servers {
        until("the next key is not published, or the first one still is", || {
            let found = published(server);
            found.len() == 4 && stay.iter().all(|kid| found.contains(kid))
        });
    }
    assert_eq!(published(&servers[0]), published(servers.last().expect("there is one")));
    for server in &servers {
        let (token, kid) = token(server);
        assert_eq!(kid, old.kid, "the next one does not sign yet");
        assert!(servers.iter().all(|server| is_taken(server, &token)));
    }
    drop(servers);
    let (found, listed) = edit_at(&home.url, async |index| {
        let keys = index.signing_keys().await.expect("they are there");
        let mut listed = Vec::new();
        for token in &tokens {
            listed.push(index.access_token(token).await.expect("it can be read").is_some());
        }
        (keys, listed)
    });
    assert_eq!(listed, [false, true, true], "those that have ended long ago");
    let of = |kid: &str| found.iter().find(|key| key.key.kid == kid).and_then(|key| key.retired);
    assert!(of(&old.kid).is_some_and(|retired| retired > now()), "it still signs");
    assert!(of(&other.kid).is_some_and(|retired| retired <= now()), "nothing signs by it");
}

fn the_next_key_is_known_before_it_signs(home: &Home) {
    edit_at(&home.url, async |index| {
        fill(index).await;
    });
    let mut servers = home.start();
    let (first, old) = token(&servers[0]);
    // SQLite belongs to one process at a time.
    if home.count == 1 {
        servers.clear();
    }
    let next = new_key(Algorithm::EdDsa);
    edit_at(&home.url, async |index| {
        let (now, actor) = (now(), Actor::default());
        let added = index.rotate_signing_key(&old, &next, now + 5000, &actor, now).await;
        added.expect("it can be added");
    });
    if home.count == 1 {
        servers = home.start();
    }
    let mut both = [old.clone(), next.kid.clone()];
    both.sort();
    for server in &servers {
        assert_eq!(published(server), both, "also before it signs");
    }
    for server in &servers {
        until("the next key does not sign", || {
            let (fresh, kid) = token(server);
            assert!(kid == old || kid == next.kid);
            assert!(servers.iter().all(|server| is_taken(server, &fresh)), "{kid}");
            kid == next.kid
        });
    }
    assert!(servers.iter().all(|server| is_taken(server, &first)), "its key only verifies by now");
    if home.count == 1 {
        servers.clear();
    }
    edit_at(&home.url, async |index| {
        let removed = index.remove_retired_keys(i64::MAX, &Actor::default(), now()).await;
        assert_eq!(removed.expect("it can be removed"), 1);
    });
    if home.count == 1 {
        servers = home.start();
    }
    for server in &servers {
        assert!(!is_taken(server, &first));
        assert_eq!(published(server), std::slice::from_ref(&next.kid));
    }
}

#[test]
fn old_keys_are_replaced_on_sqlite() {
    old_keys_are_replaced(&Home::embedded());
}

#[test]
fn old_keys_are_replaced_once_by_two_processes() {
    let Some(home) = Home::shared() else { return };
    old_keys_are_replaced(&home);
}

#[test]
fn the_next_key_is_known_before_it_signs_on_sqlite() {
    the_next_key_is_known_before_it_signs(&Home::embedded());
}

#[test]
fn the_next_key_is_known_to_all_processes_before_it_signs() {
    let Some(home) = Home::shared() else { return };
    the_next_key_is_known_before_it_signs(&home);
}
