//! Where look-ups are answered.

use secrecy::SecretString;

use super::{SettingsError, Values};

/// Where look-ups are answered.
#[derive(Debug, Clone)]
pub struct IndexSettings {
    /// `sqlite:PATH`, a relative path standing in the data folder, or a `postgres://` URL, which may
    /// hold a password.
    pub url: SecretString,
}

impl IndexSettings {
    pub(super) fn read(values: &Values) -> Result<Self, SettingsError> {
        Ok(Self { url: values.secret("index.url", is_url)? })
    }
}

/// Tells only whether the URL is of a kind that there is; the index room finds out the rest.
fn is_url(text: &str) -> bool {
    let has_prefix = |prefix: &&str| text.len() > prefix.len() && text.starts_with(*prefix);
    ["sqlite:", "postgres://", "postgresql://"].iter().any(has_prefix)
}
