//! The bytes of the journal: its header line and its record lines.

use std::fmt;

use sha2::{Digest, Sha256};

use crate::hex;

/// A SHA-256 digest.
pub type Hash = [u8; 32];

/// The format version that this program writes, and the newest that it reads.
pub(crate) const VERSION: u64 = 1;

/// The JSON text of one record, in bytes.
pub const RECORD_BYTES_MAX: usize = 16 << 20;

/// All lines that are written by one flush, in bytes.
pub const BATCH_BYTES_MAX: usize = 64 << 20;

/// Hash, two numbers, three spaces, the text, the newline.
pub(crate) const LINE_BYTES_MAX: usize = 64 + 20 + 20 + 3 + RECORD_BYTES_MAX + 1;

/// The header is far shorter; a longer first line is no header.
pub(crate) const HEADER_BYTES_MAX: usize = 128;

/// A site's identity: 16 random bytes, drawn once.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SiteId([u8; 16]);

impl SiteId {
    /// An id from bytes drawn elsewhere.
    pub fn new(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    pub(crate) fn parse(digits: &[u8]) -> Option<Self> {
        hex::parse(digits).map(Self)
    }
}

impl fmt::Display for SiteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::text(&self.0))
    }
}

impl fmt::Debug for SiteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The first line, newline included.
pub(crate) fn header(site: SiteId) -> Vec<u8> {
    format!("unship-journal {VERSION} {site}\n").into_bytes()
}

/// What a first line says.
pub(crate) enum Header {
    Known(SiteId),
    Newer(u64),
}

/// Reads the first line, without its newline.
pub(crate) fn parse_header(line: &[u8]) -> Option<Header> {
    let rest = line.strip_prefix(b"unship-journal ")?;
    let (version, rest) = number(rest)?;
    // Only the version is promised to stay where it is.
    if version > VERSION {
        return Some(Header::Newer(version));
    }
    SiteId::parse(rest.strip_prefix(b" ")?).map(Header::Known)
}

/// What a record's line says before its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) hash: Hash,
    pub(crate) seq: u64,
    pub(crate) floor: u64,
    /// Where in the line the JSON text begins.
    pub(crate) json_at: usize,
}

/// Reads `<64 hex> <seq> <floor> <json>`, without its newline; the text may still be cut off.
pub(crate) fn parse_head(line: &[u8]) -> Option<Head> {
    let (digits, rest) = line.split_at_checked(64)?;
    let hash = hex::parse(digits)?;
    let (seq, rest) = number(rest.strip_prefix(b" ")?)?;
    let (floor, rest) = number(rest.strip_prefix(b" ")?)?;
    let json = rest.strip_prefix(b" ")?;
    Some(Head { hash, seq, floor, json_at: line.len() - json.len() })
}

/// Continues the chain over the line's part after its hash: `<seq> <floor> <json>`.
pub(crate) fn chain(previous: &Hash, rest: &[u8]) -> Hash {
    Sha256::new().chain_update(previous).chain_update(rest).finalize().into()
}

/// The chain's beginning: the digest of the whole header line.
pub(crate) fn genesis(header: &[u8]) -> Hash {
    Sha256::digest(header).into()
}

/// Appends one record's line and gives its hash.
pub(crate) fn push_record(out: &mut Vec<u8>, previous: &Hash, seq: u64, floor: u64, json: &[u8]) -> Hash {
    let start = out.len();
    // The hash comes first in the line but last in time: its place is kept.
    out.extend_from_slice(&[b'0'; 64]);
    out.extend_from_slice(format!(" {seq} {floor} ").as_bytes());
    out.extend_from_slice(json);
    let hash = chain(previous, &out[start + 65..]);
    let mut digits = Vec::with_capacity(64);
    hex::push(&mut digits, &hash);
    out[start..start + 64].copy_from_slice(&digits);
    out.push(b'\n');
    hash
}

/// Whether a cut line can be the beginning of the record `seq` with one of these floors.
pub(crate) fn can_begin(cut: &[u8], seq: u64, floors: [u64; 2]) -> bool {
    let (digits, rest) = cut.split_at(cut.len().min(64));
    let fits = |floor: u64| {
        let start = format!(" {seq} {floor} ");
        rest.iter().zip(start.as_bytes()).all(|(a, b)| a == b)
    };
    digits.iter().copied().all(hex::is_digit) && floors.into_iter().any(fits) && rest.iter().all(|byte| *byte >= b' ')
}

/// A decimal number from 1, in its only spelling, and what follows it.
fn number(text: &[u8]) -> Option<(u64, &[u8])> {
    let end = text.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    if digits.is_empty() || digits[0] == b'0' {
        return None;
    }
    let value =
        digits.iter().try_fold(0_u64, |value, digit| value.checked_mul(10)?.checked_add(u64::from(digit - b'0')))?;
    Some((value, rest))
}
