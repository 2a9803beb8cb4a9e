//! A journal and its signed checkpoint in one directory: the site's own, and the daemon's.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use crate::checkpoint::{Checkpoint, CheckpointError, CheckpointKey, Signed};
use crate::dir::Dir;
use crate::error::{IoError, Naming};
use crate::journal::{self, Entries, Journal, JournalError, JournalOptions, Record, Report, SiteId};
use crate::note::NOTE_BYTES_MAX;

const JOURNAL_FILE: &str = "journal";
const CHECKPOINT_FILE: &str = "checkpoint";
const PUBLIC_KEY_FILE: &str = "checkpoint.pub";

/// A journal that was read from end to end and compared with its checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// What the journal looks like.
    pub report: Report,
    /// The checkpoint with which it was compared.
    pub checkpoint: Checkpoint,
    /// How many records are newer than that: of a run in flight, or of one that ended before it was signed.
    pub newer: u64,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct SignedJournal {
    dir: Dir,
    id: SiteId,
    key: CheckpointKey,
}

impl SignedJournal {
    /// `id` is what the journal's header names, `secret` the content of the store's `key`.
    pub(crate) fn new(dir: Dir, id: SiteId, secret: &[u8; 32]) -> Self {
        Self { dir, id, key: CheckpointKey::of(id, secret) }
    }

    /// The id in the header of the journal that is there already.
    pub(crate) fn id_in(dir: &Dir) -> Result<Option<SiteId>, JournalError> {
        match dir.open_if_there(JOURNAL_FILE)? {
            Some(_) => Ok(Some(journal::verify(&dir.path().join(JOURNAL_FILE))?.site)),
            None => Ok(None),
        }
    }

    /// Makes what is missing of an empty journal, its key's public half and its first checkpoint.
    pub(crate) fn complete(&self) -> Result<(), JournalError> {
        if self.dir.open_if_there(JOURNAL_FILE)?.is_none() {
            Journal::create_in(&self.dir, JOURNAL_FILE, self.id, JournalOptions::default())?;
        }
        self.dir.write_atomic(PUBLIC_KEY_FILE, &[self.key.public_line().as_bytes()])?;
        // One that is there may say more than this one would.
        if self.dir.open_if_there(CHECKPOINT_FILE)?.is_none() {
            let first = Checkpoint { records: 0, head: journal::genesis(self.id) };
            self.dir.write_atomic(CHECKPOINT_FILE, &[self.key.sign(&first).as_bytes()])?;
        }
        Ok(())
    }

    /// Where the journal is.
    pub(crate) fn path(&self) -> PathBuf {
        self.dir.path().join(JOURNAL_FILE)
    }

    /// See [`SiteStore::journal`](crate::SiteStore::journal).
    pub(crate) fn open(&self, visit: &mut dyn FnMut(Record<'_>)) -> Result<Journal, JournalError> {
        let file = self.dir.open_file(JOURNAL_FILE, OFlags::RDWR)?;
        let signed = || Ok(Some(self.signed()?));
        Journal::open_file(file, &self.path(), self.id, JournalOptions::default(), &signed, visit)
    }

    /// See [`SiteStore::records`](crate::SiteStore::records).
    pub(crate) fn records(&self) -> Result<Entries, JournalError> {
        // Before the journal is opened, so that a run that goes on meanwhile makes the journal the newer of the two.
        let signed = self.signed();
        let scanner = journal::scan_of(&self.path(), self.id)?;
        Entries::against(scanner, signed?)
    }

    /// See [`SiteStore::verify`](crate::SiteStore::verify).
    pub(crate) fn verify(&self, kept: Option<&Path>) -> Result<Verified, JournalError> {
        let signed = self.signed();
        let scanner = journal::scan_of(&self.path(), self.id)?;
        let mut all = vec![signed?];
        if let Some(path) = kept {
            let mut note = Vec::new();
            let file = File::open(path).naming("open", path)?;
            file.take(NOTE_BYTES_MAX as u64 + 1).read_to_end(&mut note).naming("read", path)?;
            all.push(self.key.open(&note, path)?);
        }
        let checkpoint = all[all.len() - 1].checkpoint;
        let report = journal::verify_against(scanner, all)?;
        let newer = report.records - checkpoint.records;
        Ok(Verified { report, checkpoint, newer })
    }

    /// See [`SiteStore::sign_checkpoint`](crate::SiteStore::sign_checkpoint).
    pub(crate) fn sign(&self, journal: &Journal) -> Result<(), CheckpointError> {
        let (records, head) = journal.durable();
        let Signed { path, checkpoint: present } = self.signed()?;
        if present.records >= records {
            return match present.records == records && present.head != head {
                true => Err(CheckpointError::Forked { path, at: records }),
                false => Ok(()),
            };
        }
        let note = self.key.sign(&Checkpoint { records, head });
        // Without a flush of the directory: a loss of power may bring the older checkpoint back, which stays valid.
        Ok(self.dir.replace(CHECKPOINT_FILE, &[note.as_bytes()])?)
    }

    /// The present checkpoint, its signature checked.
    fn signed(&self) -> Result<Signed, CheckpointError> {
        let read = |name, bytes_max: usize| -> Result<_, CheckpointError> {
            let path = self.dir.path().join(name);
            let content: Result<_, IoError> = self.dir.read_small(name, bytes_max as u64 + 1);
            match content? {
                Some(content) => Ok((path, content)),
                None => Err(CheckpointError::Missing { path }),
            }
        };
        let public = self.key.public_line();
        let (path, found) = read(PUBLIC_KEY_FILE, public.len())?;
        if found != public.as_bytes() {
            return Err(CheckpointError::Untrusted {
                path,
                why: "it is not the public key of this site's checkpoints",
            });
        }
        let (path, note) = read(CHECKPOINT_FILE, NOTE_BYTES_MAX)?;
        self.key.open(&note, &path)
    }
}
