//! The journal shows what was done to it: an edited, cut, reordered or duplicated record, and bytes at its end.

use crate::support::{Site, fingerprint};
use sha2::{Digest as _, Sha256};
use std::fs;

/// A site after one run, and its journal's lines (the header first) without the zeros behind them.
struct Journalled {
    site: Site,
    lines: Vec<Vec<u8>>,
    zeros: usize,
    /// The checkpoint of the empty journal.
    first_checkpoint: Vec<u8>,
}

impl Journalled {
    fn new() -> Journalled {
        let site = Site::new("");
        site.probe(
            "1",
            &["write", "a", "hello", "--", "write", "b", "hello", "--", "read", "a"],
            "files.read = [\"a\"]\nfiles.write = [\"a\", \"b\"]\nfiles.create = [\"a\", \"b\"]",
        );
        let first_checkpoint = fs::read(site.at(".unship/checkpoint")).expect("checkpoint");
        // There is no verification, so nobody knows whether it recovered.
        let _ = site.unship(["apply", "1", "--yes"]).exits(6);
        let bytes = fs::read(site.at(".unship/journal")).expect("journal");
        let end = bytes.iter().rposition(|b| *b != 0).expect("content") + 1;
        let lines = bytes[..end].split_inclusive(|b| *b == b'\n').map(<[u8]>::to_vec).collect::<Vec<_>>();
        assert!(lines.len() > 7, "{} lines", lines.len());
        Journalled { site, lines, zeros: bytes.len() - end, first_checkpoint }
    }

    fn with(&self, lines: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = lines.concat();
        bytes.extend(vec![0; self.zeros]);
        bytes
    }

    /// Every verb that reads the journal says `says` and exits 7; `apply` among them, and nothing is written.
    #[track_caller]
    fn not_intact(&self, case: &str, journal: &[u8], says: &[&str]) {
        fs::write(self.site.at(".unship/journal"), journal).expect("written");
        let before = fingerprint(&self.site.path());
        for verb in [
            &["journal", "verify"][..],
            &["journal", "show"],
            &["journal", "export"],
            &["runs"],
            &["stories"],
            &["apply", "1", "--yes"],
        ] {
            let ran = self.site.unship(verb);
            assert_eq!(ran.status, Some(7), "{case}: {verb:?}:\n{}{}", ran.stdout, ran.stderr);
            for text in says {
                assert!(ran.stderr.contains(text), "{case}: {verb:?} lacks {text:?}:\n{}", ran.stderr);
            }
        }
        assert_eq!(before, fingerprint(&self.site.path()), "{case}");
        assert_eq!(fs::read(self.site.at(".unship/journal")).expect("journal"), journal, "{case}: it was written to");
    }
}

#[test]
fn an_edited_record_is_told() {
    let journalled = Journalled::new();
    let lines = &journalled.lines;
    for (index, line) in lines.iter().enumerate() {
        let number = format!("line {} ", index + 1);
        // In its hash or header, and near its end.
        for at in [1, line.len() - 4] {
            let mut bad = lines.clone();
            bad[index][at] = if line[at] == b'0' { b'1' } else { b'0' };
            // A header that reads well names another site.
            let says = if index == 0 { "the journal is not intact" } else { number.as_str() };
            journalled.not_intact(&format!("line {}, byte {at}", index + 1), &journalled.with(&bad), &[says]);
        }
    }
    // What somebody with something to hide would change: the same length, other words.
    let mut bad = lines.clone();
    let (index, at) = bad
        .iter()
        .enumerate()
        .find_map(|(index, line)| {
            let at = line.windows(13).position(|w| w == br#""path":"b","c"#)?;
            line.windows(14).any(|w| w == b"effect-applied").then_some((index, at + 8))
        })
        .expect("the effect on b");
    bad[index][at] = b'c';
    let says = [&*format!("line {} ", index + 1), "the record was edited: its hash does not continue the chain"];
    journalled.not_intact("another path", &journalled.with(&bad), &says);
}

#[test]
fn a_cut_record_is_told() {
    let journalled = Journalled::new();
    let lines = &journalled.lines;
    for index in 1..lines.len() - 1 {
        let mut bad = lines.clone();
        bad.remove(index);
        let says = [&*format!("line {} ", index + 1), &*format!("record {index} is missing")];
        journalled.not_intact(&format!("without line {}", index + 1), &journalled.with(&bad), &says);
        // A part of it, with or without the rest of the file behind.
        let mut bad = lines.clone();
        let half = bad[index].len() / 2;
        bad[index].drain(half..half + 5);
        let number = format!("line {} ", index + 1);
        journalled.not_intact(&format!("part of line {}", index + 1), &journalled.with(&bad), &[&number]);
    }
    let mut bad = lines.clone();
    bad.remove(0);
    journalled.not_intact("without header", &journalled.with(&bad), &["line 1 ", "not the first line of a journal"]);
    journalled.not_intact("empty", b"", &["line 1 "]);
}

#[test]
fn reordered_and_duplicated_records_are_told() {
    let journalled = Journalled::new();
    let lines = &journalled.lines;
    for index in 1..lines.len() - 1 {
        let mut bad = lines.clone();
        bad.swap(index, index + 1);
        let says = [&*format!("line {} ", index + 1), "out of order"];
        journalled.not_intact(&format!("lines {} and the next swapped", index + 1), &journalled.with(&bad), &says);
    }
    for index in 1..lines.len() {
        let mut bad = lines.clone();
        bad.insert(index + 1, lines[index].clone());
        let says = [&*format!("line {} ", index + 2), &*format!("record {index} is there twice")];
        journalled.not_intact(&format!("line {} twice", index + 1), &journalled.with(&bad), &says);
    }
    // The first record again at the end.
    let mut bad = lines.clone();
    bad.push(lines[1].clone());
    let says = [&*format!("line {} ", lines.len() + 1), "record 1 is there twice"];
    journalled.not_intact("the first again at the end", &journalled.with(&bad), &says);
}

#[test]
fn garbage_at_the_end_is_told() {
    let journalled = Journalled::new();
    let number = format!("line {} ", journalled.lines.len() + 1);
    for garbage in [&b"hello\n"[..], b"hello", b"\n", b"{}\n", b"\0\0\0hello"] {
        let mut bad = journalled.lines.clone();
        bad.push(garbage.to_vec());
        journalled.not_intact(&format!("{garbage:?}"), &journalled.with(&bad), &[&number]);
    }
}

/// The chain over `lines`, made anew: what one who knows the format would do.
fn chained(lines: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut hash: [u8; 32] = Sha256::digest(&lines[0]).into();
    let mut out = vec![lines[0].clone()];
    for (index, line) in lines[1..].iter().enumerate() {
        let text = std::str::from_utf8(line).expect("UTF-8").trim_end();
        let mut words = text.splitn(4, ' ');
        let json = words.nth(3).expect("JSON");
        let rest = format!("{} {} {json}", index + 1, index + 1);
        hash = Sha256::digest([&hash[..], rest.as_bytes()].concat()).into();
        let hex: String = hash.iter().map(|b| format!("{b:02x}")).collect();
        out.push(format!("{hex} {rest}\n").into_bytes());
    }
    out
}

#[test]
fn a_forged_chain_whose_records_cannot_follow_one_another_is_told() {
    let journalled = Journalled::new();
    let lines = &journalled.lines;
    // As it is, made anew, the checkpoint tells it; with an older checkpoint in its place nothing does.
    journalled.not_intact("made anew", &journalled.with(&chained(lines)), &["forked or rewritten"]);
    fs::write(journalled.site.at(".unship/checkpoint"), &journalled.first_checkpoint).expect("written");
    let _ = journalled.site.unship(["journal", "verify"]).exits(0).prints("intact");
    let find = |word: &[u8]| lines.iter().position(|l| l.windows(word.len()).any(|w| w == word)).expect("the record");
    let (starts, succeeds) = (find(b"unit-started"), find(b"unit-succeeded"));
    let mut lost = lines.clone();
    lost.remove(starts);
    journalled.not_intact(
        "the step never began",
        &journalled.with(&chained(&lost)),
        &["cannot stand there", "cannot follow"],
    );
    let mut swapped = lines.clone();
    swapped.swap(starts, succeeds);
    journalled.not_intact("an end before its beginning", &journalled.with(&chained(&swapped)), &["cannot stand there"]);
    let mut twice = lines.clone();
    let applied = find(b"effect-applied");
    twice.insert(applied, lines[applied].clone());
    journalled.not_intact("an effect twice", &journalled.with(&chained(&twice)), &["cannot stand there"]);
    let mut other = lines.clone();
    let text = String::from_utf8(other[applied].clone()).expect("UTF-8");
    other[applied] = text.replacen("\"path\":\"", "\"path\":\"etc/", 1).into_bytes();
    assert_ne!(other[applied], lines[applied]);
    journalled.not_intact(
        "an effect that was not planned",
        &journalled.with(&chained(&other)),
        &["cannot stand there"],
    );
    let mut unknown = lines.clone();
    unknown[applied] = text.replacen("effect-applied", "effect-imagined", 1).into_bytes();
    journalled.not_intact(
        "a record of no kind",
        &journalled.with(&chained(&unknown)),
        &["cannot stand there", "effect-imagined"],
    );
}

#[test]
fn show_export_and_json_agree_with_each_other_and_with_the_file() {
    let journalled = Journalled::new();
    let site = &journalled.site;
    let _ = site.unship(["apply", "1", "--yes"]);
    let exported = site.unship(["journal", "export"]).exits(0).json();
    assert_eq!(exported, site.unship(["journal", "export", "--json"]).exits(0).json());
    let mut shown = site.unship(["journal", "show", "--json"]).exits(0).json();
    let summary = shown.pop().expect("a last line");
    assert_eq!((&summary["type"], &summary["records"]), (&"summary".into(), &exported.len().into()));
    for line in &mut shown {
        let kind = line.as_object_mut().expect("an object").remove("type");
        assert_eq!(kind.as_ref().and_then(|k| k.as_str()), Some("record"));
    }
    assert_eq!(exported, shown);
    let people = site.unship(["journal", "show"]).exits(0).stdout;
    assert_eq!(people.lines().count(), exported.len());
    // An independent verifier: the chain from nothing but the format's description.
    let bytes = fs::read(site.at(".unship/journal")).expect("journal");
    let end = bytes.iter().rposition(|b| *b != 0).expect("content") + 1;
    let text = std::str::from_utf8(&bytes[..end]).expect("UTF-8");
    let mut lines = text.split_inclusive('\n');
    let mut hash: [u8; 32] = Sha256::digest(lines.next().expect("header")).into();
    for (index, (line, object)) in lines.zip(&exported).enumerate() {
        let (hex, rest) = line.trim_end().split_once(' ').expect("a hash");
        hash = Sha256::digest([&hash[..], rest.as_bytes()].concat()).into();
        let computed: String = hash.iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(hex, computed, "line {}", index + 2);
        assert_eq!(object["hash"], computed);
        assert_eq!(object["seq"], index as u64 + 1);
        let json = rest.splitn(3, ' ').nth(2).expect("JSON");
        assert_eq!(object["record"], serde_json::from_str::<serde_json::Value>(json).expect("JSON"));
        let person = people.lines().nth(index).expect("a line");
        assert!(person.trim_start().starts_with(&format!("{} ", index + 1)), "{person}");
        assert!(person.contains(object["record"]["run"].as_str().expect("a run")), "{person}");
    }
    let verified = site.unship(["journal", "verify", "--json"]).exits(0).summary();
    assert_eq!(verified["intact"], true);
    assert_eq!(verified["records"], exported.len());
    assert_eq!(verified["head"], exported.last().expect("a record")["hash"]);
    // One run's records are those of the whole, filtered.
    let run = exported[0]["record"]["run"].as_str().expect("a run");
    let one = site.unship(["journal", "show", "--run", run, "--json"]).exits(0).json();
    let expected = exported.iter().filter(|o| o["record"]["run"] == run).count();
    assert_eq!(one.len(), expected + 1, "and the summary");
    assert!(expected < exported.len());
    let runs = site.unship(["runs", "--json"]).exits(0).json();
    assert_eq!(runs.len(), 2);
    assert_eq!(runs[0]["run"], run);
    let summary = site.unship(["show", run, "--json"]).exits(0).summary();
    for key in ["run", "story", "started", "plan_digest", "outcome", "verdict", "reason", "effects", "denied"] {
        assert_eq!(summary[key], runs[0][key], "{key}");
    }
}

#[test]
fn a_journal_of_another_site_or_a_newer_unship_is_refused() {
    let journalled = Journalled::new();
    let other = Site::new("");
    let foreign = fs::read(other.at(".unship/journal")).expect("journal");
    fs::write(journalled.site.at(".unship/journal"), &foreign).expect("written");
    let _ = journalled.site.unship(["apply", "1", "--yes"]).exits(7).says("it is the journal of site");
    let _ = journalled.site.unship(["journal", "verify"]).exits(7).says("it is the journal of site");
    let mut lines = journalled.lines.clone();
    lines[0] = String::from_utf8(lines[0].clone()).expect("UTF-8").replacen("journal 1", "journal 2", 1).into_bytes();
    fs::write(journalled.site.at(".unship/journal"), journalled.with(&lines)).expect("written");
    for verb in [&["apply", "1", "--yes"][..], &["journal", "verify"], &["runs"]] {
        let _ = journalled.site.unship(verb).exits(1).says("format version 2").says("use a newer unship");
    }
}
