//! Cases about opening an index: again, beside a server, and when that cannot be.

use std::fs;
use std::path::Path;

use roadstead::index::{self, Actor, Index, IndexErrorKind};
use roadstead::oci::TreeId::{Private, Public};

use crate::fixtures::{NOW, blob, cid, give, key, manifest, repository, sha256, tag, target};
use crate::{Case, Outcome, case, case_on, home::Home};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        case(everything_is_there_when_opened_again),
        case(an_index_of_a_newer_version_is_refused),
        case(an_index_of_the_first_version_is_brought_up_to_date),
        case(an_index_is_read_beside_a_server),
        case(an_index_opened_for_reading_cannot_be_written_to),
        case(a_healthy_index_answers_a_ping),
        case(an_unknown_scheme_is_refused),
        case_on("sqlite", a_damaged_file_is_refused),
        case_on("sqlite", a_torn_file_is_refused),
        case_on("sqlite", a_damaged_row_differs_from_an_absent_one),
        case_on("sqlite", reading_makes_no_file),
        case_on("postgres", an_absent_server_is_unavailable),
    ]
}

async fn fill(index: &Index) -> Outcome {
    let mine = repository("app");
    index.record_blob(&mine, &blob("layer"), NOW).await?;
    index.create_upload("1", &mine, "", NOW).await?;
    index.enqueue(&Actor::default(), b"entry", None, NOW).await?;
    let mut writer = index.lock().await?;
    writer.begin().await?;
    give(&mut writer, &mine, "image", &manifest("image")).await?;
    writer.put_tag(&mine, &tag("v1"), &target("image")).await?;
    writer.commit().await?;
    Ok(())
}

async fn check(index: &Index) -> Outcome {
    let mine = repository("app");
    assert!(index.blob(&mine, &sha256("layer")).await?.is_some());
    assert!(index.upload(&key(&mine, "1")).await?.is_some());
    assert_eq!(index.open_entry_count().await?, 1);
    assert!(index.tagged_manifest(&mine, &tag("v1")).await?.is_some());
    Ok(())
}

async fn everything_is_there_when_opened_again(home: Home) -> Outcome {
    fill(&home.index).await?;
    let version = home.index.version().await?;
    let again = home.open_again().await?;
    check(&again).await?;
    assert_eq!(again.version().await?, version);
    again.lock().await?.put_nodes(&[(cid("node"), None)]).await?;
    assert!(again.version().await? > version);
    Ok(())
}

async fn an_index_of_a_newer_version_is_refused(home: Home) -> Outcome {
    home.execute(
        "UPDATE _sqlx_migrations SET version = 9999 \
         WHERE version = (SELECT MAX(version) FROM _sqlx_migrations)",
    )
    .await?;
    for _ in 0..2 {
        for refused in [home.open_again().await, index::open_read_only(&home.url).await] {
            let error = refused.err().ok_or("it was opened")?;
            assert_eq!(error.kind, IndexErrorKind::Newer, "{error:?}");
        }
    }
    home.execute("UPDATE _sqlx_migrations SET version = 0 WHERE version = 9999").await?;
    let older = index::open_read_only(&home.url).await.err().ok_or("it was opened")?;
    assert_eq!(older.kind, IndexErrorKind::Older, "{older:?}");
    Ok(())
}

/// Takes back the migration that has brought accounts.
async fn unmake_accounts(home: &Home) -> Outcome {
    if home.index.is_shared() {
        home.execute("ALTER TABLE principals DROP COLUMN namespace CASCADE").await?;
    } else {
        home.execute("DROP INDEX principals_namespace").await?;
    }
    for table in [
        "DROP TABLE access_tokens",
        "DROP TABLE grants",
        "DROP TABLE team_members",
        "DROP TABLE teams",
        "DROP TABLE namespaces",
        "DROP TABLE principals",
        "DROP TABLE reserved_names",
        "DROP TABLE setup_code",
        "DROP TABLE signing_keys",
        "DROP TABLE sign_in_method",
        "DROP TABLE account_clock",
        "DROP INDEX repositories_visibility",
        "CREATE TABLE users (id INTEGER PRIMARY KEY)",
        "CREATE TABLE grants (holder INTEGER NOT NULL REFERENCES users (id))",
    ] {
        home.execute(table).await?;
    }
    Ok(())
}

/// Takes the tables of quotas away, and what counts.
async fn unmake_quotas(home: &Home) -> Outcome {
    let counting: &[&str] = if home.index.is_shared() {
        &[
            "DROP FUNCTION count_repository_blob CASCADE",
            "DROP FUNCTION count_repository_manifest CASCADE",
            "DROP FUNCTION count_tag CASCADE",
            "DROP FUNCTION count_content",
            "DROP FUNCTION add_to_usage",
        ]
    } else {
        &[
            "DROP TRIGGER namespace_contents_added",
            "DROP TRIGGER namespace_contents_changed",
            "DROP TRIGGER namespace_contents_removed",
            "DROP TRIGGER repository_blobs_added",
            "DROP TRIGGER repository_blobs_linked_changed",
            "DROP TRIGGER repository_blobs_removed",
            "DROP TRIGGER repository_manifests_added",
            "DROP TRIGGER repository_manifests_removed",
            "DROP TRIGGER tags_added",
            "DROP TRIGGER tags_removed",
        ]
    };
    for statement in counting.iter().chain(&[
        "DROP TABLE namespace_usage",
        "DROP TABLE namespace_contents",
        "DROP TABLE quotas",
        "DROP INDEX repositories_namespace",
        "ALTER TABLE repositories DROP COLUMN namespace",
    ]) {
        home.execute(statement).await?;
    }
    Ok(())
}

/// Takes away what says since when something is unreferenced.
async fn unmake_times(home: &Home) -> Outcome {
    let noting: &[&str] = if home.index.is_shared() {
        &[
            "DROP FUNCTION note_referenced CASCADE",
            "DROP FUNCTION note_unreferenced CASCADE",
            "DROP FUNCTION note_tag CASCADE",
            "DROP FUNCTION note_unowned CASCADE",
            "DROP FUNCTION is_manifest_named",
        ]
    } else {
        &[
            "DROP TRIGGER manifest_edges_added",
            "DROP TRIGGER manifest_edges_removed",
            "DROP TRIGGER tags_pointed",
            "DROP TRIGGER tags_moved",
            "DROP TRIGGER tags_left",
            "DROP TRIGGER manifests_left",
        ]
    };
    for statement in noting.iter().chain(&[
        "DROP TABLE pull_notes",
        "ALTER TABLE repository_manifests DROP COLUMN pulls",
        "ALTER TABLE repository_manifests DROP COLUMN last_pulled",
        "DROP INDEX repository_blobs_unreferenced",
        "DROP INDEX repository_manifests_untagged",
        "DROP INDEX repository_manifests_foreign",
        "ALTER TABLE repository_blobs DROP COLUMN unreferenced_since",
        "ALTER TABLE repository_manifests DROP COLUMN untagged_since",
        "ALTER TABLE repository_manifests DROP COLUMN has_foreign_layers",
        "ALTER TABLE manifests DROP COLUMN unowned_since",
        "DROP TABLE collection",
    ]) {
        home.execute(statement).await?;
    }
    if home.index.is_shared() {
        home.execute("DROP FUNCTION milliseconds").await?;
    }
    Ok(())
}

async fn an_index_of_the_first_version_is_brought_up_to_date(home: Home) -> Outcome {
    fill(&home.index).await?;
    unmake_times(&home).await?;
    unmake_quotas(&home).await?;
    unmake_accounts(&home).await?;
    home.execute("ALTER TABLE blob_blocks DROP COLUMN node").await?;
    home.execute("DROP TABLE cleaning").await?;
    home.execute("DROP TABLE secrets").await?;
    home.execute("DROP TABLE publication").await?;
    home.execute("DROP TABLE withdrawn").await?;
    for table in ["DROP TABLE events", "DROP TABLE event_counter", "DROP TABLE subscribers"] {
        home.execute(table).await?;
    }
    home.execute("ALTER TABLE pending_edits DROP COLUMN actor").await?;
    home.execute("ALTER TABLE pending_edits DROP COLUMN address").await?;
    home.execute("DROP TABLE unfolded_edits").await?;
    home.execute("ALTER TABLE pending_edits ADD COLUMN tree TEXT").await?;
    home.execute("ALTER TABLE pending_edits ADD COLUMN folded INTEGER NOT NULL DEFAULT 0").await?;
    home.execute("CREATE INDEX pending_edits_state ON pending_edits (state)").await?;
    let entry = "INSERT INTO pending_edits (state, tree, intent, edits, outcome, folded, created) \
                 SELECT 'done', 'public', intent, intent, intent, 0, created FROM pending_edits";
    home.execute(entry).await?;
    home.execute("ALTER TABLE repositories DROP COLUMN tree").await?;
    home.execute("DROP INDEX nodes_private_removed").await?;
    home.execute("ALTER TABLE nodes DROP COLUMN private_removed").await?;
    home.execute("CREATE TABLE remote_roots (name TEXT)").await?;
    home.execute("DROP INDEX repository_blobs_linked").await?;
    home.execute("DROP INDEX repository_blobs_unsettled").await?;
    home.execute("ALTER TABLE repository_blobs DROP COLUMN linked").await?;
    home.execute("DELETE FROM _sqlx_migrations WHERE version > 1").await?;
    assert!(index::open_read_only(&home.url).await.is_err(), "nobody may migrate it by reading");
    let again = home.open_again().await?;
    check(&again).await?;
    let unfolded: Vec<_> = again.folding(Public).await?.edits.into_iter().map(|it| it.1).collect();
    assert_eq!(unfolded, [b"entry"]);
    assert!(again.folding(Private).await?.edits.is_empty());
    assert_eq!(again.lock().await?.tree_of(&repository("app")).await?, Public);
    again.secret("tokens").await?;
    again.begin_cleaning().await?.end().await?;
    assert_eq!(again.published_roots().await?, []);
    assert_eq!(again.publication().await?, None);
    assert_eq!(again.events_after(0, 9).await?, []);
    assert!(!again.has_users().await?);
    let usage = again.usage().await?;
    assert_eq!(usage.len(), 1, "what was there before counts: {usage:?}");
    assert_eq!(usage, again.counted_usage().await?);
    check(&*index::open_read_only(&home.url).await?).await
}

async fn an_index_is_read_beside_a_server(home: Home) -> Outcome {
    let reader = index::open_read_only(&home.url).await?;
    let version = reader.version().await?;
    fill(&home.index).await?;
    check(&reader).await?;
    assert!(reader.version().await? > version);
    Ok(())
}

async fn an_index_opened_for_reading_cannot_be_written_to(home: Home) -> Outcome {
    let mine = repository("app");
    let reader = index::open_read_only(&home.url).await?;
    assert!(reader.record_blob(&mine, &blob("layer"), NOW).await.is_err());
    assert!(reader.mount_blob(&mine, &sha256("layer"), NOW).await.is_err());
    assert!(reader.create_upload("1", &mine, "", NOW).await.is_err());
    assert!(reader.claim_upload(&key(&mine, "1"), None, "a", 0, NOW).await.is_err());
    assert!(reader.save_upload("1", "a", 0, b"", NOW).await.is_err());
    assert!(reader.release_upload("1", "a").await.is_err());
    assert!(reader.remove_upload("1").await.is_err());
    assert!(reader.enqueue(&Actor::default(), b"entry", None, NOW).await.is_err());
    assert!(reader.lock().await.is_err());
    assert!(reader.ping().await.is_err());
    assert!(!home.index.repository_exists(&mine).await?);
    assert_eq!(home.index.upload_ids().await?, Vec::<String>::new());
    Ok(())
}

async fn a_healthy_index_answers_a_ping(home: Home) -> Outcome {
    let before = home.number("SELECT beat FROM heartbeat").await?;
    home.index.ping().await?;
    let after = home.number("SELECT beat FROM heartbeat").await?;
    assert_eq!(after, before + 1, "it writes something");
    home.index.verify().await?;
    let again = home.open_again().await?;
    again.close().await;
    assert!(again.ping().await.is_err(), "nothing is asked of it any more");
    let created = again.create_upload("1", &repository("app"), "", NOW).await;
    assert!(created.is_err(), "nor is anything written");
    home.index.ping().await?;
    Ok(())
}

async fn an_unknown_scheme_is_refused(home: Home) -> Outcome {
    for url in ["", "mysql://localhost/x", "index.sqlite", "sqlite:", "sqlite::memory:"] {
        let refused = index::open(url).await.err().ok_or("it was opened")?;
        assert_eq!(refused.kind, IndexErrorKind::Failed, "{url}");
    }
    check_untouched(&home).await
}

async fn check_untouched(home: &Home) -> Outcome {
    assert_eq!(home.index.repositories(None, None, 9).await?, []);
    Ok(())
}

async fn a_damaged_file_is_refused(home: Home) -> Outcome {
    let path = Path::new(home.file()).with_file_name("damaged.sqlite");
    fs::write(&path, "this is no database, and never was one\n".repeat(500))?;
    let url = format!("sqlite:{}", path.display());
    for refused in [index::open(&url).await, index::open_read_only(&url).await] {
        let error = refused.err().ok_or("it was opened")?;
        assert_eq!(error.kind, IndexErrorKind::Damaged, "{error:?}");
    }
    Ok(())
}

async fn a_torn_file_is_refused(home: Home) -> Outcome {
    fill(&home.index).await?;
    home.execute("PRAGMA wal_checkpoint(TRUNCATE)").await?;
    let path = Path::new(home.file()).with_file_name("torn.sqlite");
    let whole = fs::read(home.file())?;
    fs::write(&path, &whole[..whole.len() / 2])?;
    let refused = index::open(&format!("sqlite:{}", path.display())).await;
    let error = refused.err().ok_or("it was opened")?;
    assert_eq!(error.kind, IndexErrorKind::Damaged, "{error:?}");
    Ok(())
}

async fn a_damaged_row_differs_from_an_absent_one(home: Home) -> Outcome {
    fill(&home.index).await?;
    home.execute("UPDATE blobs SET cid = x'00'").await?;
    let found = home.index.blob(&repository("app"), &sha256("layer")).await;
    assert_eq!(found.map_err(|error| error.kind), Err(IndexErrorKind::Damaged));
    Ok(())
}

async fn reading_makes_no_file(home: Home) -> Outcome {
    let path = Path::new(home.file()).with_file_name("absent.sqlite");
    let url = format!("sqlite:{}", path.display());
    assert!(index::open_read_only(&url).await.is_err());
    assert!(!path.exists());
    Ok(())
}

async fn an_absent_server_is_unavailable(home: Home) -> Outcome {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    drop(listener);
    let refused = index::open(&format!("postgres://nobody@{address}/none")).await;
    let error = refused.err().ok_or("it was opened")?;
    assert_eq!(error.kind, IndexErrorKind::Unavailable, "{error:?}");
    assert!(error.is_retryable());
    check_untouched(&home).await
}
