//! The first administrator, made by the code that a registry prints that has no user.

use serde_json::{Value, json};

use super::team::{Sender, configure, send};
use crate::common::http::{self, Response};
use crate::common::{Postgres, Server, run};

const PASSWORD: &str = "correct horse battery";

/// Returns the code that was printed last.
fn code(server: &Server) -> String {
    let log = server.log();
    let line = log.lines().rfind(|line| line.contains("There is no user yet"));
    let code = line.and_then(|line| line.split('`').nth(3)).expect("it is printed").to_owned();
    assert!(code.len() >= 20, "{code}");
    code
}

fn post(server: &Server, body: &Value) -> Response {
    http::send(|client| client.post(server.url("/setup")).json(body))
}

fn status(server: &Server, password: &str) -> u16 {
    let admin = Sender::Basic("admin".to_owned(), password.to_owned());
    send(server, reqwest::Method::GET, "/v2/", &admin, Vec::new()).status
}

#[test]
fn the_code_makes_the_first_administrator_once() {
    let mut server = Server::start_with(configure);
    let first = code(&server);
    assert!(server.log().contains(&format!("{}/setup", server.url(""))), "{}", server.log());
    let page = http::get(&server.url("/setup"));
    assert_eq!(page.status, 200, "{}", page.text());
    assert!(page.header("content-security-policy").contains("default-src 'none'"));
    assert!(page.text().contains("<form method=\"post\" action=\"/setup\">"));
    // A start that nobody made use of is followed by another code.
    server.stop();
    server.start_again();
    let code = code(&server);
    assert_ne!(code, first);
    for (sent, answer) in [
        (json!({ "code": first, "password": PASSWORD }), 403),
        (json!({ "code": "", "password": PASSWORD }), 403),
        (json!({ "code": code, "password": "short" }), 400),
        (json!({ "code": code }), 400),
        (json!({ "code": code, "password": PASSWORD }), 201),
        (json!({ "code": code, "password": "another horse battery" }), 404),
    ] {
        let answered = post(&server, &sent);
        assert_eq!(answered.status, answer, "{sent}: {}", answered.text());
        assert!(!answered.text().contains(&code) && !answered.text().contains(PASSWORD));
    }
    assert_eq!(http::get(&server.url("/setup")).status, 404);
    assert_eq!((status(&server, PASSWORD), status(&server, "another horse battery")), (200, 401));
    server.stop();
    server.start_again();
    assert_eq!(status(&server, PASSWORD), 200);
    let log = server.log();
    assert_eq!(log.matches("There is no user yet").count(), 2);
    // On the standard error output, and in no line of the log.
    let lines = log.lines().filter(|line| line.starts_with('{'));
    assert!(!lines.clone().any(|line| line.contains(&code)) && !log.contains(PASSWORD));
}

#[test]
fn the_page_takes_the_code_and_shows_what_is_wrong() {
    let server = Server::start_with(configure);
    let code = code(&server);
    let submit = |code: &str, origin: Option<&str>| {
        http::send(|client| {
            let request = client.post(server.url("/setup"));
            let code = code.replace('<', "%3C").replace('>', "%3E");
            let form = format!("code={code}&password={}", PASSWORD.replace(' ', "+"));
            let request =
                request.header("Content-Type", "application/x-www-form-urlencoded").body(form);
            match origin {
                Some(origin) => request.header("Origin", origin),
                None => request,
            }
        })
    };
    let elsewhere = submit(&code, Some("https://elsewhere.example"));
    assert_eq!(elsewhere.status, 403, "{}", elsewhere.text());
    let wrong = submit("<script>", None);
    assert_eq!(wrong.status, 403);
    assert!(wrong.text().contains("the code is wrong") && !wrong.text().contains("<script>"));
    let done = submit(&code.to_ascii_uppercase(), Some(&server.url("")));
    assert_eq!(done.status, 201, "{}", done.text());
    assert!(done.text().contains("<code>admin</code>"), "{}", done.text());
    assert_eq!(status(&server, PASSWORD), 200);
}

#[test]
fn the_command_sets_a_registry_up() {
    use crate::cli::registries::{of_user, with_password};

    let server = Server::start_with(configure);
    let folder = tempfile::TempDir::new().expect("a temporary folder can be made");
    let code = code(&server);
    let set_up = |code: &str| {
        let arguments = ["setup", server.address(), "--code", code, "--password-stdin"];
        run(&mut with_password(PASSWORD, &of_user(folder.path(), arguments)))
    };
    let refused = set_up("wrong");
    assert!(!refused.succeeded() && refused.stderr.contains("the code is wrong"), "{refused}");
    let done = set_up(&code);
    assert!(done.succeeded() && done.stdout.contains("admin is an administrator"), "{done}");
    assert_eq!(status(&server, PASSWORD), 200);
    let again = set_up(&code);
    assert!(!again.succeeded() && again.stderr.contains("nothing to set up"), "{again}");
}

#[test]
fn there_is_nothing_to_set_up_where_there_are_users_or_no_accounts() {
    let open = Server::start();
    assert_eq!(http::get(&open.url("/setup")).status, 404);
    assert_eq!(post(&open, &json!({ "code": "a", "password": PASSWORD })).status, 404);
    let with_admin = Server::start_with(|command| {
        configure(command);
        command.env("ROADSTEAD_AUTH__ACCOUNTS__ADMIN_PASSWORD", PASSWORD);
    });
    assert!(!with_admin.log().contains("There is no user yet"));
    assert_eq!(http::get(&with_admin.url("/setup")).status, 404);
}

#[test]
fn of_two_processes_the_code_that_was_printed_last_counts_on_both() {
    let Some(postgres) = Postgres::start(&[]) else { return };
    let start = || {
        let url = postgres.url();
        Server::start_with(move |command| {
            configure(command);
            command.env("ROADSTEAD_INDEX__URL", &url);
        })
    };
    let (one, other) = (start(), start());
    let (earlier, later) = (code(&one), code(&other));
    let body = |code: &str| json!({ "code": code, "password": PASSWORD });
    assert_eq!(post(&one, &body(&earlier)).status, 403);
    assert_eq!(post(&one, &body(&later)).status, 201);
    assert_eq!(post(&other, &body(&later)).status, 404);
    assert_eq!(status(&other, PASSWORD), 200);
}

#[test]
fn tries_are_bounded_and_of_each_client_apart() {
    let server = Server::start_with(|command| {
        configure(command);
        command
            .env("ROADSTEAD_AUTH__SIGN_INS__WRONG_PASSWORDS", "3")
            .env("ROADSTEAD_SERVER__TRUSTED_PROXIES", "127.0.0.1");
    });
    let code = code(&server);
    let send = |client_address: &str, code: &str| {
        let body = json!({ "code": code, "password": PASSWORD });
        http::send(|client| {
            let request = client.post(server.url("/setup")).json(&body);
            request.header("X-Forwarded-For", client_address)
        })
    };
    let statuses: Vec<u16> =
        (0..4).map(|guess| send("198.51.100.1", &format!("guess {guess}")).status).collect();
    assert_eq!(statuses, [403, 403, 403, 429]);
    let right = send("198.51.100.1", &code);
    assert_eq!(right.status, 429, "{}", right.text());
    assert!(!right.header("retry-after").is_empty());
    // What one client guesses keeps no other out.
    assert_eq!(send("198.51.100.2", &code).status, 201);
}
