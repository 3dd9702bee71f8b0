//! Grants: the right to do something in a repository.

use super::super::accounts::State;
use super::super::anonymous::Reach;
use super::super::{
    Act, Action, AuthError, Caller, CatalogGrant, DeleteGrant, Meant, PullGrant, PushGrant,
    Refusals, RemovalGrant, VisibilityGrant, names,
};
use super::deciding::Authority;
use crate::oci::{ForeignName, RepositoryName};

impl Authority {
    /// Allows a client to read a repository, and the one that may stand in for it.
    ///
    /// # Errors
    /// Why it is not allowed.
    pub async fn pull(
        &self,
        caller: &Caller,
        meant: impl Into<Meant>,
    ) -> Result<PullGrant, AuthError> {
        self.pull_noting(caller, meant.into(), Some(&self.refusals)).await
    }

    /// The same where a refusal takes nothing from the client, and so is not counted: a blob that may not be mounted is
    /// pushed.
    ///
    /// # Errors
    /// Why it is not allowed.
    pub async fn try_pull(
        &self,
        caller: &Caller,
        meant: impl Into<Meant>,
    ) -> Result<PullGrant, AuthError> {
        self.pull_noting(caller, meant.into(), None).await
    }

    async fn pull_noting(
        &self,
        caller: &Caller,
        meant: Meant,
        refusals: Option<&Refusals>,
    ) -> Result<PullGrant, AuthError> {
        let foreign = self.names.foreign(&meant.name);
        let bound = self.bound(caller, &meant, foreign.as_ref());
        if let (Err(refusal), None) = (&bound, &meant.own) {
            return Err(refusal.clone());
        }
        self.decide_on(caller, Action::Pull, &meant, refusals).await?;
        let Meant { name, mut own, record, own_record, .. } = meant;
        if let Some(name) = &own {
            let act = Act::On(Action::Pull, name);
            let refusal =
                self.consult(caller, act, act, State::of(own_record.as_ref())).await.err();
            match (refusal, &bound) {
                (None, _) => {}
                (Some(_), Ok(_)) => own = None,
                (Some(refusal), Err(_)) => return Err(refusal),
            }
        }
        match (bound, foreign, own) {
            (Err(refusal), Some(foreign), Some(own)) => {
                let own = PullGrant::new(own, record, None, caller.clone(), None);
                Ok(own.instead_of(foreign.root, refusal))
            }
            (bound, foreign, own) => {
                Ok(PullGrant::new(name, record, foreign, caller.clone(), bound?).or(own))
            }
        }
    }

    /// Tells whether anonymous clients may read all of the repository that a grant is about.
    pub async fn is_public(&self, grant: &PullGrant) -> bool {
        let name = grant.repository().clone();
        let meant = Meant { record: grant.record().cloned(), ..name.into() };
        let grant = self.pull(&Caller::anonymous(), meant).await;
        grant.is_ok_and(|grant| grant.cache_only().is_none())
    }

    /// Bounds what a client gets of a foreign repository: an error where that is nothing, and the answer to
    /// what is not in the cache where it is no more than that.
    fn bound(
        &self,
        caller: &Caller,
        Meant { name, requested, .. }: &Meant,
        foreign: Option<&ForeignName>,
    ) -> Result<Option<AuthError>, AuthError> {
        let Some(foreign) = foreign.filter(|_| self.names.federates && caller.is_anonymous())
        else {
            return Ok(None);
        };
        let refusal = |why| match self.access.provider.challenge(Act::On(Action::Pull, requested)) {
            Some(challenge) => AuthError::Unauthorized(challenge),
            None => {
                AuthError::Denied(format!("cannot pull from `{name}`: {why}; ask the operator"))
            }
        };
        match self.anonymous.reach(&foreign.root) {
            Reach::All => Ok(None),
            Reach::Cache => Ok(Some(refusal("anonymous clients get only cached images"))),
            Reach::Nothing => Err(refusal("anonymous clients cannot pull its images")),
        }
    }

    /// Allows a client to write to a repository of this registry.
    ///
    /// # Errors
    /// Why it is not allowed; a change of a foreign repository never is.
    pub async fn push(
        &self,
        caller: &Caller,
        meant: impl Into<Meant>,
    ) -> Result<PushGrant, AuthError> {
        let Meant { name, record, .. } = self.change(caller, Action::Push, meant.into()).await?;
        Ok(PushGrant::new(name, record, caller.clone()))
    }

    /// Allows a client to delete from a repository of this registry.
    ///
    /// # Errors
    /// Why it is not allowed; a change of a foreign repository never is.
    pub async fn delete(
        &self,
        caller: &Caller,
        meant: impl Into<Meant>,
    ) -> Result<DeleteGrant, AuthError> {
        let Meant { name, record, .. } = self.change(caller, Action::Delete, meant.into()).await?;
        Ok(DeleteGrant::new(name, record, caller.clone()))
    }

    /// Allows a client to say who may see a repository of this registry.
    ///
    /// # Errors
    /// Why it is not allowed; a change of a foreign repository never is.
    pub async fn visibility(
        &self,
        caller: &Caller,
        meant: impl Into<Meant>,
    ) -> Result<VisibilityGrant, AuthError> {
        let Meant { name, record, .. } =
            self.change(caller, Action::Visibility, meant.into()).await?;
        Ok(VisibilityGrant::new(name, record, caller.clone()))
    }

    /// Allows a client to remove a repository of this registry.
    ///
    /// # Errors
    /// Why it is not allowed; a change of a foreign repository never is.
    pub async fn removal(
        &self,
        caller: &Caller,
        meant: impl Into<Meant>,
    ) -> Result<RemovalGrant, AuthError> {
        let Meant { name, record, .. } = self.change(caller, Action::Remove, meant.into()).await?;
        Ok(RemovalGrant::new(name, record, caller.clone()))
    }

    /// Allows a client to list the repositories that it may see.
    ///
    /// # Errors
    /// Why it is not allowed.
    pub async fn catalog(&self, caller: &Caller) -> Result<CatalogGrant, AuthError> {
        self.decide(caller, Act::List).await?;
        Ok(CatalogGrant::new(caller.clone()))
    }

    /// Allows a change, and returns what it is about.
    async fn change(
        &self,
        caller: &Caller,
        action: Action,
        meant: Meant,
    ) -> Result<Meant, AuthError> {
        self.decide_on(caller, action, &meant, Some(&self.refusals)).await?;
        self.refuse_foreign(&meant.name)?;
        Ok(meant)
    }

    fn refuse_foreign(&self, name: &RepositoryName) -> Result<(), AuthError> {
        let Some(foreign) = self.names.foreign(name) else { return Ok(()) };
        Err(AuthError::Denied(names::not_ours(name, &foreign.root.to_string())))
    }
}
