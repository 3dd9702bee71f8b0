//! What is queried at each read of the metrics.

use std::sync::atomic::AtomicU64;

use actix_web::web::Data;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::registry::Registry;

use super::counts::Counts;
use super::process::Process;
use crate::http::Api;
use crate::registry;

/// The numbers of one moment.
pub(super) struct Reading {
    counts: Option<Counts>,
    root_changes: u64,
    folds: u64,
    stale_roots: u64,
    /// Under way, and refused.
    foreign_reads: (u64, u64),
    /// The bytes and the files of the cache; none where there is none.
    cache: Option<(u64, u64)>,
    /// How many there are and may be, by name.
    limits: [(&'static str, &'static str, usize); 4],
}

impl Reading {
    pub(super) async fn take(api: &Data<Api>) -> Self {
        let registry = &api.registry;
        let limits = api.limits.settings();
        let counted = Data::clone(api);
        Self {
            counts: api
                .metrics
                .counts
                .get(async move || Counts::ask(&counted.registry).await)
                .await,
            root_changes: registry.root_changes(),
            folds: registry.fold_count(),
            stale_roots: registry.stale_root_count() as u64,
            foreign_reads: registry.foreign_reads(),
            cache: registry.cache_totals(),
            limits: [
                ("roadstead_connections", "Connections of clients", api.limits.connection_count()),
                (
                    "roadstead_connections_limit",
                    "How many connections of clients there may be",
                    limits.connections,
                ),
                (
                    "roadstead_transfers",
                    "Requests under way that may have files open",
                    api.limits.transfer_count(),
                ),
                (
                    "roadstead_transfers_limit",
                    "How many requests under way may have files open",
                    limits.transfers,
                ),
            ],
        }
    }

    /// Puts them where they can be written from. What is not known is left out.
    pub(super) fn registry(&self) -> Registry {
        let mut registry = Registry::default();
        let build = Family::<[(&str, &str); 1], Gauge>::default();
        build.get_or_create(&[("version", env!("CARGO_PKG_VERSION"))]).set(1);
        registry.register("roadstead_build_info", "The version that runs", build);
        let counts = self.counts.as_ref();
        if let Some(uploads) = counts.and_then(|counts| counts.uploads) {
            let help = "Uploads that were begun, and neither finished nor given up";
            registry.register("roadstead_uploads", help, ConstGauge::new(uploads));
        }
        gauge(
            &mut registry,
            "roadstead_upload_bytes",
            "How many bytes uploads under way take",
            counts.and_then(|counts| counts.upload_bytes),
        );
        counter(
            &mut registry,
            "roadstead_root_changes",
            "Changes of the public tree that were carried out: pushes of manifests, and deletions",
            self.root_changes,
        );
        counter(
            &mut registry,
            "roadstead_folds",
            "How often changes were folded into the public root",
            self.folds,
        );
        gauge(
            &mut registry,
            "roadstead_stale_roots",
            "Names of other people's roots that could not be looked up again when that was due",
            Some(self.stale_roots),
        );
        let (reads, refused) = self.foreign_reads;
        gauge(
            &mut registry,
            "roadstead_foreign_reads",
            "Reads of other people's content that are under way",
            Some(reads),
        );
        counter(
            &mut registry,
            "roadstead_foreign_reads_refused",
            "Reads of other people's content that were refused because there were too many",
            refused,
        );
        let (bytes, files) = self.cache.unzip();
        gauge(
            &mut registry,
            "roadstead_cache_bytes",
            "Room on the disk that the cache of other people's images takes",
            bytes,
        );
        gauge(
            &mut registry,
            "roadstead_cache_files",
            "Files in the cache of other people's images",
            files,
        );
        for (name, help, value) in self.limits {
            gauge(&mut registry, name, help, u64::try_from(value).ok());
        }
        if let Some(status) = counts.and_then(|counts| counts.publishing.as_ref()) {
            publishing(&mut registry, status);
        }
        if let Some((age, last)) = counts.and_then(|counts| counts.collection.as_ref()) {
            collection(&mut registry, age.as_secs(), last);
        }
        if let Some(process) = counts.and_then(|counts| counts.process) {
            system(&mut registry, process);
        }
        registry
    }
}

fn system(registry: &mut Registry, process: Process) {
    let Process { resident_bytes, open_files, most_files, cpu_seconds, started } = process;
    gauge(registry, "process_resident_memory_bytes", "Memory in use", resident_bytes);
    gauge(registry, "process_open_fds", "Open files and connections", open_files);
    gauge(registry, "process_max_fds", "How many there may be at most", most_files);
    gauge(
        registry,
        "process_start_time_seconds",
        "When the process began, since the Unix epoch",
        started,
    );
    let cpu = Counter::<f64, AtomicU64>::default();
    cpu.inc_by(cpu_seconds);
    registry.register("process_cpu_seconds", "Time on processors", cpu);
}

fn publishing(registry: &mut Registry, status: &registry::PublishStatus) {
    let record = status.publication.as_ref();
    gauge(
        registry,
        "roadstead_published_timestamp_seconds",
        "When the root that is published was first seen in the DNS, since the Unix epoch",
        record.and_then(|record| u64::try_from(record.published / 1000).ok()).filter(|at| *at > 0),
    );
    let is_failing = record.is_some_and(|record| record.failure.is_some());
    for (name, help, is_so) in [
        (
            "roadstead_publish_pending",
            "Whether something has changed that may have to be published",
            status.is_pending,
        ),
        ("roadstead_publish_failing", "Whether the last try to publish has failed", is_failing),
    ] {
        gauge(registry, name, help, Some(u64::from(is_so)));
    }
    counter(
        registry,
        "roadstead_publish_failures",
        "Tries to publish that have failed",
        status.failures,
    );
}

/// What the last collection of garbage came to, by whatever process.
fn collection(registry: &mut Registry, age: u64, last: &registry::Collected) {
    for (name, help, value) in [
        (
            "roadstead_collection_age_seconds",
            "For how long no collection of garbage has ended",
            age,
        ),
        (
            "roadstead_collection_bytes",
            "How many bytes the last collection of garbage has removed",
            last.bytes(),
        ),
        (
            "roadstead_collection_candidates",
            "How many blobs of repositories the last collection of garbage has looked at",
            last.candidates,
        ),
        (
            "roadstead_collection_milliseconds",
            "How long the last collection of garbage took",
            last.milliseconds,
        ),
    ] {
        gauge(registry, name, help, Some(value));
    }
}

fn gauge(registry: &mut Registry, name: &str, help: &str, value: Option<u64>) {
    if let Some(value) = value {
        registry.register(name, help, ConstGauge::new(value));
    }
}

fn counter(registry: &mut Registry, name: &str, help: &str, value: u64) {
    let counter: Counter = Counter::default();
    counter.inc_by(value);
    registry.register(name, help, counter);
}
