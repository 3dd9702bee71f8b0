//! The collection that runs, and by how much it has to wait longer than the grace.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::{BoxFuture, Shared};

use super::super::RegistryError;
use super::report::Collected;
use super::suspects::Suspects;

/// The part of the grace by which a time in the index may be too early, and at most how much that is.
const LAG_PART: u32 = 8;
const MOST_LAG: Duration = Duration::from_mins(1);

type Outcome = std::result::Result<Collected, Arc<RegistryError>>;

/// The collection that this process runs.
#[derive(Default)]
pub(in crate::registry) struct Collections {
    pub(super) running: Mutex<Option<Shared<BoxFuture<'static, Outcome>>>>,
    pub(super) suspects: Suspects,
}

/// Returns by how much a time in the index may be too early, where blobs stay for that grace.
pub(in crate::registry) fn lag(grace: Duration) -> Duration {
    (grace / LAG_PART).min(MOST_LAG)
}
