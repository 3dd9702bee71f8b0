use proptest::prelude::*;

use super::super::tag_pattern::TagPattern;
use super::*;
use crate::oci::Algorithm;

const DAY: i64 = 86_400_000;
const NOW: i64 = 1_000 * DAY;
const CLOCK: Clock = Clock { now: NOW, grace: Duration::from_hours(24), pulls_since: 0 };

fn days(count: u64) -> Duration {
    Duration::from_hours(24 * count)
}

fn state(tag: &str, age: i64) -> TagState {
    let digest = Digest::of(Algorithm::Sha256, tag.as_bytes());
    let (tag, moved) = (tag.parse().unwrap(), NOW - age * DAY);
    TagState { tag, digest, moved, is_known: true, pulled: None }
}

fn patterns(texts: &[&str]) -> Vec<TagPattern> {
    texts.iter().map(|text| TagPattern::new(text)).collect()
}

fn rule(tags: &[&str]) -> RetentionRule {
    let repositories = vec!["team/*".parse().unwrap()];
    RetentionRule { repositories, tags: patterns(tags), ..RetentionRule::default() }
}

fn name(text: &str) -> RepositoryName {
    text.parse().unwrap()
}

/// The tags that go.
fn goes(rules: Vec<RetentionRule>, tags: &[TagState]) -> Vec<String> {
    let decisions = Retention { rules }.decide(&name("team/app"), tags, CLOCK, |_| false);
    let goes = decisions.into_iter().filter(|decision| !decision.stays);
    goes.map(|decision| decision.tag.to_string()).collect()
}

#[test]
fn only_a_rule_that_says_how_much_stays_lets_tags_go_and_only_those_that_it_names() {
    let tags = [state("v1", 50), state("v2", 40), state("nightly-1", 90)];
    assert!(goes(Vec::new(), &tags).is_empty());
    let untagged = RetentionRule { delete_untagged_after: Some(days(1)), ..rule(&["*"]) };
    let named = RetentionRule { keep_tags: patterns(&["v*"]), ..rule(&["*"]) };
    assert!(goes(vec![untagged, named], &tags).is_empty());
    let last = RetentionRule { keep_last: Some(1), ..rule(&["v*"]) };
    assert_eq!(goes(vec![last.clone()], &tags), ["v1"]);
    let elsewhere = RetentionRule { repositories: vec!["other/**".parse().unwrap()], ..last };
    assert!(goes(vec![elsewhere], &tags).is_empty());
}

#[test]
fn what_any_rule_keeps_stays() {
    let tags = [state("v1", 50), state("v2", 40), state("v3", 30), state("v4", 20)];
    let last = |count| RetentionRule { keep_last: Some(count), ..rule(&["*"]) };
    let younger = |age| RetentionRule { keep_younger_than: Some(days(age)), ..rule(&["*"]) };
    assert_eq!(goes(vec![last(1)], &tags), ["v1", "v2", "v3"]);
    assert_eq!(goes(vec![last(1), younger(35)], &tags), ["v1", "v2"]);
    assert_eq!(goes(vec![last(1), last(3)], &tags), ["v1"]);
    let both = RetentionRule { keep_last: Some(1), ..younger(35) };
    assert_eq!(goes(vec![both], &tags), ["v1", "v2"]);
    let named = RetentionRule { keep_tags: patterns(&["v1"]), ..rule(&[]) };
    assert_eq!(goes(vec![last(1), named], &tags), ["v2", "v3"]);
    let protecting = RetentionRule { protect: patterns(&["v2"]), ..rule(&[]) };
    assert_eq!(goes(vec![last(1), protecting], &tags), ["v1", "v3"]);
    let immutable = RetentionRule { immutable_tags: patterns(&["*"]), ..rule(&[]) };
    assert_eq!(goes(vec![last(1), immutable], &tags), ["v1", "v2", "v3"]);
}

#[test]
fn what_is_younger_than_the_grace_stays_whatever_the_clock_says() {
    let last = RetentionRule { keep_last: Some(0), ..rule(&["*"]) };
    let tags = [state("old", 2), state("new", 0), state("from-the-future", -400)];
    assert_eq!(goes(vec![last], &tags), ["old"]);
}

#[test]
fn tags_of_unknown_time_are_not_counted_and_stay_for_a_whole_period() {
    let unknown = |tag, age| TagState { is_known: false, ..state(tag, age) };
    let tags = [unknown("a", 40), unknown("b", 40), state("c", 60), state("d", 50)];
    let last = RetentionRule { keep_last: Some(1), ..rule(&["*"]) };
    assert_eq!(goes(vec![last], &tags), ["c"]);
    let younger = |age| RetentionRule { keep_younger_than: Some(days(age)), ..rule(&["*"]) };
    assert!(goes(vec![younger(70)], &tags).is_empty());
    assert_eq!(goes(vec![younger(30)], &tags), ["a", "b", "c", "d"]);
}

#[test]
fn a_tag_stays_for_a_period_after_its_last_pull_or_its_push() {
    let pulled =
        |tag, age, days: i64| TagState { pulled: Some(NOW - days * DAY), ..state(tag, age) };
    let tags = [pulled("a", 90, 20), pulled("b", 90, 50), state("c", 90), state("d", 20)];
    let within = |age| RetentionRule { keep_pulled_within: Some(days(age)), ..rule(&["*"]) };
    assert_eq!(goes(vec![within(30)], &tags), ["b", "c"]);
    assert_eq!(goes(vec![within(60)], &tags), ["c"]);
    let both = RetentionRule { keep_last: Some(3), ..within(30) };
    assert_eq!(goes(vec![both], &tags), [""; 0], "`c` has two after it");
    let younger = RetentionRule { keep_younger_than: Some(days(10)), ..rule(&["*"]) };
    assert_eq!(goes(vec![younger.clone()], &tags), ["a", "b", "c", "d"]);
    assert_eq!(goes(vec![younger, within(30)], &tags), ["b", "c"]);
    let elsewhere = RetentionRule { keep_pulled_within: Some(days(30)), ..rule(&["x"]) };
    let none = RetentionRule { keep_last: Some(0), ..rule(&["*"]) };
    assert_eq!(goes(vec![elsewhere, none], &tags), ["a", "b", "c", "d"]);
}

#[test]
fn where_pulls_are_noted_since_a_short_time_tags_stay_for_a_whole_period() {
    let within = RetentionRule { keep_pulled_within: Some(days(30)), ..rule(&["*"]) };
    let rules = Retention { rules: vec![within] };
    let tags = [state("a", 90), TagState { is_known: false, ..state("b", 29) }, state("c", 400)];
    let decide = |since: i64| {
        let clock = Clock { pulls_since: NOW - since * DAY, ..CLOCK };
        let decisions = rules.decide(&name("team/app"), &tags, clock, |_| false);
        decisions.into_iter().map(|it| (it.stays, it.why)).collect::<Vec<_>>()
    };
    let unknown = (true, "nobody knows whether it was pulled within 30d".to_owned());
    let pushed = (true, "pushed within 30d".to_owned());
    assert_eq!(decide(29), [unknown.clone(), pushed.clone(), unknown]);
    let unused = (false, "not pulled within 30d".to_owned());
    assert_eq!(decide(30), [unused.clone(), pushed, unused]);
}

#[test]
fn tags_of_a_subject_follow_it_and_are_not_counted() {
    let hex = "ab".repeat(32);
    let signature = format!("sha256-{hex}.sig");
    let tags = [state("v1", 50), state("v2", 40), state(&signature, 30)];
    let last = RetentionRule { keep_last: Some(2), ..rule(&["*"]) };
    assert!(goes(vec![last.clone()], &tags).is_empty());
    let subject = format!("sha256:{hex}").parse().unwrap();
    let gone = |rules| {
        let rules = Retention { rules };
        let found = rules.decide(&name("team/app"), &tags, CLOCK, |tag| tag.refers_to(&subject));
        let gone = found.into_iter().filter(|it| !it.stays).map(|it| it.tag.to_string());
        gone.collect::<Vec<_>>()
    };
    assert_eq!(gone(vec![last.clone()]), [signature.as_str()]);
    let named = RetentionRule { keep_tags: patterns(&["*.sig"]), ..rule(&[]) };
    assert!(gone(vec![last, named]).is_empty());
    let all = RetentionRule { immutable_tags: patterns(&["**"]), ..rule(&[]) };
    let rules = Retention { rules: vec![all] };
    assert!(rules.is_immutable(&name("team/app"), &"v1".parse().unwrap()));
    assert!(!rules.is_immutable(&name("team/app"), &signature.parse().unwrap()));
}

#[test]
fn equal_times_have_a_fixed_order() {
    let last = RetentionRule { keep_last: Some(1), ..rule(&["*"]) };
    let mut tags = vec![state("a", 9), state("b", 9), state("c", 9)];
    assert_eq!(goes(vec![last.clone()], &tags), ["a", "b"]);
    tags.reverse();
    assert_eq!(goes(vec![last], &tags), ["b", "a"]);
}

#[test]
fn versions_are_counted_by_their_numbers_among_those_of_one_suffix() {
    let by = |count| RetentionRule {
        keep_last: Some(count),
        keep_last_by: TagOrder::Version,
        ..rule(&["*"])
    };
    // The times say the opposite.
    let tags = [
        state("v1.10.0", 90),
        state("v1.9.0", 40),
        state("1.2.0", 30),
        state("v1.9.0-alpine", 20),
        state("v1.10.0-alpine", 50),
        state("latest", 80),
        state("v2", 80),
    ];
    assert_eq!(goes(vec![by(1)], &tags), ["v1.9.0", "1.2.0", "v1.9.0-alpine"]);
    assert_eq!(goes(vec![by(2)], &tags), ["1.2.0"]);
    assert_eq!(goes(vec![by(0)], &tags).len(), 5, "other tags stay");
    let younger = RetentionRule { keep_younger_than: Some(days(35)), ..by(1) };
    assert_eq!(goes(vec![younger], &tags), ["v1.9.0"]);
    // Of one version with two spellings the later one comes first.
    let tags = [state("v1.0.0", 50), state("1.0.0", 40)];
    assert_eq!(goes(vec![by(1)], &tags), ["v1.0.0"]);
    let unknown = TagState { is_known: false, ..state("0.1.0", 50) };
    assert!(goes(vec![by(1)], &[state("1.0.0", 40), unknown]).is_empty());
}

fn any_rule() -> impl Strategy<Value = RetentionRule> {
    let texts =
        || prop::collection::vec(prop::sample::select(vec!["*", "a*", "*1", "b*", "ab"]), 0..3);
    let count = prop::option::of(0..5_usize);
    let age = || prop::option::of((0..40_u64).prop_map(days));
    (texts(), count, age(), age(), texts(), texts()).prop_map(
        |(tags, keep_last, keep_younger_than, keep_pulled_within, named, protect)| {
            let (keep_tags, protect) = (patterns(&named), patterns(&protect));
            let rule = RetentionRule { keep_tags, protect, ..rule(&tags) };
            RetentionRule { keep_last, keep_younger_than, keep_pulled_within, ..rule }
        },
    )
}

/// What has to stay, put as simply as it can be: by counting for each tag and rule.
fn must_stay(rules: &[RetentionRule], tags: &[TagState], state: &TagState, since: i64) -> bool {
    let hits = |patterns: &[TagPattern], tag: &Tag| patterns.iter().any(|it| it.matches(tag));
    let is_spared =
        |rule: &RetentionRule| hits(&rule.protect, &state.tag) || hits(&rule.keep_tags, &state.tag);
    if rules.iter().any(is_spared) || NOW - state.moved < DAY {
        return true;
    }
    let of = |rule: &&RetentionRule| {
        (rule.keep_last.is_some()
            || rule.keep_younger_than.is_some()
            || rule.keep_pulled_within.is_some())
            && hits(&rule.tags, &state.tag)
    };
    let mut deleting = rules.iter().filter(of).peekable();
    let is_left_alone = deleting.peek().is_none();
    let keeps = |rule: &RetentionRule| {
        let is_before = |time: i64, age: Duration| {
            i128::from(NOW - time) < i128::try_from(age.as_millis()).unwrap()
        };
        let is_young = rule.keep_younger_than.is_some_and(|age| is_before(state.moved, age));
        let used = [Some(state.moved), state.pulled, Some(since)].into_iter().flatten();
        let is_used =
            rule.keep_pulled_within.is_some_and(|age| is_before(used.max().unwrap(), age));
        let later = tags.iter().filter(|other| {
            hits(&rule.tags, &other.tag) && (other.moved, &other.tag) > (state.moved, &state.tag)
        });
        is_young || is_used || rule.keep_last.is_some_and(|count| later.count() < count)
    };
    is_left_alone || deleting.any(keeps)
}

proptest! {
    #[test]
    fn rules_that_overlap_decide_as_counting_by_hand_does(
        rules in prop::collection::vec(any_rule(), 0..5),
        tags in prop::collection::btree_map(
            "[ab]{1,2}[01]?", (-2..50_i64, prop::option::of(-2..50_i64)), 0..14),
        since in 0..50_i64,
    ) {
        let tag = |(tag, (age, pulled)): (&String, &(i64, Option<i64>))| {
            TagState { pulled: pulled.map(|age| NOW - age * DAY), ..state(tag, *age) }
        };
        let tags: Vec<TagState> = tags.iter().map(tag).collect();
        let clock = Clock { pulls_since: NOW - since * DAY, ..CLOCK };
        let retention = Retention { rules: rules.clone() };
        for decision in retention.decide(&name("team/app"), &tags, clock, |_| false) {
            let state = tags.iter().find(|state| state.tag == decision.tag).unwrap();
            prop_assert_eq!(decision.stays, must_stay(&rules, &tags, state, clock.pulls_since), "{:?}", decision);
        }
    }
}
