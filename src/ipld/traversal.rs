//! Finding what is at a path below a root, block by block.
//!
//! One machine for readers of a gateway's archive, for readers that fetch blocks one by one, and for our own
//! gateway, which writes such archives: all of them meet the same blocks in the same
//! order. It takes blocks and says which one comes next; it never fetches nor hashes anything.

mod file;
mod found;
mod lookup;
mod names;
mod scope;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod trees;
mod window;

use std::collections::VecDeque;

use bytes::Bytes;
use cid::Cid;

pub use found::{Step, Target};
pub use scope::{ByteRange, Scope};

use super::block::{self, RAW};
use super::{Block, MAX_BLOCK_SIZE, Node, TraversalError, describe, hamt, links};
use window::Window;

/// The most names that a path has.
pub const MAX_PATH: usize = 256;
/// How many nodes of a file stand above one another at most. Balanced files have three or four, trickles a
/// few more.
pub const MAX_FILE_DEPTH: usize = 32;
/// How many blocks one after another may add nothing to a file, a listing or the way along the path.
pub const MAX_BARREN_BLOCKS: usize = 64;
/// How many blocks may be known and waited for: some 17 MB, where a file of Roadstead's has a few
/// thousand.
pub const MAX_WAITING: usize = 1 << 17;

/// The way along a path and through what is at its end.
///
/// While [`next_cid`](Self::next_cid) gives a block, hand it to [`supply`](Self::supply). Blocks come depth
/// first and as often as they are linked to, as an archive with `car-order=dfs&car-dups=y` has them. CIDs
/// that hold their content inline are never wanted. When nothing is wanted any more, all of it was there:
/// [`target`](Self::target) is known, and the content that was returned is the requested range, no byte less.
///
/// ```
/// use std::collections::HashMap;
/// use roadstead::ipld::{Block, Directory, Entry, Scope, Target, Traversal, file};
///
/// let mut blocks = HashMap::new();
/// let mut keep = |block: Block| drop(blocks.insert(block.cid, block));
/// let made = file::build(&"content".into(), &mut keep);
/// let mut directory = Directory::empty();
/// let entry = Entry { name: "file".to_owned(), cid: made.cid, size: made.dag_size };
/// directory.insert(entry, &mut |_: &_| Err(std::fmt::Error))?;
/// let (root, _) = directory.flush(&mut keep, &mut drop);
///
/// let mut traversal = Traversal::new(root, ["file".to_owned()], Scope::Entity(None))?;
/// let mut content = Vec::new();
/// while let Some(cid) = traversal.next_cid() {
///     let step = traversal.supply(&blocks[&cid])?;
///     content.extend(step.content.concat());
/// }
/// assert_eq!(content, b"content");
/// assert!(matches!(traversal.target(), Some(Target::File { size: 7, .. })));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// What is hostile is bounded: [`MAX_PATH`], [`MAX_FILE_DEPTH`], [`MAX_BARREN_BLOCKS`], [`MAX_WAITING`], eight
/// shards above one another, since a name's hash leads no further, and the caller's own bound on how many
/// bytes of content or entries it takes.
#[derive(Debug, Clone)]
pub struct Traversal {
    /// The names that were not looked up as yet.
    path: VecDeque<String>,
    found: Vec<Cid>,
    scope: Scope,
    /// What is to come, the next one last.
    waiting: Vec<Want>,
    target: Option<Target>,
    /// The part of the file that is read.
    window: Window,
    supplied: u64,
    barren: usize,
    inlined: Step,
    failed: Option<TraversalError>,
}

/// A block that comes later, and what for.
#[derive(Debug, Clone)]
struct Want {
    cid: Cid,
    purpose: Purpose,
}

#[derive(Debug, Clone)]
enum Purpose {
    /// The next name is looked up in it; or it is the target, where none is left.
    Path,
    /// The next name is looked up in it, a shard that stands so deep.
    Lookup { depth: usize },
    /// It is a part of the file.
    Part { offset: u64, size: u64, depth: usize },
    /// It is the shard of the directory that holds the names whose hashes begin so.
    Listing { path: Vec<u8> },
    /// It is below the target, and so many bytes with all below it, as far as the link tells.
    Below { size: u64 },
}

impl Traversal {
    /// Begins at a root. Names are taken as they are: `..` is a name like any other.
    ///
    /// ```
    /// use roadstead::ipld::{Scope, Traversal, raw_cid, traversal::MAX_PATH};
    ///
    /// let path = || ["a".to_owned(), "b".to_owned()];
    /// assert!(Traversal::new(raw_cid([7; 32]), path(), Scope::Block).is_ok());
    /// let long = path().into_iter().cycle().take(MAX_PATH + 1);
    /// assert!(Traversal::new(raw_cid([7; 32]), long, Scope::Block).is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// When the path is too long, or the root is of a kind that is not supported.
    pub fn new(
        root: Cid,
        path: impl IntoIterator<Item = String>,
        scope: Scope,
    ) -> Result<Self, TraversalError> {
        let path: VecDeque<String> = path.into_iter().take(MAX_PATH + 1).collect();
        if path.len() > MAX_PATH {
            return Err(excess("names in a path", MAX_PATH));
        }
        let mut traversal = Self {
            path,
            found: Vec::new(),
            scope,
            waiting: Vec::new(),
            target: None,
            window: Window::default(),
            supplied: 0,
            barren: 0,
            inlined: Step::default(),
            failed: None,
        };
        traversal.want([(root, Purpose::Path)])?;
        let mut step = Step::default();
        traversal.take_inlined(&mut step)?;
        traversal.inlined = step;
        Ok(traversal)
    }

    /// The block that comes next, or none when the traversal is complete.
    ///
    /// ```
    /// use roadstead::ipld::{Block, Scope, Traversal};
    ///
    /// let block = Block::raw("hello".into());
    /// let mut traversal = Traversal::new(block.cid, [], Scope::Entity(None))?;
    /// assert_eq!(traversal.next_cid(), Some(block.cid));
    /// traversal.supply(&block)?;
    /// assert_eq!(traversal.next_cid(), None, "it is complete");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn next_cid(&self) -> Option<Cid> {
        self.waiting.last().map(|want| want.cid)
    }

    /// The blocks that come next, as far as they are known, and at most so many: for readers that fetch several
    /// at once. Those of one file's leaves stand in their order; one that has others below it ends the list.
    /// (A legacy leaf cannot be distinguished from a small node, whose own parts would come in between.)
    ///
    /// ```
    /// use roadstead::ipld::{Scope, Traversal, file};
    ///
    /// let mut blocks = Vec::new();
    /// let content = vec![0; 3 * file::CHUNK_SIZE].into();
    /// let root = file::build(&content, &mut |block| blocks.push(block)).cid;
    /// let mut traversal = Traversal::new(root, [], Scope::Entity(None))?;
    /// traversal.supply(&blocks[3])?;
    /// assert_eq!(traversal.upcoming(2), [blocks[0].cid, blocks[1].cid]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn upcoming(&self, count: usize) -> Vec<Cid> {
        let mut upcoming = Vec::new();
        let to_fetch = self.waiting.iter().rev();
        for want in to_fetch.filter(|want| block::inlined(&want.cid).is_none()).take(count) {
            upcoming.push(want.cid);
            if !want.may_be_leaf() {
                break;
            }
        }
        upcoming
    }

    /// What is at the end of the path, once that is proved.
    ///
    /// ```
    /// use roadstead::ipld::{Block, Scope, Target, Traversal};
    ///
    /// let block = Block::raw("hello".into());
    /// let mut traversal = Traversal::new(block.cid, [], Scope::Block)?;
    /// assert_eq!(traversal.target(), None, "nothing is proved yet");
    /// traversal.supply(&block)?;
    /// assert_eq!(traversal.target(), Some(&Target::File { cid: block.cid, size: 5 }));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn target(&self) -> Option<&Target> {
        self.target.as_ref()
    }

    /// What the names of the path lead to, as far as they were looked up and lead anywhere.
    ///
    /// ```
    /// use roadstead::ipld::{Scope, Target, Traversal, pin_node, raw_cid};
    ///
    /// let root = pin_node(&[raw_cid([7; 32])]);
    /// let mut traversal = Traversal::new(root.cid, ["00000".to_owned()], Scope::Block)?;
    /// traversal.supply(&root)?;
    /// assert_eq!(traversal.found(), [raw_cid([7; 32])]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn found(&self) -> &[Cid] {
        &self.found
    }

    /// What the root itself adds where its CID holds its content inline, and nothing else: the first step,
    /// before any block.
    ///
    /// ```
    /// use roadstead::ipld::{Scope, Traversal};
    ///
    /// // The CID holds these bytes itself.
    /// let root = "bafkqablimvwgy3y".parse()?;
    /// let traversal = Traversal::new(root, [], Scope::Entity(None))?;
    /// assert_eq!(traversal.inlined().content, ["hello"]);
    /// assert_eq!(traversal.next_cid(), None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn inlined(&self) -> &Step {
        &self.inlined
    }

    /// Takes the [next](Self::next_cid) block, and says what it adds.
    ///
    /// The bytes are taken for those of the CID: [`Block::verify`] first what comes from elsewhere, as a
    /// [`CarReader`](super::CarReader) does. Blocks that archives may hold and that add nothing (empty parts
    /// of files, CIDs that hold their content inline) are passed over, in bounded number.
    ///
    /// ```
    /// use roadstead::ipld::{Block, Scope, Traversal, TraversalError};
    ///
    /// let block = Block::raw("hello".into());
    /// let mut traversal = Traversal::new(block.cid, [], Scope::Entity(None))?;
    /// let other = traversal.supply(&Block::raw("other".into()));
    /// assert!(matches!(other, Err(TraversalError::Unwanted { .. })));
    /// assert_eq!(traversal.supply(&block)?.content, ["hello"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// When it is another block, after which the right one may follow. After any other error the DAG is
    /// known to be of no use: the block is no UnixFS, contradicts the one that links to it, or exceeds a
    /// bound. The traversal stays where it is then, and is never complete.
    pub fn supply(&mut self, block: &Block) -> Result<Step, TraversalError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let before = self.waiting.last().cloned();
        let outcome = self.advance(block);
        if let (Err(error), Some(want)) = (&outcome, before)
            && !matches!(error, TraversalError::Unwanted { .. })
        {
            self.failed = Some(error.clone());
            self.target = None;
            self.waiting = vec![want];
        }
        outcome
    }

    fn advance(&mut self, block: &Block) -> Result<Step, TraversalError> {
        let mut step = Step::default();
        let known = (self.found.len(), self.target.is_some());
        match self.waiting.pop_if(|want| is_same(&want.cid, &block.cid)) {
            Some(want) => {
                self.take(want, &block.bytes, &mut step)?;
                self.take_inlined(&mut step)?;
            }
            None if adds_nothing(block) => {}
            None => return Err(TraversalError::Unwanted { supplied: Box::new(block.cid) }),
        }
        self.supplied += 1;
        if let Scope::All { limit } = self.scope {
            if self.supplied > limit || (self.supplied == limit && !self.waiting.is_empty()) {
                return Err(TraversalError::Excess { what: "blocks", limit });
            }
        } else if !step.is_empty() || known != (self.found.len(), self.target.is_some()) {
            self.barren = 0;
        } else {
            self.barren += 1;
            if self.barren > MAX_BARREN_BLOCKS {
                return Err(excess("blocks that add nothing", MAX_BARREN_BLOCKS));
            }
        }
        Ok(step)
    }

    /// Takes what comes next as long as its CID holds it.
    fn take_inlined(&mut self, step: &mut Step) -> Result<(), TraversalError> {
        while let Some(want) = self.waiting.pop_if(|want| block::inlined(&want.cid).is_some()) {
            let bytes = Bytes::copy_from_slice(want.cid.hash().digest());
            self.take(want, &bytes, step)?;
        }
        Ok(())
    }

    /// Takes a block for what it was requested for.
    fn take(&mut self, want: Want, bytes: &Bytes, step: &mut Step) -> Result<(), TraversalError> {
        let Want { cid, purpose } = want;
        let decode = |source| TraversalError::decode(cid, source);
        match purpose {
            Purpose::Path => {
                let node = describe(&cid, bytes).map_err(decode)?;
                match self.path.front() {
                    Some(name) => {
                        let answer = lookup::look_up(name, &node, (&cid, bytes)).map_err(decode)?;
                        self.follow(&answer, 0)
                    }
                    None => self.reach(cid, bytes, node, step),
                }
            }
            Purpose::Lookup { depth } => {
                let name = self.path.front().expect("a shard is wanted to look a name up");
                let answer = lookup::look_up_in_shard(name, depth, &cid, bytes).map_err(decode)?;
                self.follow(&answer, depth)
            }
            Purpose::Part { offset, size, depth } => {
                let node = describe(&cid, bytes).map_err(decode)?;
                self.take_part(cid, bytes, node, (offset, size, depth), step)
            }
            Purpose::Listing { path } => {
                let slots = hamt::read(cid, bytes, &path).map_err(decode)?;
                self.list(slots, &path, step)
            }
            Purpose::Below { .. } => self.take_links(cid, bytes),
        }
    }

    /// Takes the first block of what is at the end of the path.
    fn reach(
        &mut self,
        cid: Cid,
        bytes: &Bytes,
        node: Node,
        step: &mut Step,
    ) -> Result<(), TraversalError> {
        self.target = Some(match &node {
            &(Node::Leaf { size } | Node::File { size, .. }) => Target::File { cid, size },
            Node::Directory(_) | Node::Shard(_) => Target::Directory { cid },
            Node::Symlink(target) => Target::Symlink { cid, target: target.clone() },
        });
        let decode = |source| TraversalError::decode(cid, source);
        match (self.scope, node) {
            (Scope::Block, _) | (Scope::Entity(_), Node::Symlink(_)) => Ok(()),
            (Scope::All { .. }, _) => self.take_links(cid, bytes),
            (Scope::Entity(range), node @ (Node::Leaf { size } | Node::File { size, .. })) => {
                self.window = Window::of(range, size);
                self.take_part(cid, bytes, node, (0, size, 0), step)
            }
            (Scope::Entity(_), Node::Directory(entries)) => {
                lookup::check(&entries).map_err(decode)?;
                step.entries.extend(entries);
                Ok(())
            }
            (Scope::Entity(_), Node::Shard(_)) => {
                let slots = hamt::read(cid, bytes, &[]).map_err(decode)?;
                self.list(slots, &[], step)
            }
        }
    }

    /// Wants everything that a block links to.
    fn take_links(&mut self, cid: Cid, bytes: &Bytes) -> Result<(), TraversalError> {
        let links = links(&cid, bytes).map_err(|source| TraversalError::decode(cid, source))?;
        self.want(links.into_iter().map(|link| (link.cid, Purpose::Below { size: link.size })))
    }

    /// Requests these blocks in this order, and before all that were requested so far.
    fn want(
        &mut self,
        wants: impl IntoIterator<Item = (Cid, Purpose)>,
    ) -> Result<(), TraversalError> {
        let before = self.waiting.len();
        for (cid, purpose) in wants {
            if !block::is_known(&cid) {
                return Err(TraversalError::Unsupported(Box::new(cid)));
            }
            if self.waiting.len() == MAX_WAITING {
                return Err(excess("blocks to come", MAX_WAITING));
            }
            self.waiting.push(Want { cid, purpose });
        }
        self.waiting[before..].reverse();
        Ok(())
    }
}

impl Want {
    /// Whether the block may well be one that has no others below it.
    fn may_be_leaf(&self) -> bool {
        match self.purpose {
            _ if self.cid.codec() == RAW => true,
            Purpose::Part { size, .. } | Purpose::Below { size } => size <= MAX_BLOCK_SIZE as u64,
            Purpose::Listing { .. } => true,
            Purpose::Path | Purpose::Lookup { .. } => false,
        }
    }
}

/// Whether two CIDs name the same block; the old form of a dag-pb CID is as good as the new one.
fn is_same(one: &Cid, other: &Cid) -> bool {
    one.codec() == other.codec() && one.hash() == other.hash()
}

/// Whether a block has nothing to add wherever it stands.
fn adds_nothing(block: &Block) -> bool {
    let is_empty = || {
        matches!(
            describe(&block.cid, &block.bytes),
            Ok(Node::Leaf { size: 0 } | Node::File { size: 0, .. })
        )
    };
    block::inlined(&block.cid).is_some() || is_empty()
}

fn excess(what: &'static str, limit: usize) -> TraversalError {
    TraversalError::Excess { what, limit: limit as u64 }
}
