//! One connection, and the requests that it has under way.

use std::cell::Cell;
use std::rc::Rc;

use super::count::Counted;

/// A connection.
pub(super) struct Connection {
    /// None when it was refused.
    counted: Option<Counted>,
    under_way: Cell<usize>,
}

impl Connection {
    /// One that counts as long as it lasts.
    pub(super) fn counted(counted: Counted) -> Self {
        Self { counted: Some(counted), under_way: Cell::new(0) }
    }

    /// One too many.
    pub(super) fn refused() -> Self {
        Self { counted: None, under_way: Cell::new(0) }
    }

    /// Begins a request.
    pub(super) fn begin(self: &Rc<Self>) -> UnderWay {
        let number = self.under_way.get() + 1;
        self.under_way.set(number);
        UnderWay { connection: Rc::clone(self), number }
    }
}

/// A request that is under way until this is dropped.
pub(super) struct UnderWay {
    connection: Rc<Connection>,
    number: usize,
}

impl UnderWay {
    /// Returns how many its connection had under way when it came, itself included.
    pub(super) fn number(&self) -> usize {
        self.number
    }

    /// Tells whether its connection was one too many.
    pub(super) fn is_refused(&self) -> bool {
        self.connection.counted.is_none()
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.connection.under_way.set(self.connection.under_way.get() - 1);
    }
}
