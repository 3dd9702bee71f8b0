//! Cases about what is left of a user that was removed.

use roadstead::index::{Added, Changed, Holder, NewRobot, NewUser, TokenFilter};

use super::{
    add_admin, add_robot, add_token, add_user, anna, events, give_role, id_of, nobody, race,
};
use crate::fixtures::NOW;
use crate::{Case, Outcome, case, home::Home};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        case(a_user_goes_with_all_that_it_had),
        case(a_name_that_was_removed_is_never_given_again),
        case(a_number_is_never_given_again),
        case(what_a_user_makes_while_it_is_removed_does_not_outlast_it),
    ]
}

async fn a_user_goes_with_all_that_it_had(home: Home) -> Outcome {
    let index = &home.index;
    let admin = add_admin(index, "root").await?;
    let bob = add_user(index, "bob").await?;
    let eve = add_user(index, "eve").await?;
    let shared = id_of(index.add_namespace("shared", Some(bob), &anna(), NOW).await?);
    let mine = add_robot(index, "ci", "bob", bob).await?;
    let theirs = add_robot(index, "other", "bob", eve).await?;
    let team = id_of(index.add_team("dev", &anna(), NOW).await?);
    let _ = index.add_team_member(team, bob, &anna(), NOW).await?;
    for (id, principal, maker) in [
        ("bobs", bob, bob),
        ("by-root", bob, admin),
        ("robots", mine, bob),
        ("robots-by-root", mine, admin),
        ("theirs-by-bob", theirs, bob),
        ("theirs", theirs, eve),
    ] {
        assert_eq!(add_token(index, id, principal, maker).await?, Changed::Done);
    }
    for holder in [Holder::Principal(bob), Holder::Principal(theirs), Holder::Team(team)] {
        assert_eq!(give_role(index, holder, "writer", "shared/**").await?, Changed::Done);
    }
    let before = events(index).await?.len();
    assert_eq!(index.remove_principal(bob, &anna(), NOW).await?, Changed::Done);

    assert!(index.principal("bob").await?.is_none());
    assert_eq!(index.rights(bob).await?, None);
    for (name, id) in [("bob", None), ("shared", Some(shared))] {
        let namespace = index.namespace(name).await?.ok_or("it went with its owner")?;
        assert_eq!(namespace.owner, None);
        assert!(id.is_none_or(|id| id == namespace.id));
    }
    let left = index.access_tokens(TokenFilter::All, None, 9).await?;
    let left: Vec<_> = left.iter().map(|token| token.id.as_str()).collect();
    assert_eq!(left, ["robots-by-root", "theirs"]);
    // The robot is disabled, whoever else made a token for it.
    let found = index.access_token("robots-by-root").await?.ok_or("it is gone")?;
    assert!(found.principal.is_disabled);
    assert_eq!((found.principal.maker, &found.robot_maker), (None, &None));
    assert_eq!(index.set_disabled(mine, false, &anna(), NOW).await?, Changed::WithoutMaker);
    assert_eq!(index.set_disabled(theirs, true, &anna(), NOW).await?, Changed::Done);
    assert_eq!(index.set_disabled(theirs, false, &anna(), NOW).await?, Changed::Done);
    assert!(index.team_members(team, None, 9).await?.is_empty());
    assert_eq!(index.grants(roadstead::index::GrantFilter::All, None, 9).await?.len(), 2);
    let said = [
        "user: disable ci",
        "namespace: give bob to the administrators",
        "namespace: give shared to the administrators",
        "user: remove bob",
    ];
    let mut found = events(index).await?[before..before + 4].to_vec();
    found[1..3].sort();
    assert_eq!(found, said);
    // The robot can be removed, and the team goes with the rest.
    assert_eq!(index.remove_principal(mine, &anna(), NOW).await?, Changed::Done);
    assert!(index.access_token("robots-by-root").await?.is_none());
    assert_eq!(index.remove_team(team, &anna(), NOW).await?, Changed::Done);
    assert_eq!(index.grants(roadstead::index::GrantFilter::All, None, 9).await?.len(), 1);
    Ok(())
}

async fn a_name_that_was_removed_is_never_given_again(home: Home) -> Outcome {
    let index = &home.index;
    let admin = add_admin(index, "root").await?;
    let bob = add_user(index, "bob").await?;
    let ci = add_robot(index, "ci", "bob", admin).await?;
    for id in [bob, ci] {
        assert_eq!(index.remove_principal(id, &anna(), NOW).await?, Changed::Done);
        assert_eq!(index.remove_principal(id, &anna(), NOW).await?, Changed::Unknown);
    }
    let again = home.open_again().await?;
    let namespace = again.namespace("bob").await?.ok_or("it is gone")?.id;
    for name in ["bob", "ci"] {
        let user = NewUser { name, password: None, is_admin: true };
        assert_eq!(again.add_user(&user, &anna(), NOW).await?, Added::Taken);
        let robot = NewRobot { name, namespace, maker: admin };
        assert_eq!(again.add_robot(&robot, &anna(), NOW).await?, Added::Taken);
        assert_eq!(again.add_namespace(name, Some(admin), &anna(), NOW).await?, Added::Taken);
    }
    Ok(())
}

async fn a_number_is_never_given_again(home: Home) -> Outcome {
    let index = &home.index;
    add_admin(index, "root").await?;
    let bob = add_user(index, "bob").await?;
    assert_eq!(index.remove_principal(bob, &anna(), NOW).await?, Changed::Done);
    assert!(add_user(index, "eve").await? > bob);
    let team = id_of(index.add_team("dev", &anna(), NOW).await?);
    assert_eq!(index.remove_team(team, &anna(), NOW).await?, Changed::Done);
    assert!(id_of(index.add_team("dev", &anna(), NOW).await?) > team);
    Ok(())
}

async fn what_a_user_makes_while_it_is_removed_does_not_outlast_it(home: Home) -> Outcome {
    let index = &home.index;
    let admin = add_admin(index, "root").await?;
    for round in 0..5 {
        let name = format!("bob{round}");
        let bob = add_user(index, &name).await?;
        let namespace = index.namespace(&name).await?.ok_or("it owns none")?.id;
        let done = race(&home, |index, number| async move {
            let name = format!("r{round}-{number}");
            match number {
                0 | 1 => drop(add_token(&index, &name, bob, bob).await?),
                2 => drop(add_token(&index, &name, bob, admin).await?),
                3 | 4 => {
                    let robot = NewRobot { name: &name, namespace, maker: bob };
                    let _ = index.add_robot(&robot, &nobody(), NOW).await?;
                }
                5 => {
                    let _ = index.add_namespace(&name, Some(bob), &nobody(), NOW).await?;
                }
                6 => drop(give_role(&index, Holder::Principal(bob), "owner", &name).await?),
                _ => {
                    let removed = index.remove_principal(bob, &nobody(), NOW).await?;
                    assert_eq!(removed, Changed::Done);
                }
            }
            Ok(())
        });
        done.await?;
        let left = home.number(
            "SELECT (SELECT count(*) FROM access_tokens) + (SELECT count(*) FROM grants) \
             + (SELECT count(*) FROM principals WHERE kind = 'robot' AND is_disabled = 0) \
             + (SELECT count(*) FROM namespaces n WHERE owner <> (SELECT id FROM principals WHERE name = 'root'))",
        );
        assert_eq!(left.await?, 0);
    }
    Ok(())
}
