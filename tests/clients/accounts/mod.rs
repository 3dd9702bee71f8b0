//! Clients and accounts: a robot, a wrong password, signing out, and blobs that are in another namespace.
//!
//! That each of them pushes to a private repository and pulls from it is in its own file (`over_tls_with_accounts`).

mod client;
mod expiry;
mod refusals;

use serde_json::{Value, json};

use crate::clients::containerd::Containerd;
use crate::clients::face;
use crate::clients::home::Home;
use crate::clients::oras::SCRIPT;
use crate::clients::registry::{Registry, Request};
use crate::clients::release::Release;
use crate::clients::target::{Target, User};
use crate::common::{Finished, embedded_only, http, require, run, succeed};
use client::{ByDaemon, ByFolder, ByStore, Client, Helm, Kind};

/// The password of each user.
const PASSWORD: &str = "correct horse battery";

/// A registry whose administrator has made users, namespaces and a robot.
struct Team {
    registry: Registry,
    /// The password of the robot `ci`, which may push in `team`.
    secret: String,
}

impl Team {
    /// Starts them; none over Kubo, where all repositories are public.
    fn start() -> Option<Self> {
        embedded_only("hidden repositories are not kept there")?;
        let registry = Registry::start_as(face::TLS_AND_ACCOUNTS);
        let post = |query: &str| manage(&registry, query);
        post(&format!(
            "mutation {{ addUser(name: \"carl\", password: \"{PASSWORD}\") {{ name }} }}"
        ));
        post(&format!(
            "mutation {{ addUser(name: \"will\", password: \"{PASSWORD}\") {{ name }} }}"
        ));
        for name in ["team", "other"] {
            post(&format!("mutation {{ addNamespace(name: \"{name}\") {{ name }} }}"));
            post(&format!(
                "mutation {{ addGrant(holder: \"will\", role: \"writer\", pattern: \"{name}/**\") }}"
            ));
        }
        let made = post(
            "mutation { createToken(name: \"ci\", robot: { name: \"ci\", namespace: \"team\" }, \
             scopes: [\"team/**:pull,push\"]) { secret } }",
        );
        let secret = made["data"]["createToken"]["secret"].as_str();
        let secret = secret.expect("it is a text").to_owned();
        Some(Self { registry, secret })
    }

    /// Has the administrator do something over the management API.
    fn manage(&self, query: &str) {
        manage(&self.registry, query);
    }

    /// The client that nobody has signed in.
    fn target(&self) -> Target {
        self.registry.target_of_strangers()
    }
}

fn manage(registry: &Registry, query: &str) -> Value {
    let admin = registry.target().user().expect("there is one");
    let url = registry.target().url("/graphql");
    let answer = http::send(|client| {
        let request = client.post(url).json(&json!({ "query": query }));
        request.basic_auth(admin.name, Some(admin.password))
    });
    let answer = answer.json();
    assert!(answer.get("errors").is_none(), "{query}: {answer}");
    answer
}

fn refused(what: &str, finished: &Finished) {
    assert!(!finished.succeeded(), "{what}: {finished}");
}

fn done(what: &str, finished: &Finished) {
    assert!(finished.succeeded(), "{what}: {finished}");
}

/// What each client does with accounts, beside pushes and pulls of a user who may do everything.
fn check(team: &Team, client: &dyn Client) {
    let reference = |name: &str| team.registry.reference(&format!("{name}/app:v1"));
    let (own, other, stranger) = (reference("team"), reference("other"), reference("carl"));
    let login =
        |user: &str, password: &str| client.login(user, password).map(|mut it| run(&mut it));
    refused("a push without signing in", &client.push(&own));
    if let Some(wrong) = login("ci", "rds_wrong") {
        if client.is_checking() {
            refused("a wrong password", &wrong);
        } else {
            refused("a push by a wrong password", &client.push(&own));
        }
    }
    if let Some(robot) = login("ci", &team.secret) {
        done("a robot signs in", &robot);
    }
    done("a robot pushes", &client.push(&own));
    done("a robot pulls", &client.pull(&own));
    refused("a robot pushes elsewhere", &client.push(&other));

    // The blobs are in `team`, where this user may read: wherever the client tries that, they are mounted.
    done("a user signs in", &login("will", PASSWORD).expect("as before"));
    done("a push to another namespace", &client.push(&other));
    // Here the blobs are in repositories that this user may not see.
    done("another user signs in", &login("carl", PASSWORD).expect("as before"));
    refused("a pull of what is hidden", &client.pull(&own));
    refused("a push to what is hidden", &client.push(&own));
    done("a push whose blobs are in hidden repositories", &client.push(&stranger));
    done("a pull of it", &client.pull(&stranger));
    let requests = team.registry.push_of("carl/app");
    assert!(!requests.iter().any(Request::is_mount), "{requests:?}");
    assert!(requests.iter().any(Request::is_upload), "{requests:?}");

    succeed(&mut client.logout().expect("it can"));
    refused("a push after signing out", &client.push(&stranger));
    refused("a pull after signing out", &client.pull(&stranger));
}

/// Makes a test of a client.
macro_rules! accounts_of {
    ($name:ident, $find:expr) => {
        #[test]
        fn $name() {
            let Some(team) = Team::start() else { return };
            let find: fn(&Target) -> Option<_> = $find;
            let Some(client) = find(&team.target()) else { return };
            check(&team, &client);
        }
    };
}

accounts_of!(skopeo_is_a_robot_and_users_and_signs_out, |it| ByFolder::find(Kind::Skopeo, it));
accounts_of!(crane_is_a_robot_and_users_and_signs_out, |it| ByFolder::find(Kind::Crane, it));
accounts_of!(regctl_is_a_robot_and_users_and_signs_out, |it| ByFolder::find(Kind::Regctl, it));
accounts_of!(docker_is_a_robot_and_users_and_signs_out, ByDaemon::find);
accounts_of!(podman_is_a_robot_and_users_and_signs_out, ByStore::podman);
accounts_of!(buildah_is_a_robot_and_users_and_signs_out, ByStore::buildah);
accounts_of!(helm_is_a_robot_and_users_and_signs_out, Helm::find);

/// Within one command, clients mount what another namespace has, if they may read there.
#[test]
fn copies_within_a_registry_are_mounted_across_namespaces() {
    let Some(team) = Team::start() else { return };
    for kind in [Kind::Crane, Kind::Regctl] {
        let Some(client) = ByFolder::find(kind, &team.target()) else { return };
        let name = format!("{kind:?}").to_lowercase();
        let reference =
            |namespace: &str| team.registry.reference(&format!("{namespace}/{name}:v1"));
        succeed(&mut client.login("will", PASSWORD).expect("it signs in"));
        done("a push", &client.push(&reference("team")));
        let words: &[&str] = if kind == Kind::Crane { &["copy"] } else { &["image", "copy"] };
        let copy = |from: &str, to: &str| {
            let mut command = client.command(words);
            run(command.args([reference(from), reference(to)]))
        };
        done("a copy", &copy("team", "other"));
        let requests = team.registry.push_of(&format!("other/{name}"));
        assert!(requests.iter().any(Request::is_mount), "{kind:?}: {requests:?}");
        let uploads = requests.iter().filter(|it| it.is_upload()).count();
        assert!(uploads <= 1, "{kind:?}: {requests:?}");
        refused("a copy to a namespace of another", &copy("team", "carl"));
    }
}

/// Python's `oras` sends the password with each request, and has nothing to sign out of.
#[test]
fn oras_is_a_robot() {
    let Some(team) = Team::start() else { return };
    let Some(python) = require("oras-python") else { return };
    let (target, home) = (team.target(), Home::new());
    let script = home.write("script.py", SCRIPT);
    home.write("note.txt", "of a robot");
    let mut command = home.command(&python);
    command.arg(script).args([target.address(), &target.reference("team/files:v1")]);
    command.args(["note.txt", "pulled", "false"]);
    command.arg(home.authority(&target).expect("it encrypts"));
    succeed(command.args(["ci", &team.secret]));
    assert_eq!(team.registry.tags("team/files"), ["v1"]);
}

/// It signs in with each command.
#[test]
fn containerd_sends_the_password_of_a_robot_with_each_command() {
    let Some(team) = Team::start() else { return };
    let secret: &'static str = Box::leak(team.secret.clone().into_boxed_str());
    let robot = team.target().of_user(Some(User { name: "ci", password: secret }));
    let Some(skopeo) = ByFolder::find(Kind::Skopeo, &team.target()) else { return };
    succeed(&mut skopeo.login("ci", &team.secret).expect("it signs in"));
    let (app, other) =
        (team.registry.reference("team/app:v1"), team.registry.reference("other/app:v1"));
    done("a push", &skopeo.push(&app));
    for release in [Release::Debian, Release::Newest] {
        let Some(containerd) = Containerd::start(release, &robot) else { return };
        done("a pull", &run(&mut containerd.remote("pull", &app)));
        succeed(&mut containerd.command(&["images", "tag", &app, &other]));
        done("a push", &run(&mut containerd.remote("push", &app)));
        refused("a push elsewhere", &run(&mut containerd.remote("push", &other)));
        let wrong = team.target().of_user(Some(User { name: "ci", password: "rds_wrong" }));
        let Some(containerd) = Containerd::start(release, &wrong) else { return };
        refused("a wrong password", &run(&mut containerd.remote("pull", &app)));
    }
}

/// The secrets of tokens are in no line of the log.
#[test]
fn what_a_client_sends_to_sign_in_is_not_in_the_log() {
    let Some(team) = Team::start() else { return };
    let Some(client) = ByFolder::find(Kind::Skopeo, &team.target()) else { return };
    succeed(&mut client.login("ci", &team.secret).expect("it signs in"));
    done("a push", &client.push(&team.registry.reference("team/app:v1")));
    let log = team.registry.log();
    assert!(!log.contains(&team.secret) && !log.contains(PASSWORD));
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    assert!(lines.filter(|line| line["user"] == "ci").count() > 0, "{log}");
}
