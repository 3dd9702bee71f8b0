//! One call of the RPC.

use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use reqwest::multipart::Form;
use secrecy::ExposeSecret;
use serde::de::DeserializeOwned;

use super::{Kubo, KuboError, KuboErrorKind, Result};

/// How long a call may take as a whole.
const LIMIT: Duration = Duration::from_secs(30);

/// The longest answer that is read unless the call says less: a listing of a million names is about that.
const ANSWER: usize = 256 * 1024 * 1024;

/// The trailer with which the node reports a failure after it has begun to answer.
const STREAM_ERROR: &str = "x-stream-error";

/// How long an answer is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallTimeout {
    /// Half a minute: a caller that gives up knows nothing.
    Limited,
    /// As long as it takes, since what was given up may land later.
    Endless,
}

/// A call that is being put together.
pub(super) struct Call<'a> {
    kubo: &'a Kubo,
    command: &'static str,
    options: Vec<(&'static str, String)>,
    timeout: CallTimeout,
    limit: Duration,
    /// How long it may tell nothing new.
    stall: Option<Duration>,
    /// The longest answer that is read.
    most: usize,
}

impl Kubo {
    /// Begins a call of that command, such as `files/ls`.
    pub(super) fn call(&self, command: &'static str) -> Call<'_> {
        let (timeout, limit, most) = (CallTimeout::Limited, LIMIT, ANSWER);
        Call { kubo: self, command, options: Vec::new(), timeout, limit, stall: None, most }
    }
}

impl Call<'_> {
    pub(super) fn argument(self, value: impl Into<String>) -> Self {
        self.option("arg", value)
    }

    pub(super) fn option(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.options.push((name, value.into()));
        self
    }

    pub(super) fn timeout(self, timeout: CallTimeout) -> Self {
        Self { timeout, ..self }
    }

    /// Waits no longer than that, where it has a limit.
    pub(super) fn within(self, limit: Duration) -> Self {
        Self { limit, ..self }
    }

    /// Waits as long as the node tells of progress: it repeats itself while there is none.
    pub(super) fn while_it_goes_on(self, stall: Duration) -> Self {
        Self { timeout: CallTimeout::Endless, stall: Some(stall), ..self }
    }

    /// Reads no answer that is longer.
    pub(super) fn at_most(self, most: usize) -> Self {
        Self { most, ..self }
    }

    /// Makes the call, and parses what is answered.
    pub(super) async fn json<T: DeserializeOwned>(self, files: Option<Form>) -> Result<T> {
        let command = self.command;
        let answer = self.send(files).await?;
        serde_json::from_slice(&answer).map_err(|error| {
            KuboError::new(KuboErrorKind::Failed, command, format!("unexpected answer: {error}"))
        })
    }

    /// Makes the call, and returns what is answered once that has ended well.
    pub(super) async fn send(self, files: Option<Form>) -> Result<Bytes> {
        let (command, timeout, begun) = (self.command, self.timeout, Instant::now());
        let limit = self.limit;
        let exchange = self.exchange(files);
        let answer = match timeout {
            CallTimeout::Endless => exchange.await,
            CallTimeout::Limited => {
                tokio::time::timeout(limit, exchange).await.unwrap_or_else(|_| {
                    let late = format!("no answer within {} s", limit.as_secs());
                    Err(KuboError::new(KuboErrorKind::Unavailable, command, late))
                })
            }
        };
        tracing::trace!(command, took = ?begun.elapsed(), "called the node");
        answer
    }

    async fn exchange(self, files: Option<Form>) -> Result<Bytes> {
        let Self { kubo, command, options, timeout, stall, most, .. } = self;
        let failed = |error| KuboError::sending(command, error);
        let url = format!("{}/api/v0/{command}", kubo.api);
        let client = match timeout {
            CallTimeout::Limited => &kubo.client,
            CallTimeout::Endless => &kubo.patient,
        };
        let mut request = client.post(url).query(&options);
        if let Some(token) = &kubo.token {
            request = request.bearer_auth(token.expose_secret());
        }
        if let Some(files) = files {
            request = request.multipart(files);
        }
        let mut stalling = Stalling { command, limit: stall, since: Instant::now() };
        let response = stalling.wait(request.send()).await?.map_err(failed)?;
        let status = response.status().as_u16();
        let mut body = http::Response::<reqwest::Body>::from(response).into_body();
        let (mut answer, mut last) = (BytesMut::new(), Bytes::new());
        while let Some(frame) = stalling.wait(body.frame()).await? {
            let frame = match frame.map_err(failed)?.into_data() {
                Ok(data) => {
                    if data != last {
                        stalling.since = Instant::now();
                        last = data.clone();
                    }
                    if answer.len() + data.len() > most {
                        let long = "the answer is too long";
                        return Err(KuboError::new(KuboErrorKind::Failed, command, long));
                    }
                    answer.extend_from_slice(&data);
                    continue;
                }
                Err(other) => other,
            };
            let trailers = frame.into_trailers().unwrap_or_default();
            if let Some(message) = trailers.get(STREAM_ERROR) {
                let message = String::from_utf8_lossy(message.as_bytes());
                return Err(KuboError::in_stream(command, &message));
            }
        }
        if status != 200 {
            return Err(KuboError::answered(command, status, &answer));
        }
        Ok(answer.freeze())
    }
}

/// How long a call has reported nothing new.
struct Stalling {
    command: &'static str,
    limit: Option<Duration>,
    since: Instant,
}

impl Stalling {
    async fn wait<T>(&self, work: impl Future<Output = T>) -> Result<T> {
        let Some(limit) = self.limit else { return Ok(work.await) };
        let left = limit.saturating_sub(self.since.elapsed());
        tokio::time::timeout(left, work).await.map_err(|_| {
            let what = format!("no data for {} s", limit.as_secs());
            KuboError::new(KuboErrorKind::Unavailable, self.command, what)
        })
    }
}
