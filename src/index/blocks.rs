//! Blocks: what a peer may fetch by its CID, of trees, manifests and blobs.

use cid::Cid;
use sqlx::QueryBuilder;

use super::columns::{self, damaged, parsed, signed, unsigned};
use super::connection::{Connection, on};
use super::{BlobBlock, BlobRow, Index, PublicBlock, Result, manifests, nodes};
use crate::ipld::RAW;

/// How many blocks go into one statement; five parameters each.
const BLOCKS_AT_ONCE: usize = 1000;

impl Index {
    /// Finds a block of the public tree, as last folded, or of what was taken from it after
    /// `removed_after`: of directories, links, manifests or blobs. What was [withdrawn](super::Writer::withdraw) is not found.
    pub async fn public_block(&self, cid: &Cid, removed_after: i64) -> Result<Option<PublicBlock>> {
        let mut connection = self.read().await?;
        match nodes::public(&mut connection, cid, removed_after).await? {
            Some(Some(bytes)) => return Ok(Some(PublicBlock::Stored(bytes))),
            Some(None) => {
                if let Some(bytes) = manifests::bytes_by_cid(&mut connection, cid).await? {
                    return Ok(Some(PublicBlock::Stored(bytes)));
                }
            }
            None => {}
        }
        find(&mut connection, cid, Some(removed_after)).await
    }

    /// Finds a block of a tree or of stored content, whether or not it is public.
    pub async fn block(&self, cid: &Cid) -> Result<Option<PublicBlock>> {
        let mut connection = self.read().await?;
        if let Some(bytes) = nodes::bytes(&mut connection, cid).await? {
            return Ok(Some(PublicBlock::Stored(bytes)));
        }
        if let Some(bytes) = manifests::bytes_by_cid(&mut connection, cid).await? {
            return Ok(Some(PublicBlock::Stored(bytes)));
        }
        find(&mut connection, cid, None).await
    }
}

/// Notes where a blob's blocks lie in it.
pub(super) async fn record(
    connection: &mut Connection,
    blob: i64,
    blocks: &[BlobBlock],
) -> Result<()> {
    for chunk in blocks.chunks(BLOCKS_AT_ONCE) {
        let mut rows = Vec::with_capacity(chunk.len());
        for BlobBlock { cid, start, length, node } in chunk {
            rows.push((cid.to_bytes(), signed(*start)?, signed(*length)?, node.as_deref()));
        }
        on!(connection, "recording a blob's blocks", db => {
            let mut insert =
                QueryBuilder::new("INSERT INTO blob_blocks (cid, blob, start, length, node) ");
            insert.push_values(rows, |mut row, (cid, start, length, node)| {
                row.push_bind(cid).push_bind(blob).push_bind(start).push_bind(length);
                row.push_bind(node);
            });
            insert.push(" ON CONFLICT DO NOTHING");
            insert.build().persistent(false).execute(db).await.map(drop)
        })?;
    }
    Ok(())
}

/// Finds a block of a blob; with `removed_after`, of one that the public tree has, or had until after that.
async fn find(
    connection: &mut Connection,
    block: &Cid,
    removed_after: Option<i64>,
) -> Result<Option<PublicBlock>> {
    type Found = (String, Vec<u8>, i64, i64, i64, Option<Vec<u8>>);

    let found: Option<Found> = on!(connection, "finding a block of a blob", db => match removed_after {
        Some(removed_after) => sqlx::query_as(
            "SELECT b.digest, b.cid, b.size, bb.start, bb.length, bb.node FROM blob_blocks bb \
             JOIN blobs b ON b.id = bb.blob JOIN nodes n ON n.cid = b.cid \
             WHERE bb.cid = $1 AND b.state <> 'lost' AND (n.refs > 0 OR n.removed > $2) \
             AND NOT EXISTS (SELECT 1 FROM withdrawn w WHERE w.cid = b.cid) LIMIT 1",
        )
        .bind(block.to_bytes())
        .bind(removed_after)
        .fetch_optional(db)
        .await,
        None => sqlx::query_as(
            "SELECT b.digest, b.cid, b.size, bb.start, bb.length, bb.node FROM blob_blocks bb \
             JOIN blobs b ON b.id = bb.blob WHERE bb.cid = $1 LIMIT 1",
        )
        .bind(block.to_bytes())
        .fetch_optional(db)
        .await,
    })?;
    let Some((digest, blob_cid, size, start, length, node)) = found else { return Ok(None) };
    if let Some(node) = node {
        return Ok(Some(PublicBlock::Stored(node.into())));
    }
    if block.codec() != RAW {
        let what = format!("node {block} is missing: run `roadstead index rebuild`");
        return Err(damaged("finding a block of a blob", what));
    }
    let canonical = parsed(&digest)?;
    let blob = BlobRow { canonical, cid: columns::cid(&blob_cid)?, size: unsigned(size)? };
    Ok(Some(PublicBlock::Part { blob, start: unsigned(start)?, length: unsigned(length)? }))
}
