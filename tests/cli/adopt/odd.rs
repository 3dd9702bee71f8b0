//! What a folder may hold beside files and directories of plain names, and what may not be read.

use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use rustix::fs::{FileType, Mode, mknodat};
use serde_json::Value;
use tempfile::TempDir;

use super::source::{Source, adopt, assert_well, blob, command, say};
use crate::cli::push;
use crate::common::{require, run};

fn one_image() -> Source {
    Source::of(|server| {
        push::image(server, "team/app", "v1", "layer");
    })
}

fn make_pipe(file: &Path) {
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    mknodat(rustix::fs::CWD, file, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
}

#[test]
fn links_pipes_and_names_that_are_not_utf8_are_named_and_the_rest_is_taken() {
    let source = one_image();
    let elsewhere = TempDir::new().unwrap();
    fs::create_dir_all(elsewhere.path().join("_layers")).unwrap();
    let repositories = source.path_of("repositories");
    symlink(".", repositories.join("circle")).unwrap();
    symlink(elsewhere.path(), repositories.join("outside")).unwrap();
    symlink("gone", repositories.join("team/nowhere")).unwrap();
    symlink("itself", repositories.join("itself")).unwrap();
    fs::create_dir(repositories.join(OsStr::from_bytes(b"\xff"))).unwrap();
    fs::create_dir(source.path_of("blobs/sha256").join(OsStr::from_bytes(b"\xfe"))).unwrap();
    make_pipe(&repositories.join("team/app/_manifests/tags/pipe/current/link"));
    make_pipe(&source.path_of(&blob(b"piped")));
    let digest = push::sha256(b"piped");
    let link = format!("repositories/team/app/_layers/sha256/{}/link", digest.hex());
    source.write(&link, digest.to_string().as_bytes());

    let data = TempDir::new_in(source.server.data()).unwrap();
    let adopted = adopt(&source, data.path());
    assert_eq!(adopted.code, Some(1), "{adopted}");
    let base = "docker/registry/v2";
    let not_followed = "a link to a directory, which is not followed";
    for line in [
        format!("{base}/repositories/circle: cannot read it: {not_followed}"),
        format!("{base}/repositories/outside: cannot read it: {not_followed}"),
        format!("{base}/repositories/team/nowhere: cannot read it: No such file"),
        format!("{base}/repositories/itself: cannot read it: Too many levels"),
        format!("{base}/repositories/\u{fffd}: cannot read it: \u{fffd} is not UTF-8"),
        format!("{base}/blobs/sha256/\u{fffd}: cannot read it: \u{fffd} is not UTF-8"),
        format!(
            "{base}/repositories/team/app/_manifests/tags/pipe/current/link: cannot read it: not a file"
        ),
        "tag `team/app:pipe`: its link is missing or unreadable".to_owned(),
        format!("blob {digest} of `team/app`: cannot read its content: "),
    ] {
        assert!(
            adopted.stdout.contains(&format!("left out {line}")),
            "{line} is not in:\n{adopted}"
        );
    }
    assert_eq!(adopted.stdout.matches("left out ").count(), 9, "{adopted}");
    assert!(adopted.stdout.contains("1 repository, 1 manifest, 1 tag, "), "{adopted}");
    assert_eq!(say(data.path(), &["root"]), source.root);
    assert_well(data.path());
}

#[test]
fn what_a_link_to_a_directory_hides_is_not_read_by_its_fixed_name_either() {
    let source = one_image();
    let layers = source.path_of("repositories/team/app/_layers");
    let away = source.server.data().join("away");
    fs::rename(&layers, &away).unwrap();
    symlink(&away, &layers).unwrap();
    let data = TempDir::new_in(source.server.data()).unwrap();
    let adopted = adopt(&source, data.path());
    assert_eq!(adopted.code, Some(1), "{adopted}");
    assert!(adopted.stdout.contains("0 manifests, 0 tags, "), "{adopted}");
    // The place itself may be one.
    fs::remove_file(&layers).unwrap();
    fs::rename(&away, &layers).unwrap();
    let blobs = source.path_of("blobs");
    fs::rename(&blobs, &away).unwrap();
    symlink(&away, &blobs).unwrap();
    let data = TempDir::new_in(source.server.data()).unwrap();
    let adopted = adopt(&source, data.path());
    assert!(adopted.succeeded(), "{adopted}");
    assert_eq!(say(data.path(), &["root"]), source.root);
}

/// The same command of somebody who is bound by permissions, as root is not.
fn bound(command: &Command) -> Option<Command> {
    let mut bound = Command::new(require("setpriv")?);
    bound.args(["--bounding-set=-all", "--inh-caps=-all"]);
    bound.arg(command.get_program()).args(command.get_args());
    Some(bound)
}

#[test]
fn what_this_user_may_not_read_is_taken_when_it_is_run_again() {
    let source = one_image();
    let home = TempDir::new_in(source.server.data()).unwrap();
    let team = source.path_of("repositories/team");
    for (number, path) in [team.clone(), source.blob(b"layer")].iter().enumerate() {
        let data = home.path().join(number.to_string());
        let permissions = fs::metadata(path).unwrap().permissions();
        let Some(mut again) = bound(&command(&source.folder(), &data)) else { return };
        fs::set_permissions(path, Permissions::from_mode(0o0)).unwrap();
        for _ in 0..2 {
            let partial = run(&mut again);
            assert_eq!(partial.code, Some(1), "{partial}");
            assert!(partial.stderr.contains("cannot read all of "), "{partial}");
            assert!(partial.stdout.contains("left out "), "{partial}");
            assert!(data.join("adopting").exists(), "{partial}");
        }
        fs::set_permissions(path, permissions).unwrap();
        let adopted = run(again.arg("--json"));
        assert!(adopted.succeeded(), "{adopted}");
        let report: Value = serde_json::from_str(&adopted.stdout).unwrap();
        assert_eq!(
            (&report["is_partial"], &report["root"]),
            (&false.into(), &(*source.root).into())
        );
        assert_well(&data);
    }
    // A folder that cannot be looked into is not one that holds nothing.
    let Some(mut closed) = bound(&command(&source.folder(), &home.path().join("closed"))) else {
        return;
    };
    fs::set_permissions(source.folder(), Permissions::from_mode(0o0)).unwrap();
    let refused = run(&mut closed);
    assert_eq!(refused.code, Some(1), "{refused}");
    assert!(refused.stderr.contains("cannot find out whether "), "{refused}");
    assert!(refused.stderr.contains("Permission denied"), "{refused}");
    assert!(!home.path().join("closed").exists());
    fs::set_permissions(source.folder(), Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn what_others_may_change_is_copied_and_what_nothing_needs_is_left_out() {
    let source = one_image();
    fs::set_permissions(source.blob(b"layer"), Permissions::from_mode(0o664)).unwrap();
    // A link that leads to what nothing else has.
    let (name, target) = (push::sha256(b"name"), push::sha256(b"target"));
    source.write(&blob(b"target"), b"target");
    let link = format!("repositories/team/app/_layers/sha256/{}/link", name.hex());
    source.write(&link, target.to_string().as_bytes());
    let data = TempDir::new_in(source.server.data()).unwrap();
    let adopted = adopt(&source, data.path());
    assert!(adopted.stdout.contains(&format!("its link points to {target}\n")), "{adopted}");
    assert!(adopted.stdout.contains(": 3 linked, 1 copied;"), "{adopted}");
    let hex = target.hex();
    assert!(!data.path().join("content/sha256").join(&hex[..2]).join(&hex).exists());
    let report = say(data.path(), &["check"]);
    assert!(report.ends_with(": all is well") && !report.contains("belong"), "{report}");
}
