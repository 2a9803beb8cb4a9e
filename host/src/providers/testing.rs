//! What the providers' tests share: real processes that never outlive their test, and the same test as another user.

use super::Deadline;
use std::{
    fs::{self, File},
    io::{BufRead, BufReader},
    os::{fd::AsRawFd, unix::process::CommandExt},
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};
use unship_policy::meaning::SelectorMeaning;

/// Long enough for a busy machine; a test that is right ends long before.
pub fn ample() -> Deadline {
    Deadline::after(Duration::from_secs(60))
}

pub fn strings(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// Who has this executable and these arguments, and nothing more.
pub fn selector(exe: Option<&str>, args: &[&str]) -> SelectorMeaning {
    SelectorMeaning {
        exe: exe.map(Into::into),
        args: strings(args),
        user: None,
        cgroup: None,
        pid_file: None,
        tree: false,
        any_arg: Vec::new(),
        started_by: None,
        grace: Duration::from_secs(20),
    }
}

/// A number of seconds to sleep that no other process on this machine sleeps.
pub fn unique_seconds() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("1000.{}{:03}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// The real path of a program of the system.
pub fn program(name: &str) -> String {
    let found = super::command::PATH.split(':').find_map(|folder| fs::canonicalize(Path::new(folder).join(name)).ok());
    found.expect("a program of every system").to_str().expect("UTF-8").to_owned()
}

/// A child that is killed with its process group when the test ends, however it ends.
pub struct Running {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Running {
    pub fn new(command: &mut Command) -> Running {
        let mut child = command.stdout(Stdio::piped()).process_group(0).spawn().expect("can be started");
        let lines = BufReader::new(child.stdout.take().expect("is piped"));
        Running { child, lines }
    }

    pub fn sh(script: &str, folder: &Path) -> Running {
        Running::new(Command::new("/bin/sh").args(["-c", script]).current_dir(folder))
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn is_alive(&mut self) -> bool {
        self.child.try_wait().expect("can be asked").is_none()
    }

    /// The next line that it prints.
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).expect("can be read");
        line.trim_end().to_owned()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let group = rustix::process::Pid::from_child(&self.child);
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        let _ = self.child.wait();
    }
}

/// Waits until `condition` holds, as long as [`ample`].
pub fn until(condition: impl Fn() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < Duration::from_secs(60), "does not come true");
        thread::sleep(Duration::from_millis(2));
    }
}

/// Whether a process lives that has `argument`.
pub fn lives(argument: &str) -> bool {
    let has = |pid| unship_processes::procfs::arguments(pid).iter().any(|a| a == argument.as_bytes());
    let alive = |pid| unship_processes::procfs::stat(pid).is_some_and(|stat| !stat.is_no_program);
    unship_processes::procfs::pids().expect("can be listed").into_iter().any(|pid| has(pid) && alive(pid))
}

/// Kills whoever has one of these arguments when the test ends, however it ends.
pub struct Sweep(pub Vec<String>);

impl Drop for Sweep {
    fn drop(&mut self) {
        for pid in unship_processes::procfs::pids().unwrap_or_default() {
            let has =
                unship_processes::procfs::arguments(pid).iter().any(|a| self.0.iter().any(|word| a == word.as_bytes()));
            if let (true, Ok(Some(handle))) = (has, super::handles::handle(pid)) {
                let _ = super::handles::signal(&handle, rustix::process::Signal::KILL);
            }
        }
    }
}

/// Runs `test` (its full name in this crate) again as `nobody`. Answers `false` when this is that run already, or when
/// this process has no right to change its user; then the caller goes on with the test itself.
pub fn again_as_nobody(test: &str) -> bool {
    if !rustix::process::geteuid().is_root() {
        return false;
    }
    // By descriptor, since `nobody` may have no way to the path.
    let own = File::open("/proc/self/exe").expect("is readable");
    let path = format!("/proc/self/fd/{}", own.as_raw_fd());
    let mut command = Command::new(path);
    command.args([test, "--exact", "--nocapture", "--test-threads=1"]).uid(65534).gid(65534).current_dir("/");
    let output = command.output().expect("can be started");
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && printed.contains("1 passed"),
        "as nobody: {printed}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    true
}
