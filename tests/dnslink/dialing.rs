//! What is dialled: nothing that the operator did not allow (I8).

use std::net::IpAddr;
use std::sync::Arc;

use roadstead::dnslink::{DialError, Dialer, Hint, Host, Peer, Resolver};
use tokio::net::TcpListener;

use super::server::{Manner, Server};
use super::settings;

const ID: &str = "12D3KooWEqnTdgqHnkkwarSrJjeMP2ZJiADWLYADaNvUb6SQNyPF";

fn dialer(server: &Server, allow_private: bool) -> Dialer {
    let mut settings = settings(&server.address());
    settings.allow_private_addresses = allow_private;
    Resolver::open(&settings).unwrap().dialer()
}

fn client(dialer: &Dialer) -> reqwest::Client {
    let client = reqwest::Client::builder().no_proxy();
    client.dns_resolver(Arc::new(dialer.clone())).build().unwrap()
}

fn name(text: &str) -> Host {
    Host::Name(text.parse().unwrap())
}

fn peer(address: &str) -> Peer {
    match address.parse().unwrap() {
        Hint::Peer(peer) => peer,
        Hint::Gateway(_) => panic!("{address} is a gateway"),
    }
}

#[tokio::test]
async fn a_name_is_dialled_only_at_addresses_that_may_be() {
    let server = Server::start(Manner::Addresses(vec!["10.0.0.1"])).await;
    let dialer_of = |allow| dialer(&server, allow);
    let forbidden = dialer_of(false).addresses(&name("gateway.test")).await;
    assert!(matches!(forbidden, Err(DialError::Forbidden(_))), "{forbidden:?}");
    let lab = dialer_of(true).addresses(&name("gateway.test")).await.unwrap();
    assert_eq!(lab, ["10.0.0.1".parse::<IpAddr>().unwrap()]);
    server.change(Manner::Addresses(vec!["1.1.1.1"]));
    let public = dialer_of(false).addresses(&name("other.test")).await.unwrap();
    assert_eq!(public, ["1.1.1.1".parse::<IpAddr>().unwrap()]);
    server.change(Manner::Addresses(vec!["::ffff:127.0.0.1"]));
    let mapped = dialer_of(false).addresses(&Host::Name6("mapped.test".parse().unwrap())).await;
    assert!(matches!(mapped, Err(DialError::Forbidden(_))), "{mapped:?}");
    // These never leave the machine.
    let local = dialer_of(false).addresses(&name("a.localhost")).await;
    assert!(matches!(local, Err(DialError::Forbidden(_))), "{local:?}");
}

#[tokio::test]
async fn a_client_reaches_no_private_address_by_whatever_name() {
    let server = Server::start(Manner::Addresses(vec!["127.0.0.1"])).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let url = format!("http://gateway.test:{port}/");
    let refused = client(&dialer(&server, false)).get(&url).send().await.unwrap_err();
    assert!(refused.is_connect(), "{refused:?}");
    assert!(format!("{refused:?}").contains("Forbidden"), "{refused:?}");
    // In a lab it is dialled: the connection arrives.
    let lab = tokio::spawn(client(&dialer(&server, true)).get(&url).send());
    listener.accept().await.unwrap();
    lab.abort();
}

#[tokio::test]
async fn a_name_that_moves_after_it_was_checked_gains_nothing() {
    let server = Server::start(Manner::Addresses(vec!["1.1.1.1", "127.0.0.1"])).await;
    let dialer = dialer(&server, false);
    assert!(dialer.addresses(&name("rebinding.test")).await.is_ok(), "it is a public one first");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let sent = client(&dialer).get(format!("http://rebinding.test:{port}/")).send().await;
    assert!(format!("{:?}", sent.unwrap_err()).contains("Forbidden"));
}

#[tokio::test]
async fn a_literal_address_in_a_url_is_checked_before_it_is_dialled() {
    let server = Server::start(Manner::Silence).await;
    let dialer = dialer(&server, false);
    for url in [
        "http://127.0.0.1:80/",
        "http://169.254.169.254/latest/meta-data",
        "http://[::1]/",
        "http://[::ffff:10.0.0.1]/",
        "http://2130706433/",
        "http://0x7f.1/",
        "ftp://example.com/",
    ] {
        assert!(dialer.check_url(&url.parse().unwrap()).is_err(), "{url}");
    }
    for url in ["https://example.com/", "http://1.1.1.1/"] {
        assert!(dialer.check_url(&url.parse().unwrap()).is_ok(), "{url}");
    }
    let Hint::Gateway(gateway) = "/ip4/192.168.1.1/tcp/80/http".parse().unwrap() else { panic!() };
    assert!(dialer.check_gateway(&gateway).is_err());
}

#[tokio::test]
async fn a_node_is_given_literal_addresses_that_were_checked() {
    let server = Server::start(Manner::Addresses(vec!["1.1.1.1"])).await;
    let dialer = dialer(&server, false);
    let named = peer(&format!("/dns4/node.test/udp/4001/quic-v1/p2p/{ID}"));
    let found: Vec<String> =
        dialer.peer_addresses(&named).await.unwrap().iter().map(ToString::to_string).collect();
    assert_eq!(found, [format!("/ip4/1.1.1.1/udp/4001/quic-v1/p2p/{ID}")]);
    let private = peer(&format!("/ip4/127.0.0.1/tcp/4001/p2p/{ID}"));
    let refused = dialer.peer_addresses(&private).await;
    assert!(matches!(refused, Err(DialError::Forbidden(_))), "{refused:?}");
}

#[tokio::test]
async fn a_dnsaddr_is_followed_to_the_same_peer_and_not_in_circles() {
    let other = "QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N";
    let records = format!(
        "_dnsaddr.a TXT \"dnsaddr=/dnsaddr/b.names.test/p2p/{ID}\"\n\
         _dnsaddr.a TXT \"dnsaddr=/ip4/10.0.0.1/tcp/4001/p2p/{ID}\"\n\
         _dnsaddr.b TXT \"dnsaddr=/dns4/node.names.test/tcp/4001/p2p/{ID}\"\n\
         _dnsaddr.b TXT \"dnsaddr=/ip4/1.0.0.1/tcp/4001/p2p/{other}\"\n\
         _dnsaddr.b TXT \"dnsaddr=/dnsaddr/a.names.test/p2p/{ID}\"\n\
         node A 1.1.1.1\n"
    );
    let Some(bind) = crate::common::Bind::start(&[("names.test", &records)]) else { return };
    let dialer = Resolver::open(&settings(&bind.address())).unwrap().dialer();
    let found = dialer.peer_addresses(&peer(&format!("/dnsaddr/a.names.test/p2p/{ID}"))).await;
    let found: Vec<String> = found.unwrap().iter().map(ToString::to_string).collect();
    assert_eq!(found, [format!("/ip4/1.1.1.1/tcp/4001/p2p/{ID}")]);
}

#[tokio::test]
async fn a_peer_whose_records_name_unanswered_names_is_given_up() {
    let texts = (0..6).map(|number| format!("dnsaddr=/dns4/n{number}.test/tcp/4001/p2p/{ID}"));
    let server = Server::start(Manner::Dnsaddr(texts.collect())).await;
    let address = format!("/dnsaddr/a.test/p2p/{ID}");
    let given_up = dialer(&server, false).peer_addresses(&peer(&address)).await;
    // As a whole, not one of those names.
    let why = "its DNS records could not be followed in time".to_owned();
    assert_eq!(given_up, Err(DialError::Unavailable(address, why)));
}

/// Records of a peer that name so many hosts, and so many domains that have such records again.
fn spread(hosts: usize, domains: usize) -> Vec<String> {
    let host = |number| format!("dnsaddr=/dns4/n{number}.%/tcp/1/p2p/{ID}");
    let domain = |number| format!("dnsaddr=/dnsaddr/d{number}.%/p2p/{ID}");
    (0..hosts).map(host).chain((0..domains).map(domain)).collect()
}

#[tokio::test]
async fn a_peer_is_looked_for_under_a_few_names_however_many_its_records_name() {
    let peer = peer(&format!("/dnsaddr/a.test/p2p/{ID}"));
    for (hosts, domains) in [(8, 3), (5, 5)] {
        let server = Server::start(Manner::Spread(spread(hosts, domains))).await;
        let found = dialer(&server, true).peer_addresses(&peer).await;
        assert!(matches!(found, Err(DialError::Unavailable(..))), "{found:?}");
        let questions = server.questions();
        // Repeated questions are counted once. There would be hundreds of names.
        assert!(questions.len() == 16, "{hosts} {domains}: {questions:?}");
    }
}

#[tokio::test]
async fn addresses_that_need_no_question_are_found_among_many_names() {
    let literal = format!("dnsaddr=/ip4/192.0.2.1/tcp/1/p2p/{ID}");
    let records = [literal].into_iter().chain(spread(7, 3)).collect();
    let server = Server::start(Manner::Spread(records)).await;
    let peer = peer(&format!("/dnsaddr/a.test/p2p/{ID}"));
    let found = dialer(&server, true).peer_addresses(&peer).await.unwrap();
    let found: Vec<String> = found.iter().map(ToString::to_string).collect();
    assert!(found.iter().all(|address| address.starts_with("/ip4/192.0.2.1/")), "{found:?}");
}
