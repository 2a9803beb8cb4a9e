//! The appending side: one handle shared by all threads, whose records reach the disk in common flushes.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use serde::de::IgnoredAny;

use super::JOINED_BYTES_MAX;
use super::error::JournalError;
use super::file::{LogFile, RealFile};
use super::format::{BATCH_BYTES_MAX, Hash, RECORD_BYTES_MAX, SiteId, header, push_record};
use super::scan::{Position, Record, Scanner};
use super::tail::{CUT_MARK, Tail};
use crate::checkpoint::{Signed, Watch};
use crate::dir::Dir;
use crate::error::{IoError, Naming};

/// Lazy records beyond this are flushed by whoever comes next, in bytes.
const PENDING_BYTES_MAX: usize = 1 << 20;

/// More than the bytes of a line that are not its text.
const LINE_OVERHEAD_BYTES: usize = 64 + 2 * 20 + 4;

/// How often a flush lets other threads go first. Microseconds in all, against the tens that the flush takes at least.
const GATHER_YIELDS_MAX: usize = 32;

const ZEROS: &[u8] = &[0; 64 << 10];

/// When an append returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Once the records, and all appended before them, would survive a loss of power.
    Flush,
    /// At once; the records go out with the next flush, and are lost if the process dies before it. For what changed
    /// nothing.
    Lazy,
}

/// How the journal uses its file.
#[derive(Debug, Clone, Copy)]
pub struct JournalOptions {
    /// The file grows in steps of so many zero bytes; 0 lets it grow with each append.
    pub extent_bytes: u64,
}

impl Default for JournalOptions {
    fn default() -> Self {
        Self { extent_bytes: 1 << 20 }
    }
}

/// A journal open for appending. Clones share it; the last one to go flushes what is still pending.
///
/// While it is open no other handle, of this process or another, can open the same file for appending.
#[derive(Clone)]
pub struct Journal {
    shared: Arc<Shared>,
}

struct Shared {
    file: Box<dyn LogFile>,
    path: PathBuf,
    options: JournalOptions,
    state: Mutex<State>,
    /// A flush ended, well or badly.
    flushed: Condvar,
    flushes: AtomicU64,
}

struct State {
    head: Hash,
    next: u64,
    /// All records below are durable.
    durable: u64,
    /// The hash of the newest of them, or of the header.
    durable_head: Hash,
    /// Lines not yet handed to the file.
    pending: Vec<u8>,
    /// The floor of the records in `pending`.
    floor: u64,
    /// Where the next batch goes, in bytes.
    end: u64,
    /// The length of the file.
    room: u64,
    /// Some thread is writing a batch, outside the lock, or about to.
    writing: bool,
    /// How many appends wait for the flush of `pending`.
    waiting: usize,
    /// How many waited for the flush before.
    waited: usize,
    stopped: Option<IoError>,
}

impl Journal {
    /// Makes a new journal's file, whole or not at all.
    ///
    /// # Errors
    /// Only [`JournalError::Io`]. An existing file is replaced, so look first.
    pub fn create(path: &Path, site: SiteId, options: JournalOptions) -> Result<(), JournalError> {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name().and_then(|n| n.to_str())) else {
            return Err(IoError::new("create", path, io::ErrorKind::InvalidFilename.into()).into());
        };
        let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
        Self::create_in(&Dir::open(parent)?, name, site, options)
    }

    pub(crate) fn create_in(dir: &Dir, name: &str, site: SiteId, options: JournalOptions) -> Result<(), JournalError> {
        let header = header(site);
        let zeros = options.extent_bytes.saturating_sub(header.len() as u64);
        Ok(dir.write_atomic(name, &[&header, &vec![0; zeros as usize]])?)
    }

    /// Opens a journal for appending: checks all of it, cuts the rest of an interrupted append.
    ///
    /// # Errors
    /// [`JournalError::Damaged`] names the first line that is not as written; nothing is changed then.
    pub fn open(path: &Path, site: SiteId, options: JournalOptions) -> Result<Self, JournalError> {
        Self::open_replaying(path, site, options, &mut |_| ())
    }

    /// As [`open`](Self::open), and shows each record on the way, oldest first, so that the file is read once.
    ///
    /// The newest of them, found after a killed process, are durable only with the next flush: let an intent with
    /// [`Durability::Flush`] go before any effect that rests on them, as ever.
    pub fn open_replaying(
        path: &Path,
        site: SiteId,
        options: JournalOptions,
        visit: &mut dyn FnMut(Record<'_>),
    ) -> Result<Self, JournalError> {
        match RealFile::open_append(path).naming("open", path)? {
            Some(file) => Self::open_on(Box::new(file), path, site, options, visit),
            None => Err(JournalError::InUse { path: path.to_owned() }),
        }
    }

    pub(crate) fn open_file(
        file: File,
        path: &Path,
        site: SiteId,
        options: JournalOptions,
        signed: &dyn Fn() -> Result<Option<Signed>, JournalError>,
        visit: &mut dyn FnMut(Record<'_>),
    ) -> Result<Self, JournalError> {
        match RealFile::lock(file).naming("lock", path)? {
            Some(file) => Self::open_checked(Box::new(file), path, site, options, signed, visit),
            None => Err(JournalError::InUse { path: path.to_owned() }),
        }
    }

    /// As [`open_replaying`](Self::open_replaying) on any [`LogFile`]; `path` is used in messages only.
    pub fn open_on(
        file: Box<dyn LogFile>,
        path: &Path,
        site: SiteId,
        options: JournalOptions,
        visit: &mut dyn FnMut(Record<'_>),
    ) -> Result<Self, JournalError> {
        Self::open_checked(file, path, site, options, &|| Ok(None), visit)
    }

    /// `signed` gives the checkpoint with which the journal is compared before anything is written.
    pub(super) fn open_checked(
        file: Box<dyn LogFile>,
        path: &Path,
        site: SiteId,
        options: JournalOptions,
        signed: &dyn Fn() -> Result<Option<Signed>, JournalError>,
        visit: &mut dyn FnMut(Record<'_>),
    ) -> Result<Self, JournalError> {
        let (position, mut flushes) = check_and_mend(&*file, path, site, signed, visit)?;
        rewrite_last_batch(&*file, &position).naming("write", path)?;
        let room = file.length().naming("read", path)?;
        // Without a flush here, the first batch says so: its floor stays that of the last record.
        let flush = position.end - position.floor_at > JOINED_BYTES_MAX as u64;
        if flush {
            flushes += 1;
            file.flush().naming("flush", path)?;
        }
        let (known_durable, durable_head) =
            if flush { (position.next, position.head) } else { (position.floor, position.floor_head) };
        let state = State {
            head: position.head,
            next: position.next,
            durable: known_durable,
            durable_head,
            pending: Vec::new(),
            floor: known_durable,
            end: position.end,
            room,
            writing: false,
            waiting: 0,
            waited: 0,
            stopped: None,
        };
        let shared = Shared {
            file,
            path: path.to_owned(),
            options,
            state: Mutex::new(state),
            flushed: Condvar::new(),
            flushes: AtomicU64::new(flushes),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Appends records, each one line of JSON text, and gives their sequence numbers. They stay together, in order. After
    /// a crash during the append a beginning of the group may be found.
    ///
    /// # Errors
    /// [`JournalError::BadRecord`] and [`JournalError::TooLarge`] leave everything as it was. After
    /// [`JournalError::Stopped`] it is unknown until the next opening whether the records are there.
    pub fn append(&self, records: Vec<Vec<u8>>, durability: Durability) -> Result<Range<u64>, JournalError> {
        let bytes = check_group(&records)?;
        let shared = &*self.shared;
        let mut state = shared.lock();
        while !state.pending.is_empty() && state.pending.len() + bytes > PENDING_BYTES_MAX {
            let next = state.next;
            state = shared.flush_below(state, next)?;
        }
        if let Some(cause) = &state.stopped {
            return Err(JournalError::Stopped { cause: cause.clone() });
        }
        let range = state.push(&records);
        if durability == Durability::Flush {
            state.waiting += 1;
            drop(shared.flush_below(state, range.end)?);
        }
        Ok(range)
    }

    /// Makes everything appended so far durable; costs nothing where it already is.
    pub fn flush(&self) -> Result<(), JournalError> {
        let state = self.shared.lock();
        let next = state.next;
        self.shared.flush_below(state, next).map(drop)
    }

    /// How many flushes of its file this journal has asked for since it was opened.
    pub fn flushes(&self) -> u64 {
        self.shared.flushes.load(Ordering::Relaxed)
    }

    /// The hash of the newest record, durable or not, or of the header.
    pub fn head(&self) -> Hash {
        self.shared.lock().head
    }

    /// How many records are known to survive a loss of power, and the hash of the last of them, or of the header.
    pub fn durable(&self) -> (u64, Hash) {
        let state = self.shared.lock();
        (state.durable - 1, state.durable_head)
    }

    /// The sequence number that the next record gets.
    pub fn next_seq(&self) -> u64 {
        self.shared.lock().next
    }
}

impl std::fmt::Debug for Journal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Journal").field("path", &self.shared.path).finish_non_exhaustive()
    }
}

impl State {
    fn push(&mut self, records: &[Vec<u8>]) -> Range<u64> {
        let first = self.next;
        for json in records {
            self.head = push_record(&mut self.pending, &self.head, self.next, self.floor, json);
            self.next += 1;
        }
        first..self.next
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until all records below `seq` are durable. The first thread that finds nobody writing writes for all.
    fn flush_below<'s>(
        &'s self,
        mut state: MutexGuard<'s, State>,
        seq: u64,
    ) -> Result<MutexGuard<'s, State>, JournalError> {
        while state.durable < seq {
            if let Some(cause) = &state.stopped {
                return Err(JournalError::Stopped { cause: cause.clone() });
            }
            if state.writing {
                state = self.flushed.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            state.writing = true;
            state = self.gather(state);
            let batch = std::mem::take(&mut state.pending);
            state.waited = std::mem::take(&mut state.waiting);
            let (next, head, end, room) = (state.next, state.head, state.end, state.room);
            // Records that come while this batch is on its way are written only after its flush.
            state.floor = next;
            drop(state);
            let written = self.write(&batch, end, room);
            state = self.lock();
            state.writing = false;
            match written {
                Ok(room) => {
                    state.durable = next;
                    state.durable_head = head;
                    state.end = end + batch.len() as u64;
                    state.room = room;
                }
                Err(cause) => state.stopped = Some(cause),
            }
            self.flushed.notify_all();
        }
        Ok(state)
    }

    /// Lets the writers that were acknowledged together come together again. Without it the first of them to wake up
    /// would flush its record alone while all others wait for that flush and then for theirs. A lone writer waits for
    /// nobody.
    fn gather<'s>(&'s self, mut state: MutexGuard<'s, State>) -> MutexGuard<'s, State> {
        for _ in 0..GATHER_YIELDS_MAX {
            if state.waiting >= state.waited {
                break;
            }
            drop(state);
            std::thread::yield_now();
            state = self.lock();
        }
        state
    }

    /// Writes one batch and flushes it; gives the file's new length.
    fn write(&self, batch: &[u8], end: u64, room: u64) -> Result<u64, IoError> {
        self.file.write_at(batch, end).naming("write", &self.path)?;
        let mut length = end + batch.len() as u64;
        if length > room && self.options.extent_bytes > 0 {
            let wanted = length.next_multiple_of(self.options.extent_bytes);
            match write_zeros(&*self.file, length..wanted) {
                Ok(()) => length = wanted,
                // The records found their place; the zeros only make later flushes cheap.
                Err(e) if e.kind() == io::ErrorKind::StorageFull => {
                    tracing::debug!("no space to preallocate the journal's next extent");
                }
                Err(e) => return Err(IoError::new("write", &self.path, e)),
            }
        }
        self.flushes.fetch_add(1, Ordering::Relaxed);
        self.file.flush().naming("flush", &self.path)?;
        Ok(length.max(room))
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let state = self.lock();
        if state.pending.is_empty() || state.stopped.is_some() {
            return;
        }
        if let Err(e) = self.write(&state.pending, state.end, state.room) {
            tracing::warn!(error = %e, "the last lazy records of the journal are lost");
        }
    }
}

/// Reads and checks everything; cuts or completes what an interrupted append left.
fn check_and_mend(
    file: &dyn LogFile,
    path: &Path,
    site: SiteId,
    signed: &dyn Fn() -> Result<Option<Signed>, JournalError>,
    visit: &mut dyn FnMut(Record<'_>),
) -> Result<(Position, u64), JournalError> {
    let mut scanner = Scanner::new(file, path)?;
    if scanner.site() != site {
        let found = scanner.site();
        return Err(JournalError::Foreign { path: path.to_owned(), found, expected: site });
    }
    let genesis = scanner.position().head;
    let watch = signed()?.map(|signed| Watch::begin(signed, &genesis)).transpose()?;
    let mut flushes = 0;
    loop {
        while let Some(record) = scanner.next_record()? {
            if let Some(watch) = &watch {
                watch.see(record.seq, &record.hash)?;
            }
            visit(record);
        }
        // Before anything is mended: what was signed was whole, so a torn record among it is no interrupted append.
        if let Some(watch) = &watch {
            watch.end(scanner.position().next - 1)?;
        }
        match scanner.tail() {
            None | Some(Tail::Clean) => return Ok((scanner.position(), flushes)),
            Some(Tail::Torn { offset, bytes }) => {
                cut(file, &scanner.position(), offset + bytes, path)?;
                flushes += 2;
            }
            Some(Tail::Unterminated { offset, bytes }) => {
                file.write_at(b"\n", offset + bytes).naming("write", path)?;
                file.flush().naming("flush", path)?;
                flushes += 1;
            }
        }
        scanner.resume();
    }
}

/// Zeroes the rest of an interrupted append, from the last good record to `end`.
///
/// New records may take its place only once that is durable, or a loss of power could mix both; and a process that is
/// killed here must leave the next one something to see. So a mark stays at the beginning until the zeros are durable.
/// Of the mark alone a later loss of power may bring back no more than its sector. The records before it are made
/// durable first, so that the mark stands where the good records end, whatever is lost.
fn cut(file: &dyn LogFile, position: &Position, end: u64, path: &Path) -> Result<(), IoError> {
    let start = position.end;
    tracing::warn!(start, end, "cutting the rest of an interrupted append");
    rewrite_last_batch(file, position).naming("write", path)?;
    file.flush().naming("flush", path)?;
    let mut first = ZEROS[..ZEROS.len().min((end - start) as usize)].to_vec();
    first[0] = CUT_MARK;
    file.write_at(&first, start).naming("write", path)?;
    write_zeros(file, start + first.len() as u64..end).naming("write", path)?;
    file.flush().naming("flush", path)?;
    file.write_at(&[0], start).naming("write", path)
}

/// Writes the newest records once more, as they are. They may be in the cache of an operating system that failed to
/// write them and told an earlier process so; only a fresh write makes the next flush speak for them.
fn rewrite_last_batch(file: &dyn LogFile, position: &Position) -> io::Result<()> {
    let mut chunk = vec![0; ZEROS.len()];
    let mut offset = position.floor_at;
    while offset < position.end {
        let wanted = chunk.len().min((position.end - offset) as usize);
        let read = file.read_at(&mut chunk[..wanted], offset)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        file.write_at(&chunk[..read], offset)?;
        offset += read as u64;
    }
    Ok(())
}

fn write_zeros(file: &dyn LogFile, range: Range<u64>) -> io::Result<()> {
    let mut offset = range.start;
    while offset < range.end {
        let length = ZEROS.len().min((range.end - offset) as usize);
        file.write_at(&ZEROS[..length], offset)?;
        offset += length as u64;
    }
    Ok(())
}

/// Checks what the format demands of records; gives the size of their lines at most.
fn check_group(records: &[Vec<u8>]) -> Result<usize, JournalError> {
    let mut bytes = 0;
    for json in records {
        if json.len() > RECORD_BYTES_MAX {
            return Err(too_large(json.len(), RECORD_BYTES_MAX, "one record"));
        }
        if json.iter().any(|byte| *byte < b' ') {
            return Err(JournalError::BadRecord { what: "it holds a newline or another control character" });
        }
        if serde_json::from_slice::<IgnoredAny>(json).is_err() {
            return Err(JournalError::BadRecord { what: "it is not JSON" });
        }
        bytes += json.len() + LINE_OVERHEAD_BYTES;
    }
    if bytes > BATCH_BYTES_MAX {
        return Err(too_large(bytes, BATCH_BYTES_MAX, "one group of records"));
    }
    Ok(bytes)
}

fn too_large(bytes: usize, bytes_max: usize, of: &'static str) -> JournalError {
    JournalError::TooLarge { bytes: bytes as u64, bytes_max: bytes_max as u64, of }
}
