//! Images on their way: from a folder, an archive, a docker daemon or a registry to another of these.
//!
//! The commands call [`transfer`] with a source and a target. What is read is checked against its digest before the
//! manifest that names it is written, and the name (a tag, `index.json`, the archive's own path) is written last, so a
//! transfer that is interrupted has changed nothing that others see. Blobs are streamed; what a source has of an
//! image's tree, its manifests alone, is in memory. It knows registries by the room `client`, and neither accounts nor this
//! registry's storage.

mod archive;
mod archive_writer;
mod daemon;
mod docker_archive;
mod error;
mod fill;
mod index;
mod layout;
mod layout_writer;
mod part_file;
mod plan;
mod platform;
mod progress;
mod registry;
mod source;
mod target;
mod transfer;
mod verified;

pub(crate) use archive_writer::ArchiveTarget;
pub(crate) use daemon::{Daemon, DaemonTarget};
pub(crate) use docker_archive::open_archive;
pub(crate) use error::{ImageError, Result};
pub(crate) use layout::open_layout;
pub(crate) use layout_writer::LayoutTarget;
pub(crate) use plan::PlanOptions;
pub(crate) use platform::{Platform, platforms};
pub(crate) use progress::TransferProgress;
pub(crate) use registry::{RegistrySource, RegistryTarget};
pub(crate) use source::ImageSource;
pub(crate) use target::ImageTarget;
pub(crate) use transfer::{TransferOptions, Transferred, again, transfer};
