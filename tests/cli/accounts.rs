//! The commands that administer accounts, against a server that has some.

use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use super::registries::{of_user, with_password};
use crate::common::{Server, http, run, succeed};

const PASSWORD: &str = "correct horse battery";

fn with_accounts(command: &mut Command) {
    command
        .env("ROADSTEAD_AUTH__METHOD", "accounts")
        .env("ROADSTEAD_AUTH__ACCOUNTS__ADMIN", "root")
        .env("ROADSTEAD_AUTH__ACCOUNTS__ADMIN_PASSWORD", PASSWORD);
}

#[test]
fn a_team_with_a_robot_is_made_by_commands() {
    let server = Server::start_with(with_accounts);
    let (root, ci) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let host = server.address();
    let command = |line: &str| of_user(root.path(), line.split(' '));
    let json =
        |line: &str| -> Value { serde_json::from_str(&succeed(&mut command(line))).unwrap() };
    let login = format!("login {host} -u root --password-stdin");
    succeed(&mut with_password(PASSWORD, &command(&login)));
    succeed(&mut with_password(PASSWORD, &command("user add anna --password-stdin")));
    for line in [
        "team add dev",
        "team add dev anna",
        "namespace add acme",
        "grant add team:dev writer acme/**",
    ] {
        succeed(&mut command(line));
    }
    let users = json("user list --json");
    let names: Vec<_> = users.as_array().unwrap().iter().map(|user| &user["name"]).collect();
    assert_eq!(names, ["anna", "root"]);
    assert_eq!(json("grant list --namespace acme --json")[0]["holder"], "team:dev");

    // An administrator's first push makes the namespace.
    let upload = server.url("/v2/fresh/app/blobs/uploads/");
    let begun = http::send(|client| client.post(upload).basic_auth("root", Some(PASSWORD)));
    assert_eq!(begun.status, 202);
    let namespaces = json("namespace list --json");
    let names = namespaces.as_array().unwrap().iter().map(|it| it["name"].clone());
    assert!(names.collect::<Vec<_>>().contains(&"fresh".into()), "{namespaces}");
    succeed(&mut command("namespace owner fresh anna"));

    let made = json(
        "token create acme-ci --robot --namespace acme --scope acme/**:pull,push --expires 1d --json",
    );
    let secret = made["secret"].as_str().unwrap();
    let login = format!("login {host} -u acme-ci --password-stdin");
    let login = || with_password(secret, &of_user(ci.path(), login.split(' ')));
    succeed(&mut login());
    // Its scopes are about images.
    assert!(!run(&mut of_user(ci.path(), ["user", "list"])).succeeded());
    succeed(&mut command(&format!("token revoke {}", made["id"].as_str().unwrap())));
    assert!(!run(&mut login()).succeeded(), "it takes effect before it returns");

    succeed(&mut command("quota set acme --bytes 10GB --repositories 50"));
    succeed(&mut command("quota set acme --tags 500"));
    let quota = &json("quota list --json")[0];
    let expected = [("bytes", 10_000_000_000_u64), ("unreferenced", 20_000_000_000)];
    let expected =
        expected.into_iter().chain([("repositories", 50), ("tags", 500), ("usedBytes", 0)]);
    for (name, number) in expected {
        assert_eq!(quota[name], number, "{quota}");
    }
    let table = succeed(&mut command("quota list"));
    assert!(table.starts_with("NAMESPACE") && table.contains("acme"), "{table}");
    succeed(&mut command("quota remove acme"));
    assert_eq!(json("quota list --json"), Value::Array(Vec::new()));
    assert!(!run(&mut command("quota remove acme")).succeeded());
    for line in ["quota set absent --tags 1", "quota set acme", "quota set acme --bytes 1.5GB"] {
        assert!(!run(&mut command(line)).succeeded(), "{line}");
    }

    let log = succeed(&mut command("audit --user root --json"));
    let kinds: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(kinds.iter().any(|event| event["kind"] == "grant"), "{log}");
    assert!(!log.contains(secret) && !log.contains(PASSWORD));

    let refused = run(&mut command("user remove root"));
    assert!(refused.stderr.contains("no administrator would be left"), "{refused}");
    succeed(&mut command("user disable anna"));
    let anna = TempDir::new().unwrap();
    let login = format!("login {host} -u anna --password-stdin");
    let login = with_password(PASSWORD, &of_user(anna.path(), login.split(' ')));
    assert!(!run(&mut { login }).succeeded());
}
