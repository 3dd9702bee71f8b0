//! Cases about the state of the accounts: it tells when something cached is no longer so.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use roadstead::index::{Changed, Holder, Index};

use super::{add_user, anna, give_role};
use crate::fixtures::{NOW, cid, repository};
use crate::{Case, Outcome, case, case_on, home::Home};

/// How often a role is given and taken away.
const CHANGES: u64 = 200;

/// How many look at it meanwhile.
const READERS: usize = 8;

pub(crate) fn cases() -> Vec<Case> {
    vec![
        case(each_change_of_accounts_changes_their_state_and_nothing_else_does),
        case(what_is_cached_of_rights_is_never_old),
        case_on("postgres", what_is_cached_of_rights_is_never_old_in_another_process),
        case(a_change_that_was_cut_short_leaves_nothing_cached),
        case(an_index_that_is_only_read_sees_changes),
        case_on("postgres", a_state_ends_with_the_connection_that_it_was_seen_by),
    ]
}

async fn each_change_of_accounts_changes_their_state_and_nothing_else_does(home: Home) -> Outcome {
    let index = &home.index;
    let first = index.states().await?;
    let bob = add_user(index, "bob").await?;
    let second = index.states().await?;
    assert_ne!(first.accounts, second.accounts);
    assert_eq!(first.index, second.index);
    assert_eq!(index.set_disabled(bob, false, &anna(), NOW).await?, Changed::Unchanged);
    assert_eq!(index.set_disabled(999, false, &anna(), NOW).await?, Changed::Unknown);
    index.lock().await?.put_nodes(&[(cid("node"), None)]).await?;
    let third = index.states().await?;
    assert_eq!(second.accounts, third.accounts);
    assert_ne!(second.index, third.index);
    // The state of the index that comes with it serves for the next look-up.
    index
        .lock()
        .await?
        .set_visibility(&repository("app"), roadstead::oci::Visibility::Internal, NOW)
        .await?;
    let states = index.states().await?;
    let record = index.repository_as_of(&repository("app"), states.index).await?;
    let record = record.ok_or("it is not there")?;
    assert_eq!(record.as_of, states.index);
    assert_eq!(record.visibility, roadstead::oci::Visibility::Internal);
    assert_eq!(Some(record), index.repository(&repository("app")).await?);
    let again = home.open_again().await?;
    again.states().await?;
    Ok(())
}

async fn what_is_cached_of_rights_is_never_old(home: Home) -> Outcome {
    check_rights(&home.index, &home.index).await
}

async fn what_is_cached_of_rights_is_never_old_in_another_process(home: Home) -> Outcome {
    let other = home.open_again().await?;
    check_rights(&home.index, &other).await
}

/// Gives a role by the one index and takes it away, while others read it by the other one and cache it by the state.
async fn check_rights(writing: &Arc<Index>, reading: &Arc<Index>) -> Outcome {
    let bob = add_user(writing, "bob").await?;
    let holder = Holder::Principal(bob);
    // Twice the number of the changes that were acknowledged; odd while another one is under way.
    let acknowledged = Arc::new(AtomicU64::new(0));
    let mut readers = Vec::new();
    for _ in 0..READERS {
        let (index, acknowledged) = (reading.clone(), acknowledged.clone());
        readers.push(tokio::spawn(async move {
            let (mut cached, mut hits) = (None, 0_u64);
            loop {
                let before = acknowledged.load(Ordering::SeqCst);
                let seen = index.states().await?.accounts;
                let has_role = match cached {
                    Some((state, has_role)) if state == seen => {
                        hits += 1;
                        has_role
                    }
                    _ => {
                        let rights = index.rights(bob).await?.expect("it is there");
                        let has_role = !rights.grants.is_empty();
                        cached = Some((seen, has_role));
                        has_role
                    }
                };
                let after = acknowledged.load(Ordering::SeqCst);
                if before == after && before % 2 == 0 {
                    assert_eq!(has_role, (before / 2) % 2 == 1, "after {} changes", before / 2);
                }
                tokio::task::yield_now().await;
                if before == 2 * CHANGES {
                    return roadstead::index::Result::Ok(hits);
                }
            }
        }));
    }
    for number in 0..CHANGES {
        acknowledged.fetch_add(1, Ordering::SeqCst);
        let changed = if number % 2 == 0 {
            give_role(writing, holder, "reader", "a").await?
        } else {
            writing.remove_grant(holder, "reader", "a", &anna(), NOW).await?
        };
        assert_eq!(changed, Changed::Done);
        acknowledged.fetch_add(1, Ordering::SeqCst);
        if number % 20 == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    let mut hits = 0;
    for reader in readers {
        hits += reader.await??;
    }
    assert!(hits > 0, "nothing was cached");
    Ok(())
}

/// A caller that goes away may do so at any moment, also while its change is being committed.
async fn a_change_that_was_cut_short_leaves_nothing_cached(home: Home) -> Outcome {
    let index = &home.index;
    let bob = add_user(index, "bob").await?;
    let holder = Holder::Principal(bob);
    let mut was_cut = 0;
    for number in 0..200_u64 {
        let seen = index.states().await?.accounts;
        let before = index.rights(bob).await?;
        let pattern = format!("a{number}");
        let change = give_role(index, holder, "reader", &pattern);
        let limit = Duration::from_micros(number * 25);
        if tokio::time::timeout(limit, change).await.is_err() {
            was_cut += 1;
        }
        // The connection is closed in the background, which ends what was under way.
        tokio::time::sleep(Duration::from_millis(2)).await;
        let now = index.rights(bob).await?;
        // What is still being committed may be in the rows already.
        if index.states().await?.accounts == seen {
            assert_eq!(now, before, "in round {number}");
        }
    }
    assert!(was_cut > 0);
    assert_eq!(give_role(index, holder, "reader", "at-last").await?, Changed::Done);
    Ok(())
}

async fn an_index_that_is_only_read_sees_changes(home: Home) -> Outcome {
    let reader = roadstead::index::open_read_only(&home.url).await?;
    let before = reader.states().await?.accounts;
    let bob = add_user(&home.index, "bob").await?;
    assert_ne!(reader.states().await?.accounts, before);
    assert!(reader.principal("bob").await?.is_some());
    assert!(reader.set_disabled(bob, true, &anna(), NOW).await.is_err());
    assert!(reader.note_token_use("a", NOW).await.is_err());
    assert!(reader.principal("bob").await?.is_some_and(|bob| !bob.principal.is_disabled));
    Ok(())
}

/// A database that was set back comes by the same numbers once more, with other rights.
async fn a_state_ends_with_the_connection_that_it_was_seen_by(home: Home) -> Outcome {
    let before = home.index.states().await?;
    assert_eq!(home.index.states().await?, before);
    home.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() \
         AND query LIKE 'SELECT version%FROM clock%'",
    )
    .await?;
    let after = home.index.states().await?;
    assert_ne!(after.accounts, before.accounts);
    assert_ne!(after.index, before.index);
    Ok(())
}
