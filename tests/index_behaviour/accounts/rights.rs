//! Cases about grants, and about what they come to.

use roadstead::index::{Changed, GrantFilter, Holder, NewGrant, Result, Rights, RoleGrant};

use super::{add_admin, add_user, anna, events, give_role, id_of, race};
use crate::fixtures::NOW;
use crate::{Case, Outcome, case, home::Home};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        case(rights_are_those_of_a_principal_and_its_teams),
        case(a_role_is_given_once_and_taken_away),
        case(grants_are_listed_in_pages),
        case(who_owns_a_namespace_sees_the_grants_there_and_its_own),
    ]
}

fn role(role: &str, pattern: &str) -> RoleGrant {
    RoleGrant { role: role.to_owned(), pattern: pattern.to_owned() }
}

async fn rights_are_those_of_a_principal_and_its_teams(home: Home) -> Outcome {
    let index = &home.index;
    let bob = add_user(index, "bob").await?;
    let eve = add_user(index, "eve").await?;
    let rights = async |id| -> Result<Rights> {
        let mut rights = index.rights(id).await?.expect("it is there");
        rights.grants.sort_by(|one, other| one.pattern.cmp(&other.pattern));
        rights.namespaces.sort();
        Ok(rights)
    };
    let none = Rights {
        is_admin: false,
        is_disabled: false,
        grants: Vec::new(),
        namespaces: vec!["bob".to_owned()],
    };
    assert_eq!(rights(bob).await?, none);
    assert_eq!(index.rights(999).await?, None);
    let dev = id_of(index.add_team("dev", &anna(), NOW).await?);
    let ops = id_of(index.add_team("ops", &anna(), NOW).await?);
    let _ = id_of(index.add_namespace("own", Some(bob), &anna(), NOW).await?);
    let _ = index.add_team_member(dev, bob, &anna(), NOW).await?;
    let _ = index.add_team_member(ops, eve, &anna(), NOW).await?;
    for (holder, role, pattern) in [
        (Holder::Principal(bob), "reader", "a/**"),
        (Holder::Team(dev), "writer", "b"),
        (Holder::Team(dev), "reader", "a/**"),
        (Holder::Team(ops), "owner", "c"),
        (Holder::Principal(eve), "owner", "d"),
    ] {
        assert_eq!(give_role(index, holder, role, pattern).await?, Changed::Done);
    }
    let found = rights(bob).await?;
    assert_eq!(found.grants, [role("reader", "a/**"), role("writer", "b")]);
    assert_eq!(found.namespaces, ["bob", "own"]);
    let _ = index.remove_team_member(dev, bob, &anna(), NOW).await?;
    assert_eq!(rights(bob).await?.grants, [role("reader", "a/**")]);
    let _ = index.add_team_member(dev, bob, &anna(), NOW).await?;
    let _ = index.remove_team(dev, &anna(), NOW).await?;
    assert_eq!(rights(bob).await?.grants, [role("reader", "a/**")]);
    let _ = index.set_admin(bob, true, &anna(), NOW).await?;
    add_admin(index, "root").await?;
    let _ = index.set_disabled(bob, true, &anna(), NOW).await?;
    let found = rights(bob).await?;
    assert!(found.is_admin && found.is_disabled);
    Ok(())
}

async fn a_role_is_given_once_and_taken_away(home: Home) -> Outcome {
    let index = &home.index;
    let bob = add_user(index, "bob").await?;
    let team = id_of(index.add_team("bob", &anna(), NOW).await?);
    for holder in [Holder::Principal(bob), Holder::Team(team)] {
        let given = race(&home, |index, _| async move {
            give_role(&index, holder, "writer", "a:5000/**").await
        });
        let given = given.await?;
        assert_eq!(given.iter().filter(|it| **it == Changed::Done).count(), 1, "{given:?}");
        assert_eq!(given.iter().filter(|it| **it == Changed::Unchanged).count(), given.len() - 1);
    }
    for holder in [Holder::Principal(999), Holder::Team(999)] {
        assert_eq!(give_role(index, holder, "writer", "a").await?, Changed::Unknown);
        let removed = index.remove_grant(holder, "writer", "a:5000/**", &anna(), NOW).await?;
        assert_eq!(removed, Changed::Unknown);
    }
    let holder = Holder::Principal(bob);
    let by_nobody = NewGrant { holder, role: "reader", pattern: "a", maker: Some(999) };
    assert_eq!(index.add_grant(&by_nobody, &anna(), NOW).await?, Changed::Unknown);
    let remove =
        async |holder, role| index.remove_grant(holder, role, "a:5000/**", &anna(), NOW).await;
    assert_eq!(remove(holder, "reader").await?, Changed::Unknown);
    assert_eq!(remove(holder, "writer").await?, Changed::Done);
    assert_eq!(remove(holder, "writer").await?, Changed::Unknown);
    assert!(index.rights(bob).await?.is_some_and(|rights| rights.grants.is_empty()));
    assert_eq!(remove(Holder::Team(team), "writer").await?, Changed::Done);
    let said = [
        "grant: add writer on a:5000/** to bob",
        "grant: add writer on a:5000/** to team:bob",
        "grant: remove writer on a:5000/** from bob",
        "grant: remove writer on a:5000/** from team:bob",
    ];
    assert_eq!(events(index).await?[2..], said);
    Ok(())
}

async fn grants_are_listed_in_pages(home: Home) -> Outcome {
    let index = &home.index;
    let bob = add_user(index, "bob").await?;
    let team = id_of(index.add_team("dev", &anna(), NOW).await?);
    let (mine, ours) = (Holder::Principal(bob), Holder::Team(team));
    for (holder, pattern) in
        [(mine, "a"), (ours, "a/**"), (mine, "a-b/x"), (ours, "ab"), (mine, "**"), (ours, "a/b/*")]
    {
        assert_eq!(give_role(index, holder, "reader", pattern).await?, Changed::Done);
    }
    for (filter, expected) in [
        (GrantFilter::All, &["a", "a/**", "a-b/x", "ab", "**", "a/b/*"][..]),
        (GrantFilter::Of(mine), &["a", "a-b/x", "**"]),
        (GrantFilter::Of(ours), &["a/**", "ab", "a/b/*"]),
        (GrantFilter::In("a"), &["a", "a/**", "a/b/*"]),
    ] {
        for size in [1, 9] {
            let mut rows = Vec::new();
            loop {
                let last = rows.last().map(|row: &roadstead::index::GrantRow| row.id);
                let page = index.grants(filter, last, size).await?;
                if page.is_empty() {
                    break;
                }
                rows.extend(page);
            }
            let patterns: Vec<_> = rows.iter().map(|row| row.pattern.as_str()).collect();
            assert_eq!(patterns, expected, "{filter:?}");
            let name = |holder| if holder == mine { "bob" } else { "dev" };
            assert!(rows.iter().all(|row| row.holder_name == name(row.holder)));
        }
    }
    Ok(())
}

async fn who_owns_a_namespace_sees_the_grants_there_and_its_own(home: Home) -> Outcome {
    let index = &home.index;
    let (bob, eve) = (add_user(index, "bob").await?, add_user(index, "eve").await?);
    let _ = id_of(index.add_namespace("own", Some(bob), &anna(), NOW).await?);
    let dev = id_of(index.add_team("dev", &anna(), NOW).await?);
    let ops = id_of(index.add_team("ops", &anna(), NOW).await?);
    let _ = index.add_team_member(dev, bob, &anna(), NOW).await?;
    for (holder, pattern) in [
        (Holder::Principal(eve), "own"),
        (Holder::Principal(eve), "own/**"),
        (Holder::Team(ops), "bob/app"),
        (Holder::Principal(bob), "other/a"),
        (Holder::Team(dev), "other/b"),
        // Of others, and of namespaces that begin in the same way.
        (Holder::Principal(eve), "other/c"),
        (Holder::Team(ops), "other/d"),
        (Holder::Principal(eve), "own2/e"),
        (Holder::Principal(eve), "own-x"),
        (Holder::Principal(eve), "*/f"),
    ] {
        assert_eq!(give_role(index, holder, "reader", pattern).await?, Changed::Done);
    }
    let seen = index.grants(GrantFilter::SeenBy(bob), None, 99).await?;
    let seen: Vec<&str> = seen.iter().map(|grant| grant.pattern.as_str()).collect();
    assert_eq!(seen, ["own", "own/**", "bob/app", "other/a", "other/b"]);
    let page = index.grants(GrantFilter::SeenBy(bob), None, 2).await?;
    let next = index.grants(GrantFilter::SeenBy(bob), Some(page[1].id), 2).await?;
    assert_eq!(next[0].pattern, "bob/app");
    Ok(())
}
