//! The servers of a zone, and the answer of each: a root is published once all of them return it.

use std::net::IpAddr;
use std::sync::Arc;

use futures_util::future::join_all;
use hickory_resolver::proto::rr::Name;

use super::dns::{Dns, Failure};
use super::publisher::{PublishError, name};
use super::wire::{self, Answered, absolute, unavailable};
use super::{Domain, SetupError};
use crate::config::{DnslinkSettings, NameServer};

/// The port of the DNS.
const PORT: u16 = 53;

/// How many servers of a zone are queried.
const MOST: usize = 16;

/// The servers that answer for a domain.
pub struct Zone {
    dns: Arc<Dns>,
    given: Vec<NameServer>,
    /// The port of the servers that the DNS lists.
    port: u16,
}

/// The answer of one server.
#[derive(Debug)]
pub struct ServerAnswer {
    /// The server: its address or its name, and its port.
    pub server: String,
    /// The TXT records of `_dnslink.<domain>`, or why they are not known.
    pub texts: Result<Vec<String>, PublishError>,
    /// The target of the name, if it is an alias; a wildcard of the zone makes one of each name.
    pub alias: Option<String>,
}

impl ServerAnswer {
    /// Formats the answer for operators.
    ///
    /// ```
    /// use roadstead::dnslink::ServerAnswer;
    ///
    /// let answer = ServerAnswer { server: "192.0.2.1:53".to_owned(), texts: Ok(vec![]), alias: None };
    /// assert_eq!(answer.summary(), "nothing");
    /// ```
    #[must_use]
    pub fn summary(&self) -> String {
        match (&self.texts, &self.alias) {
            (Err(error), _) => error.to_string(),
            (Ok(_), Some(target)) => format!("an alias of {target}"),
            (Ok(texts), None) if texts.is_empty() => "nothing".to_owned(),
            (Ok(texts), None) => texts.join(", "),
        }
    }
}

impl Zone {
    /// Uses these servers, or, if there are none, those that the DNS lists for the zone.
    ///
    /// ```
    /// use roadstead::config::DnslinkSettings;
    /// use roadstead::dnslink::Zone;
    ///
    /// let settings = DnslinkSettings {
    ///     trust_anchors: Some("no/such/file".into()),
    ///     dnssec: true,
    ///     ..DnslinkSettings::default()
    /// };
    /// assert!(Zone::open(&settings, Vec::new()).is_err());
    /// ```
    ///
    /// # Errors
    /// When a file of the settings cannot be used.
    pub fn open(settings: &DnslinkSettings, given: Vec<NameServer>) -> Result<Self, SetupError> {
        Ok(Self { dns: Arc::new(Dns::open(settings)?), given, port: PORT })
    }

    /// Queries each server of a domain's zone for the records of the domain.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use roadstead::config::{DnslinkSettings, NameServer};
    /// use roadstead::dnslink::Zone;
    ///
    /// // Nothing listens there.
    /// let server = NameServer { host: "127.0.0.1".to_owned(), port: 1 };
    /// let zone = Zone::open(&DnslinkSettings::default(), vec![server])?;
    /// let answers = zone.query(&"example.com".parse()?).await?;
    /// assert_eq!(answers[0].server, "127.0.0.1:1");
    /// assert!(answers[0].texts.is_err());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// When no server is known. A server that does not answer, or is not found, has that error in its own answer.
    pub async fn query(&self, domain: &Domain) -> Result<Vec<ServerAnswer>, PublishError> {
        let name = absolute(&name(domain))?;
        let queries = self.servers(domain).await?.into_iter().map(|server| {
            let name = &name;
            async move {
                let (texts, alias) = match answer(&server, name).await {
                    Ok(found) => (Ok(found.joined()), found.alias.map(|it| it.to_string())),
                    Err(error) => (Err(error), None),
                };
                ServerAnswer { server: server.to_string(), texts, alias }
            }
        });
        Ok(join_all(queries).await)
    }

    async fn servers(&self, domain: &Domain) -> Result<Vec<NameServer>, PublishError> {
        let mut servers = self.given.clone();
        if servers.is_empty() {
            servers = self.find_servers(domain).await?;
        }
        servers.truncate(MOST);
        Ok(servers)
    }

    /// Finds the servers that the DNS lists for the nearest zone above the records.
    async fn find_servers(&self, domain: &Domain) -> Result<Vec<NameServer>, PublishError> {
        let unknown =
            |why: &str| unavailable(format!("cannot find the name servers of {domain}: {why}"));
        let full = name(domain);
        let mut rest = full.as_str();
        while rest.contains('.') {
            match self.dns.name_servers(rest).await {
                Ok(found) => {
                    let at = |ip: IpAddr| NameServer { host: ip.to_string(), port: self.port };
                    return Ok(found.into_iter().map(at).collect());
                }
                Err(Failure::Down(why)) => return Err(unknown(&why)),
                Err(Failure::Absent) => {}
            }
            rest = rest.split_once('.').map_or("", |(_, above)| above);
        }
        Err(unknown("no zone above it has any"))
    }
}

/// Queries one server.
async fn answer(server: &NameServer, name: &Name) -> Result<Answered, PublishError> {
    wire::texts(wire::address(server).await?, name).await
}

#[cfg(test)]
impl Zone {
    /// Uses the servers at these addresses, for the tests of other rooms.
    pub(crate) fn at(addresses: &[String]) -> Self {
        let server = |address: &String| {
            let address: std::net::SocketAddr = address.parse().unwrap();
            NameServer { host: address.ip().to_string(), port: address.port() }
        };
        let given = addresses.iter().map(server).collect();
        Self::open(&DnslinkSettings::default(), given).unwrap()
    }
}

#[cfg(test)]
mod tests {
    use super::super::test_server::{Manner, Server};
    use super::*;
    use crate::config::DnsServer;

    #[tokio::test]
    async fn a_server_that_is_not_found_is_reported_beside_the_others() {
        let server = Server::start(Manner::Texts(Vec::new(), 1)).await;
        let found: std::net::SocketAddr = server.address().parse().unwrap();
        let at = |host: &str| NameServer { host: host.to_owned(), port: found.port() };
        let given = vec![at("nowhere.invalid"), at("127.0.0.1")];
        let zone = Zone::open(&DnslinkSettings::default(), given).unwrap();
        let answers = zone.query(&"example.test".parse().unwrap()).await.unwrap();
        let [lost, found] = &*answers else { panic!("{answers:?}") };
        assert_eq!(lost.server, format!("nowhere.invalid:{}", at("").port));
        let why = lost.texts.as_ref().unwrap_err();
        assert!(why.to_string().contains("cannot find an address"), "{why}");
        assert!(found.texts.is_ok(), "{answers:?}");
    }

    #[tokio::test]
    async fn without_given_servers_those_of_the_zone_are_queried() {
        let texts = vec!["dnslink=/ipfs/bafyaabakaieac".to_owned()];
        let server = Server::start(Manner::Zone("example.test", texts.clone())).await;
        let address: std::net::SocketAddr = server.address().parse().unwrap();
        let servers = vec![DnsServer::Plain(address)];
        let settings = DnslinkSettings { servers, ..DnslinkSettings::default() };
        let zone = Zone { port: address.port(), ..Zone::open(&settings, Vec::new()).unwrap() };
        for domain in ["example.test", "a.b.example.test"] {
            let answers = zone.query(&domain.parse().unwrap()).await.unwrap();
            let [ServerAnswer { server, texts: Ok(found), .. }] = &*answers else {
                panic!("{answers:?}")
            };
            assert_eq!((server, found), (&address.to_string(), &texts), "{domain}");
        }
        let unknown = zone.query(&"example.com".parse().unwrap()).await.unwrap_err();
        assert!(unknown.to_string().contains("no zone above it has any"), "{unknown}");
    }
}
