//! The registry on whose behalf an answer is given.

/// The registry on whose behalf an answer is given (containerd's `?ns=`).
pub(super) struct Namespace(pub(super) String);
