//! Events: a row for each change, written in the transaction that makes it; and how far each subscriber has handled them.

use super::columns::{parsed, signed, unsigned};
use super::connection::{Connection, on};
use super::rows::{Actor, Event, EventFilter, NewEvent, PrunedEvents};
use super::statement::Statement;
use super::{EventWatch, Index, Result, Writer};
use crate::oci::RepositoryName;

/// How many events are removed at a time, while others wait to write.
const AT_ONCE: u32 = 1000;

/// How many events that are of no change are written at a time.
const WRITTEN_AT_ONCE: usize = 50;

type Row = (
    i64,
    i64,
    String,
    Option<String>,
    Option<String>,
    Option<String>,
    Option<String>,
    Option<String>,
    Option<i64>,
    Option<String>,
);

impl Index {
    /// Lists the events after a number, in the order of their commits, at most `limit`. An event that becomes visible
    /// later has a greater number.
    pub async fn events_after(&self, seq: i64, limit: u32) -> Result<Vec<Event>> {
        let connection = &mut self.read().await?;
        let rows: Vec<Row> = on!(connection, "listing events", db => sqlx::query_as(
            "SELECT seq, at, kind, actor, address, repository, reference, digest, size, detail \
             FROM events WHERE seq > $1 ORDER BY seq LIMIT $2",
        )
        .bind(seq)
        .bind(i64::from(limit))
        .fetch_all(db)
        .await)?;
        rows.into_iter().map(event).collect()
    }

    /// Lists the events after a number that match, in the order of their commits, at most `limit`.
    pub async fn matching_events(
        &self,
        filter: &EventFilter<'_>,
        seq: i64,
        limit: u32,
    ) -> Result<Vec<Event>> {
        let repository = filter.repository.map(ToString::to_string);
        let connection = &mut self.read().await?;
        let rows: Vec<Row> = on!(connection, "listing events", db => {
            let mut select = sqlx::QueryBuilder::new(
                "SELECT seq, at, kind, actor, address, repository, reference, digest, size, detail \
                 FROM events WHERE seq > ",
            );
            select.push_bind(seq);
            if let Some(repository) = repository.as_deref() {
                select.push(" AND repository = ").push_bind(repository);
            }
            if let Some(actor) = filter.actor {
                select.push(" AND actor = ").push_bind(actor);
            }
            if let Some(since) = filter.since {
                select.push(" AND at >= ").push_bind(since);
                // Without this all events before are read; a page after the first begins later.
                if seq == 0 {
                    select.push(" AND seq >= (SELECT MIN(seq) FROM events WHERE at >= ");
                    select.push_bind(since).push(")");
                }
            }
            select.push(" ORDER BY seq LIMIT ").push_bind(i64::from(limit));
            select.build_query_as().fetch_all(db).await
        })?;
        rows.into_iter().map(event).collect()
    }

    /// Tells whether there is an event of a kind since that time, about a tag of a repository.
    pub async fn has_event(
        &self,
        kind: &str,
        repository: &RepositoryName,
        reference: &str,
        since: i64,
    ) -> Result<bool> {
        let connection = &mut self.read().await?;
        let found: Option<(i64,)> = on!(connection, "looking for an event", db => sqlx::query_as(
            "SELECT seq FROM events WHERE repository = $1 AND kind = $2 AND reference = $3 AND at >= $4 \
             AND seq >= (SELECT MIN(seq) FROM events WHERE at >= $4) LIMIT 1",
        )
        .bind(repository.as_str())
        .bind(kind)
        .bind(reference)
        .bind(since)
        .fetch_optional(db)
        .await)?;
        Ok(found.is_some())
    }

    /// Lists events of these kinds of a repository before a number, the last first, at most `limit`.
    pub async fn events_before(
        &self,
        repository: &RepositoryName,
        kinds: &[&str],
        seq: i64,
        limit: u32,
    ) -> Result<Vec<Event>> {
        let connection = &mut self.read().await?;
        let rows: Vec<Row> = on!(connection, "listing events", db => {
            let mut select = sqlx::QueryBuilder::new(
                "SELECT seq, at, kind, actor, address, repository, reference, digest, size, detail \
                 FROM events WHERE seq < ",
            );
            select.push_bind(seq).push(" AND repository = ").push_bind(repository.as_str());
            select.push(" AND kind IN (");
            let mut list = select.separated(", ");
            for kind in kinds {
                list.push_bind(*kind);
            }
            select.push(") ORDER BY seq DESC LIMIT ").push_bind(i64::from(limit));
            select.build_query_as().fetch_all(db).await
        })?;
        rows.into_iter().map(event).collect()
    }

    /// Writes events that are of no change, durable when it returns. Others that write events wait meanwhile, so it is done
    /// in several transactions where there are many.
    pub async fn add_events(&self, events: &[NewEvent], now: i64) -> Result<()> {
        for some in events.chunks(WRITTEN_AT_ONCE) {
            let mut connection = self.begin().await?;
            for event in some {
                add(&mut connection, event, now).await?;
            }
            connection.commit().await?;
        }
        if !events.is_empty() {
            self.event_signal.send();
        }
        Ok(())
    }

    /// Returns the number of the last event that the subscriber has not handled, where there is one; of these `kinds`
    /// only. A subscriber without a cursor has handled none.
    pub async fn last_unhandled_event(
        &self,
        subscriber: &str,
        kinds: &[&str],
    ) -> Result<Option<i64>> {
        let connection = &mut self.read().await?;
        let (last,): (Option<i64>,) = on!(connection, "looking for events", db => {
            let mut query = sqlx::QueryBuilder::new(
                "SELECT MAX(seq) FROM events WHERE seq > \
                 COALESCE((SELECT cursor FROM subscribers WHERE name = ",
            );
            query.push_bind(subscriber).push("), 0) AND kind IN (");
            let mut list = query.separated(", ");
            for kind in kinds {
                list.push_bind(*kind);
            }
            query.push(")");
            query.build_query_as().fetch_one(db).await
        })?;
        Ok(last)
    }

    /// Watches for events of any process that uses this index. What the watch does not notice, such as an event while
    /// a connection was lost, is found by looking now and then.
    #[must_use]
    pub fn watch_events(&self) -> EventWatch {
        self.event_signal.watch()
    }

    /// Notes that a subscriber has handled the events up to this one. A cursor never goes back.
    pub async fn advance_cursor(&self, subscriber: &str, through: i64) -> Result<()> {
        let connection = &mut self.write().await?;
        on!(connection, "advancing a cursor", db => sqlx::query(
            "INSERT INTO subscribers (name, cursor) VALUES ($1, $2) \
             ON CONFLICT (name) DO UPDATE SET cursor = excluded.cursor \
             WHERE excluded.cursor > subscribers.cursor",
        )
        .bind(subscriber)
        .bind(through)
        .execute(db)
        .await
        .map(drop))
    }
}

impl Index {
    /// Removes events from before `old` that all subscribers have handled, and all from before `oldest`.
    pub async fn prune_events(&self, old: i64, oldest: i64) -> Result<PrunedEvents> {
        let mut pruned = PrunedEvents::default();
        loop {
            let gone = prune(&mut self.write().await?, old, oldest).await?;
            pruned.removed += gone.removed;
            pruned.unhandled += gone.unhandled;
            if gone.removed < u64::from(AT_ONCE) {
                return Ok(pruned);
            }
        }
    }
}

impl Writer {
    /// Writes an event in the open transaction, or in one of its own.
    pub async fn add_event(&mut self, event: &NewEvent, now: i64) -> Result<()> {
        self.write(async |connection| add(connection, event, now).await).await
    }
}

/// Removes some of the events that are old enough.
async fn prune(connection: &mut Connection, old: i64, oldest: i64) -> Result<PrunedEvents> {
    let (handled,): (Option<i64>,) = on!(connection, "reading cursors", db =>
        sqlx::query_as("SELECT MIN(cursor) FROM subscribers").fetch_one(db).await)?;
    let handled = handled.unwrap_or(i64::MAX);
    let gone: Vec<(i64,)> = on!(connection, "pruning events", db => sqlx::query_as(
        "DELETE FROM events WHERE seq IN (SELECT seq FROM events \
         WHERE at < $1 AND (seq <= $2 OR at < $3) ORDER BY at LIMIT $4) RETURNING seq",
    )
    .bind(old)
    .bind(handled)
    .bind(oldest)
    .bind(i64::from(AT_ONCE))
    .fetch_all(db)
    .await)?;
    let unhandled = gone.iter().filter(|(seq,)| *seq > handled).count();
    Ok(PrunedEvents { removed: gone.len() as u64, unhandled: unhandled as u64 })
}

/// Writes an event. In a transaction: others that write events wait for its end, so that the numbers grow in the order
/// of the commits.
pub(super) async fn add(connection: &mut Connection, event: &NewEvent, now: i64) -> Result<()> {
    let count = "UPDATE event_counter SET last = last + 1 WHERE id = 1";
    connection.run(Statement::new("numbering an event", count)).await?;
    let size = event.size.map(signed).transpose()?;
    let insert = Statement::new(
        "writing an event",
        "INSERT INTO events \
         (seq, at, kind, actor, address, repository, reference, digest, size, detail) \
         SELECT last, $1, $2, $3, $4, $5, $6, $7, $8, $9 FROM event_counter WHERE id = 1",
    )
    .bind(now)
    .bind(event.kind.as_ref())
    .bind(event.actor.name.as_deref())
    .bind(event.actor.address.map(|address| address.to_string()))
    .bind(event.repository.as_ref().map(ToString::to_string))
    .bind(event.reference.as_deref())
    .bind(event.digest.map(|digest| digest.to_string()))
    .bind(size)
    .bind(event.detail.as_deref());
    connection.run(insert).await?;
    connection.set_has_events();
    Ok(())
}

fn event(row: Row) -> Result<Event> {
    let (seq, at, kind, name, address, repository, reference, digest, size, detail) = row;
    let change = NewEvent {
        kind: kind.into(),
        actor: actor(name, address.as_deref())?,
        repository: repository.as_deref().map(parsed).transpose()?,
        reference,
        digest: digest.as_deref().map(parsed).transpose()?,
        size: size.map(unsigned).transpose()?,
        detail,
    };
    Ok(Event { seq, at, change })
}

/// Reads an actor.
pub(super) fn actor(name: Option<String>, address: Option<&str>) -> Result<Actor> {
    Ok(Actor { name, address: address.map(parsed).transpose()? })
}
