//! The signed head of the journal, which shows a tail that was cut and a copy that went its own way.
//!
//! The chain alone cannot: a journal cut at a line's end is a good journal, and so is a fork. So at the end of each run
//! the head is signed and put beside the journal, in `.unship/checkpoint`:
//!
//! ```text
//! unship-journal/<site id, 32 hex digits>
//! <number of records, decimal>
//! <base64 of the last record's 32-byte hash; of the header's where there is no record>
//!
//! — unship-journal/<site id> <base64( key id ‖ signature )>
//! ```
//!
//! It is a signed note, see `note.rs`, of the shape of <https://c2sp.org/tlog-checkpoint>, so that the tools of that
//! family can keep it and sign it too. One thing differs: the third line is the head of a hash chain, not the root of a
//! Merkle tree. It says as much about all records before it; there is no shorter proof than the records themselves.
//!
//! The key is Ed25519. Its seed is SHA-256( `unship-checkpoint-key 1\n` ‖ the store's 32-byte `key` ), so there is no
//! second secret. Its public half is in `.unship/checkpoint.pub`, one line: `<name>+<key id, hex>+<base64( 0x01 ‖ key )>`.
//!
//! # What it shows
//!
//! Records that are newer than the checkpoint are fine: a run is in flight, or ended by a crash before it was signed.
//! Fewer records than it speaks of, or another hash at its record, are not. Whoever can write all of `.unship/` can also
//! put an older checkpoint or a copy's in place, or read the key: only a checkpoint and a public key kept elsewhere show that.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::error::IoError;
use crate::journal::{Hash, SiteId};
use crate::note::{NoteKey, base64, from_base64};

/// What a checkpoint says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checkpoint {
    /// How many records the journal had.
    pub records: u64,
    /// The hash of the last of them, or of the header where there was none.
    pub head: Hash,
}

/// Why a checkpoint could not be read or signed, or what it shows of the journal. Texts read after "failed to".
#[derive(Debug, Clone, thiserror::Error)]
pub enum CheckpointError {
    /// The operating system refused.
    #[error(transparent)]
    Io(#[from] IoError),
    /// A store has had both files since it was made.
    #[error(
        "find {path}: without it a cut journal cannot be told; put it back from a backup or from where a copy is kept",
        path = path.display()
    )]
    Missing {
        /// Where it should be.
        path: PathBuf,
    },
    /// It is no checkpoint of this site.
    #[error("trust {path}: {why}; put it back from a backup or from where a copy is kept", path = path.display())]
    Untrusted {
        /// The checkpoint or the public key.
        path: PathBuf,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The journal's newest records are gone.
    #[error(
        "trust the journal: cut: the checkpoint {path} was signed at {signed} records, the journal has {found}; put the \
         journal back from a backup",
        path = path.display()
    )]
    Cut {
        /// The checkpoint.
        path: PathBuf,
        /// How many records there were.
        signed: u64,
        /// How many there are.
        found: u64,
    },
    /// The journal has other records than it had.
    #[error(
        "trust the journal: forked or rewritten: record {at} is not the one at which the checkpoint {path} was signed; \
         put the journal back from a backup",
        path = path.display()
    )]
    Forked {
        /// The checkpoint.
        path: PathBuf,
        /// The number of the record.
        at: u64,
    },
}

/// The key that signs a site's checkpoints.
#[derive(Debug)]
pub(crate) struct CheckpointKey {
    origin: String,
    key: NoteKey,
}

impl CheckpointKey {
    /// `secret` is the content of the store's `key`.
    pub(crate) fn of(site: SiteId, secret: &[u8; 32]) -> Self {
        let origin = format!("unship-journal/{site}");
        let seed = Sha256::new().chain_update(b"unship-checkpoint-key 1\n").chain_update(secret).finalize();
        Self { key: NoteKey::new(origin.clone(), &seed.into()), origin }
    }

    /// The content of `checkpoint.pub`.
    pub(crate) fn public_line(&self) -> String {
        self.key.verifier().line()
    }

    pub(crate) fn sign(&self, checkpoint: &Checkpoint) -> String {
        let Checkpoint { records, head } = checkpoint;
        self.key.sign(&format!("{}\n{records}\n{}\n", self.origin, base64(head)))
    }

    /// Reads a checkpoint that this key signed; `path` is for messages.
    pub(crate) fn open(&self, note: &[u8], path: &Path) -> Result<Signed, CheckpointError> {
        let checkpoint = self.key.verifier().open(note).and_then(|text| parse(text, &self.origin));
        match checkpoint {
            Ok(checkpoint) => Ok(Signed { path: path.to_owned(), checkpoint }),
            Err(why) => Err(CheckpointError::Untrusted { path: path.to_owned(), why }),
        }
    }
}

fn parse(text: &str, origin: &str) -> Result<Checkpoint, &'static str> {
    let lines: Vec<&str> = text.split('\n').collect();
    let [found, records, head, ""] = lines[..] else {
        return Err("its text has not three lines");
    };
    if found != origin {
        return Err("it is the checkpoint of another site");
    }
    let number = records.parse().ok().filter(|number: &u64| number.to_string() == records);
    let hash = from_base64(head.as_bytes()).and_then(|bytes| bytes.try_into().ok());
    Ok(Checkpoint {
        records: number.ok_or("its second line is not a number of records")?,
        head: hash.ok_or("its third line is not the hash of a record")?,
    })
}

/// A checkpoint with a good signature.
#[derive(Debug, Clone)]
pub(crate) struct Signed {
    pub(crate) path: PathBuf,
    pub(crate) checkpoint: Checkpoint,
}

/// Compares a journal with a checkpoint while the journal is read.
#[derive(Debug)]
pub(crate) struct Watch(Signed);

impl Watch {
    /// `genesis` is the hash of the journal's header.
    pub(crate) fn begin(signed: Signed, genesis: &Hash) -> Result<Self, CheckpointError> {
        let this = Self(signed);
        this.see(0, genesis)?;
        Ok(this)
    }

    /// The next record.
    pub(crate) fn see(&self, seq: u64, hash: &Hash) -> Result<(), CheckpointError> {
        let Signed { path, checkpoint } = &self.0;
        if seq == checkpoint.records && *hash != checkpoint.head {
            return Err(CheckpointError::Forked { path: path.clone(), at: seq });
        }
        Ok(())
    }

    /// There are no more records. Gives how many are newer than the checkpoint.
    pub(crate) fn end(&self, records: u64) -> Result<u64, CheckpointError> {
        let Signed { path, checkpoint } = &self.0;
        let signed = checkpoint.records;
        records.checked_sub(signed).ok_or_else(|| CheckpointError::Cut { path: path.clone(), signed, found: records })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN_KEY: &str =
        "unship-journal/abababababababababababababababab+954ed229+AXnxbv4nhNp1b92efenHFCNZzs7ATi6A6KFYlLk24VzD\n";
    const KNOWN_NOTE: &str = concat!(
        "unship-journal/abababababababababababababababab\n",
        "12\nWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlo=\n\n",
        "— unship-journal/abababababababababababababababab ",
        "lU7SKWq2BVSRjdsNphH8mG2x+A9b7CjSPnYKrLMNJW1299j1rt9V0GfWr79pQ3bufCXHBKfjLkUxzUSvGnbGpqZw+g0=\n"
    );

    fn key() -> CheckpointKey {
        CheckpointKey::of(SiteId::new([0xab; 16]), &[7; 32])
    }

    fn why(note: &str) -> &'static str {
        match key().open(note.as_bytes(), Path::new("checkpoint")) {
            Err(CheckpointError::Untrusted { why, .. }) => why,
            other => panic!("{note}: {other:?}"),
        }
    }

    /// Made by an independent program from the description above.
    #[test]
    fn the_format_is_as_described() {
        assert_eq!(key().public_line(), KNOWN_KEY);
        assert_eq!(key().sign(&Checkpoint { records: 12, head: [0x5a; 32] }), KNOWN_NOTE);
        let opened = key().open(KNOWN_NOTE.as_bytes(), Path::new("checkpoint")).unwrap();
        assert_eq!(opened.checkpoint, Checkpoint { records: 12, head: [0x5a; 32] });
    }

    #[test]
    fn a_well_signed_text_that_is_no_checkpoint_of_the_site_is_refused() {
        let key = key();
        let origin = "unship-journal/abababababababababababababababab";
        let head = base64(&[1; 32]);
        for (text, fault) in [
            (format!("{origin}\n1\n"), "its text has not three lines"),
            (format!("{origin}\n1\n{head}\nmore\n"), "its text has not three lines"),
            (format!("{origin}\n\n1\n{head}\n"), "its text has not three lines"),
            (format!("unship-journal/00\n1\n{head}\n"), "it is the checkpoint of another site"),
            (format!(" {origin}\n1\n{head}\n"), "it is the checkpoint of another site"),
            (format!("{origin}\n\u{661}\n{head}\n"), "its second line is not a number of records"),
            (format!("{origin}\n01\n{head}\n"), "its second line is not a number of records"),
            (format!("{origin}\n+1\n{head}\n"), "its second line is not a number of records"),
            (format!("{origin}\n-1\n{head}\n"), "its second line is not a number of records"),
            (format!("{origin}\n18446744073709551616\n{head}\n"), "its second line is not a number of records"),
            (format!("{origin}\n1\n{}\n", base64(&[1; 31])), "its third line is not the hash of a record"),
            (format!("{origin}\n1\n{head} \n"), "its third line is not the hash of a record"),
        ] {
            assert_eq!(why(&key.key.sign(&text)), fault, "{text}");
        }
        for (other, site) in [([8; 32], [0xab; 16]), ([7; 32], [0xac; 16])] {
            let note = CheckpointKey::of(SiteId::new(site), &other).sign(&Checkpoint { records: 0, head: [0; 32] });
            assert_eq!(why(&note), "it has no signature by this site's key");
        }
    }

    #[test]
    fn a_journal_is_compared_with_what_was_signed() {
        let watch = |records, byte| {
            let signed = Signed { path: "c".into(), checkpoint: Checkpoint { records, head: [byte; 32] } };
            Watch::begin(signed, &[0; 32])
        };
        // A journal whose record n has the hash n n n …
        let run = |watch: &Watch, records: u8| {
            (1..=records).try_for_each(|n| watch.see(n.into(), &[n; 32])).and_then(|()| watch.end(records.into()))
        };
        assert!(matches!(watch(0, 1), Err(CheckpointError::Forked { at: 0, .. })));
        assert_eq!(run(&watch(0, 0).unwrap(), 2).unwrap(), 2);
        assert_eq!(run(&watch(2, 2).unwrap(), 2).unwrap(), 0);
        assert_eq!(run(&watch(2, 2).unwrap(), 5).unwrap(), 3);
        let cut = run(&watch(2, 2).unwrap(), 1).unwrap_err().to_string();
        assert!(cut.contains("cut: the checkpoint c was signed at 2 records, the journal has 1"), "{cut}");
        let forked = run(&watch(2, 3).unwrap(), 5).unwrap_err().to_string();
        assert!(forked.contains("forked or rewritten: record 2 is not the one"), "{forked}");
    }
}
