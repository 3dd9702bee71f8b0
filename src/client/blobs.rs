//! Blobs: streamed, checked at their end, and gone on with where a network cut them.

use std::ops::Range;

use bytes::{Bytes, BytesMut};
use futures_util::stream::{Stream, try_unfold};
use reqwest::Method;
use reqwest::header::{CONTENT_RANGE, ETAG, IF_RANGE, RANGE};

use super::deadline::Deadline;
use super::error::{ClientError, ClientErrorKind};
use super::response::Answer;
use super::retries::Retries;
use super::token::Scope;
use super::{Repository, Result};
use crate::oci::{Digest, Hasher};

/// The path by which IPFS has what is answered.
pub(super) const IPFS_PATH: &str = "x-ipfs-path";

impl Repository {
    /// Returns the size of a blob in bytes; nothing if the repository does not have it.
    ///
    /// ```no_run
    /// # // It needs a registry.
    /// use roadstead::client::Client;
    /// use roadstead::oci::{Algorithm, Digest};
    ///
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// let repository = Client::new("https://registry.example")?.repository(&"team/app".parse()?);
    /// let digest = Digest::of(Algorithm::Sha256, b"hello");
    /// let is_there = repository.blob_size(&digest).await?.is_some();
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of the request; [`ClientErrorKind::Protocol`] if the answer has no length.
    pub async fn blob_size(&self, digest: &Digest) -> Result<Option<u64>> {
        let context = format!("cannot find blob {self}@{digest}");
        let url = self.url(&format!("blobs/{digest}"), &[]);
        let scope = Scope::pull(self.name());
        let request = self.client.request(Method::HEAD, url, scope, context);
        let answer = request.expect(&[200, 404]).await?;
        match (answer.status(), answer.length()) {
            (200, Some(size)) => Ok(Some(size)),
            (200, None) => Err(answer.protocol("its answer has no Content-Length")),
            _ => Ok(None),
        }
    }

    /// Begins to read a blob.
    ///
    /// ```no_run
    /// # // It needs a registry.
    /// use roadstead::client::Client;
    /// use roadstead::oci::{Algorithm, Digest};
    ///
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// let repository = Client::new("https://registry.example")?.repository(&"team/app".parse()?);
    /// let mut blob = repository.blob(&Digest::of(Algorithm::Sha256, b"hello")).await?;
    /// while let Some(bytes) = blob.next().await? {
    ///     println!("{} bytes", bytes.len());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ClientErrorKind::NotFound`] if the repository does not have it.
    pub async fn blob(&self, digest: &Digest) -> Result<BlobReader> {
        let answer = self.fetch(digest, None).await?.expect(&[200]).await?;
        let limit = self.client.shared.limits.blob;
        let etag = answer.header(ETAG).filter(|etag| !etag.starts_with("W/")).map(str::to_owned);
        let mut reader = BlobReader {
            repository: self.clone(),
            digest: *digest,
            size: answer.length(),
            limit,
            etag,
            hasher: Some(Hasher::new(digest.algorithm())),
            body: Some(answer),
            pending: None,
            failure: None,
            offset: 0,
            skipped: 0,
            retries: Retries::default(),
        };
        reader.check_size(reader.size.unwrap_or_default())?;
        Ok(reader)
    }

    /// Returns a reader of a blob of a known size, which begins at that byte. Nothing is sent yet. What does not begin
    /// at 0 is not checked: only the caller knows the bytes before.
    pub(crate) fn blob_from(&self, digest: &Digest, size: u64, offset: u64) -> BlobReader {
        BlobReader {
            repository: self.clone(),
            digest: *digest,
            size: Some(size),
            limit: size.min(self.client.shared.limits.blob),
            etag: None,
            hasher: (offset == 0).then(|| Hasher::new(digest.algorithm())),
            body: None,
            pending: None,
            failure: None,
            offset,
            skipped: 0,
            retries: Retries::default(),
        }
    }

    /// Returns the path by which IPFS has a blob, as the registry tells it (`X-Ipfs-Path`); nothing if it tells none, or
    /// the repository does not have the blob.
    pub(crate) async fn blob_ipfs_path(&self, digest: &Digest) -> Result<Option<String>> {
        let context = format!("cannot find blob {self}@{digest}");
        let url = self.url(&format!("blobs/{digest}"), &[]);
        let request = self.client.request(Method::HEAD, url, Scope::pull(self.name()), context);
        let answer = request.expect(&[200, 404]).await?;
        Ok(answer.header(IPFS_PATH).map(str::to_owned))
    }

    /// Reads a part of a blob, which is empty beyond its end. A part cannot be checked against the digest of the whole,
    /// so these bytes are only as good as the registry.
    ///
    /// ```no_run
    /// # // It needs a registry.
    /// use roadstead::client::Client;
    /// use roadstead::oci::{Algorithm, Digest};
    ///
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// let repository = Client::new("https://registry.example")?.repository(&"team/app".parse()?);
    /// let digest = Digest::of(Algorithm::Sha256, b"hello");
    /// assert_eq!(repository.blob_range(&digest, 1..3).await?, "el");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ClientErrorKind::NotFound`] if the repository does not have it; [`ClientErrorKind::Protocol`] if the registry
    /// serves no ranges, or another one.
    pub async fn blob_range(&self, digest: &Digest, range: Range<u64>) -> Result<Bytes> {
        let Some(last) = range.end.checked_sub(1).filter(|last| *last >= range.start) else {
            return Ok(Bytes::new());
        };
        let header = format!("bytes={}-{last}", range.start);
        let answer = self.fetch(digest, Some((header, None))).await?;
        if answer.status() == 416 {
            return Ok(Bytes::new());
        }
        let answer = answer.expect(&[206]).await?;
        let first = first_byte(answer.header(CONTENT_RANGE));
        if first != Some(range.start) {
            return Err(answer.protocol("its answer is another range"));
        }
        answer.bytes(usize::try_from(range.end - range.start).unwrap_or(usize::MAX)).await
    }

    /// Deletes a blob. A registry may refuse to.
    ///
    /// ```no_run
    /// # // It needs a registry.
    /// use roadstead::client::Client;
    /// use roadstead::oci::{Algorithm, Digest};
    ///
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// let repository = Client::new("http://localhost:5000")?.repository(&"team/app".parse()?);
    /// repository.delete_blob(&Digest::of(Algorithm::Sha256, b"hello")).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ClientErrorKind::NotFound`] if the repository does not have it.
    pub async fn delete_blob(&self, digest: &Digest) -> Result<()> {
        self.delete(&format!("blobs/{digest}"), format!("cannot delete blob {self}@{digest}")).await
    }

    /// Requests a blob, or of it a range, if it has that strong validator.
    async fn fetch(
        &self,
        digest: &Digest,
        range: Option<(String, Option<&str>)>,
    ) -> Result<Answer> {
        let context = format!("cannot fetch blob {self}@{digest}");
        let url = self.url(&format!("blobs/{digest}"), &[]);
        let mut request =
            self.client.request(Method::GET, url, Scope::pull(self.name()), context).accept("*/*");
        if let Some((range, etag)) = range {
            request = request.header(RANGE, range);
            if let Some(etag) = etag {
                request = request.header(IF_RANGE, etag);
            }
        }
        request.send().await
    }
}

/// Reads a blob from its begin to its end. The last bytes are given only once the whole has the digest; what failed its
/// check stays failed.
pub struct BlobReader {
    repository: Repository,
    digest: Digest,
    size: Option<u64>,
    limit: u64,
    etag: Option<String>,
    /// None if the bytes are not checked, or were.
    hasher: Option<Hasher>,
    /// None once the connection broke.
    body: Option<Answer>,
    /// The latest bytes while the size is unknown: they may be the last.
    pending: Option<Bytes>,
    /// The check that failed.
    failure: Option<(ClientErrorKind, String)>,
    /// How many bytes were received.
    offset: u64,
    /// How many bytes of the body in hand are to be skipped, since they were received before.
    skipped: u64,
    retries: Retries,
}

impl BlobReader {
    /// Returns the size in bytes, if the registry told it or the end was reached.
    ///
    /// ```no_run
    /// # // It needs a registry.
    /// use roadstead::client::Client;
    /// use roadstead::oci::{Algorithm, Digest};
    ///
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// let repository = Client::new("https://registry.example")?.repository(&"team/app".parse()?);
    /// let blob = repository.blob(&Digest::of(Algorithm::Sha256, b"hello")).await?;
    /// assert_eq!(blob.size(), Some(5));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn size(&self) -> Option<u64> {
        self.size
    }

    /// Leaves the bytes unchecked: for measurements, and for callers that hash them anyway.
    ///
    /// ```no_run
    /// # // It needs a registry.
    /// use roadstead::client::Client;
    /// use roadstead::oci::{Algorithm, Digest};
    ///
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// let repository = Client::new("https://registry.example")?.repository(&"team/app".parse()?);
    /// let digest = Digest::of(Algorithm::Sha256, b"hello");
    /// let bytes = repository.blob(&digest).await?.unchecked().read_to_end(5).await?;
    /// assert_eq!(Digest::of(Algorithm::Sha256, &bytes), digest);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn unchecked(self) -> Self {
        Self { hasher: None, ..self }
    }

    /// Returns the next bytes; nothing after the last. It goes on by itself where the network cuts it.
    ///
    /// ```no_run
    /// # // It needs a registry.
    /// use roadstead::client::Client;
    /// use roadstead::oci::{Algorithm, Digest};
    ///
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// let repository = Client::new("https://registry.example")?.repository(&"team/app".parse()?);
    /// let mut blob = repository.blob(&Digest::of(Algorithm::Sha256, b"hello")).await?;
    /// assert_eq!(blob.next().await?.as_deref(), Some(&b"hello"[..]));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ClientErrorKind::Corrupt`] instead of the last bytes if the whole does not have the digest;
    /// [`ClientErrorKind::TooLarge`] if the blob is larger than the limit; each of the two again by every later call;
    /// that of the network once several tries in a row brought nothing.
    pub async fn next(&mut self) -> Result<Option<Bytes>> {
        if let Some((kind, reason)) = &self.failure {
            return Err(ClientError::new(*kind, self.context(), reason.as_str()));
        }
        loop {
            match self.read().await {
                Ok(read) => return Ok(read),
                Err(error) if error.may_succeed_later() => {
                    self.body = None;
                    self.retries.pause(error, self.offset).await?;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Reads all that is left into memory, if that is no more than so many bytes.
    ///
    /// ```no_run
    /// # // It needs a registry.
    /// use roadstead::client::Client;
    /// use roadstead::oci::{Algorithm, Digest};
    ///
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// let repository = Client::new("https://registry.example")?.repository(&"team/app".parse()?);
    /// let digest = Digest::of(Algorithm::Sha256, b"hello");
    /// assert_eq!(repository.blob(&digest).await?.read_to_end(1 << 20).await?, "hello");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of [`Self::next`]; [`ClientErrorKind::TooLarge`] if it is more.
    pub async fn read_to_end(mut self, most: usize) -> Result<Bytes> {
        let mut bytes = BytesMut::new();
        let pending = self.pending.as_ref().map_or(0, Bytes::len) as u64;
        self.limit = self.limit.min((self.offset - pending).saturating_add(most as u64));
        let context = self.context();
        let mut deadline = Deadline::begin(self.repository.client.shared.timeouts.whole);
        while let Some(piece) = deadline.wait(&context, self.next()).await? {
            bytes.extend_from_slice(&piece);
        }
        Ok(bytes.freeze())
    }

    /// Makes a stream of it.
    ///
    /// ```no_run
    /// # // It needs a registry.
    /// use roadstead::client::Client;
    /// use roadstead::oci::{Algorithm, Digest};
    ///
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// let repository = Client::new("https://registry.example")?.repository(&"team/app".parse()?);
    /// let stream = repository.blob(&Digest::of(Algorithm::Sha256, b"hello")).await?.into_stream();
    /// # Ok(())
    /// # }
    /// ```
    pub fn into_stream(self) -> impl Stream<Item = Result<Bytes>> + Send {
        try_unfold(self, |mut reader| async move {
            Ok(reader.next().await?.map(|bytes| (bytes, reader)))
        })
    }

    async fn read(&mut self) -> Result<Option<Bytes>> {
        loop {
            if self.size.is_some_and(|size| self.offset == size) {
                self.check_end(&[])?;
                return Ok(self.pending.take());
            }
            if self.body.is_none() {
                self.body = Some(self.resume().await?);
            }
            let Some(body) = &mut self.body else { continue };
            let Some(mut bytes) = body.chunk().await? else {
                self.end()?;
                continue;
            };
            let known = self.skipped.min(bytes.len() as u64);
            self.skipped -= known;
            let bytes = bytes.split_off(usize::try_from(known).unwrap_or(usize::MAX));
            if bytes.is_empty() {
                continue;
            }
            self.check_size(self.offset + bytes.len() as u64)?;
            if self.size == Some(self.offset + bytes.len() as u64) {
                self.check_end(&bytes)?;
            } else if let Some(hasher) = &mut self.hasher {
                hasher.update(&bytes);
            }
            self.offset += bytes.len() as u64;
            if self.size.is_some() {
                return Ok(Some(bytes));
            }
            if let Some(before) = self.pending.replace(bytes) {
                return Ok(Some(before));
            }
        }
    }

    /// Requests what is missing.
    async fn resume(&mut self) -> Result<Answer> {
        self.skipped = 0;
        if self.offset == 0 {
            let answer = self.repository.fetch(&self.digest, None).await?.expect(&[200]).await?;
            if let (Some(length), Some(size)) = (answer.length(), self.size)
                && length != size
            {
                let reason = format!("it has {length} bytes, and {size} were expected");
                return Err(self.fail(ClientErrorKind::Corrupt, &reason));
            }
            return Ok(answer);
        }
        let range = Some((format!("bytes={}-", self.offset), self.etag.as_deref()));
        let answer = self.repository.fetch(&self.digest, range).await?.expect(&[200, 206]).await?;
        if answer.status() == 200 {
            self.skipped = self.offset;
        } else if first_byte(answer.header(CONTENT_RANGE)) != Some(self.offset) {
            return Err(answer.protocol("its answer is another range"));
        }
        Ok(answer)
    }

    /// Takes the end of a body for that of the blob if its size is unknown.
    fn end(&mut self) -> Result<()> {
        if self.size.is_none() {
            self.size = Some(self.offset);
            return Ok(());
        }
        let reason = "the answer ended early";
        Err(ClientError::new(ClientErrorKind::Unavailable, self.context(), reason))
    }

    /// Checks that the whole has the digest with these last bytes.
    fn check_end(&mut self, last: &[u8]) -> Result<()> {
        let Some(mut hasher) = self.hasher.take() else { return Ok(()) };
        hasher.update(last);
        if hasher.finish() == self.digest {
            return Ok(());
        }
        Err(self.fail(ClientErrorKind::Corrupt, "the bytes do not have the digest"))
    }

    /// Checks a size against what is allowed, and what the registry announced.
    fn check_size(&mut self, size: u64) -> Result<()> {
        let limit = self.size.unwrap_or(u64::MAX).min(self.limit);
        if size <= limit {
            return Ok(());
        }
        Err(self.fail(ClientErrorKind::TooLarge, &format!("it is longer than {limit} bytes")))
    }

    /// Fails for good: no request is sent for this blob any more, and no further byte is given.
    fn fail(&mut self, kind: ClientErrorKind, reason: &str) -> ClientError {
        (self.body, self.pending) = (None, None);
        self.failure = Some((kind, reason.to_owned()));
        ClientError::new(kind, self.context(), reason)
    }

    fn context(&self) -> String {
        format!("cannot fetch blob {}@{}", self.repository, self.digest)
    }
}

/// Reads where the range of a `Content-Range` begins: `bytes 5-9/10`.
fn first_byte(header: Option<&str>) -> Option<u64> {
    let range = header?.trim().strip_prefix("bytes")?.trim_start();
    range.split_once('-')?.0.parse().ok()
}
