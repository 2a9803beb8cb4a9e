//! The store's journal and this machine behind the ports of `rollback`.

use rustix::fd::AsFd;
use std::{
    fs::File,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};
use unship_rollback::{Clock, Durability, JournalFailure, JournalStore, Record, RunId};
use unship_store::Journal;

/// The journal of the store as the port.
pub struct StoreJournal(pub Arc<Journal>);

impl JournalStore for StoreJournal {
    fn append(&mut self, records: &[Record], durability: Durability) -> Result<(), JournalFailure> {
        let lines: Result<Vec<Vec<u8>>, _> = records.iter().map(serde_json::to_vec).collect();
        let lines = lines.map_err(|e| JournalFailure(e.to_string()))?;
        let durability = match durability {
            Durability::Flushed => unship_store::Durability::Flush,
            Durability::Lazy => unship_store::Durability::Lazy,
        };
        self.0.append(lines, durability).map(drop).map_err(|e| JournalFailure(with_causes(&e)))
    }
}

/// An error with what is behind it: a full disk is told by the last of them.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        // Transparent wrappers repeat their source's words.
        if !text.ends_with(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        next = cause.source();
    }
    text
}

/// This machine's clock.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now_ms(&self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }
}

/// A new run's id.
///
/// # Errors
/// When the system has no random numbers.
pub fn new_run_id(now_ms: u64) -> Result<RunId, String> {
    let mut random = [0u8; 4];
    getrandom::fill(&mut random).map_err(|e| e.to_string())?;
    let time = i64::try_from(now_ms).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    let time = time.ok_or("the clock is out of range")?.strftime("%Y%m%dt%H%M%Sz");
    RunId::new(&format!("r{time}-{:08x}", u32::from_be_bytes(random)))
        .ok_or_else(|| "a run's id has no form".to_owned())
}

/// Bytes that may still be written on the file system of `dir`.
pub fn free_bytes(dir: &std::path::Path) -> std::io::Result<u64> {
    let file = File::open(dir)?;
    let stat = rustix::fs::fstatvfs(file.as_fd())?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}
