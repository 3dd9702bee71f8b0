//! The offsets of the blocks of an archive: on the disk, since there may be more than fit into memory.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use cid::Cid;

/// How many records are sorted in memory as one run.
const RUN: usize = 1 << 20;

/// How long a record is: a part of the hash that no other block can be made for, the offset of the
/// block, and its length.
const RECORD: usize = 16 + 8 + 4;

type Record = [u8; RECORD];

/// The offsets, in runs that are each sorted by hash.
pub(super) struct BlockOffsets {
    file: File,
    /// Records that are in no run yet.
    pending: Vec<Record>,
    /// How many records each run has.
    runs: Vec<usize>,
}

impl BlockOffsets {
    /// Begins in an empty file.
    pub(super) fn new(file: File) -> Self {
        Self { file, pending: Vec::new(), runs: Vec::new() }
    }

    /// Notes the offset and the length of a block.
    pub(super) fn note(&mut self, cid: &Cid, offset: u64, length: u32) -> io::Result<()> {
        let mut record = [0; RECORD];
        record[..16].copy_from_slice(&key(cid));
        record[16..24].copy_from_slice(&offset.to_be_bytes());
        record[24..].copy_from_slice(&length.to_be_bytes());
        self.pending.push(record);
        if self.pending.len() == RUN { self.settle() } else { Ok(()) }
    }

    /// Makes a run of the noted records, so that they are found.
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

    /// Finds the offset and the length of a block.
    pub(super) fn find(&self, cid: &Cid) -> io::Result<Option<(u64, u32)>> {
        let expected = key(cid);
        let mut begin = 0;
        for count in &self.runs {
            let (mut low, mut high) = (begin, begin + count);
            while low < high {
                let middle = usize::midpoint(low, high);
                if self.read(middle)?[..16] < expected[..] {
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
            if record[..16] == expected {
                let (offset, length) = record[16..].split_at(8);
                let offset = offset.try_into().map(u64::from_be_bytes);
                let length = length.try_into().map(u32::from_be_bytes);
                return Ok(offset.ok().zip(length.ok()));
            }
        }
        Ok(None)
    }

    fn read(&self, index: usize) -> io::Result<Record> {
        let mut record = [0; RECORD];
        self.file.read_exact_at(&mut record, (index * RECORD) as u64)?;
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
        let mut offsets = BlockOffsets::new(tempfile::tempfile().unwrap());
        let cid = |number: u32| Block::raw(number.to_be_bytes().to_vec().into()).cid;
        for number in 0..1000 {
            offsets.note(&cid(number), u64::from(number) << 33, number).unwrap();
            if number % 300 == 0 {
                offsets.settle().unwrap();
            }
        }
        assert_eq!(offsets.find(&cid(999)).unwrap(), None, "it is not settled");
        offsets.settle().unwrap();
        for number in 0..1000 {
            assert_eq!(
                offsets.find(&cid(number)).unwrap(),
                Some((u64::from(number) << 33, number))
            );
        }
        assert_eq!(offsets.find(&cid(1000)).unwrap(), None);
    }
}
