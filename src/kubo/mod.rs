//! A typed client of one Kubo node: its RPC and its gateway port.
//!
//! The storage driver calls it, and the source that fetches through a node. Every call has a deadline but those
//! that commit ([`Kubo::copy`] with [`CallTimeout::Endless`], [`Kubo::flush`], [`Kubo::remove`]), for a commit
//! that was given up may still land. An answer counts only when it has ended without the trailer with which
//! Kubo reports a failure in its midst. This room knows nothing of registries, and `error` alone knows
//! Kubo's texts.

mod address;
mod blocks;
mod error;
mod files;
mod gateway;
mod network;
mod node;
mod pins;
mod rpc;

use std::time::Duration;

use secrecy::SecretString;

use crate::https;

pub use address::{Address, AddressError};
pub use error::{KuboError, KuboErrorKind};
pub use files::Stat;
pub use gateway::Body;
pub use node::Version;
pub use rpc::CallTimeout;

/// What every operation of this room returns.
pub type Result<T> = std::result::Result<T, KuboError>;

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(3);

/// How long the node may be silent in the midst of an answer.
const SILENCE: Duration = Duration::from_secs(30);

/// A node: cheap to share, safe to use from many tasks.
#[derive(Debug)]
pub struct Kubo {
    client: reqwest::Client,
    /// The same without a limit to the node's silence.
    patient: reqwest::Client,
    api: Address,
    gateway: Address,
    token: Option<SecretString>,
}

impl Kubo {
    /// Makes a client; nothing is sent yet. The token is that of one of the node's
    /// `API.Authorizations`.
    ///
    /// # Errors
    /// When there can be no client.
    pub fn new(api: Address, gateway: Address, token: Option<SecretString>) -> Result<Self> {
        let failed = |error| KuboError::sending("making a client", error);
        let client = https::build(|| builder().read_timeout(SILENCE)).map_err(failed)?;
        let patient = https::build(builder).map_err(failed)?;
        Ok(Self { client, patient, api, gateway, token })
    }

    /// Returns where the RPC is.
    #[must_use]
    pub fn api(&self) -> &Address {
        &self.api
    }
}

fn builder() -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        // A name that says `kubo/` would be compared with the node's version.
        .user_agent(concat!("roadstead/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .tcp_nodelay(true)
}
