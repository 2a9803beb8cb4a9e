//! `SITE/.unship/watch/`: what the daemon keeps. Its journal is of the same form as the site's, under an id of its own, so
//! that neither can stand in for the other; its lock is "one daemon per site", beside that of runs.

use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::checkpoint::CheckpointError;
use crate::dir::Dir;
use crate::error::{IoError, Naming};
use crate::journal::{Entries, Journal, JournalError, Record, SiteId};
use crate::lock::{LockError, RunLock, holder_in};
use crate::name;
use crate::signed::{SignedJournal, Verified};

const WATCH: &str = "watch";
const INBOX: &str = "inbox";
const KEPT: &str = "kept";
/// Bytes of what is handed in, at most.
const SUBMISSION_BYTES_MAX: u64 = 64 << 10;
/// How many files of the inbox are looked at in one go.
const SUBMISSIONS_MAX: usize = 1000;
/// Bytes of what the daemon keeps under one name, at most.
const KEPT_BYTES_MAX: u64 = 1 << 30;

/// The opened folder of the daemon.
#[derive(Debug)]
pub struct WatchStore {
    dir: Dir,
    inbox: Dir,
    kept: Dir,
    journal: SignedJournal,
}

/// The id that the daemon's journal of a site has.
fn id_of(site: SiteId) -> SiteId {
    let digest = Sha256::new().chain_update(b"unship-watch 1\n").chain_update(site.to_string()).finalize();
    let mut id = [0; 16];
    id.copy_from_slice(&digest[..16]);
    SiteId::new(id)
}

impl WatchStore {
    /// Makes what is missing, and opens it.
    pub(crate) fn create(store: &Dir, site: SiteId, secret: &[u8; 32]) -> Result<Self, JournalError> {
        let dir = store.make_dir(WATCH)?;
        let (inbox, kept) = (dir.make_dir(INBOX)?, dir.make_dir(KEPT)?);
        let this = Self::with(dir, inbox, kept, site, secret)?;
        this.journal.complete()?;
        this.dir.flush()?;
        Ok(this)
    }

    /// `None` where no daemon has ever watched.
    pub(crate) fn open(store: &Dir, site: SiteId, secret: &[u8; 32]) -> Result<Option<Self>, JournalError> {
        match store.open_dir_if_there(WATCH)? {
            Some(dir) => {
                // One whose making was interrupted is none yet: looking at it makes nothing.
                let (inbox, kept) = (dir.open_dir_if_there(INBOX)?, dir.open_dir_if_there(KEPT)?);
                let parts = inbox.zip(kept);
                parts.map(|(inbox, kept)| Self::with(dir, inbox, kept, site, secret)).transpose()
            }
            None => Ok(None),
        }
    }

    fn with(dir: Dir, inbox: Dir, kept: Dir, site: SiteId, secret: &[u8; 32]) -> Result<Self, JournalError> {
        let journal = SignedJournal::new(dir.try_clone()?, id_of(site), secret);
        Ok(Self { dir, inbox, kept, journal })
    }

    /// `SITE/.unship/watch`.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Takes the lock of this site's daemon without waiting.
    ///
    /// # Errors
    /// [`LockError::Locked`] with the holder's pid.
    pub fn try_lock(&self) -> Result<RunLock, LockError> {
        RunLock::try_take(&self.dir)
    }

    /// The daemon that is alive: its pid, where it could be read. `None`: there is none.
    ///
    /// # Errors
    /// Where the lock cannot be looked at.
    pub fn daemon(&self) -> Result<Option<Option<u32>>, IoError> {
        holder_in(&self.dir)
    }

    /// As [`SiteStore::journal`](crate::SiteStore::journal).
    ///
    /// # Errors
    /// As there.
    pub fn journal(&self, visit: &mut dyn FnMut(Record<'_>)) -> Result<Journal, JournalError> {
        self.journal.open(visit)
    }

    /// As [`SiteStore::records`](crate::SiteStore::records).
    ///
    /// # Errors
    /// As there.
    pub fn records(&self) -> Result<Entries, JournalError> {
        self.journal.records()
    }

    /// As [`SiteStore::verify`](crate::SiteStore::verify).
    ///
    /// # Errors
    /// As there.
    pub fn verify(&self) -> Result<Verified, JournalError> {
        self.journal.verify(None)
    }

    /// As [`SiteStore::sign_checkpoint`](crate::SiteStore::sign_checkpoint).
    ///
    /// # Errors
    /// As there.
    pub fn sign_checkpoint(&self, journal: &Journal) -> Result<(), CheckpointError> {
        self.journal.sign(journal)
    }

    /// Puts something into the inbox, whole and durably or not at all.
    ///
    /// # Errors
    /// Where it cannot be written, or `name` is none.
    pub fn submit(&self, name: &str, content: &[u8]) -> Result<(), IoError> {
        let name = checked(name, self.inbox.path())?;
        self.inbox.write_atomic(name, &[content])
    }

    /// The names of what lies in the inbox, sorted; what is still being written is not among them.
    ///
    /// # Errors
    /// Where the folder cannot be read.
    pub fn submissions(&self) -> Result<Vec<String>, IoError> {
        let path = self.inbox.path();
        let mut names = Vec::new();
        for entry in std::fs::read_dir(path).naming("read", path)?.take(SUBMISSIONS_MAX) {
            let name = entry.naming("read", path)?.file_name();
            // Whatever has another name is nobody's submission, and can only be told of.
            names.extend(name.to_str().filter(|name| !name.starts_with('.')).map(str::to_owned));
        }
        names.sort();
        Ok(names)
    }

    /// What lies in the inbox under this name; `None` when it is longer than any submission.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn submission(&self, name: &str) -> Result<Option<Vec<u8>>, IoError> {
        let content = self.inbox.read_small(name, SUBMISSION_BYTES_MAX + 1)?.unwrap_or_default();
        Ok(Some(content).filter(|content| content.len() as u64 <= SUBMISSION_BYTES_MAX))
    }

    /// Takes it out of the inbox; what is gone already is fine.
    ///
    /// # Errors
    /// Where it cannot be removed.
    pub fn remove_submission(&self, name: &str) -> Result<(), IoError> {
        self.inbox.remove_file(name)
    }

    /// Keeps something of the daemon's under a name, whole or not at all.
    ///
    /// # Errors
    /// Where it cannot be written, or `name` is none.
    pub fn keep(&self, name: &str, content: &[u8]) -> Result<(), IoError> {
        let name = checked(name, self.kept.path())?;
        self.kept.replace(name, &[content])
    }

    /// What is kept under a name.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn kept(&self, name: &str) -> Result<Option<Vec<u8>>, IoError> {
        self.kept.read_small(checked(name, self.kept.path())?, KEPT_BYTES_MAX)
    }

    /// Keeps nothing under a name any more.
    ///
    /// # Errors
    /// Where it cannot be removed.
    pub fn forget(&self, name: &str) -> Result<(), IoError> {
        self.kept.remove_file(checked(name, self.kept.path())?)
    }

    /// Where something of the daemon's is kept.
    pub fn kept_path(&self, name: &str) -> PathBuf {
        self.kept.path().join(name)
    }
}

fn checked<'a>(name: &'a str, path: &Path) -> Result<&'a str, IoError> {
    name::check(name).map_err(|_| IoError::new("use the name", path.join(name), io::ErrorKind::InvalidFilename.into()))
}
