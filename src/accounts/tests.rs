//! Administration on a real index.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use secrecy::{ExposeSecret, SecretString};
use tempfile::TempDir;

use super::*;
use crate::auth::accounts::{Bound, CreateRule, Grant, TokenScopes};
use crate::auth::passwords::Bounds;
use crate::index::{self, Actor, FirstAdministrator, Principal, PrincipalKind};

const RULES: Rules = Rules { create: CreateRule::Users, anonymous_foreign: false };
const FIRST: PageRequest<'static> = PageRequest { after: None, limit: 50 };

/// A registry's accounts: the administrator `root`, and the users `anna` and `ben`.
struct Home {
    administration: Administration,
    index: Arc<Index>,
    _folder: TempDir,
}

impl Home {
    async fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let url = format!("sqlite:{}", folder.path().join("index.sqlite").display());
        let index = index::open(&url).await.unwrap();
        let checks = Arc::new(Checks::new(Bounds::wide()));
        let administration = Administration::new(Arc::clone(&index), checks, RULES);
        let (hash, nobody) = ("hash".into(), Actor::default());
        let first = index.add_first_administrator("root", &hash, &nobody, 1).await;
        assert!(matches!(first, Ok(FirstAdministrator::Made(_))));
        let home = Self { administration, index, _folder: folder };
        let root = home.caller("root").await;
        for name in ["anna", "ben"] {
            let request = UserRequest { name, password: None, is_admin: false };
            home.administration.add_user(&root, request).await.unwrap();
        }
        home
    }

    /// Returns a user or a robot that has signed in, with the rights that it has now.
    async fn caller(&self, name: &str) -> Caller {
        let principal = self.index.principal(name).await.unwrap().unwrap().principal;
        let rights = Bounded::from(self.rights(&principal).await);
        let Principal { id, kind, .. } = principal;
        let name = name.to_owned();
        let kind = match kind {
            PrincipalKind::User => CallerKind::User { name, id: Some(id) },
            PrincipalKind::Robot => CallerKind::Robot { name, id },
        };
        Caller { rights: Some(Arc::new(rights)), ..kind.into() }
    }

    /// Returns the same by a token.
    async fn by_token(&self, name: &str, scopes: &[&str]) -> Caller {
        let caller = self.caller(name).await;
        let scopes = TokenScopes::read(scopes.iter().copied()).unwrap();
        let bounded = caller.rights.as_deref().unwrap().clone().within(Bound::Scopes(scopes));
        Caller { rights: Some(Arc::new(bounded)), ..caller }
    }

    async fn rights(&self, principal: &Principal) -> Rights {
        let row = self.index.rights(principal.id).await.unwrap().unwrap();
        let grants = row.grants.iter().map(|grant| Grant {
            role: grant.role.parse().unwrap(),
            pattern: grant.pattern.parse().unwrap(),
        });
        let grants = grants.collect();
        if let Some(namespace) = &principal.namespace {
            return Rights::robot(namespace.parse().unwrap(), grants);
        }
        let owned = row.namespaces.iter().map(|name| name.parse().unwrap()).collect();
        Rights::user(row.is_admin, owned, grants)
    }

    async fn kinds_of_events(&self) -> Vec<String> {
        let events = self.index.events_after(0, 1000).await.unwrap();
        events.into_iter().map(|event| event.change.kind.into_owned()).collect()
    }
}

fn token<'a>(name: &'a str, scopes: &'a [String]) -> TokenRequest<'a> {
    TokenRequest { name, robot: None, scopes, lifetime: None }
}

fn texts(scopes: &[&str]) -> Vec<String> {
    scopes.iter().map(|&scope| scope.to_owned()).collect()
}

fn is_denied<T>(result: &Result<T>) -> bool {
    matches!(result, Err(AdministrationError::Denied(_)))
}

fn is_unknown<T>(result: &Result<T>) -> bool {
    matches!(result, Err(AdministrationError::Unknown(_)))
}

#[tokio::test]
async fn administrators_add_users_whose_passwords_are_hashed() {
    let home = Home::new().await;
    let (it, root) = (&home.administration, home.caller("root").await);
    let password = SecretString::from("correct horse battery");
    let request = UserRequest { name: "carl", password: Some(password), is_admin: false };
    let carl = it.add_user(&root, request).await.unwrap();
    assert!(carl.password.unwrap().expose_secret().starts_with("$argon2id$"));
    assert_eq!(home.index.namespace("carl").await.unwrap().unwrap().owner, Some(carl.principal.id));
    let names = it.users(&root, PageRequest { after: None, limit: 2 }).await.unwrap();
    assert_eq!(names.next.as_deref(), Some("ben"));
    let rest = it.users(&root, PageRequest { after: Some("ben"), limit: 2 }).await.unwrap();
    let rest: Vec<_> = rest.items.into_iter().map(|user| user.principal.name).collect();
    assert_eq!(rest, ["carl", "root"]);
}

#[tokio::test]
async fn names_that_cannot_be_had_have_one_answer() {
    let home = Home::new().await;
    let (it, root) = (&home.administration, home.caller("root").await);
    it.add_namespace(&root, "acme", None).await.unwrap();
    it.remove_account(&root, "ben").await.unwrap();
    let mut answers = Vec::new();
    for name in ["anna", "ben", "acme", "oidc"] {
        let request = UserRequest { name, password: None, is_admin: false };
        let error = it.add_user(&root, request).await.unwrap_err();
        assert!(matches!(error, AdministrationError::Conflict(_)), "{error}");
        answers.push(error.to_string().replace(name, "NAME"));
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "{answers:?}");
    for name in ["example.com", "Anna", "rds_a", "", "b--c", "\u{430}nna"] {
        let request = UserRequest { name, password: None, is_admin: false };
        let error = it.add_user(&root, request).await.unwrap_err();
        assert!(matches!(error, AdministrationError::Invalid(_)), "{error}");
    }
    let short = UserRequest { name: "carl", password: Some("short".into()), is_admin: false };
    assert!(matches!(it.add_user(&root, short).await, Err(AdministrationError::Invalid(_))));
}

#[tokio::test]
async fn who_is_no_administrator_administrates_nothing() {
    let home = Home::new().await;
    let it = &home.administration;
    for caller in [
        home.caller("anna").await,
        home.by_token("root", &["**:pull,push,delete", "tokens"]).await,
        home.by_token("anna", &["admin"]).await,
    ] {
        let request = || UserRequest { name: "carl", password: None, is_admin: true };
        assert!(is_denied(&it.add_user(&caller, request()).await));
        assert!(is_denied(&it.users(&caller, FIRST).await));
        assert!(is_denied(&it.set_admin(&caller, "anna", true).await));
        assert!(is_denied(&it.set_password(&caller, "ben", "correct horse!".into()).await));
        assert!(is_denied(&it.add_team(&caller, "dev").await));
        assert!(is_denied(&it.audit(&caller, AuditFilter::default(), FIRST).await));
        assert!(is_denied(&it.add_grant(&caller, "anna", "owner", "**").await));
        assert!(is_denied(&it.add_namespace(&caller, "other", Some("ben")).await));
        // Absent or not.
        let [one, other] = ["ben", "none"].map(|name| it.set_disabled(&caller, name, true));
        let (one, other) =
            (one.await.unwrap_err().to_string(), other.await.unwrap_err().to_string());
        assert_eq!(one.replace("ben", "none"), other);
    }
    let anonymous = Caller::anonymous();
    let refused = it.users(&anonymous, FIRST).await;
    assert!(matches!(refused, Err(AdministrationError::SignedOut)));
    let whoami = it.whoami(&home.caller("anna").await).await.unwrap();
    assert_eq!((whoami.is_admin, &whoami.namespaces[..]), (false, &["anna".to_owned()][..]));
}

#[tokio::test]
async fn a_token_makes_no_administrator_and_no_way_to_be_one() {
    let home = Home::new().await;
    let it = &home.administration;
    let token = home.by_token("root", &["admin"]).await;
    let password = || SecretString::from("correct horse battery");
    let request = |is_admin| UserRequest { name: "carl", password: None, is_admin };
    assert!(is_denied(&it.add_user(&token, request(true)).await));
    it.add_user(&token, request(false)).await.unwrap();
    assert!(is_denied(&it.set_admin(&token, "carl", true).await));
    assert!(is_denied(&it.set_password(&token, "root", password()).await));
    it.set_password(&token, "carl", password()).await.unwrap();
}

#[tokio::test]
async fn the_last_administrator_stays() {
    let home = Home::new().await;
    let (it, root) = (&home.administration, home.caller("root").await);
    let is_conflict = |error| matches!(error, AdministrationError::Conflict(_));
    assert!(is_conflict(it.set_disabled(&root, "root", true).await.unwrap_err()));
    assert!(is_conflict(it.set_admin(&root, "root", false).await.unwrap_err()));
    assert!(is_conflict(it.remove_account(&root, "root").await.unwrap_err()));
    it.set_admin(&root, "anna", true).await.unwrap();
    // She has no password.
    assert!(is_conflict(it.remove_account(&root, "root").await.unwrap_err()));
    it.set_password(&root, "anna", "correct horse battery".into()).await.unwrap();
    it.remove_account(&root, "root").await.unwrap();
}

#[tokio::test]
async fn a_password_is_changed_by_who_knows_it_and_by_administrators() {
    let home = Home::new().await;
    let it = &home.administration;
    let password = || SecretString::from("correct horse battery");
    it.set_password(&home.caller("anna").await, "anna", password()).await.unwrap();
    let by_token = home.by_token("anna", &["admin", "tokens"]).await;
    assert!(is_denied(&it.set_password(&by_token, "anna", password()).await));
    it.set_password(&home.caller("root").await, "anna", password()).await.unwrap();
    it.set_password(&Administration::operator(), "anna", password()).await.unwrap();
    let anna = home.index.principal("anna").await.unwrap().unwrap();
    assert_eq!(anna.password_changes, 3);
}

#[tokio::test]
async fn a_token_is_never_wider_than_what_makes_it() {
    let home = Home::new().await;
    let it = &home.administration;
    let anna = home.caller("anna").await;
    let narrow = home.by_token("anna", &["anna/app:pull,push", "tokens"]).await;
    for (caller, scopes, may) in [
        (&anna, &["anna/**:pull,push,delete"][..], true),
        (&anna, &["**:pull"], true),
        (&anna, &["ben/**:push"], false),
        (&anna, &["admin"], false),
        (&anna, &["metrics"], false),
        (&narrow, &["anna/app:push"], true),
        (&narrow, &["anna/**:push"], false),
        (&narrow, &["anna/app:delete"], false),
        (&narrow, &["tokens"], true),
        (&home.by_token("anna", &["anna/app:pull"]).await, &["anna/app:pull"], false),
    ] {
        let scopes = texts(scopes);
        let made = it.make_token(caller, token("ci", &scopes)).await;
        assert_eq!(made.is_ok(), may, "{scopes:?}");
        assert!(may || is_denied(&made), "{scopes:?}");
    }
    for scopes in [&[][..], &["nonsense"], &["a:fly"]] {
        let scopes = texts(scopes);
        let made = it.make_token(&anna, token("ci", &scopes)).await;
        assert!(matches!(made, Err(AdministrationError::Invalid(_))), "{scopes:?}");
    }
}

#[tokio::test]
async fn a_token_does_not_outlive_what_makes_it() {
    let home = Home::new().await;
    let it = &home.administration;
    let maker = home.by_token("anna", &["anna/**:pull", "tokens"]).await;
    let rights = maker.rights.as_deref().unwrap().clone();
    let ends = SystemTime::now() + Duration::from_hours(1);
    let maker = Caller { rights: Some(Arc::new(rights.ending(ends))), ..maker };
    let scopes = texts(&["anna/**:pull"]);
    for (lifetime, may) in [(None, false), (Some(2), false), (Some(1), true)] {
        let lifetime = lifetime.map(|hours| Duration::from_mins(hours * 60 - 5));
        let made = it.make_token(&maker, TokenRequest { lifetime, ..token("ci", &scopes) }).await;
        assert_eq!(made.is_ok(), may, "{lifetime:?}");
        assert!(may || is_denied(&made));
    }
}

#[tokio::test]
async fn the_secret_of_a_token_is_shown_once() {
    let home = Home::new().await;
    let it = &home.administration;
    let anna = home.caller("anna").await;
    let scopes = texts(&["anna/**:push,pull", "**:pull"]);
    let lifetime = Some(Duration::from_hours(24));
    let request = TokenRequest { lifetime, ..token("laptop", &scopes) };
    let MadeToken { summary, secret } = it.make_token(&anna, request).await.unwrap();
    let read = crate::auth::accounts::AccessToken::read(&secret).unwrap();
    let row = home.index.access_token(&summary.id).await.unwrap().unwrap().token;
    assert_eq!((read.id().as_str(), read.hash().as_bytes()), (&*row.id, &row.hash));
    assert_eq!(summary.expires.unwrap() - summary.created, 86_400_000);
    let listed = it.tokens(&anna, None, FIRST).await.unwrap().items;
    assert_eq!(listed, std::slice::from_ref(&summary));
    assert_eq!(listed[0].scopes, ["anna/**:pull,push", "**:pull"]);
    let stored = TokenScopes::read(row.scopes.split(' ')).unwrap();
    assert_eq!(stored, TokenScopes::read(scopes.iter().map(String::as_str)).unwrap());
    it.revoke_token(&anna, &summary.id).await.unwrap();
    assert!(it.tokens(&anna, Some("anna"), FIRST).await.unwrap().items[0].is_revoked);
}

#[tokio::test]
async fn tokens_of_others_are_as_absent() {
    let home = Home::new().await;
    let it = &home.administration;
    let (anna, ben) = (home.caller("anna").await, home.caller("ben").await);
    let scopes = texts(&["anna/**:push", "tokens"]);
    let made = it.make_token(&anna, token("ci", &scopes)).await.unwrap().summary;
    assert!(is_unknown(&it.revoke_token(&ben, &made.id).await));
    assert!(is_unknown(&it.tokens(&ben, Some("anna"), FIRST).await));
    assert!(is_unknown(&it.tokens(&ben, Some("none"), FIRST).await));
    assert!(it.tokens(&ben, None, FIRST).await.unwrap().items.is_empty());
    let narrow = home.by_token("anna", &["anna/app:pull", "tokens"]).await;
    assert!(is_denied(&it.revoke_token(&narrow, &made.id).await), "it is wider");
    let root = home.caller("root").await;
    assert_eq!(it.tokens(&root, Some("anna"), FIRST).await.unwrap().items.len(), 1);
    it.revoke_token(&root, &made.id).await.unwrap();
}

#[tokio::test]
async fn robots_belong_to_who_owns_their_namespace() {
    let home = Home::new().await;
    let it = &home.administration;
    let (anna, ben) = (home.caller("anna").await, home.caller("ben").await);
    let scopes = texts(&["anna/**:pull,push"]);
    let robot = Some(RobotRequest { name: "anna-ci", namespace: "anna" });
    let request = TokenRequest { robot, ..token("ci", &scopes) };
    let made = it.make_token(&anna, request).await.unwrap().summary;
    assert_eq!(made.owner, "anna-ci");
    it.make_token(&anna, request).await.expect("another token of the same robot");
    let pulls = texts(&["**:pull"]);
    let by_ben = TokenRequest { scopes: &pulls, ..request };
    assert!(is_denied(&it.make_token(&ben, by_ben).await));
    assert!(is_denied(&it.robots(&ben, Some("anna"), FIRST).await));
    assert_eq!(it.robots(&anna, Some("anna"), FIRST).await.unwrap().items.len(), 1);
    for name in ["ben", "oidc"] {
        let robot = Some(RobotRequest { name, namespace: "anna" });
        let refused = it.make_token(&anna, TokenRequest { robot, ..request }).await;
        assert!(matches!(refused, Err(AdministrationError::Conflict(_))), "{name}");
    }
    let itself = home.caller("anna-ci").await;
    assert!(is_denied(&it.make_token(&itself, token("more", &pulls)).await));
    assert!(is_denied(&it.add_grant(&itself, "ben", "reader", "anna/**").await));
    it.set_disabled(&anna, "anna-ci", true).await.unwrap();
    let refused = it.make_token(&anna, request).await;
    assert!(matches!(refused, Err(AdministrationError::Conflict(_))));
    it.remove_account(&anna, "anna-ci").await.unwrap();
    assert!(is_denied(&it.remove_account(&anna, "ben").await));
}

#[tokio::test]
async fn owners_give_roles_in_their_namespaces() {
    let home = Home::new().await;
    let it = &home.administration;
    let (root, anna) = (home.caller("root").await, home.caller("anna").await);
    it.add_team(&root, "dev").await.unwrap();
    it.add_team_member(&root, "dev", "ben").await.unwrap();
    it.add_grant(&anna, "team:dev", "writer", "anna/**").await.unwrap();
    it.add_grant(&anna, "ben", "reader", "anna/app").await.unwrap();
    for pattern in ["**", "*", "ben/**", "*/app", "anna2/**", "example.com/**"] {
        assert!(is_denied(&it.add_grant(&anna, "ben", "reader", pattern).await), "{pattern}");
    }
    assert!(is_unknown(&it.add_grant(&anna, "none", "reader", "anna/app").await));
    let refused = it.add_grant(&anna, "ben", "king", "anna/app").await;
    assert!(matches!(refused, Err(AdministrationError::Invalid(_))));
    let ben = home.caller("ben").await;
    let selection = GrantSelection { namespace: Some("anna"), ..GrantSelection::default() };
    assert_eq!(it.grants(&anna, selection, FIRST).await.unwrap().items.len(), 2);
    assert!(is_denied(&it.grants(&ben, selection, FIRST).await));
    let own = it.grants(&ben, GrantSelection::default(), FIRST).await.unwrap();
    let own: Vec<_> = own.items.iter().map(|grant| &*grant.pattern).collect();
    assert_eq!(own, ["anna/**", "anna/app"], "of the team, too");
    assert_eq!(it.team_members(&root, "dev", FIRST).await.unwrap().items[0].name, "ben");
    it.remove_grant(&anna, "ben", "reader", "anna/app").await.unwrap();
    assert!(is_unknown(&it.remove_grant(&anna, "ben", "reader", "anna/app").await));
    it.remove_team_member(&root, "dev", "ben").await.unwrap();
    it.remove_team(&root, "dev").await.unwrap();
    assert!(it.grants(&anna, selection, FIRST).await.unwrap().items.is_empty());
    // Of an owner by a pattern.
    it.add_grant(&root, "ben", "owner", "anna/app").await.unwrap();
    let ben = home.caller("ben").await;
    it.add_grant(&ben, "anna", "reader", "anna/app").await.unwrap();
    assert!(is_denied(&it.add_grant(&ben, "anna", "reader", "anna/**").await));
}

#[tokio::test]
async fn who_may_not_give_a_role_learns_of_no_user() {
    let home = Home::new().await;
    let it = &home.administration;
    let narrow = home.by_token("anna", &["anna/**:pull,push", "tokens"]).await;
    for caller in [home.caller("ben").await, narrow] {
        let mut answers = Vec::new();
        for holder in ["root", "none", "anna", "team:none", "Not A Name"] {
            for result in [
                it.add_grant(&caller, holder, "reader", "anna/app").await,
                it.remove_grant(&caller, holder, "reader", "anna/app").await,
                it.add_repository_owner(&caller, "anna/app", holder).await,
            ] {
                assert!(is_denied(&result));
                answers.push(result.unwrap_err().to_string());
            }
        }
        let first = answers[..3].to_vec();
        assert!(answers.chunks(3).all(|some| some == first), "{answers:?}");
    }
}

#[tokio::test]
async fn an_owner_sees_the_grants_of_its_namespaces_without_naming_them() {
    let home = Home::new().await;
    let it = &home.administration;
    let (anna, ben) = (home.caller("anna").await, home.caller("ben").await);
    it.add_grant(&anna, "ben", "reader", "anna/app").await.unwrap();
    for caller in [&anna, &ben] {
        let seen = it.grants(caller, GrantSelection::default(), FIRST).await.unwrap().items;
        let seen: Vec<_> = seen.iter().map(|it| (&*it.holder_name, &*it.pattern)).collect();
        assert_eq!(seen, [("ben", "anna/app")]);
    }
    let holder = GrantSelection { holder: Some("anna"), ..GrantSelection::default() };
    assert!(it.grants(&anna, holder, FIRST).await.unwrap().items.is_empty(), "its own alone");
    let narrow = home.by_token("anna", &["anna/**:pull"]).await;
    assert!(is_denied(&it.grants(&narrow, GrantSelection::default(), FIRST).await));
}

#[tokio::test]
async fn users_are_imported_with_their_hashes_once() {
    let home = Home::new().await;
    let (it, root) = (&home.administration, home.caller("root").await);
    let hash = SecretString::from(bcrypt_hash());
    it.add_namespace(&root, "acme", None).await.unwrap();
    assert!(it.import_user(&root, "carl", &hash).await.unwrap());
    let carl = home.index.principal("carl").await.unwrap().unwrap();
    assert_eq!(carl.password.unwrap().expose_secret(), hash.expose_secret());
    assert!(!carl.principal.is_admin);
    let count = home.kinds_of_events().await.len();
    let other = SecretString::from(bcrypt_hash().replace("w74b", "w74c"));
    assert!(!it.import_user(&root, "carl", &other).await.unwrap(), "it is there");
    assert!(!it.import_user(&root, "root", &other).await.unwrap());
    let root_hash = home.index.principal("root").await.unwrap().unwrap().password.unwrap();
    assert_eq!(root_hash.expose_secret(), "hash", "no password is replaced");
    it.remove_account(&root, "ben").await.unwrap();
    for name in ["acme", "ben", "oidc"] {
        let refused = it.import_user(&root, name, &hash).await;
        assert!(matches!(refused, Err(AdministrationError::Conflict(_))), "{name}");
    }
    let ours = "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$k9ohroejZy1PN5E1SbHNPug6vB8eQAahb5SOAp6iGF4";
    for (name, hash) in [
        ("a.b", bcrypt_hash()),
        ("Dora", bcrypt_hash()),
        ("dora", "{SHA}2PRZAyDhNDqRW2OUFwZQqPNdaSY=".to_owned()),
        ("dora", ours.to_owned()),
        ("dora", bcrypt_hash().replace("$04$", "$18$")),
        ("dora", bcrypt_hash().replace("$04$", "$15$")),
    ] {
        let refused = it.import_user(&root, name, &hash.clone().into()).await;
        let Err(AdministrationError::Invalid(why)) = refused else { panic!("{name} {hash}") };
        assert!(!why.contains(&hash), "{why}");
    }
    let caller = home.caller("anna").await;
    assert!(is_denied(&it.import_user(&caller, "dora", &hash).await));
    // The removal is the one event since.
    assert_eq!(home.kinds_of_events().await.len(), count + 2);
}

/// Of `password`, as `htpasswd -B -C 4` writes it.
fn bcrypt_hash() -> String {
    "$2y$04$......................w74bL5gU7LSJClZClCa.Pkz14aTv/XO".to_owned()
}

#[tokio::test]
async fn names_and_roles_are_bounded_with_a_clear_error() {
    let home = Home::new().await;
    let it = &home.administration;
    let anna = home.caller("anna").await;
    let expect_number = |error: AdministrationError, number: i64| {
        let AdministrationError::Conflict(why) = error else { panic!("{error}") };
        assert!(why.contains(&number.to_string()), "{why}");
    };
    for number in 1..index::MOST_NAMESPACES {
        it.add_namespace(&anna, &format!("n{number}"), None).await.unwrap();
    }
    expect_number(it.add_namespace(&anna, "more", None).await.unwrap_err(), index::MOST_NAMESPACES);
    // Nor by giving them away.
    let given = it.set_namespace_owner(&home.caller("anna").await, "n1", None).await;
    assert!(is_denied(&given));
    let robot = home.index.namespace("anna").await.unwrap().unwrap().id;
    let maker = home.index.principal("anna").await.unwrap().unwrap();
    for number in 0..index::MOST_ROBOTS {
        let name = format!("r{number}");
        let new = index::NewRobot { name: &name, namespace: robot, maker: maker.principal.id };
        let _ = home.index.add_robot(&new, &Actor::default(), 1).await.unwrap();
    }
    let scopes = texts(&["anna/**:pull"]);
    let more = Some(RobotRequest { name: "more", namespace: "anna" });
    let request = TokenRequest { robot: more, ..token("ci", &scopes) };
    let refused = it.make_token(&anna, request).await;
    expect_number(refused.err().expect("it is one too many"), index::MOST_ROBOTS);
    for number in 0..index::MOST_ROLES {
        it.add_grant(&anna, "ben", "reader", &format!("anna/{number}")).await.unwrap();
    }
    let refused = it.add_grant(&anna, "ben", "reader", "anna/more").await;
    expect_number(refused.unwrap_err(), index::MOST_ROLES);
}

#[tokio::test]
async fn what_was_refused_is_in_the_audit_log() {
    let home = Home::new().await;
    let refusals = Arc::new(crate::auth::Refusals::default());
    let checks = Arc::new(Checks::new(Bounds::wide()));
    let it = Administration::new(Arc::clone(&home.index), checks, RULES).noting(&refusals);
    let root = home.caller("root").await;
    let app = "anna/app".parse().unwrap();
    let ben = Caller { address: Some([192, 0, 2, 7].into()), ..home.caller("ben").await };
    for _ in 0..3 {
        refusals.note_act(&ben, Some(&app));
    }
    let filter = AuditFilter { repository: Some("anna/app"), ..AuditFilter::default() };
    let events = it.audit(&root, filter, FIRST).await.unwrap().items;
    let [event] = &events[..] else { panic!("{events:?}") };
    assert_eq!(event.change.kind, "refused");
    assert_eq!(event.change.actor, Actor::from(&ben));
    assert_eq!(event.change.detail.as_deref(), Some("3 times"));
    let again = it.audit(&root, filter, FIRST).await.unwrap().items;
    assert_eq!(again.len(), 1, "each once");
}

#[tokio::test]
async fn the_first_administrator_is_made_by_the_code_once() {
    let folder = TempDir::new().unwrap();
    let url = format!("sqlite:{}", folder.path().join("index.sqlite").display());
    let index = index::open(&url).await.unwrap();
    let checks = Arc::new(Checks::new(Bounds::wide()));
    let it = Administration::new(Arc::clone(&index), checks, RULES);
    let password = || SecretString::from("correct horse battery");
    let [here, there] = [[192, 0, 2, 1], [192, 0, 2, 2]].map(std::net::IpAddr::from);
    let set_up = async |client, code: &str| it.set_up(client, &code.into(), password()).await;
    assert!(matches!(set_up(here, "any").await, Err(SetupError::Done)), "none was printed");
    let code = crate::auth::passwords::NewPassword::new("abcdefghijkl".into()).unwrap();
    let hash = crate::auth::passwords::PasswordHash::new(&code).as_str().into();
    let stored = index::SetupCode { name: "chief".to_owned(), hash };
    assert!(index.set_setup_code(&stored, 1).await.unwrap());
    assert!(it.needs_setup().await.unwrap());
    assert!(matches!(set_up(here, "").await, Err(SetupError::Wrong)));
    let short = it.set_up(here, &"abcdefghijkl".into(), "short".into()).await;
    assert!(matches!(short, Err(SetupError::Password(_))), "{short:?}");
    assert_eq!(set_up(there, " ABCDEFGHIJKL\n").await.unwrap(), "chief");
    assert!(matches!(set_up(there, "abcdefghijkl").await, Err(SetupError::Done)));
    assert!(!it.needs_setup().await.unwrap());
    let chief = index.principal("chief").await.unwrap().unwrap();
    assert!(chief.principal.is_admin && chief.password.is_some());
}

#[tokio::test]
async fn users_make_namespaces_and_give_them_away() {
    let home = Home::new().await;
    let it = &home.administration;
    let (root, anna) = (home.caller("root").await, home.caller("anna").await);
    let acme = it.add_namespace(&anna, "acme", None).await.unwrap();
    assert_eq!(it.owner_of(&acme).await.unwrap().as_deref(), Some("anna"));
    it.add_namespace(&root, "shop", Some("ben")).await.unwrap();
    let anna = home.caller("anna").await;
    let own = it.namespaces(&anna, FIRST).await.unwrap().items;
    assert_eq!(own.iter().map(|it| &*it.name).collect::<Vec<_>>(), ["acme", "anna"]);
    assert!(is_denied(&it.set_namespace_owner(&anna, "shop", Some("anna")).await));
    it.set_namespace_owner(&anna, "acme", Some("ben")).await.unwrap();
    let acme = it.set_namespace_owner(&root, "acme", None).await.unwrap();
    assert_eq!(it.owner_of(&acme).await.unwrap(), None);
}

#[tokio::test]
async fn the_audit_log_is_filtered() {
    let home = Home::new().await;
    let it = &home.administration;
    let root = home.caller("root").await;
    it.add_grant(&home.caller("anna").await, "ben", "reader", "anna/app").await.unwrap();
    assert_eq!(home.kinds_of_events().await, ["user", "user", "user", "grant"]);
    let filter = AuditFilter { user: Some("anna"), ..AuditFilter::default() };
    let events = it.audit(&root, filter, FIRST).await.unwrap().items;
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].change.detail.as_deref(), Some("add reader on anna/app to ben"));
    let filter = AuditFilter { since: Some(i64::MAX), ..AuditFilter::default() };
    assert!(it.audit(&root, filter, FIRST).await.unwrap().items.is_empty());
    let filter = AuditFilter { repository: Some("anna/app"), ..AuditFilter::default() };
    assert!(it.audit(&root, filter, FIRST).await.unwrap().items.is_empty());
    let page = it.audit(&root, AuditFilter::default(), PageRequest { after: None, limit: 3 });
    let next = page.await.unwrap().next;
    let page = PageRequest { after: next.as_deref(), limit: 3 };
    assert_eq!(it.audit(&root, AuditFilter::default(), page).await.unwrap().items.len(), 1);
}
