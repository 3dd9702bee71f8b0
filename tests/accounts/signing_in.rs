//! Who clients are, by what they send.

use super::team::{PASSWORD, Sender, Team, user};
use crate::common::repository::assert_refused;

#[test]
fn clients_without_a_token_are_challenged_whatever_is_public() {
    let team = Team::start();
    let realm = team.server.url("/v2/token");
    let challenge = format!("Bearer realm=\"{realm}\",service=\"roadstead\"");
    for path in ["/v2/", "/v2"] {
        let refused = team.get(path, &Sender::Nobody);
        assert_refused(&refused, 401, "UNAUTHORIZED");
        assert_eq!(refused.header("www-authenticate"), challenge, "{path}");
    }
    for (path, scope) in [
        ("/v2/team/secret/manifests/v1", "repository:team/secret:pull,push"),
        ("/v2/absent/app/tags/list", "repository:absent/app:pull,push"),
        ("/v2/_catalog", "registry:catalog:*"),
    ] {
        let refused = team.get(path, &Sender::Nobody);
        assert_refused(&refused, 401, "UNAUTHORIZED");
        let expected = format!("{challenge},scope=\"{scope}\"");
        assert_eq!(refused.header("www-authenticate"), expected, "{path}");
    }
    let refused =
        team.send(reqwest::Method::DELETE, "/v2/team/open/manifests/v1", &Sender::Nobody, vec![]);
    let expected = format!("{challenge},scope=\"repository:team/open:pull,push,delete\"");
    assert_eq!((refused.status, refused.header("www-authenticate")), (401, expected.as_str()));
}

#[test]
fn passwords_and_access_tokens_sign_in() {
    let team = Team::start();
    let basic = |name: &str, password: &str| Sender::Basic(name.to_owned(), password.to_owned());
    let secrets = &team.secrets;
    for (sender, status) in [
        (user("anna"), 200),
        (user("root"), 200),
        (basic("anna", &secrets.of_anna), 200),
        (basic("ci", &secrets.of_robot), 200),
        (Sender::Bearer(secrets.of_robot.clone()), 200),
        (team.bearer(&user("anna"), &[]), 200),
        (team.bearer(&Sender::Nobody, &[]), 200),
        // Those who have no credentials are challenged, also if they say so.
        (basic("", ""), 401),
        (user("ci"), 401),
        (user("nobody"), 401),
        (basic("anna", "wrong"), 401),
        (basic("anna", ""), 401),
        // A token of another user, and one that there is not.
        (basic("will", &secrets.of_anna), 401),
        (basic("anna", &format!("{}a", secrets.of_anna)), 401),
        (basic("oidc", PASSWORD), 401),
    ] {
        let answer = team.get("/v2/", &sender);
        assert_eq!(answer.status, status, "{sender:?}: {}", answer.text());
        if status == 401 && !matches!(&sender, Sender::Basic(name, _) if name.is_empty()) {
            let token = team.token(&sender, &["repository:team/open:pull"]);
            assert_refused(&token, 401, "UNAUTHORIZED");
        }
    }
}

#[test]
fn what_is_no_token_is_said_to_be_invalid() {
    let team = Team::start();
    for token in ["opaque", "a.b.c", "rds_x"] {
        let refused = team.get("/v2/team/open/tags/list", &Sender::Bearer(token.to_owned()));
        assert_refused(&refused, 401, "UNAUTHORIZED");
        assert!(refused.header("www-authenticate").contains("error=\"invalid_token\""));
    }
}

#[test]
fn what_ended_is_refused_after_a_restart_too() {
    use super::team::NOW;
    use roadstead::index::Actor;

    let mut team = Team::start();
    let scope = &["repository:team/secret:pull,push"][..];
    let robot = Sender::Basic("ci".to_owned(), team.secrets.of_robot.clone());
    let (anna, will) = (team.bearer(&user("anna"), scope), team.bearer(&user("will"), scope));
    let of_robot = team.bearer(&robot, scope);
    for sender in [&anna, &will, &of_robot, &robot] {
        assert_eq!(team.push("team/secret", sender), [201, 201], "{sender:?}");
    }
    team.edit(async |index, secrets| {
        let actor = Actor::default();
        let hash = "$2y$04$......................w74bL5gU7LSJClZClCa.Pkz14aTv/XO".into();
        let _ = index.set_password(secrets.will, &hash, &actor, NOW).await.expect("it can be");
        let _ = index.set_disabled(secrets.robot, true, &actor, NOW).await.expect("it can be");
    });
    assert_eq!(team.push("team/secret", &anna), [201, 201], "nothing of hers has changed");
    for sender in [&will, &user("will"), &of_robot, &robot] {
        assert_eq!(team.push("team/secret", sender), [401, 401], "{sender:?}");
    }
}

#[test]
fn a_refusal_says_what_is_wrong_and_what_to_do() {
    let team = Team::start();
    let basic = |name: &str, password: &str| Sender::Basic(name.to_owned(), password.to_owned());
    let wrong = "the user name or the password is wrong";
    for (sender, why) in [
        (basic("anna", "wrong"), wrong),
        (basic("nobody", "wrong"), wrong),
        (basic("anna", "rds_wrong_token"), "the access token is not good for that user name"),
        (basic("will", &team.secrets.of_anna), "the access token is not good for that user name"),
    ] {
        let answers = [
            team.get("/v2/", &sender),
            team.get("/v2/team/open/manifests/v1", &sender),
            team.token(&sender, &[]),
            team.send(reqwest::Method::POST, "/graphql", &sender, b"{}".to_vec()),
        ];
        for answer in answers {
            assert_refused(&answer, 401, "UNAUTHORIZED");
            assert!(answer.text().contains(why), "{sender:?}: {}", answer.text());
        }
    }
    // Who has sent none is only asked to sign in.
    let challenge = team.get("/v2/", &Sender::Nobody).text();
    assert!(challenge.contains("authentication is required"), "{challenge}");
}
