//! Commands by name: an argument vector of the policy, never a shell.
//!
//! A command runs in a session of its own, in the site's folder, with a clean environment, `/dev/null` as its input and no
//! other descriptor of the host. It is waited for by the process, not by the end of its output: a service that it leaves
//! behind with the output still open does not hold the run up. What is out of time is killed with its whole session and
//! all its descendants. It changes and uses up what policy says, and what it starts as well.

mod confine;
mod output;
mod program;
mod session;

#[cfg(test)]
mod tests;

use super::{Deadline, handles};
use confine::Confinement;
pub use confine::can_confine;
use output::Stream;
pub use program::deciding_files;
use rustix::event::{PollFd, PollFlags};
use session::Session;
use std::{
    collections::BTreeMap,
    fs, io,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd, RawFd},
        unix::process::{CommandExt, ExitStatusExt},
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};
use unship_policy::meaning::CommandMeaning;

/// Where a program without a slash is looked for, and the command's own `PATH`.
pub const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// The command's `HOME`: a place below which not even root can create anything. A command that needs a home gets it from
/// the policy's `env`.
pub const HOME: &str = "/dev/null";
/// The command's `LANG`.
pub const LANG: &str = "C.UTF-8";

/// Which file the program `name` means at `site`, found and judged as for a run; nothing runs.
///
/// # Errors
/// [`CommandError`]: none is there, it is not executable, or anybody may replace it.
pub fn find(site: &Path, name: &str) -> Result<PathBuf, CommandError> {
    program::resolve(site, name)
}

/// What a command did that ended as expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandOutput {
    /// Its exit status, one of the expected.
    pub status: i32,
    /// The beginning of its output, as much as policy keeps; not neutralised.
    pub stdout: Vec<u8>,
    /// As `stdout`.
    pub stderr: Vec<u8>,
    /// Bytes of both streams that were not kept.
    pub dropped_bytes: u64,
    /// A process that it left behind still holds its output open. Nobody reads that any more: the process gets SIGPIPE
    /// with its next line. Whoever leaves a service behind redirects its output.
    pub output_is_held: bool,
}

/// Why a command came to nothing.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what the fields are")]
pub enum CommandError {
    #[error("the policy names no program")]
    Empty,
    #[error("there is no program `{program}` {place}")]
    NotFound { program: String, place: &'static str },
    #[error("`{program}` is not an executable file")]
    NotExecutable { program: String },
    #[error("`{program}` is not run, because anybody can replace it: {} is world-writable", .path.display())]
    WorldWritable { program: String, path: PathBuf },
    #[error(
        "`{program}` is not run, because this kernel cannot confine it ({why}): boot Linux 6.2 or newer with Landlock on \
         (`lsm=landlock,…`), or let the command change everything (`writes = [\"/\"]` and no `reads`)"
    )]
    NoLandlock { program: String, why: String },
    #[error("`{program}` is not run: `writes` holds {path}, and nothing may write `.unship/` or `policies/`")]
    Protected { program: String, path: String },
    #[error("`{program}` is not run: its policy's path {path} cannot be opened: {source}")]
    Path { program: String, path: String, source: io::Error },
    #[error(
        "`{program}` is not run: the kernel does not hold root to `limits.processes`; run unship as another user, or leave it out"
    )]
    Unlimited { program: String },
    #[error("`{program}` cannot be started: {source}")]
    NotStarted { program: String, source: io::Error },
    #[error("`{program}` did not end within {after:.1?}, and was killed{tail}", tail = quoted(.stderr))]
    TimedOut { program: String, after: Duration, stderr: String },
    #[error("`{program}` ended with status {status}{tail}", tail = quoted(.stderr))]
    Status { program: String, status: i32, stderr: String },
    #[error("`{program}` was ended by signal {signal}{limit}{tail}", limit = limit(*.signal), tail = quoted(.stderr))]
    Signal { program: String, signal: i32, stderr: String },
    #[error("`{program}` cannot be waited for: {source}")]
    Io { program: String, source: io::Error },
}

fn quoted(stderr: &str) -> String {
    if stderr.is_empty() { String::new() } else { format!(": {stderr}") }
}

/// The limits of policy that the kernel tells by a signal of their own.
fn limit(signal: i32) -> &'static str {
    match signal {
        libc::SIGXCPU => ", at its `limits.cpu`",
        libc::SIGXFSZ => ", at its `limits.file-size`",
        _ => "",
    }
}

/// What is to be run, and how.
#[derive(Debug, Clone, Copy)]
pub struct Job<'a> {
    /// Program and arguments.
    pub argv: &'a [String],
    /// Variables added to the otherwise empty environment.
    pub env: &'a BTreeMap<String, String>,
    /// How long it may take.
    pub timeout: Duration,
    /// The exit statuses that count as success.
    pub expect: &'a [i32],
    /// Bytes kept of each output stream.
    pub output_bytes_max: usize,
    /// Where its output goes.
    pub capture: Capture,
    /// What is killed with it.
    pub reach: Reach,
    /// What it may change, read and use up. `None` for what a service inherits: it would have to live with it.
    pub confinement: Option<Confinement<'a>>,
}

impl<'a> Job<'a> {
    /// A command of the policy, with `argv` for its command line.
    pub fn of(meaning: &'a CommandMeaning, argv: &'a [String]) -> Job<'a> {
        Job {
            argv,
            env: &meaning.env,
            timeout: meaning.timeout,
            expect: &meaning.expect,
            output_bytes_max: meaning.output_bytes_max,
            capture: Capture::Read,
            reach: Reach::Descendants,
            confinement: Some(Confinement::of(meaning)),
        }
    }
}

/// Where a command's output goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Capture {
    /// It is read.
    Read,
    /// Likewise, until the command ends; whatever it left behind goes on writing to somebody who listens. Both streams
    /// are one.
    Relay,
}

/// What is killed with a command that is out of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// All that it started.
    Descendants,
    /// What stayed in its session: a daemon that it spoke to, or even started, goes on.
    Session,
}

/// Runs the command in `site` and waits for it, at most for its own time-out and until `deadline`. After that it takes
/// up to [`session::KILL_TIME`] more to kill what it started.
///
/// # Errors
/// [`CommandError`]. An exit status that policy does not expect is one, with the end of what was written to stderr.
pub fn run(site: &Path, job: &Job<'_>, deadline: Deadline) -> Result<CommandOutput, CommandError> {
    let begun = Instant::now();
    let deadline = deadline.min(job.timeout);
    let (name, arguments) = job.argv.split_first().ok_or(CommandError::Empty)?;
    let shown = unship_rollback::neutralise(name);
    let io_error = |source| CommandError::Io { program: shown.clone(), source };

    let program = program::resolve(site, name)?;
    let confined = job.confinement.map(|c| confine::prepare(site, &program, &shown, &c)).transpose()?;
    let mut command = Command::new(program);
    command.arg0(name).args(arguments).current_dir(site);
    command.env_clear().env("PATH", PATH).env("HOME", HOME).env("LANG", LANG).envs(job.env);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut relayed = None;
    if job.capture == Capture::Relay {
        let (ours, theirs) = io::pipe().map_err(io_error)?;
        command.stdout(theirs.try_clone().map_err(io_error)?).stderr(theirs);
        relayed = Some(OwnedFd::from(ours));
    }
    in_own_session(&mut command).map_err(io_error)?;
    if let Some(confined) = confined {
        // SAFETY: as in `in_own_session`: system calls only.
        unsafe { command.pre_exec(move || confined.lay_on()) };
    }
    let spawned = command.spawn();
    // With it goes our copy of the pipe's end.
    drop(command);
    let mut child = spawned.map_err(|source| CommandError::NotStarted { program: shown.clone(), source })?;
    let streams = (child.stdout.take().map(OwnedFd::from), relayed.or(child.stderr.take().map(OwnedFd::from)));
    // From here on the session is killed on every way out but the command's own end.
    let session = Session::new(child, job.reach).map_err(io_error)?;
    let mut stdout = Stream::new(streams.0, job.output_bytes_max).map_err(io_error)?;
    let mut stderr = Stream::new(streams.1, job.output_bytes_max).map_err(io_error)?;

    loop {
        if deadline.remaining().is_zero() {
            session.kill();
            let (after, stderr) = (begun.elapsed(), stderr.last_words());
            return Err(CommandError::TimedOut { program: shown, after, stderr });
        }
        if wait_for_any(session.handle(), &mut stdout, &mut stderr, deadline).map_err(io_error)? {
            break;
        }
    }
    let status = session.reap().map_err(io_error)?;
    stdout.read_rest().map_err(io_error)?;
    stderr.read_rest().map_err(io_error)?;
    if job.capture == Capture::Relay {
        stderr.leave_to_a_listener();
    }
    match status.code() {
        None => {
            let signal = status.signal().unwrap_or_default();
            Err(CommandError::Signal { program: shown, signal, stderr: stderr.last_words() })
        }
        Some(status) if !job.expect.contains(&status) => {
            Err(CommandError::Status { program: shown, status, stderr: stderr.last_words() })
        }
        Some(status) => Ok(CommandOutput {
            status,
            dropped_bytes: stdout.dropped() + stderr.dropped(),
            output_is_held: stdout.is_open() || stderr.is_open(),
            stdout: stdout.into_kept(),
            stderr: stderr.into_kept(),
        }),
    }
}

/// Waits for output or for the end of the process, reads what there is, and answers whether the process ended.
fn wait_for_any(
    process: BorrowedFd<'_>,
    stdout: &mut Stream,
    stderr: &mut Stream,
    deadline: Deadline,
) -> io::Result<bool> {
    let mut fds = vec![PollFd::from_borrowed_fd(process, PollFlags::IN)];
    fds.extend([stdout.fd(), stderr.fd()].into_iter().flatten().map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)));
    handles::poll_until(&mut fds, deadline)?;
    let has_ended = !fds[0].revents().is_empty();
    stdout.read_some()?;
    stderr.read_some()?;
    Ok(has_ended)
}

/// A session of its own: no terminal, and one name for all that the command starts. std itself resets the signal mask
/// and SIGPIPE, and opens everything close-on-exec; what this process inherited from *its* parent is seen to here.
fn in_own_session(command: &mut Command) -> io::Result<()> {
    let mut inherited: Vec<RawFd> = Vec::new();
    for entry in fs::read_dir("/proc/self/fd")? {
        inherited.extend(entry?.file_name().to_str().and_then(|name| name.parse::<RawFd>().ok()));
    }
    inherited.retain(|fd| *fd > 2);
    let in_child = move || {
        rustix::process::setsid()?;
        for fd in &inherited {
            // SAFETY: borrowed for one system call, which fails without harm when the number is no descriptor by now.
            let fd = unsafe { BorrowedFd::borrow_raw(*fd) };
            let _ = rustix::io::fcntl_setfd(fd.as_fd(), rustix::io::FdFlags::CLOEXEC);
        }
        Ok(())
    };
    // SAFETY: between fork and exec only system calls are made; nothing is allocated and no lock is taken.
    unsafe { command.pre_exec(in_child) };
    Ok(())
}
