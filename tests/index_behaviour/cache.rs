//! Cases about what is kept in memory: it is never served old, and saves queries.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use roadstead::index::Index;

use crate::fixtures::{NOW, blob, canonical, give, manifest, repository, sha256, tag, target};
use crate::{Case, Outcome, case, case_on, home::Home};

/// How often the tag is moved.
const MOVES: u64 = 1_000;

/// How many look for it meanwhile.
const READERS: usize = 8;

pub(crate) fn cases() -> Vec<Case> {
    vec![
        case(what_was_found_is_gone_once_it_was_removed),
        case(a_tag_that_moved_is_never_seen_where_it_was),
        case_on("postgres", a_tag_moved_by_another_process_is_never_seen_where_it_was),
        case_on("postgres", many_look_ups_share_each_query_of_the_version),
        case_on("postgres", memory_ends_with_the_connection_that_it_was_seen_by),
    ]
}

async fn what_was_found_is_gone_once_it_was_removed(home: Home) -> Outcome {
    let mine = repository("app");
    let other = home.open_again().await?;
    for _ in 0..3 {
        home.index.record_blob(&mine, &blob("layer"), NOW).await?;
        let mut writer = home.index.lock().await?;
        give(&mut writer, &mine, "image", &manifest("image")).await?;
        writer.put_tag(&mine, &tag("v1"), &target("image")).await?;
        for index in [&home.index, &other, &home.index, &other] {
            // A file has one process; the second one of this case only stands for it.
            if index.is_shared() || Arc::ptr_eq(index, &home.index) {
                assert!(index.tagged_manifest(&mine, &tag("v1")).await?.is_some());
                assert!(index.manifest(&mine, &sha256("image")).await?.is_some());
                assert!(index.blob(&mine, &sha256("layer")).await?.is_some());
            }
        }
        writer.begin().await?;
        writer.remove_manifest(&mine, &canonical("image")).await?;
        writer.remove_blob(&mine, &canonical("layer")).await?;
        writer.commit().await?;
        drop(writer);
        for index in [&home.index, &other] {
            if index.is_shared() || Arc::ptr_eq(index, &home.index) {
                assert_eq!(index.tagged_manifest(&mine, &tag("v1")).await?, None);
                assert_eq!(index.manifest(&mine, &sha256("image")).await?, None);
                assert_eq!(index.blob(&mine, &sha256("layer")).await?, None);
            }
        }
    }
    Ok(())
}

async fn a_tag_that_moved_is_never_seen_where_it_was(home: Home) -> Outcome {
    check_moves(&home.index, &home.index).await
}

async fn a_tag_moved_by_another_process_is_never_seen_where_it_was(home: Home) -> Outcome {
    let other = home.open_again().await?;
    check_moves(&home.index, &other).await
}

/// The name of the image that a move goes to.
fn nth(number: u64) -> &'static str {
    if number.is_multiple_of(2) { "even" } else { "odd" }
}

/// Moves a tag by one index while it is looked for by the other. The media types count the moves.
async fn check_moves(writing: &Arc<Index>, reading: &Arc<Index>) -> Outcome {
    let mine = repository("app");
    let media_type = |number: u64| format!("application/{number}");
    let acknowledged = Arc::new(AtomicU64::new(0));
    let begin = acknowledged.clone();
    let writing = writing.clone();
    let moving = async move {
        let mine = repository("app");
        let mut writer = writing.lock().await?;
        for number in 1..=MOVES {
            let image = nth(number);
            let mut given = manifest(image);
            given.media_type = media_type(number);
            writer.begin().await?;
            give(&mut writer, &mine, image, &given).await?;
            writer.put_tag(&mine, &tag("v1"), &target(image)).await?;
            writer.commit().await?;
            begin.store(number, Ordering::SeqCst);
            if number.is_multiple_of(50) {
                // So that something is found in memory as well.
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        roadstead::index::Result::Ok(())
    };
    let moving = tokio::spawn(moving);
    let mut readers = Vec::new();
    for reader in 0..READERS {
        let (index, mine, acknowledged) = (reading.clone(), mine.clone(), acknowledged.clone());
        readers.push(tokio::spawn(async move {
            let mut count = 0_u64;
            loop {
                let before = acknowledged.load(Ordering::SeqCst);
                // By its record a row is as it was when that was read, or later.
                let record = if reader % 2 == 0 { None } else { index.repository(&mine).await? };
                let found = match &record {
                    Some(record) => index.tagged_manifest(record, &tag("v1")).await?,
                    None => index.tagged_manifest(&mine, &tag("v1")).await?,
                };
                if before > 0 {
                    let found = found.expect("it was tagged");
                    let number = found.media_type.trim_start_matches("application/").to_owned();
                    let number: u64 = number.parse().expect("it is a number");
                    assert!(number >= before, "{number} after {before}");
                    let image = nth(number);
                    assert_eq!(found.digest, sha256(image));
                }
                count += 1;
                // What is in memory is answered at once.
                tokio::task::yield_now().await;
                if before == MOVES {
                    return roadstead::index::Result::Ok(count);
                }
            }
        }));
    }
    moving.await??;
    let mut count = 0;
    for reader in readers {
        count += reader.await??;
    }
    assert!(count > MOVES, "{count} look-ups");
    Ok(())
}

/// How often the table was read so far, as the server counts; it learns of it with a delay.
const READS: &str = "SELECT CAST(seq_scan + COALESCE(idx_scan, 0) AS BIGINT) FROM pg_stat_user_tables \
     WHERE relname = 'clock' AND schemaname = current_schema()";

async fn reads_of_the_clock(home: &Home) -> Result<i64, Box<dyn std::error::Error>> {
    let mut last = home.number(READS).await?;
    loop {
        // A session tells at most once a second.
        tokio::time::sleep(Duration::from_secs(2)).await;
        let now = home.number(READS).await?;
        if now == last {
            return Ok(now);
        }
        last = now;
    }
}

async fn many_look_ups_share_each_query_of_the_version(home: Home) -> Outcome {
    const LOOK_UPS: i64 = 400;
    const TASKS: i64 = 64;

    let mine = repository("app");
    let mut writer = home.index.lock().await?;
    give(&mut writer, &mine, "image", &manifest("image")).await?;
    writer.put_tag(&mine, &tag("v1"), &target("image")).await?;
    drop(writer);
    let before = reads_of_the_clock(&home).await?;
    let tasks = (0..TASKS).map(|_| {
        let (index, mine) = (home.index.clone(), mine.clone());
        tokio::spawn(async move {
            for _ in 0..LOOK_UPS {
                let found = index.tagged_manifest(&mine, &tag("v1")).await?;
                assert!(found.is_some());
            }
            roadstead::index::Result::Ok(())
        })
    });
    let tasks: Vec<_> = tasks.collect();
    for task in tasks {
        task.await??;
    }
    let queries = reads_of_the_clock(&home).await? - before;
    assert!(queries > 0, "the server counts nothing");
    assert!(queries < TASKS * LOOK_UPS / 8, "{queries} for {} look-ups", TASKS * LOOK_UPS);
    Ok(())
}

/// A database that was set back comes by the same versions once more, with other content.
async fn memory_ends_with_the_connection_that_it_was_seen_by(home: Home) -> Outcome {
    let mine = repository("app");
    let mut writer = home.index.lock().await?;
    give(&mut writer, &mine, "image", &manifest("image")).await?;
    writer.put_tag(&mine, &tag("v1"), &target("image")).await?;
    drop(writer);
    for _ in 0..3 {
        assert!(home.index.tagged_manifest(&mine, &tag("v1")).await?.is_some());
    }
    home.execute("DELETE FROM tags").await?;
    assert!(home.index.tagged_manifest(&mine, &tag("v1")).await?.is_some(), "it is in memory");
    home.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() \
         AND query LIKE 'SELECT version%FROM clock%'",
    )
    .await?;
    assert_eq!(home.index.tagged_manifest(&mine, &tag("v1")).await?, None);
    Ok(())
}
