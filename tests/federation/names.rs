//! By which names somebody's images are had, and by whom.

use reqwest::Method;
use reqwest::header::HOST;

use crate::common::repository::{Repository, assert_refused};
use crate::common::{Server, http};
use crate::federation::operators::{DOMAIN, Operators};

#[test]
fn a_root_is_named_by_its_cid_too() {
    let Some(operators) = Operators::start() else { return };
    let pushed = operators.own("team/app").push_image("v1", "word");
    let (root, gateway) = (operators.root(), operators.publisher.url(""));
    let other = Server::start_with(move |command| {
        command
            .env("ROADSTEAD_FEDERATION__GATEWAYS", &gateway)
            // A node would search for what nobody has.
            .env("ROADSTEAD_FEDERATION__KUBO__API", "none");
    });
    let foreign = Repository::of(&other, &format!("{root}/team/app"));
    assert_eq!(foreign.get("manifests/v1").body, pushed.manifest);
    let nowhere = "bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi";
    let nobody = Repository::of(&other, &format!("{nowhere}/team/app"));
    assert_refused(&nobody.get("manifests/v1"), 502, "UNAVAILABLE");
}

#[test]
fn a_host_and_a_namespace_stand_for_a_domain() {
    let operators = Operators::start_with(|command| {
        command.env("ROADSTEAD_FEDERATION__HOSTS", DOMAIN);
    });
    let Some(operators) = operators else { return };
    let pushed = operators.own("team/app").push_image("v1", "word");
    operators.publish();
    let url = operators.other.url("/v2/team/app/manifests/v1");
    let by_host = http::send(|client| client.get(&url).header(HOST, format!("{DOMAIN}:5000")));
    assert_eq!((by_host.status, by_host.body), (200, pushed.manifest.clone()));
    let by_namespace = http::get(&format!("{url}?ns={DOMAIN}"));
    assert_eq!((by_namespace.status, &by_namespace.body), (200, &pushed.manifest));
    assert_eq!(by_namespace.header("oci-namespace"), DOMAIN);
    let own = http::get(&url);
    assert_refused(&own, 404, "MANIFEST_UNKNOWN");
    assert_eq!(own.header("oci-namespace"), "");
}

#[test]
fn no_client_writes_below_a_foreign_root() {
    let Some(operators) = Operators::start() else { return };
    operators.own("team/app").push_image("v1", "word");
    operators.publish();
    let foreign = operators.foreign("team/app");
    for (method, rest) in [
        (Method::POST, "blobs/uploads/"),
        (Method::PUT, "manifests/v2"),
        (Method::DELETE, "manifests/v1"),
    ] {
        assert_refused(&foreign.send(method, rest, |request| request), 403, "DENIED");
    }
    assert_eq!(foreign.get("manifests/v1").status, 200);
}

#[test]
fn an_own_domain_is_the_registry_itself() {
    let server = Server::start_with(|command| {
        command.env("ROADSTEAD_SERVER__DOMAINS", "own.test");
    });
    let below = Repository::of(&server, "own.test/team/app");
    let pushed = below.push_image("v1", "word");
    assert_eq!(Repository::of(&server, "team/app").get("manifests/v1").body, pushed.manifest);
    assert_eq!(below.get("manifests/v1").body, pushed.manifest);
}

#[test]
fn an_operator_narrows_whose_images_are_served() {
    let operators = Operators::start_with(|command| {
        command.env("ROADSTEAD_FEDERATION__DOMAINS", "other.test");
    });
    let Some(operators) = operators else { return };
    operators.own("team/app").push_image("v1", "word");
    operators.publish();
    for path in ["manifests/v1", "tags/list"] {
        assert_refused(&operators.foreign("team/app").get(path), 403, "DENIED");
    }
    let by_cid = Repository::of(&operators.other, &format!("{}/team/app", operators.root()));
    assert_refused(&by_cid.get("manifests/v1"), 403, "DENIED");
}

#[test]
fn without_federation_there_is_nothing_below_a_domain() {
    let operators = Operators::start_with(|command| {
        command.env("ROADSTEAD_FEDERATION__ENABLED", "false");
    });
    let Some(operators) = operators else { return };
    operators.own("team/app").push_image("v1", "word");
    operators.publish();
    assert_refused(&operators.foreign("team/app").get("manifests/v1"), 404, "MANIFEST_UNKNOWN");
}
