//! Commands and processes by name, through the built binary: values that a guest gives, programs that it could change, and
//! parts that are hostile themselves. Each ends as policy says, and the journal tells.

use crate::support::{Ran, Site, fingerprint, guest};
use std::process::{Child, Command, Stdio};

/// A site whose story `1` does what `script` says, line by line; `definitions` say what its names mean.
fn site(script: &str, grants: &str, definitions: &str) -> Site {
    let site = Site::new("");
    site.write("script", script);
    site.write("flags.yaml", "f: true\n");
    site.write("bin/tool", "#!/bin/sh\n");
    site.write("made/before", "");
    // The component imports every interface, so that the manifest must request each.
    let grants = format!(
        "files.read = [\"script\"]\nflags.get = [\"f\"]\nservices.status = [\"s\"]\ncommands.run = [\"c\"]\n{grants}\n"
    );
    let names = "[flags]\nfile = \"flags.yaml\"\npointer = \"/{flag}\"\nvalues = { on = \"true\" }\n\
        [services.s]\nmanager = \"pid-file\"\npid-file = \"p\"\nprocess = { exe = \"bin/p\", grace = \"1s\" }\n\
        start = [\"true\"]\nhealthy = [\"true\"]\ntimeout = \"1s\"\n";
    let manifest = format!(
        "story = \"1\"\nversion = \"1.0.0\"\ntitle = \"t\"\n[[step]]\nname = \"verbs\"\ntitle = \"t\"\n{grants}"
    );
    site.story("1", &guest("hostile.wasm"), &manifest, &format!("{names}{definitions}\n[grants.verbs]\n{grants}"));
    site
}

const OTHERS: &str = "processes.list = [\"p\"]\nfiles.edit = { \"none.yaml\" = [\"/**\"] }";
const NOBODY: &str = "[processes.p]\nexe = \"bin/p\"\ngrace = \"1s\"\n";
const TOUCH: &str = "[commands.c]\nargv = [\"touch\", \"made/{name}\"]\ntimeout = \"30s\"\nwrites = [\"made\"]\n\
    undo = [\"rm\", \"made/{name}\"]\n[commands.c.parameters]\nname = { name = { longest = 8 } }\n";

/// Planning is refused with these words, which stand in the journal after an attempt to apply; nothing has changed.
#[track_caller]
fn denied(site: &Site, words: &[&str]) {
    let before = fingerprint(&site.path());
    let mut applied = site.unship(["apply", "1", "--yes"]).exits(3).says("denied: ");
    let journal = site.unship(["journal", "show"]).exits(0);
    for word in words {
        applied = applied.says(word);
        assert!(journal.stdout.contains(word), "the journal lacks {word:?}: {}", journal.stdout);
    }
    assert_eq!(before, fingerprint(&site.path()), "something changed");
}

#[test]
fn a_command_gets_the_values_that_policy_takes_and_its_way_back_the_same() {
    let site = site("run c name=abc", OTHERS, &format!("{NOBODY}{TOUCH}"));
    let _ = site.unship(["plan", "1"]).exits(0).prints("run command c: touch made/abc");
    assert!(!site.at("made/abc").exists());
    let run =
        site.unship(["apply", "1", "--yes", "--json"]).exits(6).summary()["run"].as_str().expect("a run").to_owned();
    assert!(site.at("made/abc").exists());
    let _ = site.unship(["undo", &run]).exits(0);
    assert!(!site.at("made/abc").exists());
    let _ = site.unship(["journal", "verify"]).exits(0);
}

#[test]
fn a_value_that_policy_does_not_take_is_denied() {
    for (values, rule) in [
        ("name=../x", "is no value for its parameter name, which is at most 8 letters"),
        ("name=-rf", "the first one a letter or digit"),
        ("name=a name=b", "its parameter name is given twice"),
        ("other=a", "it has no parameter"),
        ("", "its parameter name is missing"),
    ] {
        let script = format!("run c {values}");
        denied(&site(script.trim_end(), OTHERS, &format!("{NOBODY}{TOUCH}")), &[rule]);
    }
}

#[test]
fn a_program_that_the_story_could_change_is_not_run() {
    let command = |argv: &str| format!("{NOBODY}[commands.c]\nargv = {argv}\ntimeout = \"30s\"\n");
    for (grant, argv, right) in [
        ("files.replace = [\"bin/tool\"]", "[\"bin/tool\"]", "files.replace"),
        ("files.set-aside = [\"bin\"]", "[\"sh\", \"-e\", \"bin/tool\"]", "files.set-aside"),
        ("files.create = [\"bin/**\"]\nfiles.clear = [\"none\"]", "[\"sh\", \"bin/tool\"]", "files.create"),
    ] {
        let site = site("run c", &format!("processes.list = [\"p\"]\n{grant}"), &command(argv));
        let _ = Ran::of(Command::new("chmod").arg("+x").arg(site.at("bin/tool"))).exits(0);
        denied(&site, &["bin/tool decides what runs, and `verbs` could change it by its", right]);
    }
}

#[test]
fn a_command_that_forks_and_daemonises_prints_1_gb_and_ignores_sigterm_is_killed_with_all_that_it_started() {
    let mark = format!("1000.{}", std::process::id());
    let script = format!(
        "trap '' TERM; setsid sh -c 'trap \\\"\\\" TERM; (sleep {mark} &); sleep {mark}' & head -c 1073741824 /dev/zero; exec sleep {mark}"
    );
    let command = format!("{NOBODY}[commands.c]\nargv = [\"sh\", \"-c\", \"{script}\"]\ntimeout = \"4s\"\n");
    let site = site("run c", OTHERS, &command);
    // It ran and cannot be taken back, so a person is told.
    let _ = site.unship(["apply", "1", "--yes"]).exits(5).says("did not end within");
    let journal = site.unship(["journal", "show"]).exits(0);
    assert!(journal.stdout.contains("run command c"), "{}", journal.stdout);
    assert!(journal.stdout.len() < 64 << 10, "what it printed is nowhere");
    let left = Command::new("pgrep").args(["-f", &format!("sleep {mark}")]).output().expect("pgrep");
    assert!(left.stdout.is_empty(), "{}", String::from_utf8_lossy(&left.stdout));
}

/// A process group of the test's, which ends with it.
struct Group(Child);

impl Drop for Group {
    fn drop(&mut self) {
        let _ = Command::new("kill").args(["-KILL", "--", &format!("-{}", self.0.id())]).status();
        let _ = self.0.wait();
    }
}

fn group(script: &str) -> Group {
    use std::os::unix::process::CommandExt as _;
    let mut sh = Command::new("sh");
    sh.args(["-c", script]).stdin(Stdio::null()).stdout(Stdio::null()).process_group(0);
    Group(sh.spawn().expect("sh"))
}

fn wait_for(argument: &str) {
    let is_there =
        || Command::new("pgrep").args(["-f", argument]).stdout(Stdio::null()).status().expect("pgrep").success();
    while !is_there() {
        std::thread::yield_now();
    }
}

#[test]
fn a_process_that_is_started_again_at_once_is_told_and_its_tree_can_be_stopped() {
    let mark = format!("1001.{}", std::process::id());
    let supervisor = format!("while :; do sleep {mark}; done");
    let _supervisor = group(&supervisor);
    wait_for(&format!("^sleep {mark}"));
    let selector = |rest: &str| {
        format!("[processes.p]\n{rest}\ngrace = \"5s\"\n[commands.c]\nargv = [\"true\"]\ntimeout = \"1s\"\n")
    };
    let grants = "processes.list = [\"p\"]\nprocesses.stop = [\"p\"]\nfiles.edit = { \"none.yaml\" = [\"/**\"] }";
    let again = site("stop-processes p", grants, &selector(&format!("args = [\"{mark}\"]")));
    let plan = |site: &Site| site.unship(["plan", "1", "--json"]).exits(0).summary()["plan_digest"].clone();
    let digest = plan(&again);
    // What will be stopped stands in the plan; which pids these are is not in the digest.
    let _ = again.unship(["plan", "1"]).exits(0).prints(&format!(": sleep {mark}"));
    let _ = again.unship(["apply", "1", "--yes"]).exits(5).says("something starts them again");
    let journal = again.unship(["journal", "show"]).exits(0);
    assert!(journal.stdout.contains("stop processes p"), "{}", journal.stdout);
    wait_for(&format!("^sleep {mark}"));
    assert_eq!(plan(&again), digest, "another process, the same plan");
    let tree = site("stop-processes p", grants, &selector(&format!("args = [\"-c\", \"{supervisor}\"]\ntree = true")));
    let shown = tree.unship(["plan", "1"]).exits(0).prints(&format!(": sleep {mark}")).prints(&supervisor);
    assert!(shown.stdout.contains("stop processes p"));
    let _ = tree.unship(["apply", "1", "--yes"]).exits(6);
    let left = Command::new("pgrep").args(["-f", &format!("sleep {mark}")]).output().expect("pgrep");
    assert!(left.stdout.is_empty(), "{}", String::from_utf8_lossy(&left.stdout));
}
