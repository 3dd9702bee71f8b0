//! Cases about since when a repository's blob or manifest is named by nothing of it, and what a collection may take.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use roadstead::index::{EdgeKind, Index, NewManifest};
use roadstead::oci::{CanonicalDigest, RepositoryName};
use tokio::time::sleep;

use crate::fixtures::{
    NOW, Numbers, blob, blob_with_alias, canonical, edge, give, leaf, manifest, repository, sha256,
    sha512, tag, target,
};
use crate::{Case, Outcome, case, home::Home};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        case(a_blob_is_unreferenced_until_a_manifest_names_it_and_again_without_that),
        case(whoever_learns_of_a_blob_renews_it_also_from_memory),
        case(a_blob_that_is_gone_is_not_renewed),
        case(a_manifest_is_untagged_until_a_tag_or_an_index_names_it),
        case(times_are_what_the_rows_come_to_whatever_is_changed),
        case(only_what_was_not_renewed_is_collectable_under_all_its_names),
        case(what_is_mounted_while_a_collection_takes_it_is_there_afterwards),
        case(content_is_free_once_no_repository_has_it),
        case(what_an_earlier_version_left_has_a_full_period),
        case(one_process_collects_at_a_time),
    ]
}

/// Lists the unreferenced blobs with their times, each once.
async fn unreferenced(
    index: &Index,
) -> Result<BTreeMap<(String, CanonicalDigest), i64>, Box<dyn std::error::Error>> {
    let (mut found, mut next) = (BTreeMap::new(), None);
    loop {
        let page = index.unreferenced_blobs(i64::MAX, next.as_ref(), 2).await?;
        for row in page.blobs {
            let since = found.entry((row.repository.to_string(), row.canonical)).or_insert(0);
            *since = row.since.max(*since);
        }
        let Some(after) = page.next else { return Ok(found) };
        next = Some(after);
    }
}

async fn since(index: &Index, name: &str, text: &str) -> Option<i64> {
    let all = unreferenced(index).await.expect("the index answers");
    all.get(&(name.to_owned(), canonical(text))).copied()
}

/// Tells whether nothing has named a manifest since before that time.
async fn is_untagged(index: &Index, text: &str, before: i64) -> bool {
    let all = index.untagged_of(&repository("app"), before, 100).await.expect("the index answers");
    all.contains(&canonical(text))
}

fn image(edges: Vec<roadstead::index::ManifestEdge>, text: &str) -> NewManifest {
    NewManifest { edges, ..manifest(text) }
}

/// Waits until the clock of the database has moved.
async fn a_moment() {
    sleep(Duration::from_millis(5)).await;
}

async fn a_blob_is_unreferenced_until_a_manifest_names_it_and_again_without_that(
    home: Home,
) -> Outcome {
    let (index, app, other) = (&home.index, repository("app"), repository("other"));
    let before = index.now().await?;
    index.record_blob(&app, &blob_with_alias("layer"), NOW).await?;
    index.record_blob(&other, &blob("layer"), NOW).await?;
    let uploaded = since(index, "app", "layer").await.expect("nothing names it");
    assert!(uploaded >= before, "the time is the database's");
    a_moment().await;
    assert!(index.mount_blob(&app, &sha256("layer"), NOW).await?);
    assert!(since(index, "app", "layer").await > Some(uploaded), "it was mounted once more");

    let mut writer = index.lock().await?;
    for (text, kind) in [("image", EdgeKind::Blob), ("index", EdgeKind::Child)] {
        // By its other name: it has one time.
        give(&mut writer, &app, text, &image(vec![edge(kind, sha512("layer"))], text)).await?;
        assert_eq!(since(index, "app", "layer").await, None, "{text} names it");
    }
    assert!(since(index, "other", "layer").await.is_some(), "not of another repository");
    index.mount_blob(&app, &sha256("layer"), NOW).await?;
    assert_eq!(since(index, "app", "layer").await, None);
    writer.remove_manifest(&app, &canonical("image")).await?;
    assert_eq!(since(index, "app", "layer").await, None, "the index names it still");
    let before = index.now().await?;
    writer.remove_manifest(&app, &canonical("index")).await?;
    assert!(since(index, "app", "layer").await >= Some(before));

    let subject = vec![edge(EdgeKind::Subject, sha256("layer"))];
    give(&mut writer, &app, "signature", &image(subject, "signature")).await?;
    assert!(since(index, "app", "layer").await.is_some(), "a referrer does not name its subject");
    Ok(())
}

async fn whoever_learns_of_a_blob_renews_it_also_from_memory(home: Home) -> Outcome {
    let (index, app) = (&home.index, repository("app"));
    index.record_blob(&app, &blob_with_alias("layer"), NOW).await?;
    let mut last = since(index, "app", "layer").await;
    for name in [sha256("layer"), sha256("layer"), sha512("layer"), sha512("layer")] {
        a_moment().await;
        assert!(index.renewed_blob(&app, &name).await?.is_some());
        let renewed = since(index, "app", "layer").await;
        assert!(renewed > last);
        last = renewed;
    }
    assert_eq!(index.renewed_blob(&app, &sha256("nothing")).await?, None);
    let version = index.version().await?;
    index.set_renewal_lag(Duration::from_mins(1));
    index.renewed_blob(&app, &sha256("layer")).await?;
    let written = since(index, "app", "layer").await;
    a_moment().await;
    index.renewed_blob(&app, &sha256("layer")).await?;
    assert_eq!(since(index, "app", "layer").await, written, "it is new enough");
    assert_eq!(index.version().await?, version, "nothing that a pull sees has changed");
    Ok(())
}

async fn a_blob_that_is_gone_is_not_renewed(home: Home) -> Outcome {
    let (index, app) = (&home.index, repository("app"));
    index.record_blob(&app, &blob("layer"), NOW).await?;
    for _ in 0..2 {
        assert!(index.renewed_blob(&app, &sha256("layer")).await?.is_some());
    }
    // Behind the back of what is in memory.
    home.execute("DELETE FROM repository_blobs").await?;
    assert_eq!(index.renewed_blob(&app, &sha256("layer")).await?, None);
    Ok(())
}

async fn a_manifest_is_untagged_until_a_tag_or_an_index_names_it(home: Home) -> Outcome {
    let (index, app) = (&home.index, repository("app"));
    let mut writer = index.lock().await?;
    for text in ["image", "other"] {
        give(&mut writer, &app, text, &manifest(text)).await?;
    }
    a_moment().await;
    let later = index.now().await?;
    assert!(is_untagged(index, "image", later).await);
    assert!(index.renewed_manifest(&app, &sha256("image")).await?.is_some());
    assert!(!is_untagged(index, "image", later).await);
    assert!(is_untagged(index, "image", i64::MAX).await);
    writer.put_tag(&app, &tag("v1"), &target("image")).await?;
    assert!(!is_untagged(index, "image", i64::MAX).await);
    let children = vec![edge(EdgeKind::Child, sha256("image"))];
    give(&mut writer, &app, "index", &image(children, "index")).await?;
    writer.put_tag(&app, &tag("v1"), &target("other")).await?;
    assert!(!is_untagged(index, "image", i64::MAX).await, "the index names it");
    assert!(!is_untagged(index, "other", i64::MAX).await, "the tag names it");
    let before = index.now().await?;
    writer.remove_manifest(&app, &canonical("index")).await?;
    writer.remove_tag(&app, &tag("v1")).await?;
    for text in ["image", "other"] {
        assert!(!is_untagged(index, text, before).await, "{text}");
        assert!(is_untagged(index, text, i64::MAX).await, "{text}");
    }
    writer.put_tag(&app, &tag("v2"), &target("image")).await?;
    assert!(index.renewed_manifest(&app, &sha256("image")).await?.is_some());
    assert!(!is_untagged(index, "image", i64::MAX).await);
    Ok(())
}

/// What a repository has, as the case remembers it.
#[derive(Default)]
struct Model {
    blobs: BTreeSet<usize>,
    /// What each manifest names, by its number.
    manifests: BTreeMap<usize, Vec<(EdgeKind, usize)>>,
    tags: BTreeMap<usize, usize>,
}

impl Model {
    fn is_named(&self, number: usize) -> bool {
        let mut edges = self.manifests.values().flatten();
        edges.any(|(kind, target)| *kind != EdgeKind::Subject && *target == number)
    }

    fn unreferenced(&self) -> BTreeSet<CanonicalDigest> {
        let unnamed = self.blobs.iter().filter(|number| !self.is_named(**number));
        unnamed.map(|number| canonical(&number.to_string())).collect()
    }

    fn untagged(&self) -> BTreeSet<CanonicalDigest> {
        let is_tagged = |number: &usize| self.tags.values().any(|target| target == number);
        // One that refers to a manifest of the repository is not listed.
        let has_subject = |edges: &[(EdgeKind, usize)]| {
            let mut edges = edges.iter();
            edges.any(|(kind, target)| {
                *kind == EdgeKind::Subject && self.manifests.contains_key(target)
            })
        };
        let unnamed = self.manifests.iter().filter(|(number, edges)| {
            !is_tagged(number) && !self.is_named(**number) && !has_subject(edges)
        });
        unnamed.map(|(number, _)| canonical(&number.to_string())).collect()
    }
}

async fn times_are_what_the_rows_come_to_whatever_is_changed(home: Home) -> Outcome {
    let (seed, mut numbers) = Numbers::cast();
    let names: [RepositoryName; 2] = ["one/app", "two"].map(repository);
    let mut models = [Model::default(), Model::default()];
    for step in 0..300 {
        let which = numbers.below(2);
        let (name, model) = (&names[which], &mut models[which]);
        let number = numbers.below(6);
        let text = number.to_string();
        match numbers.below(8) {
            0 | 1 => {
                home.index.record_blob(name, &blob_with_alias(&text), NOW).await?;
                model.blobs.insert(number);
            }
            2 | 3 => {
                let mut edges = Vec::new();
                for _ in 0..numbers.below(4) {
                    let kinds = [EdgeKind::Blob, EdgeKind::Child, EdgeKind::Subject];
                    edges.push((kinds[numbers.below(3)], numbers.below(6)));
                }
                let by_name = |(kind, target): &(EdgeKind, usize)| {
                    let text = target.to_string();
                    let is_long = *kind == EdgeKind::Blob && target % 2 == 1;
                    edge(*kind, if is_long { sha512(&text) } else { sha256(&text) })
                };
                let new = image(edges.iter().map(by_name).collect(), &text);
                let mut writer = home.index.lock().await?;
                give(&mut writer, name, &text, &new).await?;
                model.manifests.insert(number, edges);
            }
            4 => {
                let mut writer = home.index.lock().await?;
                writer.remove_manifest(name, &canonical(&text)).await?;
                model.manifests.remove(&number);
                model.tags.retain(|_, target| *target != number);
            }
            5 => {
                let mut writer = home.index.lock().await?;
                let label = numbers.below(3);
                if model.manifests.contains_key(&number) {
                    let tag = tag(&format!("v{label}"));
                    writer.put_tag(name, &tag, &target(&text)).await?;
                    model.tags.insert(label, number);
                }
            }
            6 => {
                let label = numbers.below(3);
                let mut writer = home.index.lock().await?;
                writer.remove_tag(name, &tag(&format!("v{label}"))).await?;
                model.tags.remove(&label);
            }
            _ => {
                let mut writer = home.index.lock().await?;
                writer.remove_blob(name, &canonical(&text)).await?;
                model.blobs.remove(&number);
            }
        }
        let found = unreferenced(&home.index).await?;
        for (name, model) in names.iter().zip(&models) {
            let of_it = found.keys().filter(|(repository, _)| repository == name.as_str());
            let of_it: BTreeSet<CanonicalDigest> = of_it.map(|(_, it)| *it).collect();
            // A blob with an edge that came before it has a time; it is not collectable all the same.
            let unnamed = model.unreferenced();
            assert!(of_it.is_superset(&unnamed), "seed {seed}, step {step}");
            let mut writer = home.index.lock().await?;
            let pairs: Vec<_> = of_it.iter().map(|it| (name.clone(), *it)).collect();
            let rows = writer.collectable(&pairs, i64::MAX).await?;
            let rows: BTreeSet<CanonicalDigest> = rows.iter().map(|row| row.canonical).collect();
            assert_eq!(rows, unnamed, "seed {seed}, step {step}");
            let of_it = home.index.untagged_of(name, i64::MAX, 100).await?;
            let of_it: BTreeSet<CanonicalDigest> = of_it.into_iter().collect();
            assert!(of_it.is_superset(&model.untagged()), "seed {seed}, step {step}");
        }
    }
    Ok(())
}

async fn what_is_mounted_while_a_collection_takes_it_is_there_afterwards(home: Home) -> Outcome {
    let (index, app) = (&home.index, repository("app"));
    index.record_blob(&app, &blob("old"), NOW).await?;
    a_moment().await;
    let before = index.now().await?;
    let mut writer = index.lock().await?;
    writer.begin().await?;
    let rows = writer.collectable(&[(app.clone(), canonical("old"))], before).await?;
    assert_eq!(rows.len(), 1);
    let taking = async {
        sleep(Duration::from_millis(300)).await;
        writer.remove_names(&app, &rows[0].names).await?;
        writer.commit().await
    };
    let digest = sha256("old");
    let (mounted, taken) = tokio::join!(index.mount_blob(&app, &digest, NOW), taking);
    taken?;
    assert!(mounted?);
    assert!(index.blob(&app, &sha256("old")).await?.is_some());
    Ok(())
}

async fn only_what_was_not_renewed_is_collectable_under_all_its_names(home: Home) -> Outcome {
    let (index, app) = (&home.index, repository("app"));
    for text in ["old", "renewed", "named"] {
        index.record_blob(&app, &blob_with_alias(text), NOW).await?;
    }
    a_moment().await;
    let before = index.now().await?;
    a_moment().await;
    index.renewed_blob(&app, &sha512("renewed")).await?;
    let mut writer = index.lock().await?;
    let edges = vec![edge(EdgeKind::Blob, sha512("named"))];
    give(&mut writer, &app, "image", &image(edges, "image")).await?;
    let pairs = ["old", "renewed", "named", "absent"].map(|text| (app.clone(), canonical(text)));
    writer.begin().await?;
    let rows = writer.collectable(&pairs, before).await?;
    let found: Vec<_> = rows.iter().map(|row| (row.canonical, row.names.len())).collect();
    assert_eq!(found, [(canonical("old"), 2)]);
    writer.remove_names(&app, &rows[0].names).await?;
    writer.commit().await?;
    assert_eq!(index.blob(&app, &sha256("old")).await?, None);
    assert_eq!(index.blob(&app, &sha512("old")).await?, None);
    assert!(index.blob(&app, &sha512("renewed")).await?.is_some());
    Ok(())
}

async fn content_is_free_once_no_repository_has_it(home: Home) -> Outcome {
    let (index, app) = (&home.index, repository("app"));
    index.record_blob(&app, &blob("layer"), NOW).await?;
    let mut writer = index.lock().await?;
    give(&mut writer, &app, "image", &manifest("image")).await?;
    writer.put_blob(None, &blob("unowned"), NOW).await?;
    let all = ["layer", "image", "unowned"].map(canonical);
    let free = writer.free_content(&all, i64::MAX).await?;
    assert_eq!(free.iter().map(|it| it.canonical).collect::<Vec<_>>(), [canonical("unowned")]);
    let removed = index.now().await?;
    writer.remove_manifest(&app, &canonical("image")).await?;
    writer.remove_blob(&app, &canonical("layer")).await?;
    assert_eq!(writer.free_content(&all, i64::MAX).await?.len(), 3);
    let young = writer.free_content(&all, removed).await?;
    assert_eq!(young.len(), 2, "a manifest has a time, too");
    assert_eq!(index.unowned_content(i64::MAX, None, 10).await?.len(), 3);
    assert_eq!(index.unowned_content(removed, None, 10).await?.len(), 2);
    // A root that is still served may have it.
    let nodes = [(crate::fixtures::cid("layer"), None)];
    writer.put_nodes(&nodes).await?;
    assert_eq!(writer.free_content(&all, i64::MAX).await?.len(), 2);

    writer.discard(&canonical("unowned")).await?;
    let forgettable = writer.forgettable(None, None, 10).await?;
    let found = |rows: &[roadstead::index::Forgettable]| {
        rows.iter().map(|row| (row.canonical, row.size)).collect::<Vec<_>>()
    };
    assert_eq!(found(&forgettable), [(canonical("unowned"), 7)]);
    let among = [canonical("unowned"), canonical("layer")];
    assert_eq!(found(&writer.forgettable(Some(&among), None, 10).await?), [(among[0], 7)]);
    assert!(writer.forgettable(Some(&among[1..]), None, 10).await?.is_empty());
    assert!(writer.forgettable(Some(&among), Some(&among[0]), 10).await?.is_empty());
    let mut large = blob("unowned");
    large.blocks = (0..3).map(|number| leaf(&format!("{number}"), number, 1)).collect();
    writer.put_blob(None, &large, NOW).await?;
    for expected in [2, 2, 0] {
        assert_eq!(writer.forget_blocks(&canonical("unowned"), 2).await?, expected);
    }
    writer.forget_contents(&[canonical("unowned")]).await?;
    let forgettable = writer.forgettable(None, None, 10).await?;
    assert_eq!(found(&forgettable), [(canonical("unowned"), 0)]);
    writer.set_contents_forgotten(&[canonical("unowned")]).await?;
    assert!(writer.forgettable(None, None, 10).await?.is_empty());
    writer.prune(NOW).await?;
    assert!(
        index.is_content_withdrawn(&canonical("unowned")).await?,
        "noted for others for a while"
    );
    assert_eq!(index.known_among(&all).await?.len(), 2);
    Ok(())
}

async fn what_an_earlier_version_left_has_a_full_period(home: Home) -> Outcome {
    let (index, app) = (&home.index, repository("app"));
    index.record_blob(&app, &blob("layer"), NOW).await?;
    index.record_blob(&app, &blob("loose"), NOW).await?;
    let mut writer = index.lock().await?;
    let edges = vec![edge(EdgeKind::Blob, sha256("layer"))];
    give(&mut writer, &app, "image", &image(edges, "image")).await?;
    writer.clear().await?;
    assert!(unreferenced(index).await?.is_empty());
    let rebuilt = index.now().await?;
    writer.put_blob(Some(&app), &blob("layer"), NOW).await?;
    assert!(since(index, "app", "layer").await >= Some(rebuilt));
    Ok(())
}

async fn one_process_collects_at_a_time(home: Home) -> Outcome {
    let lease = home.index.begin_collecting().await?.expect("nobody else does");
    assert!(home.index.begin_collecting().await?.is_none());
    let publishing = home.index.begin_publishing().await?.expect("it is another lease");
    publishing.end().await?;
    lease.end().await?;
    home.index.begin_collecting().await?.expect("it has ended").end().await?;
    assert_eq!(home.index.last_collection().await?, None);
    let before = home.index.now().await?;
    home.index.set_last_collection(b"one").await?;
    home.index.set_last_collection(b"two").await?;
    let last = home.index.last_collection().await?.expect("it was written down");
    assert_eq!(last.record, b"two");
    assert!(last.ended >= before);
    Ok(())
}
