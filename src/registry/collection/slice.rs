//! How much of a collection is done at a time.

/// How many blobs or contents an entry of the queue is about: pushes wait for it meanwhile.
pub(super) const SLICE: u32 = 200;

/// How much content of no repository is listed at a time, for which the index may have to look at all of it.
pub(super) const LISTED: u32 = 5000;
