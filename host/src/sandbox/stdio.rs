//! Where a guest's standard streams go: into the gate's log line by line, or to the streams of this process.

use super::state::Shared;
use crate::gate::{LogSource, Stop};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fd::{AsFd, BorrowedFd},
    fs::{FileType, fstat},
    io::{Errno, IoSlice, ReadWriteFlags, pwritev2, write},
};
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::io::{AsyncWrite, sink};
use wasmtime_wasi::{
    WasiCtxBuilder,
    cli::{IsTerminal, StdoutStream},
};
use wasmtime_wasi_io::{
    async_trait,
    bytes::Bytes,
    poll::Pollable,
    streams::{OutputStream, StreamError, StreamResult},
};

/// What one call may write.
const PERMIT_BYTES: usize = 64 * 1024;
/// A line longer than this is logged in pieces.
const LINE_BYTES_MAX: usize = 4096;
/// What a pipe that says it is ready takes without blocking.
const PIPE_PIECE_BYTES: usize = 4096;
/// How often a full pipe is looked at again.
const RETRY: Duration = Duration::from_millis(2);

/// A guest's standard streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stdio {
    /// Nothing to read; each line of output goes to [`Gate::log`](crate::gate::Gate::log).
    Captured,
    /// This process's own, up to the output limit. A reader that does not read cannot hold the step beyond its wall limit.
    Inherited,
}

/// Standard output and standard error of one step.
pub(super) struct Outputs([Output; 2]);

impl Outputs {
    pub(super) fn attach(stdio: Stdio, shared: &Arc<Shared>, wasi: &mut WasiCtxBuilder) -> Outputs {
        let [out, err] = match stdio {
            Stdio::Captured => [LogSource::Stdout, LogSource::Stderr].map(|source| Sink::Log(source, Vec::new())),
            Stdio::Inherited => {
                wasi.inherit_stdin();
                [Standard::out(), Standard::err()].map(|to| Sink::Process(to, Vec::new()))
            }
        };
        let used = Arc::new(Mutex::new(0));
        let outputs = Outputs([out, err].map(|sink| Output {
            sink: Arc::new(Mutex::new(sink)),
            shared: Arc::clone(shared),
            used: Arc::clone(&used),
        }));
        wasi.stdout(outputs.0[0].clone()).stderr(outputs.0[1].clone());
        outputs
    }

    /// Passes on what is still buffered when the guest has ended.
    pub(super) async fn finish(self) -> Result<(), Stop> {
        for mut output in self.0 {
            output.drained().await;
            if let Sink::Log(source, line) = &mut *output.sink()
                && !line.is_empty()
            {
                log(&output.shared, *source, line)?;
            }
        }
        Ok(())
    }
}

/// One output stream; every handle that the guest takes is a clone.
#[derive(Clone)]
struct Output {
    sink: Arc<Mutex<Sink>>,
    shared: Arc<Shared>,
    /// Bytes written to the process's own streams so far.
    used: Arc<Mutex<usize>>,
}

enum Sink {
    /// The line that is not yet complete.
    Log(LogSource, Vec<u8>),
    /// What the stream would not take without blocking.
    Process(Standard, Vec<u8>),
}

/// A standard stream of this process.
#[derive(Debug, Clone, Copy)]
struct Standard {
    is_error: bool,
    /// A pipe or socket: may fill up, and the kernel can write to it without blocking.
    may_fill: bool,
}

impl Output {
    fn sink(&self) -> MutexGuard<'_, Sink> {
        self.sink.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, bytes: &[u8]) -> StreamResult<()> {
        match &mut *self.sink() {
            Sink::Log(source, line) => log_lines(&self.shared, *source, line, bytes).map_err(trap),
            Sink::Process(to, waiting) => {
                self.count(bytes.len()).map_err(trap)?;
                waiting.extend_from_slice(bytes);
                to.drain(waiting)
            }
        }
    }

    /// The gate counts what is logged; what goes past it is counted here.
    fn count(&self, bytes: usize) -> Result<(), Stop> {
        let allowed = self.shared.gate().limits().output_bytes_max;
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        *used = used.saturating_add(bytes);
        if *used > allowed {
            return Err(Stop::Limit { limit: "output", allowed: format!("{allowed} bytes") });
        }
        Ok(())
    }

    /// How many bytes the stream has not taken yet.
    fn waiting(&self) -> StreamResult<usize> {
        match &mut *self.sink() {
            Sink::Log(..) => Ok(0),
            Sink::Process(to, waiting) => {
                to.drain(waiting)?;
                Ok(waiting.len())
            }
        }
    }

    async fn drained(&mut self) {
        while matches!(self.waiting(), Ok(1..)) {
            tokio::time::sleep(RETRY).await;
        }
    }
}

fn trap(stop: Stop) -> StreamError {
    StreamError::Trap(stop.into())
}

/// Logs each complete line; `line` keeps the rest.
fn log_lines(shared: &Shared, source: LogSource, line: &mut Vec<u8>, bytes: &[u8]) -> Result<(), Stop> {
    for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
        for part in piece.chunks(LINE_BYTES_MAX) {
            line.extend_from_slice(part);
            if line.ends_with(b"\n") || line.len() >= LINE_BYTES_MAX {
                log(shared, source, line)?;
            }
        }
    }
    Ok(())
}

fn log(shared: &Shared, source: LogSource, line: &mut Vec<u8>) -> Result<(), Stop> {
    let bytes = std::mem::take(line);
    let text = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
    shared.gate().log(source, &String::from_utf8_lossy(text))
}

impl Standard {
    fn out() -> Standard {
        Standard { is_error: false, may_fill: may_fill(std::io::stdout().as_fd()) }
    }

    fn err() -> Standard {
        Standard { is_error: true, may_fill: may_fill(std::io::stderr().as_fd()) }
    }

    /// Writes as much of `waiting` as the stream takes without blocking, without changing the flags of a stream that
    /// others share.
    fn drain(self, waiting: &mut Vec<u8>) -> StreamResult<()> {
        let mut done = 0;
        let result = loop {
            let rest = &waiting[done..];
            if rest.is_empty() {
                break Ok(());
            }
            match self.write_now(rest) {
                Ok(written) => done += written,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break Ok(()),
                Err(Errno::PIPE) => break Err(StreamError::Closed),
                Err(errno) => break Err(StreamError::LastOperationFailed(errno.into())),
            }
        };
        match result {
            Ok(()) => drop(waiting.drain(..done)),
            Err(_) => waiting.clear(),
        }
        result
    }

    fn write_now(self, bytes: &[u8]) -> Result<usize, Errno> {
        let (out, err) = (std::io::stdout(), std::io::stderr());
        let fd = if self.is_error { err.as_fd() } else { out.as_fd() };
        let mut polled = [PollFd::from_borrowed_fd(fd, PollFlags::OUT)];
        if poll(&mut polled, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))? == 0 {
            return Err(Errno::AGAIN);
        }
        if self.may_fill {
            // At the stream's own position.
            match pwritev2(fd, &[IoSlice::new(bytes)], u64::MAX, ReadWriteFlags::NOWAIT) {
                Err(Errno::NOTSUP | Errno::INVAL | Errno::SPIPE | Errno::NOSYS) => {}
                written => return written,
            }
        }
        write(fd, &bytes[..bytes.len().min(PIPE_PIECE_BYTES)])
    }
}

fn may_fill(fd: BorrowedFd<'_>) -> bool {
    fstat(fd).is_ok_and(|stat| matches!(FileType::from_raw_mode(stat.st_mode), FileType::Fifo | FileType::Socket))
}

impl IsTerminal for Output {
    fn is_terminal(&self) -> bool {
        match *self.sink() {
            Sink::Log(..) => false,
            Sink::Process(Standard { is_error: false, .. }, _) => IsTerminal::is_terminal(&std::io::stdout()),
            Sink::Process(Standard { is_error: true, .. }, _) => IsTerminal::is_terminal(&std::io::stderr()),
        }
    }
}

impl StdoutStream for Output {
    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }

    /// Only WASI 0.3 asks for this, and it is not linked.
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(sink())
    }
}

#[async_trait]
impl Pollable for Output {
    async fn ready(&mut self) {
        self.drained().await;
    }
}

#[async_trait]
impl OutputStream for Output {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        if bytes.len() > PERMIT_BYTES {
            return Err(StreamError::trap("the guest wrote more than it was permitted to"));
        }
        self.put(&bytes)
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(if self.waiting()? == 0 { PERMIT_BYTES } else { 0 })
    }
}
