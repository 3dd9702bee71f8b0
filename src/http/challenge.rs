//! How a client that is refused can sign in, as it reads it.

use crate::auth::{Challenge, TokenFault, TokenService};

/// The path at which clients fetch tokens.
pub(super) const TOKEN_PATH: &str = "/v2/token";

/// The name by which clients request tokens for this registry.
const SERVICE: &str = "roadstead";

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
            format!("{}{scope}{fault}", bearer(TOKEN_PATH, SERVICE))
        }
    }
}

/// Puts the URL of the registry's own token service into a challenge, or names the one that clients are sent to.
pub(super) fn with_realm(header: &str, base: &str, elsewhere: Option<&TokenService>) -> String {
    let realm = match elsewhere {
        Some(TokenService { realm, service }) => bearer(realm, service),
        None => bearer(&format!("{base}{TOKEN_PATH}"), SERVICE),
    };
    header.replacen(&bearer(TOKEN_PATH, SERVICE), &realm, 1)
}

fn bearer(realm: &str, service: &str) -> String {
    format!("Bearer realm=\"{realm}\",service=\"{service}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_sent_to_the_token_service() {
        let scope = Some("repository:a:pull".to_owned());
        let header = header(&Challenge::Token { scope, fault: Some(TokenFault::Invalid) });
        let rest = r#",scope="repository:a:pull",error="invalid_token""#;
        assert_eq!(
            with_realm(&header, "https://r.example", None),
            format!(r#"Bearer realm="https://r.example/v2/token",service="roadstead"{rest}"#)
        );
        let elsewhere = TokenService {
            realm: "https://auth.example/token?x=1".to_owned(),
            service: "r.example".to_owned(),
        };
        assert_eq!(
            with_realm(&header, "https://r.example", Some(&elsewhere)),
            format!(r#"Bearer realm="https://auth.example/token?x=1",service="r.example"{rest}"#)
        );
    }
}
