//! A publisher of the test's own: it tells blocks one by one, as slowly as the test likes, and counts them.

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use cid::Cid;
use roadstead::ipld::{Block, file};

use crate::common::content::{sha256, sha512};
use crate::federation::answering::Answering;
use crate::federation::hostile::{Node, REPOSITORY, data, link};
use crate::federation::operators::Operators;

/// A tree that is published, and how its blocks are told.
pub(crate) struct Publisher {
    root: Cid,
    pub(crate) gateway: Answering,
    state: Arc<(Mutex<State>, Condvar)>,
}

#[derive(Default)]
struct State {
    requests: HashMap<Cid, usize>,
    archives: usize,
    withheld: Vec<Cid>,
    /// How long each mebibyte takes.
    per_mebibyte: Duration,
}

/// The leaves of content, in its order.
pub(crate) fn leaves(content: &[u8]) -> Vec<Cid> {
    let leaf = |chunk: &[u8]| Block::raw(Bytes::copy_from_slice(chunk)).cid;
    content.chunks(file::CHUNK_SIZE).map(leaf).collect()
}

/// A tree whose repository has a blob, by both of its names; what stands there is `content`.
pub(crate) fn tree_of(claimed: &[u8], content: &[u8]) -> Node {
    let mut tree = Node::folder();
    add(&mut tree, claimed, content);
    tree
}

/// Adds a blob to a tree.
pub(crate) fn add(tree: &mut Node, claimed: &[u8], content: &[u8]) {
    tree.put(&data(claimed), Node::File(content.to_vec()));
    for digest in [sha256(claimed), sha512(claimed)] {
        let (algorithm, hex) = digest.split_once(':').unwrap();
        tree.put(&format!("{REPOSITORY}/_layers/{algorithm}/{hex}/link"), link(claimed));
    }
}

impl Publisher {
    /// Tells the blocks of a tree.
    pub(crate) fn of(tree: &Node) -> Self {
        let mut blocks = HashMap::new();
        let (root, _) = tree.build(&mut blocks);
        let state: Arc<(Mutex<State>, Condvar)> = Arc::default();
        let shared = Arc::clone(&state);
        let gateway = Answering::start(move |path| {
            let (name, query) = path.strip_prefix("/ipfs/")?.split_once('?')?;
            let (state, changed) = &*shared;
            let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
            // An archive in no order that is known: blocks are asked for one by one then.
            if query.starts_with("format=car") {
                state.archives += 1;
                return Some(Vec::new());
            }
            let cid = name.parse().ok()?;
            *state.requests.entry(cid).or_default() += 1;
            while state.withheld.contains(&cid) {
                state = changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            let bytes: Bytes = blocks.get(&cid)?.clone();
            let mebibytes = u32::try_from(bytes.len() >> 20).unwrap();
            if mebibytes > 0 && !state.per_mebibyte.is_zero() {
                // The link is one: who waits for it holds it.
                thread::sleep(state.per_mebibyte * mebibytes);
            }
            Some(bytes.to_vec())
        });
        Self { root, gateway, state }
    }

    /// Names it in the DNS.
    pub(crate) fn publish(&self, operators: &Operators) {
        operators.publish_as(&format!("dnslink=/ipfs/{}", self.root), &self.gateway.hint());
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let (state, changed) = &*self.state;
        let changing = change(&mut state.lock().unwrap_or_else(PoisonError::into_inner));
        changed.notify_all();
        changing
    }

    /// Lets each mebibyte take so long.
    pub(crate) fn slow_down(&self, per_mebibyte: Duration) {
        self.change(|state| state.per_mebibyte = per_mebibyte);
    }

    /// Keeps these blocks back until they are [released](Self::release).
    pub(crate) fn withhold(&self, cids: &[Cid]) {
        self.change(|state| state.withheld.extend(cids));
    }

    pub(crate) fn release(&self) {
        self.change(|state| state.withheld.clear());
    }

    /// How often it was asked for each of these blocks.
    pub(crate) fn requests(&self, cids: &[Cid]) -> Vec<usize> {
        self.change(|state| {
            cids.iter().map(|cid| state.requests.get(cid).copied().unwrap_or_default()).collect()
        })
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.release();
    }
}
