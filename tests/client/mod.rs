//! The client room, against registries that others wrote, against ours, over networks that fail, and against servers
//! that lie.

#![expect(
    clippy::unwrap_used,
    reason = "a request that has to succeed and does not has failed the test"
)]

mod cuts;
mod drips;
pub(crate) mod fake;
mod registries;
mod signing_in;
pub(crate) mod stock_tokens;
mod untrusted;

use roadstead::client::Client;
use roadstead::oci::{Algorithm, Digest};

use crate::common::client::{self, repository};

fn digest(bytes: &[u8]) -> Digest {
    Digest::of(Algorithm::Sha256, bytes)
}

/// A client that signs in.
fn client_of(url: &str, user: &str, password: &str) -> Client {
    client::client(url, Some((user, password)))
}

fn client(url: &str) -> Client {
    Client::new(url).expect("it is a URL")
}
