//! Manifests: fetched with their digests checked, pushed as the bytes that they are.

use bytes::Bytes;
use reqwest::Method;
use reqwest::header::CONTENT_TYPE;

use super::blobs::IPFS_PATH;
use super::content::Content;
use super::error::{ClientError, ClientErrorKind};
use super::token::Scope;
use super::{Repository, Result};
use crate::oci::{Algorithm, Descriptor, Digest, MediaType, Reference};

/// A manifest that was fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchedManifest {
    /// The very bytes, of which the digest is.
    pub bytes: Bytes,
    /// The media type that the registry serves it with, without parameters.
    pub media_type: String,
    /// The digest by which it was requested, else the one that the registry tells, else its sha256; checked in any case.
    pub digest: Digest,
    /// The path by which IPFS has it, if the registry tells it (`X-Ipfs-Path`).
    pub ipfs_path: Option<String>,
}

impl Repository {
    /// Fetches a manifest of any type.
    ///
    /// ```no_run
    /// # // It needs a registry.
    /// use roadstead::client::Client;
    /// use roadstead::oci::Manifest;
    ///
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// let repository = Client::new("https://registry.example")?.repository(&"team/app".parse()?);
    /// let fetched = repository.manifest(&"v1".parse()?).await?;
    /// let manifest = Manifest::parse(&fetched.bytes, Some(&fetched.media_type))?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ClientErrorKind::NotFound`] if there is none; [`ClientErrorKind::Corrupt`] if the bytes have another digest;
    /// [`ClientErrorKind::TooLarge`] if it is larger than the limit.
    pub async fn manifest(&self, reference: &Reference) -> Result<FetchedManifest> {
        let context = || format!("cannot fetch manifest {}", self.named(reference));
        let answer = self.ask(Method::GET, reference, context()).expect(&[200]).await?;
        let media_type = media_type(answer.header(CONTENT_TYPE));
        let declared = answer.digest()?;
        let ipfs_path = answer.header(IPFS_PATH).map(str::to_owned);
        let bytes = answer.bytes(self.client.shared.limits.manifest).await?;
        let digest = match (reference, declared) {
            (Reference::Digest(digest), _) => *digest,
            (Reference::Tag(_), Some(digest)) => digest,
            (Reference::Tag(_), None) => Digest::of(Algorithm::Sha256, &bytes),
        };
        if Digest::of(digest.algorithm(), &bytes) != digest {
            return Err(corrupt(context()));
        }
        Ok(FetchedManifest { bytes, media_type, digest, ipfs_path })
    }

    /// Describes a manifest without fetching it; nothing if there is none.
    ///
    /// ```no_run
    /// # // It needs a registry.
    /// use roadstead::client::Client;
    ///
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// let repository = Client::new("https://registry.example")?.repository(&"team/app".parse()?);
    /// if let Some(descriptor) = repository.find_manifest(&"v1".parse()?).await? {
    ///     println!("{} bytes, {}", descriptor.size, descriptor.digest);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of the request.
    pub async fn find_manifest(&self, reference: &Reference) -> Result<Option<Descriptor>> {
        let context = format!("cannot find manifest {}", self.named(reference));
        let answer = self.ask(Method::HEAD, reference, context).expect(&[200, 404]).await?;
        if answer.status() == 404 {
            return Ok(None);
        }
        let declared = match reference {
            Reference::Digest(digest) => Some(*digest),
            Reference::Tag(_) => answer.digest()?,
        };
        if let (Some(digest), Some(size)) = (declared, answer.length()) {
            let media_type = media_type(answer.header(CONTENT_TYPE));
            return Ok(Some(Descriptor { media_type, digest, size }));
        }
        // Registries should tell the digest, but need not.
        match self.manifest(reference).await {
            Ok(FetchedManifest { bytes, media_type, digest, .. }) => {
                Ok(Some(Descriptor { media_type, digest, size: bytes.len() as u64 }))
            }
            Err(error) if error.kind == ClientErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Pushes a manifest by a tag or its digest, and returns the digest. What it references was pushed before.
    ///
    /// ```no_run
    /// # // It needs a registry.
    /// use roadstead::client::Client;
    /// use roadstead::oci::MediaType;
    ///
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// let repository = Client::new("http://localhost:5000")?.repository(&"team/app".parse()?);
    /// let index = r#"{"schemaVersion": 2, "manifests": []}"#;
    /// let media_type = MediaType::OciIndex.as_str();
    /// let digest = repository.push_manifest(&"v1".parse()?, media_type, index).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ClientErrorKind::Refused`] if the registry does not accept the bytes; [`ClientErrorKind::Corrupt`] if it stored
    /// them under another digest, or they are not those of the digest in `reference`.
    pub async fn push_manifest(
        &self,
        reference: &Reference,
        media_type: &str,
        bytes: impl Into<Bytes>,
    ) -> Result<Digest> {
        self.store_manifest(reference, media_type, bytes.into()).await.map(|(digest, _)| digest)
    }

    /// Pushes a manifest as [`Self::push_manifest`] does, and tells whether the registry lists it among the referrers of
    /// its subject (`OCI-Subject`).
    pub(crate) async fn store_manifest(
        &self,
        reference: &Reference,
        media_type: &str,
        bytes: Bytes,
    ) -> Result<(Digest, bool)> {
        let context = || format!("cannot push manifest {}", self.named(reference));
        let digest = match reference {
            Reference::Digest(digest) if Digest::of(digest.algorithm(), &bytes) != *digest => {
                return Err(corrupt(context()));
            }
            Reference::Digest(digest) => *digest,
            Reference::Tag(_) => Digest::of(Algorithm::Sha256, &bytes),
        };
        let document = Content::from(bytes);
        let url = self.url(&format!("manifests/{reference}"), &[]);
        let scope = Scope::push(self.name());
        let request = self.client.request(Method::PUT, url, scope, context());
        let request = request.typed(media_type, document.part(0..document.size()));
        // The specification has 201 alone; some registries say 202.
        let answer = request.expect(&[201, 202]).await?;
        let stored = answer.digest()?;
        if stored.is_some_and(|it| it.algorithm() == digest.algorithm() && it != digest) {
            return Err(corrupt(context()));
        }
        Ok((digest, answer.header("oci-subject").is_some()))
    }

    /// Deletes a tag, or a manifest by its digest. A registry may refuse either.
    ///
    /// ```no_run
    /// # // It needs a registry.
    /// use roadstead::client::Client;
    ///
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// let repository = Client::new("http://localhost:5000")?.repository(&"team/app".parse()?);
    /// repository.delete_manifest(&"v1".parse()?).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ClientErrorKind::NotFound`] if there is none.
    pub async fn delete_manifest(&self, reference: &Reference) -> Result<()> {
        let context = format!("cannot delete {}", self.named(reference));
        self.delete(&format!("manifests/{reference}"), context).await
    }

    fn ask(
        &self,
        method: Method,
        reference: &Reference,
        context: String,
    ) -> super::request::Request<'_> {
        let url = self.url(&format!("manifests/{reference}"), &[]);
        let request = self.client.request(method, url, Scope::pull(self.name()), context);
        request.accept(&MediaType::ALL.map(MediaType::as_str).join(", "))
    }

    /// Writes a reference as people do: `registry.example/app:v1`, `registry.example/app@sha256:…`.
    fn named(&self, reference: &Reference) -> String {
        let sign = if matches!(reference, Reference::Tag(_)) { ':' } else { '@' };
        format!("{self}{sign}{reference}")
    }
}

fn media_type(header: Option<&str>) -> String {
    header.unwrap_or_default().split(';').next().unwrap_or_default().trim().to_owned()
}

fn corrupt(context: String) -> ClientError {
    ClientError::new(ClientErrorKind::Corrupt, context, "the bytes do not have the digest")
}
