//! How a client that is refused can sign in, as it reads it.

use crate::auth::{Challenge, TokenFault};

/// The path at which clients fetch tokens.
pub(super) const TOKEN_PATH: &str = "/v2/token";

/// Writes a challenge as clients read it: quoted, without spaces behind commas. The token
/// service is a path here; `caller` makes it the URL that clients need.
pub(super) fn header(challenge: &Challenge) -> String {
    match challenge {
        Challenge::Basic => r#"Basic realm="roadstead""#.to_owned(),
        Challenge::Token { scope, fault } => {
            let scope = scope.as_ref().map(|scope| format!(",scope=\"{scope}\""));
            let scope = scope.unwrap_or_default();
            let fault = match fault {
                Some(TokenFault::Invalid) => ",error=\"invalid_token\"",
                Some(TokenFault::InsufficientScope) => ",error=\"insufficient_scope\"",
                None => "",
            };
            format!("Bearer realm=\"{TOKEN_PATH}\",service=\"roadstead\"{scope}{fault}")
        }
    }
}
