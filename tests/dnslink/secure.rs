//! DNSSEC: a zone that a real name server signs, with its key as the one that is trusted.

use std::fs;
use std::net::IpAddr;

use roadstead::dnslink::{DnslinkErrorKind, Host, Resolver, Step, Validation};
use tempfile::TempDir;

use super::server::Server;
use super::{A, domain, kind, root, settings};
use crate::common::Bind;

const ZONE: &str = "signed.test";

/// A resolver that trusts these keys alone.
fn resolver(server: &str, keys: &str) -> Resolver {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("trusted.key");
    fs::write(&path, keys).unwrap();
    let mut settings = settings(server);
    settings.dnssec = true;
    settings.trust_anchors = Some(path);
    Resolver::open(&settings).unwrap()
}

/// The keys of the zone, once the server has signed it.
fn keys(bind: &Bind) -> String {
    bind.wait_until_signed("_dnslink.a.signed.test");
    bind.dig(["+noall", "+answer", "DNSKEY", ZONE])
}

fn records() -> String {
    format!("_dnslink.a TXT \"dnslink=/ipfs/{A}\"\n_dnslink.c CNAME _dnslink.a\n")
}

#[tokio::test]
async fn a_signed_answer_is_taken_and_so_is_a_signed_denial() {
    let records = records();
    let Some(bind) = Bind::start_signed(&[(ZONE, &records)], &[ZONE]) else { return };
    let resolver = resolver(&bind.address(), &keys(&bind));
    assert_eq!(root(&resolver, "a.signed.test").await, A);
    assert_eq!(root(&resolver, "c.signed.test").await, A);
    assert_eq!(kind(&resolver, "absent.signed.test").await, DnslinkErrorKind::NotFound);
    let trace = resolver.trace(&domain("a.signed.test")).await;
    let Step::Query { validation, .. } = &trace.steps[0] else { panic!("{:?}", trace.steps) };
    assert_eq!(*validation, Some(Validation::Secure));
}

#[tokio::test]
async fn a_zone_that_is_proven_to_be_unsigned_is_taken_as_it_is() {
    let records = records() + "child NS ns.child\nns.child A 127.0.0.1\n";
    let child = format!("_dnslink TXT \"dnslink=/ipfs/{A}\"\n");
    let zones = [(ZONE, records.as_str()), ("child.signed.test", &child)];
    let Some(bind) = Bind::start_signed(&zones, &[ZONE]) else { return };
    let resolver = resolver(&bind.address(), &keys(&bind));
    assert_eq!(root(&resolver, "child.signed.test").await, A);
    let trace = resolver.trace(&domain("child.signed.test")).await;
    let Step::Query { validation, .. } = &trace.steps[0] else { panic!("{:?}", trace.steps) };
    assert_eq!(*validation, Some(Validation::Insecure));
}

#[tokio::test]
async fn an_answer_that_is_not_signed_or_by_another_key_is_none() {
    let records = records();
    let Some(bind) = Bind::start_signed(&[(ZONE, &records)], &[ZONE]) else { return };
    let keys = keys(&bind);
    let Some(other) = Bind::start_signed(&[(ZONE, &records)], &[ZONE]) else { return };
    let by_another_key = resolver(&other.address(), &keys);
    assert_eq!(kind(&by_another_key, "a.signed.test").await, DnslinkErrorKind::Unavailable);
    let Some(plain) = Bind::start(&[(ZONE, &records)]) else { return };
    for name in ["a.signed.test", "absent.signed.test"] {
        let unsigned = resolver(&plain.address(), &keys);
        assert_eq!(kind(&unsigned, name).await, DnslinkErrorKind::Unavailable, "{name}");
    }
    let forger = Server::with_root(A).await;
    let by_forger = resolver(&forger.address(), &keys);
    assert_eq!(kind(&by_forger, "a.signed.test").await, DnslinkErrorKind::Unavailable);
}

/// The library refuses these (hickory-dns#3812; case B3 of faults.md).
#[tokio::test]
async fn what_a_wildcard_makes_is_taken_in_zones_signed_with_nsec() {
    let link = format!("@ TXT \"dnslink=/ipfs/{A}\"\n_dnslink.a TXT \"dnslink=/ipfs/{A}\"\n");
    for wildcard in
        ["", "* A 1.1.1.1\n", "* TXT \"x\"\n", "* CNAME @\n", "*.deep CNAME a\na TXT x\n"]
    {
        let records = format!("{link}{wildcard}");
        let Some(bind) = Bind::start_signed(&[(ZONE, &records)], &[ZONE]) else { return };
        let keys = keys(&bind);
        let resolver = resolver(&bind.address(), &keys);
        for name in [ZONE, "a.signed.test"] {
            assert_eq!(root(&resolver, name).await, A, "{name} {wildcard}");
            let trace = resolver.trace(&domain(name)).await;
            for step in &trace.steps {
                if let Step::Query { validation, records, .. } = step
                    && !records.is_empty()
                {
                    assert_eq!(
                        *validation,
                        Some(Validation::Secure),
                        "{name} {wildcard}: {step:?}"
                    );
                }
            }
        }
        // The same zone, signed by others.
        let Some(other) = Bind::start_signed(&[(ZONE, &records)], &[ZONE]) else { return };
        other.wait_until_signed("_dnslink.a.signed.test");
        let forged = self::resolver(&other.address(), &keys);
        assert_eq!(kind(&forged, ZONE).await, DnslinkErrorKind::Unavailable, "{wildcard}");
    }
}

#[tokio::test]
async fn the_address_that_a_wildcard_makes_is_taken_in_zones_signed_with_nsec() {
    for wildcard in ["* A 1.1.1.1\n", "* CNAME a\na A 1.1.1.1\n", "gw A 1.1.1.1\n"] {
        let records = format!("{}{wildcard}", records());
        let Some(bind) = Bind::start_signed(&[(ZONE, &records)], &[ZONE]) else { return };
        let dialer = resolver(&bind.address(), &keys(&bind)).dialer();
        for host in ["gw.signed.test", "nothing.a.signed.test"] {
            let found = dialer.addresses(&Host::Name4(host.parse().unwrap())).await;
            if host.starts_with("gw") {
                let expected: Vec<IpAddr> = vec!["1.1.1.1".parse().unwrap()];
                assert_eq!(found, Ok(expected), "{wildcard}");
            } else {
                // Below a name that exists no wildcard makes anything.
                assert!(found.is_err(), "{wildcard}: {found:?}");
            }
        }
    }
}

#[test]
fn unreadable_keys_are_reported_at_start() {
    let mut settings = settings("127.0.0.1:53");
    settings.dnssec = true;
    settings.trust_anchors = Some("/nowhere/trusted.key".into());
    let error = Resolver::open(&settings).err().unwrap();
    assert!(error.to_string().contains("`dnslink.trust_anchors`"), "{error}");
}
