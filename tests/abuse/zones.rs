//! Names that clients make up below a zone of somebody else.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;

use tokio::runtime::Runtime;

use super::metric;
use crate::common::Server;
use crate::common::http::{self, Response};
use crate::common::repository::assert_refused;
use crate::dnslink::A;
use crate::dnslink::server::{Manner, Server as Dns};

/// A name server with its runtime, and a registry that asks it.
fn start(manner: Manner, per_client: &'static str, all: &'static str) -> (Runtime, Dns, Server) {
    let runtime = Runtime::new().expect("the machine has threads");
    let dns = runtime.block_on(Dns::start(manner));
    let servers = dns.address();
    let server = Server::start_with(move |command| {
        command
            .env("ROADSTEAD_DNSLINK__SERVERS", &servers)
            .env("ROADSTEAD_DNSLINK__MAX_NEW_NAMES_PER_CLIENT", per_client)
            .env("ROADSTEAD_DNSLINK__MAX_NEW_NAMES", all)
            .env("ROADSTEAD_FEDERATION__KUBO__API", "none");
    });
    (runtime, dns, server)
}

/// Asks for a tag below a domain, as a client behind this machine's proxy.
fn ask(server: &Server, client: &str, domain: &str) -> Response {
    let url = server.url(&format!("/v2/{domain}/app/manifests/v1"));
    http::send(|http| http.get(&url).header("X-Forwarded-For", client))
}

#[test]
fn names_that_one_client_makes_up_are_not_looked_up_without_end() {
    let (_runtime, dns, server) = start(Manner::Texts(Vec::new(), 60), "20", "1000");
    let (refused, absent) = (AtomicU64::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        for group in 0..4 {
            let (server, refused, absent) = (&server, &refused, &absent);
            scope.spawn(move || {
                for number in 0..50 {
                    let answer =
                        ask(server, "198.51.100.1", &format!("n{group}-{number}.victim.test"));
                    if answer.status == 404 {
                        absent.fetch_add(1, Ordering::Relaxed);
                        continue;
                    }
                    assert_refused(&answer, 429, "TOOMANYREQUESTS");
                    assert!(answer.header("retry-after").parse::<u32>().unwrap() > 0);
                    refused.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    // A third of one comes back each second.
    let (refused, absent) = (refused.into_inner(), absent.into_inner());
    assert!(absent >= 20 && refused > 50, "{absent} were looked up, {refused} refused");
    let questions = dns.questions();
    let victims = questions.iter().filter(|name| name.contains("victim.test")).count();
    // Three questions for each name, which may be repeated once where the machine is slow.
    assert!(victims <= 6 * absent, "{victims} questions for {absent} names");
    assert_eq!(
        metric(&server, r#"roadstead_limit_refusals_total{limit="new_names_per_client"}"#),
        refused
    );
    // Others are served, also of the same network; and the client itself in every other respect.
    for client in ["198.51.100.2", "2001:db8::1"] {
        assert_eq!(ask(&server, client, "other.test").status, 404);
    }
    let answer = ask(&server, "198.51.100.1", "more.victim.test");
    assert!(matches!(answer.status, 404 | 429), "{}", answer.text());
    assert_eq!(http::get(&server.url("/v2/")).status, 200);
}

#[test]
fn all_clients_together_have_a_limit_too_and_known_names_are_served_on() {
    let link = vec![format!("dnslink=/ipfs/{A}")];
    let (_runtime, dns, server) = start(Manner::Texts(link, 1), "5", "20");
    // There is a record, and no source.
    let known = ask(&server, "198.51.100.1", "known.test");
    assert_eq!(known.status, 502, "{}", known.text());
    let mut refused = 0;
    for number in 0..60 {
        let client = format!("198.51.100.{}", number + 2);
        let answer = ask(&server, &client, &format!("n{number}.victim.test"));
        if answer.status == 429 {
            assert_refused(&answer, 429, "TOOMANYREQUESTS");
            refused += 1;
        }
    }
    assert!(refused > 10, "{refused}");
    let series = r#"roadstead_limit_refusals_total{limit="new_names"}"#;
    assert_eq!(metric(&server, series), refused);
    let before = dns.questions().len();
    // Neither what was found, nor who asks for it, counts.
    for number in 0..30 {
        let answer = ask(&server, &format!("203.0.113.{number}"), "known.test");
        assert_eq!(answer.status, 502, "{}", answer.text());
    }
    assert!(dns.questions().len() - before < 30 * 3);
}
