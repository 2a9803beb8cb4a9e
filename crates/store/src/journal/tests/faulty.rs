//! A file in memory that fails on demand and forgets what was not flushed.

use std::collections::BTreeSet;
use std::io;
use std::sync::{Arc, Mutex};

use super::super::LogFile;
use super::super::format::header;
use super::site;

const SECTOR: usize = 512;

/// Writing calls are counted from 0; from the chosen one on, each fails.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fault {
    pub(super) call: usize,
    pub(super) errno: rustix::io::Errno,
    /// A failing write takes half of its bytes first, up to the end of a sector: a file system takes whole blocks.
    pub(super) half: bool,
}

/// Clones are handles of the same file.
#[derive(Clone, Default)]
pub(super) struct FaultyFile(Arc<Mutex<Content>>);

#[derive(Default)]
struct Content {
    /// What the disk holds.
    disk: Vec<u8>,
    /// What readers see.
    cache: Vec<u8>,
    /// Sectors of `cache` that the next flush writes.
    dirty: BTreeSet<usize>,
    fault: Option<Fault>,
    calls: usize,
    flushes: u64,
}

impl FaultyFile {
    pub(super) fn holding(content: &[u8]) -> Self {
        let file = Self::default();
        file.edit(|inner| {
            inner.disk = content.to_vec();
            inner.cache = content.to_vec();
        });
        file
    }

    /// A journal without records and without preallocated zeros.
    pub(super) fn new_journal() -> Self {
        Self::holding(&header(site()))
    }

    pub(super) fn fail(&self, fault: Option<Fault>) {
        self.edit(|inner| {
            inner.fault = fault;
            inner.calls = 0;
        });
    }

    pub(super) fn calls(&self) -> usize {
        self.edit(|inner| inner.calls)
    }

    pub(super) fn flushes(&self) -> u64 {
        self.edit(|inner| inner.flushes)
    }

    /// What the next process sees when only this one dies.
    pub(super) fn after_kill(&self) -> Vec<u8> {
        self.edit(|inner| inner.cache.clone())
    }

    /// The power fails: of the dirty sectors those survive that `survives` picks.
    pub(super) fn lose_power(&self, mut survives: impl FnMut() -> bool) {
        self.edit(|inner| {
            let dirty = std::mem::take(&mut inner.dirty);
            for sector in dirty.into_iter().filter(|_| survives()) {
                inner.store(sector);
            }
            inner.cache = inner.disk.clone();
        });
    }

    fn edit<T>(&self, edit: impl FnOnce(&mut Content) -> T) -> T {
        edit(&mut self.0.lock().unwrap())
    }
}

impl Content {
    fn store(&mut self, sector: usize) {
        let start = sector * SECTOR;
        let end = (start + SECTOR).min(self.cache.len());
        if self.disk.len() < end {
            self.disk.resize(end, 0);
        }
        self.disk[start..end].copy_from_slice(&self.cache[start..end]);
    }

    fn fault_now(&mut self) -> Option<Fault> {
        let call = self.calls;
        self.calls += 1;
        self.fault.filter(|fault| fault.call <= call)
    }

    fn write(&mut self, bytes: &[u8], offset: usize) {
        let end = offset + bytes.len();
        if self.cache.len() < end {
            self.cache.resize(end, 0);
        }
        self.cache[offset..end].copy_from_slice(bytes);
        if !bytes.is_empty() {
            self.dirty.extend(offset / SECTOR..=(end - 1) / SECTOR);
        }
    }
}

impl LogFile for FaultyFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.edit(|inner| {
            let rest = inner.cache.get(offset as usize..).unwrap_or_default();
            let length = rest.len().min(buf.len());
            buf[..length].copy_from_slice(&rest[..length]);
            Ok(length)
        })
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.edit(|inner| {
            let Some(fault) = inner.fault_now() else {
                inner.write(bytes, offset as usize);
                return Ok(());
            };
            if fault.half {
                let middle = offset as usize + bytes.len() / 2;
                let taken = (middle / SECTOR * SECTOR).saturating_sub(offset as usize);
                inner.write(&bytes[..taken], offset as usize);
            }
            Err(fault.errno.into())
        })
    }

    fn flush(&self) -> io::Result<()> {
        self.edit(|inner| {
            inner.flushes += 1;
            let dirty = std::mem::take(&mut inner.dirty);
            if let Some(fault) = inner.fault_now() {
                // As Linux does: the pages count as clean from now on, though they never reached the disk.
                return Err(fault.errno.into());
            }
            for sector in dirty {
                inner.store(sector);
            }
            Ok(())
        })
    }

    fn length(&self) -> io::Result<u64> {
        self.edit(|inner| Ok(inner.cache.len() as u64))
    }
}
