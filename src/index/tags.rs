//! Tags of a repository.

use super::columns::parsed;
use super::connection::on;
use super::statement::Statement;
use super::{Index, Result, TagRow, Writer};
use crate::oci::{CanonicalDigest, RepositoryName, Tag};

impl Index {
    /// Lists tags bytewise after `last`, at most `limit`.
    pub async fn tags(
        &self,
        repository: &RepositoryName,
        last: Option<&str>,
        limit: u32,
    ) -> Result<Vec<Tag>> {
        let connection = &mut self.read().await?;
        let rows: Vec<(String,)> = on!(connection, "listing tags", db => sqlx::query_as(
            "SELECT t.name FROM repositories r JOIN tags t ON t.repository = r.id \
             WHERE r.name = $1 AND t.name > $2 ORDER BY t.name LIMIT $3",
        )
        .bind(repository.as_str())
        .bind(last.unwrap_or_default())
        .bind(i64::from(limit))
        .fetch_all(db)
        .await)?;
        rows.iter().map(|(name,)| parsed(name)).collect()
    }
}

impl Writer {
    /// Finds what a tag points to.
    pub async fn tag(&mut self, repository: &RepositoryName, tag: &Tag) -> Result<Option<TagRow>> {
        let connection = self.connection();
        let found: Option<(String, String)> = on!(connection, "finding a tag", db => sqlx::query_as(
            "SELECT t.digest, t.canonical FROM repositories r \
             JOIN tags t ON t.repository = r.id AND t.name = $2 WHERE r.name = $1",
        )
        .bind(repository.as_str())
        .bind(tag.as_str())
        .fetch_optional(db)
        .await)?;
        let Some((digest, canonical)) = found else { return Ok(None) };
        Ok(Some(TagRow { digest: parsed(&digest)?, canonical: parsed(&canonical)? }))
    }

    /// Lists the tags that point to a manifest, under whatever name, bytewise.
    pub async fn tags_of(
        &mut self,
        repository: &RepositoryName,
        digest: &CanonicalDigest,
    ) -> Result<Vec<(Tag, TagRow)>> {
        let connection = self.connection();
        let rows: Vec<(String, String)> = on!(connection, "listing a manifest's tags", db => sqlx::query_as(
                "SELECT t.name, t.digest FROM repositories r \
                 JOIN tags t ON t.repository = r.id AND t.canonical = $2 \
                 WHERE r.name = $1 ORDER BY t.name",
            )
            .bind(repository.as_str())
            .bind(digest.to_string())
            .fetch_all(db)
            .await)?;
        let mut tags = Vec::with_capacity(rows.len());
        for (name, named) in rows {
            tags.push((parsed(&name)?, TagRow { digest: parsed(&named)?, canonical: *digest }));
        }
        Ok(tags)
    }

    /// Points a tag to a manifest. Fails if the repository does not have that.
    pub async fn put_tag(
        &mut self,
        repository: &RepositoryName,
        tag: &Tag,
        target: &TagRow,
        now: i64,
    ) -> Result<()> {
        self.write(async |connection| {
            let store = Statement::new(
                "storing a tag",
                "INSERT INTO tags (repository, name, digest, canonical, updated) \
                 VALUES ((SELECT id FROM repositories WHERE name = $1), $2, $3, $4, $5) \
                 ON CONFLICT (repository, name) DO UPDATE SET \
                 digest = excluded.digest, canonical = excluded.canonical, updated = excluded.updated",
            )
            .bind(repository.as_str())
            .bind(tag.as_str())
            .bind(target.digest.to_string())
            .bind(target.canonical.to_string())
            .bind(now);
            connection.run(store).await
        })
        .await
    }

    /// Removes a tag; one that is absent is no error.
    pub async fn remove_tag(&mut self, repository: &RepositoryName, tag: &Tag) -> Result<()> {
        self.write(async |connection| {
            on!(connection, "removing a tag", db => sqlx::query(
                "DELETE FROM tags WHERE name = $2 \
                 AND repository = (SELECT id FROM repositories WHERE name = $1)",
            )
            .bind(repository.as_str())
            .bind(tag.as_str())
            .execute(db)
            .await
            .map(drop))
        })
        .await
    }
}
