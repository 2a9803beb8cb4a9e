//! Byte streams on files: a node of the gate and a position. Always ready, in pieces of bounded size.

use super::{state::OpenNode, wasi_fs::PIECE_BYTES_MAX};
use crate::gate::FsFault;
use std::sync::Arc;
use wasmtime_wasi_io::{
    async_trait,
    bytes::Bytes,
    poll::Pollable,
    streams::{InputStream, OutputStream, StreamError, StreamResult},
};

/// Reads a file from a position on.
pub(super) struct FileReader {
    open: Arc<OpenNode>,
    position: u64,
    ended: bool,
}

impl FileReader {
    pub(super) fn new(open: Arc<OpenNode>, position: u64) -> FileReader {
        FileReader { open, position, ended: false }
    }
}

#[async_trait]
impl Pollable for FileReader {
    async fn ready(&mut self) {}
}

#[async_trait]
impl InputStream for FileReader {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        if self.ended {
            return Err(StreamError::Closed);
        }
        if size == 0 {
            return Ok(Bytes::new());
        }
        let read = self.open.shared.gate().read(self.open.node, size.min(PIECE_BYTES_MAX), self.position);
        let bytes = read.map_err(|fault| self.end(fault))?;
        if bytes.is_empty() {
            self.ended = true;
            return Err(StreamError::Closed);
        }
        self.position += bytes.len() as u64;
        Ok(bytes.into())
    }
}

impl FileReader {
    fn end(&mut self, fault: FsFault) -> StreamError {
        self.ended = true;
        stream_error(fault)
    }
}

/// Writes a file from a position on, or always at its end.
pub(super) struct FileWriter {
    open: Arc<OpenNode>,
    /// `None`: append.
    position: Option<u64>,
    ended: bool,
}

impl FileWriter {
    pub(super) fn at(open: Arc<OpenNode>, position: u64) -> FileWriter {
        FileWriter { open, position: Some(position), ended: false }
    }

    pub(super) fn append(open: Arc<OpenNode>) -> FileWriter {
        FileWriter { open, position: None, ended: false }
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), FsFault> {
        let written = self.open.write(bytes, self.position)?;
        if let Some(position) = &mut self.position {
            *position += written;
        }
        Ok(())
    }
}

#[async_trait]
impl Pollable for FileWriter {
    async fn ready(&mut self) {}
}

#[async_trait]
impl OutputStream for FileWriter {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        if self.ended {
            return Err(StreamError::Closed);
        }
        if bytes.len() > PIECE_BYTES_MAX {
            return Err(StreamError::trap("the guest wrote more than it was permitted to"));
        }
        if bytes.is_empty() {
            return Ok(());
        }
        self.put(&bytes).map_err(|fault| {
            self.ended = true;
            stream_error(fault)
        })
    }

    fn flush(&mut self) -> StreamResult<()> {
        if self.ended { Err(StreamError::Closed) } else { Ok(()) }
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        if self.ended { Err(StreamError::Closed) } else { Ok(PIECE_BYTES_MAX) }
    }
}

/// The guest can ask `filesystem-error-code` what an error of a stream was.
fn stream_error(fault: FsFault) -> StreamError {
    match fault {
        FsFault::Errno(errno) => StreamError::LastOperationFailed(errno.into()),
        FsFault::Stop(stop) => StreamError::Trap(stop.into()),
    }
}
