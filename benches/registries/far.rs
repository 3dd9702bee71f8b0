//! A server that is far away: what is sent takes its time, however much it is.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// A place before a server, from which it is so far away. It ends with the process.
pub(crate) struct Far {
    address: String,
}

impl Far {
    /// Puts one before a server. To connect takes the time of a round trip, and so does a request with its
    /// answer.
    pub(crate) fn from(server: &str, round_trip: Duration) -> Self {
        let server = server.to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has free ports");
        let address = listener.local_addr().expect("it is bound").to_string();
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let server = server.clone();
                thread::spawn(move || {
                    thread::sleep(round_trip);
                    let server = TcpStream::connect(server).expect("the server listens");
                    let ends = [(&client, &server), (&server, &client)];
                    for (from, to) in ends {
                        to.set_nodelay(true).expect("it is connected");
                        let [from, to] = [from, to].map(|end| end.try_clone().expect("it is open"));
                        carry(from, to, round_trip / 2);
                    }
                });
            }
        });
        Self { address }
    }

    /// `127.0.0.1:<port>`.
    pub(crate) fn address(&self) -> String {
        self.address.clone()
    }
}

/// Hands over each piece when its time has come.
fn carry(mut from: TcpStream, mut to: TcpStream, delay: Duration) {
    let (sender, pieces) = mpsc::channel::<(Instant, Vec<u8>)>();
    thread::spawn(move || {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(size @ 1..) = from.read(&mut buffer) {
            if sender.send((Instant::now() + delay, buffer[..size].to_vec())).is_err() {
                break;
            }
        }
    });
    thread::spawn(move || {
        for (due, piece) in pieces {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            if to.write_all(&piece).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Both);
    });
}
