//! The real journal on a disk that fails: the run stops, and what it made is taken back once the disk works again.

use crate::{
    property::{site_in, workshop},
    runs::{End, Killer, Way},
    steps::Op,
    trees::{What, difference, look},
};
use rustix::io::Errno;
use std::{
    fs, io,
    path::Path,
    sync::{Arc, Mutex},
};
use unship_rollback::{Durability, JournalFailure, JournalStore, Next, Outcome, Record, RunState};
use unship_store::{Journal, JournalOptions, LogFile, SiteId};

/// A file in memory. From the chosen writing call on each fails, and what was not flushed may be forgotten.
#[derive(Clone, Default)]
struct Faulty(Arc<Mutex<Content>>);

#[derive(Default)]
struct Content {
    disk: Vec<u8>,
    cache: Vec<u8>,
    calls: usize,
    fails_at: Option<(usize, Errno)>,
}

impl Content {
    fn call(&mut self) -> io::Result<()> {
        self.calls += 1;
        match self.fails_at {
            Some((at, errno)) if self.calls > at => Err(errno.into()),
            _ => Ok(()),
        }
    }
}

impl Faulty {
    fn with<T>(&self, edit: impl FnOnce(&mut Content) -> T) -> T {
        edit(&mut self.0.lock().expect("nobody panicked"))
    }
}

impl LogFile for Faulty {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.with(|content| {
            let rest = content.cache.get(offset as usize..).unwrap_or_default();
            let length = rest.len().min(buf.len());
            buf[..length].copy_from_slice(&rest[..length]);
            Ok(length)
        })
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.with(|content| {
            content.call()?;
            let end = offset as usize + bytes.len();
            if content.cache.len() < end {
                content.cache.resize(end, 0);
            }
            content.cache[offset as usize..end].copy_from_slice(bytes);
            Ok(())
        })
    }

    fn flush(&self) -> io::Result<()> {
        self.with(|content| {
            content.call()?;
            content.disk.clone_from(&content.cache);
            Ok(())
        })
    }

    fn length(&self) -> io::Result<u64> {
        self.with(|content| Ok(content.cache.len() as u64))
    }
}

struct OnDisk(Journal);

impl JournalStore for OnDisk {
    fn append(&mut self, records: &[Record], durability: Durability) -> Result<(), JournalFailure> {
        let lines = records.iter().map(|record| serde_json::to_vec(record).expect("JSON")).collect();
        let durability = match durability {
            Durability::Flushed => unship_store::Durability::Flush,
            Durability::Lazy => unship_store::Durability::Lazy,
        };
        self.0.append(lines, durability).map(drop).map_err(|e| JournalFailure(e.to_string()))
    }
}

/// Opens the journal and replays it.
fn open(file: &Faulty, id: SiteId) -> (Journal, RunState) {
    let mut state = RunState::default();
    let options = JournalOptions { extent_bytes: 0 };
    let journal = Journal::open_on(Box::new(file.clone()), Path::new("journal"), id, options, &mut |record| {
        let record: Record = serde_json::from_slice(record.json).expect("a record");
        state.advance(&record).expect("it follows");
    });
    (journal.expect("a journal"), state)
}

#[test]
fn a_journal_that_cannot_be_written_stops_the_run_and_what_it_made_is_taken_back() {
    let spec = vec![
        (0, What::File { size: 100, sparse: false, mode: 2, labelled: true }),
        (3, What::File { size: 100, sparse: false, mode: 0, labelled: false }),
    ];
    let first = vec![Op::Put { path: 0, size: 50, seed: 1 }, Op::Rename { from: 3, to: 12 }, Op::Mkdir { path: 3 }];
    let write = Op::Write { handle: 0, at: 3, size: 9, seed: 2 };
    let open_file = Op::Open { path: 12, create: false, truncate: false, follow: false };
    let steps = [first, vec![], vec![open_file, write, Op::SetAside { path: 0 }]];
    let folder = workshop();
    let scratch = folder.path().join("scratch");
    fs::create_dir(&scratch).expect("a folder");
    let mut failed = 0;
    for (errno, loses_power) in [(Errno::IO, false), (Errno::NOSPC, false), (Errno::IO, true), (Errno::NOSPC, true)] {
        for at in 0.. {
            let name = format!("{at}-{}-{loses_power}", errno.raw_os_error());
            let mut site = site_in(folder.path(), &name, &spec, &steps);
            let original = look(&site.root);
            let plan = site.plan(&scratch).expect("a plan");
            let id = site.store().id();
            let made = folder.path().join(format!("{name}-journal"));
            Journal::create(&made, id, JournalOptions { extent_bytes: 0 }).expect("a journal");
            let file = Faulty::default();
            file.with(|content| {
                content.disk = fs::read(&made).expect("read");
                content.cache.clone_from(&content.disk);
            });
            let (journal, state) = open(&file, id);
            file.with(|content| {
                content.calls = 0;
                content.fails_at = Some((at, errno));
            });
            let end = site.attempt_on(state, Box::new(OnDisk(journal)), Way::Execute(&plan), &Killer::at(0));
            let has_failed = matches!(end, End::Failed(_));
            failed += usize::from(has_failed);
            file.with(|content| {
                content.fails_at = None;
                if loses_power {
                    content.cache.clone_from(&content.disk);
                }
            });
            let (journal, state) = open(&file, id);
            if matches!(state.next(), Next::Nothing) && state.ended().is_none() {
                let now = look(&site.root);
                difference(&original, &now).unwrap_or_else(|e| panic!("{name}: done and not written down:\n{e}"));
                continue;
            }
            let End::Ended { report, .. } =
                site.attempt_on(state, Box::new(OnDisk(journal)), Way::Undo(Vec::new()), &Killer::at(0))
            else {
                panic!("{name}: the undo did not end")
            };
            assert_eq!(report.state.ended().map(|ended| ended.0), Some(Outcome::Undone), "{name}");
            difference(&original, &look(&site.root)).unwrap_or_else(|e| panic!("{name}:\n{e}"));
            if !has_failed {
                break;
            }
        }
    }
    assert!(failed > 8, "the faults hit: {failed}");
}
