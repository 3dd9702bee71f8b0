//! Names to roots: by a real name server, by servers that misbehave, over HTTPS, and by IPNS records of a
//! real node.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod caching;
mod dialing;
mod faults;
mod https;
mod keys;
mod records;
mod secure;
pub(crate) mod server;

use std::time::{Duration, Instant};

use roadstead::config::{DnsServer, DnslinkSettings};
use roadstead::dnslink::{Answer, DnslinkError, DnslinkErrorKind, Resolver};
use roadstead::oci::RootName;

/// Two roots.
pub(crate) const A: &str = "bafybeiaysi4s6lnjev27ln5icwm6tueaw2vdykrtjkwiphwekaywqhcjze";
pub(crate) const B: &str = "bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi";

/// Settings that ask this server, and keep answers no longer than their records say.
pub(crate) fn settings(server: &str) -> DnslinkSettings {
    DnslinkSettings {
        servers: vec![DnsServer::Plain(server.parse().unwrap())],
        ttl_floor: Duration::from_millis(1),
        ..DnslinkSettings::default()
    }
}

pub(crate) fn resolver(server: &str) -> Resolver {
    Resolver::open(&settings(server)).unwrap()
}

pub(crate) fn domain(name: &str) -> RootName {
    RootName::Domain(name.to_owned())
}

pub(crate) async fn resolve(resolver: &Resolver, name: &str) -> Result<Answer, DnslinkError> {
    resolver.resolve(&domain(name)).await
}

/// Where a domain leads to, as `<root>[/path]`.
pub(crate) async fn root(resolver: &Resolver, name: &str) -> String {
    let answer = resolve(resolver, name).await.unwrap_or_else(|error| panic!("{name}: {error}"));
    assert_eq!(answer.stale_since, None, "{name}");
    shown(&answer)
}

pub(crate) fn shown(answer: &Answer) -> String {
    let path = answer.resolved.path.iter().map(|part| format!("/{part}"));
    answer.resolved.root.to_string() + &path.collect::<String>()
}

/// Waits until something is so; panics when it never is.
pub(crate) async fn wait(is_so: impl AsyncFn() -> bool) {
    let begun = Instant::now();
    while !is_so().await {
        assert!(begun.elapsed() < Duration::from_mins(1), "it never is so");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Why a domain leads nowhere.
pub(crate) async fn kind(resolver: &Resolver, name: &str) -> DnslinkErrorKind {
    resolve(resolver, name).await.expect_err("it leads nowhere").kind
}
