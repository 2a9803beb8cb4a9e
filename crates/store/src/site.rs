//! `SITE/.unship/`: what is in it, who may touch it, which version it has.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::checkpoint::CheckpointError;
use crate::code::CodeCache;
use crate::dir::{Dir, FOREIGN, OPEN};
use crate::error::{IoError, Naming};
use crate::images::{ImageError, RunImages, SpaceLimit};
use crate::journal::{Entries, Journal, JournalError, Record, SiteId};
use crate::lock::{LockError, RunLock};
use crate::signed::{SignedJournal, Verified};
use crate::watch::WatchStore;

/// The store's directory inside a site.
const STORE: &str = ".unship";
const FORMAT_FILE: &str = "format";
const IGNORE_FILE: &str = ".gitignore";
const TRUST_FILE: &str = "trust";
/// More than it takes to name a version and its digest.
const TRUST_BYTES_MAX: u64 = 256;
const KEY_FILE: &str = "key";
const CODE: &str = "code";
const IMAGES: &str = "images";
const TRASH: &str = "trash";

/// The layout version that this program writes, and the newest that it reads.
const VERSION: u64 = 1;

/// Why a site's store cannot be used. Texts read after "failed to".
#[derive(Debug, thiserror::Error)]
pub enum SiteError {
    /// The operating system refused.
    #[error(transparent)]
    Io(#[from] IoError),
    /// There is none.
    #[error("find {path}: this site has no store yet; make one with `unship init`", path = path.display())]
    Missing {
        /// Where it would be.
        path: PathBuf,
    },
    /// It is there but not all of it.
    #[error("use {path}: {file} is missing or not as unship wrote it; restore it from a backup", path = path.display())]
    Incomplete {
        /// The store's directory.
        path: PathBuf,
        /// What is missing.
        file: &'static str,
    },
    /// Somebody else could have put it there or written into it.
    #[error("trust {path}: {why}", path = path.display())]
    Unsafe {
        /// What is not safe.
        path: PathBuf,
        /// Why, and what helps.
        why: &'static str,
    },
    /// Written by a newer unship.
    #[error(
        "use {path}: it has layout version {found}, and this unship knows versions up to {VERSION}; use a newer unship",
        path = path.display()
    )]
    Newer {
        /// The store's directory.
        path: PathBuf,
        /// Its version.
        found: u64,
    },
    /// Another process is at work while the store is made.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The journal of a store that was made only in part is no good.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// The opened store of one site.
#[derive(Debug)]
pub struct SiteStore {
    dir: Dir,
    id: SiteId,
    key: [u8; 32],
    journal: SignedJournal,
}

impl SiteStore {
    /// Makes the store, or completes one whose making was interrupted, and opens it. One that is there stays as it is.
    pub fn create(site: &Path) -> Result<Self, SiteError> {
        let site_dir = Dir::open(site)?;
        refuse_symlink(site)?;
        let dir = site_dir.make_dir(STORE)?;
        check_private(&dir)?;
        if dir.open_if_there(FORMAT_FILE)?.is_some() {
            return Self::open_in(dir);
        }
        let _lock = RunLock::try_take(&dir)?;
        dir.write_atomic(IGNORE_FILE, &[b"*\n"])?;
        for name in [CODE, IMAGES, TRASH] {
            dir.make_dir(name)?;
        }
        if dir.open_if_there(KEY_FILE)?.is_none() {
            dir.write_atomic(KEY_FILE, &[&random::<32>(&dir)?])?;
        }
        let id = match SignedJournal::id_in(&dir)? {
            Some(id) => id,
            None => SiteId::new(random(&dir)?),
        };
        let key =
            read_key(&dir)?.ok_or_else(|| SiteError::Incomplete { path: dir.path().to_owned(), file: KEY_FILE })?;
        SignedJournal::new(dir.try_clone()?, id, &key).complete()?;
        // Last: a store is one once it says so.
        dir.write_atomic(FORMAT_FILE, &[format!("unship-store {VERSION} {id}\n").as_bytes()])?;
        site_dir.flush()?;
        Self::open_in(dir)
    }

    /// Opens the store of `site`, the folder that holds `.unship/`.
    pub fn open(site: &Path) -> Result<Self, SiteError> {
        let site_dir = Dir::open(site)?;
        refuse_symlink(site)?;
        match site_dir.open_dir(STORE) {
            Ok(dir) => {
                check_private(&dir)?;
                Self::open_in(dir)
            }
            Err(e) if e.io().kind() == io::ErrorKind::NotFound => Err(SiteError::Missing { path: site.join(STORE) }),
            Err(e) => Err(e.into()),
        }
    }

    fn open_in(dir: Dir) -> Result<Self, SiteError> {
        let Some(format) = dir.read_small(FORMAT_FILE, 256)? else {
            return Err(SiteError::Missing { path: dir.path().to_owned() });
        };
        let incomplete = |file| SiteError::Incomplete { path: dir.path().to_owned(), file };
        let id = match parse_format(&format).ok_or_else(|| incomplete(FORMAT_FILE))? {
            Format::Known(id) => id,
            Format::Newer(found) => {
                return Err(SiteError::Newer { path: dir.path().to_owned(), found });
            }
        };
        let key = read_key(&dir)?.ok_or_else(|| incomplete(KEY_FILE))?;
        let journal = SignedJournal::new(dir.try_clone()?, id, &key);
        Ok(Self { dir, id, key, journal })
    }

    /// The site's identity, which its journal carries too.
    pub fn id(&self) -> SiteId {
        self.id
    }

    /// `SITE/.unship`.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Where the journal is. [`verify`](crate::verify) and [`read`](crate::read) look at it alone, without its checkpoint.
    pub fn journal_path(&self) -> PathBuf {
        self.journal.path()
    }

    /// Takes the lock of this site's runs without waiting.
    ///
    /// # Errors
    /// [`LockError::Locked`] with the holder's pid.
    pub fn try_lock(&self) -> Result<RunLock, LockError> {
        RunLock::try_take(&self.dir)
    }

    /// Whether a run is at work: somebody has the lock of this site's runs.
    ///
    /// # Errors
    /// Where the lock cannot be looked at.
    pub fn is_locked(&self) -> Result<bool, IoError> {
        Ok(crate::lock::holder_in(&self.dir)?.is_some())
    }

    /// Opens the journal for appending, see [`Journal::open_replaying`], and compares it with its checkpoint.
    ///
    /// # Errors
    /// Also where the journal is missing: it is never made anew for a store that once had one. Where it is not what its
    /// checkpoint speaks of, nothing is changed.
    pub fn journal(&self, visit: &mut dyn FnMut(Record<'_>)) -> Result<Journal, JournalError> {
        self.journal.open(visit)
    }

    /// Reads the journal's records in order, as [`read`](crate::read) does, and compares with the checkpoint on the way.
    ///
    /// # Errors
    /// As [`verify`](crate::verify), and [`JournalError::Checkpoint`]; a cut shows after the last record.
    pub fn records(&self) -> Result<Entries, JournalError> {
        self.journal.records()
    }

    /// Checks the journal from end to end, compares it with its checkpoint and, if `kept` is given, with that one, which
    /// was kept elsewhere: the answer is about that one then. Changes nothing.
    ///
    /// # Errors
    /// As [`verify`](crate::verify), and [`JournalError::Checkpoint`] says what a checkpoint shows.
    pub fn verify(&self, kept: Option<&Path>) -> Result<Verified, JournalError> {
        self.journal.verify(kept)
    }

    /// Signs the head of what is durable of `journal`, this site's, as the new checkpoint: call it after the last record
    /// of a run was flushed. Where the present checkpoint says as much already, it stays.
    ///
    /// # Errors
    /// Also where the present checkpoint cannot be trusted or speaks of another journal: it is never papered over.
    pub fn sign_checkpoint(&self, journal: &Journal) -> Result<(), CheckpointError> {
        self.journal.sign(journal)
    }

    /// What the daemon keeps, made if need be.
    ///
    /// # Errors
    /// Where it cannot be made.
    pub fn watch(&self) -> Result<WatchStore, JournalError> {
        WatchStore::create(&self.dir, self.id, &self.key)
    }

    /// What the daemon keeps; `None` where none has ever watched this site.
    ///
    /// # Errors
    /// Where it cannot be opened.
    pub fn watched(&self) -> Result<Option<WatchStore>, JournalError> {
        WatchStore::open(&self.dir, self.id, &self.key)
    }

    /// What [`accept_root`](Self::accept_root) wrote last; `None` for a site that never did. The bytes are the caller's.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn accepted_root(&self) -> Result<Option<Vec<u8>>, IoError> {
        self.dir.read_small(TRUST_FILE, TRUST_BYTES_MAX)
    }

    /// Keeps which trust root the site goes by, in one piece.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn accept_root(&self, accepted: &[u8]) -> Result<(), IoError> {
        self.dir.write_atomic(TRUST_FILE, &[accepted])
    }

    /// The before-images of one run; its directories are made when first needed.
    pub fn run_images(&self, run: &str, limit: Arc<SpaceLimit>) -> Result<RunImages, ImageError> {
        RunImages::open(self.dir.open_dir(TRASH)?, self.dir.open_dir(IMAGES)?, self.id, run, limit)
    }

    /// The cache of precompiled code.
    pub fn code(&self) -> Result<CodeCache, IoError> {
        Ok(CodeCache::new(self.dir.open_dir(CODE)?, self.key))
    }
}

enum Format {
    Known(SiteId),
    Newer(u64),
}

fn parse_format(text: &[u8]) -> Option<Format> {
    let text = std::str::from_utf8(text).ok()?.strip_prefix("unship-store ")?;
    let (version, rest) = text.split_once(|c: char| !c.is_ascii_digit())?;
    let version: u64 = version.parse().ok()?;
    if version > VERSION {
        return Some(Format::Newer(version));
    }
    SiteId::parse(rest.strip_suffix('\n')?.as_bytes()).map(Format::Known)
}

fn random<const N: usize>(dir: &Dir) -> Result<[u8; N], IoError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(io::Error::from).naming("draw random bytes for", dir.path())?;
    Ok(bytes)
}

/// A clear word for the commonest trick; opening without following symlinks is what keeps it out.
fn refuse_symlink(site: &Path) -> Result<(), SiteError> {
    let path = site.join(STORE);
    match path.symlink_metadata() {
        Ok(metadata) if metadata.is_symlink() => {
            Err(SiteError::Unsafe { path, why: "it is a symbolic link; the store must be a directory inside its site" })
        }
        _ => Ok(()),
    }
}

fn check_private(dir: &Dir) -> Result<(), SiteError> {
    dir.demand_private().map_err(|why| SiteError::Unsafe { path: dir.path().to_owned(), why })
}

fn read_key(dir: &Dir) -> Result<Option<[u8; 32]>, SiteError> {
    let path = dir.path().join(KEY_FILE);
    let Some(file) = dir.open_if_there(KEY_FILE)? else {
        return Ok(None);
    };
    let metadata = file.metadata().naming("look at", &path)?;
    check_owner(metadata.uid(), metadata.mode(), 0o077, &path)?;
    let content = dir.read_small(KEY_FILE, 33)?.unwrap_or_default();
    Ok(content.try_into().ok())
}

fn check_owner(uid: u32, mode: u32, forbidden: u32, path: &Path) -> Result<(), SiteError> {
    let why = if uid != rustix::process::geteuid().as_raw() {
        FOREIGN
    } else if mode & forbidden != 0 {
        OPEN
    } else {
        return Ok(());
    };
    Err(SiteError::Unsafe { path: path.to_owned(), why })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn format_lines() {
        let id = crate::hex::text(&[7; 16]);
        assert!(matches!(parse_format(format!("unship-store 1 {id}\n").as_bytes()), Some(Format::Known(_))));
        assert!(matches!(parse_format(b"unship-store 2 whatever comes\n"), Some(Format::Newer(2))));
        for bad in ["", "unship-store 1", "unship-store x\n", "unship-store 1 77\n", "other 1 x\n"] {
            assert!(parse_format(bad.as_bytes()).is_none(), "{bad:?}");
        }
    }
}
