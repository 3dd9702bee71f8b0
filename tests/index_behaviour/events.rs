//! Cases about events, and about how far subscribers have handled them.

use std::time::Duration;

use roadstead::index::{Actor, EntryState, Event, EventFilter, EventWatch, IndexError, NewEvent};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::fixtures::{NOW, repository, sha256};
use crate::{Case, Outcome, case, case_on, home::Home};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        case(an_event_is_read_as_it_was_written),
        case(an_event_of_a_transaction_that_was_rolled_back_is_not_there),
        case(no_cursor_skips_an_event_of_concurrent_writers),
        case(a_publication_is_noted_with_its_event),
        case(an_entry_keeps_its_actor),
        case(a_cursor_says_what_is_unhandled_and_never_goes_back),
        case(events_of_no_change_are_written_in_order),
        case(events_are_filtered_by_an_index),
        case(one_about_a_tag_is_found_for_a_while),
        case(events_of_a_repository_are_read_from_the_last_one_on),
        case(old_events_go_once_they_are_handled_and_the_oldest_in_any_case),
        case(a_watch_notices_what_was_committed),
        case_on("postgres", a_watch_notices_events_of_other_processes),
    ]
}

fn event(kind: &'static str) -> NewEvent {
    NewEvent { kind: kind.into(), ..NewEvent::default() }
}

async fn an_event_is_read_as_it_was_written(home: Home) -> Outcome {
    let full = NewEvent {
        kind: "of a later version".into(),
        actor: Actor { name: Some("anna".to_owned()), address: Some("2001:db8::1".parse()?) },
        repository: Some(repository("team/app")),
        reference: Some("v1,v2".to_owned()),
        digest: Some(sha256("manifest")),
        size: Some(7),
        detail: Some("\u{e9}".to_owned()),
    };
    let mut writer = home.index.lock().await?;
    writer.add_event(&full, NOW).await?;
    writer.add_event(&event("push"), NOW + 1).await?;
    drop(writer);
    let expected = [
        Event { seq: 1, at: NOW, change: full },
        Event { seq: 2, at: NOW + 1, change: event("push") },
    ];
    assert_eq!(home.index.events_after(0, 9).await?, expected);
    assert_eq!(home.index.events_after(0, 1).await?, expected[..1]);
    assert_eq!(home.open_again().await?.events_after(1, 9).await?, expected[1..]);
    Ok(())
}

async fn one_about_a_tag_is_found_for_a_while(home: Home) -> Outcome {
    let (index, app) = (&home.index, repository("team/app"));
    let about = |name: &str, tag: &str, kind: &'static str| NewEvent {
        repository: Some(repository(name)),
        reference: Some(tag.to_owned()),
        ..event(kind)
    };
    let others = [
        about("team/other", "v1", "refused"),
        about("team/app", "v2", "refused"),
        about("team/app", "v1", "push"),
    ];
    index.add_events(&others, NOW).await?;
    assert!(!index.has_event("refused", &app, "v1", NOW).await?);
    index.add_events(&[about("team/app", "v1", "refused")], NOW + 1).await?;
    let other = home.open_again().await?;
    assert!(other.has_event("refused", &app, "v1", NOW).await?);
    assert!(other.has_event("refused", &app, "v1", NOW + 1).await?);
    assert!(!other.has_event("refused", &app, "v1", NOW + 2).await?);
    Ok(())
}

async fn an_event_of_a_transaction_that_was_rolled_back_is_not_there(home: Home) -> Outcome {
    let mut writer = home.index.lock().await?;
    writer.begin().await?;
    writer.add_event(&event("push"), NOW).await?;
    writer.rollback().await?;
    writer.add_event(&event("delete"), NOW).await?;
    drop(writer);
    let events = home.index.events_after(0, 9).await?;
    assert_eq!(events, [Event { seq: 1, at: NOW, change: event("delete") }]);
    Ok(())
}

/// A reader that goes on after what it has seen meets each event, whoever commits when.
async fn no_cursor_skips_an_event_of_concurrent_writers(home: Home) -> Outcome {
    const EACH: usize = 25;

    let (one, other) = (home.index.clone(), home.open_again().await?);
    let mut writers = JoinSet::new();
    let index = one.clone();
    writers.spawn(async move {
        for _ in 0..EACH {
            let mut writer = index.lock().await?;
            writer.begin().await?;
            writer.add_event(&event("push"), NOW).await?;
            // Longer than others take to begin and, if they could, to end.
            tokio::time::sleep(Duration::from_millis(3)).await;
            writer.commit().await?;
        }
        Ok(())
    });
    for index in [one, other] {
        writers.spawn(async move {
            for number in 0..EACH {
                let record = [u8::try_from(number).unwrap_or_default()];
                index.set_publication(&record, Some(&event("publish")), NOW).await?;
            }
            Ok::<(), IndexError>(())
        });
    }
    let (mut seen, mut cursor) = (0, 0);
    while seen < 3 * EACH {
        for event in home.index.events_after(cursor, 7).await? {
            assert_eq!(event.seq, cursor + 1, "an event was skipped");
            cursor = event.seq;
            seen += 1;
        }
        tokio::task::yield_now().await;
    }
    while let Some(written) = writers.join_next().await {
        written??;
    }
    assert!(home.index.events_after(cursor, 9).await?.is_empty());
    Ok(())
}

async fn a_publication_is_noted_with_its_event(home: Home) -> Outcome {
    home.index.set_publication(b"record", Some(&event("publish")), NOW).await?;
    home.index.set_publication(b"later", None, NOW).await?;
    assert_eq!(home.index.publication().await?.as_deref(), Some(&b"later"[..]));
    let events = home.index.events_after(0, 9).await?;
    assert_eq!(events, [Event { seq: 1, at: NOW, change: event("publish") }]);
    Ok(())
}

async fn an_entry_keeps_its_actor(home: Home) -> Outcome {
    let actor = Actor { name: Some("anna".to_owned()), address: Some("192.0.2.1".parse()?) };
    let seq = home.index.enqueue(&actor, b"entry", None, NOW).await?;
    let mut writer = home.index.lock().await?;
    assert_eq!(writer.open_entries(9).await?[0].actor, actor);
    // As an earlier version, which knows no actors, wrote it.
    home.execute("UPDATE pending_edits SET actor = NULL, address = NULL").await?;
    assert_eq!(writer.open_entries(9).await?[0].actor, Actor::default());
    writer.set_outcome(seq, EntryState::Done, b"").await?;
    Ok(())
}

async fn a_cursor_says_what_is_unhandled_and_never_goes_back(home: Home) -> Outcome {
    let kinds = &["push", "delete"];
    let index = &home.index;
    assert_eq!(index.last_unhandled_event("one", kinds).await?, None);
    let mut writer = index.lock().await?;
    for kind in ["push", "delete", "publish"] {
        writer.add_event(&event(kind), NOW).await?;
    }
    drop(writer);
    assert_eq!(index.last_unhandled_event("one", kinds).await?, Some(2));
    index.advance_cursor("one", 1).await?;
    assert_eq!(index.last_unhandled_event("one", kinds).await?, Some(2));
    index.advance_cursor("one", 2).await?;
    index.advance_cursor("one", 1).await?;
    assert_eq!(index.last_unhandled_event("one", kinds).await?, None);
    assert_eq!(index.last_unhandled_event("other", kinds).await?, Some(2), "it has its own cursor");
    Ok(())
}

async fn old_events_go_once_they_are_handled_and_the_oldest_in_any_case(home: Home) -> Outcome {
    let index = &home.index;
    let seqs = async || -> Result<Vec<i64>, IndexError> {
        Ok(index.events_after(0, 5000).await?.iter().map(|event| event.seq).collect())
    };
    let mut writer = index.lock().await?;
    for at in [NOW, NOW + 10, NOW + 20, NOW + 30] {
        writer.add_event(&event("push"), at).await?;
    }
    drop(writer);
    index.advance_cursor("behind", 1).await?;
    index.advance_cursor("ahead", 3).await?;
    let pruned = index.prune_events(NOW + 20, NOW).await?;
    assert_eq!((pruned.removed, pruned.unhandled, seqs().await?), (1, 0, vec![2, 3, 4]));
    let pruned = index.prune_events(NOW + 30, NOW + 20).await?;
    assert_eq!((pruned.removed, pruned.unhandled, seqs().await?), (1, 1, vec![3, 4]));
    index.advance_cursor("behind", 4).await?;
    index.advance_cursor("ahead", 4).await?;
    assert_eq!(index.prune_events(i64::MAX, 0).await?.removed, 2);
    // A number is never given twice, and many go in parts.
    let mut writer = index.lock().await?;
    writer.begin().await?;
    for _ in 0..2500 {
        writer.add_event(&event("push"), NOW).await?;
    }
    writer.commit().await?;
    drop(writer);
    assert_eq!(seqs().await?[0], 5);
    assert_eq!(index.prune_events(NOW + 1, NOW + 1).await?.removed, 2500);
    assert_eq!(seqs().await?, [0; 0]);
    Ok(())
}

/// Waits until nothing comes any more: a listener begins with a wake-up.
async fn settle(watch: &mut EventWatch) {
    while timeout(Duration::from_secs(1), watch.changed()).await.is_ok() {}
}

async fn a_watch_notices_what_was_committed(home: Home) -> Outcome {
    let mut watch = home.index.watch_events();
    settle(&mut watch).await;
    let mut writer = home.index.lock().await?;
    writer.begin().await?;
    writer.add_event(&event("push"), NOW).await?;
    writer.rollback().await?;
    writer.begin().await?;
    writer.commit().await?;
    let woken = timeout(Duration::from_millis(300), watch.changed()).await;
    assert!(woken.is_err(), "nothing was written");
    writer.add_event(&event("push"), NOW).await?;
    watch.changed().await;
    drop(writer);
    settle(&mut watch).await;
    home.index.set_publication(b"", Some(&event("publish")), NOW).await?;
    watch.changed().await;
    Ok(())
}

async fn a_watch_notices_events_of_other_processes(home: Home) -> Outcome {
    let mut watch = home.index.watch_events();
    settle(&mut watch).await;
    let other = home.open_again().await?;
    for _ in 0..3 {
        other.lock().await?.add_event(&event("push"), NOW).await?;
        watch.changed().await;
    }
    settle(&mut watch).await;
    // A command ends right after it has written something.
    other.lock().await?.add_event(&event("purge"), NOW).await?;
    other.close().await;
    watch.changed().await;
    // The connection is lost, and replaced.
    home.execute(
        "SELECT pg_terminate_backend(pid, 20000) FROM pg_stat_activity \
         WHERE query LIKE 'LISTEN%' AND query LIKE '%' || hashtext(current_schema()) || '%'",
    )
    .await?;
    settle(&mut watch).await;
    let other = home.open_again().await?;
    other.lock().await?.add_event(&event("push"), NOW).await?;
    watch.changed().await;
    other.close().await;
    Ok(())
}

async fn events_of_no_change_are_written_in_order(home: Home) -> Outcome {
    let kinds = ["refused", "sign_in_failed"];
    let events: Vec<NewEvent> = (0..120).map(|number| event(kinds[number % 2])).collect();
    let before = home.index.states().await?.accounts;
    home.index.add_events(&events, NOW).await?;
    home.index.add_events(&[], NOW).await?;
    let found = home.index.events_after(0, 999).await?;
    assert_eq!(found.iter().map(|it| it.change.clone()).collect::<Vec<_>>(), events);
    assert!(found.iter().map(|it| it.seq).eq(1..=120));
    assert_eq!(home.index.states().await?.accounts, before, "no account was changed");
    Ok(())
}

async fn events_of_a_repository_are_read_from_the_last_one_on(home: Home) -> Outcome {
    let of = |name: &str, kind| NewEvent { repository: Some(repository(name)), ..event(kind) };
    let mut writer = home.index.lock().await?;
    for (name, kind) in [
        ("app", "delete"),
        ("app", "push"),
        ("other", "delete"),
        ("app", "purge"),
        ("app", "delete"),
    ] {
        writer.add_event(&of(name, kind), NOW).await?;
    }
    drop(writer);
    let read = async |kinds: &[&str], before, limit| {
        let events = home.index.events_before(&repository("app"), kinds, before, limit).await?;
        Ok::<_, IndexError>(events.iter().map(|event| event.seq).collect::<Vec<_>>())
    };
    assert_eq!(read(&["delete", "purge"], i64::MAX, 9).await?, [5, 4, 1]);
    assert_eq!(read(&["delete", "purge"], i64::MAX, 2).await?, [5, 4]);
    assert_eq!(read(&["delete"], 5, 9).await?, [1]);
    assert_eq!(read(&["delete"], 1, 9).await?, [0; 0]);
    Ok(())
}

async fn events_are_filtered_by_an_index(home: Home) -> Outcome {
    let mut events = Vec::new();
    for number in 0..3000 {
        let actor = Actor { name: Some(format!("user{}", number % 100)), address: None };
        let repository = Some(repository(&format!("team/app{}", number % 50)));
        events.push(NewEvent { actor, repository, ..event("push") });
    }
    for (half, at) in [(&events[..1500], NOW), (&events[1500..], NOW + 1000)] {
        home.index.add_events(half, at).await?;
    }
    if home.index.is_shared() {
        home.execute("ANALYZE events").await?;
    }
    let name = repository("team/app7");
    for (filter, count, first) in [
        (EventFilter { repository: Some(&name), ..EventFilter::default() }, 60, 8),
        (EventFilter { actor: Some("user7"), ..EventFilter::default() }, 30, 8),
        (EventFilter { since: Some(NOW + 1), ..EventFilter::default() }, 1500, 1501),
        (
            EventFilter { actor: Some("user7"), since: Some(NOW + 1), ..EventFilter::default() },
            15,
            1508,
        ),
        (EventFilter { since: Some(NOW + 1001), ..EventFilter::default() }, 0, 0),
    ] {
        let found = home.index.matching_events(&filter, 0, 9999).await?;
        assert_eq!(found.len(), count, "{filter:?}");
        assert_eq!(found.first().map_or(0, |it| it.seq), first, "{filter:?}");
        if let Some(middle) = found.get(count / 2) {
            let rest = home.index.matching_events(&filter, middle.seq, 9999).await?;
            assert_eq!(rest, found[count / 2 + 1..], "{filter:?}");
        }
    }
    // The plan names the index; what it costs otherwise is a look at each event.
    for (condition, index) in
        [("repository = 'team/app7'", "events_repository"), ("actor = 'user7'", "events_actor")]
    {
        let query =
            format!("SELECT kind FROM events WHERE seq > 0 AND {condition} ORDER BY seq LIMIT 201");
        let plan = home.plan(&query).await?;
        assert!(plan.contains(index), "{plan}");
    }
    Ok(())
}
