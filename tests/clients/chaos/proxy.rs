//! A network that fails: a proxy before a registry that cuts, delays, doubles and loses requests and answers.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crate::common::dice::Dice;

/// How long either side may say nothing before its connection is given up.
const SILENCE: Duration = Duration::from_mins(1);

/// How long the server's side of a request stays open that hangs.
const HANGING: Duration = Duration::from_secs(8);

/// How long the rest of a body is read that nobody wants, so that its sender reads the answer.
const LEFTOVERS: Duration = Duration::from_millis(500);

const PIECE: usize = 64 * 1024;

/// Of how many requests of a push some go wrong: fewer than a push has, so that most do.
const STEPS: u64 = 14;

/// What becomes of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fate {
    /// The request never arrives.
    RequestLost,
    /// A part of its body arrives, then the connection ends.
    RequestCut,
    /// A part of its body arrives, and the connection stays open for long on the server's side.
    RequestHung,
    /// A part of its body arrives, and the client is told 502.
    RequestRefused,
    /// It arrives, and its answer does not.
    AnswerLost,
    /// It arrives, and a part of its answer does.
    AnswerCut,
    /// It arrives, and the client is told 502.
    AnswerReplaced,
    /// It arrives late.
    Late,
    /// It arrives twice, one after the other, and the client gets the second answer.
    TwiceRunning,
    /// It arrives twice, one after the other, and the client gets the first answer.
    TwiceAnsweredOnce,
    /// It arrives twice at the same time, and the client gets one of the answers.
    TwiceAtOnce,
}

const FATES: [Fate; 11] = [
    Fate::RequestLost,
    Fate::RequestCut,
    Fate::RequestHung,
    Fate::RequestRefused,
    Fate::AnswerLost,
    Fate::AnswerCut,
    Fate::AnswerReplaced,
    Fate::Late,
    Fate::TwiceRunning,
    Fate::TwiceAnsweredOnce,
    Fate::TwiceAtOnce,
];

/// A proxy on a port of loopback, as long as the process lives.
pub(crate) struct Proxy {
    address: String,
    shared: Arc<Shared>,
}

struct Shared {
    /// Where the registry is: it moves when it is started again.
    registry: Arc<Mutex<String>>,
    plan: Mutex<Plan>,
    met: Mutex<BTreeMap<Fate, usize>>,
    open: AtomicUsize,
    is_calm: AtomicBool,
}

/// Which of the next requests go wrong.
struct Plan {
    dice: Dice,
    fates: BTreeMap<u64, Fate>,
    next: u64,
}

impl Proxy {
    /// Starts one before the registry that is at this address.
    pub(crate) fn start(registry: &Arc<Mutex<String>>, dice: Dice) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has free ports");
        let address = listener.local_addr().expect("a bound listener has an address").to_string();
        let shared = Arc::new(Shared {
            registry: Arc::clone(registry),
            plan: Mutex::new(Plan { dice, fates: BTreeMap::new(), next: 0 }),
            met: Mutex::default(),
            open: AtomicUsize::new(0),
            is_calm: AtomicBool::new(true),
        });
        let all = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let shared = Arc::clone(&all);
                thread::spawn(move || {
                    shared.open.fetch_add(1, Ordering::SeqCst);
                    // Whoever breaks off meets the end of its connection.
                    let _ = shared.serve(client);
                    shared.open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        Self { address, shared }
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Has one to three of the next requests go wrong, at whatever step of a push.
    pub(crate) fn trouble(&self) {
        let mut plan = lock(&self.shared.plan);
        let count = 1 + plan.dice.below(3);
        plan.fates.clear();
        for _ in 0..count {
            let (step, fate) = (plan.dice.below(STEPS), plan.dice.below(FATES.len() as u64));
            let fate = FATES[usize::try_from(fate).expect("it is small")];
            plan.fates.insert(step, fate);
        }
        plan.next = 0;
        self.shared.is_calm.store(false, Ordering::SeqCst);
    }

    /// Has nothing go wrong.
    pub(crate) fn calm(&self) {
        self.shared.is_calm.store(true, Ordering::SeqCst);
    }

    /// How many requests met each fate.
    pub(crate) fn met(&self) -> BTreeMap<Fate, usize> {
        lock(&self.shared.met).clone()
    }
}

/// A request, as far as it is read before its fate is decided.
struct Request {
    /// With the empty line, and without what is between the client and this proxy alone.
    head: Vec<u8>,
    /// What of the body came with the head.
    early: Vec<u8>,
    body: Body,
}

/// How the end of a body is known.
enum Body {
    Sized(usize),
    Chunked,
}

impl Shared {
    fn serve(&self, mut client: TcpStream) -> io::Result<()> {
        client.set_read_timeout(Some(SILENCE))?;
        let Some(request) = Request::read(&mut client)? else { return Ok(()) };
        let fate = self.fate();
        if let Some(fate) = fate {
            *lock(&self.met).entry(fate).or_default() += 1;
        }
        let registry = || {
            let server = TcpStream::connect(&*lock(&self.registry))?;
            server.set_read_timeout(Some(SILENCE))?;
            Ok::<_, io::Error>(server)
        };
        match fate {
            None => pass(&mut client, request, registry()?),
            Some(Fate::Late) => {
                thread::sleep(Duration::from_millis(100 + self.below(400)));
                pass(&mut client, request, registry()?)
            }
            Some(Fate::RequestLost) => Ok(()),
            Some(fate @ (Fate::RequestCut | Fate::RequestHung | Fate::RequestRefused)) => {
                let mut server = registry()?;
                let part = self.part(&request);
                request.send_part(&mut client, &mut server, part)?;
                if fate == Fate::RequestHung {
                    thread::spawn(move || {
                        thread::sleep(HANGING);
                        drop(server);
                    });
                } else if fate == Fate::RequestRefused {
                    refuse(&mut client)?;
                }
                Ok(())
            }
            Some(fate @ (Fate::AnswerLost | Fate::AnswerCut | Fate::AnswerReplaced)) => {
                let mut server = registry()?;
                request.send(&mut client, &mut server)?;
                let mut answer = Vec::new();
                server.read_to_end(&mut answer)?;
                match fate {
                    Fate::AnswerCut => {
                        let part = self.below(answer.len() as u64);
                        client.write_all(&answer[..usize::try_from(part).expect("it is small")])
                    }
                    Fate::AnswerReplaced => refuse(&mut client),
                    _ => Ok(()),
                }
            }
            Some(fate) => {
                let mut whole = Vec::new();
                request.send(&mut client, &mut whole)?;
                let ask = || {
                    let mut server = registry()?;
                    // What is refused early is not read to its end.
                    let _ = server.write_all(&whole);
                    let mut answer = Vec::new();
                    server.read_to_end(&mut answer)?;
                    Ok::<_, io::Error>(answer)
                };
                let answers = if fate == Fate::TwiceAtOnce {
                    thread::scope(|scope| {
                        let other = scope.spawn(ask);
                        let one = ask();
                        [one, other.join().expect("it does not panic")]
                    })
                } else {
                    [ask(), ask()]
                };
                let [first, second] = answers;
                let is_second = match fate {
                    Fate::TwiceRunning => true,
                    Fate::TwiceAnsweredOnce => false,
                    _ => self.below(2) == 1,
                };
                answer(&mut client, &if is_second { second? } else { first? })
            }
        }
    }

    fn fate(&self) -> Option<Fate> {
        if self.is_calm.load(Ordering::SeqCst) {
            return None;
        }
        let mut plan = lock(&self.plan);
        let step = plan.next;
        plan.next += 1;
        plan.fates.remove(&step)
    }

    fn below(&self, limit: u64) -> u64 {
        lock(&self.plan).dice.below(limit)
    }

    /// How many bytes of a body are sent that breaks off.
    fn part(&self, request: &Request) -> usize {
        let most = match request.body {
            Body::Sized(size) => size,
            Body::Chunked => 2 << 20,
        };
        usize::try_from(self.below(most as u64)).expect("it is small")
    }
}

impl Request {
    /// Reads a head; none where a client asks nothing, or speaks TLS.
    fn read(client: &mut TcpStream) -> io::Result<Option<Self>> {
        let (mut bytes, mut buffer) = (Vec::new(), vec![0; PIECE]);
        let end = loop {
            let size = client.read(&mut buffer)?;
            bytes.extend_from_slice(&buffer[..size]);
            if size == 0 || !bytes[0].is_ascii_uppercase() {
                return Ok(None);
            }
            if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
                break end + 4;
            }
        };
        let early = bytes.split_off(end);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let (mut body, mut head) = (Body::Sized(0), String::new());
        for line in text.trim_end().split("\r\n") {
            let lower = line.to_ascii_lowercase();
            if let Some(length) = lower.strip_prefix("content-length:") {
                body = Body::Sized(length.trim().parse().map_err(io::Error::other)?);
            } else if lower.starts_with("transfer-encoding:") {
                body = Body::Chunked;
            } else if lower.starts_with("expect:") {
                client.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
                continue;
            } else if lower.starts_with("connection:") {
                continue;
            }
            head.extend([line, "\r\n"]);
        }
        head.push_str("Connection: close\r\n\r\n");
        Ok(Some(Self { head: head.into_bytes(), early, body }))
    }

    /// Sends all of it.
    fn send(self, client: &mut TcpStream, server: &mut impl Write) -> io::Result<()> {
        server.write_all(&self.head)?;
        let (mut piece, mut buffer) = (self.early, vec![0; PIECE]);
        let mut end = End::of(&self.body);
        loop {
            server.write_all(&piece)?;
            if end.is_reached(&piece) {
                return Ok(());
            }
            let size = client.read(&mut buffer)?;
            if size == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            piece = buffer[..size].to_vec();
        }
    }

    /// Sends the head and so many bytes of the body, if it has as many.
    fn send_part(
        self,
        client: &mut TcpStream,
        server: &mut TcpStream,
        mut part: usize,
    ) -> io::Result<()> {
        server.write_all(&self.head)?;
        let (mut piece, mut buffer) = (self.early, vec![0; PIECE]);
        let mut end = End::of(&self.body);
        loop {
            let now = part.min(piece.len());
            server.write_all(&piece[..now])?;
            part -= now;
            if part == 0 || end.is_reached(&piece) {
                return Ok(());
            }
            let size = client.read(&mut buffer)?;
            if size == 0 {
                return Ok(());
            }
            piece = buffer[..size].to_vec();
        }
    }
}

/// Finds the end of a body in what comes.
enum End {
    Left(usize),
    /// The last bytes of what came.
    Tail(Vec<u8>),
}

impl End {
    fn of(body: &Body) -> Self {
        match body {
            Body::Sized(size) => Self::Left(*size),
            // So that one that has nothing is seen to end.
            Body::Chunked => Self::Tail(b"\r\n".to_vec()),
        }
    }

    fn is_reached(&mut self, piece: &[u8]) -> bool {
        match self {
            Self::Left(left) => {
                *left = left.saturating_sub(piece.len());
                *left == 0
            }
            Self::Tail(tail) => {
                // These bytes within a random layer would end a request early: one more that is cut.
                tail.extend_from_slice(piece);
                let end = b"\r\n0\r\n\r\n";
                let is_reached = tail.ends_with(end);
                let surplus = tail.len().saturating_sub(end.len());
                tail.drain(..surplus);
                is_reached
            }
        }
    }
}

/// Carries a request and its answer.
fn pass(client: &mut TcpStream, request: Request, mut server: TcpStream) -> io::Result<()> {
    // What is refused early is not read to its end.
    let _ = request.send(client, &mut server);
    let mut head = Vec::new();
    server.read_to_end(&mut head)?;
    answer(client, &head)
}

fn refuse(client: &mut TcpStream) -> io::Result<()> {
    answer(client, b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
}

/// Gives a client its answer, and reads what it is still sending for a while.
fn answer(client: &mut TcpStream, bytes: &[u8]) -> io::Result<()> {
    client.write_all(bytes)?;
    client.shutdown(Shutdown::Write)?;
    client.set_read_timeout(Some(LEFTOVERS))?;
    let mut buffer = vec![0; PIECE];
    while client.read(&mut buffer)? > 0 {}
    Ok(())
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
