//! What is shown of repositories and images: to each what it may see, and nothing of the rest.

use reqwest::Method;
use serde_json::{Value, json};

use super::graphql::{run, try_post};
use super::team::{Sender, Team, user};
use crate::common::content::{image, sha256};

const SHARED: &[u8] = b"a layer that a hidden repository has";

fn push(team: &Team, name: &str, tag: &str, sender: &Sender, layers: &[&[u8]]) -> usize {
    let config = format!("{{\"{tag}\":0}}").into_bytes();
    let mut size = 0;
    for blob in layers.iter().copied().chain([&config[..]]) {
        let path = format!("/v2/{name}/blobs/uploads/?digest={}", sha256(blob));
        let answer = team.send(Method::POST, &path, sender, blob.to_vec());
        assert_eq!(answer.status, 201, "{}", answer.text());
        size += blob.len();
    }
    let manifest = image(&config, layers).to_string().into_bytes();
    size += manifest.len();
    let answer = team.send(Method::PUT, &format!("/v2/{name}/manifests/{tag}"), sender, manifest);
    assert_eq!(answer.status, 201, "{}", answer.text());
    size
}

/// What a refused request is answered, with the name that it was about left out.
fn refused(team: &Team, sender: &Sender, query: &str, name: &str) -> String {
    let query = query.replace("NAME", name);
    let answer = try_post(&team.server.url("/graphql"), sender, &query);
    let answer = answer.unwrap_or_else(|error| panic!("no answer: {error}"));
    assert_eq!(answer.status, 200, "{}", answer.text());
    let answer = answer.json();
    assert!(answer["errors"].is_array(), "{query}: {answer}");
    answer.to_string().replace(name, "NAME")
}

#[test]
fn each_sees_the_images_that_it_may_pull_and_what_is_hidden_is_as_absent() {
    let team = Team::start();
    let anna = user("anna");
    let size = push(&team, "team/secret", "v1", &anna, &[SHARED, b"another"]);
    push(&team, "team/secret", "v2", &anna, &[SHARED]);
    push(&team, "team/inner", "v1", &anna, &[b"inner"]);
    push(&team, "team/open", "v1", &anna, &[b"open"]);
    let fields = "tag digest mediaType cid pushed pulls size { bytes own shared }";
    let list = format!("{{ images(repository: \"NAME\") {{ items {{ {fields} }} next }} }}");
    let find = "{ image(repository: \"NAME\", reference: \"v1\") { digest size { bytes } } }";
    let robot = Sender::Basic("ci".to_owned(), team.secrets.of_robot.clone());
    let token = Sender::Basic("anna".to_owned(), team.secrets.of_anna.clone());
    for sender in [&user("root"), &anna, &user("rita"), &robot, &token] {
        let found = run(&team.server, sender, &list.replace("NAME", "team/secret"));
        let images = &found["images"]["items"];
        assert_eq!(images.as_array().map(Vec::len), Some(2), "{sender:?}: {images}");
        let first = &images[0];
        assert_eq!((&first["tag"], &first["cid"]), (&json!("v1"), &Value::Null), "{sender:?}");
        let shared = SHARED.len();
        let expected = json!({ "bytes": size, "own": size - shared, "shared": shared });
        assert_eq!(first["size"], expected, "{sender:?}");
        let open = run(&team.server, sender, &list.replace("NAME", "team/open"));
        assert!(open["images"]["items"][0]["cid"].is_string(), "it is public: {open}");
    }
    for query in [&*list, find] {
        let absent = refused(&team, &user("carl"), query, "team/absent");
        assert_eq!(refused(&team, &user("carl"), query, "team/secret"), absent);
        assert_eq!(refused(&team, &user("anna"), query, "team/absent"), absent);
        assert!(absent.contains("NOT_FOUND"), "{absent}");
    }
    let inner = run(&team.server, &user("carl"), &list.replace("NAME", "team/inner"));
    assert_eq!(inner["images"]["items"].as_array().map(Vec::len), Some(1));
}

#[test]
fn sums_say_nothing_of_what_is_hidden() {
    let team = Team::start();
    let (anna, carl) = (user("anna"), user("carl"));
    push(&team, "team/secret", "v1", &anna, &[SHARED]);
    let own = push(&team, "carl/app", "v1", &carl, &[SHARED]);
    let query = "{ images(repository: \"carl/app\") { items { size { bytes own shared } } } }";
    let found = run(&team.server, &carl, query);
    let expected = json!([{ "size": { "bytes": own, "own": own, "shared": 0 } }]);
    assert_eq!(found["images"]["items"], expected, "of the hidden repository it learns nothing");
    let query = "{ usage { items { namespace bytes unreferenced repositories tags } next } }";
    let carls = json!({
        "namespace": "carl", "bytes": own, "unreferenced": 0, "repositories": 1, "tags": 1,
    });
    let usage = |sender: Sender| run(&team.server, &sender, query)["usage"]["items"].clone();
    assert_eq!(usage(carl.clone()), json!([carls]));
    let all = usage(user("root"));
    let names: Vec<&Value> =
        all.as_array().into_iter().flatten().map(|it| &it["namespace"]).collect();
    assert_eq!(names, ["carl", "team"]);
    assert_eq!(usage(anna.clone())[0]["namespace"], "team");
    assert_eq!(
        usage(user("rita")),
        json!([]),
        "a role in a namespace does not say what all of it has"
    );
    let query =
        "{ repositories { items { name contents { tags manifests bytes unreferenced pulls } } } }";
    let seen = run(&team.server, &carl, query);
    let contents =
        json!({ "tags": 1, "manifests": 1, "bytes": own, "unreferenced": 0, "pulls": 0 });
    assert_eq!(
        seen["repositories"]["items"],
        json!([{ "name": "carl/app", "contents": contents }])
    );
    let by_token = Sender::Basic("anna".to_owned(), team.secrets.of_anna.clone());
    let denied = try_post(&team.server.url("/graphql"), &by_token, "{ usage { next } }");
    let denied = denied.unwrap_or_else(|error| panic!("no answer: {error}")).json();
    assert_eq!(denied["errors"][0]["extensions"]["code"], "DENIED", "{denied}");
}

#[test]
fn images_come_in_pages_of_a_limited_size() {
    let team = Team::start();
    let anna = user("anna");
    for tag in ["a", "b", "c", "d", "e"] {
        push(&team, "team/open", tag, &anna, &[tag.as_bytes()]);
    }
    let mut found = Vec::new();
    let mut after = Value::Null;
    for _ in 0..3 {
        let query = format!(
            "{{ images(repository: \"team/open\", first: 2, after: {after}) {{ items {{ tag }} next }} }}"
        );
        let page = run(&team.server, &anna, &query)["images"].take();
        found.extend(page["items"].as_array().into_iter().flatten().map(|it| it["tag"].clone()));
        after = page["next"].clone();
    }
    assert_eq!(
        (found, after),
        (vec![json!("a"), json!("b"), json!("c"), json!("d"), json!("e")], Value::Null)
    );
    // The most that a page has can be requested with all there is to say, and twice as much cannot.
    let fields =
        "tag digest mediaType cid pushed pulls lastPulled config size { bytes own shared }";
    let one = |name: &str| {
        format!(
            "{name}: images(repository: \"team/open\", first: 200) {{ items {{ {fields} }} next }}"
        )
    };
    run(&team.server, &anna, &format!("{{ {} }}", one("a")));
    let both = format!("{{ {} {} }}", one("a"), one("b"));
    let answer = try_post(&team.server.url("/graphql"), &anna, &both);
    let answer = answer.unwrap_or_else(|error| panic!("no answer: {error}")).json();
    assert!(answer["errors"].is_array(), "{answer}");
}
