//! Archives: those that docker saves are pushed, and what is pulled as one docker loads.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::made::{Made, config, digest};
use super::{Roadstead, expect, oci};
use crate::clients::docker::Docker;
use crate::clients::image::Image;
use crate::clients::registry::Registry;
use crate::common::content::{noise, sha256};
use crate::common::{require, succeed};

fn archive(file: &Path) -> String {
    format!("docker-archive:{}", file.display())
}

/// Makes an archive of a folder's entries.
fn tar(folder: &Path, file: &Path) {
    let mut command = Command::new("tar");
    command.arg("--create").arg("--file").arg(file).arg("--directory").arg(folder).arg(".");
    succeed(&mut command);
}

/// Writes what `docker save` wrote before it wrote layouts: links where layers are the same.
fn saved(folder: &Path, layers: &[&[u8]], names: &[&str]) -> String {
    let diff_ids: Vec<String> = layers.iter().map(|layer| sha256(layer)).collect();
    let mut text = config("amd64");
    text["rootfs"]["diff_ids"] = json!(diff_ids);
    let text = text.to_string();
    let config = format!("{}.json", &sha256(text.as_bytes())[7..]);
    fs::write(folder.join(&config), &text).expect("a file can be written");
    let mut paths: Vec<String> = Vec::new();
    for (number, layer) in layers.iter().enumerate() {
        fs::create_dir(folder.join(number.to_string())).expect("a folder can be made");
        let path = format!("{number}/layer.tar");
        match layers[..number].iter().position(|it| it == layer) {
            Some(same) => {
                let target = format!("../{same}/layer.tar");
                std::os::unix::fs::symlink(target, folder.join(&path)).expect("a link can be made");
            }
            None => fs::write(folder.join(&path), layer).expect("a file can be written"),
        }
        paths.push(path);
    }
    let manifest = json!([{ "Config": config, "RepoTags": names, "Layers": paths }]);
    fs::write(folder.join("manifest.json"), manifest.to_string()).expect("a file can be written");
    sha256(text.as_bytes())
}

#[test]
fn an_older_archive_of_docker_is_pushed_from_a_file_and_from_standard_input() {
    let folder = TempDir::new().expect("a temporary folder can be made");
    let inner = folder.path().join("inner");
    fs::create_dir(&inner).expect("a folder can be made");
    let (one, two) = (noise(100_000, 1), noise(5, 2));
    let config = saved(&inner, &[&one, &two, &one], &["app:v1"]);
    let file = folder.path().join("app.tar");
    tar(&inner, &file);
    let registry = Registry::start();
    let client = Roadstead::of(registry.target());
    let app = registry.reference("team/app:v1");
    let pushed = client.say(&["push", "--quiet", &archive(&file), &app]);
    assert_eq!(registry.config("team/app", "v1"), config);
    let manifest = registry.manifest("team/app", "v1");
    let layers: Vec<&Value> =
        manifest["layers"].as_array().unwrap().iter().map(|it| &it["digest"]).collect();
    assert_eq!(layers, [&json!(sha256(&one)), &json!(sha256(&two)), &json!(sha256(&one))]);

    let piped = registry.reference("piped/app:v1");
    let mut push = client.command(&["push", "--quiet", "-", &piped]);
    push.stdin(fs::File::open(&file).unwrap()).stdout(Stdio::piped());
    let output = push.spawn().and_then(std::process::Child::wait_with_output).unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), pushed);

    succeed(Command::new("gzip").arg(&file));
    let compressed = file.with_extension("tar.gz");
    expect(&client.run(&["push", &archive(&compressed), &app]), 1, &["gunzip"]);
}

#[test]
fn archives_that_are_no_images_are_refused() {
    let registry = Registry::start();
    let client = Roadstead::of(registry.target());
    let folder = TempDir::new().expect("a temporary folder can be made");
    let inner = folder.path().join("inner");
    let file = folder.path().join("app.tar");
    let app = registry.reference("team/app:v1");
    let push = || client.run(&["push", &archive(&file), &app]);
    let fresh = || {
        let _ = fs::remove_dir_all(&inner);
        fs::create_dir(&inner).expect("a folder can be made");
    };

    fresh();
    fs::write(inner.join("note"), "hello").unwrap();
    tar(&inner, &file);
    expect(&push(), 1, &["no manifest.json"]);

    // Bytes that the config does not name: they are found out when they are sent.
    fresh();
    saved(&inner, &[&noise(50_000, 3)], &[]);
    fs::write(inner.join("0/layer.tar"), noise(50_000, 4)).unwrap();
    tar(&inner, &file);
    expect(&push(), 1, &["digest"]);

    // A link that leads outside.
    fresh();
    saved(&inner, &[b"layer"], &[]);
    fs::remove_file(inner.join("0/layer.tar")).unwrap();
    std::os::unix::fs::symlink("../../../../etc/passwd", inner.join("0/layer.tar")).unwrap();
    tar(&inner, &file);
    expect(&push(), 1, &["it has no 0/layer.tar"]);

    // Cut off.
    fresh();
    saved(&inner, &[&noise(50_000, 5)], &[]);
    tar(&inner, &file);
    let whole = fs::read(&file).unwrap();
    fs::write(&file, &whole[..30_000]).unwrap();
    let pushed = push();
    assert_eq!(pushed.code, Some(1), "{pushed}");
    assert!(registry.find("team/app", "v1").is_none());
}

/// The same config and the same layers, as `docker save` would have them.
#[test]
fn docker_loads_what_was_pulled_as_an_archive() {
    let Some(busybox) = require("busybox") else { return };
    let registry = Registry::start();
    let Some(docker) = Docker::find(registry.target()) else { return };
    let client = Roadstead::of(registry.target());
    let image = Image::of_its_own(&busybox);
    let layout = image.write_layout();
    let app = registry.reference("team/loaded:v1");
    client.say(&["push", &layout.transport(), &app]);
    let folder = TempDir::new().expect("a temporary folder can be made");
    let file = folder.path().join("app.tar");
    client.say(&["pull", &app, &archive(&file)]);
    succeed(docker.command("load").arg("--input").arg(&file));
    assert_eq!(docker.image_id(&app), registry.config("team/loaded", "v1"));
    assert_eq!(docker.sums(&app, image.files().into_keys()), image.files());

    // And back: what docker saves has the same config and the same layers, unpacked.
    let saved = folder.path().join("saved.tar");
    succeed(docker.command("save").arg("--output").arg(&saved).arg(&app));
    let again = registry.reference("team/saved:v1");
    client.say(&["push", &archive(&saved), &again]);
    assert_eq!(registry.config("team/saved", "v1"), registry.config("team/loaded", "v1"));
    docker.remove(&app);
    // What was pulled is a layout, too.
    let third = registry.reference("team/third:v1");
    let pushed = client.say(&["push", "--quiet", &archive(&file), &third]);
    assert_eq!(pushed, layout.contents().manifest);
}

#[test]
fn an_archive_has_one_platform_and_its_file_is_there_when_it_is_whole() {
    let made = Made::new();
    let images = ["amd64", "arm64"].map(|architecture| {
        let mut image = made.image_of(&config(architecture), &[architecture.as_bytes()]);
        image["platform"] = json!({ "os": "linux", "architecture": architecture });
        image
    });
    let root = made.index(&images);
    let layout = made.finish(&[root]);
    let registry = Registry::start();
    let client = Roadstead::of(registry.target());
    let app = registry.reference("app:v1");
    client.say(&["push", &oci(layout.path()), &app]);
    let folder = TempDir::new().expect("a temporary folder can be made");
    let file = folder.path().join("app.tar");
    let pull = ["pull", "--quiet", "--platform", "linux/arm64", &app, &archive(&file)];
    assert_eq!(client.say(&pull), digest(&images[1]));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left over");
    let listed = succeed(Command::new("tar").arg("--list").arg("--file").arg(&file));
    assert!(listed.contains("manifest.json") && listed.contains("oci-layout"), "{listed}");
}
