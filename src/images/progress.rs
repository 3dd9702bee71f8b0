//! What is shown of a transfer while it goes on.

/// Is shown how far a transfer has come.
pub(crate) trait TransferProgress: Send + Sync {
    /// A transfer of so many bytes begins.
    fn begin(&self, bytes: u64);

    /// So many more are there.
    fn advance(&self, bytes: u64);
}
