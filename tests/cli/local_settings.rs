//! `./roadstead.toml`: the settings file that is read where no other one is named.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tempfile::TempDir;

use crate::common::{roadstead, run, succeed};

fn write(folder: &Path, name: &str, text: &str) {
    fs::write(folder.join(name), text).unwrap();
    fs::set_permissions(folder.join(name), Permissions::from_mode(0o644)).unwrap();
}

#[test]
fn a_settings_file_in_the_working_directory_is_read() {
    let folder = TempDir::new().unwrap();
    write(folder.path(), "roadstead.toml", "[server]\nlisten = \"127.0.0.1:5099\"\n");
    let shown = succeed(roadstead(["config"]).current_dir(folder.path()));
    assert!(shown.contains("listen = \"127.0.0.1:5099\"  # "), "{shown}");
    assert!(shown.contains("./roadstead.toml"), "{shown}");
}

#[test]
fn a_settings_file_that_is_named_goes_before_it() {
    let folder = TempDir::new().unwrap();
    write(folder.path(), "roadstead.toml", "[server]\nlisten = \"127.0.0.1:5099\"\n");
    write(folder.path(), "other.toml", "[log]\nlevel = \"debug\"\n");
    let by_flag =
        succeed(roadstead(["config", "--config", "other.toml"]).current_dir(folder.path()));
    let by_variable = succeed(
        roadstead(["config"]).current_dir(folder.path()).env("ROADSTEAD_CONFIG", "other.toml"),
    );
    for shown in [by_flag, by_variable] {
        assert!(shown.contains("level = \"debug\"") && !shown.contains("5099"), "{shown}");
    }
}

#[test]
fn a_settings_file_that_others_may_write_to_is_refused_unless_it_is_named() {
    let folder = TempDir::new().unwrap();
    write(folder.path(), "roadstead.toml", "[log]\nlevel = \"debug\"\n");
    fs::set_permissions(folder.path().join("roadstead.toml"), Permissions::from_mode(0o666))
        .unwrap();
    let refused = run(roadstead(["config"]).current_dir(folder.path()));
    assert_eq!(refused.code, Some(2), "{refused}");
    assert!(refused.stderr.contains("cannot use the settings in ./roadstead.toml"), "{refused}");
    let named =
        roadstead(["config", "--config", "roadstead.toml"]).current_dir(folder.path()).output();
    assert!(named.unwrap().status.success());
}
