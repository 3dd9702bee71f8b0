//! The first administrator, and the method that all processes have to agree on.

use std::path::Path;
use std::process::Command;

use bcrypt::Version;
use reqwest::Method;
use tempfile::TempDir;

use super::team::{PASSWORD, Sender, configure, push, send, user};
use crate::common::{Postgres, Server, roadstead, run};

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

/// Starts a server on a data folder, with these settings.
fn start(data: &Path, settings: &[(&'static str, String)]) -> Server {
    let settings = settings.to_vec();
    Server::start_on_with(data, move |command| {
        for (name, value) in &settings {
            command.env(format!("ROADSTEAD_{name}"), value);
        }
    })
}

fn accounts() -> Vec<(&'static str, String)> {
    let method = ("AUTH__METHOD", "accounts".to_owned());
    vec![method, ("AUTH__ACCOUNTS__ADMIN_PASSWORD", PASSWORD.to_owned())]
}

#[test]
fn a_new_repository_is_private_unless_the_settings_say_otherwise() {
    for (visibility, status) in [(None, 401), (Some("internal"), 401), (Some("public"), 200)] {
        let folder = TempDir::new().expect("a temporary folder can be made");
        let mut settings = accounts();
        let named = visibility.map(str::to_owned);
        settings.extend(named.map(|it| ("AUTH__ACCOUNTS__DEFAULT_VISIBILITY", it)));
        let server = start(&folder.path().join("data"), &settings);
        let admin = user("admin");
        assert_eq!(push(&server, "team/app", &admin), [201, 201]);
        let path = "/v2/team/app/manifests/v1";
        let pulled = send(&server, Method::GET, path, &Sender::Nobody, Vec::new());
        assert_eq!(pulled.status, status, "{visibility:?}");
        let pulled = send(&server, Method::GET, path, &admin, Vec::new());
        assert_eq!(pulled.status, 200);
        assert_eq!(pulled.header("x-ipfs-path").is_empty(), status == 401, "{visibility:?}");
    }
}

#[test]
fn a_change_of_the_method_exposes_nothing() {
    let folder = TempDir::new().expect("a temporary folder can be made");
    let htpasswd = folder.path().join("htpasswd");
    let hash = bcrypt::hash_with_result(PASSWORD, 4).expect("4 is a cost");
    let line = format!("anna:{}\n", hash.format_for_version(Version::TwoY));
    std::fs::write(&htpasswd, line).expect("the folder is ours");
    let by_file = || {
        let file = htpasswd.display().to_string();
        vec![("AUTH__METHOD", "htpasswd".to_owned()), ("AUTH__HTPASSWD__FILE", file)]
    };
    let open = Vec::new;
    let pull = |server: &Server, sender: &Sender| {
        send(server, Method::GET, "/v2/team/app/manifests/v1", sender, Vec::new()).status
    };
    for (number, (before, sender, anonymous)) in
        [(open(), Sender::Nobody, 200), (by_file(), user("anna"), 401)].into_iter().enumerate()
    {
        let data = folder.path().join(number.to_string());
        let mut server = start(&data, &before);
        assert_eq!(push(&server, "team/app", &sender), [201, 201]);
        server.stop();
        let mut server = start(&data, &accounts());
        assert_eq!(pull(&server, &Sender::Nobody), anonymous);
        assert_eq!(pull(&server, &user("admin")), 200);
        assert_eq!(push(&server, "team/secret", &user("admin")), [201, 201]);
        server.stop();

        let mut command = roadstead(["serve", "--listen", "127.0.0.1:0", "--data"]);
        let refused = run(command.arg(&data));
        assert!(!refused.succeeded() && refused.stderr.contains("--make-public"), "{refused}");
        let mut server = Server::start_on_with(&data, |command| {
            command.arg("--make-public");
        });
        assert_eq!(pull(&server, &Sender::Nobody), 200);
        server.stop();
    }
}

#[test]
fn a_process_with_another_method_than_the_others_refuses_to_serve() {
    let Some(postgres) = Postgres::start(&[]) else { return };
    let folder = TempDir::new().expect("a temporary folder can be made");
    let serve = |name: &str, method: &'static str, arguments: &'static [&'static str]| {
        let url = postgres.url();
        let mut command = roadstead(["serve", "--listen", "127.0.0.1:0", "--data"]);
        command.arg(folder.path().join(name)).args(arguments);
        command.env("ROADSTEAD_INDEX__URL", url).env("ROADSTEAD_AUTH__METHOD", method);
        command
    };
    let url = postgres.url();
    let first = Server::start_with(move |command| {
        configure(command);
        command.env("ROADSTEAD_INDEX__URL", &url);
    });
    let refused = run(&mut serve("other", "open", &[]));
    assert!(!refused.succeeded(), "{refused}");
    assert!(refused.stderr.contains("--change-sign-in"), "{refused}");
    drop(first);
    let url = postgres.url();
    let changed = Server::start_with(move |command| {
        command.env("ROADSTEAD_INDEX__URL", &url).arg("--change-sign-in");
    });
    assert_eq!(send(&changed, Method::GET, "/v2/", &Sender::Nobody, Vec::new()).status, 200);
}

#[test]
fn a_process_that_serves_ends_when_another_one_changes_the_method() {
    let Some(postgres) = Postgres::start(&[]) else { return };
    let url = postgres.url();
    let mut first = Server::start_with(move |command| {
        configure(command);
        command.env("ROADSTEAD_INDEX__URL", &url);
    });
    let url = postgres.url();
    let second = Server::start_with(move |command| {
        command.env("ROADSTEAD_INDEX__URL", &url).arg("--change-sign-in");
    });
    assert!(!first.wait().success(), "{}", first.log());
    assert!(first.log().contains("stopping: another process has changed"), "{}", first.log());
    assert_eq!(send(&second, Method::GET, "/v2/", &Sender::Nobody, Vec::new()).status, 200);
}
