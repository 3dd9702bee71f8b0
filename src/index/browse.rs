//! What there is to see in a registry: what repositories have, tags with their images, what an image takes.
//!
//! Rights are the matter of who calls: lists of repositories come from [`Index::visible_repositories`], in whose queries
//! they are, and of one repository only that is read which a grant names. So nothing here says anything of content in
//! another repository: what an image shares, it shares with others of its own repository.

use cid::Cid;

use super::columns::{cid, parsed, unsigned};
use super::connection::on;
use super::{Index, Result, Usage};
use crate::oci::{CanonicalDigest, Digest, RepositoryName, Tag};

/// What a repository has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RepositoryContents {
    /// How many tags.
    pub tags: u64,
    /// How many manifests.
    pub manifests: u64,
    /// How many bytes its manifests have together with the blobs that they name, each content once.
    pub bytes: u64,
    /// How many bytes its blobs have that no manifest names.
    pub unreferenced: u64,
    /// How often its manifests were pulled.
    pub pulls: u64,
    /// When it was made, in milliseconds since the Unix epoch.
    pub created: i64,
    /// When a tag of it moved last, as far as that is known.
    pub pushed: Option<i64>,
    /// When a manifest of it was last pulled, as far as that was noted.
    pub last_pulled: Option<i64>,
}

/// An image, as a tag of a repository or a digest names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenImage {
    /// The tag; none of one that was looked up by its digest.
    pub tag: Option<Tag>,
    /// The digest that it was tagged or looked up by.
    pub digest: Digest,
    /// Under which its manifest's bytes stand.
    pub canonical: CanonicalDigest,
    /// Of the manifest's bytes.
    pub cid: Cid,
    /// As the repository got it.
    pub media_type: String,
    /// When the tag moved there, as far as that is known; of one without a tag, the last one that names it.
    pub pushed: Option<i64>,
    /// How often it was pulled.
    pub pulls: u64,
    /// When it was last pulled, as far as that was noted.
    pub last_pulled: Option<i64>,
    /// The config of the image, of an index that of its first image; none where there is none.
    pub config: Option<Digest>,
}

/// What an image takes, with all that an index lists; each content once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ImageSize {
    /// How many bytes.
    pub bytes: u64,
    /// How many of these other images of the repository have, too.
    pub shared: u64,
}

type Image = (
    Option<String>,
    String,
    String,
    Vec<u8>,
    String,
    Option<i64>,
    i64,
    Option<i64>,
    Option<String>,
);

/// What [`Image`] is read from, after the tag and its digest: `m` is the manifest of the repository, `s` its bytes.
const IMAGE: &str = "m.canonical, s.cid, m.media_type";
const PULLS: &str = "m.pulls, m.last_pulled, (SELECT e.target FROM manifest_edges e \
    WHERE e.repository = m.repository AND e.kind = 'blob' AND e.canonical = COALESCE(( \
    SELECT n.canonical FROM manifest_edges c JOIN manifest_names n ON n.repository = c.repository AND n.digest = c.target \
    WHERE c.repository = m.repository AND c.canonical = m.canonical AND c.kind = 'child' ORDER BY c.place LIMIT 1 \
    ), m.canonical) ORDER BY e.place LIMIT 1)";

fn image(row: Image) -> Result<SeenImage> {
    let (tag, digest, canonical, bytes, media_type, pushed, pulls, last_pulled, config) = row;
    Ok(SeenImage {
        tag: tag.as_deref().map(parsed).transpose()?,
        digest: parsed(&digest)?,
        canonical: parsed(&canonical)?,
        cid: cid(&bytes)?,
        media_type,
        pushed,
        pulls: unsigned(pulls)?,
        last_pulled,
        config: config.as_deref().map(parsed).transpose()?,
    })
}

impl Index {
    /// Says what a repository has; none if it is absent.
    pub async fn repository_contents(
        &self,
        repository: &RepositoryName,
    ) -> Result<Option<RepositoryContents>> {
        type Row = (i64, i64, i64, i64, i64, i64, i64, Option<i64>, Option<i64>);

        let connection = &mut self.read().await?;
        let found: Option<Row> = on!(connection, "describing a repository", db => sqlx::query_as(
            "SELECT (SELECT COUNT(*) FROM tags t WHERE t.repository = r.id), \
             (SELECT COUNT(*) FROM repository_manifests m WHERE m.repository = r.id), \
             (SELECT CAST(COALESCE(SUM(s.size), 0) AS BIGINT) FROM repository_manifests m \
              JOIN manifests s ON s.digest = m.canonical WHERE m.repository = r.id), \
             (SELECT CAST(COALESCE(SUM(size), 0) AS BIGINT) FROM (SELECT DISTINCT b.digest, b.size \
              FROM repository_blobs rb JOIN blobs b ON b.digest = rb.canonical \
              WHERE rb.repository = r.id AND rb.linked <> 0) named), \
             (SELECT CAST(COALESCE(SUM(size), 0) AS BIGINT) FROM (SELECT b.digest, MAX(b.size) AS size \
              FROM repository_blobs rb JOIN blobs b ON b.digest = rb.canonical \
              WHERE rb.repository = r.id GROUP BY b.digest HAVING MAX(rb.linked) = 0) unnamed), \
             (SELECT CAST(COALESCE(SUM(m.pulls), 0) AS BIGINT) FROM repository_manifests m WHERE m.repository = r.id), \
             r.created, (SELECT MAX(t.updated) FROM tags t WHERE t.repository = r.id AND t.updated >= 0), \
             (SELECT MAX(m.last_pulled) FROM repository_manifests m WHERE m.repository = r.id) \
             FROM repositories r WHERE r.name = $1",
        )
        .bind(repository.as_str())
        .fetch_optional(db)
        .await)?;
        let contents = |row: Row| {
            let (tags, manifests, own, named, unnamed, pulls, created, pushed, last_pulled) = row;
            Ok(RepositoryContents {
                tags: unsigned(tags)?,
                manifests: unsigned(manifests)?,
                bytes: unsigned(own)?.saturating_add(unsigned(named)?),
                unreferenced: unsigned(unnamed)?,
                pulls: unsigned(pulls)?,
                created,
                pushed,
                last_pulled,
            })
        };
        found.map(contents).transpose()
    }

    /// Lists the tags of a repository with their images, bytewise after `last`, at most `limit`.
    pub async fn tagged_images(
        &self,
        repository: &RepositoryName,
        last: Option<&str>,
        limit: u32,
    ) -> Result<Vec<SeenImage>> {
        let connection = &mut self.read().await?;
        let select = format!(
            "SELECT t.name, t.digest, {IMAGE}, CASE WHEN t.updated >= 0 THEN t.updated END, {PULLS} \
             FROM repositories r JOIN tags t ON t.repository = r.id \
             JOIN repository_manifests m ON m.repository = t.repository AND m.canonical = t.canonical \
             JOIN manifests s ON s.digest = m.canonical \
             WHERE r.name = $1 AND t.name > $2 ORDER BY t.name LIMIT $3"
        );
        let rows: Vec<Image> = on!(connection, "listing images", db =>
            sqlx::query_as(sqlx::AssertSqlSafe(select))
                .bind(repository.as_str())
                .bind(last.unwrap_or_default())
                .bind(i64::from(limit))
                .fetch_all(db)
                .await)?;
        rows.into_iter().map(image).collect()
    }

    /// Finds the image that a tag points to.
    pub async fn tagged_image(
        &self,
        repository: &RepositoryName,
        tag: &Tag,
    ) -> Result<Option<SeenImage>> {
        let select = format!(
            "SELECT t.name, t.digest, {IMAGE}, CASE WHEN t.updated >= 0 THEN t.updated END, {PULLS} \
             FROM repositories r JOIN tags t ON t.repository = r.id AND t.name = $2 \
             JOIN repository_manifests m ON m.repository = t.repository AND m.canonical = t.canonical \
             JOIN manifests s ON s.digest = m.canonical WHERE r.name = $1"
        );
        self.find_image(select, repository, tag.as_str()).await
    }

    /// Finds the image that a repository has under that very name.
    pub async fn image(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Result<Option<SeenImage>> {
        let select = format!(
            "SELECT CAST(NULL AS TEXT), n.digest, {IMAGE}, (SELECT MAX(t.updated) FROM tags t \
             WHERE t.repository = m.repository AND t.canonical = m.canonical AND t.updated >= 0), {PULLS} \
             FROM repositories r JOIN manifest_names n ON n.repository = r.id AND n.digest = $2 \
             JOIN repository_manifests m ON m.repository = n.repository AND m.canonical = n.canonical \
             JOIN manifests s ON s.digest = m.canonical WHERE r.name = $1"
        );
        self.find_image(select, repository, &digest.to_string()).await
    }

    /// Finds an image by a query whose second parameter is a tag or a digest.
    async fn find_image(
        &self,
        select: String,
        repository: &RepositoryName,
        reference: &str,
    ) -> Result<Option<SeenImage>> {
        let connection = &mut self.read().await?;
        let found: Option<Image> = on!(connection, "finding an image", db =>
            sqlx::query_as(sqlx::AssertSqlSafe(select))
                .bind(repository.as_str())
                .bind(reference)
                .fetch_optional(db)
                .await)?;
        found.map(image).transpose()
    }

    /// Measures an image with all that it lists. What is shared has another manifest of the repository, too: one that is no
    /// part of this image, or a part that has a tag of its own or is in another index. Referrers and foreign layers do not
    /// count. An image that is absent has no size.
    pub async fn image_size(
        &self,
        repository: &RepositoryName,
        image: &CanonicalDigest,
    ) -> Result<ImageSize> {
        let connection = &mut self.read().await?;
        let (bytes, shared): (i64, i64) = on!(connection, "measuring an image", db => sqlx::query_as(SIZE)
            .bind(repository.as_str())
            .bind(image.to_string())
            .fetch_one(db)
            .await)?;
        Ok(ImageSize { bytes: unsigned(bytes)?, shared: unsigned(shared)? })
    }

    /// Says what a namespace has; none: nothing.
    pub async fn usage_of(&self, namespace: &str) -> Result<Option<Usage>> {
        let connection = &mut self.read().await?;
        let found: Option<Row> = on!(connection, "finding what a namespace has", db => sqlx::query_as(
            "SELECT namespace, bytes, unreferenced, repositories, tags FROM namespace_usage WHERE namespace = $1 \
             AND (bytes <> 0 OR unreferenced <> 0 OR repositories <> 0 OR tags <> 0)",
        )
        .bind(namespace)
        .fetch_optional(db)
        .await)?;
        Ok(found.map(usage).transpose()?.map(|(_, usage)| usage))
    }

    /// Lists what namespaces have, by their names, after `last`, at most `limit`.
    pub async fn usage_after(
        &self,
        last: Option<&str>,
        limit: u32,
    ) -> Result<Vec<(String, Usage)>> {
        let connection = &mut self.read().await?;
        let rows: Vec<Row> = on!(connection, "listing what namespaces have", db => sqlx::query_as(
            "SELECT namespace, bytes, unreferenced, repositories, tags FROM namespace_usage WHERE namespace > $1 \
             AND (bytes <> 0 OR unreferenced <> 0 OR repositories <> 0 OR tags <> 0) ORDER BY namespace LIMIT $2",
        )
        .bind(last.unwrap_or_default())
        .bind(i64::from(limit))
        .fetch_all(db)
        .await)?;
        rows.into_iter().map(usage).collect()
    }
}

/// A namespace with what it has.
type Row = (String, i64, i64, i64, i64);

fn usage((namespace, bytes, unreferenced, repositories, tags): Row) -> Result<(String, Usage)> {
    let usage = Usage {
        bytes: unsigned(bytes)?,
        unreferenced: unsigned(unreferenced)?,
        repositories: unsigned(repositories)?,
        tags: unsigned(tags)?,
    };
    Ok((namespace, usage))
}

/// What an image takes. `image` are its manifests, `others` those of them that belong to another image as well.
const SIZE: &str = "WITH RECURSIVE image (repository, canonical) AS ( \
    SELECT m.repository, m.canonical FROM repositories r \
    JOIN repository_manifests m ON m.repository = r.id AND m.canonical = $2 WHERE r.name = $1 \
    UNION SELECT n.repository, n.canonical FROM image i \
    JOIN manifest_edges e ON e.repository = i.repository AND e.canonical = i.canonical AND e.kind = 'child' \
    JOIN manifest_names n ON n.repository = e.repository AND n.digest = e.target \
    ), others (repository, canonical) AS ( \
    SELECT i.repository, i.canonical FROM image i WHERE EXISTS (SELECT 1 FROM manifest_names n \
    JOIN manifest_edges e ON e.repository = n.repository AND e.target = n.digest AND e.kind = 'child' \
    WHERE n.repository = i.repository AND n.canonical = i.canonical \
    AND e.canonical NOT IN (SELECT canonical FROM image)) \
    OR (i.canonical <> $2 AND EXISTS (SELECT 1 FROM tags t \
    WHERE t.repository = i.repository AND t.canonical = i.canonical)) \
    UNION SELECT n.repository, n.canonical FROM others o \
    JOIN manifest_edges e ON e.repository = o.repository AND e.canonical = o.canonical AND e.kind = 'child' \
    JOIN manifest_names n ON n.repository = e.repository AND n.digest = e.target \
    ), contents (size, is_shared) AS ( \
    SELECT s.size, CASE WHEN i.canonical IN (SELECT canonical FROM others) THEN 1 ELSE 0 END \
    FROM image i JOIN manifests s ON s.digest = i.canonical \
    UNION ALL SELECT b.size, CASE WHEN EXISTS (SELECT 1 FROM repository_blobs o \
    JOIN manifest_edges e ON e.repository = o.repository AND e.target = o.digest AND e.kind = 'blob' \
    WHERE o.repository = named.repository AND o.canonical = named.digest \
    AND (e.canonical NOT IN (SELECT canonical FROM image) OR e.canonical IN (SELECT canonical FROM others)) \
    ) THEN 1 ELSE 0 END FROM (SELECT DISTINCT rb.repository, rb.canonical AS digest FROM image i \
    JOIN manifest_edges e ON e.repository = i.repository AND e.canonical = i.canonical AND e.kind = 'blob' \
    JOIN repository_blobs rb ON rb.repository = e.repository AND rb.digest = e.target) named \
    JOIN blobs b ON b.digest = named.digest) \
    SELECT CAST(COALESCE(SUM(size), 0) AS BIGINT), CAST(COALESCE(SUM(size * is_shared), 0) AS BIGINT) FROM contents";
