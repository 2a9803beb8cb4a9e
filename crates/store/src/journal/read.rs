//! The reading side of the journal, which is the audit: it needs no lock and never writes.

use std::path::Path;

use super::error::JournalError;
use super::file::{LogFile, RealFile};
use super::format::{Hash, SiteId};
use super::scan::Scanner;
use super::tail::Tail;
use crate::error::Naming;

/// What a whole journal looks like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The site named in the header.
    pub site: SiteId,
    /// How many records there are.
    pub records: u64,
    /// The hash of the last record, or of the header where there is none.
    pub head: Hash,
    /// The end of the last record, in bytes.
    pub bytes: u64,
    /// What follows it.
    pub tail: Tail,
}

/// One record read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Counted from 1 without a gap.
    pub seq: u64,
    /// Its place in the chain.
    pub hash: Hash,
    /// Its compact JSON text.
    pub json: Vec<u8>,
}

/// Checks a journal from end to end in bounded memory and changes nothing; the rest of an interrupted append is
/// reported, not cut.
///
/// # Errors
/// The first thing that is not as written, with its line and byte.
pub fn verify(path: &Path) -> Result<Report, JournalError> {
    let file = RealFile::open_read(path).naming("open", path)?;
    verify_on(file, path)
}

pub(crate) fn verify_on(file: impl LogFile, path: &Path) -> Result<Report, JournalError> {
    let mut scanner = Scanner::new(file, path)?;
    while scanner.next_record()?.is_some() {}
    let position = scanner.position();
    Ok(Report {
        site: scanner.site(),
        records: position.next - 1,
        head: position.head,
        bytes: position.end,
        tail: scanner.tail().unwrap_or(Tail::Clean),
    })
}

/// Reads the records in order, each checked before it is given out. An unfinished append at the end is left out.
///
/// # Errors
/// As [`verify`]; after an error the iterator ends.
pub fn read(path: &Path) -> Result<Entries, JournalError> {
    let file = RealFile::open_read(path).naming("open", path)?;
    Ok(Entries { scanner: Some(Scanner::new(file, path)?) })
}

/// The records of a journal, see [`read`].
#[derive(Debug)]
pub struct Entries {
    scanner: Option<Scanner<RealFile>>,
}

impl Entries {
    /// The site named in the header; `None` once reading has ended.
    pub fn site(&self) -> Option<SiteId> {
        self.scanner.as_ref().map(Scanner::site)
    }
}

impl Iterator for Entries {
    type Item = Result<Entry, JournalError>;

    fn next(&mut self) -> Option<Self::Item> {
        let entry = match self.scanner.as_mut()?.next_record() {
            Ok(None) => None,
            Ok(Some(record)) => Some(Ok(Entry { seq: record.seq, hash: record.hash, json: record.json.to_vec() })),
            Err(e) => Some(Err(e)),
        };
        if !matches!(entry, Some(Ok(_))) {
            self.scanner = None;
        }
        entry
    }
}
