//! What a client does with a registry, with ours and with the stock one alike.

use roadstead::client::{Client, ClientErrorKind, Content, Mount};
use roadstead::oci::{Algorithm, Digest, ErrorCode};
use serde_json::json;
use tempfile::TempDir;

use crate::client::{client, digest, repository};
use crate::clients::stock_registry::StockRegistry;
use crate::common::content::{MIB, OCI_INDEX, OCI_MANIFEST, image, noise};
use crate::common::{Server, require};

/// Runs a case on a registry of ours, and on the stock registry if it is there.
async fn on_each<F: Future<Output = ()>>(case: impl Fn(Client) -> F) {
    let server = Server::start();
    case(client(&server.url(""))).await;
    let Some(program) = require("registry") else { return };
    let folder = TempDir::new().expect("a temporary folder can be made");
    let stock = StockRegistry::start(&program, folder.path(), false);
    case(client(&format!("http://{}", stock.address()))).await;
}

/// Pushes an image of one layer, and returns its manifest's bytes and digest.
async fn push_image(client: &Client, name: &str, tag: &str, layer: &[u8]) -> (Vec<u8>, Digest) {
    let repository = repository(client, name);
    for blob in [b"{}", layer] {
        repository.push_blob(&digest(blob), &blob.to_vec().into()).await.unwrap();
    }
    let manifest = image(b"{}", &[layer]).to_string().into_bytes();
    let tag = tag.parse().unwrap();
    let pushed = repository.push_manifest(&tag, OCI_MANIFEST, manifest.clone()).await.unwrap();
    (manifest, pushed)
}

#[tokio::test]
async fn an_image_that_was_pushed_is_pulled() {
    on_each(|client| async move {
        client.ping().await.unwrap();
        let layer = noise(3 * MIB, 1);
        let (bytes, pushed) = push_image(&client, "team/app", "v1", &layer).await;
        let repository = repository(&client, "team/app");
        for reference in ["v1".to_owned(), pushed.to_string()] {
            let reference = reference.parse().unwrap();
            let fetched = repository.manifest(&reference).await.unwrap();
            assert_eq!(fetched.bytes, bytes);
            assert_eq!((&*fetched.media_type, fetched.digest), (OCI_MANIFEST, pushed));
            let found = repository.find_manifest(&reference).await.unwrap().unwrap();
            assert_eq!((found.digest, found.size), (pushed, bytes.len() as u64));
        }
        assert_eq!(repository.blob_size(&digest(&layer)).await.unwrap(), Some(layer.len() as u64));
        let blob = repository.blob(&digest(&layer)).await.unwrap();
        assert_eq!(blob.size(), Some(layer.len() as u64));
        assert!(blob.read_to_end(layer.len()).await.unwrap() == layer);
        let part = repository.blob_range(&digest(&layer), 7..MIB as u64).await.unwrap();
        assert!(part == layer[7..MIB]);
        let beyond = repository.blob_range(&digest(&layer), 4 << 20..5 << 20).await.unwrap();
        assert!(beyond.is_empty());
    })
    .await;
}

#[tokio::test]
async fn what_is_not_there_is_said_by_kind_and_code() {
    on_each(|client| async move {
        push_image(&client, "team/app", "v1", b"layer").await;
        let repository = repository(&client, "team/app");
        let error = repository.manifest(&"v2".parse().unwrap()).await.unwrap_err();
        assert_eq!((error.kind, error.status), (ClientErrorKind::NotFound, Some(404)));
        assert!(error.has_code(ErrorCode::ManifestUnknown), "{error}");
        assert!(repository.find_manifest(&"v2".parse().unwrap()).await.unwrap().is_none());
        let error = repository.blob(&digest(b"other")).await.err().unwrap();
        assert_eq!(error.kind, ClientErrorKind::NotFound);
        assert_eq!(repository.blob_size(&digest(b"other")).await.unwrap(), None);
        let error = repository.push_blob(&digest(b"other"), &"this".into()).await.unwrap_err();
        assert_eq!(error.kind, ClientErrorKind::Refused);
        assert!(error.has_code(ErrorCode::DigestInvalid), "{error}");
        let manifest = image(b"{}", &[b"not pushed"]).to_string();
        let tag = "v2".parse().unwrap();
        let error = repository.push_manifest(&tag, OCI_MANIFEST, manifest).await.unwrap_err();
        assert!(error.has_code(ErrorCode::ManifestBlobUnknown), "{error}");
    })
    .await;
}

#[tokio::test]
async fn a_blob_is_pushed_in_chunks_as_a_stream_and_from_a_file() {
    on_each(|client| async move {
        let repository = repository(&client, "team/app");
        let bytes = noise(2 * MIB + 1, 2);
        let content = Content::from(bytes.clone());
        let chunk = MIB as u64 / 3;
        repository.push_blob_in_chunks(&digest(&bytes), &content, chunk).await.unwrap();

        let (name, folder) = (digest(b"streamed"), TempDir::new().unwrap());
        let mut upload = repository.begin_upload().await.unwrap();
        let pieces = ["stre", "amed"].map(|piece| Ok(piece.into()));
        let reached = upload.append_stream(futures_util::stream::iter(pieces)).await.unwrap();
        assert_eq!((reached, upload.refresh().await.unwrap()), (8, 8));
        upload.finish(&name).await.unwrap();

        let file = folder.path().join("layer");
        std::fs::write(&file, &bytes[1..]).unwrap();
        let file = Content::open(&file).await.unwrap();
        let from_file = file.digest(Algorithm::Sha256).await.unwrap();
        assert_eq!(from_file, digest(&bytes[1..]));
        repository.push_blob(&from_file, &file).await.unwrap();

        repository.push_blob(&digest(b""), &"".into()).await.unwrap();
        repository.push_blob_in_chunks(&digest(b"1"), &"1".into(), 10).await.unwrap();
        for (digest, size) in [
            (digest(&bytes), bytes.len()),
            (name, 8),
            (from_file, bytes.len() - 1),
            (digest(b"1"), 1),
        ] {
            assert_eq!(repository.blob_size(&digest).await.unwrap(), Some(size as u64));
        }
        let upload = repository.begin_upload().await.unwrap();
        upload.cancel().await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_blob_is_mounted_where_it_is_and_pushed_where_it_is_not() {
    on_each(|client| async move {
        let (base, app) = (repository(&client, "team/base"), repository(&client, "team/app"));
        base.push_blob(&digest(b"layer"), &"layer".into()).await.unwrap();
        let mounted = app.mount(&digest(b"layer"), base.name()).await.unwrap();
        assert!(matches!(mounted, Mount::Mounted));
        assert_eq!(app.blob_size(&digest(b"layer")).await.unwrap(), Some(5));
        let Mount::Upload(upload) = app.mount(&digest(b"other"), base.name()).await.unwrap() else {
            panic!("nobody has it");
        };
        upload.finish_with(&digest(b"other"), &"other".into()).await.unwrap();
        let third = digest(b"third");
        app.mount_or_push_blob(&third, base.name(), &"third".into()).await.unwrap();
        assert_eq!(app.blob_size(&third).await.unwrap(), Some(5));
    })
    .await;
}

#[tokio::test]
async fn lists_are_read_over_all_pages() {
    on_each(|client| async move {
        let names = ["a", "b/c", "d"];
        for name in names {
            push_image(&client, name, "v1", b"layer").await;
        }
        for tag in ["v2", "v3", "v4", "v5"] {
            push_image(&client, "a", tag, b"layer").await;
        }
        let texts = |names: Vec<roadstead::oci::RepositoryName>| {
            names.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(texts(client.repositories().all().await.unwrap()), names);
        assert_eq!(texts(client.repositories().of_size(1).all().await.unwrap()), names);
        let repository = repository(&client, "a");
        let mut pages = repository.tags().of_size(2);
        let mut found = Vec::new();
        while let Some(page) = pages.next().await.unwrap() {
            assert!(page.len() <= 2);
            found.extend(page.iter().map(ToString::to_string));
        }
        assert_eq!(found, ["v1", "v2", "v3", "v4", "v5"]);
    })
    .await;
}

/// The stock registry has no such list, so there it is read from the tag that clients write.
#[tokio::test]
async fn referrers_are_listed_with_and_without_the_registrys_help() {
    on_each(|client| async move {
        let (bytes, subject) = push_image(&client, "team/app", "v1", b"layer").await;
        let repository = repository(&client, "team/app");
        assert!(repository.referrers(&subject, None).await.unwrap().is_empty());
        let mut note = image(b"{}", &[b"layer"]);
        note["artifactType"] = json!("application/x.note");
        note["annotations"] = json!({ "by": "anna" });
        note["subject"] =
            json!({ "mediaType": OCI_MANIFEST, "digest": subject.to_string(), "size": bytes.len() });
        let note = note.to_string();
        let name = digest(note.as_bytes());
        let reference = name.to_string().parse().unwrap();
        repository.push_manifest(&reference, OCI_MANIFEST, note.clone()).await.unwrap();
        let index = json!({
            "schemaVersion": 2,
            "mediaType": OCI_INDEX,
            "manifests": [{
                "mediaType": OCI_MANIFEST, "digest": name.to_string(), "size": note.len(),
                "artifactType": "application/x.note", "annotations": { "by": "anna" },
            }],
        });
        let fallback = subject.to_string().replace(':', "-").parse().unwrap();
        repository.push_manifest(&fallback, OCI_INDEX, index.to_string()).await.unwrap();

        let found = repository.referrers(&subject, Some("application/x.note")).await.unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].descriptor.digest, name);
        assert_eq!(found[0].annotations["by"], "anna");
        assert!(repository.referrers(&subject, Some("other")).await.unwrap().is_empty());
    })
    .await;
}

#[tokio::test]
async fn what_is_deleted_is_gone() {
    on_each(|client| async move {
        let (_, pushed) = push_image(&client, "team/app", "v1", b"layer").await;
        let repository = repository(&client, "team/app");
        let by_digest = pushed.to_string().parse().unwrap();
        repository.delete_manifest(&by_digest).await.unwrap();
        assert!(repository.find_manifest(&by_digest).await.unwrap().is_none());
        assert!(repository.find_manifest(&"v1".parse().unwrap()).await.unwrap().is_none());
        repository.delete_blob(&digest(b"layer")).await.unwrap();
        assert_eq!(repository.blob_size(&digest(b"layer")).await.unwrap(), None);
        let error = repository.delete_blob(&digest(b"layer")).await.unwrap_err();
        assert_eq!(error.kind, ClientErrorKind::NotFound);
    })
    .await;
}
