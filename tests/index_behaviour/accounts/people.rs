//! Cases about users, robots, namespaces and teams.

use roadstead::index::{
    Added, Changed, FirstAdministrator, NewRobot, NewUser, Principal, PrincipalFilter,
    PrincipalKind, Result,
};
use roadstead::oci::Visibility;
use secrecy::ExposeSecret;

use super::{add_admin, add_robot, add_user, anna, events, id_of, nobody, race, secret};
use crate::fixtures::{NOW, blob, repository};
use crate::{Case, Outcome, case, home::Home};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        case(a_user_is_read_as_it_was_added),
        case(a_robot_is_read_as_it_was_added),
        case(one_name_is_given_once),
        case(a_user_is_added_once_however_many_try),
        case(the_first_administrator_is_made_once),
        case(the_first_administrator_takes_no_namespace_with_content),
        case(a_password_is_changed_and_rehashed),
        case(the_last_administrator_stays),
        case(an_administrator_without_a_password_is_none_who_can_sign_in),
        case(two_administrators_cannot_disable_each_other_at_once),
        case(a_principal_is_disabled_where_nothing_says_otherwise),
        case(namespaces_are_made_once_and_change_hands),
        case(repositories_without_a_namespace_are_the_administrators),
        case(members_of_teams_come_and_go),
        case(principals_are_listed_in_pages),
    ]
}

async fn a_user_is_read_as_it_was_added(home: Home) -> Outcome {
    let index = &home.index;
    assert!(index.principal("bob").await?.is_none());
    let password = secret("$argon2id$hash");
    let user = NewUser { name: "bob", password: Some(&password), is_admin: true };
    let id = id_of(index.add_user(&user, &anna(), NOW).await?);
    for found in [index.principal("bob").await?, index.principal_by_id(id).await?] {
        let found = found.ok_or("it is not there")?;
        let expected = Principal {
            id,
            kind: PrincipalKind::User,
            name: "bob".to_owned(),
            is_admin: true,
            is_disabled: false,
            namespace: None,
            maker: None,
        };
        assert_eq!(found.principal, expected);
        assert_eq!(
            found.password.as_ref().map(ExposeSecret::expose_secret),
            Some("$argon2id$hash")
        );
        assert_eq!((found.password_changes, found.created), (0, NOW));
        assert!(!format!("{found:?}").contains("hash"), "{found:?}");
    }
    let namespace = index.namespace("bob").await?.ok_or("it owns none")?;
    assert_eq!((namespace.owner, namespace.default_visibility), (Some(id), None));
    assert_eq!(events(index).await?, ["user: add bob as an administrator"]);
    assert_eq!(index.events_after(0, 9).await?[0].change.actor, anna());
    assert!(index.principal("BOB").await?.is_none());
    Ok(())
}

async fn a_robot_is_read_as_it_was_added(home: Home) -> Outcome {
    let index = &home.index;
    let bob = add_user(index, "bob").await?;
    let id = add_robot(index, "ci", "bob", bob).await?;
    let found = index.principal("ci").await?.ok_or("it is not there")?;
    let expected = Principal {
        id,
        kind: PrincipalKind::Robot,
        name: "ci".to_owned(),
        is_admin: false,
        is_disabled: false,
        namespace: Some("bob".to_owned()),
        maker: Some(bob),
    };
    assert_eq!(found.principal, expected);
    assert!(found.password.is_none());
    assert!(index.namespace("ci").await?.is_none(), "a robot owns none");
    // Robots make nothing and own nothing, and neither does who is gone or disabled.
    assert_eq!(index.set_password(id, &secret("x"), &anna(), NOW).await?, Changed::Unknown);
    assert_eq!(index.set_admin(id, true, &anna(), NOW).await?, Changed::Unknown);
    let namespace = index.namespace("bob").await?.ok_or("gone")?.id;
    let eve = add_user(index, "eve").await?;
    assert_eq!(index.set_disabled(eve, true, &anna(), NOW).await?, Changed::Done);
    for maker in [id, eve, 999] {
        let robot = NewRobot { name: "other", namespace, maker };
        assert_eq!(index.add_robot(&robot, &anna(), NOW).await?, Added::Unknown);
        assert_eq!(index.add_namespace("n", Some(maker), &anna(), NOW).await?, Added::Unknown);
    }
    let robot = NewRobot { name: "other", namespace: 999, maker: bob };
    assert_eq!(index.add_robot(&robot, &anna(), NOW).await?, Added::Unknown);
    Ok(())
}

async fn one_name_is_given_once(home: Home) -> Outcome {
    let index = &home.index;
    let bob = add_user(index, "bob").await?;
    add_robot(index, "ci", "bob", bob).await?;
    let _ = id_of(index.add_namespace("shared", None, &anna(), NOW).await?);
    index.record_blob(&repository("pushed/app"), &blob("layer"), NOW).await?;
    index.record_blob(&repository("single"), &blob("layer"), NOW).await?;
    let before = events(index).await?.len();
    for name in ["bob", "ci", "shared", "pushed", "single", "oidc"] {
        let user = NewUser { name, password: None, is_admin: false };
        assert_eq!(index.add_user(&user, &anna(), NOW).await?, Added::Taken, "{name}");
        assert_eq!(index.principal(name).await?.is_some(), name == "bob" || name == "ci");
    }
    let namespace = index.namespace("bob").await?.ok_or("gone")?.id;
    for name in ["bob", "ci", "oidc"] {
        let robot = NewRobot { name, namespace, maker: bob };
        assert_eq!(index.add_robot(&robot, &anna(), NOW).await?, Added::Taken, "{name}");
    }
    for name in ["bob", "shared", "pushed", "single", "oidc"] {
        let added = index.add_namespace(name, Some(bob), &anna(), NOW).await?;
        assert_eq!(added, Added::Taken, "{name}");
    }
    assert_eq!(events(index).await?.len(), before, "nothing was changed");
    // Names of siblings are others.
    add_user(index, "pushed-app").await?;
    add_user(index, "pushe").await?;
    Ok(())
}

async fn a_user_is_added_once_however_many_try(home: Home) -> Outcome {
    let added = race(&home, |index, _| async move {
        let user = NewUser { name: "bob", password: None, is_admin: false };
        index.add_user(&user, &nobody(), NOW).await
    });
    let added = added.await?;
    let made: Vec<_> = added.iter().filter(|it| **it != Added::Taken).collect();
    assert_eq!(made.len(), 1, "{added:?}");
    assert_eq!(events(&home.index).await?, ["user: add bob"]);
    // A namespace and a user of one name exclude each other, whichever is first.
    let eve = add_user(&home.index, "eve").await?;
    for round in 0..5 {
        let name = format!("n{round}");
        let added = race(&home, |index, number| {
            let name = name.clone();
            async move {
                if number % 4 < 2 {
                    return index.add_namespace(&name, Some(eve), &nobody(), NOW).await;
                }
                let user = NewUser { name: &name, password: None, is_admin: false };
                index.add_user(&user, &nobody(), NOW).await
            }
        });
        let added = added.await?;
        assert_eq!(added.iter().filter(|it| **it != Added::Taken).count(), 1, "{added:?}");
        let owner = home.index.namespace(&name).await?.ok_or("it is not there")?.owner;
        let user = home.index.principal(&name).await?.map(|user| user.principal.id);
        assert_eq!(owner, Some(user.unwrap_or(eve)));
    }
    Ok(())
}

async fn the_first_administrator_is_made_once(home: Home) -> Outcome {
    let index = &home.index;
    let password = secret("$argon2id$");
    let made = index.add_first_administrator("oidc", &password, &nobody(), NOW).await?;
    assert_eq!(made, FirstAdministrator::Taken);
    let made = race(&home, |index, number| async move {
        let name = format!("admin{number}");
        index.add_first_administrator(&name, &secret("$argon2id$"), &nobody(), NOW).await
    });
    let made = made.await?;
    let exists = made.iter().filter(|it| **it == FirstAdministrator::Exists);
    assert_eq!(exists.count(), made.len() - 1, "{made:?}");
    let users = index.principals(PrincipalFilter::Users, None, 9).await?;
    let [admin] = &users[..] else { panic!("{users:?}") };
    assert!(admin.principal.is_admin && !admin.principal.is_disabled && admin.password.is_some());
    let namespace = index.namespace(&admin.principal.name).await?.ok_or("it owns none")?;
    assert_eq!(namespace.owner, Some(admin.principal.id));
    assert_eq!(events(index).await?.len(), 1);
    Ok(())
}

async fn the_first_administrator_takes_no_namespace_with_content(home: Home) -> Outcome {
    let index = &home.index;
    index.record_blob(&repository("admin/app"), &blob("layer"), NOW).await?;
    let made = index.add_first_administrator("admin", &secret("x"), &nobody(), NOW).await?;
    let FirstAdministrator::Made(_) = made else { panic!("{made:?}") };
    assert_eq!(index.namespace("admin").await?.ok_or("it is not there")?.owner, None);
    Ok(())
}

async fn a_password_is_changed_and_rehashed(home: Home) -> Outcome {
    let index = &home.index;
    let bob = add_user(index, "bob").await?;
    let read = async || -> Result<(String, i64)> {
        let found = index.principal("bob").await?.expect("it is there");
        let password = found.password.expect("it has one");
        Ok((password.expose_secret().to_owned(), found.password_changes))
    };
    assert_eq!(index.set_password(bob, &secret("new"), &anna(), NOW).await?, Changed::Done);
    assert_eq!(read().await?, ("new".to_owned(), 1));
    let seen = index.states().await?.accounts;
    assert!(index.rehash_password(bob, &secret("new"), &secret("better")).await?);
    assert_eq!(read().await?, ("better".to_owned(), 1));
    assert_eq!(index.states().await?.accounts, seen);
    // One that was changed meanwhile stays.
    assert!(!index.rehash_password(bob, &secret("new"), &secret("older")).await?);
    assert_eq!(read().await?, ("better".to_owned(), 1));
    assert_eq!(index.set_password(999, &secret("new"), &anna(), NOW).await?, Changed::Unknown);
    assert_eq!(events(index).await?, ["user: add bob", "user: password bob"]);
    Ok(())
}

async fn the_last_administrator_stays(home: Home) -> Outcome {
    let index = &home.index;
    let one = add_admin(index, "one").await?;
    let other = add_admin(index, "other").await?;
    assert_eq!(index.set_disabled(other, true, &anna(), NOW).await?, Changed::Done);
    assert_eq!(index.set_disabled(other, true, &anna(), NOW).await?, Changed::Unchanged);
    let last = Changed::LastAdministrator;
    assert_eq!(index.set_disabled(one, true, &anna(), NOW).await?, last);
    assert_eq!(index.set_admin(one, false, &anna(), NOW).await?, last);
    assert_eq!(index.remove_principal(one, &anna(), NOW).await?, last);
    assert_eq!(index.set_disabled(other, false, &anna(), NOW).await?, Changed::Done);
    assert_eq!(index.set_admin(one, false, &anna(), NOW).await?, Changed::Done);
    assert_eq!(index.set_admin(one, false, &anna(), NOW).await?, Changed::Unchanged);
    assert_eq!(index.remove_principal(one, &anna(), NOW).await?, Changed::Done);
    assert_eq!(index.remove_principal(other, &anna(), NOW).await?, last);
    assert_eq!(index.set_disabled(999, true, &anna(), NOW).await?, Changed::Unknown);
    let expected =
        ["user: disable other", "user: enable other", "user: demote one", "user: remove one"];
    let said: Vec<_> = events(index).await?.into_iter().filter(|it| !it.contains("add")).collect();
    assert_eq!(
        said,
        [&expected[..3], &["namespace: give one to the administrators"], &expected[3..]].concat()
    );
    Ok(())
}

async fn an_administrator_without_a_password_is_none_who_can_sign_in(home: Home) -> Outcome {
    let index = &home.index;
    let one = add_admin(index, "one").await?;
    let user = NewUser { name: "other", password: None, is_admin: true };
    let other = id_of(index.add_user(&user, &anna(), NOW).await?);
    let last = Changed::LastAdministrator;
    assert_eq!(index.set_disabled(one, true, &anna(), NOW).await?, last);
    assert_eq!(index.set_admin(one, false, &anna(), NOW).await?, last);
    assert_eq!(index.remove_principal(one, &anna(), NOW).await?, last);
    // With the other one nothing is lost.
    assert_eq!(index.set_disabled(other, true, &anna(), NOW).await?, Changed::Done);
    assert_eq!(index.set_disabled(other, false, &anna(), NOW).await?, Changed::Done);
    assert_eq!(
        index.set_password(other, &secret("$argon2id$"), &anna(), NOW).await?,
        Changed::Done
    );
    assert_eq!(index.remove_principal(one, &anna(), NOW).await?, Changed::Done);
    assert_eq!(index.set_admin(other, false, &anna(), NOW).await?, last);
    Ok(())
}

async fn two_administrators_cannot_disable_each_other_at_once(home: Home) -> Outcome {
    let one = add_admin(&home.index, "one").await?;
    let other = add_admin(&home.index, "other").await?;
    for round in 0..5 {
        let changed = race(&home, |index, number| async move {
            let id = if number % 4 < 2 { one } else { other };
            if (number + round) % 3 == 0 {
                return index.set_admin(id, false, &nobody(), NOW).await;
            }
            index.set_disabled(id, true, &nobody(), NOW).await
        });
        let changed = changed.await?;
        assert!(changed.contains(&Changed::LastAdministrator), "{changed:?}");
        let able = home
            .number("SELECT count(*) FROM principals WHERE is_admin = 1 AND is_disabled = 0")
            .await?;
        assert_eq!(able, 1, "{changed:?}");
        for id in [one, other] {
            let _ = home.index.set_disabled(id, false, &nobody(), NOW).await?;
            let _ = home.index.set_admin(id, true, &nobody(), NOW).await?;
        }
    }
    Ok(())
}

/// As an earlier version, or a hand, writes a row.
async fn a_principal_is_disabled_where_nothing_says_otherwise(home: Home) -> Outcome {
    home.execute("INSERT INTO principals (kind, name, created) VALUES ('user', 'bob', 1)").await?;
    let bob = home.index.principal("bob").await?.ok_or("it is not there")?;
    assert!(bob.principal.is_disabled && !bob.principal.is_admin && bob.password.is_none());
    for refused in [
        "INSERT INTO principals (kind, name, is_disabled, created) VALUES ('user', 'eve', NULL, 1)",
        "INSERT INTO principals (kind, name, is_admin, created) VALUES ('user', 'eve', NULL, 1)",
        "INSERT INTO principals (kind, name, created) VALUES ('robot', 'eve', 1)",
        "INSERT INTO principals (kind, name, maker, created) VALUES ('user', 'eve', 1, 1)",
        "INSERT INTO grants (role, pattern, created) VALUES ('owner', '**', 1)",
        "INSERT INTO grants (principal, team, role, pattern, created) VALUES (1, 1, 'r', 'p', 1)",
        "INSERT INTO sign_in_method (id, method) VALUES (2, 'open')",
    ] {
        assert!(home.execute(refused).await.is_err(), "{refused}");
    }
    Ok(())
}

async fn namespaces_are_made_once_and_change_hands(home: Home) -> Outcome {
    let index = &home.index;
    let (bob, eve) = (add_user(index, "bob").await?, add_user(index, "eve").await?);
    let id = id_of(index.add_namespace("team", Some(bob), &anna(), NOW).await?);
    assert_eq!(index.add_namespace("team", None, &anna(), NOW).await?, Added::Taken);
    assert_eq!(index.set_namespace_owner(id, Some(eve), &anna(), NOW).await?, Changed::Done);
    let internal = Some(Visibility::Internal);
    assert_eq!(index.set_default_visibility(id, internal, &anna(), NOW).await?, Changed::Done);
    let team = index.namespace("team").await?.ok_or("it is not there")?;
    assert_eq!((team.owner, team.default_visibility), (Some(eve), internal));
    assert_eq!(index.set_namespace_owner(id, Some(999), &anna(), NOW).await?, Changed::Unknown);
    assert_eq!(index.set_namespace_owner(999, None, &anna(), NOW).await?, Changed::Unknown);
    assert_eq!(index.set_default_visibility(999, None, &anna(), NOW).await?, Changed::Unknown);
    assert_eq!(index.set_namespace_owner(id, None, &anna(), NOW).await?, Changed::Done);
    assert_eq!(index.set_default_visibility(id, None, &anna(), NOW).await?, Changed::Done);
    let said = [
        "namespace: add team of bob",
        "namespace: give team to eve",
        "namespace: new repositories of team internal",
        "namespace: give team to the administrators",
        "namespace: new repositories of team as set",
    ];
    assert_eq!(events(index).await?[2..], said);
    Ok(())
}

async fn repositories_without_a_namespace_are_the_administrators(home: Home) -> Outcome {
    let index = &home.index;
    let bob = add_user(index, "bob").await?;
    for name in ["single", "team/app", "team/a/b", "team-x/app", "bob/app"] {
        index.record_blob(&repository(name), &blob("layer"), NOW).await?;
    }
    assert_eq!(index.adopt_namespaces(&anna(), NOW).await?, 3);
    assert_eq!(index.adopt_namespaces(&anna(), NOW).await?, 0);
    let rows = index.namespaces(None, 9).await?;
    let rows: Vec<_> = rows.iter().map(|row| (row.name.as_str(), row.owner)).collect();
    assert_eq!(rows, [("bob", Some(bob)), ("single", None), ("team", None), ("team-x", None)]);
    assert_eq!(index.namespaces(Some("single"), 1).await?[0].name, "team");
    assert_eq!(events(index).await?.len(), 4);
    Ok(())
}

async fn members_of_teams_come_and_go(home: Home) -> Outcome {
    let index = &home.index;
    let bob = add_user(index, "bob").await?;
    let ci = add_robot(index, "ci", "bob", bob).await?;
    let team = id_of(index.add_team("dev", &anna(), NOW).await?);
    assert_eq!(index.add_team("dev", &anna(), NOW).await?, Added::Taken);
    let other = id_of(index.add_team("bob", &anna(), NOW).await?);
    for principal in [bob, ci] {
        let changed = index.add_team_member(team, principal, &anna(), NOW).await?;
        assert_eq!(changed, Changed::Done);
    }
    assert_eq!(index.add_team_member(team, bob, &anna(), NOW).await?, Changed::Unchanged);
    for (team, principal) in [(team, 999), (999, bob)] {
        let changed = index.add_team_member(team, principal, &anna(), NOW).await?;
        assert_eq!(changed, Changed::Unknown);
        let changed = index.remove_team_member(team, principal, &anna(), NOW).await?;
        assert_eq!(changed, Changed::Unknown);
    }
    let members = async |last: Option<&str>| -> Result<Vec<String>> {
        let members = index.team_members(team, last, 9).await?;
        Ok(members.into_iter().map(|member| member.name).collect())
    };
    assert_eq!(members(None).await?, ["bob", "ci"]);
    assert_eq!(members(Some("bob")).await?, ["ci"]);
    assert_eq!(index.remove_team_member(team, bob, &anna(), NOW).await?, Changed::Done);
    assert_eq!(index.remove_team_member(other, bob, &anna(), NOW).await?, Changed::Unchanged);
    assert_eq!(members(None).await?, ["ci"]);
    assert_eq!(index.remove_team(other, &anna(), NOW).await?, Changed::Done);
    assert_eq!(index.remove_team(other, &anna(), NOW).await?, Changed::Unknown);
    assert_eq!(index.team("dev").await?.map(|team| team.id), Some(team));
    assert_eq!(index.team("bob").await?, None);
    assert_eq!(index.teams(None, 9).await?.len(), 1);
    assert!(index.teams(Some("dev"), 9).await?.is_empty());
    Ok(())
}

async fn principals_are_listed_in_pages(home: Home) -> Outcome {
    let index = &home.index;
    let mut ids = Vec::new();
    for name in ["b", "a-x", "a", "a_x", "a.x"] {
        ids.push(add_user(index, name).await?);
    }
    add_robot(index, "r1", "a", ids[0]).await?;
    add_robot(index, "r2", "b", ids[1]).await?;
    let namespace = index.namespace("a").await?.ok_or("gone")?.id;
    for (filter, expected) in [
        (PrincipalFilter::Users, &["a", "a-x", "a.x", "a_x", "b"][..]),
        (PrincipalFilter::Robots, &["r1", "r2"]),
        (PrincipalFilter::RobotsOf(namespace), &["r1"]),
        (PrincipalFilter::MadeBy(ids[1]), &["r2"]),
        (PrincipalFilter::MadeBy(999), &[]),
    ] {
        for size in [1, 2, 9] {
            let mut names: Vec<String> = Vec::new();
            loop {
                let last = names.last().map(String::as_str);
                let page = index.principals(filter, last, size).await?;
                if page.is_empty() {
                    break;
                }
                names.extend(page.into_iter().map(|account| account.principal.name));
            }
            assert_eq!(names, expected, "{filter:?}");
        }
    }
    Ok(())
}
