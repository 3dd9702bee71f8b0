//! What is seen of a command while it takes long.
//!
//! At a terminal a bar stands on standard error, and is gone before anything is printed. Elsewhere a line
//! is written each half a minute, so that a log shows that the command is at work.

use std::fs;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::process;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};

use super::output::printable;
use crate::registry::{Progress, Steps};

/// How often the bar moves although nothing was done.
const TICK: Duration = Duration::from_millis(100);

/// How often a line is written where there is no bar.
const LINE: Duration = Duration::from_secs(30);

/// What a shell says of a command that SIGINT or SIGTERM ended.
const INTERRUPTED: i32 = 128 + 2;
const TERMINATED: i32 = 128 + 15;

/// A bar that shows a [`Progress`]. It goes when it is dropped.
pub(super) struct Bar {
    bar: ProgressBar,
    lines: Option<Mutex<Lines>>,
}

/// What is at work where there is no bar.
struct Lines {
    what: &'static str,
    steps: Steps,
    done: u64,
    last: Instant,
}

impl Bar {
    /// Makes a bar; at a terminal, where no JSON was asked for, it is seen.
    pub(super) fn new(json: bool) -> Self {
        let is_watched = io::stdout().is_terminal() && io::stderr().is_terminal() && !json;
        if !is_watched {
            let lines = Lines { what: "", steps: Steps::Unknown, done: 0, last: Instant::now() };
            return Self { bar: ProgressBar::hidden(), lines: (!json).then(|| Mutex::new(lines)) };
        }
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        bar.enable_steady_tick(TICK);
        Self { bar, lines: None }
    }

    /// Writes a line to standard error, above the bar.
    pub(super) fn say(&self, line: &str) {
        // If that fails, it cannot be reported.
        self.bar.suspend(|| {
            let _ = writeln!(io::stderr(), "{}", printable(line));
        });
    }

    /// Returns whether it is visible, for work that is done for the bar alone.
    pub(super) fn is_seen(&self) -> bool {
        !self.bar.is_hidden()
    }

    /// From now on Ctrl-C and SIGTERM end the process as they do without this, but clear the bar first, remove a
    /// file that is not finished, and say how to go on.
    ///
    /// # Errors
    /// When the system gives no signals.
    pub(super) fn end_on_signal(
        &self,
        runtime: &Runtime,
        draft: Option<PathBuf>,
        advice: String,
    ) -> io::Result<()> {
        let _entered = runtime.enter();
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let bar = self.bar.clone();
        runtime.spawn(async move {
            let code = tokio::select! {
                _ = interrupt.recv() => INTERRUPTED,
                _ = terminate.recv() => TERMINATED,
            };
            bar.finish_and_clear();
            if let Some(draft) = draft {
                let _ = fs::remove_file(draft);
            }
            let _ = writeln!(io::stderr(), "interrupted: {}", printable(&advice));
            process::exit(code);
        });
        Ok(())
    }
}

impl Progress for Bar {
    fn begin(&self, what: &'static str, steps: Steps) {
        if let Some(lines) = &self.lines {
            let mut lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
            (lines.what, lines.steps, lines.done) = (what, steps, 0);
        }
        let (total, template) = match steps {
            Steps::Items(total) => (Some(total), "{msg} {wide_bar} {pos}/{len}, {eta} to go"),
            Steps::Bytes(total) => (
                Some(total),
                "{msg} {wide_bar} {binary_bytes}/{binary_total_bytes}, {binary_bytes_per_sec}, {eta} to go",
            ),
            Steps::Unknown => (None, "{msg} {spinner} {elapsed}"),
        };
        let style = ProgressStyle::with_template(template).expect("the templates above are sound");
        self.bar.reset();
        self.bar.set_style(style);
        self.bar.set_message(what);
        match total {
            Some(total) => self.bar.set_length(total),
            None => self.bar.unset_length(),
        }
        // Each part is shown, however short it is.
        self.bar.force_draw();
    }

    fn advance(&self, steps: u64) {
        self.bar.inc(steps);
        let Some(lines) = &self.lines else { return };
        let mut lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.done += steps;
        if lines.last.elapsed() >= LINE {
            lines.last = Instant::now();
            let _ = writeln!(io::stderr(), "{}", lines.shown());
        }
    }
}

impl Lines {
    fn shown(&self) -> String {
        let Self { what, steps, done, .. } = self;
        match steps {
            Steps::Items(total) => format!("{what}: {done} of {total}"),
            Steps::Bytes(total) => format!("{what}: {done} of {total} bytes"),
            Steps::Unknown => format!("{what}: {done}"),
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
