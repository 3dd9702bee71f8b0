//! Media types of manifests and layers.

/// The kinds of document that are pushed as a manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MediaType {
    /// `application/vnd.oci.image.manifest.v1+json`
    OciManifest,
    /// `application/vnd.oci.image.index.v1+json`
    OciIndex,
    /// `application/vnd.oci.artifact.manifest.v1+json`, withdrawn before OCI 1.1, still pushed by older clients
    OciArtifact,
    /// `application/vnd.docker.distribution.manifest.v2+json`
    DockerManifest,
    /// `application/vnd.docker.distribution.manifest.list.v2+json`
    DockerList,
}

impl MediaType {
    pub(crate) const ALL: [Self; 5] = [
        Self::OciManifest,
        Self::OciIndex,
        Self::OciArtifact,
        Self::DockerManifest,
        Self::DockerList,
    ];

    /// Returns the media type as text.
    ///
    /// ```
    /// use roadstead::oci::MediaType;
    ///
    /// assert_eq!(MediaType::OciIndex.as_str(), "application/vnd.oci.image.index.v1+json");
    /// ```
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OciManifest => "application/vnd.oci.image.manifest.v1+json",
            Self::OciIndex => "application/vnd.oci.image.index.v1+json",
            Self::OciArtifact => "application/vnd.oci.artifact.manifest.v1+json",
            Self::DockerManifest => "application/vnd.docker.distribution.manifest.v2+json",
            Self::DockerList => "application/vnd.docker.distribution.manifest.list.v2+json",
        }
    }

    /// Reads a media type; parameters (`; charset=utf-8`) and case are ignored.
    ///
    /// ```
    /// use roadstead::oci::MediaType;
    ///
    /// let text = "application/vnd.oci.image.index.v1+json; charset=utf-8";
    /// assert_eq!(MediaType::parse(text), Some(MediaType::OciIndex));
    /// assert_eq!(MediaType::parse("text/plain"), None);
    /// ```
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let essence = essence(text);
        Self::ALL.into_iter().find(|known| known.as_str().eq_ignore_ascii_case(essence))
    }
}

/// Returns the media type without its parameters.
pub(super) fn essence(text: &str) -> &str {
    text.split(';').next().unwrap_or_default().trim()
}

/// Tells whether a layer of this media type is not expected in a registry: Docker's foreign
/// layers and OCI's non-distributable ones.
pub(super) fn is_foreign(media_type: &str) -> bool {
    media_type.starts_with("application/vnd.docker.image.rootfs.foreign.")
        || media_type.starts_with("application/vnd.oci.image.layer.nondistributable.")
}
