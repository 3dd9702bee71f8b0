//! Pulls are counted by each process, and all of them know of them.

use serde_json::json;

use crate::common::Replicas;
use crate::common::http;
use crate::common::repository::{Repository, wait};

#[test]
fn pulls_at_each_process_add_up_and_a_stop_loses_none() {
    let Some(mut replicas) = Replicas::start() else { return };
    let repository = Repository::of(&replicas.servers[0], "team/app");
    repository.push_image("v1", "counted by each process");
    for (number, server) in replicas.servers.iter().enumerate() {
        let pulled = http::send(|client| {
            let request = client.get(server.url("/v2/team/app/manifests/v1"));
            request.header("x-forwarded-for", format!("192.0.2.{number}"))
        });
        assert_eq!(pulled.status, 200, "{}", pulled.text());
    }
    let stopped = replicas.servers.pop().expect("there are several");
    assert!({ stopped }.stop().success());
    let query = "{ image(repository: \"team/app\", reference: \"v1\") { pulls lastPulled } }";
    let mut answer = json!(null);
    for server in &replicas.servers {
        let are_known = || {
            let asked = http::send(|client| {
                client.post(server.url("/graphql")).json(&json!({ "query": query }))
            });
            answer = asked.json();
            answer["data"]["image"]["pulls"] == 3
        };
        wait(are_known, "the pulls of the others are not known");
    }
    assert!(answer["data"]["image"]["lastPulled"].is_string(), "{answer}");
}
