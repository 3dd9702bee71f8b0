//! The least client that can push and pull: blocking, one connection, no hashing while it is timed.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;

/// How much of a stream is sent as one chunk: docker's buffer.
const PIECE: usize = 32 * 1024;

/// How much is read at a time.
const BUFFER: usize = 256 * 1024;

/// A body to be sent.
#[derive(Clone, Copy)]
pub(crate) enum Body<'bytes> {
    /// With its length.
    Whole(&'bytes [u8]),
    /// Without, so many times over.
    Streamed(&'bytes [u8], usize),
}

/// An answer without its body.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) location: String,
    pub(crate) size: usize,
}

/// A connection to a server.
pub(crate) struct Client {
    address: String,
    stream: BufReader<TcpStream>,
    /// Who it is, as the header has it.
    pub(crate) authorization: Option<String>,
}

impl Client {
    pub(crate) fn try_open(address: &str) -> std::io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        let (address, stream) = (address.to_owned(), BufReader::with_capacity(BUFFER, stream));
        Ok(Self { address, stream, authorization: None })
    }

    pub(crate) fn open(address: &str) -> Self {
        Self::try_open(address).expect("the server listens")
    }

    /// Sends a request and reads the answer to its end.
    pub(crate) fn ask(
        &mut self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: Body<'_>,
    ) -> Answer {
        self.try_ask(method, target, headers, body).expect("the server answers")
    }

    pub(crate) fn try_ask(
        &mut self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: Body<'_>,
    ) -> std::io::Result<Answer> {
        let mut head = format!("{method} {target} HTTP/1.1\r\nHost: {}\r\n", self.address);
        for (name, value) in headers {
            head.extend([name, ": ", value, "\r\n"]);
        }
        if let Some(authorization) = &self.authorization {
            head.extend(["Authorization: ", authorization, "\r\n"]);
        }
        match body {
            Body::Whole(bytes) => {
                head.extend(["Content-Length: ", &bytes.len().to_string(), "\r\n\r\n"]);
            }
            Body::Streamed(..) => head.push_str("Transfer-Encoding: chunked\r\n\r\n"),
        }
        let stream = self.stream.get_mut();
        stream.write_all(head.as_bytes())?;
        match body {
            Body::Whole(bytes) => stream.write_all(bytes)?,
            Body::Streamed(bytes, times) => {
                let mut framed = Vec::with_capacity(PIECE + 16);
                for piece in (0..times).flat_map(|_| bytes.chunks(PIECE)) {
                    framed.clear();
                    framed.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
                    framed.extend_from_slice(piece);
                    framed.extend_from_slice(b"\r\n");
                    stream.write_all(&framed)?;
                }
                stream.write_all(b"0\r\n\r\n")?;
            }
        }
        self.answer(method == "HEAD")
    }

    /// Reads an answer; that to a `HEAD` has no body, whatever its length is.
    fn answer(&mut self, is_head: bool) -> std::io::Result<Answer> {
        let mut answer = Answer { status: 0, location: String::new(), size: 0 };
        let mut line = String::new();
        loop {
            line.clear();
            if self.stream.read_line(&mut line)? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            let text = line.trim_end();
            if text.is_empty() {
                break;
            }
            match text.split_once(": ") {
                None => {
                    let status = text.split(' ').nth(1).unwrap_or_default();
                    answer.status = status.parse().expect("a status line has a status");
                }
                Some((name, value)) if name.eq_ignore_ascii_case("location") => {
                    value.clone_into(&mut answer.location);
                }
                Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                    answer.size = value.parse().expect("a length is a number");
                }
                Some(_) => {}
            }
        }
        let mut left = if is_head { 0 } else { answer.size };
        if left == 0 {
            return Ok(answer);
        }
        let mut buffer = vec![0; BUFFER];
        while left > 0 {
            let read = self.stream.read(&mut buffer[..left.min(BUFFER)])?;
            if read == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            left -= read;
        }
        Ok(answer)
    }

    /// Begins an upload; returns its target.
    fn begin(&mut self, repository: &str) -> String {
        let target = format!("/v2/{repository}/blobs/uploads/");
        let answer = self.ask("POST", &target, &[], Body::Whole(b""));
        assert_eq!(answer.status, 202);
        answer.location
    }

    /// Ends an upload, with the last bytes if there are any.
    fn end(&mut self, location: &str, digest: &str, body: &[u8]) {
        let sign = if location.contains('?') { '&' } else { '?' };
        let target = format!("{location}{sign}digest={digest}");
        let headers = [("Content-Type", "application/octet-stream")];
        let answer = self.ask("PUT", &target, &headers, Body::Whole(body));
        assert_eq!(answer.status, 201);
    }

    /// Pushes a blob in one `PUT`.
    pub(crate) fn push(&mut self, repository: &str, digest: &str, bytes: &[u8]) {
        let location = self.begin(repository);
        self.end(&location, digest, bytes);
    }

    /// Pushes a blob as one `PATCH` of unknown length, as docker does.
    pub(crate) fn push_streamed(
        &mut self,
        repository: &str,
        digest: &str,
        bytes: &[u8],
        times: usize,
    ) {
        let location = self.begin(repository);
        let answer = self.ask("PATCH", &location, &[], Body::Streamed(bytes, times));
        assert_eq!(answer.status, 202);
        self.end(&answer.location, digest, b"");
    }

    /// Pushes a blob in chunks of that size.
    pub(crate) fn push_chunked(
        &mut self,
        repository: &str,
        digest: &str,
        bytes: &[u8],
        size: usize,
    ) {
        let mut location = self.begin(repository);
        let mut offset = 0;
        for chunk in bytes.chunks(size) {
            let range = format!("{offset}-{}", offset + chunk.len() - 1);
            let headers =
                [("Content-Range", &*range), ("Content-Type", "application/octet-stream")];
            let answer = self.ask("PATCH", &location, &headers, Body::Whole(chunk));
            assert_eq!(answer.status, 202);
            location = answer.location;
            offset += chunk.len();
        }
        self.end(&location, digest, b"");
    }

    /// Pushes a manifest.
    pub(crate) fn push_manifest(&mut self, repository: &str, reference: &str, manifest: &[u8]) {
        let target = format!("/v2/{repository}/manifests/{reference}");
        let headers = [("Content-Type", super::MANIFEST_TYPE)];
        let answer = self.ask("PUT", &target, &headers, Body::Whole(manifest));
        assert_eq!(answer.status, 201);
    }

    /// Reads to the end of an answer that must be a success; returns its size.
    pub(crate) fn get(&mut self, target: &str) -> usize {
        self.read("GET", target)
    }

    /// The same by a method that may be `HEAD`.
    pub(crate) fn read(&mut self, method: &str, target: &str) -> usize {
        let headers = [("Accept", super::MANIFEST_TYPE), ("Accept", "*/*")];
        let answer = self.ask(method, target, &headers, Body::Whole(b""));
        assert_eq!(answer.status, 200, "{target}");
        answer.size
    }
}
