//! What a quota is, and when it is exceeded.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a namespace may have at most; none: as much as there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Quota {
    /// Bytes of all content that a manifest of the namespace names, each content once.
    pub bytes: Option<u64>,
    /// Bytes of blobs that no manifest of the namespace names.
    pub unreferenced: Option<u64>,
    /// Repositories that have a manifest.
    pub repositories: Option<u64>,
    /// Tags of all of its repositories.
    pub tags: Option<u64>,
}

/// What a namespace has, counted as in [`Quota`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Bytes of all content that a manifest of the namespace names.
    pub bytes: u64,
    /// Bytes of blobs that no manifest of the namespace names.
    pub unreferenced: u64,
    /// Repositories that have a manifest.
    pub repositories: u64,
    /// Tags.
    pub tags: u64,
}

/// The quota of a namespace, and what it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuotaRow {
    /// The namespace.
    pub namespace: String,
    /// What it may have.
    pub quota: Quota,
    /// What it has.
    pub usage: Usage,
}

/// What a quota limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QuotaKind {
    /// Bytes that manifests name.
    Bytes,
    /// Bytes that no manifest names.
    Unreferenced,
    /// Repositories.
    Repositories,
    /// Tags.
    Tags,
}

/// That a namespace would have more than its quota allows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuotaExceeded {
    /// The namespace.
    pub namespace: String,
    /// Of what.
    pub kind: QuotaKind,
    /// What it has.
    pub used: u64,
    /// What it may have.
    pub allowed: u64,
}

/// Whether a namespace has content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holding {
    /// A manifest names it, or it is one.
    Named,
    /// As a blob that no manifest names.
    Unreferenced,
    /// No.
    None,
}

/// What a number of a quota is in the index where it limits nothing.
pub(super) const UNLIMITED: i64 = i64::MAX;

impl QuotaKind {
    /// Returns its name, as commands and answers have it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bytes => "bytes",
            Self::Unreferenced => "unreferenced",
            Self::Repositories => "repositories",
            Self::Tags => "tags",
        }
    }
}

impl QuotaRow {
    fn limits(&self) -> [(QuotaKind, Option<u64>); 4] {
        let Quota { bytes, unreferenced, repositories, tags } = self.quota;
        [
            (QuotaKind::Repositories, repositories),
            (QuotaKind::Tags, tags),
            (QuotaKind::Bytes, bytes),
            (QuotaKind::Unreferenced, unreferenced),
        ]
    }

    /// Says that so much more of something is too much, if it is.
    #[must_use]
    pub fn refuses(&self, kind: QuotaKind, more: u64) -> Option<QuotaExceeded> {
        let (_, allowed) = self.limits().into_iter().find(|(it, _)| *it == kind)?;
        let (allowed, used) = (allowed?, self.usage.of(kind));
        let namespace = self.namespace.clone();
        (used.saturating_add(more) > allowed && more > 0).then_some(QuotaExceeded {
            namespace,
            kind,
            used,
            allowed,
        })
    }

    /// Says what a manifest made too much that left the namespace with this, if anything: what it had more of before is
    /// no fault of the manifest, nor are blobs that none names.
    #[must_use]
    pub fn exceeded_by(&self, after: &Usage) -> Option<QuotaExceeded> {
        let kinds = [QuotaKind::Repositories, QuotaKind::Tags, QuotaKind::Bytes];
        kinds
            .into_iter()
            .find_map(|kind| self.refuses(kind, after.of(kind).saturating_sub(self.usage.of(kind))))
    }
}

impl Usage {
    /// Returns how much it is of something.
    #[must_use]
    pub fn of(&self, kind: QuotaKind) -> u64 {
        match kind {
            QuotaKind::Bytes => self.bytes,
            QuotaKind::Unreferenced => self.unreferenced,
            QuotaKind::Repositories => self.repositories,
            QuotaKind::Tags => self.tags,
        }
    }
}

impl fmt::Display for QuotaExceeded {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { namespace, kind, used, allowed } = self;
        let (what, cure) = match kind {
            QuotaKind::Bytes => ("bytes", "delete images that are not needed"),
            QuotaKind::Unreferenced => (
                "bytes of blobs that no manifest names",
                "push the manifests that name them, delete the blobs, or let the operator end unfinished uploads by \
                 `roadstead uploads clear`",
            ),
            QuotaKind::Repositories => ("repositories", "delete the images of one"),
            QuotaKind::Tags => ("tags", "delete tags that are not needed"),
        };
        write!(
            formatter,
            "cannot store this: the namespace `{namespace}` has {used} of {allowed} {what}, and would have too many; \
             {cure}, or ask an administrator to raise the quota"
        )
    }
}

impl std::error::Error for QuotaExceeded {}

impl fmt::Display for Quota {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bytes, unreferenced, repositories, tags } = self;
        let all = [
            ("bytes", bytes),
            ("unreferenced", unreferenced),
            ("repositories", repositories),
            ("tags", tags),
        ];
        let limits = all.into_iter().filter_map(|(name, limit)| Some((name, (*limit)?)));
        let texts: Vec<String> = limits.map(|(name, limit)| format!("{name} {limit}")).collect();
        formatter.write_str(&texts.join(", "))
    }
}
