//! `roadstead export` and `roadstead import`.

use std::fs::{self, File};
use std::process::Stdio;

use super::places::{Copy, Original};
use crate::common::{run, succeed};
use crate::push;

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
