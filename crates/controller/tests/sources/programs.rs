//! Commands that look, processes that are looked for, pm2's list, the machine's memory.

use crate::support::{Bench, Running, policy, until};
use std::{
    fs,
    os::unix::{fs::PermissionsExt as _, net::UnixListener},
    path::Path,
    process::Command,
    time::Instant,
};
use unship_controller::sources::Sources;

fn command(argv: &str, timeout: &str) -> Bench {
    let of = |value: &str| {
        format!(
            "[feeds.{value}]\nkind = \"command\"\nmetric = \"job_{value}\"\nargv = {argv}\ntimeout = \"{timeout}\"\n\
             value = \"{value}\"\nevery = \"1s\"\n"
        )
    };
    Bench::new(&["failed", "printed", "seconds"].map(of).concat())
}

/// The values of one look by a script, where there are such, and what was told.
fn ran(script: &str) -> (Option<f64>, Option<f64>, Option<f64>, Vec<String>) {
    let bench = command("[\"bin/job\"]", "2s");
    write_program(&bench, "bin/job", script);
    looked(&bench)
}

fn looked(bench: &Bench) -> (Option<f64>, Option<f64>, Option<f64>, Vec<String>) {
    let taken = bench.look_whole();
    let of = |name: &str| taken.samples.iter().find(|(s, _)| s.metric() == name).map(|(_, s)| s.value);
    (of("job_failed"), of("job_printed"), of("job_seconds"), taken.told)
}

fn write_program(bench: &Bench, name: &str, script: &str) {
    bench.write(name, &format!("#!/bin/sh\n{script}\n"));
    fs::set_permissions(bench.path(name), fs::Permissions::from_mode(0o755)).expect("set");
}

#[test]
fn a_command_gives_how_it_ended_what_it_printed_and_how_long_it_took() {
    let (failed, printed, seconds, told) = ran("echo '  42.5 '");
    assert_eq!((failed, printed, told), (Some(0.0), Some(42.5), vec![]));
    assert!(seconds.is_some_and(|s| (0.0..2.0).contains(&s)));
    let (failed, printed, seconds, told) = ran("echo 7; echo broken >&2; exit 3");
    assert_eq!((failed, printed, seconds), (Some(1.0), None, None), "one that failed was not as quick as that");
    assert!(told[0].ends_with("`bin/job` ended with status 3: broken"), "{told:?}");
    let (failed, _, _, told) = ran("kill -9 $$");
    assert!(failed == Some(1.0) && told[0].contains("ended by signal 9"), "{told:?}");
}

#[test]
fn where_it_is_said_by_which_status_a_command_fails_any_other_says_nothing() {
    let feed = "[feeds.check]\nkind = \"command\"\nmetric = \"damaged\"\nargv = [\"bin/job\"]\ntimeout = \"300ms\"\n\
                value = \"failed\"\nfails-with = [2, 7]\nevery = \"1s\"\n";
    for (script, samples, says) in [
        ("exit 0", vec!["damaged 0"], None),
        ("exit 2", vec!["damaged 1"], None),
        ("exit 7", vec!["damaged 1"], None),
        ("echo no driver >&2; exit 1", vec![], Some("`bin/job` ended with status 1: no driver")),
        ("kill -9 $$", vec![], Some("was ended by signal 9")),
        ("sleep 1000", vec![], Some("did not end in time, and was killed")),
    ] {
        let bench = Bench::new(feed);
        write_program(&bench, "bin/job", script);
        let (given, told) = bench.look();
        assert_eq!(given, samples, "{script}");
        assert!(
            told.iter().map(String::as_str).all(|t| says.is_some_and(|says| t.contains(says))),
            "{script}: {told:?}"
        );
        assert_eq!(told.len(), usize::from(says.is_some()), "{script}");
    }
}

#[test]
fn what_is_not_one_number_is_told() {
    for (script, says) in [
        ("true", "printed \"\", which is not one number"),
        ("echo 1 2", "printed \"1 2\""),
        ("echo 12 apples", "printed \"12 apples\""),
        ("printf '\\033[2J'", "not one number"),
        ("printf '\\377'", "not one number"),
        ("yes 1 | head -c 1000000", "not one number"),
    ] {
        let (failed, printed, _, told) = ran(script);
        assert_eq!((failed, printed), (Some(0.0), None), "{script}");
        assert!(told.len() == 1 && told[0].contains(says) && !told[0].contains('\u{1b}'), "{script}: {told:?}");
        assert!(told[0].len() < 1000, "a message is short: {script}");
    }
}

#[test]
fn a_command_that_hangs_or_floods_is_killed_with_all_that_it_started() {
    for script in ["sleep 1000", "yes", "yes >&2", "trap '' TERM; sleep 1000 & wait"] {
        let bench = command("[\"bin/job\"]", "300ms");
        write_program(&bench, "bin/job", script);
        let begun = Instant::now();
        let (failed, printed, seconds, told) = looked(&bench);
        assert!(begun.elapsed().as_secs() < 20, "{script}");
        assert_eq!((failed, printed, seconds), (Some(1.0), None, Some(0.3)), "{script}: it took all its time at least");
        assert!(told[0].contains("did not end in time, and was killed"), "{script}: {told:?}");
    }
    let bench = command("[\"bin/job\"]", "2s");
    write_program(&bench, "bin/job", "sleep 1000 & echo $! > pid; echo 1");
    assert_eq!(looked(&bench).0, Some(0.0), "its end is its process's end, whoever holds its output");
    let pid = fs::read_to_string(bench.path("pid")).expect("a pid").trim().to_owned();
    until("the end of what it left behind", || {
        let state = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        state.is_empty() || state.contains(") Z ")
    });
}

#[test]
fn a_command_runs_in_the_site_without_a_shell_and_with_a_clean_environment() {
    let bench = command("[\"bin/job\", \"$HOME; exit 1\", \"*\"]", "2s");
    write_program(
        &bench,
        "bin/job",
        "[ \"$1\" = '$HOME; exit 1' ] && [ \"$2\" = '*' ] && [ -f bin/job ] && [ $(env | wc -l) -le 5 ] && \
         ! read line && echo 1",
    );
    assert_eq!(looked(&bench).1, Some(1.0));
    for (argv, says) in [
        ("[\"bin/none\"]", "no such program in the site"),
        ("[\"no-such-program-anywhere\"]", "no such program in the fixed PATH"),
        ("[\"bin/open\"]", "anybody can replace it"),
        ("[\"bin/plain\"]", "no such program in the site"),
        ("[\"bin/alien\"]", "cannot be started"),
    ] {
        let bench = command(argv, "2s");
        write_program(&bench, "bin/open", "echo 1");
        fs::set_permissions(bench.path("bin/open"), fs::Permissions::from_mode(0o757)).expect("set");
        bench.write("bin/plain", "echo 1");
        write_program(&bench, "bin/alien", "");
        fs::write(bench.path("bin/alien"), [0x7f, b'E', b'L', b'F', 0, 0]).expect("written");
        let (failed, printed, seconds, told) = looked(&bench);
        assert_eq!((failed, printed, seconds), (None, None, None), "{argv}: that it cannot be looked is no answer");
        assert!(told[0].contains(says), "{argv}: {told:?}");
    }
}

fn nap(bench: &Bench, seconds: &str) -> Running {
    let nap = bench.path("bin/nap");
    if !nap.exists() {
        fs::copy("/bin/sleep", &nap).expect("copied");
    }
    let running = Running::begun(Command::new(&nap).arg(seconds));
    let of = |what: &str| format!("/proc/{}/{what}", running.0.id());
    until("its own program", || fs::read_link(of("exe")).is_ok_and(|exe| exe.ends_with(Path::new("bin/nap"))));
    // The kernel shows the program a moment before its arguments.
    until("its own arguments", || {
        fs::read(of("cmdline")).is_ok_and(|args| args.ends_with(format!("{seconds}\0").as_bytes()))
    });
    running
}

#[test]
fn a_process_is_the_one_of_its_executable_and_arguments_and_no_other() {
    let of = |kind: &str| {
        format!(
            "[feeds.{kind}]\nkind = \"process-{kind}\"\nmetric = \"nap_{kind}\"\nexe = \"bin/nap\"\nargs = [\"4321\"]\n\
             every = \"1s\"\n"
        )
    };
    let bench = Bench::new(&(of("alive") + &of("memory")));
    bench.write("bin/other", "");
    let look = |bench: &Bench| {
        let taken = bench.look_whole();
        let of = |name: &str| taken.samples.iter().find(|(s, _)| s.metric() == name).map(|(_, s)| s.value);
        (of("nap_alive").expect("a value"), of("nap_memory"), taken.told)
    };
    let values = |bench: &Bench| {
        let (alive, memory, told) = look(bench);
        assert_eq!(told, [] as [String; 0]);
        (alive, memory.expect("a value"))
    };
    let _other = nap(&bench, "4322");
    let _elsewhere = Running(Command::new("/bin/sleep").arg("4321").spawn().expect("started"));
    let (alive, memory, told) = look(&bench);
    assert_eq!((alive, memory), (0.0, None), "of what was never seen nobody knows that it is well");
    assert_eq!(
        told,
        ["alive,memory: no process was ever seen of the program bin/nap with 4321: 0 bytes would look well"]
    );
    let first = nap(&bench, "4321");
    let (alive, one, told) = look(&bench);
    let one = one.expect("a value");
    assert!(alive == 1.0 && one >= 4096.0, "{one}");
    assert_eq!(told, ["alive,memory is well"]);
    let second = nap(&bench, "4321");
    let (alive, two) = values(&bench);
    assert!(alive == 1.0 && two > one, "both together: {one} {two}");
    // Its file is replaced: the process is still of the old one.
    fs::remove_file(bench.path("bin/nap")).expect("removed");
    assert_eq!(values(&bench).0, 1.0);
    drop((first, second));
    assert_eq!(values(&bench), (0.0, 0.0), "it was there, and is gone");
    let text = of("alive") + &of("memory");
    let state = bench.sources.stop();
    let again = Sources::idle(&policy(&text), bench.dir.path(), state, bench.seen.clone(), bench.clock.clone());
    let bench = Bench { sources: again, ..bench };
    assert_eq!(values(&bench), (0.0, 0.0), "the next daemon knows that it was there");
    let other = text.replace("4321", "4323");
    bench.sources.reload(&policy(&other));
    assert_eq!(look(&bench).1, None, "another policy means somebody else");
}

#[test]
fn processes_that_the_site_names_are_those_that_a_story_would_stop() {
    let bench = Bench::new(
        "[processes.job]\nexe = \"bin/nap\"\nany-arg = [\"4331\"]\ntree = true\ngrace = \"1s\"\n\
         [processes.service]\nexe = \"bin/nap\"\npid-file = \"run/nap.pid\"\ngrace = \"1s\"\n\
         [processes.alien]\nexe = \"bin/nap\"\nuser = \"nobody-here\"\ngrace = \"1s\"\n\
         [feeds.job]\nkind = \"process-memory\"\nmetric = \"job_bytes\"\nprocess = \"job\"\nevery = \"1s\"\n\
         [feeds.service]\nkind = \"process-alive\"\nmetric = \"service_up\"\nprocess = \"service\"\nevery = \"1s\"\n\
         [feeds.alien]\nkind = \"process-alive\"\nmetric = \"alien_up\"\nprocess = \"alien\"\nevery = \"1s\"\n",
    );
    let look = || {
        let taken = bench.look_whole();
        let of = |name: &str| taken.samples.iter().find(|(s, _)| s.metric() == name).map(|(_, s)| s.value);
        (of("job_bytes"), of("service_up"), of("alien_up"), taken.told)
    };
    let (_, service, alien, told) = look();
    assert_eq!((service, alien), (Some(0.0), None));
    assert!(told.iter().any(|t| t.contains("there is no user `nobody-here`")), "{told:?}");
    let one = nap(&bench, "4331");
    let _service = nap(&bench, "4332");
    let alone = look().0.expect("a value");
    drop(one);
    // The same as a child of a shell that is meant: the tree counts, and the shell's other children are of it.
    let family = bench.path("bin/nap");
    fs::remove_file(&family).expect("removed");
    fs::copy("/bin/sh", &family).expect("copied");
    let mut shell = Command::new(&family);
    shell.args(["-c", "sleep 4333 & sleep 4334 & wait", "4331"]);
    let shell = Running::begun(&mut shell);
    let pid = shell.0.id();
    let children = || fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    until("its children", || children().split_whitespace().count() == 2);
    until("memory of three", || look().0.is_some_and(|bytes| bytes > alone));
    bench.write("run/nap.pid", &format!("{pid}\n"));
    assert_eq!(look().1, Some(1.0), "the one that the pid file names");
    bench.write("run/nap.pid", "all of them\n");
    let (_, service, _, told) = look();
    assert!(service.is_none() && told.iter().any(|t| t.contains("cannot be trusted")), "{told:?}");
    for child in children().split_whitespace() {
        let _ = Command::new("kill").args(["-9", child]).status();
    }
}

#[test]
fn the_machines_memory_is_a_ratio() {
    let bench = Bench::new("[feeds.memory]\nkind = \"host-memory\"\nmetric = \"used_ratio\"\nevery = \"1s\"\n");
    let taken = bench.look_whole();
    assert!(taken.samples.len() == 1 && (0.001..1.0).contains(&taken.samples[0].1.value));
}

#[test]
fn restarts_are_read_from_pm2s_list_and_no_pm2_is_started() {
    let of = |service: &str| {
        format!(
            "[feeds.{service}]\nkind = \"pm2-restarts\"\nmetric = \"{service}_total\"\nservice = \"{service}\"\n\
             home = \".pm2\"\nprogram = \"bin/pm2\"\nevery = \"1s\"\n"
        )
    };
    let bench = Bench::new(&(of("api") + &of("worker")));
    write_program(&bench, "bin/pm2", "touch ran; cat list.json");
    let (samples, told) = bench.look();
    assert!(samples.is_empty() && told[0].contains("no pm2 answers in .pm2"), "{told:?}");
    assert!(!bench.path("ran").exists(), "no command of pm2's was run: it would start one");
    let _pm2 = UnixListener::bind(bench.path(".pm2/rpc.sock")).expect("a socket");
    let process = |name: &str, restarts: u32| {
        format!(
            "{{\"name\":\"{name}\",\"pm_id\":0,\"pid\":7,\"pm2_env\":{{\"status\":\"online\",\"restart_time\":{restarts},\"pm_uptime\":1}}}}"
        )
    };
    bench.write("list.json", &format!("[{},{}]", process("api", 2), process("api", 3)));
    assert_eq!(bench.look().0, ["api_total 5"]);
    bench.write("list.json", &format!("[{},{}]", process("api", 2), process("worker", 0)));
    assert_eq!(
        bench.look(),
        (vec!["api_total 2".to_owned(), "worker_total 0".to_owned()], vec!["api,worker is well".to_owned()])
    );
    for (program, says) in
        [("echo 'pm2 is out of date'", "printed no list"), ("exit 1", "ended with status 1"), ("yes", "")]
    {
        let bench = Bench::new(&of("api"));
        let _pm2 = UnixListener::bind(bench.path(".pm2/rpc.sock")).expect("a socket");
        write_program(&bench, "bin/pm2", program);
        let (samples, told) = bench.look();
        assert!(samples.is_empty() && told.len() == 1 && told[0].contains(says), "{program}: {told:?}");
    }
}
