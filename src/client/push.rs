//! Pushing a blob: all of it, in chunks, or mounted, and gone on with where a network cut it.

use bytes::Bytes;
use reqwest::Method;

use super::content::Content;
use super::error::ClientErrorKind;
use super::retries::Retries;
use super::token::Scope;
use super::uploads::{Mount, Upload};
use super::{Repository, Result};
use crate::oci::{Digest, RepositoryName};

impl Repository {
    /// Pushes a blob by one request with all of it. Where the network cuts that, it goes on with what is missing.
    ///
    /// ```no_run
    /// # // It needs a registry.
    /// use roadstead::client::{Client, Content};
    /// use roadstead::oci::Algorithm;
    ///
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// let repository = Client::new("http://localhost:5000")?.repository(&"team/app".parse()?);
    /// let layer = Content::open("layer.tar.gz").await?;
    /// repository.push_blob(&layer.digest(Algorithm::Sha256).await?, &layer).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ClientErrorKind::Refused`] if the content does not have the digest; that of the network once several tries in a
    /// row brought nothing.
    pub async fn push_blob(&self, digest: &Digest, content: &Content) -> Result<()> {
        Push::new(self, *digest, content, None).run().await
    }

    /// Pushes a blob in chunks of that size in bytes, or of the least that the registry takes.
    ///
    /// ```no_run
    /// # // It needs a registry.
    /// use roadstead::client::{Client, Content};
    /// use roadstead::oci::{Algorithm, Digest};
    ///
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// let repository = Client::new("http://localhost:5000")?.repository(&"team/app".parse()?);
    /// let digest = Digest::of(Algorithm::Sha256, b"hello");
    /// repository.push_blob_in_chunks(&digest, &Content::from("hello"), 3).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of [`Self::push_blob`].
    pub async fn push_blob_in_chunks(
        &self,
        digest: &Digest,
        content: &Content,
        chunk: u64,
    ) -> Result<()> {
        Push::new(self, *digest, content, Some(chunk.max(1))).run().await
    }

    /// Pushes a small blob by one request, to a registry that takes blobs so; to others by two.
    ///
    /// ```no_run
    /// # // It needs a registry.
    /// use roadstead::client::Client;
    /// use roadstead::oci::{Algorithm, Digest};
    ///
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// let repository = Client::new("http://localhost:5000")?.repository(&"team/app".parse()?);
    /// repository.push_small_blob(&Digest::of(Algorithm::Sha256, b"{}"), "{}").await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of [`Self::push_blob`], but the first request is not repeated.
    pub async fn push_small_blob(&self, digest: &Digest, bytes: impl Into<Bytes>) -> Result<()> {
        let small = Content::from(bytes);
        let context = format!("cannot push blob {self}@{digest}");
        let url = self.url("blobs/uploads/", &[("digest", &digest.to_string())]);
        let request = self.client.request(Method::POST, url, Scope::push(self.name()), context);
        let answer = request.part(small.part(0..small.size())).expect(&[201, 202]).await?;
        if answer.status() == 201 {
            return Ok(());
        }
        let upload = Some(Upload::begun(self.clone(), &answer)?);
        Push { upload, ..Push::new(self, *digest, &small, None) }.run().await
    }

    /// Mounts a blob, or pushes it where that fails.
    ///
    /// ```no_run
    /// # // It needs a registry.
    /// use roadstead::client::{Client, Content};
    /// use roadstead::oci::{Algorithm, Digest};
    ///
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// let repository = Client::new("http://localhost:5000")?.repository(&"team/app".parse()?);
    /// let (layer, base) = (Content::from("hello"), "team/base".parse()?);
    /// let digest = Digest::of(Algorithm::Sha256, b"hello");
    /// repository.mount_or_push_blob(&digest, &base, &layer).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of [`Self::push_blob`].
    pub async fn mount_or_push_blob(
        &self,
        digest: &Digest,
        from: &RepositoryName,
        content: &Content,
    ) -> Result<()> {
        let mut push = Push::new(self, *digest, content, None);
        match self.mount(digest, from).await {
            Ok(Mount::Mounted) => return Ok(()),
            Ok(Mount::Upload(upload)) => push.upload = Some(upload),
            Err(error) => match error.kind {
                ClientErrorKind::NotFound
                | ClientErrorKind::Unauthorized
                | ClientErrorKind::Denied
                | ClientErrorKind::Refused => {}
                _ => return Err(error),
            },
        }
        push.run().await
    }
}

impl Repository {
    /// Pushes a blob, unless the registry finds it in another repository that the user may pull from: a mount without
    /// `from` (distribution-spec, "Mounting a blob from another repository"). Tells whether it was mounted.
    pub(crate) async fn push_or_find_blob(
        &self,
        digest: &Digest,
        from: Option<&RepositoryName>,
        content: &Content,
    ) -> Result<bool> {
        let mut push = Push::new(self, *digest, content, None);
        match self.mount_from(digest, from).await {
            Ok(Mount::Mounted) => return Ok(true),
            Ok(Mount::Upload(upload)) => push.upload = Some(upload),
            // A registry that knows no such mount, or not from there, takes an upload.
            Err(error) if !matches!(error.kind, ClientErrorKind::Insecure) => {}
            Err(error) => return Err(error),
        }
        push.run().await.map(|()| false)
    }
}

/// The push of a blob, which goes on after each failure that trying again can heal.
struct Push<'a> {
    repository: &'a Repository,
    digest: Digest,
    content: &'a Content,
    /// The size of chunks; none if all is sent at once.
    chunk: Option<u64>,
    upload: Option<Upload>,
    /// A request for the upload failed, so that only the registry knows how far it has come.
    is_interrupted: bool,
}

impl<'a> Push<'a> {
    fn new(
        repository: &'a Repository,
        digest: Digest,
        content: &'a Content,
        chunk: Option<u64>,
    ) -> Self {
        Self { repository, digest, content, chunk, upload: None, is_interrupted: false }
    }

    async fn run(mut self) -> Result<()> {
        let mut retries = Retries::default();
        while let Err(error) = self.attempt().await {
            // 404 and 416: it is gone, or has come further than this client knows, as the answer to a request was lost.
            let may_go_on = matches!(error.status, Some(404 | 416)) && self.upload.is_some();
            if !may_go_on && !error.may_succeed_later() {
                return Err(error);
            }
            self.is_interrupted = true;
            let reached = self.upload.as_ref().map_or(0, Upload::offset);
            retries.pause(error, reached).await?;
        }
        Ok(())
    }

    async fn attempt(&mut self) -> Result<()> {
        if self.is_interrupted && self.is_done().await? {
            return Ok(());
        }
        self.is_interrupted = false;
        let upload = match &mut self.upload {
            Some(upload) => upload,
            none => none.insert(self.repository.begin_upload().await?),
        };
        let size = self.content.size();
        if self.chunk.is_none() && upload.offset() == 0 {
            return upload.finish_with(&self.digest, self.content).await;
        }
        let chunk = self.chunk.unwrap_or(size).max(upload.min_chunk());
        while upload.offset() < size {
            upload.append(self.content, chunk).await?;
        }
        upload.finish(&self.digest).await
    }

    /// Asks the registry how far an interrupted upload has come. Tells whether the blob is there already, since the
    /// answer to the last request was lost.
    async fn is_done(&mut self) -> Result<bool> {
        let Some(upload) = &mut self.upload else { return Ok(false) };
        match upload.refresh().await {
            // One byte is told like none, and an upload of others is of no use.
            Ok(offset) if offset > 0 && offset <= self.content.size() => Ok(false),
            Ok(_) => {
                self.upload = None;
                Ok(false)
            }
            Err(error) if error.kind == ClientErrorKind::NotFound => {
                self.upload = None;
                Ok(self.repository.blob_size(&self.digest).await?.is_some())
            }
            Err(error) => Err(error),
        }
    }
}
