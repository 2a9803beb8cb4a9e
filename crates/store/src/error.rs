//! The one shape of an input/output failure in this crate: what was tried, on which path, why not, and what helps.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// An operating system's refusal. Its text reads after "failed to"; the system's own words are its source.
///
/// It can be cloned, because the first failure of a [`Journal`](crate::Journal) is told to every later append.
#[derive(Debug, Clone)]
pub struct IoError {
    verb: &'static str,
    path: PathBuf,
    source: Arc<io::Error>,
}

/// What kind of refusal it was, as far as a person can do something about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IoErrorKind {
    /// No space or quota left.
    DiskFull,
    /// The file system is mounted read-only.
    ReadOnly,
    /// This user may not.
    Denied,
    /// Anything else; see the source.
    Other,
}

impl IoError {
    pub(crate) fn new(verb: &'static str, path: impl Into<PathBuf>, source: io::Error) -> Self {
        Self { verb, path: path.into(), source: Arc::new(source) }
    }

    /// The path that the operation was about.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What kind of refusal it was.
    pub fn kind(&self) -> IoErrorKind {
        match self.source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => IoErrorKind::DiskFull,
            io::ErrorKind::ReadOnlyFilesystem => IoErrorKind::ReadOnly,
            io::ErrorKind::PermissionDenied => IoErrorKind::Denied,
            _ => IoErrorKind::Other,
        }
    }

    /// The operating system's own error.
    pub fn io(&self) -> &io::Error {
        &self.source
    }
}

impl fmt::Display for IoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.verb, self.path.display())?;
        match self.kind() {
            IoErrorKind::DiskFull => {
                f.write_str(": its file system or quota is full; free some space there, then repeat the command")
            }
            IoErrorKind::ReadOnly => {
                f.write_str(": its file system is mounted read-only; remount it writable, then repeat the command")
            }
            IoErrorKind::Denied => {
                f.write_str(": no permission; repeat the command as the user that owns the site's store")
            }
            IoErrorKind::Other => Ok(()),
        }
    }
}

impl std::error::Error for IoError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&*self.source)
    }
}

/// Turns a plain or rustix error into an [`IoError`] with its verb and path.
pub(crate) trait Naming<T> {
    fn naming(self, verb: &'static str, path: impl Into<PathBuf>) -> Result<T, IoError>;
}

impl<T, E: Into<io::Error>> Naming<T> for Result<T, E> {
    fn naming(self, verb: &'static str, path: impl Into<PathBuf>) -> Result<T, IoError> {
        self.map_err(|e| IoError::new(verb, path, e.into()))
    }
}
