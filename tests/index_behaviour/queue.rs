//! Cases about the queue of edits and its folding.

use futures_util::future::join_all;
use roadstead::index::{Actor, Entry, EntryState, Folding, TreeState};
use roadstead::oci::TreeId::{Private, Public};

use crate::fixtures::{NOW, cid, stored_manifest};
use crate::{Case, Outcome, case, home::Home};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        case(an_entry_goes_from_intent_to_outcome),
        case(open_entries_come_in_order_up_to_a_limit),
        case(entries_queued_at_once_get_numbers_of_their_own),
        case(an_entry_is_queued_while_the_lock_is_taken),
        case(an_entry_is_queued_beside_other_writes),
        case(a_closed_entry_stays_as_it_is),
        case(what_is_done_is_folded_in_order_and_once),
        case(what_takes_much_memory_is_folded_in_parts),
        case(each_tree_folds_its_own_entries),
        case(an_entry_of_several_trees_is_folded_into_each),
        case(an_entry_without_edits_is_folded_into_none),
        case(a_number_is_never_given_twice),
    ]
}

async fn an_entry_goes_from_intent_to_outcome(home: Home) -> Outcome {
    let seq = home.index.enqueue(&Actor::default(), b"intent \0\xff", None, NOW).await?;
    let mut expected = Entry {
        seq,
        actor: Actor::default(),
        state: EntryState::Waiting,
        intent: b"intent \0\xff".to_vec(),
        edits: None,
        outcome: None,
    };
    let mut writer = home.index.lock().await?;
    assert_eq!(writer.entry(seq).await?.as_ref(), Some(&expected));
    assert_eq!(writer.entry(seq + 1).await?, None);
    writer.set_checked(seq, &[Public], b"edits").await?;
    expected.state = EntryState::Checked;
    expected.edits = Some(b"edits".to_vec());
    assert_eq!(writer.open_entries(9).await?, [expected.clone()]);
    writer.set_outcome(seq, EntryState::Done, b"").await?;
    expected.state = EntryState::Done;
    expected.outcome = Some(Vec::new());
    assert_eq!(writer.entry(seq).await?, Some(expected));
    assert_eq!(writer.open_entries(9).await?, []);
    Ok(())
}

async fn open_entries_come_in_order_up_to_a_limit(home: Home) -> Outcome {
    let mut numbers = Vec::new();
    for intent in [b"a", b"b", b"c", b"d"] {
        numbers.push(home.index.enqueue(&Actor::default(), intent, None, NOW).await?);
    }
    assert!(numbers.is_sorted_by(|one, next| one < next), "{numbers:?}");
    assert_eq!(home.index.open_entry_count().await?, 4);
    let mut writer = home.index.lock().await?;
    writer.set_outcome(numbers[0], EntryState::Refused, b"no").await?;
    writer.set_checked(numbers[2], &[Public], b"edits").await?;
    let open: Vec<_> = writer.open_entries(2).await?.iter().map(|entry| entry.seq).collect();
    assert_eq!(open, numbers[1..3]);
    assert_eq!(home.index.open_entry_count().await?, 3);
    Ok(())
}

async fn entries_queued_at_once_get_numbers_of_their_own(home: Home) -> Outcome {
    let manifest = stored_manifest("the same");
    let queued = join_all((0..20_u8).map(|n| {
        let (index, manifest) = (&home.index, &manifest);
        async move {
            index.enqueue(&Actor::default(), &[n], Some(manifest), NOW).await.map(|seq| (seq, n))
        }
    }))
    .await;
    let mut queued = queued.into_iter().collect::<Result<Vec<_>, _>>()?;
    queued.sort_unstable();
    let open = home.index.lock().await?.open_entries(100).await?;
    let open: Vec<_> = open.iter().map(|entry| (entry.seq, entry.intent[0])).collect();
    assert_eq!(open, queued);
    assert_eq!(open.len(), 20);
    Ok(())
}

async fn an_entry_is_queued_while_the_lock_is_taken(home: Home) -> Outcome {
    let mut writer = home.index.lock().await?;
    let first = home.index.enqueue(&Actor::default(), b"first", None, NOW).await?;
    writer.begin().await?;
    writer.set_outcome(first, EntryState::Done, b"").await?;
    writer.commit().await?;
    let second = home.index.enqueue(&Actor::default(), b"second", None, NOW).await?;
    assert_eq!(writer.open_entries(9).await?.len(), 1);
    assert!(second > first);
    Ok(())
}

async fn an_entry_is_queued_beside_other_writes(home: Home) -> Outcome {
    let index = home.index.clone();
    let writing = tokio::spawn(async move {
        for n in 0..20 {
            let mut writer = index.lock().await?;
            writer.begin().await?;
            writer.put_nodes(&[(cid(&n.to_string()), None)]).await?;
            writer.commit().await?;
        }
        roadstead::index::Result::Ok(())
    });
    for _ in 0..20 {
        home.index.enqueue(&Actor::default(), b"entry", None, NOW).await?;
    }
    writing.await??;
    assert_eq!(home.index.open_entry_count().await?, 20);
    Ok(())
}

async fn a_closed_entry_stays_as_it_is(home: Home) -> Outcome {
    let seq = home.index.enqueue(&Actor::default(), b"entry", None, NOW).await?;
    let mut writer = home.index.lock().await?;
    assert!(writer.set_outcome(seq, EntryState::Checked, b"").await.is_err(), "no outcome");
    writer.set_checked(seq, &[Public], b"edits").await?;
    assert!(writer.set_checked(seq, &[Public], b"other edits").await.is_err(), "edits are final");
    writer.set_outcome(seq, EntryState::Done, b"done").await?;
    assert!(writer.set_outcome(seq, EntryState::Refused, b"no").await.is_err());
    assert!(writer.set_outcome(seq + 1, EntryState::Done, b"").await.is_err(), "no such entry");
    // Nothing of a transaction with such a call is committed.
    writer.begin().await?;
    writer.put_nodes(&[(cid("lost"), None)]).await?;
    let closed = writer.set_outcome(seq, EntryState::Refused, b"no").await;
    assert!(writer.commit().await.is_err(), "{closed:?}");
    writer.rollback().await?;
    assert_eq!(home.number("SELECT COUNT(*) FROM nodes").await?, 0);
    let entry = writer.entry(seq).await?.ok_or("no entry")?;
    assert_eq!(entry.edits.as_deref(), Some(&b"edits"[..]));
    assert_eq!(entry.outcome.as_deref(), Some(&b"done"[..]));
    Ok(())
}

async fn what_is_done_is_folded_in_order_and_once(home: Home) -> Outcome {
    assert_eq!(home.index.folding(Public).await?, Folding { root: None, edits: Vec::new() });
    let mut numbers = Vec::new();
    for intent in [b"a", b"b", b"c", b"d"] {
        numbers.push(home.index.enqueue(&Actor::default(), intent, None, NOW).await?);
    }
    let mut writer = home.index.lock().await?;
    for (seq, edits) in numbers.iter().zip([b"1", b"2", b"3", b"4"]) {
        writer.set_checked(*seq, &[Public], edits).await?;
    }
    writer.set_outcome(numbers[2], EntryState::Done, b"").await?;
    writer.set_outcome(numbers[0], EntryState::Done, b"").await?;
    writer.set_outcome(numbers[1], EntryState::Refused, b"").await?;
    let done = vec![(numbers[0], b"1".to_vec()), (numbers[2], b"3".to_vec())];
    assert_eq!(home.index.folding(Public).await?, Folding { root: None, edits: done });
    assert_eq!(writer.tree_state(Public).await?, TreeState { root: None, last: Some(numbers[2]) });
    let parts = [(0, numbers[0]), (0, numbers[2]), (numbers[0], i64::MAX), (numbers[2], i64::MAX)];
    for ((after, through), expected) in parts.into_iter().zip([&[0][..], &[0, 2], &[2], &[]]) {
        let part = writer.folding_part(Public, after, through).await?;
        let found: Vec<i64> = part.edits.iter().map(|(seq, _)| *seq).collect();
        let expected: Vec<i64> = expected.iter().map(|&index: &usize| numbers[index]).collect();
        assert_eq!((part.root, found), (None, expected));
    }
    writer.set_root(Public, &cid("first"), numbers[0]).await?;
    let rest = vec![(numbers[2], b"3".to_vec())];
    let expected = Folding { root: Some(cid("first")), edits: rest };
    assert_eq!(home.index.folding(Public).await?, expected);
    assert_eq!(writer.folding(Public).await?, expected);
    writer.set_outcome(numbers[3], EntryState::Done, b"").await?;
    writer.set_root(Public, &cid("second"), numbers[3]).await?;
    let expected = Folding { root: Some(cid("second")), edits: Vec::new() };
    assert_eq!(home.index.folding(Public).await?, expected);
    let state = TreeState { root: expected.root, last: None };
    assert_eq!(home.index.tree_state(Public).await?, state);
    Ok(())
}

async fn what_takes_much_memory_is_folded_in_parts(home: Home) -> Outcome {
    let mut writer = home.index.lock().await?;
    let large = vec![b' '; 700 * 1024];
    for _ in 0..3 {
        let seq = home.index.enqueue(&Actor::default(), b"entry", None, NOW).await?;
        writer.set_checked(seq, &[Public], &large).await?;
        writer.set_outcome(seq, EntryState::Done, b"").await?;
    }
    let (mut after, mut sizes) = (0, Vec::new());
    loop {
        let part = writer.folding_part(Public, after, i64::MAX).await?.edits;
        let Some((last, _)) = part.last() else { break };
        after = *last;
        sizes.push(part.len());
    }
    assert_eq!(sizes, [2, 1]);
    Ok(())
}

async fn each_tree_folds_its_own_entries(home: Home) -> Outcome {
    let mut writer = home.index.lock().await?;
    let mut numbers = Vec::new();
    for tree in [Public, Private] {
        let seq = home.index.enqueue(&Actor::default(), b"entry", None, NOW).await?;
        writer.set_checked(seq, &[tree], tree.as_str().as_bytes()).await?;
        writer.set_outcome(seq, EntryState::Done, b"").await?;
        numbers.push(seq);
    }
    writer.set_root(Public, &cid("root"), numbers[1]).await?;
    assert_eq!(writer.folding(Public).await?.edits, []);
    let private = writer.folding(Private).await?;
    assert_eq!(private.root, None);
    assert_eq!(private.edits, [(numbers[1], b"private".to_vec())]);
    Ok(())
}

async fn an_entry_of_several_trees_is_folded_into_each(home: Home) -> Outcome {
    let mut writer = home.index.lock().await?;
    assert!(home.index.has_no_root().await?);
    let first = home.index.enqueue(&Actor::default(), b"entry", None, NOW).await?;
    writer.set_checked(first, &[Public, Private], b"both").await?;
    assert_eq!(writer.folding(Private).await?.edits, [], "it is not done");
    writer.set_outcome(first, EntryState::Done, b"").await?;
    let second = home.index.enqueue(&Actor::default(), b"entry", None, NOW).await?;
    writer.set_checked(second, &[Private], b"private").await?;
    writer.set_outcome(second, EntryState::Done, b"").await?;
    assert!(!home.index.has_no_root().await?);
    assert_eq!(home.index.unfolded_entry_count().await?, 2);
    let both = (first, b"both".to_vec());
    assert_eq!(writer.folding(Public).await?.edits, std::slice::from_ref(&both));
    let all = [both, (second, b"private".to_vec())];
    assert_eq!(writer.folding(Private).await?.edits, all);

    writer.set_root(Public, &cid("public"), second).await?;
    let state = TreeState { root: Some(cid("public")), last: None };
    assert_eq!(writer.tree_state(Public).await?, state);
    assert_eq!(home.index.folding(Private).await?.edits, all);
    writer.prune(NOW + 1).await?;
    assert!(writer.entry(first).await?.is_some(), "one tree needs it still");
    writer.set_root(Private, &cid("private"), first).await?;
    assert_eq!(writer.folding_part(Private, 0, i64::MAX).await?.edits, all[1..]);
    assert_eq!(home.index.unfolded_entry_count().await?, 1);
    writer.prune(NOW + 1).await?;
    assert_eq!(writer.entry(first).await?, None);
    assert!(writer.entry(second).await?.is_some());
    Ok(())
}

async fn an_entry_without_edits_is_folded_into_none(home: Home) -> Outcome {
    let mut writer = home.index.lock().await?;
    let seq = home.index.enqueue(&Actor::default(), b"entry", None, NOW).await?;
    writer.set_checked(seq, &[], b"[]").await?;
    writer.set_outcome(seq, EntryState::Done, b"").await?;
    assert_eq!(home.index.unfolded_entry_count().await?, 0);
    assert_eq!(writer.tree_state(Public).await?, TreeState { root: None, last: None });
    writer.prune(NOW + 1).await?;
    assert_eq!(writer.entry(seq).await?, None);
    Ok(())
}

async fn a_number_is_never_given_twice(home: Home) -> Outcome {
    let before = home.index.enqueue(&Actor::default(), b"entry", None, NOW).await?;
    let mut writer = home.index.lock().await?;
    writer.set_outcome(before, EntryState::Refused, b"").await?;
    writer.prune(NOW + 1).await?;
    assert_eq!(writer.entry(before).await?, None);
    writer.clear().await?;
    assert!(home.index.enqueue(&Actor::default(), b"entry", None, NOW).await? > before);
    Ok(())
}
