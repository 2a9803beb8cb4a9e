//! The reading side of the journal, which is the audit: it needs no lock and never writes.

use std::path::Path;

use super::error::JournalError;
use super::file::{LogFile, RealFile};
use super::format::{Hash, SiteId};
use super::scan::Scanner;
use super::tail::Tail;
use crate::checkpoint::{Signed, Watch};
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
    verify_against(Scanner::new(file, path)?, Vec::new())
}

/// Opens the journal of `site` for [`verify_against`].
pub(crate) fn scan_of(path: &Path, site: SiteId) -> Result<Scanner<RealFile>, JournalError> {
    let scanner = Scanner::new(RealFile::open_read(path).naming("open", path)?, path)?;
    match scanner.site() {
        found if found == site => Ok(scanner),
        found => Err(JournalError::Foreign { path: path.to_owned(), found, expected: site }),
    }
}

/// As [`verify`], from the header on, and compares with checkpoints on the way.
pub(crate) fn verify_against(mut scanner: Scanner<impl LogFile>, signed: Vec<Signed>) -> Result<Report, JournalError> {
    let genesis = scanner.position().head;
    let watches = signed.into_iter().map(|signed| Watch::begin(signed, &genesis)).collect::<Result<Vec<_>, _>>()?;
    while let Some(record) = scanner.next_record()? {
        watches.iter().try_for_each(|watch| watch.see(record.seq, &record.hash))?;
    }
    let position = scanner.position();
    let records = position.next - 1;
    watches.iter().try_for_each(|watch| watch.end(records).map(drop))?;
    let tail = scanner.tail().unwrap_or(Tail::Clean);
    Ok(Report { site: scanner.site(), records, head: position.head, bytes: position.end, tail })
}

/// Reads the records in order, each checked before it is given out. An unfinished append at the end is left out.
///
/// # Errors
/// As [`verify`]; after an error the iterator ends.
pub fn read(path: &Path) -> Result<Entries, JournalError> {
    let file = RealFile::open_read(path).naming("open", path)?;
    Ok(Entries { scanner: Some(Scanner::new(file, path)?), watch: None })
}

/// The records of a journal, see [`read`].
#[derive(Debug)]
pub struct Entries {
    scanner: Option<Scanner<RealFile>>,
    watch: Option<Watch>,
}

impl Entries {
    /// From the header on, compared with a checkpoint on the way.
    pub(crate) fn against(scanner: Scanner<RealFile>, signed: Signed) -> Result<Self, JournalError> {
        let watch = Watch::begin(signed, &scanner.position().head)?;
        Ok(Self { scanner: Some(scanner), watch: Some(watch) })
    }

    fn advance(&mut self) -> Result<Option<Entry>, JournalError> {
        let Some(scanner) = &mut self.scanner else { return Ok(None) };
        if let Some(record) = scanner.next_record()? {
            if let Some(watch) = &self.watch {
                watch.see(record.seq, &record.hash)?;
            }
            return Ok(Some(Entry { seq: record.seq, hash: record.hash, json: record.json.to_vec() }));
        }
        let records = scanner.position().next - 1;
        if let Some(watch) = &self.watch {
            watch.end(records)?;
        }
        Ok(None)
    }

    /// The site named in the header; `None` once reading has ended.
    pub fn site(&self) -> Option<SiteId> {
        self.scanner.as_ref().map(Scanner::site)
    }
}

impl Iterator for Entries {
    type Item = Result<Entry, JournalError>;

    fn next(&mut self) -> Option<Self::Item> {
        let entry = self.advance().transpose();
        if !matches!(entry, Some(Ok(_))) {
            self.scanner = None;
        }
        entry
    }
}
