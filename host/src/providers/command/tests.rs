//! Against real commands.

use super::*;
use crate::providers::testing::{Sweep, again_as_nobody, ample, lives, program, unique_seconds, until};
use std::{os::unix::fs::PermissionsExt, thread};
use unship_policy::{Argument, meaning::CommandLimits};

/// What a test runs: the meaning, without places for values.
fn run(site: &Path, meaning: &CommandMeaning, deadline: Deadline) -> Result<CommandOutput, CommandError> {
    let line = meaning.line(&[]).expect("no parameters");
    super::run(site, &Job::of(meaning, &line.argv), deadline)
}

fn meaning(argv: &[&str]) -> CommandMeaning {
    CommandMeaning {
        argv: argv.iter().map(|text| Argument::literal(text)).collect(),
        parameters: Default::default(),
        timeout: Duration::from_secs(60),
        expect: vec![0],
        simulated_stdout: String::new(),
        simulated_releases: Vec::new(),
        env: Default::default(),
        output_bytes_max: 10_000,
        undo: None,
        reads: None,
        writes: vec!["/".into()],
        limits: Default::default(),
    }
}

fn sh(script: &str) -> CommandMeaning {
    meaning(&["sh", "-c", script])
}

fn site() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

fn ok(site: &Path, meaning: &CommandMeaning) -> CommandOutput {
    run(site, meaning, ample()).expect("ends well")
}

fn script(site: &Path, name: &str, text: &str, mode: u32) {
    fs::write(site.join(name), text).expect("can be written");
    fs::set_permissions(site.join(name), fs::Permissions::from_mode(mode)).expect("own file");
}

#[test]
fn arguments_arrive_as_they_are_and_no_shell_looks_at_them() {
    let output = ok(site().path(), &meaning(&["printf", "%s|", "$HOME", "a b", "*", "; id", "é"]));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "$HOME|a b|*|; id|é|");
    assert_eq!((output.status, output.dropped_bytes, output.output_is_held), (0, 0, false));
}

#[test]
fn the_environment_is_clean_and_the_folder_is_the_site() {
    let site = site();
    let mut env = meaning(&["env"]);
    env.env.insert("ENGINE".into(), "fallback".into());
    let printed = String::from_utf8(ok(site.path(), &env).stdout).expect("UTF-8");
    let mut lines: Vec<_> = printed.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["ENGINE=fallback", "HOME=/dev/null", "LANG=C.UTF-8", &format!("PATH={PATH}")]);
    let folder = String::from_utf8(ok(site.path(), &meaning(&["/bin/pwd"])).stdout).expect("UTF-8");
    assert_eq!(Path::new(folder.trim_end()), fs::canonicalize(site.path()).expect("is there"));
}

#[test]
fn input_is_empty_and_no_descriptor_is_inherited() {
    let site = site();
    // One that this process has without close-on-exec, as from a careless parent.
    let leak = fs::File::open("/dev/null").expect("is there");
    rustix::io::fcntl_setfd(&leak, rustix::io::FdFlags::empty()).expect("own descriptor");
    let output = ok(site.path(), &meaning(&["ls", "/proc/self/fd"]));
    // 3 is the listing itself.
    assert_eq!(String::from_utf8_lossy(&output.stdout), "0\n1\n2\n3\n");
    assert_eq!(ok(site.path(), &meaning(&["cat"])).stdout, b"");
}

#[test]
fn signals_and_session_are_its_own() {
    let site = site();
    let output = ok(site.path(), &meaning(&["cat", "/proc/self/status", "/proc/self/stat"]));
    let printed = String::from_utf8(output.stdout).expect("UTF-8");
    let mask = |name: &str| {
        let line = printed.lines().find(|line| line.starts_with(name)).expect("a line");
        u64::from_str_radix(line[name.len()..].trim(), 16).expect("a mask")
    };
    assert_eq!(mask("SigBlk:"), 0);
    assert_eq!(mask("SigIgn:") & (1 << 12), 0, "SIGPIPE ends it");
    let stat: Vec<_> = printed.lines().last().expect("a line").split(' ').collect();
    assert_eq!((stat[4], stat[5], stat[6]), (stat[0], stat[0], "0"), "group and session are its own, no terminal");
}

#[test]
fn an_unexpected_status_or_signal_is_an_error_with_the_last_words() {
    let site = site();
    for (command, message) in [
        (sh("echo 'cannot \x1b[31mopen' >&2; exit 3"), "`sh` ended with status 3: cannot \\x1b[31mopen"),
        (sh("exit 3"), "`sh` ended with status 3"),
        (sh("echo going >&2; kill -9 $$"), "`sh` was ended by signal 9: going"),
    ] {
        assert_eq!(run(site.path(), &command, ample()).expect_err(message).to_string(), message);
    }
    let expected = CommandMeaning { expect: vec![0, 3], ..sh("exit 3") };
    assert_eq!(ok(site.path(), &expected).status, 3);
    let not_zero = CommandMeaning { expect: vec![3], ..sh("exit 0") };
    assert!(matches!(run(site.path(), &not_zero, ample()), Err(CommandError::Status { status: 0, .. })));
}

#[test]
fn a_flood_is_bounded_and_its_end_is_what_an_error_shows() {
    let site = site();
    let flood = "head -c 3000000 /dev/zero | tr '\\0' x; head -c 2000000 /dev/zero | tr '\\0' y >&2; echo end >&2";
    let output = ok(site.path(), &sh(flood));
    assert_eq!((output.stdout.len(), output.stderr.len()), (10_000, 10_000));
    assert_eq!(output.dropped_bytes, 3_000_000 + 2_000_004 - 20_000);
    let words = run(site.path(), &sh(&format!("{flood}; exit 1")), ample()).expect_err("status 1").to_string();
    assert!(words.ends_with("yyend") && words.contains("…y") && words.len() < 3000, "{words}");
}

#[test]
fn what_is_out_of_time_is_killed_with_all_that_it_started() {
    let site = site();
    // A grandchild in the pipe, one in a group of its own, one in a session of its own; and all are deaf to SIGTERM.
    let ids = [unique_seconds(), unique_seconds(), unique_seconds()];
    let script = format!(
        "trap '' TERM; sleep {} & timeout 2000 sleep {} & setsid sleep {} & echo started >&2; wait",
        ids[0], ids[1], ids[2]
    );
    let _sweep = Sweep(ids.to_vec());
    let slow = CommandMeaning { timeout: Duration::from_millis(700), ..sh(&script) };
    let begun = Instant::now();
    let refused = run(site.path(), &slow, ample()).expect_err("is out of time");
    assert!(begun.elapsed() < Duration::from_secs(30));
    assert!(matches!(&refused, CommandError::TimedOut { stderr, .. } if stderr == "started"), "{refused}");
    for id in ids {
        assert!(!lives(&id), "{id}");
    }
    // The caller's deadline counts as well, and a command that obeys goes at once.
    let begun = Instant::now();
    let refused = run(site.path(), &sh("exec sleep 1000"), Deadline::after(Duration::from_millis(100)));
    assert!(matches!(refused, Err(CommandError::TimedOut { .. })));
    assert!(begun.elapsed() < Duration::from_secs(20));
}

#[test]
fn a_flood_does_not_outrun_the_deadline() {
    let flood = CommandMeaning { timeout: Duration::from_millis(300), ..meaning(&["yes"]) };
    assert!(matches!(run(site().path(), &flood, ample()), Err(CommandError::TimedOut { .. })));
}

#[test]
fn a_process_left_behind_with_the_output_open_does_not_hold_the_run_up_and_lives() {
    let site = site();
    let seconds = unique_seconds();
    let _sweep = Sweep(vec![seconds.clone()]);
    let begun = Instant::now();
    let output = ok(site.path(), &sh(&format!("sleep {seconds} & echo $!; echo launched")));
    assert!(begun.elapsed() < Duration::from_secs(30));
    let printed = String::from_utf8(output.stdout).expect("UTF-8");
    let (pid, rest) = printed.split_once('\n').expect("two lines");
    assert_eq!(rest, "launched\n");
    assert!(output.output_is_held);
    until(|| lives(&seconds));
    let pid = rustix::process::Pid::from_raw(pid.parse().expect("a pid")).expect("a pid");
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("is there");
    // One that goes on writing is not listened to for ever.
    let chatty = format!("(yes {seconds} 2>/dev/null) & exit 0");
    assert!(ok(site.path(), &sh(&chatty)).output_is_held);
    until(|| !lives(&seconds));
}

#[test]
fn a_command_that_closes_its_output_is_still_waited_for() {
    let site = site();
    ok(site.path(), &sh("exec >&- 2>&-; sleep 0.3; : > done"));
    assert!(site.path().join("done").exists());
}

#[test]
fn a_program_is_found_by_the_fixed_path_or_in_the_site() {
    let site = site();
    script(site.path(), "run.sh", "#!/bin/sh\necho \"$1\"\n", 0o755);
    script(site.path(), "data", "no program", 0o644);
    script(site.path(), "open.sh", "#!/bin/sh\n", 0o757);
    fs::create_dir(site.path().join("open")).expect("a folder");
    script(site.path(), "open/run.sh", "#!/bin/sh\n", 0o755);
    fs::set_permissions(site.path().join("open"), fs::Permissions::from_mode(0o777)).expect("own folder");
    std::os::unix::fs::symlink("run.sh", site.path().join("link")).expect("a link");
    assert_eq!(ok(site.path(), &meaning(&["./run.sh", "hello"])).stdout, b"hello\n");
    assert_eq!(ok(site.path(), &meaning(&["./link", "hello"])).stdout, b"hello\n");
    assert_eq!(
        ok(site.path(), &meaning(&[&program("sh"), "-c", "echo $0"])).stdout,
        format!("{}\n", program("sh")).as_bytes()
    );
    let root = fs::canonicalize(site.path()).expect("is there");
    for (argv, message) in [
        (vec![], "the policy names no program".to_owned()),
        (vec![""], "the policy names no program".to_owned()),
        (vec!["run.sh"], "there is no program `run.sh` in the fixed PATH".to_owned()),
        (vec!["./none\x1b"], "there is no program `./none\\x1b` in the site".to_owned()),
        (vec!["./data"], "`./data` is not an executable file".to_owned()),
        (vec!["./open"], "`./open` is not an executable file".to_owned()),
        (
            vec!["./open.sh"],
            format!(
                "`./open.sh` is not run, because anybody can replace it: {} is world-writable",
                root.join("open.sh").display()
            ),
        ),
        (
            vec!["open/run.sh"],
            format!(
                "`open/run.sh` is not run, because anybody can replace it: {} is world-writable",
                root.join("open").display()
            ),
        ),
    ] {
        assert_eq!(run(site.path(), &meaning(&argv), ample()).expect_err(&message).to_string(), message);
    }
    let refused = run(&site.path().join("gone"), &meaning(&["true"]), ample());
    assert!(matches!(refused, Err(CommandError::NotStarted { .. })), "{refused:?}");
    assert!(matches!(run(site.path(), &meaning(&["true", "a\0b"]), ample()), Err(CommandError::NotStarted { .. })));
}

#[test]
fn an_unprivileged_user_runs_and_kills_commands_too() {
    if again_as_nobody("providers::command::tests::an_unprivileged_user_runs_and_kills_commands_too") {
        return;
    }
    let site = site();
    assert!(!ok(site.path(), &meaning(&["id", "-u"])).stdout.is_empty());
    let id = unique_seconds();
    let slow = CommandMeaning { timeout: Duration::from_millis(300), ..sh(&format!("sleep {id} & wait")) };
    assert!(matches!(run(site.path(), &slow, ample()), Err(CommandError::TimedOut { .. })));
    assert!(!lives(&id));
    script(site.path(), "not-mine", "#!/bin/sh\n", 0o600);
    assert!(matches!(run(site.path(), &meaning(&["./not-mine"]), ample()), Err(CommandError::NotExecutable { .. })));
}

#[test]
fn commands_run_side_by_side() {
    let site = site();
    thread::scope(|scope| {
        for i in 0..8 {
            let site = site.path();
            scope.spawn(move || assert_eq!(ok(site, &sh(&format!("echo {i}"))).stdout, format!("{i}\n").as_bytes()));
        }
    });
}

#[test]
fn a_script_decides_what_its_interpreter_does_and_data_nothing() {
    let site = site();
    let root = fs::canonicalize(site.path()).expect("is there");
    script(&root, "run.sh", "#!/bin/sh\n", 0o755);
    script(&root, "data", "x", 0o644);
    std::os::unix::fs::symlink("run.sh", root.join("link")).expect("a link");
    let files = |argv: &[&str]| {
        let argv: Vec<String> = argv.iter().map(|word| (*word).to_owned()).collect();
        deciding_files(&root, &argv).expect("there is a program")
    };
    let system = |name| Path::new(&program(name)).to_owned();
    assert_eq!(files(&["cat", "data"]), [system("cat")]);
    assert_eq!(files(&["./link", "data"]), [root.join("link"), root.join("run.sh")]);
    assert_eq!(files(&["sh", "-e", "link"]), [root.join("link"), root.join("run.sh"), system("sh")]);
    let refused = deciding_files(&root, &["no-such-program".to_owned()]).expect_err("none").to_string();
    assert!(refused.contains("no-such-program"), "{refused}");
}

#[test]
fn a_daemon_outlives_a_command_that_only_reaches_its_session() {
    let site = site();
    let ids = [unique_seconds(), unique_seconds()];
    let _sweep = Sweep(ids.to_vec());
    let slow = CommandMeaning {
        timeout: Duration::from_millis(700),
        ..sh(&format!("setsid sleep {} & sleep {} & wait", ids[0], ids[1]))
    };
    let argv = slow.line(&[]).expect("no parameters").argv;
    let job = Job { reach: Reach::Session, ..Job::of(&slow, &argv) };
    assert!(matches!(super::run(site.path(), &job, ample()), Err(CommandError::TimedOut { .. })));
    assert!(lives(&ids[0]) && !lives(&ids[1]));
}

#[test]
fn a_command_writes_where_policy_says_and_nowhere_else() {
    let folder = site();
    let root = fs::canonicalize(folder.path()).expect("is there");
    for name in ["out", "other", ".unship", "policies"] {
        fs::create_dir(root.join(name)).expect("a folder");
    }
    script(&root, "other/file", "kept", 0o644);
    std::os::unix::fs::symlink("other", root.join("link")).expect("a link");
    let confined = |command: &str, writes: &[&str]| {
        let writes = writes.iter().map(|path| (*path).to_owned()).collect();
        run(&root, &CommandMeaning { writes, ..sh(command) }, ample())
    };
    assert!(
        confined("echo x > out/a; mkdir out/d; mv out/a out/d/b; rm -r out/d; echo y > /dev/null", &["out"]).is_ok()
    );
    assert!(confined("echo x > other/file", &["other/file", "gone"]).is_ok());
    script(&root, "other/file", "kept", 0o644);
    for attempt in [
        "echo x > other/file",
        "truncate -s 0 other/file",
        "rm other/file",
        "mv other/file out/",
        "ln other/file out/linked",
        "touch new",
        "setsid sh -c 'touch new'",
    ] {
        let refused = confined(attempt, &["out", "gone"]).expect_err(attempt).to_string();
        assert!(refused.contains("ermission denied") || refused.contains("cross-device"), "{attempt}: {refused}");
        assert_eq!(fs::read_to_string(root.join("other/file")).expect("is there"), "kept", "{attempt}");
    }
    assert!(!root.join("new").exists());
    assert!(
        matches!(confined("true", &["link"]), Err(CommandError::Path { .. })),
        "no symlink of the site is followed"
    );
    let above = root.parent().expect("a folder").to_str().expect("UTF-8");
    for open in [root.join("policies").to_str().expect("UTF-8"), above] {
        assert!(matches!(confined("true", &[open]), Err(CommandError::Protected { .. })), "{open}");
    }
}

#[test]
fn a_command_reads_what_policy_says_and_what_every_program_needs() {
    let folder = site();
    let root = fs::canonicalize(folder.path()).expect("is there");
    script(&root, "told", "told", 0o644);
    script(&root, "secret", "secret", 0o644);
    script(&root, "own.sh", "#!/bin/sh\ncat told", 0o755);
    let reads = Some(vec!["told".to_owned()]);
    let confined = |command| run(&root, &CommandMeaning { reads: reads.clone(), writes: vec![], ..command }, ample());
    assert_eq!(confined(sh("cat told")).expect("may be read").stdout, b"told");
    assert_eq!(confined(meaning(&["./own.sh"])).expect("is the program itself").stdout, b"told");
    let refused = confined(sh("cat secret")).expect_err("is not told").to_string();
    assert!(refused.contains("ermission denied"), "{refused}");
    assert!(confined(sh("ls .")).is_err());
}

#[test]
fn a_command_gains_no_rights_and_uses_up_what_policy_says() {
    let site = site();
    let status = String::from_utf8(ok(site.path(), &meaning(&["cat", "/proc/self/status"])).stdout).expect("UTF-8");
    assert!(status.contains("NoNewPrivs:\t1"), "{status}");
    let limited =
        |limits: CommandLimits, command: &str| run(site.path(), &CommandMeaning { limits, ..sh(command) }, ample());
    let limits = CommandLimits {
        cpu: Some(Duration::from_millis(1500)),
        memory_bytes_max: Some(64 << 20),
        files_max: Some(33),
        processes_max: None,
        file_bytes_max: Some(1 << 20),
    };
    let shown = limited(limits.clone(), "ulimit -t; ulimit -d; ulimit -n; ulimit -c").expect("ends well").stdout;
    assert_eq!(String::from_utf8_lossy(&shown), "2\n65536\n33\n0\n");
    let refused = limited(limits, "exec head -c 2000000 /dev/zero > big").expect_err("too big").to_string();
    assert!(refused.contains("signal 25, at its `limits.file-size`"), "{refused}");
    let one_second = CommandLimits { cpu: Some(Duration::from_secs(1)), ..CommandLimits::default() };
    assert!(matches!(limited(one_second, "while :; do :; done"), Err(CommandError::Signal { .. })));
}

#[test]
fn a_limit_of_processes_is_held_or_the_command_is_not_run() {
    let test = "providers::command::tests::a_limit_of_processes_is_held_or_the_command_is_not_run";
    let few = CommandMeaning {
        limits: CommandLimits { processes_max: Some(1), ..CommandLimits::default() },
        ..sh("sleep 0 & wait; true | true")
    };
    if rustix::process::geteuid().is_root() {
        let refused = run(site().path(), &few, ample()).expect_err("root is not held to it").to_string();
        assert!(refused.contains("limits.processes"), "{refused}");
        again_as_nobody(test);
        return;
    }
    let refused = run(site().path(), &few, ample()).expect_err("one too many").to_string();
    assert!(refused.to_lowercase().contains("fork"), "{refused}");
}
