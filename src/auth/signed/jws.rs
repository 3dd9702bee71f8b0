//! A signed token before anything of it is trusted: its length and its header (RFC 7515, 3.1).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jsonwebtoken::Header;

use super::error::TokenError;

/// How far clocks may be apart: for so long a token still counts after its end, and already before its begin.
pub const LEEWAY: Duration = Duration::from_mins(1);

/// The longest token that is looked at. One of ours with as many scopes as it may have, each of the longest name, is
/// shorter.
pub(super) const LONGEST: usize = 32 * 1024;

/// Reads the header of a token.
pub(super) fn header(text: &str) -> Result<Header, TokenError> {
    if text.len() > LONGEST {
        return Err(TokenError::TooLong);
    }
    jsonwebtoken::decode_header(text).map_err(|_| TokenError::Malformed)
}

/// Decides whether a token counts at that moment; `begin` and `end` are seconds of the Unix epoch.
pub(super) fn is_in_time(begin: Option<u64>, end: u64, now: SystemTime) -> Result<(), TokenError> {
    let (now, leeway) = (seconds(now), LEEWAY.as_secs());
    if now >= end.saturating_add(leeway) {
        return Err(TokenError::Expired);
    }
    if begin.is_some_and(|begin| begin > now.saturating_add(leeway)) {
        return Err(TokenError::NotYetValid);
    }
    Ok(())
}

/// Returns until when a token counts that ends then.
pub(super) fn until(end: u64) -> SystemTime {
    let end = UNIX_EPOCH.checked_add(Duration::from_secs(end));
    // What no clock can show is later than any moment at which it could be asked for.
    let end = end.and_then(|end| end.checked_add(LEEWAY));
    end.unwrap_or_else(|| UNIX_EPOCH + Duration::from_secs(u32::MAX.into()))
}

/// Returns the seconds of the Unix epoch.
pub(super) fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
