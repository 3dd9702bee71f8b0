//! A gateway of the test's own, which answers what the test likes.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

/// What is asked of it.
pub(crate) struct Request {
    /// The path with its query.
    pub(crate) path: String,
    /// By which name.
    pub(crate) host: String,
}

/// What it answers.
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Lines of the head, each with its end.
    pub(crate) fields: String,
    pub(crate) body: Vec<u8>,
}

/// A gateway; it ends with the process of the tests.
pub(crate) struct Answering(String);

impl Answering {
    /// Answers a path with its query by these bytes; 404 where there are none.
    pub(crate) fn start(answer: impl Fn(&str) -> Option<Vec<u8>> + Send + Sync + 'static) -> Self {
        Self::start_with(move |request| match answer(&request.path) {
            Some(body) => Answer { status: 200, fields: String::new(), body },
            None => Answer { status: 404, fields: String::new(), body: Vec::new() },
        })
    }

    /// Answers requests as the test likes.
    pub(crate) fn start_with(answer: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let answer = Arc::new(answer);
        thread::spawn(move || {
            for client in listener.incoming() {
                let (Ok(client), answer) = (client, Arc::clone(&answer)) else { continue };
                thread::spawn(move || serve(client, &*answer));
            }
        });
        Self(format!("http://{address}"))
    }

    pub(crate) fn url(&self) -> String {
        self.0.clone()
    }

    /// The multiaddr of it.
    pub(crate) fn hint(&self) -> String {
        format!("/ip4/127.0.0.1/tcp/{}/http", self.0.rsplit_once(':').unwrap().1)
    }
}

fn serve(client: TcpStream, answer: &dyn Fn(&Request) -> Answer) {
    let mut reader = BufReader::new(client.try_clone().unwrap());
    let mut client = client;
    loop {
        let mut first = String::new();
        if reader.read_line(&mut first).unwrap_or(0) == 0 {
            return;
        }
        let (mut line, mut host) = (String::new(), String::new());
        while reader.read_line(&mut line).unwrap_or(0) > 2 {
            if let Some(("host", value)) = line.to_ascii_lowercase().split_once(':') {
                value.trim().clone_into(&mut host);
            }
            line.clear();
        }
        let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
        let Answer { status, fields, body } = answer(&Request { path, host });
        let length = body.len();
        let head = format!("HTTP/1.1 {status} Answer\r\n{fields}content-length: {length}\r\n\r\n");
        if client.write_all(&[head.as_bytes(), &body].concat()).is_err() {
            return;
        }
    }
}
