//! Directories that can be edited, and whose CID is a function of their entries alone.

mod basic;

use std::collections::BTreeSet;
use std::mem;

use cid::Cid;

use basic::Basic;

use super::block::DAG_PB;
use super::entry::{Entry, SHORTEST_CID};
use super::hamt::{Census, Hamt, Reached};
use super::load::Load;
use super::unixfs::{self, Kind};
use super::{Block, Error, dag_pb};

/// A directory whose block would be longer than this is sharded.
const THRESHOLD: usize = 262_144;

/// A directory, in memory as far as it was edited.
///
/// However it came to be, it has the CID of the directory that is built at once from the same entries:
/// one block up to 256 KiB, a HAMT of shards beyond that. (One that was opened and is not so, from
/// another profile, stays as it is until it is edited; an edit writes what it touches anew and drops a
/// mode or a time. That shards would fit one block is noticed when an entry is removed.)
///
/// An edit loads the shards on the way to one name; a removal from a sharded directory, or a replacement
/// by something shorter, also as many as prove that it stays above 256 KiB: a dozen or so, once, for what
/// they show is remembered. A failed edit leaves the directory as it was.
#[derive(Debug, Clone)]
pub struct Directory {
    body: Body,
    /// Stored nodes that are part of the directory no more.
    retired: BTreeSet<Cid>,
}

#[derive(Debug, Clone)]
enum Body {
    Basic(Basic),
    Sharded(Hamt),
}

impl Directory {
    /// A directory without entries, not stored as yet.
    ///
    /// ```
    /// use roadstead::ipld::Directory;
    ///
    /// let (cid, _) = Directory::empty().flush(&mut drop, &mut drop);
    /// assert_eq!(cid.to_string(), "bafybeiczsscdsbs7ffqz55asqdf3smv6klcw3gofszvwlyarci47bgf354");
    /// ```
    #[must_use]
    pub fn empty() -> Self {
        Self { body: Body::Basic(Basic::empty()), retired: BTreeSet::new() }
    }

    /// Opens a stored directory, loading its root block.
    ///
    /// ```
    /// use roadstead::ipld::{Block, Directory};
    ///
    /// let mut stored: Vec<Block> = Vec::new();
    /// let (cid, _) = Directory::empty().flush(&mut |block| stored.push(block), &mut drop);
    /// let mut load = |_: &_| Ok::<_, std::fmt::Error>(stored[0].bytes.clone());
    /// assert!(Directory::open(&cid, &mut load)?.is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// When the block cannot be loaded, is not a directory, or holds one name twice or an empty one.
    pub fn open<L: Load>(cid: &Cid, loader: &mut L) -> Result<Self, Error<L::Error>> {
        if cid.codec() != DAG_PB {
            return Err(Error::NotADirectory(*cid));
        }
        let block = loader.load(cid).map_err(|source| Error::load(*cid, source))?;
        let decode = |source| Error::decode(*cid, source);
        let node = dag_pb::decode(&block).map_err(decode)?;
        let data = unixfs::decode(&node.data).map_err(decode)?;
        let stored = (*cid, node.dag_size(&block));
        let body = match data.kind {
            Kind::Directory => Basic::open(stored, node.links).map(Body::Basic),
            Kind::Shard => Hamt::open(stored, node.links, &data).map(Body::Sharded),
            _ => return Err(Error::NotADirectory(*cid)),
        };
        let body = body.map_err(decode)?;
        Ok(Self { body, retired: BTreeSet::new() })
    }

    /// The entry of that name. Loads the shards on the way to it, and keeps none.
    ///
    /// ```
    /// use roadstead::ipld::{Block, Directory, Entry};
    ///
    /// # let load = &mut |_: &_| Err(std::fmt::Error);
    /// let mut directory = Directory::empty();
    /// let entry = Entry { name: "file".to_owned(), cid: Block::raw("hello".into()).cid, size: 5 };
    /// directory.insert(entry.clone(), load)?;
    /// assert_eq!(directory.get("file", load)?, Some(entry));
    /// assert_eq!(directory.get("other", load)?, None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// When a shard cannot be loaded or understood.
    pub fn get<L: Load>(
        &self,
        name: &str,
        loader: &mut L,
    ) -> Result<Option<Entry>, Error<L::Error>> {
        match &self.body {
            Body::Basic(basic) => Ok(basic.get(name)),
            Body::Sharded(hamt) => hamt.get(name, loader),
        }
    }

    /// Adds an entry, or replaces that of the same name, which it gives back.
    ///
    /// ```
    /// use roadstead::ipld::{Block, Directory, Entry};
    ///
    /// # let load = &mut |_: &_| Err(std::fmt::Error);
    /// let mut directory = Directory::empty();
    /// let entry = Entry { name: "file".to_owned(), cid: Block::raw("hello".into()).cid, size: 5 };
    /// assert_eq!(directory.insert(entry.clone(), load)?, None);
    /// let other = Entry { size: 6, ..entry.clone() };
    /// assert_eq!(directory.insert(other, load)?, Some(entry), "it was replaced");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// When a shard cannot be loaded or understood, the name is empty or cannot be placed in a HAMT, or
    /// the CID holds its content inline.
    pub fn insert<L: Load>(
        &mut self,
        entry: Entry,
        loader: &mut L,
    ) -> Result<Option<Entry>, Error<L::Error>> {
        if entry.name.is_empty() {
            return Err(Error::EmptyName);
        }
        if entry.cid.encoded_len() < SHORTEST_CID {
            return Err(Error::InlineCid { name: entry.name, cid: entry.cid });
        }
        if let Body::Sharded(hamt) = &mut self.body {
            let old = match hamt.reach(&entry.name, loader)? {
                Reached::Entry(old) => Some(old),
                Reached::Nothing => None,
                Reached::SameHash => return Err(Error::HashCollision { name: entry.name }),
            };
            let removed = old.as_ref().map_or(0, Entry::length);
            self.shrink(removed, entry.length(), loader)?;
        }
        if let Body::Basic(basic) = &self.body
            && basic.length_without(&entry.name) + entry.length() > THRESHOLD
        {
            let old = basic.get(&entry.name);
            self.grow(&entry.name.clone(), Some(entry))?;
            return Ok(old);
        }
        Ok(match &mut self.body {
            Body::Basic(basic) => basic.insert(entry, &mut self.retired),
            Body::Sharded(hamt) => hamt.insert(entry, &mut self.retired),
        })
    }

    /// Removes the entry of that name and gives it back. Removing what is absent changes nothing.
    ///
    /// ```
    /// use roadstead::ipld::{Block, Directory, Entry};
    ///
    /// # let load = &mut |_: &_| Err(std::fmt::Error);
    /// let mut directory = Directory::empty();
    /// let entry = Entry { name: "file".to_owned(), cid: Block::raw("hello".into()).cid, size: 5 };
    /// directory.insert(entry.clone(), load)?;
    /// assert_eq!(directory.remove("file", load)?, Some(entry));
    /// assert_eq!(directory.remove("file", load)?, None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// When a shard cannot be loaded or understood.
    pub fn remove<L: Load>(
        &mut self,
        name: &str,
        loader: &mut L,
    ) -> Result<Option<Entry>, Error<L::Error>> {
        if let Body::Sharded(hamt) = &mut self.body {
            let Reached::Entry(old) = hamt.reach(name, loader)? else { return Ok(None) };
            self.shrink(old.length(), 0, loader)?;
        }
        if let Body::Basic(basic) = &self.body
            && let Some(old) = basic.get(name)
            && basic.length_without(name) > THRESHOLD
        {
            self.grow(name, None)?;
            return Ok(Some(old));
        }
        Ok(match &mut self.body {
            Body::Basic(basic) => basic.remove(name, &mut self.retired),
            Body::Sharded(hamt) => hamt.remove(name, &mut self.retired),
        })
    }

    /// All entries, sorted by the bytes of their names. Loads every shard.
    ///
    /// ```
    /// use roadstead::ipld::{Block, Directory, Entry};
    ///
    /// # let load = &mut |_: &_| Err(std::fmt::Error);
    /// let mut directory = Directory::empty();
    /// for name in ["b", "a"] {
    ///     let entry = Entry { name: name.to_owned(), cid: Block::raw("hello".into()).cid, size: 5 };
    ///     directory.insert(entry, load)?;
    /// }
    /// let names: Vec<String> = directory.entries(load)?.into_iter().map(|entry| entry.name).collect();
    /// assert_eq!(names, ["a", "b"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// When a shard cannot be loaded or understood.
    pub fn entries<L: Load>(&self, loader: &mut L) -> Result<Vec<Entry>, Error<L::Error>> {
        match &self.body {
            Body::Basic(basic) => Ok(basic.entries().collect()),
            Body::Sharded(hamt) => hamt.entries(loader),
        }
    }

    /// Whether there are no entries.
    ///
    /// ```
    /// use roadstead::ipld::{Block, Directory, Entry};
    ///
    /// # let load = &mut |_: &_| Err(std::fmt::Error);
    /// let mut directory = Directory::empty();
    /// assert!(directory.is_empty());
    /// let entry = Entry { name: "file".to_owned(), cid: Block::raw("hello".into()).cid, size: 5 };
    /// directory.insert(entry, load)?;
    /// assert!(!directory.is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn is_empty(&self) -> bool {
        match &self.body {
            Body::Basic(basic) => basic.is_empty(),
            Body::Sharded(hamt) => hamt.is_empty(),
        }
    }

    /// Gives the CID and the Tsize of the directory as it stands now.
    ///
    /// Hands out each node that was not stored before once, children before parents, then the CID of
    /// each stored node that the directory consists of no more. From then on the new nodes count as
    /// stored: the caller keeps them, or drops the directory. Without an edit since the last flush, or
    /// with edits that undid each other, nothing is handed out.
    ///
    /// ```
    /// use roadstead::ipld::{Block, Directory, Entry};
    ///
    /// # let load = &mut |_: &_| Err(std::fmt::Error);
    /// let mut directory = Directory::empty();
    /// let (before, _) = directory.flush(&mut drop, &mut drop);
    /// let entry = Entry { name: "file".to_owned(), cid: Block::raw("hello".into()).cid, size: 5 };
    /// directory.insert(entry, load)?;
    /// let (mut added, mut removed) = (Vec::new(), Vec::new());
    /// let (cid, _) = directory.flush(&mut |block| added.push(block.cid), &mut |cid| removed.push(cid));
    /// assert_eq!((added, removed), (vec![cid], vec![before]));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn flush(
        &mut self,
        added: &mut impl FnMut(Block),
        removed: &mut impl FnMut(Cid),
    ) -> (Cid, u64) {
        let mut retired = mem::take(&mut self.retired);
        let mut sink = |block: Block| {
            if !retired.remove(&block.cid) {
                added(block);
            }
        };
        let flushed = match &mut self.body {
            Body::Basic(basic) => basic.flush(&mut sink),
            Body::Sharded(hamt) => hamt.flush(&mut sink),
        };
        retired.into_iter().for_each(removed);
        flushed
    }

    /// Makes a directory of one block sharded, without the entry of that name and with the new one.
    fn grow<E>(&mut self, without: &str, with: Option<Entry>) -> Result<(), Error<E>> {
        let Body::Basic(basic) = &mut self.body else { return Ok(()) };
        let mut hamt = Hamt::new();
        for entry in basic.entries().filter(|entry| entry.name != without).chain(with) {
            hamt.append(entry).map_err(|name| Error::HashCollision { name })?;
        }
        basic.touch(&mut self.retired);
        self.body = Body::Sharded(hamt);
        Ok(())
    }

    /// Makes a sharded directory one block if it fits once entries of these lengths are removed and
    /// added, which the caller does next.
    fn shrink<L: Load>(
        &mut self,
        removed: usize,
        added: usize,
        loader: &mut L,
    ) -> Result<(), Error<L::Error>> {
        let Body::Sharded(hamt) = &mut self.body else { return Ok(()) };
        if added >= removed {
            return Ok(());
        }
        let limit = THRESHOLD - basic::EMPTY_LENGTH + removed - added;
        if let Census::Within { entries, shards } = hamt.census(limit, loader)? {
            self.retired.extend(shards);
            self.body = Body::Basic(Basic::of(entries));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use bytes::Bytes;
    use multihash::Multihash;

    use super::*;
    use crate::ipld::{raw_cid, symlink};

    type Blocks = HashMap<Cid, Bytes>;

    fn load(blocks: &Blocks) -> impl FnMut(&Cid) -> Result<Bytes, Cid> {
        |cid| blocks.get(cid).cloned().ok_or(*cid)
    }

    fn entry(name: &str) -> Entry {
        Entry { name: name.to_owned(), cid: raw_cid([1; 32]), size: 5 }
    }

    /// Opens a directory of these links and this UnixFS message.
    fn open(links: &[Entry], message: &[u8]) -> Result<Directory, Error<Cid>> {
        let links = links.iter().map(|link| (&link.cid, link.name.as_str(), link.size));
        let block = Block::dag_pb(dag_pb::encode(links, message));
        Directory::open(&block.cid, &mut load(&[(block.cid, block.bytes)].into()))
    }

    fn root_of(names: &[&str]) -> Cid {
        let mut directory = Directory::empty();
        for name in names {
            directory.insert(entry(name), &mut load(&Blocks::new())).unwrap();
        }
        directory.flush(&mut drop, &mut drop).0
    }

    #[test]
    fn the_order_of_insertion_does_not_matter() {
        assert_eq!(root_of(&["a", "B", "a.b", "é"]), root_of(&["é", "a.b", "B", "a"]));
        assert_ne!(root_of(&["a"]), root_of(&["b"]));
    }

    #[test]
    fn a_node_of_another_making_is_read_as_it_is_and_written_canonically_once_edited() {
        // Out of order, and with a mode.
        let mut directory = open(&[entry("b"), entry("a")], &[8, 1, 0x38, 0xa4, 3]).unwrap();
        let nothing = Blocks::new();
        assert_eq!(directory.entries(&mut load(&nothing)).unwrap(), [entry("a"), entry("b")]);
        let (before, _) = directory.flush(&mut |_| panic!("added"), &mut |_| panic!("removed"));
        assert_ne!(before, root_of(&["a", "b"]));
        directory.insert(entry("c"), &mut load(&nothing)).unwrap();
        let mut removed = Vec::new();
        let (after, _) = directory.flush(&mut drop, &mut |cid| removed.push(cid));
        assert_eq!(after, root_of(&["a", "b", "c"]));
        assert_eq!(removed, [before]);
    }

    #[test]
    fn a_block_that_is_too_long_is_sharded_by_any_edit() {
        let entries: Vec<Entry> =
            (0..1200).map(|index| entry(&format!("{index:04}{}", "n".repeat(200)))).collect();
        let nothing = Blocks::new();
        let mut expected = Directory::empty();
        for entry in &entries[1..] {
            expected.insert(entry.clone(), &mut load(&nothing)).unwrap();
        }
        let mut directory = open(&entries, unixfs::DIRECTORY).unwrap();
        let removed = directory.remove(&entries[0].name, &mut load(&nothing)).unwrap();
        assert_eq!(removed.as_ref(), Some(&entries[0]));
        let expected = expected.flush(&mut drop, &mut drop);
        assert_eq!(directory.flush(&mut drop, &mut drop), expected);
    }

    #[test]
    fn what_cannot_be_a_directory_is_refused() {
        let twice = open(&[entry("a"), entry("b"), entry("a")], unixfs::DIRECTORY);
        assert!(matches!(twice, Err(Error::Decode { .. })));
        let nameless = open(&[entry("")], unixfs::DIRECTORY);
        assert!(matches!(nameless, Err(Error::Decode { .. })));
        assert!(matches!(open(&[], b""), Err(Error::Decode { .. })));
        assert!(matches!(open(&[], &unixfs::file(0, [])), Err(Error::NotADirectory(_))));

        let link = symlink("target");
        let blocks: Blocks = [(link.cid, link.bytes)].into();
        let opened = Directory::open(&link.cid, &mut load(&blocks));
        assert!(matches!(opened, Err(Error::NotADirectory(_))));
        let leaf = Directory::open(&raw_cid([0; 32]), &mut load(&blocks));
        assert!(matches!(leaf, Err(Error::NotADirectory(_))));
        let absent = Block::dag_pb(Bytes::new()).cid;
        let opened = Directory::open(&absent, &mut load(&blocks));
        assert!(matches!(opened, Err(Error::Load { source, .. }) if source == absent));
    }

    #[test]
    fn entries_that_no_directory_could_hold_are_refused() {
        let nothing = Blocks::new();
        let mut directory = Directory::empty();
        let refused = directory.insert(entry(""), &mut load(&nothing));
        assert!(matches!(refused, Err(Error::EmptyName)));
        let inline = Cid::new_v1(0x55, Multihash::wrap(0, b"content").unwrap());
        let refused =
            directory.insert(Entry { cid: inline, ..entry("inline") }, &mut load(&nothing));
        assert!(matches!(refused, Err(Error::InlineCid { cid, .. }) if cid == inline));
        assert!(directory.is_empty());
        let version_0 = Cid::new_v0(*raw_cid([1; 32]).hash()).unwrap();
        let accepted =
            directory.insert(Entry { cid: version_0, ..entry("old") }, &mut load(&nothing));
        assert_eq!(accepted.unwrap(), None);
    }
}
