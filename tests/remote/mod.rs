//! Reads under other people's roots, from servers of the test's own that misbehave at any byte.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod cache;
mod cleaning;
mod cuts;
mod damage;
mod faults;
mod peer;
mod reads;
mod several;
mod world;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::TryStreamExt;
use reqwest::Client;
use reqwest::redirect::Policy;
use roadstead::remote::{
    ByteStream, File, Gateway, Remote, RemoteError, RemoteErrorKind, Source, Timeouts,
};

use peer::Peer;
use world::World;

/// Longer than any test takes: the next source is asked when the one before it has failed, and no sooner.
pub(crate) const NEVER: Duration = Duration::from_mins(10);

/// Waits long, as for good peers.
pub(crate) fn source_of(peer: &Peer) -> Arc<dyn Source> {
    with(peer, Timeouts::default())
}

/// Gives up soon, but not before the peer has done what is its manner.
pub(crate) fn source_with_short_timeouts(peer: &Peer) -> Arc<dyn Source> {
    let answer = Duration::from_secs(if peer.is_silent() { 2 } else { 30 });
    with(peer, Timeouts { answer, window: Duration::from_secs(3), least: 4096 })
}

pub(crate) fn with(peer: &Peer, timeouts: Timeouts) -> Arc<dyn Source> {
    let client = Client::builder().no_proxy().redirect(Policy::none()).build().unwrap();
    Arc::new(Gateway::with(client, peer.url(), timeouts))
}

/// Asks these, each when the one before it has failed.
pub(crate) fn remote(sources: impl IntoIterator<Item = Arc<dyn Source>>) -> Remote {
    Remote::with(sources.into_iter().collect(), NEVER)
}

pub(crate) fn path(text: &str) -> Vec<String> {
    text.split('/').filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

/// Opens the file of a world.
pub(crate) async fn open(remote: &Remote, world: &World) -> Result<File, RemoteError> {
    let file = remote.open(world.root, path(world::FILE), None).await?;
    Ok(file.expect("nobody can prove that there is none"))
}

/// Reads to the end: what came, and why it ended, if that was no good end.
pub(crate) async fn drain(mut bytes: ByteStream) -> (Vec<u8>, Option<RemoteError>) {
    let mut all = Vec::new();
    loop {
        match bytes.try_next().await {
            Ok(Some(piece)) => all.extend_from_slice(&piece),
            Ok(None) => return (all, None),
            Err(error) => return (all, Some(error)),
        }
    }
}

/// Reads the file of a world, as far as it comes.
pub(crate) async fn read(remote: &Remote, world: &World) -> (Vec<u8>, Option<RemoteError>) {
    match open(remote, world).await {
        Ok(file) => drain(file.bytes).await,
        Err(error) => (Vec::new(), Some(error)),
    }
}

/// Asserts that what is read is the whole and nothing else.
pub(crate) async fn assert_sound(remote: &Remote, world: &World) {
    let (bytes, error) = read(remote, world).await;
    assert!(error.is_none(), "{error:?}");
    assert!(world.content == bytes, "{} bytes came of {}", bytes.len(), world.content.len());
}

/// Waits until something is so; panics when it never is.
pub(crate) async fn until(is_so: impl AsyncFn() -> bool) {
    let begun = Instant::now();
    while !is_so().await {
        assert!(begun.elapsed() < Duration::from_mins(1), "it never is so");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub(crate) fn kind(error: Option<RemoteError>) -> RemoteErrorKind {
    error.expect("it must not end well").kind
}

/// Bytes without a pattern; the same for the same seed.
pub(crate) fn noise(length: usize, seed: u64) -> Bytes {
    crate::common::content::noise(length, seed).into()
}
