//! The gateway port: the fast way out.

use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use cid::Cid;
use futures_util::{Stream, StreamExt};
use reqwest::header::{CONTENT_RANGE, HOST, RANGE};

use super::{Kubo, KuboError, KuboErrorKind, Result};

/// What is sent instead of the node's name: of any other name it would ask the DNS at each request, and
/// `localhost` it would redirect.
const NUMERIC_HOST: &str = "127.0.0.1";

/// A range of a file, as it comes. It ends with an error when the node sends less than that.
pub struct Body {
    /// How long the whole file is.
    pub size: u64,
    bytes: Pin<Box<dyn Stream<Item = reqwest::Result<Bytes>> + Send>>,
    left: u64,
}

impl Kubo {
    /// Reads a range of a file that is whole on the node; it must not be empty.
    ///
    /// # Errors
    /// [`MissingBlock`](KuboErrorKind::MissingBlock) when the root of the file is not there. What is
    /// missing below it is reported by the stream.
    pub async fn read(&self, cid: &Cid, range: Range<u64>) -> Result<Body> {
        let doing = || format!("reading {cid}");
        let request = self
            .client
            .get(format!("{}/ipfs/{cid}", self.gateway))
            .header(HOST, NUMERIC_HOST)
            .header(RANGE, format!("bytes={}-{}", range.start, range.end - 1));
        let response = request.send().await.map_err(|error| KuboError::sending(doing(), error))?;
        let status = response.status().as_u16();
        if status != 206 {
            // The text is short, and only for people.
            let text = response.bytes().await.unwrap_or_default();
            return Err(KuboError::answered(doing(), status, &text));
        }
        let total = response.headers().get(CONTENT_RANGE).and_then(|range| range.to_str().ok());
        let total = total.and_then(|range| range.rsplit_once('/')?.1.parse().ok());
        let Some(size) = total else {
            let odd = "the answer lacks the length of the file";
            return Err(KuboError::new(KuboErrorKind::Failed, doing(), odd));
        };
        let bytes = response.bytes_stream().boxed();
        Ok(Body { size, bytes, left: range.end - range.start })
    }

    /// Asks for a block that is nowhere, and tells whether the node says so without searching for it.
    ///
    /// # Errors
    /// Those of the node.
    pub async fn says_no_at_once(&self, absent: &Cid, limit: std::time::Duration) -> Result<bool> {
        let probe = self.read(absent, 0..1);
        match tokio::time::timeout(limit, probe).await {
            Err(_) | Ok(Ok(_)) => Ok(false),
            Ok(Err(error)) if error.kind == KuboErrorKind::MissingBlock => Ok(true),
            Ok(Err(error)) => Err(error),
        }
    }
}

impl Stream for Body {
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let next = match self.bytes.as_mut().poll_next(context) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(next) => next,
        };
        let outcome = match next {
            Some(Ok(bytes)) if bytes.len() as u64 <= self.left => {
                self.left -= bytes.len() as u64;
                return Poll::Ready(Some(Ok(bytes)));
            }
            Some(Ok(_)) => {
                KuboError::new(KuboErrorKind::Failed, "reading", "more bytes than requested")
            }
            Some(Err(error)) => KuboError::sending("reading", error),
            None => {
                let short = format!("{} bytes are missing", self.left);
                KuboError::new(KuboErrorKind::MissingBlock, "reading", short)
            }
        };
        self.left = 0;
        Poll::Ready(Some(Err(outcome)))
    }
}
