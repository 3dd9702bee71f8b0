//! Namespaces: who makes them, who has them, and their end.

use super::*;

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
async fn an_empty_namespace_is_removed_by_its_owner() {
    let home = Home::new().await;
    let it = &home.administration;
    let (root, ben) = (home.caller("root").await, home.caller("ben").await);
    it.add_namespace(&root, "acme", Some("anna")).await.unwrap();
    let anna = home.caller("anna").await;
    let scopes = texts(&["acme/**:pull"]);
    let ci = Some(RobotRequest { name: "acme-ci", namespace: "acme" });
    it.make_token(&anna, TokenRequest { robot: ci, ..token("ci", &scopes) }).await.unwrap();
    it.add_grant(&anna, "ben", "writer", "acme/**").await.unwrap();
    let by_ben = home.caller("ben").await;
    assert!(is_denied(&it.remove_namespace(&by_ben, "acme").await), "a writer");
    let narrow = home.by_token("anna", &["acme/**:pull,push", "namespaces"]).await;
    assert!(is_denied(&it.remove_namespace(&narrow, "acme").await));
    assert!(is_unknown(&it.remove_namespace(&root, "none").await));
    assert!(is_denied(&it.remove_namespace(&ben, "none").await), "as one that is there");
    let why = async |caller, name| match it.remove_namespace(caller, name).await {
        Err(AdministrationError::Conflict(why)) => why,
        other => panic!("{other:?}"),
    };
    assert!(why(&anna, "acme").await.contains("roadstead user remove acme-ci"));
    it.remove_account(&anna, "acme-ci").await.unwrap();
    let app = "acme/app".parse().unwrap();
    home.index.create_upload("1", &app, "", 1).await.unwrap();
    assert!(why(&anna, "acme").await.contains("an upload into `acme/app`"));
    home.index.remove_upload("1").await.unwrap();
    let quota = index::Quota { tags: Some(1), ..index::Quota::default() };
    it.set_quota(&root, "acme", quota).await.unwrap();
    assert!(why(&anna, "acme").await.contains("roadstead quota remove acme"));
    it.remove_quota(&root, "acme").await.unwrap();
    assert!(why(&anna, "anna").await.contains("the user `anna`"));
    it.remove_namespace(&anna, "acme").await.unwrap();
    let anna = home.caller("anna").await;
    let own = it.namespaces(&anna, FIRST).await.unwrap().items;
    assert_eq!(own.iter().map(|it| &*it.name).collect::<Vec<_>>(), ["anna"]);
    // The next one of that name is who makes it, and those that were there before have no role in it.
    it.add_namespace(&home.caller("ben").await, "acme", None).await.unwrap();
    it.add_namespace(&anna, "acme", None).await.unwrap_err();
    let ben = home.by_token("ben", &["admin"]).await;
    it.remove_namespace(&ben, "acme").await.unwrap();
    it.add_namespace(&anna, "acme", None).await.unwrap();
    let rights = home.caller("ben").await.rights.unwrap();
    assert_eq!(rights.rights().role(&app), None);
}
