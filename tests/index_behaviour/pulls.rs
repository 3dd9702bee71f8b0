//! Cases about how often manifests were pulled, and when.

use std::time::Duration;

use roadstead::index::{EdgeKind, Index, NewManifest, NewPulls, Result};
use roadstead::oci::RepositoryName;

use crate::fixtures::{edge, give, manifest, repository, sha256, tag, target};
use crate::{Case, Outcome, case, home::Home};

const HOUR: Duration = Duration::from_hours(1);

pub(crate) fn cases() -> Vec<Case> {
    vec![
        case(pulls_add_up_and_the_last_time_counts),
        case(a_pull_renews_the_indexes_above_and_what_is_below_and_nothing_beside_it),
        case(many_pulls_are_added_in_several_transactions),
        case(pulls_change_nothing_that_look_ups_have_found),
    ]
}

fn pulls(repository: &RepositoryName, text: &str, count: u64, age: Duration) -> NewPulls {
    let manifest = crate::fixtures::canonical(text);
    NewPulls { repository: repository.clone(), manifest, count, age }
}

async fn add(index: &Index, pulls: &[NewPulls]) -> Result<()> {
    index.add_pulls(pulls, |_| ()).await
}

/// For how long each tag has not been pulled, in whole hours of the database's clock.
async fn ages(index: &Index, repository: &RepositoryName) -> Result<Vec<(String, Option<i64>)>> {
    let now = index.now().await?;
    let states = index.tag_states(repository, None, 100).await?.into_iter();
    let hours = |pulled: i64| (now - pulled) / 3_600_000;
    Ok(states.map(|it| (it.tag.to_string(), it.pulled.map(hours))).collect())
}

async fn pulls_add_up_and_the_last_time_counts(home: Home) -> Outcome {
    let (mine, other) = (repository("app"), repository("other"));
    let mut writer = home.index.lock().await?;
    for name in [&mine, &other] {
        give(&mut writer, name, "image", &manifest("image")).await?;
        writer.put_tag(name, &tag("v1"), &target("image")).await?;
    }
    drop(writer);
    assert!(home.index.pulls_noted_since().await? <= home.index.now().await?);
    add(&home.index, &[pulls(&mine, "image", 2, HOUR * 2)]).await?;
    add(&home.index, &[pulls(&mine, "image", 3, HOUR * 5)]).await?;
    // A look counts no pull; what is gone is passed over.
    let looked = [pulls(&mine, "gone", 1, HOUR), pulls(&repository("gone"), "image", 1, HOUR)];
    add(&home.index, &looked).await?;
    assert_eq!(ages(&home.index, &mine).await?, [("v1".to_owned(), Some(2))]);
    assert_eq!(ages(&home.index, &other).await?, [("v1".to_owned(), None)]);
    add(&home.index, &[pulls(&mine, "image", 0, HOUR)]).await?;
    assert_eq!(ages(&home.index, &mine).await?, [("v1".to_owned(), Some(1))]);
    let mut writer = home.index.lock().await?;
    let pulled = writer.tag_pulled(&mine, &tag("v1")).await?;
    assert!(pulled.is_some());
    assert_eq!(writer.tag_pulled(&mine, &tag("v2")).await?, None);
    // Pushed again it is what it was.
    give(&mut writer, &mine, "image", &manifest("image")).await?;
    assert_eq!(writer.tag_pulled(&mine, &tag("v1")).await?, pulled);
    drop(writer);
    let total = home.number("SELECT CAST(SUM(pulls) AS BIGINT) FROM repository_manifests").await?;
    assert_eq!(total, 5);
    Ok(())
}

fn index_of(text: &str, children: &[&str]) -> NewManifest {
    let edges = children.iter().map(|child| edge(EdgeKind::Child, sha256(child))).collect();
    NewManifest { edges, ..manifest(text) }
}

async fn a_pull_renews_the_indexes_above_and_what_is_below_and_nothing_beside_it(
    home: Home,
) -> Outcome {
    let (mine, other) = (repository("app"), repository("other"));
    let mut writer = home.index.lock().await?;
    for name in [&mine, &other] {
        let referrer = NewManifest {
            edges: vec![edge(EdgeKind::Subject, sha256("arm"))],
            ..manifest("signature")
        };
        for (text, made) in [
            ("arm", manifest("arm")),
            ("intel", manifest("intel")),
            ("alone", manifest("alone")),
            ("images", index_of("images", &["arm", "intel"])),
            ("outer", index_of("outer", &["images", "outer-only"])),
            ("signature", referrer),
        ] {
            give(&mut writer, name, text, &made).await?;
            writer.put_tag(name, &tag(text), &target(text)).await?;
        }
    }
    drop(writer);
    let expect = async |expected: &[&str]| {
        let found = ages(&home.index, &mine).await?.into_iter();
        let found: Vec<_> = found.filter(|it| it.1.is_some()).map(|it| it.0).collect();
        assert_eq!(found, expected);
        Outcome::Ok(())
    };
    add(&home.index, &[pulls(&mine, "arm", 1, HOUR)]).await?;
    expect(&["arm", "images", "outer"]).await?;
    add(&home.index, &[pulls(&mine, "images", 1, HOUR)]).await?;
    expect(&["arm", "images", "intel", "outer"]).await?;
    assert!(ages(&home.index, &other).await?.iter().all(|it| it.1.is_none()));
    // Each counts its own pulls alone.
    let query = "SELECT COUNT(*) FROM repository_manifests WHERE pulls > 0";
    assert_eq!(home.number(query).await?, 2);
    // A later time of what belongs to it stays.
    add(&home.index, &[pulls(&mine, "intel", 1, Duration::ZERO)]).await?;
    add(&home.index, &[pulls(&mine, "outer", 1, HOUR * 9)]).await?;
    let found = ages(&home.index, &mine).await?;
    let expected = [("arm", Some(1)), ("images", Some(0)), ("intel", Some(0)), ("outer", Some(0))];
    for (name, age) in expected {
        assert!(found.contains(&(name.to_owned(), age)), "{name}: {found:?}");
    }
    Ok(())
}

async fn many_pulls_are_added_in_several_transactions(home: Home) -> Outcome {
    let mine = repository("app");
    let mut writer = home.index.lock().await?;
    writer.begin().await?;
    let texts: Vec<String> = (0..450).map(|number| format!("image {number}")).collect();
    for text in &texts {
        give(&mut writer, &mine, text, &manifest(text)).await?;
    }
    writer.commit().await?;
    drop(writer);
    let new: Vec<NewPulls> = texts.iter().map(|text| pulls(&mine, text, 1, HOUR)).collect();
    let mut done = Vec::new();
    home.index.add_pulls(&new, |count| done.push(count)).await?;
    assert_eq!(done, [200, 400, 450]);
    let query = "SELECT COUNT(*) FROM repository_manifests WHERE pulls = 1 AND last_pulled > 0";
    assert_eq!(home.number(query).await?, 450);
    Ok(())
}

async fn pulls_change_nothing_that_look_ups_have_found(home: Home) -> Outcome {
    let mine = repository("app");
    let mut writer = home.index.lock().await?;
    give(&mut writer, &mine, "image", &manifest("image")).await?;
    drop(writer);
    let before = home.index.version().await?;
    add(&home.index, &[pulls(&mine, "image", 1, HOUR)]).await?;
    assert_eq!(home.index.version().await?, before, "what is in memory is still good");
    Ok(())
}
