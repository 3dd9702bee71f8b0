//! A proxy before a name server that can lose the answers to updates.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

/// The code of an update, where a message has it (RFC 2136, 1.3).
const UPDATE: u8 = 5;

/// The proxy; it ends when it is dropped.
pub(crate) struct Lossy {
    address: SocketAddr,
    loses: Arc<AtomicBool>,
    is_over: Arc<AtomicBool>,
    listener: Option<JoinHandle<()>>,
}

impl Lossy {
    pub(crate) fn start(server: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (loses, is_over) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let (losing, over) = (loses.clone(), is_over.clone());
        let listener = thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if over.load(Ordering::Relaxed) {
                    return;
                }
                // Whoever breaks off meets the end of its connection.
                let _ = pass(client, &server, &losing);
            }
        });
        Self { address, loses, is_over, listener: Some(listener) }
    }

    pub(crate) fn address(&self) -> String {
        self.address.to_string()
    }

    pub(crate) fn lose(&self, loses: bool) {
        self.loses.store(loses, Ordering::Relaxed);
    }
}

impl Drop for Lossy {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.address);
        if let Some(listener) = self.listener.take() {
            let _ = listener.join();
        }
    }
}

fn pass(mut client: TcpStream, server: &str, losing: &AtomicBool) -> io::Result<()> {
    let request = message(&mut client)?;
    let mut server = TcpStream::connect(server)?;
    server.write_all(&request)?;
    let answer = message(&mut server)?;
    let is_update = request[4] >> 3 & 0xf == UPDATE;
    if is_update && losing.load(Ordering::Relaxed) {
        return Ok(());
    }
    client.write_all(&answer)
}

/// Reads a message, with its length before it.
fn message(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut message = vec![0; usize::from(u16::from_be_bytes(length)) + 2];
    message[..2].copy_from_slice(&length);
    stream.read_exact(&mut message[2..])?;
    Ok(message)
}
