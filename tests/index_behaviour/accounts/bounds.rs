//! Cases about how much one user may bring about.

use roadstead::index::{
    Added, Changed, Holder, MOST_NAMESPACES, MOST_ROBOTS, MOST_ROLES, NewGrant, NewRobot,
    PrincipalFilter,
};

use super::{add_admin, add_robot, add_user, anna, id_of};
use crate::fixtures::NOW;
use crate::{Case, Outcome, case, home::Home};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        case(a_user_owns_no_more_namespaces_than_it_may),
        case(a_user_makes_no_more_robots_than_it_may_also_by_removing_them),
        case(a_user_gives_no_more_roles_to_another_than_it_may),
        case(the_robots_of_an_owner_are_listed),
    ]
}

async fn a_user_owns_no_more_namespaces_than_it_may(home: Home) -> Outcome {
    let index = &home.index;
    let (bob, eve) = (add_user(index, "bob").await?, add_user(index, "eve").await?);
    let root = add_admin(index, "root").await?;
    // Each owns the one of its name.
    for number in 1..MOST_NAMESPACES {
        let _ = id_of(index.add_namespace(&format!("n{number}"), Some(bob), &anna(), NOW).await?);
    }
    assert_eq!(index.add_namespace("more", Some(bob), &anna(), NOW).await?, Added::Full);
    assert!(index.namespace("more").await?.is_none());
    let more = id_of(index.add_namespace("more", Some(eve), &anna(), NOW).await?);
    assert_eq!(index.set_namespace_owner(more, Some(bob), &anna(), NOW).await?, Changed::Full);
    assert_eq!(index.namespace("more").await?.and_then(|it| it.owner), Some(eve));
    // Administrators, who own everything, and the administrators have no bound.
    let _ = id_of(index.add_namespace("theirs", None, &anna(), NOW).await?);
    assert_eq!(index.set_namespace_owner(more, Some(root), &anna(), NOW).await?, Changed::Done);
    let first = index.namespace("n1").await?.ok_or("it is not there")?.id;
    assert_eq!(index.set_namespace_owner(first, Some(eve), &anna(), NOW).await?, Changed::Done);
    assert_eq!(index.set_namespace_owner(more, Some(bob), &anna(), NOW).await?, Changed::Done);
    Ok(())
}

async fn a_user_makes_no_more_robots_than_it_may_also_by_removing_them(home: Home) -> Outcome {
    let index = &home.index;
    let (bob, eve) = (add_user(index, "bob").await?, add_user(index, "eve").await?);
    let namespace = index.namespace("bob").await?.ok_or("it is not there")?.id;
    for number in 0..MOST_ROBOTS {
        let id = add_robot(index, &format!("r{number}"), "bob", bob).await?;
        if number % 2 == 0 {
            assert_eq!(index.remove_principal(id, &anna(), NOW).await?, Changed::Done);
        }
    }
    let more = |maker| NewRobot { name: "more", namespace, maker };
    assert_eq!(index.add_robot(&more(bob), &anna(), NOW).await?, Added::Full);
    assert!(index.principal("more").await?.is_none());
    let _ = id_of(index.add_robot(&more(eve), &anna(), NOW).await?);
    Ok(())
}

async fn a_user_gives_no_more_roles_to_another_than_it_may(home: Home) -> Outcome {
    let index = &home.index;
    let (bob, eve) = (add_user(index, "bob").await?, add_user(index, "eve").await?);
    let root = add_admin(index, "root").await?;
    let holder = Holder::Principal(eve);
    let give = async |maker, pattern: &str| {
        let grant = NewGrant { holder, role: "reader", pattern, maker: Some(maker) };
        index.add_grant(&grant, &anna(), NOW).await
    };
    for number in 0..MOST_ROLES {
        assert_eq!(give(bob, &format!("bob/{number}")).await?, Changed::Done);
    }
    assert_eq!(give(bob, "bob/more").await?, Changed::Full);
    assert_eq!(index.rights(eve).await?.ok_or("gone")?.grants.len(), usize::try_from(MOST_ROLES)?);
    // To others, and by others, there may be more; and in the place of one that is taken away.
    let grant = NewGrant {
        holder: Holder::Principal(root),
        role: "reader",
        pattern: "bob/more",
        maker: Some(bob),
    };
    assert_eq!(index.add_grant(&grant, &anna(), NOW).await?, Changed::Done);
    assert_eq!(give(root, "other/more").await?, Changed::Done);
    let removed = index.remove_grant(holder, "reader", "bob/0", &anna(), NOW).await?;
    assert_eq!(removed, Changed::Done);
    assert_eq!(give(bob, "bob/more").await?, Changed::Done);
    Ok(())
}

async fn the_robots_of_an_owner_are_listed(home: Home) -> Outcome {
    let index = &home.index;
    let (bob, eve) = (add_user(index, "bob").await?, add_user(index, "eve").await?);
    let _ = id_of(index.add_namespace("shared", Some(bob), &anna(), NOW).await?);
    for (name, namespace, maker) in
        [("one", "bob", bob), ("two", "shared", eve), ("three", "eve", bob)]
    {
        add_robot(index, name, namespace, maker).await?;
    }
    let robots = index.principals(PrincipalFilter::RobotsOfOwner(bob), None, 9).await?;
    let robots: Vec<_> = robots.iter().map(|it| it.principal.name.as_str()).collect();
    assert_eq!(robots, ["one", "two"]);
    Ok(())
}
