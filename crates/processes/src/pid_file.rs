//! Pid files: a claim of who runs, to be believed only together with a look at that process.

use rustix::{
    fs::{FileType, Mode, OFlags, ResolveFlags, fstat, open, openat2},
    io::Errno,
};
use std::{fs, io, io::Read, path::Path};

/// A pid file that is longer is none.
const BYTES_MAX: u64 = 32;

/// Why a pid file says nothing.
#[derive(Debug, thiserror::Error)]
#[error("the pid file {path} cannot be trusted: {why}")]
pub struct PidFileError {
    path: String,
    why: String,
}

/// The pid that the file claims; `None` when there is no file. Only a regular file in the site is read, through no symlink.
pub fn read(site: &Path, pid_file: &str) -> Result<Option<u32>, PidFileError> {
    let distrust = |why: String| PidFileError { path: pid_file.to_owned(), why };
    let failed = |e: io::Error| distrust(e.to_string());
    let folder = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let site = open(site, folder, Mode::empty()).map_err(|e| failed(e.into()))?;
    let how = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let within = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let file = match openat2(&site, pid_file, how, Mode::empty(), within) {
        Ok(file) => file,
        Err(Errno::NOENT) => return Ok(None),
        Err(Errno::LOOP) => return Err(distrust("a symlink stands on the way to it".into())),
        Err(Errno::XDEV) => return Err(distrust("it lies outside the site".into())),
        Err(e) => return Err(failed(e.into())),
    };
    let found = fstat(&file).map_err(|e| failed(e.into()))?;
    if FileType::from_raw_mode(found.st_mode) != FileType::RegularFile {
        return Err(distrust("it is not a regular file".into()));
    }
    let mut text = Vec::new();
    fs::File::from(file).take(BYTES_MAX + 1).read_to_end(&mut text).map_err(failed)?;
    let digits = str::from_utf8(text.trim_ascii()).ok().filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()));
    let pid = digits.and_then(|digits| digits.parse().ok()).filter(|pid| *pid > 1 && text.len() as u64 <= BYTES_MAX);
    pid.map(Some).ok_or_else(|| distrust("it holds no decimal process id".into()))
}
