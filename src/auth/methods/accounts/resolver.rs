//! What the bearer of something may do now: its rights, within all that bounds them.

use std::sync::Arc;
use std::time::SystemTime;

use super::super::super::accounts::{AccountName, Bound, Bounded, Grant, Rights, TokenId};
use super::super::super::signed::{Subject, SubjectKind};
use super::super::super::workloads::{WorkloadGrant, Workloads};
use super::super::super::{AuthError, Caller, CallerKind};
use super::directory::{
    Directory, PrincipalKind, StoredPassword, StoredPrincipal, StoredToken, Unavailable,
};
use super::remembered::Remembered;

/// How a credential begins that stands for a password, before the number of its changes.
const PASSWORD: &str = "password:";

/// How one begins that is an access token, before its id.
const TOKEN: &str = "token:";

/// Looks up what bearers may do.
pub(super) struct Resolver {
    pub(super) directory: Arc<dyn Directory>,
    pub(super) workloads: Workloads,
    passwords: Remembered<AccountName, StoredPassword>,
    principals: Remembered<i64, StoredPrincipal>,
    tokens: Remembered<TokenId, StoredToken>,
    dearest: Remembered<(), u32>,
}

/// A bearer who may do something.
pub(super) struct Resolved {
    pub(super) caller: Caller,
    /// When that ends, if it is known now.
    pub(super) until: Option<SystemTime>,
}

impl From<Unavailable> for AuthError {
    fn from(_: Unavailable) -> Self {
        Self::Unavailable
    }
}

impl Resolver {
    pub(super) fn new(directory: Arc<dyn Directory>, workloads: Workloads) -> Self {
        let (passwords, principals) = (Remembered::default(), Remembered::default());
        let (tokens, dearest) = (Remembered::default(), Remembered::default());
        Self { directory, workloads, passwords, principals, tokens, dearest }
    }

    pub(super) async fn password(
        &self,
        name: &AccountName,
        state: u64,
    ) -> Result<Option<Arc<StoredPassword>>, Unavailable> {
        self.passwords.get(name, state, self.directory.password(name)).await
    }

    /// Returns what the dearest password by bcrypt costs that is stored, if there is one.
    pub(super) async fn dearest_bcrypt(&self, state: u64) -> Result<Option<u32>, Unavailable> {
        let dearest = self.dearest.get(&(), state, self.directory.dearest_bcrypt()).await?;
        Ok(dearest.map(|cost| *cost))
    }

    async fn principal(
        &self,
        id: i64,
        state: u64,
    ) -> Result<Option<Arc<StoredPrincipal>>, Unavailable> {
        self.principals.get(&id, state, self.directory.principal(id)).await
    }

    pub(super) async fn token(
        &self,
        id: &TokenId,
        state: u64,
    ) -> Result<Option<Arc<StoredToken>>, Unavailable> {
        self.tokens.get(id, state, self.directory.access_token(id)).await
    }

    /// Returns whom tokens are of that are had for a password, which may have been changed while it was checked; none if
    /// the user is gone.
    pub(super) async fn by_password(
        &self,
        password: &StoredPassword,
        state: u64,
    ) -> Result<Option<Subject>, Unavailable> {
        let Some(user) = self.principal(password.id, state).await? else { return Ok(None) };
        let credential = format!("{PASSWORD}{}", password.changes);
        Ok(Some(subject(&user, credential)))
    }

    /// Returns whom tokens are of that are had for an access token; none if its owner is gone.
    pub(super) async fn by_token(
        &self,
        id: &TokenId,
        token: &StoredToken,
        state: u64,
    ) -> Result<Option<Subject>, Unavailable> {
        let Some(owner) = self.principal(token.principal, state).await? else { return Ok(None) };
        Ok(Some(subject(&owner, format!("{TOKEN}{id}"))))
    }

    /// Returns who a subject is and what it may do, within the bounds of the credential that its token was had for; none if
    /// either is gone.
    pub(super) async fn resolve(
        &self,
        subject: &Subject,
        state: u64,
        now: SystemTime,
    ) -> Result<Option<Resolved>, Unavailable> {
        match subject.kind {
            SubjectKind::Anonymous => {
                Ok(Some(Resolved { caller: Caller::anonymous(), until: None }))
            }
            SubjectKind::Workload => Ok(self.workload(subject)),
            SubjectKind::User | SubjectKind::Robot => self.account(subject, state, now).await,
        }
    }

    fn workload(&self, subject: &Subject) -> Option<Resolved> {
        let grants = self.workloads.grants(&subject.rules);
        let grants: Vec<Grant> = grants.iter().filter_map(grant).collect();
        if grants.is_empty() {
            return None;
        }
        let (name, identity) = (subject.name.clone(), subject.id.clone());
        let rules = subject.rules.clone();
        let kind = CallerKind::Workload { name, identity, rules };
        Some(Resolved { caller: caller(kind, Rights::workload(grants).into()), until: None })
    }

    async fn account(
        &self,
        subject: &Subject,
        state: u64,
        now: SystemTime,
    ) -> Result<Option<Resolved>, Unavailable> {
        let (Ok(id), Some(credential)) = (subject.id.parse(), &subject.credential) else {
            return Ok(None);
        };
        let Some(principal) = self.principal(id, state).await? else { return Ok(None) };
        let mut bounded = Bounded::from(principal.rights.clone());
        let kind = match (subject.kind, principal.kind) {
            (SubjectKind::User, PrincipalKind::User) => {
                CallerKind::User { name: principal.name.clone(), id: Some(id) }
            }
            (SubjectKind::Robot, PrincipalKind::Robot { maker }) => {
                let Some(maker) = self.maker(maker, state).await? else { return Ok(None) };
                bounded = bounded.within(maker);
                CallerKind::Robot { name: principal.name.clone(), id }
            }
            _ => return Ok(None),
        };
        let mut until = None;
        if let Some(changes) = credential.strip_prefix(PASSWORD) {
            let is_user = principal.kind == PrincipalKind::User;
            if !is_user || changes != principal.password_changes.to_string() {
                return Ok(None);
            }
        } else {
            let token = credential.strip_prefix(TOKEN).and_then(|token| token.parse().ok());
            let Some(token) = token else { return Ok(None) };
            let Some(token) = self.token(&token, state).await? else { return Ok(None) };
            until = token.expires;
            if token.principal != id || until.is_some_and(|until| until <= now) {
                return Ok(None);
            }
            bounded = bounded.within(Bound::Scopes(token.scopes.clone()));
            if let Some(until) = until {
                bounded = bounded.ending(until);
            }
            if token.maker != Some(id) {
                let Some(maker) = self.maker(token.maker, state).await? else { return Ok(None) };
                bounded = bounded.within(maker);
            }
        }
        Ok(Some(Resolved { caller: caller(kind, bounded), until }))
    }

    /// Returns the bound that a maker is; none if it is no user who may do anything.
    async fn maker(&self, id: Option<i64>, state: u64) -> Result<Option<Bound>, Unavailable> {
        let Some(id) = id else { return Ok(None) };
        let maker = self.principal(id, state).await?;
        let maker = maker.filter(|maker| maker.kind == PrincipalKind::User);
        Ok(maker.map(|maker| Bound::Maker(maker.rights.clone())))
    }
}

fn subject(principal: &StoredPrincipal, credential: String) -> Subject {
    let kind = match principal.kind {
        PrincipalKind::User => SubjectKind::User,
        PrincipalKind::Robot { .. } => SubjectKind::Robot,
    };
    let subject = Subject::new(kind, principal.id.to_string(), &principal.name);
    Subject { credential: Some(credential), ..subject }
}

fn caller(kind: CallerKind, rights: Bounded) -> Caller {
    Caller { kind, rights: Some(Arc::new(rights)), ..Caller::default() }
}

/// Reads what a rule gives; nothing if that cannot be read.
fn grant(given: &WorkloadGrant) -> Option<Grant> {
    Some(Grant { role: given.role.parse().ok()?, pattern: given.pattern.parse().ok()? })
}
