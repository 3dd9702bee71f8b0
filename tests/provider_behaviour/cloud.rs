//! A server of ours that holds to the published contract of Cloudflare's API, version 4, as far as it is about
//! zones and their DNS records: bearer tokens, the envelope around every answer, pages, quoted TXT records, codes
//! of errors, and 429 with `Retry-After`.

use std::collections::HashMap;
use std::sync::mpsc;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::http::{Method, StatusCode};
use actix_web::web::{Bytes, Data, Query, to};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, rt};
use roadstead::dnslink::PublishErrorKind;
use serde_json::{Value, json};

use crate::Case;
use crate::cases::change;
use crate::home::NAME;

/// The token that may edit the zone.
pub(crate) const TOKEN: &str = "v1.0-test-only-not-a-secret";

const ZONE: &str = "023e105f4ecef8ad9ca31a8372d0c353";

/// What there is.
#[derive(Default)]
struct State {
    records: Vec<Record>,
    /// The name of the zone as the API writes it; none: `publisher.test`.
    zone: Option<String>,
    /// Whether it knows the names of records by their form in Unicode alone.
    is_unicode: bool,
    made: u32,
    changes: u32,
    is_down: bool,
    loses: bool,
    /// How long whoever asks has to wait, if at all.
    limited: Option<u32>,
}

/// A TXT record.
#[derive(Clone)]
struct Record {
    id: String,
    name: String,
    content: String,
    ttl: u64,
}

/// The server; it ends when it is dropped.
pub(crate) struct Cloud {
    state: Arc<Mutex<State>>,
    port: u16,
    handle: ServerHandle,
    thread: Option<JoinHandle<()>>,
}

impl Cloud {
    pub(crate) fn start() -> Self {
        let state: Arc<Mutex<State>> = Arc::default();
        let data = Data::from(state.clone());
        let (sender, receiver) = mpsc::channel();
        let thread = thread::spawn(move || {
            rt::System::new().block_on(async {
                let app = move || App::new().app_data(data.clone()).default_service(to(answer));
                let server = HttpServer::new(app).workers(1).disable_signals();
                let server = server.bind(("127.0.0.1", 0)).unwrap();
                let port = server.addrs()[0].port();
                let running = server.run();
                sender.send((port, running.handle())).unwrap();
                running.await.unwrap();
            });
        });
        let (port, handle) = receiver.recv().unwrap();
        Self { state, port, handle, thread: Some(thread) }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/client/v4", self.port)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub(crate) fn texts(&self, name: &str) -> Vec<(String, u64)> {
        let state = self.state();
        let of_name = state.records.iter().filter(|record| record.name == name);
        let mut texts: Vec<(String, u64)> =
            of_name.map(|record| (plain(&record.content), record.ttl)).collect();
        texts.sort();
        texts
    }

    pub(crate) fn count(&self) -> u32 {
        self.state().changes
    }

    pub(crate) fn add(&self, name: &str, text: &str) {
        self.state().put(name, &format!("\"{text}\""), 60);
    }

    pub(crate) fn remove(&self, text: &str) {
        self.state().records.retain(|record| plain(&record.content) != text);
    }

    pub(crate) fn lose_answers(&self, loses: bool) {
        self.state().loses = loses;
    }

    pub(crate) fn set_down(&self, is_down: bool) {
        self.state().is_down = is_down;
    }
}

impl Drop for Cloud {
    fn drop(&mut self) {
        drop(self.handle.stop(false));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl State {
    fn put(&mut self, name: &str, content: &str, ttl: u64) -> String {
        self.made += 1;
        let id = format!("{:032x}", self.made);
        let (name, content) = (name.to_owned(), content.to_owned());
        self.records.push(Record { id: id.clone(), name, content, ttl });
        id
    }
}

/// What a resolver would read of quoted segments.
fn plain(content: &str) -> String {
    content.replace("\" \"", "").trim_matches('"').to_owned()
}

async fn answer(request: HttpRequest, body: Bytes, state: Data<Mutex<State>>) -> HttpResponse {
    let mut state = state.lock().unwrap();
    if state.is_down {
        return failure(StatusCode::SERVICE_UNAVAILABLE, 10_500, "Service Unavailable");
    }
    if let Some(seconds) = state.limited.take() {
        let mut response = failure(StatusCode::TOO_MANY_REQUESTS, 10_100, "Rate limit reached");
        let seconds = seconds.to_string().parse().unwrap();
        response.headers_mut().insert("retry-after".parse().unwrap(), seconds);
        return response;
    }
    let token = request.headers().get("authorization").map(|it| it.to_str().unwrap().to_owned());
    if token.as_deref() != Some(&format!("Bearer {TOKEN}")) {
        return failure(StatusCode::FORBIDDEN, 9109, "Invalid access token");
    }
    let query: HashMap<String, String> =
        Query::<HashMap<String, String>>::from_query(request.query_string()).unwrap().into_inner();
    let Some(path) = request.path().strip_prefix("/client/v4/") else {
        return failure(StatusCode::BAD_REQUEST, 7000, "No route for that URI");
    };
    let parts: Vec<&str> = path.split('/').collect();
    let is_change = request.method() != Method::GET;
    let response = match (request.method().as_str(), &parts[..]) {
        ("GET", ["zones"]) => zones(&state, &query),
        ("GET", ["zones", ZONE, "dns_records"]) => list(&state, &query),
        ("POST", ["zones", ZONE, "dns_records"]) => write(&mut state, None, &body),
        ("PATCH" | "PUT", ["zones", ZONE, "dns_records", id]) => write(&mut state, Some(id), &body),
        ("DELETE", ["zones", ZONE, "dns_records", id]) => {
            let before = state.records.len();
            state.records.retain(|record| record.id != *id);
            if state.records.len() == before {
                failure(StatusCode::NOT_FOUND, 81_044, "Record does not exist.")
            } else {
                state.changes += 1;
                success(&json!({ "id": id }), None)
            }
        }
        _ => failure(StatusCode::BAD_REQUEST, 7000, "No route for that URI"),
    };
    if is_change && state.loses {
        return failure(StatusCode::GATEWAY_TIMEOUT, 10_504, "Gateway Timeout");
    }
    response
}

/// Lists the zones of a name: of an international one only by the form in Unicode, as was reported.
fn zones(state: &State, query: &HashMap<String, String>) -> HttpResponse {
    let zone = state.zone.as_deref().unwrap_or("publisher.test");
    let is_known = query.get("name").is_none_or(|name| name == zone);
    let zones = if is_known { vec![json!({ "id": ZONE, "name": zone })] } else { vec![] };
    success(&json!(zones), Some(info(1, 20, zones.len())))
}

fn list(state: &State, query: &HashMap<String, String>) -> HttpResponse {
    let number = |name: &str, default: usize| {
        query.get(name).map_or(default, |value| value.parse().unwrap())
    };
    // A page has no more than that here, so that few records are several pages.
    let (page, per_page) = (number("page", 1), number("per_page", 100).min(5));
    let has_name = |name: &str| query.get("name.exact").is_none_or(|exact| exact == name);
    let found: Vec<&Record> = state.records.iter().filter(|it| has_name(&it.name)).collect();
    let rows: Vec<Value> =
        found.iter().skip((page - 1) * per_page).take(per_page).map(|record| row(record)).collect();
    success(&json!(rows), Some(info(page, per_page, found.len())))
}

fn write(state: &mut State, id: Option<&str>, body: &[u8]) -> HttpResponse {
    let Ok(Value::Object(record)) = serde_json::from_slice::<Value>(body) else {
        return failure(StatusCode::BAD_REQUEST, 9207, "Request body is invalid.");
    };
    let text = |field: &str| record.get(field).and_then(Value::as_str).unwrap_or_default();
    let (name, content) = (text("name").to_owned(), text("content").to_owned());
    let ttl = record.get("ttl").and_then(Value::as_u64).unwrap_or(1);
    let name = if state.is_unicode { name.replace("xn--bcher-kva", "bücher") } else { name };
    if text("type") != "TXT"
        || !(name.ends_with("publisher.test")
            || name.ends_with("xn--bcher-kva.example")
            || name.ends_with("bücher.example"))
        || content.is_empty()
    {
        return failure(StatusCode::BAD_REQUEST, 9000, "DNS name is invalid.");
    }
    if ttl != 1 && !(60..=86400).contains(&ttl) {
        return failure(
            StatusCode::BAD_REQUEST,
            9021,
            "Invalid TTL. Must be between 60 and 86400 seconds, or 1 for Automatic.",
        );
    }
    if !content.starts_with('"') || content.split("\" \"").any(|segment| segment.len() > 257) {
        return failure(StatusCode::BAD_REQUEST, 9101, "Content for TXT record is invalid.");
    }
    let is_same = |known: &Record| {
        known.name == name && known.content == content && Some(known.id.as_str()) != id
    };
    if state.records.iter().any(is_same) {
        return failure(StatusCode::BAD_REQUEST, 81_058, "An identical record already exists.");
    }
    let id = match id {
        None => state.put(&name, &content, ttl),
        Some(id) => id.to_owned(),
    };
    let Some(known) = state.records.iter_mut().find(|known| known.id == id) else {
        return failure(StatusCode::NOT_FOUND, 81_044, "Record does not exist.");
    };
    (known.name, known.content, known.ttl) = (name, content, ttl);
    let answer = row(known);
    state.changes += 1;
    success(&answer, None)
}

fn row(record: &Record) -> Value {
    let Record { id, name, content, ttl } = record;
    json!({
        "id": id, "name": name, "type": "TXT", "content": content, "proxiable": false, "proxied": false,
        "ttl": ttl, "settings": {}, "meta": {}, "comment": null, "tags": [],
        "created_on": "2026-01-01T00:00:00Z", "modified_on": "2026-01-01T00:00:00Z",
    })
}

fn info(page: usize, per_page: usize, total: usize) -> Value {
    json!({
        "page": page, "per_page": per_page, "total_count": total, "total_pages": total.div_ceil(per_page),
        "count": total.saturating_sub((page - 1) * per_page).min(per_page),
    })
}

fn success(result: &Value, info: Option<Value>) -> HttpResponse {
    let mut body = json!({ "success": true, "errors": [], "messages": [], "result": result });
    if let Some(info) = info {
        body["result_info"] = info;
    }
    HttpResponse::Ok().json(body)
}

fn failure(status: StatusCode, code: u32, message: &str) -> HttpResponse {
    let errors = json!([{ "code": code, "message": message }]);
    HttpResponse::build(status)
        .json(json!({ "success": false, "errors": errors, "messages": [], "result": null }))
}

/// What only this provider meets.
pub(crate) const CASES: &[Case] = &[
    ("a_limit_is_reported_with_how_long_it_lasts", |subject| {
        subject.cloud().state().limited = Some(17);
        let provider = subject.open();
        let written = block_on(provider.write(&change(&["dnslink=/ipfs/bafyaabakaieac"], &[])));
        let error = written.unwrap_err();
        assert_eq!(error.kind, PublishErrorKind::Unavailable);
        assert_eq!(error.retry_after, Some(Duration::from_secs(17)));
        Ok(())
    }),
    ("records_are_read_page_by_page", |subject| {
        for number in 0..17 {
            subject.add(&format!("number {number}"));
        }
        subject.add("dnslink=/ipns/example.net");
        let provider = subject.open();
        let written = block_on(provider.write(&change(&["dnslink=/ipfs/bafyaabakaieac"], &[])));
        assert_eq!(
            written.unwrap_err().kind,
            PublishErrorKind::Conflict,
            "it stands on the last page"
        );
        Ok(())
    }),
    ("the_zone_above_a_domain_is_found_and_a_foreign_one_is_not", |subject| {
        let provider = subject.open();
        let below = |domain: &str| roadstead::dnslink::Change {
            domain: domain.parse().unwrap(),
            ..change(&["dnslink=/ipfs/bafyaabakaieac"], &[])
        };
        block_on(provider.write(&below("a.b.publisher.test"))).unwrap();
        assert_eq!(subject.cloud().texts("_dnslink.a.b.publisher.test").len(), 1);
        assert_eq!(subject.cloud().texts(NAME).len(), 0);
        let foreign = block_on(subject.open().write(&below("other.test"))).unwrap_err();
        assert_eq!(foreign.kind, PublishErrorKind::Refused, "{foreign}");
        Ok(())
    }),
    ("a_zone_is_found_in_whichever_form_the_api_names_it", |subject| {
        let change_to = |domain: &str| roadstead::dnslink::Change {
            domain: domain.parse().unwrap(),
            ..change(&["dnslink=/ipfs/bafyaabakaieac"], &[])
        };
        for zone in ["bücher.example", "xn--bcher-kva.example"] {
            subject.cloud().state().zone = Some(zone.to_owned());
            for domain in ["xn--bcher-kva.example", "a.xn--bcher-kva.example"] {
                let written = block_on(subject.open().write(&change_to(domain)));
                written.unwrap_or_else(|error| panic!("{zone} {domain}: {error}"));
            }
        }
        subject.cloud().state().zone = Some("bücher.example".to_owned());
        for given in ["bücher.example", "BÜCHER.example", "xn--bcher-kva.example"] {
            let set = subject.open_set(&[("PUBLISH__CLOUDFLARE__ZONE", given)]);
            block_on(set.write(&change_to("xn--bcher-kva.example"))).unwrap();
        }
        let other = subject.open_set(&[("PUBLISH__CLOUDFLARE__ZONE", "büch.example")]);
        let refused = block_on(other.write(&change_to("xn--bcher-kva.example"))).unwrap_err();
        assert_eq!(refused.kind, PublishErrorKind::Refused, "{refused}");
        Ok(())
    }),
    ("records_are_found_in_whichever_form_the_api_names_them", |subject| {
        subject.cloud().state().zone = Some("bücher.example".to_owned());
        subject.cloud().state().is_unicode = true;
        let change_to = |text: &str, ours: &[&str]| roadstead::dnslink::Change {
            domain: "xn--bcher-kva.example".parse().unwrap(),
            ..change(&[text], ours)
        };
        let (first, second) = ("dnslink=/ipfs/bafyaabakaieac", "dnslink=/ipfs/bafkqaaa");
        let provider = subject.open();
        block_on(provider.write(&change_to(first, &[]))).unwrap();
        let before = subject.count();
        block_on(provider.write(&change_to(first, &[first]))).unwrap();
        assert_eq!(subject.count(), before, "the zone was changed");
        let foreign = block_on(provider.write(&change_to(second, &[]))).unwrap_err();
        assert_eq!(foreign.kind, PublishErrorKind::Conflict, "{foreign}");
        block_on(provider.write(&change_to(second, &[first]))).unwrap();
        assert_eq!(subject.texts_of("_dnslink.bücher.example"), [second]);
        Ok(())
    }),
    ("a_zone_whose_id_is_set_is_not_looked_for", |subject| {
        subject.cloud().state().zone = Some("the token may not list it".to_owned());
        let desired = change(&["dnslink=/ipfs/bafyaabakaieac"], &[]);
        let refused = block_on(subject.open().write(&desired)).unwrap_err();
        assert_eq!(refused.kind, PublishErrorKind::Refused, "{refused}");
        assert!(refused.to_string().contains("publish.cloudflare.zone_id"), "{refused}");
        let set = subject.open_set(&[("PUBLISH__CLOUDFLARE__ZONE_ID", ZONE)]);
        block_on(set.write(&desired)).unwrap();
        assert_eq!(subject.texts().len(), 1);
        Ok(())
    }),
];

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Runtime::new().unwrap().block_on(work)
}
