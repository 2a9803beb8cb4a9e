//! Tests of the journal, and what they share.

mod damage;
mod faulty;
mod power_loss;
mod sharing;
mod writing;

use std::path::Path;

use sha2::{Digest, Sha256};

use super::read::verify_on;
use super::*;
use faulty::FaultyFile;

const PATH: &str = "journal";

/// Small enough that tests cross the borders of extents.
const OPTIONS: JournalOptions = JournalOptions { extent_bytes: 4096 };

fn site() -> SiteId {
    SiteId::new([0xab; 16])
}

fn json(number: usize, filler: usize) -> Vec<u8> {
    format!(r#"{{"number":{number},"filler":"{}"}}"#, "x".repeat(filler)).into_bytes()
}

fn open(file: &FaultyFile) -> Result<(Journal, Vec<Vec<u8>>), JournalError> {
    let mut found = Vec::new();
    let mut visit = |record: Record<'_>| found.push(record.json.to_vec());
    let journal = Journal::open_on(Box::new(file.clone()), Path::new(PATH), site(), OPTIONS, &mut visit)?;
    Ok((journal, found))
}

fn check(content: &[u8]) -> Result<Report, JournalError> {
    verify_on(FaultyFile::holding(content), Path::new(PATH))
}

fn damage(content: &[u8]) -> (u64, Damage) {
    match check(content) {
        Err(JournalError::Damaged { line, damage, .. }) => (line, damage),
        other => panic!("not told: {other:?}"),
    }
}

/// A journal of `count` records, each with a flush of its own, up to the end of its last line.
fn content(count: usize, filler: usize) -> Vec<u8> {
    let file = FaultyFile::new_journal();
    let (journal, _) = open(&file).unwrap();
    for number in 0..count {
        journal.append(vec![json(number, filler)], Durability::Flush).unwrap();
    }
    let mut content = file.after_kill();
    let end = content.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    content.truncate(end);
    content
}

fn with_zeros(content: &[u8]) -> Vec<u8> {
    let mut content = content.to_vec();
    content.resize(content.len().next_multiple_of(4096), 0);
    content
}

/// The format as its description has it, with nothing of the product's code.
#[test]
fn format_is_as_described() {
    let content = content(3, 5);
    let text = std::str::from_utf8(&content).unwrap();
    let header = "unship-journal 1 abababababababababababababababab\n";
    let lines = text.strip_prefix(header).unwrap().lines();
    let mut head = Sha256::digest(header).to_vec();
    for (number, line) in lines.enumerate() {
        let (hash, rest) = line.split_once(' ').unwrap();
        let digest = Sha256::digest([&head[..], rest.as_bytes()].concat()).to_vec();
        let digits: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hash, digits);
        let seq = number + 1;
        assert_eq!(rest, format!(r#"{seq} {seq} {{"number":{number},"filler":"xxxxx"}}"#));
        head = digest;
    }
    assert_eq!(check(&content).unwrap().head.to_vec(), head);
}
