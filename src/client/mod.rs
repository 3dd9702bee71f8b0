//! A client of any registry that follows the OCI distribution specification.
//!
//! The room `images`, the commands and tests use it. It signs in as the registry demands, checks everything that is
//! named by a digest, and resumes a transfer that the network cut. Each request has a time limit, each answer a limit to
//! its size. It never has a whole blob in memory, sends no credentials to another host without TLS, and knows nothing
//! of the registry that this crate is.

mod blobs;
mod challenge;
mod connection;
mod content;
mod deadline;
mod error;
mod limits;
mod management;
mod manifests;
mod options;
mod pages;
mod push;
mod referrers;
mod refresh_token;
mod repository;
mod request;
mod response;
mod retries;
mod token;
mod uploads;

pub use blobs::BlobReader;
pub use connection::Client;
pub use content::Content;
pub use error::{ClientError, ClientErrorKind, RegistryMessage, Result};
pub use limits::{Limits, Timeouts};
pub use manifests::FetchedManifest;
pub use options::{Credentials, Options};
pub use pages::Pages;
pub use referrers::Referrer;
pub use repository::Repository;
pub(crate) use retries::Retries;
pub use uploads::{Mount, Upload};
