//! Cases about manifests, their names and their edges.

use bytes::Bytes;
use roadstead::index::{Actor, EdgeKind, IndexErrorKind, ManifestRow, NewManifest, StoredManifest};
use roadstead::oci::CanonicalDigest;

use crate::fixtures::{
    IMAGE, NOW, canonical, cid, edge, give, manifest, repository, sha256, sha512, stored_manifest,
    tag, target,
};
use crate::{Case, Outcome, case, home::Home};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        case(a_manifest_in_the_queue_is_not_visible),
        case(a_manifest_is_found_by_each_of_its_names),
        case(bytes_come_back_as_they_were),
        case(a_manifest_that_is_not_stored_cannot_be_given),
        case(a_manifest_put_again_gets_new_edges_and_keeps_its_names),
        case(edges_come_in_order_and_may_repeat),
        case(removing_a_manifest_removes_names_edges_and_tags),
        case(a_child_or_a_blob_is_referenced),
        case(a_manifest_does_not_reference_itself),
    ]
}

async fn a_manifest_in_the_queue_is_not_visible(home: Home) -> Outcome {
    let mine = repository("app");
    home.index.enqueue(&Actor::default(), b"put", Some(&stored_manifest("image")), NOW).await?;
    home.index.enqueue(&Actor::default(), b"put", Some(&stored_manifest("image")), NOW).await?;
    assert_eq!(home.index.manifest(&mine, &sha256("image")).await?, None);
    assert!(!home.index.repository_exists(&mine).await?);
    let mut writer = home.index.lock().await?;
    let stored = writer.stored_manifest(&canonical("image")).await?;
    assert_eq!(stored, Some(stored_manifest("image")));
    assert_eq!(writer.stored_manifest(&canonical("another")).await?, None);
    writer.put_manifest(&mine, &manifest("image"), NOW).await?;
    assert!(home.index.manifest(&mine, &sha256("image")).await?.is_some());
    Ok(())
}

async fn a_manifest_is_found_by_each_of_its_names(home: Home) -> Outcome {
    let mine = repository("app");
    let mut both = manifest("image");
    both.aliases.push(sha512("image"));
    let mut writer = home.index.lock().await?;
    give(&mut writer, &mine, "image", &both).await?;
    give(&mut writer, &repository("other"), "image", &manifest("image")).await?;
    for digest in [sha256("image"), sha512("image")] {
        let row = ManifestRow {
            digest,
            canonical: canonical("image"),
            cid: cid("image"),
            media_type: IMAGE.to_owned(),
            bytes: stored_manifest("image").bytes,
        };
        assert_eq!(home.index.manifest(&mine, &digest).await?, Some(row.clone()));
        assert_eq!(writer.manifest(&mine, &digest).await?, Some(row));
        assert_eq!(home.index.manifest(&repository("none"), &digest).await?, None);
    }
    let elsewhere = home.index.manifest(&repository("other"), &sha512("image")).await?;
    assert_eq!(elsewhere, None, "names are the repository's own");
    let names = writer.manifest_names(&mine, &canonical("image")).await?;
    assert_eq!(names, [sha256("image"), sha512("image")]);
    Ok(())
}

async fn bytes_come_back_as_they_were(home: Home) -> Outcome {
    let mine = repository("app");
    let odd = Bytes::from((0..=255_u8).collect::<Vec<_>>().repeat(16 << 10));
    for bytes in [Bytes::new(), Bytes::from_static(b"{\"a\":1,\r\n\"a\":\0\xff}"), odd] {
        let stored =
            StoredManifest { canonical: CanonicalDigest::of(&bytes), cid: cid("any"), bytes };
        home.index.enqueue(&Actor::default(), b"put", Some(&stored), NOW).await?;
        let mut new = manifest("any");
        new.canonical = stored.canonical;
        home.index.lock().await?.put_manifest(&mine, &new, NOW).await?;
        let found = home.index.manifest(&mine, &stored.canonical.into()).await?;
        assert_eq!(found.ok_or("no manifest")?.bytes, stored.bytes);
    }
    Ok(())
}

async fn a_manifest_that_is_not_stored_cannot_be_given(home: Home) -> Outcome {
    let mut writer = home.index.lock().await?;
    let refused = writer.put_manifest(&repository("app"), &manifest("image"), NOW).await;
    assert_eq!(refused.map_err(|error| error.kind), Err(IndexErrorKind::Failed));
    assert!(!home.index.repository_exists(&repository("app")).await?);
    assert!(writer.begin().await.is_ok(), "the writer goes on");
    Ok(())
}

async fn a_manifest_put_again_gets_new_edges_and_keeps_its_names(home: Home) -> Outcome {
    let mine = repository("app");
    let mut new = manifest("image");
    new.aliases.push(sha512("image"));
    new.edges.push(edge(EdgeKind::Blob, sha256("old")));
    let mut writer = home.index.lock().await?;
    give(&mut writer, &mine, "image", &new).await?;
    let mut new = NewManifest { media_type: "text/plain".to_owned(), ..manifest("image") };
    new.edges = vec![edge(EdgeKind::Blob, sha256("new"))];
    writer.put_manifest(&mine, &new, NOW).await?;
    let found = home.index.manifest(&mine, &sha512("image")).await?.ok_or("a name was lost")?;
    assert_eq!(found.media_type, "text/plain");
    assert_eq!(writer.edges(&mine, &canonical("image")).await?, new.edges);
    assert_eq!(writer.referencing(&mine, &[sha256("old")], 10).await?, []);
    Ok(())
}

async fn edges_come_in_order_and_may_repeat(home: Home) -> Outcome {
    let mine = repository("app");
    let mut new = manifest("image");
    new.edges = vec![
        edge(EdgeKind::Subject, sha512("subject")),
        edge(EdgeKind::Blob, sha256("z")),
        edge(EdgeKind::Blob, sha256("a")),
        edge(EdgeKind::Blob, sha256("z")),
        edge(EdgeKind::Child, sha256("z")),
    ];
    new.edges.extend((0..2100).map(|n| edge(EdgeKind::Blob, sha256(&n.to_string()))));
    let mut writer = home.index.lock().await?;
    give(&mut writer, &mine, "image", &new).await?;
    assert_eq!(writer.edges(&mine, &canonical("image")).await?, new.edges);
    assert_eq!(writer.edges(&repository("none"), &canonical("image")).await?, []);
    Ok(())
}

async fn removing_a_manifest_removes_names_edges_and_tags(home: Home) -> Outcome {
    let (mine, other) = (repository("app"), repository("other"));
    let mut new = manifest("image");
    new.aliases.push(sha512("image"));
    new.edges.push(edge(EdgeKind::Blob, sha256("layer")));
    let mut writer = home.index.lock().await?;
    for repository in [&mine, &other] {
        give(&mut writer, repository, "image", &new).await?;
        writer.put_tag(repository, &tag("v1"), &target("image")).await?;
    }
    give(&mut writer, &mine, "kept", &manifest("kept")).await?;
    writer.put_tag(&mine, &tag("v2"), &target("kept")).await?;
    for _ in 0..2 {
        writer.remove_manifest(&mine, &canonical("image")).await?;
        for name in [sha256("image"), sha512("image")] {
            assert_eq!(home.index.manifest(&mine, &name).await?, None);
            assert!(home.index.manifest(&other, &name).await?.is_some());
        }
        assert_eq!(writer.manifest_names(&mine, &canonical("image")).await?, []);
        assert_eq!(writer.edges(&mine, &canonical("image")).await?, []);
        assert_eq!(writer.referencing(&mine, &[sha256("layer")], 10).await?, []);
        assert_eq!(home.index.tags(&mine, None, 9).await?, [tag("v2")]);
    }
    assert_eq!(home.index.tags(&other, None, 9).await?, [tag("v1")]);
    assert!(writer.stored_manifest(&canonical("image")).await?.is_some(), "its bytes stay");
    Ok(())
}

async fn a_child_or_a_blob_is_referenced(home: Home) -> Outcome {
    let (mine, other) = (repository("app"), repository("other"));
    let mut writer = home.index.lock().await?;
    for (repository, text, kind, name) in [
        (&mine, "list", EdgeKind::Child, sha256("child")),
        (&mine, "image", EdgeKind::Blob, sha512("layer")),
        (&mine, "signature", EdgeKind::Subject, sha256("subject")),
        (&other, "elsewhere", EdgeKind::Blob, sha256("foreign")),
    ] {
        let mut new = manifest(text);
        new.edges.push(edge(kind, name));
        give(&mut writer, repository, text, &new).await?;
    }
    assert_eq!(writer.referencing(&mine, &[sha256("child")], 10).await?, [canonical("list")]);
    let by_any_name = writer.referencing(&mine, &[sha256("layer"), sha512("layer")], 10).await?;
    assert_eq!(by_any_name, [canonical("image")]);
    assert_eq!(writer.referencing(&mine, &[sha256("layer")], 10).await?, [], "by the very name");
    assert_eq!(writer.referencing(&mine, &[sha256("subject")], 10).await?, []);
    assert_eq!(writer.referencing(&mine, &[sha256("foreign")], 10).await?, []);
    assert_eq!(writer.referencing(&mine, &[], 10).await?, []);
    writer.remove_manifest(&mine, &canonical("list")).await?;
    assert_eq!(writer.referencing(&mine, &[sha256("child")], 10).await?, []);
    Ok(())
}

async fn a_manifest_does_not_reference_itself(home: Home) -> Outcome {
    let mine = repository("app");
    let names = [sha256("knot"), sha512("knot")];
    let mut knot = manifest("knot");
    knot.aliases.push(sha512("knot"));
    knot.edges = names.iter().map(|name| edge(EdgeKind::Child, *name)).collect();
    let mut writer = home.index.lock().await?;
    give(&mut writer, &mine, "knot", &knot).await?;
    assert_eq!(writer.referencing(&mine, &names, 10).await?, []);
    let mut list = manifest("list");
    list.edges.push(edge(EdgeKind::Child, sha512("knot")));
    give(&mut writer, &mine, "list", &list).await?;
    assert_eq!(writer.referencing(&mine, &names, 10).await?, [canonical("list")]);
    Ok(())
}
