//! One output stream of a command: its beginning is kept, its end is remembered for an error, the rest is counted.

use rustix::io::{Errno, ioctl_fionbio, read};
use std::{
    collections::VecDeque,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
    process::{Command, Stdio},
};

/// Bytes that one look takes, so that the deadline is seen to in between.
const PIECE_BYTES: usize = 64 << 10;
/// Bytes still taken after the command's end: more than a pipe holds, yet an end to what a left-behind process writes.
const REST_BYTES_MAX: u64 = 2 << 20;
/// Bytes of the end that an error shows.
const TAIL_BYTES: usize = 2048;

pub(super) struct Stream {
    /// `None` once the other side has closed it, or when there never was one.
    pipe: Option<OwnedFd>,
    kept: Vec<u8>,
    kept_bytes_max: usize,
    tail: VecDeque<u8>,
    seen: u64,
}

impl Stream {
    pub(super) fn new(pipe: Option<impl Into<OwnedFd>>, kept_bytes_max: usize) -> io::Result<Stream> {
        let pipe = pipe.map(Into::into);
        if let Some(pipe) = &pipe {
            ioctl_fionbio(pipe, true)?;
        }
        Ok(Stream { pipe, kept: Vec::new(), kept_bytes_max, tail: VecDeque::new(), seen: 0 })
    }

    pub(super) fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.pipe.as_ref().map(AsFd::as_fd)
    }

    pub(super) fn is_open(&self) -> bool {
        self.pipe.is_some()
    }

    /// Reads one piece if there is one; answers whether there was.
    pub(super) fn read_some(&mut self) -> io::Result<bool> {
        let Some(pipe) = &self.pipe else { return Ok(false) };
        let mut piece = [0; PIECE_BYTES];
        match read(pipe, &mut piece) {
            Ok(0) => self.pipe = None,
            Ok(len) => {
                self.take(&piece[..len]);
                return Ok(true);
            }
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(e) => return Err(e.into()),
        }
        Ok(false)
    }

    /// Reads what there is now, after the command's end.
    pub(super) fn read_rest(&mut self) -> io::Result<()> {
        let end = self.seen + REST_BYTES_MAX;
        while self.seen < end && self.read_some()? {}
        Ok(())
    }

    fn take(&mut self, piece: &[u8]) {
        self.seen += piece.len() as u64;
        let room = self.kept_bytes_max.saturating_sub(self.kept.len()).min(piece.len());
        self.kept.extend_from_slice(&piece[..room]);
        self.tail.extend(piece);
        self.tail.drain(..self.tail.len().saturating_sub(TAIL_BYTES));
    }

    /// For what the command left behind: somebody reads the rest of the stream for as long as anybody writes to it. Else the
    /// next line would be the end of a service that does not expect it.
    pub(super) fn leave_to_a_listener(&mut self) {
        let Some(pipe) = self.pipe.take() else { return };
        let listening = super::program::resolve(Path::new("/"), "cat").map_err(io::Error::other).and_then(|cat| {
            ioctl_fionbio(&pipe, false)?;
            let mut listener = Command::new(cat);
            listener.env_clear().current_dir("/").stdin(pipe).stdout(Stdio::null()).stderr(Stdio::null());
            super::in_own_session(&mut listener)?;
            listener.spawn()
        });
        if let Err(error) = listening {
            tracing::warn!(%error, "nobody listens to what a service prints; its next line may end it");
        }
    }

    pub(super) fn dropped(&self) -> u64 {
        self.seen - self.kept.len() as u64
    }

    /// The end of what was written, neutralised.
    pub(super) fn last_words(&mut self) -> String {
        // What cannot be read adds nothing to an error that is on its way already.
        let _ = self.read_rest();
        let tail: Vec<u8> = self.tail.iter().copied().collect();
        let cut = if self.seen > TAIL_BYTES as u64 { "…" } else { "" };
        format!("{cut}{}", unship_rollback::neutralise_bytes(tail.trim_ascii()))
    }

    pub(super) fn into_kept(self) -> Vec<u8> {
        self.kept
    }
}
