//! Any history of appends, kills, failed calls and losses of power: what was acknowledged stays, in order, and the
//! journal opens again.

use proptest::prelude::*;
use rustix::io::Errno;

use super::faulty::Fault;
use super::*;
use crate::checkpoint::{Checkpoint, Signed};

/// One process's life with the journal.
#[derive(Debug, Clone)]
struct Life {
    /// Each append: the sizes of its records, and whether it is flushed.
    appends: Vec<(Vec<usize>, bool)>,
    /// The call from which on the file refuses.
    fails_at: usize,
    half: bool,
    end: End,
}

#[derive(Debug, Clone)]
enum End {
    /// The process dies, what it wrote stays in the cache.
    Killed,
    /// Each sector that was not flushed survives as the bits say.
    PowerLost(Vec<bool>),
}

fn lives() -> impl Strategy<Value = Vec<Life>> {
    let sizes = prop::collection::vec(prop_oneof![0_usize..40, 300_usize..1500], 1..4);
    let appends = prop::collection::vec((sizes, any::<bool>()), 0..6);
    let end = prop_oneof![Just(End::Killed), prop::collection::vec(any::<bool>(), 1..40).prop_map(End::PowerLost),];
    let life = (appends, 0_usize..30, any::<bool>(), end).prop_map(|(appends, fails_at, half, end)| Life {
        appends,
        fails_at,
        half,
        end,
    });
    prop::collection::vec(life, 1..7)
}

/// What must be there and what may be there, oldest first.
struct Expected {
    records: Vec<Vec<u8>>,
    durable: usize,
    /// What a checkpoint may have been signed for.
    signed: (u64, Hash),
}

fn live(file: &FaultyFile, life: &Life, expected: &mut Expected) -> Result<(), TestCaseError> {
    file.fail(Some(Fault { call: life.fails_at, errno: Errno::IO, half: life.half }));
    match open_signed(file, expected) {
        Ok((journal, found)) => {
            compare(&found, expected)?;
            expected.records = found;
            sign(&journal, expected);
            append_all(&journal, life, expected);
            sign(&journal, expected);
            // Killed: what it would still write when it is dropped does not get through.
            file.fail(Some(Fault { call: 0, errno: Errno::IO, half: false }));
            drop(journal);
        }
        Err(JournalError::Io(_)) => {}
        Err(e) => return Err(TestCaseError::fail(e.to_string())),
    }
    if let End::PowerLost(survives) = &life.end {
        let mut survives = survives.iter().cycle();
        file.lose_power(|| survives.next().copied().unwrap_or(false));
    }
    file.fail(None);
    Ok(())
}

/// Opens as a site does: the journal is no good if it is not what was signed. So the property says that too.
fn open_signed(file: &FaultyFile, expected: &Expected) -> Result<(Journal, Vec<Vec<u8>>), JournalError> {
    let mut found = Vec::new();
    let (records, head) = expected.signed;
    let signed = Signed { path: "checkpoint".into(), checkpoint: Checkpoint { records, head } };
    let mut visit = |record: Record<'_>| found.push(record.json.to_vec());
    let file = Box::new(file.clone());
    let journal =
        Journal::open_checked(file, Path::new(PATH), site(), OPTIONS, &|| Ok(Some(signed.clone())), &mut visit)?;
    Ok((journal, found))
}

fn sign(journal: &Journal, expected: &mut Expected) {
    let durable = journal.durable();
    if durable.0 > expected.signed.0 {
        expected.signed = durable;
    }
}

fn append_all(journal: &Journal, life: &Life, expected: &mut Expected) {
    for (sizes, flush) in &life.appends {
        let group: Vec<_> = sizes.iter().map(|size| json(expected.records.len(), *size)).collect();
        expected.records.extend(group.clone());
        let durability = if *flush { Durability::Flush } else { Durability::Lazy };
        match journal.append(group, durability) {
            Ok(_) if *flush => expected.durable = expected.records.len(),
            Ok(_) => {}
            Err(_) => return,
        }
    }
}

fn compare(found: &[Vec<u8>], expected: &Expected) -> Result<(), TestCaseError> {
    prop_assert!(found.len() >= expected.durable, "{} of {} left", found.len(), expected.durable);
    prop_assert!(expected.records.starts_with(found));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_was_acknowledged_stays(lives in lives()) {
        let file = FaultyFile::new_journal();
        let mut expected = Expected { records: Vec::new(), durable: 0, signed: (0, genesis(site())) };
        for life in &lives {
            live(&file, life, &mut expected)?;
        }
        let (journal, found) = open_signed(&file, &expected).map_err(|e| TestCaseError::fail(e.to_string()))?;
        compare(&found, &expected)?;
        drop(journal);
        prop_assert_eq!(check(&file.after_kill()).map(|report| report.tail).ok(), Some(Tail::Clean));
    }
}

/// Not every case of the property above reaches a hole inside a batch; this one does.
#[test]
fn a_batch_with_a_hole_is_cut_where_the_hole_begins() {
    let file = FaultyFile::new_journal();
    let (journal, _) = open(&file).unwrap();
    journal.append(vec![json(0, 10)], Durability::Flush).unwrap();
    file.fail(Some(Fault { call: 1, errno: Errno::IO, half: false }));
    let group = (1..20).map(|number| json(number, 100)).collect();
    assert!(journal.append(group, Durability::Flush).is_err());
    drop(journal);
    let good = FaultyFile::holding(&file.after_kill());
    for lost in 1..8 {
        let mut content = good.after_kill();
        content[lost * 512..(lost + 1) * 512].fill(0);
        let report = check(&content).unwrap();
        assert!(matches!(report.tail, Tail::Torn { .. }), "{lost}");
        assert!(report.bytes <= lost as u64 * 512);
        let file = FaultyFile::holding(&content);
        let (journal, found) = open(&file).unwrap();
        assert_eq!(found.len() as u64, report.records);
        assert_eq!(journal.flushes(), 2);
    }
}
