//! The management API beside the registry: what it changes holds for the next request.

use serde_json::{Value, json};

use super::team::{PASSWORD, Sender, Team, user};
use crate::common::http::{self, Response};

pub(super) fn post(team: &Team, sender: &Sender, query: &str, variables: &Value) -> Response {
    let body = json!({ "query": query, "variables": variables });
    http::send(|client| {
        let request = client.post(team.server.url("/graphql")).json(&body);
        match sender {
            Sender::Nobody => request,
            Sender::Basic(user, password) => request.basic_auth(user, Some(password)),
            Sender::Bearer(token) => request.bearer_auth(token),
        }
    })
}

/// Carries out a request that succeeds, and returns its data.
pub(super) fn run(team: &Team, sender: &Sender, query: &str) -> Value {
    let answer = post(team, sender, query, &json!({}));
    assert_eq!(answer.status, 200, "{}", answer.text());
    let mut answer = answer.json();
    assert!(answer.get("errors").is_none(), "{query}: {answer}");
    answer["data"].take()
}

/// Carries out a request that is refused, and returns the code.
pub(super) fn refused(team: &Team, sender: &Sender, query: &str) -> String {
    let answer = post(team, sender, query, &json!({})).json();
    answer["errors"][0]["extensions"]["code"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn a_request_of_very_many_lists_is_refused() {
    let team = Team::start();
    let request = |lists: usize| {
        let list = |it: usize| format!("a{it}: repositories(first: 1) {{ items {{ name }} }} ");
        let query = format!("{{ {} }}", (0..lists).map(list).collect::<String>());
        post(&team, &user("anna"), &query, &json!({})).json()
    };
    let few = request(50);
    assert!(few.get("errors").is_none(), "{few}");
    let many = request(120);
    assert!(many["data"].is_null() && many["errors"][0].is_object(), "{many}");
}

#[test]
fn only_a_password_or_an_access_token_is_taken() {
    let team = Team::start();
    let query = "{ viewer { name isAdministrator } }";
    for (sender, status) in [
        (Sender::Nobody, 401),
        (Sender::Basic("anna".to_owned(), "wrong".to_owned()), 401),
        (Sender::Basic("carl".to_owned(), team.secrets.of_anna.clone()), 401),
        (team.bearer(&user("root"), &["registry:catalog:*"]), 401),
        (Sender::Bearer(team.secrets.of_anna.clone()), 401),
        (Sender::Basic("anna".to_owned(), team.secrets.of_anna.clone()), 200),
        (user("anna"), 200),
    ] {
        let answer = post(&team, &sender, query, &json!({}));
        assert_eq!(answer.status, status, "{sender:?}: {}", answer.text());
        if status == 401 {
            assert!(answer.header("www-authenticate").starts_with("Basic "), "{sender:?}");
        }
    }
}

#[test]
fn each_lists_the_repositories_that_it_may_see() {
    let team = Team::start();
    for name in ["team/secret", "team/inner", "team/open"] {
        assert_eq!(team.push(name, &user("anna")), [201, 201], "{name}");
    }
    let of_anna = Sender::Basic("anna".to_owned(), team.secrets.of_anna.clone());
    let by_token = |name: &str, scope: &str| {
        let create =
            format!("mutation {{ createToken(name: \"x\", scopes: [\"{scope}\"]) {{ secret }} }}");
        let secret = run(&team, &user(name), &create)["createToken"]["secret"].take();
        Sender::Basic(name.to_owned(), secret.as_str().unwrap().to_owned())
    };
    for (sender, expected) in [
        (user("root"), &["team/inner", "team/open", "team/secret"][..]),
        (user("carl"), &["team/inner", "team/open"]),
        (of_anna, &["team/inner", "team/open", "team/secret"]),
        (by_token("anna", "team/open:pull"), &["team/open"]),
        // It administers them, and pulls from none.
        (by_token("root", "admin"), &["team/inner", "team/open", "team/secret"]),
        (by_token("root", "metrics"), &[]),
    ] {
        let (mut found, mut after) = (Vec::new(), Value::Null);
        loop {
            let query = "query($after: String) { repositories(first: 1, after: $after) \
                { items { name visibility } next } }";
            let page = post(&team, &sender, query, &json!({ "after": after })).json();
            let page = &page["data"]["repositories"];
            let names = page["items"].as_array().unwrap().iter();
            found.extend(names.map(|it| it["name"].as_str().unwrap().to_owned()));
            after = page["next"].clone();
            if after.is_null() {
                break;
            }
            assert!(expected.contains(&after.as_str().unwrap()), "{sender:?}: {after}");
        }
        assert_eq!(found, expected, "{sender:?}");
    }
    let catalog = team.get("/v2/_catalog", &by_token("root", "admin"));
    assert_eq!(catalog.json()["repositories"], json!([]), "of those that it may pull");
}

#[test]
fn a_change_holds_for_the_next_request() {
    let team = Team::start();
    assert_eq!(team.push("team/secret", &user("anna")), [201, 201]);
    let pull = |sender: &Sender| {
        let sender = team.bearer(sender, &["repository:team/secret:pull"]);
        team.get("/v2/team/secret/manifests/v1", &sender).status
    };
    let bearer = team.bearer(&user("will"), &["repository:team/secret:pull,push"]);
    assert_eq!(team.push("team/secret", &bearer), [201, 201]);
    let remove =
        "mutation { removeGrant(holder: \"will\", role: \"writer\", pattern: \"team/**\") }";
    assert_eq!(refused(&team, &user("carl"), remove), "DENIED");
    run(&team, &user("anna"), remove);
    assert_eq!(team.push("team/secret", &bearer), [401, 401], "by the token of before");

    assert_eq!(pull(&user("carl")), 401);
    run(
        &team,
        &user("root"),
        "mutation { addTeam(name: \"dev\") { name } addTeamMember(team: \"dev\", member: \"carl\") \
         addGrant(holder: \"team:dev\", role: \"reader\", pattern: \"team/secret\") }",
    );
    assert_eq!(pull(&user("carl")), 200);
    run(&team, &user("root"), "mutation { setDisabled(name: \"carl\", isDisabled: true) }");
    assert_eq!(team.token(&user("carl"), &[]).status, 401);

    let add =
        "mutation($password: String) { addUser(name: \"dora\", password: $password) { name } }";
    let added = post(&team, &user("root"), add, &json!({ "password": PASSWORD })).json();
    assert_eq!(added["data"]["addUser"]["name"], "dora");
    assert_eq!(team.push("dora/app", &user("dora")), [201, 201]);
    assert_eq!(refused(&team, &user("dora"), "{ users { next } }"), "DENIED");
    run(&team, &user("root"), "mutation { removeAccount(name: \"dora\") }");
    assert_eq!(team.token(&user("dora"), &[]).status, 401);
    let add = "mutation { addUser(name: \"dora\") { name } }";
    assert_eq!(refused(&team, &user("root"), add), "CONFLICT");
    let log =
        run(&team, &user("root"), "{ audit(user: \"root\") { items { kind detail address } } }");
    let details = log["audit"]["items"].as_array().unwrap().iter();
    let details: Vec<_> = details.map(|it| it["detail"].as_str().unwrap_or_default()).collect();
    assert!(details.contains(&"disable carl") && details.contains(&"remove dora"), "{log}");
}

#[test]
fn each_of_several_changes_is_decided_by_the_rights_of_that_moment() {
    let team = Team::start();
    let promote = "mutation { setAdministrator(name: \"anna\", isAdministrator: true) { name } }";
    run(&team, &user("root"), promote);
    let add = "addUser(name: \"dora\") { name }";
    let demote = format!(
        "mutation {{ setAdministrator(name: \"anna\", isAdministrator: false) {{ name }} {add} }}"
    );
    let answer = post(&team, &user("anna"), &demote, &json!({})).json();
    assert_eq!(answer["errors"][0]["extensions"]["code"], "DENIED", "{answer}");
    assert_eq!(answer["errors"][0]["path"], json!(["addUser"]), "{answer}");
    run(&team, &user("root"), promote);
    let disable = format!("mutation {{ setDisabled(name: \"anna\", isDisabled: true) {add} }}");
    let answer = post(&team, &user("anna"), &disable, &json!({})).json();
    assert_eq!(answer["errors"][0]["extensions"]["code"], "UNAUTHORIZED", "{answer}");
    // And what a change gives is there for the next one.
    let query = "mutation { addNamespace(name: \"acme\") { name } \
        addGrant(holder: \"carl\", role: \"reader\", pattern: \"acme/**\") }";
    run(&team, &user("will"), query);
    let users = run(&team, &user("root"), "{ users { items { name } } }");
    assert!(!users.to_string().contains("dora"), "{users}");
}
