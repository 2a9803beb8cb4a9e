//! Files of the site: opened beneath it, and the look at one (`file-check`).

use super::{Around, Look, Looked, number};
use crate::sources::Kept;
use rustix::{
    fs::{FileType, Mode, OFlags, ResolveFlags, fstat, openat2},
    io::Errno,
};
use std::{
    fs::{self, File},
    io::{self, Read as _},
    path::Path,
};
use unship_policy::FileValue;
use unship_rollback::signal::Millis;

/// Opens a regular file for reading. A link inside the site is followed, one that leads out of it is not, and neither a pipe
/// nor a device is waited for.
///
/// # Errors
/// What the system says; [`io::ErrorKind::NotFound`] when nothing is there.
pub fn open(site: &Path, file: &str) -> io::Result<File> {
    let opened = File::from(beneath(site, file, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY)?);
    if opened.metadata()?.is_file() { Ok(opened) } else { Err(io::Error::other("it is no regular file")) }
}

fn beneath(site: &Path, file: &str, flags: OFlags) -> io::Result<rustix::fd::OwnedFd> {
    let site = fs::File::open(site)?;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    match openat2(site, file, flags | OFlags::CLOEXEC, Mode::empty(), resolve) {
        Ok(opened) => Ok(opened),
        Err(Errno::XDEV) => Err(io::Error::other("a link on the way leads out of the site")),
        Err(e) => Err(e.into()),
    }
}

/// The whole file, if it is no longer than `bytes_max`.
///
/// # Errors
/// As [`open`]; it is longer.
pub fn read(site: &Path, file: &str, bytes_max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open(site, file)?.take(bytes_max + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > bytes_max {
        return Err(io::Error::other(format!("it is longer than {bytes_max} bytes")));
    }
    Ok(bytes)
}

/// What is wrong with a file, with its name.
pub fn told(file: &str, e: &io::Error) -> String {
    match e.kind() {
        io::ErrorKind::NotFound => format!("{file} is not there"),
        _ => format!("{file}: {e}"),
    }
}

/// Looks at one file; each feed wants one number of it.
pub struct FileCheck {
    pub file: String,
    pub values: Vec<FileValue>,
}

impl Look for FileCheck {
    fn look(&mut self, around: Around<'_>, _: Option<&Kept>) -> Looked {
        let at = around.clock.now();
        let found = beneath(around.site, &self.file, OFlags::PATH).and_then(|opened| Ok(fstat(opened)?));
        let found = match found {
            Ok(found) => Some(found),
            Err(e) if e.kind() == io::ErrorKind::NotFound => None,
            Err(e) => return Looked::nothing(told(&self.file, &e)),
        };
        let is_file = found.as_ref().map(|f| FileType::from_raw_mode(f.st_mode) == FileType::RegularFile);
        if is_file == Some(false) {
            return Looked::nothing(format!("{} is no regular file", self.file));
        }
        let value = |value: &FileValue| match (value, &found) {
            (FileValue::Present, found) => Some(if found.is_some() { 1.0 } else { 0.0 }),
            (FileValue::Missing, found) => Some(if found.is_none() { 1.0 } else { 0.0 }),
            // What is not there has neither age nor size.
            (FileValue::Age | FileValue::Size, None) => None,
            (FileValue::Age, Some(found)) => Some(age(at, found.st_mtime, found.st_mtime_nsec)),
            (FileValue::Size, Some(found)) => u64::try_from(found.st_size).ok().map(number),
        };
        let mut looked = Looked::values(at, self.values.iter().map(value));
        if looked.samples.len() < self.values.len() {
            looked.trouble = Some(format!("{} is not there", self.file));
        }
        looked
    }
}

/// Seconds from a file's change to `at`; one that was changed in the future was changed just now.
#[expect(clippy::cast_precision_loss, reason = "a sample is a double")]
fn age(at: Millis, seconds: i64, nanoseconds: impl TryInto<i64>) -> f64 {
    let changed = seconds as f64 + nanoseconds.try_into().unwrap_or_default() as f64 / 1e9;
    (at.0 as f64 / 1000.0 - changed).max(0.0)
}
