//! Two verifiers, one verdict: `unship` and `tests/verify_journal.py`, which shares no code with it, judge the same good
//! and bad journals, checkpoints and keys, and must agree on the verdict and on its reason.

use crate::support::{Ran, Site, fingerprint};
use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};
use unship_store::{SiteStore, Tail};

const VERIFIER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/verify_journal.py");

/// What both say of each kind of fault. Where two fit, the first counts.
const KINDS: &[&str] = &[
    "is not the first line of a journal",
    "it has format version",
    "it is the journal of site",
    "it is not a record",
    "out of order: record",
    "is there twice",
    "is missing: a later record proves",
    "the record was edited",
    "no record and not the rest of an interrupted append",
    "cut: the checkpoint",
    "forked or rewritten: record",
    "find ",
    "it is longer than a checkpoint can be",
    "it is not text in UTF-8",
    "it holds control characters",
    "no blank line stands between",
    "its last line is cut off",
    "a line below its text is no signature",
    "it has no signature by this site's key",
    "it has two signatures by one key",
    "its signature does not fit its text",
    "public key",
];

fn kind(text: &str) -> &'static str {
    KINDS.iter().find(|kind| text.contains(**kind)).unwrap_or_else(|| panic!("of no kind: {text}"))
}

/// What both verifiers found.
#[derive(Debug, PartialEq)]
enum Verdict {
    /// How many records, and whether something stands behind them.
    Intact(u64, bool),
    Not(&'static str),
}

/// The second verifier, in one process for many journals.
struct Second {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

fn python() -> Command {
    let mut command = Command::new("python3");
    // No compiled file beside the sources.
    command.args(["-B", VERIFIER]);
    command
}

impl Second {
    fn new() -> Second {
        let started = python().arg("--batch").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = started.expect("python3 is there: `cargo xtask test` installs it");
        let to = child.stdin.take().expect("a pipe");
        let from = BufReader::new(child.stdout.take().expect("a pipe"));
        Second { child, to, from }
    }

    fn ask(&mut self, store: &Path) -> String {
        writeln!(self.to, "{}", store.display()).and_then(|()| self.to.flush()).expect("it listens");
        let mut line = String::new();
        self.from.read_line(&mut line).expect("it answers");
        line
    }
}

impl Drop for Second {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A site with two runs, and the checkpoints signed before and after each.
struct Signed {
    site: Site,
    second: Second,
    /// The journal without the zeros at its end.
    good: Vec<u8>,
    zeros: usize,
    /// Of no records, of the first run's, of all.
    checkpoints: [Vec<u8>; 3],
    /// How many records each was signed at.
    records: [u64; 3],
}

impl Signed {
    fn new() -> Signed {
        let site = Site::new("");
        let grants = "files.read = [\"a\"]\nfiles.write = [\"a\", \"b\"]\nfiles.create = [\"a\", \"b\"]";
        site.probe("1", &["write", "a", "hello", "--", "write", "b", "hello", "--", "read", "a"], grants);
        let checkpoint = || fs::read(site.at(".unship/checkpoint")).expect("a checkpoint");
        let first = checkpoint();
        // There is no verification, so nobody knows whether it recovered.
        let _ = site.unship(["apply", "1", "--yes"]).exits(6);
        let second = checkpoint();
        let _ = site.unship(["apply", "1", "--yes"]).exits(6);
        let checkpoints = [first, second, checkpoint()];
        let records = [0, 1, 2].map(|n| {
            let text = std::str::from_utf8(&checkpoints[n]).expect("UTF-8");
            text.lines().nth(1).expect("a line").parse().expect("a number")
        });
        let bytes = fs::read(site.at(".unship/journal")).expect("journal");
        let end = bytes.iter().rposition(|b| *b != 0).expect("content") + 1;
        let signed = Signed {
            second: Second::new(),
            good: bytes[..end].to_vec(),
            zeros: bytes.len() - end,
            checkpoints,
            records,
            site,
        };
        let lines = signed.lines().len() as u64;
        assert!(records[0] == 0 && 0 < records[1] && records[1] < records[2] && records[2] + 1 == lines, "{records:?}");
        signed
    }

    fn store(&self) -> PathBuf {
        self.site.at(".unship")
    }

    fn put(&self, file: &str, content: &[u8]) {
        fs::write(self.store().join(file), content).expect("written");
    }

    /// With all as it was.
    fn restore(&self) {
        self.put("journal", &[&self.good[..], &vec![0; self.zeros]].concat());
        self.put("checkpoint", &self.checkpoints[2]);
    }

    fn lines(&self) -> Vec<Vec<u8>> {
        self.good.split_inclusive(|b| *b == b'\n').map(<[u8]>::to_vec).collect()
    }

    /// What both say of the site as it is.
    #[track_caller]
    fn judge(&mut self, case: &str) -> Verdict {
        let store = SiteStore::open(&self.site.path()).expect("a store");
        let first = store.verify(None);
        let second = self.second.ask(&self.store());
        match first {
            Ok(verified) => {
                let report = verified.report;
                let head: String = report.head.iter().map(|byte| format!("{byte:02x}")).collect();
                let says = format!("intact: {} records, head {head}", report.records);
                assert!(second.starts_with(&says), "{case}: {says}, but the second says {second}");
                let behind = report.tail != Tail::Clean;
                let remark = second.contains("interrupted append") || second.contains("but for its newline");
                assert_eq!(behind, remark, "{case}: {:?}, but the second says {second}", report.tail);
                let newer = format!("; {} record(s) are newer", verified.newer);
                assert_eq!(
                    second.contains(&newer),
                    verified.newer > 0,
                    "{case}: {newer}, but the second says {second}"
                );
                Verdict::Intact(report.records, behind)
            }
            Err(e) => {
                let e = e.to_string();
                assert!(second.starts_with("not intact: "), "{case}: {e}, but the second says {second}");
                assert_eq!(kind(&e), kind(&second), "{case}: {e}, but the second says {second}");
                Verdict::Not(kind(&e))
            }
        }
    }

    #[track_caller]
    fn judge_journal(&mut self, case: &str, journal: &[u8]) -> Verdict {
        self.put("journal", journal);
        self.judge(case)
    }

    /// Every verb that reads the journal refuses the site as it is, `apply` among them, and the second verifier as a
    /// command of its own; nothing is written.
    #[track_caller]
    fn refused(&self, says: &str) {
        let before = (fingerprint(&self.site.path()), fs::read(self.store().join("journal")).ok());
        let verbs = [
            &["journal", "verify"][..],
            &["journal", "show"],
            &["journal", "export"],
            &["runs"],
            &["stories"],
            &["apply", "1", "--yes"],
        ];
        for verb in verbs {
            let _ = self.site.unship(verb).exits(7).says("the journal is not intact").says(says);
        }
        let _ = Ran::of(python().arg(self.store())).exits(7).says("not intact: ").says(says);
        assert_eq!(before, (fingerprint(&self.site.path()), fs::read(self.store().join("journal")).ok()));
    }
}

#[test]
fn good_journals_are_good_to_both_verifiers() {
    let mut signed = Signed::new();
    let [_, first, all] = signed.records;
    for zeros in [0, 1, 511, signed.zeros, 3 << 20] {
        let journal = [&signed.good[..], &vec![0; zeros]].concat();
        assert_eq!(signed.judge_journal(&format!("{zeros} zeros"), &journal), Verdict::Intact(all, false));
    }
    for checkpoint in 0..3 {
        signed.put("checkpoint", &signed.checkpoints[checkpoint]);
        assert_eq!(signed.judge(&format!("checkpoint {checkpoint}")), Verdict::Intact(all, false));
    }
    // The last record torn at every byte, with the checkpoint of the run before: a run was interrupted, nothing more.
    signed.put("checkpoint", &signed.checkpoints[1].clone());
    let start = signed.good.len() - signed.lines().last().expect("lines").len();
    for end in start + 1..signed.good.len() {
        for zeros in [0, 4096] {
            let torn = [&signed.good[..end], &vec![0; zeros]].concat();
            assert_eq!(signed.judge_journal(&format!("torn at {end}"), &torn), Verdict::Intact(all - 1, true));
        }
    }
    let newer = format!("checkpoint: signed at {first} records, {} record(s) are newer", all - 1 - first);
    let _ = signed.site.unship(["journal", "verify"]).exits(0).prints(&newer).prints("the rest of an append");
    let _ = Ran::of(python().arg(signed.store())).exits(0).prints("whole but for its newline");
    // A site where nothing ran.
    let empty = Site::new("");
    let _ = empty.unship(["journal", "verify"]).exits(0).prints("checkpoint: signed at 0 records\n");
    let _ = Ran::of(python().arg(empty.at(".unship"))).exits(0).prints("intact: 0 records, head ");
    assert!(signed.second.ask(&empty.at(".unship")).starts_with("intact: 0 records, "));
    signed.restore();
    let summary = signed.site.unship(["journal", "verify", "--json"]).exits(0).summary();
    assert_eq!(summary["checkpoint"], serde_json::json!({ "records": all, "newer": 0 }));
}

#[test]
fn a_flipped_bit_in_any_byte_is_told_by_both_verifiers() {
    let mut signed = Signed::new();
    for at in 0..signed.good.len() {
        let mut bad = signed.good.clone();
        bad[at] ^= 1 << (at % 8);
        let verdict = signed.judge_journal(&format!("byte {at}"), &bad);
        assert!(matches!(verdict, Verdict::Not(_)), "byte {at}: {verdict:?}");
    }
    signed.restore();
    for at in 0..signed.checkpoints[2].len() {
        let mut bad = signed.checkpoints[2].clone();
        bad[at] ^= 1 << (at % 8);
        signed.put("checkpoint", &bad);
        let verdict = signed.judge(&format!("byte {at} of the checkpoint"));
        assert!(matches!(verdict, Verdict::Not(_)), "byte {at} of the checkpoint: {verdict:?}");
    }
    signed.refused("trust ");
}

#[test]
fn a_cut_tail_is_told_by_both_verifiers() {
    let mut signed = Signed::new();
    let lines = signed.lines();
    for kept in 1..lines.len() {
        for zeros in [0, signed.zeros] {
            let cut = [&lines[..kept].concat()[..], &vec![0; zeros]].concat();
            let verdict = signed.judge_journal(&format!("{kept} lines kept"), &cut);
            assert_eq!(verdict, Verdict::Not("cut: the checkpoint"), "{kept} lines kept");
        }
    }
    signed.refused(&format!("was signed at {} records, the journal has {}", signed.records[2], signed.records[2] - 1));
    // What was signed was whole: its last record cannot be the rest of an interrupted append.
    let start = signed.good.len() - lines.last().expect("lines").len();
    for end in start..signed.good.len() {
        let torn = signed.good[..end].to_vec();
        assert_eq!(signed.judge_journal(&format!("torn at {end}"), &torn), Verdict::Not("cut: the checkpoint"));
    }
    signed.refused("cut: the checkpoint");
}

#[test]
fn swapped_removed_and_duplicated_records_are_told_by_both_verifiers() {
    let mut signed = Signed::new();
    let lines = signed.lines();
    for at in 1..lines.len() {
        let mut cases = Vec::new();
        let mut removed = lines.clone();
        removed.remove(at);
        let last = at + 1 == lines.len();
        cases.push((
            "removed",
            if last { "cut: the checkpoint" } else { "is missing: a later record proves" },
            removed,
        ));
        let mut twice = lines.clone();
        twice.insert(at, lines[at].clone());
        cases.push(("twice", "is there twice", twice));
        let mut again = lines.clone();
        again.push(lines[at].clone());
        cases.push(("again at the end", "is there twice", again));
        for other in at + 1..lines.len() {
            let mut swapped = lines.clone();
            swapped.swap(at, other);
            cases.push(("swapped", "out of order: record", swapped));
        }
        for (what, kind, bad) in cases {
            let verdict = signed.judge_journal(&format!("line {at} {what}"), &bad.concat());
            assert_eq!(verdict, Verdict::Not(kind), "line {at} {what}");
        }
    }
}

#[test]
fn a_forked_copy_is_told_by_both_verifiers() {
    let mut signed = Signed::new();
    let store = signed.store();
    let files = ["journal", "checkpoint"];
    let run = |signed: &Signed| {
        let _ = signed.site.unship(["apply", "1", "--yes"]).exits(6);
        files.map(|file| fs::read(store.join(file)).expect("a file"))
    };
    let before = files.map(|file| fs::read(store.join(file)).expect("a file"));
    let ours = run(&signed);
    for (file, content) in files.iter().zip(&before) {
        signed.put(file, content);
    }
    // The copy runs on its own, and its journal comes back.
    let fork = run(&signed);
    assert_ne!(ours, fork);
    assert!(matches!(signed.judge("the fork with its own checkpoint"), Verdict::Intact(..)));
    signed.put("checkpoint", &ours[1]);
    assert_eq!(signed.judge("the fork"), Verdict::Not("forked or rewritten: record"));
    signed.refused("forked or rewritten: record");
    // Longer than ours, and shorter.
    signed.put("checkpoint", &fork[1]);
    let longer = run(&signed);
    signed.put("checkpoint", &ours[1]);
    assert_eq!(signed.judge_journal("longer", &longer[0]), Verdict::Not("forked or rewritten: record"));
    assert_eq!(signed.judge_journal("shorter", &before[0]), Verdict::Not("cut: the checkpoint"));
    assert!(matches!(signed.judge_journal("ours", &ours[0]), Verdict::Intact(..)));
    // Journal and checkpoint of the fork together: only what was kept elsewhere shows it.
    for (file, content) in files.iter().zip(&fork) {
        signed.put(file, content);
    }
    let kept = signed.site.outside().join("kept");
    for (content, says) in [(&ours[1], "forked or rewritten: record"), (&longer[1], "cut: the checkpoint")] {
        fs::write(&kept, content).expect("written");
        let kept = kept.to_str().expect("UTF-8");
        let _ = signed.site.unship(["journal", "verify"]).exits(0);
        let _ = signed.site.unship(["journal", "verify", "--checkpoint", kept]).exits(7).says(says).says(kept);
        let _ = Ran::of(python().arg(&store)).exits(0);
        let _ = Ran::of(python().arg(&store).args(["--checkpoint", kept])).exits(7).says(says).says(kept);
    }
}

#[test]
fn a_checkpoint_or_key_that_is_not_the_sites_own_is_told_by_both_verifiers() {
    let mut signed = Signed::new();
    let store = signed.store();
    let other = Site::new("");
    let text = String::from_utf8(signed.checkpoints[2].clone()).expect("UTF-8");
    let older = String::from_utf8(signed.checkpoints[1].clone()).expect("UTF-8");
    let line = text.lines().last().expect("a line");
    let witness = "— witness.example/w dGhlc2UgYXJlIG5vdCBpdHMgYnl0ZXM=\n";
    for (case, note, kind) in [
        ("empty", String::new(), "no blank line stands between"),
        ("its last line cut", text.trim_end().to_owned(), "its last line is cut off"),
        ("text alone", text.split("\n\n").next().expect("text").to_owned(), "no blank line stands between"),
        (
            "another number",
            text.replacen(&format!("\n{}\n", signed.records[2]), "\n1\n", 1),
            "its signature does not fit",
        ),
        (
            "another's signature",
            text.replace(line, older.lines().last().expect("a line")),
            "its signature does not fit",
        ),
        ("a line more", text.replace("\n\n", "\nmore\n\n"), "its signature does not fit"),
        ("padding lost", text.replace("=\n\n", "\n\n"), "its signature does not fit"),
        ("bad base64 below", format!("{}*\n", text.trim_end()), "a line below its text is no signature"),
        ("two signatures", format!("{text}{line}\n"), "it has two signatures by one key"),
        ("a hyphen for a dash", text.replace('—', "-"), "a line below its text is no signature"),
        ("a witness alone", text.replace(&format!("{line}\n"), witness), "it has no signature by this site's key"),
        ("carriage returns", text.replace('\n', "\r\n"), "it holds control characters"),
        ("huge", text.repeat(100), "it is longer than a checkpoint can be"),
        ("another site's", other.read(".unship/checkpoint"), "it has no signature by this site's key"),
    ] {
        signed.put("checkpoint", note.as_bytes());
        let Verdict::Not(found) = signed.judge(case) else { panic!("{case} is intact") };
        assert!(found.starts_with(kind), "{case}: {found}");
    }
    signed.put("checkpoint", b"\xff\xfe");
    assert_eq!(signed.judge("not UTF-8"), Verdict::Not("it is not text in UTF-8"));
    signed.put("checkpoint", format!("{text}{witness}").as_bytes());
    assert_eq!(signed.judge("a witness beside"), Verdict::Intact(signed.records[2], false));
    fs::remove_file(store.join("checkpoint")).expect("removed");
    assert_eq!(signed.judge("no checkpoint"), Verdict::Not("find "));
    signed.refused(&format!("find {}", store.join("checkpoint").display()));
    signed.restore();

    let public = signed.site.read(".unship/checkpoint.pub");
    for (case, bad) in
        [("empty", ""), ("another id", &public.replacen('+', "+0", 1)), ("a line more", &public.repeat(2))]
    {
        signed.put("checkpoint.pub", bad.as_bytes());
        assert_eq!(signed.judge(case), Verdict::Not("public key"), "{case}");
    }
    fs::remove_file(store.join("checkpoint.pub")).expect("removed");
    assert_eq!(signed.judge("no public key"), Verdict::Not("find "));
    // Of another site, alone and with a checkpoint that fits it: each verifier refuses in its own words.
    fs::copy(other.at(".unship/checkpoint.pub"), store.join("checkpoint.pub")).expect("copied");
    for file in ["checkpoint.pub", "checkpoint"] {
        fs::copy(other.at(".unship").join(file), store.join(file)).expect("copied");
        let _ = signed.site.unship(["journal", "verify"]).exits(7).says("public key");
        let _ = Ran::of(python().arg(&store)).exits(7).says("it is the journal of site");
    }
    // A key kept elsewhere needs nothing of what lies beside the journal.
    let kept = signed.site.outside().join("kept.pub");
    fs::write(&kept, &public).expect("written");
    signed.put("checkpoint", text.as_bytes());
    let _ = Ran::of(python().arg(&store).arg("--key").arg(&kept)).exits(0);
    signed.put("checkpoint.pub", public.as_bytes());
    assert_eq!(signed.judge("as it was"), Verdict::Intact(signed.records[2], false));
    for args in [&[][..], &["--batch", "x"], &["--unknown"], &["/nonexistent"]] {
        let _ = Ran::of(python().args(args)).exits(2);
    }
}

/// What RFC 8032 leaves to its implementations, told strictly by both: a signature that was shifted by the group's order,
/// and a key of small order, which fits any text.
#[test]
fn a_signature_has_one_form_and_a_key_is_one_to_both_verifiers() {
    let mut signed = Signed::new();
    let made = |code: &str| {
        let head = "import base64, hashlib, sys\nbody, data = sys.argv[1].rstrip('\\n').rsplit(' ', 1)\n";
        let data = "data = base64.b64decode(data)\nb64 = lambda d: base64.b64encode(d).decode()\n";
        let text = String::from_utf8(signed.checkpoints[2].clone()).expect("UTF-8");
        Ran::of(Command::new("python3").args(["-c", &format!("{head}{data}{code}"), &text])).exits(0).stdout
    };
    let shifted = made(
        "s = int.from_bytes(data[36:], 'little') + 2**252 + 27742317777372353535851937790883648493\n\
         print(body, b64(data[:36] + s.to_bytes(32, 'little')))",
    );
    let small = made(
        "name = body.split('\\n')[0]\nneutral = bytes([1] + [0] * 31)\n\
         key_id = hashlib.sha256(name.encode() + b'\\n\\1' + neutral).digest()[:4]\n\
         print(f'{name}+{key_id.hex()}+' + b64(b'\\1' + neutral))\n\
         print(body, b64(key_id + neutral + bytes(32)))",
    );
    signed.put("checkpoint", shifted.as_bytes());
    assert_eq!(signed.judge("shifted"), Verdict::Not("its signature does not fit its text"));
    let (public, note) = small.split_once('\n').expect("two parts");
    signed.put("checkpoint", note.as_bytes());
    signed.put("checkpoint.pub", format!("{public}\n").as_bytes());
    let _ = signed.site.unship(["journal", "verify"]).exits(7).says("public key");
    let _ = Ran::of(python().arg(signed.store())).exits(7).says("its signature does not fit its text");
}

/// A sequence that looks like chance, the same each time.
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % end
    }
}

/// Each rule about what a loss of power can leave behind a hole, by itself.
#[test]
fn both_verifiers_agree_on_what_stands_behind_a_hole() {
    let mut signed = Signed::new();
    signed.put("checkpoint", &signed.checkpoints[0].clone());
    let next = signed.records[2] + 1;
    let floor: u64 = {
        let lines = signed.lines();
        let last = String::from_utf8_lossy(lines.last().expect("lines")).into_owned();
        last.split(' ').nth(2).expect("a floor").parse().expect("a number")
    };
    assert!(floor > 2);
    let line = |seq: u64, floor: u64| format!("{} {seq} {floor} {{}}\n", "0a".repeat(32));
    let missing = Verdict::Not("is missing: a later record proves");
    let garbage = Verdict::Not("no record and not the rest of an interrupted append");
    let twice = Verdict::Not("is there twice");
    let torn = Verdict::Intact(next - 1, true);
    for (case, piece, verdict) in [
        ("a later flush's first line", line(next + 1, next + 1), &missing),
        ("its floor is our own", line(next + 1, next), &torn),
        ("a number below its floor", line(next + 1, next + 2), &torn),
        ("half a line, then a later flush's", format!("x\n{}", line(next + 2, next + 1)), &missing),
        ("half a line, then one of this flush", format!("x\n{}", line(next + 1, next)), &torn),
        ("of the flush before", format!("x\n{}", line(next + 1, floor)), &torn),
        ("an older floor", format!("x\n{}", line(next + 1, floor - 1)), &garbage),
        ("the missing record itself", format!("x\n{}", line(next, next)), &twice),
        ("an old record", format!("x\n{}", line(1, 1)), &twice),
        ("rising", format!("x\n{}{}", line(next + 1, next), line(next + 4, next)), &torn),
        ("falling", format!("x\n{}{}", line(next + 4, next), line(next + 1, next)), &twice),
        ("no line", "x\nnonsense\n".to_owned(), &garbage),
        ("an empty line", "x\n\n".to_owned(), &garbage),
        ("half a line at the end", format!("x\n{}nonsense", line(next + 1, next)), &torn),
    ] {
        for (zeros, aligned) in [(0, true), (512, true), (700, false)] {
            let mut journal = signed.good.clone();
            journal.resize(journal.len().next_multiple_of(512) + zeros, 0);
            journal.extend(piece.as_bytes());
            journal.resize(journal.len() + 1000, 0);
            let found = signed.judge_journal(case, &journal);
            match aligned {
                true => assert_eq!(found, *verdict, "{case}, {zeros} zeros"),
                // A hole ends at a sector; what is found first counts.
                false => assert!(matches!(found, Verdict::Not(_)), "{case}, {zeros} zeros: {found:?}"),
            }
        }
    }
}

/// What an interrupted append leaves behind is the hard part to tell, so it is judged in thousands of cases.
#[test]
fn both_verifiers_agree_on_whatever_stands_at_the_end() {
    let mut signed = Signed::new();
    signed.put("checkpoint", &signed.checkpoints[0].clone());
    let good = signed.good.clone();
    let lines = signed.lines();
    for garbage in
        [&b"hello\n"[..], b"hello", b"\n", b"{}\n", b"!", b"!\n", b"\0\0\0hello", b"0123 4", b"\x01", b"!\0\0x"]
    {
        let _ = signed.judge_journal(&format!("{garbage:?}"), &[&good[..], garbage].concat());
        let _ = signed.judge_journal(&format!("{garbage:?}"), &[&good[..], garbage, &[0; 5000]].concat());
    }
    let mut chance = Chance(1);
    let mut intact = 0;
    for number in 0..3000 {
        let mut journal = good.clone();
        journal.resize(good.len().next_multiple_of(512) + 512 * chance.below(3), 0);
        let case = format!("case {number}");
        for _ in 0..=chance.below(2) {
            let sectors = journal.len() / 512;
            match chance.below(6) {
                // Sectors lost.
                0 | 1 => {
                    let from = chance.below(sectors);
                    let to = (from + 1 + chance.below(3)).min(sectors);
                    journal[from * 512..to * 512].fill(0);
                }
                // An end lost, at a sector or anywhere.
                2 => journal[chance.below(sectors) * 512..].fill(0),
                3 => {
                    let from = chance.below(journal.len());
                    journal[from..].fill(0);
                }
                // The mark of a cut, where a record begins.
                4 => {
                    let at: usize = lines[..1 + chance.below(lines.len() - 1)].iter().map(Vec::len).sum();
                    journal[at] = b'!';
                    let to = (at + 1 + chance.below(1000)).min(journal.len());
                    journal[at + 1..to].fill(0);
                }
                _ => {
                    let at = chance.below(journal.len());
                    journal[at] = b"\0\n !0a\xff"[chance.below(7)];
                }
            }
        }
        intact += usize::from(matches!(signed.judge_journal(&case, &journal), Verdict::Intact(..)));
    }
    assert!((300..2700).contains(&intact), "the cases are of both sorts: {intact} are intact");
}
