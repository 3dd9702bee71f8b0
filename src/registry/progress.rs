//! How far a long piece of work has come, for commands that show it.

/// A receiver of how far a long piece of work has come.
pub trait Progress: Send + Sync {
    /// The next part of the work begins; the one before is at its end.
    fn begin(&self, what: &'static str, steps: Steps);

    /// That many more steps of the part are done.
    fn advance(&self, steps: u64);
}

/// How long a part of the work is, as far as that is known beforehand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Steps {
    /// So many things, one step each.
    Items(u64),
    /// So many bytes, one step each.
    Bytes(u64),
    /// It is not known.
    Unknown,
}

impl Steps {
    /// As many things as there are in a list.
    #[must_use]
    pub fn each<T>(of: &[T]) -> Self {
        Self::Items(of.len() as u64)
    }
}

/// Ignores the progress.
pub struct Silent;

impl Progress for Silent {
    fn begin(&self, _: &'static str, _: Steps) {}

    fn advance(&self, _: u64) {}
}
