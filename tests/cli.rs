//! The command line's contract: its reference, its JSON lines, who may run when, and what a killed run leaves.

use crate::{
    approvals,
    support::{Ran, Site, UNSHIP, fingerprint},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File, OpenOptions},
    io::Write as _,
    os::fd::{FromRawFd as _, OwnedFd},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

fn document(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(name)
}

/// `docs/NAME` holds exactly `text`; with `INSTA_UPDATE=always` it is written.
#[track_caller]
pub(crate) fn documented(name: &str, text: &str) {
    let path = document(name);
    if std::env::var("INSTA_UPDATE").is_ok_and(|update| update == "always") {
        fs::create_dir_all(path.parent().expect("a parent")).expect("docs");
        fs::write(&path, text).expect("written");
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(found, text, "docs/{name} is not what the binary says; INSTA_UPDATE=always writes it anew");
}

fn help(verb: &[&str]) -> String {
    Ran::of(Command::new(UNSHIP).args(verb).arg("--help").env_clear()).exits(0).stdout
}

/// The verbs that a help text lists.
fn verbs(help: &str) -> Vec<String> {
    let list = help.split("Commands:\n").nth(1).unwrap_or_default().split("\n\n").next().unwrap_or_default();
    let names = list.lines().filter_map(|l| l.strip_prefix("  ")?.split_whitespace().next());
    names.filter(|n| *n != "help").map(str::to_owned).collect()
}

#[test]
fn the_reference_is_what_help_says() {
    let mut text =
        "# Command line\n\nWhat `--help` says, verb by verb. A test keeps it true (`tests/cli.rs`).\n".to_owned();
    let mut add =
        |name: &str, help: &str| text.push_str(&format!("\n## {name}\n\n```text\n{}\n```\n", help.trim_end()));
    let top = help(&[]);
    add("unship", &top);
    assert!(verbs(&top).len() > 10, "{top}");
    for verb in verbs(&top) {
        let own = help(&[&verb]);
        add(&format!("unship {verb}"), &own);
        for below in verbs(&own) {
            add(&format!("unship {verb} {below}"), &help(&[&verb, &below]));
        }
    }
    documented("cli.md", &text);
}

/// The keys of each kind of line: those that are always there, and those that are not in brackets.
#[derive(Default)]
struct Keys(BTreeMap<(String, String), Vec<BTreeSet<String>>>);

impl Keys {
    fn take(&mut self, verb: &str, ran: &Ran) {
        for line in ran.json() {
            let keys =
                |v: &serde_json::Value| v.as_object().expect("an object").keys().cloned().collect::<BTreeSet<_>>();
            let kind = line["type"].as_str().unwrap_or("(none)").to_owned();
            let what = &line["record"]["what"];
            if what.is_object() {
                let event = what["event"].as_str().expect("an event").to_owned();
                self.0.entry(("a record's `what`".to_owned(), event)).or_default().push(keys(what));
            }
            self.0.entry((verb.to_owned(), kind)).or_default().push(keys(&line));
        }
    }

    fn table(&self) -> String {
        let mut text = "| of | `type` or `event` | keys |\n|---|---|---|\n".to_owned();
        for ((verb, kind), seen) in &self.0 {
            let all: BTreeSet<&String> = seen.iter().flatten().collect();
            let shown: Vec<String> = all
                .into_iter()
                .map(|key| if seen.iter().all(|s| s.contains(key)) { format!("`{key}`") } else { format!("[`{key}`]") })
                .collect();
            text.push_str(&format!("| {verb} | `{kind}` | {} |\n", shown.join(", ")));
        }
        text
    }
}

const JSON: &str = "# JSON lines

With `--json` every verb prints one JSON object a line on standard output, as things happen, and nothing else there. The
last line of a verb that has a result is its `summary`; it carries `format`, the version of these lines (now 1). Within a
version keys and kinds of lines are added, never renamed or removed: skip what you do not know.

- A command that fails prints an `error` (message, causes, hint, and file, line and column where a file is at fault) and,
  last, a `summary` with the message as `error` and the exit status as `exit`.
- `runs` prints one line a run, newest last; `journal export` prints the journal's records, with or without `--json`.
- The `checkpoint` of `journal verify` has `records`, at how many it was signed, and `newer`, how many came after.
- Digests are `sha256:` and 64 digits. Times are RFC 3339 in UTC, `at_ms` is milliseconds since the epoch.
- Of a `finding` of `doctor`, `check` and `of` name what was looked at, `state` is `ok`, `warning`, `fault` or `unknown`, and `next`
  says what to do, or is `null` where all is well.
- `verdict` is `null` where no verification ran, `reason` where all went well.
- `items` counts a run's checklist, `items_open` what nobody looked at yet; of an `item`, `by` is who looked, as they say, and
  `noted_by` the user who wrote it down. `need` lines are in plans of stories with `needs-first`.
- Of a `feed` of `triggers look`, `told` is whether others send its samples, `samples` what the look gave, and `trouble` why it gave
  nothing, or `null`.
- `story` is `null` for the general triggers of the site. Of `triggers backtest`, `answer` says from when on a rule answers
  `ok`, `breach`, `no-data` or `error`, `transition` what the trigger did (`kind`: `pending`, `not-pending`, `fired`, `suppressed`,
  `cleared`), and `backtest` what came of one rule. A value that is not finite is `null`.

The keys below are what a test sees (`tests/cli.rs`); those in brackets are not in every line of their kind.

";

#[test]
fn the_json_lines_are_as_documented() {
    let site = Site::practice();
    let mut keys = Keys::default();
    let bundle = site.at("bundles/story-1.3.wasm");
    let bundle = bundle.to_str().expect("UTF-8");
    let (key, new) = (site.key(), site.outside().join("new"));
    fs::create_dir(&new).expect("a folder");
    let copy = site.outside().join("copy.wasm");
    let component = crate::support::guest("story_1_3.wasm");
    let manifest = site.outside().join("manifest.toml");
    fs::write(&manifest, include_str!("../steps-wasm/story-1-3/unship.toml")).expect("written");
    let text = |path: &Path| path.to_str().expect("UTF-8").to_owned();
    let mut run = |verb: &str, status: i32, args: &[&str]| {
        let ran = site.unship([args, &["--json"]].concat()).exits(status);
        keys.take(verb, &ran);
        ran
    };
    let _ = run("keygen", 0, &["keygen", &text(&key)]);
    let _ = run("pack", 0, &["pack", &text(&component), "-m", &text(&manifest), "-o", &text(&copy)]);
    let _ = run("sign", 0, &["sign", &text(&copy), "-k", &text(&key)]);
    let _ = run("init", 0, &["init"]);
    let _ = run("inspect", 0, &["inspect", bundle]);
    let _ = run("stories", 0, &["stories"]);
    let _ = run("doctor", 0, &["doctor"]);
    site.write("policies/triggers/1.3.toml", include_str!("../policies/triggers/1.3.toml"));
    let tests = "story = \"1.3\"\n[[test]]\nname = \"x\"\ntrigger = \"memory\"\nseries.duckdb_memory_bytes = \"9e9\"\nfires = [\"0\"]\n";
    site.write("policies/triggers/1.3.test.toml", tests);
    let data = site.outside().join("data.om");
    fs::write(&data, "duckdb_corruption 0 1\nduckdb_corruption 1 2\nduckdb_corruption 0 3\n# EOF\n").expect("written");
    let _ = run("triggers explain", 0, &["triggers", "explain", "1.3"]);
    let _ = run("triggers look", 1, &["triggers", "look", "1.3"]);
    let _ = run("triggers test", 1, &["triggers", "test"]);
    let _ = run("triggers backtest", 0, &["triggers", "backtest", "1.3", &text(&data)]);
    let _ = run("plan", 0, &["plan", "1.3"]);
    let refused = run("apply", 3, &["apply", "1.3"]);
    let last = refused.summary();
    assert_eq!((last["type"].as_str(), last["outcome"].as_str()), (Some("summary"), Some("Refused")));
    let summary = run("apply", 0, &["apply", "1.3", "--yes"]).summary();
    for key in ["story", "run", "plan_digest", "outcome", "verdict"] {
        assert!(summary[key].is_string(), "{key}: {summary}");
    }
    let _ = run("check", 0, &["check", "1.3"]);
    let _ = run("policy explain", 0, &["policy", "explain", "1.3"]);
    let _ = run("policy tighten", 0, &["policy", "tighten", "1.3"]);
    let crate_dir = site.outside().join("crate");
    let _ = run("new", 0, &["new", "2.1", "--dir", &text(&crate_dir)]);
    // The practice site of one story lacks the repository that `[git.qa]` speaks of.
    let _ = run("policy check", 1, &["policy", "check"]);
    fs::remove_file(site.at("policies/2.1.toml")).expect("removed");
    let _ = run("runs", 0, &["runs"]);
    let _ = run("show", 0, &["show", summary["run"].as_str().expect("a run")]);
    let _ = run("tick", 0, &["tick", summary["run"].as_str().expect("a run"), "clear-cache"]);
    let id = summary["run"].as_str().expect("a run").to_owned();
    site.write(".cache/queries/new", "an answer of the new engine");
    let refused = run("undo", 3, &["undo", &id]);
    assert_eq!(refused.json()[0]["effect"], "clear-cache/0");
    let _ = run("undo", 0, &["undo", &id, "--force", "clear-cache/0"]);
    let policy = site.read("policies/site.toml");
    site.write("policies/site.toml", &policy.replacen("[site]\n", "[site]\nrehearsal = true\n", 1));
    let _ = run(
        "apply",
        5,
        &["apply", "1.3", "--yes", "--inject", "fail@clear-cache", "--inject", "undo-fail@backup-data/0"],
    );
    let stuck = run("runs", 0, &["runs"]).json().pop().expect("a run");
    let _ = run("undo", 0, &["undo", stuck["run"].as_str().expect("an id")]);
    let _ = site.unship(["apply", "1.3", "--yes", "--inject", "kill@9"]);
    let _ = run("apply", 3, &["apply", "1.3", "--yes"]);
    let _ = run("resume", 0, &["resume"]);
    let _ = run("resume", 0, &["resume"]);
    let _ = run("gc", 0, &["gc", "--older-than", "1ms"]);
    let _ = run("journal show", 0, &["journal", "show"]);
    let _ = run("journal verify", 0, &["journal", "verify"]);
    let _ = run("journal export", 0, &["journal", "export"]);
    let _ = run("any, failing", 1, &["plan", "../x"]);
    site.write("policies/1.3.toml", "colour = 1\n");
    let failed = run("any, failing", 1, &["plan", "1.3"]);
    let error = failed.json().into_iter().find(|line| line["type"] == "error").expect("an error");
    assert_eq!((error["line"].as_u64(), error["column"].as_u64()), (Some(1), Some(1)));
    let weakening = approvals::site(approvals::OPEN);
    let (signers, digest) = (approvals::approvers(&weakening), approvals::digest(&weakening));
    keys.take("plan", &weakening.unship(["plan", "1", "--variant", "expose", "--json"]).exits(0));
    keys.take("approve", &approvals::approve(&weakening, &digest, &signers[0], "approval", &["--json"]).1.exits(0));
    documented("json.md", &format!("{JSON}{}", keys.table()));
}

#[test]
fn apply_asks_and_without_a_terminal_refuses() {
    let site = Site::practice();
    let before = fingerprint(&site.path());
    let ran = site.unship(["apply", "1.3"]).exits(3).prints("Digest sha256:");
    let _ = ran.says("standard input is not a terminal").says("--yes");
    assert_eq!(before, fingerprint(&site.path()));
    let _ = answered(&site, "n\n").exits(3).says("Take back story 1.3? [y/N]").says("not confirmed");
    let _ = answered(&site, "\n").exits(3).says("not confirmed");
    assert_eq!(before, fingerprint(&site.path()));
    let outcomes = site.unship(["runs"]).exits(0).stdout;
    assert_eq!(outcomes.matches("Refused").count(), 3, "{outcomes}");
    let _ = answered(&site, "y\n").exits(0).prints("Succeeded, Recovered");
}

/// `apply 1.3` at a terminal, on which `answer` was typed ahead.
fn answered(site: &Site, answer: &str) -> Ran {
    let (mut master, mut slave) = (-1, -1);
    let null = std::ptr::null_mut();
    // SAFETY: the two numbers are ours to be written to; null means defaults for the rest.
    let opened = unsafe { libc::openpty(&mut master, &mut slave, null, null.cast(), null.cast()) };
    assert_eq!(opened, 0, "a terminal");
    // SAFETY: `openpty` has just made both, and nothing else owns them.
    let (master, slave) = unsafe { (OwnedFd::from_raw_fd(master), OwnedFd::from_raw_fd(slave)) };
    let mut master = File::from(master);
    master.write_all(answer.as_bytes()).expect("typed");
    let output = site.command(["apply", "1.3"]).stdin(Stdio::from(slave)).output().expect("the command starts");
    Ran {
        status: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// An `apply` that stands still in the middle, in a command that reads a FIFO.
struct Held {
    /// The story's policy under which it runs; the one from before is in place again.
    policy: String,
    child: Child,
    fifo: File,
    stdout: PathBuf,
}

/// Starts `apply 1.3` with `stop-analytics` as the shell's `script`, and waits until that reads `hold`.
fn held(site: &Site, script: &str) -> Held {
    let policy = site.read("policies/1.3.toml");
    let argv = "argv = [\"bin/practice-analytics\", \"stop-queries\"]\ntimeout = \"30s\"";
    assert!(policy.contains(argv), "{policy}");
    let with = format!("argv = [\"sh\", \"-c\", {script:?}]\ntimeout = \"100s\"");
    site.write("policies/1.3.toml", &policy.replacen(argv, &with, 1));
    let hold = site.at("hold");
    rustix::fs::mknodat(rustix::fs::CWD, &hold, rustix::fs::FileType::Fifo, rustix::fs::Mode::from(0o600), 0)
        .expect("a FIFO");
    let stdout = site.outside().join("held.stdout");
    let (out, err) =
        (File::create(&stdout).expect("a file"), File::create(site.outside().join("held.stderr")).expect("a file"));
    let mut command = site.command(["apply", "1.3", "--yes"]);
    let mut child = command.stdin(Stdio::null()).stdout(out).stderr(err).spawn().expect("it starts");
    // Should it end before it reads, this thread reads in its place, so that the opening below does not wait for ever.
    let pid = rustix::process::Pid::from_child(&child);
    let path = hold.clone();
    std::thread::spawn(move || {
        use std::os::unix::fs::OpenOptionsExt as _;
        let options = rustix::process::WaitIdOptions::EXITED | rustix::process::WaitIdOptions::NOWAIT;
        let _ = rustix::process::waitid(rustix::process::WaitId::Pid(pid), options);
        let _ = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path);
    });
    let fifo = OpenOptions::new().write(true).open(&hold).expect("a reader");
    if let Some(status) = child.try_wait().expect("its state") {
        let said = fs::read_to_string(site.outside().join("held.stderr")).unwrap_or_default();
        panic!("it ended before it read: {status}\n{said}");
    }
    site.write("policies/1.3.toml", &policy);
    Held { child, fifo, stdout, policy: policy.replacen(argv, &with, 1) }
}

#[test]
fn of_two_applies_at_once_one_wins() {
    let site = Site::practice();
    let mut first = held(&site, "cat hold; exec bin/practice-analytics stop-queries");
    let before = fingerprint(&site.path());
    let _ = site.unship(["apply", "1.3", "--yes"]).exits(3).says("another run is at work on this site");
    let summary = site.unship(["apply", "1.3", "--yes", "--json"]).exits(3).summary();
    assert_eq!(summary["exit"], 3);
    assert_eq!(before, fingerprint(&site.path()));
    // Who only looks is let in.
    let _ = site.unship(["runs"]).exits(0).prints("in flight");
    let _ = site.unship(["journal", "verify"]).exits(0).prints("1 run(s) did not end");
    drop(first.fifo);
    let status = first.child.wait().expect("it ends");
    let said = fs::read_to_string(&first.stdout).expect("its output");
    assert_eq!(status.code(), Some(0), "{said}");
    let runs = site.unship(["runs", "--json"]).exits(0).json();
    assert_eq!(runs.len(), 1);
    assert_eq!(runs[0]["verdict"], "Recovered");
}

#[test]
fn a_run_whose_process_was_killed_blocks_new_ones_until_it_is_resumed() {
    let site = Site::practice();
    let mut killed = held(&site, "test -p hold && cat hold; exec bin/practice-analytics stop-queries");
    killed.child.kill().expect("killed");
    let status = killed.child.wait().expect("it ends");
    assert_eq!(status.code(), None, "{status}");
    drop(killed.fifo);
    fs::remove_file(site.at("hold")).expect("removed");
    let run = site.unship(["runs", "--json"]).exits(0).json().remove(0);
    assert!(run["outcome"].is_null(), "{run}");
    let id = run["run"].as_str().expect("a run").to_owned();
    let _ = site.unship(["show", &id]).exits(0).prints("`unship resume` goes on with it");
    let before = fingerprint(&site.path());
    for verb in [&["apply", "1.3", "--yes"][..], &["undo", &id]] {
        let refused = site.unship(verb).exits(3).prints("disable-duckdb/0: flag duckdb_analytics: on -> off");
        let _ = refused
            .says(&format!("run {id} was cut off in the middle"))
            .says("`unship resume` goes on with it, `unship resume --undo` takes it back");
    }
    assert_eq!(before, fingerprint(&site.path()), "a refusal changes nothing");
    let _ = site.unship(["journal", "verify"]).exits(0).prints("intact");
    let _ = site.unship(["resume"]).exits(3).says("its bundle or the policies are not those that it began with");
    site.write("policies/1.3.toml", &killed.policy);
    let _ = site.unship(["resume"]).exits(0).prints("Succeeded, Recovered");
    let _ = site.unship(["resume"]).exits(0).prints("no run is in flight");
    let runs = site.unship(["runs", "--json"]).exits(0).json();
    assert_eq!(runs.len(), 1, "going on is not a run of its own");
}

#[test]
fn init_makes_a_site_that_every_verb_accepts_and_never_overwrites() {
    let temp = tempfile::tempdir().expect("a temporary folder");
    let run = |args: &[&str]| {
        let mut command = Command::new(UNSHIP);
        Ran::of(command.args(args).current_dir(temp.path()).env_clear().env("PATH", "/usr/bin:/bin"))
    };
    let _ = run(&["runs"]).exits(1).says("no site here").says("unship init");
    let _ = run(&["init", "--name", "a \"site\" \\ of ours"]).exits(0).prints("wrote");
    let _ = run(&["stories"]).exits(0).prints("no story has a policy here");
    let _ = run(&["runs"]).exits(0).prints("no runs yet");
    let _ = run(&["journal", "verify"]).exits(0).prints("intact: 0 records in 0 runs");
    for args in [&["journal", "show"][..], &["journal", "export"]] {
        let ran = run(args).exits(0);
        assert!(ran.stdout.is_empty(), "{args:?}: {}", ran.stdout);
    }
    for verb in ["plan", "apply", "check"] {
        let _ = run(&[verb, "1.3"]).exits(1).says("story 1.3 has no policy at this site (it has none)");
    }
    let _ = run(&["show", "r20260101t000000z-0000"]).exits(1).says("there is no run");
    assert_eq!(fs::read_to_string(temp.path().join(".unship/.gitignore")).expect("readable"), "*\n");
    // A site below is the nearest one from there.
    let below = temp.path().join("a/b");
    fs::create_dir_all(&below).expect("folders");
    let ran = Ran::of(Command::new(UNSHIP).arg("runs").current_dir(&below).env_clear());
    let _ = ran.exits(0).prints("no runs yet");
    // What was changed stays, and what is there is complete: nothing is written again.
    let policy = temp.path().join("policies/site.toml");
    let mine = fs::read_to_string(&policy).expect("readable") + "# mine\n";
    fs::write(&policy, &mine).expect("written");
    let before = fingerprint(temp.path());
    let store = fingerprint(&temp.path().join(".unship"));
    let _ = run(&["init", "--name", "another"]).exits(0).prints("kept");
    assert_eq!(before, fingerprint(temp.path()));
    assert_eq!(store, fingerprint(&temp.path().join(".unship")));
    // What is lost is made again, the rest stays.
    fs::remove_file(&policy).expect("removed");
    let _ = run(&["init"]).exits(0).prints("wrote").prints("Next: `unship keygen root.key`");
    let _ = Ran::of(Command::new(UNSHIP).args(["init", "--site"]).arg(temp.path().join("nowhere")))
        .exits(1)
        .says("no folder");
}
