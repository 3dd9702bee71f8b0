//! Rate limits: how often users, and addresses of clients that have not signed in, may pull and push.

use reqwest::Method;
use roadstead::auth::accounts::AccessToken;
use secrecy::ExposeSecret;

use super::team::{PASSWORD, Sender, Team, user};
use crate::common::content::sha256;
use crate::common::http::{self, Response};

const PULLS: &str = "ROADSTEAD_SERVER__LIMITS__PULLS";
const ANONYMOUS_PULLS: &str = "ROADSTEAD_SERVER__LIMITS__ANONYMOUS_PULLS";
const PUSHES: &str = "ROADSTEAD_SERVER__LIMITS__PUSHES";

/// Expects that an answer says what a limit is, and what is left of it.
fn assert_left(answer: &Response, status: u16, limit: &str, left: &str) {
    assert_eq!(answer.status, status, "{}", answer.text());
    let said = (answer.header("ratelimit-limit"), answer.header("ratelimit-remaining"));
    assert_eq!(said, (limit, left));
}

fn assert_refused(answer: &Response) {
    assert_eq!(answer.status, 429, "{}", answer.text());
    let error = &answer.json()["errors"][0];
    assert_eq!(error["code"], "TOOMANYREQUESTS", "{error}");
    let seconds: u64 = answer.header("retry-after").parse().expect("it is a number");
    assert!(seconds > 0);
}

/// Pulls the manifest of `team/open` as an anonymous client at that address, as a trusted proxy says.
fn pull_from(team: &Team, address: &str) -> Response {
    let token = team.token(&Sender::Nobody, &["repository:team/open:pull"]).json();
    let token = token["token"].as_str().expect("it is a text").to_owned();
    let url = team.server.url("/v2/team/open/manifests/v1");
    http::send(|client| client.get(url).bearer_auth(token).header("X-Forwarded-For", address))
}

#[test]
fn pulls_of_a_user_are_limited_whatever_token_and_address_they_come_by() {
    let team = Team::start_with(|command| {
        command.env(PULLS, "3/6h");
    });
    assert_eq!(team.push("team/open", &user("anna")), [201, 201]);
    let path = "/v2/team/open/manifests/v1";
    let limit = "3;w=21600";
    let bearer = |name: &str| team.bearer(&user(name), &["repository:team/open:pull"]);
    let head = |sender: &Sender| team.send(Method::HEAD, path, sender, Vec::new());
    for _ in 0..5 {
        assert_left(&head(&bearer("anna")), 200, limit, "3;w=21600");
    }
    assert_left(&team.get(path, &bearer("anna")), 200, limit, "2;w=21600");
    assert_left(&team.get(path, &user("anna")), 200, limit, "1;w=21600");
    let absent = team.get("/v2/team/open/manifests/absent", &bearer("anna"));
    assert_left(&absent, 404, limit, "0;w=21600");
    let refused = team.get(path, &bearer("anna"));
    assert_refused(&refused);
    assert_left(&refused, 429, limit, "0;w=21600");
    let elsewhere = http::send(|client| {
        let request = client.get(team.server.url(path)).header("X-Forwarded-For", "203.0.113.9");
        request.basic_auth("anna", Some(PASSWORD))
    });
    assert_refused(&elsewhere);
    assert_left(&head(&bearer("anna")), 200, limit, "0;w=21600");
    // Nothing else is a pull, and nobody else is Anna.
    let blob = format!("/v2/team/open/blobs/{}", sha256(b"config"));
    assert_eq!(team.get(&blob, &bearer("anna")).status, 200);
    assert_eq!(team.get("/v2/team/open/tags/list", &bearer("anna")).status, 200);
    assert_left(&team.get(path, &bearer("will")), 200, limit, "2;w=21600");
    assert_eq!(pull_from(&team, "203.0.113.9").header("ratelimit-limit"), "", "no limit is set");
    // Without the right there is nothing to say.
    let hidden = team.get("/v2/team/secret/manifests/v1", &bearer("carl"));
    assert_eq!((hidden.status, hidden.header("ratelimit-limit")), (401, ""));
    let metrics = team.get("/metrics", &user("root"));
    let counted = "roadstead_limit_refusals_total{limit=\"pulls\"} 2";
    assert!(metrics.text().contains(counted), "{}", metrics.text());
}

#[test]
fn pulls_of_anonymous_clients_are_limited_by_address() {
    let team = Team::start_with(|command| {
        command.env(ANONYMOUS_PULLS, "2/1h");
    });
    assert_eq!(team.push("team/open", &user("anna")), [201, 201]);
    for left in ["1;w=3600", "0;w=3600"] {
        assert_left(&pull_from(&team, "203.0.113.1"), 200, "2;w=3600", left);
    }
    assert_refused(&pull_from(&team, "203.0.113.1"));
    // What a client itself says is left of what the proxy has added.
    assert_refused(&pull_from(&team, "198.51.100.7, 203.0.113.1"));
    assert_left(&pull_from(&team, "203.0.113.2"), 200, "2;w=3600", "1;w=3600");
    // A subscriber of IPv6 has a whole network.
    assert_left(&pull_from(&team, "2001:db8:1:2::1"), 200, "2;w=3600", "1;w=3600");
    assert_left(&pull_from(&team, "2001:db8:1:2:9::2"), 200, "2;w=3600", "0;w=3600");
    assert_refused(&pull_from(&team, "2001:db8:1:2:ffff::3"));
    assert_left(&pull_from(&team, "2001:db8:1:3::1"), 200, "2;w=3600", "1;w=3600");
    let signed_in = team.get("/v2/team/open/manifests/v1", &user("anna"));
    assert_eq!((signed_in.status, signed_in.header("ratelimit-limit")), (200, ""));
}

#[test]
fn pushes_are_limited_before_their_blobs_come() {
    let team = Team::start_with(|command| {
        command.env(PUSHES, "2/1h");
    });
    for tag in ["v1", "v1"] {
        assert_eq!(team.push("team/open", &user("anna")), [201, 201], "{tag}");
    }
    assert_eq!(team.push("team/open", &user("anna")), [429, 429]);
    let path = "/v2/team/open/blobs/uploads/";
    let begun = team.send(Method::POST, path, &user("anna"), Vec::new());
    assert_refused(&begun);
    assert_left(&begun, 429, "2;w=3600", "0;w=3600");
    assert_eq!(team.push("team/open", &user("will")), [201, 201]);
    assert_eq!(team.get("/v2/team/open/manifests/v1", &user("anna")).status, 200);
    let metrics = team.get("/metrics", &user("root"));
    let counted = "roadstead_limit_refusals_total{limit=\"pushes\"} 3";
    assert!(metrics.text().contains(counted), "{}", metrics.text());
}

#[test]
fn a_login_that_fails_by_form_and_then_by_header_counts_once() {
    let team = Team::start_with(|command| {
        command.env("ROADSTEAD_AUTH__SIGN_INS__WRONG_PASSWORDS", "2");
    });
    // As containerd does: a form, and where that is refused a GET with the same password.
    let wrong = |password: &str| {
        let form = format!("grant_type=password&service=x&username=anna&password={password}");
        let url = team.server.url("/v2/token");
        let posted = http::send(|client| {
            let request = client.post(&url).body(form);
            request.header("Content-Type", "application/x-www-form-urlencoded")
        });
        let got = http::send(|client| client.get(&url).basic_auth("anna", Some(password)));
        [posted.status, got.status]
    };
    let sign_in = || {
        http::send(|client| {
            let request = client.get(team.server.url("/v2/token"));
            let request = request.basic_auth("anna", Some(PASSWORD));
            request.header("X-Forwarded-For", "203.0.113.5")
        })
    };
    assert_eq!(sign_in().status, 200);
    for _ in 0..5 {
        assert_eq!(wrong("wrong1"), [401, 401]);
    }
    // Two are free, and each further one costs twice as long a pause.
    let is_paused = (2..20).any(|number| wrong(&format!("wrong{number}")) == [429, 429]);
    assert!(is_paused);
    // Others cannot keep her out from where she has signed in.
    assert_eq!(sign_in().status, 200);
}

#[test]
fn wrong_access_tokens_pause_their_address_but_for_tokens_that_were_used_there() {
    let team = Team::start_with(|command| {
        command.env("ROADSTEAD_AUTH__SIGN_INS__WRONG_PASSWORDS", "2");
    });
    let secret = team.secrets.of_robot.clone();
    let try_token = |user: &str, token: &str, address: &str| {
        let url = team.server.url("/v2/token");
        http::send(|client| {
            client.get(&url).basic_auth(user, Some(token)).header("X-Forwarded-For", address)
        })
    };
    let bearer = |token: &str, address: &str| {
        let url = team.server.url("/v2/");
        http::send(|client| client.get(&url).bearer_auth(token).header("X-Forwarded-For", address))
    };
    let (here, there) = ("203.0.113.5", "203.0.113.6");
    assert_eq!(try_token("ci", &secret, here).status, 200);
    // One that a machine goes on sending is one guess.
    for _ in 0..20 {
        assert_eq!(try_token("ci", "rds_stale", here).status, 401);
    }
    let guess = |_: u32| AccessToken::generate().into_text().expose_secret().to_owned();
    let mut statuses = Vec::new();
    for number in 0..8 {
        let answer = if number % 2 == 0 {
            try_token("ci", &guess(number), here)
        } else {
            bearer(&guess(number), here)
        };
        statuses.push(answer.status);
        if answer.status == 429 {
            assert_refused(&answer);
        }
    }
    assert!(statuses.contains(&429), "{statuses:?}");
    // The robot goes on where it has signed in before, and a right token elsewhere; passwords are counted apart.
    assert_eq!(try_token("ci", &secret, here).status, 200);
    assert_eq!(bearer(&secret, here).status, 200);
    assert_eq!(try_token("anna", &team.secrets.of_anna, there).status, 200);
    assert_eq!(try_token("anna", PASSWORD, here).status, 200);
    let metrics = team.get("/metrics", &user("root"));
    let counted = "roadstead_limit_refusals_total{limit=\"wrong_tokens\"}";
    assert!(metrics.text().contains(counted), "{}", metrics.text());
}
