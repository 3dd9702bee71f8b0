//! What the system knows of the process, as far as it tells.

use std::fs;
use std::sync::LazyLock;
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::param::page_size;
use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};

/// The numbers that every program has, under the names that Prometheus gave them.
#[derive(Clone, Copy)]
pub(super) struct Process {
    pub(super) resident_bytes: Option<u64>,
    pub(super) open_files: Option<u64>,
    pub(super) most_files: Option<u64>,
    pub(super) cpu_seconds: f64,
    pub(super) started: Option<u64>,
}

/// When the server began to count.
pub(super) static STARTED: LazyLock<Option<u64>> = LazyLock::new(|| {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    Some(since.as_secs())
});

impl Process {
    pub(super) fn look() -> Self {
        let cpu = clock_gettime(ClockId::ProcessCPUTime);
        let pages = fs::read_to_string("/proc/self/statm").ok();
        let pages = pages.and_then(|text| text.split_whitespace().nth(1)?.parse::<u64>().ok());
        Self {
            resident_bytes: pages.map(|pages| pages * page_size() as u64),
            open_files: fs::read_dir("/proc/self/fd").ok().map(|files| files.count() as u64),
            most_files: getrlimit(Resource::Nofile).current,
            #[expect(clippy::cast_precision_loss, reason = "a counter of seconds is a fraction")]
            cpu_seconds: cpu.tv_sec as f64 + cpu.tv_nsec as f64 / 1e9,
            started: *STARTED,
        }
    }
}
