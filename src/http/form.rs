//! Parameters as a URL or a form encodes them, and the credentials in the form of a request for a token.

use crate::auth::Credentials;

/// Why parameters cannot be read.
pub(super) type FormError = serde_urlencoded::de::Error;

/// Reads parameters in their order.
pub(super) fn pairs(text: &str) -> Result<Vec<(String, String)>, FormError> {
    serde_urlencoded::from_str(text)
}

/// Returns the credentials that a form has (RFC 6749, 4.3.2 and 6); none if its grant is another one.
pub(super) fn credentials<'a>(field: impl Fn(&str) -> Option<&'a str>) -> Option<Credentials> {
    let text = |name: &str| field(name).unwrap_or_default();
    match text("grant_type") {
        "password" => Some(Credentials::Basic {
            user: text("username").to_owned(),
            password: text("password").into(),
        }),
        "refresh_token" => Some(Credentials::Refresh(text("refresh_token").into())),
        _ => None,
    }
}
