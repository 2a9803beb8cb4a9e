//! What `/proc` tells: memory of processes and of the machine, whether a process lives.

use super::{Around, Look, Looked, number};
use crate::sources::Kept;
use std::{
    fs,
    io::{self, Read as _},
    os::unix::{ffi::OsStrExt as _, fs::MetadataExt as _},
    path::{Path, PathBuf},
};
use unship_rollback::machine::{self, ProcessStat};

/// Longest command line that is looked at, in bytes (Linux allows about 2 MiB of arguments by default).
const CMDLINE_BYTES_MAX: u64 = 4 << 20;

/// The machine's memory.
pub struct HostMemory;

impl Look for HostMemory {
    fn look(&mut self, around: Around<'_>, _: Option<&Kept>) -> Looked {
        match fs::read_to_string("/proc/meminfo").map(|text| machine::used_memory(&text)) {
            Ok(Some(used)) => Looked::values(around.clock.now(), [Some(used)]),
            Ok(None) => Looked::nothing("/proc/meminfo tells neither MemTotal nor MemAvailable"),
            Err(e) => Looked::nothing(format!("/proc/meminfo: {e}")),
        }
    }
}

/// Which number of processes a feed wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProcessValue {
    /// Bytes in memory, of all together; pages that they share are counted for each. None alive hold 0.
    Memory,
    /// 1 when one lives.
    Alive,
}

/// The processes of one executable and arguments.
pub struct Processes {
    pub exe: Option<String>,
    pub args: Vec<String>,
    pub values: Vec<ProcessValue>,
}

impl Look for Processes {
    fn look(&mut self, around: Around<'_>, _: Option<&Kept>) -> Looked {
        self.find(around.site)
            .map(|found| {
                let pages: u64 = found.iter().map(|stat| stat.resident_pages).sum();
                let value = |value: &ProcessValue| match value {
                    ProcessValue::Memory => number(pages.saturating_mul(rustix::param::page_size() as u64)),
                    ProcessValue::Alive => f64::from(u8::from(!found.is_empty())),
                };
                Looked::values(around.clock.now(), self.values.iter().map(|v| Some(value(v))))
            })
            .into()
    }
}

impl Processes {
    fn find(&self, site: &Path) -> Result<Vec<ProcessStat>, String> {
        let exe = self.exe.as_ref().map(|exe| Executable::of(site, exe)).transpose();
        let exe = exe.map_err(|e| format!("the site's folder: {e}"))?;
        let mut found = Vec::new();
        for entry in fs::read_dir("/proc").map_err(|e| format!("/proc: {e}"))? {
            let name = entry.map_err(|e| format!("/proc: {e}"))?.file_name();
            let Some(pid) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
            found.extend(self.matching(pid, exe.as_ref())?);
        }
        Ok(found)
    }

    /// The process, if it is alive and meant. A pid names nobody for long: what is read in pieces is framed by two looks at
    /// the start time.
    fn matching(&self, pid: u32, exe: Option<&Executable>) -> Result<Option<ProcessStat>, String> {
        let Some(before) = stat(pid).filter(|stat| !stat.is_no_program) else { return Ok(None) };
        let line = command_line(pid);
        if !machine::has_arguments(&machine::arguments(&line), &self.args) {
            return Ok(None);
        }
        let is_meant = exe.map_or(Ok(true), |exe| exe.runs_as(pid));
        let Some(after) = stat(pid).filter(|now| now.start_time == before.start_time && !now.is_no_program) else {
            return Ok(None);
        };
        match is_meant {
            Ok(true) => Ok(Some(after)),
            // With arguments that say so it may well be one of them, and a part of the memory would look like all of it.
            Err(e) if e.kind() == io::ErrorKind::PermissionDenied && !self.args.is_empty() => {
                Err(format!("process {pid} has the arguments, but its executable may not be seen: {e}"))
            }
            Ok(false) | Err(_) => Ok(None),
        }
    }
}

fn stat(pid: u32) -> Option<ProcessStat> {
    ProcessStat::parse(&fs::read(format!("/proc/{pid}/stat")).ok()?)
}

fn command_line(pid: u32) -> Vec<u8> {
    let mut line = Vec::new();
    let file = fs::File::open(format!("/proc/{pid}/cmdline"));
    match file.and_then(|file| file.take(CMDLINE_BYTES_MAX).read_to_end(&mut line)) {
        Ok(_) => line,
        Err(_) => Vec::new(),
    }
}

/// The executable as `/proc` would show it, and the file that is there now.
struct Executable {
    path: PathBuf,
    identity: Option<(u64, u64)>,
}

impl Executable {
    fn of(site: &Path, exe: &str) -> io::Result<Executable> {
        // It may be gone while its process lives: then its place in the real site counts.
        let place = fs::canonicalize(site)?.join(exe);
        let path = fs::canonicalize(&place).unwrap_or(place);
        let identity = fs::metadata(&path).ok().map(|file| (file.dev(), file.ino()));
        Ok(Executable { path, identity })
    }

    fn runs_as(&self, pid: u32) -> io::Result<bool> {
        let link = format!("/proc/{pid}/exe");
        let shown = fs::read_link(&link)?;
        let shown = shown.as_os_str().as_bytes();
        // The kernel says so of one that was replaced; the process is still the old one.
        let shown = shown.strip_suffix(b" (deleted)").unwrap_or(shown);
        let is_file = fs::metadata(&link).is_ok_and(|file| self.identity == Some((file.dev(), file.ino())));
        Ok(is_file || shown == self.path.as_os_str().as_bytes())
    }
}
