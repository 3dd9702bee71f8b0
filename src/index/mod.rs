//! SEAM: look-ups and the writer's lock.
//!
//! The index is a cache of the trees that answers quickly, and the home of what only it knows:
//! uploads under way, the queue of edits, users and grants. `registry` calls it; nothing here knows
//! of HTTP, of paths in a tree or of where bytes live.
//!
//! Two faces: [`Index`] is shared by all requests and answers from committed rows. [`Writer`] is the
//! writer's lock, owned by one task of one process at a time, and the only one to change what a
//! pull sees. Both run the same queries on either database: a file here has one subject and its
//! queries, `sqlite` and `postgres` what differs between the two, and [`INDEXES`] is their table.

#![expect(clippy::missing_errors_doc, reason = "every call fails as `IndexErrorKind` says")]

mod access;
mod accounts;
mod blobs;
mod blocks;
mod browse;
mod cache;
mod collectable;
mod collecting;
mod collection;
mod columns;
mod connection;
mod database;
mod destination;
mod edges;
mod error;
mod event_signal;
mod events;
mod failure;
mod generation;
mod generation_reader;
mod known_quotas;
mod links;
mod locks;
mod lookup;
mod lost;
mod maintenance;
mod manifests;
mod new_repositories;
mod nodes;
mod open;
mod pool;
mod pooler;
mod postgres;
mod process_locks;
mod published;
mod pulls;
mod queue;
mod quota;
mod renewals;
mod repositories;
mod rows;
mod schema;
mod secrets;
mod session;
mod sqlite;
mod statement;
mod tags;
mod unreferenced;
mod uploads;
mod usage;
mod whole_repository;
mod withdrawn;
mod writer;

pub use access::Access;
pub use accounts::{
    AccessToken, Account, Added, CatalogFilter, Changed, FirstAdministrator, FoundToken,
    GrantFilter, GrantRow, Holder, MOST_NAMESPACES, MOST_ROBOTS, MOST_ROLES, NamespaceRemoval,
    NamespaceRow, NewAccessToken, NewGrant, NewRobot, NewSigningKey, NewUser, PatternComponent,
    Principal, PrincipalFilter, PrincipalKind, Rights, RoleGrant, SeenRepositories, SeenRepository,
    SetupCode, SigningKey, States, TeamRow, TokenFilter, VisiblePattern,
};
pub use browse::{ImageSize, RepositoryContents, SeenImage};
pub use collectable::{Collectable, FreeContent, WithForeignLayers};
pub use collecting::Forgettable;
pub use collection::{LastCollection, Unreferenced, UnreferencedPage, WithinGrace};
pub use database::Index;
pub use destination::Destination;
pub use error::{IndexError, IndexErrorKind, Result};
pub use event_signal::EventWatch;
pub use generation::AccountsState;
pub use locks::Lease;
pub use lookup::Lookup;
pub use open::{INDEXES, Kind, Opening, open, open_read_only, open_with, set_aside};
pub use pulls::NewPulls;
pub use quota::{Holding, Quota, QuotaExceeded, QuotaKind, QuotaRow, Usage};
pub use rows::{
    Actor, BlobBlock, BlobRow, Claim, EdgeKind, Entry, EntryState, Event, EventFilter, Folding,
    ManifestEdge, ManifestRow, NewBlob, NewEvent, NewManifest, NodeRefs, PrunedEvents, PublicBlock,
    PublishedRoot, ReferrerRow, StoredManifest, TagRow, TreeState, UploadKey, UploadRow,
    UploadState,
};
pub use tags::TagTimes;
pub use whole_repository::WholeRepository;
pub use writer::Writer;

/// Returns the file that the URL of an index names; none where it names a server.
#[must_use]
pub fn file(url: &str) -> Option<&std::path::Path> {
    sqlite::file(url)
}
