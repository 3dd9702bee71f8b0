//! Counting what a request is about, and what it is answered.

use actix_web::HttpRequest;
use actix_web::http::header::{HeaderName, HeaderValue};

use super::super::error::{Answer, ApiError};
use super::super::{Api, client};
use super::limit::{Limit, State};
use super::rates::RateLimits;
use super::store::Who;
use crate::auth::Caller;

/// What a limit is, and what is left of it, as Docker Hub says them: the number, and after `w=` the time in seconds that
/// it is for.
const LIMIT: &str = "ratelimit-limit";
const REMAINING: &str = "ratelimit-remaining";

/// What a limit has left for who sent a request; nothing to say where there is no limit.
pub(in crate::http) struct Left(Option<State>);

/// Counts the pull of a manifest. A HEAD is none, but is answered what is left.
pub(in crate::http) fn pull(
    request: &HttpRequest,
    api: &Api,
    caller: &Caller,
    is_head: bool,
) -> Result<Left, ApiError> {
    let RateLimits { pulls, anonymous_pulls, .. } = &api.rate_limits;
    let limit = if caller.is_anonymous() { anonymous_pulls } else { pulls };
    let Some(limit) = limit else { return Ok(Left(None)) };
    let who = who(request, caller);
    if is_head {
        return Ok(Left(Some(limit.look(&who))));
    }
    take(limit, &who, api)
}

/// Counts the push of a manifest.
pub(in crate::http) fn push(
    request: &HttpRequest,
    api: &Api,
    caller: &Caller,
) -> Result<Left, ApiError> {
    let Some(limit) = &api.rate_limits.pushes else { return Ok(Left(None)) };
    take(limit, &who(request, caller), api)
}

/// Refuses the beginning of an upload whose manifest could not be pushed.
pub(in crate::http) fn expect_push(
    request: &HttpRequest,
    api: &Api,
    caller: &Caller,
) -> Result<(), ApiError> {
    let Some(limit) = &api.rate_limits.pushes else { return Ok(()) };
    let state = limit.look(&who(request, caller));
    if state.remaining > 0 { Ok(()) } else { Err(refuse(limit, state, api)) }
}

fn take(limit: &Limit, who: &Who, api: &Api) -> Result<Left, ApiError> {
    let state = limit.take(who);
    if state.wait.is_zero() { Ok(Left(Some(state))) } else { Err(refuse(limit, state, api)) }
}

fn refuse(limit: &Limit, state: State, api: &Api) -> ApiError {
    api.metrics.refused(limit.name());
    let seconds = state.retry_after();
    let message = format!(
        "too many {}: at most {} in {} seconds; try again in {seconds} seconds",
        limit.what(),
        state.rate.count,
        state.rate.period.as_secs(),
    );
    let mut error = ApiError::too_many(message, seconds);
    for (name, value) in state.headers() {
        error = error.with(name, value);
    }
    error
}

/// Returns who is counted.
fn who(request: &HttpRequest, caller: &Caller) -> Who {
    if caller.is_anonymous() {
        Who::Client(client::of(request).group())
    } else {
        Who::Caller(caller.limit_key().into_owned())
    }
}

impl State {
    /// Returns after how many seconds the client may come back.
    fn retry_after(&self) -> u64 {
        let rest = u64::from(self.wait.subsec_nanos() > 0);
        (self.wait.as_secs() + rest).max(1)
    }

    fn headers(&self) -> [(&'static str, String); 2] {
        let State { rate, remaining, .. } = self;
        let seconds = rate.period.as_secs();
        [
            (LIMIT, format!("{};w={seconds}", rate.count)),
            (REMAINING, format!("{remaining};w={seconds}")),
        ]
    }
}

impl Left {
    /// Says what is left with an answer, whatever it is.
    pub(in crate::http) fn tell(&self, answer: Answer) -> Answer {
        let Self(Some(state)) = self else { return answer };
        let headers = state.headers();
        match answer {
            Ok(mut response) => {
                for (name, value) in headers {
                    if let Ok(value) = HeaderValue::from_str(&value) {
                        response.headers_mut().insert(HeaderName::from_static(name), value);
                    }
                }
                Ok(response)
            }
            Err(error) => {
                Err(headers.into_iter().fold(error, |error, (name, value)| error.with(name, value)))
            }
        }
    }
}
