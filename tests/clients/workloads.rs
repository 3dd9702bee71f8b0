//! docker as a job of CI: its password is an ID token of a real `OpenID` provider.

use serde_json::{Value, json};

use crate::accounts::issuer::{self, Issuer, MAIN, Options};
use crate::clients::docker::{Docker, push_and_pull};
use crate::clients::target::{Target, User};
use crate::common::{Server, is_over_kubo, require, run};

#[test]
fn docker_signs_in_by_an_id_token_and_pushes_after_its_issuer_is_gone() {
    let Some(mut issuer) = Issuer::start(Options::default()) else { return };
    let rules = json!([{
        "issuer": issuer.name(), "audience": issuer::AUDIENCE, "role": "writer",
        "pattern": "org/*", "claims": { "repository_id": "7", "ref": "refs/heads/main" },
        "allow_private_addresses": true,
    }]);
    // A node gives what it has to everybody who knows a CID.
    let visibility = if is_over_kubo() { "public" } else { "private" };
    let server = Server::start_with(move |command| {
        command
            .env("ROADSTEAD_AUTH__METHOD", "accounts")
            .env("ROADSTEAD_AUTH__ACCOUNTS__ADMIN_PASSWORD", "correct horse battery")
            .env("ROADSTEAD_AUTH__ACCOUNTS__DEFAULT_VISIBILITY", visibility)
            .env("ROADSTEAD_AUTH__WORKLOADS", rules.to_string());
    });
    let token = issuer.token(MAIN, issuer::AUDIENCE);
    // The name of a user lives as long as the tests.
    let user = User { name: "oidc", password: Box::leak(token.clone().into_boxed_str()) };
    let target = Target::of(&server).of_user(Some(user));
    let (Some(docker), Some(busybox)) = (Docker::find(&target), require("busybox")) else { return };
    let config: Value = serde_json::from_str(&docker.config()).expect("it is JSON");
    let auth = &config["auths"][server.address()];
    assert!(auth["identitytoken"].is_string(), "a refresh token of ours: {config}");
    assert!(!docker.config().contains(&token), "{config}");

    issuer.stop();
    push_and_pull(&docker, &busybox, "org/app:v1");

    let elsewhere = docker.reference("elsewhere/app:v1");
    let tagged = run(docker.command("tag").args([&docker.reference("org/app:v1"), &elsewhere]));
    assert!(tagged.succeeded(), "{tagged}");
    let refused = run(docker.command("push").arg(&elsewhere));
    // That is how docker says `insufficient_scope`.
    let why = "denied: requested access to the resource is denied";
    assert!(!refused.succeeded() && refused.stderr.contains(why), "{refused}");
}
