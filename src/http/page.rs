//! Pages of a list: `n`, `last`, and the link to the next one.

use actix_web::HttpResponseBuilder;
use actix_web::http::header::LINK;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::error::ApiError;
use super::extract::Query;
use crate::oci::ErrorCode;

/// The longest page, and how long one is when the client does not say.
const LONGEST: u32 = 10_000;

/// What is not unreserved in a URL (RFC 3986, 2.3).
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Which part of a list is requested.
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
                let message = format!("bad value `{text}` for `n`: expected a number");
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
        let pairs: Vec<String> = parameters
            .iter()
            .map(|(name, value)| format!("{name}={}", utf8_percent_encode(value, RESERVED)))
            .collect();
        response.insert_header((LINK, format!("<{path}?{}>; rel=\"next\"", pairs.join("&"))));
    }
}

#[cfg(test)]
mod tests {
    use actix_web::http::Uri;
    use actix_web::http::header::LINK;
    use actix_web::test::TestRequest;
    use actix_web::{HttpResponse, ResponseError};
    use proptest::prelude::*;

    use super::super::extract::Read;
    use super::*;
    use crate::oci::hostile;

    /// Reads the parameters of a path; none when no HTTP request could have such a path.
    fn query(path: &str) -> Option<Result<Query, ApiError>> {
        let uri: Uri = path.parse().ok()?;
        Some(Query::read(&TestRequest::default().uri(&uri.to_string()).to_http_request()))
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic_and_no_page_is_longer_than_the_longest(
            text in hostile::texts("(n=[0-9]{1,12}|last=[a-z%0-9/]{0,20})(&(n=[0-9]{0,3}|last=[a-z+%0-9]{0,9}|[a-z]{1,3})){0,3}"),
        ) {
            let Some(Ok(query)) = query(&format!("/v2/_catalog?{text}")) else { return Ok(()) };
            let n = query.get("n").map(str::to_owned);
            let is_number = |n: &String| !n.is_empty() && n.bytes().all(|byte| byte.is_ascii_digit());
            match Page::read(&query) {
                Ok(page) => {
                    prop_assert!(page.limit <= LONGEST);
                    prop_assert!(n.as_ref().is_none_or(is_number), "{n:?}");
                    prop_assert!(page.last.is_none_or(|last| !last.contains('\0')));
                }
                Err(error) => {
                    prop_assert_eq!(error.status_code(), 400);
                    prop_assert!(!n.as_ref().is_none_or(is_number), "{n:?}");
                }
            }
        }

        #[test]
        fn a_link_leads_where_it_says(last in hostile::texts("[a-z0-9/._-]{1,60}"), limit in 0..=LONGEST) {
            let mut response = HttpResponse::Ok();
            Page::link(&mut response, "/v2/_catalog", &[("n", &limit.to_string()), ("last", &last)]);
            let response = response.finish();
            let link = response.headers().get(LINK).unwrap().to_str().unwrap();
            let path = link.strip_prefix('<').unwrap().strip_suffix(">; rel=\"next\"").unwrap();
            let page = Page::read(&query(path).unwrap().unwrap()).unwrap();
            prop_assert_eq!(page.limit, limit);
            // As far as the text could be that of a name.
            prop_assert_eq!(page.last.as_deref(), last.split('\0').next());
        }
    }
}
