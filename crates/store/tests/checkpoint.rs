//! The signed head of a site's journal: what it lets through, what it shows, and that it never goes back.

use std::fs;
use std::path::{Path, PathBuf};

use unship_store::{
    Checkpoint, CheckpointError, Durability, Journal, JournalError, Report, SiteStore, Tail, Verified, verify,
};

struct Site {
    folder: tempfile::TempDir,
}

impl Site {
    /// A site whose journal has `records` records, all of them signed.
    fn new(records: usize) -> Site {
        let folder = tempfile::tempdir().unwrap();
        SiteStore::create(folder.path()).unwrap();
        let site = Site { folder };
        let journal = site.append(records, "a");
        site.store().sign_checkpoint(&journal).unwrap();
        site
    }

    /// Another folder with the same files.
    fn copy(&self) -> Site {
        let folder = tempfile::tempdir().unwrap();
        SiteStore::create(folder.path()).unwrap();
        for file in ["key", "journal", "format", "checkpoint", "checkpoint.pub"] {
            fs::copy(self.at(file), folder.path().join(".unship").join(file)).unwrap();
        }
        Site { folder }
    }

    fn store(&self) -> SiteStore {
        SiteStore::open(self.folder.path()).unwrap()
    }

    fn at(&self, file: &str) -> PathBuf {
        self.folder.path().join(".unship").join(file)
    }

    fn append(&self, records: usize, word: &str) -> Journal {
        let journal = self.store().journal(&mut |_| ()).unwrap();
        for number in 0..records {
            let record = format!("{{\"word\":\"{word}\",\"number\":{number}}}").into_bytes();
            journal.append(vec![record], Durability::Flush).unwrap();
        }
        journal
    }

    fn lines(&self) -> Vec<Vec<u8>> {
        let content = fs::read(self.at("journal")).unwrap();
        let end = content.iter().rposition(|byte| *byte != 0).unwrap() + 1;
        content[..end].split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect()
    }

    /// The same answer from all that read the journal, none of which may write.
    fn judge(&self) -> Result<Verified, JournalError> {
        let store = self.store();
        let before = fs::read(self.at("journal")).ok();
        let verified = store.verify(None);
        let read = store.records().and_then(|mut records| records.try_for_each(|record| record.map(drop)));
        assert_eq!(text(&read), text(&verified), "reading and verifying");
        if verified.is_err() {
            assert_eq!(text(&store.journal(&mut |_| ())), text(&verified), "appending and verifying");
            assert_eq!(fs::read(self.at("journal")).ok(), before, "a journal that is refused is not changed");
        }
        verified
    }

    fn told(&self) -> String {
        self.judge().unwrap_err().to_string()
    }
}

fn text<T>(result: &Result<T, JournalError>) -> Option<String> {
    result.as_ref().err().map(ToString::to_string)
}

#[test]
fn a_new_store_has_a_checkpoint_of_no_records() {
    let site = Site::new(0);
    let Verified { report, checkpoint, newer } = site.judge().unwrap();
    assert_eq!((report.records, newer), (0, 0));
    assert_eq!(checkpoint, Checkpoint { records: 0, head: report.head });
    let note = fs::read_to_string(site.at("checkpoint")).unwrap();
    let public = fs::read_to_string(site.at("checkpoint.pub")).unwrap();
    let origin = format!("unship-journal/{}", site.store().id());
    assert!(note.starts_with(&format!("{origin}\n0\n")) && public.starts_with(&format!("{origin}+")), "{note}{public}");
    // Made again, it stays.
    SiteStore::create(site.folder.path()).unwrap();
    assert_eq!(fs::read_to_string(site.at("checkpoint")).unwrap(), note);
}

#[test]
fn records_newer_than_the_checkpoint_are_counted_and_signed_next() {
    let site = Site::new(3);
    assert_eq!(site.judge().unwrap().newer, 0);
    drop(site.append(2, "b"));
    let Verified { report, checkpoint, newer } = site.judge().unwrap();
    assert_eq!((report.records, checkpoint.records, newer), (5, 3, 2));
    let journal = site.append(1, "c");
    site.store().sign_checkpoint(&journal).unwrap();
    let Verified { report, checkpoint, newer } = site.judge().unwrap();
    assert_eq!((checkpoint, newer), (Checkpoint { records: 6, head: report.head }, 0));
}

#[test]
fn only_what_is_durable_is_signed() {
    let site = Site::new(2);
    let journal = site.append(0, "");
    journal.append(vec![b"1".to_vec()], Durability::Lazy).unwrap();
    site.store().sign_checkpoint(&journal).unwrap();
    assert_eq!(site.judge().unwrap().checkpoint.records, 2);
    journal.flush().unwrap();
    site.store().sign_checkpoint(&journal).unwrap();
    let Verified { report, checkpoint, .. } = site.judge().unwrap();
    assert_eq!(checkpoint, Checkpoint { records: 3, head: report.head });
}

#[test]
fn a_checkpoint_never_goes_back_and_none_is_papered_over() {
    let site = Site::new(4);
    let signed = fs::read(site.at("checkpoint")).unwrap();
    // Just opened, the newest records are not known to be durable here: nothing is signed, nothing lost.
    site.store().sign_checkpoint(&site.append(0, "")).unwrap();
    assert_eq!(fs::read(site.at("checkpoint")).unwrap(), signed);
    let journal = site.append(1, "b");
    fs::remove_file(site.at("checkpoint")).unwrap();
    assert!(matches!(site.store().sign_checkpoint(&journal), Err(CheckpointError::Missing { .. })));
    fs::write(site.at("checkpoint"), b"nonsense").unwrap();
    assert!(matches!(site.store().sign_checkpoint(&journal), Err(CheckpointError::Untrusted { .. })));
    let fork = site.copy();
    fs::write(fork.at("checkpoint"), &signed).unwrap();
    fs::write(fork.at("journal"), site.lines()[..5].concat()).unwrap();
    fork.store().sign_checkpoint(&fork.append(1, "other")).unwrap();
    fs::copy(fork.at("checkpoint"), site.at("checkpoint")).unwrap();
    assert!(matches!(site.store().sign_checkpoint(&journal), Err(CheckpointError::Forked { at: 5, .. })));
}

#[test]
fn a_tail_cut_anywhere_below_the_checkpoint_is_told() {
    let site = Site::new(4);
    let whole = fs::read(site.at("journal")).unwrap();
    let content = site.lines().concat();
    for end in site.lines()[0].len()..content.len() {
        let records = content[..end].iter().filter(|byte| **byte == b'\n').count() - 1;
        for length in [end, whole.len()] {
            let mut cut = content[..end].to_vec();
            cut.resize(length, 0);
            fs::write(site.at("journal"), &cut).unwrap();
            let told = site.told();
            let says = format!(
                "cut: the checkpoint {} was signed at 4 records, the journal has {records};",
                site.at("checkpoint").display()
            );
            assert!(told.contains(&says), "{end}: {told}");
        }
    }
    // Above the checkpoint an append may have been interrupted.
    fs::write(site.at("journal"), &whole).unwrap();
    drop(site.append(1, "b"));
    let content = site.lines().concat();
    let last = site.lines()[5].len();
    for end in content.len() - last..content.len() {
        fs::write(site.at("journal"), &content[..end]).unwrap();
        let verified = site.judge().unwrap();
        assert_eq!((verified.report.records, verified.newer), (4, 0));
    }
}

/// With its checkpoint no byte of a journal can change without a word, not even the last newline.
#[test]
fn each_flipped_bit_of_a_signed_journal_is_told() {
    let site = Site::new(3);
    let good = site.lines().concat();
    for at in 0..good.len() {
        for changed in (0..8).map(|bit| good[at] ^ 1 << bit).chain([0]).filter(|changed| *changed != good[at]) {
            let mut bad = good.clone();
            bad[at] = changed;
            fs::write(site.at("journal"), &bad).unwrap();
            assert!(site.judge().is_err(), "byte {at} became {changed}");
        }
    }
}

#[test]
fn a_fork_is_told_by_the_checkpoint_of_the_other() {
    let site = Site::new(3);
    let fork = site.copy();
    for (site, word) in [(&site, "b"), (&fork, "c")] {
        let journal = site.append(2, word);
        site.store().sign_checkpoint(&journal).unwrap();
    }
    let kept = fork.at("checkpoint");
    let ours = fs::read(site.at("journal")).unwrap();
    fs::copy(fork.at("journal"), site.at("journal")).unwrap();
    assert!(site.told().contains("forked or rewritten: record 5 is not the one"), "{}", site.told());
    // With more records too, and with the fork's own checkpoint only where another was kept.
    drop(fork.append(3, "d"));
    fs::copy(fork.at("journal"), site.at("journal")).unwrap();
    assert!(site.told().contains("forked or rewritten: record 5 is not the one"), "{}", site.told());
    fs::write(site.at("journal"), ours).unwrap();
    site.judge().unwrap();
    let told = site.store().verify(Some(&kept)).unwrap_err().to_string();
    assert!(told.contains("forked or rewritten") && told.contains(kept.to_str().unwrap()), "{told}");
}

#[test]
fn a_checkpoint_kept_elsewhere_shows_what_the_one_beside_the_journal_cannot() {
    let site = Site::new(2);
    let old = fs::read(site.at("checkpoint")).unwrap();
    let lines = site.lines();
    let journal = site.append(2, "b");
    site.store().sign_checkpoint(&journal).unwrap();
    drop(journal);
    let kept = site.folder.path().join("kept");
    fs::copy(site.at("checkpoint"), &kept).unwrap();
    assert_eq!(site.store().verify(Some(&kept)).unwrap().checkpoint.records, 4);
    // Journal and checkpoint rolled back together.
    fs::write(site.at("journal"), lines.concat()).unwrap();
    fs::write(site.at("checkpoint"), &old).unwrap();
    site.judge().unwrap();
    let told = site.store().verify(Some(&kept)).unwrap_err().to_string();
    assert!(told.contains("was signed at 4 records, the journal has 2"), "{told}");
    let nothing = site.store().verify(Some(Path::new("/nonexistent"))).unwrap_err();
    assert!(matches!(nothing, JournalError::Io(_)), "{nothing}");
}

#[test]
fn a_checkpoint_that_is_not_the_sites_own_is_refused() {
    let (site, other) = (Site::new(2), Site::new(2));
    let (checkpoint, public) = (site.at("checkpoint"), site.at("checkpoint.pub"));
    let good = [fs::read(&checkpoint).unwrap(), fs::read(&public).unwrap()];
    let restore = || {
        fs::write(&checkpoint, &good[0]).unwrap();
        fs::write(&public, &good[1]).unwrap();
        site.judge().unwrap();
    };
    fs::copy(other.at("checkpoint"), &checkpoint).unwrap();
    assert!(site.told().contains("it has no signature by this site's key"), "{}", site.told());
    fs::copy(other.at("checkpoint.pub"), &public).unwrap();
    assert!(site.told().contains("it is not the public key of this site's checkpoints"), "{}", site.told());
    restore();
    let huge = vec![b'a'; 1 << 20];
    for (path, bad) in [(&checkpoint, &b""[..]), (&checkpoint, b"\xff\n\n"), (&checkpoint, &huge), (&public, &huge)] {
        fs::write(path, bad).unwrap();
        let told = site.told();
        assert!(told.contains(&format!("trust {}", path.display())), "{told}");
        restore();
    }
    for path in [&checkpoint, &public] {
        fs::remove_file(path).unwrap();
        assert!(site.told().contains(&format!("find {}", path.display())), "{}", site.told());
        restore();
    }
    // Of the journal alone nobody can tell.
    let Report { records, tail, .. } = verify(&site.at("journal")).unwrap();
    assert_eq!((records, tail), (2, Tail::Clean));
}
