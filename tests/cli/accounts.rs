//! The commands that administer accounts, against a server that has some.

use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use super::registries::{of_user, with_password};
use crate::common::content::{OCI_MANIFEST, image, sha256};
use crate::common::terminal::refused_on_terminal;
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
    let quota = &json("quota set acme --unreferenced 1GB --json");
    assert_eq!(quota["unreferenced"], 1_000_000_000_u64, "{quota}");
    // What was set apart from the bytes stays when these change, until it is set again.
    let quota = &json("quota set acme --bytes 5GB --json");
    assert_eq!(quota["unreferenced"], 1_000_000_000_u64, "{quota}");
    succeed(&mut command("quota set acme --bytes 10GB --unreferenced 20GB"));
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

/// A server with accounts, to which `root` has signed in from that folder.
fn signed_in(folder: &TempDir) -> Server {
    let server = Server::start_with(with_accounts);
    sign_in(&server, folder, "root", PASSWORD);
    server
}

fn sign_in(server: &Server, folder: &TempDir, name: &str, password: &str) {
    let login = ["login", server.address(), "-u", name, "--password-stdin"];
    succeed(&mut with_password(password, &of_user(folder.path(), login)));
}

#[test]
fn users_are_imported_from_a_password_file() {
    // As `htpasswd -B -C 4` writes it.
    let hash = bcrypt::hash_with_result("password", 4).unwrap();
    let hash = hash.format_for_version(bcrypt::Version::TwoY);
    let root = TempDir::new().unwrap();
    let server = signed_in(&root);
    let file = root.path().join("htpasswd");
    let import = |text: &str| {
        std::fs::write(&file, text).unwrap();
        run(of_user(root.path(), ["user", "import"]).arg(&file).arg("--json"))
    };
    let users = || succeed(&mut of_user(root.path(), ["user", "list"]));
    let refused = import(&format!("# ours\nanna:{hash}\nexample.com:{hash}\nben:s3cret\n"));
    assert_eq!(refused.code, Some(1), "{refused}");
    assert!(
        refused.stderr.contains("line 3: ") && refused.stderr.contains("line 4: "),
        "{refused}"
    );
    assert!(!refused.stderr.contains("s3cret") && !users().contains("anna"), "{refused}");

    succeed(&mut of_user(root.path(), ["namespace", "add", "acme"]));
    let file = format!("anna:{hash}\nben:{hash}\n");
    let done = import(&file);
    let said: Value = serde_json::from_str(&done.stdout).unwrap();
    assert_eq!(said["added"], serde_json::json!(["anna", "ben"]), "{done}");
    sign_in(&server, &TempDir::new().unwrap(), "anna", "password");
    // Once it was known, the password is hashed as all are; and a second import changes nothing.
    let again = import(&format!("{file}acme:{hash}\ncarl:{hash}\n"));
    assert_eq!(again.code, Some(1), "{again}");
    let said: Value = serde_json::from_str(&again.stdout).unwrap();
    assert_eq!(said["added"], serde_json::json!(["carl"]), "{again}");
    assert_eq!(said["unchanged"], serde_json::json!(["anna", "ben"]), "{again}");
    assert_eq!(
        (&said["refused"][0]["line"], &said["refused"][0]["name"]),
        (&3.into(), &"acme".into())
    );
    sign_in(&server, &TempDir::new().unwrap(), "anna", "password");
    sign_in(&server, &TempDir::new().unwrap(), "carl", "password");
    let hashes = stored_hashes(&server);
    let of = |name: &str| hashes.iter().find(|it| it.0 == name).map(|it| it.1.as_str());
    assert!(of("anna").is_some_and(|hash| hash.starts_with("$argon2id$")), "{hashes:?}");
    assert_eq!(of("ben"), Some(hash.as_str()));
    let missing = run(&mut of_user(root.path(), ["user", "import", "nowhere"]));
    assert!(!missing.succeeded() && missing.stderr.contains("cannot read nowhere"), "{missing}");
}

/// Reads the hashes of passwords out of the index; of one on a server none.
fn stored_hashes(server: &Server) -> Vec<(String, String)> {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        use sqlx::Connection;

        let url = match server.pair() {
            Some(pair) => pair.index_url(),
            None => format!("sqlite:{}", server.data().join("index.sqlite").display()),
        };
        let query = "SELECT name, password FROM principals WHERE password IS NOT NULL";
        if url.starts_with("sqlite:") {
            let mut connection = sqlx::SqliteConnection::connect(&url).await.unwrap();
            return sqlx::query_as(query).fetch_all(&mut connection).await.unwrap();
        }
        let mut connection = sqlx::PgConnection::connect(&url).await.unwrap();
        sqlx::query_as(query).fetch_all(&mut connection).await.unwrap()
    })
}

#[test]
fn administrators_come_and_go_and_owners_see_their_robots() {
    let (root, anna) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let server = signed_in(&root);
    let by = |folder: &TempDir, line: &str| of_user(folder.path(), line.split(' '));
    succeed(&mut with_password(PASSWORD, &by(&root, "user add anna --password-stdin")));
    succeed(&mut by(&root, "user add ben"));
    sign_in(&server, &anna, "anna", PASSWORD);
    assert!(!run(&mut by(&anna, "user list")).succeeded());
    succeed(&mut by(&root, "user promote anna"));
    assert!(run(&mut by(&anna, "user list")).succeeded());
    // Ben has no password, so with him alone nobody could sign in.
    succeed(&mut by(&root, "user promote ben"));
    succeed(&mut by(&root, "user demote anna"));
    let refused = run(&mut by(&root, "user demote root"));
    assert!(refused.stderr.contains("no administrator would be left"), "{refused}");
    succeed(&mut by(&root, "user demote ben"));

    let create = "token create anna-ci --robot --namespace anna --scope anna/**:pull --json";
    let made: Value = serde_json::from_str(&succeed(&mut by(&anna, create))).unwrap();
    let list = |folder: &TempDir, line: &str| -> Vec<String> {
        let found: Value = serde_json::from_str(&succeed(&mut by(folder, line))).unwrap();
        let rows = found.as_array().unwrap().iter();
        rows.map(|row| row["name"].as_str().or(row["pattern"].as_str()).unwrap().to_owned())
            .collect()
    };
    for folder in [&root, &anna] {
        assert_eq!(list(folder, "token list --robots --json"), ["anna-ci"]);
        assert_eq!(list(folder, "token list --robots --namespace anna --json"), ["anna-ci"]);
    }
    assert!(!run(&mut by(&anna, "token list --robots --namespace ben")).succeeded());
    succeed(&mut by(&anna, &format!("token revoke {}", made["id"].as_str().unwrap())));
    succeed(&mut by(&anna, "user remove anna-ci"));
    assert!(list(&anna, "token list --robots --json").is_empty());

    // A robot is of its maker, and can be of another one.
    let create = "token create ben-ci --robot --namespace ben --scope ben/**:pull --json";
    succeed(&mut by(&root, create));
    succeed(&mut by(&root, "user maker ben-ci anna"));
    succeed(&mut by(&root, "user remove anna"));
    let robots = succeed(&mut by(&root, "token list --robots --json"));
    let robots: Value = serde_json::from_str(&robots).unwrap();
    assert_eq!((&robots[0]["maker"], &robots[0]["isDisabled"]), (&Value::Null, &true.into()));
    let refused = run(&mut by(&root, "user enable ben-ci"));
    assert!(refused.stderr.contains("roadstead user maker ben-ci"), "{refused}");
    let taken = succeed(&mut by(&root, "user maker ben-ci"));
    assert!(taken.contains("no more than root") && taken.contains("user enable"), "{taken}");
    succeed(&mut by(&root, "user enable ben-ci"));
    let secret = succeed(&mut by(&root, &create.replace("--json", "--quiet")));
    let ci = TempDir::new().unwrap();
    sign_in(&server, &ci, "ben-ci", secret.trim_end());
}

#[test]
fn an_owner_sees_its_grants_and_removes_its_namespace() {
    let (root, anna) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let server = signed_in(&root);
    let by = |folder: &TempDir, line: &str| of_user(folder.path(), line.split(' '));
    succeed(&mut with_password(PASSWORD, &by(&root, "user add anna --password-stdin")));
    succeed(&mut by(&root, "user add ben"));
    sign_in(&server, &anna, "anna", PASSWORD);
    succeed(&mut by(&anna, "grant add ben reader anna/app"));
    let grants = succeed(&mut by(&anna, "grant list --json"));
    let grants: Value = serde_json::from_str(&grants).unwrap();
    assert_eq!(grants[0]["pattern"], "anna/app", "{grants}");

    succeed(&mut by(&anna, "namespace add acme"));
    succeed(&mut by(&anna, "grant add ben writer acme/**"));
    let refused = run(&mut by(&anna, "namespace remove anna"));
    assert!(!refused.succeeded() && refused.stderr.contains("the user `anna`"), "{refused}");
    let removed = succeed(&mut by(&anna, "namespace remove acme"));
    assert_eq!(removed, "removed acme");
    assert!(!succeed(&mut by(&anna, "namespace list")).contains("acme"));
    assert!(!succeed(&mut by(&root, "grant list")).contains("acme"));
    let log = succeed(&mut by(&root, "audit --user anna --since 2020-01-31 --json"));
    assert!(log.contains("remove acme and the roles in it: 1"), "{log}");
    assert_eq!(succeed(&mut by(&root, "audit --since 2999-01-01 --json")), "");
}

#[test]
fn a_password_is_read_from_a_pipe_with_the_flag_and_without() {
    let (root, anna) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let server = signed_in(&root);
    let by = |line: &str| of_user(root.path(), line.split(' '));
    succeed(&mut by("user add anna"));
    for (line, password) in [
        ("user password anna", "the first battery"),
        ("user password anna --password-stdin", "the second battery"),
    ] {
        succeed(&mut with_password(password, &by(line)));
        sign_in(&server, &anna, "anna", password);
    }
    let mut empty = by("user password anna");
    let refused = run(empty.stdin(std::process::Stdio::null()));
    assert!(!refused.succeeded() && refused.stderr.contains("no password"), "{refused}");
    // On a terminal it would wait for what nobody types, and show it.
    let refused = refused_on_terminal(by("user password anna"), &[]);
    assert!(refused.contains("--password-stdin"), "{refused}");
    sign_in(&server, &anna, "anna", "the second battery");
}

#[test]
fn a_repository_is_removed_by_its_owner() {
    let root = TempDir::new().unwrap();
    let server = signed_in(&root);
    let upload = server.url("/v2/root/app/blobs/uploads/");
    let begun = http::send(|client| client.post(upload).basic_auth("root", Some(PASSWORD)));
    assert_eq!(begun.status, 202);
    let digest = sha256(b"{}");
    let upload = server.url(&format!("/v2/root/app/blobs/uploads/?digest={digest}"));
    let pushed =
        http::send(|client| client.post(upload).basic_auth("root", Some(PASSWORD)).body("{}"));
    assert_eq!(pushed.status, 201);
    let remove = ["repository", "remove", "root/app", "--yes"];
    succeed(&mut of_user(root.path(), remove));
    let again = run(&mut of_user(root.path(), remove));
    assert!(!again.succeeded() && again.stderr.contains("there is no repository"), "{again}");
    let log = succeed(&mut of_user(root.path(), ["audit", "--repository", "root/app", "--json"]));
    assert!(log.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()), "{log}");
    assert!(log.contains("\"kind\":\"delete\""), "{log}");
}

#[test]
fn a_repository_is_listed_shown_and_hidden_and_gets_an_owner() {
    let (root, anna) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let server = signed_in(&root);
    let by = |folder: &TempDir, line: &str| of_user(folder.path(), line.split(' '));
    succeed(&mut with_password(PASSWORD, &by(&root, "user add anna --password-stdin")));
    sign_in(&server, &anna, "anna", PASSWORD);
    let config = b"{}";
    let blob = format!("/v2/root/app/blobs/uploads/?digest={}", sha256(config));
    let pushed = http::send(|client| {
        let request = client.post(server.url(&blob)).body(config.to_vec());
        request.basic_auth("root", Some(PASSWORD))
    });
    assert_eq!(pushed.status, 201);
    let manifest = server.url("/v2/root/app/manifests/v1");
    let pushed = http::send(|client| {
        let request = client.put(&manifest).header("Content-Type", OCI_MANIFEST);
        request.body(image(config, &[]).to_string()).basic_auth("root", Some(PASSWORD))
    });
    assert_eq!(pushed.status, 201);
    let listed = |folder: &TempDir| -> Vec<String> {
        let list = succeed(&mut by(folder, "repository list --json"));
        let list: Value = serde_json::from_str(&list).unwrap();
        let rows = list.as_array().unwrap().iter();
        rows.map(|row| format!("{} {}", row["name"], row["visibility"]).replace('"', "")).collect()
    };
    let pulled = || http::get(&manifest);
    assert_eq!(listed(&root), ["root/app private"], "as the setting says");
    assert!(listed(&anna).is_empty());
    assert_eq!(pulled().status, 401);
    let visibility = |folder: &TempDir, visibility: &str| {
        run(&mut by(folder, &format!("repository visibility root/app {visibility}")))
    };
    let refused = visibility(&anna, "public");
    assert!(refused.stderr.contains("there is no repository"), "{refused}");
    // Each takes effect before it returns.
    assert!(visibility(&root, "public").succeeded());
    let public = pulled();
    assert_eq!(public.status, 200);
    assert!(public.header("x-ipfs-path").starts_with("/ipfs/"), "it is in the public tree");
    assert_eq!(listed(&anna), ["root/app public"]);
    let internal = visibility(&root, "internal");
    assert!(internal.stdout.contains("shared caches"), "{internal}");
    assert_eq!((pulled().status, listed(&anna)), (401, vec!["root/app internal".to_owned()]));
    assert!(visibility(&root, "private").succeeded());
    assert!(listed(&anna).is_empty());
    succeed(&mut by(&root, "repository owner root/app anna"));
    assert_eq!(listed(&anna), ["root/app private"]);
    assert!(visibility(&anna, "internal").succeeded());
    succeed(&mut by(&root, "grant remove anna owner root/app"));
    assert!(!visibility(&anna, "private").succeeded());
}

#[test]
fn a_data_folder_is_refused_by_commands_that_read_none() {
    for line in [
        "token list",
        "user list",
        "user remove anna",
        "user password anna --password-stdin --registry localhost:1",
        "team list",
        "grant list",
        "namespace list",
        "repository list",
        "audit",
        "login localhost:1 -u anna --password-stdin",
        "logout localhost:1",
        "setup localhost:1 --code a --password-stdin",
        "completions bash",
        "man",
    ] {
        let folder = TempDir::new().unwrap();
        let mut command = of_user(folder.path(), line.split(' '));
        command.arg("--data").arg(folder.path());
        let refused = run(&mut command);
        assert_eq!(refused.code, Some(2), "{refused}");
        assert!(refused.stderr.contains("--data"), "{refused}");
    }
}

#[test]
fn to_an_open_registry_there_is_nothing_to_sign_in() {
    let (server, folder) = (Server::start(), TempDir::new().unwrap());
    let login = ["login", server.address(), "-u", "anna", "--password-stdin"];
    let refused = run(&mut with_password(PASSWORD, &of_user(folder.path(), login)));
    assert_eq!(refused.code, Some(1), "{refused}");
    assert!(refused.stderr.contains("nothing to sign in to"), "{refused}");
    assert!(!folder.path().join("config.json").exists());
}

#[test]
fn administrators_have_garbage_collected_over_the_registry_and_nobody_else() {
    let server = Server::start_with(|command| {
        with_accounts(command);
        command.env("ROADSTEAD_GC__GRACE", "1ms").env("ROADSTEAD_GC__INTERVAL", "0");
    });
    let (root, anna) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let host = server.address();
    let command = |line: &str| of_user(root.path(), line.split(' '));
    let login = format!("login {host} -u root --password-stdin");
    succeed(&mut with_password(PASSWORD, &command(&login)));
    succeed(&mut with_password(PASSWORD, &command("user add anna --password-stdin")));
    let blob = b"a stray blob";
    let digest = crate::common::content::sha256(blob);
    let upload = server.url(&format!("/v2/acme/app/blobs/uploads/?digest={digest}"));
    let pushed = http::send(|client| {
        client.post(upload).basic_auth("root", Some(PASSWORD)).body(blob.to_vec())
    });
    assert_eq!(pushed.status, 201, "{}", pushed.text());
    std::thread::sleep(std::time::Duration::from_millis(20));

    let login = format!("login {host} -u anna --password-stdin");
    succeed(&mut with_password(PASSWORD, &of_user(anna.path(), login.split(' '))));
    let refused = run(&mut of_user(anna.path(), ["gc"]));
    assert!(!refused.succeeded() && refused.stderr.contains("only administrators"), "{refused}");
    let planned: Value =
        serde_json::from_str(&succeed(&mut command("gc --dry-run --json"))).unwrap();
    assert_eq!((&planned["dry_run"], &planned["bytes"]), (&true.into(), &blob.len().into()));
    let collected: Value = serde_json::from_str(&succeed(&mut command("gc --now --json"))).unwrap();
    assert_eq!(collected["blobs"], serde_json::json!({ "count": 1, "bytes": blob.len() }));
    let log = succeed(&mut command("audit --user root --json"));
    assert!(log.contains("\"collect\""), "{log}");
    let text = succeed(&mut command("gc"));
    assert!(text.contains("nothing to collect"), "{text}");
}
