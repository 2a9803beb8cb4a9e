//! `log-count`: how many lines of a log hold a text, since it is watched.
//!
//! A place in a file is remembered as device, inode, offset and a check of the bytes before it. So a log that was rotated is
//! read to its end, one that was cut or replaced is begun anew, and after a restart nothing is counted twice or left out.

use super::{Around, Look, Looked, file, number};
use crate::sources::Kept;
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io,
    os::unix::fs::{FileExt as _, MetadataExt as _},
    path::Path,
    time::{Duration, Instant},
};

/// Bytes of a line that are held; a longer one is looked through piece by piece.
const LINE_BYTES_MAX: usize = 64 << 10;
/// Bytes read at a time.
const PIECE_BYTES: usize = 64 << 10;
/// How long one look reads; what is left comes at the next one.
const READ_FOR: Duration = Duration::from_secs(5);
/// Bytes before a place that are compared.
const CHECKED_BYTES: u64 = 64;
/// Files that are still read although the log's name is another's by now.
const ROTATED_MAX: usize = 3;
/// Neighbours of a log among which a rotated one is looked for.
const NEIGHBOURS_MAX: usize = 10_000;

/// What is remembered of a log.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct LogKept {
    /// Text → lines that hold it.
    totals: BTreeMap<String, u64>,
    /// Where reading goes on: rotated files first, the present one last.
    places: Vec<Place>,
}

/// A place in a file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Place {
    device: u64,
    inode: u64,
    offset: u64,
    /// FNV-1a of the bytes right before it.
    check: u64,
    /// Texts that the line which goes on here, and is too long to be held, has already shown.
    shown: BTreeSet<String>,
    /// It was rotated, and the last look found nothing new in it.
    is_quiet: bool,
}

impl Place {
    fn is_in(&self, file: &File) -> io::Result<bool> {
        let found = file.metadata()?;
        Ok((found.dev(), found.ino()) == (self.device, self.inode))
    }

    /// Whether the bytes before it are still those that were read: else the file was cut, or is another one.
    fn holds(&self, file: &File) -> io::Result<bool> {
        Ok(file.metadata()?.len() >= self.offset && check(file, self.offset)? == self.check)
    }

    fn start_of(file: &File) -> io::Result<Place> {
        let found = file.metadata()?;
        let check = check(file, 0)?;
        Ok(Place { device: found.dev(), inode: found.ino(), check, ..Place::default() })
    }
}

fn check(file: &File, offset: u64) -> io::Result<u64> {
    let from = offset.saturating_sub(CHECKED_BYTES);
    let mut bytes = vec![0; usize::try_from(offset - from).unwrap_or_default()];
    match file.read_exact_at(&mut bytes, from) {
        // It was cut just now: nothing to compare with.
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => bytes.clear(),
        other => other?,
    }
    Ok(bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, b| (hash ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3)))
}

/// Looks at one log; each feed counts a text of its own.
pub struct LogCount {
    pub file: String,
    pub texts: Vec<String>,
    /// Files that are open since the last look: one that is renamed is still found.
    held: Vec<File>,
}

impl LogCount {
    pub fn new(file: String, texts: Vec<String>) -> LogCount {
        LogCount { file, texts, held: Vec::new() }
    }
}

impl Look for LogCount {
    fn look(&mut self, around: Around<'_>, kept: Option<&Kept>) -> Looked {
        let kept = match kept {
            Some(Kept::Log(kept)) => Some(kept.clone()),
            _ => None,
        };
        let present = match file::open(around.site, &self.file) {
            Ok(file) => Ok(file),
            // It may be between two names just now, or not be there yet: then all of it will be new.
            Err(e) if e.kind() == io::ErrorKind::NotFound => Err(file::told(&self.file, &e)),
            Err(e) => return Looked::nothing(file::told(&self.file, &e)),
        };
        match self.read(around.site, present.as_ref().ok(), kept) {
            Ok(kept) => {
                let total = |text: &String| Some(number(kept.totals.get(text).copied().unwrap_or_default()));
                let mut looked = match &present {
                    Ok(_) => Looked::values(around.clock.now(), self.texts.iter().map(total)),
                    Err(trouble) => Looked::nothing(trouble),
                };
                looked.kept = Some(Kept::Log(kept));
                looked
            }
            Err(e) => Looked::nothing(file::told(&self.file, &e)),
        }
    }
}

impl LogCount {
    /// Reads on in all files that are not at their end, `present` being the one with the log's name.
    fn read(&mut self, site: &Path, present: Option<&File>, kept: Option<LogKept>) -> io::Result<LogKept> {
        let until = Instant::now() + READ_FOR;
        let Some(mut kept) = kept else {
            // What stands in it before it is watched is the past.
            let mut kept = LogKept::default();
            if let Some(file) = present {
                let mut place = Place::start_of(file)?;
                place.offset = file.metadata()?.len();
                place.check = check(file, place.offset)?;
                kept.places.push(place);
                self.held = vec![file.try_clone()?];
            }
            kept.totals = self.texts.iter().map(|text| (text.clone(), 0)).collect();
            return Ok(kept);
        };
        kept.totals.retain(|text, _| self.texts.contains(text));
        for text in &self.texts {
            kept.totals.entry(text.clone()).or_default();
        }
        // The present one last; a new one begins at its beginning.
        let mut places = std::mem::take(&mut kept.places);
        if let Some(file) = present {
            let mut own = Place::start_of(file)?;
            if let Some(known) = places.iter().position(|p| (p.device, p.inode) == (own.device, own.inode)) {
                let known = places.remove(known);
                if known.holds(file)? {
                    own = known;
                }
            }
            places.push(own);
        }
        let mut held = Vec::new();
        let last = places.len().wrapping_sub(1);
        for (n, mut place) in places.into_iter().enumerate() {
            let is_present = present.is_some() && n == last;
            let file = match present {
                Some(file) if is_present => Some(file.try_clone()?),
                _ => self.find(site, &place),
            };
            // One that is gone altogether cannot be read to its end.
            let Some(file) = file else { continue };
            let begun = place.offset;
            let rest = self.count(&file, &mut place, &mut kept.totals, until)?;
            let is_at_end = place.offset + rest.len() as u64 >= file.metadata()?.len();
            // Whoever writes may go on in a rotated file for a while. It is over when two looks found nothing new in it;
            // nobody will end its last line any more.
            let is_quiet = !is_present && present.is_some() && place.offset == begun && is_at_end;
            if is_quiet && place.is_quiet {
                self.ended(&rest, &place, &mut kept.totals);
                continue;
            }
            place.is_quiet = is_quiet;
            kept.places.push(place);
            held.push(file);
        }
        let surplus = kept.places.len().saturating_sub(ROTATED_MAX + 1);
        kept.places.drain(..surplus);
        held.drain(..surplus);
        self.held = held;
        Ok(kept)
    }

    /// The file of a place: still open, or beside the log under another name.
    fn find(&self, site: &Path, place: &Place) -> Option<File> {
        let is_it = |file: &File| place.is_in(file).unwrap_or(false) && place.holds(file).unwrap_or(false);
        if let Some(file) = self.held.iter().find(|file| is_it(file)) {
            return file.try_clone().ok();
        }
        let (folder, name) = self.file.rsplit_once('/').unwrap_or(("", &self.file));
        let neighbours = fs::read_dir(site.join(folder)).ok()?.take(NEIGHBOURS_MAX).flatten();
        let rotated = neighbours.filter_map(|entry| entry.file_name().into_string().ok());
        rotated.filter(|other| other.starts_with(name)).find_map(|other| {
            let path = if folder.is_empty() { other } else { format!("{folder}/{other}") };
            file::open(site, &path).ok().filter(is_it)
        })
    }

    /// Counts the lines from `place` on and moves it behind the last whole one; what stands there is answered.
    fn count(
        &self,
        file: &File,
        place: &mut Place,
        totals: &mut BTreeMap<String, u64>,
        until: Instant,
    ) -> io::Result<Vec<u8>> {
        let overlap = self.texts.iter().map(String::len).max().unwrap_or_default().saturating_sub(1);
        let mut piece = vec![0; PIECE_BYTES];
        // The beginning of the line whose end has not come; it begins at `place.offset`.
        let mut line: Vec<u8> = Vec::new();
        while Instant::now() < until {
            let read = match file.read_at(&mut piece, place.offset + line.len() as u64) {
                Ok(0) => break,
                Ok(read) => read,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(e),
            };
            let mut rest = &piece[..read];
            while let Some(end) = rest.iter().position(|b| *b == b'\n') {
                line.extend_from_slice(&rest[..end]);
                rest = &rest[end + 1..];
                self.ended(&line, place, totals);
                place.shown.clear();
                place.offset += line.len() as u64 + 1;
                line.clear();
            }
            line.extend_from_slice(rest);
            if line.len() > LINE_BYTES_MAX {
                place.shown.extend(self.texts.iter().filter(|text| holds(&line, text)).cloned());
                let passed = line.len() - overlap;
                line.drain(..passed);
                place.offset += passed as u64;
            }
        }
        place.check = check(file, place.offset)?;
        Ok(line)
    }

    fn ended(&self, line: &[u8], place: &Place, totals: &mut BTreeMap<String, u64>) {
        for text in self.texts.iter().collect::<BTreeSet<_>>() {
            if place.shown.contains(text) || holds(line, text) {
                *totals.entry(text.clone()).or_default() += 1;
            }
        }
    }
}

fn holds(line: &[u8], text: &str) -> bool {
    line.windows(text.len()).any(|window| window == text.as_bytes())
}

#[cfg(test)]
#[path = "log_tests.rs"]
mod tests;
