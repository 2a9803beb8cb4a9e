//! Journals: their files, their signed heads, and what their records say.

use crate::Edits;
use sha2::{Digest as _, Sha256};
use std::{
    fs,
    path::{Path, PathBuf},
    sync::LazyLock,
};
use unship_rollback::{Record, RunState, incident};
use unship_store::{Durability, Journal, JournalOptions, SiteId, SiteStore, read, verify};

/// A folder of this process, in memory where that is possible.
static WORKSHOP: LazyLock<PathBuf> = LazyLock::new(|| {
    let memory = Path::new("/dev/shm");
    let base = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    let folder = base.join(format!("unship-fuzz-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder");
    folder
});

/// Whose journals these are.
fn own_site() -> SiteId {
    SiteId::new([7; 16])
}

/// A journal of some records in two flushes, with its records.
static GOOD: LazyLock<(Vec<u8>, Vec<Vec<u8>>)> = LazyLock::new(|| {
    let path = WORKSHOP.join("good");
    let _ = fs::remove_file(&path);
    Journal::create(&path, own_site(), JournalOptions::default()).expect("made");
    let journal = Journal::open(&path, own_site(), JournalOptions::default()).expect("opened");
    let records: Vec<Vec<u8>> = (0..8).map(|n| format!("{{\"n\":{n}}}").into_bytes()).collect();
    journal.append(records[..5].to_vec(), Durability::Flush).expect("written");
    journal.append(records[5..].to_vec(), Durability::Flush).expect("written");
    drop(journal);
    let bytes = fs::read(&path).expect("read");
    // The zeros at the end say nothing, and would take all of a fuzzer's time.
    let end = bytes.iter().rposition(|b| *b != 0).map_or(0, |last| last + 1);
    (bytes[..end + 16.min(bytes.len() - end)].to_vec(), records)
});

/// The hash of a line with this behind its hash, which follows the record of the hash `head`; and its digits.
fn link(head: &[u8], rest: &[u8]) -> (Vec<u8>, String) {
    let own = Sha256::new_with_prefix(head).chain_update(rest).finalize().to_vec();
    let hex = own.iter().map(|b| format!("{b:02x}")).collect();
    (own, hex)
}

/// The chain, computed by what the format says and by none of the reader's code: the records up to the first that is not whole.
fn chain(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut lines = bytes.split_inclusive(|b| *b == b'\n');
    let Some(header) = lines.next() else { return Vec::new() };
    let mut head = Sha256::digest(header).to_vec();
    let mut records = Vec::new();
    for line in lines {
        let Some(line) = line.strip_suffix(b"\n") else { break };
        let Some((hash, rest)) = line.split_at_checked(64) else { break };
        let Some(rest) = rest.strip_prefix(b" ") else { break };
        let (own, hex) = link(&head, rest);
        let mut parts = rest.splitn(3, |b| *b == b' ');
        let (Some(seq), Some(_floor), Some(json)) = (parts.next(), parts.next(), parts.next()) else { break };
        if hex.as_bytes() != hash || seq != (records.len() + 1).to_string().as_bytes() {
            break;
        }
        records.push(json.to_vec());
        head = own;
    }
    records
}

/// A journal of these records, chained by what the format says, three in a flush; and where its header and each record end.
fn chained(records: &[Vec<u8>]) -> (Vec<u8>, Vec<usize>) {
    let header = GOOD.0.split_inclusive(|b| *b == b'\n').next().expect("a header");
    let (mut bytes, mut ends) = (header.to_vec(), vec![header.len()]);
    let mut head = Sha256::digest(header).to_vec();
    for (seq, record) in (1..).zip(records) {
        let floor = seq - (seq - 1) % 3;
        let rest = [format!("{seq} {floor} ").as_bytes(), record].concat();
        let (own, hex) = link(&head, &rest);
        head = own;
        bytes.extend([hex.as_bytes(), b" ", &rest, b"\n"].concat());
        ends.push(bytes.len());
    }
    (bytes, ends)
}

/// A file with these bytes: what the reader gives out, and whether it told of something.
fn given(bytes: &[u8]) -> (Vec<Vec<u8>>, bool) {
    let path = WORKSHOP.join("journal");
    fs::write(&path, bytes).expect("written");
    given_of(&path)
}

fn given_of(path: &Path) -> (Vec<Vec<u8>>, bool) {
    let (mut given, mut failed) = (Vec::new(), false);
    match read(path) {
        Ok(entries) => {
            for entry in entries {
                match entry {
                    Ok(entry) => {
                        assert_eq!(entry.seq, given.len() as u64 + 1);
                        given.push(entry.json);
                    }
                    Err(e) => {
                        assert!(!e.to_string().is_empty());
                        failed = true;
                    }
                }
            }
        }
        Err(_) => failed = true,
    }
    match verify(path) {
        Ok(report) => {
            assert!(!failed, "it verifies, and cannot be read");
            assert_eq!(report.records, given.len() as u64);
        }
        Err(_) => assert!(failed, "it can be read, and does not verify"),
    }
    (given, failed)
}

/// Zeros that a journal keeps ready behind its records: more than a sector of a disk.
const ZEROS: usize = 600;

/// A journal that was torn, and what becomes of it: all records before the tear are given out and nothing is told, whether zeros
/// follow or not; whoever goes on with it cuts the rest, or completes a record that lacks its newline alone.
fn torn(records: &[Vec<u8>], at: usize, has_zeros: bool, goes_on: bool) {
    let (whole, ends) = chained(records);
    assert_eq!(given(&whole), (records.to_vec(), false), "a whole journal is read whole");
    let at = at % (whole.len() + 1);
    let Some(count) = ends.iter().rposition(|end| *end <= at) else { return };
    let mut bytes = whole[..at].to_vec();
    bytes.resize(at + if has_zeros { ZEROS } else { 0 }, 0);
    assert_eq!(given(&bytes), (records[..count].to_vec(), false), "torn at {at} of {}", whole.len());
    if goes_on {
        let path = WORKSHOP.join("journal");
        let journal = Journal::open(&path, own_site(), JournalOptions::default()).expect("a torn journal is mended");
        journal.append(vec![b"\"more\"".to_vec()], Durability::Flush).expect("written");
        drop(journal);
        let is_complete = ends.get(count + 1).is_some_and(|end| *end == at + 1);
        let mut wanted = records[..count + usize::from(is_complete)].to_vec();
        wanted.push(b"\"more\"".to_vec());
        assert_eq!(given_of(&path), (wanted, false), "torn at {at} of {}, and gone on with", whole.len());
    }
}

/// A journal's file: whatever it is, no record is given out that is not whole and in its place, and each that is; of a good one
/// that was changed none that was never written, and all before the change; of one that was torn, wherever, all before that.
pub fn journal(data: &[u8]) {
    let Some((how, rest)) = data.split_first() else { return };
    let (good, written) = &*GOOD;
    if how % 3 == 2 {
        let Some(([a, b], rest)) = rest.split_first_chunk() else { return };
        // Any text, as the JSON that it has to be.
        let texts = rest.split(|b| *b == 0).take(64);
        let records: Vec<Vec<u8>> =
            texts.map(|text| serde_json::to_vec(&String::from_utf8_lossy(text)).expect("JSON")).collect();
        let variant = how / 3 % 8;
        return torn(&records, usize::from(u16::from_le_bytes([*a, *b])), variant % 2 == 1, variant >= 6);
    }
    let is_edited = how % 3 == 1;
    let bytes = if is_edited { Edits(rest).of(good) } else { rest.to_vec() };
    let wanted = chain(&bytes);
    let (given, failed) = given(&bytes);
    assert!(wanted.starts_with(&given), "a record that is not in the chain is given out");
    assert!(
        failed || given == wanted,
        "{} records of {} are given out, and nothing is told",
        given.len(),
        wanted.len()
    );
    if is_edited {
        assert!(written.starts_with(&given), "a record that nobody wrote is given out");
        let unchanged = bytes.iter().zip(good).take_while(|(a, b)| a == b);
        let before = unchanged.filter(|(byte, _)| **byte == b'\n').count().saturating_sub(1);
        assert!(given.len() >= before, "{} of {before} records before the change are given out", given.len());
    }
}

/// A site's signed head: changed, it is not taken for signed.
pub fn checkpoint(data: &[u8]) {
    static SITE: LazyLock<(PathBuf, PathBuf, Vec<u8>)> = LazyLock::new(|| {
        let site = WORKSHOP.join("site");
        let _ = fs::remove_dir_all(&site);
        fs::create_dir(&site).expect("a folder");
        let store = SiteStore::create(&site).expect("a store");
        let journal = store.journal(&mut |_| {}).expect("a journal");
        journal.append(vec![b"{}".to_vec(), b"{\"n\":2}".to_vec()], Durability::Flush).expect("written");
        store.sign_checkpoint(&journal).expect("signed");
        let path = site.join(".unship/checkpoint");
        let good = fs::read(&path).expect("the checkpoint");
        (site, path, good)
    });
    let (site, path, good) = &*SITE;
    let Some((how, rest)) = data.split_first() else { return };
    let bytes = if how % 2 == 0 { rest.to_vec() } else { Edits(rest).of(good) };
    fs::write(path, &bytes).expect("written");
    let verified = SiteStore::open(site).map(|store| store.verify(None));
    if let Ok(Ok(verified)) = verified {
        // An older head of the same chain is one; there is none here but the head of both records.
        assert!(bytes == *good, "another checkpoint is taken for signed: {verified:?}");
    }
}

/// Records of runs, a line each: what can be read is written as it was; a record that cannot follow changes nothing.
pub fn records(data: &[u8]) {
    let mut state = RunState::default();
    for line in data.split(|b| *b == b'\n').take(200) {
        let Ok(record) = serde_json::from_slice::<Record>(line) else { continue };
        let text = serde_json::to_vec(&record).expect("written");
        let again: Record = serde_json::from_slice(&text).expect("what was written is read");
        assert_eq!(again, record);
        let before = format!("{state:?}");
        if state.advance(&record).is_err() {
            assert_eq!(format!("{state:?}"), before, "a record that cannot follow changed something");
        }
        let _ = (state.next(), state.where_it_stands(), state.times_left(), state.made_before());
    }
}

/// Entries of the daemon's journal, a line each.
pub fn incidents(data: &[u8]) {
    let mut book = incident::Book::default();
    for line in data.split(|b| *b == b'\n').take(200) {
        let Ok(entry) = serde_json::from_slice::<incident::Entry>(line) else { continue };
        let text = serde_json::to_vec(&entry).expect("written");
        let again: incident::Entry = serde_json::from_slice(&text).expect("what was written is read");
        assert_eq!(again, entry);
        let before = book.clone();
        if book.advance(&entry).is_err() {
            assert_eq!(book, before, "an entry that cannot follow changed something");
        }
        let _ = (book.next_notice(), book.running().is_some());
    }
}
