//! The two kinds of headers in a range image. Each fills one 512-byte sector, which a disk writes whole or not at all.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;

use sha2::{Digest, Sha256};

/// A header's size and the alignment of everything in an image, in bytes.
pub(super) const SECTOR_BYTES: usize = 512;

pub(super) type Sector = [u8; SECTOR_BYTES];

const IMAGE_MAGIC: &[u8; 16] = b"unship-image 1\n\0";
const ENTRY_MAGIC: &[u8; 16] = b"unship-range 1\n\0";

/// What the file was before the effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Original {
    /// Its length, in bytes.
    pub len: u64,
    /// Its permission bits, setuid, setgid and sticky too: 12 bits.
    pub mode: u32,
    /// Its modification time: whole seconds since 1970.
    pub mtime_s: i64,
    /// And the nanoseconds of that second.
    pub mtime_ns: i64,
}

impl Original {
    pub(super) fn of(metadata: &Metadata) -> Self {
        Self {
            len: metadata.len(),
            mode: metadata.mode() & 0o7777,
            mtime_s: metadata.mtime(),
            mtime_ns: metadata.mtime_nsec(),
        }
    }

    pub(super) fn to_sector(self) -> Sector {
        let fields = [
            self.len.to_le_bytes(),
            u64::from(self.mode).to_le_bytes(),
            self.mtime_s.to_le_bytes(),
            self.mtime_ns.to_le_bytes(),
        ];
        sector(IMAGE_MAGIC, &fields.concat())
    }

    pub(super) fn from_sector(sector: &Sector) -> Option<Self> {
        let mut fields = open(IMAGE_MAGIC, sector)?;
        Some(Self {
            len: take(&mut fields)?,
            mode: u32::try_from(take(&mut fields)?).ok()?,
            mtime_s: take(&mut fields)?.cast_signed(),
            mtime_ns: take(&mut fields)?.cast_signed(),
        })
    }
}

/// One saved range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    /// Where in the file, in bytes.
    pub(super) offset: u64,
    pub(super) len: u64,
    /// The digest of its bytes, which follow in the image; `None` for a hole, which has no bytes.
    pub(super) digest: Option<[u8; 32]>,
}

impl Entry {
    pub(super) fn to_sector(self) -> Sector {
        let mut fields = [self.offset, self.len, u64::from(self.digest.is_some())].map(u64::to_le_bytes).concat();
        fields.extend_from_slice(&self.digest.unwrap_or_default());
        sector(ENTRY_MAGIC, &fields)
    }

    pub(super) fn from_sector(sector: &Sector) -> Option<Self> {
        let mut fields = open(ENTRY_MAGIC, sector)?;
        let (offset, len) = (take(&mut fields)?, take(&mut fields)?);
        let digest = match take(&mut fields)? {
            0 => None,
            1 => Some(fields.first_chunk().copied()?),
            _ => return None,
        };
        offset.checked_add(len)?;
        Some(Self { offset, len, digest })
    }

    /// What its bytes take in the image, without the header.
    pub(super) fn stored_bytes(&self) -> u64 {
        if self.digest.is_some() { self.len.next_multiple_of(SECTOR_BYTES as u64) } else { 0 }
    }
}

/// Magic, fields, zeros, and the digest of it all at the end.
fn sector(magic: &[u8; 16], fields: &[u8]) -> Sector {
    let mut sector = [0; SECTOR_BYTES];
    sector[..16].copy_from_slice(magic);
    sector[16..16 + fields.len()].copy_from_slice(fields);
    let digest = Sha256::digest(&sector[..SECTOR_BYTES - 32]);
    sector[SECTOR_BYTES - 32..].copy_from_slice(&digest);
    sector
}

fn open<'s>(magic: &[u8; 16], sector: &'s Sector) -> Option<&'s [u8]> {
    let (content, digest) = sector.split_at(SECTOR_BYTES - 32);
    let fields = content.strip_prefix(magic)?;
    (Sha256::digest(content)[..] == *digest).then_some(fields)
}

fn take(fields: &mut &[u8]) -> Option<u64> {
    let (number, rest) = fields.split_first_chunk()?;
    *fields = rest;
    Some(u64::from_le_bytes(*number))
}
