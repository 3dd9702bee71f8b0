//! A name server of the test's own that does what no sound one does, on UDP and TCP of one port, and counts
//! what it is asked.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hickory_resolver::proto::op::{Message, OpCode, Query, ResponseCode};
use hickory_resolver::proto::rr::rdata::{A, AAAA, NS, TXT};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::AbortHandle;

/// What the server does with a question.
#[derive(Debug, Clone)]
pub(crate) enum Manner {
    /// Answers with these TXT records for names that begin with `_dnslink.`, of this TTL; there is
    /// nothing else.
    Texts(Vec<String>, u32),
    /// Answers the same for names that begin with `_dnslink.`, and says nothing to any other question.
    Alone(Vec<String>),
    /// The same for names that begin with `_dnsaddr.`.
    Dnsaddr(Vec<String>),
    /// The same, with the rest of the name that is asked for in the place of each `%`; no other name is there.
    #[allow(dead_code, reason = "only tests of limits use it")]
    Spread(Vec<String>),
    /// Answers for a zone of which it is the only server, with these TXT records as [`Manner::Texts`] does.
    #[allow(dead_code, reason = "only the tests beside `Zone` use it")]
    Zone(&'static str, Vec<String>),
    /// Answers with these addresses, one after the other to each question of its kind.
    Addresses(Vec<&'static str>),
    /// Answers with this code.
    Code(ResponseCode),
    /// Says nothing.
    Silence,
    /// Answers by UDP under another id, and by TCP not at all.
    WrongId(Vec<String>),
    /// Says by UDP that the answer is too long, and by TCP what it is.
    Truncated(Vec<String>),
    /// Says that the answer is too long by whatever it is asked, and has none.
    AlwaysTruncated,
    /// Answers with bytes that are no message.
    Garbage,
    /// Answers as [`Manner::Texts`] of an hour, after a while.
    Slow(Vec<String>),
}

/// How long the slow manner takes: less than a client waits until it repeats its question.
const SLOWNESS: Duration = Duration::from_millis(200);

/// A running server. Dropping it ends it.
pub(crate) struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
    tasks: Vec<AbortHandle>,
}

struct Shared {
    manner: Mutex<Manner>,
    questions: Mutex<Vec<Question>>,
}

/// A question: its name, its id, and whether it came by UDP.
type Question = (String, u16, bool);

impl Server {
    pub(crate) async fn start(manner: Manner) -> Self {
        let (udp, tcp) = loop {
            let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            // Somebody else may have the port for the other protocol.
            if let Ok(tcp) = TcpListener::bind(udp.local_addr().unwrap()).await {
                break (udp, tcp);
            }
        };
        let address = udp.local_addr().unwrap();
        let shared = Arc::new(Shared { manner: Mutex::new(manner), questions: Mutex::default() });
        let by_udp = tokio::spawn(serve_udp(Arc::new(udp), shared.clone()));
        let by_tcp = tokio::spawn(serve_tcp(tcp, shared.clone()));
        Self { address, shared, tasks: vec![by_udp.abort_handle(), by_tcp.abort_handle()] }
    }

    /// A server that says that a domain's root is this one, for an hour.
    pub(crate) async fn with_root(root: &str) -> Self {
        Self::start(Manner::Texts(vec![format!("dnslink=/ipfs/{root}")], 3600)).await
    }

    pub(crate) fn address(&self) -> String {
        self.address.to_string()
    }

    pub(crate) fn change(&self, manner: Manner) {
        *self.shared.manner.lock().unwrap() = manner;
    }

    /// Each name that it was asked for, as often as it was.
    #[allow(dead_code, reason = "only tests of limits use it")]
    pub(crate) fn questions(&self) -> Vec<String> {
        let questions = self.shared.questions.lock().unwrap();
        questions.iter().map(|(name, ..)| name.clone()).collect()
    }

    /// How often it was asked for that name.
    pub(crate) fn count(&self, name: &str) -> usize {
        self.shared.count(name)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

async fn serve_udp(socket: Arc<UdpSocket>, shared: Arc<Shared>) {
    let mut buffer = vec![0; 4096];
    loop {
        let (size, from) = socket.recv_from(&mut buffer).await.unwrap();
        let (socket, shared, question) = (socket.clone(), shared.clone(), buffer[..size].to_vec());
        tokio::spawn(async move {
            for answer in shared.answer(&question, true).await {
                // Whoever asked may be gone, or the answer too long for UDP.
                let _ = socket.send_to(&answer, from).await;
            }
        });
    }
}

async fn serve_tcp(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        tokio::spawn(serve_stream(stream, shared.clone()));
    }
}

async fn serve_stream(mut stream: TcpStream, shared: Arc<Shared>) {
    while let Ok(length) = stream.read_u16().await {
        let mut question = vec![0; length.into()];
        if stream.read_exact(&mut question).await.is_err() {
            return;
        }
        for answer in shared.answer(&question, false).await {
            let length = u16::try_from(answer.len()).unwrap();
            let framed = [&length.to_be_bytes()[..], &answer].concat();
            if stream.write_all(&framed).await.is_err() {
                return;
            }
        }
    }
}

impl Shared {
    async fn answer(&self, question: &[u8], by_udp: bool) -> Vec<Vec<u8>> {
        let question = Message::from_vec(question).unwrap();
        let query = question.queries[0].clone();
        self.note((name_of(&query), question.id, by_udp));
        let manner = self.manner.lock().unwrap().clone();

        let mut answer = Message::response(question.id, OpCode::Query);
        answer.add_query(query.clone());
        answer.metadata.recursion_available = true;
        answer.metadata.authoritative = true;
        match manner {
            Manner::Silence => return Vec::new(),
            Manner::Alone(_) if !name_of(&query).starts_with("_dnslink.") => return Vec::new(),
            Manner::Dnsaddr(_) if !name_of(&query).starts_with("_dnsaddr.") => return Vec::new(),
            Manner::Spread(_) if !name_of(&query).starts_with("_dnsaddr.") => {
                answer.metadata.response_code = ResponseCode::NXDomain;
            }
            Manner::Spread(texts) => {
                let name = name_of(&query);
                let rest = name.trim_start_matches("_dnsaddr.").trim_end_matches('.');
                let texts: Vec<_> = texts.iter().map(|text| text.replace('%', rest)).collect();
                put_texts(&mut answer, &texts, 1);
            }
            Manner::Dnsaddr(texts) => put_texts(&mut answer, &texts, 1),
            Manner::Garbage => return vec![[&question.id.to_be_bytes()[..], b"garbage"].concat()],
            Manner::Code(code) => answer.metadata.response_code = code,
            Manner::AlwaysTruncated => answer.metadata.truncation = true,
            Manner::Truncated(_) if by_udp => answer.metadata.truncation = true,
            Manner::WrongId(_) if !by_udp => return Vec::new(),
            Manner::WrongId(texts) => {
                answer.metadata.id = question.id.wrapping_add(1);
                add_texts(&mut answer, &texts, 3600);
            }
            Manner::Texts(texts, ttl) => add_texts(&mut answer, &texts, ttl),
            Manner::Truncated(texts) | Manner::Alone(texts) => add_texts(&mut answer, &texts, 3600),
            Manner::Slow(texts) => {
                tokio::time::sleep(SLOWNESS).await;
                add_texts(&mut answer, &texts, 3600);
            }
            Manner::Zone(zone, texts) => add_zone(&mut answer, zone, &texts),
            Manner::Addresses(addresses) => self.add_address(&mut answer, &addresses),
        }
        vec![answer.to_vec().unwrap()]
    }

    /// Counts a question. One that is repeated for want of an answer is the same.
    fn note(&self, question: Question) {
        let mut questions = self.questions.lock().unwrap();
        if !questions.contains(&question) {
            questions.push(question);
        }
    }

    fn add_address(&self, answer: &mut Message, addresses: &[&str]) {
        let query = answer.queries[0].clone();
        if query.query_type() != RecordType::A && query.query_type() != RecordType::AAAA {
            answer.metadata.response_code = ResponseCode::NXDomain;
            return;
        }
        let name = name_of(&query);
        // A question for each family comes at a time.
        let round = (self.count(&name) - 1) / 2;
        let data = match addresses[round.min(addresses.len() - 1)].parse().unwrap() {
            std::net::IpAddr::V4(ip) => RData::A(A(ip)),
            std::net::IpAddr::V6(ip) => RData::AAAA(AAAA(ip)),
        };
        if data.record_type() == query.query_type() {
            answer.add_answer(Record::from_rdata(query.name().clone(), 0, data));
        }
    }

    fn count(&self, name: &str) -> usize {
        self.questions.lock().unwrap().iter().filter(|(question, ..)| question == name).count()
    }
}

fn name_of(query: &Query) -> String {
    query.name().to_string().trim_end_matches('.').to_owned()
}

fn add_zone(answer: &mut Message, zone: &str, texts: &[String]) {
    let (query, server) = (answer.queries[0].clone(), format!("ns.{zone}"));
    let data = match (name_of(&query), query.query_type()) {
        (name, RecordType::NS) if name == zone => {
            RData::NS(NS(Name::from_ascii(format!("{server}.")).unwrap()))
        }
        (name, RecordType::A) if name == server => RData::A(A::new(127, 0, 0, 1)),
        _ => return add_texts(answer, texts, 1),
    };
    answer.add_answer(Record::from_rdata(query.name().clone(), 1, data));
}

fn add_texts(answer: &mut Message, texts: &[String], ttl: u32) {
    let query = &answer.queries[0];
    if query.query_type() == RecordType::TXT && name_of(query).starts_with("_dnslink.") {
        put_texts(answer, texts, ttl);
    } else {
        answer.metadata.response_code = ResponseCode::NXDomain;
    }
}

fn put_texts(answer: &mut Message, texts: &[String], ttl: u32) {
    let name = answer.queries[0].name().clone();
    for text in texts {
        let segments = text.as_bytes().chunks(255).collect();
        let data = RData::TXT(TXT::from_bytes(segments));
        answer.add_answer(Record::from_rdata(name.clone(), ttl, data));
    }
}
