//! Cases about quotas and the ledger of what namespaces have.

use roadstead::index::{
    Actor, Added, Changed, Claim, EdgeKind, Holding, IndexErrorKind, NewManifest, Quota,
    QuotaExceeded, QuotaKind, Usage,
};
use tokio::task::JoinSet;

use crate::fixtures::{
    NOW, Numbers, blob, blob_with_alias, canonical, edge, give, key, manifest, repository, sha256,
    sha512, tag, target,
};
use crate::{Case, Outcome, case, home::Home};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        case(a_ledger_counts_each_content_once_and_only_what_a_manifest_names),
        case(a_ledger_is_what_the_rows_come_to_whatever_is_changed),
        case(a_cleared_index_has_empty_ledgers_and_all_quotas),
        case(a_quota_is_set_listed_and_removed),
        case(blobs_at_once_come_to_no_more_than_the_quota),
        case(a_blob_that_the_namespace_has_is_no_more_of_it),
        case(uploads_that_are_saved_at_once_come_to_no_more_than_the_quota),
        case(a_savepoint_undoes_what_came_after_it),
    ]
}

async fn usage(home: &Home, namespace: &str) -> Result<Usage, Box<dyn std::error::Error>> {
    let ledgers = home.index.usage().await?;
    assert_eq!(ledgers, home.index.counted_usage().await?);
    let found = ledgers.into_iter().find(|(name, _)| name == namespace);
    Ok(found.map(|(_, usage)| usage).unwrap_or_default())
}

async fn limit(home: &Home, namespace: &str, quota: Quota) -> Outcome {
    let added = home.index.add_namespace(namespace, None, &Actor::default(), NOW).await?;
    assert!(matches!(added, Added::Made(_) | Added::Taken));
    let set = home.index.set_quota(namespace, &quota, &Actor::default(), NOW).await?;
    assert_eq!(set, Changed::Done);
    Ok(())
}

async fn a_ledger_counts_each_content_once_and_only_what_a_manifest_names(home: Home) -> Outcome {
    let (app, other) = (repository("team/app"), repository("team/other"));
    for holder in [&app, &other] {
        home.index.record_blob(holder, &blob_with_alias("layer"), NOW).await?;
    }
    home.index.record_blob(&app, &blob("loose"), NOW).await?;
    home.index.record_blob(&repository("teams/app"), &blob("layer"), NOW).await?;
    let unnamed = Usage { unreferenced: 10, ..Usage::default() };
    assert_eq!(usage(&home, "team").await?, unnamed, "two blobs of five bytes");

    let mut writer = home.index.lock().await?;
    let edges = vec![edge(EdgeKind::Blob, sha256("layer"))];
    for holder in [&app, &other] {
        give(
            &mut writer,
            holder,
            "image",
            &NewManifest { edges: edges.clone(), ..manifest("image") },
        )
        .await?;
        writer.set_linked(holder, &[sha256("layer"), sha512("layer")], true).await?;
        writer.put_tag(holder, &tag("v1"), &target("image")).await?;
    }
    let named = Usage { bytes: 10, unreferenced: 5, repositories: 2, tags: 2 };
    assert_eq!(usage(&home, "team").await?, named, "the layer and the manifest, once each");
    writer.put_tag(&app, &tag("v1"), &target("image")).await?;
    writer.put_tag(&app, &tag("v2"), &target("image")).await?;
    assert_eq!(usage(&home, "team").await?, Usage { tags: 3, ..named });

    writer.remove_manifest(&app, &canonical("image")).await?;
    writer.set_linked(&app, &[sha256("layer"), sha512("layer")], false).await?;
    let left = Usage { repositories: 1, tags: 1, ..named };
    assert_eq!(usage(&home, "team").await?, left, "the other has it still");
    writer.remove_manifest(&other, &canonical("image")).await?;
    writer.set_linked(&other, &[sha256("layer"), sha512("layer")], false).await?;
    assert_eq!(usage(&home, "team").await?, unnamed);
    for holder in [&app, &other] {
        writer.forget_unlinked(holder).await?;
    }
    assert_eq!(usage(&home, "team").await?, Usage::default());
    assert_eq!(usage(&home, "teams").await?, Usage { unreferenced: 5, ..Usage::default() });
    Ok(())
}

async fn a_ledger_is_what_the_rows_come_to_whatever_is_changed(home: Home) -> Outcome {
    let (seed, mut numbers) = Numbers::cast();
    let repositories = ["one", "one/app", "one/other", "two/app", "oneself/app"].map(repository);
    let contents: Vec<String> = (0..6).map(|number| "x".repeat(1 << number)).collect();
    for step in 0..400 {
        let holder = &repositories[numbers.below(repositories.len())];
        let text = contents[numbers.below(contents.len())].as_str();
        match numbers.below(9) {
            0 => home.index.record_blob(holder, &blob_with_alias(text), NOW).await?,
            1 => drop(home.index.mount_blob(holder, &sha256(text), NOW).await?),
            act => {
                let mut writer = home.index.lock().await?;
                let (names, own) = ([sha256(text), sha512(text)], canonical(text));
                match act {
                    2 => give(&mut writer, holder, text, &manifest(text)).await?,
                    3 => writer.set_linked(holder, &names, true).await?,
                    4 => writer.set_linked(holder, &names[..1], false).await?,
                    5 => writer.remove_manifest(holder, &own).await?,
                    6 => writer.remove_blob(holder, &own).await?,
                    7 => writer.forget_unlinked(holder).await?,
                    _ if writer.manifest(holder, &names[0]).await?.is_some() => {
                        let name = tag(["v1", "v2"][numbers.below(2)]);
                        writer.put_tag(holder, &name, &target(text)).await?;
                    }
                    _ => writer.remove_tag(holder, &tag("v1")).await?,
                }
            }
        }
        let (ledgers, counted) = (home.index.usage().await?, home.index.counted_usage().await?);
        assert_eq!(ledgers, counted, "step {step} of TEST_SEED={seed}");
    }
    Ok(())
}

async fn a_cleared_index_has_empty_ledgers_and_all_quotas(home: Home) -> Outcome {
    limit(&home, "team", Quota { tags: Some(1), ..Quota::default() }).await?;
    home.index.record_blob(&repository("team/app"), &blob("layer"), NOW).await?;
    // What was counted wrong is counted anew.
    home.execute("UPDATE namespace_usage SET bytes = 77, tags = 7").await?;
    let mut writer = home.index.lock().await?;
    writer.clear().await?;
    assert_eq!(home.index.usage().await?, []);
    writer.put_blob(Some(&repository("team/app")), &blob("layer"), NOW).await?;
    drop(writer);
    assert_eq!(usage(&home, "team").await?, Usage { unreferenced: 5, ..Usage::default() });
    assert!(home.index.quota("team").await?.is_some());
    Ok(())
}

async fn a_quota_is_set_listed_and_removed(home: Home) -> Outcome {
    let actor = Actor { name: Some("root".to_owned()), ..Actor::default() };
    let quota = Quota { bytes: Some(u64::MAX >> 1), tags: Some(0), ..Quota::default() };
    let absent = home.index.set_quota("absent", &quota, &actor, NOW).await?;
    assert_eq!((absent, home.index.quotas(None, 9).await?), (Changed::Unknown, vec![]));
    let small = Quota { repositories: Some(3), unreferenced: Some(10), ..Quota::default() };
    for (name, quota) in [("b", quota), ("a", small)] {
        limit(&home, name, quota).await?;
    }
    let rows = home.index.quotas(None, 9).await?;
    let found: Vec<_> = rows.iter().map(|row| (row.namespace.as_str(), row.quota)).collect();
    let unlimited = Quota { tags: Some(0), ..Quota::default() };
    assert_eq!(found, [("a", small), ("b", unlimited)], "the greatest number limits nothing");
    assert_eq!(home.index.quotas(Some("a"), 9).await?.len(), 1);
    assert_eq!(home.index.quotas(None, 1).await?.len(), 1);
    assert_eq!(home.index.remove_quota("b", &actor, NOW).await?, Changed::Done);
    assert_eq!(home.index.remove_quota("b", &actor, NOW).await?, Changed::Unchanged);
    assert_eq!(home.index.quota("b").await?, None);
    let too_great = Quota { bytes: Some(u64::MAX), ..Quota::default() };
    assert!(home.index.set_quota("a", &too_great, &actor, NOW).await.is_err());
    assert_eq!(home.number("SELECT COUNT(*) FROM events WHERE kind = 'quota'").await?, 3);
    Ok(())
}

async fn blobs_at_once_come_to_no_more_than_the_quota(home: Home) -> Outcome {
    limit(&home, "team", Quota { unreferenced: Some(65), ..Quota::default() }).await?;
    let mut pushes = JoinSet::new();
    for number in 0..50 {
        let index = home.index.clone();
        let holder = repository(["team/app", "team/other"][number % 2]);
        let new = blob(&format!("blob{number:02}"));
        pushes.spawn(async move { index.record_blob(&holder, &new, NOW).await });
    }
    let mut stored = 0;
    while let Some(pushed) = pushes.join_next().await {
        match pushed? {
            Ok(()) => stored += 1,
            Err(error) => {
                assert_eq!(error.kind, IndexErrorKind::OverQuota, "{error:?}");
                let exceeded = error.exceeded().expect("it says which");
                let QuotaExceeded { namespace, kind, used, allowed } = exceeded;
                assert_eq!((namespace.as_str(), *kind), ("team", QuotaKind::Unreferenced));
                assert!(*used <= 65 && used + 6 > 65 && *allowed == 65, "{exceeded:?}");
            }
        }
    }
    assert_eq!(stored, 10);
    assert_eq!(usage(&home, "team").await?, Usage { unreferenced: 60, ..Usage::default() });
    home.index.record_blob(&repository("other/app"), &blob("blob99"), NOW).await?;
    Ok(())
}

async fn a_blob_that_the_namespace_has_is_no_more_of_it(home: Home) -> Outcome {
    let (app, other) = (repository("team/app"), repository("team/other"));
    limit(&home, "team", Quota { unreferenced: Some(5), ..Quota::default() }).await?;
    home.index.record_blob(&app, &blob("layer"), NOW).await?;
    home.index.record_blob(&repository("foreign/app"), &blob("extra"), NOW).await?;
    assert!(home.index.mount_blob(&other, &sha256("layer"), NOW).await?);
    home.index.record_blob(&app, &blob_with_alias("layer"), NOW).await?;
    let refused = home.index.mount_blob(&other, &sha256("extra"), NOW).await;
    assert_eq!(refused.map_err(|error| error.kind), Err(IndexErrorKind::OverQuota));
    for (text, expected) in [("layer", Holding::Unreferenced), ("extra", Holding::None)] {
        assert_eq!(home.index.holding(&other, &canonical(text)).await?, expected, "{text}");
    }
    assert_eq!(home.index.blob(&other, &sha256("extra")).await?, None);
    // An upload that is refused has ended nothing.
    home.index.create_upload("1", &other, "", NOW).await?;
    let upload = key(&other, "1");
    home.index.claim_upload(&upload, None, "claim", NOW, NOW).await?;
    let refused = home.index.finish_upload("1", "claim", &other, &blob("extra"), NOW).await;
    assert_eq!(refused.map_err(|error| error.kind), Err(IndexErrorKind::OverQuota));
    assert!(home.index.upload(&upload).await?.is_some());
    assert!(home.index.finish_upload("1", "claim", &other, &blob("layer"), NOW).await?);
    assert_eq!(usage(&home, "team").await?, Usage { unreferenced: 5, ..Usage::default() });
    Ok(())
}

async fn uploads_that_are_saved_at_once_come_to_no_more_than_the_quota(home: Home) -> Outcome {
    limit(&home, "team", Quota { unreferenced: Some(65), ..Quota::default() }).await?;
    let holders = [repository("team/app"), repository("team")];
    // Of another namespace, and so not counted.
    let elsewhere = repository("team2/app");
    home.index.create_upload("other", &elsewhere, "", NOW).await?;
    home.index.claim_upload(&key(&elsewhere, "other"), None, "claim", 0, NOW).await?;
    assert!(home.index.save_upload("other", "claim", 1000, b"", NOW).await?);
    let mut saves = JoinSet::new();
    for number in 0..30 {
        let (index, holder) = (home.index.clone(), holders[number % 2].clone());
        saves.spawn(async move {
            let id = number.to_string();
            index.create_upload(&id, &holder, "", NOW).await?;
            let claimed = index.claim_upload(&key(&holder, &id), None, "claim", 0, NOW).await?;
            let Claim::Granted(row) = claimed else { panic!("nobody else has it: {claimed:?}") };
            // A third of them end as blobs at the same time.
            if number % 3 == 0 {
                let new = blob(&format!("blob{number:02}"));
                index.finish_upload(&id, "claim", &holder, &new, NOW).await.map(|_| 6)
            } else {
                index.save_upload_within_quota(&row, "claim", 10, b"", NOW).await.map(|_| 10)
            }
        });
    }
    let mut bytes = 0;
    while let Some(saved) = saves.join_next().await {
        match saved? {
            Ok(size) => bytes += size,
            Err(error) => assert_eq!(error.kind, IndexErrorKind::OverQuota, "{error:?}"),
        }
    }
    assert!((56..=65).contains(&bytes), "{bytes}");
    let usage = usage(&home, "team").await?.unreferenced;
    let pending = home.index.upload_bytes_beside(&holders[0], "").await?;
    assert_eq!(usage + pending, bytes);
    // A claim that is lost saves nothing.
    home.index.create_upload("lost", &holders[0], "", NOW).await?;
    let claimed = home.index.claim_upload(&key(&holders[0], "lost"), None, "claim", 0, NOW).await?;
    let Claim::Granted(row) = claimed else { panic!("nobody else has it: {claimed:?}") };
    assert!(!home.index.save_upload_within_quota(&row, "other", 0, b"", NOW).await?);
    Ok(())
}

async fn a_savepoint_undoes_what_came_after_it(home: Home) -> Outcome {
    let app = repository("team/app");
    let mut writer = home.index.lock().await?;
    writer.begin().await?;
    give(&mut writer, &app, "one", &manifest("one")).await?;
    writer.set_savepoint().await?;
    give(&mut writer, &app, "two", &manifest("two")).await?;
    writer.undo_to_savepoint().await?;
    writer.set_savepoint().await?;
    give(&mut writer, &app, "three", &manifest("three")).await?;
    writer.release_savepoint().await?;
    writer.commit().await?;
    drop(writer);
    for (text, is_there) in [("one", true), ("two", false), ("three", true)] {
        assert_eq!(home.index.manifest(&app, &sha256(text)).await?.is_some(), is_there, "{text}");
    }
    let expected = Usage { bytes: 8, repositories: 1, ..Usage::default() };
    assert_eq!(usage(&home, "team").await?, expected);
    Ok(())
}
