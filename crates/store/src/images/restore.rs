//! Reading a range image back into its file: bytes, holes, length, mode, modification time.

use std::fs::{File, Permissions};
use std::io;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::PathBuf;

use rustix::fs::{FallocateFlags, Timespec, Timestamps, UTIME_OMIT};
use rustix::io::Errno;
use sha2::{Digest, Sha256};

use super::ImageError;
use super::header::{Entry, Original, SECTOR_BYTES, Sector};
use super::range::BLOCK_BYTES;
use crate::dir::Dir;
use crate::error::{IoError, Naming};

const CHUNK_BYTES: usize = 64 << 10;

/// An image opened for restoring.
#[derive(Debug)]
pub struct ImageReader {
    image: File,
    path: PathBuf,
    original: Original,
}

/// What a restoration brought back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Restored {
    /// Bytes written.
    pub data_bytes: u64,
    /// Bytes turned back into holes.
    pub hole_bytes: u64,
}

/// A saved range and where in the image its bytes begin.
struct Saved {
    entry: Entry,
    data_at: u64,
}

enum Found {
    Entry(Saved),
    /// Its bytes in the image are not whole, but the file still holds them: there is nothing to bring back.
    InPlace(Saved),
    /// The rest of a save that never was flushed.
    Unfinished,
    End,
}

impl ImageReader {
    pub(super) fn open(run: &Dir, effect: u64) -> Result<Option<Self>, ImageError> {
        let name = effect.to_string();
        let path = run.path().join(&name);
        let Some(image) = run.open_if_there(&name)? else {
            return Ok(None);
        };
        let mut sector: Sector = [0; SECTOR_BYTES];
        let read = read_up_to(&image, &mut sector, 0).naming("read", &path)?;
        // Not even the header was flushed, so nothing was overwritten.
        if sector[..read].iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        match Original::from_sector(&sector) {
            Some(original) => Ok(Some(Self { image, path, original })),
            None => Err(ImageError::Damaged { path, offset: 0 }),
        }
    }

    /// What the file was.
    pub fn original(&self) -> Original {
        self.original
    }

    /// Brings `file`, open for reading and writing, back to what it was, and flushes it. Repeating it is harmless. The
    /// whole image is checked first: a damaged one changes nothing.
    ///
    /// The rest of a save that was interrupted is left out: its flush never completed, so the write that it was for
    /// never began. It is taken for that only where its header never reached the disk, or where the file still holds
    /// what the entry says.
    pub fn restore(&self, file: &File) -> Result<Restored, ImageError> {
        let saved = self.entries(file)?;
        let mut restored = Restored::default();
        // Both directions: what was added goes, what was cut off comes back as a hole, to be filled below.
        file.set_len(self.original.len).map_err(|e| self.changing(e))?;
        for Saved { entry, data_at } in saved {
            if entry.digest.is_some() {
                self.copy_back(file, &entry, data_at).map_err(|e| self.changing(e))?;
                restored.data_bytes += entry.len;
            } else {
                self.punch(file, &entry).map_err(|e| self.changing(e))?;
                restored.hole_bytes += entry.len;
            }
        }
        // Last, because writing takes setuid bits away and moves the time.
        self.restore_metadata(file).map_err(|e| self.changing(e))?;
        file.sync_all().map_err(|e| self.changing(e))?;
        Ok(restored)
    }

    fn changing(&self, source: io::Error) -> IoError {
        IoError::new("change the file back from", &self.path, source)
    }

    fn entries(&self, file: &File) -> Result<Vec<Saved>, ImageError> {
        let mut saved = Vec::new();
        let mut at = SECTOR_BYTES as u64;
        loop {
            match self.entry_at(at, file)? {
                Found::Entry(found) => {
                    at = found.data_at + found.entry.stored_bytes();
                    saved.push(found);
                }
                Found::InPlace(found) => at = found.data_at + found.entry.stored_bytes(),
                Found::Unfinished => {
                    tracing::debug!(path = %self.path.display(), at, "leaving out an interrupted save");
                    return Ok(saved);
                }
                Found::End => return Ok(saved),
            }
        }
    }

    fn entry_at(&self, at: u64, file: &File) -> Result<Found, ImageError> {
        let mut sector: Sector = [0; SECTOR_BYTES];
        let read = read_up_to(&self.image, &mut sector, at).naming("read", &self.path)?;
        if read == 0 {
            return Ok(Found::End);
        }
        let damaged = || ImageError::Damaged { path: self.path.clone(), offset: at };
        let Some(entry) = Entry::from_sector(&sector) else {
            let unfinished = read < SECTOR_BYTES || sector.iter().all(|byte| *byte == 0);
            return if unfinished { Ok(Found::Unfinished) } else { Err(damaged()) };
        };
        let data_at = at + SECTOR_BYTES as u64;
        let Some(digest) = entry.digest else {
            return Ok(Found::Entry(Saved { entry, data_at }));
        };
        if digest_of(&self.image, data_at, entry.len).naming("read", &self.path)? == digest {
            return Ok(Found::Entry(Saved { entry, data_at }));
        }
        let now = digest_of(file, entry.offset, entry.len).naming("read the file behind", &self.path)?;
        if now == digest { Ok(Found::InPlace(Saved { entry, data_at })) } else { Err(damaged()) }
    }

    fn copy_back(&self, file: &File, entry: &Entry, data_at: u64) -> io::Result<()> {
        let mut chunk = vec![0; CHUNK_BYTES];
        let mut done = 0;
        while done < entry.len {
            let part = &mut chunk[..CHUNK_BYTES.min((entry.len - done) as usize)];
            self.image.read_exact_at(part, data_at + done)?;
            file.write_all_at(part, entry.offset + done)?;
            done += part.len() as u64;
        }
        Ok(())
    }

    fn punch(&self, file: &File, entry: &Entry) -> io::Result<()> {
        // Part of a block is zeroed and stays allocated, so at the end of the file the whole block is punched.
        let end = entry.offset + entry.len;
        let len = if end == self.original.len { entry.len.next_multiple_of(BLOCK_BYTES) } else { entry.len };
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        match rustix::fs::fallocate(file, flags, entry.offset, len) {
            Ok(()) => Ok(()),
            // No holes here: zeros read the same.
            Err(Errno::OPNOTSUPP) => write_zeros(file, entry),
            Err(e) => Err(e.into()),
        }
    }

    fn restore_metadata(&self, file: &File) -> io::Result<()> {
        file.set_permissions(Permissions::from_mode(self.original.mode))?;
        let times = Timestamps {
            last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
            last_modification: Timespec { tv_sec: self.original.mtime_s, tv_nsec: self.original.mtime_ns },
        };
        Ok(rustix::fs::futimens(file, &times)?)
    }
}

fn write_zeros(file: &File, entry: &Entry) -> io::Result<()> {
    let zeros = vec![0; CHUNK_BYTES];
    let mut done = 0;
    while done < entry.len {
        let part = &zeros[..CHUNK_BYTES.min((entry.len - done) as usize)];
        file.write_all_at(part, entry.offset + done)?;
        done += part.len() as u64;
    }
    Ok(())
}

/// The digest of a range, or of what the file has of it.
fn digest_of(file: &File, offset: u64, len: u64) -> io::Result<[u8; 32]> {
    let mut hasher = Sha256::new();
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut done = 0;
    while done < len {
        let wanted = CHUNK_BYTES.min((len - done) as usize);
        let read = file.read_at(&mut chunk[..wanted], offset + done)?;
        if read == 0 {
            break;
        }
        hasher.update(&chunk[..read]);
        done += read as u64;
    }
    Ok(hasher.finalize().into())
}

fn read_up_to(file: &File, buf: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buf.len() {
        match file.read_at(&mut buf[filled..], offset + filled as u64)? {
            0 => break,
            read => filled += read,
        }
    }
    Ok(filled)
}
