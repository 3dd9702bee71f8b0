//! Cases about the repositories that a caller may see.

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use roadstead::auth::accounts::{Bound, Bounded, Rights, TokenScopes};
use roadstead::index::{
    CatalogFilter, Index, PatternComponent, Result, SeenRepository, VisiblePattern,
};
use roadstead::oci::Visibility;
use roadstead::registry::repositories_seen;

use crate::fixtures::{NOW, give, manifest, repository};
use crate::{Case, Outcome, case, home::Home};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        case(a_catalog_has_what_a_caller_may_see),
        case(a_catalog_agrees_with_a_model),
        case(a_page_of_few_among_many_is_quick),
        case(a_name_that_a_token_hides_costs_no_query),
    ]
}

fn pattern(text: &str) -> VisiblePattern {
    let component = |text: &str| match text {
        "*" => PatternComponent::Any,
        "**" => PatternComponent::Rest,
        text => PatternComponent::Literal(text.to_owned()),
    };
    VisiblePattern::new(text.split('/').map(component).collect())
}

/// Lists all that is visible, in pages.
async fn list(
    index: &Index,
    is_signed_in: bool,
    patterns: &[VisiblePattern],
    size: u32,
) -> Result<Vec<String>> {
    let filter = CatalogFilter { is_signed_in, patterns };
    let mut names: Vec<String> = Vec::new();
    loop {
        let last = names.last().map(String::as_str);
        let page = index.visible_repositories(&filter, last, size).await?;
        assert!(page.len() <= size as usize);
        names.extend(page.iter().map(|it| it.name.to_string()));
        if page.len() < size as usize {
            return Ok(names);
        }
    }
}

/// Makes repositories with a manifest.
async fn make<'a>(
    index: &Index,
    names: impl IntoIterator<Item = (&'a str, Visibility)>,
) -> Result<()> {
    let mut writer = index.lock().await?;
    writer.begin().await?;
    for (name, visibility) in names {
        give(&mut writer, &repository(name), "image", &manifest("image")).await?;
        writer.set_visibility(&repository(name), visibility, NOW).await?;
    }
    writer.commit().await
}

async fn a_catalog_has_what_a_caller_may_see(home: Home) -> Outcome {
    use Visibility::{Internal, Private, Public};

    let index = &home.index;
    let names = [
        ("org", Private),
        ("org/app", Private),
        ("org/team/app", Private),
        ("org-x/app", Private),
        ("org0/app", Private),
        ("single", Private),
        ("inside", Internal),
        ("open", Public),
    ];
    make(index, names).await?;
    // Without a manifest it is not listed.
    index.lock().await?.set_visibility(&repository("empty"), Public, NOW).await?;
    index.lock().await?.set_visibility(&repository("org/empty"), Private, NOW).await?;
    for (is_signed_in, patterns, expected) in [
        (false, &[][..], &["open"][..]),
        (true, &[], &["inside", "open"]),
        (false, &["org/**"], &["open", "org/app", "org/team/app"]),
        (false, &["org/*"], &["open", "org/app"]),
        (false, &["org", "single"], &["open", "org", "single"]),
        (true, &["*"], &["inside", "open", "org", "single"]),
        (true, &["*/app"], &["inside", "open", "org-x/app", "org/app", "org0/app"]),
        (true, &["org/*/*", "absent/**"], &["inside", "open", "org/team/app"]),
        (false, &["**/app"], &["open"]),
    ] {
        let patterns: Vec<_> = patterns.iter().copied().map(pattern).collect();
        for size in [1, 2, 100] {
            let found = list(index, is_signed_in, &patterns, size).await?;
            assert_eq!(found, expected, "{patterns:?}");
        }
    }
    let mine = VisiblePattern::of_namespace("org");
    let expected = ["open", "org", "org/app", "org/team/app"];
    assert_eq!(list(index, false, &mine, 3).await?, expected);
    // A page begins where the client says, whether that is a name or not.
    let filter = CatalogFilter { is_signed_in: true, patterns: &mine };
    for (last, first) in
        [("", "inside"), ("org~", ""), ("org/app", "org/team/app"), ("Z", "inside"), ("\u{e9}", "")]
    {
        let page = index.visible_repositories(&filter, Some(last), 1).await?;
        assert_eq!(page.first().map_or("", |it| it.name.as_str()), first, "{last}");
    }
    assert!(index.visible_repositories(&filter, None, 0).await?.is_empty());
    Ok(())
}

/// A name of up to three components, of few letters: names that begin alike are what goes wrong.
fn a_name() -> impl Strategy<Value = String> {
    let component = prop_oneof![
        Just("a"),
        Just("b"),
        Just("a-b"),
        Just("a0"),
        Just("a.b"),
        Just("ab"),
        Just("z")
    ];
    vec(component, 1..=3).prop_map(|components| components.join("/"))
}

fn a_pattern() -> impl Strategy<Value = String> {
    let component = prop_oneof![
        3 => Just("a"), 1 => Just("b"), 1 => Just("a-b"), 1 => Just("z"), 1 => Just("*"), 1 => Just("**")
    ];
    vec(component, 1..=3).prop_map(|components| components.join("/"))
}

/// Tells whether a name matches, component by component; written anew.
fn is_match(pattern: &[&str], name: &[&str]) -> bool {
    match (pattern, name) {
        ([], []) | (["**"], [_, ..]) => true,
        (["**", ..] | [], _) | (_, []) => false,
        ([first, pattern @ ..], [component, name @ ..]) => {
            (*first == "*" || first == component) && is_match(pattern, name)
        }
    }
}

/// Returns a source of random values, and prints where it begins: with `TEST_SEED`, or with the time.
fn runner() -> TestRunner {
    let seed = std::env::var("TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed: u64 = seed.unwrap_or_else(|| {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        since.as_secs() ^ (u64::from(since.subsec_nanos()) << 20)
    });
    eprintln!("TEST_SEED={seed}");
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let random = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    TestRunner::new_with_rng(Config::default(), random)
}

async fn a_catalog_agrees_with_a_model(home: Home) -> Outcome {
    const ROUNDS: usize = 200;

    let index = &home.index;
    let visibility = prop_oneof![
        6 => Just(Visibility::Private), 1 => Just(Visibility::Internal), 1 => Just(Visibility::Public)
    ];
    let repositories = vec((a_name(), visibility), 200);
    let pages = (any::<bool>(), vec(a_pattern(), 0..20), prop_oneof![1..5_u32, 5..100_u32]);
    let mut runner = runner();
    let repositories = repositories.new_tree(&mut runner).expect("it has values").current();
    let repositories: BTreeMap<_, _> = repositories.into_iter().collect();
    make(index, repositories.iter().map(|(name, visibility)| (name.as_str(), *visibility))).await?;
    for _ in 0..ROUNDS {
        let (is_signed_in, texts, size) =
            pages.new_tree(&mut runner).expect("it has values").current();
        let is_visible = |(name, visibility): (&String, &Visibility)| {
            let components: Vec<&str> = name.split('/').collect();
            let mut patterns = texts.iter().map(|text| text.split('/').collect::<Vec<_>>());
            let is_open = match visibility {
                Visibility::Public => true,
                Visibility::Internal => is_signed_in,
                Visibility::Private => false,
            };
            (is_open || patterns.any(|pattern| is_match(&pattern, &components)))
                .then(|| name.clone())
        };
        let expected: Vec<String> = repositories.iter().filter_map(is_visible).collect();
        let patterns: Vec<_> = texts.iter().map(|text| pattern(text)).collect();
        let found = list(index, is_signed_in, &patterns, size).await?;
        assert_eq!(found, expected, "{is_signed_in} {texts:?} {size}");
    }
    Ok(())
}

/// Hidden repositories do not make the catalog of a caller slow that sees few, and neither do many roles.
async fn a_page_of_few_among_many_is_quick(home: Home) -> Outcome {
    /// How often each page is read; the fastest counts, since others use the machine.
    const ROUNDS: usize = 20;

    let index = &home.index;
    make(index, [("one", Visibility::Private)]).await?;
    for statement in [
        "INSERT INTO repositories (name, visibility, tree, created) \
         WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 99999) \
         SELECT 'team' || (i / 100) || '/app' || (i % 100), \
         CASE WHEN i % 50000 = 7 THEN 'internal' ELSE 'private' END, 'private', 1 FROM n",
        "INSERT INTO repository_manifests (repository, canonical, media_type, created) \
         SELECT r.id, m.digest, 'x', 1 FROM repositories r JOIN manifests m ON 1 = 1 WHERE r.name <> 'one'",
    ] {
        home.execute(statement).await?;
    }
    let each: Vec<_> = (0..100).map(|i| format!("team{}/app{}", i * 7, i)).collect();
    let below: Vec<_> = (0..100).map(|i| format!("team{}/**", i * 7)).collect();
    let whole = vec!["team7/**".to_owned()];
    let starred = vec!["team7/*".to_owned()];
    // What takes longer by just as much where others use the machine.
    let begin = Instant::now();
    assert_eq!(index.repositories(None, None, u32::MAX).await?.len(), 100_001);
    let limit = (begin.elapsed() / 20).max(Duration::from_millis(10));
    for statistics in [&[][..], &["ANALYZE repositories", "ANALYZE repository_manifests"]] {
        for statement in statistics {
            home.execute(statement).await?;
        }
        for (texts, last, expected) in [
            (&each, None, 102),
            (&each, Some("team5"), 37),
            (&below, None, 200),
            (&below, Some("team9"), 200),
            (&whole, None, 102),
            (&starred, None, 102),
            (&Vec::new(), None, 2),
        ] {
            let patterns: Vec<_> = texts.iter().map(|text| pattern(text)).collect();
            let filter = CatalogFilter { is_signed_in: true, patterns: &patterns };
            let mut fastest = Duration::MAX;
            for _ in 0..ROUNDS {
                let begin = Instant::now();
                let page = index.visible_repositories(&filter, last, 200).await?;
                fastest = fastest.min(begin.elapsed());
                assert_eq!(page.len(), expected, "{texts:?} {last:?}");
            }
            eprintln!("{} patterns after {last:?}: {fastest:?} of {limit:?}", patterns.len());
            assert!(fastest <= limit, "{fastest:?} for {texts:?} after {last:?}");
        }
    }
    Ok(())
}

/// What a token hides is read in large pages, and without a query for each name.
async fn a_name_that_a_token_hides_costs_no_query(home: Home) -> Outcome {
    const HIDDEN: usize = 4000;
    const ROUNDS_EACH: usize = 20;

    let index = &home.index;
    let mut names: Vec<String> = (0..HIDDEN).map(|number| format!("hidden/app{number}")).collect();
    names.extend(["seen/one".to_owned(), "seen/two".to_owned()]);
    make(index, names.iter().map(|name| (name.as_str(), Visibility::Private))).await?;
    let scopes = TokenScopes::read(["seen/*:pull"])?;
    let admin = Rights::user(true, Vec::new(), Vec::new());
    let narrow = Bounded::from(admin).within(Bound::Scopes(scopes));
    let (mut whole, mut page) = (Duration::MAX, Duration::MAX);
    let is_seen = |it: &SeenRepository| narrow.may_pull(&it.name, it.visibility);
    for _ in 0..ROUNDS_EACH {
        let begin = Instant::now();
        assert_eq!(index.all_repositories(None, u32::MAX).await?.len(), HIDDEN + 2);
        whole = whole.min(begin.elapsed());
        let begin = Instant::now();
        let seen = repositories_seen(index, &narrow, is_seen, None, 1).await?;
        page = page.min(begin.elapsed());
        let seen: Vec<_> = seen.iter().map(|it| (it.name.as_str(), it.visibility)).collect();
        assert_eq!(seen, [("seen/one", Visibility::Private)]);
    }
    let rest = repositories_seen(index, &narrow, is_seen, Some("seen/one"), 9).await?;
    assert_eq!(rest.len(), 1);
    // Beside each other, so that both take longer where others use the machine.
    assert!(page <= whole * 15, "{page:?}, where all names are read in {whole:?}");
    Ok(())
}
