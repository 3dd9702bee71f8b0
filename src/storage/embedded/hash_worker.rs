//! Bytes of an upload on their way to the file: they are written and hashed beside the task that
//! receives them.

use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::Notify;
use tokio::task::spawn_blocking;

use super::super::{Result, StorageError, StorageErrorKind};
use super::progress::Progress;

/// How many bytes wait before a thread is requested: it costs as much as hashing some thousands.
const BATCH: usize = 256 * 1024;

/// How many bytes wait before the sender of more has to.
const MOST: usize = 1024 * 1024;

/// What a piece takes beside its bytes, of which a client may send one at a time.
const PIECE: usize = 64;

/// Hands bytes to the progress of an upload on another thread, in order. The thread is occupied only as
/// long as there are bytes, so a slow upload holds none.
pub(super) struct HashWorker(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    /// Wakes waiters whenever the thread took what was waiting, and when it ended.
    changed: Notify,
}

struct State {
    /// None while a thread has it.
    progress: Option<Progress>,
    waiting: Vec<Bytes>,
    size: usize,
    /// The first failure; nothing is absorbed after it.
    failure: Option<StorageError>,
    is_broken: bool,
}

impl HashWorker {
    pub(super) fn new(progress: Progress) -> Self {
        let state = State {
            progress: Some(progress),
            waiting: Vec::new(),
            size: 0,
            failure: None,
            is_broken: false,
        };
        Self(Arc::new(Shared { state: Mutex::new(state), changed: Notify::new() }))
    }

    /// Appends bytes; waits while many are waiting already.
    ///
    /// # Errors
    /// That of what was appended before.
    pub(super) async fn append(&self, bytes: Bytes) -> Result<()> {
        {
            let mut state = self.0.state();
            state.size += bytes.len() + PIECE;
            state.waiting.push(bytes);
            if state.size >= BATCH {
                Shared::start(&self.0, &mut state);
            }
        }
        self.until(|state| state.size <= MOST).await
    }

    /// Waits until all that was appended is absorbed.
    ///
    /// # Errors
    /// That of what was appended.
    pub(super) async fn settle(&self) -> Result<()> {
        Shared::start(&self.0, &mut self.0.state());
        self.until(|state| state.progress.is_some()).await
    }

    /// Takes the progress out together with what it has not absorbed yet, where that is little; none where a thread has
    /// it, or something failed.
    pub(super) fn take_unabsorbed(&mut self) -> Option<(Progress, Vec<Bytes>)> {
        let mut state = self.0.state();
        if state.is_broken {
            return None;
        }
        let progress = state.progress.take()?;
        state.is_broken = true;
        Some((progress, mem::take(&mut state.waiting)))
    }

    /// Takes the progress out, once it has [settled](Self::settle). Nothing can be appended after that.
    pub(super) fn take(&mut self) -> Result<Progress> {
        let mut state = self.0.state();
        state.is_broken = true;
        state.progress.take().ok_or_else(broken)
    }

    async fn until(&self, is_so: impl Fn(&State) -> bool) -> Result<()> {
        loop {
            let changed = self.0.changed.notified();
            {
                let mut state = self.0.state();
                if state.is_broken {
                    return Err(state.failure.take().unwrap_or_else(broken));
                }
                if is_so(&state) {
                    return Ok(());
                }
            }
            changed.await;
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks for a thread, if there is something to do and none does it yet.
    fn start(shared: &Arc<Self>, state: &mut State) {
        if state.is_broken || state.waiting.is_empty() {
            return;
        }
        let Some(progress) = state.progress.take() else { return };
        let run = Run { shared: Arc::clone(shared), progress: Some(progress) };
        spawn_blocking(move || run.run());
    }
}

/// The progress on its thread. It comes back when this is dropped, be it that the thread panics or is
/// never begun.
struct Run {
    shared: Arc<Shared>,
    progress: Option<Progress>,
}

impl Run {
    fn run(mut self) {
        while let Some(pieces) = self.next() {
            let Some(progress) = &mut self.progress else { return };
            if let Err(error) = progress.absorb(&pieces) {
                let mut state = self.shared.state();
                state.failure = Some(error);
                state.is_broken = true;
            }
        }
    }

    /// Takes what is waiting. Where nothing is, the progress goes back in the same moment, so that no bytes are
    /// appended without notice.
    fn next(&mut self) -> Option<Vec<Bytes>> {
        let mut state = self.shared.state();
        if state.is_broken || state.waiting.is_empty() {
            state.progress = self.progress.take();
            return None;
        }
        state.size = 0;
        let pieces = mem::take(&mut state.waiting);
        drop(state);
        self.shared.changed.notify_waiters();
        Some(pieces)
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        if let Some(progress) = self.progress.take() {
            let mut state = self.shared.state();
            state.progress = Some(progress);
            state.is_broken = true;
        }
        self.shared.changed.notify_waiters();
    }
}

fn broken() -> StorageError {
    StorageError::new(StorageErrorKind::Failed, "an earlier write of this upload failed")
}
