//! Changes on a condition that are stopped between any two steps.

use bytes::Bytes;
use tempfile::TempDir;

use super::super::intent::Intent;
use super::super::step::Step;
use super::super::{Condition, Expected, RegistryError};
use super::{Client, STEPS, assert_whole, digest_of, manifest, open, stop_anywhere};
use crate::oci::{Algorithm, Digest};

/// Demands that the bytes are what is there.
fn only_if(bytes: &Bytes) -> Condition {
    let digest = Digest::of(Algorithm::Sha256, bytes);
    Condition { only_if: Some(Expected::OneOf(vec![digest])), unless: None }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_on_a_condition_comes_to_the_same_wherever_it_stopped() {
    let old = manifest(Digest::of(Algorithm::Sha256, b"old"), 3);
    stop_anywhere(async |client, registry| {
        let new = client.image(registry, b"new").await;
        client.put_if(registry, "moving", &new, only_if(&old)).await
    })
    .await;
    stop_anywhere(async |client, registry| {
        client.delete_if(registry, "moving", only_if(&old)).await
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_changes_on_one_condition_the_first_is_made_wherever_it_stopped() {
    for step in STEPS {
        let (client, folder) = (Client::new(), TempDir::new().unwrap());
        let registry = open(folder.path()).await;
        let old = client.image(&registry, b"old").await;
        let (first, second) =
            (client.image(&registry, b"first").await, client.image(&registry, b"second").await);
        client.put(&registry, "tag", &old).await.unwrap();
        registry.stop_at(step);
        client.put_if(&registry, "tag", &first, only_if(&old)).await.unwrap_err();
        drop(registry);
        let registry = open(folder.path()).await;
        let refused = client.put_if(&registry, "tag", &second, only_if(&old)).await.unwrap_err();
        assert!(matches!(refused, RegistryError::ConditionFailed { .. }), "{step:?}: {refused}");
        assert_eq!(client.get(&registry, "tag").await, Some(first), "{step:?}");
        assert_eq!(client.get(&registry, &digest_of(&second)).await, None, "{step:?}");
        assert_whole(&registry).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_condition_that_failed_is_not_looked_at_again() {
    let (client, folder) = (Client::new(), TempDir::new().unwrap());
    let registry = open(folder.path()).await;
    let (old, new) = (client.image(&registry, b"old").await, client.image(&registry, b"new").await);
    let newest = client.image(&registry, b"newest").await;
    client.put(&registry, "tag", &old).await.unwrap();
    registry.stop_at(Step::Checked);
    client.put_if(&registry, "tag", &newest, only_if(&new)).await.unwrap_err();
    drop(registry);
    let registry = open(folder.path()).await;
    client.put(&registry, "tag", &new).await.unwrap();
    drop(registry);
    let registry = open(folder.path()).await;
    assert_eq!(client.get(&registry, "tag").await, Some(new), "although it holds by now");
    assert_whole(&registry).await;
}

#[test]
fn an_entry_of_an_earlier_version_has_no_condition() {
    let digest = Digest::of(Algorithm::Sha256, b"manifest");
    let put = format!(
        r#"{{"repository":"team/app","manifest":"{digest}","digest":"{digest}","media_type":"a/b","tags":["v1"]}}"#
    );
    for record in [
        r#"{"delete_tag":{"repository":"team/app","tag":"v1"}}"#.to_owned(),
        format!(r#"{{"delete_manifest":{{"repository":"team/app","digest":"{digest}"}}}}"#),
        format!(r#"{{"put_manifest":{put}}}"#),
    ] {
        let intent: Intent = serde_json::from_str(&record).unwrap();
        let (Intent::PutManifest { condition, .. }
        | Intent::DeleteTag { condition, .. }
        | Intent::DeleteManifest { condition, .. }) = intent
        else {
            panic!("{record} is another intent")
        };
        assert_eq!(condition, Condition::default(), "{record}");
    }
}
