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
        "{} is not read: another user owns it or may write to it; name it by --config if it is meant, or change its \
         owner and mode",
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
    #[error("cannot read the file {} that the environment variable {variable} names", path.display())]
    UnreadableSecret {
        /// The variable that names the file.
        variable: String,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A secret was given both as a value and as a file.
    #[error("{variable} and {variable}_FILE are both in the environment: only one may be")]
    Twice {
        /// The variable that holds the value.
        variable: String,
    },
    /// A setting is of no use without another one.
    #[error("`{given}` needs `{missing}`, which is empty")]
    Needs {
        /// The setting that was given.
        given: &'static str,
        /// The one that is missing.
        missing: &'static str,
    },
    /// Open access would be offered to a network, and no setting says that this is meant.
    #[error(
        "`server.listen` is {listen}, where other machines could push and delete without signing \
         in: let clients sign in (`auth.method`), set `auth.allow_open` to true if that is meant, or \
         listen on 127.0.0.1"
    )]
    Exposed {
        /// The address.
        listen: SocketAddr,
    },
    /// Whatever strangers push would be published under the operator's domain.
    #[error(
        "`publish.domain` is set and `server.listen` is {listen}, where other machines can push without \
         signing in, and so publish: let clients sign in (`auth.method`), or listen on 127.0.0.1"
    )]
    AnybodyPublishes {
        /// The address.
        listen: SocketAddr,
    },
    /// What clients have to sign in for would be published.
    #[error(
        "`publish.domain` is set, but clients have to sign in to pull, and everybody can read what is \
         published: set `auth.htpasswd.anonymous_pull` to true if that is meant"
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
            None => "`roadstead config --defaults` lists all there are".to_owned(),
        };
        Self::Unknown { name: name.to_owned(), location, hint }
    }
}
