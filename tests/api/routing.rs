//! `/routing/v1/`: this registry names itself for what its gateway serves, and for nothing else.

use roadstead::ipld::Block;
use serde_json::{Value, json};

use crate::common::http::{self, Response};
use crate::common::repository::Repository;
use crate::common::{Server, succeed};

fn ask(server: &Server, path: &str, accept: &str) -> Response {
    let url = server.url(&format!("/routing/v1/{path}"));
    let answer = http::send(|client| client.get(&url).header("Accept", accept));
    assert_eq!(answer.header("vary"), "Accept", "{}", answer.text());
    answer
}

fn root(server: &Server) -> String {
    succeed(&mut server.command(["root"])).trim().to_owned()
}

/// The only peer that it knows: itself.
fn itself(server: &Server) -> Value {
    let path = format!("providers/{}", root(server));
    ask(server, &path, "application/json").json()["Providers"][0].clone()
}

#[test]
fn it_is_the_provider_of_what_is_public_and_of_nothing_else() {
    let server = Server::start();
    let repository = Repository::of(&server, "team/app");
    let pushed = repository.push_image("v1", "word");
    let root = root(&server);
    let answer = ask(&server, &format!("providers/{root}"), "*/*");
    assert_eq!((answer.status, answer.header("content-type")), (200, "application/json"));
    assert_eq!(answer.header("cache-control"), "public, max-age=300");
    assert!(!answer.header("last-modified").is_empty());
    let (ip, port) = server.address().split_once(':').unwrap();
    let found = answer.json()["Providers"].clone();
    let id = found[0]["ID"].as_str().expect("it has an id").to_owned();
    assert!(id.starts_with("12D3KooW"), "the key is one of Ed25519, in its own name: {id}");
    let expected = json!([{
        "Schema": "peer",
        "ID": id,
        "Addrs": [format!("/ip4/{ip}/tcp/{port}/http")],
        "Protocols": ["transport-ipfs-gateway-http"],
    }]);
    assert_eq!(found, expected);
    let lines = ask(&server, &format!("providers/{root}"), "application/x-ndjson, */*");
    assert_eq!(lines.header("content-type"), "application/x-ndjson");
    assert_eq!(lines.json(), expected[0]);
    assert!(lines.text().ends_with("}\n"));

    // Of a blob too, as soon as a manifest names it.
    let cid = Block::raw(pushed.layer.into()).cid;
    assert_eq!(ask(&server, &format!("providers/{cid}"), "*/*").json()["Providers"], expected);
    let loose = b"no manifest names this";
    repository.push_blob(loose);
    for nothing in [b"nobody has this".as_slice(), loose] {
        let elsewhere = Block::raw(nothing.to_vec().into()).cid;
        let path = format!("providers/{elsewhere}");
        let answer = ask(&server, &path, "*/*");
        assert_eq!((answer.status, answer.json()), (200, json!({ "Providers": [] })));
        assert_eq!(answer.header("cache-control"), "public, max-age=15");
        let lines = ask(&server, &path, "application/x-ndjson");
        assert_eq!((lines.status, lines.text().as_str()), (200, ""));
    }
}

#[test]
fn its_id_lasts_and_leads_to_it() {
    let mut server = Server::start();
    Repository::of(&server, "team/app").push_image("v1", "word");
    let before = itself(&server);
    server.stop();
    server.start_again();
    let after = itself(&server);
    assert_eq!(before["ID"], after["ID"]);
    let id = after["ID"].as_str().unwrap();
    assert_eq!(ask(&server, &format!("peers/{id}"), "*/*").json(), json!({ "Peers": [after] }));
    let other = "12D3KooWEqnTdgqHnkkwarSrJjeMP2ZJiADWLYADaNvUb6SQNyPF";
    assert_eq!(ask(&server, &format!("peers/{other}"), "*/*").json(), json!({ "Peers": [] }));
}

#[test]
fn filters_leave_it_out() {
    let server = Server::start();
    Repository::of(&server, "team/app").push_image("v1", "word");
    let root = root(&server);
    for (filter, is_there) in [
        ("filter-addrs=HTTP", true),
        ("filter-addrs=quic-v1,http", true),
        ("filter-addrs=quic-v1", false),
        ("filter-addrs=!ip6", true),
        ("filter-addrs=http,!ip4", false),
        ("filter-addrs=", true),
        ("filter-protocols=transport-bitswap", false),
        ("filter-protocols=transport-bitswap,transport-ipfs-gateway-http,unknown", true),
        ("filter-protocols=transport-ipfs-gateway-http&filter-addrs=tls", false),
    ] {
        let path = format!("providers/{root}?{filter}");
        let found = ask(&server, &path, "*/*").json()["Providers"].as_array().unwrap().len();
        assert_eq!(found, usize::from(is_there), "{filter}");
    }
}

#[test]
fn what_is_no_cid_is_refused_and_so_is_everything_where_there_is_no_gateway() {
    let server = Server::start();
    for path in ["providers/nonsense", "peers/nonsense", "peers/bafkqaaa"] {
        let answer = http::get(&server.url(&format!("/routing/v1/{path}")));
        assert_eq!(answer.status, 422, "{path}: {}", answer.text());
        assert!(answer.text().contains("cannot read"), "{}", answer.text());
    }
    let refused = http::send(|client| client.put(server.url("/routing/v1/providers/bafkqaaa")));
    assert_eq!((refused.status, refused.header("allow")), (405, "GET, HEAD, OPTIONS"));

    let server = Server::start_with(|command| {
        command.env("ROADSTEAD_GATEWAY__ENABLED", "false");
    });
    let answer = http::get(&server.url("/routing/v1/providers/bafkqaaa"));
    assert_eq!(answer.status, 404);
}

#[test]
fn it_is_reached_where_the_settings_say() {
    let server = Server::start_with(|command| {
        command.env("ROADSTEAD_SERVER__EXTERNAL_URL", "https://registry.example.com");
    });
    Repository::of(&server, "team/app").push_image("v1", "word");
    assert_eq!(itself(&server)["Addrs"], json!(["/dns4/registry.example.com/tcp/443/tls/http"]));
}
