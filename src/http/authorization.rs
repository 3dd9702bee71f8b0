//! The text of an `Authorization` header.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use crate::auth::Credentials;

/// Decodes the credentials of the scheme `Basic`: a user, a colon and a password.
pub(super) fn basic(authorization: &str) -> Option<Vec<u8>> {
    let (scheme, rest) = authorization.split_once(' ')?;
    let bytes = BASE64_STANDARD.decode(rest.trim()).ok()?;
    scheme.eq_ignore_ascii_case("basic").then_some(bytes)
}

/// Reads an `Authorization` header (RFC 7617, RFC 6750); none if it is malformed.
pub(super) fn parse(authorization: &str) -> Option<Credentials> {
    let (scheme, rest) = authorization.split_once(' ')?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(Credentials::Bearer(rest.trim().into()));
    }
    let text = String::from_utf8(basic(authorization)?).ok()?;
    let (user, password) = text.split_once(':')?;
    Some(Credentials::Basic { user: user.to_owned(), password: password.into() })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use secrecy::ExposeSecret;

    use super::*;
    use crate::oci::hostile;

    proptest! {
        #[test]
        fn whatever_is_not_well_formed_is_no_credentials(
            header in hostile::texts("(Basic|basic|Bearer|BEARER) +([A-Za-z0-9+/]{4}){1,6}([A-Za-z0-9]{3}=)?"),
        ) {
            let (scheme, rest) = header.split_once(' ').unwrap_or_default();
            match parse(&header) {
                Some(Credentials::Basic { user, password }) => {
                    prop_assert!(scheme.eq_ignore_ascii_case("basic"));
                    prop_assert!(!user.contains(':'));
                    let again = BASE64_STANDARD.encode(format!("{user}:{}", password.expose_secret()));
                    prop_assert_eq!(again, rest.trim());
                }
                Some(Credentials::Bearer(token)) => {
                    prop_assert!(scheme.eq_ignore_ascii_case("bearer"));
                    prop_assert_eq!(token.expose_secret(), rest.trim());
                }
                Some(Credentials::None | Credentials::Refresh(_) | Credentials::Malformed) => {
                    return Err(TestCaseError::fail(header));
                }
                None => prop_assert!(!scheme.eq_ignore_ascii_case("bearer")),
            }
        }

        #[test]
        fn every_user_and_password_arrive_as_they_were_sent(
            user in "[^:]{0,20}", password in any::<String>(),
        ) {
            let header = format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}")));
            let Some(Credentials::Basic { user: found, password: secret }) = parse(&header) else {
                return Err(TestCaseError::fail(header));
            };
            prop_assert_eq!((found, secret.expose_secret()), (user, password.as_str()));
        }
    }
}
