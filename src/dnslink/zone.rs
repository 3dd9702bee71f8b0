//! The servers of a zone, and what each of them says: a root is published once all of them tell it.

use std::net::SocketAddr;
use std::sync::Arc;

use futures_util::future::join_all;

use super::dns::{Dns, Failure};
use super::publisher::{PublishError, name};
use super::wire::{self, absolute, joined, unavailable};
use super::{Domain, SetupError};
use crate::config::{DnslinkSettings, NameServer};

/// The port of the DNS.
const PORT: u16 = 53;

/// How many servers of a zone are asked.
const MOST: usize = 16;

/// The servers that answer for a domain.
pub struct Zone {
    dns: Arc<Dns>,
    given: Vec<NameServer>,
}

/// What one server says.
#[derive(Debug)]
pub struct Told {
    /// Who says it.
    pub server: SocketAddr,
    /// The TXT records of `_dnslink.<domain>`, or why they are not known.
    pub texts: Result<Vec<String>, PublishError>,
}

impl Zone {
    /// Takes these servers, or, where there are none, those that the DNS names for the zone.
    ///
    /// # Errors
    /// When a file that the settings name cannot be used.
    pub fn open(settings: &DnslinkSettings, given: Vec<NameServer>) -> Result<Self, SetupError> {
        Ok(Self { dns: Arc::new(Dns::open(settings)?), given })
    }

    /// Asks each server of a domain's zone for the records of the domain.
    ///
    /// # Errors
    /// When no server is known; that one does not answer is told of that one.
    pub async fn ask(&self, domain: &Domain) -> Result<Vec<Told>, PublishError> {
        let name = absolute(&name(domain))?;
        let asked = self.servers(domain).await?.into_iter().map(|server| {
            let name = &name;
            async move {
                let texts = wire::texts(server, name).await;
                Told { server, texts: texts.map(|texts| texts.iter().map(joined).collect()) }
            }
        });
        Ok(join_all(asked).await)
    }

    async fn servers(&self, domain: &Domain) -> Result<Vec<SocketAddr>, PublishError> {
        let mut found = Vec::new();
        if self.given.is_empty() {
            found = self.named(domain).await?;
        }
        for server in &self.given {
            found.extend(wire::addresses(server).await?.into_iter().next());
        }
        found.truncate(MOST);
        Ok(found)
    }

    /// Finds the servers that the DNS names for the nearest zone above the records.
    async fn named(&self, domain: &Domain) -> Result<Vec<SocketAddr>, PublishError> {
        let unknown =
            |why: &str| unavailable(format!("the servers of {domain} are not known: {why}"));
        let full = name(domain);
        let mut rest = full.as_str();
        while rest.contains('.') {
            match self.dns.name_servers(rest).await {
                Ok(found) => return Ok(found.into_iter().map(|ip| (ip, PORT).into()).collect()),
                Err(Failure::Down(why)) => return Err(unknown(&why)),
                Err(Failure::Absent) => {}
            }
            rest = rest.split_once('.').map_or("", |(_, above)| above);
        }
        Err(unknown("no zone above it names any"))
    }
}
