//! The journal read back: every run as the state machine sees it.

use crate::{
    error::{CliError, Result},
    exit::Exit,
};
use std::collections::HashMap;
use unship_policy::Memory;
use unship_rollback::{Record, RunId, RunState};
use unship_store::{CheckpointError, Entry, JournalError, SiteStore};

/// All runs of a site, oldest first.
#[derive(Debug, Default)]
pub struct History {
    runs: Vec<RunState>,
    index: HashMap<RunId, usize>,
    memory: Memory,
}

impl History {
    /// Reads the whole journal; nothing is written.
    pub fn read(store: &SiteStore) -> Result<History> {
        let mut history = History::default();
        for_each(store, |_, record| history.take(record))?;
        Ok(history)
    }

    /// Takes in the next record.
    pub fn take(&mut self, record: &Record) -> std::result::Result<(), String> {
        crate::trust::remember(&mut self.memory, record);
        let index = *self.index.entry(record.run.clone()).or_insert_with(|| {
            self.runs.push(RunState::default());
            self.runs.len() - 1
        });
        self.runs[index].advance(record).map_err(|e| e.to_string())
    }

    /// What the trust root is compared with.
    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    /// Oldest first.
    pub fn runs(&self) -> &[RunState] {
        &self.runs
    }

    /// One run.
    pub fn run(&self, id: &str) -> Result<&RunState> {
        let run = RunId::new(id).and_then(|id| self.index.get(&id)).map(|index| &self.runs[*index]);
        run.ok_or_else(|| {
            CliError::user(format!("there is no run {id:?} at this site")).hint("`unship runs` lists them")
        })
    }

    /// The last run of a story.
    pub fn last_of(&self, story: &str) -> Option<&RunState> {
        self.runs.iter().rev().find(|run| run.story() == story)
    }

    /// The runs that did not end.
    pub fn in_flight(&self) -> impl Iterator<Item = &RunState> {
        self.runs.iter().filter(|run| run.ended().is_none())
    }
}

/// Reads the journal from end to end, each record checked against the chain and then parsed; at the end, whether it is
/// what its checkpoint speaks of.
pub fn for_each(
    store: &SiteStore,
    mut visit: impl FnMut(&Entry, &Record) -> std::result::Result<(), String>,
) -> Result<()> {
    for entry in store.records().map_err(|e| not_intact(&e))? {
        let entry = entry.map_err(|e| not_intact(&e))?;
        let parsed = serde_json::from_slice::<Record>(&entry.json).map_err(|e| e.to_string());
        parsed.and_then(|record| visit(&entry, &record)).map_err(|why| {
            CliError::new(Exit::Journal, format!("the journal is not intact: record {} cannot stand there", entry.seq))
                .cause(why)
        })?;
    }
    Ok(())
}

/// What is wrong with its content is 7; a journal that cannot be opened is nobody's forgery.
pub fn not_intact(e: &JournalError) -> CliError {
    match e {
        JournalError::Damaged { .. }
        | JournalError::Foreign { .. }
        | JournalError::Checkpoint(
            CheckpointError::Missing { .. }
            | CheckpointError::Untrusted { .. }
            | CheckpointError::Cut { .. }
            | CheckpointError::Forked { .. },
        ) => CliError::new(Exit::Journal, "the journal is not intact").because(e),
        JournalError::Io(_)
        | JournalError::Checkpoint(CheckpointError::Io(_))
        | JournalError::Newer { .. }
        | JournalError::InUse { .. }
        | JournalError::Stopped { .. }
        | JournalError::BadRecord { .. }
        | JournalError::TooLarge { .. } => CliError::user("the journal cannot be used").because(e),
    }
}
