//! Uploads of blobs, step by step, and mounts (distribution-spec, "Pushing blobs").

use std::io;
use std::ops::Range;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use reqwest::header::{CONTENT_RANGE, HeaderName, RANGE};
use reqwest::{Method, Url};

use super::content::{Content, Streamed};
use super::response::Answer;
use super::token::Scope;
use super::{Repository, Result};
use crate::oci::{Digest, RepositoryName};

/// The smallest chunk that a registry takes, but for the last.
const MIN_LENGTH: HeaderName = HeaderName::from_static("oci-chunk-min-length");

/// What became of a mount.
#[derive(Debug)]
pub enum Mount {
    /// The repository has the blob.
    Mounted,
    /// It has to be uploaded.
    Upload(Upload),
}

impl Repository {
    /// Has the registry take a blob from another of its repositories, without moving its bytes.
    ///
    /// ```no_run
    /// # // It needs a registry.
    /// use roadstead::client::{Client, Mount};
    /// use roadstead::oci::{Algorithm, Digest};
    ///
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// let repository = Client::new("http://localhost:5000")?.repository(&"team/app".parse()?);
    /// let digest = Digest::of(Algorithm::Sha256, b"hello");
    /// if let Mount::Upload(upload) = repository.mount(&digest, &"team/base".parse()?).await? {
    ///     upload.finish_with(&digest, &"hello".into()).await?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of the request. Some registries refuse a mount whose source the client may not read; it has to be uploaded.
    pub async fn mount(&self, digest: &Digest, from: &RepositoryName) -> Result<Mount> {
        self.mount_from(digest, Some(from)).await
    }

    /// Has the registry take a blob from that repository, or from any where it finds it.
    pub(super) async fn mount_from(
        &self,
        digest: &Digest,
        from: Option<&RepositoryName>,
    ) -> Result<Mount> {
        let context = format!("cannot mount blob {self}@{digest}");
        let digest = digest.to_string();
        let mut query = vec![("mount", digest.as_str())];
        query.extend(from.map(|from| ("from", from.as_str())));
        let url = self.url("blobs/uploads/", &query);
        let mut scope = Scope::push(self.name());
        if let Some(from) = from {
            scope = scope.with(Scope::pull(from));
        }
        let request = self.client.request(Method::POST, url, scope, context);
        let answer = request.expect(&[201, 202]).await?;
        if answer.status() == 201 {
            return Ok(Mount::Mounted);
        }
        Ok(Mount::Upload(Upload::begun(self.clone(), &answer)?))
    }

    /// Begins an upload.
    ///
    /// ```no_run
    /// # // It needs a registry.
    /// use roadstead::client::Client;
    /// use roadstead::oci::{Algorithm, Digest};
    ///
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// let repository = Client::new("http://localhost:5000")?.repository(&"team/app".parse()?);
    /// let upload = repository.begin_upload().await?;
    /// let digest = Digest::of(Algorithm::Sha256, b"hello");
    /// upload.finish_with(&digest, &"hello".into()).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of the request.
    pub async fn begin_upload(&self) -> Result<Upload> {
        let (context, scope) =
            (format!("cannot begin an upload to {self}"), Scope::push(self.name()));
        let url = self.url("blobs/uploads/", &[]);
        let answer = self.client.request(Method::POST, url, scope, context).expect(&[202]).await?;
        Upload::begun(self.clone(), &answer)
    }
}

/// An upload under way. Dropping it leaves it to the registry, which removes it some day.
#[derive(Debug)]
pub struct Upload {
    repository: Repository,
    location: Url,
    offset: u64,
    min_chunk: u64,
}

impl Upload {
    pub(super) fn begun(repository: Repository, answer: &Answer) -> Result<Self> {
        let min_chunk = answer.header(MIN_LENGTH).and_then(|text| text.parse().ok());
        let (location, min_chunk) = (answer.location()?, min_chunk.unwrap_or_default());
        Ok(Self { repository, location, offset: 0, min_chunk })
    }

    /// Returns how many bytes the registry has, as far as this client knows.
    ///
    /// ```no_run
    /// # // It needs a registry.
    /// use roadstead::client::Client;
    ///
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// let repository = Client::new("http://localhost:5000")?.repository(&"team/app".parse()?);
    /// assert_eq!(repository.begin_upload().await?.offset(), 0);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Returns the smallest chunk in bytes that the registry takes, but for the last one; 0 if it takes any.
    ///
    /// ```no_run
    /// # // It needs a registry.
    /// use roadstead::client::Client;
    ///
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// let repository = Client::new("http://localhost:5000")?.repository(&"team/app".parse()?);
    /// let chunk = repository.begin_upload().await?.min_chunk().max(1 << 20);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn min_chunk(&self) -> u64 {
        self.min_chunk
    }

    /// Appends a part of the content, which begins at [`Self::offset`], as a chunk that says where it belongs.
    ///
    /// ```no_run
    /// # // It needs a registry.
    /// use roadstead::client::{Client, Content};
    ///
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// let repository = Client::new("http://localhost:5000")?.repository(&"team/app".parse()?);
    /// let mut upload = repository.begin_upload().await?;
    /// upload.append(&Content::from("hello"), 3).await?;
    /// assert_eq!(upload.offset(), 3);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of the request; [`ClientErrorKind::Refused`](super::ClientErrorKind::Refused) with status 416 if the registry has more or fewer bytes than
    /// [`Self::offset`], which [`Self::refresh`] sets right.
    pub async fn append(&mut self, content: &Content, length: u64) -> Result<()> {
        let end = content.size().min(self.offset.saturating_add(length));
        if end <= self.offset {
            return Ok(());
        }
        let range = format!("{}-{}", self.offset, end - 1);
        let request = self.request(Method::PATCH, self.location.clone(), "append to");
        let request = request.header(CONTENT_RANGE, range).part(content.part(self.offset..end));
        let answer = request.expect(&[202]).await?;
        let before = self.offset;
        self.appended(&answer, end)?;
        if self.offset <= before {
            return Err(answer.protocol("it took none of the bytes"));
        }
        Ok(())
    }

    /// Appends a stream, as one request of unknown length; returns how many bytes the registry has then. Such a request
    /// cannot be repeated, so it fails where the client has to sign in anew.
    ///
    /// ```no_run
    /// # // It needs a registry.
    /// use futures_util::stream;
    /// use roadstead::client::Client;
    ///
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// let repository = Client::new("http://localhost:5000")?.repository(&"team/app".parse()?);
    /// let mut upload = repository.begin_upload().await?;
    /// let pieces = [Ok("hel".into()), Ok("lo".into())];
    /// assert_eq!(upload.append_stream(stream::iter(pieces)).await?, 5);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of the request; [`ClientErrorKind::Input`](super::ClientErrorKind::Input) if the stream fails.
    pub async fn append_stream(
        &mut self,
        stream: impl Stream<Item = io::Result<Bytes>> + Send + 'static,
    ) -> Result<u64> {
        let request = self.request(Method::PATCH, self.location.clone(), "append to");
        let answer = request.streamed(Streamed(stream.boxed())).expect(&[202]).await?;
        let received = received(&answer);
        let reached = received.ok_or_else(|| answer.protocol("its answer has no Range"))?;
        self.appended(&answer, reached)?;
        Ok(self.offset)
    }

    /// Asks the registry how many bytes it has, so that the upload can go on there. An upload with one byte is told
    /// like one with none.
    ///
    /// ```no_run
    /// # // It needs a registry.
    /// use roadstead::client::Client;
    ///
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// let repository = Client::new("http://localhost:5000")?.repository(&"team/app".parse()?);
    /// let mut upload = repository.begin_upload().await?;
    /// let offset = upload.refresh().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ClientErrorKind::NotFound`](super::ClientErrorKind::NotFound) if the upload is gone.
    pub async fn refresh(&mut self) -> Result<u64> {
        let request = self.request(Method::GET, self.location.clone(), "find");
        let answer = request.expect(&[204]).await?;
        let offset = received(&answer).unwrap_or_default();
        self.appended(&answer, offset)?;
        self.offset = offset;
        Ok(offset)
    }

    /// Ends the upload: what was appended becomes a blob.
    ///
    /// ```no_run
    /// # // It needs a registry.
    /// use roadstead::client::{Client, Content};
    /// use roadstead::oci::{Algorithm, Digest};
    ///
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// let repository = Client::new("http://localhost:5000")?.repository(&"team/app".parse()?);
    /// let mut upload = repository.begin_upload().await?;
    /// upload.append(&Content::from("hello"), 5).await?;
    /// upload.finish(&Digest::of(Algorithm::Sha256, b"hello")).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ClientErrorKind::Refused`](super::ClientErrorKind::Refused) if it does not have the digest.
    pub async fn finish(&self, digest: &Digest) -> Result<()> {
        self.put(digest, None).await
    }

    /// Ends the upload with what of the content is missing.
    ///
    /// ```no_run
    /// # // It needs a registry.
    /// use roadstead::client::Client;
    /// use roadstead::oci::{Algorithm, Digest};
    ///
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// let repository = Client::new("http://localhost:5000")?.repository(&"team/app".parse()?);
    /// let digest = Digest::of(Algorithm::Sha256, b"hello");
    /// repository.begin_upload().await?.finish_with(&digest, &"hello".into()).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ClientErrorKind::Refused`](super::ClientErrorKind::Refused) if it does not have the digest.
    pub async fn finish_with(&self, digest: &Digest, content: &Content) -> Result<()> {
        self.put(digest, Some((content, self.offset..content.size()))).await
    }

    async fn put(&self, digest: &Digest, last: Option<(&Content, Range<u64>)>) -> Result<()> {
        let mut url = self.location.clone();
        url.query_pairs_mut().append_pair("digest", &digest.to_string());
        let mut request = self.request(Method::PUT, url, "finish");
        if let Some((content, range)) = last.filter(|(_, range)| range.start < range.end) {
            if range.start > 0 {
                request =
                    request.header(CONTENT_RANGE, format!("{}-{}", range.start, range.end - 1));
            }
            request = request.part(content.part(range));
        }
        request.expect(&[201]).await.map(drop)
    }

    /// Gives the upload up: the registry removes its bytes.
    ///
    /// ```no_run
    /// # // It needs a registry.
    /// use roadstead::client::Client;
    ///
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// let repository = Client::new("http://localhost:5000")?.repository(&"team/app".parse()?);
    /// repository.begin_upload().await?.cancel().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ClientErrorKind::NotFound`](super::ClientErrorKind::NotFound) if it is gone already.
    pub async fn cancel(self) -> Result<()> {
        let request = self.request(Method::DELETE, self.location.clone(), "cancel");
        request.expect(&[200, 202, 204]).await.map(drop)
    }

    fn request(&self, method: Method, url: Url, verb: &str) -> super::request::Request<'_> {
        let context = format!("cannot {verb} an upload to {}", self.repository);
        self.repository.client.request(method, url, Scope::push(self.repository.name()), context)
    }

    /// Notes what an answer says of the upload.
    fn appended(&mut self, answer: &Answer, end: u64) -> Result<()> {
        if answer.header(reqwest::header::LOCATION).is_some() {
            self.location = answer.location()?;
        }
        let reached = received(answer).unwrap_or(end);
        if reached > end {
            return Err(answer.protocol("it has more bytes than were sent"));
        }
        self.offset = if end == 1 { end } else { reached };
        Ok(())
    }
}

/// Reads how many bytes an upload has: `Range: 0-<last>`. `0-0` counts as none.
fn received(answer: &Answer) -> Option<u64> {
    let range = answer.header(RANGE)?.trim();
    let range = range.strip_prefix("bytes=").unwrap_or(range);
    let last: u64 = range.strip_prefix("0-")?.parse().ok()?;
    Some(if last == 0 { 0 } else { last.saturating_add(1) })
}
