//! What a command may change, read and use up: Landlock, resource limits and `no_new_privs`, all laid on between fork and
//! exec, and inherited by all that it starts.
//!
//! Nothing may be written but what policy names, `/dev/null` and its like, and what is open already. Where policy names what
//! may be read, that is all beside [`SYSTEM_READS`] and the program itself. A kernel that cannot hold this runs nothing.

use super::CommandError;
use landlock::{
    ABI, Access, AccessFs, BitFlags, CompatLevel, Compatible, PathBeneath, Ruleset, RulesetAttr, RulesetCreated,
    RulesetCreatedAttr, RulesetError,
};
use rustix::{
    fs::{FileType, Mode, OFlags, ResolveFlags, fstat, open, openat2},
    io::Errno,
    process::{Resource, Rlimit, getrlimit, setrlimit},
};
use std::{
    fs, io,
    os::fd::{AsRawFd, OwnedFd},
    path::Path,
};
use unship_policy::meaning::{CommandLimits, CommandMeaning};

/// What every program needs to start: read where policy says what may be read.
pub const SYSTEM_READS: &[&str] = &["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/etc", "/proc"];
/// Read and written by everything that writes to nobody or asks for random numbers.
const DEVICES: &[&str] = &["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"];
/// Linux 6.2: the first that also sees a file being cut off.
const LANDLOCK: ABI = ABI::V3;
/// What no command may write, below the site.
const PROTECTED: [&str; 2] = [".unship", "policies"];

/// The limits of one command, from its policy.
#[derive(Debug, Clone, Copy)]
pub struct Confinement<'a> {
    reads: Option<&'a [String]>,
    writes: &'a [String],
    limits: &'a CommandLimits,
}

impl<'a> Confinement<'a> {
    pub(super) fn of(meaning: &'a CommandMeaning) -> Confinement<'a> {
        Confinement { reads: meaning.reads.as_deref(), writes: &meaning.writes, limits: &meaning.limits }
    }

    /// Whether policy lets it change and read everything.
    fn is_open(&self) -> bool {
        self.reads.is_none() && self.writes.iter().any(|path| path == "/")
    }
}

/// Whether this kernel can hold a command to what policy lets it change and read.
///
/// # Errors
/// Why it cannot.
pub fn can_confine() -> Result<(), String> {
    Rules::new(LANDLOCK, "", true).map(|_| ()).map_err(|e| format!("Landlock as of Linux 6.2 is not there: {e}"))
}

/// Made ready by the parent: the child only makes system calls.
pub(super) struct Prepared {
    ruleset: Option<OwnedFd>,
    limits: Vec<(Resource, Rlimit)>,
}

pub(super) fn prepare(
    site: &Path,
    program: &Path,
    shown: &str,
    confinement: &Confinement<'_>,
) -> Result<Prepared, CommandError> {
    prepare_for(LANDLOCK, site, program, shown, confinement)
}

fn prepare_for(
    abi: ABI,
    site: &Path,
    program: &Path,
    shown: &str,
    confinement: &Confinement<'_>,
) -> Result<Prepared, CommandError> {
    let ruleset = if confinement.is_open() {
        None
    } else {
        let unable = |e: RulesetError| CommandError::NoLandlock { program: shown.to_owned(), why: e.to_string() };
        let mut rules = Rules::new(abi, shown, confinement.reads.is_some()).map_err(unable)?;
        rules.fill(site, program, confinement)?;
        Option::<OwnedFd>::from(rules.ruleset)
    };
    Ok(Prepared { ruleset, limits: limits(shown, confinement.limits)? })
}

impl Prepared {
    /// In the child, before exec.
    pub(super) fn lay_on(&self) -> io::Result<()> {
        for (resource, limit) in &self.limits {
            setrlimit(*resource, *limit)?;
        }
        rustix::thread::set_no_new_privs(true)?;
        let Some(ruleset) = &self.ruleset else { return Ok(()) };
        // SAFETY: a system call on two numbers; the crate's own call would allocate, which is not allowed here.
        match unsafe { libc::syscall(libc::SYS_landlock_restrict_self, ruleset.as_raw_fd(), 0) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

struct Rules {
    ruleset: RulesetCreated,
    abi: ABI,
    handled: BitFlags<AccessFs>,
    /// The program, for messages.
    shown: String,
}

impl Rules {
    fn new(abi: ABI, shown: &str, reads_too: bool) -> Result<Rules, RulesetError> {
        let handled = if reads_too { AccessFs::from_all(abi) } else { AccessFs::from_write(abi) };
        let ruleset = Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
        Ok(Rules { ruleset: ruleset.handle_access(handled)?.create()?, abi, handled, shown: shown.to_owned() })
    }

    fn fill(&mut self, site: &Path, program: &Path, allowed: &Confinement<'_>) -> Result<(), CommandError> {
        let shown = self.shown.clone();
        let failed = |path: &str, source| CommandError::Path { program: shown.clone(), path: path.to_owned(), source };
        let (read, all) = (AccessFs::from_read(self.abi), AccessFs::from_all(self.abi));
        for path in DEVICES {
            self.allow(open_path(site, path).map_err(|e| failed(path, e))?, all)?;
        }
        if let Some(reads) = allowed.reads {
            let own = program.to_string_lossy();
            let named = reads.iter().map(String::as_str);
            for path in SYSTEM_READS.iter().copied().chain([&*own]).chain(named) {
                self.allow(open_path(site, path).map_err(|e| failed(path, e))?, read)?;
            }
        }
        for path in allowed.writes {
            if path != "/" && holds_protected(site, path) {
                return Err(CommandError::Protected { program: shown.clone(), path: path.clone() });
            }
            self.allow(open_path(site, path).map_err(|e| failed(path, e))?, all)?;
        }
        Ok(())
    }

    /// What is not there permits nothing.
    fn allow(&mut self, place: Option<OwnedFd>, access: BitFlags<AccessFs>) -> Result<(), CommandError> {
        let Some(place) = place else { return Ok(()) };
        let is_directory = fstat(&place).is_ok_and(|s| FileType::from_raw_mode(s.st_mode) == FileType::Directory);
        let fitting = if is_directory { access } else { access & AccessFs::from_file(self.abi) };
        let fitting = fitting & self.handled;
        if fitting.is_empty() {
            return Ok(());
        }
        let added = (&mut self.ruleset).add_rule(PathBeneath::new(place, fitting));
        added.map(drop).map_err(|e| CommandError::NoLandlock { program: self.shown.clone(), why: e.to_string() })
    }
}

/// A path of the policy: in the site through no symlink, since a step may have made one; an absolute one as it leads.
fn open_path(site: &Path, path: &str) -> io::Result<Option<OwnedFd>> {
    let how = OFlags::PATH | OFlags::CLOEXEC;
    let opened = if path.starts_with('/') {
        open(path, how, Mode::empty())
    } else {
        let within = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        open(site, how | OFlags::DIRECTORY, Mode::empty())
            .and_then(|site| openat2(&site, path, how, Mode::empty(), within))
    };
    match opened {
        Ok(place) => Ok(Some(place)),
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
        Err(e) => Err(e.into()),
    }
}

/// Whether what nothing may write lies at or below `path`, or `path` in it.
fn holds_protected(site: &Path, path: &str) -> bool {
    let Ok(place) = fs::canonicalize(site.join(path)) else { return false };
    PROTECTED.iter().any(|name| {
        let own = site.join(name);
        let own = fs::canonicalize(&own).unwrap_or(own);
        own.starts_with(&place) || place.starts_with(&own)
    })
}

fn limits(shown: &str, wanted: &CommandLimits) -> Result<Vec<(Resource, Rlimit)>, CommandError> {
    if wanted.processes_max.is_some() && rustix::process::geteuid().is_root() {
        return Err(CommandError::Unlimited { program: shown.to_owned() });
    }
    let seconds = wanted.cpu.map(|cpu| cpu.as_millis().div_ceil(1000).try_into().unwrap_or(u64::MAX));
    let all = [
        (Resource::Core, Some(0)),
        (Resource::Cpu, seconds),
        (Resource::Data, wanted.memory_bytes_max),
        (Resource::Nofile, wanted.files_max),
        (Resource::Nproc, wanted.processes_max),
        (Resource::Fsize, wanted.file_bytes_max),
    ];
    let all = all.into_iter().filter_map(|(resource, wanted)| {
        // Nobody can give more than there is.
        let limit = getrlimit(resource).maximum.map_or(wanted?, |most| most.min(wanted.unwrap_or(most)));
        Some((resource, Rlimit { current: Some(limit), maximum: Some(limit) }))
    });
    Ok(all.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_landlock_nothing_is_run_but_what_may_do_everything() {
        let site = Path::new("/");
        let limits = CommandLimits::default();
        let prepare = |reads, writes| {
            prepare_for(
                ABI::Unsupported,
                site,
                Path::new("/bin/true"),
                "true",
                &Confinement { reads, writes, limits: &limits },
            )
        };
        let all = ["/".to_owned()];
        for (reads, writes) in [(None, &[][..]), (Some(&all[..]), &[][..]), (Some(&all[..]), &all[..])] {
            let refused = prepare(reads, writes).map(drop).expect_err("no Landlock").to_string();
            assert!(refused.contains("Landlock") && refused.contains("writes = [\"/\"]"), "{refused}");
        }
        assert!(prepare(None, &all).is_ok_and(|prepared| prepared.ruleset.is_none()));
    }
}
