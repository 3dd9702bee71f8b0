//! `deploy-registry.yaml`: the form of an SDL of Akash, version 2.0, and the services of docker-compose.yml.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::common::{require, succeed};
use crate::deploy::{assert_is_over_kubo_and_postgres, items, keys, settings, text, words, yaml};

fn sdl() -> Value {
    yaml(&text("deploy-registry.yaml"))
}

fn environment(service: &Value) -> Vec<(String, String)> {
    let pairs = words(&service["env"]).into_iter().map(|pair| pair.split_once('=').unwrap());
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

#[test]
fn every_service_is_deployed_and_what_has_to_last_is_on_a_persistent_volume() {
    let sdl = sdl();
    let services = keys(&sdl["services"]);
    assert_eq!(keys(&sdl["profiles"]["compute"]), services);
    assert_eq!(keys(&sdl["deployment"]), services);
    for service in services {
        let volumes = items(&sdl["profiles"]["compute"][service]["resources"]["storage"]);
        let is_persistent = |it: &&Value| it["attributes"]["persistent"] == true;
        let names = |it: &Value| it["name"].as_str().unwrap().to_owned();
        let persistent: Vec<_> = volumes.iter().filter(is_persistent).map(names).collect();
        let mounted = &sdl["services"][service]["params"]["storage"];
        let mounted = mounted.as_object().map_or(Vec::new(), |_| keys(mounted));
        assert_eq!(persistent, mounted, "{service}");
    }
}

#[test]
fn the_network_reaches_the_registry_and_the_node_s_peers_and_nothing_else() {
    let sdl = sdl();
    let mut global = BTreeSet::new();
    let mut within = BTreeSet::new();
    for service in keys(&sdl["services"]) {
        for exposed in items(&sdl["services"][service]["expose"]) {
            let port = exposed["port"].as_u64().unwrap();
            let outside = exposed["as"].as_u64().unwrap_or(port);
            for to in items(&exposed["to"]) {
                match (to["global"].as_bool(), to["service"].as_str()) {
                    (Some(true), None) => global.insert((service, port, outside)),
                    (None, Some(other)) => within.insert((other, service, outside)),
                    _ => panic!("{to}"),
                };
            }
        }
    }
    assert_eq!(Vec::from_iter(global), [("kubo", 4001, 4001), ("roadstead", 5000, 80)]);
    assert_eq!(
        Vec::from_iter(within),
        [("roadstead", "kubo", 5001), ("roadstead", "kubo", 8080), ("roadstead", "postgres", 5432)]
    );
}

#[test]
fn the_registry_is_over_kubo_and_postgres_and_has_users() {
    let sdl = sdl();
    let service = &sdl["services"]["roadstead"];
    let settings = settings(&environment(service)).unwrap();
    assert_is_over_kubo_and_postgres(&settings);
    assert_eq!(settings.auth.method, "htpasswd");
    assert!(!settings.auth.allow_open);
    // What it is told by a variable goes into the file that it reads.
    let file = settings.auth.htpasswd.file.display().to_string();
    let folder = TempDir::new().unwrap();
    let ours = folder.path().join("htpasswd").display().to_string();
    let script =
        words(&service["args"])[0].replace(&file, &ours).replace("exec roadstead serve", "true");
    assert!(script.contains(&ours) && script.ends_with("&& true"), "{script}");
    let mut start = Command::new("bash");
    succeed(start.args(["-c", &script]).env("HTPASSWD", "anna:$2y$05$abc"));
    assert_eq!(fs::read_to_string(ours).unwrap(), "anna:$2y$05$abc\n");
}

#[test]
fn both_know_the_same_password() {
    let sdl = sdl();
    let postgres = environment(&sdl["services"]["postgres"]);
    let of = |name: &str| &postgres.iter().find(|(other, _)| other == name).unwrap().1;
    let url = format!(
        "postgres://{}:{}@postgres/{}",
        of("POSTGRES_USER"),
        of("POSTGRES_PASSWORD"),
        of("POSTGRES_DB")
    );
    let registry = environment(&sdl["services"]["roadstead"]);
    assert!(registry.contains(&("ROADSTEAD_INDEX__URL".to_owned(), url)));
}

/// The node's start, up to where the image's own begins, on a real repository.
#[test]
fn the_node_is_prepared_as_config_kubo_sh_does_and_announces_its_address() {
    let Some(program) = require("ipfs") else { return };
    let sdl = sdl();
    let service = &sdl["services"]["kubo"];
    assert_eq!(words(&service["command"]), ["sh", "-c"]);
    let start = words(&service["args"])[0];
    let script = text("config/kubo.sh");
    assert!(start.contains(&script), "the settings are not those of config/kubo.sh:\n{start}");
    assert!(start.trim_end().ends_with("exec tini -- start_ipfs daemon --migrate=true"), "{start}");

    let home = TempDir::new().unwrap();
    let (bin, repository) = (home.path().join("bin"), home.path().join("repository"));
    fs::create_dir(&bin).unwrap();
    std::os::unix::fs::symlink(program, bin.join("ipfs")).unwrap();
    let file = home.path().join("roadstead.sh").display().to_string();
    let start = start
        .replace("/container-init.d/roadstead.sh", &file)
        .replace("exec tini -- start_ipfs daemon --migrate=true", &format!(". {file}"));
    let shell = |script: &str, announce: &str| {
        let mut command = Command::new("sh");
        command.args(["-c", script]).env("PATH", format!("{}:/usr/bin:/bin", bin.display()));
        succeed(command.env("IPFS_PATH", &repository).env("ANNOUNCE", announce))
    };
    shell("ipfs init --profile=server --empty-repo", "");
    let announced = || {
        let config = fs::read(repository.join("config")).unwrap();
        let config: Value = serde_json::from_slice(&config).unwrap();
        assert_eq!(config["Gateway"]["NoFetch"], true);
        config["Addresses"]["AppendAnnounce"].clone()
    };
    let environment = environment(service);
    let (_, none) = environment.iter().find(|(name, _)| name == "ANNOUNCE").unwrap();
    shell(&start, none);
    assert_eq!(announced(), json!([]));
    let address = "/dns4/provider.example.com/tcp/31234";
    shell(&start, address);
    assert_eq!(announced(), json!([address]));
}
