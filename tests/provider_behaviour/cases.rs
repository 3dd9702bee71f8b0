//! The cases.

use std::time::Duration;

use roadstead::dnslink::{Change, PublishErrorKind};

use crate::home::{DOMAIN, NAME, Subject};

const A: &str = "dnslink=/ipfs/bafybeiaysi4s6lnjev27ln5icwm6tueaw2vdykrtjkwiphwekaywqhcjze";
const B: &str = "dnslink=/ipfs/bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi";
const C: &str = "dnslink=/ipfs/bafyaabakaieac";
const HINT: &str = "ipfsnode=/dns4/registry.example.com/tcp/443/tls/http";
const OTHER_HINT: &str =
    "ipfsnode=/ip4/192.0.2.1/tcp/4001/p2p/12D3KooWEqnTdgqHnkkwarSrJjeMP2ZJiADWLYADaNvUb6SQNyPF";

pub(crate) fn change(expected: &[&str], ours: &[&str]) -> Change {
    let texts = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect();
    Change {
        domain: DOMAIN.parse().unwrap(),
        expected: texts(expected),
        ours: texts(ours),
        // Less than every provider takes.
        ttl: Duration::from_secs(5),
        force: false,
    }
}

fn sorted(texts: &[&str]) -> Vec<String> {
    let mut texts: Vec<String> = texts.iter().map(|&text| text.to_owned()).collect();
    texts.sort();
    texts
}

/// Writes what must be written.
async fn write(subject: &Subject, change: &Change) {
    let written = subject.open().write(change).await;
    written.unwrap_or_else(|error| panic!("{change:?}: {error}"));
}

/// Says why something is not written.
async fn refusal(subject: &Subject, change: &Change) -> PublishErrorKind {
    subject.open().write(change).await.expect_err("it is not written").kind
}

pub(crate) async fn a_name_gets_the_new_records(subject: &mut Subject) {
    write(subject, &change(&[A, HINT], &[])).await;
    assert_eq!(subject.texts(), sorted(&[A, HINT]));
}

pub(crate) async fn what_was_ours_gives_way(subject: &mut Subject) {
    write(subject, &change(&[A, HINT, OTHER_HINT], &[])).await;
    write(subject, &change(&[B, HINT], &[A, HINT, OTHER_HINT])).await;
    assert_eq!(subject.texts(), sorted(&[B, HINT]));
    write(subject, &change(&[A, HINT, OTHER_HINT], &[A, B, HINT])).await;
    assert_eq!(subject.texts(), sorted(&[A, HINT, OTHER_HINT]));
}

pub(crate) async fn records_of_others_stay(subject: &mut Subject) {
    let others = ["v=spf1 -all", "dnslink=/hyper/abc", "something else"];
    for text in others {
        subject.add(text);
    }
    write(subject, &change(&[A, HINT], &[])).await;
    write(subject, &change(&[B], &[A, HINT])).await;
    assert_eq!(subject.texts(), sorted(&[&others[..], &[B]].concat()));
}

pub(crate) async fn repeating_it_changes_nothing(subject: &mut Subject) {
    let desired = change(&[A, HINT], &[]);
    write(subject, &desired).await;
    let before = subject.count();
    for ours in [&[][..], &[A, HINT]] {
        write(subject, &change(&[A, HINT], ours)).await;
    }
    assert_eq!(subject.texts(), sorted(&[A, HINT]));
    assert_eq!(subject.count(), before, "the zone was changed");
}

pub(crate) async fn a_foreign_link_stays_and_is_reported(subject: &mut Subject) {
    write(subject, &change(&[A, HINT], &[])).await;
    subject.remove(A);
    subject.add(B);
    let error = subject.open().write(&change(&[C], &[A, HINT])).await.expect_err("it is B's");
    assert_eq!(error.kind, PublishErrorKind::Conflict, "{error}");
    assert!(error.to_string().contains(B), "{error}");
    assert_eq!(subject.texts(), sorted(&[B, HINT]), "nothing was changed");
    subject.add("dnslink=/ipns/example.net");
    assert_eq!(refusal(subject, &change(&[B, HINT], &[])).await, PublishErrorKind::Conflict);
}

pub(crate) async fn a_foreign_link_is_replaced_by_force(subject: &mut Subject) {
    for text in [B, "dnslink=/ipns/example.net", "v=spf1 -all"] {
        subject.add(text);
    }
    write(subject, &Change { force: true, ..change(&[A, HINT], &[]) }).await;
    assert_eq!(subject.texts(), sorted(&[A, HINT, "v=spf1 -all"]));
}

pub(crate) async fn a_link_that_was_taken_away_comes_back(subject: &mut Subject) {
    write(subject, &change(&[A, HINT], &[])).await;
    subject.remove(A);
    subject.remove(HINT);
    write(subject, &change(&[A, HINT], &[A, HINT])).await;
    assert_eq!(subject.texts(), sorted(&[A, HINT]));
}

pub(crate) async fn a_long_hint_is_written_whole(subject: &mut Subject) {
    let label = "a".repeat(60);
    let long = format!(
        "ipfsnode=/dns4/{label}.{label}.{label}.{label}.example.com/tcp/443/tls/sni/x/http"
    );
    assert!(long.len() > 255);
    write(subject, &change(&[A, &long], &[])).await;
    assert_eq!(subject.texts(), sorted(&[A, &long]));
    write(subject, &change(&[B], &[A, &long])).await;
    assert_eq!(subject.texts(), sorted(&[B]));
}

pub(crate) async fn without_the_right_key_nothing_is_written(subject: &mut Subject) {
    write(subject, &change(&[A], &[])).await;
    for stranger in subject.open_as_strangers() {
        let error = stranger.write(&change(&[B], &[A])).await.expect_err("nobody knows it");
        assert_eq!(error.kind, PublishErrorKind::Refused, "{error}");
    }
    assert_eq!(subject.texts(), sorted(&[A]));
}

pub(crate) async fn a_lost_answer_is_settled_by_trying_again(subject: &mut Subject) {
    write(subject, &change(&[A, HINT], &[])).await;
    subject.lose_answers(true);
    let desired = change(&[B, HINT], &[A, B, HINT]);
    let kind = refusal(subject, &desired).await;
    assert!(matches!(kind, PublishErrorKind::Unavailable | PublishErrorKind::Failed), "{kind:?}");
    subject.lose_answers(false);
    assert_eq!(subject.texts(), sorted(&[B, HINT]), "it was written all the same");
    write(subject, &desired).await;
    assert_eq!(subject.texts(), sorted(&[B, HINT]));
}

pub(crate) async fn a_zone_that_is_down_is_written_to_when_it_is_back(subject: &mut Subject) {
    write(subject, &change(&[A], &[])).await;
    subject.stop();
    let kind = refusal(subject, &change(&[B], &[A])).await;
    assert!(matches!(kind, PublishErrorKind::Unavailable | PublishErrorKind::Failed), "{kind:?}");
    subject.start_again();
    assert_eq!(subject.texts(), sorted(&[A]));
    write(subject, &change(&[B], &[A])).await;
    assert_eq!(subject.texts(), sorted(&[B]));
}

pub(crate) async fn of_two_who_write_at_once_neither_undoes_the_other_unseen(
    subject: &mut Subject,
) {
    write(subject, &change(&[A], &[])).await;
    if !subject.compares_and_swaps() {
        return;
    }
    for _ in 0..10 {
        let before = subject.texts();
        let ours: Vec<&str> = before.iter().map(String::as_str).collect();
        // Each knows what was there, and nothing of what the other one writes.
        let (one, two) = (change(&[B], &ours), change(&[C], &ours));
        let (first, second) = (subject.open(), subject.open());
        let (first, second) = tokio::join!(first.write(&one), second.write(&two));
        let won: Vec<&str> = [(&first, B), (&second, C)]
            .into_iter()
            .filter(|(it, _)| it.is_ok())
            .map(|(_, it)| it)
            .collect();
        assert_eq!(subject.texts(), sorted(&won), "{first:?} {second:?}");
        assert_eq!(won.len(), 1, "{first:?} {second:?}");
        let lost = first.err().or(second.err()).unwrap();
        assert_eq!(lost.kind, PublishErrorKind::Conflict, "{lost}");
        let left = subject.texts();
        write(subject, &change(&[A], &left.iter().map(String::as_str).collect::<Vec<_>>())).await;
    }
}

/// A change of the records of another domain.
fn below(domain: &str, change: Change) -> Change {
    Change { domain: format!("{domain}.{DOMAIN}").parse().unwrap(), ..change }
}

pub(crate) async fn another_ttl_is_written_for_each_record(subject: &mut Subject) {
    // More than the least that every provider takes.
    let lasting = |seconds, change| Change { ttl: Duration::from_secs(seconds), ..change };
    write(subject, &lasting(100, change(&[A, HINT], &[]))).await;
    let with = |ttl: u64, texts: &[&str]| -> Vec<(String, u64)> {
        sorted(texts).into_iter().map(|text| (text, ttl)).collect()
    };
    for (ttl, ours) in [(200, &[A, HINT][..]), (150, &[])] {
        write(subject, &lasting(ttl, change(&[A, HINT], ours))).await;
        assert_eq!(subject.records_of(NAME), with(ttl, &[A, HINT]));
        let before = subject.count();
        write(subject, &lasting(ttl, change(&[A, HINT], ours))).await;
        assert_eq!(subject.count(), before, "the zone was changed");
    }
    // Together with another link, also for the hint, which stays.
    write(subject, &lasting(300, change(&[B, HINT], &[A, HINT]))).await;
    assert_eq!(subject.records_of(NAME), with(300, &[B, HINT]));
}

pub(crate) async fn a_wildcard_gives_way_to_what_is_published(subject: &mut Subject) {
    // The last ones stand more than one label above the name.
    for domain in ["cname", "txt", "mx", "many", "a.b.cname", "a.b.txt", "a.b.many"] {
        let name = format!("_dnslink.{domain}.{DOMAIN}");
        write(subject, &below(domain, change(&[A, HINT], &[]))).await;
        assert_eq!(subject.texts_of(&name), sorted(&[A, HINT]), "{domain}");
        let before = subject.count();
        write(subject, &below(domain, change(&[A, HINT], &[A, HINT]))).await;
        assert_eq!(subject.count(), before, "{domain}: the zone was changed");
        write(subject, &below(domain, change(&[B], &[A, HINT]))).await;
        assert_eq!(subject.texts_of(&name), sorted(&[B]), "{domain}");
        // Other names below the wildcard are what they were, where no name came to be between (RFC 4592, 2.2.2).
        if subject.sees_names() && !domain.contains('.') {
            let other = format!("other.{domain}.{DOMAIN}");
            let is_text = domain.ends_with("txt") || domain.ends_with("many");
            assert_eq!(subject.texts_of(&other).contains(&"v=spf1 -all".to_owned()), is_text);
        }
    }
}

pub(crate) async fn a_wildcard_of_the_whole_zone_and_a_delegation_are_in_nobodys_way(
    subject: &mut Subject,
) {
    for (domain, zone) in [
        ("alias.test", "alias.test"),
        ("text.test", "text.test"),
        ("a.b.alias.test", "alias.test"),
        ("delegated.publisher.test", "_dnslink.delegated.publisher.test"),
    ] {
        if !subject.has_zones() {
            return;
        }
        let provider = subject.open_set(&[("PUBLISH__RFC2136__ZONE", zone)]);
        let at = |change| Change { domain: domain.parse().unwrap(), ..change };
        let name = format!("_dnslink.{domain}");
        let done = async |change: Change| {
            let change = at(change);
            provider.check(&change).await.unwrap_or_else(|error| panic!("{domain}: {error}"));
            provider.write(&change).await.unwrap_or_else(|error| panic!("{domain}: {error}"));
        };
        done(change(&[A, HINT], &[])).await;
        assert_eq!(subject.texts_of(&name), sorted(&[A, HINT]), "{domain}");
        let longer = Duration::from_secs(100);
        done(Change { ttl: longer, ..change(&[A, HINT], &[A, HINT]) }).await;
        let ttls: Vec<u64> = subject.records_of(&name).into_iter().map(|(_, ttl)| ttl).collect();
        assert_eq!(ttls, [100, 100], "{domain}");
        done(change(&[B], &[A, HINT])).await;
        assert_eq!(subject.texts_of(&name), sorted(&[B]), "{domain}");
        let foreign = provider.write(&at(change(&[C], &[]))).await;
        assert_eq!(foreign.expect_err("B is not ours").kind, PublishErrorKind::Conflict);
    }
}

pub(crate) async fn another_ttl_is_written_beside_records_of_others(subject: &mut Subject) {
    subject.add("v=spf1 -all");
    for ttl in [100, 200, 150] {
        let desired = Change { ttl: Duration::from_secs(ttl), ..change(&[A, HINT], &[A, HINT]) };
        write(subject, &desired).await;
        let records = subject.records_of(NAME);
        assert_eq!(records.len(), 3, "{records:?}");
        for (text, found) in records.iter().filter(|(text, _)| !text.starts_with("v=")) {
            assert_eq!(*found, ttl, "{text}");
        }
        let before = subject.count();
        write(subject, &desired).await;
        assert_eq!(subject.count(), before, "the zone was changed");
    }
}

pub(crate) async fn a_link_of_a_wildcard_is_foreign(subject: &mut Subject) {
    let name = format!("_dnslink.link.{DOMAIN}");
    // Where nobody looks at the servers of the zone, there is none.
    if subject.texts_of(&name).is_empty() {
        return;
    }
    let desired = below("link", change(&[A], &[]));
    assert_eq!(refusal(subject, &desired).await, PublishErrorKind::Conflict);
    write(subject, &Change { force: true, ..desired }).await;
    assert_eq!(subject.texts_of(&name), sorted(&[A]));
}

pub(crate) async fn an_alias_at_the_name_is_reported(subject: &mut Subject) {
    if !subject.sees_names() {
        return;
    }
    let before = subject.count();
    // Of the second one a wildcard would stand for the name, were the alias not there.
    for domain in ["alias", "both"] {
        let desired = below(domain, change(&[A], &[]));
        for failed in [subject.open().write(&desired).await, subject.open().check(&desired).await] {
            let error = failed.expect_err("a CNAME record is there");
            assert_eq!(error.kind, PublishErrorKind::Failed, "{error}");
            assert!(error.to_string().contains(&format!("is an alias of {DOMAIN}.")), "{error}");
        }
    }
    assert_eq!(subject.count(), before, "nothing was changed");
}

pub(crate) async fn what_would_fail_is_reported_without_a_change(subject: &mut Subject) {
    let before = subject.count();
    let desired = change(&[A, HINT], &[]);
    for desired in [desired.clone(), below("cname", desired.clone()), below("txt", desired.clone())]
    {
        subject.open().check(&desired).await.unwrap_or_else(|error| panic!("{desired:?}: {error}"));
    }
    assert_eq!(subject.count(), before, "nothing was changed");
    subject.add(B);
    let checked = subject.open().check(&desired).await;
    if subject.open().compares() {
        assert_eq!(checked.expect_err("it is B's").kind, PublishErrorKind::Conflict);
        for stranger in subject.open_as_strangers() {
            let refused = stranger.check(&change(&[B], &[])).await.expect_err("nobody knows it");
            assert_eq!(refused.kind, PublishErrorKind::Refused, "{refused}");
        }
    }
    assert_eq!(subject.texts(), sorted(&[B]));
}
