//! Why settings are refused.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use thiserror::Error;

use super::{Kind, Origin, Setting};

/// Why settings are refused. The message names the setting, where it came from and what would be
/// right; it never holds a secret.
#[derive(Debug, Error)]
pub enum SettingsError {
    /// The file of settings cannot be read.
    #[error("cannot read the settings in {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file of settings in the working directory belongs to another user, or others may write to it.
    #[error(
        "cannot use the settings in {}: another user owns the file or may write to it; name it with --config to \
         use it anyway, or change its owner and mode",
        path.display()
    )]
    Untrusted {
        /// The file.
        path: PathBuf,
    },
    /// The file of settings is not TOML.
    #[error("cannot read the settings in {}: {message}", path.display())]
    NotToml {
        /// The file.
        path: PathBuf,
        /// What is wrong, and on which line.
        message: String,
    },
    /// There is no such setting.
    #[error("unknown setting `{name}` {location}: {hint}")]
    Unknown {
        /// The name as it was given.
        name: String,
        /// Where it stands.
        location: String,
        /// What may have been meant.
        hint: String,
    },
    /// A setting cannot have that value.
    #[error("bad value `{value}` for `{}` {origin}: expected {}", setting.name, setting.expects)]
    BadValue {
        /// The setting.
        setting: &'static Setting,
        /// The value as it was given; that of a secret is hidden.
        value: String,
        /// Where the value came from.
        origin: Origin,
    },
    /// The file that is to hold a secret cannot be read.
    #[error("cannot read the file {} named by the environment variable {variable}", path.display())]
    UnreadableSecret {
        /// The variable that names the file.
        variable: String,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A secret was given both as a value and as a file.
    #[error("both {variable} and {variable}_FILE are set in the environment: set only one")]
    Twice {
        /// The variable that holds the value.
        variable: String,
    },
    /// A setting is of no use without another one.
    #[error("`{given}` needs `{missing}`, which is not set")]
    Needs {
        /// The setting that was given.
        given: &'static str,
        /// The one that is missing.
        missing: &'static str,
    },
    /// A rule for workloads cannot be used.
    #[error("cannot use rule {number} of `auth.workloads`: {reason}")]
    Workload {
        /// Which one, counted from 1.
        number: usize,
        /// Why, and what to do.
        reason: String,
    },
    /// A rule of retention cannot be used.
    #[error("cannot use rule {number} of `retention`: {reason}")]
    Retention {
        /// Which one, counted from 1.
        number: usize,
        /// Why, and what to do.
        reason: String,
    },
    /// Open access would be offered to a network, and no setting says that this is meant.
    #[error(
        "cannot listen on {listen} (`server.listen`): other machines could push and delete without signing in; \
         set `auth.method`, listen on 127.0.0.1, or set `auth.allow_open` to true to allow it"
    )]
    Exposed {
        /// The address.
        listen: SocketAddr,
    },
    /// Whatever strangers push would be published under the operator's domain.
    #[error(
        "cannot publish (`publish.domain`) and listen on {listen} (`server.listen`): other machines could push, \
         and so publish, without signing in; set `auth.method`, or listen on 127.0.0.1"
    )]
    AnybodyPublishes {
        /// The address.
        listen: SocketAddr,
    },
    /// What clients have to sign in for would be published.
    #[error(
        "cannot publish (`publish.domain`): clients have to sign in to pull, but everybody can read what is \
         published; set `auth.htpasswd.anonymous_pull` to true to allow it"
    )]
    PublishesSecrets,
}

impl SettingsError {
    /// Refuses a value; that of a secret is hidden.
    pub(super) fn bad_value(setting: &'static Setting, value: String, origin: Origin) -> Self {
        let value = if setting.kind == Kind::Secret { "***".to_owned() } else { value };
        Self::BadValue { setting, value, origin }
    }

    /// Refuses a name, with the one that may have been meant.
    pub(super) fn unknown(name: &str, location: String, nearest: Option<&str>) -> Self {
        let hint = match nearest {
            Some(nearest) => format!("did you mean `{nearest}`?"),
            None => "`roadstead config --defaults` lists all settings".to_owned(),
        };
        Self::Unknown { name: name.to_owned(), location, hint }
    }
}
