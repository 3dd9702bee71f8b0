//! What earlier versions stored in the queue and of publishing is read to what it meant (`tests/golden/README.md`).

use std::collections::HashSet;

use serde::de::DeserializeOwned;

use super::condition::{Condition, Expected};
use super::guard::Guard;
use super::intent::{Intent, Refusal};
use super::publish::{Failure, Publication};
use crate::index::{QuotaExceeded, QuotaKind};
use crate::storage::Edit;

/// Reads a file of JSON documents, one a line.
fn read<T: DeserializeOwned>(lines: &str) -> Vec<T> {
    let read = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    lines.lines().map(read).collect()
}

fn sha256(bytes: &[u8]) -> String {
    crate::oci::CanonicalDigest::of(bytes).to_string()
}

#[test]
fn intents_of_version_0_are_what_they_were() {
    let intents: Vec<Intent> = read(include_str!("../../tests/golden/v0/intents.jsonl"));
    let put = |digest: &str, tags: &[&str], by_tag, condition| Intent::PutManifest {
        repository: "team/hello".parse().unwrap(),
        manifest: digest.parse().unwrap(),
        digest: digest.parse().unwrap(),
        media_type: "application/vnd.oci.image.manifest.v1+json".to_owned(),
        tags: tags.iter().map(|tag| tag.parse().unwrap()).collect(),
        by_tag,
        condition,
        guard: Guard::default(),
        is_adopted: false,
        identity: None,
    };
    let unless = |expected| Condition { only_if: None, unless: Some(expected) };
    let only_if = |expected| Condition { only_if: Some(expected), unless: None };
    let repository = || "team/hello".parse().unwrap();
    let (hello, other) = (
        "sha256:ccb3f9be255d516c0a161b658715ab04d43d882d2e395791f53acf98951bb870",
        "sha256:54e414de5f9008c0fd155e53579f3d55e6b69c368f7dd811765fb866a01b9474",
    );
    for expected in [
        put(hello, &["v1"], true, Condition::default()),
        put(hello, &["v1"], true, unless(Expected::Anything)),
        put(
            "sha256:2e59f437aad533702b33b6a99b67aafa53dc36f71a03364fcd4b22233f792414",
            &[],
            false,
            Condition::default(),
        ),
        put(
            "sha256:68abe67f47fcdf86993f4b14d694308f8ef04feeb12768b38631d5034a6dab36",
            &["v2"],
            true,
            only_if(Expected::OneOf(vec![other.parse().unwrap()])),
        ),
        Intent::DeleteTag {
            repository: repository(),
            tag: "gone".parse().unwrap(),
            condition: only_if(Expected::Anything),
            guard: Guard::default(),
        },
        Intent::DeleteTag {
            repository: repository(),
            tag: "nowhere".parse().unwrap(),
            condition: Condition::default(),
            guard: Guard::default(),
        },
        Intent::DeleteManifest {
            repository: repository(),
            digest: "sha256:b6536bfdb85a7b749df4d795d141ef7009e1c258f9015cbde0add79b018d46f0"
                .parse()
                .unwrap(),
            condition: Condition::default(),
            guard: Guard::default(),
        },
        Intent::DeleteBlob {
            repository: repository(),
            digest: sha256(b"loose\n").parse().unwrap(),
        },
    ] {
        assert!(intents.contains(&expected), "{expected:?} is not among {intents:#?}");
    }
}

#[test]
fn outcomes_of_version_0_are_what_they_were() {
    type Outcome = Result<(), Refusal>;
    let outcomes: Vec<Outcome> = read(include_str!("../../tests/golden/v0/outcomes.jsonl"));
    let index = "sha256:82531ae52cd131db1d15553935980f69b81b031f915bbf090edbad1bbcf2c35e";
    for expected in [
        Ok(()),
        Err(Refusal::Unknown),
        Err(Refusal::Condition),
        Err(Refusal::Referenced(index.parse().unwrap())),
        Err(Refusal::MissingReferences(vec![sha256(b"missing").parse().unwrap()])),
    ] {
        assert!(outcomes.contains(&expected), "{expected:?} is not among {outcomes:?}");
    }
    // Those that no request brings about by itself.
    let more: Vec<Outcome> = read("{\"Err\":\"invalid\"}\n{\"Err\":{\"failed\":\"why\"}}");
    assert_eq!(more, [Err(Refusal::Invalid), Err(Refusal::Failed("why".to_owned()))]);
}

#[test]
fn purges_and_outcomes_of_version_1_are_what_they_were() {
    type Outcome = Result<(), Refusal>;
    let intents: Vec<Intent> = read(include_str!("../../tests/golden/v1/intents.jsonl"));
    let purges: Vec<&Intent> =
        intents.iter().filter(|intent| matches!(intent, Intent::Purge { .. })).collect();
    for word in ["oops", "secret"] {
        let [config, layer] = [format!("{{\"{word}\": 0}}"), format!("{word}\n").repeat(20)];
        let expected = [config, layer].map(|text| sha256(text.as_bytes()).parse().unwrap());
        let is_it = |intent: &&&Intent| {
            let Intent::Purge { repository, digest, contents, children, .. } = intent else {
                return false;
            };
            let names = expected.iter().copied().chain(digest.canonical());
            repository.as_str() == "team/hello"
                && children.is_empty()
                && names.collect::<HashSet<_>>() == contents.iter().copied().collect()
        };
        assert!(purges.iter().any(|purge| is_it(&purge)), "{word} is not among {purges:#?}");
    }
    let outcomes: Vec<Outcome> = read(include_str!("../../tests/golden/v1/outcomes.jsonl"));
    let hello = "sha256:ccb3f9be255d516c0a161b658715ab04d43d882d2e395791f53acf98951bb870";
    let index = "sha256:82531ae52cd131db1d15553935980f69b81b031f915bbf090edbad1bbcf2c35e";
    for expected in [
        Ok(()),
        Err(Refusal::Unknown),
        Err(Refusal::ConditionOn(Some(hello.parse().unwrap()))),
        Err(Refusal::ReferencedBy(vec![index.parse().unwrap()])),
        Err(Refusal::MissingReferences(vec![sha256(b"missing").parse().unwrap()])),
    ] {
        assert!(outcomes.contains(&expected), "{expected:?} is not among {outcomes:?}");
    }
}

#[test]
fn changes_of_visibility_are_what_they_were() {
    let stored = r#"{"set_visibility":{"repository":"team/hello","visibility":"internal"}}"#;
    let expected = Intent::SetVisibility {
        repository: "team/hello".parse().unwrap(),
        visibility: crate::oci::Visibility::Internal,
    };
    assert_eq!(read::<Intent>(stored), [expected]);
}

#[test]
fn a_quota_that_was_exceeded_is_what_it_was() {
    let stored =
        r#"{"Err":{"over_quota":{"namespace":"team","kind":"bytes","used":70,"allowed":100}}}"#;
    let namespace = "team".to_owned();
    let exceeded = QuotaExceeded { namespace, kind: QuotaKind::Bytes, used: 70, allowed: 100 };
    let expected: Result<(), Refusal> = Err(Refusal::OverQuota(exceeded));
    assert_eq!(serde_json::to_string(&expected).unwrap(), stored);
    assert_eq!(read::<Result<(), Refusal>>(stored), [expected]);
}

#[test]
fn removals_of_repositories_are_what_they_were() {
    let stored = r#"{"remove_repository":{"repository":"team/hello"}}"#;
    let expected = Intent::RemoveRepository { repository: "team/hello".parse().unwrap() };
    assert_eq!(read::<Intent>(stored), [expected]);
}

#[test]
fn edits_of_version_0_are_what_they_were() {
    let edits: Vec<Vec<Edit>> = read(include_str!("../../tests/golden/v0/edits.jsonl"));
    let edits: Vec<Edit> = edits.into_iter().flatten().collect();
    let path = |rest: &str| {
        let parts = format!("docker/registry/v2/{rest}");
        parts.split('/').fold(crate::storage::TreePath::root(), |path, part| {
            path.child(part).expect("it is a name")
        })
    };
    let config = sha256(br#"{"hello": 0}"#);
    let hex = config.trim_start_matches("sha256:");
    for expected in [
        Edit::Link {
            path: path(&format!("blobs/sha256/{}/{hex}/data", &hex[..2])),
            digest: config.clone(),
            cid: "bafkreihxqwurhgkcynrtvfavdn5suug5qd7houu7w7hcoygax65wnsfnpm".to_owned(),
            size: 12,
        },
        Edit::Put {
            path: path(&format!("repositories/team/hello/_layers/sha256/{hex}/link")),
            text: config.clone(),
        },
        Edit::Remove { path: path("repositories/team/hello/_manifests/tags/gone") },
    ] {
        assert!(edits.contains(&expected), "{expected:?} is not among {edits:#?}");
    }
}

#[test]
fn records_of_publishing_of_version_0_are_what_they_were() {
    let records: Vec<Publication> = read(include_str!("../../tests/golden/v0/publications.jsonl"));
    let [well, failed] = records.try_into().expect("there are two");
    let root = "bafybeig7wjavnf6qp767siwcjqez3kfm2ue7hwwlfbduqa4l3wmt4bajyq";
    assert_eq!((well.domain.as_str(), well.root), ("own.test", Some(root.parse().unwrap())));
    assert_eq!(well.ours, [format!("dnslink=/ipfs/{root}")]);
    assert_eq!((well.published, well.failure), (1_795_919_064_942, None));
    assert_eq!((failed.ours.len(), failed.root), (2, well.root));
    let Some(Failure { kind, since, tried, .. }) = failed.failure else { panic!("it did fail") };
    assert_eq!((kind.as_str(), since, tried), ("refused", 1_795_919_070_003, 1_795_919_072_360));
}
