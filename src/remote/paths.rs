//! Reads of one path: a file, a part of it, or a directory.

use std::ops::Range;

use bytes::Bytes;
use cid::Cid;

use super::bounds::Purpose;
use super::race::Race;
use super::{File, Remote, RemoteError, RemoteErrorKind, Result, collect};
use crate::ipld::{Entry, Scope, Target};

impl Remote {
    /// Opens a file at a path; none if it is proved that there is none. A part that reaches beyond the
    /// end is cut there.
    ///
    /// # Errors
    /// When no source can answer.
    pub async fn open(
        &self,
        root: Cid,
        path: Vec<String>,
        part: Option<Range<u64>>,
    ) -> Result<Option<File>> {
        self.timely(Race::new(self, root, path, Purpose::Transfer).open(part)).await
    }

    /// Returns the root and the length of the file at a path; none if it is proved that there is none.
    ///
    /// # Errors
    /// When no source can answer.
    pub async fn stat(&self, root: Cid, path: Vec<String>) -> Result<Option<(Cid, u64)>> {
        Ok(
            match self
                .timely(Race::new(self, root, path, Purpose::Small).begin(Scope::Block))
                .await?
            {
                Target::File { cid, size } => Some((cid, size)),
                _ => None,
            },
        )
    }

    /// Reads a small file as a whole; none if it is proved that there is none.
    ///
    /// # Errors
    /// [`RemoteErrorKind::Invalid`] when it has more than `limit` bytes; when no source can answer.
    pub async fn read(
        &self,
        root: Cid,
        path: Vec<String>,
        limit: u64,
    ) -> Result<Option<(Cid, Bytes)>> {
        let reading = async {
            let race = Race::new(self, root, path, Purpose::Small);
            let Some(file) = race.open(None).await? else { return Ok(None) };
            if file.size > limit {
                let what = format!("{} has {} bytes, more than {limit}", file.cid, file.size);
                return Err(RemoteError::new(RemoteErrorKind::Invalid, what));
            }
            Ok(Some((file.cid, collect(file.bytes).await?)))
        };
        self.timely(reading).await
    }

    /// Lists the directory at a path, sorted bytewise, without names of more than 255 bytes; none if it is proved
    /// that there is none.
    ///
    /// # Errors
    /// [`RemoteErrorKind::Invalid`] when it has more than `limit` entries, or names of more than 168
    /// bytes on average where it has as many as that; when no
    /// source can answer.
    pub async fn list(
        &self,
        root: Cid,
        path: Vec<String>,
        limit: usize,
    ) -> Result<Option<Vec<Entry>>> {
        let listing = Race::new(self, root, path, Purpose::List).list(limit);
        let Some(mut entries) = self.timely(listing).await? else {
            return Ok(None);
        };
        entries.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        Ok(Some(entries))
    }
}
