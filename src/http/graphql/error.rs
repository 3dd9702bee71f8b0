//! The one map from refusals of administration to what clients of the management API get.

use async_graphql::{Error, ErrorExtensions, ServerError};

use crate::accounts::AdministrationError;
use crate::index::IndexError;

/// Says why something was not done, with a code for programs in `extensions.code`.
#[expect(clippy::needless_pass_by_value, reason = "it is what `map_err` calls")]
pub(super) fn refusal(error: AdministrationError) -> Error {
    use AdministrationError as E;
    let (code, message) = match &error {
        E::SignedOut => ("UNAUTHORIZED", error.to_string()),
        E::Denied(_) => (DENIED, error.to_string()),
        E::Unknown(_) => ("NOT_FOUND", error.to_string()),
        E::Conflict(_) => ("CONFLICT", error.to_string()),
        E::Invalid(_) => ("INVALID", error.to_string()),
        E::Busy(_) => ("TOO_MANY_REQUESTS", error.to_string()),
        E::Index(cause) => unavailable(cause),
    };
    coded(code, message)
}

/// The code of what the caller may not do.
const DENIED: &str = "DENIED";

/// Tells whether it says that the caller may not do something.
pub(super) fn is_denied(error: &ServerError) -> bool {
    let code = error.extensions.as_ref().and_then(|extensions| extensions.get("code"));
    code == Some(&DENIED.into())
}

/// Makes an error with a code for programs.
pub(super) fn coded(code: &str, message: impl Into<String>) -> Error {
    Error::new(message).extend_with(|_, extensions| extensions.set("code", code))
}

/// There are no accounts: the registry signs its users in by another method.
pub(super) fn no_accounts() -> Error {
    let message = "cannot do that: this registry has no accounts; set auth.method to accounts";
    coded("UNSUPPORTED", message)
}

/// The cause is for the log.
fn unavailable(error: &IndexError) -> (&'static str, String) {
    tracing::error!(%error, "failed to administer accounts");
    if error.is_retryable() {
        ("UNAVAILABLE", "the index is not available; try again".to_owned())
    } else {
        ("INTERNAL", "internal error: see the server's log".to_owned())
    }
}
