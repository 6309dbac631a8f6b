//! One file's bytes: what a read sees, what is durable for sure, and the changes in between, in order.

use rand::{Rng, RngExt};

/// A file, with or without a name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Inode {
    /// What a read sees: the page cache.
    cache: Vec<u8>,
    /// What every crash leaves.
    durable: Vec<u8>,
    unsynced: Vec<Change>,
}

/// A change that no sync has covered.
#[derive(Clone, Debug)]
enum Change {
    /// Whole sectors as the cache had them after a write: neighbours in a sector come along, older changes to it too.
    Sectors {
        /// Offset of the first one.
        at: usize,
        bytes: Vec<u8>,
        /// True after a sync that failed: the cache takes it for written.
        dropped: bool,
    },
    /// The length was set.
    Length(usize),
}

impl Inode {
    /// Bytes that it takes.
    pub(crate) fn len(&self) -> u64 {
        self.cache.len() as u64
    }

    /// Fills `buffer` from `offset` on, as far as there is something; how far.
    pub(crate) fn read(&self, offset: usize, buffer: &mut [u8]) -> usize {
        let there = self.cache.get(offset..).unwrap_or_default();
        let len = there.len().min(buffer.len());
        buffer[..len].copy_from_slice(&there[..len]);
        len
    }

    pub(crate) fn write(&mut self, offset: usize, bytes: &[u8]) {
        let end = offset + bytes.len();
        if end > self.cache.len() {
            self.cache.resize(end, 0);
        }
        self.cache[offset..end].copy_from_slice(bytes);
        let at = offset / SECTOR * SECTOR;
        let end = end.next_multiple_of(SECTOR).min(self.cache.len());
        let bytes = self.cache[at..end].to_vec();
        self.unsynced.push(Change::Sectors { at, bytes, dropped: false });
    }

    pub(crate) fn set_len(&mut self, len: usize) {
        self.cache.resize(len, 0);
        self.unsynced.push(Change::Length(len));
    }

    /// Everything is durable, save what an earlier sync dropped and nobody has written again.
    pub(crate) fn sync(&mut self) {
        let mut dropped: Vec<(usize, Vec<u8>)> = Vec::new();
        for change in std::mem::take(&mut self.unsynced) {
            match change {
                Change::Length(len) => {
                    self.durable.resize(len, 0);
                    dropped.retain(|(at, _)| *at < len);
                }
                Change::Sectors { at, bytes, dropped: true } => {
                    dropped.extend(sectors(at, &bytes).map(|(at, sector)| (at, sector.to_vec())));
                }
                Change::Sectors { at, bytes, dropped: false } => {
                    put(&mut self.durable, at, &bytes);
                    dropped.retain(|(other, _)| !(at..at + bytes.len()).contains(other));
                }
            }
        }
        // The length is metadata: a sync that failed before did not drop it.
        self.durable.resize(self.cache.len(), 0);
        let again = |(at, bytes)| Change::Sectors { at, bytes, dropped: true };
        self.unsynced = dropped.into_iter().map(again).collect();
    }

    /// A sync that fails: the cache now takes for written what is not.
    pub(crate) fn fail_sync(&mut self) {
        for change in &mut self.unsynced {
            if let Change::Sectors { dropped, .. } = change {
                *dropped = true;
            }
        }
    }

    /// What failed syncs have dropped is forgotten by the cache too, and is on the disk or not. `odds`: as below.
    pub(crate) fn evict(&mut self, odds: f64, random: &mut impl Rng) {
        let (len, unsynced) = (self.cache.len(), std::mem::take(&mut self.unsynced));
        for change in unsynced {
            match change {
                Change::Sectors { at, bytes, dropped: true } => {
                    self.keep_some(at, &bytes, odds, random);
                }
                other => self.unsynced.push(other),
            }
        }
        self.cache.clone_from(&self.durable);
        for change in &self.unsynced {
            match change {
                Change::Length(len) => self.cache.resize(*len, 0),
                Change::Sectors { at, bytes, .. } => put(&mut self.cache, *at, bytes),
            }
        }
        self.cache.resize(len, 0);
    }

    /// The power fails. `odds`: how likely a change is to have reached the disk before.
    pub(crate) fn crash(&mut self, odds: f64, random: &mut impl Rng) {
        for change in std::mem::take(&mut self.unsynced) {
            match change {
                Change::Length(len) if random.random_bool(odds) => self.durable.resize(len, 0),
                Change::Length(_) => {}
                Change::Sectors { at, bytes, .. } => self.keep_some(at, &bytes, odds, random),
            }
        }
        self.cache.clone_from(&self.durable);
    }

    fn keep_some(&mut self, at: usize, bytes: &[u8], odds: f64, random: &mut impl Rng) {
        match random.random_range(0..4) {
            // Torn, anywhere.
            0 => {
                for (at, sector) in sectors(at, bytes) {
                    if random.random_bool(odds) {
                        put(&mut self.durable, at, sector);
                    }
                }
            }
            // The file has grown, the bytes have not come.
            1 if at + bytes.len() > self.durable.len() && random.random_bool(odds / 4.0) => {
                self.durable.resize(at + bytes.len(), 0);
            }
            _ if random.random_bool(odds) => put(&mut self.durable, at, bytes),
            _ => {}
        }
    }
}

fn put(image: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    let end = at + bytes.len();
    if end > image.len() {
        image.resize(end, 0);
    }
    image[at..end].copy_from_slice(bytes);
}

fn sectors(at: usize, bytes: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    (at..).step_by(SECTOR).zip(bytes.chunks(SECTOR))
}

/// What the device writes whole or not at all.
const SECTOR: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    fn random(seed: u64) -> rand_pcg::Pcg64 {
        rand_pcg::Pcg64::seed_from_u64(seed)
    }

    #[test]
    fn what_was_synced_stays_whatever_the_seed() {
        for seed in 0..200 {
            let mut inode = Inode::default();
            inode.write(0, &[1; 1_000]);
            inode.sync();
            inode.write(1_200, &[2; 3_000]);
            inode.crash(0.5, &mut random(seed));
            assert_eq!(inode.cache[..1_000], [1; 1_000]);
        }
    }

    #[test]
    fn an_unsynced_write_is_kept_forgotten_or_torn_between_sectors() {
        let (mut kept, mut forgotten, mut torn) = (0, 0, 0);
        for seed in 0..400 {
            let mut inode = Inode::default();
            inode.write(0, &[1; 2_048]);
            inode.sync();
            inode.write(100, &[2; 1_800]);
            inode.crash(0.5, &mut random(seed));
            let is_new: Vec<bool> =
                [100, 512, 1_024, 1_536].iter().map(|at| inode.cache[*at] == 2).collect();
            for (sector, is_new) in inode.cache[512..1_536].chunks(SECTOR).zip(&is_new[1..]) {
                assert!(sector.iter().all(|byte| (*byte == 2) == *is_new));
            }
            match is_new.iter().filter(|new| **new).count() {
                0 => forgotten += 1,
                4 => kept += 1,
                _ => torn += 1,
            }
        }
        assert!(kept > 0 && forgotten > 0 && torn > 0, "{kept} {forgotten} {torn}");
    }

    #[test]
    fn a_later_write_may_survive_an_earlier_one() {
        let survived = (0..100).any(|seed| {
            let mut inode = Inode::default();
            inode.write(0, &[0; 2_048]);
            inode.sync();
            inode.write(0, &[1; 512]);
            inode.write(1_024, &[2; 512]);
            inode.crash(0.5, &mut random(seed));
            inode.cache[0] == 0 && inode.cache[1_024] == 2
        });
        assert!(survived);
    }

    #[test]
    fn after_a_failed_sync_the_next_one_succeeds_without_writing() {
        let mut lost = 0;
        for seed in 0..100 {
            let mut inode = Inode::default();
            inode.write(0, &[1; 512]);
            inode.fail_sync();
            assert_eq!(inode.cache, [1; 512]);
            inode.write(512, &[2; 512]);
            inode.sync();
            inode.crash(0.5, &mut random(seed));
            assert_eq!(inode.cache[512..], [2; 512]);
            lost += usize::from(inode.cache[0] == 0);
        }
        assert!((20..80).contains(&lost), "{lost}");
    }

    #[test]
    fn a_write_to_the_same_sector_takes_along_what_a_failed_sync_dropped() {
        let mut inode = Inode::default();
        inode.write(0, &[1; 100]);
        inode.fail_sync();
        inode.write(100, &[2; 100]);
        inode.sync();
        inode.crash(0.0, &mut random(1));
        assert_eq!(inode.cache[..100], [1; 100]);
    }

    #[test]
    fn an_evicted_page_reads_as_it_is_on_the_disk_and_keeps_later_writes() {
        let mut inode = Inode::default();
        inode.write(0, &[1; 1_024]);
        inode.fail_sync();
        inode.write(512, &[2; 512]);
        inode.evict(0.0, &mut random(1));
        assert_eq!(inode.cache, [[0; 512], [2; 512]].concat());
        inode.sync();
        inode.crash(0.0, &mut random(1));
        assert_eq!(inode.cache, [[0; 512], [2; 512]].concat());
    }

    #[test]
    fn a_length_is_forgotten_or_kept_like_a_write() {
        let lengths: std::collections::BTreeSet<usize> = (0..50)
            .map(|seed| {
                let mut inode = Inode::default();
                inode.write(0, &[1; 1_024]);
                inode.sync();
                inode.set_len(0);
                inode.crash(0.5, &mut random(seed));
                inode.cache.len()
            })
            .collect();
        assert_eq!(lengths, [0, 1_024].into());
    }
}
