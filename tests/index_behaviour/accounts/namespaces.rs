//! Cases about the end of a namespace, and of the user that a robot was made by.

use roadstead::index::{
    Changed, GrantFilter, Holder, MOST_ROBOTS, NamespaceRemoval, NewRobot, Quota,
};

use super::{add_admin, add_robot, add_token, add_user, anna, events, give_role, id_of};
use crate::fixtures::{NOW, blob, repository};
use crate::{Case, Outcome, case, home::Home};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        case(a_namespace_is_removed_once_it_is_empty),
        case(a_later_namespace_of_the_name_begins_without_roles),
        case(a_robot_changes_hands),
        case(a_robot_whose_maker_is_gone_is_taken_over),
        case(a_user_has_no_more_robots_than_it_may_also_by_taking_them_over),
    ]
}

async fn a_namespace_is_removed_once_it_is_empty(home: Home) -> Outcome {
    let index = &home.index;
    let bob = add_user(index, "bob").await?;
    let own = index.namespace("bob").await?.ok_or("it owns none")?.id;
    let of_user = NamespaceRemoval::OfUser("bob".to_owned());
    assert_eq!(index.remove_namespace(own, &anna(), NOW).await?, of_user);

    let team = id_of(index.add_namespace("team", Some(bob), &anna(), NOW).await?);
    // Names that begin in the same way are in other namespaces.
    let _ = id_of(index.add_namespace("team-x", Some(bob), &anna(), NOW).await?);
    for name in ["team-x/app", "team0/app", "tea"] {
        index.record_blob(&repository(name), &blob("layer"), NOW).await?;
    }
    add_robot(index, "other-ci", "team-x", bob).await?;
    let removed = async || index.remove_namespace(team, &anna(), NOW).await;
    for name in ["team", "team/app"] {
        index.record_blob(&repository(name), &blob("layer"), NOW).await?;
        assert_eq!(removed().await?, NamespaceRemoval::HasRepository(name.to_owned()));
        index.lock().await?.remove_repository(&repository(name)).await?;
    }
    index.create_upload("1", &repository("team/app"), "", NOW).await?;
    assert_eq!(removed().await?, NamespaceRemoval::HasUpload("team/app".to_owned()));
    index.remove_upload("1").await?;
    let robot = add_robot(index, "ci", "team", bob).await?;
    assert_eq!(removed().await?, NamespaceRemoval::HasRobot("ci".to_owned()));
    assert_eq!(index.remove_principal(robot, &anna(), NOW).await?, Changed::Done);
    let quota = Quota { tags: Some(1), ..Quota::default() };
    assert_eq!(index.set_quota("team", &quota, &anna(), NOW).await?, Changed::Done);
    assert_eq!(removed().await?, NamespaceRemoval::HasQuota("team".to_owned()));
    assert_eq!(index.remove_quota("team", &anna(), NOW).await?, Changed::Done);

    let before = events(index).await?.len();
    assert_eq!(removed().await?, NamespaceRemoval::Done);
    assert_eq!(events(index).await?[before..], ["namespace: remove team"]);
    assert!(index.namespace("team").await?.is_none());
    assert_eq!(removed().await?, NamespaceRemoval::Unknown);
    let rights = index.rights(bob).await?.ok_or("the user is gone")?;
    assert!(!rights.namespaces.contains(&"team".to_owned()), "{rights:?}");

    // Of a user who is gone the namespace may go as well, and the name stays reserved.
    assert_eq!(index.remove_principal(bob, &anna(), NOW).await?, Changed::Done);
    assert_eq!(index.remove_namespace(own, &anna(), NOW).await?, NamespaceRemoval::Done);
    let again = index.add_namespace("bob", None, &anna(), NOW).await?;
    assert_eq!(again, roadstead::index::Added::Taken);
    Ok(())
}

async fn a_later_namespace_of_the_name_begins_without_roles(home: Home) -> Outcome {
    let index = &home.index;
    let (bob, eve) = (add_user(index, "bob").await?, add_user(index, "eve").await?);
    let team = id_of(index.add_namespace("team", Some(bob), &anna(), NOW).await?);
    for pattern in ["team", "team/**", "team/*/x", "team-x/**", "*/x", "**"] {
        let given = give_role(index, Holder::Principal(eve), "writer", pattern).await?;
        assert_eq!(given, Changed::Done, "{pattern}");
    }
    assert_eq!(index.remove_namespace(team, &anna(), NOW).await?, NamespaceRemoval::Done);
    let said = events(index).await?;
    assert_eq!(
        said.last().map(String::as_str),
        Some("namespace: remove team and the roles in it: 3")
    );
    let later = id_of(index.add_namespace("team", Some(bob), &anna(), NOW).await?);
    assert_ne!(later, team, "numbers are never given again");
    let left = index.grants(GrantFilter::All, None, 9).await?;
    let left: Vec<_> = left.iter().map(|grant| grant.pattern.as_str()).collect();
    // Those were given by who may give them everywhere.
    assert_eq!(left, ["team-x/**", "*/x", "**"]);
    Ok(())
}

async fn a_robot_changes_hands(home: Home) -> Outcome {
    let index = &home.index;
    let (bob, eve) = (add_user(index, "bob").await?, add_user(index, "eve").await?);
    let robot = add_robot(index, "ci", "bob", bob).await?;
    assert_eq!(add_token(index, "by-bob", robot, bob).await?, Changed::Done);
    let give = async |robot, maker| index.set_robot_maker(robot, maker, &anna(), NOW).await;
    assert_eq!(give(robot, bob).await?, Changed::Unchanged);
    assert_eq!(give(robot, eve).await?, Changed::Done);
    let said = events(index).await?;
    assert_eq!(said.last().map(String::as_str), Some("user: give robot ci to eve"));
    // Both bound the token from here on.
    let found = index.access_token("by-bob").await?.ok_or("it is gone")?;
    assert_eq!(found.maker.map(|it| it.id), Some(bob));
    assert_eq!(found.robot_maker.map(|it| it.id), Some(eve));
    for (robot, maker) in [(bob, eve), (robot, robot), (999, eve), (robot, 999)] {
        assert_eq!(give(robot, maker).await?, Changed::Unknown, "{robot} {maker}");
    }
    assert_eq!(index.set_disabled(bob, true, &anna(), NOW).await?, Changed::Done);
    assert_eq!(give(robot, bob).await?, Changed::Unknown, "who is disabled");

    // The first maker leaves: its token goes, and the robot works on.
    assert_eq!(index.remove_principal(bob, &anna(), NOW).await?, Changed::Done);
    let robot = index.principal("ci").await?.ok_or("it is gone")?.principal;
    assert_eq!((robot.is_disabled, robot.maker), (false, Some(eve)));
    assert!(index.access_token("by-bob").await?.is_none());
    Ok(())
}

async fn a_robot_whose_maker_is_gone_is_taken_over(home: Home) -> Outcome {
    let index = &home.index;
    let (bob, eve) = (add_user(index, "bob").await?, add_user(index, "eve").await?);
    let robot = add_robot(index, "ci", "bob", bob).await?;
    assert_eq!(index.remove_principal(bob, &anna(), NOW).await?, Changed::Done);
    let enable = async || index.set_disabled(robot, false, &anna(), NOW).await;
    assert_eq!(enable().await?, Changed::WithoutMaker);
    assert_eq!(index.set_robot_maker(robot, eve, &anna(), NOW).await?, Changed::Done);
    let found = index.principal("ci").await?.ok_or("it is gone")?.principal;
    assert!(found.is_disabled, "to enable it is another act");
    assert_eq!(enable().await?, Changed::Done);
    assert_eq!(add_token(index, "by-eve", robot, eve).await?, Changed::Done);
    Ok(())
}

async fn a_user_has_no_more_robots_than_it_may_also_by_taking_them_over(home: Home) -> Outcome {
    let index = &home.index;
    let (bob, eve) = (add_user(index, "bob").await?, add_user(index, "eve").await?);
    let root = add_admin(index, "root").await?;
    let namespace = index.namespace("bob").await?.ok_or("it is not there")?.id;
    for number in 0..MOST_ROBOTS {
        let name = format!("r{number}");
        let new = NewRobot { name: &name, namespace, maker: bob };
        let _ = id_of(index.add_robot(&new, &anna(), NOW).await?);
    }
    let more = add_robot(index, "more", "eve", eve).await?;
    let give = async |maker| index.set_robot_maker(more, maker, &anna(), NOW).await;
    assert_eq!(give(bob).await?, Changed::Full);
    assert_eq!(give(root).await?, Changed::Done);
    Ok(())
}
