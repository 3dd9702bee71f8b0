//! What holds of any bytes that reach the decoders and the editing of directories.
//!
//! One function for each target of `fuzz/`; the tests below give them what proptest makes up, and the seeds of `fuzz/seeds/`.
//! Each panics where its property does not hold.

#![expect(
    clippy::missing_panics_doc,
    reason = "that is how each says that its property does not hold"
)]

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use cid::Cid;

use super::unixfs::Kind;
use super::{
    Block, CarError, CarEvent, CarReader, Directory, Entry, block, car_frame, dag_pb, describe,
    links, raw_cid, unixfs,
};

/// How many edits of a directory are read.
const MOST_EDITS: usize = 4096;

/// A CID is read in one form only, which is the one that is written, also as text.
pub fn cid(bytes: &[u8]) {
    if let Some((cid, rest)) = block::read_cid(bytes) {
        assert_eq!([&cid.to_bytes()[..], rest].concat(), bytes);
        assert_eq!(cid.to_string().parse::<Cid>().ok(), Some(cid));
    }
    if let Ok(text) = str::from_utf8(bytes)
        && let Ok(cid) = text.parse::<Cid>()
    {
        assert_eq!(cid.to_string().parse::<Cid>().ok(), Some(cid));
    }
}

/// A node of dag-pb that is read is the same when it was written and read again.
pub fn dag_pb(bytes: &[u8]) {
    let Ok(node) = dag_pb::decode(&Bytes::copy_from_slice(bytes)) else { return };
    let links = node.links.iter().map(|link| (&link.cid, link.name.as_str(), link.size));
    let written = dag_pb::encode(links, &node.data);
    assert_eq!(dag_pb::decode(&written), Ok(node));
}

/// A UnixFS message of a file that is read is the same when it was written and read again, and a node that has the
/// message is described, or refused, without harm.
pub fn unixfs(bytes: &[u8]) {
    let message = Bytes::copy_from_slice(bytes);
    if let Ok(data) = unixfs::decode(&message)
        && let (Kind::File, Some(size), true) = (data.kind, data.size, data.content.is_empty())
        && (data.hash_type, data.fanout) == (None, None)
    {
        let written = unixfs::file(size, data.block_sizes.iter().copied());
        assert_eq!(unixfs::decode(&written.into()), Ok(data));
    }
    let links: Vec<Cid> = (0..4).map(|number| raw_cid([number; 32])).collect();
    for count in 0..=links.len() {
        let links = links[..count].iter().map(|cid| (cid, "", 1));
        let node = Block::dag_pb(dag_pb::encode(links, bytes));
        let _ = describe(&node.cid, &node.bytes);
        let linked = super::links(&node.cid, &node.bytes).expect("it was just written");
        assert_eq!(linked.len(), count);
    }
}

/// An archive is read the same however it is cut into pieces, and each block of it hashes to its CID. The first byte
/// says how long the pieces are.
pub fn car(bytes: &[u8]) {
    let Some((&length, archive)) = bytes.split_first() else { return };
    let whole = read_archive(archive, archive.len());
    assert_eq!(read_archive(archive, usize::from(length)), whole);
    for event in whole.0 {
        let CarEvent::Block(block) = event else { continue };
        assert_eq!(Block::verify(block.cid, block.bytes.clone()), Ok(block.clone()));
        let mut reader = CarReader::new();
        reader.push(super::car_header(&block.cid));
        for piece in car_frame(&block) {
            reader.push(piece);
        }
        reader.next_event().expect("the header was just written");
        assert_eq!(reader.next_event(), Ok(Some(CarEvent::Block(block))));
    }
}

/// Reads an archive in pieces of that length, up to its end or its first error.
fn read_archive(archive: &[u8], length: usize) -> (Vec<CarEvent>, Result<(), CarError>) {
    let (mut reader, mut events) = (CarReader::new(), Vec::new());
    for piece in archive.chunks(length.max(1)) {
        reader.push(Bytes::copy_from_slice(piece));
        loop {
            match reader.next_event() {
                Ok(Some(event)) => events.push(event),
                Ok(None) => break,
                Err(error) => return (events, Err(error)),
            }
        }
    }
    (events, reader.finish())
}

/// Edits make the directory that is built at once from the entries that are left, and nothing is handed out twice.
///
/// Each three bytes are an edit: a removal, a new entry or a flush, and the number of a name. The names are so long
/// that some hundreds of them cross the threshold above which a directory is sharded.
pub fn directory(bytes: &[u8]) {
    let (mut store, mut model) = (Store::default(), BTreeMap::new());
    let mut directory = Directory::empty();
    let start = bytes.first().map_or(0, |&byte| usize::from(byte) * 4);
    for number in 0..start {
        insert(&mut directory, &mut model, &mut store, number, 1);
    }
    for edit in bytes.chunks_exact(3).take(MOST_EDITS) {
        let number = usize::from(edit[1]) + 256 * usize::from(edit[2] % 4);
        match edit[0] % 8 {
            0..3 => insert(&mut directory, &mut model, &mut store, number, edit[0]),
            3..7 => {
                let removed = directory.remove(&name(number), &mut store).expect("all is stored");
                assert_eq!(removed, model.remove(&name(number)));
            }
            _ => {
                let (root, _) = store.flush(&mut directory);
                directory = Directory::open(&root, &mut store).expect("all is stored");
            }
        }
    }
    let made = store.flush(&mut directory);
    let (mut again, mut other) = (Directory::empty(), Store::default());
    for entry in model.values() {
        again.insert(entry.clone(), &mut other).expect("nothing is loaded");
    }
    assert_eq!(made, other.flush(&mut again));
    assert_eq!(store.0, other.0, "what is stored is that directory, and nothing else");
    let entries = directory.entries(&mut store).expect("all is stored");
    assert!(entries.into_iter().eq(model.into_values()));
}

/// A directory of these bytes, which any peer may send, is read and edited, or refused, without harm.
pub fn hostile_directory(bytes: &[u8]) {
    let block = Block::dag_pb(Bytes::copy_from_slice(bytes));
    // Each shard below is the same again.
    let mut load = |_: &Cid| Ok::<_, std::convert::Infallible>(block.bytes.clone());
    let _ = links(&block.cid, &block.bytes);
    let Ok(mut directory) = Directory::open(&block.cid, &mut load) else { return };
    for number in 0..8 {
        let _ = directory.get(&name(number), &mut load);
        let _ = directory.insert(entry(number, 1), &mut load);
        let _ = directory.remove(&name(number + 1), &mut load);
    }
    let _ = directory.flush(&mut drop, &mut drop);
}

fn name(number: usize) -> String {
    format!("{number:05}{}", "n".repeat(235 + number % 5))
}

fn entry(number: usize, version: u8) -> Entry {
    Entry { name: name(number), cid: raw_cid([version; 32]), size: u64::from(version) + 1 }
}

fn insert(
    directory: &mut Directory,
    model: &mut BTreeMap<String, Entry>,
    store: &mut Store,
    number: usize,
    version: u8,
) {
    let entry = entry(number, version);
    let replaced = directory.insert(entry.clone(), store).expect("all is stored");
    assert_eq!(replaced, model.insert(entry.name.clone(), entry));
}

/// The blocks of one directory.
#[derive(Default)]
struct Store(HashMap<Cid, Bytes>);

impl super::Load for Store {
    type Error = Cid;

    fn load(&mut self, cid: &Cid) -> Result<Bytes, Cid> {
        self.0.get(cid).cloned().ok_or(*cid)
    }
}

impl Store {
    fn flush(&mut self, directory: &mut Directory) -> (Cid, u64) {
        let (mut added, mut removed) = (Vec::new(), Vec::new());
        let made = directory.flush(&mut |block| added.push(block), &mut |cid| removed.push(cid));
        for block in added {
            assert!(self.0.insert(block.cid, block.bytes).is_none(), "it was stored before");
        }
        for cid in removed {
            assert!(self.0.remove(&cid).is_some(), "it was not stored");
        }
        made
    }
}

/// A property, and the name of its target. This room imports none of the others, so it has its own.
pub type Property = (&'static str, fn(&[u8]));

/// Every property.
pub const ALL: &[Property] = &[
    ("car", car),
    ("cid", cid),
    ("dag_pb", dag_pb),
    ("directory", directory),
    ("hostile_directory", hostile_directory),
    ("unixfs", unixfs),
];

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;

    /// The seeds of a property: lines of hexadecimal digits, and of comments.
    fn seeds(name: &str) -> Vec<Vec<u8>> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds");
        let text = std::fs::read_to_string(folder.join(format!("{name}.hex"))).unwrap();
        let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        let byte = |pair: &[u8]| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap();
        lines.map(|line| line.as_bytes().chunks(2).map(byte).collect()).collect()
    }

    #[test]
    fn each_property_holds_of_its_seeds_and_of_each_of_them_with_one_byte_changed_or_cut() {
        for (name, property) in ALL {
            let seeds = seeds(name);
            assert!(!seeds.is_empty(), "{name}");
            for seed in seeds {
                property(&seed);
                // A directory takes milliseconds, and has no form that a byte could break.
                for at in 0..if *name == "directory" { 0 } else { seed.len() } {
                    property(&seed[..at]);
                    for byte in [0, 1, 0x7f, 0x80, 0xff] {
                        let mut changed = seed.clone();
                        changed[at] = byte;
                        property(&changed);
                    }
                }
            }
        }
    }

    #[test]
    fn the_seeds_are_not_all_refused() {
        let read = |name: &str| seeds(name).into_iter().map(Bytes::from);
        assert!(read("cid").any(|seed| block::read_cid(&seed).is_some()));
        assert!(read("dag_pb").any(|seed| dag_pb::decode(&seed).is_ok()));
        assert!(read("unixfs").any(|seed| unixfs::decode(&seed).is_ok()));
        assert!(read("car").any(|seed| read_archive(&seed[1..], 7).1.is_ok()));
        let kind = |seed| unixfs::decode(&dag_pb::decode(&seed).ok()?.data).ok().map(|it| it.kind);
        assert!(read("hostile_directory").any(|seed| kind(seed) == Some(Kind::Shard)));
    }

    proptest! {
        #[test]
        fn each_property_of_a_decoder_holds_of_any_bytes(
            bytes in prop::collection::vec(any::<u8>(), 0..300),
        ) {
            for (_, property) in ALL.iter().filter(|(name, _)| *name != "directory") {
                property(&bytes);
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(12))]

        #[test]
        fn any_edits_make_the_directory_that_is_built_at_once(
            start in 220..235_u8,
            bytes in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            directory(&[&[start][..], &bytes].concat());
        }
    }
}
