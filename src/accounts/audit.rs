//! The audit log: who did what, when and from where.

use std::borrow::Cow;

use super::{Administration, AdministrationError as Error, Page, PageRequest, Result, now};
use crate::auth::accounts::ServerAct;
use crate::auth::{Caller, CountedRefusal, Refusal, RefusalKind, Refusals};
use crate::index::{Actor, Event, EventFilter, Index, NewEvent};
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
        // What this process has refused until now is in it.
        write_refusals(&self.index, &self.refusals).await?;
        let repository = filter.repository.map(str::parse::<RepositoryName>).transpose();
        let repository = repository.map_err(|error| Error::invalid(DOING, error))?;
        let AuditFilter { user: actor, since, .. } = filter;
        let filter = EventFilter { repository: repository.as_ref(), actor, since };
        let after = page.number().unwrap_or_default();
        let events = self.index.matching_events(&filter, after, page.read()).await?;
        Ok(page.page(events, |event| event.seq.to_string()))
    }
}

/// Credentials were wrong.
const SIGN_IN_FAILED: &str = "sign_in_failed";

/// A caller that has signed in may not do what it requested.
const REFUSED: &str = "refused";

/// The user name of workloads.
const WORKLOAD: &str = "oidc";

/// Writes the events of what was refused of late. A crash before, or a failure, loses their counts.
///
/// # Errors
/// Those of the index.
pub async fn write_refusals(index: &Index, refusals: &Refusals) -> crate::index::Result<()> {
    let mut events = Vec::new();
    for row in refusals.take() {
        events.push(match row {
            CountedRefusal::One(refusal, count) => event(index, refusal, count).await?,
            CountedRefusal::More(kind, count) => NewEvent {
                kind: kind_of_event(kind).into(),
                detail: Some(format!("{count} more, of whom there is no row")),
                ..NewEvent::default()
            },
        });
    }
    index.add_events(&events, now()).await
}

async fn event(index: &Index, refusal: Refusal, count: u32) -> crate::index::Result<NewEvent> {
    let Refusal { kind, user: mut name, address, repository, act } = refusal;
    let mut details: Vec<String> = act.into_iter().map(Cow::into_owned).collect();
    if kind == RefusalKind::SignIn {
        // What was sent as a name may be anything, also a password.
        let is_known = match name.as_deref() {
            Some(WORKLOAD) => true,
            Some(text) => index.principal(text).await?.is_some(),
            None => false,
        };
        if !is_known {
            name = None;
            details.push("unknown user".to_owned());
        }
    }
    if count > 1 {
        details.push(format!("{count} times"));
    }
    Ok(NewEvent {
        kind: kind_of_event(kind).into(),
        actor: Actor { name, address },
        repository,
        detail: (!details.is_empty()).then(|| details.join(", ")),
        ..NewEvent::default()
    })
}

fn kind_of_event(kind: RefusalKind) -> &'static str {
    match kind {
        RefusalKind::SignIn => SIGN_IN_FAILED,
        RefusalKind::Act => REFUSED,
    }
}
