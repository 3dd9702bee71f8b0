//! Cases about access tokens.

use roadstead::index::{Changed, NewAccessToken, TokenFilter};

use super::{add_admin, add_robot, add_token, add_user, anna, events};
use crate::fixtures::NOW;
use crate::{Case, Outcome, case, home::Home};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        case(a_token_is_read_with_all_whose_rights_bound_it),
        case(a_token_is_made_by_and_for_those_who_are_there),
        case(a_token_is_revoked_for_good),
        case(a_token_is_revoked_where_nothing_says_otherwise),
        case(a_use_is_noted_once_a_minute),
        case(tokens_are_listed_in_pages_and_pruned),
    ]
}

async fn a_token_is_read_with_all_whose_rights_bound_it(home: Home) -> Outcome {
    let index = &home.index;
    let root = add_admin(index, "root").await?;
    let bob = add_user(index, "bob").await?;
    let ci = add_robot(index, "ci", "bob", bob).await?;
    assert!(index.access_token("a").await?.is_none());
    let token = NewAccessToken {
        id: "a",
        principal: bob,
        hash: &[9; 32],
        name: "laptop \u{e9}",
        scopes: "team/**:pull",
        maker: bob,
        expires: Some(NOW + 5),
    };
    assert_eq!(index.add_access_token(&token, &anna(), NOW).await?, Changed::Done);
    let found = index.access_token("a").await?.ok_or("it is not there")?;
    assert_eq!((found.principal.id, found.principal.name.as_str()), (bob, "bob"));
    assert_eq!(found.maker.as_ref(), Some(&found.principal));
    assert_eq!(found.robot_maker, None);
    let stored = &found.token;
    assert_eq!((stored.hash, stored.principal, stored.maker), ([9; 32], bob, Some(bob)));
    assert_eq!((stored.name.as_str(), stored.scopes.as_str()), ("laptop \u{e9}", "team/**:pull"));
    assert_eq!((stored.created, stored.expires, stored.last_used), (NOW, Some(NOW + 5), None));
    assert!(!stored.is_revoked);
    assert!(!format!("{found:?}").contains("9, 9"), "{found:?}");

    assert_eq!(add_token(index, "b", ci, root).await?, Changed::Done);
    let found = index.access_token("b").await?.ok_or("it is not there")?;
    assert_eq!((found.principal.id, found.token.expires), (ci, None));
    assert_eq!(found.principal.namespace.as_deref(), Some("bob"));
    assert!(found.maker.as_ref().is_some_and(|maker| maker.id == root && maker.is_admin));
    assert_eq!(found.robot_maker.map(|maker| maker.id), Some(bob));
    // What is taken from a maker is seen with the token.
    assert_eq!(index.set_disabled(bob, true, &anna(), NOW).await?, Changed::Done);
    let found = index.access_token("b").await?.ok_or("it is not there")?;
    assert!(found.robot_maker.is_some_and(|maker| maker.is_disabled));
    assert_eq!(events(index).await?[3..5], ["token: add a of bob", "token: add b of ci"]);
    Ok(())
}

async fn a_token_is_made_by_and_for_those_who_are_there(home: Home) -> Outcome {
    let index = &home.index;
    let bob = add_user(index, "bob").await?;
    let eve = add_user(index, "eve").await?;
    let ci = add_robot(index, "ci", "bob", bob).await?;
    assert_eq!(index.set_disabled(eve, true, &anna(), NOW).await?, Changed::Done);
    for (principal, maker) in [(bob, ci), (ci, ci), (bob, eve), (eve, bob), (bob, 999), (999, bob)]
    {
        let added = add_token(index, "a", principal, maker).await?;
        assert_eq!(added, Changed::Unknown, "{principal} {maker}");
    }
    assert!(index.access_token("a").await?.is_none());
    assert_eq!(add_token(index, "a", bob, bob).await?, Changed::Done);
    assert!(add_token(index, "a", bob, bob).await.is_err(), "another one has that id");
    Ok(())
}

async fn a_token_is_revoked_for_good(home: Home) -> Outcome {
    let index = &home.index;
    let bob = add_user(index, "bob").await?;
    assert_eq!(add_token(index, "a", bob, bob).await?, Changed::Done);
    assert_eq!(index.revoke_access_token("a", &anna(), NOW).await?, Changed::Done);
    assert_eq!(index.revoke_access_token("a", &anna(), NOW).await?, Changed::Unchanged);
    assert_eq!(index.revoke_access_token("b", &anna(), NOW).await?, Changed::Unknown);
    assert!(index.access_token("a").await?.is_some_and(|found| found.token.is_revoked));
    assert_eq!(events(index).await?[1..], ["token: add a of bob", "token: revoke a of bob"]);
    Ok(())
}

async fn a_token_is_revoked_where_nothing_says_otherwise(home: Home) -> Outcome {
    add_user(&home.index, "bob").await?;
    let statement = if home.index.is_shared() {
        "INSERT INTO access_tokens (id, principal, hash, name, scopes, created, expires) SELECT 'a', id, \
         decode(repeat('07', 32), 'hex'), '', '', 1, 9 FROM principals"
    } else {
        "INSERT INTO access_tokens (id, principal, hash, name, scopes, created, expires) SELECT 'a', id, \
         zeroblob(32), '', '', 1, 9 FROM principals"
    };
    home.execute(statement).await?;
    let found = home.index.access_token("a").await?.ok_or("it is not there")?;
    assert!(found.token.is_revoked && found.maker.is_none());
    for refused in [
        "UPDATE access_tokens SET expires = NULL",
        "UPDATE access_tokens SET is_revoked = NULL",
        "UPDATE access_tokens SET principal = NULL",
        "UPDATE access_tokens SET hash = NULL",
        "UPDATE access_tokens SET principal = 999",
        "DELETE FROM principals",
    ] {
        // The SQLite command line does not check what refers to what; the index's connections do.
        assert!(home.execute(refused).await.is_err(), "{refused}");
    }
    Ok(())
}

async fn a_use_is_noted_once_a_minute(home: Home) -> Outcome {
    let index = &home.index;
    let other = home.open_again().await?;
    let bob = add_user(index, "bob").await?;
    assert_eq!(add_token(index, "a", bob, bob).await?, Changed::Done);
    let seen = index.states().await?;
    for (index, at, noted) in [
        (index, NOW, NOW),
        (index, NOW + 59_999, NOW),
        (&other, NOW + 59_999, NOW),
        (index, NOW + 60_000, NOW + 60_000),
        (index, NOW + 60_001, NOW + 60_000),
        (&other, NOW + 120_000, NOW + 120_000),
    ] {
        index.note_token_use("a", at).await?;
        index.note_token_use("unknown", at).await?;
        let found = index.access_token("a").await?.ok_or("it is gone")?;
        assert_eq!(found.token.last_used, Some(noted));
    }
    assert_eq!(index.states().await?, seen, "no change of accounts");
    Ok(())
}

async fn tokens_are_listed_in_pages_and_pruned(home: Home) -> Outcome {
    let index = &home.index;
    let bob = add_user(index, "bob").await?;
    let ci = add_robot(index, "ci", "bob", bob).await?;
    for (id, principal, expires) in [("c", bob, Some(5)), ("a", ci, None), ("b", bob, Some(6))] {
        let (hash, name, scopes) = (&[1; 32], "", "");
        let token = NewAccessToken { id, principal, hash, name, scopes, maker: bob, expires };
        assert_eq!(index.add_access_token(&token, &anna(), NOW).await?, Changed::Done);
    }
    let list = async |filter, last, limit| -> roadstead::index::Result<Vec<String>> {
        let tokens = index.access_tokens(filter, last, limit).await?;
        Ok(tokens.into_iter().map(|token| token.id).collect())
    };
    assert_eq!(list(TokenFilter::All, None, 9).await?, ["a", "b", "c"]);
    assert_eq!(list(TokenFilter::All, Some("a"), 1).await?, ["b"]);
    assert_eq!(list(TokenFilter::Of(bob), None, 9).await?, ["b", "c"]);
    assert_eq!(list(TokenFilter::MadeBy(bob), Some("b"), 9).await?, ["c"]);
    assert_eq!(list(TokenFilter::MadeBy(ci), None, 9).await?, [""; 0]);
    assert_eq!(index.prune_access_tokens(6).await?, 1);
    assert_eq!(list(TokenFilter::All, None, 9).await?, ["a", "b"]);
    assert_eq!(index.prune_access_tokens(i64::MAX).await?, 1);
    assert_eq!(list(TokenFilter::All, None, 9).await?, ["a"], "it never ends");
    Ok(())
}
