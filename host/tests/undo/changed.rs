//! What others do meanwhile: a process that goes on writing into what the run took away, and people who change what it left.

use crate::{
    property::{site_in, workshop},
    runs::{End, Killer, Site, Tape, Way},
    steps::Op,
    trees::{Seen, Spec, What, difference, look},
};
use std::{
    fs::{self, File},
    io::{Seek as _, SeekFrom, Write as _},
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};
use unship_rollback::{Outcome, Plan, RunState, changed_since};

/// `a`, `b`, `d/a` and `k.json`.
fn spec() -> Spec {
    let file = |at| (at, What::File { size: 300, sparse: false, mode: 2, labelled: true });
    vec![file(0), file(1), file(3), file(8)]
}

fn put(path: u8) -> Op {
    Op::Put { path, size: 20, seed: 3 }
}

fn planned(folder: &Path, name: &str, steps: Vec<Op>) -> (Site, Plan) {
    let mut site = site_in(folder, name, &spec(), &[steps]);
    let plan = site.plan(folder).expect("a plan");
    (site, plan)
}

fn ended(site: &Site, tape: &Tape, way: Way<'_>) -> RunState {
    match site.attempt(tape, way, &Killer::at(0)) {
        End::Ended { report, wrong } => {
            assert_eq!(wrong, None);
            report.state
        }
        _ => panic!("it did not end"),
    }
}

fn outcome(state: &RunState) -> Outcome {
    state.ended().expect("ended").0
}

#[test]
fn what_a_live_process_writes_into_a_file_that_was_taken_away_comes_back_with_it() {
    let folder = workshop();
    let cases = [
        ("unlink", "a", vec![Op::Unlink { path: 0 }]),
        ("replace", "a", vec![Op::Replace { target: 0, source: 1 }]),
        ("truncate", "a", vec![put(0)]),
        ("rename", "a", vec![Op::Rename { from: 1, to: 0 }]),
        ("set-aside", "a", vec![Op::SetAside { path: 0 }]),
        ("clear", "d/a", vec![Op::Clear { path: 2 }]),
    ];
    for (name, target, steps) in cases {
        let (site, plan) = planned(folder.path(), name, steps);
        let target = site.root.join(target);
        let mut held = File::options().read(true).write(true).open(&target).expect("open");
        let before = fs::read(&target).expect("read");
        let tape = Tape::default();
        assert_eq!(outcome(&ended(&site, &tape, Way::Execute(&plan))), Outcome::Succeeded, "{name}");
        held.seek(SeekFrom::End(0)).expect("seek");
        held.write_all(b"written meanwhile").expect("written");
        assert_eq!(outcome(&ended(&site, &tape, Way::Undo(Vec::new()))), Outcome::Undone, "{name}");
        assert_eq!(fs::read(&target).expect("read"), [before, b"written meanwhile".to_vec()].concat(), "{name}");
    }
}

/// Whether some file below `folder` holds `text`.
fn holds(folder: &Path, text: &[u8]) -> bool {
    fs::read_dir(folder).expect("a directory").any(|entry| {
        let path = entry.expect("an entry").path();
        let metadata = path.symlink_metadata().expect("metadata");
        let in_file = || fs::read(&path).expect("read").windows(text.len()).any(|part| part == text);
        if metadata.is_dir() { holds(&path, text) } else { metadata.is_file() && in_file() }
    })
}

/// Directories in which somebody changed something keep their times.
fn but_for_new_times(mut found: Seen, original: &Seen, since: i64) -> Seen {
    for (path, thing) in found.iter_mut().filter(|(_, thing)| thing.mode & 0o170_000 == 0o040_000) {
        if let Some(was) = original.get(path).filter(|_| thing.modified.0 >= since) {
            thing.modified = was.modified;
        }
    }
    found
}

type Change = fn(&Path);

#[test]
fn somebodys_changes_are_asked_for_and_never_lost() {
    const TEXT: &[u8] = b"somebody's own";
    fn write(path: &Path) {
        fs::write(path, TEXT).expect("written");
    }
    fn replace(path: &Path) {
        write(&path.with_file_name("new"));
        fs::rename(path.with_file_name("new"), path).expect("renamed");
    }
    let in_place = vec![
        Op::Open { path: 0, create: false, truncate: false, follow: false },
        Op::Write { handle: 0, at: 5, size: 40, seed: 3 },
    ];
    let cases: [(&str, Vec<Op>, Change); 11] = [
        ("unlinked", vec![Op::Unlink { path: 0 }], |root| write(&root.join("a"))),
        ("in-place", in_place.clone(), |root| write(&root.join("a"))),
        ("in-place-replaced", in_place, |root| replace(&root.join("a"))),
        ("cut", vec![put(0)], |root| write(&root.join("a"))),
        ("replaced", vec![Op::Replace { target: 0, source: 1 }], |root| replace(&root.join("a"))),
        ("cleared", vec![Op::Clear { path: 2 }], |root| write(&root.join("d/new"))),
        ("renamed", vec![Op::Rename { from: 0, to: 12 }], |root| write(&root.join("a"))),
        ("renamed-replaced", vec![Op::Rename { from: 0, to: 1 }], |root| replace(&root.join("b"))),
        ("made", vec![Op::Mkdir { path: 12 }], |root| write(&root.join("n/m"))),
        ("created", vec![put(12)], |root| write(&root.join("n"))),
        ("linked", vec![Op::Link { from: 0, to: 12, follow: false }], |root| replace(&root.join("n"))),
    ];
    let folder = workshop();
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("a time").as_secs() as i64 - 2;
    for (name, steps, change) in cases {
        let (site, plan) = planned(folder.path(), name, steps);
        let original = look(&site.root);
        let tape = Tape::default();
        assert_eq!(outcome(&ended(&site, &tape, Way::Execute(&plan))), Outcome::Succeeded, "{name}");
        change(&site.root);
        let changed = look(&site.root);
        let said = changed_since(&tape.state(), &mut site.effects(&site.images(), Killer::at(0)));
        assert!(!said.is_empty(), "{name}: nobody noticed");
        assert_eq!(outcome(&ended(&site, &tape, Way::Undo(Vec::new()))), Outcome::Stuck, "{name}");
        difference(&changed, &look(&site.root)).unwrap_or_else(|e| panic!("{name}: refused, but\n{e}"));
        let forced = said.into_iter().map(|(name, _)| name).collect();
        let state = ended(&site, &tape, Way::Undo(forced));
        if name == "renamed-replaced" || name == "in-place-replaced" {
            // What was moved or written into is gone: nothing can be given back, and nothing is.
            assert_eq!(outcome(&state), Outcome::Stuck, "{name}");
            difference(&changed, &look(&site.root)).unwrap_or_else(|e| panic!("{name}: it could not, but\n{e}"));
            continue;
        }
        assert_eq!(outcome(&state), Outcome::Undone, "{name}: {:?}", state.ended());
        let found = but_for_new_times(look(&site.root), &original, since);
        difference(&original, &found).unwrap_or_else(|e| panic!("{name}:\n{e}"));
        assert!(holds(&site.root.join(".unship/trash"), TEXT), "{name}: somebody's content is lost");
    }
}
