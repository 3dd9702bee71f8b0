//! The state of publishing, for those parts of a running server that show it.

use std::fmt;
use std::sync::atomic::Ordering;

use super::super::{Registry, Result};
use super::record::{Publication, published};

/// The state of publishing.
#[derive(Debug, Clone)]
pub struct PublishStatus {
    /// As all processes know it; none before anything was published.
    pub publication: Option<Publication>,
    /// Whether something has changed that may have to be published.
    pub is_pending: bool,
    /// How many tries of this process have failed.
    pub failures: u64,
}

impl fmt::Display for PublishStatus {
    /// Says `ok`, `pending`, or why publishing does not work.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let failure = self.publication.as_ref().and_then(|record| record.failure.as_ref());
        match failure {
            Some(failure) => formatter.write_str(&failure.reason),
            None if self.is_pending => formatter.write_str("pending"),
            None => formatter.write_str("ok"),
        }
    }
}

impl Registry {
    /// Has [`Registry::publishing`] report this publisher.
    #[must_use]
    pub fn published_by(self, publisher: &super::Publisher) -> Self {
        Self { watched: Some(publisher.watched.clone()), ..self }
    }

    /// Returns the state of publishing; none if nothing is published here.
    ///
    /// # Errors
    /// Those of the index.
    pub async fn publishing(&self) -> Result<Option<PublishStatus>> {
        let Some(watched) = &self.watched else { return Ok(None) };
        let publication = published(self.index.as_ref()).await?;
        Ok(Some(PublishStatus {
            publication: publication.filter(|record| record.domain == watched.domain),
            is_pending: watched.is_pending.load(Ordering::Relaxed),
            failures: watched.failures.load(Ordering::Relaxed),
        }))
    }
}
