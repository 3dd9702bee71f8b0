use tempfile::TempDir;

use super::*;

fn anna() -> Credentials {
    Credentials { user: "anna".to_owned(), password: "se:cret".into() }
}

#[test]
fn credentials_are_stored_as_docker_does_it() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("config.json");
    fs::write(&path, r#"{"HttpHeaders": {"a": "b"}, "auths": {"other": {"auth": "eDp5"}}}"#)
        .unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    let mut config = DockerConfig::open(folder.path()).unwrap();
    config.store("localhost:5000", &anna()).unwrap();
    let mut config = DockerConfig::open(folder.path()).unwrap();
    let found = config.credentials("localhost:5000").unwrap().unwrap();
    assert_eq!((&*found.user, found.password.expose_secret()), ("anna", "se:cret"));
    let document: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    assert_eq!(document["HttpHeaders"]["a"], "b");
    assert_eq!(document["auths"]["localhost:5000"]["auth"], "YW5uYTpzZTpjcmV0");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
    config.erase("localhost:5000").unwrap();
    let config = DockerConfig::open(folder.path()).unwrap();
    assert!(config.credentials("localhost:5000").unwrap().is_none());
    assert!(config.credentials("other").unwrap().is_some());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left over");
}

#[test]
fn credentials_are_found_by_every_spelling() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("config.json");
    for (key, registry, repository, is_found) in [
        ("a.example", "a.example", None, true),
        ("https://A.example:443/v2/", "a.example", None, true),
        ("http://a.example/v1/", "a.example", None, true),
        ("a.example:80", "a.example", None, false),
        ("a.example:5000", "a.example:5000", None, true),
        ("a.example:5000", "a.example", None, false),
        ("https://index.docker.io/v1/", "docker.io", None, true),
        ("registry-1.docker.io", "docker.io", None, true),
        ("a.example/team", "a.example", Some("team/app"), true),
        ("a.example/team", "a.example", Some("teams/app"), false),
        ("a.example/team", "a.example", None, false),
    ] {
        fs::write(&path, json!({ "auths": { key: { "auth": "eDp5" } } }).to_string()).unwrap();
        let mut config = DockerConfig::open(folder.path()).unwrap();
        let found = config.login(registry, repository).unwrap();
        assert_eq!(found.is_some(), is_found, "{key} {registry} {repository:?}");
        if repository.is_none() && is_found {
            config.erase(registry).unwrap();
            let text = fs::read_to_string(&path).unwrap();
            assert!(!text.contains("eDp5"), "{text}");
        }
    }
}

#[test]
fn what_is_erased_is_found_in_no_file() {
    let folder = TempDir::new().unwrap();
    let (docker, podman) = (folder.path().join("config.json"), folder.path().join("auth.json"));
    let auths = json!({
        "a.example": { "auth": "eDp5" },
        "https://A.example:443/team": { "auth": "eDp5" },
        "a.example.other": { "auth": "eDp5" },
    });
    for path in [&docker, &podman] {
        fs::write(path, json!({ "auths": auths }).to_string()).unwrap();
    }
    let open = || {
        let others = vec![DockerConfig::read(podman.clone()).unwrap()];
        DockerConfig { others, ..DockerConfig::read(docker.clone()).unwrap() }
    };
    assert!(open().login("a.example", Some("team/app")).unwrap().is_some());
    open().erase("a.example").unwrap();
    assert!(open().login("a.example", Some("team/app")).unwrap().is_none());
    for path in [&docker, &podman] {
        let document = read_json(path).unwrap().unwrap();
        let names: Vec<_> = document["auths"].as_object().unwrap().keys().collect();
        assert_eq!(names, ["a.example.other"]);
    }

    // What cannot go is named, and the rest goes.
    fs::write(&docker, r#"{"auths": [], "credsStore": "a b"}"#).unwrap();
    fs::write(&podman, json!({ "auths": auths }).to_string()).unwrap();
    let error = open().erase("a.example").unwrap_err().to_string();
    assert!(error.contains("config.json") && !error.contains("auth.json"), "{error}");
    assert_eq!(read_json(&podman).unwrap().unwrap()["auths"].as_object().unwrap().len(), 1);
}

#[test]
fn a_name_alone_is_in_this_folder() {
    for (path, folder) in [("auth.json", "."), ("a/auth.json", "a"), ("/auth.json", "/")] {
        assert_eq!(folder_of(Path::new(path)), Path::new(folder));
    }
}

#[test]
fn the_longest_namespace_decides() {
    let folder = TempDir::new().unwrap();
    let auths = json!({
        "a.example": { "auth": BASE64_STANDARD.encode("all:x") },
        "a.example/team": { "auth": BASE64_STANDARD.encode("team:x") },
    });
    let path = folder.path().join("config.json");
    fs::write(&path, json!({ "auths": auths }).to_string()).unwrap();
    let config = DockerConfig::open(folder.path()).unwrap();
    for (repository, user) in [("team/app", "team"), ("other/app", "all")] {
        let found = config.login("a.example", Some(repository)).unwrap().unwrap();
        assert!(matches!(found, Login::Password(it) if it.user == user), "{repository}");
    }
}

#[test]
fn logins_at_once_lose_nothing() {
    let folder = TempDir::new().unwrap();
    std::thread::scope(|scope| {
        for number in 0..50 {
            let path = folder.path();
            scope.spawn(move || {
                let mut config = DockerConfig::open(path).unwrap();
                config.store(&format!("r{number}.example"), &anna()).unwrap();
            });
        }
    });
    let config = DockerConfig::open(folder.path()).unwrap();
    assert_eq!(config.document["auths"].as_object().unwrap().len(), 50);
}

#[test]
fn a_new_file_is_the_users_own() {
    let folder = TempDir::new().unwrap();
    let inner = folder.path().join("docker");
    DockerConfig::open(&inner).unwrap().store("a.example", &anna()).unwrap();
    let mode = fs::metadata(inner.join("config.json")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_link_stays_a_link() {
    let folder = TempDir::new().unwrap();
    let target = folder.path().join("real.json");
    fs::write(&target, "{}").unwrap();
    let path = folder.path().join("config.json");
    std::os::unix::fs::symlink(&target, &path).unwrap();
    DockerConfig::open(folder.path()).unwrap().store("a.example", &anna()).unwrap();
    assert!(fs::symlink_metadata(&path).unwrap().is_symlink());
    assert!(fs::read_to_string(&target).unwrap().contains("a.example"));
}

#[test]
fn what_cannot_be_used_is_refused() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("config.json");
    for text in [
        r#"{"auths": {"a.example": {"auth": "", "identitytoken": "x"}}}"#,
        r#"{"auths": {"a.example": {"auth": "not base64"}}}"#,
        r#"{"credsStore": "../evil"}"#,
        r#"{"credHelpers": {"a.example": "a b"}}"#,
    ] {
        fs::write(&path, text).unwrap();
        let config = DockerConfig::open(folder.path()).unwrap();
        assert!(config.credentials("a.example").is_err(), "{text}");
    }
    fs::write(&path, "[]").unwrap();
    assert!(DockerConfig::open(folder.path()).is_err());
}
