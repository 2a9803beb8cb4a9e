//! Against real processes.

use super::*;
use crate::providers::testing::{Running, again_as_nobody, ample, lives, program, selector, unique_seconds, until};
use std::{fs, os::unix::process::CommandExt, process::Command, time::Instant};

fn pids(found: &[ProcessInfo]) -> Vec<u32> {
    found.iter().map(|process| process.pid).collect()
}

fn site() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

/// A copy of `sleep` in the site, as a service's own program.
fn own_sleep(site: &Path) -> String {
    fs::create_dir_all(site.join("bin")).expect("a folder");
    fs::copy(program("sleep"), site.join("bin/sleep")).expect("a copy");
    "bin/sleep".into()
}

#[test]
fn a_selector_means_what_it_says_and_no_more() {
    let site = site();
    let (one, other) = (unique_seconds(), unique_seconds());
    let sleep = Running::new(Command::new(program("sleep")).args([&one, "0"]));
    let own = own_sleep(site.path());
    let mut in_site = Command::new(site.path().join(&own));
    let in_site = Running::new(in_site.args([&one, "0"]));
    // Matches nothing: the text is there, but not as an argument of its own.
    let near = Running::sh(&format!("echo; exec sleep {other} # {one}"), site.path());

    let nobody: [u32; 0] = [];
    let meant =
        |exe: Option<&str>, args: &[&str]| pids(&list(site.path(), &selector(exe, args), ample()).expect("a list"));
    let both = {
        let mut both = [sleep.pid(), in_site.pid()];
        both.sort_unstable();
        both
    };
    until(|| meant(None, &[&one]) == both);
    assert_eq!(meant(None, &[&one, "0"]), both);
    assert_eq!(meant(Some(&program("sleep")), &[&one]), [sleep.pid()]);
    assert_eq!(meant(Some(&own), &[&one]), [in_site.pid()]);
    assert_eq!(meant(Some(&own), &[]), [in_site.pid()]);
    assert_eq!(meant(Some("bin/other"), &[&one]), nobody);
    assert_eq!(meant(None, &["0", &one]), nobody, "the order counts");
    assert_eq!(meant(None, &[&program("sleep")]), nobody, "the program's own name is no argument");
    assert_eq!(meant(None, &[&one[..one.len() - 1]]), nobody, "no part of an argument");
    drop(near);

    // Replaced on disk, the process that runs the old file is still meant; another program at that path is not.
    fs::remove_file(site.path().join(&own)).expect("can be removed");
    assert_eq!(meant(Some(&own), &[]), [in_site.pid()]);
    fs::copy(program("sleep"), site.path().join(&own)).expect("a copy");
    assert_eq!(meant(Some(&own), &[]), [in_site.pid()]);
}

#[test]
fn a_selector_of_nothing_means_nobody() {
    let all = selector(None, &[]);
    assert!(matches!(list(site().path(), &all, ample()), Err(ProcessError::Look(LookError::SelectsAll))));
    assert!(matches!(stop(site().path(), &all, ample()), Err(ProcessError::Look(LookError::SelectsAll))));
}

#[test]
fn the_own_process_and_those_above_it_are_never_meant() {
    let own = fs::read_link("/proc/self/exe").expect("a path");
    let own = own.to_str().expect("UTF-8");
    let found = list(site().path(), &selector(Some(own), &[]), ample()).expect("a list");
    assert!(!pids(&found).contains(&std::process::id()));
}

#[test]
fn a_process_that_obeys_ends_by_sigterm_and_a_dead_one_is_gone() {
    let site = site();
    let seconds = unique_seconds();
    let script = format!("trap 'echo bye; exit 0' TERM; echo ready; while :; do sleep 0.01; done # {seconds}");
    let mut obeys = Running::new(Command::new("/bin/sh").args(["-c", &script, "sh", &seconds]));
    assert_eq!(obeys.line(), "ready");
    let meaning = selector(None, &[&seconds]);
    let stopped = stop(site.path(), &meaning, ample()).expect("is stopped");
    // Perhaps also a child that was forked and had not yet become a `sleep`.
    assert!(pids(&stopped).contains(&obeys.pid()), "{stopped:?}");
    assert!(stopped[0].command_line.ends_with(&seconds), "{stopped:?}");
    assert_eq!(obeys.line(), "bye");
    // Not reaped: a zombie, which is gone for all that counts.
    assert_eq!(list(site.path(), &meaning, ample()).expect("a list"), []);
    assert_eq!(stop(site.path(), &meaning, ample()).expect("nothing to do"), []);
}

#[test]
fn a_process_that_does_not_obey_or_is_frozen_is_killed_after_the_grace() {
    let site = site();
    let seconds = unique_seconds();
    let mut deaf = Running::sh(&format!("trap '' TERM; echo ready; exec sleep {seconds}"), site.path());
    let frozen = Running::new(Command::new(program("sleep")).arg(&seconds));
    assert_eq!(deaf.line(), "ready");
    rustix::process::kill_process(rustix::process::Pid::from_raw(frozen.pid() as i32).expect("a pid"), Signal::STOP)
        .expect("can be stopped");
    until(|| list(site.path(), &selector(None, &[&seconds]), ample()).expect("a list").len() == 2);
    let begun = Instant::now();
    let meaning = SelectorMeaning { grace: Duration::from_millis(300), ..selector(None, &[&seconds]) };
    assert_eq!(stop(site.path(), &meaning, ample()).expect("is stopped").len(), 2);
    assert!(begun.elapsed() >= Duration::from_millis(300), "the grace was given");
    assert!(!lives(&seconds));
}

#[test]
fn the_deadline_cuts_the_grace_but_not_the_kill() {
    let site = site();
    let seconds = unique_seconds();
    let mut deaf = Running::sh(&format!("trap '' TERM; echo ready; exec sleep {seconds}"), site.path());
    assert_eq!(deaf.line(), "ready");
    let meaning = SelectorMeaning { grace: Duration::from_secs(3600), ..selector(None, &[&seconds]) };
    until(|| list(site.path(), &meaning, ample()).expect("a list").len() == 1);
    let stopped = stop(site.path(), &meaning, Deadline::after(Duration::from_millis(500))).expect("is stopped");
    assert_eq!(stopped.len(), 1);
    assert!(!lives(&seconds));
    let late = list(site.path(), &meaning, Deadline::after(Duration::ZERO));
    assert!(matches!(late, Err(ProcessError::TimedOut(_))));
}

#[test]
fn one_that_something_starts_again_is_an_error_that_names_it() {
    let site = site();
    let seconds = unique_seconds();
    let script = format!("while :; do sleep {seconds}; done");
    let supervisor = Running::sh(&script, site.path());
    let meaning = selector(Some(&program("sleep")), &[&seconds]);
    until(|| !list(site.path(), &meaning, ample()).expect("a list").is_empty());
    let refused = stop_watching(site.path(), &meaning, ample(), Duration::from_secs(30));
    match refused {
        Err(ProcessError::Respawned { stopped: 2, processes }) => {
            assert!(processes[0].command_line.contains(&seconds), "{processes:?}");
        }
        other => panic!("{other:?}"),
    }
    drop(supervisor);
}

#[test]
fn a_process_of_another_user_is_not_overlooked() {
    if again_as_nobody("providers::process::tests::a_process_of_another_user_is_not_overlooked") {
        // And as root, what another user runs is found and stopped.
        let seconds = unique_seconds();
        let theirs = Running::new(Command::new(program("sleep")).arg(&seconds).uid(65534).gid(65534));
        let meaning = selector(Some(&program("sleep")), &[&seconds]);
        until(|| !list(site().path(), &meaning, ample()).expect("a list").is_empty());
        assert_eq!(pids(&stop(site().path(), &meaning, ample()).expect("is stopped")), [theirs.pid()]);
        return;
    }
    // A file that runs without being readable makes its process one that its own user may not look into.
    let site = site();
    let own = own_sleep(site.path());
    fs::set_permissions(site.path().join(&own), std::os::unix::fs::PermissionsExt::from_mode(0o111)).expect("own file");
    let seconds = unique_seconds();
    let closed = Running::new(Command::new(site.path().join(&own)).arg(&seconds));
    let meaning = selector(Some(&own), &[&seconds]);
    let mut seen = None;
    until(|| match list(site.path(), &meaning, ample()) {
        Err(ProcessError::Look(LookError::Uninspectable { process })) => process.pid == closed.pid(),
        _ => false,
    });
    seen.replace(list(site.path(), &selector(Some(&own), &[]), ample()).expect("is left out"));
    assert_eq!(seen, Some(vec![]));
    let held = holders(site.path(), ample()).expect("an answer");
    assert!(held.uninspected.contains(&closed.pid()) && !held.certainly_none());
}

#[test]
fn whoever_holds_a_path_is_found_however_it_is_held() {
    let site = site();
    let held = site.path().join("data.duckdb");
    let folder = site.path().join("folder");
    fs::create_dir_all(folder.join("deep")).expect("folders");
    fs::write(folder.join("deep/file"), "x").expect("a file");
    fs::write(&held, "data").expect("a file");
    fs::hard_link(&held, site.path().join("other-name")).expect("a hard link");
    fs::write(site.path().join("bystander"), "x").expect("a file");
    fs::copy(program("sleep"), folder.join("program")).expect("a copy");

    let root = site.path();
    let start = |script: &str| {
        let mut running = Running::sh(&format!("{script}; echo ready; while :; do sleep 0.05; done"), root);
        assert_eq!(running.line(), "ready");
        running
    };
    let bystander = start("exec 5<bystander");
    let reads = start("exec 5<data.duckdb");
    let by_link = start("exec 5<other-name");
    let in_folder = start("cd folder/deep");
    let deleted = start("exec 5>folder/gone; rm folder/gone");
    let executes = Running::new(Command::new(folder.join("program")).arg(unique_seconds()));
    until(|| fs::read_link(format!("/proc/{}/exe", executes.pid())).is_ok_and(|exe| exe.ends_with("program")));

    let ours = [&bystander, &reads, &by_link, &in_folder, &deleted, &executes].map(Running::pid);
    let who = |path: &Path| -> Vec<u32> {
        let found = holders(path, ample()).expect("an answer");
        // Shells' short-lived children hold what their parents hold.
        pids(&found.processes).into_iter().filter(|pid| ours.contains(pid)).collect()
    };
    let nobody: [u32; 0] = [];
    let sorted = |mut pids: Vec<u32>| {
        pids.sort_unstable();
        pids
    };
    assert_eq!(who(&held), sorted(vec![reads.pid(), by_link.pid()]));
    assert_eq!(who(&folder), sorted(vec![in_folder.pid(), deleted.pid(), executes.pid()]));
    assert_eq!(who(&folder.join("deep")), [in_folder.pid()]);
    assert_eq!(who(&folder.join("deep/file")), nobody);
    // Renamed while it is held: still held, under its new name.
    fs::rename(&held, root.join("set-aside")).expect("can be renamed");
    assert_eq!(who(&root.join("set-aside")), sorted(vec![reads.pid(), by_link.pid()]));
    let all = holders(root, ample()).expect("an answer");
    assert!(pids(&all.processes).contains(&bystander.pid()));
    let mine = fs::File::open(root.join("bystander")).expect("is there");
    assert!(!pids(&holders(root, ample()).expect("an answer").processes).contains(&std::process::id()));
    drop(mine);
    assert!(matches!(holders(&held, ample()), Err(HoldersError::Path { .. })));
}

#[test]
fn a_mapped_file_is_held() {
    let target = super::super::holders::tests_target;
    let own = fs::read_link("/proc/self/exe").expect("a path");
    assert!(target(&own, std::process::id()), "the executable is mapped");
}
