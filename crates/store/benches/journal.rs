//! Which store for the journal: this crate's log, or SQLite? Both do the same work: a hash chain over JSON records, each
//! append durable before it returns, a common flush for writers that come together.
//!
//! `cargo bench -p unship-store --bench journal -- [--records N] [--appends N] [--dir DIR]`. DIR must lie on a disk; the
//! default is the folder for temporary files. The candidates take turns, so that a slow minute hits all alike.

use std::error::Error;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Barrier, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use sha2::{Digest, Sha256};
use unship_store::{Durability, Journal, JournalOptions, LogFile, SiteId, verify};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// How often recovery is measured.
const ROUNDS: usize = 5;

/// Appends of one candidate before the next one's turn.
const SLICE_APPENDS: usize = 160;

const SITE: [u8; 16] = [7; 16];

fn main() -> Result<()> {
    let options = Options::from_args()?;
    let folder = tempfile::tempdir_in(&options.dir)?;
    println!("append, durable before return; {} appends each, records of {} bytes", options.appends, record(0).len());
    println!("{:<34} {:>7} {:>9} {:>9} {:>9} {:>10}", "", "writers", "p50 µs", "p99 µs", "mean µs", "records/s");
    for writers in [1, 16] {
        let folder = tempfile::tempdir_in(&options.dir)?;
        let mut candidates = Vec::new();
        for kind in Kind::ALL {
            candidates.push((kind, kind.open(&folder.path().join(format!("{kind:?}")))?, Samples::default()));
        }
        // In small slices, so that what else the machine does falls on all alike.
        for slice in 0..=options.appends / SLICE_APPENDS {
            for (_, store, samples) in &mut candidates {
                if slice == 0 {
                    Samples::default().measure(&**store, writers);
                } else {
                    samples.measure(&**store, writers);
                }
            }
        }
        for (kind, _, samples) in candidates {
            samples.print(kind.name(), writers);
        }
    }
    recovery(folder.path(), options.records)
}

/// Fills both stores and measures opening with a check of the whole chain, in turns.
fn recovery(folder: &Path, records: u64) -> Result<()> {
    let log = folder.join("log");
    Journal::create(&log, SiteId::new(SITE), JournalOptions::default())?;
    let journal = open_log(&log)?;
    let sqlite = folder.join("sqlite");
    let mut database = Database::open(&sqlite)?;
    for start in (0..records).step_by(10_000) {
        let batch: Vec<Vec<u8>> = (start..records.min(start + 10_000)).map(record).collect();
        database.insert(&batch)?;
        journal.append(batch, Durability::Flush)?;
    }
    drop((journal, database));
    println!("\nrecovery with a check of the whole chain; {records} records");
    println!("{:<34} {:>9} {:>12}", "", "s (best)", "file bytes");
    let (mut best_log, mut best_sqlite) = (Duration::MAX, Duration::MAX);
    for _ in 0..ROUNDS {
        let start = Instant::now();
        assert_eq!(verify(&log)?.records, records);
        drop(open_log(&log)?);
        // Verified twice, alone and on opening for appending; one of them is the recovery.
        best_log = best_log.min(start.elapsed() / 2);
        let start = Instant::now();
        assert_eq!(Database::open(&sqlite)?.verify()?, records);
        best_sqlite = best_sqlite.min(start.elapsed());
    }
    for (name, best, path) in [("log", best_log, log), ("SQLite", best_sqlite, sqlite)] {
        println!("{name:<34} {:>9.2} {:>12}", best.as_secs_f64(), std::fs::metadata(path)?.len());
    }
    Ok(())
}

struct Options {
    records: u64,
    appends: usize,
    dir: PathBuf,
}

impl Options {
    fn from_args() -> Result<Self> {
        let mut options = Self { records: 1_000_000, appends: 16_000, dir: std::env::temp_dir() };
        let mut args = std::env::args().skip(1);
        while let Some(arg) = args.next() {
            let mut value = || args.next().ok_or(format!("{arg} needs a value"));
            match arg.as_str() {
                "--records" => options.records = value()?.parse()?,
                "--appends" => options.appends = value()?.parse()?,
                "--dir" => options.dir = value()?.into(),
                // What cargo adds.
                "--bench" => {}
                _ => return Err(format!("unknown argument {arg}").into()),
            }
        }
        Ok(options)
    }
}

/// About as long as an effect's record.
fn record(number: u64) -> Vec<u8> {
    format!(
        r#"{{"type":"effect-applied","run":"01JZ8Y2V9K3M4N5P","step":"replace-engine","effect":{number},"path":"tools/data-services/engine.js","digest":"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"}}"#
    )
    .into_bytes()
}

/// The candidates.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Log,
    LogFallocated,
    LogGrowing,
    Sqlite,
    SqliteDirect,
}

impl Kind {
    const ALL: [Self; 5] = [Self::Log, Self::LogFallocated, Self::LogGrowing, Self::Sqlite, Self::SqliteDirect];

    fn name(self) -> &'static str {
        match self {
            Self::Log => "log, zeros written ahead",
            Self::LogFallocated => "log, fallocate ahead",
            Self::LogGrowing => "log, file grows",
            Self::Sqlite => "SQLite, group-commit thread",
            Self::SqliteDirect => "SQLite, behind a mutex",
        }
    }

    fn open(self, path: &Path) -> Result<Box<dyn Store>> {
        let site = SiteId::new(SITE);
        Ok(match self {
            Self::Log => {
                Journal::create(path, site, JournalOptions::default())?;
                Box::new(open_log(path)?)
            }
            Self::LogFallocated => {
                Journal::create(path, site, JournalOptions { extent_bytes: 0 })?;
                let file = File::options().read(true).write(true).open(path)?;
                let options = JournalOptions::default();
                Box::new(Journal::open_on(Box::new(Fallocated(file)), path, site, options, &mut |_| ())?)
            }
            Self::LogGrowing => {
                let options = JournalOptions { extent_bytes: 0 };
                Journal::create(path, site, options)?;
                Box::new(Journal::open(path, site, options)?)
            }
            Self::Sqlite => Box::new(GroupCommit::start(Database::open(path)?)),
            Self::SqliteDirect => Box::new(Mutex::new(Database::open(path)?)),
        })
    }
}

trait Store: Sync {
    /// Appends one record; it is durable when this returns.
    fn append(&self, json: Vec<u8>);
}

fn open_log(path: &Path) -> Result<Journal> {
    Ok(Journal::open(path, SiteId::new(SITE), JournalOptions::default())?)
}

impl Store for Journal {
    fn append(&self, json: Vec<u8>) {
        Journal::append(self, vec![json], Durability::Flush).expect("append");
    }
}

/// Reserves where the journal would write zeros.
struct Fallocated(File);

impl LogFile for Fallocated {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read_at(buf, offset)
    }
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        if bytes.iter().all(|byte| *byte == 0) {
            let flags = rustix::fs::FallocateFlags::empty();
            return Ok(rustix::fs::fallocate(&self.0, flags, offset, bytes.len() as u64)?);
        }
        self.0.write_all_at(bytes, offset)
    }
    fn flush(&self) -> io::Result<()> {
        self.0.sync_data()
    }
    fn length(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }
}

/// The same chain in a table.
struct Database {
    connection: Connection,
    head: [u8; 32],
    next: u64,
}

impl Database {
    fn open(path: &Path) -> Result<Self> {
        let connection = Connection::open(path)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.execute_batch(
            "CREATE TABLE IF NOT EXISTS journal (seq INTEGER PRIMARY KEY, hash BLOB NOT NULL, json TEXT NOT NULL)",
        )?;
        Ok(Self { connection, head: [0; 32], next: 1 })
    }

    fn insert(&mut self, batch: &[Vec<u8>]) -> Result<()> {
        let transaction = self.connection.transaction()?;
        {
            let mut insert = transaction.prepare_cached("INSERT INTO journal VALUES (?, ?, ?)")?;
            for json in batch {
                self.head = chain(&self.head, self.next, json);
                insert.execute((self.next.cast_signed(), self.head, std::str::from_utf8(json)?))?;
                self.next += 1;
            }
        }
        Ok(transaction.commit()?)
    }

    fn verify(&self) -> Result<u64> {
        let mut select = self.connection.prepare("SELECT seq, hash, json FROM journal ORDER BY seq")?;
        let mut rows = select.query(())?;
        let (mut head, mut next) = ([0; 32], 1);
        while let Some(row) = rows.next()? {
            assert_eq!(row.get::<_, i64>(0)?.cast_unsigned(), next);
            head = chain(&head, next, row.get_ref(2)?.as_bytes()?);
            assert_eq!(row.get_ref(1)?.as_blob()?, head);
            next += 1;
        }
        Ok(next - 1)
    }
}

fn chain(head: &[u8; 32], seq: u64, json: &[u8]) -> [u8; 32] {
    Sha256::new().chain_update(head).chain_update(format!("{seq} ")).chain_update(json).finalize().into()
}

impl Store for Mutex<Database> {
    fn append(&self, json: Vec<u8>) {
        self.lock().expect("lock").insert(&[json]).expect("insert");
    }
}

type Append = (Vec<u8>, SyncSender<()>);

/// One thread owns the database and commits all that is waiting at once.
struct GroupCommit(Sender<Append>);

impl GroupCommit {
    fn start(database: Database) -> Self {
        let (sender, receiver) = channel();
        thread::spawn(move || Self::run(database, &receiver));
        Self(sender)
    }

    fn run(mut database: Database, receiver: &Receiver<Append>) {
        while let Ok(first) = receiver.recv() {
            let (batch, done): (Vec<_>, Vec<_>) = std::iter::once(first).chain(receiver.try_iter()).unzip();
            database.insert(&batch).expect("insert");
            for done in done {
                done.send(()).expect("acknowledge");
            }
        }
    }
}

impl Store for GroupCommit {
    fn append(&self, json: Vec<u8>) {
        let (done, acknowledged) = sync_channel(1);
        self.0.send((json, done)).expect("send");
        acknowledged.recv().expect("acknowledgement");
    }
}

#[derive(Default)]
struct Samples {
    latencies: Vec<Duration>,
    elapsed: Duration,
}

impl Samples {
    fn measure(&mut self, store: &dyn Store, writers: usize) {
        let barrier = Barrier::new(writers + 1);
        thread::scope(|scope| {
            let threads: Vec<_> = (0..writers)
                .map(|_| {
                    scope.spawn(|| {
                        barrier.wait();
                        (0..SLICE_APPENDS / writers).map(|number| timed(store, number)).collect::<Vec<_>>()
                    })
                })
                .collect();
            barrier.wait();
            let start = Instant::now();
            for thread in threads {
                self.latencies.extend(thread.join().expect("writer"));
            }
            self.elapsed += start.elapsed();
        });
    }

    fn print(mut self, name: &str, writers: usize) {
        self.latencies.sort_unstable();
        let at = |share: f64| {
            let index = (self.latencies.len() as f64 * share) as usize;
            self.latencies[index.min(self.latencies.len() - 1)].as_secs_f64() * 1e6
        };
        let count = self.latencies.len() as f64;
        let mean = self.latencies.iter().sum::<Duration>().as_secs_f64() * 1e6 / count;
        let rate = count / self.elapsed.as_secs_f64();
        println!("{name:<34} {writers:>7} {:>9.0} {:>9.0} {mean:>9.0} {rate:>10.0}", at(0.5), at(0.99));
    }
}

fn timed(store: &dyn Store, number: usize) -> Duration {
    let json = record(number as u64);
    let start = Instant::now();
    store.append(json);
    start.elapsed()
}
