//! Docker's daemon as a source and a target: a real one, none, and one that lies.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::json;
use tempfile::TempDir;

use super::made::{Made, config, digest};
use super::{Roadstead, expect, oci};
use crate::client::fake::{Fake, answer};
use crate::clients::docker::Docker;
use crate::clients::image::Image;
use crate::clients::link::{Link, Manner};
use crate::clients::registry::Registry;
use crate::common::content::{MIB, noise};
use crate::common::{Finished, Process, require, run, succeed};

/// A command whose daemon is there.
fn at(client: &Roadstead, host: &str, words: &[&str]) -> Command {
    let mut command = client.command(words);
    command.env("DOCKER_HOST", host);
    command
}

/// The files that commands leave in their folder for what is on its way.
fn leftovers(client: &Roadstead) -> usize {
    fs::read_dir(client.home.path().join("tmp")).expect("the folder is there").count()
}

#[test]
fn docker_runs_what_was_pulled_into_it_and_what_it_built_is_pushed() {
    let Some(busybox) = require("busybox") else { return };
    let registry = Registry::start();
    let Some(docker) = Docker::find(registry.target()) else { return };
    let client = Roadstead::of(registry.target());
    let say = |words: &[&str]| succeed(&mut at(&client, &docker.host(), words));
    let image = Image::of_its_own(&busybox);
    let app = docker.reference("team/daemon:v1");
    docker.build(&image, &app);
    let id = docker.image_id(&app);

    let pushed = say(&["push", "--quiet", &app]);
    assert_eq!(registry.digest("team/daemon", "v1"), pushed);
    assert_eq!(registry.config("team/daemon", "v1"), id);
    // By its id, under another name; and what is there is not sent again.
    let other = docker.reference("team/other:v2");
    say(&["push", &id, &other]);
    assert_eq!(registry.digest("team/other", "v2"), pushed);
    let again = at(&client, &docker.host(), &["push", "--json", &app]).output();
    let again: serde_json::Value =
        serde_json::from_slice(&again.expect("it runs").stdout).expect("it prints JSON");
    assert_eq!(again["blobs"]["sent"], 0, "{again}");

    docker.remove(&app);
    let told = say(&["pull", &app]);
    assert!(told.contains("to docker"), "{told}");
    assert_eq!(docker.image_id(&app), id);
    assert_eq!(docker.sums(&app, image.files().into_keys()), image.files());
    // Compressed layers, under another name, by digest.
    let layout = image.write_gzip_layout();
    let gzip = docker.reference("team/gzip:v1");
    client.say(&["push", &layout.transport(), &gzip]);
    let by_digest = docker.reference(&format!("team/gzip@{}", layout.contents().manifest));
    say(&["pull", "--quiet", &by_digest, "docker-daemon:daemon-renamed:v3"]);
    assert_eq!(docker.image_id("daemon-renamed:v3"), registry.config("team/gzip", "v1"));
    assert_eq!(docker.sums("daemon-renamed:v3", image.files().into_keys()), image.files());
    // A name without a tag is `latest`, also where docker has others of that name.
    let bare = docker.reference("team/daemon");
    let absent = run(&mut at(&client, &docker.host(), &["push", &bare]));
    expect(&absent, 1, &["cannot find image", "docker images"]);
    for name in [&*app, "daemon-renamed:v3"] {
        docker.remove(name);
    }
    assert_eq!(leftovers(&client), 0);
}

#[test]
fn a_daemon_that_is_absent_is_named_with_what_to_do() {
    let registry = Registry::start();
    let client = Roadstead::of(registry.target());
    let app = registry.reference("team/app:v1");
    let pull = |host: &str| run(&mut at(&client, host, &["pull", &app]));
    let told = ["cannot reach docker at unix:///absent/docker.sock", "start docker", "DOCKER_HOST"];
    expect(&pull("unix:///absent/docker.sock"), 1, &told);
    expect(&pull("tcp://127.0.0.1:1"), 1, &["no daemon runs there"]);
    expect(&pull("ssh://machine.example"), 1, &["only unix:// and tcp://"]);
    let push =
        |words: &[&str]| run(at(&client, "unix:///absent", words).env("DOCKER_TLS_VERIFY", "1"));
    expect(&push(&["push", &app]), 1, &["start docker"]);
    // A target is needed for what is not in docker.
    expect(&push(&["push", "oci:folder"]), 2, &["HOST/NAME:TAG"]);
    let context = json!({ "currentContext": "absent" }).to_string();
    client.home.write("docker/config.json", context);
    let by_context = client.run(&["pull", &app]);
    expect(&by_context, 1, &["docker's context \"absent\"", "docker context ls"]);
}

/// A daemon that exports these bytes, and refuses to load anything.
fn daemon(export: Vec<u8>) -> Fake {
    Fake::start(move |head| {
        let target = head.split(' ').nth(1).unwrap_or_default();
        let json = "Content-Type: application/json\r\n";
        if target.ends_with("/version") {
            return answer(
                200,
                json,
                br#"{"Version":"28.0","ApiVersion":"1.48","Os":"linux","Arch":"amd64"}"#,
            );
        }
        if target.contains("/images/load") {
            return answer(500, json, br#"{"message":"no space left on device"}"#);
        }
        if target.ends_with("/json") {
            return answer(200, json, br#"{"Id":"sha256:abc","Size":1000}"#);
        }
        answer(200, "Content-Type: application/x-tar\r\n", &export)
    })
}

fn archive_of(layer: &[u8], folder: &Path) -> Vec<u8> {
    let made = Made::new();
    let root = made.image_of(&config("amd64"), &[layer]);
    let layout = made.finish(&[root]);
    let file = folder.join("app.tar");
    let mut tar = Command::new("tar");
    tar.arg("--create").arg("--file").arg(&file).arg("--directory").arg(layout.path()).arg(".");
    succeed(&mut tar);
    fs::read(file).expect("the archive can be read")
}

#[test]
fn a_daemon_that_breaks_off_or_refuses_changes_nothing_and_ctrl_c_leaves_nothing() {
    let registry = Registry::start();
    let client = Roadstead::of(registry.target());
    let folder = TempDir::new().expect("a temporary folder can be made");
    let whole = archive_of(&noise(4 * MIB, 7), folder.path());
    let app = registry.reference("team/app:v1");
    let with = |export: &[u8], words: &[&str]| -> Finished {
        let fake = daemon(export.to_vec());
        run(&mut at(&client, &fake.url().replace("http://", "tcp://"), words))
    };
    expect(&with(&whole[..MIB], &["push", "app:v1", &app]), 1, &["ends within"]);
    expect(&with(b"no archive", &["push", "app:v1", &app]), 1, &["app:v1 of docker"]);
    assert!(registry.find("team/app", "v1").is_none());
    assert!(with(&whole, &["push", "app:v1", &app]).succeeded());
    // What it refuses is told in its own words.
    expect(&with(&whole, &["pull", &app]), 1, &["cannot load the image", "no space left"]);

    // Ctrl-C while the export is on its way.
    let fake = daemon(whole);
    let manner = Manner { stop_after: MIB, ..Manner::default() };
    let link = Link::start(&fake.url().replace("http://", ""), manner);
    let host = format!("tcp://{}", link.address());
    let mut push = at(&client, &host, &["push", "app:v1", &registry.reference("team/other:v1")]);
    let mut process = Process::start(&mut push, &folder.path().join("log"));
    let mut passed = 0;
    process.wait_until(Duration::from_mins(1), || {
        passed += link.take();
        passed >= MIB
    });
    assert_eq!(process.interrupt().code(), Some(130));
    assert!(process.log().contains("interrupted"), "{}", process.log());
    assert_eq!(leftovers(&client), 0);
    assert!(registry.find("team/other", "v1").is_none());
}

/// An image that no machine of the daemon's kind runs.
#[test]
fn the_daemon_gets_the_image_of_its_own_platform() {
    let registry = Registry::start();
    let client = Roadstead::of(registry.target());
    let made = Made::new();
    let image = made.image_of(&config("s390x"), &[b"layer"]);
    let mut child = image.clone();
    child["platform"] = json!({ "os": "linux", "architecture": "s390x" });
    let root = made.index(&[child]);
    let layout = made.finish(std::slice::from_ref(&root));
    let app = registry.reference("team/app:v1");
    client.say(&["push", &oci(layout.path()), &app]);
    let fake = daemon(Vec::new());
    let host = fake.url().replace("http://", "tcp://");
    expect(&run(&mut at(&client, &host, &["pull", &app])), 1, &["linux/amd64"]);
    let chosen = at(&client, &host, &["pull", "--platform", "linux/s390x", &app]).output();
    let text = String::from_utf8_lossy(&chosen.expect("it runs").stderr).into_owned();
    assert!(text.contains("cannot load the image"), "{} {text}", digest(&image));
}
