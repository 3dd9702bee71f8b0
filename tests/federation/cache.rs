//! What was pulled once, when its publisher or the DNS is gone.

use crate::common::content::{noise, sha256};
use crate::common::repository::assert_refused;
use crate::common::{Disk, embedded_only};
use crate::federation::operators::Operators;

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
        let by_tag = foreign.get("manifests/v1");
        assert_eq!(by_tag.body, pushed.manifest, "{}", by_tag.text());
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

#[test]
fn without_space_for_the_cache_a_client_gets_507() {
    let Some(()) = embedded_only("the disk is the data folder's") else { return };
    let Some(disk) = Disk::mount("32m") else { return };
    let cache = disk.path().join("cache");
    std::fs::create_dir(&cache).unwrap();
    let Some(mut operators) = Operators::start() else { return };
    operators.other.stop();
    std::fs::remove_dir_all(operators.other.data().join("cache")).unwrap();
    std::os::unix::fs::symlink(&cache, operators.other.data().join("cache")).unwrap();
    operators.other.start_again();
    let pushed = operators.own("team/app").push_image("v1", "word");
    operators.publish();

    let filler = disk.path().join("filler");
    for size in [8 << 20, 4096] {
        // The last of it is refused.
        let mut file = std::fs::File::options().append(true).create(true).open(&filler).unwrap();
        while std::io::Write::write_all(&mut file, &noise(size, 1)).is_ok() {}
    }
    let foreign = operators.foreign("team/app");
    assert_refused(&foreign.get("manifests/v1"), 507, "UNAVAILABLE");
    assert_eq!(operators.own("team/app").get("manifests/v1").body, pushed.manifest);
    std::fs::remove_file(filler).unwrap();
    assert_eq!(foreign.get("manifests/v1").body, pushed.manifest);
}
