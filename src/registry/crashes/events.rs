//! Events: one for each change, wherever it was stopped, and none for what was refused.

use std::time::Duration;

use super::*;
use crate::auth::DeleteGrant;
use crate::index::{Actor, Event};
use crate::registry::{DeletedByRules, Retention, RetentionRule, TagPattern};

fn caller() -> Caller {
    Caller { address: Some([192, 0, 2, 1].into()), ..Caller::user("anna") }
}

fn authority() -> Authority {
    Authority::new(open_to_all(), Names::default())
}

fn name() -> RepositoryName {
    "team/app".parse().unwrap()
}

async fn push(registry: &Registry, reference: &str, tags: &[&str], bytes: &Bytes) -> Result<()> {
    let grant = authority().push(&caller(), name()).await.unwrap();
    let (reference, tags) =
        (reference.parse().unwrap(), tags.iter().map(|tag| tag.parse().unwrap()).collect());
    let condition = Condition::default();
    let put = registry.put_manifest(&grant, &reference, tags, None, bytes.clone(), condition);
    Box::pin(put).await.map(drop)
}

async fn deletion() -> DeleteGrant {
    authority().delete(&caller(), name()).await.unwrap()
}

async fn events(registry: &Registry) -> Vec<Event> {
    registry.index.events_after(0, 1000).await.unwrap()
}

/// What an event is to say: kind, tag, digest, size.
type Expected = (&'static str, Option<&'static str>, Option<String>, Option<u64>);

/// Stops a change at each step, goes on in the next process, and looks at what was written of it.
async fn stop_anywhere(
    expected: Expected,
    is_of_caller: bool,
    change: impl AsyncFn(&Registry) -> Result<()>,
) {
    let client = Client::new();
    for stop in STEPS.into_iter().map(Some).chain([None]) {
        let folder = TempDir::new().unwrap();
        let registry = Box::pin(open(folder.path())).await;
        client.blob(&registry, b"stray").await;
        let old = client.image(&registry, b"old").await;
        client.image(&registry, b"new").await;
        client.put(&registry, "old", &old).await.unwrap();
        let before = events(&registry).await;
        *registry.stop.lock().unwrap() = stop;
        let changed = change(&registry).await;
        assert_eq!(changed.is_ok(), stop.is_none(), "{stop:?}");
        if matches!(stop, Some(Step::Enqueued | Step::Checked | Step::Applied)) {
            assert_eq!(events(&registry).await, before, "{stop:?}: nothing was recorded yet");
        }
        drop(registry);

        let registry = Box::pin(open(folder.path())).await;
        let mut after = events(&registry).await;
        let event = after.pop().unwrap();
        assert_eq!(after, before, "{stop:?}: there is one more");
        assert_eq!(event.seq, before.last().unwrap().seq + 1, "{stop:?}");
        let actor = Actor::from(&if is_of_caller { caller() } else { Caller::anonymous() });
        let change = event.change;
        assert_eq!((change.repository, change.actor), (Some(name()), actor), "{stop:?}");
        let (reference, digest) = (change.reference, change.digest);
        let found =
            (&*change.kind, reference.as_deref(), digest.map(|it| it.to_string()), change.size);
        assert_eq!(found, expected, "{stop:?}");
    }
}

fn old() -> Bytes {
    manifest(Digest::of(Algorithm::Sha256, b"old"), 3)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_writes_one_event() {
    let image = manifest(Digest::of(Algorithm::Sha256, b"new"), 3);
    let (digest, size) = (digest_of(&image), image.len() as u64);
    let expected = ("push", Some("v1"), Some(digest.clone()), Some(size));
    stop_anywhere(expected, true, async |registry| push(registry, "v1", &[], &image).await).await;
    let expected = ("push", Some("v1,v2"), Some(digest.clone()), Some(size));
    stop_anywhere(expected, true, async |registry| {
        push(registry, &digest, &["v1", "v2"], &image).await
    })
    .await;
    let expected = ("push", None, Some(digest.clone()), Some(size));
    stop_anywhere(expected, true, async |registry| push(registry, &digest, &[], &image).await)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_writes_one_event() {
    let digest = digest_of(&old());
    for (reference, expected) in [
        // What the tag named, and which tags the manifest had.
        ("old", ("delete", Some("old"), Some(digest.clone()), None)),
        (&digest, ("delete", Some("old"), Some(digest.clone()), None)),
    ] {
        stop_anywhere(expected, true, async |registry| {
            let reference = reference.parse().unwrap();
            registry.delete_manifest(&deletion().await, &reference, Condition::default()).await
        })
        .await;
    }
    let stray = Digest::of(Algorithm::Sha256, b"stray");
    let expected = ("delete", None, Some(stray.to_string()), None);
    stop_anywhere(expected, true, async |registry| {
        registry.delete_blob(&deletion().await, &stray).await
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purge_writes_one_event() {
    let digest = Digest::of(Algorithm::Sha256, &old());
    let expected = ("purge", None, Some(digest.to_string()), None);
    stop_anywhere(expected, false, async |registry| {
        registry.purge(&name(), &digest).await.map(drop)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_refused_writes_no_event() {
    let (client, folder) = (Client::new(), TempDir::new().unwrap());
    let registry = open(folder.path()).await;
    let image = client.image(&registry, b"config").await;
    client.put(&registry, "tag", &image).await.unwrap();
    let before = events(&registry).await;
    let bad = manifest(Digest::of(Algorithm::Sha256, b"never pushed"), 12);
    client.put(&registry, "bad", &bad).await.unwrap_err();
    client.delete(&registry, "nowhere").await.unwrap_err();
    let config = Digest::of(Algorithm::Sha256, b"config");
    client.delete_blob(&registry, &config).await.unwrap_err();
    assert_eq!(events(&registry).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_by_a_rule_has_events_of_its_own_kind() {
    let folder = TempDir::new().unwrap();
    let rule = RetentionRule {
        repositories: vec!["**".parse().unwrap()],
        tags: vec![TagPattern::new("*")],
        keep_last: Some(0),
        delete_untagged_after: Some(Duration::from_millis(1)),
        ..RetentionRule::default()
    };
    let limits = Limits {
        collection_grace: Duration::ZERO,
        retention: Retention { rules: vec![rule] },
        ..Limits::default()
    };
    let url = format!("sqlite:{}", folder.path().join("index.sqlite").display());
    let storage = open_embedded(folder.path()).unwrap();
    let registry = Registry::new(index::open(&url).await.unwrap(), storage, limits);
    let client = Client::new();
    let image = client.image(&registry, b"config").await;
    client.put(&registry, "tag", &image).await.unwrap();
    let mut deleted = DeletedByRules::default();
    for _ in 0..2 {
        tokio::time::sleep(Duration::from_millis(10)).await;
        registry.retain(&mut deleted).await.unwrap();
    }
    assert_eq!(deleted, DeletedByRules { tags: 1, manifests: 1 });
    let found = events(&registry).await;
    let found: Vec<_> = found
        .iter()
        .map(|event| (event.change.kind.as_ref(), event.change.reference.as_deref()))
        .collect();
    assert_eq!(found, [("push", Some("tag")), ("retention", Some("tag")), ("retention", None)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_keeps_the_events() {
    let (client, folder) = (Client::new(), TempDir::new().unwrap());
    let registry = open(folder.path()).await;
    let image = client.image(&registry, b"config").await;
    client.put(&registry, "tag", &image).await.unwrap();
    let before = events(&registry).await;
    registry.rebuild_index(&Silent).await.unwrap();
    assert_eq!(events(&registry).await, before);
}
