//! Many threads, one journal.

use std::collections::BTreeSet;
use std::thread;

use super::*;

#[test]
fn sixteen_writers_share_flushes() {
    const WRITERS: usize = 16;
    const APPENDS: usize = 50;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal");
    Journal::create(&path, site(), OPTIONS).unwrap();
    let journal = Journal::open(&path, site(), OPTIONS).unwrap();
    let mut numbers = BTreeSet::new();
    thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let journal = journal.clone();
                scope.spawn(move || {
                    (0..APPENDS)
                        .flat_map(|number| {
                            let record = format!("[{writer},{number}]").into_bytes();
                            // Two at a time: a group stays together.
                            journal.append(vec![record.clone(), record], Durability::Flush).unwrap()
                        })
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        for writer in writers {
            let mine = writer.join().unwrap();
            assert!(mine.is_sorted());
            numbers.extend(mine);
        }
    });
    let total = (2 * WRITERS * APPENDS) as u64;
    assert!(numbers.into_iter().eq(1..=total));
    assert!(journal.flushes() < total / 4, "{} flushes for {total} records", journal.flushes());
    drop(journal);
    let entries: Vec<_> = read(&path).unwrap().map(|entry| entry.unwrap().json).collect();
    assert_eq!(entries.len() as u64, total);
    assert!(entries.chunks(2).all(|pair| pair[0] == pair[1]));
    for writer in 0..WRITERS {
        let prefix = format!("[{writer},");
        let mine = entries.iter().filter(|json| json.starts_with(prefix.as_bytes())).step_by(2);
        let expected = (0..APPENDS).map(|number| format!("[{writer},{number}]").into_bytes());
        assert!(mine.cloned().eq(expected));
    }
}
