//! Cases about blocks of the public tree, which anybody may ask for by their CID.

use bytes::Bytes;
use roadstead::index::{BlobBlock, EdgeKind, IndexErrorKind, ManifestEdge, PublicBlock};
use roadstead::ipld::Block;
use roadstead::oci::TreeId::{Private, Public};
use roadstead::oci::{RepositoryRecord, Visibility};

use crate::fixtures::{
    NOW, blob, canonical, cid, give, leaf, manifest, repository, sha256, stored_blob,
    stored_manifest,
};
use crate::{Case, Outcome, case, home::Home};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        case(a_node_is_public_while_something_links_to_it_and_for_a_while_after),
        case(a_part_of_a_blob_is_public_as_its_file_is),
        case(a_node_above_leaves_is_stored),
        case(a_manifest_is_found_by_its_cid),
        case(what_is_withdrawn_is_not_public_until_it_is_linked_again),
        case(content_is_needed_by_manifests_and_not_by_who_merely_has_it),
        case(content_is_named_in_the_tree_of_its_repository),
        case(blobs_of_a_manifest_are_found_by_one_call),
    ]
}

async fn a_node_is_public_while_something_links_to_it_and_for_a_while_after(home: Home) -> Outcome {
    let mut writer = home.index.lock().await?;
    let bytes = Bytes::from_static(b"node");
    writer.put_nodes(&[(cid("node"), Some(bytes.clone()))]).await?;
    assert_eq!(home.index.public_block(&cid("node"), 0).await?, None, "nothing links to it");
    writer.add_node_refs(Public, &[(cid("node"), 1)], NOW).await?;
    let found = Some(PublicBlock::Stored(bytes));
    assert_eq!(home.index.public_block(&cid("node"), NOW).await?, found);
    writer.add_node_refs(Public, &[(cid("node"), -1)], NOW).await?;
    assert_eq!(home.index.public_block(&cid("node"), NOW - 1).await?, found);
    assert_eq!(home.index.public_block(&cid("node"), NOW).await?, None);
    assert_eq!(home.index.public_block(&cid("absent"), 0).await?, None);
    Ok(())
}

async fn a_part_of_a_blob_is_public_as_its_file_is(home: Home) -> Outcome {
    let mut new = blob("large");
    new.blocks =
        [("first", 0), ("second", 1 << 20)].map(|(text, start)| leaf(text, start, 5)).into();
    home.index.record_blob(&repository("app"), &new, NOW).await?;
    assert_eq!(home.index.public_block(&cid("second"), 0).await?, None, "no tree has the blob");
    let mut writer = home.index.lock().await?;
    writer.put_nodes(&[(new.blob.cid, None)]).await?;
    writer.add_node_refs(Public, &[(new.blob.cid, 1)], NOW).await?;
    let blob = stored_blob("large");
    let found = Some(PublicBlock::Part { blob, start: 1 << 20, length: 5 });
    assert_eq!(home.index.public_block(&cid("second"), NOW).await?, found);
    writer.add_node_refs(Public, &[(new.blob.cid, -1)], NOW).await?;
    assert_eq!(home.index.public_block(&cid("second"), NOW - 1).await?, found);
    assert_eq!(home.index.public_block(&cid("second"), NOW).await?, None);
    Ok(())
}

async fn a_node_above_leaves_is_stored(home: Home) -> Outcome {
    let (node, lost) = (Block::dag_pb("node".into()), Block::dag_pb("lost".into()));
    let mut new = blob("large");
    new.blob.cid = node.cid;
    new.blocks = [(node.cid, Some(node.bytes.clone())), (lost.cid, None)]
        .map(|(cid, node)| BlobBlock { cid, start: 0, length: 5, node })
        .into();
    home.index.record_blob(&repository("app"), &new, NOW).await?;
    let mut writer = home.index.lock().await?;
    writer.put_nodes(&[(node.cid, None)]).await?;
    writer.add_node_refs(Public, &[(node.cid, 1)], NOW).await?;
    let found = home.index.public_block(&node.cid, NOW).await?;
    assert_eq!(found, Some(PublicBlock::Stored(node.bytes)));
    let refused = home.index.public_block(&lost.cid, NOW).await;
    assert_eq!(refused.map_err(|error| error.kind), Err(IndexErrorKind::Damaged));
    Ok(())
}

async fn a_manifest_is_found_by_its_cid(home: Home) -> Outcome {
    let mut writer = home.index.lock().await?;
    give(&mut writer, &repository("app"), "image", &manifest("image")).await?;
    let stored = stored_manifest("image");
    assert_eq!(home.index.public_block(&stored.cid, 0).await?, None, "no tree has it");
    writer.put_nodes(&[(stored.cid, None)]).await?;
    writer.add_node_refs(Public, &[(stored.cid, 1)], NOW).await?;
    let found = home.index.public_block(&stored.cid, NOW).await?;
    assert_eq!(found, Some(PublicBlock::Stored(stored.bytes)));
    Ok(())
}

async fn what_is_withdrawn_is_not_public_until_it_is_linked_again(home: Home) -> Outcome {
    let app = repository("app");
    let mut new = blob("large");
    new.blocks = [("shared", 0), ("own", 1 << 20)].map(|(text, start)| leaf(text, start, 5)).into();
    let mut other = blob("other");
    other.blocks = vec![leaf("shared", 0, 5)];
    let mut writer = home.index.lock().await?;
    for blob in [&new, &other] {
        home.index.record_blob(&app, blob, NOW).await?;
        writer.put_nodes(&[(blob.blob.cid, None)]).await?;
        writer.add_node_refs(Public, &[(blob.blob.cid, 1)], NOW).await?;
    }
    let link = (cid("link"), Some(Bytes::from_static(b"link")));
    writer.put_nodes(&[link]).await?;
    writer.add_node_refs(Public, &[(cid("link"), 1)], NOW).await?;
    let files = [new.blob.cid, cid("link")];
    assert!(!home.index.is_withdrawn(&files[0]).await?);
    for _ in 0..2 {
        writer.withdraw(&canonical("large"), &files).await?;
    }
    // Content of the same text as a link that the tree has: the link is not what was withdrawn.
    assert!(home.index.public_block(&cid("link"), 0).await?.is_some());
    writer.add_node_refs(Public, &[(cid("link"), -1)], NOW).await?;
    for file in &files {
        assert!(home.index.is_withdrawn(file).await?);
        assert_eq!(home.index.public_block(file, 0).await?, None);
    }
    writer.add_node_refs(Public, &[(cid("link"), 1)], NOW).await?;
    assert_eq!(home.index.public_block(&cid("own"), 0).await?, None);
    let shared = home.index.public_block(&cid("shared"), 0).await?;
    assert_eq!(shared, Some(PublicBlock::Part { blob: other.blob, start: 0, length: 5 }));
    // Whether its bytes are kept is another matter.
    assert_eq!(writer.withdrawn().await?, [canonical("large")]);
    writer.set_forgotten(&canonical("large")).await?;
    assert!(writer.withdrawn().await?.is_empty());
    // What was removed may be removed again by whoever has not noticed that it was stored since.
    for digests in [vec![canonical("other")], vec![canonical("other"), canonical("large")]] {
        let found = writer.withdrawn_among(&digests).await?;
        assert_eq!(found, digests[1..].iter().copied().collect());
    }
    writer.prune(NOW + 1).await?;
    assert!(home.index.is_withdrawn(&files[0]).await?, "roots lead to it still");
    writer.withdraw(&canonical("large"), &files).await?;
    assert_eq!(writer.withdrawn().await?, [canonical("large")]);
    writer.end_withdrawal(&[canonical("other"), canonical("large")]).await?;
    writer.end_withdrawal(&[]).await?;
    assert!(writer.withdrawn().await?.is_empty());
    assert!(home.index.public_block(&cid("own"), 0).await?.is_some());
    assert!(home.index.public_block(&cid("link"), 0).await?.is_some());
    // A note goes with the nodes that it is about.
    writer.withdraw(&canonical("large"), &files).await?;
    writer.set_forgotten(&canonical("large")).await?;
    for file in &files {
        writer.add_node_refs(Public, &[(*file, -1)], NOW).await?;
    }
    writer.prune(NOW + 1).await?;
    assert!(!home.index.is_withdrawn(&files[0]).await?);
    Ok(())
}

async fn content_is_needed_by_manifests_and_not_by_who_merely_has_it(home: Home) -> Outcome {
    let (app, other) = (repository("app"), repository("other"));
    for holder in [&app, &other] {
        home.index.record_blob(holder, &blob("layer"), NOW).await?;
    }
    let layer = canonical("layer");
    let mut writer = home.index.lock().await?;
    assert!(!writer.is_needed(Public, &layer).await?);
    assert!(writer.linking(Public, &layer).await?.is_empty());
    let mut image = manifest("image");
    image.edges = vec![ManifestEdge { kind: EdgeKind::Blob, target: sha256("layer") }];
    give(&mut writer, &app, "image", &image).await?;
    writer.set_linked(&app, &[sha256("layer")], true).await?;
    // A link that nothing needs.
    writer.set_linked(&other, &[sha256("layer")], true).await?;
    assert!(writer.is_needed(Public, &layer).await?);
    assert!(writer.is_needed(Public, &canonical("image")).await?);
    assert_eq!(writer.linking(Public, &layer).await?, [app.clone(), other]);
    assert_eq!(writer.content_cid(&layer).await?, Some(cid("layer")));
    assert_eq!(writer.content_cid(&canonical("image")).await?, Some(cid("image")));
    assert_eq!(writer.content_cid(&canonical("absent")).await?, None);
    writer.forget_manifest(&canonical("image")).await?;
    assert!(writer.stored_manifest(&canonical("image")).await?.is_some(), "a repository has it");
    writer.remove_manifest(&app, &canonical("image")).await?;
    assert!(!writer.is_needed(Public, &layer).await?);
    assert!(!writer.is_needed(Public, &canonical("image")).await?);
    writer.forget_manifest(&canonical("image")).await?;
    assert!(writer.stored_manifest(&canonical("image")).await?.is_none());
    Ok(())
}

async fn content_is_named_in_the_tree_of_its_repository(home: Home) -> Outcome {
    let app = repository("app");
    let mut writer = home.index.lock().await?;
    assert_eq!(writer.repository(&app).await?, None);
    assert_eq!(writer.tree_of(&app).await?, Public, "there it would be made");
    home.index.record_blob(&app, &blob("layer"), NOW).await?;
    let mut image = manifest("image");
    image.edges = vec![ManifestEdge { kind: EdgeKind::Blob, target: sha256("layer") }];
    give(&mut writer, &app, "image", &image).await?;
    writer.set_linked(&app, &[sha256("layer")], true).await?;
    for (visibility, tree, other) in
        [(Visibility::Public, Public, Private), (Visibility::Private, Private, Public)]
    {
        writer.set_visibility(&app, visibility, NOW).await?;
        let record = home.index.repository(&app).await?.ok_or("no record")?;
        assert_eq!((&record.name, record.visibility, record.tree), (&app, visibility, tree));
        assert_eq!(
            writer.repository(&app).await?,
            Some(RepositoryRecord { as_of: None, ..record })
        );
        assert_eq!(writer.tree_of(&app).await?, tree);
        assert_eq!(home.index.repositories(Some(tree), None, 9).await?, std::slice::from_ref(&app));
        assert_eq!(home.index.repositories(Some(other), None, 9).await?, []);
        assert_eq!(home.index.repositories(None, None, 9).await?, std::slice::from_ref(&app));
        for text in ["image", "layer"] {
            let content = canonical(text);
            assert!(
                writer.is_named(tree, &content).await? && writer.is_needed(tree, &content).await?
            );
            assert!(!writer.is_named(other, &content).await?);
            assert!(!writer.is_needed(other, &content).await?);
            assert!(!writer.needing(tree, &content, 9).await?.is_empty());
            assert!(writer.needing(other, &content, 9).await?.is_empty());
        }
        assert_eq!(writer.linking(tree, &canonical("layer")).await?, std::slice::from_ref(&app));
        assert!(writer.linking(other, &canonical("layer")).await?.is_empty());
    }
    Ok(())
}

async fn blobs_of_a_manifest_are_found_by_one_call(home: Home) -> Outcome {
    for text in ["one", "two"] {
        home.index.record_blob(&repository("app"), &blob(text), NOW).await?;
    }
    home.index.record_blob(&repository("other"), &blob("elsewhere"), NOW).await?;
    let digests = ["two", "elsewhere", "absent", "one"].map(crate::fixtures::sha256);
    let mut writer = home.index.lock().await?;
    let found = writer.blobs(&repository("app"), &digests).await?;
    assert_eq!(found.len(), 2);
    assert_eq!(found[&digests[0]], stored_blob("two"));
    assert_eq!(found[&digests[3]], stored_blob("one"));
    assert!(writer.blobs(&repository("app"), &[]).await?.is_empty());
    Ok(())
}
