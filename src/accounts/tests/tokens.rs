//! Access tokens, and robots, which sign in by them.

use super::*;

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
async fn a_robot_gets_no_scope_that_it_cannot_use() {
    let home = Home::new().await;
    let (it, root) = (&home.administration, home.caller("root").await);
    let ci = Some(RobotRequest { name: "anna-ci", namespace: "anna" });
    for scope in [
        "admin",
        "metrics",
        "audit",
        "tokens",
        "namespaces",
        "anna/**:members",
        "anna/app:pull,remove",
    ] {
        let scopes = texts(&["anna/**:pull", scope]);
        let refused =
            it.make_token(&root, TokenRequest { robot: ci, ..token("ci", &scopes) }).await;
        let Err(AdministrationError::Invalid(why)) = refused else { panic!("{scope}") };
        assert!(why.contains(&format!("`{scope}`")), "{why}");
        it.make_token(&root, token("own", &scopes)).await.expect("a user may use it");
    }
    assert!(home.index.principal("anna-ci").await.unwrap().is_none(), "none was made");
    let scopes = texts(&["anna/**:pull,push,delete,visibility,retention", "**:pull"]);
    it.make_token(&root, TokenRequest { robot: ci, ..token("ci", &scopes) }).await.unwrap();
}

#[tokio::test]
async fn a_robot_is_taken_over_by_an_owner_of_its_namespace() {
    let home = Home::new().await;
    let it = &home.administration;
    let (root, anna) = (home.caller("root").await, home.caller("anna").await);
    let scopes = texts(&["anna/**:pull,push"]);
    let ci = Some(RobotRequest { name: "anna-ci", namespace: "anna" });
    let request = TokenRequest { robot: ci, ..token("ci", &scopes) };
    it.make_token(&anna, request).await.unwrap();
    it.add_grant(&anna, "ben", "owner", "anna/**").await.unwrap();
    it.add_grant(&anna, "ben", "owner", "anna").await.unwrap();
    let ben = home.caller("ben").await;
    let maker = async |caller, maker| it.set_robot_maker(caller, "anna-ci", maker).await;
    assert_eq!(
        it.robots(&ben, Some("anna"), FIRST).await.unwrap().items[0].maker.as_deref(),
        Some("anna")
    );
    // A user takes a robot over for himself alone, and by his password: a token has not all rights of its owner.
    assert!(is_denied(&maker(&ben, Some("root")).await));
    let by_token = home.by_token("ben", &["admin"]).await;
    for caller in [by_token, home.caller("anna-ci").await, Administration::operator()] {
        assert!(is_denied(&it.set_robot_maker(&caller, "anna-ci", None).await), "{caller:?}");
    }
    let taken = maker(&ben, Some("ben")).await.unwrap();
    assert_eq!((taken.maker.as_deref(), taken.account.principal.is_disabled), (Some("ben"), false));
    assert_eq!(maker(&root, Some("anna")).await.unwrap().maker.as_deref(), Some("anna"));
    assert!(is_unknown(&maker(&root, Some("none")).await));
    assert!(is_unknown(&maker(&root, Some("anna-ci")).await));
    let of_user = it.set_robot_maker(&root, "ben", None).await;
    assert!(matches!(of_user, Err(AdministrationError::Invalid(_))));
    // Others learn of no robot.
    it.remove_grant(&anna, "ben", "owner", "anna").await.unwrap();
    let ben = home.caller("ben").await;
    let [one, other] = ["anna-ci", "none"].map(|name| it.set_robot_maker(&ben, name, None));
    let [one, other] = [one.await, other.await].map(|it| it.unwrap_err().to_string());
    assert_eq!(one.replace("anna-ci", "none"), other);

    it.remove_account(&root, "anna").await.unwrap();
    let refused = it.set_disabled(&root, "anna-ci", false).await.unwrap_err();
    assert!(refused.to_string().contains("roadstead user maker anna-ci"), "{refused}");
    let taken = maker(&root, None).await.unwrap();
    assert_eq!((taken.maker.as_deref(), taken.account.principal.is_disabled), (Some("root"), true));
    it.set_disabled(&root, "anna-ci", false).await.unwrap();
    it.make_token(&root, request).await.expect("another token of the same robot");
}
