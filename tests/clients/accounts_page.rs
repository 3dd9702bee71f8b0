//! `docs/ACCOUNTS.md` is right: its ten commands make a team with CI, with docker as its robot.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::clients::docker::Docker;
use crate::clients::image::Image;
use crate::clients::target::Target;
use crate::common::{Process, free_address, http, require, roadstead, succeed};
use crate::docs::blocks::commands;

const READY: Duration = Duration::from_mins(1);

/// Where the registry of the page is.
const ADDRESS: &str = "127.0.0.1:5000";

#[test]
fn ten_commands_make_a_team_with_ci() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/ACCOUNTS.md");
    let page = fs::read_to_string(page).expect("the page is there");
    let shown: Vec<_> = commands(&page).into_iter().map(|shown| shown.command).collect();
    assert_eq!(shown.len(), 10, "{shown:?}");
    let address = free_address();
    let Some(docker) = Docker::find(&Target::open(&address)) else { return };
    let (Some(program), Some(busybox)) = (require("docker"), require("busybox")) else { return };
    docker.build(&Image::new(&busybox), &docker.reference("acme/app:1"));
    let folder = TempDir::new().expect("a temporary folder can be made");
    let binary = PathBuf::from(roadstead([""]).get_program());
    let folders: Vec<String> = [&binary, &program]
        .iter()
        .filter_map(|program| program.parent())
        .map(|folder| folder.display().to_string())
        .collect();
    let shell = |command: &str| -> Command {
        let mut shell = docker.shell(&command.replace(ADDRESS, &address));
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("ROADSTEAD_") {
                shell.env_remove(name);
            }
        }
        let rest = std::env::var("PATH").unwrap_or_default();
        shell.current_dir(folder.path()).env("PATH", format!("{}:{rest}", folders.join(":")));
        shell
    };
    let (serve, rest) = shown.split_first().expect("there are ten");
    let serve = serve.replace("roadstead serve", "exec roadstead serve");
    let serve = format!("ROADSTEAD_SERVER__LISTEN={ADDRESS} {serve}");
    let mut server = Process::start(&mut shell(&serve), &folder.path().join("log"));
    let health = format!("http://{address}/healthz");
    server.wait_until(READY, || {
        http::try_send(|client| client.get(&health)).is_ok_and(|answer| answer.status == 200)
    });
    for command in rest {
        succeed(&mut shell(command));
    }

    let url = format!("http://{address}/v2/acme/app/manifests/1");
    let status = |user: Option<(&str, &str)>| {
        let answer = http::send(|client| {
            let request = client.get(&url);
            match user {
                Some((name, password)) => request.basic_auth(name, Some(password)),
                None => request,
            }
        });
        answer.status
    };
    let secret = fs::read_to_string(folder.path().join("acme-ci.secret"));
    let secret = secret.expect("a command writes it");
    assert_eq!(status(None), 401, "it is private");
    assert_eq!(status(Some(("anna", "a password of hers"))), 200);
    assert_eq!(status(Some(("acme-ci", secret.trim()))), 200);
    docker.remove(&docker.reference("acme/app:1"));
    assert!(docker.pull(&docker.reference("acme/app:1")) > 0);
    docker.remove(&docker.reference("acme/app:1"));
}
