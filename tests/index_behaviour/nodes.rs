//! Cases about the nodes of the trees, pruning and clearing.

use bytes::Bytes;
use roadstead::index::{Actor, EdgeKind, EntryState, IndexErrorKind};
use roadstead::oci::TreeId::{Private, Public};

use crate::fixtures::{
    NOW, blob_with_alias, canonical, cid, edge, give, key, manifest, repository, sha256, tag,
    target,
};
use crate::{Case, Outcome, case, home::Home};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        case(each_tree_counts_its_own_links),
        case(a_node_goes_when_no_tree_has_it),
        case(a_node_keeps_its_bytes),
        case(links_are_counted),
        case(many_nodes_are_counted_in_one_call),
        case(a_count_below_nothing_is_damage),
        case(a_node_without_links_is_pruned_in_time),
        case(a_root_is_not_pruned),
        case(a_node_that_was_never_counted_is_not_pruned),
        case(closed_entries_are_pruned_in_time),
        case(clearing_leaves_uploads_and_users),
    ]
}

async fn a_node_keeps_its_bytes(home: Home) -> Outcome {
    let mut writer = home.index.lock().await?;
    let bytes = Bytes::from_static(b"\x12\x00 node");
    writer.put_nodes(&[(cid("node"), Some(bytes.clone())), (cid("link"), None)]).await?;
    writer.put_nodes(&[(cid("node"), None), (cid("link"), Some(Bytes::new()))]).await?;
    writer.put_nodes(&[(cid("twice"), None), (cid("twice"), Some(bytes.clone()))]).await?;
    assert_eq!(home.index.node(&cid("node")).await?, Some(bytes.clone()));
    assert_eq!(writer.node(&cid("link")).await?, Some(Bytes::new()));
    assert_eq!(writer.node(&cid("twice")).await?, Some(bytes));
    assert_eq!(home.index.node(&cid("absent")).await?, None);
    writer.put_nodes(&[(cid("content"), None)]).await?;
    assert_eq!(home.index.node(&cid("content")).await?, None);
    writer.put_nodes(&[]).await?;
    Ok(())
}

async fn links_are_counted(home: Home) -> Outcome {
    let mut writer = home.index.lock().await?;
    let (one, two, absent) = (cid("one"), cid("two"), cid("absent"));
    writer.put_nodes(&[(one, None)]).await?;
    writer.add_node_refs(Public, &[(one, 2), (two, 1), (one, -1), (two, 3)], NOW).await?;
    assert_eq!(
        writer.node_refs(Public, &[two, absent, one]).await?,
        [(two, 4), (absent, 0), (one, 1)]
    );
    assert_eq!(writer.node_refs(Public, &[one, one]).await?, [(one, 1), (one, 1)]);
    assert_eq!(writer.node_refs(Public, &[]).await?, []);
    writer.put_nodes(&[(two, Some(Bytes::from_static(b"late")))]).await?;
    assert_eq!(
        writer.node_refs(Public, &[two]).await?,
        [(two, 4)],
        "bytes do not change the count"
    );
    writer.add_node_refs(Public, &[], NOW).await?;
    Ok(())
}

async fn many_nodes_are_counted_in_one_call(home: Home) -> Outcome {
    let cids: Vec<_> = (0..5500).map(|n| cid(&n.to_string())).collect();
    let bytes = Some(Bytes::from_static(b"bytes"));
    let nodes: Vec<_> = cids.iter().map(|cid| (*cid, bytes.clone())).collect();
    let deltas: Vec<_> = cids.iter().zip(0..).map(|(cid, n)| (*cid, n)).collect();
    let mut writer = home.index.lock().await?;
    writer.begin().await?;
    writer.put_nodes(&nodes).await?;
    writer.add_node_refs(Public, &deltas, NOW).await?;
    assert_eq!(writer.node_refs(Public, &cids).await?, deltas);
    writer.commit().await?;
    assert_eq!(home.number("SELECT COUNT(*) FROM nodes WHERE bytes IS NOT NULL").await?, 5500);
    Ok(())
}

async fn a_count_below_nothing_is_damage(home: Home) -> Outcome {
    let mut writer = home.index.lock().await?;
    writer.add_node_refs(Public, &[(cid("node"), 1)], NOW).await?;
    let below = writer.add_node_refs(Public, &[(cid("other"), 1), (cid("node"), -2)], NOW).await;
    assert_eq!(below.map_err(|error| error.kind), Err(IndexErrorKind::Damaged));
    let counts = writer.node_refs(Public, &[cid("node"), cid("other")]).await?;
    assert_eq!(counts, [(cid("node"), 1), (cid("other"), 0)]);
    Ok(())
}

async fn a_node_without_links_is_pruned_in_time(home: Home) -> Outcome {
    let mut writer = home.index.lock().await?;
    let (gone, back, live) = (cid("gone"), cid("back"), cid("live"));
    let bytes = Some(Bytes::from_static(b"bytes"));
    writer.put_nodes(&[gone, back, live].map(|cid| (cid, bytes.clone()))).await?;
    writer.add_node_refs(Public, &[(gone, 1), (back, 1), (live, 2)], 10).await?;
    writer.add_node_refs(Public, &[(gone, -1), (back, -1), (live, -1)], 20).await?;
    writer.add_node_refs(Public, &[(gone, 0)], 25).await?;
    writer.add_node_refs(Public, &[(back, 1)], 30).await?;
    assert_eq!(writer.prune(20).await?, 0, "it was removed at that time, not before");
    assert_eq!(writer.prune(21).await?, 1);
    assert_eq!(writer.node(&gone).await?, None);
    writer.add_node_refs(Public, &[(back, -1)], 40).await?;
    assert_eq!(writer.prune(40).await?, 0, "the first removal is forgotten");
    assert_eq!(writer.prune(i64::MAX).await?, 1);
    assert!(writer.node(&live).await?.is_some());
    Ok(())
}

async fn a_root_is_not_pruned(home: Home) -> Outcome {
    let mut writer = home.index.lock().await?;
    let bytes = Some(Bytes::from_static(b"root"));
    for (text, now) in [("first", 10), ("second", 20)] {
        writer.put_nodes(&[(cid(text), bytes.clone())]).await?;
        writer.add_node_refs(Public, &[(cid(text), 0)], now).await?;
        writer.set_root(Public, &cid(text), 0).await?;
    }
    assert_eq!(writer.prune(NOW).await?, 1);
    assert_eq!(writer.node(&cid("first")).await?, None);
    assert_eq!(writer.node(&cid("second")).await?, bytes);
    Ok(())
}

async fn a_node_that_was_never_counted_is_not_pruned(home: Home) -> Outcome {
    let mut writer = home.index.lock().await?;
    let bytes = Some(Bytes::from_static(b"private"));
    writer.put_nodes(&[(cid("node"), bytes.clone())]).await?;
    assert_eq!(writer.prune(i64::MAX).await?, 0);
    assert_eq!(writer.node(&cid("node")).await?, bytes);
    writer.add_node_refs(Public, &[(cid("node"), 0)], NOW).await?;
    assert_eq!(writer.prune(NOW + 1).await?, 1, "now it was");
    Ok(())
}

async fn closed_entries_are_pruned_in_time(home: Home) -> Outcome {
    let mut writer = home.index.lock().await?;
    let mut numbers = Vec::new();
    for now in 10..16 {
        numbers.push(home.index.enqueue(&Actor::default(), b"entry", None, now).await?);
    }
    let [folded, unfolded, refused, waiting, checked, late] = numbers[..] else {
        return Err("six entries".into());
    };
    for seq in [folded, unfolded, checked, late] {
        writer.set_checked(seq, &[Public], b"edits").await?;
    }
    writer.set_outcome(folded, EntryState::Done, b"").await?;
    writer.set_root(Public, &cid("root"), late).await?;
    writer.set_outcome(unfolded, EntryState::Done, b"").await?;
    for seq in [refused, late] {
        writer.set_outcome(seq, EntryState::Refused, b"").await?;
    }
    assert_eq!(writer.prune(15).await?, 2);
    for (seq, is_there) in
        [(folded, false), (unfolded, true), (refused, false), (waiting, true), (checked, true)]
    {
        assert_eq!(writer.entry(seq).await?.is_some(), is_there, "{seq} of {numbers:?}");
    }
    assert!(writer.entry(late).await?.is_some(), "it is not old enough");
    Ok(())
}

async fn clearing_leaves_uploads_and_users(home: Home) -> Outcome {
    let mine = repository("app");
    home.execute("INSERT INTO principals (kind, name, created) VALUES ('user', 'anna', 1)").await?;
    home.index.create_upload("1", &mine, "", NOW).await?;
    home.index.record_blob(&mine, &blob_with_alias("layer"), NOW).await?;
    home.index.enqueue(&Actor::default(), b"entry", None, NOW).await?;
    let mut writer = home.index.lock().await?;
    let mut new = manifest("image");
    new.edges.push(edge(EdgeKind::Blob, sha256("layer")));
    give(&mut writer, &mine, "image", &new).await?;
    writer.put_tag(&mine, &tag("v1"), &target("image")).await?;
    writer.add_node_refs(Public, &[(cid("node"), 1)], NOW).await?;
    writer.set_root(Public, &cid("root"), 0).await?;
    let version = home.index.version().await?;
    writer.clear().await?;
    assert!(home.index.version().await? > version);
    assert!(!home.index.repository_exists(&mine).await?);
    assert_eq!(home.index.tags(&mine, None, 9).await?, []);
    assert_eq!(home.index.stored_blob(&canonical("layer")).await?, None);
    assert_eq!(writer.stored_manifest(&canonical("image")).await?, None);
    assert_eq!(home.index.open_entry_count().await?, 0);
    assert_eq!(writer.folding(Public).await?.root, None);
    assert_eq!(writer.node_refs(Public, &[cid("node")]).await?[0].1, 0);
    assert!(home.index.upload(&key(&mine, "1")).await?.is_some());
    assert_eq!(home.number("SELECT COUNT(*) FROM principals").await?, 1);
    drop(writer);
    home.index.record_blob(&mine, &blob_with_alias("layer"), NOW).await?;
    assert!(home.index.blob(&mine, &sha256("layer")).await?.is_some());
    Ok(())
}

async fn each_tree_counts_its_own_links(home: Home) -> Outcome {
    let mut writer = home.index.lock().await?;
    let bytes = Bytes::from_static(b"node");
    writer.put_nodes(&[(cid("node"), Some(bytes))]).await?;
    writer.add_node_refs(Private, &[(cid("node"), 2)], NOW).await?;
    assert_eq!(writer.node_refs(Private, &[cid("node")]).await?, [(cid("node"), 2)]);
    assert_eq!(writer.node_refs(Public, &[cid("node")]).await?, [(cid("node"), 0)]);
    assert_eq!(home.index.public_block(&cid("node"), 0).await?, None);
    writer.add_node_refs(Public, &[(cid("node"), 1)], NOW).await?;
    assert!(home.index.public_block(&cid("node"), NOW).await?.is_some());
    writer.add_node_refs(Public, &[(cid("node"), -1)], NOW).await?;
    assert_eq!(home.index.public_block(&cid("node"), NOW).await?, None);
    // What leaves the private tree was not public for a moment.
    writer.put_nodes(&[(cid("secret"), Some(Bytes::from_static(b"secret")))]).await?;
    writer.add_node_refs(Private, &[(cid("secret"), 1)], NOW).await?;
    writer.add_node_refs(Private, &[(cid("secret"), -1)], NOW).await?;
    assert_eq!(home.index.public_block(&cid("secret"), 0).await?, None);
    let below = writer.add_node_refs(Private, &[(cid("secret"), -1)], NOW).await;
    assert_eq!(below.map_err(|error| error.kind), Err(IndexErrorKind::Damaged));
    Ok(())
}

async fn a_node_goes_when_no_tree_has_it(home: Home) -> Outcome {
    let mut writer = home.index.lock().await?;
    let nodes = ["public", "private", "later", "both"].map(cid);
    for (node, tree, removed) in [
        (nodes[0], Public, Some(10)),
        (nodes[1], Private, Some(10)),
        (nodes[2], Private, Some(30)),
        (nodes[3], Private, None),
    ] {
        writer.put_nodes(&[(node, Some(Bytes::from_static(b"node")))]).await?;
        writer.add_node_refs(tree, &[(node, 1)], 5).await?;
        if let Some(removed) = removed {
            writer.add_node_refs(tree, &[(node, -1)], removed).await?;
        }
    }
    writer.add_node_refs(Public, &[(nodes[3], 1), (nodes[2], 1)], 5).await?;
    writer.add_node_refs(Public, &[(nodes[3], -1), (nodes[2], -1)], 10).await?;
    assert_eq!(writer.prune(20).await?, 2);
    for (node, is_there) in nodes.iter().zip([false, false, true, true]) {
        assert_eq!(writer.node(node).await?.is_some(), is_there, "{node}");
    }
    assert_eq!(writer.prune(31).await?, 1);
    assert_eq!(writer.node(&nodes[2]).await?, None);
    Ok(())
}
