//! Tells the rest of an interrupted append, which may be cut, from damage, which must be refused.
//!
//! What an interruption can leave behind after the last good record follows from how the journal writes:
//!
//! - Everything from the last record's line end to the end of the file was zero before; lines hold no zero byte.
//! - There is one unfinished batch at most: the next one is written only after the flush of the one before.
//! - Each record names its *floor*: all records below it were durable when it was written.
//! - Where a rest was cut but its zeros may not be durable yet, a `!` stands at its beginning. No record begins so.
//! - A killed process or a full disk leaves a beginning of the batch, cut anywhere. A loss of power leaves any subset
//!   of the 512-byte sectors of that, each whole or still zero.
//!
//! So the rest may be cut only if (1) each run of zeros inside it begins at a sector or where the good records end, and
//! ends at a sector; (2) the first line in it can begin the record that belongs there; (3) whole lines in it are
//! records in rising order with a floor that does not lie above that record: a higher floor proves that the record was
//! durable once, so it was lost later; (4) it is no longer than a batch can be. A line that ends with its newline is
//! never part of the rest: it is good, or it is damage. A last line that is whole but for its newline is kept.
//!
//! What no rule can see from the file alone: that the flush of the last batch did complete, and whole sectors turned to
//! zero afterwards so that no beginning of a record with a higher floor is left behind them. A checkpoint outside the
//! file, such as the signed head of a run, shows it, as it shows a tail cut at a line's end.

use std::io;

use super::file::LogFile;
use super::format::{BATCH_BYTES_MAX, can_begin, chain, parse_head};
use super::scan::Position;
use super::{Damage, JOINED_BYTES_MAX};

/// The smallest unit that a disk writes whole, in bytes. Larger real units are multiples of it.
const SECTOR_BYTES: u64 = 512;

/// Stands where a rest begins while it is being cut; read as one more zero.
pub(crate) const CUT_MARK: u8 = b'!';

/// What follows the last good record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tail {
    /// Nothing but preallocated zeros.
    Clean,
    /// The rest of an append that never was flushed. Opening the journal for appending cuts it.
    Torn {
        /// Where the rest begins, in bytes.
        offset: u64,
        /// Its length up to its last byte that is not zero, or to the end of the file where it was being cut.
        bytes: u64,
    },
    /// One more whole record whose newline is not there yet. Opening the journal for appending completes it.
    Unterminated {
        /// Where the record begins, in bytes.
        offset: u64,
        /// Its length.
        bytes: u64,
    },
}

/// Looks at everything from the end of the good records to the end of the file.
pub(crate) fn judge(file: &impl LogFile, position: &Position) -> io::Result<Result<Tail, Damage>> {
    let start = position.end;
    let end = end_of_content(file, start)?;
    if end == start {
        return Ok(Ok(Tail::Clean));
    }
    let length = end - start;
    if length > (BATCH_BYTES_MAX + JOINED_BYTES_MAX) as u64 {
        return Ok(Err(Damage::Garbage));
    }
    let mut rest = vec![0; length as usize];
    let mut filled = 0;
    while filled < rest.len() {
        match file.read_at(&mut rest[filled..], start + filled as u64)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            n => filled += n,
        }
    }
    if rest[0] == CUT_MARK {
        rest[0] = 0;
        // How far the rest reached is not known any more: its zeros may be in a cache only.
        let bytes = file.length()? - start;
        return Ok(holed(&rest, position).map(|()| Tail::Torn { offset: start, bytes }));
    }
    Ok(if rest.contains(&0) {
        holed(&rest, position).map(|()| Tail::Torn { offset: start, bytes: length })
    } else {
        cut_line(&rest, position)
    })
}

/// Where the last byte that is not zero ends, or `start`.
fn end_of_content(file: &impl LogFile, start: u64) -> io::Result<u64> {
    let mut chunk = vec![0; 64 << 10];
    let (mut offset, mut end) = (start, start);
    loop {
        let read = file.read_at(&mut chunk, offset)?;
        if read == 0 {
            return Ok(end);
        }
        if let Some(last) = chunk[..read].iter().rposition(|byte| *byte != 0) {
            end = offset + last as u64 + 1;
        }
        offset += read as u64;
    }
}

/// One line without a newline and without a hole, then zeros or the end of the file.
fn cut_line(line: &[u8], position: &Position) -> Result<Tail, Damage> {
    let (offset, bytes) = (position.end, line.len() as u64);
    if !can_begin(line, position.next, [position.floor, position.next]) {
        return Err(Damage::Garbage);
    }
    if continues(line, position) {
        return Ok(Tail::Unterminated { offset, bytes });
    }
    // A whole record with one byte more: its newline was turned into another byte.
    if continues(&line[..line.len() - 1], position) {
        return Err(Damage::Edited);
    }
    Ok(Tail::Torn { offset, bytes })
}

fn continues(line: &[u8], position: &Position) -> bool {
    parse_head(line).is_some_and(|head| head.json_at < line.len() && chain(&position.head, &line[65..]) == head.hash)
}

/// Pieces of lines with runs of zeros before or between them.
fn holed(rest: &[u8], position: &Position) -> Result<(), Damage> {
    let aligned = |at: usize| (position.end + at as u64).is_multiple_of(SECTOR_BYTES);
    let mut newest = position.next;
    let mut at = 0;
    while at < rest.len() {
        let piece = run(&rest[at..], |byte| byte != 0);
        if at == 0 && !can_begin(piece, position.next, [position.floor, position.next]) {
            return Err(Damage::Garbage);
        }
        if at > 0 {
            check_piece(piece, position, &mut newest)?;
        }
        at += piece.len();
        let hole = run(&rest[at..], |byte| byte == 0);
        if hole.is_empty() {
            // The last piece may end anywhere: the write itself may have been cut short as well.
            break;
        }
        let begins_well = at == 0 || aligned(at);
        at += hole.len();
        // A hole up to the end is a mark with nothing left behind it.
        let ends_well = at == rest.len() || aligned(at);
        if !begins_well || !ends_well {
            return Err(Damage::Garbage);
        }
    }
    Ok(())
}

/// Lines after a hole. The first may lack its beginning, the last its end.
fn check_piece(piece: &[u8], position: &Position, newest: &mut u64) -> Result<(), Damage> {
    let mut lines = piece.split(|byte| *byte == b'\n').peekable();
    // It begins in the middle of a line, or by chance at a line's start: then it can testify as well.
    let first = lines.next().and_then(parse_head);
    if first.is_some_and(|head| position.next < head.floor && head.floor <= head.seq) {
        return Err(Damage::Missing { expected: position.next });
    }
    while let Some(line) = lines.next() {
        let whole = lines.peek().is_some();
        let Some(head) = parse_head(line) else {
            if whole {
                return Err(Damage::Garbage);
            }
            continue;
        };
        if head.floor > position.next {
            return Err(Damage::Missing { expected: position.next });
        }
        if head.seq <= *newest {
            return Err(Damage::Duplicated { found: head.seq });
        }
        if head.floor != position.floor && head.floor != position.next {
            return Err(Damage::Garbage);
        }
        *newest = head.seq;
    }
    Ok(())
}

fn run(bytes: &[u8], belongs: impl Fn(u8) -> bool) -> &[u8] {
    let length = bytes.iter().position(|byte| !belongs(*byte)).unwrap_or(bytes.len());
    &bytes[..length]
}
