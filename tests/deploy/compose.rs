//! `docker-compose.yml`, as docker-compose reads it.

use std::fs;
use std::process::Command;

use serde_json::Value;
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
    let path = "/run/secrets/index_url";
    let mut environment = environment(&compose["services"]["roadstead"]);
    let url = environment.iter_mut().find(|(_, value)| value == path).unwrap();
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
}

#[test]
fn the_health_check_of_the_node_sees_whether_it_answers() {
    let Some(compose) = compose() else { return };
    let services = &compose["services"];
    let Some(mut node) = KuboNode::start() else { return };
    let check = words(&services["kubo"]["healthcheck"]["test"]);
    assert_eq!(check[..3], ["CMD", "ipfs", "--api=/ip4/127.0.0.1/tcp/5001"]);
    node.ipfs(check[3..].iter().copied());
    node.stop();
    let failed = crate::common::run(&mut node.command(check[3..].iter().copied()));
    assert!(!failed.succeeded(), "{failed}");
}

#[test]
fn the_node_is_the_one_that_is_tested() {
    let Some(compose) = compose() else { return };
    let image = compose["services"]["kubo"]["image"].as_str().unwrap();
    let tools = crate::deploy::text("scripts/tools");
    let version = tools.lines().find_map(|line| line.strip_prefix("kubo_version=")).unwrap();
    assert_eq!(image, format!("ipfs/kubo:{version}"));
}
