//! Who a selector of the policy means: everything that it says must hold for one process, looked at twice.

use crate::{
    Found,
    pid_file::{self, PidFileError},
    procfs::{self, ProcessInfo},
};
use std::{
    fs, io,
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::{Path, PathBuf},
};
use unship_policy::meaning::SelectorMeaning;
use unship_rollback::machine;

/// Why it cannot be said who is meant.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what the fields are")]
pub enum LookError {
    #[error("the selector names neither an executable, arguments nor a control group, so it would mean every process")]
    SelectsAll,
    #[error("there is no user `{user}` in /etc/passwd; a user of another directory is named by number")]
    NoUser { user: String },
    #[error(transparent)]
    PidFile(#[from] PidFileError),
    #[error(
        "process {process} has the selector's arguments, but its executable cannot be read; it takes the rights of its user"
    )]
    Uninspectable { process: ProcessInfo },
    #[error("cannot look at processes: {0}")]
    Io(#[from] io::Error),
}

/// A selector made ready for this site, as it is now.
pub struct Selector<'m> {
    exe: Option<Executable>,
    args: &'m [String],
    any_arg: &'m [String],
    user: Option<u32>,
    cgroup: Option<&'m str>,
    pid: Option<ClaimedPid>,
    spared: Vec<u32>,
}

/// What the pid file says; `None`: there is none, so nobody is meant.
struct ClaimedPid(Option<u32>);

/// The executable as `/proc` would show it, and the file that is there now.
struct Executable {
    path: PathBuf,
    identity: Option<(u64, u64)>,
}

impl<'m> Selector<'m> {
    /// Looks up what `meaning` refers to: its executable, its user, what its pid file claims.
    ///
    /// # Errors
    /// [`LookError`], also when it would mean every process.
    pub fn new(site: &Path, meaning: &'m SelectorMeaning) -> Result<Selector<'m>, LookError> {
        if meaning.exe.is_none() && meaning.args.is_empty() && meaning.cgroup.is_none() {
            return Err(LookError::SelectsAll);
        }
        let exe = match &meaning.exe {
            Some(exe) => {
                // The executable may be gone while its process lives: then its place in the real site counts.
                let place = fs::canonicalize(site)?.join(exe);
                let path = fs::canonicalize(&place).unwrap_or(place);
                let identity = fs::metadata(&path).ok().map(|file| (file.dev(), file.ino()));
                Some(Executable { path, identity })
            }
            None => None,
        };
        let pid = meaning.pid_file.as_ref().map(|file| pid_file::read(site, file)).transpose()?.map(ClaimedPid);
        let user = meaning.user.as_deref().map(user_number).transpose()?;
        let (args, any_arg, cgroup) = (&meaning.args[..], &meaning.any_arg[..], meaning.cgroup.as_deref());
        Ok(Selector { exe, args, any_arg, user, cgroup, pid, spared: spared() })
    }

    /// Those that are never meant.
    pub fn spared(&self) -> &[u32] {
        &self.spared
    }

    /// The process `pid`, if it is alive and meant.
    ///
    /// # Errors
    /// [`LookError::Uninspectable`] when it cannot be told.
    pub fn matches(&self, pid: u32) -> Result<Option<Found>, LookError> {
        if self.spared.contains(&pid) || self.pid.as_ref().is_some_and(|claimed| claimed.0 != Some(pid)) {
            return Ok(None);
        }
        let Some(stat) = procfs::stat(pid).filter(|stat| !stat.is_no_program) else { return Ok(None) };
        let arguments = procfs::arguments(pid);
        if !self.has_args(&arguments) || !self.has_user(pid) || !self.is_in_cgroup(pid) {
            return Ok(None);
        }
        let is_meant = self.exe.as_ref().map_or(Ok(true), |exe| exe.runs_as(pid));
        // Somebody else's by now, or a dead one: then all the above was about nobody.
        if procfs::stat(pid).is_none_or(|now| now.start_time != stat.start_time || now.is_no_program) {
            return Ok(None);
        }
        match is_meant {
            Ok(true) => Ok(Some(Found { stat, info: procfs::info(&stat, &arguments) })),
            Err(e) if e.kind() == io::ErrorKind::PermissionDenied && !self.args.is_empty() => {
                Err(LookError::Uninspectable { process: procfs::info(&stat, &arguments) })
            }
            Ok(false) | Err(_) => Ok(None),
        }
    }

    fn has_args(&self, arguments: &[Vec<u8>]) -> bool {
        let own = arguments.get(1..).unwrap_or_default();
        let has_one = self.any_arg.is_empty() || own.iter().any(|a| self.any_arg.iter().any(|b| a == b.as_bytes()));
        has_one && machine::has_arguments(arguments, self.args)
    }

    fn has_user(&self, pid: u32) -> bool {
        self.user.is_none_or(|user| procfs::users(pid).is_some_and(|all| all.iter().all(|id| *id == user)))
    }

    fn is_in_cgroup(&self, pid: u32) -> bool {
        self.cgroup.is_none_or(|wanted| {
            let path = procfs::cgroup(pid);
            let below = path.as_deref().and_then(|path| path.strip_prefix(wanted));
            below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
    }
}

impl Executable {
    fn runs_as(&self, pid: u32) -> io::Result<bool> {
        let link = format!("/proc/{pid}/exe");
        let shown = fs::read_link(&link)?;
        let path = self.path.as_os_str().as_bytes();
        let running = fs::metadata(&link).map(|file| (file.dev(), file.ino()));
        // An executable that was replaced since: its old process is still the one that is meant. One that is really
        // called `… (deleted)` is not.
        if shown.as_os_str().as_bytes().strip_suffix(b" (deleted)") == Some(path) {
            let named = fs::symlink_metadata(&shown).map(|file| (file.dev(), file.ino()));
            return Ok(!matches!((named, running), (Ok(named), Ok(running)) if named == running));
        }
        // The same path may be another file in another mount namespace.
        let is_same_file = match (running, self.identity) {
            (Ok(running), Some(identity)) => running == identity,
            _ => true,
        };
        Ok(shown.as_os_str().as_bytes() == path && is_same_file)
    }
}

/// A user's number, by `/etc/passwd` where it is a name.
fn user_number(user: &str) -> Result<u32, LookError> {
    if let Ok(number) = user.parse() {
        return Ok(number);
    }
    let users = fs::read_to_string("/etc/passwd")?;
    let number = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(user)).then(|| fields.nth(1)?.parse().ok()).flatten()
    });
    number.ok_or_else(|| LookError::NoUser { user: user.to_owned() })
}

/// Pid 1, this process and those it descends from.
fn spared() -> Vec<u32> {
    let mut spared = vec![1, std::process::id()];
    let mut next = procfs::stat(std::process::id()).map(|stat| stat.parent);
    while let Some(pid) = next.filter(|pid| !spared.contains(pid)) {
        spared.push(pid);
        next = procfs::stat(pid).map(|stat| stat.parent);
    }
    spared
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_process_and_those_above_it_are_spared() {
        let parent = rustix::process::getppid().expect("a parent").as_raw_nonzero().get().unsigned_abs();
        assert!([1, std::process::id(), parent].iter().all(|pid| spared().contains(pid)));
    }

    #[test]
    fn a_user_is_a_number_or_a_name_of_this_system() {
        assert_eq!(user_number("0").expect("a number"), 0);
        assert_eq!(user_number("root").expect("is on every system"), 0);
        let refused = user_number("nobody-here").expect_err("no such user").to_string();
        assert!(refused.contains("`nobody-here`") && refused.contains("/etc/passwd"), "{refused}");
    }
}
