//! What the schema shows of accounts.

use async_graphql::{Enum, SimpleObject};
use secrecy::ExposeSecret;

use super::count::Count;
use super::moment::Moment;
use crate::accounts::{MadeToken, RobotSummary, TokenSummary, Whoami};
use crate::index::{
    Account, Event, GrantRow, Holder, Principal, PrincipalKind, QuotaRow, SeenRepository, TeamRow,
};
use crate::oci;

/// Who the caller is
#[derive(SimpleObject)]
pub(super) struct Viewer {
    /// The name; none of the operator
    name: Option<String>,
    /// Whether it is an administrator
    is_administrator: bool,
    /// The namespaces in which it has a role throughout
    namespaces: Vec<String>,
    /// When its account was made
    created: Option<Moment>,
}

/// A user: a person who signs in by a password
#[derive(SimpleObject)]
pub(super) struct User {
    name: String,
    is_administrator: bool,
    /// Whether the user may do nothing for now
    is_disabled: bool,
    created: Moment,
}

/// A robot: a program of a namespace that signs in by tokens
#[derive(SimpleObject)]
pub(super) struct Robot {
    name: String,
    namespace: Option<String>,
    /// The user whose rights bound it; none: that one was removed, and it may do nothing
    maker: Option<String>,
    /// Whether it may do nothing for now
    is_disabled: bool,
    created: Moment,
}

/// An access token, without its secret
#[derive(SimpleObject)]
pub(super) struct Token {
    /// What it is revoked by
    id: String,
    /// What its owner calls it
    name: String,
    /// The user or robot that signs in with it
    owner: String,
    /// What it is good for: `PATTERN:pull,push`, or an act such as `metrics`
    scopes: Vec<String>,
    created: Moment,
    /// When it ends; none: never
    expires: Option<Moment>,
    /// When it was last used, about
    last_used: Option<Moment>,
    is_revoked: bool,
}

/// An access token that was just made
#[derive(SimpleObject)]
pub(super) struct CreatedToken {
    token: Token,
    /// Its text, which is the password of its owner; it cannot be had again
    secret: String,
}

/// Users and robots that are given roles together
#[derive(SimpleObject)]
#[graphql(complex)]
pub(super) struct Team {
    pub(super) name: String,
    created: Moment,
}

/// What a member of a team is
#[derive(Enum, Clone, Copy, PartialEq, Eq)]
pub(super) enum AccountKind {
    /// A person who signs in by a password
    User,
    /// A program that signs in by tokens
    Robot,
}

/// A user or a robot in a team
#[derive(SimpleObject)]
pub(super) struct Member {
    name: String,
    kind: AccountKind,
    is_disabled: bool,
}

/// A role in the repositories that a pattern matches
#[derive(SimpleObject)]
pub(super) struct Grant {
    /// A user or a robot, or `team:NAME`
    holder: String,
    role: String,
    pattern: String,
    created: Moment,
}

/// The first component of repositories' names
#[derive(SimpleObject)]
pub(super) struct Namespace {
    pub(super) name: String,
    /// The user who owns it; none: the administrators do
    pub(super) owner: Option<String>,
    pub(super) created: Moment,
}

/// What the repositories of a namespace may have at most together, and what they have. Content counts once, however many
/// of them have it
#[derive(SimpleObject)]
pub(super) struct Quota {
    namespace: String,
    /// How many bytes there may be that a manifest names; none: any number
    bytes: Option<Count>,
    /// How many bytes of blobs there may be that no manifest names; none: any number
    unreferenced: Option<Count>,
    /// How many repositories may have a manifest; none: any number
    repositories: Option<Count>,
    /// How many tags there may be; none: any number
    tags: Option<Count>,
    used_bytes: Count,
    used_unreferenced: Count,
    used_repositories: Count,
    used_tags: Count,
}

/// Who may see a repository
#[derive(Enum, Clone, Copy, PartialEq, Eq)]
pub(super) enum Visibility {
    /// Everybody
    Public,
    /// Everybody who is signed in
    Internal,
    /// Who has a role
    Private,
}

/// A repository
#[derive(SimpleObject)]
#[graphql(complex)]
pub(super) struct Repository {
    pub(super) name: String,
    pub(super) visibility: Visibility,
}

/// A line of the audit log
#[derive(SimpleObject)]
pub(super) struct AuditEvent {
    /// Its position in the order of the changes
    seq: String,
    at: Moment,
    /// What happened: push, delete, grant, user, token and others
    kind: String,
    /// Who did it; none: a client that has not signed in, or the registry
    user: Option<String>,
    /// From where
    address: Option<String>,
    repository: Option<String>,
    reference: Option<String>,
    digest: Option<String>,
    detail: Option<String>,
}

impl From<Whoami> for Viewer {
    fn from(Whoami { name, is_admin, namespaces, created }: Whoami) -> Self {
        let created = created.map(Moment::of);
        Self { name, is_administrator: is_admin, namespaces, created }
    }
}

impl From<Account> for User {
    fn from(Account { principal, created, .. }: Account) -> Self {
        Self {
            name: principal.name,
            is_administrator: principal.is_admin,
            is_disabled: principal.is_disabled,
            created: Moment::of(created),
        }
    }
}

impl From<RobotSummary> for Robot {
    fn from(RobotSummary { account, maker }: RobotSummary) -> Self {
        let Account { principal, created, .. } = account;
        let Principal { name, namespace, is_disabled, .. } = principal;
        Self { name, namespace, maker, is_disabled, created: Moment::of(created) }
    }
}

impl From<TokenSummary> for Token {
    fn from(token: TokenSummary) -> Self {
        Self {
            id: token.id,
            name: token.name,
            owner: token.owner,
            scopes: token.scopes,
            created: Moment::of(token.created),
            expires: token.expires.map(Moment::of),
            last_used: token.last_used.map(Moment::of),
            is_revoked: token.is_revoked,
        }
    }
}

impl From<MadeToken> for CreatedToken {
    fn from(MadeToken { summary, secret }: MadeToken) -> Self {
        Self { token: summary.into(), secret: secret.expose_secret().to_owned() }
    }
}

impl From<TeamRow> for Team {
    fn from(TeamRow { name, created, .. }: TeamRow) -> Self {
        Self { name, created: Moment::of(created) }
    }
}

impl From<Principal> for Member {
    fn from(Principal { name, kind, is_disabled, .. }: Principal) -> Self {
        let kind = match kind {
            PrincipalKind::User => AccountKind::User,
            PrincipalKind::Robot => AccountKind::Robot,
        };
        Self { name, kind, is_disabled }
    }
}

impl From<GrantRow> for Grant {
    fn from(grant: GrantRow) -> Self {
        let holder = match grant.holder {
            Holder::Principal(_) => grant.holder_name,
            Holder::Team(_) => format!("team:{}", grant.holder_name),
        };
        let GrantRow { role, pattern, created, .. } = grant;
        Self { holder, role, pattern, created: Moment::of(created) }
    }
}

impl From<QuotaRow> for Quota {
    fn from(QuotaRow { namespace, quota, usage }: QuotaRow) -> Self {
        Self {
            namespace,
            bytes: quota.bytes.map(Count::of),
            unreferenced: quota.unreferenced.map(Count::of),
            repositories: quota.repositories.map(Count::of),
            tags: quota.tags.map(Count::of),
            used_bytes: Count::of(usage.bytes),
            used_unreferenced: Count::of(usage.unreferenced),
            used_repositories: Count::of(usage.repositories),
            used_tags: Count::of(usage.tags),
        }
    }
}

impl From<SeenRepository> for Repository {
    fn from(SeenRepository { name, visibility }: SeenRepository) -> Self {
        Self { name: name.to_string(), visibility: visibility.into() }
    }
}

impl From<oci::Visibility> for Visibility {
    fn from(visibility: oci::Visibility) -> Self {
        match visibility {
            oci::Visibility::Public => Self::Public,
            oci::Visibility::Internal => Self::Internal,
            oci::Visibility::Private => Self::Private,
        }
    }
}

impl From<Visibility> for oci::Visibility {
    fn from(visibility: Visibility) -> Self {
        match visibility {
            Visibility::Public => Self::Public,
            Visibility::Internal => Self::Internal,
            Visibility::Private => Self::Private,
        }
    }
}

impl From<Event> for AuditEvent {
    fn from(Event { seq, at, change }: Event) -> Self {
        Self {
            seq: seq.to_string(),
            at: Moment::of(at),
            kind: change.kind.into_owned(),
            user: change.actor.name,
            address: change.actor.address.map(|address| address.to_string()),
            repository: change.repository.map(|name| name.to_string()),
            reference: change.reference,
            digest: change.digest.map(|digest| digest.to_string()),
            detail: change.detail,
        }
    }
}
