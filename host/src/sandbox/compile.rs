//! Component → native code, in a process of its own with limits: a compiler is large, and what it eats is an author's.
//!
//! The binary starts itself again with [`COMPILE_ARGUMENT`]. Parent and child share two pieces of anonymous memory, the
//! component as standard input and the code as standard output, so neither ever waits for the other to read.

use super::{engine::Engine, sealed::seal};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fd::AsFd,
    fs::{MemfdFlags, memfd_create},
    io::Errno,
    process::{
        Pid, PidfdFlags, Resource, Rlimit, Signal, kill_process_group, pidfd_open, set_parent_process_death_signal,
        setrlimit,
    },
    thread::set_no_new_privs,
};
use std::{
    fs::File,
    io::{Read, Seek, Write},
    os::unix::process::{CommandExt, ExitStatusExt},
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio, exit},
    time::{Duration, Instant},
};

/// First argument of a process that compiles and does nothing else. The binary calls [`compile_child_main`] for it.
pub const COMPILE_ARGUMENT: &str = "__compile";

/// The child's way of saying that the component is at fault, with the reason on standard error.
const EXIT_REFUSED: i32 = 3;
/// The child could not set itself up.
const EXIT_SETUP: i32 = 4;
/// What is kept of the child's reason.
const REASON_BYTES_MAX: u64 = 4096;

/// What a compilation may use up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompileLimits {
    /// Address space of the compiling process.
    pub memory_bytes_max: u64,
    /// Its computing time, in whole seconds.
    pub cpu: Duration,
    /// From start to end.
    pub wall: Duration,
    /// Size of the native code.
    pub code_bytes_max: u64,
}

impl Default for CompileLimits {
    fn default() -> Self {
        CompileLimits {
            memory_bytes_max: 2 << 30,
            cpu: Duration::from_secs(60),
            wall: Duration::from_secs(120),
            code_bytes_max: 512 << 20,
        }
    }
}

/// Compiles by starting `program` with [`COMPILE_ARGUMENT`].
#[derive(Debug, Clone)]
pub struct Compiler {
    /// The binary that calls [`compile_child_main`]: for a command line tool, itself.
    pub program: PathBuf,
}

/// Why there is no native code.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// The component is not valid, or uses what the engine has switched off.
    #[error("compile: {0}")]
    Refused(String),
    /// A limit ended the compilation.
    #[error("compile: limit reached: {0}")]
    Limit(String),
    /// The compiler's process did not work.
    #[error("compile: {0}")]
    Process(String),
}

impl From<std::io::Error> for CompileError {
    fn from(error: std::io::Error) -> Self {
        CompileError::Process(error.to_string())
    }
}
impl From<Errno> for CompileError {
    fn from(errno: Errno) -> Self {
        CompileError::Process(errno.to_string())
    }
}

impl Compiler {
    /// This very program, even if its file was replaced since it was started.
    pub fn own() -> Compiler {
        Compiler { program: PathBuf::from("/proc/self/exe") }
    }

    /// Native code of `component` for this machine and [`Engine`] configuration.
    ///
    /// # Errors
    /// [`CompileError`] when the component is refused, a limit is reached or the process fails.
    pub fn compile(&self, component: &[u8], limits: &CompileLimits) -> Result<Vec<u8>, CompileError> {
        let mut input = File::from(seal(component)?);
        input.rewind()?;
        let (mut code, mut reason) = (anonymous("unship-compiled")?, anonymous("unship-reason")?);
        let child = Command::new(&self.program)
            .arg(COMPILE_ARGUMENT)
            .args([limits.memory_bytes_max, limits.cpu.as_secs().max(1), limits.code_bytes_max].map(|n| n.to_string()))
            .env_clear()
            .current_dir("/")
            .stdin(input)
            .stdout(Stdio::from(code.try_clone()?))
            .stderr(Stdio::from(reason.try_clone()?))
            .process_group(0)
            .spawn()?;
        let status = wait(child, limits.wall)?;
        if !status.success() {
            return Err(failure(status, &mut reason, limits)?);
        }
        if code.metadata()?.len() > limits.code_bytes_max {
            return Err(CompileError::Limit(format!("{} bytes of native code", limits.code_bytes_max)));
        }
        let mut bytes = Vec::new();
        code.rewind()?;
        code.read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

fn anonymous(name: &str) -> Result<File, Errno> {
    Ok(File::from(memfd_create(name, MemfdFlags::CLOEXEC)?))
}

/// Waits for the child, at most until `wall` has passed; then its whole process group is killed.
fn wait(mut child: Child, wall: Duration) -> Result<ExitStatus, CompileError> {
    let pid = Pid::from_child(&child);
    let deadline = Instant::now() + wall;
    let pidfd = pidfd_open(pid, PidfdFlags::empty())?;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = Timespec::try_from(left).map_err(|_| Errno::OVERFLOW)?;
        match poll(&mut [PollFd::from_borrowed_fd(pidfd.as_fd(), PollFlags::IN)], Some(&timeout)) {
            Err(Errno::INTR) => {}
            Ok(0) => {
                kill_process_group(pid, Signal::KILL)?;
                child.wait()?;
                return Err(CompileError::Limit(format!("{}s", wall.as_secs_f64())));
            }
            Ok(_) => return Ok(child.wait()?),
            Err(errno) => return Err(errno.into()),
        }
    }
}

fn failure(status: ExitStatus, reason: &mut File, limits: &CompileLimits) -> Result<CompileError, CompileError> {
    let mut bytes = Vec::new();
    reason.rewind()?;
    reason.take(REASON_BYTES_MAX).read_to_end(&mut bytes)?;
    let reason = String::from_utf8_lossy(&bytes).trim().to_owned();
    let is = |signal: Signal| status.signal() == Some(signal.as_raw());
    Ok(match status.code() {
        Some(EXIT_REFUSED) => CompileError::Refused(reason),
        Some(_) => CompileError::Process(format!("its process ended with {status}: {reason}")),
        None if is(Signal::XCPU) || is(Signal::KILL) => {
            CompileError::Limit(format!("{}s of computing time", limits.cpu.as_secs()))
        }
        None if is(Signal::XFSZ) => CompileError::Limit(format!("{} bytes of native code", limits.code_bytes_max)),
        // An allocation that fails aborts.
        None if is(Signal::ABORT) => CompileError::Limit(format!("{} bytes of memory", limits.memory_bytes_max)),
        None => CompileError::Process(format!("its process ended with {status}")),
    })
}

/// The whole life of a compiling process: limits itself, reads the component from standard input, writes the code to
/// standard output.
#[expect(clippy::disallowed_methods, reason = "a process that only compiles: its end is its answer")]
pub fn compile_child_main() -> ! {
    let code = match confine().and_then(|()| input()) {
        Err(error) => fail(EXIT_SETUP, &error.to_string()),
        Ok(component) => compiled(&component),
    };
    match std::io::stdout().write_all(&code).and_then(|()| std::io::stdout().flush()) {
        Ok(()) => exit(0),
        Err(error) => fail(EXIT_SETUP, &error.to_string()),
    }
}

fn compiled(component: &[u8]) -> Vec<u8> {
    match Engine::new() {
        Err(error) => fail(EXIT_SETUP, &error.to_string()),
        Ok(engine) => match engine.wasmtime().precompile_component(component) {
            Err(error) => fail(EXIT_REFUSED, &format!("{error:#}")),
            Ok(code) => code,
        },
    }
}

#[expect(clippy::disallowed_methods, reason = "a process that only compiles: its end is its answer")]
fn fail(status: i32, reason: &str) -> ! {
    // Nobody is left to tell when standard error does not work either.
    drop(std::io::stderr().write_all(reason.as_bytes()));
    exit(status)
}

fn input() -> std::io::Result<Vec<u8>> {
    let mut component = Vec::new();
    std::io::stdin().read_to_end(&mut component)?;
    Ok(component)
}

/// The process is our own program until it reads the component, so it can be left to limit itself.
fn confine() -> std::io::Result<()> {
    let mut arguments = std::env::args().skip(2);
    let mut number = || {
        let argument = arguments.next().and_then(|text| text.parse::<u64>().ok());
        argument.ok_or_else(|| std::io::Error::other("started without its limits"))
    };
    let (memory, cpu, code) = (number()?, number()?, number()?);
    set_parent_process_death_signal(Some(Signal::KILL))?;
    set_no_new_privs(true)?;
    for (resource, most) in [(Resource::As, memory), (Resource::Cpu, cpu), (Resource::Fsize, code), (Resource::Core, 0)]
    {
        // At the soft limit of computing time the signal says why; the hard one a second later cannot be caught.
        let hard = if resource == Resource::Cpu { most + 1 } else { most };
        setrlimit(resource, Rlimit { current: Some(most), maximum: Some(hard) })?;
    }
    Ok(())
}
