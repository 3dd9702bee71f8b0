//! What was pulled once, when its publisher or the DNS is gone.

use crate::content::sha256;
use crate::operators::Operators;
use crate::repository::assert_refused;

#[test]
fn what_was_pulled_is_served_when_the_publisher_is_gone() {
    let Some(mut operators) = Operators::start() else { return };
    let own = operators.own("team/app");
    let pushed = own.push_image("v1", "word");
    let unseen = own.push_image("v2", "unseen");
    operators.publish();
    let blob = format!("blobs/{}", sha256(&pushed.layer));
    let manifest = format!("manifests/{}", pushed.digest);
    {
        let foreign = operators.foreign("team/app");
        assert_eq!(foreign.get("manifests/v1").status, 200);
        assert_eq!(foreign.get(&blob).status, 200);
    }
    operators.publisher.kill();
    operators.dns.stop();
    for restart in [false, true] {
        if restart {
            operators.other.stop();
            operators.other.start_again();
        }
        let foreign = operators.foreign("team/app");
        // By tag the root has to be known; that of the last look-up serves on, if it was this process's.
        if !restart {
            assert_eq!(foreign.get("manifests/v1").body, pushed.manifest);
        }
        assert_eq!(foreign.get(&blob).body, pushed.layer);
        assert_eq!(foreign.get(&manifest).body, pushed.manifest);
        let absent = foreign.get(&format!("manifests/{}", unseen.digest));
        assert!(matches!(absent.status, 502 | 504), "{}", absent.text());
    }
}

#[test]
fn the_last_root_serves_on_while_the_dns_is_down() {
    let Some(mut operators) = Operators::start() else { return };
    let pushed = operators.own("team/app").push_image("v1", "word");
    let later = operators.own("team/app").push_image("v2", "later");
    operators.publish();
    let fresh = operators.foreign("team/app").get("manifests/v1");
    assert_eq!((fresh.status, fresh.header("roadstead-stale-since")), (200, ""));
    operators.dns.stop();
    std::thread::sleep(std::time::Duration::from_millis(1500));
    let foreign = operators.foreign("team/app");
    let metrics = || crate::common::http::get(&operators.other.url("/metrics")).text();
    assert!(metrics().contains("\nroadstead_stale_roots 0\n"), "{}", metrics());
    let found = foreign.get("manifests/v1");
    assert_eq!(found.body, pushed.manifest);
    assert!(!found.header("roadstead-stale-since").is_empty());
    assert_eq!(foreign.get("manifests/v2").body, later.manifest);
    assert!(!foreign.get("tags/list").header("roadstead-stale-since").is_empty());
    assert!(metrics().contains("\nroadstead_stale_roots 1\n"), "{}", metrics());
}

#[test]
fn without_a_root_that_was_ever_seen_the_dns_is_needed() {
    let Some(mut operators) = Operators::start() else { return };
    operators.dns.stop();
    let foreign = operators.foreign("team/app");
    assert_refused(&foreign.get("manifests/v1"), 504, "UNAVAILABLE");
}
