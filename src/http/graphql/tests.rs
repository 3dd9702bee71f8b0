//! The schema over real accounts. What stands around it is tested with the rest of the API.

use std::sync::Arc;

use async_graphql::{Request, Response, Variables};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::bounds::reads_schema;
use super::schema::{READABLE_SCHEMA, SCHEMA};
use super::sender::Sender;
use crate::accounts::Administration;
use crate::auth::accounts::{Bound, Bounded, CreateRule, Rights, Rules, TokenScopes};
use crate::auth::passwords::{Bounds, Checks};
use crate::auth::{Caller, CallerKind};
use crate::index::{self, Actor, FirstAdministrator};

/// What tools send to read a schema, as far as it counts: types within types.
const INTROSPECTION: &str = "{ __schema { types { name fields(includeDeprecated: true) { name args { name type { \
    name ofType { name ofType { name ofType { name ofType { name ofType { name ofType { name ofType { name } } } } } } } \
    } } type { name ofType { name ofType { name ofType { name } } } } } } } }";

struct Home {
    administration: Arc<Administration>,
    root: Caller,
    _folder: TempDir,
}

impl Home {
    async fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let url = format!("sqlite:{}", folder.path().join("index.sqlite").display());
        let index = index::open(&url).await.unwrap();
        let (hash, nobody) = ("hash".into(), Actor::default());
        let made = index.add_first_administrator("root", &hash, &nobody, 1).await;
        let Ok(FirstAdministrator::Made(id)) = made else { panic!("there is none yet") };
        let checks = Arc::new(Checks::new(Bounds::wide()));
        let rules = Rules { create: CreateRule::Users, anonymous_foreign: false };
        let administration = Arc::new(Administration::new(index, checks, rules));
        let rights = Rights::user(true, vec!["root".parse().unwrap()], Vec::new());
        let kind = CallerKind::User { name: "root".to_owned(), id: Some(id) };
        let root = Caller { rights: Some(Arc::new(rights.into())), ..kind.into() };
        Self { administration, root, _folder: folder }
    }

    async fn run(&self, caller: &Caller, query: &str, variables: Value) -> Response {
        let request = Request::new(query).variables(Variables::from_json(variables));
        let request = request.data(caller.clone()).data(Sender::Known);
        let request = request.data(Arc::clone(&self.administration));
        let schema = if reads_schema(query) { &READABLE_SCHEMA } else { &SCHEMA };
        schema.execute(request).await
    }

    async fn succeed(&self, query: &str) -> Value {
        let response = self.run(&self.root, query, json!({})).await;
        assert!(response.errors.is_empty(), "{:?}", response.errors);
        response.data.into_json().unwrap()
    }

    async fn code(&self, caller: &Caller, query: &str) -> Value {
        let response = self.run(caller, query, json!({})).await;
        let extensions = response.errors[0].extensions.clone().unwrap_or_default();
        extensions.get("code").cloned().unwrap().into_json().unwrap()
    }
}

#[test]
fn the_schema_is_the_file() {
    let expected = include_str!("schema.graphql");
    let found = SCHEMA.sdl();
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/http/graphql/schema.graphql");
        std::fs::write(path, &found).unwrap();
        return;
    }
    assert!(
        found == expected,
        "the schema is not src/http/graphql/schema.graphql; run this test with UPDATE_SCHEMA=1"
    );
}

#[actix_web::test]
async fn accounts_are_administered() {
    let home = Home::new().await;
    let add = "mutation($password: String) { addUser(name: \"anna\", password: $password) { name isAdministrator } }";
    let variables = json!({ "password": "correct horse battery" });
    let added = home.run(&home.root, add, variables).await.data.into_json().unwrap();
    assert_eq!(added["addUser"], json!({ "name": "anna", "isAdministrator": false }));
    home.succeed(
        "mutation { addTeam(name: \"dev\") { name } \
         addTeamMember(team: \"dev\", member: \"anna\") \
         addNamespace(name: \"acme\") { owner } \
         addGrant(holder: \"team:dev\", role: \"writer\", pattern: \"acme/**\") }",
    )
    .await;
    let token = home
        .succeed(
            "mutation { createToken(name: \"acme-ci\", robot: { name: \"acme-ci\", namespace: \"acme\" }, \
             scopes: [\"acme/**:pull,push\"], lifetime: 86400) { secret token { id owner scopes } } }",
        )
        .await;
    let token = &token["createToken"];
    assert!(token["secret"].as_str().unwrap().starts_with("rds_"));
    assert_eq!(token["token"]["owner"], "acme-ci");
    let read = home
        .succeed(
            "{ viewer { name isAdministrator } users { items { name } next } \
             teams { items { name members { items { name kind } } } } \
             grants(namespace: \"acme\") { items { holder role pattern } } \
             tokens(owner: \"acme-ci\") { items { isRevoked } } \
             namespaces(first: 1, after: \"acme\") { items { name owner } next } \
             repositories { items { name } } audit(user: \"root\") { items { kind user } } }",
        )
        .await;
    assert_eq!(read["viewer"], json!({ "name": "root", "isAdministrator": true }));
    let users = json!({ "items": [{ "name": "anna" }, { "name": "root" }], "next": null });
    assert_eq!(read["users"], users);
    let members = json!([{ "name": "anna", "kind": "USER" }]);
    assert_eq!(read["teams"]["items"][0]["members"]["items"], members);
    let grant = json!({ "holder": "team:dev", "role": "writer", "pattern": "acme/**" });
    assert_eq!(read["grants"]["items"], json!([grant]));
    let next = json!({ "items": [{ "name": "anna", "owner": "anna" }], "next": "anna" });
    assert_eq!(read["namespaces"], next);
    assert_eq!(read["audit"]["items"][0], json!({ "kind": "user", "user": "root" }));
}

#[actix_web::test]
async fn each_refusal_has_a_code() {
    let home = Home::new().await;
    let anonymous = Caller::anonymous();
    let scopes = TokenScopes::read(["root/**:pull"]).unwrap();
    let rights: Bounded = home.root.rights.as_deref().unwrap().clone();
    let rights = rights.within(Bound::Scopes(scopes));
    let by_token = Caller { rights: Some(Arc::new(rights)), ..home.root.clone() };
    for (caller, query, code) in [
        (&anonymous, "{ viewer { name } }", "UNAUTHORIZED"),
        (&by_token, "{ users { next } }", "DENIED"),
        (&home.root, "mutation { removeAccount(name: \"none\") }", "NOT_FOUND"),
        (&home.root, "mutation { removeAccount(name: \"root\") }", "CONFLICT"),
        (&home.root, "mutation { addUser(name: \"ROOT\") { name } }", "INVALID"),
    ] {
        assert_eq!(home.code(caller, query).await, code, "{query}");
    }
    let without = SCHEMA.execute(Request::new("{ viewer { name } }").data(home.root.clone())).await;
    let extensions = without.errors[0].extensions.clone().unwrap();
    assert_eq!(extensions.get("code"), Some(&"UNSUPPORTED".into()));
}

#[actix_web::test]
async fn a_request_is_bounded() {
    let home = Home::new().await;
    home.succeed(INTROSPECTION).await;
    let many = (0..30).map(|number| format!("a{number}: revokeToken(id: \"x\")"));
    let many = format!("mutation {{ {} }}", many.collect::<Vec<_>>().join(" "));
    let lists = (0..20).map(|number| {
        format!("a{number}: audit(first: 1000000) {{ items {{ seq at kind user address repository detail }} }}")
    });
    let lists = format!("{{ {} }}", lists.collect::<Vec<_>>().join(" "));
    let deep = format!("{}{}", "{ viewer ".repeat(40), "}".repeat(40));
    for query in [
        &many,
        &deep,
        "{ teams(first: 200) { items { name members(first: 200) { items { name } } } } }",
        &lists,
    ] {
        let response = home.run(&home.root, query, json!({})).await;
        assert!(response.data == async_graphql::Value::Null, "{query}");
        assert!(!response.errors.is_empty());
    }
}
