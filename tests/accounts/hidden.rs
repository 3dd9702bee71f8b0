//! What is hidden takes the work of what is absent, so that no client tells one from the other by the time.

use cid::Cid;
use multihash::Multihash;
use reqwest::Method;
use roadstead::index::{BlobRow, Index, NewBlob};
use roadstead::oci::{CanonicalDigest, RepositoryName, Visibility};
use tempfile::TempDir;

use super::team::{NOW, Sender, configure, edit, edit_at, fill, push, send, token_of, user};
use crate::common::content::sha256;
use crate::common::repository::wait;
use crate::common::{Postgres, Server};

/// How often each request is sent: of what else the server does beside it, none takes part in each of them.
const TIMES: usize = 5;

/// A server that logs each statement.
fn logging(command: &mut std::process::Command) {
    configure(command);
    command.env("ROADSTEAD_LOG__LEVEL", "info,sqlx::query=debug");
}

/// The lines of the log from one request's to that of the next one, both marked by their paths.
struct Lines<'a> {
    server: &'a Server,
    number: usize,
}

impl Lines<'_> {
    /// Sends a request with a number in its path, and returns the log once it has the line of that.
    fn log_with(&mut self, method: &str, path: &str, sender: &Sender) -> (u16, String, String) {
        self.number += 1;
        let mark = format!("mark-{}-", self.number);
        let path = path.replace("MARK", &mark);
        let method: Method = method.parse().expect("it is one");
        let answer = send(self.server, method, &path, sender, Vec::new());
        let mut log = String::new();
        let has_line =
            |log: &str| log.lines().any(|it| it.contains(&mark) && it.contains("duration_ms"));
        wait(
            || {
                log = self.server.log();
                has_line(&log)
            },
            "the request is not in the log",
        );
        (answer.status, mark, log)
    }

    /// Counts the statements of a request: the least of several times.
    fn statements(&mut self, method: &str, path: &str, sender: &Sender) -> (u16, usize) {
        let mut least = (0, usize::MAX);
        for _ in 0..TIMES {
            let (_, before, _) = self.log_with("GET", "/v2/MARK", &Sender::Nobody);
            let (status, mark, log) = self.log_with(method, path, sender);
            let lines = log.lines().skip_while(|line| !line.contains(&before));
            let lines = lines.take_while(|line| !line.contains(&mark));
            let count = lines.filter(|line| line.contains("sqlx::query")).count();
            least = (status, least.1.min(count));
        }
        least
    }
}

fn check(server: &Server) {
    for name in ["team/secret", "team/inner", "team/open"] {
        assert_eq!(push(server, name, &user("anna")), [201, 201], "{name}");
    }
    let scopes =
        ["secret", "inner", "absent", "open"].map(|it| format!("repository:team/{it}:pull,push"));
    let scopes = scopes.each_ref().map(String::as_str);
    let bearer = |sender: &Sender| {
        let token = token_of(server, sender, &scopes).json();
        Sender::Bearer(token["token"].as_str().expect("it is a text").to_owned())
    };
    let mut lines = Lines { server, number: 0 };
    for (sender, hidden) in [
        (bearer(&user("carl")), &["secret"][..]),
        (bearer(&Sender::Nobody), &["secret", "inner"]),
        (Sender::Nobody, &["secret", "inner"]),
    ] {
        for (method, rest) in
            [("GET", "manifests/MARK"), ("HEAD", "manifests/MARK"), ("DELETE", "manifests/MARK")]
        {
            // Without a credential a change is refused before a repository is looked for.
            let path = |name: &str| format!("/v2/team/{name}/{rest}");
            let absent = lines.statements(method, &path("absent"), &sender);
            for name in hidden {
                for name in [name, "open"] {
                    // Remembered, if anything is.
                    let pulled = send(server, Method::GET, &path(name), &user("anna"), Vec::new());
                    assert_eq!(pulled.status, 404, "{}", pulled.text());
                }
                let found = lines.statements(method, &path(name), &sender);
                assert_eq!(found, absent, "{method} {name} by {sender:?}");
            }
            if method == "GET" {
                let open = lines.statements(method, &path("open"), &sender);
                assert_eq!((open.0, absent.0), (404, 401), "{sender:?}");
                assert!(absent.1 >= 1, "no statement is in the log");
            }
        }
    }
}

/// How many hidden repositories have the blob that is mounted.
const HIDDEN: usize = 150;

/// A mount that names no source: those that the client may not see take no part in it, however many have the blob.
fn check_mounts(server: &Server) {
    assert_eq!(push(server, "team/secret", &user("anna")), [201, 201]);
    let mut lines = Lines { server, number: 0 };
    let path = |digest: &str| format!("/v2/carl/MARKx/blobs/uploads/?mount={digest}");
    let (hidden, absent) = (sha256(b"config"), sha256(b"in no repository"));
    let bearer = || {
        let scopes = ["repository:carl/app:pull,push"];
        let token = token_of(server, &user("carl"), &scopes).json();
        Sender::Bearer(token["token"].as_str().expect("it is a text").to_owned())
    };
    assert_eq!(
        lines.statements("POST", &path(&hidden), &user("carl")),
        lines.statements("POST", &path(&absent), &user("carl"))
    );
    // One's own is found behind all of them: by the password, and by a token that names it.
    assert_eq!(push(server, "carl/app", &user("carl")), [201, 201]);
    let mount = |name: &str, sender: &Sender| {
        let path = format!("/v2/{name}/blobs/uploads/?mount={hidden}");
        send(server, Method::POST, &path, sender, Vec::new())
    };
    assert_eq!(mount("carl/other", &user("carl")).status, 201);
    let named = token_of(
        server,
        &user("carl"),
        &["repository:carl/third:pull,push", "repository:carl/app:pull"],
    );
    let named = named.json()["token"].as_str().expect("it is a text").to_owned();
    assert_eq!(mount("carl/third", &Sender::Bearer(named)).status, 201);
    // A token that does not name it is sent for one that does.
    let narrow = mount("carl/app", &bearer());
    assert_eq!(narrow.status, 201, "it names where that is");
    let other = token_of(server, &user("carl"), &["repository:carl/fourth:pull,push"]).json();
    let other = Sender::Bearer(other["token"].as_str().expect("it is a text").to_owned());
    let challenged = mount("carl/fourth", &other);
    assert_eq!(challenged.status, 401, "{}", challenged.text());
    let challenge = challenged.header("www-authenticate");
    assert!(challenge.contains("repository:carl/app:pull"), "{challenge}");
    // Nobody's is one that a reader of nothing learns of.
    assert_eq!(mount("rita/app", &user("rita")).status, 201, "she reads all in `team`");
}

/// Makes hidden repositories that have the blob of [`push`], as far as the index knows.
async fn hide(index: &Index) {
    const RAW: u64 = 0x55;
    const SHA2_256: u64 = 0x12;

    let canonical = CanonicalDigest::of(b"config");
    let hash = Multihash::wrap(SHA2_256, &canonical.0).expect("32 bytes fit");
    let blob = BlobRow { canonical, cid: Cid::new_v1(RAW, hash), size: 6 };
    let new = NewBlob { blob, aliases: Vec::new(), blocks: Vec::new() };
    index.set_new_visibility(Some(Visibility::Private));
    for number in 0..HIDDEN {
        let name: RepositoryName = format!("team/hidden{number}").parse().expect("it is a name");
        index.record_blob(&name, &new, NOW).await.expect("it can be recorded");
    }
}

#[test]
fn mounts_find_ones_own_behind_any_number_of_hidden_repositories_and_take_as_long_without_these() {
    let folder = TempDir::new().expect("a temporary folder can be made");
    let data = folder.path().join("data");
    std::fs::create_dir(&data).expect("the folder is ours");
    edit(&data, async |index| {
        fill(index).await;
        hide(index).await;
    });
    check_mounts(&Server::start_on_with(&data, logging));
}

#[test]
fn mounts_find_ones_own_behind_any_number_of_hidden_repositories_over_postgres() {
    let Some(postgres) = Postgres::start(&[]) else { return };
    let url = postgres.url();
    edit_at(&url, async |index| {
        fill(index).await;
        hide(index).await;
    });
    check_mounts(&Server::start_with(move |command| {
        logging(command);
        command.env("ROADSTEAD_INDEX__URL", &url);
    }));
}

#[test]
fn what_is_hidden_takes_as_many_queries_as_what_is_absent() {
    let folder = TempDir::new().expect("a temporary folder can be made");
    let data = folder.path().join("data");
    std::fs::create_dir(&data).expect("the folder is ours");
    edit(&data, async |index| fill(index).await);
    check(&Server::start_on_with(&data, logging));
}

#[test]
fn what_is_hidden_takes_as_many_queries_as_what_is_absent_over_postgres() {
    let Some(postgres) = Postgres::start(&[]) else { return };
    let url = postgres.url();
    edit_at(&url, async |index| fill(index).await);
    check(&Server::start_with(move |command| {
        logging(command);
        command.env("ROADSTEAD_INDEX__URL", &url);
    }));
}
