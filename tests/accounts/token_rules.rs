//! What clients need of a token service beside what the tests of tokens, sign-ins and rights show.

use std::time::Duration;

use reqwest::Method;
use roadstead::config::{Settings, Sources};
use serde_json::{Value, json};

use super::management::run;
use super::team::{Sender, Team, configure, edit_at, fill, send, user};
use super::tokens::{access, post_to};
use crate::common::content::{image, sha256};
use crate::common::repository::assert_refused;
use crate::common::{Postgres, Server};

/// With Basic beside it, or in a second header, half of the clients would send the password with each request.
#[test]
fn a_challenge_is_one_header_and_offers_tokens_alone() {
    let team = Team::start();
    let wrong = Sender::Basic("anna".to_owned(), "wrong".to_owned());
    for sender in [&Sender::Nobody, &wrong, &Sender::Bearer("none".to_owned())] {
        for path in ["/v2/", "/v2/team/secret/manifests/v1", "/v2/_catalog"] {
            let refused = team.get(path, sender);
            assert_eq!(refused.status, 401, "{path} {sender:?}");
            let headers = refused.headers.get_all("www-authenticate").iter();
            let challenges: Vec<&str> = headers.filter_map(|it| it.to_str().ok()).collect();
            let [challenge] = challenges[..] else { panic!("{path}: {challenges:?}") };
            assert!(challenge.starts_with("Bearer realm=\"http"), "{challenge}");
            assert!(!challenge.contains("Basic"), "{challenge}");
            // Each parameter is quoted, and no space follows a comma.
            let parameters = challenge.trim_start_matches("Bearer ").split("\",");
            for parameter in parameters {
                let (name, value) = parameter.split_once('=').expect("it has a name");
                assert!(["realm", "service", "scope", "error"].contains(&name), "{challenge}");
                assert!(value.starts_with('"'), "{challenge}");
            }
        }
    }
}

#[test]
fn a_password_is_taken_as_it_is_in_forms_and_in_headers() {
    const ODD: &str = "a+b %2B&c=d;e\"f\\g: \u{fc}#?/";

    let team = Team::start();
    let change = format!(
        "mutation {{ setPassword(name: \"carl\", password: {}) }}",
        serde_json::to_string(ODD).expect("it is a text")
    );
    run(&team, &user("root"), &change);
    let scope = "repository:carl/app:pull,push";
    let expected = json!([["carl/app", ["pull", "push"]]]);
    let by_header = team.token(&Sender::Basic("carl".to_owned(), ODD.to_owned()), &[scope]);
    assert_eq!(access(&by_header), expected);
    // With fields that this server does not know, and without some that clients leave out.
    for more in [&[("access_type", "offline"), ("account", "x")][..], &[]] {
        let fields =
            [("grant_type", "password"), ("username", "carl"), ("password", ODD), ("scope", scope)];
        assert_eq!(access(&post_to(&team.server, &[&fields[..], more].concat())), expected);
    }
}

#[test]
fn a_token_lasts_as_long_as_the_setting_says() {
    let team = Team::start_with(|command| {
        command.env("ROADSTEAD_AUTH__TOKEN_LIFETIME", "90s");
    });
    let answer = team.token(&user("anna"), &[]);
    assert_eq!(answer.json()["expires_in"], 90);
    let claims = super::team::claims(&answer);
    let number = |name: &str| claims[name].as_u64().expect("it is a number");
    assert_eq!(number("exp") - number("iat"), 90);
}

/// A refresh token that is good once breaks docker, which cannot store the next one.
#[test]
fn a_refresh_token_is_given_where_a_client_signs_in_to_stay_and_is_good_again() {
    let team = Team::start();
    let robot = team.secrets.of_robot.clone();
    for (name, password) in [("anna", super::team::PASSWORD), ("ci", robot.as_str())] {
        let fields = [
            ("grant_type", "password"),
            ("username", name),
            ("password", password),
            ("scope", "repository:team/secret:pull"),
        ];
        for offline in [&[][..], &[("offline_token", "false")]] {
            let answer = post_to(&team.server, &[&fields[..], offline].concat()).json();
            assert_eq!(answer["refresh_token"], Value::Null, "{name} {offline:?}");
        }
        let stay = [&fields[..], &[("offline_token", "true")]].concat();
        let refresh = post_to(&team.server, &stay).json()["refresh_token"].take();
        let refresh = refresh.as_str().expect("there is one").to_owned();
        for _ in 0..3 {
            let again = [
                ("grant_type", "refresh_token"),
                ("refresh_token", refresh.as_str()),
                ("offline_token", "true"),
                ("scope", "repository:team/secret:pull"),
            ];
            let answer = post_to(&team.server, &again);
            assert_eq!(access(&answer), json!([["team/secret", ["pull"]]]));
            let next = answer.json()["refresh_token"].take();
            assert!(next.is_null() || next == *refresh, "{next}");
        }
    }
}

/// containerd gives up after 30 seconds.
#[test]
fn a_commit_that_takes_long_is_answered_in_time_and_made_later() {
    let defaults = Settings::load(&Sources::default()).expect("nothing is wrong with them");
    assert!(defaults.server.request_timeout <= Duration::from_secs(25));

    let Some(postgres) = Postgres::start(&[]) else { return };
    let url = postgres.url();
    edit_at(&url, async |index| fill(index).await);
    let index_url = url.clone();
    let server = Server::start_with(move |command| {
        configure(command);
        command
            .env("ROADSTEAD_INDEX__URL", &index_url)
            .env("ROADSTEAD_SERVER__REQUEST_TIMEOUT", "1s");
    });
    let path = format!("/v2/team/secret/blobs/uploads/?digest={}", sha256(b"config"));
    let pushed = send(&server, Method::POST, &path, &user("anna"), b"config".to_vec());
    assert_eq!(pushed.status, 201);
    let manifest = || image(b"config", &[]).to_string().into_bytes();
    let path = "/v2/team/secret/manifests/v1";
    // Another process is at work, and comes to no end.
    edit_at(&url, async |index| {
        let writer = index.lock().await.expect("it is free");
        tokio::task::block_in_place(|| {
            let late = send(&server, Method::PUT, path, &user("anna"), manifest());
            assert_refused(&late, 503, "UNAVAILABLE");
            assert!(!late.header("retry-after").is_empty());
        });
        drop(writer);
    });
    let again = send(&server, Method::PUT, path, &user("anna"), manifest());
    assert_eq!(again.status, 201, "{}", again.text());
    assert_eq!(send(&server, Method::GET, path, &user("anna"), Vec::new()).status, 200);
}
