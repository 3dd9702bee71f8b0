//! Repositories that have a blob and that a caller may see, in one query: those that are hidden cost none of their own.

use sqlx::QueryBuilder;

use super::super::columns::parsed;
use super::super::connection::on;
use super::super::{Index, Result};
use super::visible::VisiblePattern;
use crate::oci::{Digest, RepositoryName, Visibility};

/// Repositories, of which each is one for one of these reasons or more.
#[derive(Debug, Clone, Default)]
pub struct SeenRepositories {
    /// Whether all are.
    pub all: bool,
    /// Those of these visibilities.
    pub visibilities: Vec<Visibility>,
    /// Those whose names match one of these.
    pub patterns: Vec<VisiblePattern>,
}

impl SeenRepositories {
    fn have(&self, name: &str, visibility: Visibility) -> bool {
        self.all
            || self.visibilities.contains(&visibility)
            || self.patterns.iter().any(|pattern| pattern.matches(name))
    }
}

impl Index {
    /// Lists repositories that have the blob under that name and are among each of these, at most `limit`: those that came
    /// first.
    pub async fn holders_seen(
        &self,
        digest: &Digest,
        seen: &[SeenRepositories],
        limit: u32,
    ) -> Result<Vec<RepositoryName>> {
        let connection = &mut self.read().await?;
        let rows: Vec<(String, String)> = on!(connection, "listing who has a blob", db => {
            let mut select = QueryBuilder::new(
                "SELECT r.name, r.visibility FROM repository_blobs rb \
                 JOIN repositories r ON r.id = rb.repository WHERE rb.digest = ",
            );
            select.push_bind(digest.to_string());
            for seen in seen.iter().filter(|seen| !seen.all) {
                select.push(" AND (FALSE");
                for visibility in &seen.visibilities {
                    select.push(" OR r.visibility = ").push_bind(visibility.as_str());
                }
                // One list instead of one condition each, of which SQLite takes no more than a thousand.
                for (number, pattern) in seen.patterns.iter().enumerate() {
                    let (like, [least, most]) = pattern.like();
                    let begin = " OR EXISTS (SELECT 1 FROM (VALUES (";
                    select.push(if number == 0 { begin } else { ", (" }).push_bind(like);
                    select.push(", ").push_bind(least).push(", ").push_bind(most).push(")");
                }
                if !seen.patterns.is_empty() {
                    select.push(
                        ") AS pattern WHERE r.name LIKE column1 ESCAPE '!' \
                         AND length(r.name) - length(replace(r.name, '/', '')) BETWEEN column2 AND column3)",
                    );
                }
                select.push(")");
            }
            select.push(" ORDER BY rb.repository LIMIT ").push_bind(i64::from(limit));
            select.build_query_as().persistent(false).fetch_all(db).await
        })?;
        let mut names = Vec::with_capacity(rows.len());
        for (name, visibility) in rows {
            let visibility = parsed(&visibility)?;
            if seen.iter().all(|seen| seen.have(&name, visibility)) {
                names.push(parsed(&name)?);
            }
        }
        Ok(names)
    }
}
