//! Reads a journal from its first byte, line by line in bounded memory, and checks each line against the chain.

use std::path::Path;

use memchr::memchr;

use super::error::{Damage, JournalError};
use super::file::LogFile;
use super::format::{
    HEADER_BYTES_MAX, Hash, Header, LINE_BYTES_MAX, SiteId, VERSION, chain, genesis, parse_head, parse_header,
};
use super::tail::{self, Tail};
use crate::error::{IoError, Naming};

const READ_BYTES: usize = 256 << 10;

/// One record, as the scanner passes over it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// Counted from 1 without a gap.
    pub seq: u64,
    /// Its place in the chain.
    pub hash: Hash,
    /// Its compact JSON text.
    pub json: &'a [u8],
}

/// Where the chain stands after the last good record.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Position {
    /// The hash of the last record, or of the header.
    pub(crate) head: Hash,
    /// The sequence number that belongs next.
    pub(crate) next: u64,
    /// The last record's floor; 1 before the first record.
    pub(crate) floor: u64,
    /// Where the record `floor` begins, in bytes; where it will begin, if it is the next one.
    pub(crate) floor_at: u64,
    /// The hash of the record before that one, or of the header.
    pub(crate) floor_head: Hash,
    /// The end of the last good line, in bytes.
    pub(crate) end: u64,
    /// The number of the line that comes next, from 1.
    pub(crate) line: u64,
}

/// Passes over a journal once.
#[derive(Debug)]
pub(crate) struct Scanner<F> {
    file: F,
    path: Box<Path>,
    site: SiteId,
    window: Window,
    position: Position,
    tail: Option<Tail>,
}

impl<F: LogFile> Scanner<F> {
    /// Reads the header.
    pub(crate) fn new(file: F, path: &Path) -> Result<Self, JournalError> {
        let mut window = Window::default();
        let damaged = || JournalError::Damaged { path: path.to_owned(), line: 1, offset: 0, damage: Damage::Header };
        let found = window.find_line(&file, HEADER_BYTES_MAX).naming("read", path)?;
        let Some(length) = found else {
            return Err(damaged());
        };
        let line = &window.rest()[..length];
        let site = match parse_header(line) {
            Some(Header::Known(site)) => site,
            Some(Header::Newer(found)) => {
                return Err(JournalError::Newer { path: path.to_owned(), found, known: VERSION });
            }
            None => return Err(damaged()),
        };
        let head = genesis(&window.rest()[..=length]);
        window.consume(length + 1);
        let end = window.offset();
        let position = Position { head, next: 1, floor: 1, floor_at: end, floor_head: head, end, line: 2 };
        Ok(Self { file, path: path.into(), site, window, position, tail: None })
    }

    pub(crate) fn site(&self) -> SiteId {
        self.site
    }

    pub(crate) fn position(&self) -> Position {
        self.position
    }

    /// What follows the last record; known once [`next_record`](Self::next_record) gave `None`.
    pub(crate) fn tail(&self) -> Option<Tail> {
        self.tail
    }

    /// Goes on after the tail was mended.
    pub(crate) fn resume(&mut self) {
        self.window = Window::starting_at(self.position.end);
        self.tail = None;
    }

    /// The next record, or `None` at the end. After an error or the end it must not be called again.
    pub(crate) fn next_record(&mut self) -> Result<Option<Record<'_>>, JournalError> {
        match self.window.find_line(&self.file, LINE_BYTES_MAX).naming("read", &*self.path)? {
            Some(length) => self.check_line(length).map(Some),
            None => {
                let found = tail::judge(&self.file, &self.position)
                    .naming("read", &*self.path)?
                    .map_err(|damage| self.damaged(damage))?;
                self.tail = Some(found);
                Ok(None)
            }
        }
    }

    fn check_line(&mut self, length: usize) -> Result<Record<'_>, JournalError> {
        let line = &self.window.rest()[..length];
        let Some(head) = parse_head(line) else {
            return Err(self.damaged(Damage::Malformed));
        };
        let Position { head: previous, next, floor, floor_at, floor_head, end, .. } = self.position;
        if head.seq != next {
            let damage = self.out_of_place(head.seq)?;
            return Err(self.damaged(damage));
        }
        let floor_holds = head.floor == floor || head.floor == head.seq;
        if !floor_holds || chain(&previous, &line[65..]) != head.hash {
            return Err(self.damaged(Damage::Edited));
        }
        self.window.consume(length + 1);
        self.position = Position {
            head: head.hash,
            next: next + 1,
            floor: head.floor,
            floor_at: if head.floor == head.seq { end } else { floor_at },
            floor_head: if head.floor == head.seq { previous } else { floor_head },
            end: self.window.offset(),
            line: self.position.line + 1,
        };
        let json = &self.window.consumed(length + 1)[head.json_at..length];
        Ok(Record { seq: head.seq, hash: head.hash, json })
    }

    /// Says why another record stands where `next` belongs. Reads the rest of the file for it: the journal is refused
    /// anyhow, and the person who looks into it is helped by the difference.
    fn out_of_place(&self, found: u64) -> Result<Damage, IoError> {
        let expected = self.position.next;
        if found < expected {
            return Ok(Damage::Duplicated { found });
        }
        let mut rest = Window::starting_at(self.window.offset());
        while let Some(length) = rest.find_line(&self.file, LINE_BYTES_MAX).naming("read", &*self.path)? {
            if parse_head(&rest.rest()[..length]).is_some_and(|head| head.seq == expected) {
                return Ok(Damage::OutOfOrder { found, expected });
            }
            rest.consume(length + 1);
        }
        Ok(Damage::Missing { expected })
    }

    fn damaged(&self, damage: Damage) -> JournalError {
        JournalError::Damaged {
            path: self.path.to_path_buf(),
            line: self.position.line,
            offset: self.position.end,
            damage,
        }
    }
}

/// A sliding view of the file.
#[derive(Debug, Default)]
struct Window {
    bytes: Vec<u8>,
    /// How many of `bytes` are behind us.
    at: usize,
    /// Where in the file `bytes` begins.
    base: u64,
}

impl Window {
    fn starting_at(base: u64) -> Self {
        Self { base, ..Self::default() }
    }

    fn rest(&self) -> &[u8] {
        &self.bytes[self.at..]
    }

    fn consumed(&self, length: usize) -> &[u8] {
        &self.bytes[self.at - length..self.at]
    }

    fn offset(&self) -> u64 {
        self.base + self.at as u64
    }

    fn consume(&mut self, length: usize) {
        self.at += length;
    }

    /// The length of the line that begins here, without its newline. `None` when a zero byte, the end of the file or
    /// `bytes_max` comes first: then this is the end of the good lines, whatever follows.
    fn find_line(&mut self, file: &impl LogFile, bytes_max: usize) -> std::io::Result<Option<usize>> {
        let mut searched = 0;
        loop {
            let fresh = &self.rest()[searched..];
            let newline = memchr(b'\n', fresh);
            // Lines hold no zero byte, so one before the newline means that the line is not whole.
            if memchr(0, &fresh[..newline.unwrap_or(fresh.len())]).is_some() {
                return Ok(None);
            }
            if let Some(length) = newline {
                return Ok(Some(searched + length));
            }
            searched = self.rest().len();
            if searched >= bytes_max || !self.fill(file)? {
                return Ok(None);
            }
        }
    }

    fn fill(&mut self, file: &impl LogFile) -> std::io::Result<bool> {
        self.bytes.drain(..self.at);
        self.base += self.at as u64;
        self.at = 0;
        let known = self.bytes.len();
        self.bytes.resize(known + READ_BYTES, 0);
        let read = file.read_at(&mut self.bytes[known..], self.base + known as u64)?;
        self.bytes.truncate(known + read);
        Ok(read > 0)
    }
}
