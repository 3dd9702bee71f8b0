//! What comes in between: a name server that is away, others who write, a key that is refused, a kill.

use std::thread;
use std::time::Duration;

use crate::common::content::noise;
use crate::common::http;
use crate::common::repository::wait;
use crate::publish::publisher::{DOMAIN, NAME, Publisher};

const FOREIGN: &str = "dnslink=/ipfs/bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi";

impl Publisher {
    /// Waits until the registry says why it cannot publish, and gives that.
    fn wait_for_failure(&self, words: &str) -> String {
        wait(|| self.failure().contains(words), "the registry does not say why");
        let status = self.status();
        assert_eq!(status["publishing"], "failing", "the cause is for the operator");
        self.failure()
    }

    fn metric(&self, name: &str) -> String {
        let text = http::get(&self.server.url("/metrics")).text();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name} in {text}")).to_owned()
    }
}

#[test]
fn a_name_server_that_is_away_is_written_to_when_it_is_back_and_no_push_waits_for_it() {
    let Some(mut publisher) = Publisher::start() else { return };
    publisher.repository().push_image("v1", "one");
    let before = publisher.wait_until_published();
    assert_eq!(publisher.metric("roadstead_publish_failing"), "0");
    publisher.dns.stop();
    for word in ["two", "three"] {
        publisher.repository().push_image("v1", word);
    }
    publisher.wait_for_failure("does not answer");
    assert_eq!(publisher.metric("roadstead_publish_failing"), "1");
    assert_ne!(publisher.metric("roadstead_publish_failures_total"), "0");
    publisher.repository().push_image("v2", "four");
    wait(|| publisher.server.log().contains("failed to publish"), "the log does not tell");
    let log = publisher.server.log();
    assert_eq!(log.matches("failed to publish").count(), 1, "once, not at each try: {log}");
    publisher.dns.start_again();
    assert_ne!(publisher.wait_until_published(), before);
    assert_eq!(publisher.metric("roadstead_publish_failing"), "0");
    assert_eq!(publisher.metric("roadstead_publish_pending"), "0");
}

#[test]
fn a_silent_name_server_delays_nothing() {
    let Some(publisher) = Publisher::start() else { return };
    publisher.dns.freeze();
    for word in ["one", "two", "three"] {
        // Whoever waited for the name server would wait for ever: it says nothing before all is pushed.
        publisher.repository().push_image(word, word);
        thread::sleep(Duration::from_millis(400));
    }
    assert!(publisher.repository().get("manifests/three").status == 200);
    publisher.dns.thaw();
    publisher.wait_until_published();
}

#[test]
fn a_record_that_another_program_has_changed_is_reported_and_not_overwritten() {
    let Some(publisher) = Publisher::start() else { return };
    publisher.repository().push_image("v1", "one");
    publisher.wait_until_published();
    let replace = format!("update delete {NAME} TXT\nupdate add {NAME} 1 TXT \"{FOREIGN}\"");
    publisher.dns.update(DOMAIN, &replace);
    publisher.repository().push_image("v2", "two");
    let failure = publisher.wait_for_failure("cannot replace the record, which has another owner");
    assert!(
        failure.contains(FOREIGN) && failure.contains("roadstead publish --force"),
        "{failure}"
    );
    let serial = publisher.dns.serial(DOMAIN);
    publisher.repository().push_image("v3", "three");
    thread::sleep(Duration::from_millis(1500));
    assert_eq!(publisher.texts(), [FOREIGN]);
    assert_eq!(publisher.dns.serial(DOMAIN), serial, "nothing was written");

    let done = crate::common::succeed(&mut publisher.command(["publish", "--force", "--wait"]));
    assert_eq!(done, format!("published {}", publisher.root()));
    publisher.wait_until_published();
}

#[test]
fn a_record_that_was_there_before_is_not_overwritten_either() {
    let Some(publisher) = Publisher::start() else { return };
    publisher.dns.update(DOMAIN, &format!("update add {NAME} 1 TXT \"{FOREIGN}\""));
    publisher.repository().push_image("v1", "one");
    publisher.wait_for_failure("another owner");
    assert_eq!(publisher.texts(), [FOREIGN]);
    // Its owner takes it away.
    publisher.dns.update(DOMAIN, &format!("update delete {NAME} TXT"));
    publisher.wait_until_published();
}

#[test]
fn a_record_that_was_taken_away_is_put_back() {
    let Some(publisher) = Publisher::start_with(|command| {
        // As often is looked.
        command.env("ROADSTEAD_PUBLISH__KEEP", "1s");
    }) else {
        return;
    };
    publisher.repository().push_image("v1", "one");
    let root = publisher.wait_until_published();
    publisher.dns.update(DOMAIN, &format!("update delete {NAME} TXT"));
    publisher.wait_for(&root);
}

#[test]
fn a_refused_key_is_reported_and_pushes_go_on() {
    let Some(publisher) = Publisher::start_with(|command| {
        command.env("ROADSTEAD_PUBLISH__RFC2136__KEY_NAME", "nobody");
    }) else {
        return;
    };
    publisher.repository().push_image("v1", "one");
    let failure = publisher.wait_for_failure("does not know the key nobody");
    assert!(failure.contains("the DNS provider refused the change: "), "{failure}");
    assert!(failure.contains("\"kind\":\"refused\""), "{failure}");
    publisher.repository().push_image("v2", "two");
    assert_eq!(publisher.texts(), Vec::<String>::new());
}

#[test]
fn a_registry_that_is_killed_at_any_moment_goes_on_where_it_was() {
    let Some(mut publisher) = Publisher::start() else { return };
    // Before anything is written.
    publisher.dns.freeze();
    publisher.repository().push_image("v1", "frozen");
    thread::sleep(Duration::from_millis(800));
    publisher.server.kill();
    publisher.dns.thaw();
    publisher.server.start_again();
    publisher.wait_until_published();
    for round in 0..8_u64 {
        publisher.repository().push_image("v1", &format!("round {round}"));
        let random = u64::from(noise(1, round + 1)[0]);
        thread::sleep(Duration::from_millis(150 + random));
        publisher.server.kill();
        publisher.server.start_again();
        publisher.wait_until_published();
        assert_eq!(publisher.links().len(), 1, "{:?}", publisher.texts());
    }
}
