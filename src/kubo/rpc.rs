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

/// The trailer by which the node tells of a failure after it has begun to answer.
const STREAM_ERROR: &str = "x-stream-error";

/// How long an answer is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// Half a minute: whoever gives up knows nothing.
    Limited,
    /// As long as it takes, since what was given up may land later.
    Endless,
}

/// A call that is being put together.
pub(super) struct Call<'a> {
    kubo: &'a Kubo,
    command: &'static str,
    options: Vec<(&'static str, String)>,
    patience: Patience,
    limit: Duration,
    /// The longest answer that is read.
    most: usize,
}

impl Kubo {
    /// Begins a call of that command, such as `files/ls`.
    pub(super) fn call(&self, command: &'static str) -> Call<'_> {
        let (patience, limit, most) = (Patience::Limited, LIMIT, ANSWER);
        Call { kubo: self, command, options: Vec::new(), patience, limit, most }
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

    pub(super) fn patience(self, patience: Patience) -> Self {
        Self { patience, ..self }
    }

    /// Waits no longer than that, where it has a limit.
    pub(super) fn within(self, limit: Duration) -> Self {
        Self { limit, ..self }
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
            KuboError::new(KuboErrorKind::Failed, command, format!("an odd answer: {error}"))
        })
    }

    /// Makes the call, and returns what is answered once that has ended well.
    pub(super) async fn send(self, files: Option<Form>) -> Result<Bytes> {
        let (command, patience, begun) = (self.command, self.patience, Instant::now());
        let limit = self.limit;
        let exchange = self.exchange(files);
        let answer = match patience {
            Patience::Endless => exchange.await,
            Patience::Limited => tokio::time::timeout(limit, exchange).await.unwrap_or_else(|_| {
                let late = format!("no answer within {} s", limit.as_secs());
                Err(KuboError::new(KuboErrorKind::Unavailable, command, late))
            }),
        };
        tracing::trace!(command, took = ?begun.elapsed(), "asked the node");
        answer
    }

    async fn exchange(self, files: Option<Form>) -> Result<Bytes> {
        let Self { kubo, command, options, patience, most, .. } = self;
        let failed = |error| KuboError::sending(command, error);
        let url = format!("{}/api/v0/{command}", kubo.api);
        let client = match patience {
            Patience::Limited => &kubo.client,
            Patience::Endless => &kubo.patient,
        };
        let mut request = client.post(url).query(&options);
        if let Some(token) = &kubo.token {
            request = request.bearer_auth(token.expose_secret());
        }
        if let Some(files) = files {
            request = request.multipart(files);
        }
        let response = request.send().await.map_err(failed)?;
        let status = response.status().as_u16();
        let mut body = http::Response::<reqwest::Body>::from(response).into_body();
        let mut answer = BytesMut::new();
        while let Some(frame) = body.frame().await {
            let frame = match frame.map_err(failed)?.into_data() {
                Ok(data) => {
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
