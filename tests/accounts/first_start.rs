//! The first administrator, and the method that all processes have to agree on.

use std::process::Command;

use reqwest::Method;

use super::team::{Sender, configure, push, send};
use crate::common::{Server, roadstead, run};

#[test]
fn the_first_administrator_is_added_once_with_the_password_of_the_settings() {
    let mut server = Server::start_with(|command| {
        configure(command);
        command.env("ROADSTEAD_AUTH__ACCOUNTS__ADMIN", "chief");
        command.env("ROADSTEAD_AUTH__ACCOUNTS__ADMIN_PASSWORD", "correct horse battery");
    });
    let chief = |password: &str| Sender::Basic("chief".to_owned(), password.to_owned());
    let status = |server: &Server, password| {
        send(server, Method::GET, "/v2/", &chief(password), Vec::new()).status
    };
    assert_eq!(status(&server, "correct horse battery"), 200);
    assert_eq!(status(&server, "another"), 401);
    assert_eq!(push(&server, "chief/app", &chief("correct horse battery")), [201, 201]);
    assert_eq!(push(&server, "any/where", &chief("correct horse battery")), [201, 201]);
    server.stop();
    server.start_again();
    assert_eq!(status(&server, "correct horse battery"), 200);
    assert!(server.log().contains("admin_password is not used"), "{}", server.log());
}

#[test]
fn without_a_password_one_is_printed_once() {
    let mut server = Server::start_with(configure);
    let log = server.log();
    let line = log.lines().find(|line| line.contains("The first administrator is `admin`"));
    let password = line.and_then(|line| line.split('`').nth(3)).expect("it is printed").to_owned();
    assert!(password.len() >= 20, "{password}");
    let admin = Sender::Basic("admin".to_owned(), password.clone());
    assert_eq!(send(&server, Method::GET, "/v2/", &admin, Vec::new()).status, 200);
    server.stop();
    server.start_again();
    assert_eq!(send(&server, Method::GET, "/v2/", &admin, Vec::new()).status, 200);
    assert_eq!(server.log().matches(&password).count(), 1);
}

#[test]
fn a_bad_name_or_password_of_the_administrator_is_refused() {
    for (name, value, said) in [
        ("ADMIN", "a.b", "auth.accounts.admin"),
        ("ADMIN", "oidc", "auth.accounts.admin"),
        ("ADMIN_PASSWORD", "short", "auth.accounts.admin_password"),
    ] {
        let folder = tempfile::TempDir::new().expect("a temporary folder can be made");
        let mut command: Command = roadstead(["serve", "--listen", "127.0.0.1:0", "--data"]);
        command.arg(folder.path().join("data"));
        configure(&mut command);
        command.env(format!("ROADSTEAD_AUTH__ACCOUNTS__{name}"), value);
        let refused = run(&mut command);
        assert!(!refused.succeeded(), "{name}={value}");
        let text = refused.stderr.clone();
        assert!(text.contains(said), "{text}");
    }
}
