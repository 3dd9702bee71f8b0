//! What wakes subscribers: a signal in this process, and where processes share a server, a notification of it.
//!
//! Neither says what happened, and either may be lost: a subscriber that is woken reads the events, and looks for them
//! now and then also where it is not.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sqlx::PgPool;
use sqlx::postgres::PgListener;
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;

use super::session::within;

/// How often other processes are notified at most.
const INTERVAL: Duration = Duration::from_millis(100);

/// How long notifying others may take.
const LIMIT: Duration = Duration::from_secs(5);

/// After how long a connection that was lost is replaced.
const RECONNECT: Duration = Duration::from_secs(1);

/// The name of the channel: two registries can share a database, each in a schema of its own.
const CHANNEL: &str = "SELECT 'roadstead_events_' || hashtext(current_schema())";
const NOTIFY: &str = "SELECT pg_notify('roadstead_events_' || hashtext(current_schema()), '')";

/// How many connections listening takes.
pub(super) const CONNECTIONS: u32 = 1;

/// Says that events may have been written.
pub(super) struct EventSignal {
    local: Arc<watch::Sender<()>>,
    others: Option<Others>,
}

/// Tells a subscriber when events may have been written.
pub struct EventWatch(watch::Receiver<()>);

/// The processes that share a server.
struct Others {
    outgoing: Arc<Outgoing>,
    /// Where the connection to listen comes from.
    listening: PgPool,
    listener: Mutex<Option<AbortHandle>>,
    notifier: AbortHandle,
}

/// What other processes are still to be notified of.
struct Outgoing {
    pool: PgPool,
    is_due: AtomicBool,
    /// Taken while they are notified.
    sending: tokio::sync::Mutex<()>,
    wake: Notify,
}

impl EventSignal {
    /// A signal within this process.
    pub(super) fn of_process() -> Self {
        Self { local: Arc::new(watch::Sender::new(())), others: None }
    }

    /// A signal to all processes that share a server. `pool` is for notifications; of `listening`,
    /// [`CONNECTIONS`] are needed once anything subscribes.
    pub(super) fn of_server(pool: PgPool, listening: PgPool) -> Self {
        let (is_due, sending, wake) = Default::default();
        let outgoing = Arc::new(Outgoing { pool, is_due, sending, wake });
        let notifier = tokio::spawn(outgoing.clone().run()).abort_handle();
        let others = Others { outgoing, listening, listener: Mutex::default(), notifier };
        Self { others: Some(others), ..Self::of_process() }
    }

    /// Wakes all subscribers. To be called after the commit.
    pub(super) fn send(&self) {
        self.local.send_replace(());
        if let Some(others) = &self.others {
            others.outgoing.is_due.store(true, Ordering::Release);
            others.outgoing.wake.notify_one();
        }
    }

    /// Begins to watch; what was sent before counts as seen.
    pub(super) fn watch(&self) -> EventWatch {
        if let Some(others) = &self.others {
            let mut listener = others.listener.lock().unwrap_or_else(PoisonError::into_inner);
            listener.get_or_insert_with(|| {
                let listening = listen(others.listening.clone(), self.local.clone());
                tokio::spawn(listening).abort_handle()
            });
        }
        EventWatch(self.local.subscribe())
    }

    /// Notifies others of what they were not notified of yet, and lets go of the database.
    pub(super) async fn close(&self) {
        if let Some(others) = &self.others {
            others.outgoing.flush().await;
            others.end();
            others.listening.close().await;
        }
    }
}

impl EventWatch {
    /// Waits until events may have been written since the last call. May be dropped while it waits.
    pub async fn changed(&mut self) {
        if self.0.changed().await.is_err() {
            // The index is gone, and with it all that could happen.
            std::future::pending::<()>().await;
        }
    }

    /// Notes that whatever was written until now is about to be looked for.
    pub fn mark_seen(&mut self) {
        self.0.mark_unchanged();
    }
}

impl Others {
    fn end(&self) {
        self.notifier.abort();
        let listener = self.listener.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(listener) = &*listener {
            listener.abort();
        }
    }
}

impl Drop for Others {
    fn drop(&mut self) {
        self.end();
    }
}

impl Outgoing {
    async fn run(self: Arc<Self>) {
        loop {
            self.wake.notified().await;
            self.flush().await;
            tokio::time::sleep(INTERVAL).await;
        }
    }

    /// Notifies others, if they are to be; returns once no other task is at it.
    async fn flush(&self) {
        let _sending = self.sending.lock().await;
        if !self.is_due.swap(false, Ordering::AcqRel) {
            return;
        }
        if let Err(error) = within(LIMIT, sqlx::query(NOTIFY).execute(&self.pool)).await {
            tracing::debug!(%error, "failed to notify other processes of events");
        }
    }
}

/// Passes on what other processes notify this one of.
async fn listen(pool: PgPool, local: Arc<watch::Sender<()>>) {
    loop {
        if let Err(error) = listen_once(&pool, &local).await {
            tracing::debug!(%error, "failed to listen for events of other processes");
        }
        tokio::time::sleep(RECONNECT).await;
    }
}

/// The same, until the connection is lost.
async fn listen_once(pool: &PgPool, local: &watch::Sender<()>) -> sqlx::Result<()> {
    let mut listener = PgListener::connect_with(pool).await?;
    let (channel,): (String,) = sqlx::query_as(CHANNEL).fetch_one(&mut listener).await?;
    listener.listen(&channel).await?;
    // What others wrote before was not noticed.
    local.send_replace(());
    while listener.try_recv().await?.is_some() {
        local.send_replace(());
    }
    Ok(())
}
