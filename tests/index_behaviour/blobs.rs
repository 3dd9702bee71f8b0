//! Cases about blobs.

use roadstead::index::{PatternComponent, SeenRepositories, VisiblePattern};
use roadstead::oci::{RepositoryName, Visibility};

use crate::fixtures::{
    NOW, blob, blob_with_alias, canonical, give, leaf, manifest, repository, sha256, sha512,
    stored_blob, stored_manifest,
};
use crate::{Case, Outcome, case, home::Home};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        case(a_recorded_blob_is_found_by_every_name_in_its_repository_alone),
        case(a_blob_recorded_again_is_there_once),
        case(a_stored_blob_is_found_in_any_repository),
        case(what_is_stored_is_listed_page_by_page_each_digest_once),
        case(repositories_with_a_blob_are_listed_as_they_came_up_to_a_limit),
        case(those_that_have_a_blob_and_are_seen_are_found_behind_any_number_of_others),
        case(a_mount_gives_a_stored_blob_under_its_name_and_the_canonical_one),
        case(a_mount_of_a_blob_never_stored_changes_nothing),
        case(a_repository_exists_while_it_has_something),
        case(the_writer_takes_a_blob_away_under_every_name),
        case(the_writer_records_a_blob_without_a_repository),
        case(many_blocks_are_noted_each_once),
        case(a_size_that_no_column_holds_is_refused),
        case(a_lost_blob_is_absent_for_clients_until_it_is_recorded_again),
    ]
}

async fn a_recorded_blob_is_found_by_every_name_in_its_repository_alone(home: Home) -> Outcome {
    let (mine, other) = (repository("team/app"), repository("team/other"));
    home.index.record_blob(&mine, &blob_with_alias("layer"), NOW).await?;
    for name in [sha256("layer"), sha512("layer")] {
        assert_eq!(home.index.blob(&mine, &name).await?, Some(stored_blob("layer")));
        assert_eq!(home.index.blob(&other, &name).await?, None);
    }
    assert_eq!(home.index.blob(&mine, &sha256("another")).await?, None);
    home.index.record_blob(&other, &blob("layer"), NOW).await?;
    assert_eq!(home.index.blob(&other, &sha512("layer")).await?, None, "not by that name");
    Ok(())
}

async fn a_blob_recorded_again_is_there_once(home: Home) -> Outcome {
    let mine = repository("app");
    for now in [NOW, NOW + 1, NOW + 2] {
        home.index.record_blob(&mine, &blob_with_alias("layer"), now).await?;
    }
    assert_eq!(home.index.blob(&mine, &sha256("layer")).await?, Some(stored_blob("layer")));
    for count in [
        "SELECT COUNT(*) FROM blobs",
        "SELECT COUNT(*) FROM blob_aliases",
        "SELECT COUNT(*) FROM blob_blocks",
    ] {
        assert_eq!(home.number(count).await?, 1, "{count}");
    }
    let touched = home.number("SELECT touched FROM blobs").await?;
    assert_eq!(touched, NOW + 2, "the last time counts");
    Ok(())
}

async fn a_stored_blob_is_found_in_any_repository(home: Home) -> Outcome {
    assert_eq!(home.index.stored_blob(&canonical("layer")).await?, None);
    home.index.record_blob(&repository("app"), &blob("layer"), NOW).await?;
    let stored = home.index.stored_blob(&canonical("layer")).await?;
    assert_eq!(stored, Some(stored_blob("layer")));
    Ok(())
}

async fn what_is_stored_is_listed_page_by_page_each_digest_once(home: Home) -> Outcome {
    assert_eq!(home.index.stored_content(None, 9).await?, []);
    let mut writer = home.index.lock().await?;
    for text in ["one", "two", "both"] {
        writer.put_blob(None, &blob_with_alias(text), NOW).await?;
    }
    for text in ["three", "both"] {
        writer.put_stored_manifest(&stored_manifest(text)).await?;
    }
    let mut expected = ["one", "two", "both", "three"].map(canonical);
    expected.sort_unstable_by_key(ToString::to_string);
    assert_eq!(home.index.stored_content(None, 9).await?, expected);
    let (mut paged, mut last) = (Vec::new(), None);
    while let Some(digest) = home.index.stored_content(last.as_ref(), 1).await?.first() {
        paged.push(*digest);
        last = Some(*digest);
    }
    assert_eq!(paged, expected);
    Ok(())
}

async fn repositories_with_a_blob_are_listed_as_they_came_up_to_a_limit(home: Home) -> Outcome {
    for name in ["a_b", "a-b", "a/b", "a.b", "ab", "a0"] {
        home.index.record_blob(&repository(name), &blob_with_alias("layer"), NOW).await?;
    }
    home.index.record_blob(&repository("a"), &blob("layer"), NOW).await?;
    let names = home.index.repositories_with_blob(&sha512("layer"), 100).await?;
    let names: Vec<_> = names.iter().map(RepositoryName::as_str).collect();
    assert_eq!(names, ["a_b", "a-b", "a/b", "a.b", "ab", "a0"]);
    let first = home.index.repositories_with_blob(&sha256("layer"), 2).await?;
    assert_eq!(first, [repository("a_b"), repository("a-b")]);
    assert_eq!(home.index.repositories_with_blob(&sha256("none"), 9).await?, []);
    // Its own connection is all that one has who keeps others from recording anything.
    let mut writer = home.index.lock().await?;
    writer.begin().await?;
    assert!(writer.hold_stores().await?);
    writer.remove_blob(&repository("a_b"), &canonical("layer")).await?;
    assert_eq!(writer.repositories_with(&sha512("layer"), 1).await?, [repository("a-b")]);
    writer.rollback().await?;
    Ok(())
}

async fn those_that_have_a_blob_and_are_seen_are_found_behind_any_number_of_others(
    home: Home,
) -> Outcome {
    let mut writer = home.index.lock().await?;
    writer.begin().await?;
    for number in 0..150 {
        let hidden = repository(&format!("hidden/app{number:03}"));
        writer.set_visibility(&hidden, Visibility::Private, NOW).await?;
        writer.put_blob(Some(&hidden), &blob("layer"), NOW).await?;
    }
    for (name, visibility) in [
        ("a_b/c/app", Visibility::Private),
        ("axb/c/app", Visibility::Private),
        ("a_b/c/d/app", Visibility::Private),
        ("a_b/app", Visibility::Private),
        ("inner/app", Visibility::Internal),
        ("open/app", Visibility::Public),
    ] {
        writer.set_visibility(&repository(name), visibility, NOW).await?;
        writer.put_blob(Some(&repository(name)), &blob("layer"), NOW).await?;
    }
    writer.commit().await?;
    drop(writer);
    let pattern = |text: &str| {
        let component = |text: &str| match text {
            "*" => PatternComponent::Any,
            "**" => PatternComponent::Rest,
            text => PatternComponent::Literal(text.to_owned()),
        };
        VisiblePattern::new(text.split('/').map(component).collect())
    };
    let of = |visibilities: &[Visibility], patterns: &[&str]| SeenRepositories {
        all: false,
        visibilities: visibilities.to_vec(),
        patterns: patterns.iter().map(|text| pattern(text)).collect(),
    };
    let all = SeenRepositories { all: true, ..SeenRepositories::default() };
    let (public, internal) = (Visibility::Public, Visibility::Internal);
    let many: Vec<String> = (0..1200).map(|number| format!("none{number}/**")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).chain(["a_b/app"]).collect();
    for (seen, expected) in [
        (vec![of(&[], &[])], &[][..]),
        (vec![of(&[public], &[])], &["open/app"]),
        (vec![of(&[public, internal], &[])], &["inner/app", "open/app"]),
        (vec![of(&[], &["a_b/**"])], &["a_b/c/app", "a_b/c/d/app", "a_b/app"]),
        (vec![of(&[], &["a_b/*"])], &["a_b/app"]),
        (vec![of(&[], &["*/c/app"])], &["a_b/c/app", "axb/c/app"]),
        (vec![of(&[], &["a_b/*/app"])], &["a_b/c/app"]),
        (vec![of(&[], &["a_b/*/app/**", "a_b/*/**"])], &["a_b/c/app", "a_b/c/d/app"]),
        (vec![of(&[], &["a_b", "a_b/app/**"])], &[]),
        (
            vec![of(&[public], &["a_b/**"]), of(&[], &["a_b/app", "open/app", "inner/app"])],
            &["a_b/app", "open/app"],
        ),
        (vec![all.clone(), of(&[internal], &[])], &["inner/app"]),
        (vec![of(&[], &many)], &["a_b/app"]),
    ] {
        let names = home.index.holders_seen(&sha256("layer"), &seen, 100).await?;
        let names: Vec<_> = names.iter().map(RepositoryName::as_str).collect();
        assert_eq!(names, expected, "{seen:?}");
    }
    assert_eq!(
        home.index.holders_seen(&sha256("layer"), std::slice::from_ref(&all), 100).await?.len(),
        100
    );
    assert_eq!(home.index.holders_seen(&sha256("other"), &[all], 100).await?, []);
    Ok(())
}

async fn a_mount_gives_a_stored_blob_under_its_name_and_the_canonical_one(home: Home) -> Outcome {
    home.index.record_blob(&repository("from"), &blob_with_alias("layer"), NOW).await?;
    let (plain, long) = (repository("plain"), repository("long"));
    for _ in 0..2 {
        assert!(home.index.mount_blob(&plain, &sha256("layer"), NOW).await?);
        assert!(home.index.mount_blob(&long, &sha512("layer"), NOW).await?);
    }
    assert_eq!(home.index.blob(&plain, &sha256("layer")).await?, Some(stored_blob("layer")));
    assert_eq!(home.index.blob(&plain, &sha512("layer")).await?, None);
    assert_eq!(home.index.blob(&long, &sha256("layer")).await?, Some(stored_blob("layer")));
    assert_eq!(home.index.blob(&long, &sha512("layer")).await?, Some(stored_blob("layer")));
    Ok(())
}

async fn a_mount_of_a_blob_never_stored_changes_nothing(home: Home) -> Outcome {
    home.index.record_blob(&repository("from"), &blob("layer"), NOW).await?;
    let to = repository("to");
    assert!(!home.index.mount_blob(&to, &sha256("other"), NOW).await?);
    assert!(!home.index.mount_blob(&to, &sha512("layer"), NOW).await?, "never seen by that name");
    assert!(!home.index.repository_exists(&to).await?);
    assert_eq!(home.number("SELECT COUNT(*) FROM repositories").await?, 1);
    Ok(())
}

async fn a_repository_exists_while_it_has_something(home: Home) -> Outcome {
    let mine = repository("app");
    assert!(!home.index.repository_exists(&mine).await?);
    home.index.create_upload("1", &mine, "", NOW).await?;
    assert!(!home.index.repository_exists(&mine).await?, "an upload makes no repository");
    home.index.record_blob(&mine, &blob("layer"), NOW).await?;
    assert!(home.index.repository_exists(&mine).await?);
    let mut writer = home.index.lock().await?;
    writer.remove_blob(&mine, &canonical("layer")).await?;
    assert!(!home.index.repository_exists(&mine).await?);
    give(&mut writer, &mine, "image", &manifest("image")).await?;
    assert!(home.index.repository_exists(&mine).await?);
    Ok(())
}

async fn the_writer_takes_a_blob_away_under_every_name(home: Home) -> Outcome {
    let (mine, other) = (repository("app"), repository("other"));
    for repository in [&mine, &other] {
        home.index.record_blob(repository, &blob_with_alias("layer"), NOW).await?;
    }
    home.index.record_blob(&mine, &blob("kept"), NOW).await?;
    let mut writer = home.index.lock().await?;
    let names = writer.blob_names(&mine, &canonical("layer")).await?;
    assert_eq!(names, [sha256("layer"), sha512("layer")]);
    writer.remove_blob(&mine, &canonical("layer")).await?;
    writer.remove_blob(&mine, &canonical("layer")).await?;
    assert_eq!(writer.blob_names(&mine, &canonical("layer")).await?, []);
    for name in [sha256("layer"), sha512("layer")] {
        assert_eq!(home.index.blob(&mine, &name).await?, None);
        assert!(home.index.blob(&other, &name).await?.is_some());
    }
    assert!(home.index.blob(&mine, &sha256("kept")).await?.is_some());
    assert!(home.index.stored_blob(&canonical("layer")).await?.is_some());
    Ok(())
}

async fn the_writer_records_a_blob_without_a_repository(home: Home) -> Outcome {
    let mut writer = home.index.lock().await?;
    writer.put_blob(None, &blob_with_alias("layer"), NOW).await?;
    assert!(home.index.stored_blob(&canonical("layer")).await?.is_some());
    assert_eq!(home.number("SELECT COUNT(*) FROM repositories").await?, 0);
    writer.put_blob(Some(&repository("app")), &blob("layer"), NOW).await?;
    let found = writer.blob(&repository("app"), &sha256("layer")).await?;
    assert_eq!(found, Some(stored_blob("layer")));
    assert!(home.index.mount_blob(&repository("other"), &sha512("layer"), NOW).await?);
    Ok(())
}

async fn many_blocks_are_noted_each_once(home: Home) -> Outcome {
    const DISTINCT: u64 = 2500;

    let mut new = blob("large");
    new.blocks = (0..DISTINCT).map(|n| leaf(&format!("block {n}"), n << 20, 1 << 20)).collect();
    new.blocks.push(leaf("block 7", DISTINCT << 20, 1 << 20));
    home.index.record_blob(&repository("app"), &new, NOW).await?;
    home.index.record_blob(&repository("app"), &new, NOW).await?;
    assert_eq!(home.number("SELECT COUNT(*) FROM blob_blocks").await?, 2500);
    let end = home.number("SELECT MAX(start + length) FROM blob_blocks").await?;
    assert_eq!(end, 2500 << 20, "a block that comes twice is listed where it comes first");
    Ok(())
}

async fn a_size_that_no_column_holds_is_refused(home: Home) -> Outcome {
    let mut new = blob("impossible");
    new.blob.size = u64::MAX;
    assert!(home.index.record_blob(&repository("app"), &new, NOW).await.is_err());
    assert!(!home.index.repository_exists(&repository("app")).await?);
    assert_eq!(home.index.stored_blob(&canonical("impossible")).await?, None);
    Ok(())
}

async fn a_lost_blob_is_absent_for_clients_until_it_is_recorded_again(home: Home) -> Outcome {
    let (mine, other) = (repository("app"), repository("other"));
    home.index.record_blob(&mine, &blob_with_alias("layer"), NOW).await?;
    let (digest, row) = (sha256("layer"), Some(stored_blob("layer")));
    let is_found = async || home.index.blob(&mine, &digest).await;
    // From memory, too.
    assert_eq!((is_found().await?, is_found().await?), (row.clone(), row.clone()));
    let lost = canonical("layer");
    let mut writer = home.index.lock().await?;
    assert!(writer.set_lost(&lost, true).await? && !writer.set_lost(&lost, true).await?);
    assert!(!writer.set_lost(&canonical("absent"), true).await?);
    assert!(writer.blobs(&mine, &[digest]).await?.is_empty(), "no manifest may name it");
    assert!(writer.blob(&mine, &digest).await?.is_some(), "it can be deleted");
    drop(writer);
    assert_eq!(home.index.lost_blobs().await?, [lost]);
    assert!(home.index.is_lost(&lost).await?);
    for name in [digest, sha512("layer")] {
        assert_eq!(home.index.blob(&mine, &name).await?, None);
        assert_eq!(home.index.recorded_blob(&mine, &name).await?, row);
        assert!(!home.index.mount_blob(&other, &name, NOW).await?);
    }
    assert_eq!(home.index.stored_blob(&lost).await?, row);

    home.index.record_blob(&other, &blob("layer"), NOW).await?;
    assert_eq!((is_found().await?, home.index.lost_blobs().await?), (row.clone(), Vec::new()));
    let mut writer = home.index.lock().await?;
    assert!(writer.set_lost(&lost, true).await? && writer.set_lost(&lost, false).await?);
    drop(writer);
    assert_eq!(is_found().await?, row);
    Ok(())
}
