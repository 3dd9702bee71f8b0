//! Cases about the referrers of a subject.

use roadstead::index::{EdgeKind, Writer};
use roadstead::oci::{Digest, RepositoryName};

use crate::fixtures::{
    IMAGE, canonical, edge, give, manifest, repository, sha256, sha512, stored_manifest,
};
use crate::{Case, Outcome, case, home::Home};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        case(referrers_come_by_digest_page_by_page),
        case(referrers_are_filtered_by_artifact_type),
        case(a_referrer_has_the_name_that_it_was_pushed_by),
        case(only_a_subject_of_the_same_repository_makes_a_referrer),
    ]
}

async fn refer(
    writer: &mut Writer,
    repository: &RepositoryName,
    text: &str,
    artifact_type: Option<&str>,
    aliases: &[Digest],
) -> Outcome {
    let mut new = manifest(text);
    new.artifact_type = artifact_type.map(ToOwned::to_owned);
    new.aliases.extend_from_slice(aliases);
    new.edges =
        vec![edge(EdgeKind::Blob, sha256("config")), edge(EdgeKind::Subject, sha256("subject"))];
    give(writer, repository, text, &new).await?;
    Ok(())
}

async fn referrers_come_by_digest_page_by_page(home: Home) -> Outcome {
    let mine = repository("app");
    let mut writer = home.index.lock().await?;
    let texts: Vec<_> = (0..7).map(|n| format!("signature {n}")).collect();
    for text in &texts {
        refer(&mut writer, &mine, text, None, &[]).await?;
    }
    let mut expected: Vec<_> = texts.iter().map(|text| sha256(text)).collect();
    expected.sort_by_key(ToString::to_string);
    let mut found = Vec::new();
    loop {
        let page = home.index.referrers(&mine, &sha256("subject"), None, found.last(), 3).await?;
        assert!(page.len() <= 3);
        if page.is_empty() {
            break;
        }
        found.extend(page.iter().map(|row| row.digest));
    }
    assert_eq!(found, expected);
    Ok(())
}

async fn referrers_are_filtered_by_artifact_type(home: Home) -> Outcome {
    let mine = repository("app");
    let mut writer = home.index.lock().await?;
    refer(&mut writer, &mine, "signature", Some("sig"), &[]).await?;
    refer(&mut writer, &mine, "bill", Some("sbom"), &[]).await?;
    refer(&mut writer, &mine, "untyped", None, &[]).await?;
    let found = home.index.referrers(&mine, &sha256("subject"), Some("sbom"), None, 9).await?;
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].bytes, stored_manifest("bill").bytes);
    assert_eq!(found[0].media_type, IMAGE);
    assert_eq!(home.index.referrers(&mine, &sha256("subject"), Some(""), None, 9).await?, []);
    let all = home.index.referrers(&mine, &sha256("subject"), None, None, 9).await?;
    assert_eq!(all.len(), 3);
    Ok(())
}

async fn a_referrer_has_the_name_that_it_was_pushed_by(home: Home) -> Outcome {
    let mine = repository("app");
    let mut writer = home.index.lock().await?;
    refer(&mut writer, &mine, "long", None, &[sha512("long")]).await?;
    refer(&mut writer, &mine, "short", None, &[]).await?;
    let found = home.index.referrers(&mine, &sha256("subject"), None, None, 9).await?;
    let found: Vec<_> = found.iter().map(|row| row.digest).collect();
    assert_eq!(found, [sha256("short"), sha512("long")]);
    let after =
        home.index.referrers(&mine, &sha256("subject"), None, Some(&sha256("short")), 9).await?;
    assert_eq!(after.len(), 1);
    Ok(())
}

async fn only_a_subject_of_the_same_repository_makes_a_referrer(home: Home) -> Outcome {
    let mine = repository("app");
    let mut writer = home.index.lock().await?;
    refer(&mut writer, &mine, "signature", None, &[]).await?;
    let none = [];
    assert_eq!(home.index.referrers(&mine, &sha256("config"), None, None, 9).await?, none);
    assert_eq!(home.index.referrers(&mine, &sha512("subject"), None, None, 9).await?, none);
    let other = repository("other");
    assert_eq!(home.index.referrers(&other, &sha256("subject"), None, None, 9).await?, none);
    writer.remove_manifest(&mine, &canonical("signature")).await?;
    assert_eq!(home.index.referrers(&mine, &sha256("subject"), None, None, 9).await?, none);
    Ok(())
}
