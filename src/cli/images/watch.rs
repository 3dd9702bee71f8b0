//! What is seen of a transfer.

use std::sync::Arc;

use crate::cli::progress::Bar;
use crate::images::TransferProgress;
use crate::registry::{Progress, Steps};

/// A bar that shows a transfer.
pub(super) struct TransferBar {
    bar: Bar,
    what: &'static str,
}

impl TransferBar {
    /// Makes a bar; a command that is to be quiet has none.
    pub(super) fn new(what: &'static str, bar: Bar) -> Arc<Self> {
        Arc::new(Self { bar, what })
    }
}

impl TransferProgress for TransferBar {
    fn begin(&self, bytes: u64) {
        self.bar.begin(self.what, Steps::Bytes(bytes));
    }

    fn advance(&self, bytes: u64) {
        self.bar.advance(bytes);
    }
}
