//! What is stored of accounts, as the rest of the program sees it.

use std::fmt;

use secrecy::{SecretSlice, SecretString};

use crate::oci::Visibility;

/// What a principal is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PrincipalKind {
    /// A person, who may have a password.
    User,
    /// A program with tokens.
    Robot,
}

/// A user or a robot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// Its number, which is never given again.
    pub id: i64,
    /// What it is.
    pub kind: PrincipalKind,
    /// Its name, which is never given again either.
    pub name: String,
    /// Whether it is an administrator.
    pub is_admin: bool,
    /// Whether it may do nothing for now.
    pub is_disabled: bool,
    /// The namespace that a robot belongs to.
    pub namespace: Option<String>,
    /// The user who made a robot. A robot without one has no rights: its maker was removed.
    pub maker: Option<i64>,
}

/// A principal with its password.
#[derive(Debug, Clone)]
pub struct Account {
    /// Who it is.
    pub principal: Principal,
    /// The hash of its password; none where it cannot sign in by one.
    pub password: Option<SecretString>,
    /// How often the password was changed: what was given out for an earlier one is no longer valid.
    pub password_changes: i64,
    /// When it was made.
    pub created: i64,
}

/// A user to add.
#[derive(Debug, Clone, Copy)]
pub struct NewUser<'a> {
    /// The name, and that of the namespace which comes with it.
    pub name: &'a str,
    /// The hash of the password; none where there is to be none.
    pub password: Option<&'a SecretString>,
    /// Whether it is an administrator.
    pub is_admin: bool,
}

/// A robot to add.
#[derive(Debug, Clone, Copy)]
pub struct NewRobot<'a> {
    /// The name.
    pub name: &'a str,
    /// The number of its namespace.
    pub namespace: i64,
    /// Which user makes it.
    pub maker: i64,
}

/// What came of adding something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Added {
    /// It is there, under that number.
    Made(i64),
    /// There is one of that name, or was, or it is reserved, or belongs to others: which of them is not said.
    Taken,
    /// Something that it names is gone, or may do nothing.
    Unknown,
    /// The user has as many as it may have.
    Full,
}

/// What came of adding the first administrator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum FirstAdministrator {
    /// It is there, under that number.
    Made(i64),
    /// There are users already; nothing was changed.
    Exists,
    /// The name is reserved, or a robot's.
    Taken,
}

/// What came of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Changed {
    /// It was made.
    Done,
    /// All was so already.
    Unchanged,
    /// Something that it names is not there.
    Unknown,
    /// No administrator would be left who may sign in.
    LastAdministrator,
    /// A robot whose maker was removed may do nothing until it has another one.
    WithoutMaker,
    /// There are as many as there may be.
    Full,
}

/// Which principals are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PrincipalFilter {
    /// All users.
    Users,
    /// All robots.
    Robots,
    /// The robots of a namespace, by its number.
    RobotsOf(i64),
    /// The robots of the namespaces that a user owns, by the user's number.
    RobotsOfOwner(i64),
    /// The robots that a user made.
    MadeBy(i64),
}

/// An access token to add.
#[derive(Clone, Copy)]
pub struct NewAccessToken<'a> {
    /// What it is found by; random, and part of the token.
    pub id: &'a str,
    /// Who signs in with it.
    pub principal: i64,
    /// The SHA-256 of its secret.
    pub hash: &'a [u8; 32],
    /// What its owner calls it.
    pub name: &'a str,
    /// What it is good for.
    pub scopes: &'a str,
    /// The user who makes it.
    pub maker: i64,
    /// When it ends; never, if none.
    pub expires: Option<i64>,
}

/// An access token, valid or not.
#[derive(Clone, PartialEq, Eq)]
pub struct AccessToken {
    /// What it is found by.
    pub id: String,
    /// Who signs in with it.
    pub principal: i64,
    /// The user who made it. A token without one has no rights.
    pub maker: Option<i64>,
    /// The SHA-256 of its secret.
    pub hash: [u8; 32],
    /// What its owner calls it.
    pub name: String,
    /// What it is good for.
    pub scopes: String,
    /// When it was made.
    pub created: i64,
    /// When it ends; never, if none.
    pub expires: Option<i64>,
    /// When it was last used, about; within a minute.
    pub last_used: Option<i64>,
    /// Whether it is of no use any more.
    pub is_revoked: bool,
}

impl fmt::Debug for AccessToken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("AccessToken").field("id", &self.id).finish_non_exhaustive()
    }
}

/// An access token with all whose rights bound it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundToken {
    /// The token.
    pub token: AccessToken,
    /// Who signs in with it.
    pub principal: Principal,
    /// The user who made the token; none where that one was removed.
    pub maker: Option<Principal>,
    /// The user who made the robot that signs in with it; none of a user, and where that one was removed.
    pub robot_maker: Option<Principal>,
}

/// Which access tokens are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenFilter {
    /// All.
    All,
    /// Those by which a principal signs in.
    Of(i64),
    /// Those that a user made.
    MadeBy(i64),
}

/// A namespace: the first component of repositories' names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamespaceRow {
    /// Its number.
    pub id: i64,
    /// The component.
    pub name: String,
    /// The number of the user who owns it; the administrators do, if none.
    pub owner: Option<i64>,
    /// Who may see a repository that is made in it; as the setting says, if none.
    pub default_visibility: Option<Visibility>,
    /// When it was made.
    pub created: i64,
}

/// What came of removing a namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum NamespaceRemoval {
    /// It is gone.
    Done,
    /// There is none of that number.
    Unknown,
    /// It is that of the user of that name.
    OfUser(String),
    /// There is a repository in it, for example that one.
    HasRepository(String),
    /// An upload into a repository of it is under way, for example into that one.
    HasUpload(String),
    /// A robot belongs to it, for example that one.
    HasRobot(String),
    /// The namespace of that name has a quota, which an administrator gave it.
    HasQuota(String),
}

/// A team.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TeamRow {
    /// Its number.
    pub id: i64,
    /// Its name, in a space of its own.
    pub name: String,
    /// When it was made.
    pub created: i64,
}

/// Who has a role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Holder {
    /// A user or robot, by number.
    Principal(i64),
    /// The members of a team, by its number.
    Team(i64),
}

/// A grant to add.
#[derive(Debug, Clone, Copy)]
pub struct NewGrant<'a> {
    /// Who gets the role.
    pub holder: Holder,
    /// The role.
    pub role: &'a str,
    /// In which repositories.
    pub pattern: &'a str,
    /// The principal who gives it; none where the operator does.
    pub maker: Option<i64>,
}

/// A grant, as it is administered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantRow {
    /// Its number.
    pub id: i64,
    /// Who has the role.
    pub holder: Holder,
    /// The name of the principal or the team.
    pub holder_name: String,
    /// The role.
    pub role: String,
    /// In which repositories.
    pub pattern: String,
    /// The principal who gave it; none where the operator did, or that one was removed.
    pub maker: Option<i64>,
    /// When it was given.
    pub created: i64,
}

/// Which grants are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GrantFilter<'a> {
    /// All.
    All,
    /// Those of a principal or a team itself.
    Of(Holder),
    /// Those whose pattern begins with that component.
    In(&'a str),
    /// Those of a principal and its teams, and those whose pattern begins with a namespace that it owns.
    SeenBy(i64),
}

/// What a principal may do, by itself and by its teams.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rights {
    /// Whether it may do everything.
    pub is_admin: bool,
    /// Whether it may do nothing, whatever else is said here.
    pub is_disabled: bool,
    /// Its roles, each once, in no order.
    pub grants: Vec<RoleGrant>,
    /// The names of the namespaces that it owns, in no order.
    pub namespaces: Vec<String>,
}

/// A role on a pattern.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RoleGrant {
    /// The role.
    pub role: String,
    /// In which repositories.
    pub pattern: String,
}

/// A signing key that was just made.
#[derive(Debug, Clone)]
pub struct NewSigningKey {
    /// What it is found by.
    pub kid: String,
    /// What it signs by.
    pub algorithm: String,
    /// The key, as its user encodes it.
    pub private_key: SecretSlice<u8>,
}

/// A signing key.
#[derive(Debug, Clone)]
pub struct SigningKey {
    /// The key.
    pub key: NewSigningKey,
    /// When it was made.
    pub created: i64,
    /// Since when it only verifies; it signs, if none.
    pub retired: Option<i64>,
}
