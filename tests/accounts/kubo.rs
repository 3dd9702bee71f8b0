//! Accounts over a Kubo node, which gives what it has to everybody who knows a CID: so repositories are public, and rights
//! to push and to delete are what is given and taken away.

use std::process::Command;
use std::sync::Arc;

use reqwest::Method;

use super::graphql::{run, try_post};
use super::team::{PASSWORD, Sender, push, send, user};
use crate::common::content::sha256;
use crate::common::repository::assert_refused;
use crate::common::{KuboNode, Pair, Postgres, Server};

fn serve(pair: &Arc<Pair>, visibility: Option<&'static str>) -> Server {
    Server::start_over(pair, move |command: &mut Command| {
        command
            .env("ROADSTEAD_AUTH__METHOD", "accounts")
            .env("ROADSTEAD_AUTH__ACCOUNTS__ADMIN", "root")
            .env("ROADSTEAD_AUTH__ACCOUNTS__ADMIN_PASSWORD", PASSWORD);
        if let Some(visibility) = visibility {
            command.env("ROADSTEAD_AUTH__ACCOUNTS__DEFAULT_VISIBILITY", visibility);
        }
    })
}

#[test]
fn rights_to_push_and_to_delete_are_given_and_taken_away_over_kubo() {
    let Some(node) = KuboNode::start() else { return };
    let Some(postgres) = Postgres::start(&[]) else { return };
    let pair = Arc::new(Pair::make_on(&node.api(), &node.gateway(), &postgres.url()));
    let server = serve(&pair, Some("public"));
    let root = user("root");
    for query in [
        &format!("mutation {{ addUser(name: \"anna\", password: \"{PASSWORD}\") {{ name }} }}"),
        &format!("mutation {{ addUser(name: \"will\", password: \"{PASSWORD}\") {{ name }} }}"),
        "mutation { addNamespace(name: \"team\", owner: \"anna\") { name } }",
        "mutation { addGrant(holder: \"will\", role: \"maintainer\", pattern: \"team/**\") }",
    ] {
        run(&server, &root, query);
    }
    let (anna, will) = (user("anna"), user("will"));
    assert_eq!(push(&server, "team/app", &anna), [201, 201]);
    let path = "/v2/team/app/manifests/v1";
    let pulled = send(&server, Method::GET, path, &Sender::Nobody, Vec::new());
    assert_eq!(pulled.status, 200, "{}", pulled.text());
    assert!(!pulled.header("x-ipfs-path").is_empty());
    assert_eq!(push(&server, "team/app", &Sender::Nobody), [401, 401]);
    assert_eq!(push(&server, "team/app", &will), [201, 201]);

    let digest = sha256(&pulled.body);
    let deleted = format!("/v2/team/app/manifests/{digest}");
    let exchange = "mutation { addGrant(holder: \"will\", role: \"writer\", pattern: \"team/**\") \
         removeGrant(holder: \"will\", role: \"maintainer\", pattern: \"team/**\") }";
    run(&server, &anna, exchange);
    let refused = send(&server, Method::DELETE, &deleted, &will, Vec::new());
    assert_refused(&refused, 403, "DENIED");
    assert_eq!(push(&server, "team/app", &will), [201, 201]);
    run(
        &server,
        &anna,
        "mutation { removeGrant(holder: \"will\", role: \"writer\", pattern: \"team/**\") }",
    );
    assert_eq!(push(&server, "team/app", &will), [403, 403], "it may be seen");
    assert_eq!(send(&server, Method::GET, path, &will, Vec::new()).status, 200);
    assert_eq!(send(&server, Method::DELETE, &deleted, &anna, Vec::new()).status, 202);

    // Nothing leaves the public tree on a node.
    assert_eq!(push(&server, "team/app", &anna), [201, 201]);
    let hide = "mutation { setVisibility(name: \"team/app\", visibility: PRIVATE) { name } }";
    let answer = try_post(&server.url("/graphql"), &anna, hide).expect("there is an answer");
    assert_eq!(answer.json()["errors"][0]["extensions"]["code"], "DENIED", "{}", answer.text());
    assert_eq!(send(&server, Method::GET, path, &Sender::Nobody, Vec::new()).status, 200);
}

#[test]
fn a_push_that_would_make_a_private_repository_on_a_node_names_the_setting() {
    let Some(node) = KuboNode::start() else { return };
    let Some(postgres) = Postgres::start(&[]) else { return };
    let pair = Arc::new(Pair::make_on(&node.api(), &node.gateway(), &postgres.url()));
    for visibility in [None, Some("internal")] {
        let server = serve(&pair, visibility);
        let begun = "/v2/root/app/blobs/uploads/";
        let whole = format!("{begun}?digest={}", sha256(b"config"));
        for (path, body) in [(begun, &b""[..]), (whole.as_str(), b"config")] {
            let refused = send(&server, Method::POST, path, &user("root"), body.to_vec());
            assert_refused(&refused, 403, "DENIED");
            let text = refused.text();
            assert!(text.contains("auth.accounts.default_visibility"), "{text}");
        }
        let manifest = b"{\"schemaVersion\":2}".to_vec();
        let path = "/v2/root/app/manifests/v1";
        let refused = send(&server, Method::PUT, path, &user("root"), manifest);
        assert!([400, 403].contains(&refused.status), "{}", refused.text());
        let tags = send(&server, Method::GET, "/v2/root/app/tags/list", &user("root"), Vec::new());
        assert_eq!(tags.status, 404, "nothing was made");
    }
}
