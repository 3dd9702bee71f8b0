//! Two operators and a name server between them.

use std::process::Command;

use crate::common::bind::Bind;
use crate::common::{Server, succeed};

/// The publisher's domain.
pub(crate) const DOMAIN: &str = "publisher.test";

/// A registry that publishes, the name server, and another registry that knows it.
pub(crate) struct Operators {
    pub(crate) publisher: Server,
    pub(crate) dns: Bind,
    pub(crate) other: Server,
}

impl Operators {
    /// Starts them with nothing published; none where there is no name server.
    pub(crate) fn start() -> Option<Self> {
        Self::start_with(|_| {})
    }

    /// The same, after `configure` has said more to the other one.
    pub(crate) fn start_with(
        configure: impl Fn(&mut Command) + Send + Sync + 'static,
    ) -> Option<Self> {
        let dns = Bind::start(&[(DOMAIN, ""), ("other.test", "")])?;
        let publisher = Server::start();
        let servers = dns.address();
        let other = Server::start_with(move |command| {
            command
                .env("ROADSTEAD_DNSLINK__SERVERS", &servers)
                .env("ROADSTEAD_DNSLINK__ALLOW_PRIVATE_ADDRESSES", "true")
                .env("ROADSTEAD_DNSLINK__TTL_FLOOR", "1s")
                // Whoever keeps images in a node would ask it for whatever no gateway has.
                .env("ROADSTEAD_FEDERATION__KUBO__API", "none");
            configure(command);
        });
        Some(Self { publisher, dns, other })
    }

    /// The root of what the publisher has.
    pub(crate) fn root(&self) -> String {
        succeed(&mut self.publisher.command(["root"])).trim().to_owned()
    }

    /// Where the publisher says that it can be reached.
    pub(crate) fn hint(&self) -> String {
        let port = self.publisher.address().rsplit_once(':').expect("it has a port").1;
        format!("/ip4/127.0.0.1/tcp/{port}/http")
    }

    /// Writes the publisher's root, and where it is reached, into the DNS.
    pub(crate) fn publish(&self) {
        self.publish_as(&format!("dnslink=/ipfs/{}", self.root()), &self.hint());
    }

    pub(crate) fn publish_as(&self, link: &str, hint: &str) {
        self.publish_at(DOMAIN, link, hint);
    }

    /// Writes a link and a hint into the DNS for a domain, which is the publisher's or below it.
    pub(crate) fn publish_at(&self, domain: &str, link: &str, hint: &str) {
        self.dns.update(
            DOMAIN,
            &format!(
                "update delete _dnslink.{domain} TXT\n\
                 update add _dnslink.{domain} 1 TXT \"{link}\"\n\
                 update add _dnslink.{domain} 1 TXT \"ipfsnode={hint}\""
            ),
        );
    }
}
