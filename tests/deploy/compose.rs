//! `docker-compose.yml`, as docker-compose reads it.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::common::{KuboNode, require, succeed};
use crate::deploy::{assert_is_over_kubo_and_postgres, items, keys, path, settings, words, yaml};

/// The file with all that docker-compose makes of it.
fn compose() -> Option<Value> {
    let program = require("docker-compose")?;
    let mut config = Command::new(program);
    config.arg("--file").arg(path("docker-compose.yml")).arg("config");
    Some(yaml(&succeed(&mut config)))
}

fn environment(service: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let all = service["environment"].as_object().unwrap();
    all.iter().map(|(name, value)| (name.clone(), text(value))).collect()
}

/// Whom services can be reached by from outside: address, port of the host, port of the service.
fn published(service: &Value) -> Vec<String> {
    let one = |port: &Value| match port {
        Value::String(port) => port.clone(),
        port => format!("{}:{}/{}", port["published"], port["target"], port["protocol"]),
    };
    items(&service["ports"]).iter().map(|port| one(port).replace('"', "")).collect()
}

#[test]
fn the_environment_is_that_of_a_registry_over_kubo_and_postgres() {
    let Some(compose) = compose() else { return };
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("index_url");
    fs::write(&file, "postgres://roadstead:secret@postgres/roadstead\n").unwrap();
    let place = "/run/secrets/index_url";
    let mut environment = environment(&compose["services"]["roadstead"]);
    let url = environment.iter_mut().find(|(_, value)| value == place).unwrap();
    url.1 = file.display().to_string();
    let settings = settings(&environment).unwrap();
    assert_is_over_kubo_and_postgres(&settings);
    assert!(settings.auth.allow_open);
}

#[test]
fn only_the_registry_and_the_node_s_peers_are_published() {
    let Some(compose) = compose() else { return };
    let services = &compose["services"];
    assert_eq!(keys(services), ["kubo", "postgres", "roadstead"]);
    let [registry] = &published(&services["roadstead"])[..] else { panic!("{services}") };
    // Everybody may push there, so nobody but this machine may come.
    assert_eq!(registry.trim_end_matches("/tcp"), "127.0.0.1:5000:5000");
    assert_eq!(published(&services["kubo"]), ["4001:4001/tcp", "4001:4001/udp"]);
    assert_eq!(published(&services["postgres"]), [""; 0]);
    assert_eq!(keys(&services["kubo"]["networks"]), ["node"]);
    assert_eq!(keys(&services["postgres"]["networks"]), ["database"]);
    assert_eq!(keys(&services["roadstead"]["networks"]), ["database", "node"]);
}

#[test]
fn no_password_stands_in_the_file_and_all_data_in_volumes() {
    let Some(compose) = compose() else { return };
    assert_eq!(keys(&compose["volumes"]), ["kubo", "postgres", "roadstead"]);
    for (service, volume) in [
        ("roadstead", "roadstead:/var/lib/roadstead"),
        ("kubo", "kubo:/data/ipfs"),
        ("postgres", "postgres:/var/lib/postgresql/data"),
    ] {
        let service = &compose["services"][service];
        let volumes = words(&service["volumes"]);
        assert_eq!(volumes[0].trim_end_matches(":rw"), volume);
        for (name, value) in environment(service) {
            let is_secret = name.contains("PASSWORD") || name.contains("URL");
            assert_eq!(is_secret, value.starts_with("/run/secrets/"), "{name}: {value}");
        }
    }
    let secrets = compose["secrets"].as_object().unwrap();
    for (name, secret) in secrets {
        let file = secret["file"].as_str().unwrap();
        assert_eq!(file, path(&format!("secrets/{name}")).display().to_string());
    }
}

#[test]
fn the_registry_waits_until_the_others_are_well() {
    let Some(compose) = compose() else { return };
    let services = &compose["services"];
    let healthy = json!({ "condition": "service_healthy" });
    assert_eq!(
        services["roadstead"]["depends_on"],
        json!({ "kubo": healthy, "postgres": healthy })
    );
    let check = words(&services["postgres"]["healthcheck"]["test"]);
    assert_eq!(check[..2], ["CMD", "pg_isready"]);

    // The node's is asked of a real one.
    let Some(mut node) = KuboNode::start() else { return };
    let check = words(&services["kubo"]["healthcheck"]["test"]);
    assert_eq!(check[..3], ["CMD", "ipfs", "--api=/ip4/127.0.0.1/tcp/5001"]);
    node.ipfs(check[3..].iter().copied());
    node.stop();
    let failed = crate::common::run(&mut node.command(check[3..].iter().copied()));
    assert!(!failed.succeeded(), "{failed}");
}

#[test]
fn the_node_is_prepared_by_the_script_of_the_page() {
    let Some(compose) = compose() else { return };
    let kubo = &compose["services"]["kubo"];
    let script = format!("{}:/container-init.d/roadstead.sh:ro", path("config/kubo.sh").display());
    assert_eq!(words(&kubo["volumes"])[1], script);
    // One that may be executed is, in a shell of its own.
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &fs::metadata(path("config/kubo.sh")).unwrap().permissions(),
    );
    assert_eq!(mode & 0o555, 0o555, "{mode:o}");
    let image = kubo["image"].as_str().unwrap();
    let tested = crate::deploy::text("scripts/tools");
    let version = tested.lines().find_map(|line| line.strip_prefix("kubo_version=")).unwrap();
    assert_eq!(image, format!("ipfs/kubo:{version}"));
}
