//! What is noted of those who are refused, and the log lines of what they do.

use reqwest::Method;
use serde_json::{Value, json};

use super::management::{refused, run};
use super::team::{Sender, Team, user};
use crate::common::repository::wait;

/// Reads the events of a kind: user, repository and detail.
fn events(team: &Team, kind: &str) -> Vec<[Option<String>; 3]> {
    let query = "{ audit(first: 200) { items { kind user repository detail address } } }";
    let answer = run(team, &user("root"), query);
    let events = answer["audit"]["items"].as_array().expect("it is a list").iter();
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let of_kind = events.filter(|event| event["kind"] == kind);
    let shown = of_kind.map(|event| {
        assert_eq!(event["address"], "127.0.0.1", "{event}");
        ["user", "repository", "detail"].map(|field| text(&event[field]))
    });
    shown.collect()
}

fn texts(texts: [&str; 3]) -> [Option<String>; 3] {
    texts.map(|text| (!text.is_empty()).then(|| text.to_owned()))
}

#[test]
fn failed_sign_ins_are_events_without_what_was_typed() {
    let team = Team::start();
    let basic = |name: &str, password: &str| Sender::Basic(name.to_owned(), password.to_owned());
    for sender in [
        basic("anna", "hunter2hunter2"),
        basic("anna", "hunter2hunter3"),
        basic("hunter2", "hunter2hunter2"),
        basic("my long secret password", ""),
    ] {
        assert_eq!(team.token(&sender, &[]).status, 401);
    }
    // Neither a challenge nor a sign-in is one.
    assert_eq!(team.get("/v2/", &Sender::Nobody).status, 401);
    assert_eq!(team.token(&user("anna"), &[]).status, 200);
    assert_eq!(team.get("/v2/team/open/tags/list", &Sender::Bearer("bad".to_owned())).status, 401);
    let mut found = events(&team, "sign_in_failed");
    found.sort();
    let expected = [
        texts(["", "", "unknown user"]),
        texts(["", "", "unknown user"]),
        texts(["anna", "", "2 times"]),
    ];
    assert_eq!(found, expected);
    assert_eq!(events(&team, "sign_in_failed").len(), 3, "each once");
}

#[test]
fn refused_rights_are_events_once() {
    let team = Team::start();
    for name in ["team/secret", "team/open"] {
        assert_eq!(team.push(name, &user("anna")), [201, 201], "{name}");
    }
    let carl = team.bearer(&user("carl"), &["repository:team/secret:pull"]);
    for _ in 0..2 {
        assert_eq!(team.get("/v2/team/secret/manifests/v1", &carl).status, 401);
    }
    let rita = team.bearer(&user("rita"), &["repository:team/open:pull,push"]);
    assert_eq!(team.push("team/open", &rita), [403, 403]);
    // Of a token that is too narrow the client gets another one, and what is absent is refused to nobody who may create it.
    let narrow = team.bearer(&user("anna"), &["repository:team/open:pull"]);
    assert_eq!(team.push("team/open", &narrow), [401, 401]);
    assert_eq!(team.get("/v2/team/absent/manifests/v1", &user("anna")).status, 404);
    assert_eq!(team.get("/v2/team/secret/manifests/v1", &Sender::Nobody).status, 401);
    // A mount that is refused becomes an upload.
    let path = format!(
        "/v2/carl/app/blobs/uploads/?mount={}&from=team/secret",
        crate::common::content::sha256(b"config")
    );
    assert_eq!(team.send(Method::POST, &path, &user("carl"), Vec::new()).status, 202);
    let add = "mutation { addUser(name: \"dora\") { name } }";
    // By the name of the field, whatever it is called in the answer, and each once.
    let aliased = "mutation { users: addUser(name: \"dora\") { name } }";
    for request in [add, aliased] {
        assert_eq!(refused(&team, &user("carl"), request), "DENIED");
    }
    let fragment = "query Q { ...F } fragment F on Query { viewer: users { next } }";
    assert_eq!(refused(&team, &user("carl"), fragment), "DENIED");
    let remove = "mutation { removeRepository(name: \"team/open\") }";
    assert_eq!(refused(&team, &user("carl"), remove), "DENIED");
    assert_eq!(team.get("/metrics", &user("carl")).status, 403);
    let mut found = events(&team, "refused");
    found.sort();
    let expected = [
        texts(["carl", "", "addUser, 2 times"]),
        texts(["carl", "", "metrics"]),
        texts(["carl", "", "users"]),
        texts(["carl", "team/open", "remove"]),
        texts(["carl", "team/secret", "pull, 2 times"]),
        texts(["rita", "team/open", "push, 2 times"]),
    ];
    assert_eq!(found, expected);
}

#[test]
fn what_was_refused_outlasts_a_stop() {
    let mut team = Team::start();
    let wrong = Sender::Basic("anna".to_owned(), "wrong".to_owned());
    assert_eq!(team.token(&wrong, &[]).status, 401);
    team.server.stop();
    team.server.start_again();
    assert_eq!(events(&team, "sign_in_failed"), [texts(["anna", "", ""])]);
}

#[test]
fn each_line_of_the_log_names_its_event() {
    let team = Team::start();
    let scopes = ["repository:team/secret:pull,push,delete"];
    let anna = team.bearer(&user("anna"), &scopes);
    assert_eq!(team.push("team/secret", &anna), [201, 201]);
    let manifest = team.get("/v2/team/secret/manifests/v1", &anna);
    assert_eq!(manifest.status, 200);
    let blob = format!("/v2/team/secret/blobs/{}", crate::common::content::sha256(b"config"));
    assert_eq!(team.get(&blob, &anna).status, 200);
    let deleted = team.send(Method::DELETE, "/v2/team/secret/manifests/v1", &anna, Vec::new());
    assert_eq!(deleted.status, 202);
    let size = manifest.body.len();
    let expected = [
        ("sign_in", json!(null), json!(null)),
        ("blob_upload", json!("team/secret"), json!(6)),
        ("manifest_push", json!("team/secret"), json!(size)),
        ("pull", json!("team/secret"), json!(size)),
        ("pull", json!("team/secret"), json!(6)),
        ("delete", json!("team/secret"), json!(0)),
    ];
    let lines = || -> Vec<Value> {
        let log = team.server.log();
        let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.filter(|line| line["user"] == "anna" && line["duration_ms"].is_u64()).collect()
    };
    wait(|| lines().len() >= expected.len(), "the requests are not in the log");
    for (line, (event, repository, size)) in lines().iter().zip(expected) {
        assert_eq!((&line["event"], &line["repository"]), (&json!(event), &repository), "{line}");
        assert_eq!(line["service"], "roadstead", "{line}");
        if !size.is_null() {
            assert_eq!(line["size"], size, "{line}");
        }
        // Also of what is private, which clients are not told.
        let has_cid = ["blob_upload", "manifest_push", "pull"].contains(&event);
        let cid = line["ipfs_cid"].as_str().unwrap_or_default();
        assert_eq!(cid.starts_with("baf"), has_cid, "{line}");
    }
}

#[test]
fn an_access_token_in_the_wrong_field_is_not_in_the_log() {
    let team = Team::start();
    let swapped = Sender::Basic(team.secrets.of_anna.clone(), "anna".to_owned());
    assert_eq!(team.get("/v2/team/open/tags/list", &swapped).status, 401);
    assert_eq!(team.token(&swapped, &[]).status, 401);
    let lines = || team.server.log().matches("rds_...").count();
    // For each of both the refusal, and the line of the request.
    wait(|| lines() >= 4, "what was sent as the user is not in the log");
    let secret = team.secrets.of_anna.trim_start_matches("rds_");
    let (id, secret) = secret.split_once('_').expect("it has an id and a secret");
    for part in [id, secret] {
        assert!(!team.server.log().contains(part), "{}", team.server.log());
    }
    assert_eq!(events(&team, "sign_in_failed"), [texts(["", "", "unknown user, 2 times"])]);
}
