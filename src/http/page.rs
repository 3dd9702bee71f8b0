//! Pages of a list: `n`, `last`, and the link to the next one.

use actix_web::HttpResponseBuilder;
use actix_web::http::header::LINK;

use super::error::ApiError;
use super::extract::Query;
use crate::oci::ErrorCode;

/// The longest page, and how long one is when the client does not say.
const LONGEST: u32 = 10_000;

/// Which part of a list is asked for.
pub(super) struct Page {
    /// At most so many.
    pub(super) limit: u32,
    /// Only what comes after this.
    pub(super) last: Option<String>,
}

impl Page {
    pub(super) fn read(query: &Query) -> Result<Self, ApiError> {
        let limit = match query.get("n") {
            None => LONGEST,
            Some(text) if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) => {
                text.parse().unwrap_or(LONGEST).min(LONGEST)
            }
            Some(text) => {
                let message = format!("`{text}` is not a number of results");
                return Err(ApiError::malformed(ErrorCode::PaginationNumberInvalid, message));
            }
        };
        // No name has a NUL, which not every database takes; what follows one changes no order.
        let last = query.get("last").and_then(|last| last.split('\0').next()).map(str::to_owned);
        Ok(Self { limit, last })
    }

    /// Says where the list goes on (RFC 8288).
    pub(super) fn link(
        response: &mut HttpResponseBuilder,
        path: &str,
        parameters: &[(&str, &str)],
    ) {
        let pairs: Vec<String> =
            parameters.iter().map(|(name, value)| format!("{name}={}", encode(value))).collect();
        response.insert_header((LINK, format!("<{path}?{}>; rel=\"next\"", pairs.join("&"))));
    }
}

/// Encodes what is not unreserved (RFC 3986, 2.3).
fn encode(text: &str) -> String {
    let is_unreserved =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
    let encoded = text.bytes().map(|byte| match byte {
        byte if is_unreserved(byte) => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    });
    encoded.collect()
}
