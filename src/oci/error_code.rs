//! The error codes of the distribution specification.

/// A code as it stands in the JSON of an error answer (distribution-spec, "Error codes").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorCode {
    /// The blob is not known to the repository.
    BlobUnknown,
    /// The upload cannot go on.
    BlobUploadInvalid,
    /// There is no such upload.
    BlobUploadUnknown,
    /// The digest is malformed, or is not that of the content.
    DigestInvalid,
    /// The manifest references what the repository does not have.
    ManifestBlobUnknown,
    /// The manifest is malformed.
    ManifestInvalid,
    /// The manifest is not known to the repository.
    ManifestUnknown,
    /// The repository's name is malformed or not to be used here.
    NameInvalid,
    /// There is no such repository.
    NameUnknown,
    /// The requested number of results is malformed.
    PaginationNumberInvalid,
    /// The range is malformed or cannot be satisfied.
    RangeInvalid,
    /// A length is missing, malformed, too large, or is not that of the content.
    SizeInvalid,
    /// The tag is malformed.
    TagInvalid,
    /// The client has to say who it is.
    Unauthorized,
    /// The client may not do that.
    Denied,
    /// The operation is not supported.
    Unsupported,
    /// Manifests reference what was to be deleted; not of the specification.
    Referenced,
    /// What the request demands of what is there is not so (RFC 9110, 13.1); not of the specification.
    PreconditionFailed,
    /// Too many requests.
    TooManyRequests,
    /// The registry, or something it needs, is not available now.
    Unavailable,
    /// Something that has no code of its own.
    Unknown,
}

impl ErrorCode {
    /// Returns the code as clients read it.
    ///
    /// ```
    /// use roadstead::oci::ErrorCode;
    ///
    /// assert_eq!(ErrorCode::BlobUnknown.as_str(), "BLOB_UNKNOWN");
    /// assert_eq!(ErrorCode::TooManyRequests.as_str(), "TOOMANYREQUESTS");
    /// ```
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BlobUnknown => "BLOB_UNKNOWN",
            Self::BlobUploadInvalid => "BLOB_UPLOAD_INVALID",
            Self::BlobUploadUnknown => "BLOB_UPLOAD_UNKNOWN",
            Self::DigestInvalid => "DIGEST_INVALID",
            Self::ManifestBlobUnknown => "MANIFEST_BLOB_UNKNOWN",
            Self::ManifestInvalid => "MANIFEST_INVALID",
            Self::ManifestUnknown => "MANIFEST_UNKNOWN",
            Self::NameInvalid => "NAME_INVALID",
            Self::NameUnknown => "NAME_UNKNOWN",
            Self::PaginationNumberInvalid => "PAGINATION_NUMBER_INVALID",
            Self::RangeInvalid => "RANGE_INVALID",
            Self::SizeInvalid => "SIZE_INVALID",
            Self::TagInvalid => "TAG_INVALID",
            Self::Unauthorized => "UNAUTHORIZED",
            Self::Denied => "DENIED",
            Self::Unsupported => "UNSUPPORTED",
            Self::Referenced => "REFERENCED",
            Self::PreconditionFailed => "PRECONDITION_FAILED",
            Self::TooManyRequests => "TOOMANYREQUESTS",
            Self::Unavailable => "UNAVAILABLE",
            Self::Unknown => "UNKNOWN",
        }
    }
}
