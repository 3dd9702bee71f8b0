//! A server that answers what a test makes up.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// The pause before each byte of a body that drips.
const DRIP: Duration = Duration::from_millis(20);

/// A server on a port of loopback, as long as the process lives. Each connection is for one request.
pub(crate) struct Fake {
    port: u16,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Fake {
    /// Answers each request, of which the head is given, with these bytes; without any it never answers.
    pub(crate) fn start(answer: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static) -> Self {
        Self::listen(answer, |mut client, bytes| client.write_all(bytes))
    }

    /// The same, but the body comes a byte at a time.
    pub(crate) fn dripping(answer: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static) -> Self {
        Self::listen(answer, |mut client, bytes| {
            let end = bytes.windows(4).position(|end| end == b"\r\n\r\n");
            let (head, body) = bytes.split_at(end.map_or(bytes.len(), |end| end + 4));
            client.write_all(head)?;
            for byte in body {
                thread::sleep(DRIP);
                client.write_all(&[*byte])?;
            }
            Ok(())
        })
    }

    fn listen(
        answer: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static,
        send: fn(&TcpStream, &[u8]) -> io::Result<()>,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has free ports");
        let port = listener.local_addr().expect("a bound listener has an address").port();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (answer, seen) = (Arc::new(answer), Arc::clone(&requests));
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (answer, seen) = (Arc::clone(&answer), Arc::clone(&seen));
                thread::spawn(move || serve(client, &*answer, send, &seen));
            }
        });
        Self { port, requests }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The heads of the requests so far, in lower case.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn serve(
    mut client: TcpStream,
    answer: &dyn Fn(&str) -> Vec<u8>,
    send: fn(&TcpStream, &[u8]) -> io::Result<()>,
    seen: &Mutex<Vec<String>>,
) -> io::Result<()> {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        if client.read(&mut byte)? == 0 {
            return Ok(());
        }
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).to_lowercase();
    seen.lock().unwrap_or_else(PoisonError::into_inner).push(head.clone());
    let bytes = answer(&head);
    if bytes.is_empty() {
        // Until the client goes.
        return io::copy(&mut client, &mut io::sink()).map(drop);
    }
    send(&client, &bytes)?;
    client.shutdown(Shutdown::Write)?;
    client.set_read_timeout(Some(Duration::from_secs(10)))?;
    io::copy(&mut client, &mut io::sink()).map(drop)
}

/// An answer with a length.
pub(crate) fn answer(status: u16, headers: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status} Whatever\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n"
    );
    [head.as_bytes(), body].concat()
}

/// An answer without a length.
pub(crate) fn chunked(status: u16, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 {status} Whatever\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n{headers}\r\n"
    );
    let mut bytes = head.into_bytes();
    for piece in body.chunks(4096) {
        bytes.extend(format!("{:x}\r\n", piece.len()).into_bytes());
        bytes.extend([piece, b"\r\n"].concat());
    }
    bytes.extend(b"0\r\n\r\n");
    bytes
}
