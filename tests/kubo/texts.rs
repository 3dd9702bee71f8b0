//! What the client makes of a real node's answers: Kubo tells kinds of failure apart by texts alone.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use roadstead::ipld::{Block, pin_node};
use roadstead::kubo::{CallTimeout, Kubo, KuboError, KuboErrorKind};
use rustix::process::{Pid, Signal, kill_process};
use tokio::runtime::Runtime;

use crate::common::content::{MIB, noise};
use crate::common::{Disk, KuboNode};
use crate::kubo::proxy::Proxy;

/// How often the node goes.
const ROUNDS: u32 = 6;

fn client(node: &KuboNode, token: Option<&str>) -> Kubo {
    let (api, gateway) = (node.api().parse().unwrap(), node.gateway().parse().unwrap());
    Kubo::new(api, gateway, token.map(|token| token.to_owned().into())).unwrap()
}

fn block(word: &str) -> Block {
    Block::raw(Bytes::from(word.to_owned()))
}

#[track_caller]
fn assert_kind<T>(result: Result<T, KuboError>, kind: KuboErrorKind) {
    match result {
        Ok(_) => panic!("it succeeded, where it should be {kind:?}"),
        Err(error) => assert_eq!(error.kind, kind, "{error:?}"),
    }
}

#[test]
fn a_key_without_a_record_is_reported() {
    let routing = r#"{"Type": "dhtclient", "DelegatedRouters": []}"#;
    let Some(node) = KuboNode::plan().set("Routing", routing).start() else { return };
    let key = node.ipfs(["key", "gen", "one"]).trim().parse().unwrap();
    let kubo = client(&node, None);
    let runtime = Runtime::new().unwrap();
    assert_kind(runtime.block_on(kubo.ipns_record(&key)), KuboErrorKind::NotFound);
    node.ipfs([
        "name",
        "publish",
        "--allow-offline",
        "--key=one",
        "--resolve=false",
        "/ipfs/bafkqaaa",
    ]);
    assert!(!runtime.block_on(kubo.ipns_record(&key)).unwrap().is_empty());
}

#[test]
fn a_tree_is_pinned_beside_the_one_before_it_and_announced_unless_that_is_switched_off() {
    let Some(node) = KuboNode::start() else { return };
    let kubo = client(&node, None);
    Runtime::new().unwrap().block_on(async {
        let (one, two) = (block("one"), block("two"));
        let trees = [pin_node(&[one.cid]), pin_node(&[one.cid, two.cid])];
        for block in trees.iter().chain([&one, &two]) {
            kubo.put(block).await.unwrap();
        }
        let [first, second] = trees.map(|tree| tree.cid);
        kubo.pin_tree(&first, None, "name").await.unwrap();
        kubo.pin_tree(&second, Some(&first), "name").await.unwrap();
        let mut pinned = kubo.pinned_trees("name").await.unwrap();
        pinned.sort();
        let mut expected = [first, second];
        expected.sort();
        assert_eq!(pinned, expected, "the new pin has the name of the old one");
        kubo.unpin_trees(&[first]).await.unwrap();
        kubo.unpin_trees(&[first]).await.unwrap();
        assert_eq!(kubo.pinned_trees("name").await.unwrap(), [second]);
        // What somebody else has pinned is his.
        kubo.pin_tree(&first, None, "other").await.unwrap();
        kubo.pin_tree(&first, Some(&second), "name").await.unwrap();
        assert_eq!(kubo.pinned_trees("other").await.unwrap(), [first]);
        assert_kind(kubo.provide(&second).await, KuboErrorKind::Disabled);
        let addresses = kubo.addresses().await.unwrap();
        assert!(addresses.iter().any(|address| address.starts_with("/ip4/127.0.0.1/tcp/")));
    });
}

#[test]
fn a_tree_that_is_not_whole_is_not_pinned_and_is_not_waited_for() {
    let Some(node) = KuboNode::start() else { return };
    let kubo = client(&node, None);
    Runtime::new().unwrap().block_on(async {
        let (here, absent) = (block("here"), block("absent"));
        let tree = pin_node(&[here.cid, absent.cid]);
        for block in [&here, &tree] {
            kubo.put(block).await.unwrap();
        }
        let pinned = kubo.pin_tree(&tree.cid, None, "name").await;
        assert_kind(pinned, KuboErrorKind::Unavailable);
        assert_eq!(kubo.pinned_trees("name").await.unwrap(), []);
        // And the node has given it up as well: a collection would wait for it.
        node.ipfs(["repo", "gc", "--quiet"]);
    });
}

#[test]
fn what_is_missing_or_exists_is_reported() {
    let Some(node) = KuboNode::start() else { return };
    node.ipfs(["files", "mkdir", "/folder"]);
    let kubo = client(&node, None);
    Runtime::new().unwrap().block_on(async {
        let (here, absent) = (block("here"), block("absent"));
        kubo.put(&here).await.unwrap();
        assert_eq!(kubo.stat("/folder/name").await.unwrap(), None);
        assert_eq!(kubo.stat("/absent/name").await.unwrap(), None);
        assert_eq!(kubo.list("/absent").await.unwrap(), None);
        let copy = |cid, path| kubo.copy(cid, path, CallTimeout::Limited);
        assert_kind(copy(&here.cid, "/absent/name").await, KuboErrorKind::NotFound);
        copy(&here.cid, "/folder/name").await.unwrap();
        assert_kind(copy(&here.cid, "/folder/name").await, KuboErrorKind::Exists);
        kubo.make_directory("/folder").await.unwrap();
        assert!(kubo.make_directory("/folder/name/below").await.is_err(), "a file is on the way");
        assert_eq!(kubo.list("/folder").await.unwrap(), Some(vec!["name".to_owned()]));
        assert_eq!(kubo.stat("/folder/name/below").await.unwrap(), None);
        assert_kind(copy(&absent.cid, "/folder/other").await, KuboErrorKind::MissingBlock);
        assert_kind(kubo.block(&absent.cid).await, KuboErrorKind::MissingBlock);
        assert!(!kubo.has(&absent.cid).await.unwrap());
        assert!(kubo.has(&here.cid).await.unwrap());
        assert_kind(kubo.read(&absent.cid, 0..1).await.map(drop), KuboErrorKind::MissingBlock);
        assert_kind(kubo.pin_blocks(&[absent.cid], "name").await, KuboErrorKind::MissingBlock);
        kubo.unpin_blocks(&[here.cid]).await.unwrap();
        kubo.remove(&["/folder/absent".to_owned()]).await.unwrap();
        kubo.remove(&["/absent/absent".to_owned()]).await.unwrap();
    });
}

#[test]
fn blocks_that_are_not_what_they_are_said_to_be_are_not_taken() {
    let Some(node) = KuboNode::start() else { return };
    let kubo = client(&node, None);
    Runtime::new().unwrap().block_on(async {
        let (whole, other) = (block("whole"), block("other"));
        let wrong = Block { cid: block("right").cid, bytes: other.bytes };
        let error = kubo.import(&[whole, wrong.clone()]).await.unwrap_err();
        assert_eq!(error.kind, KuboErrorKind::Failed);
        assert!(error.to_string().contains("mismatch"), "{error}");
        assert_kind(kubo.put(&wrong).await, KuboErrorKind::Failed);
    });
}

#[test]
fn a_failure_in_the_midst_of_an_answer_is_seen() {
    let Some(node) = KuboNode::start() else { return };
    let half = pin_node(&[block("absent").cid]);
    // Of what the driver asks for nothing fails in the midst, so the node is asked for more than that.
    let (original, replacement) =
        ("/api/v0/version ", format!("/api/v0/dag/export?offline=true&arg={} ", half.cid));
    let proxy = Proxy::changing(&node.api(), move |bytes| {
        String::from_utf8_lossy(bytes).replace(original, &replacement).into_bytes()
    });
    let (api, gateway) = (proxy.url().parse().unwrap(), node.gateway().parse().unwrap());
    let (direct, kubo) = (client(&node, None), Kubo::new(api, gateway, None).unwrap());
    let error = Runtime::new().unwrap().block_on(async {
        direct.put(&half).await.unwrap();
        kubo.version().await.unwrap_err()
    });
    assert_eq!(error.kind, KuboErrorKind::MissingBlock, "{error}");
    // No status before it: it came after a 200.
    assert!(!error.to_string().contains("500"), "{error}");
}

#[test]
fn a_token_allows_what_the_driver_does_and_none_or_another_allows_nothing() {
    let paths = [
        "version", "add", "block", "dag", "files", "pin", "repo", "swarm", "routing", "provide",
        "id", "resolve", "bitswap",
    ];
    let users = serde_json::json!({
        "roadstead": {
            "AuthSecret": "bearer:right",
            "AllowedPaths": paths.map(|path| format!("/api/v0/{path}")),
        },
        // By whom the test asks.
        "test": { "AuthSecret": "bearer:test", "AllowedPaths": ["/api/v0"] },
    });
    let plan = KuboNode::plan().token("test").set("API.Authorizations", &users.to_string());
    let Some(node) = plan.start() else { return };
    Runtime::new().unwrap().block_on(async {
        for token in [None, Some("wrong")] {
            let kubo = client(&node, token);
            assert_kind(kubo.version().await, KuboErrorKind::Denied);
            assert_kind(kubo.put(&block("here")).await, KuboErrorKind::Denied);
            assert_kind(kubo.stat("/").await, KuboErrorKind::Denied);
        }
        let (kubo, here) = (client(&node, Some("right")), block("here"));
        kubo.version().await.unwrap();
        kubo.put(&here).await.unwrap();
        kubo.import(&[block("one"), block("two")]).await.unwrap();
        kubo.block(&here.cid).await.unwrap();
        kubo.make_directory("/folder").await.unwrap();
        kubo.copy(&here.cid, "/folder/one", CallTimeout::Limited).await.unwrap();
        kubo.copy(&here.cid, "/folder/two", CallTimeout::Limited).await.unwrap();
        assert_eq!(kubo.list("/folder").await.unwrap().unwrap().len(), 2);
        let folder = kubo.stat("/folder").await.unwrap().unwrap().cid;
        kubo.pin_blocks(&[folder], "name").await.unwrap();
        kubo.remove(&["/folder/one".to_owned()]).await.unwrap();
        kubo.flush("/folder").await.unwrap();
        assert_eq!(kubo.pinned_blocks("name").await.unwrap(), [folder]);
        kubo.unpin_blocks(&[folder]).await.unwrap();
        assert_eq!(kubo.pinned_blocks("name").await.unwrap(), []);
    });
    let registry =
        crate::kubo::registry::Registry::start_with(&node, &[("STORAGE__KUBO__TOKEN", "right")]);
    let repository = registry.repository("team/app");
    repository.push_image("v1", "layer");
    repository.push_blob(&noise(3 * MIB, 1));
    registry.assert_whole(&node);
}

#[test]
fn a_full_disk_is_reported() {
    let Some(disk) = Disk::mount("24m") else { return };
    let Some(node) = KuboNode::plan().below(disk.path()).start() else { return };
    let kubo = client(&node, None);
    Runtime::new().unwrap().block_on(async {
        let fill = async |seed: u64| -> Result<(), KuboError> {
            kubo.put(&Block::raw(noise(MIB, seed).into())).await
        };
        let mut seed = 0;
        let error = loop {
            seed += 1;
            if let Err(error) = fill(seed).await {
                break error;
            }
        };
        assert_eq!(error.kind, KuboErrorKind::Full, "{error}");
        let blocks: Vec<Block> =
            (1000..1004).map(|seed| Block::raw(noise(MIB, seed).into())).collect();
        assert_kind(kubo.import(&blocks).await, KuboErrorKind::Full);
    });
    drop(node);
}

#[test]
fn a_node_on_its_way_down_and_one_that_is_gone_are_unavailable() {
    let Some(mut node) = KuboNode::start() else { return };
    node.ipfs(["files", "mkdir", "/away"]);
    node.ipfs(["files", "mkdir", "/home"]);
    let kubo = Arc::new(client(&node, None));
    let mut kinds = Vec::new();
    for round in 0..ROUNDS {
        let asking = thread::scope(|scope| {
            let asking: Vec<_> = (0..10)
                .map(|task| {
                    let kubo = Arc::clone(&kubo);
                    scope.spawn(move || ask_until_it_fails(&kubo, round, task))
                })
                .collect();
            thread::sleep(Duration::from_millis(300));
            if round % 2 == 0 {
                // It goes on as long as somebody asks.
                kill_process(Pid::from_raw(node.id().cast_signed()).unwrap(), Signal::TERM)
                    .unwrap();
                thread::sleep(Duration::from_secs(1));
            }
            node.kill();
            asking.into_iter().map(|it| it.join().unwrap()).collect::<Vec<_>>()
        });
        kinds.extend(asking);
        Runtime::new().unwrap().block_on(async {
            assert_kind(kubo.version().await, KuboErrorKind::Unavailable);
            assert_kind(
                kubo.read(&block("any").cid, 0..1).await.map(drop),
                KuboErrorKind::Unavailable,
            );
        });
        node.start_again();
    }
    kinds.retain(|error| error.kind != KuboErrorKind::Unavailable);
    assert!(kinds.is_empty(), "{kinds:#?}");
}

/// Does one thing after another until the node is gone.
fn ask_until_it_fails(kubo: &Kubo, round: u32, task: u32) -> KuboError {
    Runtime::new().unwrap().block_on(async {
        for number in 0.. {
            let it = block(&format!("{round}-{task}-{number}"));
            let path = format!("/home/{}", it.cid);
            let put = kubo.put(&it).await;
            let outcome = match task % 8 {
                0 => kubo.import(&[it]).await,
                1 => kubo.stat("/").await.map(drop),
                2 => kubo.block(&it.cid).await.map(drop),
                3 => kubo.flush("/away").await.map(drop),
                4 => kubo.pin_blocks(&[it.cid], "away").await,
                5 => kubo.remove(&[path]).await,
                6 => kubo.read(&it.cid, 0..1).await.map(drop),
                _ => kubo.copy(&it.cid, &path, CallTimeout::Limited).await,
            };
            let outcome = put.and(outcome);
            if let Err(error) = outcome {
                return error;
            }
        }
        unreachable!("it fails at some time")
    })
}
