//! Users: adding, listing, disabling and removing them, and their passwords.

use secrecy::{ExposeSecret, SecretString};

use super::acting::Acting;
use super::{Administration, AdministrationError as Error, Page, PageRequest, Result, now};
use crate::auth::Caller;
use crate::auth::accounts::{AccountName, AccountNameError, ServerAct};
use crate::auth::passwords::{NewPassword, PasswordHash};
use crate::index::{Account, Added, Changed, NewUser, PrincipalFilter, PrincipalKind};

/// A user to add.
pub struct UserRequest<'a> {
    /// The name.
    pub name: &'a str,
    /// The password; without one the user cannot sign in before there is one.
    pub password: Option<SecretString>,
    /// Whether it is an administrator.
    pub is_admin: bool,
}

/// Who the caller is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Whoami {
    /// The name.
    pub name: Option<String>,
    /// Whether it is an administrator.
    pub is_admin: bool,
    /// The namespaces in which it has a role throughout.
    pub namespaces: Vec<String>,
    /// When its account was made, in milliseconds since the Unix epoch.
    pub created: Option<i64>,
}

impl Administration {
    /// Says who the caller is.
    ///
    /// # Errors
    /// [`Error::SignedOut`]; those of the index.
    pub async fn whoami(&self, caller: &Caller) -> Result<Whoami> {
        let acting = self.acting(caller)?;
        let rights = acting.rights.rights();
        let namespaces = rights.namespaces().iter().map(|(namespace, _)| namespace.to_string());
        let mut namespaces: Vec<String> = namespaces.collect();
        namespaces.sort_unstable();
        let name = caller.subject().map(str::to_owned);
        let account = match acting.principal() {
            Some(id) => self.index.principal_by_id(id).await?,
            None => None,
        };
        let created = account.map(|account| account.created);
        Ok(Whoami { name, is_admin: rights.is_admin(), namespaces, created })
    }

    /// Adds a user, with the namespace of that name.
    ///
    /// # Errors
    /// Why not.
    pub async fn add_user(&self, caller: &Caller, request: UserRequest<'_>) -> Result<Account> {
        const DOING: &str = "add the user";

        let acting = self.acting(caller)?;
        acting.expect(ServerAct::Admin, DOING)?;
        if request.is_admin {
            expect_password(&acting, DOING)?;
        }
        let name = account_name(DOING, request.name)?;
        let password = match request.password {
            Some(password) => Some(self.hashed(&acting, DOING, password).await?),
            None => None,
        };
        let is_admin = request.is_admin;
        let user = NewUser { name: name.as_str(), password: password.as_ref(), is_admin };
        match self.index.add_user(&user, &acting.actor, now()).await? {
            Added::Made(id) => self.account(id).await,
            Added::Taken | Added::Unknown | Added::Full => Err(Error::taken(DOING, request.name)),
        }
    }

    /// Adds a user with a password that is known by its hash by bcrypt, which is replaced at the first sign-in. One who is
    /// there already stays as it is. Returns whether it was added.
    ///
    /// # Errors
    /// Why not.
    pub async fn import_user(
        &self,
        caller: &Caller,
        name: &str,
        hash: &SecretString,
    ) -> Result<bool> {
        const DOING: &str = "import the user";

        let acting = self.acting(caller)?;
        acting.expect(ServerAct::Admin, DOING)?;
        let account_name = account_name(DOING, name)?;
        let read = hash.expose_secret().parse::<PasswordHash>();
        let read = read.map_err(|error| Error::invalid(DOING, error))?;
        if !read.is_bcrypt() {
            let why =
                "the password is not hashed with bcrypt; use a file that `htpasswd -B` has made";
            return Err(Error::invalid(DOING, why));
        }
        let most = PasswordHash::DEAREST_IMPORTED;
        if read.bcrypt_cost().is_some_and(|cost| cost > most) {
            let why = format!(
                "the hash has a cost above {most}, and every sign-in would take as long; make it anew by `htpasswd -B -C \
                 {most}` or less"
            );
            return Err(Error::invalid(DOING, why));
        }
        if self.is_user(name).await? {
            return Ok(false);
        }
        let user = NewUser { name: account_name.as_str(), password: Some(hash), is_admin: false };
        match self.index.add_user(&user, &acting.actor, now()).await? {
            Added::Made(_) => Ok(true),
            // Another command may have added it meanwhile.
            _ if self.is_user(name).await? => Ok(false),
            _ => Err(Error::taken(DOING, name)),
        }
    }

    async fn is_user(&self, name: &str) -> Result<bool> {
        let found = self.index.principal(name).await?;
        Ok(found.is_some_and(|account| account.principal.kind == PrincipalKind::User))
    }

    /// Lists users by their names.
    ///
    /// # Errors
    /// Why not.
    pub async fn users(&self, caller: &Caller, page: PageRequest<'_>) -> Result<Page<Account>> {
        self.acting(caller)?.expect(ServerAct::Admin, "list users")?;
        let users = self.index.principals(PrincipalFilter::Users, page.after, page.read()).await?;
        Ok(page.page(users, |user| user.principal.name.clone()))
    }

    /// Disables a user or a robot, or enables it again. What a disabled user made is disabled with it.
    ///
    /// # Errors
    /// Why not.
    pub async fn set_disabled(
        &self,
        caller: &Caller,
        name: &str,
        is_disabled: bool,
    ) -> Result<Account> {
        let doing = if is_disabled { "disable" } else { "enable" };
        let acting = self.acting(caller)?;
        let id = self.managed(&acting, name, doing).await?.principal.id;
        let changed = self.index.set_disabled(id, is_disabled, &acting.actor, now()).await?;
        done(changed, doing, name)?;
        self.account(id).await
    }

    /// Removes a user or a robot, with its tokens, grants and memberships. Its namespaces become the administrators', and
    /// the name is never given again.
    ///
    /// # Errors
    /// Why not.
    pub async fn remove_account(&self, caller: &Caller, name: &str) -> Result<()> {
        let acting = self.acting(caller)?;
        let id = self.managed(&acting, name, "remove").await?.principal.id;
        done(self.index.remove_principal(id, &acting.actor, now()).await?, "remove", name)
    }

    /// Makes a user an administrator, or one no longer.
    ///
    /// # Errors
    /// Why not.
    pub async fn set_admin(&self, caller: &Caller, name: &str, is_admin: bool) -> Result<Account> {
        let doing = if is_admin { "make an administrator of" } else { "take the rights of" };
        let acting = self.acting(caller)?;
        acting.expect(ServerAct::Admin, doing)?;
        if is_admin {
            expect_password(&acting, doing)?;
        }
        let user = self.known(name).await?;
        let id = user.principal.id;
        if user.principal.kind == PrincipalKind::Robot {
            return Err(Error::invalid(doing, format!("`{name}` is a robot; name a user")));
        }
        let changed = self.index.set_admin(id, is_admin, &acting.actor, now()).await?;
        done(changed, doing, name)?;
        self.account(id).await
    }

    /// Gives a user another password: its own one where the caller has signed in by a password, that of any user where it
    /// is an administrator. What was given out for the earlier one is no longer valid.
    ///
    /// # Errors
    /// Why not.
    pub async fn set_password(
        &self,
        caller: &Caller,
        name: &str,
        password: SecretString,
    ) -> Result<()> {
        const DOING: &str = "set the password";

        let acting = self.acting(caller)?;
        let is_own = acting.user().is_some() && caller.subject() == Some(name);
        if is_own {
            expect_password(&acting, DOING)?;
        }
        if !is_own {
            acting.expect(ServerAct::Admin, DOING)?;
        }
        let user = self.known(name).await?;
        if user.principal.is_admin {
            expect_password(&acting, DOING)?;
        }
        if user.principal.kind == PrincipalKind::Robot {
            let why = format!("`{name}` is a robot, and signs in by tokens; make one");
            return Err(Error::invalid(DOING, why));
        }
        let hash = self.hashed(&acting, DOING, password).await?;
        let id = user.principal.id;
        let changed = self.index.set_password(id, &hash, &acting.actor, now()).await?;
        done(changed, "set the password of", name)
    }

    /// Reads who acts.
    pub(super) fn acting<'a>(&self, caller: &'a Caller) -> Result<Acting<'a>> {
        Acting::new(caller, self.rules)
    }

    /// Finds a user or a robot that administrators may ask for.
    pub(super) async fn known(&self, name: &str) -> Result<Account> {
        self.index.principal(name).await?.ok_or_else(|| no_account(name))
    }

    pub(super) async fn account(&self, id: i64) -> Result<Account> {
        let found = self.index.principal_by_id(id).await?;
        found.ok_or_else(|| Error::unknown("the account was removed meanwhile"))
    }

    /// Finds an account that the caller may change: administrators any, owners of a namespace its robots. Who may not gets
    /// the same answer whether it is there or not.
    pub(super) async fn managed(
        &self,
        acting: &Acting<'_>,
        name: &str,
        doing: &str,
    ) -> Result<Account> {
        let found = self.index.principal(name).await?;
        let namespace = found.as_ref().and_then(|account| account.principal.namespace.as_deref());
        if !namespace.is_some_and(|namespace| acting.owns_namespace(namespace)) {
            acting.expect(ServerAct::Admin, &format!("{doing} `{name}`"))?;
        }
        found.ok_or_else(|| no_account(name))
    }

    async fn hashed(
        &self,
        acting: &Acting<'_>,
        doing: &str,
        password: SecretString,
    ) -> Result<SecretString> {
        let password = NewPassword::new(password).map_err(|error| Error::invalid(doing, error))?;
        let user = acting.caller.subject().unwrap_or_default();
        let hash = self.checks.hash(acting.client(), user, password).await?;
        Ok(hash.as_str().into())
    }
}

/// Refuses an access token what would outlive it or may do more than it: an administrator, a way to sign in as one, or a
/// robot that is bounded by its owner's rights alone.
pub(super) fn expect_password(acting: &Acting<'_>, doing: &str) -> Result<()> {
    if acting.is_by_password() {
        return Ok(());
    }
    Err(Error::denied(format!(
        "cannot {doing}: an access token makes no administrator, changes neither the password of one nor that of its \
         owner, and takes no robot over; sign in with your password"
    )))
}

/// Reads the name of a new account. A reserved word is answered as a name that is taken.
pub(super) fn account_name(doing: &str, name: &str) -> Result<AccountName> {
    name.parse().map_err(|error| match error {
        AccountNameError::Reserved(_) => Error::taken(doing, name),
        error => Error::invalid(doing, error),
    })
}

/// There is no such account.
pub(super) fn no_account(name: &str) -> Error {
    let name: String = name.chars().take(AccountName::MAX_LENGTH).collect();
    Error::unknown(format!("there is no user or robot `{name}`; see `roadstead user list`"))
}

/// Says what came of a change of an account.
fn done(changed: Changed, doing: &str, name: &str) -> Result<()> {
    match changed {
        Changed::Done | Changed::Unchanged => Ok(()),
        Changed::Unknown | Changed::Full => Err(no_account(name)),
        Changed::LastAdministrator => Err(Error::Conflict(format!(
            "cannot {doing} `{name}`: no administrator would be left who can sign in; make another one first"
        ))),
        Changed::WithoutMaker => Err(Error::Conflict(format!(
            "cannot {doing} `{name}`: the user who made that robot was removed; take it over first with \
             `roadstead user maker {name}`"
        ))),
    }
}
