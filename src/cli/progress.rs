//! A bar on the terminal while a command takes long.
//!
//! It stands on standard error and is gone before anything is printed. Where nobody watches, that is
//! unless both outputs are a terminal, there is none.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::registry::{Progress, Steps};

/// How often the bar moves although nothing was done.
const TICK: Duration = Duration::from_millis(100);

/// A bar that shows a [`Progress`]. It goes when it is dropped.
pub(super) struct Bar(ProgressBar);

impl Bar {
    /// Makes a bar, which is seen only by somebody at a terminal who did not ask for JSON.
    pub(super) fn new(json: bool) -> Self {
        let is_watched = io::stdout().is_terminal() && io::stderr().is_terminal() && !json;
        if !is_watched {
            return Self(ProgressBar::hidden());
        }
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        bar.enable_steady_tick(TICK);
        Self(bar)
    }

    /// Writes a line to standard error, above the bar.
    pub(super) fn say(&self, line: &str) {
        // There is nobody to tell if that fails.
        self.0.suspend(|| {
            let _ = writeln!(io::stderr(), "{line}");
        });
    }

    /// Tells whether anybody sees it, for work that is done for the bar alone.
    pub(super) fn is_seen(&self) -> bool {
        !self.0.is_hidden()
    }
}

impl Progress for Bar {
    fn begin(&self, what: &'static str, steps: Steps) {
        let (total, template) = match steps {
            Steps::Items(total) => (Some(total), "{msg} {wide_bar} {pos}/{len}, {eta} to go"),
            Steps::Bytes(total) => (
                Some(total),
                "{msg} {wide_bar} {binary_bytes}/{binary_total_bytes}, {binary_bytes_per_sec}, {eta} to go",
            ),
            Steps::Unknown => (None, "{msg} {spinner} {elapsed}"),
        };
        let style = ProgressStyle::with_template(template).expect("the templates above are sound");
        self.0.reset();
        self.0.set_style(style);
        self.0.set_message(what);
        match total {
            Some(total) => self.0.set_length(total),
            None => self.0.unset_length(),
        }
        // Each part is shown, however short it is.
        self.0.force_draw();
    }

    fn advance(&self, steps: u64) {
        self.0.inc(steps);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
