//! Real clients with accounts.

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use super::team::{PASSWORD, Team};
use crate::common::{require, run, succeed};

/// Writes an image as `docker save` does, with one file in it.
fn write_tar(crane: &Path, folder: &Path) -> String {
    let layer = folder.join("layer.tar");
    std::fs::write(folder.join("note"), "of a layer").expect("the folder is ours");
    succeed(Command::new("tar").arg("-cf").arg(&layer).arg("-C").arg(folder).arg("note"));
    let image = folder.join("image.tar").display().to_string();
    let mut append = Command::new(crane);
    append.args(["append", "--new_tag", "team/app:v1", "-f"]).arg(&layer).args(["-o", &image]);
    succeed(&mut append);
    image
}

#[test]
fn crane_pushes_and_pulls_what_its_user_may() {
    let Some(program) = require("crane") else { return };
    let team = Team::start();
    let folder = TempDir::new().expect("a temporary folder can be made");
    let image = write_tar(&program, folder.path());
    let address = team.server.address();
    let crane = |user: Option<(&str, &str)>| {
        let home = folder.path().join(user.map_or("nobody", |(name, _)| name));
        std::fs::create_dir_all(&home).expect("the folder is ours");
        let command = move |program: &Path| {
            let mut command = Command::new(program);
            command.env("DOCKER_CONFIG", &home).arg("--insecure");
            command
        };
        if let Some((name, password)) = user {
            let login = ["auth", "login", "--username", name, "--password", password, address];
            succeed(command(&program).args(login));
        }
        command
    };
    let anna = crane(Some(("anna", PASSWORD)));
    let robot = crane(Some(("ci", &team.secrets.of_robot)));
    let personal = crane(Some(("will", PASSWORD)));
    let carl = crane(Some(("carl", PASSWORD)));
    let nobody = crane(None);
    let secret = format!("{address}/team/secret:v1");
    let open = format!("{address}/team/open:v1");
    succeed(anna(&program).args(["push", &image, &secret]));
    succeed(robot(&program).args(["push", &image, &open]));
    succeed(personal(&program).args(["copy", &secret, &format!("{address}/team/inner:v1")]));
    let digest = succeed(robot(&program).args(["digest", &secret]));
    for (client, name) in [(&nobody, &open), (&carl, &open)] {
        assert_eq!(succeed(client(&program).args(["digest", name])), digest);
        succeed(client(&program).args(["validate", "--remote", name]));
    }
    for client in [&nobody, &carl] {
        assert!(!run(client(&program).args(["digest", &secret])).succeeded());
        assert!(!run(client(&program).args(["push", &image, &secret])).succeeded());
    }
    assert!(!run(robot(&program).args(["delete", &secret])).succeeded());
    let listed = succeed(carl(&program).args(["catalog", address]));
    assert_eq!(listed, "team/inner\nteam/open");
    succeed(anna(&program).args(["delete", &format!("{address}/team/secret@{digest}")]));
}
