//! Commands that look: an argument vector of the policy, never a shell, in a clean environment.
//!
//! A command is waited for by its process. What it leaves behind in its process group is killed with it, at its end and at its
//! deadline; nothing of a look outlives the look.

use super::{Around, Look, Looked};
use crate::sources::Kept;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{Access, access},
    io::{Errno, ioctl_fionbio},
    process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open},
};
use std::{
    fs,
    io::{self, Read},
    os::{
        fd::AsFd,
        unix::{fs::PermissionsExt as _, process::CommandExt as _, process::ExitStatusExt as _},
    },
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};
use unship_rollback::neutralise_bytes;

/// Where a program without a slash is looked for, and the command's own `PATH`.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Bytes kept of what a command prints; more is read and dropped.
const OUTPUT_BYTES_MAX: usize = 64 << 10;
/// Bytes kept of what it writes to stderr, for a message.
const STDERR_BYTES_MAX: usize = 1024;
/// Bytes of a program's printed number that a message shows.
const SHOWN_BYTES_MAX: usize = 80;

/// What a command did.
pub struct Ran {
    /// `None`: it was out of time, and killed.
    pub status: Option<ExitStatus>,
    pub stdout: Vec<u8>,
    /// More was printed than is kept.
    pub is_cut: bool,
    pub taken: Duration,
    stderr: Vec<u8>,
}

impl Ran {
    pub fn is_good(&self) -> bool {
        self.status.is_some_and(|status| status.success())
    }

    /// How it ended, as it reads behind the command's name.
    pub fn told(&self) -> String {
        let how = match self.status {
            None => "did not end in time, and was killed".to_owned(),
            Some(status) => match (status.code(), status.signal()) {
                (Some(code), _) => format!("ended with status {code}"),
                (None, signal) => format!("was ended by signal {}", signal.unwrap_or_default()),
            },
        };
        let said = neutralise_bytes(self.stderr.trim_ascii());
        if said.is_empty() { how } else { format!("{how}: {said}") }
    }
}

/// Runs `argv` in `site`, at most for `timeout`.
///
/// # Errors
/// Why it was not run.
pub fn run(
    site: &Path,
    argv: &[String],
    env: &[(&str, String)],
    timeout: Duration,
    output_bytes_max: usize,
) -> Result<Ran, String> {
    let begun = Instant::now();
    let (name, arguments) = argv.split_first().ok_or("the policy names no program")?;
    let program = find(site, name)?;
    let mut command = Command::new(program);
    command.arg0(name).args(arguments).current_dir(site).process_group(0);
    command.env_clear().env("PATH", PATH).env("HOME", "/dev/null").env("LANG", "C.UTF-8");
    command.envs(env.iter().map(|(key, value)| (key, value)));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().map_err(|e| format!("cannot be started: {e}"))?;
    let mut group = Group { child };
    let mut stdout = Stream::new(group.child.stdout.take(), output_bytes_max);
    let mut stderr = Stream::new(group.child.stderr.take(), STDERR_BYTES_MAX);
    let has_ended =
        wait(&group, &mut stdout, &mut stderr, begun, timeout).map_err(|e| format!("cannot be waited for: {e}"))?;
    let status = group.end().map_err(|e| format!("cannot be waited for: {e}"))?;
    // What stands in the pipes by now; a process that fled from the group is not waited for.
    stdout.read();
    stderr.read();
    Ok(Ran {
        status: has_ended.then_some(status),
        is_cut: stdout.is_cut,
        stdout: stdout.kept,
        stderr: stderr.kept,
        taken: begun.elapsed().min(timeout),
    })
}

/// Waits until the process ends, and says whether it did, or the time is over.
fn wait(
    group: &Group,
    stdout: &mut Stream,
    stderr: &mut Stream,
    begun: Instant,
    timeout: Duration,
) -> io::Result<bool> {
    let handle = pidfd_open(group.pid(), PidfdFlags::empty())?;
    loop {
        let left = timeout.saturating_sub(begun.elapsed());
        if left.is_zero() {
            return Ok(false);
        }
        let mut fds = vec![PollFd::new(&handle, PollFlags::IN)];
        let pipes = [stdout.pipe.as_ref(), stderr.pipe.as_ref()];
        fds.extend(pipes.into_iter().flatten().map(|pipe| PollFd::from_borrowed_fd(pipe.as_fd(), PollFlags::IN)));
        let left = Timespec::try_from(left).unwrap_or(Timespec { tv_sec: 3600, tv_nsec: 0 });
        match poll(&mut fds, Some(&left)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(e) => return Err(e.into()),
        }
        let has_ended = !fds[0].revents().is_empty();
        stdout.read();
        stderr.read();
        if has_ended {
            return Ok(true);
        }
    }
}

/// A command and what is in its process group, which is killed whatever happens. Until the leader is waited for, nobody else
/// can get its number.
struct Group {
    child: Child,
}

impl Group {
    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    fn end(mut self) -> io::Result<ExitStatus> {
        let _ = kill_process_group(self.pid(), Signal::KILL);
        self.child.wait()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Waited for already, it has no number any more that could be somebody else's.
        if let Ok(None) = self.child.try_wait() {
            let _ = kill_process_group(self.pid(), Signal::KILL);
            let _ = self.child.wait();
        }
    }
}

/// The beginning of what is written to a pipe.
struct Stream {
    pipe: Option<Box<dyn Pipe>>,
    kept: Vec<u8>,
    kept_bytes_max: usize,
    is_cut: bool,
}

trait Pipe: Read + AsFd {}
impl<T: Read + AsFd> Pipe for T {}

impl Stream {
    fn new(pipe: Option<impl Pipe + 'static>, kept_bytes_max: usize) -> Stream {
        let pipe = pipe.filter(|pipe| ioctl_fionbio(pipe, true).is_ok()).map(|pipe| Box::new(pipe) as Box<dyn Pipe>);
        Stream { pipe, kept: Vec::new(), kept_bytes_max, is_cut: false }
    }

    /// Takes what is there now, at most a few pieces: whoever writes faster than this has to wait, and the deadline is seen.
    fn read(&mut self) {
        let mut piece = [0; 64 << 10];
        for _ in 0..16 {
            let Some(pipe) = &mut self.pipe else { return };
            match pipe.read(&mut piece) {
                Ok(0) => self.pipe = None,
                Ok(read) => {
                    let room = (self.kept_bytes_max - self.kept.len()).min(read);
                    self.kept.extend_from_slice(&piece[..room]);
                    self.is_cut |= room < read;
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => self.pipe = None,
            }
        }
    }
}

/// The program's file: without a slash from the fixed [`PATH`], with one relative to the site.
fn find(site: &Path, name: &str) -> Result<PathBuf, String> {
    let places: Vec<PathBuf> = if name.contains('/') {
        vec![site.join(name)]
    } else {
        PATH.split(':').map(|folder| Path::new(folder).join(name)).collect()
    };
    let is_program = |place: &PathBuf| place.is_file() && access(place, Access::EXEC_OK).is_ok();
    let where_ = if name.contains('/') { "in the site" } else { "in the fixed PATH" };
    let found = places.into_iter().find(is_program).ok_or(format!("there is no such program {where_}"))?;
    let real = fs::canonicalize(&found).map_err(|e| e.to_string())?;
    let mode = fs::metadata(&real).map_err(|e| e.to_string())?.permissions().mode();
    if mode & 0o002 != 0 {
        return Err(format!("it is not run, because anybody can replace it: {} is world-writable", real.display()));
    }
    Ok(real)
}

/// Runs one command; each feed wants one number of it.
pub struct CommandLook {
    pub argv: Vec<String>,
    pub timeout: Duration,
    pub wanted: Vec<Wish>,
}

/// A number of a command.
pub enum Wish {
    /// 0 when it ended with status 0, 1 when it failed.
    Failed {
        /// By which statuses it says so; by all but 0 and in time where none is said.
        with: Vec<i32>,
    },
    /// What it printed.
    Printed,
    /// How long it took.
    Seconds,
}

impl Look for CommandLook {
    fn look(&mut self, around: Around<'_>, _: Option<&Kept>) -> Looked {
        let shown = unship_rollback::neutralise(&self.argv.join(" "));
        let ran = match run(around.site, &self.argv, &[], self.timeout, OUTPUT_BYTES_MAX) {
            Ok(ran) => ran,
            Err(why) => return Looked::nothing(format!("`{shown}` {why}")),
        };
        let printed = printed(&ran);
        let value = |wish: &Wish| match wish {
            Wish::Failed { .. } if ran.is_good() => Some(0.0),
            // Where it says by which status, it may also fail to look.
            Wish::Failed { with } => {
                let status = ran.status.and_then(|status| status.code());
                (with.is_empty() || status.is_some_and(|status| with.contains(&status))).then_some(1.0)
            }
            Wish::Printed => printed.clone().ok(),
            // One that failed was not as quick as that; one that hangs took all its time at least.
            Wish::Seconds => (ran.status.is_none() || ran.is_good()).then_some(ran.taken.as_secs_f64()),
        };
        let mut looked = Looked::values(around.clock.now(), self.wanted.iter().map(value));
        if looked.samples.len() < self.wanted.len() {
            let why = if ran.is_good() { printed.err().unwrap_or_default() } else { ran.told() };
            looked.trouble = Some(format!("`{shown}` {why}"));
        }
        looked
    }
}

/// The one number that it printed.
fn printed(ran: &Ran) -> Result<f64, String> {
    if !ran.is_good() {
        return Err(ran.told());
    }
    let text = ran.stdout.trim_ascii();
    let number = str::from_utf8(text).ok().filter(|_| !ran.is_cut).and_then(|text| text.parse::<f64>().ok());
    number.ok_or_else(|| {
        let shown = neutralise_bytes(&text[..text.len().min(SHOWN_BYTES_MAX)]);
        format!("printed \"{shown}\", which is not one number")
    })
}
