//! `roadstead adopt`: the folder of a stock registry becomes one of ours, as if it had been pushed.

mod faulty;
mod odd;
pub(crate) mod source;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::thread;
use std::time::Duration;

use roadstead::oci::{Algorithm, Digest};
use tempfile::TempDir;

use crate::cli::push;
use crate::common::{Process, Server, http, require_root, roadstead, run, succeed};
use source::{Source, adopt, assert_well, blob, command, index_of, referrer_of, say};

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
        let mut dry = roadstead(["retention", "--dry-run"]);
        dry.env("ROADSTEAD_RETENTION", r#"[{"repositories":["**"],"keep_last":0}]"#);
        let dry = succeed(dry.env("ROADSTEAD_GC__GRACE", "1ms").arg("--data").arg(&data));
        assert!(dry.contains("stays  long:v1  nobody knows when it moved (rule 1)"), "{dry}");
        let server = Server::start_on(&data);
        assert_eq!(answers(&server), before);
    }
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
    assert!(refused.stderr.contains(" is not empty: use a new folder"), "{refused}");
    assert_eq!(fs::read_dir(data.path()).unwrap().count(), 1);

    let data = TempDir::new().unwrap();
    let refused = run(&mut command(data.path(), &data.path().join("data")));
    assert_eq!(refused.code, Some(1), "{refused}");
    assert!(refused.stderr.contains("no registry in "), "{refused}");
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
fn an_index_that_could_not_be_looked_at_is_looked_at_when_it_is_run_again() {
    use std::os::unix::ffi::OsStrExt;

    let source = Source::of(|server| {
        push::image(server, "team/app", "v1", "layer");
    });
    // Also from a folder whose name is not UTF-8, which is to be known again.
    let name = std::ffi::OsStr::from_bytes(b"public-\xff");
    let folder = source.server.data().join(name);
    fs::rename(source.folder(), &folder).unwrap();
    let home = TempDir::new_in(source.server.data()).unwrap();
    let data = home.path().join("data");
    let with = |url: &str| run(command(&folder, &data).env("ROADSTEAD_INDEX__URL", url));
    let failed = with("postgres://127.0.0.1:1/roadstead");
    assert_eq!(failed.code, Some(1), "{failed}");
    let begun = fs::read(data.join("adopting")).unwrap();
    assert!(begun.ends_with(name.as_bytes()), "{failed}");
    let taken = format!("sqlite:{}", source.server.data().join("index.sqlite").display());
    let refused = with(&taken);
    assert_eq!(refused.code, Some(1), "{refused}");
    assert!(refused.stderr.contains("the index is not empty: "), "{refused}");
    assert_eq!(with("postgres://127.0.0.1:1/roadstead").code, Some(1));
    assert!(data.join("adopting").exists());
    let adopted = with("sqlite:index.sqlite");
    assert!(adopted.succeeded(), "{adopted}");
    assert_eq!(say(&data, &["root"]), source.root);
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
    let is_killed = (0..10).any(|_| {
        let home = TempDir::new_in(source.server.data()).unwrap();
        goes_on_after_kills(&source, home.path())
    });
    assert!(is_killed, "each ended before it could be killed");
}

/// Kills adoptions into a folder in the midst of them, before the last one; not if one of them was over
/// before that.
fn goes_on_after_kills(source: &Source, home: &Path) -> bool {
    let data = home.join("data");
    let content = data.join("content/sha256");
    let taken = || {
        let shards = fs::read_dir(&content).into_iter().flatten();
        shards.map(|shard| fs::read_dir(shard.unwrap().path()).unwrap().count()).sum::<usize>()
    };
    for least in [1, 20, 50] {
        let mut process = Process::start(&mut command(&source.folder(), &data), &home.join("log"));
        while taken() < least {
            if let Some(status) = process.ended() {
                assert!(status.success(), "{}", process.log());
                return false;
            }
            thread::sleep(Duration::from_millis(1));
        }
        process.kill();
        if !data.join("adopting").exists() {
            assert_eq!(say(&data, &["root"]), source.root);
            return false;
        }
        for words in [
            &["serve", "--listen", "127.0.0.1:0"][..],
            &["check"],
            &["root"],
            &["index", "rebuild"],
        ] {
            let refused = run(roadstead(words).arg("--data").arg(&data));
            assert_eq!(refused.code, Some(1), "{refused}");
            let sentence = "run `roadstead adopt` with that folder again to continue, or empty ";
            assert!(refused.stderr.contains(sentence), "{refused}");
        }
    }
    let other = Source::of(|server| {
        push::image(server, "team/app", "v1", "layer");
    });
    assert_eq!(adopt(&other, &data).code, Some(1));
    let adopted = adopt(source, &data);
    assert!(adopted.succeeded(), "{adopted}");
    assert!(adopted.stdout.starts_with("20 repositories, 60 manifests, 60 tags, "), "{adopted}");
    assert_eq!(say(&data, &["root"]), source.root);
    assert_well(&data);
    let server = Server::start_on(&data);
    assert_eq!(http::get(&server.url("/v2/team/app19/manifests/v59")).status, 200);
    true
}
