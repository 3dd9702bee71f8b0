//! Quotas: what a namespace may have at most, as clients meet it.

use std::thread;
use std::time::Duration;

use reqwest::Method;
use roadstead::index::{Actor, Changed, Holder, NewGrant};
use serde_json::{Value, json};

use super::team::{NOW, PASSWORD, Sender, Team, configure, edit_at, fill, send, token_of, user};
use crate::common::connection::{Connection, ask};
use crate::common::content::{image, noise, sha256};
use crate::common::http::{self, Response};
use crate::common::repository::wait;
use crate::common::sqlite::execute;
use crate::common::{Postgres, Replicas, Server, run, succeed};

/// Carries out a request of the management API for the administrator, and returns its data.
fn manage(server: &Server, query: &str) -> Value {
    let answer = http::send(|client| {
        let request = client.post(server.url("/graphql")).json(&json!({ "query": query }));
        request.basic_auth("root", Some(PASSWORD))
    });
    let mut answer = answer.json();
    assert!(answer.get("errors").is_none(), "{query}: {answer}");
    answer["data"].take()
}

/// Limits a namespace; the limits are the arguments of the mutation.
fn limit(server: &Server, namespace: &str, limits: &str) {
    let query =
        format!("mutation {{ setQuota(namespace: \"{namespace}\", {limits}) {{ namespace }} }}");
    manage(server, &query);
}

/// What the list of quotas says of the first namespace.
fn quota(server: &Server) -> Value {
    let fields = "usedBytes usedUnreferenced usedRepositories usedTags";
    manage(server, &format!("{{ quotas {{ items {{ namespace {fields} }} }} }}"))["quotas"]["items"]
        [0]
    .take()
}

/// An image whose config and layer are its own, of so many bytes in all.
struct Image {
    config: Vec<u8>,
    layer: Vec<u8>,
    manifest: Vec<u8>,
}

impl Image {
    fn new(seed: u64, layer: usize) -> Self {
        let (config, layer) = (noise(100, seed), noise(layer, seed + 1_000_000));
        let manifest = image(&config, &[&layer]).to_string().into_bytes();
        Self { config, layer, manifest }
    }

    fn size(&self) -> usize {
        self.config.len() + self.layer.len() + self.manifest.len()
    }

    /// Pushes it, and returns the first answer that is none of success, or the last one.
    fn push(&self, server: &Server, name: &str, tag: &str, sender: &Sender) -> Response {
        for blob in [&self.config, &self.layer] {
            let answer = push_blob(server, name, blob, sender);
            if answer.status != 201 {
                return answer;
            }
        }
        let path = format!("/v2/{name}/manifests/{tag}");
        send(server, Method::PUT, &path, sender, self.manifest.clone())
    }
}

fn push_blob(server: &Server, name: &str, blob: &[u8], sender: &Sender) -> Response {
    let path = format!("/v2/{name}/blobs/uploads/?digest={}", sha256(blob));
    send(server, Method::POST, &path, sender, blob.to_vec())
}

/// Expects that a quota refused it, and returns what the answer says of that.
fn refusal(answer: &Response) -> Value {
    assert_eq!(answer.status, 403, "{}", answer.text());
    let error = answer.json()["errors"][0].take();
    assert_eq!(error["code"], "DENIED", "{error}");
    error["detail"].clone()
}

#[test]
fn a_push_beyond_the_quota_is_refused_with_what_is_used_and_allowed() {
    let team = Team::start();
    let anna = team.bearer(&user("anna"), &["repository:team/secret:*", "repository:team/open:*"]);
    let (first, second) = (Image::new(1, 1000), Image::new(2, 1000));
    let size = first.size();
    limit(&team.server, "team", &format!("bytes: {}", size + 900));
    assert_eq!(first.push(&team.server, "team/secret", "v1", &anna).status, 201);
    assert_eq!(quota(&team.server)["usedBytes"], size);

    // Its length is known before its bytes come.
    let detail = refusal(&push_blob(&team.server, "team/open", &noise(1000, 77), &anna));
    let expected =
        json!({ "namespace": "team", "quota": "bytes", "used": size, "allowed": size + 900 });
    assert_eq!(detail, expected);
    assert_eq!(quota(&team.server)["usedUnreferenced"], 0, "nothing of it was stored");

    // Parts that fit, one by one.
    let parts: Vec<Vec<u8>> = (0..4).map(|seed| noise(size / 4, 50 + seed)).collect();
    for part in &parts {
        assert_eq!(push_blob(&team.server, "team/open", part, &anna).status, 201);
    }
    let [config, layers @ ..] = &parts[..] else { unreachable!("there are four") };
    let layers: Vec<&[u8]> = layers.iter().map(Vec::as_slice).collect();
    let manifest = image(config, &layers).to_string().into_bytes();
    let put = |tag: &str| {
        let path = format!("/v2/team/open/manifests/{tag}");
        team.send(Method::PUT, &path, &anna, manifest.clone())
    };
    assert_eq!(refusal(&put("v1")), expected, "the manifest names too much");
    assert_eq!(team.get("/v2/team/open/manifests/v1", &anna).status, 404);

    // The same image in another repository of the namespace is no more of it.
    assert_eq!(first.push(&team.server, "team/open", "again", &anna).status, 201);
    let used = quota(&team.server);
    assert_eq!((&used["usedBytes"], &used["usedRepositories"]), (&json!(size), &json!(2)));

    // What is deleted makes way at once.
    for name in ["team/secret", "team/open"] {
        let path = format!("/v2/{name}/manifests/{}", sha256(&first.manifest));
        let deleter = team.bearer(&user("anna"), &[&format!("repository:{name}:*")]);
        assert_eq!(team.send(Method::DELETE, &path, &deleter, Vec::new()).status, 202);
    }
    let used = quota(&team.server);
    assert_eq!((&used["usedBytes"], &used["usedRepositories"]), (&json!(0), &json!(0)));
    assert_eq!(put("v1").status, 201);
    assert_eq!(second.push(&team.server, "anna/app", "v1", &user("anna")).status, 201, "elsewhere");

    manage(&team.server, "mutation { removeQuota(namespace: \"team\") }");
    assert_eq!(second.push(&team.server, "team/open", "v2", &anna).status, 201);
}

#[test]
fn bytes_of_no_announced_length_are_refused_where_they_are_too_many() {
    let team = Team::start();
    limit(&team.server, "team", "bytes: 5000");
    let anna = team.bearer(&user("anna"), &["repository:team/open:pull,push"]);
    let Sender::Bearer(token) = &anna else { unreachable!("it is one") };
    let begun = team.send(Method::POST, "/v2/team/open/blobs/uploads/", &anna, Vec::new());
    assert_eq!(begun.status, 202);
    let location = begun.header("location").to_owned();
    let path = location.trim_start_matches(&team.server.url("")).to_owned();
    let bearer = format!("Bearer {token}");
    // With a length that is refused before any byte was sent.
    let headers = [("Authorization", bearer.as_str()), ("Content-Length", "5001")];
    let answer = ask(&team.server, "PATCH", &path, &headers);
    assert_eq!((answer.status, answer.code().as_str()), (403, "DENIED"), "{}", answer.text());
    // Absurd ones are too many as well, and take nothing.
    for length in ["9223372036854775807", "18446744073709551615"] {
        let headers = [("Authorization", bearer.as_str()), ("Content-Length", length)];
        let answer = ask(&team.server, "PATCH", &path, &headers);
        assert!([400, 403, 413].contains(&answer.status), "{length}: {}", answer.text());
    }
    assert_eq!(quota(&team.server)["usedUnreferenced"], 0);

    let mut connection = Connection::open(&team.server);
    connection.ask(
        "PATCH",
        &path,
        &[("Authorization", bearer.as_str()), ("Transfer-Encoding", "chunked")],
    );
    connection.send(format!("{:x}\r\n", 6000));
    connection.send(noise(6000, 5));
    let answer = connection.answer();
    assert_eq!((answer.status, answer.code().as_str()), (403, "DENIED"), "{}", answer.text());
    drop(connection);
    assert_eq!(quota(&team.server)["usedUnreferenced"], 0);
    // It keeps nothing that others could store.
    wait(
        || push_blob(&team.server, "team/open", &noise(4900, 6), &anna).status == 201,
        "what was refused takes space",
    );
}

#[test]
fn bytes_that_are_said_to_be_a_blob_which_is_there_count_if_they_do_not_become_it() {
    let team = Team::start();
    let root = user("root");
    let image = Image::new(1, 1000);
    assert_eq!(image.push(&team.server, "team/open", "v1", &root).status, 201);
    limit(&team.server, "team", "unreferenced: 2000");
    let anna = team.bearer(&user("anna"), &["repository:team/open:pull,push"]);
    let Sender::Bearer(token) = &anna else { unreachable!("it is one") };
    let bearer = format!("Bearer {token}");
    let begun = team.send(Method::POST, "/v2/team/open/blobs/uploads/", &anna, Vec::new());
    let location = begun.header("location").to_owned();
    let path = location.trim_start_matches(&team.server.url("")).to_owned();
    let sign = if path.contains('?') { '&' } else { '?' };
    let end = format!("{path}{sign}digest={}", sha256(&image.layer));
    let mut connection = Connection::open(&team.server);
    let headers = [("Authorization", bearer.as_str()), ("Content-Length", "100000")];
    connection.ask("PUT", &end, &headers);
    connection.send(noise(50_000, 7));
    drop(connection);
    wait(
        || push_blob(&team.server, "team/open", &noise(1900, 8), &anna).status == 201,
        "what was cut takes space",
    );
}

#[test]
fn repositories_and_tags_are_limited_and_blobs_that_no_manifest_names() {
    let team = Team::start();
    let root = user("root");
    limit(&team.server, "team", "repositories: 1, tags: 2, unreferenced: 3000");
    let one = Image::new(1, 1000);
    for tag in ["v1", "v2", "v1"] {
        assert_eq!(one.push(&team.server, "team/open", tag, &root).status, 201, "{tag}");
    }
    let detail = refusal(&one.push(&team.server, "team/open", "v3", &root));
    assert_eq!(detail, json!({ "namespace": "team", "quota": "tags", "used": 2, "allowed": 2 }));
    // Before any byte of it comes.
    let begun = team.send(Method::POST, "/v2/team/new/blobs/uploads/", &root, Vec::new());
    assert_eq!(refusal(&begun)["quota"], "repositories");
    let delete = team.send(Method::DELETE, "/v2/team/open/manifests/v2", &root, Vec::new());
    assert_eq!(delete.status, 202);
    assert_eq!(one.push(&team.server, "team/open", "v3", &root).status, 201);

    for (seed, status) in [(1, 201), (2, 201), (3, 201), (4, 403), (1, 201)] {
        let answer = push_blob(&team.server, "team/open", &noise(1000, 500 + seed), &root);
        assert_eq!(answer.status, status, "{seed}: {}", answer.text());
    }
    let mount = format!("/v2/team/open/blobs/uploads/?mount={}", sha256(&one.layer));
    assert_eq!(team.send(Method::POST, &mount, &root, Vec::new()).status, 201, "it has that");
    assert_eq!(push_blob(&team.server, "other/app", b"elsewhere", &root).status, 201);
    let mount =
        format!("/v2/team/open/blobs/uploads/?mount={}&from=other/app", sha256(b"elsewhere"));
    let detail = refusal(&team.send(Method::POST, &mount, &root, Vec::new()));
    assert_eq!(detail["quota"], "unreferenced");
}

#[test]
fn uploads_under_way_count_and_what_is_refused_at_last_leaves_no_bytes() {
    let team = Team::start();
    limit(&team.server, "team", "unreferenced: 2500");
    let anna = team.bearer(&user("anna"), &["repository:team/open:pull,push"]);
    let begin = || {
        let begun = team.send(Method::POST, "/v2/team/open/blobs/uploads/", &anna, Vec::new());
        begun.header("location").to_owned()
    };
    let append = |location: &str, bytes: Vec<u8>| {
        let path = location.trim_start_matches(&team.server.url("")).to_owned();
        team.send(Method::PATCH, &path, &anna, bytes)
    };
    let first = append(&begin(), noise(2000, 1));
    assert_eq!(first.status, 202);
    assert_eq!(refusal(&append(&begin(), noise(1000, 2)))["quota"], "unreferenced");
    let path = first.header("location").trim_start_matches(&team.server.url("")).to_owned();
    assert_eq!(team.send(Method::DELETE, &path, &anna, Vec::new()).status, 204);

    let statuses: Vec<u16> = thread::scope(|scope| {
        let (team, anna) = (&team, &anna);
        let push = |seed: u64| {
            scope.spawn(move || {
                push_blob(&team.server, "team/open", &noise(1000, 100 + seed), anna).status
            })
        };
        let pushes: Vec<_> = (0..20).map(push).collect();
        pushes.into_iter().map(|push| push.join().expect("it comes to an end")).collect()
    });
    assert_eq!(statuses.iter().filter(|status| **status == 201).count(), 2, "{statuses:?}");
    assert!(statuses.iter().all(|status| [201, 403].contains(status)), "{statuses:?}");
    // Their bytes go in the background.
    let orphans = || {
        let report = succeed(&mut team.server.command(["check", "--json"]));
        serde_json::from_str::<Value>(&report).expect("it is JSON")["orphans"].take()
    };
    let are_gone = (0..300).any(|_| {
        thread::sleep(Duration::from_millis(200));
        orphans() == 0
    });
    assert!(are_gone);
    assert_eq!(quota(&team.server)["usedUnreferenced"], 2000);
}

/// Appends to twenty uploads at once, by all of these servers, in a namespace that has space for two of them.
fn append_at_the_edge(servers: &[Server], sender: impl Fn(&Server) -> Sender) {
    limit(&servers[0], "team", "unreferenced: 2500");
    let senders: Vec<Sender> = servers.iter().map(sender).collect();
    let begun: Vec<String> = (0..20)
        .map(|number| {
            let at = number % servers.len();
            let path = "/v2/team/one/blobs/uploads/";
            let begun = send(&servers[at], Method::POST, path, &senders[at], Vec::new());
            assert_eq!(begun.status, 202, "{}", begun.text());
            begun.header("location").trim_start_matches(&servers[at].url("")).to_owned()
        })
        .collect();
    let appended: Vec<Response> = thread::scope(|scope| {
        let appended: Vec<_> = begun
            .iter()
            .zip(servers.iter().zip(&senders).cycle())
            .enumerate()
            .map(|(number, (path, (server, sender)))| {
                let bytes = noise(1000, 700 + u64::try_from(number).expect("it is small"));
                scope.spawn(move || send(server, Method::PATCH, path, sender, bytes))
            })
            .collect();
        appended.into_iter().map(|it| it.join().expect("it comes to an end")).collect()
    });
    let saved = appended.iter().enumerate().filter(|(_, answer)| answer.status == 202);
    let saved: Vec<_> = saved.collect();
    assert_eq!(saved.len(), 2, "{appended:?}");
    for answer in appended.iter().filter(|answer| answer.status != 202) {
        assert_eq!(refusal(answer)["quota"], "unreferenced");
    }
    // They become blobs, and nothing else does.
    for (number, answer) in saved {
        let at = number % servers.len();
        let bytes = noise(1000, 700 + u64::try_from(number).expect("it is small"));
        let path = answer.header("location").trim_start_matches(&servers[at].url("")).to_owned();
        let sign = if path.contains('?') { '&' } else { '?' };
        let path = format!("{path}{sign}digest={}", sha256(&bytes));
        let ended = send(&servers[at], Method::PUT, &path, &senders[at], Vec::new());
        assert_eq!(ended.status, 201, "{}", ended.text());
    }
    assert_eq!(quota(&servers[0])["usedUnreferenced"], 2000);
    for server in servers {
        assert!(!server.log().contains("deadlock"), "{}", server.log());
    }
}

#[test]
fn twenty_uploads_at_once_save_no_more_than_the_quota() {
    let team = Team::start();
    let bearer = team.bearer(&user("anna"), &["repository:team/one:pull,push"]);
    append_at_the_edge(std::slice::from_ref(&team.server), |_| bearer.clone());
}

#[test]
fn a_digest_does_not_say_whether_a_hidden_repository_has_it() {
    let mut team = Team::start();
    team.edit(async |index, _| {
        let carl = index.principal("carl").await.expect("it can be read").expect("it is there");
        let holder = Holder::Principal(carl.principal.id);
        let grant = NewGrant { holder, role: "writer", pattern: "team/open", maker: None };
        let given = index.add_grant(&grant, &Actor::default(), NOW).await;
        assert_eq!(given.expect("it can be given"), Changed::Done);
    });
    let image = Image::new(1, 2000);
    assert_eq!(image.push(&team.server, "team/secret", "v1", &user("anna")).status, 201);
    let own = Image::new(2, 2000);
    assert_eq!(own.push(&team.server, "team/open", "v1", &user("carl")).status, 201);
    let used = image.size() + own.size();
    limit(&team.server, "team", &format!("bytes: {}", used + 100));
    let try_push = |sender: &Sender, digest: &str, length: usize| {
        let Sender::Basic(name, password) = sender else { unreachable!("it is one") };
        let url = team.server.url(&format!("/v2/team/open/blobs/uploads/?digest={digest}"));
        let body = noise(length, 99);
        let answer =
            http::send(|client| client.post(&url).basic_auth(name, Some(password)).body(body));
        (answer.status, answer.text())
    };
    // One says that it is the layer of the hidden image, and has not got it.
    let hidden = try_push(&user("carl"), &sha256(&image.layer), 2000);
    let absent = try_push(&user("carl"), &sha256(b"no repository has it"), 2000);
    assert_eq!(hidden, absent);
    assert_eq!(hidden.0, 403, "{}", hidden.1);
    // Of what one may see, each byte is taken once more.
    assert_eq!(try_push(&user("carl"), &sha256(&own.layer), 2000).0, 400);
    assert_eq!(try_push(&user("anna"), &sha256(&image.layer), 2000).0, 400);
    assert_eq!(image.push(&team.server, "team/open", "v2", &user("anna")).status, 201);
}

#[test]
fn a_rebuild_counts_anew_and_leaves_quotas_as_they_are() {
    let mut team = Team::start();
    limit(&team.server, "team", "bytes: 100000, tags: 3");
    let image = Image::new(1, 1000);
    for name in ["team/open", "team/secret"] {
        assert_eq!(image.push(&team.server, name, "v1", &user("anna")).status, 201, "{name}");
    }
    let before = quota(&team.server);
    assert_eq!((&before["usedBytes"], &before["usedTags"]), (&json!(image.size()), &json!(2)));
    team.server.stop();
    execute(
        &team.server.data().join("index.sqlite"),
        "UPDATE namespace_usage SET bytes = bytes + 7, tags = tags + 1",
    );
    let found = run(&mut team.server.command(["check"]));
    assert!(found.stdout.contains("namespace team"), "{found}");
    succeed(&mut team.server.command(["index", "rebuild"]));
    succeed(&mut team.server.command(["check"]));
    team.server.start_again();
    assert_eq!(quota(&team.server), before);
    for (tag, status) in [("v2", 201), ("v3", 403)] {
        let answer = image.push(&team.server, "team/open", tag, &user("anna"));
        assert_eq!(answer.status, status, "{tag}: {}", answer.text());
    }
}

#[test]
fn where_a_quota_cannot_be_read_nothing_is_stored() {
    let team = Team::start();
    limit(&team.server, "team", "bytes: 100000");
    let (first, second) = (Image::new(1, 1000), Image::new(2, 1000));
    let sender = user("anna");
    assert_eq!(first.push(&team.server, "team/open", "v1", &sender).status, 201);
    let file = team.server.data().join("index.sqlite");
    execute(&file, "ALTER TABLE quotas RENAME TO elsewhere");
    let blob = push_blob(&team.server, "team/open", &second.config, &sender);
    assert!(blob.status >= 500, "{}", blob.text());
    let again = "/v2/team/open/manifests/again";
    let manifest = team.send(Method::PUT, again, &sender, first.manifest.clone());
    assert!(manifest.status >= 500, "{}", manifest.text());
    execute(&file, "ALTER TABLE elsewhere RENAME TO quotas");
    assert_eq!(team.get(again, &sender).status, 404);
    assert_eq!(second.push(&team.server, "team/open", "v2", &sender).status, 201);
}

/// Pushes fifty images at once to a namespace that has space for ten, by all of these servers.
fn push_at_the_edge(servers: &[Server], sender: impl Fn(&Server) -> Sender) {
    let size = Image::new(0, 2000).size();
    limit(&servers[0], "team", &format!("bytes: {}, unreferenced: 10000000", 10 * size + size / 2));
    let senders: Vec<Sender> = servers.iter().map(sender).collect();
    let answers: Vec<Response> = thread::scope(|scope| {
        let push = |number: u64| {
            let at = usize::try_from(number).expect("it is small") % servers.len();
            let (server, sender) = (&servers[at], &senders[at]);
            let name = ["team/one", "team/two"][usize::from(number.is_multiple_of(5))];
            scope.spawn(move || {
                let image = Image::new(number, 2000);
                loop {
                    let answer = image.push(server, name, &format!("v{number}"), sender);
                    // A machine that is busy answers so, and clients come back.
                    if answer.status != 503 {
                        return answer;
                    }
                    thread::sleep(Duration::from_millis(500));
                }
            })
        };
        let pushes: Vec<_> = (0..50).map(push).collect();
        pushes.into_iter().map(|push| push.join().expect("it comes to an end")).collect()
    });
    let pushed = answers.iter().filter(|answer| answer.status == 201).count();
    for answer in answers.iter().filter(|answer| answer.status != 201) {
        assert_eq!(refusal(answer)["quota"], "bytes");
    }
    assert_eq!(pushed, 10);
    for server in servers {
        assert!(!server.log().contains("deadlock"), "{}", server.log());
    }
    let used = quota(&servers[0]);
    assert_eq!((&used["usedBytes"], &used["usedTags"]), (&json!(10 * size), &json!(10)));
}

#[test]
fn fifty_pushes_at_once_come_to_no_more_than_the_quota() {
    let team = Team::start();
    let scopes = ["repository:team/one:pull,push", "repository:team/two:pull,push"];
    let bearer = team.bearer(&user("anna"), &scopes);
    push_at_the_edge(std::slice::from_ref(&team.server), |_| bearer.clone());
}

/// Three processes, and a namespace `team`.
fn replicas() -> Option<Replicas> {
    let replicas = Replicas::start_with(|command| {
        command
            .env("ROADSTEAD_AUTH__METHOD", "accounts")
            .env("ROADSTEAD_AUTH__ACCOUNTS__ADMIN", "root")
            .env("ROADSTEAD_AUTH__ACCOUNTS__ADMIN_PASSWORD", PASSWORD)
            .env("ROADSTEAD_AUTH__ACCOUNTS__DEFAULT_VISIBILITY", "public");
    });
    let replicas = replicas?;
    manage(&replicas.servers[0], "mutation { addNamespace(name: \"team\") { name } }");
    Some(replicas)
}

#[test]
fn fifty_pushes_at_once_by_three_processes_come_to_no_more_than_the_quota() {
    let Some(replicas) = replicas() else { return };
    let scopes = ["repository:team/one:pull,push", "repository:team/two:pull,push"];
    push_at_the_edge(&replicas.servers, |server| {
        let token = token_of(server, &user("root"), &scopes).json();
        Sender::Bearer(token["token"].as_str().expect("it is a text").to_owned())
    });
}

#[test]
fn twenty_uploads_at_once_by_three_processes_save_no_more_than_the_quota() {
    let Some(replicas) = replicas() else { return };
    append_at_the_edge(&replicas.servers, |server| {
        let token = token_of(server, &user("root"), &["repository:team/one:pull,push"]).json();
        Sender::Bearer(token["token"].as_str().expect("it is a text").to_owned())
    });
}

#[test]
fn only_administrators_set_quotas_and_owners_see_their_own() {
    let team = Team::start();
    limit(&team.server, "team", "tags: 7");
    limit(&team.server, "carl", "bytes: 100");
    let ask = |sender: &str, query: &str| {
        http::send(|client| {
            let request = client.post(team.server.url("/graphql")).json(&json!({ "query": query }));
            request.basic_auth(sender, Some(PASSWORD))
        })
        .json()
    };
    let list = "{ quotas { items { namespace bytes unreferenced tags } } }";
    let of_carl = json!({ "namespace": "carl", "bytes": 100, "unreferenced": 200, "tags": null });
    let of_team = json!({ "namespace": "team", "bytes": null, "unreferenced": null, "tags": 7 });
    for (sender, expected) in [
        ("root", json!([of_carl, of_team])),
        ("anna", json!([of_team])),
        ("carl", json!([of_carl])),
        ("will", json!([])),
    ] {
        assert_eq!(ask(sender, list)["data"]["quotas"]["items"], expected, "{sender}");
    }
    for query in [
        "mutation { setQuota(namespace: \"team\", tags: 100) { namespace } }",
        "mutation { removeQuota(namespace: \"team\") }",
    ] {
        assert_eq!(ask("anna", query)["errors"][0]["extensions"]["code"], "DENIED", "{query}");
    }
    for (query, code) in [
        ("mutation { setQuota(namespace: \"absent\", tags: 1) { namespace } }", "NOT_FOUND"),
        ("mutation { removeQuota(namespace: \"anna\") }", "NOT_FOUND"),
        ("mutation { setQuota(namespace: \"team\") { namespace } }", "INVALID"),
    ] {
        let answer = ask("root", query);
        assert_eq!(answer["errors"][0]["extensions"]["code"], code, "{query}: {answer}");
    }
    for query in ["bytes: -1", "bytes: 1.5", "bytes: \"1\"", "bytes: 9007199254740992"] {
        let query =
            format!("mutation {{ setQuota(namespace: \"team\", {query}) {{ namespace }} }}");
        assert!(ask("root", &query)["errors"].is_array(), "{query}");
    }
}

#[test]
fn where_there_is_no_quota_a_piece_of_an_upload_looks_for_one_once() {
    let Some(postgres) = Postgres::start(&[]) else { return };
    let url = postgres.url();
    edit_at(&url, async |index| fill(index).await);
    let server = Server::start_with(move |command| {
        configure(command);
        command
            .env("ROADSTEAD_INDEX__URL", &url)
            .env("ROADSTEAD_LOG__LEVEL", "info,sqlx::query=debug");
    });
    let uploads = "/v2/team/secret/blobs/uploads/";
    let begun = send(&server, Method::POST, uploads, &user("anna"), Vec::new());
    assert_eq!(begun.status, 202, "{}", begun.text());
    let requests = || -> Vec<String> {
        let log = server.log();
        let is_shown = |line: &&str| line.contains("sqlx::query") || line.contains("duration_ms");
        log.lines().filter(is_shown).map(str::to_owned).collect()
    };
    let is_end = |line: &String, of: &str| line.contains("duration_ms") && line.contains(of);
    wait(|| requests().iter().any(|line| is_end(line, "POST ")), "the request is not in the log");
    let path = begun.header("location").trim_start_matches(&server.url("")).to_owned();
    let appended = send(&server, Method::PATCH, &path, &user("anna"), b"layer".to_vec());
    assert_eq!(appended.status, 202, "{}", appended.text());
    wait(|| requests().iter().any(|line| is_end(line, "PATCH ")), "the request is not in the log");
    let lines = requests();
    let first = lines.iter().position(|line| is_end(line, "POST ")).expect("it came before");
    let end = lines.iter().position(|line| is_end(line, "PATCH ")).expect("it is there");
    let is_about_quotas = |line: &&String| line.contains("quotas");
    let found = lines[first..end].iter().filter(is_about_quotas).count();
    assert_eq!(found, 1, "{:?}", &lines[first..end]);
}
