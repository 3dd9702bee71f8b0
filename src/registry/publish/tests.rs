//! Tests of what is made of what the servers of a zone return: two servers, of which the second is not written to, and
//! a provider that writes whatever is there.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tempfile::TempDir;

use super::super::crashes::{Client, open};
use super::*;
use crate::dnslink::Guard;
use crate::dnslink::test_server::{Manner, Server};

const DOMAIN: &str = "publisher.test";
const NAME: &str = "_dnslink.publisher.test";
const FOREIGN: &str = "dnslink=/ipfs/bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi";

/// Longer than any test takes.
const LONG: Duration = Duration::from_mins(5);
/// A twelfth of it is enough to ask two servers.
const SHORT: Duration = Duration::from_secs(3);

/// Replaces all that is there by what is expected, as the simplest program does.
struct Overwriting {
    server: Server,
    writes: AtomicUsize,
}

#[async_trait]
impl Provider for Overwriting {
    async fn write(&self, change: &Change) -> Result<()> {
        self.server.change(Manner::Texts(change.expected.clone(), 1));
        self.writes.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    async fn check(&self, _: &Change) -> Result<()> {
        Ok(())
    }

    fn compares(&self) -> bool {
        false
    }
}

/// A registry that publishes to the first server of a zone of two.
struct Stage {
    publisher: Arc<Publisher>,
    first: Arc<Overwriting>,
    second: Server,
    client: Client,
    _data: TempDir,
}

impl Stage {
    /// Starts it with one image and two servers that return nothing.
    async fn start(timeouts: Duration) -> Self {
        let data = TempDir::new().unwrap();
        let registry = open(data.path()).await;
        let (server, second) = (nothing().await, nothing().await);
        let zone = Zone::at(&[server.address(), second.address()]);
        let first = Arc::new(Overwriting { server, writes: AtomicUsize::new(0) });
        let config = PublishConfig {
            domain: DOMAIN.parse().unwrap(),
            debounce: Duration::from_millis(10),
            provider_id: "here".to_owned(),
            ttl: Duration::from_secs(1),
            keep: Duration::from_hours(1),
            timeouts,
            hints: vec!["/ip4/192.0.2.1/tcp/443/tls/http".to_owned()],
            gateway: None,
            guard: Guard { allow_private: true },
        };
        let publisher = Arc::new(Publisher::new(registry, first.clone(), zone, config));
        let stage = Self { publisher, first, second, client: Client::new(), _data: data };
        stage.push("first").await;
        stage
    }

    async fn push(&self, tag: &str) -> Cid {
        let registry = &self.publisher.registry;
        let image = self.client.image(registry, b"{}").await;
        self.client.put(registry, tag, &image).await.unwrap();
        registry.root().await.unwrap()
    }

    /// What publishes in another process, by a provider that is set in another way.
    fn elsewhere(&self) -> Publisher {
        let zone = Zone::at(&[self.first.server.address(), self.second.address()]);
        let config =
            PublishConfig { provider_id: "elsewhere".to_owned(), ..self.publisher.config.clone() };
        Publisher::new(self.publisher.registry.clone(), self.first.clone(), zone, config)
    }

    async fn publish(&self, trigger: Trigger) -> Result<Outcome> {
        self.publisher.publish(trigger).await
    }

    /// Publishes while the registry changes all the time.
    async fn publish_amid_changes(&self, requests: &mut PendingRequests) -> Result<Outcome> {
        let index = self.publisher.registry.index.clone();
        let is_over = Arc::new(AtomicBool::new(false));
        let ending = is_over.clone();
        let changing = tokio::spawn(async move {
            while !ending.load(Ordering::Relaxed) {
                let mut writer = index.lock().await.unwrap();
                writer.begin().await.unwrap();
                writer.commit().await.unwrap();
                drop(writer);
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        let outcome = self.publisher.publish_for(requests).await;
        is_over.store(true, Ordering::Relaxed);
        changing.await.unwrap();
        outcome
    }

    async fn record(&self) -> Publication {
        self.publisher.record().await.unwrap()
    }

    fn writes(&self) -> usize {
        self.first.writes.load(Ordering::Relaxed)
    }

    /// The records that are expected where that root is published.
    fn texts(&self, root: &Cid) -> Manner {
        let hint = format!("ipfsnode={}", self.publisher.config.hints[0]);
        Manner::Texts(vec![link(root), hint], 1)
    }
}

async fn nothing() -> Server {
    Server::start(Manner::Texts(Vec::new(), 1)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_whose_settings_differ_do_not_write_again_what_the_other_wrote() {
    let stage = Stage::start(LONG).await;
    let root = stage.push("second").await;
    stage.second.change(stage.texts(&root));
    let other = stage.elsewhere();
    assert_eq!(stage.publish(Trigger::Routine).await.unwrap(), Outcome::Published(root));
    // The first look by other settings is how they take effect.
    assert_eq!(other.publish(Trigger::Routine).await.unwrap(), Outcome::Published(root));
    assert_eq!(
        (stage.writes(), stage.record().await.provider_id.as_deref()),
        (2, Some("elsewhere"))
    );
    for _ in 0..3 {
        assert_eq!(stage.publish(Trigger::Routine).await.unwrap(), Outcome::Unchanged);
        assert_eq!(other.publish(Trigger::Routine).await.unwrap(), Outcome::Unchanged);
    }
    assert_eq!(stage.writes(), 2);
    // An operator has it written.
    assert_eq!(stage.publish(Trigger::Now).await.unwrap(), Outcome::Published(root));
    assert_eq!((stage.writes(), stage.record().await.provider_id.as_deref()), (3, Some("here")));
    let root = stage.push("third").await;
    stage.second.change(stage.texts(&root));
    assert_eq!(other.publish(Trigger::Routine).await.unwrap(), Outcome::Published(root));
    assert_eq!(stage.publish(Trigger::Routine).await.unwrap(), Outcome::Unchanged);
}

/// What is no answer.
fn silence() -> Manner {
    Manner::Garbage
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_published_once_all_servers_of_the_zone_tell_it() {
    let stage = Stage::start(LONG).await;
    let root = stage.push("second").await;
    let publisher = stage.publisher.clone();
    let publishing = tokio::spawn(async move { publisher.publish(Trigger::Now).await });
    // It is queried again and again, and what it does not return is not published.
    while stage.second.count(NAME) < 5 {
        assert!(!publishing.is_finished(), "only one of two servers tells it");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!((stage.writes(), stage.record().await.root), (1, None));
    stage.second.change(stage.texts(&root));
    assert_eq!(publishing.await.unwrap().unwrap(), Outcome::Published(root));
    assert_eq!(stage.record().await.root, Some(root));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stays_behind_is_a_failure_also_while_pushes_go_on() {
    let stage = Stage::start(SHORT).await;
    stage.second.change(silence());
    let old = stage.push("old").await;
    assert_eq!(stage.publish(Trigger::Now).await.unwrap(), Outcome::Published(old));
    stage.second.change(stage.texts(&old));
    let mut rounds = 0;
    let error = loop {
        rounds += 1;
        stage.push(&format!("tag-{rounds}")).await;
        match stage.publish_amid_changes(&mut PendingRequests::default()).await {
            Ok(outcome) => assert_eq!(outcome, Outcome::Overtaken),
            Err(error) => break error,
        }
        assert!(rounds < 500, "it is overtaken for ever");
    };
    assert!(error.to_string().contains("not propagated yet"), "{error}");
    assert!(error.to_string().contains(&link(&old)), "{error}");
    let newest = stage.push("newest").await;
    let again = stage.publish_amid_changes(&mut PendingRequests::default()).await;
    assert!(again.is_err() && stage.record().await.failure.is_some(), "{again:?}");
    // What no server returns any more may go; what either of them returns is retained.
    let published = stage.publisher.registry.index.published_roots().await.unwrap();
    assert!(published.len() > 2, "{published:?}");
    for published in published {
        let is_named = published.root == old || published.root == newest;
        assert_eq!(published.expires.is_none(), is_named, "{published:?}");
    }
    stage.second.change(stage.texts(&newest));
    stage.publish(Trigger::Routine).await.unwrap();
    let record = stage.record().await;
    assert_eq!((record.root, record.failure, record.untold), (Some(newest), None, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_overtaken_publication_answers_no_request_and_clears_no_failure() {
    let stage = Stage::start(SHORT * 16).await;
    let mut record = stage.record().await;
    let error = PublishError::new(PublishErrorKind::Unavailable, "it is down");
    record.failure = Some(Failure::again(None, &error, now()));
    let mut lease = stage.publisher.registry.index.begin_publishing().await.unwrap().unwrap();
    stage.publisher.save(lease.as_mut(), &record, None).await.unwrap();
    lease.end().await.unwrap();
    let mut requests =
        PendingRequests { trigger: Trigger::Force, tokens: vec!["token".to_owned()] };
    assert_eq!(stage.publish_amid_changes(&mut requests).await.unwrap(), Outcome::Overtaken);
    let overtaken = stage.record().await;
    assert_eq!((overtaken.failure, overtaken.answers), (record.failure, Vec::new()));
    assert_eq!((requests.trigger, requests.tokens.len()), (Trigger::Force, 1));

    stage.second.change(silence());
    let outcome = stage.publisher.publish_for(&mut requests).await.unwrap();
    assert!(matches!(outcome, Outcome::Published(_)));
    assert_eq!((requests.trigger, requests.tokens.len()), (Trigger::Routine, 0));
    assert_eq!(stage.record().await.answers, ["token"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_answer_from_the_servers_nothing_is_reported_as_published() {
    let stage = Stage::start(SHORT).await;
    stage.second.change(silence());
    let published = stage.publish(Trigger::Now).await.unwrap();
    assert_eq!(stage.publish(Trigger::Now).await.unwrap(), Outcome::Unchanged);
    stage.first.server.change(silence());
    // Without a request it is left as it is.
    assert_eq!(stage.publish(Trigger::Routine).await.unwrap(), Outcome::Unchanged);
    for trigger in [Trigger::Now, Trigger::Force, Trigger::Routine] {
        let error = stage.publish(trigger).await.unwrap_err();
        assert_eq!(error.kind, PublishErrorKind::Unavailable, "{trigger:?}: {error}");
        assert!(stage.record().await.failure.is_some(), "{trigger:?}");
    }
    let Outcome::Published(root) = published else { panic!("{published:?}") };
    stage.first.server.change(stage.texts(&root));
    assert_eq!(stage.publish(Trigger::Routine).await.unwrap(), Outcome::Unchanged);
    assert_eq!(stage.record().await.failure, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_does_not_compare_writes_only_where_a_server_answers() {
    let stage = Stage::start(SHORT).await;
    stage.first.server.change(silence());
    stage.second.change(silence());
    for trigger in [Trigger::Routine, Trigger::Now] {
        let error = stage.publish(trigger).await.unwrap_err();
        assert_eq!(error.kind, PublishErrorKind::Unavailable, "{error}");
    }
    stage.second.change(Manner::Texts(vec![FOREIGN.to_owned()], 1));
    let error = stage.publish(Trigger::Now).await.unwrap_err();
    assert_eq!(error.kind, PublishErrorKind::Conflict, "{error}");
    assert_eq!(stage.writes(), 0);
    stage.second.change(silence());
    assert!(matches!(stage.publish(Trigger::Force).await.unwrap(), Outcome::Published(_)));
    assert_eq!(stage.writes(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_root_of_ours_is_not_foreign() {
    let stage = Stage::start(SHORT).await;
    stage.second.change(silence());
    let old = stage.push("old").await;
    stage.publish(Trigger::Now).await.unwrap();
    stage.push("seen-without-the-second").await;
    stage.publish(Trigger::Now).await.unwrap();
    stage.second.change(stage.texts(&old));
    let root = stage.push("new").await;
    let plan = stage.publisher.plan(&root, false).await.unwrap();
    assert!(plan.conflict.is_none(), "{plan:?}");
    let error = stage.publish(Trigger::Now).await.unwrap_err();
    assert_eq!(error.kind, PublishErrorKind::Unavailable, "{error}");
    assert_eq!(stage.writes(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_root_that_comes_back_is_not_to_go_any_more() {
    let stage = Stage::start(SHORT).await;
    let root = stage.push("root").await;
    assert!(stage.publisher.hold(&root).await.unwrap());
    stage.publisher.note(&[]).await.unwrap();
    let expires = async || {
        let published = stage.publisher.registry.index.published_roots().await.unwrap();
        published.iter().map(|published| published.expires).collect::<Vec<_>>()
    };
    assert!(matches!(*expires().await, [Some(_)]));
    assert!(stage.publisher.hold(&root).await.unwrap());
    assert_eq!(expires().await, [None]);
}

#[tokio::test(flavor = "multi_thread")]
async fn all_requests_made_while_another_process_publishes_are_answered() {
    let stage = Stage::start(LONG).await;
    stage.second.change(silence());
    let index = stage.publisher.registry.index.clone();
    let lease = index.begin_publishing().await.unwrap().unwrap();
    let publisher = stage.publisher.clone();
    let running = tokio::spawn(async move { publisher.run().await });
    let tokens = ["one", "two", "three"].map(str::to_owned);
    for token in &tokens {
        stage.publisher.request(Trigger::Now, token.clone());
        // Long enough for it to be taken, and too short to be tried again.
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(stage.record().await.answers, Vec::<String>::new());
    lease.end().await.unwrap();
    let answered = async {
        while !tokens.iter().eq(&stage.record().await.answers) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), answered).await.expect("all are answered");
    running.abort();
}

/// Waits until the publisher queries the index no more: for a while much longer than it gathers events.
async fn wait_until_idle(publisher: &Publisher) {
    let idle = async {
        loop {
            let looks = publisher.looks.load(Ordering::Relaxed);
            tokio::time::sleep(publisher.config.debounce * 100).await;
            if publisher.looks.load(Ordering::Relaxed) == looks {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_mins(1), idle).await.expect("it is never idle");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_wakes_the_publisher_which_is_idle_otherwise() {
    let stage = Stage::start(LONG).await;
    stage.second.change(silence());
    let (publisher, index) = (stage.publisher.clone(), stage.publisher.registry.index.clone());
    let running = tokio::spawn(async move { publisher.run().await });
    for tag in ["second", "third"] {
        wait_until_idle(&stage.publisher).await;
        let looks = stage.publisher.looks.load(Ordering::Relaxed);
        let root = stage.push(tag).await;
        let is_published = async {
            while stage.record().await.root != Some(root) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        // Less than it looks of its own accord.
        let limit = Duration::from_secs(25);
        tokio::time::timeout(limit, is_published).await.expect("the push did not wake it");
        assert!(stage.publisher.looks.load(Ordering::Relaxed) > looks);
        let last = index.events_after(0, 100).await.unwrap().pop().unwrap();
        let text = root.to_string();
        assert_eq!((&*last.change.kind, last.change.detail), ("publish", Some(text)));
    }
    wait_until_idle(&stage.publisher).await;
    let unhandled = index.last_unhandled_event("publisher", &["push", "delete", "purge"]).await;
    assert_eq!(unhandled.unwrap(), None, "it has noted what it has handled");
    running.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn events_from_before_a_start_are_handled() {
    let stage = Stage::start(LONG).await;
    stage.second.change(silence());
    let index = stage.publisher.registry.index.clone();
    let root = stage.push("second").await;
    let kinds = &["push"];
    assert!(index.last_unhandled_event("publisher", kinds).await.unwrap().is_some());
    let publisher = stage.publisher.clone();
    let running = tokio::spawn(async move { publisher.run().await });
    let handled = async {
        while index.last_unhandled_event("publisher", kinds).await.unwrap().is_some() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), handled).await.expect("they are handled");
    assert_eq!(stage.record().await.root, Some(root));
    running.abort();
}

#[test]
fn claims_and_answers_have_an_end_and_the_newest_stay() {
    let mut record = Publication::new(DOMAIN);
    let hint = "ipfsnode=hint".to_owned();
    for number in 0..1000 {
        record.claim(&[format!("dnslink={number}"), hint.clone()]);
        record.answer(&[number.to_string()]);
    }
    assert_eq!((record.ours.len(), record.answers.len()), (100, 100));
    assert_eq!(record.ours[98..], ["dnslink=999".to_owned(), hint]);
    assert_eq!(record.answers[99], "999");
}

#[test]
fn a_record_of_an_earlier_version_is_read() {
    let text =
        r#"{"domain":"a.test","ours":[],"root":null,"published":0,"failure":null,"answered":"x"}"#;
    let record: Publication = serde_json::from_str(text).unwrap();
    assert_eq!(record, Publication::new("a.test"));
}

#[test]
fn what_was_written_at_a_former_domain_is_ours_when_it_comes_back() {
    let mut record = Publication::new(DOMAIN);
    record.claim(&["dnslink=one".to_owned()]);
    let other = record.clone().under("other.test");
    assert_eq!((other.ours.len(), other.former.len()), (0, 1));
    let mut back = other.under(DOMAIN);
    assert_eq!((&back.ours, &*back.former[0].domain), (&record.ours, "other.test"));
    for number in 0..100 {
        back = back.under(&format!("{number}.test"));
    }
    assert_eq!(back.former.len(), 8);
    assert_eq!(back.clone().under("99.test"), back);
}
