//! How often manifests were pulled, and when they were last.
//!
//! Who notes pulls does so in memory, and adds them in batches by [`Index::add_pulls`]: a pull writes nothing. Times are
//! those of the database's clock.

use std::time::Duration;

use super::connection::on;
use super::statement::Statement;
use super::{Index, Result, Writer};
use crate::oci::{CanonicalDigest, RepositoryName};

/// How many manifests are noted in one transaction, so that changes of tags wait for a short time only.
const AT_ONCE: usize = 200;

/// How deep indexes within indexes are looked at: others wait meanwhile.
const DEPTH: u32 = 8;

/// How much older the time of an index or of what it lists has to be than the pull that renews it, in milliseconds: one
/// index may list many manifests, and many indexes one.
const RELATED_LAG: i64 = 60_000;

/// Pulls of a manifest that are to be added to those that are noted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewPulls {
    /// Its repository.
    pub repository: RepositoryName,
    /// The manifest.
    pub manifest: CanonicalDigest,
    /// How many of them count.
    pub count: u64,
    /// How long ago the last one was, which need not count.
    pub age: Duration,
}

impl Index {
    /// Adds pulls to those that are noted, and renews what belongs to each manifest: the indexes that list it, and what it
    /// lists, also over several steps. A manifest that is gone is passed over. When it fails, some may have been added:
    /// `each` is called with how many of the list have been.
    pub async fn add_pulls(&self, pulls: &[NewPulls], mut each: impl FnMut(usize)) -> Result<()> {
        for (number, batch) in pulls.chunks(AT_ONCE).enumerate() {
            let mut writer = self.lock().await?;
            writer.begin().await?;
            writer.add_pulls(batch).await?;
            // No look-up in memory is of these numbers.
            writer.commit_to_queue().await?;
            each(number * AT_ONCE + batch.len());
        }
        Ok(())
    }

    /// Returns since when pulls have been noted, in milliseconds since the Unix epoch.
    pub async fn pulls_noted_since(&self) -> Result<i64> {
        let connection = &mut self.read().await?;
        on!(connection, "reading since when pulls are noted", db =>
            sqlx::query_scalar("SELECT since FROM pull_notes WHERE id = 1").fetch_one(db).await)
    }
}

impl Writer {
    async fn add_pulls(&mut self, pulls: &[NewPulls]) -> Result<()> {
        let connection = self.connection();
        let clock = connection.clock();
        let own = format!(
            "UPDATE repository_manifests SET pulls = pulls + $3, last_pulled = \
             CASE WHEN last_pulled > {clock} - $4 THEN last_pulled ELSE {clock} - $4 END \
             WHERE repository = (SELECT id FROM repositories WHERE name = $1) AND canonical = $2"
        );
        // Up from it, and down from it; what an index above it lists beside it is not pulled by that.
        let related = format!(
            "WITH RECURSIVE pulled (repository, canonical) AS ( \
             SELECT n.repository, n.canonical FROM repositories r \
             JOIN manifest_names n ON n.repository = r.id AND n.digest = $2 WHERE r.name = $1 \
             ), above (repository, canonical, depth) AS (SELECT repository, canonical, 0 FROM pulled UNION \
             SELECT e.repository, e.canonical, a.depth + 1 FROM above a \
             JOIN manifest_names n ON n.repository = a.repository AND n.canonical = a.canonical \
             JOIN manifest_edges e ON e.repository = n.repository AND e.target = n.digest AND e.kind = 'child' \
             WHERE a.depth < {DEPTH} \
             ), below (repository, canonical, depth) AS (SELECT repository, canonical, 0 FROM pulled UNION \
             SELECT n.repository, n.canonical, b.depth + 1 FROM below b \
             JOIN manifest_edges e ON e.repository = b.repository AND e.canonical = b.canonical AND e.kind = 'child' \
             JOIN manifest_names n ON n.repository = e.repository AND n.digest = e.target \
             WHERE b.depth < {DEPTH}) \
             UPDATE repository_manifests SET last_pulled = {clock} - $3 \
             WHERE repository = (SELECT id FROM repositories WHERE name = $1) AND canonical <> $2 \
             AND canonical IN (SELECT canonical FROM above UNION SELECT canonical FROM below) \
             AND (last_pulled IS NULL OR last_pulled < {clock} - $3 - {RELATED_LAG})"
        );
        for NewPulls { repository, manifest, count, age } in pulls {
            let age = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
            let add = Statement::new("adding pulls", &own)
                .bind(repository.as_str())
                .bind(manifest.to_string())
                .bind(i64::try_from(*count).unwrap_or(i64::MAX))
                .bind(age);
            connection.run(add).await?;
            let renew = Statement::new("renewing what was pulled", &related)
                .bind(repository.as_str())
                .bind(manifest.to_string())
                .bind(age);
            connection.run(renew).await?;
        }
        Ok(())
    }
}
