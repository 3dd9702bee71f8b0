//! Roles, and who gives them.

use super::*;

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
