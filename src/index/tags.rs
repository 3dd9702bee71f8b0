//! Tags of a repository.

use super::columns::parsed;
use super::connection::on;
use super::statement::Statement;
use super::{Index, Result, TagRow, Writer};
use crate::oci::{CanonicalDigest, Digest, RepositoryName, Tag};

/// A tag with its times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagTimes {
    /// The tag.
    pub tag: Tag,
    /// What it points to.
    pub digest: Digest,
    /// When it moved, as [`Writer::tag_moved`] returns it.
    pub moved: i64,
    /// When its manifest was last pulled, as far as it was noted, by the same clock.
    pub pulled: Option<i64>,
}

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

    /// Lists tags with what they point to and their times: bytewise after `last`, at most `limit`.
    pub async fn tag_states(
        &self,
        repository: &RepositoryName,
        last: Option<&str>,
        limit: u32,
    ) -> Result<Vec<TagTimes>> {
        type Row = (String, String, i64, Option<i64>);

        let connection = &mut self.read().await?;
        let rows: Vec<Row> = on!(connection, "listing tags", db => sqlx::query_as(
            "SELECT t.name, t.digest, t.updated, m.last_pulled \
             FROM repositories r JOIN tags t ON t.repository = r.id \
             JOIN repository_manifests m ON m.repository = r.id AND m.canonical = t.canonical \
             WHERE r.name = $1 AND t.name > $2 ORDER BY t.name LIMIT $3",
        )
        .bind(repository.as_str())
        .bind(last.unwrap_or_default())
        .bind(i64::from(limit))
        .fetch_all(db)
        .await)?;
        let read = |(tag, digest, moved, pulled): &Row| {
            let (tag, digest) = (parsed(tag)?, parsed(digest)?);
            Ok(TagTimes { tag, digest, moved: *moved, pulled: *pulled })
        };
        rows.iter().map(read).collect()
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

    /// Returns when a tag was last pointed to what it points to, by the database's clock in milliseconds since the Unix
    /// epoch; less than zero where nobody knows that, and it has pointed there since then at least. None if it is absent.
    pub async fn tag_moved(
        &mut self,
        repository: &RepositoryName,
        tag: &Tag,
    ) -> Result<Option<i64>> {
        let connection = self.connection();
        on!(connection, "finding a tag", db => sqlx::query_scalar(
            "SELECT t.updated FROM repositories r \
             JOIN tags t ON t.repository = r.id AND t.name = $2 WHERE r.name = $1",
        )
        .bind(repository.as_str())
        .bind(tag.as_str())
        .fetch_optional(db)
        .await)
    }

    /// Returns when the manifest was last pulled that a tag points to, as far as it was noted, by the clock of
    /// [`Writer::tag_moved`].
    pub async fn tag_pulled(
        &mut self,
        repository: &RepositoryName,
        tag: &Tag,
    ) -> Result<Option<i64>> {
        let connection = self.connection();
        let found: Option<(Option<i64>,)> = on!(connection, "finding a tag", db => sqlx::query_as(
            "SELECT m.last_pulled FROM repositories r \
             JOIN tags t ON t.repository = r.id AND t.name = $2 \
             JOIN repository_manifests m ON m.repository = r.id AND m.canonical = t.canonical WHERE r.name = $1",
        )
        .bind(repository.as_str())
        .bind(tag.as_str())
        .fetch_optional(db)
        .await)?;
        Ok(found.and_then(|(pulled,)| pulled))
    }

    /// Points a tag to a manifest, now. Fails if the repository does not have that.
    pub async fn put_tag(
        &mut self,
        repository: &RepositoryName,
        tag: &Tag,
        target: &TagRow,
    ) -> Result<()> {
        self.point(repository, tag, target, "").await
    }

    /// The same of a tag that has pointed there since nobody knows when.
    pub async fn put_tag_of_unknown_time(
        &mut self,
        repository: &RepositoryName,
        tag: &Tag,
        target: &TagRow,
    ) -> Result<()> {
        self.point(repository, tag, target, "-").await
    }

    /// Points a tag to a manifest, at the database's time with that sign.
    async fn point(
        &mut self,
        repository: &RepositoryName,
        tag: &Tag,
        target: &TagRow,
        sign: &str,
    ) -> Result<()> {
        self.write(async |connection| {
            let text = format!(
                "INSERT INTO tags (repository, name, digest, canonical, updated) \
                 VALUES ((SELECT id FROM repositories WHERE name = $1), $2, $3, $4, {sign}{}) \
                 ON CONFLICT (repository, name) DO UPDATE SET \
                 digest = excluded.digest, canonical = excluded.canonical, updated = excluded.updated",
                connection.clock(),
            );
            let store = Statement::new("storing a tag", &text)
                .bind(repository.as_str())
                .bind(tag.as_str())
                .bind(target.digest.to_string())
                .bind(target.canonical.to_string());
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
