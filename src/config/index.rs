//! Where look-ups are answered.

use std::time::Duration;

use secrecy::SecretString;

use super::{Settings, SettingsError, Values};

/// A request may wait for a connection of a task that waits for the writer's lock.
const LEAST_CONNECTIONS: u64 = 2;
/// More than any Postgres has.
const MOST_CONNECTIONS: u64 = 10_000;
/// The server counts milliseconds in 31 bits; and longer than a day is no limit.
const LONGEST: Duration = Duration::from_hours(24);

/// Where look-ups are answered.
#[derive(Debug, Clone)]
pub struct IndexSettings {
    /// `sqlite:PATH`, a relative path standing in the data folder, or a `postgres://` URL, which may
    /// hold a password.
    pub url: SecretString,
    /// How a server of databases is used.
    pub postgres: PostgresSettings,
}

/// How a server of databases is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostgresSettings {
    /// How many connections requests share.
    pub max_connections: u32,
    /// How long a request waits for one.
    pub acquire_timeout: Duration,
    /// How long a statement of a request may take.
    pub statement_timeout: Duration,
}

impl IndexSettings {
    pub(super) fn read(values: &Values) -> Result<Self, SettingsError> {
        let url = values.secret("index.url", is_url)?;
        Ok(Self { url, postgres: PostgresSettings::read(values)? })
    }
}

impl PostgresSettings {
    fn read(values: &Values) -> Result<Self, SettingsError> {
        const CONNECTIONS: &str = "index.postgres.max_connections";

        let connections = values.number(CONNECTIONS);
        let is_sensible = (LEAST_CONNECTIONS..=MOST_CONNECTIONS).contains(&connections);
        let connections = u32::try_from(connections).ok().filter(|_| is_sensible);
        let limit = |name: &'static str| {
            let limit = values.positive_duration(name)?;
            if limit > LONGEST { Err(values.refuse(name)) } else { Ok(limit) }
        };
        Ok(Self {
            max_connections: connections.ok_or_else(|| values.refuse(CONNECTIONS))?,
            acquire_timeout: limit("index.postgres.acquire_timeout")?,
            statement_timeout: limit("index.postgres.statement_timeout")?,
        })
    }
}

impl Default for PostgresSettings {
    fn default() -> Self {
        Settings::default().index.postgres
    }
}

/// Returns only whether the URL is of a kind that there is; the index room finds out the rest.
fn is_url(text: &str) -> bool {
    let has_prefix = |prefix: &&str| text.len() > prefix.len() && text.starts_with(*prefix);
    ["sqlite:", "postgres://", "postgresql://"].iter().any(has_prefix)
}
