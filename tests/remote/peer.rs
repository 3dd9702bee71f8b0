//! A gateway of the test's own, which does what no sound one does and notes what it is asked.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cid::Cid;
use roadstead::ipld::{Block, RAW};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;

use super::world::{World, archive, scope};
use super::{noise, path};

/// What the peer does with a request for an archive.
#[derive(Debug, Clone)]
pub(crate) enum Manner {
    /// Answers it.
    Good,
    /// Answers it after a while.
    Slow(Duration),
    /// Answers so many bytes of it, and the rest when it is [released](Peer::release).
    Gated(usize),
    /// Does not say in which order the blocks are.
    Unordered,
    /// The same, and answers 10 MB for each block.
    Huge,
    /// Damages the block at that place, counted from the end where it is negative.
    Wrong(isize),
    /// Ends after so many blocks and a bit of the next one, as if that were all.
    Short(usize),
    /// The same, and promised more.
    Cut(usize),
    /// Breaks off the first so many answers after so many bytes.
    Breaking(usize, usize),
    /// The same, and does not say in which order the blocks are.
    BreakingBlocks(usize, usize),
    /// After so many blocks there are others, without end.
    Unwanted(usize),
    /// After so many blocks there are empty ones, without end.
    Empty(usize),
    /// The same, and their CIDs are what they hold.
    Identity(usize),
    /// The archive has a header of a gigabyte.
    Gigabyte,
    /// Sends a byte now and then.
    Drip,
    /// After so many blocks comes nothing.
    Stall(usize),
    /// Takes the connection, and says nothing.
    Silent,
    /// Answers with this status, and leads elsewhere.
    Status(u16, String),
    /// Answers what stands below this root.
    Other(Box<World>),
}

/// A running peer. Dropping it ends it.
pub(crate) struct Peer {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: AbortHandle,
}

struct Shared {
    world: World,
    manner: Manner,
    requests: Mutex<Vec<String>>,
    sent: AtomicUsize,
    ended: AtomicUsize,
    gate: Semaphore,
}

impl Peer {
    pub(crate) async fn start(world: &World, manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            world: world.clone(),
            manner,
            requests: Mutex::default(),
            sent: AtomicUsize::new(0),
            ended: AtomicUsize::new(0),
            gate: Semaphore::new(0),
        });
        let serving = Arc::clone(&shared);
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let shared = Arc::clone(&serving);
                tokio::spawn(async move {
                    // Whoever asked may be gone.
                    let _ = shared.serve(stream).await;
                    shared.ended.fetch_add(1, Ordering::SeqCst);
                });
            }
        });
        Self { address, shared, task: task.abort_handle() }
    }

    pub(crate) async fn good(world: &World) -> Self {
        Self::start(world, Manner::Good).await
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Whether nothing comes from it, not even a head.
    pub(crate) fn is_silent(&self) -> bool {
        matches!(self.shared.manner, Manner::Silent)
    }

    /// What it was asked for, in the order in which that came.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.shared.requests.lock().unwrap().clone()
    }

    /// How many bytes of bodies went out.
    pub(crate) fn sent(&self) -> usize {
        self.shared.sent.load(Ordering::SeqCst)
    }

    /// How many answers ended, well or not.
    pub(crate) fn ended(&self) -> usize {
        self.shared.ended.load(Ordering::SeqCst)
    }

    pub(crate) fn release(&self) {
        self.shared.gate.add_permits(1000);
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    async fn serve(&self, mut stream: TcpStream) -> std::io::Result<()> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await?);
        }
        let head = String::from_utf8(head).unwrap();
        let target = head.split(' ').nth(1).unwrap().to_owned();
        let number = {
            let mut requests = self.requests.lock().unwrap();
            requests.push(target.clone());
            requests.len()
        };
        let cut = match self.manner {
            Manner::Breaking(times, length) | Manner::BreakingBlocks(times, length)
                if number <= times =>
            {
                Some(length)
            }
            _ => None,
        };
        // Not even a head.
        if cut == Some(0) {
            return Ok(());
        }
        let (url_path, query) = target.split_once('?').unwrap();
        let query: HashMap<String, String> = query
            .split('&')
            .map(|pair| pair.split_once('=').unwrap())
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        let mut names = path(url_path.strip_prefix("/ipfs/").unwrap()).into_iter();
        let root: Cid = names.next().unwrap().parse().unwrap();
        if query["format"] == "raw" {
            return self.raw(&mut stream, &root, cut).await;
        }
        assert_eq!((&query["car-order"][..], &query["car-dups"][..]), ("dfs", "y"));
        let names = names.map(|name| unescaped(&name)).collect();
        let blocks = match &self.manner {
            Manner::Other(other) => other.walk(other.root, names, scope(&query)),
            _ => self.world.walk(root, names, scope(&query)),
        };
        self.answer(&mut stream, &root, blocks, cut).await
    }

    async fn raw(
        &self,
        stream: &mut TcpStream,
        cid: &Cid,
        cut: Option<usize>,
    ) -> std::io::Result<()> {
        let bytes = match self.manner {
            Manner::Huge => noise(10 << 20, 9),
            _ => self.world.block(cid).unwrap().clone(),
        };
        let length = format!("Content-Length: {}\r\n", bytes.len());
        head(stream, 200, &format!("Content-Type: application/vnd.ipld.raw\r\n{length}")).await?;
        self.send(stream, &bytes[..cut.unwrap_or(bytes.len()).min(bytes.len())]).await
    }

    async fn answer(
        &self,
        stream: &mut TcpStream,
        root: &Cid,
        mut blocks: Vec<Block>,
        cut: Option<usize>,
    ) -> std::io::Result<()> {
        let car = "Content-Type: application/vnd.ipld.car; version=1; order=dfs; dups=y\r\n";
        // The head, how much of the archive there is, and what comes behind it.
        let length = |count: usize| archive(root, &blocks[..count]).len();
        let end = match &self.manner {
            // Who has fewer blocks to tell comes to the end.
            Manner::Short(count) | Manner::Cut(count) if *count >= blocks.len() => None,
            Manner::Short(count) | Manner::Cut(count) => Some(length(*count) + 50),
            Manner::Unwanted(count)
            | Manner::Empty(count)
            | Manner::Identity(count)
            | Manner::Stall(count) => Some(length(*count)),
            _ => None,
        };
        if let Manner::Wrong(index) = self.manner {
            let index = if index < 0 { index + blocks.len().cast_signed() } else { index };
            let block = &mut blocks[index.cast_unsigned()];
            let mut bytes = block.bytes.to_vec();
            *bytes.last_mut().unwrap() ^= 1;
            block.bytes = bytes.into();
        }
        let mut body = archive(root, &blocks);
        let end = cut.or(end);
        body.truncate(end.unwrap_or(body.len()));
        match &self.manner {
            Manner::Silent => return wait(stream).await,
            Manner::Status(status, location) => {
                let fields = format!("Content-Length: 0\r\nLocation: {location}\r\n");
                return head(stream, *status, &fields).await;
            }
            Manner::Slow(while_) => tokio::time::sleep(*while_).await,
            _ => {}
        }
        let fields = match self.manner {
            Manner::Unordered | Manner::Huge | Manner::BreakingBlocks(..) => {
                "Content-Type: application/vnd.ipld.car\r\n"
            }
            Manner::Cut(_) | Manner::Breaking(..) if end.is_some() => {
                &format!("{car}Content-Length: {}\r\n", 1 << 30)
            }
            _ => car,
        };
        head(stream, 200, fields).await?;
        match self.manner {
            Manner::Gigabyte => {
                self.send(stream, &[0x80, 0x80, 0x80, 0x80, 0x04]).await?;
                self.endless(stream, &[0; 1000]).await
            }
            Manner::Drip => {
                for byte in body {
                    self.send(stream, &[byte]).await?;
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                Ok(())
            }
            Manner::Gated(count) => {
                self.send(stream, &body[..count]).await?;
                self.gate.acquire().await.unwrap().forget();
                self.send(stream, &body[count..]).await
            }
            _ => {
                self.send(stream, &body).await?;
                match self.manner {
                    Manner::Stall(_) => wait(stream).await,
                    Manner::Unwanted(_) => {
                        self.endless(stream, &frame(&Block::raw(noise(1000, 7)))).await
                    }
                    Manner::Empty(_) => {
                        self.endless(stream, &frame(&Block::raw(Vec::new().into()))).await
                    }
                    Manner::Identity(_) => {
                        // raw, identity, three bytes: the CID and what it holds.
                        let raw = u8::try_from(RAW).unwrap();
                        self.endless(stream, &[10, 1, raw, 0, 3, 1, 2, 3, 1, 2, 3]).await
                    }
                    _ => Ok(()),
                }
            }
        }
    }

    async fn endless(&self, stream: &mut TcpStream, bytes: &[u8]) -> std::io::Result<()> {
        loop {
            self.send(stream, bytes).await?;
        }
    }

    async fn send(&self, stream: &mut TcpStream, bytes: &[u8]) -> std::io::Result<()> {
        for piece in bytes.chunks(16 * 1024) {
            stream.write_all(piece).await?;
            self.sent.fetch_add(piece.len(), Ordering::SeqCst);
        }
        Ok(())
    }
}

async fn head(stream: &mut TcpStream, status: u16, fields: &str) -> std::io::Result<()> {
    let head = format!("HTTP/1.1 {status} Status\r\nConnection: close\r\n{fields}\r\n");
    stream.write_all(head.as_bytes()).await
}

/// Says nothing until whoever asked goes away.
async fn wait(stream: &mut TcpStream) -> std::io::Result<()> {
    stream.read_u8().await.map(drop)
}

fn frame(block: &Block) -> Vec<u8> {
    roadstead::ipld::car_frame(block).concat()
}

fn unescaped(name: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = name.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digits = [rest.next().unwrap(), rest.next().unwrap()];
            let digits = std::str::from_utf8(&digits).unwrap().to_owned();
            bytes.push(u8::from_str_radix(&digits, 16).unwrap());
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).unwrap()
}
