//! Appending, reading back, and what happens when the file refuses.

use std::error::Error;

use rustix::io::Errno;

use super::faulty::Fault;
use super::*;

#[test]
fn gives_back_what_was_appended() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal");
    Journal::create(&path, site(), OPTIONS).unwrap();
    let journal = Journal::open(&path, site(), OPTIONS).unwrap();
    // Longer than the reader's window, than an extent, and than nothing.
    let records = vec![json(0, 700_000), b"{}".to_vec(), json(2, 5000), "\"ä€\"".into()];
    assert_eq!(journal.append(records.clone(), Durability::Flush).unwrap(), 1..5);
    assert_eq!(journal.append(vec![], Durability::Flush).unwrap(), 5..5);
    assert_eq!(journal.append(vec![json(4, 0)], Durability::Lazy).unwrap(), 5..6);
    assert_eq!(journal.flushes(), 1);
    drop(journal);
    let entries: Vec<_> = read(&path).unwrap().map(Result::unwrap).collect();
    assert_eq!(entries.iter().map(|entry| entry.seq).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    assert_eq!(entries[..4].iter().map(|entry| entry.json.clone()).collect::<Vec<_>>(), records);
    let report = verify(&path).unwrap();
    assert_eq!((report.records, report.head, report.site), (5, entries[4].hash, site()));
}

#[test]
fn lazy_records_cost_no_flush_and_go_with_the_next() {
    let file = FaultyFile::new_journal();
    let (journal, _) = open(&file).unwrap();
    for number in 0..10 {
        journal.append(vec![json(number, 9)], Durability::Lazy).unwrap();
    }
    assert_eq!((journal.flushes(), file.calls()), (0, 0));
    journal.append(vec![json(10, 9)], Durability::Flush).unwrap();
    journal.flush().unwrap();
    assert_eq!((journal.flushes(), file.flushes()), (1, 1));
    file.lose_power(|| false);
    assert_eq!(check(&file.after_kill()).unwrap().records, 11);
    // A journal of lazy records alone does not grow in memory without end.
    for number in 0..300 {
        journal.append(vec![json(number, 10_000)], Durability::Lazy).unwrap();
    }
    assert!((2..=5).contains(&journal.flushes()), "{}", journal.flushes());
}

#[test]
fn refuses_what_would_break_the_format() {
    let file = FaultyFile::new_journal();
    let (journal, _) = open(&file).unwrap();
    for bad in [&b"{}\n"[..], b"\n", b"", b"{\0}", b"{\"a\":\t1}", b"{", b"\xff", b"{} {}"] {
        let refused = journal.append(vec![b"1".to_vec(), bad.to_vec()], Durability::Flush);
        assert!(matches!(refused, Err(JournalError::BadRecord { .. })), "{bad:?}");
    }
    let long = vec![b'1'; RECORD_BYTES_MAX + 1];
    assert!(matches!(journal.append(vec![long], Durability::Lazy), Err(JournalError::TooLarge { .. })));
    let many = vec![vec![b'1'; RECORD_BYTES_MAX]; 5];
    let refused = journal.append(many, Durability::Lazy);
    assert!(matches!(refused, Err(JournalError::TooLarge { .. } | JournalError::BadRecord { .. })));
    assert_eq!(journal.append(vec![b"{}".to_vec()], Durability::Flush).unwrap(), 1..2);
}

#[test]
fn one_appender_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal");
    Journal::create(&path, site(), OPTIONS).unwrap();
    let journal = Journal::open(&path, site(), OPTIONS).unwrap();
    let again = Journal::open(&path, site(), OPTIONS);
    assert!(matches!(again, Err(JournalError::InUse { .. })));
    assert_eq!(verify(&path).unwrap().records, 0);
    drop(journal);
    assert!(Journal::open(&path, site(), OPTIONS).is_ok());
}

#[test]
fn the_first_failure_stops_the_journal_and_loses_nothing() {
    for errno in [Errno::NOSPC, Errno::IO, Errno::ROFS] {
        for half in [false, true] {
            for call in 0..25 {
                stop_at(Fault { call, errno, half });
            }
        }
    }
}

/// The file refuses everything from one call on. What was acknowledged before is there afterwards, after a kill and
/// after a loss of power; the journal says the first cause and touches the file no more.
fn stop_at(fault: Fault) {
    let file = FaultyFile::new_journal();
    let (journal, _) = open(&file).unwrap();
    file.fail(Some(fault));
    let append = |number| journal.append(vec![json(number, 700)], Durability::Flush);
    let durable = (0..100).take_while(|number| append(*number).is_ok()).count();
    let calls = file.calls();
    for durability in [Durability::Flush, Durability::Lazy] {
        let error = journal.append(vec![json(0, 0)], durability).unwrap_err();
        let JournalError::Stopped { cause } = &error else { panic!("{error}") };
        assert_eq!(cause.io().raw_os_error(), Some(fault.errno.raw_os_error()));
        assert!(error.source().unwrap().to_string().contains("journal"), "{error}");
    }
    assert!(journal.flush().is_err());
    drop(journal);
    // A refused preallocation for lack of space is no failure; the call after it is.
    assert!(calls <= fault.call + 2, "{calls} {fault:?}");
    assert_eq!(file.calls(), calls);
    file.fail(None);
    for power_lost in [false, true] {
        if power_lost {
            file.lose_power(|| false);
        }
        let (journal, found) = open(&file).unwrap();
        assert!(found.len() >= durable, "{fault:?}");
        assert!(found.iter().enumerate().all(|(number, found)| *found == json(number, 700)));
        drop(journal);
    }
}

#[test]
fn a_failed_opening_says_what_it_tried() {
    let torn = &content(2, 9)[..250];
    let file = FaultyFile::holding(torn);
    file.fail(Some(Fault { call: 0, errno: Errno::NOSPC, half: false }));
    let error = open(&file).unwrap_err();
    assert_eq!(
        error.to_string(),
        "write journal: its file system or quota is full; free some space there, then repeat the command"
    );
}
