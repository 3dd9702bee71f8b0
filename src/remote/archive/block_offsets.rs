//! Where the blocks of an archive are: on the disk, since there may be more than fit into memory.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use cid::Cid;

/// How many records are sorted in memory, and looked through as one.
const RUN: usize = 1 << 20;

/// How long a record is: as much of a hash as nobody can make another block for, where the block begins,
/// and how long it is.
const RECORD: usize = 16 + 8 + 4;

type Record = [u8; RECORD];

/// Where blocks are, in runs that are each sorted by hash.
pub(super) struct BlockOffsets {
    file: File,
    /// Those that are no run yet.
    pending: Vec<Record>,
    /// How many records each run has.
    runs: Vec<usize>,
}

impl BlockOffsets {
    /// Begins in an empty file.
    pub(super) fn new(file: File) -> Self {
        Self { file, pending: Vec::new(), runs: Vec::new() }
    }

    /// Notes where a block is.
    pub(super) fn note(&mut self, cid: &Cid, offset: u64, length: u32) -> io::Result<()> {
        let mut record = [0; RECORD];
        record[..16].copy_from_slice(&key(cid));
        record[16..24].copy_from_slice(&offset.to_be_bytes());
        record[24..].copy_from_slice(&length.to_be_bytes());
        self.pending.push(record);
        if self.pending.len() == RUN { self.settle() } else { Ok(()) }
    }

    /// Makes a run of what was noted, so that it is found.
    pub(super) fn settle(&mut self) -> io::Result<()> {
        let pending = std::mem::take(&mut self.pending);
        if pending.is_empty() {
            return Ok(());
        }
        let mut records = pending;
        records.sort_unstable();
        let before: usize = self.runs.iter().sum();
        self.file.write_all_at(records.as_flattened(), (before * RECORD) as u64)?;
        self.runs.push(records.len());
        Ok(())
    }

    /// Finds where a block begins, and how long it is.
    pub(super) fn find(&self, cid: &Cid) -> io::Result<Option<(u64, u32)>> {
        let wanted = key(cid);
        let mut begin = 0;
        for count in &self.runs {
            let (mut low, mut high) = (begin, begin + count);
            while low < high {
                let middle = usize::midpoint(low, high);
                if self.read(middle)?[..16] < wanted[..] {
                    low = middle + 1;
                } else {
                    high = middle;
                }
            }
            begin += count;
            if low == begin {
                continue;
            }
            let record = self.read(low)?;
            if record[..16] == wanted {
                let (offset, length) = record[16..].split_at(8);
                let offset = offset.try_into().map(u64::from_be_bytes);
                let length = length.try_into().map(u32::from_be_bytes);
                return Ok(offset.ok().zip(length.ok()));
            }
        }
        Ok(None)
    }

    fn read(&self, place: usize) -> io::Result<Record> {
        let mut record = [0; RECORD];
        self.file.read_exact_at(&mut record, (place * RECORD) as u64)?;
        Ok(record)
    }
}

fn key(cid: &Cid) -> [u8; 16] {
    let mut key = [0; 16];
    let digest = cid.hash().digest();
    let length = digest.len().min(key.len());
    key[..length].copy_from_slice(&digest[..length]);
    key
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipld::Block;

    #[test]
    fn each_block_is_found_in_whatever_run_it_is() {
        let mut places = BlockOffsets::new(tempfile::tempfile().unwrap());
        let cid = |number: u32| Block::raw(number.to_be_bytes().to_vec().into()).cid;
        for number in 0..1000 {
            places.note(&cid(number), u64::from(number) << 33, number).unwrap();
            if number % 300 == 0 {
                places.settle().unwrap();
            }
        }
        assert_eq!(places.find(&cid(999)).unwrap(), None, "it is not settled");
        places.settle().unwrap();
        for number in 0..1000 {
            assert_eq!(places.find(&cid(number)).unwrap(), Some((u64::from(number) << 33, number)));
        }
        assert_eq!(places.find(&cid(1000)).unwrap(), None);
    }
}
