//! Cases about who may see a repository, from when it is made.

use bytes::Bytes;
use roadstead::index::{Actor, Added, Changed, EdgeKind, Index, TagRow, WholeRepository};
use roadstead::oci::TreeId::{self, Private, Public};
use roadstead::oci::{RepositoryName, Visibility};

use crate::fixtures::{
    NOW, blob, blob_with_alias, canonical, cid, edge, give, key, leaf, manifest, repository,
    sha256, sha512, stored_blob, stored_manifest, tag, target,
};
use crate::{Case, Outcome, case, home::Home};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        case(a_repository_is_made_as_its_namespace_or_else_the_setting_says),
        case(without_a_setting_every_repository_is_made_public),
        case(a_repository_is_made_in_the_tree_that_its_edits_were_planned_for),
        case(repositories_are_listed_by_who_may_see_them),
        case(a_whole_repository_is_what_its_tree_has),
        case(hidden_nodes_are_served_no_more_and_withheld_content_stays),
    ]
}

async fn seen_by(
    index: &Index,
    name: &RepositoryName,
) -> Result<Visibility, roadstead::index::IndexError> {
    let record = index.repository(name).await?.expect("it was made");
    assert_eq!(record.tree, record.visibility.tree(), "{name}");
    Ok(record.visibility)
}

/// Makes repositories of a namespace in each way that there is.
async fn make_all(
    index: &Index,
    namespace: &str,
) -> Result<Vec<RepositoryName>, Box<dyn std::error::Error>> {
    let named = |name: &str| repository(&format!("{namespace}/{name}"));
    index.record_blob(&named("recorded"), &blob("layer"), NOW).await?;
    assert!(index.mount_blob(&named("mounted"), &sha256("layer"), NOW).await?);
    let mut large = blob("large");
    large.blocks = [("first", 0), ("second", 1 << 20)].map(|(text, at)| leaf(text, at, 5)).into();
    for (name, blob) in
        [("small", blob("layer")), ("large", large), ("named", blob_with_alias("layer"))]
    {
        let mine = named(name);
        let id = mine.as_str();
        index.create_upload(id, &mine, "", NOW).await?;
        index.claim_upload(&key(&mine, id), None, "claim", 0, NOW).await?;
        assert!(!index.finish_upload(id, "other", &mine, &blob, NOW).await?);
        assert_eq!(index.repository(&mine).await?, None, "its claim was another's");
        assert!(index.finish_upload(id, "claim", &mine, &blob, NOW).await?);
    }
    let mut writer = index.lock().await?;
    writer.put_blob(Some(&named("put")), &blob("layer"), NOW).await?;
    give(&mut writer, &named("manifest"), "image", &manifest("image")).await?;
    let all = ["recorded", "mounted", "small", "large", "named", "put", "manifest"];
    Ok(all.into_iter().map(named).collect())
}

async fn a_repository_is_made_as_its_namespace_or_else_the_setting_says(home: Home) -> Outcome {
    let index = &home.index;
    let nobody = Actor::default();
    for (name, default) in [
        ("silent", None),
        ("public", Some(Visibility::Public)),
        ("internal", Some(Visibility::Internal)),
        ("private", Some(Visibility::Private)),
    ] {
        let Added::Made(id) = index.add_namespace(name, None, &nobody, NOW).await? else {
            return Err(format!("no namespace {name}").into());
        };
        let set = index.set_default_visibility(id, default, &nobody, NOW).await?;
        assert_eq!(set, Changed::Done);
    }
    index.set_new_visibility(Some(Visibility::Private));
    for (namespace, expected) in [
        ("silent", Visibility::Private),
        ("unknown", Visibility::Private),
        ("public", Visibility::Public),
        ("internal", Visibility::Internal),
        ("private", Visibility::Private),
    ] {
        let next = repository(&format!("{namespace}/next"));
        assert_eq!(index.new_visibility(&next).await?, expected, "{namespace}");
        assert_eq!(index.lock().await?.tree_of(&next).await?, expected.tree(), "{namespace}");
        for made in make_all(index, namespace).await? {
            assert_eq!(seen_by(index, &made).await?, expected, "{made}");
        }
    }
    // One component is the namespace.
    index.record_blob(&repository("internal"), &blob("layer"), NOW).await?;
    assert_eq!(seen_by(index, &repository("internal")).await?, Visibility::Internal);
    // What is there stays as it is.
    let made = repository("silent/recorded");
    index.set_new_visibility(Some(Visibility::Internal));
    index.record_blob(&made, &blob("layer"), NOW).await?;
    assert_eq!(seen_by(index, &made).await?, Visibility::Private);
    index.record_blob(&repository("silent/later"), &blob("layer"), NOW).await?;
    assert_eq!(seen_by(index, &repository("silent/later")).await?, Visibility::Internal);
    Ok(())
}

async fn without_a_setting_every_repository_is_made_public(home: Home) -> Outcome {
    let index = &home.index;
    let nobody = Actor::default();
    let Added::Made(id) = index.add_namespace("private", None, &nobody, NOW).await? else {
        return Err("no namespace".into());
    };
    let set = index.set_default_visibility(id, Some(Visibility::Private), &nobody, NOW).await?;
    assert_eq!(set, Changed::Done);
    for made in make_all(index, "private").await? {
        assert_eq!(seen_by(index, &made).await?, Visibility::Public, "{made}");
    }
    Ok(())
}

async fn a_repository_is_made_in_the_tree_that_its_edits_were_planned_for(home: Home) -> Outcome {
    let index = &home.index;
    for (setting, tree, expected) in [
        (Visibility::Internal, Public, Visibility::Public),
        (Visibility::Internal, Private, Visibility::Internal),
        (Visibility::Public, Private, Visibility::Private),
    ] {
        index.set_new_visibility(Some(setting));
        let made = repository(&format!("{}/{}", setting.as_str(), tree.as_str()));
        let mut writer = index.lock().await?;
        writer.put_stored_manifest(&stored_manifest("image")).await?;
        writer.put_manifest_in(Some(tree), &made, &manifest("image"), NOW).await?;
        drop(writer);
        assert_eq!(seen_by(index, &made).await?, expected, "{made}");
        // One that is there stays where it is.
        let other = if tree == Public { Private } else { Public };
        let mut writer = index.lock().await?;
        writer.put_manifest_in(Some(other), &made, &manifest("image"), NOW).await?;
        drop(writer);
        assert_eq!(seen_by(index, &made).await?, expected, "{made}");
    }
    Ok(())
}

async fn repositories_are_listed_by_who_may_see_them(home: Home) -> Outcome {
    let index = &home.index;
    assert_eq!(index.non_public_count().await?, 0);
    let all = [Visibility::Public, Visibility::Internal, Visibility::Private];
    for visibility in all {
        for number in ["1", "2", "3"] {
            let name = repository(&format!("{}/{number}", visibility.as_str()));
            index.lock().await?.set_visibility(&name, visibility, NOW).await?;
        }
    }
    for visibility in all {
        let named = |number| repository(&format!("{}/{number}", visibility.as_str()));
        let page = index.repositories_seen_by(visibility, None, 2).await?;
        assert_eq!(page, ["1", "2"].map(named));
        let last = page.last().map(RepositoryName::as_str);
        assert_eq!(index.repositories_seen_by(visibility, last, 2).await?, [named("3")]);
    }
    assert_eq!(index.non_public_count().await?, 6);
    Ok(())
}

async fn a_whole_repository_is_what_its_tree_has(home: Home) -> Outcome {
    let (app, other) = (repository("app"), repository("app/other"));
    for holder in [&app, &other] {
        home.index.record_blob(holder, &blob_with_alias("layer"), NOW).await?;
        home.index.record_blob(holder, &blob("loose"), NOW).await?;
    }
    let mut writer = home.index.lock().await?;
    assert_eq!(writer.whole_repository(&repository("absent")).await?, WholeRepository::default());
    let mut image = manifest("image");
    image.aliases = vec![sha512("image")];
    image.edges =
        vec![edge(EdgeKind::Blob, sha512("layer")), edge(EdgeKind::Subject, sha256("subject"))];
    give(&mut writer, &app, "image", &image).await?;
    writer.put_tag(&app, &tag("v1"), &target("image")).await?;
    let by_sha512 = TagRow { digest: sha512("image"), ..target("image") };
    writer.put_tag(&app, &tag("v2"), &by_sha512).await?;
    writer.set_linked(&app, &[sha256("layer"), sha512("layer")], true).await?;
    let whole = writer.whole_repository(&app).await?;
    let mut contents: Vec<_> = whole.contents.iter().map(|row| row.canonical.to_string()).collect();
    contents.sort_unstable();
    let mut expected = vec![sha256("layer").to_string(), sha256("image").to_string()];
    expected.sort_unstable();
    assert_eq!(contents, expected);
    assert!(whole.contents.contains(&stored_blob("layer")));
    assert_eq!(
        whole.blobs,
        [(sha256("layer"), canonical("layer")), (sha512("layer"), canonical("layer"))]
    );
    assert_eq!(
        whole.manifests,
        [(sha256("image"), canonical("image")), (sha512("image"), canonical("image"))]
    );
    assert_eq!(whole.subjects, [(canonical("image"), sha256("subject"))]);
    assert_eq!(whole.tags, [(tag("v1"), target("image")), (tag("v2"), by_sha512)]);
    let nothing = writer.whole_repository(&other).await?;
    assert!(nothing.contents.is_empty() && nothing.blobs.is_empty(), "nothing links to them");
    Ok(())
}

async fn hidden_nodes_are_served_no_more_and_withheld_content_stays(home: Home) -> Outcome {
    let index = &home.index;
    index.record_blob(&repository("app"), &blob("layer"), NOW).await?;
    let mut writer = index.lock().await?;
    let nodes = ["live", "gone", "shared", "other"]
        .map(|text| (cid(text), Some(Bytes::copy_from_slice(text.as_bytes()))));
    writer.put_nodes(&nodes).await?;
    writer.put_nodes(&[(cid("layer"), None)]).await?;
    let all = ["live", "gone", "shared", "other", "layer"].map(cid);
    writer.add_node_refs(Public, &all.map(|cid| (cid, 1)), NOW).await?;
    writer.add_node_refs(TreeId::Private, &[(cid("shared"), 1)], NOW).await?;
    let removed = [cid("gone"), cid("shared"), cid("other")];
    writer.add_node_refs(Public, &removed.map(|cid| (cid, -1)), NOW).await?;
    let mut listed = index.removed_nodes(NOW - 1).await?;
    listed.sort_unstable();
    let mut expected: Vec<_> = ["gone", "shared", "other"]
        .map(|text| (cid(text), Bytes::copy_from_slice(text.as_bytes())))
        .into();
    expected.sort_unstable();
    assert_eq!(listed, expected);
    assert_eq!(index.removed_nodes(NOW).await?, []);
    writer.hide_nodes(&[cid("live"), cid("gone"), cid("shared"), cid("absent")]).await?;
    for (text, is_served) in
        [("live", true), ("gone", false), ("shared", false), ("other", true), ("absent", false)]
    {
        let found = index.public_block(&cid(text), NOW - 1).await?;
        assert_eq!(found.is_some(), is_served, "{text}");
    }
    // One that is linked again is served, and for a while after.
    writer.add_node_refs(Public, &[(cid("gone"), 1)], NOW).await?;
    writer.add_node_refs(Public, &[(cid("gone"), -1)], NOW).await?;
    assert!(index.public_block(&cid("gone"), NOW - 1).await?.is_some());
    // The private tree's are not pruned with it.
    writer.prune(NOW + 1).await?;
    assert!(index.node(&cid("shared")).await?.is_some());
    assert!(index.node(&cid("other")).await?.is_none());

    assert!(index.public_block(&cid("layer"), 0).await?.is_some());
    writer.withhold(&canonical("layer"), &[cid("layer")]).await?;
    assert!(index.public_block(&cid("layer"), 0).await?.is_none());
    assert!(writer.withdrawn().await?.is_empty(), "its bytes are not to go");
    writer.withdraw(&canonical("layer"), &[cid("layer")]).await?;
    writer.withhold(&canonical("layer"), &[cid("layer")]).await?;
    assert_eq!(writer.withdrawn().await?, [canonical("layer")], "they are, since a purge");
    writer.end_withdrawal(&[canonical("layer")]).await?;
    assert!(index.public_block(&cid("layer"), 0).await?.is_some());
    Ok(())
}
