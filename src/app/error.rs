//! Why there is no registry, or why it cannot be served.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use super::tls::TlsError;
use crate::auth::SetupError;
use crate::index::IndexError;
use crate::registry::RegistryError;
use crate::storage::StorageError;

/// Why there is no registry.
#[derive(Debug, Error)]
pub enum AppError {
    /// Another process owns the data folder.
    #[error("the data folder {} is in use by another process, roadstead{}", .data.display(), .owner.as_ref().map(|pid| format!(" with pid {pid}")).unwrap_or_default())]
    Locked {
        /// The data folder.
        data: PathBuf,
        /// What the owner wrote down.
        owner: Option<String>,
    },
    /// The data folder cannot be made or written to.
    #[error("cannot use the data folder {}", .data.display())]
    Folder {
        /// The data folder.
        data: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A rule of retention cannot be used.
    #[error("cannot use rule {number} of `retention`: {reason}")]
    Retention {
        /// Which one, counted from 1.
        number: usize,
        /// Why.
        reason: String,
    },
    /// There is no data folder.
    #[error("no registry in {}: name its data folder with --data or its settings with --config; `roadstead serve` \
        creates a new one", .0.display())]
    Absent(PathBuf),
    /// The tree holds something, the index nothing.
    #[error("the storage holds images, but the index is empty: run `roadstead index rebuild`")]
    IndexLost,
    /// Uploads that another process has are not in its data folder.
    #[error(
        "cannot clear uploads: another command is using the data folder; wait until it has ended, or for \
         uploads.expire_after"
    )]
    UploadsInUse,
    /// No server takes commands on the data folder that another process has.
    #[error(
        "the data folder is in use by another command, or by a server of another version: wait until the command \
         has ended, or start the server of this version"
    )]
    NoServer,
    /// The server did not carry out a command.
    #[error("{0}")]
    Refused(String),
    /// The server took a command and did not answer.
    #[error(
        "the server ended before it answered, or took longer than six minutes: see its log for the result, and \
         run the command again if it was not carried out"
    )]
    Unanswered(#[source] io::Error),
    /// What is to be filled holds something.
    #[error("{} is not empty: use a new folder", .0.display())]
    NotEmpty(PathBuf),
    /// The database of the index holds another registry.
    #[error("the index is not empty: use a new database")]
    IndexTaken,
    /// An adoption ended early.
    #[error("{} has only a part of {}: run `roadstead adopt` with that folder again to continue, or empty {}", .data.display(), .from.display(), .data.display())]
    HalfAdopted {
        /// The data folder.
        data: PathBuf,
        /// The folder that is adopted.
        from: PathBuf,
    },
    /// A restoration ended early.
    #[error("{} has only a part of {root}: run `roadstead restore` or `roadstead import` again to continue, or \
        empty {}", .data.display(), .data.display())]
    HalfRestored {
        /// The data folder.
        data: PathBuf,
        /// The root that is restored.
        root: String,
    },
    /// A setting names something that this program does not have.
    #[error("unknown {what} `{name}`")]
    Missing {
        /// A kind of thing.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {address}{}", advice(*address, source))]
    Listen {
        /// As it was set.
        address: std::net::SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// Foreign images cannot be served with these settings.
    #[error("cannot serve images of other registries")]
    Federation(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The root cannot be published as it was set.
    #[error("cannot publish the root: {0}")]
    Publish(String),
    /// The server ended early.
    #[error("the server failed")]
    Server(#[source] io::Error),
    /// There is no sign-in method as it was set.
    #[error(transparent)]
    Auth(#[from] SetupError),
    /// Accounts cannot be had as they were set.
    #[error("cannot serve with accounts: {0}")]
    Accounts(String),
    /// Other processes of the registry have clients sign in otherwise.
    #[error(
        "auth.method is `{method}`, and the other processes of the registry have `{recorded}`: all need the same; to change \
         it, stop all of them and start one with --change-sign-in"
    )]
    OtherMethod {
        /// As it was set.
        method: &'static str,
        /// As it is recorded.
        recorded: String,
    },
    /// Clients without accounts could read what is not for everybody.
    #[error(
        "{count} repositories are internal or private, and with this auth.method every client that may pull could read \
         them: set auth.method = \"accounts\", or start with --make-public to make them public"
    )]
    NotPublic {
        /// How many.
        count: u64,
    },
    /// What only users could pull would be shown to everybody.
    #[error(
        "cannot begin with accounts: only users could pull the repositories of this registry, and its storage can be \
         read by everybody who knows a CID; use the embedded storage, or start once with \
         auth.htpasswd.anonymous_pull = true if the repositories may be public"
    )]
    NoPrivateTree,
    /// Connections cannot be encrypted as it was set.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The storage cannot be opened.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The index cannot be opened.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// What a crash left could not be carried on.
    #[error(transparent)]
    Registry(#[from] RegistryError),
}

/// Says what to do about an address that cannot be listened on, where that is known.
fn advice(address: std::net::SocketAddr, error: &io::Error) -> String {
    if error.kind() != io::ErrorKind::AddrInUse {
        return String::new();
    }
    let other = std::net::SocketAddr::new(address.ip(), address.port().wrapping_add(1).max(1024));
    format!(": port {} is taken; stop the other program, or use `--listen {other}`", address.port())
}
