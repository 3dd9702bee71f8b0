//! Cases about tags and the catalogue.

use std::sync::atomic::{AtomicUsize, Ordering};

use roadstead::index::TagRow;
use roadstead::oci::{RepositoryName, Tag};

use crate::fixtures::{
    NOW, blob, canonical, give, manifest, repository, sha256, sha512, stored_manifest, tag, target,
};
use crate::{Case, Outcome, case, home::Home};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        case(tags_are_listed_bytewise_page_by_page),
        case(a_tag_moves_and_goes),
        case(a_read_after_a_move_sees_it),
        case(a_tag_remembers_the_name_that_it_was_tagged_by),
        case(a_tag_needs_a_manifest_of_its_repository),
        case(tags_of_a_manifest_are_found_under_whatever_name),
        case(repositories_with_a_manifest_are_listed_bytewise_page_by_page),
    ]
}

async fn tags_are_listed_bytewise_page_by_page(home: Home) -> Outcome {
    let mine = repository("app");
    let mut writer = home.index.lock().await?;
    give(&mut writer, &mine, "image", &manifest("image")).await?;
    for name in ["b", "a", "B", "_", "1.10", "1.9", "1-0", "latest"] {
        writer.put_tag(&mine, &tag(name), &target("image")).await?;
    }
    give(&mut writer, &repository("other"), "image", &manifest("image")).await?;
    writer.put_tag(&repository("other"), &tag("elsewhere"), &target("image")).await?;
    let all = home.index.tags(&mine, None, 100).await?;
    let all: Vec<_> = all.iter().map(Tag::as_str).collect();
    assert_eq!(all, ["1-0", "1.10", "1.9", "B", "_", "a", "b", "latest"]);
    assert_eq!(home.index.tags(&mine, None, 2).await?, [tag("1-0"), tag("1.10")]);
    assert_eq!(home.index.tags(&mine, Some("1.10"), 2).await?, [tag("1.9"), tag("B")]);
    let between = home.index.tags(&mine, Some("Zebra!"), 1).await?;
    assert_eq!(between, [tag("_")], "what pages after need not exist, nor be a tag");
    assert_eq!(home.index.tags(&mine, Some("latest"), 2).await?, []);
    assert_eq!(home.index.tags(&mine, None, 0).await?, []);
    assert_eq!(home.index.tags(&repository("none"), None, 9).await?, []);
    Ok(())
}

async fn a_tag_moves_and_goes(home: Home) -> Outcome {
    let mine = repository("app");
    let mut writer = home.index.lock().await?;
    for text in ["first", "second"] {
        give(&mut writer, &mine, text, &manifest(text)).await?;
        writer.put_tag(&mine, &tag("v1"), &target(text)).await?;
        assert_eq!(writer.tag(&mine, &tag("v1")).await?, Some(target(text)));
        let found = home.index.tagged_manifest(&mine, &tag("v1")).await?;
        assert_eq!(found.map(|found| found.bytes), Some(stored_manifest(text).bytes));
    }
    assert_eq!(home.index.tags(&mine, None, 9).await?, [tag("v1")]);
    for _ in 0..2 {
        writer.remove_tag(&mine, &tag("v1")).await?;
        assert_eq!(home.index.tagged_manifest(&mine, &tag("v1")).await?, None);
    }
    writer.remove_tag(&repository("none"), &tag("v1")).await?;
    assert!(home.index.manifest(&mine, &sha256("second")).await?.is_some(), "the manifest stays");
    Ok(())
}

/// What is kept in memory is what this is about.
async fn a_read_after_a_move_sees_it(home: Home) -> Outcome {
    const MOVES: usize = 100;
    let (mine, v1) = (repository("app"), tag("v1"));
    let texts: Vec<String> = (0..MOVES).map(|number| format!("image {number}")).collect();
    let mut writer = home.index.lock().await?;
    for text in &texts {
        give(&mut writer, &mine, text, &manifest(text)).await?;
    }
    writer.put_tag(&mine, &v1, &target(&texts[0])).await?;
    let moved = AtomicUsize::new(0);
    let read = async || {
        let mut reads = 0;
        while moved.load(Ordering::SeqCst) + 1 < MOVES {
            let least = moved.load(Ordering::SeqCst);
            let found = home.index.tagged_manifest(&mine, &v1).await?.ok_or("no manifest")?;
            let position = texts.iter().position(|text| stored_manifest(text).bytes == found.bytes);
            assert!(position >= Some(least), "{position:?} after the move to {least}");
            reads += 1;
            tokio::task::yield_now().await;
        }
        assert!(reads > 0, "nobody has asked meanwhile");
        Outcome::Ok(())
    };
    let mut write = async || {
        for (number, text) in texts.iter().enumerate().skip(1) {
            writer.put_tag(&mine, &v1, &target(text)).await?;
            moved.store(number, Ordering::SeqCst);
        }
        Outcome::Ok(())
    };
    tokio::try_join!(read(), read(), read(), write())?;
    Ok(())
}

async fn a_tag_remembers_the_name_that_it_was_tagged_by(home: Home) -> Outcome {
    let mine = repository("app");
    let mut writer = home.index.lock().await?;
    let mut both = manifest("image");
    both.aliases.push(sha512("image"));
    give(&mut writer, &mine, "image", &both).await?;
    let long = TagRow { digest: sha512("image"), canonical: canonical("image") };
    writer.put_tag(&mine, &tag("long"), &long).await?;
    writer.put_tag(&mine, &tag("short"), &target("image")).await?;
    for (name, digest) in [("long", sha512("image")), ("short", sha256("image"))] {
        let found = home.index.tagged_manifest(&mine, &tag(name)).await?.ok_or("no manifest")?;
        assert_eq!((found.digest, found.canonical), (digest, canonical("image")));
    }
    Ok(())
}

async fn a_tag_needs_a_manifest_of_its_repository(home: Home) -> Outcome {
    let mine = repository("app");
    let mut writer = home.index.lock().await?;
    give(&mut writer, &repository("other"), "image", &manifest("image")).await?;
    assert!(writer.put_tag(&mine, &tag("v1"), &target("image")).await.is_err());
    assert_eq!(home.index.tags(&mine, None, 9).await?, []);
    give(&mut writer, &mine, "image", &manifest("image")).await?;
    writer.put_tag(&mine, &tag("v1"), &target("image")).await?;
    assert_eq!(home.index.tags(&mine, None, 9).await?, [tag("v1")]);
    Ok(())
}

async fn tags_of_a_manifest_are_found_under_whatever_name(home: Home) -> Outcome {
    let mine = repository("app");
    let mut writer = home.index.lock().await?;
    for text in ["image", "another"] {
        give(&mut writer, &mine, text, &manifest(text)).await?;
    }
    let long = TagRow { digest: sha512("image"), canonical: canonical("image") };
    writer.put_tag(&mine, &tag("z"), &target("image")).await?;
    writer.put_tag(&mine, &tag("a"), &long).await?;
    writer.put_tag(&mine, &tag("m"), &target("another")).await?;
    let found = writer.tags_of(&mine, &canonical("image")).await?;
    assert_eq!(found, [(tag("a"), long), (tag("z"), target("image"))]);
    assert_eq!(writer.tags_of(&repository("none"), &canonical("image")).await?, []);
    Ok(())
}

async fn repositories_with_a_manifest_are_listed_bytewise_page_by_page(home: Home) -> Outcome {
    let mut writer = home.index.lock().await?;
    for name in ["b", "a/b", "a-b", "a_b", "a"] {
        give(&mut writer, &repository(name), "image", &manifest("image")).await?;
    }
    home.index.record_blob(&repository("aa"), &blob("layer"), NOW).await?;
    let all = home.index.repositories(None, None, 100).await?;
    let all: Vec<_> = all.iter().map(RepositoryName::as_str).collect();
    assert_eq!(all, ["a", "a-b", "a/b", "a_b", "b"], "a blob alone does not list a repository");
    let page = home.index.repositories(None, Some("a-b"), 2).await?;
    assert_eq!(page, [repository("a/b"), repository("a_b")]);
    writer.remove_manifest(&repository("b"), &canonical("image")).await?;
    assert_eq!(home.index.repositories(None, Some("a_b"), 2).await?, []);
    Ok(())
}
