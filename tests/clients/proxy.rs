//! A proxy by which a daemon reaches the registries of 127.0.0.1 under a name that is nobody's.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;

/// Starts a proxy that leads every name to 127.0.0.1, as long as this process lives; gives its URL.
pub(crate) fn start() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has free ports");
    let address = listener.local_addr().expect("a bound listener has an address");
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            // Whoever breaks off meets the end of its connection.
            thread::spawn(move || connect(client));
        }
    });
    format!("http://{address}")
}

/// Answers `CONNECT <host>:<port> HTTP/1.1`, and carries what follows to and fro.
fn connect(mut client: TcpStream) -> io::Result<()> {
    let mut requests = BufReader::new(client.try_clone()?);
    let mut line = String::new();
    requests.read_line(&mut line)?;
    let port = line.split(' ').nth(1).and_then(|target| target.rsplit_once(':')?.1.parse().ok());
    let port: u16 = port.ok_or(io::ErrorKind::InvalidData)?;
    while line != "\r\n" {
        line.clear();
        if requests.read_line(&mut line)? == 0 {
            return Ok(());
        }
    }
    let mut server = TcpStream::connect(("127.0.0.1", port))?;
    client.write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
    let mut to_server = server.try_clone()?;
    let sender = thread::spawn(move || {
        let _ = io::copy(&mut requests, &mut to_server);
        to_server.shutdown(Shutdown::Write)
    });
    let _ = io::copy(&mut server, &mut client);
    let _ = client.shutdown(Shutdown::Both);
    sender.join().expect("it does not panic")
}
