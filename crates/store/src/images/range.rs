//! Writing a range image: what in-place writes are about to overwrite, saved and flushed before the first of them.
//!
//! An image is a header sector ([`Original`]), then entries: a header sector and, unless the range is a hole, its bytes,
//! filled up with zeros to a sector. Ranges never overlap, since only what is not saved yet is saved.

use std::fs::File;
use std::io::{self, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{OFlags, SeekFrom};
use rustix::io::Errno;
use sha2::{Digest, Sha256};

use super::header::{Entry, Original, SECTOR_BYTES};
use super::intervals::Intervals;
use super::{ImageError, SpaceLimit};
use crate::dir::Dir;
use crate::error::{IoError, Naming};

/// Saved ranges are widened to whole blocks, so that many small writes near each other cost one flush.
pub(super) const BLOCK_BYTES: u64 = 64 << 10;

/// The bytes of one entry, which bounds memory.
const ENTRY_BYTES_MAX: u64 = 1 << 20;

/// The image of one file that an effect changes in place.
#[derive(Debug)]
pub struct RangeImage {
    image: File,
    path: PathBuf,
    /// Flushed with the first save: until then nothing depends on them.
    parents: Option<[Dir; 2]>,
    original: Original,
    saved: Intervals,
    end: u64,
    stopped: bool,
    limit: Arc<SpaceLimit>,
    flushes: Arc<AtomicU64>,
}

impl RangeImage {
    pub(super) fn begin(
        parents: [Dir; 2],
        effect: u64,
        file: &File,
        limit: Arc<SpaceLimit>,
        flushes: Arc<AtomicU64>,
    ) -> Result<Self, ImageError> {
        let name = effect.to_string();
        let path = parents[1].path().join(&name);
        let original = Original::of(&file.metadata().naming("look at the file behind", &path)?);
        limit.take(SECTOR_BYTES as u64)?;
        let mut image = parents[1].open_file(&name, OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL)?;
        image.write_all(&original.to_sector()).naming("write", &path)?;
        Ok(Self {
            image,
            path,
            parents: Some(parents),
            original,
            saved: Intervals::default(),
            end: SECTOR_BYTES as u64,
            stopped: false,
            limit,
            flushes,
        })
    }

    /// Saves what `file` holds in a range, unless it is saved already or lies beyond the file's first end; for that the
    /// last block before it is saved. When this returns the image is durable and the range may be overwritten, cut off
    /// or punched out. `true` if anything was saved.
    ///
    /// `file` must be open for reading; its position, which positioned reads and writes do not use, is moved.
    ///
    /// # Errors
    /// After any error the range must not be changed. After [`ImageError::Io`] the image takes nothing more.
    pub fn save_before_write(&mut self, file: &File, offset: u64, len: u64) -> Result<bool, ImageError> {
        if self.stopped {
            return Err(ImageError::Stopped { path: self.path.clone() });
        }
        let asked = offset.saturating_add(len);
        let end = asked.min(self.original.len);
        // Writing beyond the end also fills the block in which the file ended, were it a hole before.
        let offset = if asked > self.original.len { offset.min(self.original.len.saturating_sub(1)) } else { offset };
        if offset >= end {
            // Nothing to save, but the length is to be kept: the header must be durable.
            return self.flush_header().map(|()| false);
        }
        let start = offset - offset % BLOCK_BYTES;
        let end = end.checked_next_multiple_of(BLOCK_BYTES).unwrap_or(end).min(self.original.len);
        let gaps = self.saved.missing(start..end);
        if gaps.is_empty() {
            return Ok(false);
        }
        let pieces = self.pieces(file, &gaps)?;
        let bytes = pieces.iter().map(Piece::image_bytes).sum();
        self.limit.take(bytes)?;
        self.stopped = true;
        for piece in pieces {
            self.save(file, &piece)?;
        }
        self.flush()?;
        self.stopped = false;
        for gap in gaps {
            self.saved.insert(gap);
        }
        Ok(true)
    }

    /// What the file was when the image was begun.
    pub fn original(&self) -> Original {
        self.original
    }

    /// Where the image is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What the image takes, in bytes.
    pub fn bytes(&self) -> u64 {
        self.end
    }

    fn flush_header(&mut self) -> Result<(), ImageError> {
        if self.parents.is_some() {
            self.stopped = true;
            self.flush()?;
            self.stopped = false;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), IoError> {
        self.flushes.fetch_add(1, Ordering::Relaxed);
        self.image.sync_data().naming("flush", &self.path)?;
        for dir in self.parents.take().into_iter().flatten() {
            self.flushes.fetch_add(1, Ordering::Relaxed);
            dir.flush()?;
        }
        Ok(())
    }

    fn pieces(&self, file: &File, gaps: &[Range<u64>]) -> Result<Vec<Piece>, ImageError> {
        // What the run itself cut off was saved before, so no gap lies there.
        let len = file.metadata().naming("look at the file behind", &self.path)?.len();
        if gaps.iter().any(|gap| gap.end > len) {
            return Err(ImageError::Shrunk { path: self.path.clone() });
        }
        let mut pieces = Vec::new();
        for gap in gaps {
            split(file, gap.clone(), &mut pieces).naming("read the file behind", &self.path)?;
        }
        Ok(pieces)
    }

    fn save(&mut self, file: &File, piece: &Piece) -> Result<(), ImageError> {
        let len = piece.range.end - piece.range.start;
        let mut data = Vec::new();
        if piece.data {
            data.resize(len as usize, 0);
            match file.read_exact_at(&mut data, piece.range.start) {
                Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => {
                    return Err(ImageError::Shrunk { path: self.path.clone() });
                }
                read => read.naming("read the file behind", &self.path)?,
            }
        }
        let digest = piece.data.then(|| Sha256::digest(&data).into());
        let entry = Entry { offset: piece.range.start, len, digest };
        data.resize(entry.stored_bytes() as usize, 0);
        let bytes = [&entry.to_sector()[..], &data].concat();
        self.image.write_all_at(&bytes, self.end).naming("write", &self.path)?;
        self.end += bytes.len() as u64;
        Ok(())
    }
}

/// A range that is data throughout, or a hole throughout.
struct Piece {
    range: Range<u64>,
    data: bool,
}

impl Piece {
    fn image_bytes(&self) -> u64 {
        let bytes = if self.data { self.range.end - self.range.start } else { 0 };
        SECTOR_BYTES as u64 + bytes.next_multiple_of(SECTOR_BYTES as u64)
    }
}

/// Divides a range at the borders of holes, and its data into entries.
fn split(file: &File, range: Range<u64>, pieces: &mut Vec<Piece>) -> io::Result<()> {
    let mut at = range.start;
    while at < range.end {
        let data_at = match rustix::fs::seek(file, SeekFrom::Data(at)) {
            Ok(data_at) => data_at.min(range.end),
            // No data any more.
            Err(Errno::NXIO) => range.end,
            // A file system that does not tell: data.
            Err(Errno::INVAL | Errno::OPNOTSUPP) => at,
            Err(e) => return Err(e.into()),
        };
        if at < data_at {
            pieces.push(Piece { range: at..data_at, data: false });
            at = data_at;
            continue;
        }
        let hole_at = rustix::fs::seek(file, SeekFrom::Hole(at)).unwrap_or(range.end);
        let end = hole_at.clamp(at + 1, at + ENTRY_BYTES_MAX).min(range.end);
        pieces.push(Piece { range: at..end, data: true });
        at = end;
    }
    Ok(())
}
