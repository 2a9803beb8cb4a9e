//! Whatever was changed in a journal is told, and told apart from an interrupted append.

use super::*;

/// Where the lines begin, the header's first, and the end of the last.
fn starts(content: &[u8]) -> Vec<usize> {
    let newlines = content.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
    std::iter::once(0).chain(newlines.map(|(at, _)| at + 1)).collect()
}

/// The journal with its lines picked anew; 0 is the header.
fn picked(content: &[u8], lines: &[usize]) -> Vec<u8> {
    let starts = starts(content);
    with_zeros(&lines.iter().flat_map(|line| &content[starts[*line]..starts[line + 1]]).copied().collect::<Vec<_>>())
}

#[test]
fn picked_lines_are_told() {
    let good = content(4, 20);
    for (lines, expected) in [
        (&[0, 2, 3, 4][..], (2, Damage::Missing { expected: 1 })),
        (&[0, 1, 2, 4], (4, Damage::Missing { expected: 3 })),
        (&[0, 2, 1, 3, 4], (2, Damage::OutOfOrder { found: 2, expected: 1 })),
        (&[0, 1, 2, 4, 3], (4, Damage::OutOfOrder { found: 4, expected: 3 })),
        (&[0, 1, 1, 2, 3, 4], (3, Damage::Duplicated { found: 1 })),
        (&[0, 1, 2, 3, 4, 4], (6, Damage::Duplicated { found: 4 })),
        (&[0, 1, 2, 3, 4, 2], (6, Damage::Duplicated { found: 2 })),
        (&[0, 1, 0, 2], (3, Damage::Malformed)),
        (&[1, 2, 3, 4], (1, Damage::Header)),
    ] {
        assert_eq!(damage(&picked(&good, lines)), expected, "{lines:?}");
    }
    // A tail cut at a line's end leaves a good journal, but not the same: only a head kept elsewhere shows it.
    let cut = check(&picked(&good, &[0, 1, 2, 3])).unwrap();
    let whole = check(&with_zeros(&good)).unwrap();
    assert_eq!((cut.records, cut.tail), (3, Tail::Clean));
    assert_ne!(cut.head, whole.head);
}

#[test]
fn records_of_two_copies_do_not_mix() {
    let one = content(3, 20);
    let other = content(3, 21);
    let (a, b) = (starts(&one), starts(&other));
    let mixed = [&one[..a[3]], &other[b[3]..]].concat();
    assert_eq!(damage(&mixed), (4, Damage::Edited));
}

#[test]
fn each_changed_byte_is_told() {
    let good = content(3, 9);
    let whole = with_zeros(&good);
    let report = check(&whole).unwrap();
    for at in 0..good.len() + 1100 {
        let old = whole[at];
        for new in (0..8).map(|bit| old ^ 1 << bit).chain([0, b'\n', b' ', b'A', b'!']) {
            if new == old {
                continue;
            }
            let mut changed = whole.clone();
            changed[at] = new;
            let found = check(&changed);
            if at >= good.len() {
                // Among the preallocated zeros there is no record to lose.
                assert_ne!(found.as_ref().ok(), Some(&report), "{at} {new}");
                continue;
            }
            match found {
                Err(_) => {}
                // The last newline became a zero: nothing of the record is lost, and it is told.
                Ok(found) => {
                    assert_eq!((at, new), (good.len() - 1, 0));
                    assert!(matches!(found.tail, Tail::Unterminated { .. }));
                }
            }
        }
    }
}

#[test]
fn changed_journals_are_never_opened_nor_changed() {
    let good = with_zeros(&content(3, 9));
    for at in (0..good.len()).filter(|at| good[*at] != 0) {
        let mut changed = good.clone();
        changed[at] ^= 4;
        let file = FaultyFile::holding(&changed);
        assert!(open(&file).is_err(), "{at}");
        assert_eq!((file.after_kill() == changed, file.calls()), (true, 0));
    }
}

#[test]
fn each_torn_end_is_cut_and_the_second_opening_is_clean() {
    let good = content(3, 9);
    let last = starts(&good)[3];
    for end in last + 1..good.len() {
        for torn in [good[..end].to_vec(), with_zeros(&good[..end])] {
            let whole_but_newline = end == good.len() - 1;
            let report = check(&torn).unwrap();
            assert_eq!(report.records, 2);
            assert_eq!(matches!(report.tail, Tail::Unterminated { .. }), whole_but_newline);
            assert_ne!(report.tail, Tail::Clean);
            let file = FaultyFile::holding(&torn);
            let (journal, found) = open(&file).unwrap();
            let kept = if whole_but_newline { 3 } else { 2 };
            assert_eq!(found.len(), kept);
            journal.append(vec![json(7, 3)], Durability::Flush).unwrap();
            drop(journal);
            let report = check(&file.after_kill()).unwrap();
            assert_eq!((report.records, report.tail), (kept as u64 + 1, Tail::Clean));
            assert_eq!(open(&file).unwrap().1[kept], json(7, 3));
        }
    }
}

#[test]
fn foreign_bytes_at_the_end_are_no_torn_append() {
    let good = content(2, 9);
    let next = starts(&content(3, 9))[3];
    let third = &content(3, 9)[next..];
    let other_seq = String::from_utf8(third.to_vec()).unwrap().replacen(" 3 3 ", " 4 3 ", 1);
    for rest in [&b"hello"[..], b"\x01", b"\xff", &other_seq.as_bytes()[..80], b"0123 4"] {
        let content = with_zeros(&[&good, rest].concat());
        assert_eq!(damage(&content), (4, Damage::Garbage), "{rest:?}");
    }
    // Among the zeros: in the middle of a sector no append can have left it, at its start one can, with the rest lost.
    let mut content = with_zeros(&good);
    content[1500] = b'x';
    assert_eq!(damage(&content), (4, Damage::Garbage));
    let mut content = with_zeros(&good);
    content[1024] = b'x';
    assert!(matches!(check(&content).unwrap(), Report { records: 2, tail: Tail::Torn { .. }, .. }));
}

#[test]
fn a_lost_sector_below_a_later_flush_is_no_torn_append() {
    // Lines shorter than a sector, so that each sector's loss leaves the start of a later flush to testify.
    let good = content(30, 60);
    let whole = with_zeros(&good);
    let starts = starts(&good);
    for sector in 0..(starts[29] / 512) {
        let mut holed = whole.clone();
        holed[sector * 512..(sector + 1) * 512].fill(0);
        match check(&holed) {
            Err(JournalError::Damaged { .. }) => {}
            other => panic!("{sector}: {other:?}"),
        }
        let (_, damage) = damage(&holed);
        assert!(sector == 0 || matches!(damage, Damage::Missing { .. }), "{sector}: {damage:?}");
    }
}

#[test]
fn headers() {
    for (content, expected) in [
        (&b""[..], "line 1 (byte 0): it is not the first line of a journal"),
        (b"\0\0\0\0", "line 1 (byte 0): it is not the first line of a journal"),
        (b"unship-journal 1 abab\n", "line 1 (byte 0): it is not the first line of a journal"),
        (b"unship-journal 1", "line 1 (byte 0): it is not the first line of a journal"),
        (b"unship-journal 2 and what comes then\n", "it has format version 2, and this unship knows versions up to 1"),
    ] {
        let text = check(content).unwrap_err().to_string();
        assert!(text.contains(expected), "{text}");
    }
    let file = FaultyFile::new_journal();
    let opened = Journal::open_on(Box::new(file), Path::new(PATH), SiteId::new([0; 16]), OPTIONS, &mut |_| ());
    assert!(matches!(opened, Err(JournalError::Foreign { .. })));
}
