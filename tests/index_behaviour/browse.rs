//! Cases about what there is to see: repositories, tags, images and what they take.

use std::time::Duration;

use roadstead::index::{EdgeKind, ImageSize, Index, NewManifest, NewPulls, Result, Writer};
use roadstead::oci::{CanonicalDigest, Digest, RepositoryName, Tag};

use crate::fixtures::{
    NOW, blob, blob_with_alias, canonical, cid, edge, give, manifest, repository, sha256, sha512,
    tag, target,
};
use crate::{Case, Outcome, case, home::Home};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        case(images_are_listed_by_tag_page_by_page),
        case(an_image_is_found_by_tag_and_by_each_of_its_digests),
        case(an_image_shares_what_others_of_its_repository_have),
        case(parts_of_an_index_are_shared_that_have_a_tag_or_another_index),
        case(a_repository_says_what_it_has),
        case(sizes_are_as_counting_by_hand_finds_them),
        case(namespaces_are_listed_with_what_they_have),
    ]
}

/// A manifest that names blobs and lists manifests.
fn naming(text: &str, blobs: &[&str], children: &[&str]) -> NewManifest {
    let blobs = blobs.iter().map(|blob| edge(EdgeKind::Blob, sha256(blob)));
    let children = children.iter().map(|child| edge(EdgeKind::Child, sha256(child)));
    NewManifest { edges: blobs.chain(children).collect(), ..manifest(text) }
}

/// Gives a repository a manifest with its blobs.
async fn push(
    writer: &mut Writer,
    repository: &RepositoryName,
    text: &str,
    blobs: &[&str],
    children: &[&str],
) -> Result<()> {
    for text in blobs {
        writer.put_blob(Some(repository), &blob(text), NOW).await?;
    }
    give(writer, repository, text, &naming(text, blobs, children)).await
}

async fn size(index: &Index, repository: &RepositoryName, text: &str) -> Result<(u64, u64)> {
    let ImageSize { bytes, shared } = index.image_size(repository, &canonical(text)).await?;
    Ok((bytes, shared))
}

async fn images_are_listed_by_tag_page_by_page(home: Home) -> Outcome {
    let (mine, other) = (repository("app"), repository("other"));
    let mut writer = home.index.lock().await?;
    push(&mut writer, &mine, "one", &["config", "layer"], &[]).await?;
    push(&mut writer, &mine, "bare", &[], &[]).await?;
    push(&mut writer, &mine, "list", &[], &["one", "bare"]).await?;
    push(&mut writer, &other, "one", &["config"], &[]).await?;
    for (name, text) in [("a", "one"), ("b", "bare"), ("c", "list")] {
        writer.put_tag(&mine, &tag(name), &target(text)).await?;
    }
    writer.put_tag_of_unknown_time(&mine, &tag("d"), &target("one")).await?;
    writer.put_tag(&other, &tag("elsewhere"), &target("one")).await?;
    drop(writer);
    let pulled = NewPulls {
        repository: mine.clone(),
        manifest: canonical("one"),
        count: 7,
        age: Duration::from_secs(1),
    };
    home.index.add_pulls(&[pulled], |_| ()).await?;
    let all = home.index.tagged_images(&mine, None, 100).await?;
    let found: Vec<_> = all
        .iter()
        .map(|it| {
            let tag = it.tag.as_ref().map(ToString::to_string).unwrap_or_default();
            (tag, it.canonical, it.pushed.is_some(), it.pulls, it.last_pulled.is_some(), it.config)
        })
        .collect();
    let row = |tag: &str, text, is_known, pulls, is_pulled, config: Option<&str>| {
        (tag.to_owned(), canonical(text), is_known, pulls, is_pulled, config.map(sha256))
    };
    let expected = [
        row("a", "one", true, 7, true, Some("config")),
        row("b", "bare", true, 0, false, None),
        row("c", "list", true, 0, true, Some("config")),
        row("d", "one", false, 7, true, Some("config")),
    ];
    assert_eq!(found, expected);
    assert_eq!(all[0].cid, cid("one"));
    let mut paged = Vec::new();
    while paged.len() < 9 {
        let last = paged.last().and_then(|it: &roadstead::index::SeenImage| it.tag.clone());
        let last = last.as_ref().map(Tag::as_str);
        let page = home.index.tagged_images(&mine, last, 3).await?;
        if page.is_empty() {
            break;
        }
        paged.extend(page);
    }
    assert_eq!(paged, all);
    assert!(home.index.tagged_images(&repository("absent"), None, 9).await?.is_empty());
    Ok(())
}

async fn an_image_is_found_by_tag_and_by_each_of_its_digests(home: Home) -> Outcome {
    let mine = repository("app");
    let mut writer = home.index.lock().await?;
    let new = NewManifest { aliases: vec![sha512("one")], ..manifest("one") };
    give(&mut writer, &mine, "one", &new).await?;
    let untagged = home.index.image(&mine, &sha256("one")).await?.ok_or("it is there")?;
    assert_eq!((untagged.pushed, untagged.tag), (None, None));
    writer.put_tag(&mine, &tag("v1"), &target("one")).await?;
    drop(writer);
    let tagged = home.index.tagged_image(&mine, &tag("v1")).await?.ok_or("it is there")?;
    assert!(tagged.pushed.is_some());
    for digest in [sha256("one"), sha512("one")] {
        let found = home.index.image(&mine, &digest).await?.ok_or("it is there")?;
        let expected = (digest, tagged.canonical, tagged.pushed, None);
        assert_eq!((found.digest, found.canonical, found.pushed, found.tag), expected);
    }
    assert_eq!(home.index.tagged_image(&mine, &tag("v2")).await?, None);
    assert_eq!(home.index.image(&repository("other"), &sha256("one")).await?, None);
    Ok(())
}

async fn an_image_shares_what_others_of_its_repository_have(home: Home) -> Outcome {
    let (mine, other) = (repository("app"), repository("other"));
    let mut writer = home.index.lock().await?;
    push(&mut writer, &mine, "image 1", &["config 1", "base layer", "own layer"], &[]).await?;
    push(&mut writer, &mine, "image 2", &["config 2", "base layer"], &[]).await?;
    // What another repository has says nothing here.
    push(&mut writer, &other, "image 3", &["own layer", "base layer"], &[]).await?;
    push(&mut writer, &other, "image 1", &["config 1", "base layer", "own layer"], &[]).await?;
    drop(writer);
    assert_eq!(size(&home.index, &mine, "image 1").await?, (7 + 8 + 10 + 9, 10));
    assert_eq!(size(&home.index, &mine, "image 2").await?, (7 + 8 + 10, 10));
    assert_eq!(size(&home.index, &mine, "image 3").await?, (0, 0));
    // By whatever name the other one has it.
    let mut writer = home.index.lock().await?;
    writer.put_blob(Some(&mine), &blob_with_alias("own layer"), NOW).await?;
    let by_alias = NewManifest {
        edges: vec![edge(EdgeKind::Blob, sha512("own layer"))],
        ..manifest("by alias")
    };
    give(&mut writer, &mine, "by alias", &by_alias).await?;
    drop(writer);
    assert_eq!(size(&home.index, &mine, "image 1").await?, (34, 19));
    assert_eq!(size(&home.index, &mine, "by alias").await?, (8 + 9, 9));
    Ok(())
}

async fn parts_of_an_index_are_shared_that_have_a_tag_or_another_index(home: Home) -> Outcome {
    let mine = repository("app");
    let mut writer = home.index.lock().await?;
    push(&mut writer, &mine, "arm", &["arm layer", "common"], &[]).await?;
    push(&mut writer, &mine, "intel", &["intel layer", "common"], &[]).await?;
    push(&mut writer, &mine, "list", &[], &["arm", "intel", "absent"]).await?;
    drop(writer);
    let whole = 3 + 5 + 4 + 9 + 11 + 6;
    assert_eq!(size(&home.index, &mine, "list").await?, (whole, 0), "its parts are its own");
    assert_eq!(size(&home.index, &mine, "arm").await?, (3 + 9 + 6, 3 + 9 + 6), "it is the list's");
    let mut writer = home.index.lock().await?;
    writer.put_tag(&mine, &tag("arm"), &target("arm")).await?;
    writer.put_tag(&mine, &tag("list"), &target("list")).await?;
    writer.put_tag(&mine, &tag("latest"), &target("list")).await?;
    drop(writer);
    assert_eq!(size(&home.index, &mine, "list").await?, (whole, 3 + 9 + 6));
    let mut writer = home.index.lock().await?;
    push(&mut writer, &mine, "outer", &[], &["list"]).await?;
    drop(writer);
    assert_eq!(size(&home.index, &mine, "list").await?, (whole, whole));
    assert_eq!(size(&home.index, &mine, "outer").await?, (whole + 5, whole), "`list` has a tag");
    Ok(())
}

async fn a_repository_says_what_it_has(home: Home) -> Outcome {
    let mine = repository("app");
    assert_eq!(home.index.repository_contents(&mine).await?, None);
    let mut writer = home.index.lock().await?;
    push(&mut writer, &mine, "one", &["config", "layer"], &[]).await?;
    push(&mut writer, &mine, "two", &["config"], &[]).await?;
    writer.put_blob(Some(&mine), &blob_with_alias("nobody names it"), NOW).await?;
    let unknown = home.index.repository_contents(&mine).await?.ok_or("it is there")?;
    assert_eq!((unknown.tags, unknown.pushed, unknown.last_pulled), (0, None, None));
    writer.put_tag(&mine, &tag("v1"), &target("one")).await?;
    drop(writer);
    let new = |text, count| NewPulls {
        repository: mine.clone(),
        manifest: canonical(text),
        count,
        age: Duration::ZERO,
    };
    home.index.add_pulls(&[new("one", 2), new("two", 3)], |_| ()).await?;
    let found = home.index.repository_contents(&mine).await?.ok_or("it is there")?;
    assert_eq!((found.tags, found.manifests, found.pulls), (1, 2, 5));
    assert_eq!(found.created, NOW);
    assert!(found.pushed.is_some() && found.last_pulled.is_some());
    Ok(())
}

/// Compares with a model, over images of few layers that share many.
async fn sizes_are_as_counting_by_hand_finds_them(home: Home) -> Outcome {
    let mine = repository("app");
    let (seed, mut numbers) = crate::fixtures::Numbers::cast();
    let blobs: Vec<String> = (0..6).map(|it| "b".repeat(it * 10 + 3)).collect();
    let mut images: Vec<(String, Vec<&str>, Vec<usize>)> = Vec::new();
    let mut tagged = Vec::new();
    let mut writer = home.index.lock().await?;
    writer.begin().await?;
    for text in &blobs {
        writer.put_blob(Some(&mine), &blob(text), NOW).await?;
    }
    for number in 0..14 {
        let text = format!("manifest {number}");
        let mut named: Vec<&str> = blobs.iter().map(String::as_str).collect();
        named.retain(|_| numbers.below(3) == 0);
        // An index lists what was pushed before it.
        let mut listed: Vec<usize> = if number > 6 { (0..number).collect() } else { Vec::new() };
        listed.retain(|_| numbers.below(3) == 0);
        let children: Vec<String> = listed.iter().map(|it| images[*it].0.clone()).collect();
        let children: Vec<&str> = children.iter().map(String::as_str).collect();
        give(&mut writer, &mine, &text, &naming(&text, &named, &children)).await?;
        if numbers.below(3) == 0 {
            writer.put_tag(&mine, &tag(&format!("t{number}")), &target(&text)).await?;
            tagged.push(number);
        }
        images.push((text, named, listed));
    }
    writer.commit().await?;
    drop(writer);
    let below = |from: &[usize]| {
        let mut found: Vec<usize> = from.to_vec();
        let mut at = 0;
        while at < found.len() {
            for child in &images[found[at]].2 {
                if !found.contains(child) {
                    found.push(*child);
                }
            }
            at += 1;
        }
        found
    };
    for (root, (text, ..)) in images.iter().enumerate() {
        let parts = below(&[root]);
        let is_listed_elsewhere = |part: usize| {
            images.iter().enumerate().any(|(at, it)| !parts.contains(&at) && it.2.contains(&part))
        };
        let is_first =
            |part: &usize| is_listed_elsewhere(*part) || (*part != root && tagged.contains(part));
        let shared = below(&parts.iter().copied().filter(is_first).collect::<Vec<_>>());
        let (mut bytes, mut of_others) = (0, 0);
        for part in &parts {
            let length = images[*part].0.len() as u64;
            bytes += length;
            of_others += if shared.contains(part) { length } else { 0 };
        }
        for text in &blobs {
            let has = |at: usize| images[at].1.contains(&text.as_str());
            if parts.iter().any(|part| has(*part)) {
                bytes += text.len() as u64;
                let is_shared = (0..images.len())
                    .any(|at| has(at) && (!parts.contains(&at) || shared.contains(&at)));
                of_others += if is_shared { text.len() as u64 } else { 0 };
            }
        }
        let found = size(&home.index, &mine, text).await?;
        assert_eq!(found, (bytes, of_others), "{text}, TEST_SEED={seed}");
    }
    Ok(())
}

async fn namespaces_are_listed_with_what_they_have(home: Home) -> Outcome {
    let mut writer = home.index.lock().await?;
    for name in ["b/app", "a/app", "a/other", "c"] {
        push(&mut writer, &repository(name), "image", &[], &[]).await?;
    }
    drop(writer);
    let all = home.index.usage_after(None, 9).await?;
    assert_eq!(all, home.index.usage().await?);
    assert_eq!(all.iter().map(|it| it.0.as_str()).collect::<Vec<_>>(), ["a", "b", "c"]);
    assert_eq!(home.index.usage_after(None, 1).await?, all[..1]);
    assert_eq!(home.index.usage_after(Some("a"), 9).await?, all[1..]);
    let (digest, content): (CanonicalDigest, Digest) = (canonical("image"), sha256("image"));
    assert_eq!(Digest::from(digest), content);
    Ok(())
}
