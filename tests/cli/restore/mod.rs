//! `roadstead restore`, `export` and `import`: an empty registry becomes a copy, with the same root.

mod archive;
mod copies;
mod hostile;
mod interrupted;
mod peers;
mod proxy;
mod trees;

use std::fs;
use std::process::Command;

use crate::cli::push;
use crate::common::{Bind, require, run, succeed};
use copies::{Copy, Original};

#[test]
fn a_copy_has_the_same_root_and_answers_the_same() {
    let original = Original::start();
    let expected = original.expected();
    let copy = Copy::new();
    let restored = copy.restore(&original.root, &original.server.url(""));
    assert!(restored.succeeded(), "{restored}");
    assert!(restored.stdout.contains(&format!("the same root {}", original.root)), "{restored}");
    copy.assert_is(&original.root);
    let server = copy.serve();
    assert_eq!(original.answers(&server), expected);
    if let Some(skopeo) = require("skopeo") {
        let image = format!("docker://{}/team/app/nested:v2", server.address());
        let pulled = copy.home().join("pulled");
        let mut pull = Command::new(skopeo);
        pull.args(["copy", "--src-tls-verify=false", "--insecure-policy", &image]);
        succeed(pull.arg(format!("dir:{}", pulled.display())));
    }
    // It is a registry like any other.
    push::image(&server, "team/app", "v3", "layer");
    push::image(&original.server, "team/app", "v3", "layer");
    assert_eq!(
        succeed(&mut server.command(["root"])),
        succeed(&mut original.server.command(["root"]))
    );
}

#[test]
fn a_domain_leads_to_what_is_restored() {
    let original = Original::start();
    let port = original.server.address().rsplit_once(':').unwrap().1;
    let records = format!(
        "_dnslink 60 TXT \"dnslink=/ipfs/{}\"\n_dnslink 60 TXT \"ipfsnode=/ip4/127.0.0.1/tcp/{port}/http\"",
        original.root
    );
    let Some(dns) = Bind::start(&[("a.test", &records)]) else { return };
    let copy = Copy::new();
    let restore = |lab: &str| {
        let mut command = copy.command(&["restore", "--from", "a.test", "--json"]);
        command.env("ROADSTEAD_DNSLINK__SERVERS", dns.address());
        run(command.env("ROADSTEAD_DNSLINK__ALLOW_PRIVATE_ADDRESSES", lab))
    };
    let refused = restore("false");
    assert_eq!(refused.code, Some(1), "{refused}");
    let restored = restore("true");
    assert!(restored.succeeded(), "{restored}");
    let summary: serde_json::Value = serde_json::from_str(&restored.stdout).unwrap();
    assert_eq!(summary["root"], original.root);
    assert_eq!(summary["repositories"], 3);
    copy.assert_is(&original.root);
}

#[test]
fn only_an_empty_folder_is_filled_and_only_with_what_is_found() {
    let original = Original::start();
    let gateway = original.server.url("");
    let copy = Copy::new();
    // Nobody has it, or nobody is known.
    let unknown = "bafybeiczsscdsbs7ffqz55asqdf3smv6klcw3gofszvwlyarci47bgf354";
    let refused = copy.restore(unknown, &gateway);
    assert_eq!(refused.code, Some(1), "{refused}");
    assert!(!copy.data().exists(), "{refused}");
    let nobody = run(&mut copy.command(&["restore", "--from", &original.root]));
    assert!(nobody.stderr.contains("no source for this root"), "{nobody}");
    let restored = copy.restore(&original.root, &gateway);
    assert!(restored.succeeded(), "{restored}");
    copy.assert_is(&original.root);
    let again = copy.restore(&original.root, &gateway);
    assert_eq!(again.code, Some(1), "{again}");
    assert!(again.stderr.contains(" is not empty: "), "{again}");

    let other = Copy::new();
    fs::create_dir(other.data()).unwrap();
    fs::write(other.data().join("mine"), b"mine").unwrap();
    let refused = other.restore(&original.root, &gateway);
    assert!(refused.stderr.contains(" is not empty: "), "{refused}");
    assert_eq!(fs::read_dir(other.data()).unwrap().count(), 1);
    let wrong = run(&mut other.command(&["restore", "--from", "no root"]));
    assert_eq!(wrong.code, Some(2), "{wrong}");
}
