//! Processes and commands that try to be taken for others, or not to end.

use super::process::{ProcessError, ProcessInfo, list, stop, testing::stop_known};
use super::testing::{Running, Sweep, ample, lives, program, selector, unique_seconds, until};
use rustix::process::Pid;
use std::{
    fs,
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, Command},
};
use unship_policy::meaning::SelectorMeaning;
use unship_processes::LookError;

fn pids(found: &[ProcessInfo]) -> Vec<u32> {
    found.iter().map(|process| process.pid).collect()
}

fn meant(site: &Path, selector: &SelectorMeaning) -> Vec<u32> {
    pids(&list(site, selector, ample()).expect("a list"))
}

/// A copy of `sleep`, running for a time that no other process sleeps.
fn sleeper(place: &Path, seconds: &str) -> Running {
    fs::create_dir_all(place.parent().expect("a folder")).expect("a folder");
    fs::copy(program("sleep"), place).expect("a copy");
    let running = Running::new(Command::new(place).arg(seconds));
    until(|| fs::read_link(format!("/proc/{}/exe", running.pid())).is_ok_and(|exe| exe == place));
    running
}

#[test]
fn a_process_renamed_to_look_like_the_target_is_not_meant() {
    let folder = tempfile::tempdir().expect("a folder");
    let site = fs::canonicalize(folder.path()).expect("is there");
    let seconds = unique_seconds();
    let target = sleeper(&site.join("bin/worker"), &seconds);
    // Each has the arguments; each says in its own way that it is the worker.
    let by_its_place = sleeper(&site.join("elsewhere/worker"), &seconds);
    let by_its_file = sleeper(&site.join("bin/worker (deleted)"), &seconds);
    let mut by_its_first_argument = Command::new(program("sleep"));
    let by_its_first_argument = Running::new(by_its_first_argument.arg0(site.join("bin/worker")).arg(&seconds));
    let script = "echo worker > /proc/$$/comm; echo ready; while :; do sleep 0.05; done";
    let mut by_its_name = Running::new(Command::new("/bin/sh").args(["-c", script, "bin/worker", &seconds]));
    assert_eq!(by_its_name.line(), "ready");
    assert_eq!(fs::read_to_string(format!("/proc/{}/comm", by_its_name.pid())).expect("a name").trim(), "worker");

    let meaning = selector(Some("bin/worker"), &[&seconds]);
    assert_eq!(meant(&site, &meaning), [target.pid()]);
    assert_eq!(pids(&stop(&site, &meaning, ample()).expect("is stopped")), [target.pid()]);
    for mut bystander in [by_its_place, by_its_file, by_its_first_argument, by_its_name] {
        assert!(bystander.is_alive(), "{}", bystander.pid());
    }
}

/// A child with exactly this pid; `None` when somebody else was given it, or this system does not let us ask for it.
fn with_pid(pid: u32, command: &mut Command) -> Option<Child> {
    fs::write("/proc/sys/kernel/ns_last_pid", (pid - 1).to_string()).ok()?;
    let mut child = command.spawn().expect("starts");
    if child.id() == pid {
        return Some(child);
    }
    child.kill().and_then(|()| child.wait()).expect("ends");
    None
}

#[test]
fn a_pid_reused_between_look_and_signal_is_not_hit() {
    let folder = tempfile::tempdir().expect("a folder");
    let seconds = unique_seconds();
    let meaning = selector(Some(&program("sleep")), &[&seconds]);
    let sleep = || {
        let mut command = Command::new(program("sleep"));
        command.arg(&seconds);
        command
    };
    // Another process of the machine may be quicker to get the pid: then the same is tried again.
    let is_asked_for = fs::File::options().write(true).open("/proc/sys/kernel/ns_last_pid").is_ok();
    for _ in 0..if is_asked_for { 1000 } else { 1 } {
        let mut target = sleep().spawn().expect("starts");
        until(|| meant(folder.path(), &meaning) == [target.id()]);
        let known = list(folder.path(), &meaning, ample()).expect("a list");
        let mut second = None;
        let stopped = stop_known(folder.path(), &meaning, &known, ample(), |pid| {
            target.kill().and_then(|()| target.wait()).expect("ends");
            // The same program with the same arguments: only its start tells it from the one that was looked at.
            second = with_pid(pid, &mut sleep());
        });
        assert_eq!(stopped.expect("nothing to stop"), []);
        if let Some(mut second) = second {
            assert!(second.try_wait().expect("can be asked").is_none(), "it was somebody else");
            second.kill().and_then(|()| second.wait()).expect("ends");
            return;
        }
    }
    assert!(!is_asked_for, "the pid was never given again");
    // Without the right to ask for a pid: the second process has another, and what was known of the first is put on it.
    let mut second = sleep().spawn().expect("starts");
    until(|| meant(folder.path(), &meaning) == [second.id()]);
    let mut known = list(folder.path(), &meaning, ample()).expect("a list");
    known[0].start_time -= 1;
    assert_eq!(stop_known(folder.path(), &meaning, &known, ample(), |_| ()).expect("nothing to stop"), []);
    assert!(second.try_wait().expect("can be asked").is_none());
    second.kill().and_then(|()| second.wait()).expect("ends");
}

#[test]
fn a_tree_is_stopped_with_who_left_it_and_who_joins_it_meanwhile() {
    let folder = tempfile::tempdir().expect("a folder");
    // A child, an orphan in a session of its own, that session's leader; and one that is only started by the SIGTERM.
    let ids = [unique_seconds(), unique_seconds(), unique_seconds(), unique_seconds()];
    let _sweep = Sweep(ids.to_vec());
    let mark = unique_seconds();
    let script = format!(
        "trap 'sleep {} & exit 0' TERM; sleep {} & setsid sh -c '(sleep {} &); exec sleep {}' & echo ready; wait; wait",
        ids[3], ids[0], ids[1], ids[2]
    );
    let mut root = Running::new(Command::new("/bin/sh").args(["-c", &script, "sh", &mark]));
    assert_eq!(root.line(), "ready");
    let mut bystander = Running::new(Command::new(program("sleep")).arg(unique_seconds()));
    until(|| ids[..3].iter().all(|id| lives(id)));
    let meaning = SelectorMeaning { tree: true, ..selector(None, &[&mark]) };
    until(|| meant(folder.path(), &meaning).len() == 4);
    let stopped = stop(folder.path(), &meaning, ample()).expect("is stopped");
    let lines: Vec<_> = stopped.iter().map(|process| process.command_line.as_str()).collect();
    for id in &ids[..3] {
        assert!(lines.contains(&format!("sleep {id}").as_str()), "{lines:?}");
    }
    for id in &ids {
        assert!(!lives(id), "{id}: {lines:?}");
    }
    assert!(bystander.is_alive());
    // Without `tree` it is the one process.
    let mut root =
        Running::new(Command::new("/bin/sh").args(["-c", "sleep 0.01 & echo ready; wait; exec sleep $1", "sh", &mark]));
    assert_eq!(root.line(), "ready");
    assert_eq!(meant(folder.path(), &selector(None, &["sh", &mark])), [root.pid()]);
}

#[test]
fn a_service_that_restarts_at_once_is_noticed() {
    let folder = tempfile::tempdir().expect("a folder");
    let seconds = unique_seconds();
    let _sweep = Sweep(vec![seconds.clone()]);
    let mut supervisor = Running::sh(&format!("echo ready; while :; do sleep {seconds}; done"), folder.path());
    assert_eq!(supervisor.line(), "ready");
    let meaning = selector(Some(&program("sleep")), &[&seconds]);
    until(|| !meant(folder.path(), &meaning).is_empty());
    match stop(folder.path(), &meaning, ample()) {
        Err(ProcessError::Respawned { stopped: 2, processes }) => assert!(processes[0].command_line.contains(&seconds)),
        other => panic!("{other:?}"),
    }
    // The tree of what starts it again is the way to stop it.
    let all = SelectorMeaning {
        tree: true,
        ..selector(None, &["-c", &format!("echo ready; while :; do sleep {seconds}; done")])
    };
    let stopped = stop(folder.path(), &all, ample()).expect("is stopped");
    assert!(pids(&stopped).contains(&supervisor.pid()) && !lives(&seconds), "{stopped:?}");
}

#[test]
fn a_selector_of_a_user_and_of_a_pid_file_means_that_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let seconds = unique_seconds();
    let mut one = Running::new(Command::new(program("sleep")).arg(&seconds));
    let other = Running::new(Command::new(program("sleep")).arg(&seconds));
    let base = selector(Some(&program("sleep")), &[&seconds]);
    until(|| meant(folder.path(), &base).len() == 2);
    let own = rustix::process::geteuid().as_raw();
    let of_user = |user: String| meant(folder.path(), &SelectorMeaning { user: Some(user), ..base.clone() });
    assert_eq!((of_user(own.to_string()).len(), of_user((own + 1).to_string()).len()), (2, 0));
    let nobody_here = SelectorMeaning { user: Some("nobody-here".into()), ..base.clone() };
    assert!(matches!(list(folder.path(), &nobody_here, ample()), Err(ProcessError::Look(LookError::NoUser { .. }))));

    let by_file = SelectorMeaning { pid_file: Some("worker.pid".into()), ..base.clone() };
    assert_eq!(meant(folder.path(), &by_file), [0; 0], "there is none");
    fs::write(folder.path().join("worker.pid"), format!("{}\n", other.pid())).expect("can be written");
    assert_eq!(meant(folder.path(), &by_file), [other.pid()]);
    assert_eq!(pids(&stop(folder.path(), &by_file, ample()).expect("is stopped")), [other.pid()]);
    assert!(one.is_alive());
    // The number is somebody else's by now.
    fs::write(folder.path().join("worker.pid"), std::process::id().to_string()).expect("can be written");
    assert_eq!(meant(folder.path(), &by_file), [0; 0]);
    fs::write(folder.path().join("worker.pid"), "all of them").expect("can be written");
    assert!(matches!(list(folder.path(), &by_file, ample()), Err(ProcessError::Look(LookError::PidFile(_)))));
}

#[test]
fn a_selector_of_a_control_group_means_those_in_it_and_below() {
    let own = unship_processes::procfs::cgroup(std::process::id()).expect("every process is in one");
    let seconds = unique_seconds();
    let folder = tempfile::tempdir().expect("a folder");
    let sleep = Running::new(Command::new(program("sleep")).arg(&seconds));
    let of = |cgroup: &str| {
        let meaning = SelectorMeaning { cgroup: Some(cgroup.to_owned()), ..selector(None, &[&seconds]) };
        meant(folder.path(), &meaning)
    };
    until(|| !meant(folder.path(), &selector(None, &[&seconds])).is_empty());
    let below = format!("{}/not-this", own.trim_end_matches('/'));
    assert_eq!(of(&below), [0; 0]);
    let mounts = fs::read_to_string("/proc/mounts").expect("readable");
    let mount = mounts.lines().find(|line| line.contains(" cgroup2 ")).and_then(|line| line.split(' ').nth(1));
    let group = mount.map(|mount| format!("{mount}{}/unship-test-{seconds}", own.trim_end_matches('/')));
    let Some(group) = group.filter(|group| fs::create_dir(group).is_ok()) else {
        // No right to make a group: then the one of this process, if policy could name it at all.
        assert!(own == "/" || of(&own) == [sleep.pid()]);
        return;
    };
    fs::create_dir(format!("{group}/below")).expect("a group");
    fs::write(format!("{group}/below/cgroup.procs"), sleep.pid().to_string()).expect("can be moved");
    let name = &group[mount.unwrap_or_default().len()..];
    let seen = (of(name), of(&format!("{name}/below")), of(&format!("{name}/bel")));
    let pid = Pid::from_raw(i32::try_from(sleep.pid()).expect("a pid")).expect("a pid");
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("is there");
    drop(sleep);
    until(|| fs::remove_dir(format!("{group}/below")).is_ok());
    fs::remove_dir(&group).expect("is empty");
    let one = vec![u32::try_from(pid.as_raw_nonzero().get()).expect("a pid")];
    assert_eq!(seen, (one.clone(), one, vec![]));
}
