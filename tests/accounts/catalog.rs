//! The list of repositories: those that a caller may see.

use serde_json::{Value, json};

use super::team::{Sender, Team, user};

#[test]
fn each_lists_what_it_may_see() {
    let team = Team::start();
    for name in ["team/secret", "team/inner", "team/open"] {
        assert_eq!(team.push(name, &user("anna")), [201, 201], "{name}");
    }
    let secrets = &team.secrets;
    for (sender, expected) in [
        (user("root"), json!(["team/inner", "team/open", "team/secret"])),
        (user("anna"), json!(["team/inner", "team/open", "team/secret"])),
        (user("rita"), json!(["team/inner", "team/open", "team/secret"])),
        (user("carl"), json!(["team/inner", "team/open"])),
        (team.bearer(&user("carl"), &["registry:catalog:*"]), json!(["team/inner", "team/open"])),
        (
            Sender::Basic("ci".to_owned(), secrets.of_robot.clone()),
            json!(["team/inner", "team/open", "team/secret"]),
        ),
    ] {
        let whole = team.get("/v2/_catalog", &sender);
        assert_eq!(whole.json(), json!({ "repositories": expected }), "{sender:?}");
        let mut found: Vec<Value> = Vec::new();
        let mut path = Some("/v2/_catalog?n=1".to_owned());
        while let Some(next) = path {
            let page = team.get(&next, &sender);
            let names = page.json()["repositories"].clone();
            found.extend(names.as_array().expect("it is a list").iter().cloned());
            let link = page.header("link");
            path = link.split(['<', '>']).nth(1).map(str::to_owned);
        }
        assert_eq!(Value::from(found), expected, "{sender:?}, in pages");
    }
    assert_eq!(team.get("/v2/_catalog", &Sender::Nobody).status, 401);
}
