//! Mending: what a check found wrong is put back, from another copy, or from a source.
//!
//! `check` finds faults, and has them mended by a [`Mender`]: this process, or the server that runs on the data folder.
//! Each is looked at again before, so a fault that is none any more changes nothing. Content is written to a file of
//! its own, and takes the name of its digest only once it was hashed and is on the disk; the writer's lock is held only
//! while trees and rows change, and while the names of a repository are compared with its tree. Nothing that is there
//! and sound is ever replaced, and nothing is deleted that the index has: bytes that cannot be had again are noted as
//! lost, so that clients push them anew.

mod content;
mod fault;
mod lost;
mod mend;
mod names;
mod sources;

pub(super) use fault::cannot_read;
pub use fault::{Fault, Finding, Mended, Mender};
pub(super) use lost::LostBlobs;
pub use sources::own_sources;
