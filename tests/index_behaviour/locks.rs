//! Cases about locks of the storage, and about keys that processes share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::time::Duration;

use roadstead::index::{Index, IndexErrorKind, Lease, open_read_only};
use tokio::time::timeout;

use crate::fixtures::cid;
use crate::{Case, Outcome, case, case_on, home::Home};

/// Long enough for whatever is not blocked to happen.
const A_WHILE: Duration = Duration::from_millis(200);
/// Long enough for whatever was blocked to go on.
const LONG: Duration = Duration::from_secs(20);

pub(crate) fn cases() -> Vec<Case> {
    vec![
        case(linkers_go_together),
        case(a_cleaner_waits_for_linkers_and_they_for_it),
        case(cleaners_exclude_each_other),
        case(a_cleaner_gets_its_lease_beside_many_linkers),
        case(a_cleaning_cut_short_is_seen_until_one_is_ended),
        case(a_dropped_linking_releases_its_lease),
        case(a_waiter_that_gives_up_leaves_the_lease_to_the_next),
        case(linkers_go_on_beside_a_writers_transaction),
        case(readers_get_no_lease),
        case(a_key_is_made_once),
        case_on("postgres", leases_exclude_other_processes),
        case_on("postgres", a_lease_whose_session_ended_reports_it),
        case_on("postgres", a_cleaning_whose_session_ended_is_seen),
        case_on("postgres", requests_do_not_wait_for_leases),
    ]
}

async fn link(index: &Arc<Index>) -> Result<Box<dyn Lease>, Box<dyn std::error::Error>> {
    let lease = timeout(LONG, index.begin_linking()).await??;
    Ok(lease.ok_or("a cleaning was cut short")?)
}

async fn linkers_go_together(home: Home) -> Outcome {
    let first = link(&home.index).await?;
    let second = link(&home.index).await?;
    first.end().await?;
    let third = link(&home.index).await?;
    second.end().await?;
    third.end().await?;
    Ok(())
}

async fn a_cleaner_waits_for_linkers_and_they_for_it(home: Home) -> Outcome {
    check_exclusion(&home.index, &home.index).await
}

async fn check_exclusion(one: &Arc<Index>, other: &Arc<Index>) -> Outcome {
    let linking = link(one).await?;
    assert!(timeout(A_WHILE, other.begin_cleaning()).await.is_err(), "a cleaner beside a linker");
    let waiting = other.clone();
    let mut waiting = tokio::spawn(async move { waiting.begin_cleaning().await });
    assert!(timeout(A_WHILE, &mut waiting).await.is_err(), "a cleaner beside a linker");
    linking.end().await?;
    let cleaning = timeout(LONG, waiting).await???;
    let waiting = one.clone();
    let mut waiting = tokio::spawn(async move { waiting.begin_linking().await });
    assert!(timeout(A_WHILE, &mut waiting).await.is_err(), "a linker beside a cleaner");
    cleaning.end().await?;
    let linking = timeout(LONG, waiting).await???.ok_or("it sees a cleaning that had ended")?;
    linking.end().await?;
    Ok(())
}

async fn cleaners_exclude_each_other(home: Home) -> Outcome {
    let first = home.index.begin_cleaning().await?;
    assert!(timeout(A_WHILE, home.index.begin_cleaning()).await.is_err(), "two clean");
    first.end().await?;
    timeout(LONG, home.index.begin_cleaning()).await??.end().await?;
    Ok(())
}

async fn a_cleaner_gets_its_lease_beside_many_linkers(home: Home) -> Outcome {
    let stop = Arc::new(AtomicBool::new(false));
    let inside = Arc::new(AtomicI32::new(0));
    let mut linkers = Vec::new();
    for number in 0..24 {
        let (index, stop, inside) = (home.index.clone(), stop.clone(), inside.clone());
        linkers.push(tokio::spawn(async move {
            let mut count = 0;
            while !stop.load(Ordering::SeqCst) {
                let lease = link(&index).await.map_err(|error| error.to_string())?;
                inside.fetch_add(1, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(number % 5)).await;
                inside.fetch_sub(1, Ordering::SeqCst);
                lease.end().await.map_err(|error| error.to_string())?;
                count += 1;
            }
            Ok::<_, String>(count)
        }));
    }
    for _ in 0..10 {
        tokio::time::sleep(Duration::from_millis(20)).await;
        let cleaning = timeout(LONG, home.index.begin_cleaning()).await??;
        assert_eq!(inside.load(Ordering::SeqCst), 0, "linkers beside a cleaner");
        tokio::time::sleep(Duration::from_millis(5)).await;
        assert_eq!(inside.load(Ordering::SeqCst), 0, "linkers beside a cleaner");
        cleaning.end().await?;
    }
    stop.store(true, Ordering::SeqCst);
    let mut count = 0;
    for linker in linkers {
        count += linker.await??;
    }
    assert!(count > 24, "{count}");
    Ok(())
}

async fn a_cleaning_cut_short_is_seen_until_one_is_ended(home: Home) -> Outcome {
    drop(home.index.begin_cleaning().await?);
    for _ in 0..3 {
        assert!(timeout(LONG, home.index.begin_linking()).await??.is_none());
    }
    drop(timeout(LONG, home.index.begin_cleaning()).await??);
    let again = home.open_again().await?;
    assert!(timeout(LONG, again.begin_linking()).await??.is_none(), "also by another process");
    timeout(LONG, again.begin_cleaning()).await??.end().await?;
    link(&again).await?.end().await?;
    link(&home.index).await?.end().await?;
    Ok(())
}

async fn a_dropped_linking_releases_its_lease(home: Home) -> Outcome {
    for _ in 0..20 {
        drop(link(&home.index).await?);
    }
    timeout(LONG, home.index.begin_cleaning()).await??.end().await?;
    link(&home.index).await?.end().await?;
    Ok(())
}

async fn a_waiter_that_gives_up_leaves_the_lease_to_the_next(home: Home) -> Outcome {
    let linking = link(&home.index).await?;
    for _ in 0..3 {
        assert!(timeout(A_WHILE / 4, home.index.begin_cleaning()).await.is_err());
    }
    linking.end().await?;
    let cleaning = timeout(LONG, home.index.begin_cleaning()).await??;
    for _ in 0..30 {
        assert!(timeout(A_WHILE / 40, home.index.begin_linking()).await.is_err());
    }
    cleaning.end().await?;
    link(&home.index).await?.end().await?;
    Ok(())
}

async fn linkers_go_on_beside_a_writers_transaction(home: Home) -> Outcome {
    let mut writer = home.index.lock().await?;
    writer.begin().await?;
    writer.put_nodes(&[(cid("node"), None)]).await?;
    link(&home.index).await?.end().await?;
    writer.commit().await?;
    Ok(())
}

async fn readers_get_no_lease(home: Home) -> Outcome {
    let reader = open_read_only(&home.url).await?;
    assert!(reader.begin_linking().await.is_err());
    assert!(reader.begin_cleaning().await.is_err());
    assert!(reader.secret("tokens").await.is_err(), "it would have to be made");
    let key = home.index.secret("tokens").await?;
    assert_eq!(reader.secret("tokens").await?, key);
    assert_eq!(home.index.is_shared(), home.url.starts_with("postgres:"));
    Ok(())
}

async fn a_key_is_made_once(home: Home) -> Outcome {
    let asking = (0..8).map(|_| {
        let index = home.index.clone();
        tokio::spawn(async move { index.secret("tokens").await })
    });
    let asking: Vec<_> = asking.collect();
    let key = home.index.secret("tokens").await?;
    for task in asking {
        assert_eq!(task.await??, key);
    }
    assert_ne!(home.index.secret("other").await?, key);
    home.index.lock().await?.clear().await?;
    assert_eq!(home.open_again().await?.secret("tokens").await?, key, "in another process");
    Ok(())
}

async fn leases_exclude_other_processes(home: Home) -> Outcome {
    let other = home.open_again().await?;
    let first = link(&home.index).await?;
    link(&other).await?.end().await?;
    first.end().await?;
    check_exclusion(&home.index, &other).await?;
    check_exclusion(&other, &home.index).await
}

/// Ends the sessions that have or wait for a lease.
const END_SESSIONS: &str = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE \
     locktype = 'advisory' AND CAST(classid AS BIGINT) = 1919902054 AND \
     CAST(objid AS BIGINT) = CAST(hashtext(current_schema()) AS BIGINT) & 4294967295";

async fn a_lease_whose_session_ended_reports_it(home: Home) -> Outcome {
    let linking = link(&home.index).await?;
    home.execute(END_SESSIONS).await?;
    let ended = linking.end().await;
    assert_eq!(ended.map_err(|error| error.kind), Err(IndexErrorKind::Unavailable));
    let cleaning = timeout(LONG, home.index.begin_cleaning()).await??;
    home.execute(END_SESSIONS).await?;
    let ended = cleaning.end().await;
    assert_eq!(ended.map_err(|error| error.kind), Err(IndexErrorKind::Unavailable));
    assert!(timeout(LONG, home.index.begin_linking()).await??.is_none());
    timeout(LONG, home.index.begin_cleaning()).await??.end().await?;
    link(&home.index).await?.end().await?;
    Ok(())
}

async fn a_cleaning_whose_session_ended_is_seen(home: Home) -> Outcome {
    let other = home.open_again().await?;
    let cleaning = home.index.begin_cleaning().await?;
    let waiting = other.clone();
    let mut waiting = tokio::spawn(async move { waiting.begin_linking().await });
    assert!(timeout(A_WHILE, &mut waiting).await.is_err(), "a linker beside a cleaner");
    home.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted \
         AND CAST(classid AS BIGINT) = 1919902054 AND \
         CAST(objid AS BIGINT) = CAST(hashtext(current_schema()) AS BIGINT) & 4294967295",
    )
    .await?;
    let waited = timeout(LONG, waiting).await???;
    assert!(waited.is_none(), "what was noted while it waited is seen");
    let mending = timeout(LONG, other.begin_cleaning()).await??;
    assert!(cleaning.end().await.is_err(), "somebody else cleans");
    assert!(timeout(A_WHILE, home.index.begin_linking()).await.is_err(), "its turn is whole");
    mending.end().await?;
    link(&home.index).await?.end().await?;
    Ok(())
}

async fn requests_do_not_wait_for_leases(home: Home) -> Outcome {
    let cleaning = home.index.begin_cleaning().await?;
    let waiting = (0..40).map(|_| {
        let index = home.index.clone();
        tokio::spawn(async move {
            link(&index)
                .await
                .map_err(|error| error.to_string())?
                .end()
                .await
                .map_err(|error| error.to_string())
        })
    });
    let waiting: Vec<_> = waiting.collect();
    tokio::time::sleep(A_WHILE).await;
    timeout(LONG, home.index.ping()).await??;
    drop(timeout(LONG, home.index.lock()).await??);
    cleaning.end().await?;
    for linking in waiting {
        timeout(LONG, linking).await???;
    }
    Ok(())
}
