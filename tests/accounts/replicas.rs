//! Several processes on one Postgres: what is changed is so on all of them at the next request.

use reqwest::Method;
use roadstead::index::Actor;

use super::graphql::run;
use super::team::{
    NOW, PASSWORD, Secrets, Sender, configure, edit_at, fill, push, send, token, token_of, user,
};
use crate::common::{Postgres, Server};

#[test]
fn what_was_taken_away_is_refused_on_every_replica_at_the_next_request() {
    let Some(postgres) = Postgres::start(&[]) else { return };
    let secrets = edit_at(&postgres.url(), async |index| fill(index).await);
    let start = || {
        let url = postgres.url();
        Server::start_with(move |command| {
            configure(command);
            command.env("ROADSTEAD_INDEX__URL", &url);
        })
    };
    let servers = [start(), start()];
    let scopes = ["repository:team/open:pull,push"];
    let bearer = |server: &Server, sender: &Sender| {
        let token = token_of(server, sender, &scopes).json();
        Sender::Bearer(token["token"].as_str().expect("it is a text").to_owned())
    };
    let robot = Sender::Basic("ci".to_owned(), secrets.of_robot.clone());
    let senders = [
        user("will"),
        robot.clone(),
        bearer(&servers[0], &user("will")),
        bearer(&servers[1], &robot),
    ];
    let status = |server, sender| push(server, "team/open", sender)[0];
    for server in &servers {
        for sender in &senders {
            assert_eq!(status(server, sender), 201, "{sender:?}");
        }
    }
    for is_disabled in [true, false, true] {
        edit_at(&postgres.url(), async |index| {
            for id in [secrets.will, secrets.robot] {
                let changed = index.set_disabled(id, is_disabled, &Actor::default(), NOW).await;
                let _ = changed.expect("it can be changed");
            }
        });
        let expected = if is_disabled { 401 } else { 201 };
        for server in &servers {
            for sender in &senders {
                assert_eq!(status(server, sender), expected, "{sender:?} {is_disabled}");
            }
        }
    }
}

/// What a client does, and what it is answered before something is taken away and afterwards.
struct Loss {
    what: &'static str,
    /// The change, over the management API.
    change: String,
    /// Whose right it was: each is tried by the credential and by a token that it was exchanged for before.
    sender: Sender,
    method: Method,
    path: &'static str,
    before: u16,
    after: u16,
}

fn loss(what: &'static str, change: &str, sender: Sender, after: u16) -> Loss {
    let (method, path) = (Method::POST, "/v2/team/secret/blobs/uploads/");
    Loss { what, change: change.to_owned(), sender, method, path, before: 202, after }
}

impl Loss {
    fn of(self, method: Method, path: &'static str, before: u16) -> Self {
        Self { method, path, before, ..self }
    }
}

/// Each right that can be taken away, in an order in which each is there before.
fn losses(secrets: &Secrets, of_will: &str) -> Vec<Loss> {
    let basic = |name: &str, password: &str| Sender::Basic(name.to_owned(), password.to_owned());
    let id = |secret: &str| secret.split('_').nth(1).expect("it has an id").to_owned();
    let tags = "/v2/team/open/tags/list";
    let delete = "/v2/team/secret/manifests/sha256:00000000000000000000000000000000000000000000000000000000000000aa";
    vec![
        loss(
            "a visibility, to strangers",
            "mutation { setVisibility(name: \"team/open\", visibility: INTERNAL) { name } }",
            Sender::Nobody,
            401,
        )
        .of(Method::GET, tags, 404),
        loss(
            "a visibility, to users",
            "mutation { setVisibility(name: \"team/open\", visibility: PRIVATE) { name } }",
            user("carl"),
            401,
        )
        .of(Method::GET, tags, 404),
        loss(
            "a token",
            &format!("mutation {{ revokeToken(id: \"{}\") }}", id(of_will)),
            basic("will", of_will),
            401,
        ),
        loss(
            "a token of a robot",
            &format!("mutation {{ revokeToken(id: \"{}\") }}", id(&secrets.of_robot)),
            basic("ci", &secrets.of_robot),
            401,
        ),
        loss(
            "a role of a team",
            "mutation { removeGrant(holder: \"team:dev\", role: \"maintainer\", pattern: \"team/**\") }",
            user("rita"),
            403,
        )
        .of(Method::DELETE, delete, 404),
        loss(
            "membership in a team",
            "mutation { removeTeamMember(team: \"ops\", member: \"carl\") }",
            user("carl"),
            401,
        ),
        loss("a team", "mutation { removeTeam(name: \"ops\") }", user("mia"), 401),
        loss(
            "a role",
            "mutation { removeGrant(holder: \"will\", role: \"writer\", pattern: \"team/**\") }",
            user("will"),
            401,
        ),
        loss(
            "a namespace",
            "mutation { setNamespaceOwner(name: \"team\", owner: \"carl\") { name } }",
            user("anna"),
            401,
        ),
        loss(
            "administration",
            "mutation { setAdministrator(name: \"chief\", isAdministrator: false) { name } }",
            user("chief"),
            401,
        ),
        loss(
            "a password",
            "mutation { setPassword(name: \"carl\", password: \"another one, and long\") }",
            user("carl"),
            401,
        ),
        loss(
            "an account, for now",
            "mutation { setDisabled(name: \"olga\", isDisabled: true) }",
            user("olga"),
            401,
        ),
        loss(
            "an account, for good",
            "mutation { removeAccount(name: \"otto\") }",
            user("otto"),
            401,
        ),
    ]
}

/// Three processes, since the one that made a change and the one that gave out a token are two.
#[test]
fn each_right_that_is_taken_away_on_one_replica_is_gone_on_all_at_the_next_request() {
    let Some(postgres) = Postgres::start(&[]) else { return };
    let (secrets, of_will) = edit_at(&postgres.url(), async |index| {
        let secrets = fill(index).await;
        let of_will = token(index, secrets.will, secrets.will, "team/**:pull,push").await;
        (secrets, of_will)
    });
    let servers: Vec<Server> = (0..3)
        .map(|_| {
            let url = postgres.url();
            Server::start_with(move |command| {
                configure(command);
                command.env("ROADSTEAD_INDEX__URL", &url);
            })
        })
        .collect();
    let root = user("root");
    for name in ["mia", "olga", "otto", "chief"] {
        let query = format!(
            "mutation {{ addUser(name: \"{name}\", password: \"{PASSWORD}\") {{ name }} }}"
        );
        run(&servers[0], &root, &query);
    }
    for query in [
        "mutation { addTeam(name: \"dev\") { name } addTeamMember(team: \"dev\", member: \"rita\") \
         addGrant(holder: \"team:dev\", role: \"maintainer\", pattern: \"team/**\") }",
        "mutation { addTeam(name: \"ops\") { name } addTeamMember(team: \"ops\", member: \"carl\") \
         addGrant(holder: \"team:ops\", role: \"writer\", pattern: \"team/secret\") }",
        "mutation { addTeamMember(team: \"ops\", member: \"mia\") \
         olga: addGrant(holder: \"olga\", role: \"writer\", pattern: \"team/**\") \
         otto: addGrant(holder: \"otto\", role: \"writer\", pattern: \"team/**\") \
         setAdministrator(name: \"chief\", isAdministrator: true) { name } }",
    ] {
        run(&servers[1], &root, query);
    }
    let scopes = ["repository:team/secret:pull,push,delete repository:team/open:pull"];
    for (number, loss) in losses(&secrets, &of_will).into_iter().enumerate() {
        let giver = &servers[(number + 1) % 3];
        let answer = token_of(giver, &loss.sender, &scopes);
        assert_eq!(answer.status, 200, "{}: {}", loss.what, answer.text());
        let bearer = answer.json()["token"].as_str().expect("it is a text").to_owned();
        let senders = [Sender::Bearer(bearer), loss.sender.clone()];
        let check = |expected: u16, when: &str| {
            for server in &servers {
                for sender in &senders {
                    let answer = send(server, loss.method.clone(), loss.path, sender, Vec::new());
                    let text = answer.text();
                    assert_eq!(answer.status, expected, "{} {when}: {sender:?}: {text}", loss.what);
                }
            }
        };
        check(loss.before, "before");
        run(&servers[number % 3], &root, &loss.change);
        check(loss.after, "afterwards");
    }
}
