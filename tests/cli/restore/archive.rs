//! `roadstead export` and `roadstead import`.

use std::fs::{self, File};
use std::process::{Command, Stdio};

use super::copies::{Copy, Original};
use crate::cli::push;
use crate::common::{http, require, run, succeed};

#[test]
fn a_file_leads_from_one_registry_to_another() {
    let mut original = Original::start();
    let expected = original.expected();
    let copy = Copy::new();
    let file = copy.home().join("registry.car");
    let path = file.to_str().unwrap();
    // Beside the server, of what was pushed a moment ago.
    push::image(&original.server, "team/late", "v1", "late");
    let root = succeed(&mut original.server.command(["export", path]));
    assert_eq!(root, succeed(&mut original.server.command(["root"])));
    assert_eq!(fs::read_dir(copy.home()).unwrap().count(), 1, "no draft is left");
    let imported = run(&mut copy.command(&["import", path]));
    assert!(imported.succeeded(), "{imported}");
    copy.assert_is(&root);
    let server = copy.serve();
    let catalog = |answers: Vec<_>| -> Vec<_> {
        let is_other = |(path, ..): &(String, u16, String, Vec<u8>)| !path.ends_with("_catalog");
        answers.into_iter().filter(is_other).collect()
    };
    assert_eq!(catalog(original.answers(&server)), catalog(expected));
    drop(server);

    // The same root makes the same file: also without a server, out of the copy, and through a pipe.
    let bytes = fs::read(&file).unwrap();
    original.server.stop();
    let again = copy.home().join("again.car");
    for command in [
        &mut original.server.command(["export", again.to_str().unwrap()]),
        &mut copy.command(&["export", again.to_str().unwrap()]),
    ] {
        assert_eq!(succeed(command), root);
        assert!(fs::read(&again).unwrap() == bytes);
    }
    let piped = File::create(&again).unwrap();
    let child = copy.command(&["export", "-"]).stdout(piped).stderr(Stdio::piped()).spawn();
    let output = child.unwrap().wait_with_output().unwrap();
    assert!(output.status.success());
    assert_eq!(String::from_utf8(output.stderr).unwrap().trim(), root);
    assert!(fs::read(&again).unwrap() == bytes);

    let second = Copy::new();
    let mut import = second.command(&["import", "-"]);
    let status = import.stdin(File::open(&again).unwrap()).stdout(Stdio::null()).status().unwrap();
    assert!(status.success());
    second.assert_is(&root);
}

#[test]
fn npms_ipfs_car_unpacks_what_is_exported_and_what_the_gateway_sends() {
    let Some(ipfs_car) = require("ipfs-car") else { return };
    let original = Original::start();
    let copy = Copy::new();
    let file = copy.home().join("registry.car");
    for number in 0..2 {
        if number == 0 {
            succeed(&mut original.server.command(["export", file.to_str().unwrap()]));
        } else {
            let url = original.server.url(&format!("/ipfs/{}?format=car", original.root));
            let answer = http::get(&url);
            assert_eq!(answer.status, 200);
            fs::write(&file, answer.body).unwrap();
        }
        let folder = copy.home().join(format!("unpacked{number}"));
        let mut unpack = Command::new(&ipfs_car);
        succeed(
            unpack
                .arg("unpack")
                .arg(&file)
                .arg("--root")
                .arg(&original.root)
                .arg("--output")
                .arg(&folder),
        );
        succeed(Command::new("diff").arg("-r").arg(&folder).arg(original.server.public()));
    }
}

#[test]
fn a_file_that_cannot_be_written_leaves_nothing() {
    let original = Original::start();
    let copy = Copy::new();
    for file in ["absent/registry.car", "/", "/dev/full"] {
        let exported = run(original.server.command(["export", file]).current_dir(copy.home()));
        assert_eq!(exported.code, Some(1), "{exported}");
        assert!(exported.stderr.contains(&format!("cannot write {file}")), "{exported}");
    }
    assert_eq!(fs::read_dir(copy.home()).unwrap().count(), 0);
}
