//! A change of the accounts: one transaction, which raises their generation.

use super::super::connection::Connection;
use super::super::{Actor, Index, NewEvent, Result, events, generation};

/// A change under way. Dropping it undoes it.
pub(super) struct Change<'a> {
    index: &'a Index,
    connection: Connection,
    generation: u64,
    actor: &'a Actor,
    now: i64,
}

impl Index {
    /// Begins a change. It has raised the generation, by which it waits for the end of every other change, in whatever
    /// process, and keeps later ones waiting: what it reads stays so until it ends.
    pub(super) async fn begin_change<'a>(
        &'a self,
        actor: &'a Actor,
        now: i64,
    ) -> Result<Change<'a>> {
        let mut connection = self.begin().await?;
        let generation = generation::advance_accounts(&mut connection).await?;
        Ok(Change { index: self, connection, generation, actor, now })
    }
}

impl Change<'_> {
    pub(super) fn connection(&mut self) -> &mut Connection {
        &mut self.connection
    }

    /// Returns the time of the change.
    pub(super) fn now(&self) -> i64 {
        self.now
    }

    /// Writes an event: its kind, and what was done to what.
    pub(super) async fn note(&mut self, kind: &'static str, detail: String) -> Result<()> {
        let event = NewEvent {
            kind: kind.into(),
            actor: self.actor.clone(),
            detail: Some(detail),
            ..NewEvent::default()
        };
        events::add(&mut self.connection, &event, self.now).await
    }

    /// Makes the change durable and visible, and returns what came of it.
    pub(super) async fn commit<T>(mut self, outcome: T) -> Result<T> {
        let generation = &self.index.generation;
        generation.unsettle_accounts();
        self.connection.commit().await?;
        generation.settle_accounts(self.generation);
        self.index.event_signal.send();
        Ok(outcome)
    }

    /// Undoes it all, and returns why.
    pub(super) async fn undo<T>(mut self, outcome: T) -> Result<T> {
        self.connection.rollback().await?;
        Ok(outcome)
    }
}
