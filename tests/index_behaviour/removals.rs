//! Cases about repositories that are removed while something is given to them.

use roadstead::index::{Destination, IndexErrorKind, Writer};
use roadstead::oci::{RepositoryIdentity, RepositoryName, Visibility};
use tokio::task::JoinSet;

use crate::fixtures::{NOW, blob, give, key, manifest, repository, sha256};
use crate::{Case, Outcome, case, home::Home};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        case(what_was_allowed_in_a_repository_is_given_to_no_later_one_of_its_name),
        case(a_removal_beside_blobs_takes_each_or_refuses_it),
    ]
}

async fn identity(home: &Home, name: &RepositoryName) -> Option<RepositoryIdentity> {
    let record = home.index.repository(name).await.expect("it can be read");
    record.map(|record| record.identity())
}

async fn remove(home: &Home, name: &RepositoryName) -> Outcome {
    let mut writer: Writer = home.index.lock().await?;
    writer.begin().await?;
    writer.remove_repository(name).await?;
    Ok(writer.commit().await?)
}

async fn what_was_allowed_in_a_repository_is_given_to_no_later_one_of_its_name(
    home: Home,
) -> Outcome {
    let (app, other) = (repository("team/app"), repository("team/other"));
    home.index.record_blob(&other, &blob("shared"), NOW).await?;
    home.index.record_blob(&app, &blob("layer"), NOW).await?;
    let before = identity(&home, &app).await;
    assert!(before.is_some());
    remove(&home, &app).await?;
    // Absent, and then another one of the same name, which on SQLite has its number.
    for is_made_again in [false, true] {
        if is_made_again {
            home.index.record_blob(&app, &blob("new"), NOW + 1).await?;
        }
        let destination = Destination { repository: &app, identity: before };
        let recorded = home.index.record_blob(destination, &blob("layer"), NOW + 2).await;
        assert_eq!(recorded.map_err(|error| error.kind), Err(IndexErrorKind::Removed));
        let mounted = home.index.mount_blob(destination, &sha256("shared"), NOW + 2).await;
        assert_eq!(mounted.map_err(|error| error.kind), Err(IndexErrorKind::Removed));
        // A small blob, and one of several blocks.
        let mut large = blob("large");
        large.blocks.push(crate::fixtures::leaf("second", 5, 6));
        for (id, new) in [("small", blob("small")), ("large", large)] {
            home.index.create_upload(id, &app, "", NOW).await?;
            home.index.claim_upload(&key(&app, id), None, "claim", NOW, NOW).await?;
            let ended = home.index.finish_upload(id, "claim", destination, &new, NOW + 2).await;
            match ended {
                Ok(has_ended) => assert!(!has_ended, "{id}"),
                Err(error) => assert_eq!(error.kind, IndexErrorKind::Removed, "{id}"),
            }
            assert_eq!(home.index.stored_blob(&new.blob.canonical).await?, None, "{id}");
            assert!(home.index.remove_upload(id).await?, "{id}");
        }
        for text in ["layer", "shared", "small", "large"] {
            assert_eq!(home.index.blob(&app, &sha256(text)).await?, None, "{text}");
        }
        assert_eq!(identity(&home, &app).await.is_some(), is_made_again);
    }
    let destination = Destination { repository: &app, identity: identity(&home, &app).await };
    home.index.record_blob(destination, &blob("layer"), NOW + 3).await?;
    assert!(home.index.mount_blob(destination, &sha256("shared"), NOW + 3).await?);
    home.index.create_upload("1", &app, "", NOW).await?;
    home.index.claim_upload(&key(&app, "1"), None, "claim", NOW, NOW).await?;
    assert!(home.index.finish_upload("1", "claim", destination, &blob("small"), NOW).await?);
    Ok(())
}

async fn a_removal_beside_blobs_takes_each_or_refuses_it(home: Home) -> Outcome {
    let other = repository("team/other");
    home.index.record_blob(&other, &blob("shared"), NOW).await?;
    for round in 0..15_i64 {
        let app = repository("team/app");
        let mut writer = home.index.lock().await?;
        writer.set_visibility(&app, Visibility::Private, NOW + round).await?;
        writer.begin().await?;
        give(&mut writer, &app, "image", &manifest("image")).await?;
        writer.commit().await?;
        drop(writer);
        let identity = identity(&home, &app).await;
        let mut tasks = JoinSet::new();
        for number in 0..9 {
            let (index, name) = (home.index.clone(), app.clone());
            tasks.spawn(async move {
                let destination = Destination { repository: &name, identity };
                let new = blob(&format!("blob {round} {number}"));
                match number % 3 {
                    0 => index.record_blob(destination, &new, NOW).await.map(|()| true),
                    1 => index.mount_blob(destination, &sha256("shared"), NOW).await,
                    _ => {
                        let id = format!("{round} {number}");
                        index.create_upload(&id, &name, "", NOW).await?;
                        let claimed = key(&name, &id);
                        index.claim_upload(&claimed, None, "claim", NOW, NOW).await?;
                        index.finish_upload(&id, "claim", destination, &new, NOW).await
                    }
                }
            });
            if number == 3 {
                let (home, app) = (home.clone(), app.clone());
                tasks.spawn(async move {
                    let mut writer = home.index.lock().await?;
                    writer.begin().await?;
                    writer.remove_repository(&app).await?;
                    writer.commit().await?;
                    Ok(true)
                });
            }
        }
        while let Some(done) = tasks.join_next().await {
            if let Err(error) = done? {
                assert_eq!(error.kind, IndexErrorKind::Removed, "{round}: {error:?}");
            }
        }
        assert_eq!(home.index.repository(&app).await?, None, "{round}: it is there again");
        assert_eq!(home.index.usage().await?, home.index.counted_usage().await?);
    }
    Ok(())
}
