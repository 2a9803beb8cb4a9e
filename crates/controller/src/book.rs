//! The daemon's book on disk: facts go through the state machine, then to its journal, flushed, before anything follows.

use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use unship_rollback::incident::{Book, Entry, Fact, IllegalFact, IncidentId};
use unship_store::{CheckpointError, Durability, Journal, JournalError, LockError, RunLock, WatchStore};

/// Why the book cannot be opened or written.
#[derive(Debug, thiserror::Error)]
pub enum BookError {
    /// Another daemon watches this site.
    #[error("another daemon watches this site")]
    Locked(#[source] LockError),
    /// The journal is damaged, or the disk refuses.
    #[error("the daemon's journal cannot be used")]
    Journal(#[from] JournalError),
    /// A record is none of ours, or cannot stand there.
    #[error("record {seq} of the daemon's journal cannot stand there: {why}")]
    Record {
        /// Its number.
        seq: u64,
        /// Why.
        why: String,
    },
    /// A fact cannot follow; nothing was written.
    #[error(transparent)]
    Illegal(#[from] IllegalFact),
    /// The head was not signed.
    #[error("the checkpoint of the daemon's journal was not signed")]
    Checkpoint(#[from] CheckpointError),
}

/// Called after facts were flushed, with their time: they are told, or a rehearsal is killed here.
pub type AfterFacts = Box<dyn Fn(u64, &[Fact]) + Send + Sync>;

/// The book, shared by the daemon's threads. One of them at a time writes; what it says is read without waiting for the disk.
#[derive(Clone)]
pub struct WatchBook {
    shared: Arc<Shared>,
}

struct Shared {
    store: Arc<WatchStore>,
    journal: Journal,
    book: Mutex<Book>,
    /// Held while facts go to disk, so that they get there in the order in which they were judged.
    writing: Mutex<()>,
    changed: Condvar,
    after: AfterFacts,
    _lock: RunLock,
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic in between left the book as it was: it is replaced as a whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Reads the book of a daemon, which may be running.
///
/// # Errors
/// A damaged journal, or a record that cannot stand where it is.
pub fn read(store: &WatchStore) -> Result<Book, BookError> {
    read_with(store, |_| ())
}

/// As [`read`], with each entry as it was written.
///
/// # Errors
/// As there.
fn read_with(store: &WatchStore, mut each: impl FnMut(Entry)) -> Result<Book, BookError> {
    let mut book = Book::default();
    for record in store.records()? {
        let record = record?;
        each(replay(&mut book, record.seq, &record.json)?);
    }
    Ok(book)
}

/// The facts of one incident, each with its time, in order; with the book of that moment.
///
/// # Errors
/// As [`read`].
pub fn read_facts(store: &WatchStore, id: &IncidentId) -> Result<(Book, Vec<(u64, Fact)>), BookError> {
    let mut facts = Vec::new();
    let book = read_with(store, |entry| {
        let at_ms = entry.at_ms;
        let its = entry.facts.into_iter().filter(|fact| fact.incident() == Some(id));
        facts.extend(its.map(|fact| (at_ms, fact)));
    })?;
    Ok((book, facts))
}

fn replay(book: &mut Book, seq: u64, json: &[u8]) -> Result<Entry, BookError> {
    let wrong = |why: String| BookError::Record { seq, why };
    let entry: Entry = serde_json::from_slice(json).map_err(|e| wrong(e.to_string()))?;
    book.replay(&entry).map_err(|e| wrong(e.to_string()))?;
    Ok(entry)
}

impl WatchBook {
    /// Takes the daemon's lock and reads its journal.
    ///
    /// # Errors
    /// [`BookError`]; nothing was changed then.
    pub fn open(store: Arc<WatchStore>, after: AfterFacts) -> Result<WatchBook, BookError> {
        let lock = store.try_lock().map_err(BookError::Locked)?;
        let (mut book, mut wrong) = (Book::default(), None);
        let journal = store.journal(&mut |record| {
            if wrong.is_none() {
                wrong = replay(&mut book, record.seq, record.json).err();
            }
        })?;
        if let Some(wrong) = wrong {
            return Err(wrong);
        }
        let shared = Shared {
            store,
            journal,
            book: Mutex::new(book),
            writing: Mutex::new(()),
            changed: Condvar::new(),
            after,
            _lock: lock,
        };
        Ok(WatchBook { shared: Arc::new(shared) })
    }

    /// What the book says now.
    pub fn read<T>(&self, look: impl FnOnce(&Book) -> T) -> T {
        look(&held(&self.shared.book))
    }

    /// Writes what became true together: one record. They are durable when it returns.
    ///
    /// # Errors
    /// [`BookError::Illegal`]: nothing was written. [`BookError::Journal`]: the disk refuses, and the daemon cannot go on.
    pub fn append(&self, at_ms: u64, facts: Vec<Fact>) -> Result<(), BookError> {
        self.append_made(at_ms, |_| facts)
    }

    /// As [`WatchBook::append`], of facts that depend on what the book says at that very moment. None is no record.
    ///
    /// # Errors
    /// As there.
    pub fn append_made(&self, at_ms: u64, make: impl FnOnce(&Book) -> Vec<Fact>) -> Result<(), BookError> {
        let _writing = held(&self.shared.writing);
        let (entry, next) = {
            let book = held(&self.shared.book);
            let entry = Entry { at_ms, facts: make(&book) };
            if entry.facts.is_empty() {
                return Ok(());
            }
            let mut next = book.clone();
            next.replay(&entry)?;
            (entry, next)
        };
        let line = serde_json::to_vec(&entry).map_err(|e| BookError::Record { seq: 0, why: e.to_string() })?;
        self.shared.journal.append(vec![line], Durability::Flush)?;
        *held(&self.shared.book) = next;
        self.shared.changed.notify_all();
        (self.shared.after)(at_ms, &entry.facts);
        Ok(())
    }

    /// Waits until the book was written to, or `longest` is over.
    pub fn wait(&self, longest: Duration) {
        let book = held(&self.shared.book);
        drop(self.shared.changed.wait_timeout(book, longest));
    }

    /// Waits until `is_so`, or `longest` is over.
    pub fn wait_until(&self, longest: Duration, mut is_so: impl FnMut(&Book) -> bool) -> bool {
        let book = held(&self.shared.book);
        let waited = self.shared.changed.wait_timeout_while(book, longest, |book| !is_so(book));
        waited.map(|(_, timeout)| !timeout.timed_out()).unwrap_or(false)
    }

    /// Wakes everybody who waits.
    pub fn wake(&self) {
        self.shared.changed.notify_all();
    }

    /// Signs the head of what was written.
    ///
    /// # Errors
    /// [`BookError::Checkpoint`].
    pub fn sign(&self) -> Result<(), BookError> {
        Ok(self.shared.store.sign_checkpoint(&self.shared.journal)?)
    }

    /// The folder that it lies in.
    pub fn store(&self) -> &WatchStore {
        &self.shared.store
    }
}
