//! Cases about the writer's lock, its transactions and the version.

use std::time::Duration;

use roadstead::index::{Actor, EdgeKind, IndexErrorKind};
use roadstead::oci::TreeId::Public;
use sqlx::{Connection, PgConnection};
use tokio::time::timeout;

use crate::fixtures::{
    NOW, blob, canonical, cid, edge, give, manifest, repository, sha256, stored_manifest, tag,
    target,
};
use crate::{Case, Outcome, case, case_on, home::Home};

/// Long enough for whatever is not blocked to happen.
const A_WHILE: Duration = Duration::from_millis(200);
/// Long enough for whatever was blocked to go on.
const LONG: Duration = Duration::from_secs(30);

pub(crate) fn cases() -> Vec<Case> {
    vec![
        case(a_second_writer_waits_for_the_first),
        case(writers_exclude_each_other),
        case(who_stops_waiting_for_the_lock_leaves_it_to_the_next),
        case(a_writer_dropped_in_a_transaction_leaves_nothing),
        case(a_writer_dropped_in_mid_statement_leaves_nothing),
        case(a_transaction_is_seen_as_a_whole_and_only_when_committed),
        case(a_rollback_leaves_nothing),
        case(a_write_outside_of_a_transaction_is_one_by_itself),
        case(a_transaction_in_which_a_call_failed_is_not_committed),
        case(a_misplaced_begin_or_commit_is_refused),
        case(the_version_grows_with_commits_and_with_nothing_else),
        case(reads_go_on_beside_a_transaction),
        case(requests_that_go_away_leave_the_index_usable),
        case(a_commit_whose_caller_went_away_happened_or_did_not),
        case_on("postgres", a_writer_whose_session_ended_cannot_commit),
        case_on("postgres", the_lock_and_the_version_are_shared_between_processes),
        case_on("postgres", what_is_recorded_does_not_wait_behind_who_waits_for_a_vacuum),
        case_on("postgres", tables_that_others_record_in_are_waited_for_for_a_moment),
    ]
}

async fn a_second_writer_waits_for_the_first(home: Home) -> Outcome {
    let mut first = home.index.lock().await?;
    let second = home.index.clone();
    let mut second = tokio::spawn(async move { second.lock().await.map(drop) });
    assert!(timeout(A_WHILE, &mut second).await.is_err(), "two hold the lock");
    first.begin().await?;
    first.commit().await?;
    assert!(timeout(A_WHILE, &mut second).await.is_err(), "a commit does not give it back");
    drop(first);
    timeout(LONG, second).await???;
    Ok(())
}

async fn writers_exclude_each_other(home: Home) -> Outcome {
    let mut tasks = Vec::new();
    for _ in 0..6 {
        let index = home.index.clone();
        tasks.push(tokio::spawn(async move {
            for _ in 0..5 {
                let mut writer = index.lock().await?;
                writer.begin().await?;
                let count = writer.node_refs(Public, &[cid("counter")]).await?[0].1;
                tokio::task::yield_now().await;
                writer.add_node_refs(Public, &[(cid("counter"), 1)], NOW).await?;
                assert_eq!(writer.node_refs(Public, &[cid("counter")]).await?[0].1, count + 1);
                writer.commit().await?;
            }
            roadstead::index::Result::Ok(())
        }));
    }
    for task in tasks {
        task.await??;
    }
    assert_eq!(home.index.lock().await?.node_refs(Public, &[cid("counter")]).await?[0].1, 30);
    Ok(())
}

async fn who_stops_waiting_for_the_lock_leaves_it_to_the_next(home: Home) -> Outcome {
    let first = home.index.lock().await?;
    for _ in 0..3 {
        assert!(timeout(A_WHILE / 4, home.index.lock()).await.is_err());
    }
    drop(first);
    drop(timeout(LONG, home.index.lock()).await??);
    Ok(())
}

async fn a_writer_dropped_in_a_transaction_leaves_nothing(home: Home) -> Outcome {
    let mine = repository("app");
    let version = home.index.version().await?;
    for _ in 0..10 {
        let mut writer = home.index.lock().await?;
        writer.begin().await?;
        give(&mut writer, &mine, "image", &manifest("image")).await?;
        writer.put_tag(&mine, &tag("v1"), &target("image")).await?;
        drop(writer);
        let mut writer = timeout(LONG, home.index.lock()).await??;
        assert_eq!(writer.tag(&mine, &tag("v1")).await?, None);
        writer.begin().await?;
        assert_eq!(writer.stored_manifest(&canonical("image")).await?, None);
        writer.rollback().await?;
    }
    assert!(!home.index.repository_exists(&mine).await?);
    assert_eq!(home.index.version().await?, version);
    home.index.record_blob(&mine, &blob("layer"), NOW).await?;
    Ok(())
}

async fn a_writer_dropped_in_mid_statement_leaves_nothing(home: Home) -> Outcome {
    let nodes: Vec<_> = (0..20_000).map(|n| (cid(&n.to_string()), None)).collect();
    for micros in [50, 500, 5_000, 20_000] {
        let mut writer = home.index.lock().await?;
        writer.begin().await?;
        writer.add_node_refs(Public, &[(cid("before"), 1)], NOW).await?;
        let cut = timeout(Duration::from_micros(micros), writer.put_nodes(&nodes)).await;
        assert!(cut.is_err(), "the statements are to be cut off in {micros} microseconds");
        drop(writer);
        let mut next = timeout(LONG, home.index.lock()).await??;
        assert_eq!(next.node_refs(Public, &[cid("before")]).await?[0].1, 0);
        timeout(LONG, next.put_nodes(&[(cid("after"), None)])).await??;
    }
    assert_eq!(home.number("SELECT COUNT(*) FROM nodes").await?, 1);
    Ok(())
}

async fn a_transaction_is_seen_as_a_whole_and_only_when_committed(home: Home) -> Outcome {
    let mine = repository("app");
    let mut writer = home.index.lock().await?;
    writer.begin().await?;
    give(&mut writer, &mine, "image", &manifest("image")).await?;
    writer.put_tag(&mine, &tag("v1"), &target("image")).await?;
    assert!(writer.manifest(&mine, &sha256("image")).await?.is_some(), "its own writes");
    assert_eq!(writer.tag(&mine, &tag("v1")).await?, Some(target("image")));
    assert_eq!(home.index.tagged_manifest(&mine, &tag("v1")).await?, None);
    assert_eq!(home.index.manifest(&mine, &sha256("image")).await?, None);
    writer.commit().await?;
    assert!(home.index.tagged_manifest(&mine, &tag("v1")).await?.is_some());
    Ok(())
}

async fn a_rollback_leaves_nothing(home: Home) -> Outcome {
    let mine = repository("app");
    let mut writer = home.index.lock().await?;
    writer.begin().await?;
    give(&mut writer, &mine, "image", &manifest("image")).await?;
    writer.rollback().await?;
    assert_eq!(writer.manifest(&mine, &sha256("image")).await?, None);
    assert!(!home.index.repository_exists(&mine).await?);
    writer.begin().await?;
    give(&mut writer, &mine, "image", &manifest("image")).await?;
    writer.commit().await?;
    assert!(home.index.repository_exists(&mine).await?);
    Ok(())
}

async fn a_write_outside_of_a_transaction_is_one_by_itself(home: Home) -> Outcome {
    let mine = repository("app");
    let before = home.index.version().await?;
    let mut writer = home.index.lock().await?;
    give(&mut writer, &mine, "image", &manifest("image")).await?;
    assert!(home.index.manifest(&mine, &sha256("image")).await?.is_some());
    assert!(home.index.version().await? > before);
    let mut half = manifest("half");
    half.edges.push(edge(EdgeKind::Blob, sha256("layer")));
    assert!(writer.put_manifest(&mine, &half, NOW).await.is_err());
    assert_eq!(writer.edges(&mine, &canonical("half")).await?, []);
    assert_eq!(writer.manifest_names(&mine, &canonical("half")).await?, []);
    writer.put_stored_manifest(&stored_manifest("half")).await?;
    writer.put_manifest(&mine, &half, NOW).await?;
    Ok(())
}

async fn a_transaction_in_which_a_call_failed_is_not_committed(home: Home) -> Outcome {
    let mine = repository("app");
    let version = home.index.version().await?;
    let mut writer = home.index.lock().await?;
    writer.begin().await?;
    give(&mut writer, &mine, "image", &manifest("image")).await?;
    let put = writer.put_tag(&mine, &tag("v1"), &target("absent")).await;
    assert!(writer.commit().await.is_err(), "{put:?}");
    writer.rollback().await?;
    assert_eq!(home.index.version().await?, version);
    assert!(!home.index.repository_exists(&mine).await?);
    writer.begin().await?;
    let put = writer.put_tag(&mine, &tag("v1"), &target("absent")).await;
    assert!(put.is_err() || writer.flush().await.is_err());
    assert!(writer.commit().await.is_err());
    writer.rollback().await?;
    writer.begin().await?;
    give(&mut writer, &mine, "image", &manifest("image")).await?;
    writer.commit().await?;
    assert!(home.index.repository_exists(&mine).await?);
    Ok(())
}

async fn a_misplaced_begin_or_commit_is_refused(home: Home) -> Outcome {
    let mut writer = home.index.lock().await?;
    assert!(writer.commit().await.is_err());
    assert!(writer.rollback().await.is_err());
    writer.begin().await?;
    writer.put_nodes(&[(cid("kept"), None)]).await?;
    let twice = writer.begin().await;
    assert_eq!(twice.map_err(|error| error.kind), Err(IndexErrorKind::Failed));
    writer.commit().await?;
    assert_eq!(home.number("SELECT COUNT(*) FROM nodes").await?, 1);
    Ok(())
}

async fn the_version_grows_with_commits_and_with_nothing_else(home: Home) -> Outcome {
    let mine = repository("app");
    let mut last = home.index.version().await?;
    home.index.record_blob(&mine, &blob("layer"), NOW).await?;
    home.index.create_upload("1", &mine, "", NOW).await?;
    home.index.enqueue(&Actor::default(), b"entry", Some(&stored_manifest("image")), NOW).await?;
    home.index.ping().await?;
    let mut writer = home.index.lock().await?;
    writer.begin().await?;
    writer.put_nodes(&[(cid("node"), None)]).await?;
    assert_eq!(home.index.version().await?, last);
    writer.rollback().await?;
    assert_eq!(home.index.version().await?, last);
    for _ in 0..3 {
        writer.begin().await?;
        writer.put_manifest(&mine, &manifest("image"), NOW).await?;
        assert_eq!(home.index.version().await?, last);
        writer.commit().await?;
        let version = home.index.version().await?;
        assert!(version > last, "{version} after {last}");
        last = version;
    }
    drop(writer);
    assert_eq!(home.open_again().await?.version().await?, last);
    Ok(())
}

async fn reads_go_on_beside_a_transaction(home: Home) -> Outcome {
    let mine = repository("app");
    home.index.record_blob(&mine, &blob("layer"), NOW).await?;
    let mut writer = home.index.lock().await?;
    writer.begin().await?;
    writer.put_blob(Some(&mine), &blob("another"), NOW).await?;
    for _ in 0..20 {
        let found = timeout(LONG, home.index.blob(&mine, &sha256("layer"))).await??;
        assert!(found.is_some());
        assert_eq!(home.index.blob(&mine, &sha256("another")).await?, None);
    }
    home.index.version().await?;
    home.index.ping().await?;
    writer.commit().await?;
    assert!(home.index.blob(&mine, &sha256("another")).await?.is_some());
    Ok(())
}

async fn requests_that_go_away_leave_the_index_usable(home: Home) -> Outcome {
    let mine = repository("app");
    for micros in 0..30 {
        let limit = Duration::from_micros(micros * 40);
        let index = &home.index;
        let text = micros.to_string();
        let _cut = timeout(limit, index.record_blob(&mine, &blob(&text), NOW)).await;
        let _cut = timeout(limit, index.enqueue(&Actor::default(), b"entry", None, NOW)).await;
        let _cut = timeout(limit, index.version()).await;
        let _cut = timeout(limit, index.lock()).await;
    }
    timeout(LONG, home.index.record_blob(&mine, &blob("last"), NOW)).await??;
    let mut writer = timeout(LONG, home.index.lock()).await??;
    for entry in writer.open_entries(1000).await? {
        assert_eq!(entry.intent, b"entry");
    }
    writer.put_nodes(&[(cid("node"), None)]).await?;
    Ok(())
}

async fn the_lock_and_the_version_are_shared_between_processes(home: Home) -> Outcome {
    let other = home.open_again().await?;
    let mut mine = home.index.lock().await?;
    assert!(timeout(A_WHILE, other.lock()).await.is_err(), "two hold the lock");
    let before = other.version().await?;
    mine.put_nodes(&[(cid("node"), None)]).await?;
    assert!(other.version().await? > before);
    drop(mine);
    let mut theirs = timeout(LONG, other.lock()).await??;
    assert!(timeout(A_WHILE, home.index.lock()).await.is_err(), "two hold the lock");
    theirs.begin().await?;
    drop(theirs);
    drop(timeout(LONG, home.index.lock()).await??);
    Ok(())
}

async fn a_commit_whose_caller_went_away_happened_or_did_not(home: Home) -> Outcome {
    for micros in (0..3_000).step_by(150) {
        let before = home.index.version().await?;
        let node = [cid(&micros.to_string())];
        let mut writer = home.index.lock().await?;
        writer.begin().await?;
        writer.add_node_refs(Public, &[(node[0], 1)], NOW).await?;
        let _cut = timeout(Duration::from_micros(micros), writer.commit()).await;
        drop(writer);
        let mut next = timeout(LONG, home.index.lock()).await??;
        next.begin().await?;
        let happened = next.node_refs(Public, &node).await?[0].1 == 1;
        assert_eq!(home.index.version().await? > before, happened, "after {micros} microseconds");
        next.rollback().await?;
    }
    Ok(())
}

async fn a_writer_whose_session_ended_cannot_commit(home: Home) -> Outcome {
    let other = home.open_again().await?;
    let mut writer = home.index.lock().await?;
    writer.begin().await?;
    writer.add_node_refs(Public, &[(cid("node"), 1)], NOW).await?;
    home.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND \
         CAST(objid AS BIGINT) = CAST(hashtext(current_schema()) AS BIGINT) & 4294967295",
    )
    .await?;
    let mut next = timeout(LONG, other.lock()).await??;
    let lost = writer.commit().await;
    assert_eq!(lost.map_err(|error| error.kind), Err(IndexErrorKind::Unavailable));
    assert!(!writer.has_lock().await.unwrap_or(false));
    assert!(next.has_lock().await?);
    assert_eq!(next.node_refs(Public, &[cid("node")]).await?[0].1, 0);
    drop((writer, next));
    drop(timeout(LONG, home.index.lock()).await??);
    Ok(())
}

async fn what_is_recorded_does_not_wait_behind_who_waits_for_a_vacuum(home: Home) -> Outcome {
    let mut other = PgConnection::connect(&home.url).await?;
    let mut vacuum = other.begin().await?;
    // As VACUUM does.
    sqlx::query("LOCK TABLE blobs IN SHARE UPDATE EXCLUSIVE MODE").execute(&mut *vacuum).await?;
    let mut writer = home.index.lock().await?;
    let mut looking = PgConnection::connect(&home.url).await?;
    let waiting =
        "SELECT COUNT(*) FROM pg_locks WHERE NOT granted AND relation = CAST('blobs' AS regclass)";
    let watching = async {
        loop {
            let (count,): (i64,) = sqlx::query_as(waiting).fetch_one(&mut looking).await?;
            if count > 0 {
                return Ok::<_, sqlx::Error>(count);
            }
        }
    };
    let trying = async {
        for _ in 0..3 {
            writer.begin().await?;
            assert!(!timeout(LONG, writer.hold_stores()).await??);
            writer.rollback().await?;
            home.index.record_blob(&repository("app"), &blob("layer"), NOW).await?;
        }
        Ok::<_, Box<dyn std::error::Error>>(())
    };
    tokio::select! {
        waits = watching => panic!("{waits:?} wait for the table"),
        tried = trying => tried?,
    }
    vacuum.rollback().await?;
    writer.begin().await?;
    assert!(timeout(LONG, writer.hold_stores()).await??);
    writer.commit().await?;
    other.close().await?;
    Ok(())
}

async fn tables_that_others_record_in_are_waited_for_for_a_moment(home: Home) -> Outcome {
    let mut other = PgConnection::connect(&home.url).await?;
    let mut recording = other.begin().await?;
    sqlx::query("LOCK TABLE blobs IN ROW EXCLUSIVE MODE").execute(&mut *recording).await?;
    let mut writer = home.index.lock().await?;
    writer.begin().await?;
    assert!(!timeout(LONG, writer.hold_stores()).await??);
    assert!(writer.commit().await.is_err());
    // What waited behind it goes on, and so does the writer.
    home.index.record_blob(&repository("app"), &blob("layer"), NOW).await?;
    writer.rollback().await?;
    recording.rollback().await?;
    writer.begin().await?;
    assert!(timeout(LONG, writer.hold_stores()).await??);
    writer.commit().await?;
    other.close().await?;
    Ok(())
}
