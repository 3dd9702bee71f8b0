//! Kubo nodes on either side: one that takes what a registry serves, and one that serves what the earlier IPFS
//! driver of the stock registry wrote.

use std::fs;
use std::path::Path;
use std::process::Command;

use rcgen::generate_simple_self_signed;
use roadstead::ipld::Block;
use serde_json::json;
use tempfile::TempDir;

use crate::common::content::{image, noise, sha256};
use crate::common::kubo::KuboNode;
use crate::common::repository::{Repository, wait};
use crate::common::{Server, bind::Bind, http, succeed};

#[test]
fn a_node_imports_the_archive_of_the_root_and_reads_every_file() {
    let Some(node) = KuboNode::start() else { return };
    let server = Server::start_embedded();
    let repository = Repository::of(&server, "team/app");
    let layer = noise(3_000_000, 1);
    repository.push_blob(&layer);
    repository.push_blob(b"{}");
    repository.push_manifest("v1", &image(b"{}", &[&layer]));
    let root = succeed(&mut server.command(["root"])).trim().to_owned();
    let home = TempDir::new().unwrap();
    for query in ["format=car", "format=car&car-dups=n"] {
        let archive = home.path().join("root.car");
        let response = http::get(&server.url(&format!("/ipfs/{root}?{query}")));
        assert_eq!(response.status, 200);
        fs::write(&archive, response.body).unwrap();
        let output = node.ipfs(["dag", "import", archive.to_str().unwrap()]);
        assert!(output.contains(&root), "{output}");
        let folder = home.path().join(query);
        node.ipfs(["get", "--output", folder.to_str().unwrap(), &format!("/ipfs/{root}")]);
        let public = server.data().join("public");
        succeed(Command::new("diff").arg("-r").arg(&folder).arg(public));
        node.ipfs(["pin", "rm", &root]);
        node.ipfs(["repo", "gc", "--quiet"]);
    }
}

#[test]
fn a_node_that_asks_a_registry_for_providers_fetches_from_it() {
    let home = TempDir::new().unwrap();
    let issued = generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let [certificate, key] = ["certificate.pem", "key.pem"].map(|name| home.path().join(name));
    fs::write(&certificate, issued.cert.pem()).unwrap();
    fs::write(&key, issued.signing_key.serialize_pem()).unwrap();
    let authority = certificate.to_str().unwrap().to_owned();
    let server = Server::start_encrypted(move |command| {
        command
            .env("ROADSTEAD_SERVER__TLS__CERTIFICATE", &certificate)
            .env("ROADSTEAD_SERVER__TLS__KEY", &key);
    });
    // Of the two, the router's certificate has to be one that the node knows.
    let routing = json!({ "Type": "delegated", "DelegatedRouters": [server.url("")] });
    let node = KuboNode::plan()
        .env("SSL_CERT_FILE", &authority)
        .set("Routing", &routing.to_string())
        .set("HTTPRetrieval", r#"{"Enabled": true, "TLSInsecureSkipVerify": true}"#)
        .start();
    let Some(node) = node else { return };
    let pushed = Repository::of(&server, "team/app").push_image("v1", "word");
    let root = succeed(&mut server.command(["root"])).trim().to_owned();
    let folder = home.path().join("folder");
    node.ipfs(["get", "--output", folder.to_str().unwrap(), &format!("/ipfs/{root}")]);
    succeed(Command::new("diff").arg("-r").arg(&folder).arg(server.public()));
    let layer = Block::raw(pushed.layer.into()).cid;
    for target in [format!("/routing/v1/providers/{root}"), format!("/ipfs/{layer}")] {
        wait(|| server.log().contains(&target), &target);
    }
}

/// Writes a file as the earlier driver did: into MFS, bit by bit, in nodes of the oldest kind.
fn write(node: &KuboNode, path: &str, bytes: &[u8], folder: &Path) {
    let file = folder.join("file");
    fs::write(&file, bytes).unwrap();
    node.ipfs([
        "files",
        "write",
        "--create",
        "--parents",
        "--cid-version=0",
        "--raw-leaves=false",
        path,
        file.to_str().unwrap(),
    ]);
}

#[test]
fn a_tree_of_the_earlier_driver_is_read() {
    const DOMAIN: &str = "earlier.test";

    let Some(dns) = Bind::start(&[(DOMAIN, "")]) else { return };
    let Some(node) = KuboNode::start() else { return };
    let home = TempDir::new().unwrap();
    let top = format!("/{DOMAIN}/docker/registry/v2");
    // The domain stands in the path of the repository once more.
    let repository = format!("{top}/repositories/{DOMAIN}/hello");
    let (config, layer) = (b"{}".to_vec(), noise(5_000_000, 2));
    let manifest = image(&config, &[&layer]).to_string().into_bytes();
    for bytes in [&config, &layer, &manifest] {
        let digest = sha256(bytes);
        let hex = digest.strip_prefix("sha256:").unwrap();
        write(&node, &format!("{top}/blobs/sha256/{}/{hex}/data", &hex[..2]), bytes, home.path());
        let link = if bytes == &manifest { "_manifests/revisions" } else { "_layers" };
        let link = format!("{repository}/{link}/sha256/{hex}/link");
        write(&node, &link, digest.as_bytes(), home.path());
    }
    let tag = format!("{repository}/_manifests/tags/latest/current/link");
    write(&node, &tag, sha256(&manifest).as_bytes(), home.path());
    assert_eq!(node.ipfs(["files", "read", &tag]), sha256(&manifest));
    let root = node.ipfs(["files", "stat", "--hash", &format!("/{DOMAIN}")]);
    let hex = sha256(&layer);
    let hex = hex.strip_prefix("sha256:").unwrap();
    let data = format!("{top}/blobs/sha256/{}/{hex}/data", &hex[..2]);
    assert!(node.ipfs(["files", "stat", "--hash", &data]).starts_with("Qm"), "it is not of old");
    dns.update(DOMAIN, &format!("update add {DOMAIN} 1 TXT \"dnslink=/ipfs/{}\"", root.trim()));

    let (servers, gateway) = (dns.address(), node.gateway());
    let server = Server::start_with(move |command| {
        command
            .env("ROADSTEAD_DNSLINK__SERVERS", &servers)
            .env("ROADSTEAD_FEDERATION__GATEWAYS", &gateway);
    });
    let foreign = Repository::of(&server, &format!("{DOMAIN}/hello"));
    let found = foreign.get("manifests/latest");
    assert_eq!((found.status, &found.body), (200, &manifest), "{}", found.text());
    assert_eq!(foreign.get(&format!("manifests/{}", sha256(&manifest))).body, manifest);
    assert!(foreign.get(&format!("blobs/{}", sha256(&layer))).body == layer);
    assert_eq!(foreign.get("tags/list").json()["tags"], serde_json::json!(["latest"]));
}
