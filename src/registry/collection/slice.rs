//! How much of a collection is done at a time.

/// How many blobs or contents an entry of the queue is about: pushes wait for it meanwhile.
pub(super) const SLICE: u32 = 200;
