//! The audit log: who did what, when and from where.

use super::{Administration, AdministrationError as Error, Page, PageRequest, Result};
use crate::auth::Caller;
use crate::auth::accounts::ServerAct;
use crate::index::{Event, EventFilter};
use crate::oci::RepositoryName;

/// Which events are listed: those that meet all that is given.
#[derive(Debug, Clone, Copy, Default)]
pub struct AuditFilter<'a> {
    /// The repository that they were done to.
    pub repository: Option<&'a str>,
    /// The name of who did it.
    pub user: Option<&'a str>,
    /// Since when, in milliseconds since the Unix epoch.
    pub since: Option<i64>,
}

impl Administration {
    /// Lists events in the order in which they happened.
    ///
    /// # Errors
    /// Why not.
    pub async fn audit(
        &self,
        caller: &Caller,
        filter: AuditFilter<'_>,
        page: PageRequest<'_>,
    ) -> Result<Page<Event>> {
        const DOING: &str = "read the audit log";

        self.acting(caller)?.expect(ServerAct::Audit, DOING)?;
        let repository = filter.repository.map(str::parse::<RepositoryName>).transpose();
        let repository = repository.map_err(|error| Error::invalid(DOING, error))?;
        let AuditFilter { user: actor, since, .. } = filter;
        let filter = EventFilter { repository: repository.as_ref(), actor, since };
        let after = page.number().unwrap_or_default();
        let events = self.index.matching_events(&filter, after, page.read()).await?;
        Ok(page.page(events, |event| event.seq.to_string()))
    }
}
