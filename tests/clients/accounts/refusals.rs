//! What clients show of a refusal, and clients that have a robot's password or a wrong one.

use super::client::{ByDaemon, ByFolder, Client, Kind};
use super::{PASSWORD, Team, done, refused};
use crate::clients::cosign::Cosign;
use crate::clients::home::Home;
use crate::clients::image::Image;
use crate::clients::oras::SCRIPT;
use crate::clients::skopeo::Skopeo;
use crate::clients::target::{Target, User};
use crate::common::{require, run, succeed};

/// Has a client push to a namespace that is full, and expects that its user learns why.
fn says_why(team: &Team, client: &dyn Client) {
    let reference = team.registry.reference("team/app:v1");
    succeed(&mut client.login("ci", &team.secret).expect("it signs in"));
    team.manage("mutation { setQuota(namespace: \"team\", bytes: 100) { namespace } }");
    let pushed = client.push(&reference);
    refused("a push to a full namespace", &pushed);
    let said = format!("{}{}", pushed.stdout, pushed.stderr);
    assert!(said.contains("`team` has 0 of 100 bytes"), "{said}");
    assert!(said.to_lowercase().contains("denied"), "{said}");
    team.manage("mutation { removeQuota(namespace: \"team\") }");
    done("a push once there is more", &client.push(&reference));
}

#[test]
fn docker_says_what_a_full_namespace_has_and_may_have() {
    let Some(team) = Team::start() else { return };
    let Some(client) = ByDaemon::find(&team.target()) else { return };
    says_why(&team, &client);
}

#[test]
fn skopeo_and_crane_say_what_a_full_namespace_has_and_may_have() {
    for kind in [Kind::Skopeo, Kind::Crane] {
        let Some(team) = Team::start() else { return };
        let Some(client) = ByFolder::find(kind, &team.target()) else { return };
        says_why(&team, &client);
    }
}

/// A target for a client that is the robot.
fn robot(team: &Team) -> Target {
    let password: &'static str = Box::leak(team.secret.clone().into_boxed_str());
    team.target().of_user(Some(User { name: "ci", password }))
}

#[test]
fn cosign_signs_and_verifies_as_a_robot() {
    let Some(team) = Team::start() else { return };
    let robot = robot(&team);
    let (Some(cosign), Some(skopeo)) = (Cosign::find(&robot), Skopeo::find(&robot)) else {
        return;
    };
    let Some(busybox) = require("busybox") else { return };
    let layout = Image::new(&busybox).write_layout();
    let digest = &layout.contents().manifest;
    let app = team.registry.reference("team/app:v1");
    skopeo.push(&layout, &app);
    refused("an image without a signature", &run(&mut cosign.verify(&app)));
    cosign.sign(&team.registry.reference(&format!("team/app@{digest}")));
    let output = succeed(&mut cosign.verify(&app));
    assert!(output.contains(digest.as_str()), "{output}");
    assert_eq!(team.registry.referrers("team/app", digest).len(), 1);
    // One who may not read it learns nothing of a signature, and the robot signs nothing elsewhere.
    let stranger = team.target().of_user(Some(User { name: "carl", password: PASSWORD }));
    let Some(stranger) = Cosign::find(&stranger) else { return };
    refused("a signature that is hidden", &run(&mut stranger.verify(&app)));
    let other = team.registry.reference(&format!("other/app@{digest}"));
    refused("a signature elsewhere", &run(&mut cosign.sign_command(&other)));
}

#[test]
fn oras_is_refused_with_a_wrong_password() {
    let Some(team) = Team::start() else { return };
    let Some(python) = require("oras-python") else { return };
    let (target, home) = (team.target(), Home::new());
    let script = home.write("script.py", SCRIPT);
    home.write("note.txt", "of a stranger");
    let push = |name: &str, password: &str| {
        let mut command = home.command(&python);
        command.arg(&script).args([target.address(), &target.reference("team/files:v1")]);
        command.args(["note.txt", "pulled", "false"]);
        command.arg(home.authority(&target).expect("it encrypts"));
        run(command.args([name, password]))
    };
    for (name, password) in [("will", "open: sesame street"), ("ci", "rds_wrong")] {
        let pushed = push(name, password);
        refused("a wrong password", &pushed);
        let said = format!("{}{}", pushed.stdout, pushed.stderr);
        assert!(said.contains("401") || said.to_lowercase().contains("unauthorized"), "{said}");
    }
    assert!(team.registry.find("team/files", "v1").is_none());
    done("the right one", &push("will", PASSWORD));
}
