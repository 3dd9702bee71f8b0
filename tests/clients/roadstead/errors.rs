//! What the commands say when they fail, and what they do with credentials.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::{Roadstead, expect, oci};
use crate::cli::registries::with_password;
use crate::client::fake::{Fake, answer};
use crate::clients::face;
use crate::clients::registry::Registry;
use crate::clients::roadstead::made::{Made, config};
use crate::clients::target::Target;
use crate::common::{asked_on_terminal, on_terminal, run, succeed};

fn layout() -> Made {
    let made = Made::new();
    let root = made.image_of(&config("amd64"), &[b"layer"]);
    made.finish(&[root])
}

#[test]
fn errors_say_what_to_do() {
    let registry = Registry::start_as(face::PASSWORDS);
    let host = registry.target().address().to_owned();
    let app = registry.reference("team/app:v1");
    let layout = layout();
    let from = oci(layout.path());
    let stranger = Roadstead::of(&registry.target_of_strangers());
    let advice = format!("{host} answers 401: run roadstead login {host}");
    for words in [
        &["push", &from, &app][..],
        &["pull", &app, &from],
        &["info", &app],
        &["tags", &app[..app.len() - 3]],
        &["list", "--registry", &host],
        &["delete", &app, "--yes"],
        &["copy", &app, &registry.reference("team/copy:v1")],
    ] {
        expect(&stranger.run(words), 1, &[&advice]);
    }
    let client = Roadstead::of(registry.target());
    expect(&client.run(&["pull", &app, "oci:x"]), 1, &["404", "MANIFEST_UNKNOWN"]);
    expect(&client.run(&["info", &registry.reference("team/app:v1:v2")]), 2, &["error"]);
    expect(&client.run(&["push", &from, "localhost:1/app:v1"]), 1, &["cannot connect"]);
    expect(&client.run(&["pull", &app, "docker-archive:-"]), 2, &["expected a file"]);
    // A login by one spelling is found by others, and forgotten by another one.
    client.say(&["push", &from, &app]);
    let other_platform = client.run(&["info", "--platform", "linux/s390x", &app]);
    expect(&other_platform, 1, &["cannot find an image for linux/s390x"]);
    expect(&client.run(&["info", "--insecure=a/b", &app]), 2, &["expected a host"]);
    expect(&client.run(&["info", "--insecure=", &app]), 2, &["--insecure"]);
    expect(&client.run(&["delete", &format!("{app}:v2"), "--yes"]), 2, &["error"]);
    let mut logout = client.command(&["logout", &format!("http://{host}/v2/")]);
    succeed(logout.env("REGISTRY_AUTH_FILE", "auth.json"));
    expect(&client.run(&["info", &app]), 1, &[&advice]);
}

/// A helper that has an identity token for Roadstead with accounts; its user is `<token>`.
#[test]
fn an_identity_token_is_exchanged_and_a_helper_that_fails_says_why() {
    let issued = Fake::start(move |head| {
        if head.starts_with("post /token") {
            return answer(200, "", br#"{"access_token":"good"}"#);
        }
        if head.contains("authorization: bearer good") {
            return answer(200, "", br#"{"name":"team/app","tags":["v1"]}"#);
        }
        let challenge = "WWW-Authenticate: Bearer realm=\"/token\",service=\"s\"\r\n";
        answer(401, challenge, b"")
    });
    let host = issued.url().replace("http://", "");
    let client = Roadstead::of(&Target::open(&host));
    let helper = |script: &str| {
        let path = client.home.write("bin/docker-credential-fake", format!("#!/bin/sh\n{script}"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("the file is ours");
    };
    client
        .home
        .write("auth.json", format!(r#"{{"credHelpers": {{"https://{host}/v2/": "fake"}}}}"#));
    let tags = || {
        let mut command = client.command(&["tags", &format!("{host}/team/app")]);
        let path = std::env::var("PATH").unwrap_or_default();
        let bin = client.home.path().join("bin");
        run(command.env("PATH", format!("{}:{path}", bin.display())))
    };
    helper("echo '{\"Username\": \"<token>\", \"Secret\": \"refresh\"}'");
    let listed = tags();
    assert_eq!(listed.stdout, "v1\n", "{listed}");
    assert!(!issued.requests().iter().any(|head| head.contains("authorization: basic")));
    helper("echo 'the keychain is locked'; echo noise >&2; exit 1");
    expect(&tags(), 1, &["the keychain is locked", "noise"]);
    helper("echo '{\"Secret\": 1}'");
    expect(&tags(), 1, &["cannot read what `docker-credential-fake` answers"]);
}

/// A registry may send its users anywhere, but the password goes there only if they say so.
#[test]
fn a_token_service_elsewhere_gets_no_password_unless_it_is_named() {
    let service = Fake::start(|_| answer(200, "", br#"{"token":"good"}"#));
    // Another name of loopback is another host; to the registry's own the password would go.
    let realm = service.url().replace("127.0.0.1", "localhost");
    let registry = Fake::start(move |head| {
        if head.contains("authorization: bearer good") {
            return answer(200, "", br#"{"name":"team/app","tags":["v1"]}"#);
        }
        answer(401, &format!("WWW-Authenticate: Bearer realm=\"{realm}\"\r\n"), b"")
    });
    let host = registry.url().replace("http://", "");
    let client = Roadstead::of(&Target::open(&host));
    client.home.write(
        "auth.json",
        format!(r#"{{"auths": {{"{host}": {{"auth": "YW5uYTpzZXNhbWU="}}}}}}"#),
    );
    let tags = ["tags", &format!("{host}/team/app")];
    expect(&client.run(&tags), 1, &["gets no password"]);
    assert_eq!(service.requests(), [""; 0]);
}

#[test]
fn nothing_secret_is_printed() {
    let registry = Registry::start_as(face::TLS_AND_ACCOUNTS);
    let client = Roadstead::of(registry.target());
    let layout = layout();
    let app = registry.reference("team/app:v1");
    let secret = registry.target().user().expect("it has one").password;
    for words in [
        &["push", &oci(layout.path()), &app][..],
        &["info", &app],
        &["info", &registry.reference("team/none:v1")],
    ] {
        let mut command = client.command(words);
        let finished = run(command.env("RUST_LOG", "trace").env("RUST_BACKTRACE", "1"));
        let said = format!("{}{}", finished.stdout, finished.stderr);
        assert!(!said.contains(secret) && !said.to_lowercase().contains("bearer"), "{said}");
    }
}

/// On a terminal the commands ask; a password is not shown.
#[test]
fn a_login_and_a_deletion_ask_on_a_terminal() {
    let registry = Registry::start_as(face::PASSWORDS);
    let user = registry.target().user().expect("it has one");
    let client = Roadstead::of(&registry.target_of_strangers());
    let host = registry.target().address();
    let answers = [("User", "anna\r"), ("Password", &*format!("{}x\x7f\r", user.password))];
    let seen = asked_on_terminal(client.command(&["login", host]), &answers);
    assert!(seen.contains("signed in to"), "{seen}");
    assert!(!seen.contains(user.password), "{seen}");
    let app = registry.reference("team/app:v1");
    let layout = layout();
    client.say(&["push", &oci(layout.path()), &app]);
    let seen = asked_on_terminal(client.command(&["delete", &app]), &[("Type yes", "yes\r")]);
    assert!(seen.contains("deleted tag"), "{seen}");
    assert!(registry.find("team/app", "v1").is_none());
    let progress = on_terminal(client.command(&["push", &oci(layout.path()), &app]));
    assert!(progress.contains("pushing"), "a bar is seen: {progress}");
    expect(&client.run(&["login", host]), 2, &["--password-stdin"]);
}

/// Signing in at an address that speaks TLS by an authority of its own.
#[test]
fn a_private_authority_is_trusted_by_a_file_or_not_at_all() {
    let registry = Registry::start_as(face::TLS);
    let target = registry.target();
    let app = registry.reference("team/app:v1");
    let layout = layout();
    let from = oci(layout.path());
    // It knows nothing of the authority.
    let client = Roadstead::of(&Target::open(target.address()));
    let refused = client.run(&["push", &from, &app]);
    assert_eq!(refused.code, Some(1), "{refused}");
    let authority = client.home.write("own.pem", target.authority().expect("it has one"));
    client.say(&["push", "--ca-file", &authority.display().to_string(), &from, &app]);
    client.say(&["info", "--insecure", &app]);
    client.say(&["info", &format!("--insecure={}", target.address()), &app]);
    assert_eq!(client.run(&["info", "--insecure=other.example", &app]).code, Some(1));
    let environment =
        succeed(client.command(&["tags", &app[..app.len() - 3]]).env("SSL_CERT_FILE", &authority));
    assert_eq!(environment, "v1");
    let login = client.command(&["login", &target.url(""), "-u", "anna", "--password-stdin"]);
    let mut login = with_password("x", &login);
    let finished = run(login.env("SSL_CERT_FILE", &authority).current_dir(client.home.path()));
    expect(&finished, 1, &["nothing to sign in to"]);
}
