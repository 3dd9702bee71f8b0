//! Every route of the router, for every kind of caller, about a repository of each visibility and one that is absent.
//!
//! `senders` has a row for each kind of caller and `routes` one for each route and method, each with the answers that are
//! expected. A route that is new in the router makes `every_route_is_in_the_table` fail until it has a row.

mod cast;
mod routes;
mod senders;

use std::thread;

use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::rights::seen;
use super::team::{Sender, claims, configure, edit, edit_at, send, token_of, user};
use crate::common::content::{image, sha256};
use crate::common::http::{self, Response};
use crate::common::{Postgres, Server};
use cast::{Cast, WORKLOADS};
use routes::{Probe, RouteKey, SHARED, Subject};
use senders::{SENDERS, SenderRow};

/// A repository of each visibility, and one that there is not.
const NAMES: [&str; 4] = ["team/open", "team/inner", "team/secret", "team/absent"];

/// Which of them is not there.
const ABSENT: usize = 3;

/// All that a client may request a token for.
fn all_scopes() -> Vec<String> {
    let scope = |name| format!("repository:{name}:pull,push,delete");
    NAMES.into_iter().map(scope).chain(["registry:catalog:*".to_owned()]).collect()
}

/// The bytes of the one blob of a repository.
fn blob(name: &str) -> Vec<u8> {
    format!("config of {name}").into_bytes()
}

fn manifest(name: &str) -> Vec<u8> {
    image(&blob(name), &[]).to_string().into_bytes()
}

/// The registry, and all whose rows the table has.
struct Matrix<'a> {
    server: &'a Server,
    cast: &'a Cast,
    faults: Vec<String>,
}

impl Matrix<'_> {
    /// Notes what is not as the table says.
    fn expect(&mut self, is_so: bool, complaint: impl FnOnce() -> String) {
        if !is_so {
            self.faults.push(complaint());
        }
    }

    fn push_all(&self) {
        for name in &NAMES[..ABSENT] {
            let path = format!("/v2/{name}/blobs/uploads/?digest={}", sha256(&blob(name)));
            let pushed = send(self.server, Method::POST, &path, &user("root"), blob(name));
            assert_eq!(pushed.status, 201, "{}", pushed.text());
            let path = format!("/v2/{name}/manifests/v1");
            let pushed = send(self.server, Method::PUT, &path, &user("root"), manifest(name));
            assert_eq!(pushed.status, 201, "{}", pushed.text());
        }
    }

    /// Goes through a row: by the credential itself, and by a token of `/v2/token` that it is exchanged for.
    fn check(&mut self, row: &SenderRow) {
        let sender = self.cast.sender(self.server, row.who);
        self.check_images(row, row.images, &sender);
        self.check_server(row, row.server, &sender);
        self.check_tokens(row, &sender);
        self.check_visibility(row, &sender);
        if let Some((images, server)) = row.exchanged {
            let scopes = all_scopes();
            let scopes: Vec<&str> = scopes.iter().map(String::as_str).collect();
            let token = token_of(self.server, &sender, &scopes);
            assert_eq!(token.status, 200, "{}: {}", row.name, token.text());
            let token = token.json()["token"].as_str().expect("it is a text").to_owned();
            let sender = Sender::Bearer(token);
            self.check_images(row, images, &sender);
            self.check_server(row, server, &sender);
        }
    }

    /// What is about a repository.
    fn check_images(&mut self, row: &SenderRow, letters: [&str; 4], sender: &Sender) {
        for probe in routes::IMAGES {
            let answers = NAMES.map(|name| {
                let path = probe.path(name, &sha256(&blob(name)), &sha256(&manifest(name)));
                send(self.server, probe.method(), &path, sender, probe.body.into())
            });
            let expected: Vec<char> = letters.iter().map(|cell| probe.act.letter(cell)).collect();
            for (number, answer) in answers.iter().enumerate() {
                let at = format!("{} {sender:?}: {} {}", row.name, probe.text(), NAMES[number]);
                self.check_image(&at, probe, number, expected[number], answer);
                let is_refused = "CHX".contains(expected[number]);
                if number != ABSENT && is_refused && expected[number] == expected[ABSENT] {
                    let one = seen(answer, NAMES[number], NAMES[ABSENT]);
                    let other = seen(&answers[ABSENT], NAMES[number], NAMES[ABSENT]);
                    let text = format!("{at}: not as if absent: {one:?} {other:?}");
                    self.expect(one == other, || text);
                }
                if answer.status == 202 && probe.method == "POST" {
                    let location = answer.header("location");
                    let ended =
                        send(self.server, Method::DELETE, location, sender, Vec::new()).status;
                    self.expect(ended == 204, || format!("{at}: ended with {ended}"));
                }
            }
        }
    }

    fn check_image(
        &mut self,
        at: &str,
        probe: &Probe,
        number: usize,
        letter: char,
        answer: &Response,
    ) {
        let status = if number == ABSENT { probe.absent } else { probe.present };
        self.check_answer(at, letter, status, answer);
        if letter == 'A' && answer.status == 200 && probe.has_content {
            let is_public = number == 0;
            let has_path = !answer.header("x-ipfs-path").is_empty();
            let caching = answer.header("cache-control").to_owned();
            // What a tag names changes.
            let is_cached_right = match (probe.path.ends_with("/v1"), is_public) {
                (true, _) => caching.is_empty(),
                (false, true) => caching == "public, max-age=3600, s-maxage=3600",
                (false, false) => caching == "private",
            };
            let is_so = has_path == is_public && is_cached_right;
            self.expect(is_so, || format!("{at}: X-Ipfs-Path: {has_path}, {caching}"));
        }
    }

    fn check_answer(&mut self, at: &str, letter: char, status: u16, answer: &Response) {
        let challenge = answer.header("www-authenticate");
        let fault = challenge.split("error=").nth(1).unwrap_or_default().to_owned();
        let scheme = challenge.split(' ').next().unwrap_or_default().to_owned();
        let expected = match letter {
            'A' => (status, "", ""),
            'C' => (401, "Bearer", ""),
            'H' => (401, "Bearer", "\"insufficient_scope\""),
            'D' => (403, "", ""),
            'X' if fault.is_empty() => (401, "Bearer", ""),
            'X' => (401, "Bearer", "\"invalid_token\""),
            'B' => (401, "Basic", ""),
            letter => panic!("{letter} is no answer"),
        };
        let found = (answer.status, scheme.as_str(), fault.as_str());
        let text = format!("{at}: {letter}: {found:?} {}", answer.text());
        self.expect(found == expected, || text);
        if letter == 'D' && !answer.body.is_empty() {
            let code = answer.json()["errors"][0]["code"].clone();
            self.expect(code == "DENIED", || format!("{at}: {code}"));
        }
    }

    /// What is about no repository; each letter is the answer to one of [`routes::SERVER`].
    fn check_server(&mut self, row: &SenderRow, letters: &str, sender: &Sender) {
        assert_eq!(letters.len(), 5, "{}", row.name);
        for probe in routes::SERVER {
            let letter = letters.chars().nth(probe.column).expect("there are five");
            let answer = self.request(probe, sender);
            let at = format!("{} {sender:?}: {}", row.name, probe.text());
            self.check_answer(&at, letter, probe.present, &answer);
            if probe.path.ends_with("/_catalog") && probe.method == "GET" && answer.status == 200 {
                let is_seen = |number: &usize| row.images[*number].starts_with('A');
                // In the order of their names.
                let seen: Vec<_> = [1, 0, 2].iter().filter(|it| is_seen(it)).collect();
                let expected: Vec<&str> = seen.iter().map(|number| NAMES[**number]).collect();
                let listed = answer.json()["repositories"].clone();
                self.expect(listed == json!(expected), || format!("{at}: {listed}"));
            }
        }
    }

    fn request(&self, probe: &Probe, sender: &Sender) -> Response {
        let url = self.server.url(probe.path);
        http::send(|client| {
            let request = client.request(probe.method(), url);
            let request = request.header("Content-Type", probe.content_type);
            let request = request.body(probe.body);
            match sender {
                Sender::Nobody => request,
                Sender::Basic(user, password) => request.basic_auth(user, Some(password)),
                Sender::Bearer(token) => request.bearer_auth(token),
            }
        })
    }

    /// A token is good for just what the table allows.
    fn check_tokens(&mut self, row: &SenderRow, sender: &Sender) {
        let Sender::Basic(name, password) = sender else { return };
        let scopes = all_scopes();
        let list: Vec<&str> = scopes.iter().map(String::as_str).collect();
        let by_get = token_of(self.server, sender, &list);
        let url = self.server.url("/v2/token");
        let mut form = reqwest::Url::parse(&url).expect("it is a URL");
        form.query_pairs_mut()
            .append_pair("grant_type", "password")
            .append_pair("username", name)
            .append_pair("password", password)
            .append_pair("scope", &scopes.join(" "));
        let form = form.query().unwrap_or_default().to_owned();
        let by_post = http::send(|client| {
            let request = client.post(url).body(form);
            request.header("Content-Type", "application/x-www-form-urlencoded")
        });
        for (way, answer) in [("GET", by_get), ("POST", by_post)] {
            let at = format!("{} {sender:?}: {way} /v2/token", row.name);
            let letter = row.server.chars().nth(4).expect("there are five");
            self.check_answer(&at, letter, 200, &answer);
            if answer.status != 200 {
                continue;
            }
            let mut expected = Vec::new();
            for (number, name) in NAMES.iter().enumerate() {
                let allows = |position: usize| row.images[number].as_bytes()[position] == b'A';
                let words = ["pull", "push", "delete"].into_iter().enumerate();
                let words: Vec<_> =
                    words.filter(|(position, _)| allows(*position)).map(|(_, word)| word).collect();
                if !words.is_empty() {
                    expected.push(json!([name, words]));
                }
            }
            expected.push(json!(["catalog", ["*"]]));
            let access = claims(&answer)["access"].clone();
            let access = access.as_array().expect("it is a list").iter();
            let mut access: Vec<Value> =
                access.map(|entry| json!([entry["name"], entry["actions"]])).collect();
            let by_name = |entry: &Value| entry[0].as_str().unwrap_or_default().to_owned();
            access.sort_by_key(by_name);
            expected.sort_by_key(by_name);
            self.expect(access == expected, || format!("{at}: {access:?}"));
        }
    }

    /// Says who may see a repository what it says already: over the management API, whose codes are another matter.
    fn check_visibility(&mut self, row: &SenderRow, sender: &Sender) {
        let mut texts = Vec::new();
        for (number, visibility) in ["PUBLIC", "INTERNAL", "PRIVATE", "PRIVATE"].iter().enumerate()
        {
            let (name, letter) =
                (NAMES[number], row.visibility.chars().nth(number).expect("there are four"));
            let query = format!(
                "mutation {{ setVisibility(name: \"{name}\", visibility: {visibility}) {{ name }} }}"
            );
            let body = json!({ "query": query });
            let answer = http::send(|client| {
                let request = client.post(self.server.url("/graphql")).json(&body);
                match sender {
                    Sender::Nobody => request,
                    Sender::Basic(user, password) => request.basic_auth(user, Some(password)),
                    Sender::Bearer(token) => request.bearer_auth(token),
                }
            });
            let at = format!("{} {sender:?}: setVisibility {name}", row.name);
            if letter == 'B' {
                self.check_answer(&at, 'B', 401, &answer);
                continue;
            }
            let code = answer.json()["errors"][0]["extensions"]["code"].clone();
            let expected = match letter {
                'A' if number != ABSENT => Value::Null,
                'A' | 'H' => json!("NOT_FOUND"),
                'D' => json!("DENIED"),
                letter => panic!("{letter} is no answer"),
            };
            self.expect(code == expected, || format!("{at}: {letter}: {}", answer.text()));
            texts.push(answer.text().replace(name, "NAME"));
        }
        if &row.visibility[2..] == "HH" {
            self.expect(texts[2] == texts[3], || format!("{}: {texts:?}", row.name));
        }
    }

    /// What is the same for all, whoever they are: only what is public is to be had by its CID.
    fn check_shared(&mut self) {
        for name in ["nobody", "root", "wrong password", "expired token"] {
            let row = SENDERS.iter().find(|row| row.name == name).expect("it has a row");
            let sender = self.cast.sender(self.server, row.who);
            for probe in SHARED {
                for (number, name) in NAMES.iter().enumerate() {
                    let cid = roadstead::ipld::Block::raw(blob(name).into()).cid.to_string();
                    let path = probe.path.replace("{cid}", &cid);
                    let answer = send(self.server, probe.method(), &path, &sender, Vec::new());
                    let is_public = number == 0;
                    let status = if is_public { probe.present } else { probe.absent };
                    let at = format!("{} {sender:?}: {} {name}", row.name, probe.text());
                    self.expect(answer.status == status, || {
                        format!("{at}: {} {}", answer.status, answer.text())
                    });
                    let text = answer.text();
                    let hints = !is_public && probe.subject == Subject::Content && !text.is_empty();
                    let hint = answer.text().replace(&cid, "CID");
                    let absent = roadstead::ipld::Block::raw(blob(NAMES[ABSENT]).into()).cid;
                    let path = probe.path.replace("{cid}", &absent.to_string());
                    let other = send(self.server, probe.method(), &path, &sender, Vec::new());
                    let other = other.text().replace(&absent.to_string(), "CID");
                    self.expect(!hints || hint == other, || format!("{at}: {hint} {other}"));
                }
            }
        }
    }
}

/// How many rows are gone through at a time.
const AT_ONCE: usize = 2;

fn run(server: &Server, cast: &Cast) {
    let begin = || Matrix { server, cast, faults: Vec::new() };
    let mut matrix = begin();
    matrix.push_all();
    let parts: Vec<Vec<String>> = thread::scope(|scope| {
        let part = |number: usize| {
            move || {
                let mut matrix = begin();
                SENDERS.iter().skip(number).step_by(AT_ONCE).for_each(|row| matrix.check(row));
                matrix.faults
            }
        };
        let parts: Vec<_> = (0..AT_ONCE).map(|number| scope.spawn(part(number))).collect();
        parts.into_iter().map(|part| part.join().expect("it notes what is wrong")).collect()
    });
    matrix.faults.extend(parts.into_iter().flatten());
    matrix.check_shared();
    let absent = format!("/v2/{}/tags/list", NAMES[ABSENT]);
    let left = send(server, Method::GET, &absent, &user("root"), Vec::new());
    assert_eq!(left.status, 404, "no request made it: {}", left.text());
    let count = matrix.faults.len();
    assert!(matrix.faults.is_empty(), "{count} faults:\n{}", matrix.faults.join("\n"));
}

#[test]
fn each_answer_is_that_of_the_table() {
    let folder = TempDir::new().expect("a temporary folder can be made");
    let data = folder.path().join("data");
    std::fs::create_dir(&data).expect("the folder is ours");
    let cast = edit(&data, async |index| Cast::fill(index).await);
    let workloads = cast.write_workloads(folder.path());
    let server = Server::start_on_with(&data, move |command| {
        configure(command);
        command.env(WORKLOADS, &workloads);
    });
    run(&server, &cast);
}

#[test]
fn each_answer_is_that_of_the_table_over_postgres() {
    let Some(postgres) = Postgres::start(&[]) else { return };
    let folder = TempDir::new().expect("a temporary folder can be made");
    let cast = edit_at(&postgres.url(), async |index| Cast::fill(index).await);
    let (workloads, url) = (cast.write_workloads(folder.path()), postgres.url());
    let server = Server::start_with(move |command| {
        configure(command);
        command.env(WORKLOADS, &workloads).env("ROADSTEAD_INDEX__URL", &url);
    });
    run(&server, &cast);
}

#[test]
fn every_route_is_in_the_table() {
    let known: Vec<RouteKey> = routes::all().collect();
    let router = routes::of_the_router();
    for route in &router {
        assert!(known.contains(route), "{route:?} has no row in the matrix: add what each may do");
    }
    for route in &known {
        let is_refused = route.method == "refused";
        assert!(is_refused || router.contains(route), "{route:?} is no route any more");
    }
}
