//! Networks that cut: a pull and a push go on where they were.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use roadstead::client::{Client, Content};
use tempfile::TempDir;

use crate::client::{client, digest, repository};
use crate::clients::chaos::proxy::Proxy;
use crate::clients::link::{Link, Manner};
use crate::clients::stock_registry::StockRegistry;
use crate::common::content::{MIB, noise};
use crate::common::dice::Dice;
use crate::common::{Server, require};

/// How many pushes there are at least, and how many until the network has failed a few times.
const PUSHES: usize = 12;
const MOST_PUSHES: usize = 100;

/// How often the network has to fail.
const FAULTS: usize = 3;

#[tokio::test]
async fn a_pull_goes_on_where_it_was_cut() {
    let server = Server::start();
    let bytes = noise(6 * MIB, 3);
    let direct = repository(&client(&server.url("")), "team/app");
    direct.push_blob(&digest(&bytes), &bytes.clone().into()).await.unwrap();
    let manner =
        Manner { cuts: 3, cut_after: MIB, per_mebibyte: Duration::ZERO, stop_after: usize::MAX };
    let link = Link::start(server.address(), manner);
    let cut = repository(&client(&format!("http://{}", link.address())), "team/app");
    let blob = cut.blob(&digest(&bytes)).await.unwrap();
    assert!(blob.read_to_end(bytes.len()).await.unwrap() == bytes);
    assert_eq!(link.cut(), 3);
    assert!(link.take() < bytes.len() * 3 / 2, "what had come is not fetched again");
}

#[tokio::test]
async fn a_push_goes_on_through_a_network_that_fails() {
    let server = Server::start();
    pushes_go_on(server.address()).await;
}

#[tokio::test]
async fn a_push_to_the_stock_registry_goes_on_through_a_network_that_fails() {
    let Some(program) = require("registry") else { return };
    let folder = TempDir::new().expect("a temporary folder can be made");
    let stock = StockRegistry::start(&program, folder.path(), false);
    pushes_go_on(stock.address()).await;
}

async fn pushes_go_on(registry: &str) {
    let mut dice = Dice::cast();
    let proxy = Proxy::start(&Arc::new(Mutex::new(registry.to_owned())), dice.branch());
    let direct = client(&format!("http://{registry}"));
    let through = client(&format!("http://{}", proxy.address()));
    for push in 0..MOST_PUSHES {
        if push >= PUSHES && proxy.met().values().sum::<usize>() >= FAULTS {
            break;
        }
        let bytes = dice.bytes(3 * MIB);
        let content = Content::from(bytes.clone());
        proxy.trouble();
        let repository = |client: &Client| repository(client, "team/app");
        let name = digest(&bytes);
        // A network that fails many times in a row is reported, and the push repeated.
        for attempt in 0..3 {
            let pushed = if push % 2 == 0 {
                repository(&through).push_blob(&name, &content).await
            } else {
                repository(&through).push_blob_in_chunks(&name, &content, MIB as u64).await
            };
            match pushed {
                Ok(()) => break,
                Err(error) if error.may_succeed_later() && attempt < 2 => {}
                Err(error) => panic!("{error}"),
            }
        }
        let blob = repository(&direct).blob(&name).await.unwrap();
        assert!(blob.read_to_end(bytes.len()).await.unwrap() == bytes);
    }
    let met = proxy.met();
    assert!(met.values().sum::<usize>() >= FAULTS, "{met:?}");
}
