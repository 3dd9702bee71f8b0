//! What is hidden takes the work of what is absent, so that no client tells one from the other by the time.

use reqwest::Method;
use tempfile::TempDir;

use super::team::{Sender, configure, edit, edit_at, fill, push, send, token_of, user};
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
