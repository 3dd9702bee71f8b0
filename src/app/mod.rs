//! The composition root: settings made into a registry.
//!
//! `cli` calls [`App::open`] for a command that owns the data folder and [`App::open_read_only`] for one
//! that only reads beside a running server. Nothing is decided here but what goes with what.

mod accounts;
mod application;
mod command_socket;
mod commands;
mod encrypted;
mod error;
mod federation;
mod housekeeping;
mod import_session;
mod key_fetcher;
mod lock;
mod locks;
mod offline_accounts;
mod origin;
mod publish;
mod rebuild;
mod retention;
mod server;
mod sign_in_method;
mod signing_keys;
mod tls;
mod uploads;
mod visibility;

use std::sync::Arc;
use std::time::Duration;

use secrecy::ExposeSecret;

use crate::auth::passwords::Checks;
use crate::auth::signed::FetchOptions;
use crate::auth::{AnonymousBound, AuthContext, Authority, Directory, METHODS, Names};
use crate::config::Settings;
use crate::index::{self, Access, Index};
use crate::registry::{Limits, Registry};
use crate::storage::{DRIVERS, Driver, Storage, StorageContext};
use lock::DataLock;
use locks::IndexLocks;

pub use commands::{
    RequestedPublication, ServerMender, request_collection, request_publication, request_purge,
    request_retention, request_root,
};
pub use error::AppError;
pub use federation::{roots, sources};
pub use import_session::ImportSession;
pub use offline_accounts::OfflineAccounts;
pub use publish::{provider_id, publisher};
pub use rebuild::Notice;
pub use server::{StartOptions, serve};
pub use tls::TlsError;
pub use uploads::Uploads;

/// A registry that this process owns, with the lock on its data folder.
pub struct App {
    /// The use cases.
    pub registry: Registry,
    /// The index that they use.
    pub index: Arc<Index>,
    _lock: DataLock,
}

/// A registry that another process may own: to read only.
pub struct Beside {
    /// The use cases; those that change anything fail.
    pub registry: Registry,
    /// The index, as it is on the disk.
    pub index: Arc<Index>,
}

impl App {
    /// Takes the data folder, carries on what a crash left, and returns the registry.
    ///
    /// # Errors
    /// [`AppError::Locked`] while another process has the folder; whatever else is in the way.
    pub async fn open(settings: &Settings) -> Result<Self, AppError> {
        let app = Self::open_unrecovered(settings).await?;
        let caught_up = async {
            // Of all that is done here this alone frees space.
            app.registry.purge_uploads(settings.uploads.expire_after, true).await?;
            app.registry.recover().await
        };
        match caught_up.await {
            Err(error) if error.is_full() => {
                tracing::warn!(
                    %error,
                    "the disk is full: pulls work, changes wait until there is space; `roadstead uploads clear` \
                     removes unfinished uploads"
                );
            }
            caught_up => caught_up?,
        }
        if let Err(error) = app.registry.finish_visibility().await {
            tracing::warn!(%error, "failed to remove repositories that are not public from the public root");
        }
        if let Err(error) = app.registry.finish_purges().await {
            tracing::warn!(%error, "failed to remove purged content");
        }
        Ok(app)
    }

    async fn open_unrecovered(settings: &Settings) -> Result<Self, AppError> {
        let lock = DataLock::take(&settings.server.data)?;
        origin::expect_done(&settings.server.data)?;
        Self::open_locked(settings, lock).await
    }

    async fn open_locked(settings: &Settings, lock: DataLock) -> Result<Self, AppError> {
        let app = Self::compose(settings, lock).await?;
        app.expect_index().await?;
        Ok(app)
    }

    /// Puts the registry together, whatever it is like.
    async fn compose(settings: &Settings, lock: DataLock) -> Result<Self, AppError> {
        let index = open_index(settings, Access::Full).await?;
        let storage = open_storage(settings, &index).await?;
        match storage.repair().await {
            Err(error) if error.is_full() => {
                tracing::warn!(%error, "failed to test the storage: the disk is full");
            }
            tidied => tidied?,
        }
        let registry = Registry::new(index.clone(), storage, limits(settings)?);
        Ok(Self { registry, index, _lock: lock })
    }

    /// Refuses a registry whose index was lost.
    async fn expect_index(&self) -> Result<(), AppError> {
        let is_lost = self.index.has_no_root().await?
            && self.index.open_entry_count().await? == 0
            && !self.registry.is_empty().await?;
        if is_lost { Err(AppError::IndexLost) } else { Ok(()) }
    }

    /// Opens a registry that another process owns. Waits until that process has carried out what is
    /// in its queue.
    ///
    /// # Errors
    /// Whatever keeps it from being read.
    pub async fn open_read_only(settings: &Settings) -> Result<Beside, AppError> {
        let beside = Self::at_once(settings).await?;
        let index = &beside.index;
        let deadline = tokio::time::Instant::now() + settings.server.request_timeout;
        while index.open_entry_count().await? > 0 && tokio::time::Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(beside)
    }

    /// The same without waiting for anything.
    ///
    /// # Errors
    /// Whatever keeps it from being read.
    pub async fn at_once(settings: &Settings) -> Result<Beside, AppError> {
        origin::expect_done(&settings.server.data)?;
        expect_index_file(settings).await?;
        let index = open_index(settings, Access::ReadOnly).await?;
        let storage = open_storage(settings, &index).await?;
        let registry = Registry::new(index.clone(), storage, limits(settings)?);
        Ok(Beside { registry, index })
    }
}

/// Refuses a data folder that holds no registry, where one would be in it.
///
/// # Errors
/// [`AppError::Absent`]; [`AppError::Missing`]
pub fn expect_registry(settings: &Settings) -> Result<(), AppError> {
    let data = &settings.server.data;
    if !driver(settings)?.is_in_data_folder || data.join("public").is_dir() {
        return Ok(());
    }
    Err(AppError::Absent(data.to_owned()))
}

/// Makes the authority that decides about access. The key is the one that signs tokens.
///
/// # Errors
/// [`AppError::Missing`]; [`AppError::Auth`] when what the settings name cannot be used.
pub(crate) fn authority(
    settings: &Settings,
    key: &[u8; 32],
    directory: &Arc<dyn Directory>,
    checks: &Arc<Checks>,
) -> Result<Authority, AppError> {
    let name = settings.auth.method;
    let method = METHODS.iter().find(|method| method.name == name);
    let method = method
        .ok_or_else(|| AppError::Missing { what: "sign-in method", name: name.to_owned() })?;
    let open_fetcher = |options: &FetchOptions| key_fetcher::open(&settings.dnslink, options);
    let context = AuthContext {
        key,
        open_fetcher: &open_fetcher,
        checks,
        directory,
        anonymous_foreign: settings.federation.anonymous.is_some(),
    };
    let access_control = (method.open)(&settings.auth, &context)?;
    let (access, domains) = (settings.anonymous_access(), settings.federation.domains.clone());
    let anonymous = AnonymousBound { access, domains };
    Ok(Authority::new(access_control, names(settings)).bounding(anonymous))
}

/// Returns what the settings say about whose repository a name means.
pub(crate) fn names(settings: &Settings) -> Names {
    Names {
        own: settings.server.domains.clone(),
        local: settings.server.local_namespaces.clone(),
        federates: settings.federation.enabled,
        hosts: settings.federation.hosts.clone(),
    }
}

fn driver(settings: &Settings) -> Result<&'static Driver, AppError> {
    let name = settings.storage.driver;
    let driver = DRIVERS.iter().find(|driver| driver.name == name);
    driver.ok_or_else(|| AppError::Missing { what: "storage driver", name: name.to_owned() })
}

async fn open_storage(
    settings: &Settings,
    index: &Arc<Index>,
) -> Result<Arc<dyn Storage>, AppError> {
    let context = StorageContext {
        data: &settings.server.data,
        settings: &settings.storage,
        locks: Arc::new(IndexLocks(Arc::clone(index))),
    };
    Ok((driver(settings)?.open)(context).await?)
}

/// Refuses an index whose file is not there, which cannot be made by commands that only read.
async fn expect_index_file(settings: &Settings) -> Result<(), AppError> {
    let url = index_url(settings);
    let Some(file) = index::file(&url) else { return Ok(()) };
    // What cannot be looked at is left to the database, which says why.
    if tokio::fs::try_exists(file).await.unwrap_or(true) {
        return Ok(());
    }
    let data = &settings.server.data;
    let holds_tree = tokio::fs::try_exists(data.join("public")).await.unwrap_or(false);
    Err(if holds_tree { AppError::IndexLost } else { AppError::Absent(data.to_owned()) })
}

async fn open_index(settings: &Settings, access: Access) -> index::Result<Arc<Index>> {
    index::open_with(&index_url(settings), access, &settings.index.postgres).await
}

fn limits(settings: &Settings) -> Result<Limits, AppError> {
    Ok(Limits {
        retention: retention::rules(settings)?,
        manifest_bytes: settings.manifests.max_bytes,
        upload_bytes: settings.uploads.max_bytes,
        sparse_indexes: settings.manifests.allow_sparse_indexes,
        commit_wait: settings.server.request_timeout,
        collection_grace: settings.gc.grace,
        upload_expiry: settings.uploads.expire_after,
        root_grace: settings.gateway.root_grace,
        new_visibility: accounts::are_used(settings)
            .then_some(settings.auth.accounts.default_visibility),
    })
}

/// Returns what the index is, by its name in the table of the `index` room.
#[must_use]
pub fn index_kind(settings: &Settings) -> &'static str {
    let url = settings.index.url.expose_secret();
    let scheme = url.split_once(':').map_or("", |(scheme, _)| scheme);
    let kind = index::INDEXES.iter().find(|kind| kind.schemes.contains(&scheme));
    kind.map_or("unknown", |kind| kind.name)
}

/// Returns the URL of the index; a relative path of SQLite is below the data folder.
fn index_url(settings: &Settings) -> String {
    let url = settings.index.url.expose_secret();
    match url.strip_prefix("sqlite:") {
        Some(path) => format!("sqlite:{}", settings.server.data.join(path).display()),
        None => url.to_owned(),
    }
}
