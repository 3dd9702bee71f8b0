//! Several processes on one Postgres: what is changed is so on all of them at the next request.

use roadstead::index::Actor;

use super::team::{NOW, Sender, configure, edit_at, fill, push, token_of, user};
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
