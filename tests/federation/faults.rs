//! Publishers that are gone, lie or cannot be believed, as a client sees them.

use crate::common::repository::{Repository, assert_refused};
use crate::federation::operators::{DOMAIN, Operators};

impl Operators {
    /// Asserts that an image under a domain of which the DNS tells that is a bad gateway.
    fn assert_ends(&self, domain: &str, link: &str, hint: &str) {
        self.publish_at(domain, link, hint);
        let foreign = Repository::of(&self.other, &format!("{domain}/team/app"));
        let ends = || foreign.get("manifests/v1").status == 502;
        crate::common::repository::wait(ends, &format!("{link} {hint}"));
    }
}

#[test]
fn a_domain_without_a_record_has_no_repositories() {
    let Some(operators) = Operators::start() else { return };
    for name in ["other.test/team/app", "absent.publisher.test/app"] {
        let nobody = Repository::of(&operators.other, name);
        assert_refused(&nobody.get("manifests/v1"), 404, "NAME_UNKNOWN");
        assert_refused(&nobody.get("tags/list"), 404, "NAME_UNKNOWN");
    }
}

#[test]
fn a_publisher_that_does_not_answer_is_a_bad_gateway() {
    let Some(operators) = Operators::start() else { return };
    let root = operators.root();
    // A domain for each, since an answer is kept for a while.
    for (domain, link, hint) in [
        ("a", format!("dnslink=/ipfs/{root}"), "/ip4/127.0.0.1/tcp/1/http"),
        ("b", format!("dnslink=/ipfs/{root}"), "nonsense"),
        ("c", "dnslink=/ipfs/nonsense".to_owned(), "/ip4/127.0.0.1/tcp/1/http"),
        ("d", format!("dnslink=/ipns/d.{DOMAIN}"), "/ip4/127.0.0.1/tcp/1/http"),
    ] {
        operators.assert_ends(&format!("{domain}.{DOMAIN}"), &link, hint);
    }
}

#[test]
fn a_root_that_is_no_registry_has_no_repositories() {
    let Some(operators) = Operators::start() else { return };
    operators.publish();
    let foreign = operators.foreign("team/app");
    assert_refused(&foreign.get("manifests/v1"), 404, "MANIFEST_UNKNOWN");
    assert_refused(&foreign.get("tags/list"), 404, "NAME_UNKNOWN");
}

#[test]
fn addresses_of_this_machine_are_not_dialled_unless_it_is_allowed() {
    let operators = Operators::start_with(|command| {
        command.env("ROADSTEAD_DNSLINK__ALLOW_PRIVATE_ADDRESSES", "false");
    });
    let Some(operators) = operators else { return };
    operators.own("team/app").push_image("v1", "word");
    let requests = || operators.publisher.log().matches("/ipfs/").count();
    let port = operators.publisher.address().rsplit_once(':').unwrap().1;
    operators.dns.update(DOMAIN, &format!("update add rebound.{DOMAIN} 1 A 127.0.0.1"));
    for (domain, hint) in
        [("a", operators.hint()), ("b", format!("/dns4/rebound.{DOMAIN}/tcp/{port}/http"))]
    {
        let link = format!("dnslink=/ipfs/{}", operators.root());
        operators.assert_ends(&format!("{domain}.{DOMAIN}"), &link, &hint);
    }
    assert_eq!(requests(), 0);
}
