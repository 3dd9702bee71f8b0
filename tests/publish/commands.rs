//! `roadstead publish` and `roadstead status`.

use serde_json::Value;

use crate::common::repository::{Repository, wait};
use crate::common::{Server, run, succeed};
use crate::publish::publisher::{DOMAIN, NAME, Publisher, publish_to};

fn json(publisher: &Publisher, arguments: [&str; 2]) -> Value {
    let finished = run(&mut publisher.command(arguments));
    serde_json::from_str(&finished.stdout).unwrap_or_else(|error| panic!("{error}: {finished}"))
}

#[test]
fn what_would_be_written_is_shown_and_nothing_changed() {
    let Some(mut publisher) = Publisher::start() else { return };
    publisher.server.stop();
    let root = publisher.root();
    let shown = succeed(&mut publisher.command(["publish", "--dry-run"]));
    let dns = publisher.dns.address();
    let expected = [
        format!("would write  {NAME} TXT \"dnslink=/ipfs/{root}\""),
        format!("would write  {NAME} TXT \"ipfsnode=/ip4/127.0.0.1/tcp/5000/http\""),
        format!("{dns} says  nothing"),
    ];
    assert_eq!(shown.lines().collect::<Vec<_>>(), expected);
    assert_eq!(publisher.texts(), Vec::<String>::new());

    let foreign = "dnslink=/ipns/example.net";
    publisher.dns.update(DOMAIN, &format!("update add {NAME} 1 TXT \"{foreign}\""));
    let refused = run(&mut publisher.command(["publish", "--dry-run"]));
    assert_eq!(refused.code, Some(1), "{refused}");
    assert!(
        refused.stdout.contains("cannot replace the record, which has another owner"),
        "{refused}"
    );
    let mut as_json = publisher.command(["publish", "--dry-run"]);
    let as_json: Value = serde_json::from_str(&run(as_json.arg("--json")).stdout).unwrap();
    assert_eq!(as_json["servers"][0]["records"][0], foreign);
    assert_eq!(as_json["wanted"][0], format!("dnslink=/ipfs/{root}"));
    assert!(as_json["conflict"].as_str().unwrap().contains(foreign), "{as_json}");
    let forced = run(publisher.command(["publish", "--dry-run"]).arg("--force"));
    assert_eq!(forced.code, Some(0), "{forced}");
    assert_eq!(publisher.texts(), [foreign]);
}

#[test]
fn without_a_server_it_is_published_at_once_and_beside_one_by_that() {
    let Some(mut publisher) = Publisher::start_with(|command| {
        // So long that the server would not do it by itself.
        command.env("ROADSTEAD_PUBLISH__DEBOUNCE", "1h");
    }) else {
        return;
    };
    publisher.repository().push_image("v1", "one");
    assert_eq!(publisher.texts(), Vec::<String>::new());
    let root = publisher.root();
    let output = succeed(&mut publisher.command(["publish", "--wait"]));
    assert_eq!(output, format!("published {root}"));
    publisher.wait_for(&root);

    publisher.repository().push_image("v1", "two");
    let root = publisher.root();
    let output = succeed(&mut publisher.command(["publish"]));
    assert_eq!(output, format!("asked the server to publish {root}"));
    publisher.wait_for(&root);

    publisher.repository().push_image("v1", "three");
    let root = publisher.root();
    publisher.server.stop();
    let output = succeed(publisher.command(["publish"]).arg("--json"));
    let output: Value = serde_json::from_str(&output).unwrap();
    assert_eq!(output, serde_json::json!({ "root": root, "published": true }));
    publisher.wait_for(&root);
}

#[test]
fn why_a_root_is_not_published_is_reported_with_and_without_a_server() {
    let Some(mut publisher) = Publisher::start() else { return };
    publisher.dns.stop();
    for _ in 0..2 {
        let refused = run(&mut publisher.command(["publish", "--wait"]));
        assert_eq!(refused.code, Some(1), "{refused}");
        assert!(refused.stderr.contains("does not answer"), "{refused}");
        publisher.server.stop();
    }
    // Whoever asks for it has an empty registry published as well.
    publisher.dns.start_again();
    succeed(&mut publisher.command(["publish"]));
    publisher.wait_for(&publisher.root());
}

#[test]
fn a_server_that_publishes_nothing_says_so() {
    let server = Server::start();
    Repository::of(&server, "team/app").push_image("v1", "one");
    let refused = run(&mut server.command(["publish"]));
    assert_eq!(refused.code, Some(2), "{refused}");
    assert_eq!(
        refused.stderr,
        "error: `roadstead publish` needs `publish.domain`, which is not set\n"
    );
    let mut asking = server.command(["publish"]);
    publish_to(&mut asking, "127.0.0.1:1");
    let finished = run(&mut asking);
    assert_eq!(finished.code, Some(1), "{finished}");
    assert!(finished.stderr.contains("does not publish"), "{finished}");
    let status: Value =
        serde_json::from_str(&succeed(server.command(["status"]).arg("--json"))).unwrap();
    assert_eq!(status["publishing"], Value::Null);
    let status = succeed(&mut server.command(["status"]));
    assert!(status.ends_with("publishing       no: publish.domain is not set"), "{status}");
}

#[test]
fn how_a_registry_stands_is_shown_beside_the_server() {
    let Some(mut publisher) = Publisher::start() else { return };
    let status = json(&publisher, ["status", "--json"]);
    assert_eq!(status["publishing"]["root"], Value::Null);
    assert_eq!(status["publishing"]["pending"], true);
    publisher.repository().push_image("v1", "one");
    let root = publisher.wait_until_published();
    let status = json(&publisher, ["status", "--json"]);
    assert_eq!(status["root"], *root);
    assert_eq!((&status["queue"], &status["driver"]), (&0.into(), &"embedded".into()));
    assert_eq!(status["index"], "sqlite");
    let publishing = &status["publishing"];
    assert_eq!(
        (&publishing["root"], &publishing["pending"]),
        (&root.as_str().into(), &false.into())
    );
    assert_eq!(
        (&publishing["domain"], &publishing["provider"]),
        (&DOMAIN.into(), &"rfc2136".into())
    );
    assert_eq!(publishing["hints"][0], "/ip4/127.0.0.1/tcp/5000/http");
    assert!(publishing["published"].as_str().unwrap().starts_with("20"), "{status}");
    assert_eq!(publishing["failure"], Value::Null);
    let text = succeed(&mut publisher.command(["status"]));
    for line in [
        &format!("root             {root}"),
        "publishing       under publisher.test, by rfc2136",
        "pending          no",
        "hint             /ip4/127.0.0.1/tcp/5000/http",
    ] {
        assert!(text.lines().any(|shown| shown == line), "{line}: {text}");
    }

    publisher.dns.stop();
    publisher.repository().push_image("v1", "two");
    let failing = || json(&publisher, ["status", "--json"])["publishing"]["failure"].clone();
    wait(|| failing() != Value::Null, "the failure is not told");
    assert_eq!(failing()["kind"], "unavailable");
    let finished = run(&mut publisher.command(["status"]));
    assert_eq!(finished.code, Some(1), "{finished}");
    assert!(finished.stdout.contains("pending          yes\n"), "{finished}");
    assert!(finished.stdout.contains("failing          since 20"), "{finished}");
    assert!(
        finished.stdout.contains(&format!("still served     {}", publisher.root())),
        "{finished}"
    );
}

#[test]
fn all_commands_at_once_learn_when_it_is_published() {
    let Some(publisher) = Publisher::start_with(|command| {
        command.env("ROADSTEAD_PUBLISH__DEBOUNCE", "1h");
    }) else {
        return;
    };
    publisher.repository().push_image("v1", "one");
    let expected = format!("published {}\n", publisher.root());
    std::thread::scope(|scope| {
        let ask = || run(&mut publisher.command(["publish", "--wait"]));
        let commands: Vec<_> = (0..4).map(|_| scope.spawn(ask)).collect();
        for command in commands {
            let finished = command.join().unwrap();
            assert_eq!((finished.code, &finished.stdout), (Some(0), &expected), "{finished}");
        }
    });
}

#[test]
fn where_no_name_server_answers_nothing_is_said_to_be_published() {
    const FOREIGN: &str = "dnslink=/ipns/example.net";

    let Some(mut publisher) = Publisher::start() else { return };
    publisher.repository().push_image("v1", "one");
    publisher.wait_until_published();
    let replace = format!("update delete {NAME} TXT\nupdate add {NAME} 1 TXT \"{FOREIGN}\"");
    publisher.dns.update(DOMAIN, &replace);
    let refused = run(&mut publisher.command(["publish", "--wait"]));
    assert!(refused.code == Some(1) && refused.stderr.contains(FOREIGN), "{refused}");

    publisher.dns.stop();
    let try_all = |publisher: &Publisher| {
        for arguments in [&["publish", "--wait"][..], &["publish", "--wait", "--force"]] {
            let refused = run(publisher.command([]).args(arguments));
            assert_eq!(refused.code, Some(1), "{refused}");
            assert!(refused.stderr.contains("does not answer"), "{refused}");
        }
        assert_ne!(json(publisher, ["status", "--json"])["publishing"]["failure"], Value::Null);
    };
    try_all(&publisher);
    publisher.server.stop();
    try_all(&publisher);
    publisher.dns.start_again();
    assert_eq!(publisher.texts(), [FOREIGN]);
}
