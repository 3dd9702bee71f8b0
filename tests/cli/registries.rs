//! Signing in to registries, and what is kept of that.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use roadstead::index::{self, Actor, FirstAdministrator};
use serde_json::Value;
use tempfile::TempDir;

use crate::common::{Server, roadstead, run, succeed};

/// A command that reads a password from its standard input.
pub(crate) fn with_password(password: &str, command: &Command) -> Command {
    let mut piped = Command::new("sh");
    piped.args(["-c", "printf '%s\\n' \"$TYPED\" | \"$0\" \"$@\""]);
    piped.arg(command.get_program()).args(command.get_args()).env("TYPED", password);
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => piped.env(name, value),
            None => piped.env_remove(name),
        };
    }
    piped
}

/// A command of a user whose docker settings are in that folder.
pub(crate) fn of_user<'a>(folder: &Path, arguments: impl IntoIterator<Item = &'a str>) -> Command {
    let mut command = roadstead(arguments);
    command.env("DOCKER_CONFIG", folder);
    command
}

fn login(folder: &Path, host: &str, password: &str) -> Command {
    let arguments = ["login", host, "-u", "anna", "--password-stdin"];
    with_password(password, &of_user(folder, arguments))
}

fn read(path: impl AsRef<Path>) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn with_anna(command: &mut Command) {
    let folder = command.get_current_dir().unwrap_or(Path::new(".")).to_owned();
    let file = folder.join("htpasswd");
    fs::write(&file, format!("anna:{}\n", bcrypt::hash("secret", 4).unwrap())).unwrap();
    command.env("ROADSTEAD_AUTH__METHOD", "htpasswd").env("ROADSTEAD_AUTH__HTPASSWD__FILE", file);
}

#[test]
fn a_login_is_kept_where_docker_keeps_its_own() {
    let server = Server::start_with(with_anna);
    let folder = TempDir::new().unwrap();
    let (user, host) = (folder.path(), server.address());
    let refused = run(&mut of_user(user, ["user", "list"]));
    assert!(!refused.succeeded() && refused.stderr.contains("roadstead login"), "{refused}");
    let refused = run(&mut login(user, host, "wrong"));
    assert!(!refused.succeeded() && refused.stderr.contains("refuses"), "{refused}");
    assert_eq!(fs::read_dir(user).unwrap().count(), 0, "nothing is kept of it");

    succeed(&mut login(user, host, "secret"));
    assert_eq!(read(user.join("config.json"))["auths"][host]["auth"], "YW5uYTpzZWNyZXQ=");
    assert_eq!(read(user.join("roadstead.json"))["registry"], format!("http://{host}"));
    // It is used, and this registry has no accounts.
    for flags in [&[][..], &["--registry", host]] {
        let arguments = ["user", "list"].into_iter().chain(flags.iter().copied());
        let listed = run(&mut of_user(user, arguments));
        assert!(listed.stderr.contains("auth.method"), "{listed}");
    }
    let mut elsewhere = of_user(user, ["user", "list"]);
    let elsewhere = run(elsewhere.env("ROADSTEAD_REGISTRY", "127.0.0.1:1"));
    assert!(elsewhere.stderr.contains("127.0.0.1:1"), "{elsewhere}");

    succeed(&mut of_user(user, ["logout", host]));
    assert!(read(user.join("config.json"))["auths"].get(host).is_none());
    assert!(read(user.join("roadstead.json")).get("registry").is_none());
}

#[test]
fn a_credential_helper_keeps_what_it_is_set_for() {
    let server = Server::start_with(with_anna);
    let folder = TempDir::new().unwrap();
    let (user, host) = (folder.path(), server.address());
    let helper = user.join("docker-credential-test");
    let kept = user.join("kept");
    let script = format!(
        "#!/bin/sh\ncase $1 in\nstore) cat > {kept};;\nget) cat {kept} 2>/dev/null || {{ echo credentials not found in \
         native keychain; exit 1; }};;\nerase) rm {kept};;\nesac\n",
        kept = kept.display()
    );
    fs::write(&helper, script).unwrap();
    fs::set_permissions(&helper, fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", user.display(), std::env::var("PATH").unwrap());
    fs::write(user.join("config.json"), r#"{"credsStore": "test"}"#).unwrap();

    succeed(login(user, host, "secret").env("PATH", &path));
    assert_eq!(read(&kept)["Secret"], "secret");
    assert_eq!(read(&kept)["ServerURL"], host);
    let config = fs::read_to_string(user.join("config.json")).unwrap();
    assert!(!config.contains("YW5uYTpzZWNyZXQ="), "{config}");
    let listed = run(of_user(user, ["user", "list"]).env("PATH", &path));
    assert!(listed.stderr.contains("auth.method"), "{listed}");
    succeed(of_user(user, ["logout", host]).env("PATH", &path));
    assert!(!kept.exists());
    let refused = run(of_user(user, ["user", "list", "--registry", host]).env("PATH", &path));
    assert!(refused.stderr.contains("roadstead login"), "{refused}");
}

#[test]
fn a_password_is_set_without_a_server() {
    let mut server = Server::start_embedded();
    let data = server.data();
    let url = format!("sqlite:{}", data.join("index.sqlite").display());
    let set = || {
        let arguments = ["user", "password", "root", "--password-stdin", "--data"];
        let mut command = roadstead(arguments);
        command.arg(&data);
        with_password("correct horse battery", &command)
    };
    let refused = run(&mut set());
    assert!(!refused.succeeded(), "a server has the folder: {refused}");
    server.stop();
    let refused = run(&mut set());
    assert!(refused.stderr.contains("there is no user"), "{refused}");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let index = index::open(&url).await.unwrap();
        let (hash, nobody) = ("hash".into(), Actor::default());
        let made = index.add_first_administrator("root", &hash, &nobody, 1).await.unwrap();
        assert!(matches!(made, FirstAdministrator::Made(_)));
    });
    succeed(&mut set());
    let changes = runtime.block_on(async {
        let index = index::open(&url).await.unwrap();
        index.principal("root").await.unwrap().unwrap().password_changes
    });
    assert_eq!(changes, 1);
}
