//! A bare connection, for what no HTTP library would send: bodies that break off, wrong lengths, paths
//! that libraries tidy up.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use crate::common::Server;

/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(20);

/// A connection to a server.
pub(crate) struct Connection {
    stream: TcpStream,
}

/// An answer as it came over the wire.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The header's text, if it is there.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The code of the error that the body tells of.
    pub(crate) fn code(&self) -> String {
        let body: serde_json::Value = serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("not JSON ({error}): {self:?}"));
        body["errors"][0]["code"].as_str().unwrap_or_default().to_owned()
    }
}

impl Connection {
    pub(crate) fn open(server: &Server) -> Self {
        Self::to(server.address())
    }

    /// One of which the system receives no more than the least that it can before that is read.
    pub(crate) fn open_with_small_buffer(server: &Server) -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("there are sockets");
        socket.set_recv_buffer_size(1).expect("the system takes its least");
        let address: SocketAddr = server.address().parse().expect("it is an address");
        socket.connect(&address.into()).expect("the server listens");
        Self::by(socket.into())
    }

    pub(crate) fn to(address: &str) -> Self {
        Self::by(TcpStream::connect(address).expect("the server listens"))
    }

    fn by(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(TIMEOUT)).expect("it is not zero");
        stream.set_write_timeout(Some(TIMEOUT)).expect("it is not zero");
        Self { stream }
    }

    /// Sends bytes as they are; the server may have hung up.
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.stream.write_all(bytes.as_ref());
    }

    /// Sends a request without a body: `connection.ask("GET", "/v2/", &[])`.
    pub(crate) fn ask(&mut self, method: &str, target: &str, headers: &[(&str, &str)]) {
        let mut head = format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\n");
        for (name, value) in headers {
            head.extend([*name, ": ", *value, "\r\n"]);
        }
        self.send(format!("{head}\r\n"));
    }

    /// Says that nothing more will be sent.
    pub(crate) fn end(&self) {
        // The server may have hung up already.
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// Hangs up at once, as a client does that is killed: the server meets an error, not an end.
    pub(crate) fn reset(self) {
        rustix::net::sockopt::set_socket_linger(&self.stream, Some(Duration::ZERO))
            .expect("a socket can be told not to linger");
    }

    /// Reads bytes as they are; none at the end.
    pub(crate) fn read_some(&mut self, buffer: &mut [u8]) -> usize {
        self.stream.read(buffer).expect("the connection lasts")
    }

    /// The same where the other side may hang up; none then, too.
    pub(crate) fn read_until_cut(&mut self, buffer: &mut [u8]) -> usize {
        match self.stream.read(buffer) {
            Ok(length) => length,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                panic!("nothing came for long: {error}")
            }
            Err(_) => 0,
        }
    }

    /// Reads an answer to its end.
    pub(crate) fn answer(&mut self) -> Answer {
        self.try_answer(false).expect("the server answers")
    }

    /// Reads the answer to a HEAD: whatever length it tells, no body follows.
    pub(crate) fn answer_to_head(&mut self) -> Answer {
        self.try_answer(true).expect("the server answers")
    }

    /// Reads an answer; none when the connection ends before there is a whole one.
    pub(crate) fn try_answer(&mut self, is_to_head: bool) -> Option<Answer> {
        let head = self.head()?;
        let mut lines = head.split("\r\n");
        let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
        let headers = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        let mut answer = Answer { status, headers, body: Vec::new() };
        let length = answer.header("content-length").map_or(0, |length| {
            length.parse().unwrap_or_else(|_| panic!("not a length: {length}"))
        });
        if !is_to_head && status != 304 {
            answer.body = vec![0; length];
            self.stream.read_exact(&mut answer.body).ok()?;
        }
        Some(answer)
    }

    /// Reads up to the empty line.
    fn head(&mut self) -> Option<String> {
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            if !matches!(self.stream.read(&mut byte), Ok(1)) {
                return None;
            }
            head.push(byte[0]);
        }
        Some(String::from_utf8(head).expect("a head is ASCII here"))
    }
}

/// Sends one request without a body on a connection of its own.
pub(crate) fn ask(server: &Server, method: &str, target: &str, headers: &[(&str, &str)]) -> Answer {
    let mut connection = Connection::open(server);
    connection.ask(method, target, headers);
    connection
        .try_answer(method == "HEAD")
        .unwrap_or_else(|| panic!("no answer to {method} {}", &target[..target.len().min(100)]))
}
