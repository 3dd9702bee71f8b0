//! `roadstead adopt`: the folder of a stock registry becomes one of ours, as if it had been pushed.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use roadstead::oci::{Algorithm, Digest};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::common::{Finished, Process, Server, http, require_root, roadstead, run, succeed};
use crate::push;

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// A folder of a registry that nobody serves any more; our own is one.
struct Source {
    server: Server,
    root: String,
}

impl Source {
    /// What `push` pushed.
    fn of(push: impl FnOnce(&Server)) -> Self {
        let mut server = Server::start();
        push(&server);
        let root = succeed(&mut server.command(["root"]));
        server.stop();
        Self { server, root }
    }

    fn folder(&self) -> PathBuf {
        self.server.data().join("public")
    }

    fn place(&self, path: &str) -> PathBuf {
        self.folder().join("docker/registry/v2").join(path)
    }

    fn blob(&self, bytes: &[u8]) -> PathBuf {
        self.place(&blob(bytes))
    }

    fn write(&self, path: &str, bytes: &[u8]) {
        let file = self.place(path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, bytes).unwrap();
    }

    /// Has a repository have a blob that no manifest names, as the stock registry does.
    fn link_layer(&self, repository: &str, bytes: &[u8]) {
        let digest = push::sha256(bytes);
        self.write(&blob(bytes), bytes);
        let link = format!("repositories/{repository}/_layers/sha256/{}/link", digest.hex());
        self.write(&link, digest.to_string().as_bytes());
    }

    fn link_manifest(&self, repository: &str, bytes: &[u8]) {
        let digest = push::sha256(bytes);
        self.write(&blob(bytes), bytes);
        let link =
            format!("repositories/{repository}/_manifests/revisions/sha256/{}/link", digest.hex());
        self.write(&link, digest.to_string().as_bytes());
    }
}

fn blob(bytes: &[u8]) -> String {
    let hex = push::sha256(bytes).hex();
    format!("blobs/sha256/{}/{hex}/data", &hex[..2])
}

fn command(folder: &Path, data: &Path) -> Command {
    let mut command = roadstead(["adopt"]);
    command.arg(folder).arg("--data").arg(data);
    command
}

fn adopt(source: &Source, data: &Path) -> Finished {
    run(&mut command(&source.folder(), data))
}

fn say(data: &Path, words: &[&str]) -> String {
    succeed(roadstead(words).arg("--data").arg(data))
}

fn assert_well(data: &Path) {
    let report = say(data, &["check"]);
    assert!(report.ends_with(": all is well"), "{report}");
}

fn index_of(manifest: &str) -> String {
    let digest = push::sha256(manifest.as_bytes());
    json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [
        { "mediaType": MANIFEST, "digest": digest.to_string(), "size": manifest.len() },
    ] })
    .to_string()
}

/// An image that refers to another one.
fn referrer_of(subject: &str, image: &str) -> String {
    let mut referrer: Value = serde_json::from_str(image).unwrap();
    let digest = push::sha256(subject.as_bytes()).to_string();
    referrer["artifactType"] = json!("application/x");
    referrer["subject"] = json!({ "mediaType": MANIFEST, "digest": digest, "size": subject.len() });
    referrer.to_string()
}

#[test]
fn what_is_adopted_is_what_was_pushed() {
    let mut image = String::new();
    let mut paths = Vec::new();
    let source = Source::of(|server| {
        image = push::image(server, "team/app", "v1", "layer");
        push::image(server, "team/app", "v1", "newer");
        let large = "large".repeat(1 << 19);
        push::image(server, "team/app/nested", "v2", &large);
        let digest = push::sha256(image.as_bytes());
        for (reference, text) in [
            ("all", index_of(&image)),
            ("outer", index_of(&index_of(&image))),
            (&format!("sha256-{}", digest.hex()), index_of(&referrer_of(&image, &image))),
            ("lonely", referrer_of("a subject that was never pushed", &image)),
        ] {
            if reference.starts_with("sha256-") {
                let referrer = referrer_of(&image, &image);
                let digest = push::sha256(referrer.as_bytes()).to_string();
                assert_eq!(push::manifest(server, "team/app", &digest, &referrer).status, 201);
            }
            assert_eq!(push::manifest(server, "team/app", reference, &text).status, 201);
            paths.push(format!("/v2/team/app/manifests/{reference}"));
        }
        let long = push::image_text(&Digest::of(Algorithm::Sha512, b"{}"), &push::sha256(b"layer"));
        push::blob(server, "long", &Digest::of(Algorithm::Sha512, b"{}"), b"{}");
        push::blob(server, "long", &push::sha256(b"layer"), b"layer");
        let name = Digest::of(Algorithm::Sha512, long.as_bytes()).to_string();
        let tagged = format!("{name}?tag=v1");
        assert_eq!(push::manifest(server, "long", &tagged, &long).status, 201);
        paths.extend([
            format!("/v2/team/app/manifests/{digest}"),
            format!("/v2/team/app/referrers/{digest}"),
            "/v2/team/app/tags/list".to_owned(),
            "/v2/team/app/nested/manifests/v2".to_owned(),
            format!("/v2/team/app/nested/blobs/{}", push::sha256(large.as_bytes())),
            format!("/v2/long/manifests/{name}"),
            "/v2/long/tags/list".to_owned(),
            "/v2/_catalog".to_owned(),
        ]);
    });
    let mut source = source;
    source.server.start_again();
    let answers = |server: &Server| -> Vec<_> {
        let answer = |path: &String| {
            let answer = http::get(&server.url(path));
            (path.clone(), answer.status, answer.header("content-type").to_owned(), answer.body)
        };
        paths.iter().map(answer).collect()
    };
    let before = answers(&source.server);
    assert!(before.iter().all(|(_, status, ..)| *status == 200), "{before:?}");
    source.server.stop();

    for folder in [source.folder(), source.folder().join("docker/registry/v2")] {
        let home = TempDir::new_in(source.server.data()).unwrap();
        let data = home.path().join("data");
        let adopted = run(&mut command(&folder, &data));
        assert!(adopted.succeeded(), "{adopted}");
        assert!(adopted.stdout.contains(&format!("root {}", source.root)), "{adopted}");
        assert!(adopted.stdout.contains(" linked, 0 copied; 0 left out"), "{adopted}");
        assert_eq!(say(&data, &["root"]), source.root);
        assert_well(&data);
        let server = Server::start_on(&data);
        assert_eq!(answers(&server), before);
    }
}

/// A folder of which only one image is whole.
struct Faulty {
    source: Source,
    /// Manifests, as they were pushed.
    good: String,
    rotten: String,
    missing: String,
    /// The root of the whole image alone.
    root: String,
}

const SCHEMA1: &[u8] = br#"{"schemaVersion":1,"name":"team/app","fsLayers":[]}"#;

impl Faulty {
    fn new() -> Self {
        let (mut good, mut rotten, mut missing) = (String::new(), String::new(), String::new());
        let expected = Source::of(|server| {
            push::image(server, "team/app", "good", "layer");
        });
        let source = Source::of(|server| {
            good = push::image(server, "team/app", "good", "layer");
            rotten = push::image(server, "team/app", "rotten", "rotten");
            missing = push::image(server, "team/app", "missing", "missing");
            let index = index_of(&rotten);
            assert_eq!(push::manifest(server, "team/app", "index", &index).status, 201);
        });
        fs::write(source.blob(b"rotten"), b"changed").unwrap();
        fs::remove_file(source.blob(b"missing")).unwrap();
        source.link_manifest("team/app", SCHEMA1);
        source.link_layer("team/app", b"stray");
        source.link_layer("example.com/copy", b"foreign");
        source.link_layer("Not/A/Name", b"nobody's");
        source.write(&blob(b"unreferenced"), b"unreferenced");
        source.write("repositories/team/app/_uploads/1234/data", b"half");
        source.write("repositories/team/new/_uploads/5678/startedat", b"now");
        let tags = "repositories/team/app/_manifests/tags";
        source.write(&format!("{tags}/broken/current/link"), b"sha256:abc");
        let gone = push::sha256(b"gone").to_string();
        source.write(&format!("{tags}/gone/current/link"), gone.as_bytes());
        // What the stock registry leaves of a manifest that was deleted is no fault.
        let deleted = push::sha256(b"deleted").hex();
        let deleted = format!("repositories/team/app/_manifests/revisions/sha256/{deleted}");
        fs::create_dir_all(source.place(&deleted)).unwrap();
        Self { source, good, rotten, missing, root: expected.root }
    }
}

#[test]
fn what_cannot_be_taken_is_named_and_the_rest_is_taken() {
    let Faulty { source, good, rotten, missing, root } = Faulty::new();
    let home = TempDir::new_in(source.server.data()).unwrap();
    let data = home.path().join("data");
    let adopted = adopt(&source, &data);
    assert_eq!(adopted.code, Some(1), "{adopted}");
    let digest = |text: &[u8]| push::sha256(text).to_string();
    let place = "docker/registry/v2";
    let mut lines = vec![
        format!(
            "left out blob {} of `team/app`: its bytes are {}",
            digest(b"rotten"),
            digest(b"changed")
        ),
        format!("left out blob {} of `team/app`: its content is missing", digest(b"missing")),
        format!(
            "left out manifest {} of `team/app`: the manifest's schemaVersion is not 2",
            digest(SCHEMA1)
        ),
        "left out tag `team/app:broken`: its link is missing, or cannot be read".to_owned(),
        format!(
            "left out tag `team/app:gone`: manifest {} is not there, or was left out",
            digest(b"gone")
        ),
        "left out repository `example.com/copy`: `example.com` names somebody's root; list it in \
         server.local_namespaces to keep it here"
            .to_owned(),
        format!("left out {place}/repositories/Not/A/Name: no registry has that name"),
        "left out upload 1234 of `team/app`: it was not finished".to_owned(),
        "left out upload 5678 of `team/new`: it was not finished".to_owned(),
    ];
    for (text, name) in [(&rotten, &b"rotten"[..]), (&missing, b"missing")] {
        let (manifest, layer) = (digest(text.as_bytes()), digest(name));
        lines.push(format!(
            "left out manifest {manifest} of `team/app`: it references {layer}, which the repository does not have"
        ));
    }
    let index = index_of(&rotten);
    lines.push(format!(
        "left out manifest {} of `team/app`: it references {}, which the repository does not have",
        digest(index.as_bytes()),
        digest(rotten.as_bytes())
    ));
    for (tag, text) in [("rotten", &rotten), ("missing", &missing), ("index", &index)] {
        let manifest = digest(text.as_bytes());
        lines.push(format!(
            "left out tag `team/app:{tag}`: manifest {manifest} is not there, or was left out"
        ));
    }
    for unreferenced in [&b"unreferenced"[..], b"foreign", b"nobody's"] {
        let digest = digest(unreferenced);
        lines.push(format!("left out blob {digest}: no repository that was taken has it"));
    }
    for line in &lines {
        assert!(adopted.stdout.contains(&format!("{line}\n")), "{line} is not in:\n{adopted}");
    }
    assert_eq!(adopted.stdout.matches("left out ").count(), lines.len(), "{adopted}");
    assert!(adopted.stdout.contains("1 repositories, 1 manifests, 1 tags, "), "{adopted}");
    assert!(adopted.stdout.ends_with(&format!("; {} left out\n", lines.len())), "{adopted}");

    assert_eq!(say(&data, &["root"]), root);
    assert_well(&data);
    let server = Server::start_on(&data);
    assert_eq!(http::get(&server.url("/v2/team/app/manifests/good")).text(), good);
    let tags = http::get(&server.url("/v2/team/app/tags/list")).json();
    assert_eq!(tags["tags"], json!(["good"]));
    let stray = http::get(&server.url(&format!("/v2/team/app/blobs/{}", digest(b"stray"))));
    assert_eq!(stray.text(), "stray");
    for (name, bytes) in [("team/app", &b"rotten"[..]), ("example.com/copy", b"foreign")] {
        let path = format!("/v2/{name}/blobs/{}", digest(bytes));
        assert_eq!(http::get(&server.url(&path)).status, 404);
    }
}

#[test]
fn programs_are_told_as_json_and_local_namespaces_are_taken() {
    let Faulty { source, root, .. } = Faulty::new();
    let data = TempDir::new_in(source.server.data()).unwrap();
    let mut json = command(&source.folder(), data.path());
    let json = run(json.arg("--json").env("ROADSTEAD_SERVER__LOCAL_NAMESPACES", "example.com"));
    assert_eq!(json.code, Some(1), "{json}");
    let report: Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(report["root"], root);
    let counts = ["repositories", "manifests", "tags", "blobs", "linked"];
    assert_eq!(counts.map(|count| report[count].as_u64()), [2, 1, 1, 9, 9].map(Some), "{report}");
    let left_out = report["left_out"].as_array().unwrap();
    let of = |kind: &str| left_out.iter().filter(|it| it["kind"] == kind).count();
    let kinds = ["upload", "blob", "layer", "manifest", "tag", "repository", "place"];
    assert_eq!(kinds.map(of), [2, 2, 2, 4, 5, 0, 1], "{report}");
    let why = "it was not finished";
    let upload = json!({ "kind": "upload", "about": "upload 1234 of `team/app`", "why": why });
    assert!(left_out.contains(&upload), "{report}");
}

#[test]
fn what_is_no_image_may_be_left_out_without_a_failure() {
    let source = Source::of(|server| {
        push::image(server, "team/app", "v1", "layer");
    });
    source.write("repositories/team/app/_uploads/1234/data", b"half");
    source.write(&blob(b"unreferenced"), b"unreferenced");
    source.link_layer("team/app", b"stray");
    fs::write(source.blob(b"stray"), b"changed").unwrap();
    let data = TempDir::new_in(source.server.data()).unwrap();
    let adopted = adopt(&source, data.path());
    assert!(adopted.succeeded(), "{adopted}");
    assert_eq!(adopted.stdout.matches("left out ").count(), 3, "{adopted}");
    assert_eq!(say(data.path(), &["root"]), source.root);
}

#[test]
fn only_an_empty_folder_is_filled_and_only_from_a_registry() {
    let source = Source::of(|server| {
        push::image(server, "team/app", "v1", "layer");
    });
    let data = TempDir::new().unwrap();
    fs::write(data.path().join("mine"), b"mine").unwrap();
    let refused = adopt(&source, data.path());
    assert_eq!(refused.code, Some(1), "{refused}");
    assert!(refused.stderr.contains(" is not empty: adopt into a folder that is new"), "{refused}");
    assert_eq!(fs::read_dir(data.path()).unwrap().count(), 1);

    let data = TempDir::new().unwrap();
    let refused = run(&mut command(data.path(), &data.path().join("data")));
    assert_eq!(refused.code, Some(1), "{refused}");
    assert!(refused.stderr.contains(" holds no registry: "), "{refused}");
    assert!(!data.path().join("data").exists());
    // What was adopted is a registry, and no place for another one.
    let adopted = adopt(&source, &data.path().join("data"));
    assert!(adopted.succeeded(), "{adopted}");
    assert_eq!(adopt(&source, &data.path().join("data")).code, Some(1));

    // Nor is a database that belongs to another registry; with one of its own the folder is good.
    let taken = format!("sqlite:{}", source.server.data().join("index.sqlite").display());
    let other = data.path().join("other");
    let refused = run(command(&source.folder(), &other).env("ROADSTEAD_INDEX__URL", taken));
    assert_eq!(refused.code, Some(1), "{refused}");
    assert!(refused.stderr.contains("the index is not empty: "), "{refused}");
    assert!(adopt(&source, &other).succeeded());
}

#[test]
fn blobs_are_links_where_they_can_be() {
    let source = Source::of(|server| {
        push::image(server, "team/app", "v1", "layer");
    });
    let content = |data: &Path| {
        let hex = push::sha256(b"layer").hex();
        data.join("content/sha256").join(&hex[..2]).join(hex)
    };
    let inode = |path: &Path| fs::metadata(path).unwrap().ino();
    let same = TempDir::new_in(source.server.data()).unwrap();
    assert!(adopt(&source, same.path()).stdout.contains(": 3 linked, 0 copied;"));
    assert_eq!(inode(&content(same.path())), inode(&source.blob(b"layer")));

    let shared_memory = Path::new("/dev/shm");
    if fs::metadata(shared_memory)
        .is_ok_and(|other| other.dev() != fs::metadata(source.folder()).unwrap().dev())
    {
        let other = TempDir::new_in(shared_memory).unwrap();
        let adopted = adopt(&source, other.path());
        assert!(adopted.stdout.contains(": 0 linked, 3 copied;"), "{adopted}");
        assert_eq!(fs::read(content(other.path())).unwrap(), b"layer");
        assert_eq!(say(other.path(), &["root"]), source.root);
        assert_well(other.path());
    }

    // What belongs to somebody else might be changed by them.
    if require_root().is_some() {
        std::os::unix::fs::chown(source.blob(b"layer"), Some(65534), None).unwrap();
        let third = TempDir::new_in(source.server.data()).unwrap();
        let adopted = adopt(&source, third.path());
        assert!(adopted.stdout.contains(": 2 linked, 1 copied;"), "{adopted}");
        assert_ne!(inode(&content(third.path())), inode(&source.blob(b"layer")));
        assert_eq!(fs::metadata(content(third.path())).unwrap().uid(), 0);
    }
}

#[test]
fn an_adoption_that_was_killed_goes_on_and_serves_nothing_before() {
    let source = Source::of(|server| {
        for number in 0..60 {
            let name = format!("team/app{}", number % 20);
            push::image(server, &name, &format!("v{number}"), &format!("layer {number}"));
        }
    });
    let home = TempDir::new_in(source.server.data()).unwrap();
    let data = home.path().join("data");
    let content = data.join("content/sha256");
    let taken = || {
        let shards = fs::read_dir(&content).into_iter().flatten();
        shards.map(|shard| fs::read_dir(shard.unwrap().path()).unwrap().count()).sum::<usize>()
    };
    for least in [1, 20, 50] {
        let log = home.path().join("log");
        let mut process = Process::start(&mut command(&source.folder(), &data), &log);
        while taken() < least {
            assert!(process.ended().is_none(), "it ended before it could be killed");
            thread::sleep(Duration::from_millis(1));
        }
        process.kill();
        assert!(data.join("adopting").exists());
        for words in [
            &["serve", "--listen", "127.0.0.1:0"][..],
            &["check"],
            &["root"],
            &["index", "rebuild"],
        ] {
            let refused = run(roadstead(words).arg("--data").arg(&data));
            assert_eq!(refused.code, Some(1), "{refused}");
            let sentence = "run `roadstead adopt` with that folder again, or empty ";
            assert!(refused.stderr.contains(sentence), "{refused}");
        }
    }
    let other = Source::of(|server| {
        push::image(server, "team/app", "v1", "layer");
    });
    assert_eq!(adopt(&other, &data).code, Some(1));
    let adopted = adopt(&source, &data);
    assert!(adopted.succeeded(), "{adopted}");
    assert!(adopted.stdout.starts_with("20 repositories, 60 manifests, 60 tags, "), "{adopted}");
    assert_eq!(say(&data, &["root"]), source.root);
    assert_well(&data);
    let server = Server::start_on(&data);
    assert_eq!(http::get(&server.url("/v2/team/app19/manifests/v59")).status, 200);
}
