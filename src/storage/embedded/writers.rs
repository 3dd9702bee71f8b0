//! Of all writers of one upload, only the last may write: they share one file.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::super::{Result, StorageError, StorageErrorKind};

/// How many names are remembered before those of ended uploads are dropped.
const NAMES: usize = 256;

/// Which ingest writes to which upload.
#[derive(Default)]
pub(super) struct Writers(Mutex<HashMap<String, Weak<Mutex<u64>>>>);

/// The right of an ingest to write to its upload, until the next ingest takes it.
#[derive(Clone)]
pub(super) struct Writer {
    /// The number of the ingest that may write.
    current: Arc<Mutex<u64>>,
    number: u64,
}

impl Writers {
    /// Takes the right to write to an upload; waits until the ingest before has written what it is
    /// writing. It may block.
    pub(super) fn take(&self, id: &str) -> Writer {
        let current = self.of(id);
        let number = {
            let mut current = lock(&current);
            *current += 1;
            *current
        };
        Writer { current, number }
    }

    fn of(&self, id: &str) -> Arc<Mutex<u64>> {
        let mut known = lock(&self.0);
        if let Some(current) = known.get(id).and_then(Weak::upgrade) {
            return current;
        }
        if known.len() >= NAMES {
            known.retain(|_, current| current.strong_count() > 0);
        }
        let current = Arc::default();
        known.insert(id.to_owned(), Arc::downgrade(&current));
        current
    }
}

impl Writer {
    /// Runs work on the upload's files; no other ingest takes the upload meanwhile. It may block.
    ///
    /// # Errors
    /// [`StorageErrorKind::Unavailable`] when another ingest has taken it; those of the work.
    pub(super) fn write<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let current = lock(&self.current);
        if *current != self.number {
            let what = "another request took the upload over";
            return Err(StorageError::new(StorageErrorKind::Unavailable, what));
        }
        work()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_that_took_an_upload_writes() {
        let writers = Writers::default();
        let first = writers.take("upload");
        let other = writers.take("other");
        assert_eq!(first.write(|| Ok(1)).unwrap(), 1);
        let second = writers.take("upload");
        let refused = first.write(|| Ok(1)).unwrap_err();
        assert_eq!(refused.kind, StorageErrorKind::Unavailable);
        assert_eq!(second.write(|| Ok(2)).unwrap(), 2);
        assert_eq!(other.write(|| Ok(3)).unwrap(), 3);
    }

    #[test]
    fn ended_uploads_are_forgotten() {
        let writers = Writers::default();
        let first = writers.take("kept");
        for number in 0..3 * NAMES {
            writers.take(&number.to_string());
        }
        assert!(lock(&writers.0).len() <= NAMES);
        let next = writers.take("kept");
        assert!(first.write(|| Ok(())).is_err() && next.write(|| Ok(())).is_ok());
    }
}
