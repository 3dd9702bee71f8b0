//! Cases about roots that are published, and about who publishes.

use std::time::Duration;

use roadstead::index::{PublishedRoot, open_read_only};
use roadstead::oci::TreeId::Public;
use tokio::time::timeout;

use crate::fixtures::{NOW, cid};
use crate::{Case, Outcome, case, case_on, home::Home};

/// Long enough for whatever is not blocked to happen.
const LONG: Duration = Duration::from_secs(20);

/// Ends the session that has the lease to publish.
const END_SESSIONS: &str = "SELECT pg_terminate_backend(pid, 20000) FROM pg_locks WHERE \
     locktype = 'advisory' AND CAST(classid AS BIGINT) = 1919902055 AND \
     CAST(objid AS BIGINT) = CAST(hashtext(current_schema()) AS BIGINT) & 4294967295";

pub(crate) fn cases() -> Vec<Case> {
    vec![
        case(the_state_of_publishing_is_stored),
        case(roots_are_retained_until_they_are_released),
        case(a_retained_root_keeps_its_node),
        case(clearing_holds_no_root_any_more),
        case(one_publishes_at_a_time_and_no_other_waits),
        case_on("postgres", one_publishes_among_processes),
    ]
}

async fn the_state_of_publishing_is_stored(home: Home) -> Outcome {
    assert_eq!(home.index.publication().await?, None);
    for record in [&b"first"[..], b"", b"{\"second\": 1}"] {
        home.index.set_publication(record, None, NOW).await?;
        assert_eq!(home.index.publication().await?.as_deref(), Some(record));
    }
    let reader = open_read_only(&home.url).await?;
    assert_eq!(reader.publication().await?.as_deref(), Some(&b"{\"second\": 1}"[..]));
    assert!(reader.set_publication(b"", None, NOW).await.is_err(), "it only reads");
    home.index.lock().await?.clear().await?;
    let again = home.open_again().await?;
    assert_eq!(again.publication().await?.as_deref(), Some(&b"{\"second\": 1}"[..]));
    Ok(())
}

async fn roots_are_retained_until_they_are_released(home: Home) -> Outcome {
    let (one, two, three) = (cid("one"), cid("two"), cid("three"));
    let mut writer = home.index.lock().await?;
    assert!(writer.hold_root(&one, 1).await?);
    assert!(!writer.hold_root(&one, 2).await?, "it is held");
    writer.set_published(&[one], 3, 100).await?;
    assert!(writer.hold_root(&two, 4).await?);
    let root = |root, retained_since, published, expires| PublishedRoot {
        root,
        retained_since,
        published,
        expires,
    };
    let mut roots = home.index.published_roots().await?;
    roots.sort_by_key(|root| root.retained_since);
    assert_eq!(roots, [root(one, 1, Some(3), None), root(two, 4, None, None)]);
    writer.hold_root(&three, 5).await?;
    writer.set_published(&[three], 6, 200).await?;
    writer.set_published(&[two], 7, 300).await?;
    let mut roots = home.index.published_roots().await?;
    roots.sort_by_key(|root| root.retained_since);
    let expected = [
        root(one, 1, Some(3), Some(200)),
        root(two, 4, Some(7), None),
        root(three, 5, Some(6), Some(300)),
    ];
    assert_eq!(roots, expected, "an earlier time is not put off, and who comes back stays");
    assert!(!writer.hold_root(&three, 8).await?, "it is held");
    writer.set_published(&[two, one], 9, 400).await?;
    let mut roots = home.index.published_roots().await?;
    roots.sort_by_key(|root| root.retained_since);
    let expected = [
        root(one, 1, Some(9), None),
        root(two, 4, Some(9), None),
        root(three, 5, Some(6), Some(400)),
    ];
    assert_eq!(roots, expected, "who is held again or is still told does not go");
    assert!(writer.release_root(&one).await? && !writer.release_root(&one).await?);
    assert_eq!(home.index.published_roots().await?.len(), 2);
    Ok(())
}

async fn a_retained_root_keeps_its_node(home: Home) -> Outcome {
    let root = cid("root");
    let mut writer = home.index.lock().await?;
    writer.put_nodes(&[(root, Some(b"root".as_slice().into()))]).await?;
    writer.add_node_refs(Public, &[(root, 1)], NOW).await?;
    writer.hold_root(&root, NOW).await?;
    writer.set_root(Public, &cid("next"), 0).await?;
    assert_eq!(writer.prune(i64::MAX).await?, 0);
    writer.add_node_refs(Public, &[(root, -1)], NOW).await?;
    assert_eq!(writer.prune(NOW + 1).await?, 1);
    Ok(())
}

async fn clearing_holds_no_root_any_more(home: Home) -> Outcome {
    let mut writer = home.index.lock().await?;
    writer.hold_root(&cid("root"), NOW).await?;
    writer.clear().await?;
    assert_eq!(home.index.published_roots().await?, []);
    Ok(())
}

async fn one_publishes_at_a_time_and_no_other_waits(home: Home) -> Outcome {
    let lease = home.index.begin_publishing().await?.ok_or("nobody else publishes")?;
    assert!(timeout(LONG, home.index.begin_publishing()).await??.is_none(), "two publish");
    // It holds nobody else up.
    let linking = timeout(LONG, home.index.begin_linking()).await??;
    linking.ok_or("a cleaning was cut short")?.end().await?;
    drop(timeout(LONG, home.index.lock()).await??);
    lease.end().await?;
    let lease = home.index.begin_publishing().await?.ok_or("it was given back")?;
    drop(lease);
    let begun = async {
        loop {
            if let Some(lease) = home.index.begin_publishing().await? {
                return lease.end().await;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(LONG, begun).await??;
    let reader = open_read_only(&home.url).await?;
    assert!(reader.begin_publishing().await.is_err(), "it only reads");
    Ok(())
}

async fn one_publishes_among_processes(home: Home) -> Outcome {
    let other = home.open_again().await?;
    let lease = home.index.begin_publishing().await?.ok_or("nobody else publishes")?;
    assert!(timeout(LONG, other.begin_publishing()).await??.is_none(), "two publish");
    lease.end().await?;
    let lease = other.begin_publishing().await?.ok_or("it was given back")?;
    assert!(home.index.begin_publishing().await?.is_none());
    lease.end().await?;

    let mut lost = other.begin_publishing().await?.ok_or("it was given back")?;
    lost.check().await?;
    home.execute(END_SESSIONS).await?;
    let lease = home.index.begin_publishing().await?.ok_or("its session has ended")?;
    assert!(lost.check().await.is_err() && lost.end().await.is_err(), "somebody else has it");
    lease.end().await?;
    Ok(())
}
