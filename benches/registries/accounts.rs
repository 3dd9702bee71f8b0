//! What accounts cost: the same registry with them and without, and what only one with accounts does.

use std::cell::RefCell;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::json;
use tempfile::TempDir;

use crate::common::{http, require, succeed};
use crate::content::{Content, EMPTY, digest, image, image_of};
use crate::many;
use crate::pulls::{requests_per_second, value};
use crate::subject::Subject;
use crate::table::Row;
use crate::{Arguments, MB, counted, rounds, rows, timed};

const PASSWORD: &str = "correct horse battery";

/// The user with few repositories, the name of whose namespace it is.
const FEW: &str = "few";

/// How many repositories there are, of which `--percent` are made, and how many of them a user has.
const REPOSITORIES: usize = 100_000;
const OWN: usize = 100;

const PULLED: &str = "bench/pull";
const PUSHED: &str = "bench/push";

/// How many pull a blob at the same time.
const CLIENTS: [usize; 2] = [1, 8];

const LAYERS: usize = 10;

/// How many times a catalog page is read in a round.
const READS: usize = 40;

/// How long tokens are requested, each time.
const SECONDS: usize = 5;

type Phase = fn(&Arguments, &[&Subject]) -> Vec<Row>;

pub(crate) fn measure(arguments: &Arguments) -> Vec<Row> {
    let settings = [
        ("ROADSTEAD_AUTH__METHOD", "accounts"),
        ("ROADSTEAD_AUTH__ACCOUNTS__ADMIN_PASSWORD", PASSWORD),
        // One token for the whole run.
        ("ROADSTEAD_AUTH__TOKEN_LIFETIME", "24h"),
    ];
    let settings = settings.map(|(name, value)| (name, value.to_owned())).to_vec();
    let mut ours = Subject::roadstead_with(&arguments.folder, Arc::new(Mutex::new(settings)));
    "with accounts".clone_into(&mut ours.name);
    let mut open = Subject::roadstead(&arguments.folder);
    "open".clone_into(&mut open.name);
    let scopes: Vec<String> =
        [PULLED, PUSHED].map(|name| format!("repository:{name}:pull,push")).to_vec();
    ours.bearer = Some(token(&ours, "admin", &scopes));
    let subjects = [&ours, &open];

    let mut found = Vec::new();
    let phases: [(&str, Phase); 5] = [
        ("manifest", manifests),
        ("pull", blobs),
        ("push", pushes),
        ("token", tokens),
        ("catalog", catalog),
    ];
    for (name, phase) in phases {
        if name.contains(&arguments.only) {
            found.extend(phase(arguments, &subjects));
        }
    }
    found
}

/// Fetches a token by a password.
fn token(subject: &Subject, user: &str, scopes: &[String]) -> String {
    let scopes: Vec<_> = scopes.iter().map(|scope| ("scope", scope)).collect();
    let answer = http::send(|client| {
        let request = client.get(subject.url("/v2/token")).query(&scopes);
        request.basic_auth(user, Some(PASSWORD))
    });
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["token"].as_str().expect("it is a text").to_owned()
}

/// A manifest by its tag, over 64 connections.
fn manifests(arguments: &Arguments, subjects: &[&Subject]) -> Vec<Row> {
    if require("wrk").is_none() {
        return Vec::new();
    }
    let layer = Content::new(MB);
    let manifest = image(&layer.digest, layer.bytes.len());
    for subject in subjects {
        let mut client = subject.client();
        client.push(PULLED, &layer.digest, &layer.bytes);
        client.push(PULLED, &digest(EMPTY), EMPTY);
        client.push_manifest(PULLED, "v1", manifest.as_bytes());
    }
    let target = format!("/v2/{PULLED}/manifests/v1");
    let mut slowest = Vec::new();
    let figures = rounds(
        arguments.rounds,
        subjects,
        || (),
        |subject| {
            let found = requests_per_second(&subject.url(&target), subject.bearer.as_deref());
            let (requests, late) = found.expect("wrk was there a moment ago");
            slowest.push((subject.name.clone(), late));
            requests
        },
    );
    let work = "manifest GET by tag, 64 connections";
    let mut found = rows(work, &[("open", "≥ 0.9")], "requests/s", subjects, &figures);
    found.extend(rows("the same, p99", &[], "ms", subjects, &counted(subjects, &slowest)));
    found
}

/// A blob that the page cache has.
fn blobs(arguments: &Arguments, subjects: &[&Subject]) -> Vec<Row> {
    let blob = Content::new(arguments.size * MB);
    let target = format!("/v2/{PULLED}/blobs/{}", blob.digest);
    for subject in subjects {
        subject.client().push(PULLED, &blob.digest, &blob.bytes);
    }
    let mut found = Vec::new();
    for clients in CLIENTS {
        let pull = |subject: &Subject| {
            let seconds = timed(|| {
                thread::scope(|scope| {
                    for _ in 0..clients {
                        scope.spawn(|| subject.client().get(&target));
                    }
                });
            });
            #[expect(clippy::cast_precision_loss, reason = "a figure of three digits")]
            let megabytes = (arguments.size * clients) as f64;
            megabytes / seconds
        };
        let figures = rounds(arguments.rounds, subjects, || (), pull);
        let work = format!("blob GET ×{clients}");
        found.extend(rows(&work, &[("open", "≥ 0.97")], "MB/s", subjects, &figures));
    }
    found
}

/// One push of an image whose layers are all new.
fn pushes(arguments: &Arguments, subjects: &[&Subject]) -> Vec<Row> {
    let layers: Vec<_> = (0..LAYERS).map(|_| RefCell::new(Content::new(MB))).collect();
    let renew = || layers.iter().for_each(|layer| layer.borrow_mut().renew());
    let figures = rounds(arguments.rounds, subjects, renew, |subject| {
        rustix::fs::sync();
        let mut client = subject.client();
        timed(|| {
            for layer in &layers {
                let layer = layer.borrow();
                client.push(PUSHED, &layer.digest, &layer.bytes);
            }
            client.push(PUSHED, &digest(EMPTY), EMPTY);
            let layers = layers.iter().map(RefCell::borrow);
            let layers: Vec<_> = layers.map(|it| (it.digest.clone(), it.bytes.len())).collect();
            client.push_manifest(PUSHED, "v1", image_of(&layers).as_bytes());
        }) * 1e3
    });
    let work = format!("one push of {LAYERS} layers of 1 MB");
    rows(&work, &[("open", "≤ 1.1")], "ms", subjects, &figures)
}

/// Tokens by a form with a password that was checked before.
fn tokens(arguments: &Arguments, subjects: &[&Subject]) -> Vec<Row> {
    let Some(wrk) = require("wrk") else { return Vec::new() };
    let ours = subjects[0];
    token(ours, "admin", &[]);
    let folder = TempDir::new_in(&arguments.folder).expect("a folder can be made");
    let script = folder.path().join("token.lua");
    let form = format!(
        "grant_type=password&service=roadstead&client_id=bench&username=admin&password={}\
         &scope=repository:{PULLED}:pull",
        PASSWORD.replace(' ', "+")
    );
    let text = format!(
        "wrk.method = 'POST'\nwrk.body = '{form}'\n\
         wrk.headers['Content-Type'] = 'application/x-www-form-urlencoded'\n"
    );
    std::fs::write(&script, text).expect("the folder is ours");
    let figures = rounds(
        arguments.rounds,
        &[ours],
        || (),
        |subject| {
            let mut command = Command::new(&wrk);
            command.args(["-t2", "-c64", &format!("-d{SECONDS}s"), "-s"]).arg(&script);
            let output = succeed(command.arg(subject.url("/v2/token")));
            assert!(!output.contains("Non-2xx"), "{output}");
            value(&output, "Requests/sec:").parse().expect("wrk says a number")
        },
    );
    let goals = [(ours.name.as_str(), "≥ 2000")];
    rows("POST /v2/token, 64 connections", &goals, "requests/s", &[ours], &figures)
}

/// A page of the catalog of a user who may see few of many repositories.
fn catalog(arguments: &Arguments, subjects: &[&Subject]) -> Vec<Row> {
    let ours = subjects[0];
    let query = "mutation($name: String!, $password: String!) {
        addUser(name: $name, password: $password) { name } }";
    let body = json!({ "query": query, "variables": { "name": FEW, "password": PASSWORD } });
    let added = http::send(|client| {
        let request = client.post(ours.url("/graphql")).json(&body);
        request.basic_auth("admin", Some(PASSWORD))
    });
    assert!(!added.text().contains("errors"), "{}", added.text());
    let count = (REPOSITORIES * arguments.percent / 100).max(2 * OWN);
    many::push(ours, count, |client, number| {
        let repository = match number {
            0..OWN => format!("{FEW}/app-{number}"),
            _ => format!("team-{}/app-{number}", number % 100),
        };
        // Its own token is for other repositories; a password is for all.
        client.authorization = Some(basic("admin"));
        many::push_image(client, &repository, "v1");
    });
    let scope = ["registry:catalog:*".to_owned()];
    let bearer = format!("Bearer {}", token(ours, FEW, &scope));
    let mut client = ours.client();
    client.authorization = Some(bearer);
    let mut found = Vec::new();
    for target in ["/v2/_catalog?n=100".to_owned(), format!("/v2/_catalog?n=50&last={FEW}/app-55")]
    {
        let figures = rounds(
            arguments.rounds,
            &[ours],
            || (),
            |_| {
                let times = (0..READS).map(|_| timed(|| assert!(client.get(&target) > 0)) * 1e3);
                crate::table::Figures::new(times.collect()).median()
            },
        );
        let work = format!("GET {target} by a user with {OWN} of {count} repositories");
        let goals = [(ours.name.as_str(), "≤ 10")];
        found.extend(rows(&work, &goals, "ms", &[ours], &figures));
    }
    found
}

fn basic(user: &str) -> String {
    use base64::Engine;

    let text = base64::prelude::BASE64_STANDARD.encode(format!("{user}:{PASSWORD}"));
    format!("Basic {text}")
}
