//! The property, and the sequences that once broke it.

use crate::{
    runs::{End, Killer, Site, Tape, Way, definitions},
    steps::{Op, Step, any_steps},
    trees::{Seen, Spec, What, any_spec, build, difference, look, without_new_times},
};
use proptest::{
    prelude::*,
    test_runner::{Config, TestError, TestRunner},
};
use std::{
    fs,
    path::{Path, PathBuf},
    time::{Instant, SystemTime, UNIX_EPOCH},
};
use unship_rollback::{Outcome, RunState, changed_since};
use unship_store::SiteStore;

/// One kill: after how many boundaries and records, what of the waiting records survives, and which way it goes then.
#[derive(Debug, Clone)]
pub struct Kill {
    pub at: u16,
    pub kept: u8,
    pub back: bool,
}

#[derive(Debug, Clone)]
pub struct Case {
    pub spec: Spec,
    pub steps: Vec<Step>,
    pub kills: Vec<Kill>,
}

fn any_case() -> impl Strategy<Value = Case> {
    let kept = prop_oneof![3 => Just(0u8), 1 => 0..6u8];
    let at = prop_oneof![1..30u16, 1..120u16];
    let kill = (at, kept, any::<bool>()).prop_map(|(at, kept, back)| Kill { at, kept, back });
    let kills = proptest::collection::vec(kill, 0..4);
    (any_spec(), any_steps(), kills).prop_map(|(spec, steps, kills)| Case { spec, steps, kills })
}

/// A folder for sites that is quick to flush, where there is one.
pub fn workshop() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let made = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    made.expect("a folder")
}

pub fn site_in(folder: &Path, name: &str, spec: &Spec, steps: &[Step]) -> Site {
    let root = folder.join(name);
    fs::create_dir(&root).expect("a folder");
    let root = root.canonicalize().expect("a path");
    SiteStore::create(&root).expect("a store");
    build(&root, spec);
    Site { root, steps: steps.to_vec(), told: Vec::new(), definitions: definitions(), grant: Site::whole() }
}

pub fn ended(site: &Site, end: End, wanted: Outcome) -> Result<RunState, String> {
    match end {
        End::Ended { report, wrong } => {
            if let Some(wrong) = wrong {
                return Err(wrong);
            }
            match report.state.ended() {
                Some((outcome, ..)) if *outcome == wanted => Ok(report.state),
                ended => Err(format!("it ended as {ended:?}, not {wanted}\n{:#?}", listing(&site.root))),
            }
        }
        End::Failed(failure) => Err(format!("the journal failed: {failure}")),
        End::Killed => Err("killed where nobody kills".to_owned()),
    }
}

/// What lies in the trash, for a person.
fn listing(root: &Path) -> Vec<PathBuf> {
    let trash = root.join(".unship/trash");
    let mut all = Vec::new();
    let mut todo = vec![trash];
    while let Some(dir) = todo.pop() {
        for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
            all.push(entry.path());
            if entry.path().symlink_metadata().is_ok_and(|m| m.is_dir()) {
                todo.push(entry.path());
            }
        }
    }
    all
}

/// Checks one case from end to end.
pub fn check(case: &Case) -> Result<(), String> {
    let folder = workshop();
    let scratch = folder.path().join("scratch");
    fs::create_dir(&scratch).expect("a folder");
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("a time").as_secs() as i64 - 2;

    // The whole run, and taken back by hand.
    let mut whole = site_in(folder.path(), "whole", &case.spec, &case.steps);
    let original = look(&whole.root);
    let plan = whole.plan(&scratch)?;
    difference(&original, &look(&whole.root)).map_err(|e| format!("planning changed the site:\n{e}"))?;
    let tape = Tape::default();
    let state = ended(&whole, whole.attempt(&tape, Way::Execute(&plan), &Killer::at(0)), Outcome::Succeeded)?;
    let applied = look(&whole.root);
    let images = whole.images();
    let changed = changed_since(&state, &mut whole.effects(&images, Killer::at(0)));
    if !changed.is_empty() {
        return Err(format!("nobody changed anything since, but: {changed:?}"));
    }
    ended(&whole, whole.attempt(&tape, Way::Undo(Vec::new()), &Killer::at(0)), Outcome::Undone)?;
    difference(&original, &look(&whole.root)).map_err(|e| format!("after an undo by hand:\n{e}"))?;

    if case.kills.is_empty() {
        return Ok(());
    }
    // The same, killed on the way.
    let mut site = site_in(folder.path(), "killed", &case.spec, &case.steps);
    let original = look(&site.root);
    let plan = site.plan(&scratch)?;
    let tape = Tape::default();
    match killed(&site, &tape, Way::Execute(&plan), &case.kills)? {
        Outcome::Undone => {
            return difference(&original, &look(&site.root)).map_err(|e| format!("taken back after a kill:\n{e}"));
        }
        Outcome::Succeeded => {}
        outcome => return Err(format!("it ended {outcome}")),
    }
    let same = |seen: Seen| without_new_times(seen, since);
    difference(&same(applied), &same(look(&site.root))).map_err(|e| format!("gone on after a kill:\n{e}"))?;
    // And by hand, killed on that way too.
    let changed = changed_since(&tape.state(), &mut site.effects(&site.images(), Killer::at(0)));
    if !changed.is_empty() {
        return Err(format!("nobody changed anything since it went on, but: {changed:?}"));
    }
    let outcome = killed(&site, &tape, Way::Undo(Vec::new()), &case.kills)?;
    let back = difference(&original, &look(&site.root));
    back.map_err(|e| format!("killed in an undo by hand, {outcome}:\n{e}"))
}

/// Goes its way and is killed, again and again, then to the end.
pub fn killed(site: &Site, tape: &Tape, first: Way<'_>, kills: &[Kill]) -> Result<Outcome, String> {
    let mut kills = kills.iter();
    let mut next = first;
    loop {
        let before = tape.state();
        let kill = kills.next();
        let killer = Killer::at(kill.map_or(0, |kill| u64::from(kill.at)));
        match site.attempt(tape, next, &killer) {
            End::Killed => tape.lose(kill.map_or(0, |kill| usize::from(kill.kept))),
            End::Failed(failure) => return Err(format!("the journal failed: {failure}")),
            End::Ended { wrong: Some(wrong), .. } => return Err(wrong),
            End::Ended { .. } => tape.lose(usize::MAX),
        }
        let state = tape.state();
        match state.ended() {
            // It was killed before the record of the undo reached the disk.
            Some(_) if before.ended().is_some() && state.ended() == before.ended() => next = Way::Undo(Vec::new()),
            Some((outcome @ (Outcome::Succeeded | Outcome::Undone), ..)) => return Ok(*outcome),
            Some((other, _, reason)) => {
                return Err(format!("it ended {other}: {reason:?}\n{:#?}", listing(&site.root)));
            }
            None if kill.is_some_and(|kill| kill.back) => next = Way::Undo(Vec::new()),
            None => next = Way::Resume,
        }
    }
}

#[test]
fn any_run_killed_anywhere_is_taken_back_or_goes_on_to_its_end() {
    // About 40 seconds.
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(12_000);
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 20_000, ..Config::default() };
    let begun = Instant::now();
    let result = TestRunner::new(config).run(&any_case(), |case| check(&case).map_err(TestCaseError::fail));
    match result {
        Ok(()) => println!("{:.0} cases a second", f64::from(cases) / begun.elapsed().as_secs_f64()),
        Err(TestError::Fail(why, case)) => panic!("{why}\n{case:?}"),
        Err(other) => panic!("{other}"),
    }
}

fn file(at: u8) -> (u8, What) {
    (at, What::File { size: 9, sparse: false, mode: 0, labelled: false })
}

/// Checks a sequence whole, then killed at each point, and killed once more on the way from there.
fn holds_killed_anywhere(spec: Spec, steps: Vec<Step>) {
    let kill = |at, back| Kill { at, kept: 0, back };
    let mut kills = vec![Vec::new()];
    for (first, second) in (1..24).flat_map(|first| [0, 2, 4, 6, 8, 9].map(|second| (first, second))) {
        kills.extend([true, false].map(|back| vec![kill(first, back), kill(second, !back)]));
    }
    for kills in kills {
        let case = Case { spec: spec.clone(), steps: steps.clone(), kills };
        check(&case).unwrap_or_else(|why| panic!("{why}\n{case:?}"));
    }
}

#[test]
fn a_directory_that_the_run_moves_gets_its_time_back() {
    holds_killed_anywhere(
        vec![file(4), file(5)],
        vec![vec![Op::Mkdir { path: 3 }], vec![Op::Rename { from: 2, to: 0 }]],
    );
    let moved = vec![Op::Rename { from: 2, to: 12 }, Op::Put { path: 20, size: 3, seed: 1 }];
    holds_killed_anywhere(vec![file(4)], vec![moved]);
}

#[test]
fn something_else_lies_where_a_changed_directory_was() {
    let made = Op::Put { path: 6, size: 2, seed: 1 };
    let link = Op::Symlink { target: 0, path: 5 };
    let steps = vec![made, Op::Rename { from: 2, to: 12 }, Op::Mkdir { path: 2 }, link];
    holds_killed_anywhere(vec![(5, What::Dir { mode: 0, foreign: false })], vec![steps]);
}

#[test]
fn a_killed_run_may_be_a_unit_further_than_its_records() {
    holds_killed_anywhere(vec![], vec![vec![], vec![Op::Symlink { target: 0, path: 14 }]]);
}

#[test]
fn an_undo_that_is_repeated_leaves_alone_what_is_back() {
    let clear = vec![Op::Clear { path: 2 }, Op::Symlink { target: 0, path: 3 }];
    holds_killed_anywhere(vec![(3, What::Dir { mode: 0, foreign: true })], vec![clear]);
    let cut = vec![
        Op::Open { path: 0, create: false, truncate: true, follow: false },
        Op::HandleTimes { handle: 0, time: 0 },
    ];
    holds_killed_anywhere(vec![file(0)], vec![vec![], cut]);
}

#[test]
fn names_of_one_file_are_cut_together_and_are_one_thing() {
    let put = |path, size| Op::Put { path, size, seed: 1 };
    let linked = || vec![file(4), (7, What::Hard(4))];
    holds_killed_anywhere(linked(), vec![vec![put(7, 0), put(4, 0)]]);
    holds_killed_anywhere(linked(), vec![vec![put(7, 3)], vec![put(4, 0)]]);
    // By a name that is in the trash at the end.
    let open = Op::Open { path: 7, create: false, truncate: false, follow: false };
    let write = Op::Write { handle: 0, at: 0, size: 2, seed: 1 };
    holds_killed_anywhere(linked(), vec![vec![put(4, 1)], vec![open, write, Op::Clear { path: 5 }]]);
}

#[test]
fn what_lies_in_the_way_of_setting_aside_is_seen_before() {
    let aside = || vec![Op::SetAside { path: 0 }];
    holds_killed_anywhere(vec![file(0)], vec![aside(), vec![Op::Mkdir { path: 0 }], aside()]);
}

#[test]
fn the_folder_itself_gets_its_times_back() {
    holds_killed_anywhere(vec![(1, What::Symlink(6))], vec![vec![Op::Times { path: 1, time: 0, follow: true }]]);
}

#[test]
fn what_the_run_changed_twice_is_nobody_elses_change() {
    let steps = vec![vec![Op::Replace { target: 0, source: 2 }, Op::Put { path: 0, size: 1, seed: 1 }]];
    holds_killed_anywhere(vec![file(2), file(0)], steps);
}

#[test]
fn a_path_with_the_word_for_a_run_is_itself() {
    let put = |path| Op::Put { path, size: 5, seed: 2 };
    holds_killed_anywhere(
        vec![file(2)],
        vec![vec![put(19), Op::SetAside { path: 19 }], vec![Op::Rename { from: 2, to: 19 }]],
    );
    holds_killed_anywhere(vec![], vec![vec![Op::Mkdir { path: 2 }, put(23)]]);
}

/// The handle leads nowhere then, in plan and run alike, though the file has another name.
#[test]
fn a_handle_whose_name_was_taken_over_leads_nowhere_in_plan_and_run() {
    let spec = vec![file(10), file(1), file(4)];
    let steps = vec![vec![
        Op::Link { from: 1, to: 3, follow: false },
        Op::Open { path: 3, create: false, truncate: false, follow: false },
        Op::Rename { from: 4, to: 3 },
        Op::Write { handle: 0, at: 0, size: 1, seed: 1 },
    ]];
    check(&Case { spec, steps, kills: Vec::new() }).expect("as before");
}

/// Every sequence of up to three changes of three names, then a write through a handle that was opened before: plan and run know
/// it by the same name, or both by none.
#[test]
fn a_handle_is_known_by_the_same_name_in_plan_and_run_whatever_becomes_of_names() {
    const NAMES: [u8; 3] = [0, 1, 12];
    let mut changes: Vec<Op> = NAMES.map(|path| Op::Unlink { path }).into();
    for from in NAMES {
        for to in NAMES.into_iter().filter(|to| *to != from) {
            changes.extend([Op::Rename { from, to }, Op::Link { from, to, follow: false }]);
        }
    }
    let open = || Op::Open { path: 0, create: false, truncate: false, follow: false };
    let put = || Op::Put { path: 0, size: 4, seed: 2 };
    let write = || Op::Write { handle: 0, at: 0, size: 1, seed: 1 };
    let mut sequences: Vec<Vec<Op>> = vec![Vec::new()];
    for length in 0..3 {
        let longer = sequences.iter().filter(|all| all.len() == length).cloned();
        let longer: Vec<Vec<Op>> = longer
            .flat_map(|all| changes.iter().map(move |op| [&all[..], std::slice::from_ref(op)].concat()))
            .collect();
        sequences.extend(longer);
    }
    for sequence in sequences {
        // A file that was there and one beside it; for shorter sequences it alone, and one that the step itself made.
        let mut begins = vec![(vec![file(0), file(1)], vec![open()])];
        if sequence.len() < 3 {
            begins.extend([(vec![file(0)], vec![open()]), (vec![], vec![put(), open()])]);
        }
        for (spec, begin) in begins {
            let steps = vec![[begin, sequence.clone(), vec![write()]].concat()];
            let case = Case { spec, steps, kills: Vec::new() };
            check(&case).unwrap_or_else(|why| panic!("{why}\n{case:?}"));
        }
    }
}
