//! Users, their names and their passwords.

use super::*;

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
