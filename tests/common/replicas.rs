//! Several processes over one Kubo node and one Postgres, all of the test's own, and a balancer in front.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::thread::{self, JoinHandle};

use super::pair::Pair;
use super::postgres::Postgres;
use super::{KuboNode, Server};

/// How many processes there are.
pub(crate) const REPLICAS: usize = 3;

/// The processes, and what they stand on.
pub(crate) struct Replicas {
    // Fields are dropped in this order: the processes go before what they use.
    pub(crate) servers: Vec<Server>,
    pub(crate) pair: Arc<Pair>,
    pub(crate) node: KuboNode,
    pub(crate) postgres: Postgres,
}

impl Replicas {
    /// Starts all. Skips or fails as [`require`](super::require) does.
    pub(crate) fn start() -> Option<Self> {
        Self::start_with(|_| {})
    }

    /// Starts all, each process after `configure` has added arguments or environment to its command.
    pub(crate) fn start_with(configure: fn(&mut Command)) -> Option<Self> {
        let node = KuboNode::start()?;
        let postgres = Postgres::start(&[])?;
        let pair = Arc::new(Pair::make_on(&node.api(), &node.gateway(), &postgres.url()));
        // At the same time, as whoever starts them does.
        let servers = thread::scope(|scope| {
            let starts: Vec<_> = (0..REPLICAS)
                .map(|_| scope.spawn(|| Server::start_over(&pair, configure)))
                .collect();
            starts.into_iter().map(|start| start.join().expect("it starts")).collect()
        });
        Some(Self { servers, pair, node, postgres })
    }

    /// Their addresses, `127.0.0.1:<port>` each.
    pub(crate) fn addresses(&self) -> Vec<String> {
        self.servers.iter().map(|server| server.address().to_owned()).collect()
    }
}

/// Hands each connection to the next of several addresses, and carries bytes to and fro.
pub(crate) struct Balancer {
    address: SocketAddr,
    is_over: Arc<AtomicBool>,
    counts: Arc<Vec<AtomicUsize>>,
    listener: Option<JoinHandle<()>>,
}

impl Balancer {
    pub(crate) fn start(addresses: Vec<String>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has free ports");
        let address = listener.local_addr().expect("a bound listener has an address");
        let is_over = Arc::new(AtomicBool::new(false));
        let counts: Arc<Vec<_>> = Arc::new(addresses.iter().map(|_| AtomicUsize::new(0)).collect());
        let (over, count) = (is_over.clone(), counts.clone());
        let listener = thread::spawn(move || {
            for (number, client) in listener.incoming().flatten().enumerate() {
                if over.load(Ordering::Relaxed) {
                    return;
                }
                let next = number % addresses.len();
                count[next].fetch_add(1, Ordering::Relaxed);
                let address = addresses[next].clone();
                // Whoever breaks off meets the end of its connection.
                thread::spawn(move || carry(client, &address));
            }
        });
        Self { address, is_over, counts, listener: Some(listener) }
    }

    /// `127.0.0.1:<port>`.
    pub(crate) fn address(&self) -> String {
        self.address.to_string()
    }

    /// How many connections each address was given.
    pub(crate) fn counts(&self) -> Vec<usize> {
        self.counts.iter().map(|count| count.load(Ordering::Relaxed)).collect()
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        // It looks at that when somebody comes.
        let _ = TcpStream::connect(self.address);
        if let Some(listener) = self.listener.take() {
            let _ = listener.join();
        }
    }
}

fn carry(mut client: TcpStream, address: &str) -> io::Result<()> {
    let mut server = TcpStream::connect(address)?;
    let (mut from_client, mut to_server) = (client.try_clone()?, server.try_clone()?);
    let sender = thread::spawn(move || {
        let _ = io::copy(&mut from_client, &mut to_server);
        to_server.shutdown(Shutdown::Write)
    });
    let _ = io::copy(&mut server, &mut client);
    let _ = client.shutdown(Shutdown::Both);
    sender.join().expect("it does not panic")
}

/// Addresses of processes that are killed and come back elsewhere.
#[derive(Default)]
pub(crate) struct Addresses(RwLock<Vec<String>>);

impl Addresses {
    pub(crate) fn set(&self, addresses: Vec<String>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = addresses;
    }

    /// The address of one of them, by any number.
    pub(crate) fn any(&self, number: u64) -> String {
        let addresses = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let index = number % u64::try_from(addresses.len()).expect("there are few");
        addresses[usize::try_from(index).expect("it is less")].clone()
    }
}
