//! What requests count: by the route as it is written, never by the path that a client sent.
//!
//! A thread resolves a handle the first time that it meets a route, a method and a status together,
//! and then only adds to it.

use std::cell::OnceCell;
use std::time::Duration;

use actix_web::http::Method;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// The methods that any route has; others are counted together, since a client may invent them.
const METHODS: [Method; 6] =
    [Method::GET, Method::HEAD, Method::PUT, Method::POST, Method::PATCH, Method::DELETE];

/// What the other methods are called.
const OTHER: &str = "other";

/// The status of a request whose client was gone before there was an answer.
const ABORTED: &str = "aborted";

/// The highest status and the lowest.
const STATUSES: std::ops::Range<u16> = 100..600;

/// The bounds of durations in seconds, from an answer out of memory to a large blob.
const SECONDS: [f64; 16] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0, 120.0,
    600.0,
];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    route: String,
    method: String,
    status: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    route: String,
    method: String,
}

/// What one request came to.
pub(in crate::http) struct Measured<'a> {
    pub(in crate::http) method: &'a Method,
    /// None when the client was gone before there was an answer.
    pub(in crate::http) status: Option<u16>,
    pub(in crate::http) received: u64,
    pub(in crate::http) sent: u64,
    pub(in crate::http) duration: Duration,
}

/// The metrics of all requests.
#[derive(Clone)]
pub(super) struct Families {
    requests: Family<RequestLabels, Counter>,
    received: Family<RouteLabels, Counter>,
    sent: Family<RouteLabels, Counter>,
    durations: Family<RouteLabels, Histogram>,
}

impl Families {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let families = Self {
            requests: Family::default(),
            received: Family::default(),
            sent: Family::default(),
            durations: Family::new_with_constructor(|| Histogram::new(SECONDS)),
        };
        registry.register(
            "http_requests",
            "Requests that came to their end, by route, method and status",
            families.requests.clone(),
        );
        registry.register(
            "http_request_bytes",
            "Bytes received in bodies",
            families.received.clone(),
        );
        registry.register("http_response_bytes", "Bytes sent in bodies", families.sent.clone());
        registry.register(
            "http_request_duration_seconds",
            "Time from a request's head to the last byte of its answer",
            families.durations.clone(),
        );
        families
    }
}

/// The handles of one route, of one thread.
pub(in crate::http) struct RouteMetrics {
    families: Families,
    route: String,
    methods: [MethodMetrics; METHODS.len() + 1],
}

impl RouteMetrics {
    pub(super) fn new(families: Families, pattern: &str) -> Self {
        // `/v2/{name:.+}/blobs/uploads/` and the same without the last slash are one to a reader.
        let route = pattern.replace(":.+", "");
        let route = route.trim_end_matches('/').to_owned();
        Self { families, route, methods: Default::default() }
    }

    /// Returns the route as the metrics name it.
    pub(in crate::http) fn name(&self) -> &str {
        &self.route
    }

    /// Counts a request that came to its end.
    pub(in crate::http) fn count(&self, measured: &Measured<'_>) {
        let index = METHODS.iter().position(|method| method == measured.method);
        let metrics = &self.methods[index.unwrap_or(METHODS.len())];
        let totals = metrics.totals.get_or_init(|| self.totals(index));
        totals.received.inc_by(measured.received);
        totals.sent.inc_by(measured.sent);
        totals.durations.observe(measured.duration.as_secs_f64());
        let status = measured.status.filter(|status| STATUSES.contains(status));
        let slots = metrics.requests.get_or_init(Slots::default);
        let slot = slots.of(status);
        slot.get_or_init(|| self.requests(index, status)).inc();
    }

    fn totals(&self, method: Option<usize>) -> Totals {
        let labels = RouteLabels { route: self.route.clone(), method: name(method) };
        Totals {
            received: self.families.received.get_or_create_owned(&labels),
            sent: self.families.sent.get_or_create_owned(&labels),
            durations: self.families.durations.get_or_create_owned(&labels),
        }
    }

    fn requests(&self, method: Option<usize>, status: Option<u16>) -> Counter {
        self.families.requests.get_or_create_owned(&RequestLabels {
            route: self.route.clone(),
            method: name(method),
            status: status.map_or_else(|| ABORTED.to_owned(), |status| status.to_string()),
        })
    }
}

fn name(method: Option<usize>) -> String {
    method.map_or(OTHER, |index| METHODS[index].as_str()).to_owned()
}

/// The handles of one method.
#[derive(Default)]
struct MethodMetrics {
    totals: OnceCell<Totals>,
    requests: OnceCell<Slots>,
}

struct Totals {
    received: Counter,
    sent: Counter,
    durations: Histogram,
}

/// A handle for each status, and for no answer.
struct Slots {
    statuses: Box<[OnceCell<Counter>]>,
    aborted: OnceCell<Counter>,
}

impl Slots {
    fn of(&self, status: Option<u16>) -> &OnceCell<Counter> {
        let index = status.map(|status| usize::from(status - STATUSES.start));
        index.map_or(&self.aborted, |index| &self.statuses[index])
    }
}

impl Default for Slots {
    fn default() -> Self {
        Self { statuses: STATUSES.map(|_| OnceCell::new()).collect(), aborted: OnceCell::new() }
    }
}
