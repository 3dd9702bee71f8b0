//! Somebody between a publisher's gateway and whoever restores, who misbehaves.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};

/// How it misbehaves; it counts answers from 0.
#[derive(Clone, Copy)]
pub(super) enum Manner {
    /// Not at all.
    Good,
    /// Does not say in which order blocks are.
    Unordered,
    /// Answers what asks for an archive by this status.
    NoArchives(u16),
    /// Changes the last byte of each answer of a file.
    Wrong,
    /// Ends each answer that is long in its middle.
    Cut,
    /// Hangs up on every third request.
    Flaky,
    /// Hangs up on each request after the twelfth.
    Lost,
}

/// A running proxy. Dropping it ends it.
pub(super) struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: Option<JoinHandle<()>>,
}

struct Shared {
    target: String,
    manner: Manner,
    requests: AtomicUsize,
    is_over: AtomicBool,
}

impl Proxy {
    /// Stands before `127.0.0.1:<port>`.
    pub(super) fn start(target: &str, manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            target: target.to_owned(),
            manner,
            requests: AtomicUsize::new(0),
            is_over: AtomicBool::new(false),
        });
        let serving = Arc::clone(&shared);
        let task = thread::spawn(move || {
            for stream in listener.incoming() {
                if serving.is_over.load(Ordering::SeqCst) {
                    return;
                }
                let (stream, serving) = (stream.unwrap(), Arc::clone(&serving));
                // Whoever asked may be gone.
                thread::spawn(move || drop(serving.serve(stream)));
            }
        });
        Self { address, shared, task: Some(task) }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How many requests came.
    pub(super) fn requests(&self) -> usize {
        self.shared.requests.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::SeqCst);
        // It is told by a last connection.
        drop(TcpStream::connect(self.address));
        self.task.take().map(JoinHandle::join);
    }
}

impl Shared {
    /// Serves one request.
    fn serve(&self, mut stream: TcpStream) -> std::io::Result<()> {
        let head = head(&mut stream)?;
        let number = self.requests.fetch_add(1, Ordering::SeqCst);
        match self.manner {
            Manner::Flaky if number % 3 == 2 => return Ok(()),
            Manner::Lost if number >= 12 => return Ok(()),
            _ => {}
        }
        if let Manner::NoArchives(status) = self.manner
            && head.lines().next().is_some_and(|first| first.contains("format=car"))
        {
            let body = "<p>no archives";
            let length = body.len();
            let fields = format!("connection: close\r\ncontent-length: {length}");
            let answer = format!("HTTP/1.1 {status} No\r\n{fields}\r\n\r\n{body}");
            stream.write_all(answer.as_bytes())?;
            return stream.shutdown(Shutdown::Write);
        }
        let mut server = TcpStream::connect(&self.target)?;
        let (first, rest) = head.split_once("\r\n").unwrap();
        server.write_all(format!("{first}\r\nConnection: close\r\n{rest}").as_bytes())?;
        let mut answer_head = self::head(&mut server)?;
        let mut body = Vec::new();
        server.read_to_end(&mut body)?;
        match self.manner {
            Manner::Unordered => {
                answer_head = answer_head.replace("order=dfs", "order=unk");
            }
            // Behind the last byte of a body in chunks stand `\r\n0\r\n\r\n`.
            Manner::Wrong if body.len() > 3000 => {
                let last = body.len() - 100;
                body[last] ^= 1;
            }
            Manner::Cut if body.len() > 3000 => body.truncate(body.len() / 2),
            _ => {}
        }
        stream.write_all(answer_head.as_bytes())?;
        stream.write_all(&body)?;
        stream.shutdown(Shutdown::Write)
    }
}

fn head(stream: &mut TcpStream) -> std::io::Result<String> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    Ok(String::from_utf8(head).unwrap())
}
