//! A proxy before the RPC of a node, which knows what was asked.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// A proxy; it ends with the process of the tests.
pub(crate) struct Proxy {
    address: String,
    received: Arc<Mutex<Vec<u8>>>,
}

impl Proxy {
    /// Passes on whatever comes to a node at `http://127.0.0.1:<port>`.
    pub(crate) fn before(url: &str) -> Self {
        Self::changing(url, <[u8]>::to_vec)
    }

    /// The same for a client that is to ask for something else than it does.
    pub(crate) fn changing(
        url: &str,
        change: impl Fn(&[u8]) -> Vec<u8> + Send + Sync + 'static,
    ) -> Self {
        let change = Arc::new(change);
        let target = url.trim_start_matches("http://").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let received = Arc::<Mutex<Vec<u8>>>::default();
        let seen = Arc::clone(&received);
        thread::spawn(move || {
            for client in listener.incoming() {
                let (Ok(client), Ok(node)) = (client, TcpStream::connect(&target)) else {
                    continue;
                };
                client.set_nodelay(true).unwrap();
                node.set_nodelay(true).unwrap();
                let (from, to) = (node.try_clone().unwrap(), client.try_clone().unwrap());
                let (seen, change) = (Arc::clone(&seen), Arc::clone(&change));
                thread::spawn(move || {
                    pass(client, node, |bytes| {
                        seen.lock().unwrap().extend(bytes);
                        change(bytes)
                    });
                });
                thread::spawn(move || pass(from, to, <[u8]>::to_vec));
            }
        });
        Self { address, received }
    }

    pub(crate) fn url(&self) -> String {
        self.address.clone()
    }

    /// The commands that were asked for since the last time, in their order: `files/stat`.
    pub(crate) fn take(&self) -> Vec<String> {
        let received = std::mem::take(&mut *self.received.lock().unwrap());
        let text = String::from_utf8_lossy(&received);
        let requests = text.split("POST /api/v0/").skip(1);
        let ends = |it: char| it == '?' || it == ' ';
        requests.filter_map(|it| Some(it.split(ends).next()?.to_owned())).collect()
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, change: impl Fn(&[u8]) -> Vec<u8>) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(size @ 1..) = from.read(&mut buffer) {
        if to.write_all(&change(&buffer[..size])).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
    let _ = from.shutdown(Shutdown::Both);
}
