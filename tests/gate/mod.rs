//! The gate, from outside: for every kind of file operation one case inside a grant and one just outside it, through
//! `std::fs` and through the typed verbs (item 2 of the main job), as root and as an unprivileged user (item 8).
//!
//! All is one table form. A case is one step: its operations, the grants that it holds, and what must come of it. What is
//! done is compared with what was planned, with the journal and with the tree; what is refused must name its rule and
//! path, stand in the journal and leave everything as it was.

mod agreement;
mod images;
mod inside;
mod outside;
mod races;
mod users;
mod verbs;

use crate::support::{Ran, Site, fingerprint, guest};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    fs,
    os::unix::{fs::symlink, net::UnixListener, process::CommandExt as _},
    path::Path,
    process::Command,
};

/// Who runs the binary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// Whoever runs the tests.
    Me,
    /// `nobody`, who owns the test's whole folder; only root can ask for it.
    Nobody,
}

/// What the step runs.
#[derive(Debug, Clone, Copy)]
pub enum Does {
    /// `fsprobe` with these operations, `--` between two.
    Std(&'static str),
    /// The typed verbs in these lines.
    Verbs(&'static str),
}

/// What must come of it.
#[derive(Debug, Clone, Copy)]
pub enum Expect {
    /// It succeeds, and the tree differs in just this: what lies there afterwards, as [`snapshot`] says it (an empty file is a NUL); empty: nothing.
    Done(&'static [(&'static str, &'static str)]),
    /// The step fails by a denial of this, and nothing has changed.
    Denied(&'static str),
    /// The step fails with this in its error, which is no denial, and nothing has changed.
    Fails(&'static str),
}

use Does::{Std, Verbs};
use Expect::{Denied, Done, Fails};

/// One row: the grants, what the step does, what must come of it.
pub type Case = (&'static str, Does, Expect);

pub const ALL: &str = "files.read = [\"**\"]\nfiles.list = [\"**\"]\nfiles.write = [\"**\"]\nfiles.create = [\"**\"]\n\
    files.remove = [\"**\"]\nfiles.rename = [\"**\"]\nfiles.replace = [\"**\"]\nfiles.set-aside = [\"**\"]\n\
    files.clear = [\"**\"]\nfiles.edit = { \"**\" = [\"/**\"] }";
pub const BOX: &str = "files.read = [\"box/**\"]\nfiles.write = [\"box/**\"]\nfiles.create = [\"box/**\"]\n\
    files.remove = [\"box/**\"]\nfiles.rename = [\"box/**\"]";
pub const PUB: &str = "files.read = [\"pub/**\"]";

/// A site with something of every kind.
pub fn tree() -> Site {
    let site = Site::new("");
    for (path, text) in [
        ("secret.txt", "secret"),
        ("secrets/one.txt", "secret"),
        ("pub/readable.txt", "readable"),
        ("pub/other.txt", "other"),
        ("box/a.txt", "aaaa"),
        ("box/b.txt", "bbbb"),
        ("box/d/x.txt", "x"),
        ("box/d/.hidden", "hidden"),
        ("box/d/sub/deep.txt", "deep"),
        ("box/frozen/keep.txt", "keep"),
        ("box/config.yaml", "# a comment\nkey: old # kept\nother: kept\n"),
        ("config.yaml", "key: old\n"),
        ("drop/hidden.txt", "secret"),
    ] {
        site.write(path, text);
    }
    fs::create_dir(site.at("box/empty")).expect("folder");
    for (target, link) in [
        ("../secret.txt", "pub/planted"),
        ("../secrets", "pub/planted-dir"),
        ("..", "pub/planted-up"),
        ("/etc/passwd", "pub/planted-absolute"),
        ("../../outside.txt", "pub/outside"),
        ("planted", "pub/chain"),
        ("loop", "pub/loop"),
        ("readable.txt", "pub/inside"),
        ("../secret.txt", "box/planted"),
        ("../secrets", "box/planted-dir"),
        ("a.txt", "box/to-a"),
        ("new.txt", "box/dangling"),
        ("../../a.txt", "box/d/up"),
    ] {
        symlink(target, site.at(link)).expect("link");
    }
    fs::hard_link(site.at("secret.txt"), site.at("box/hard.txt")).expect("hard link");
    let made = Command::new("mkfifo").arg(site.at("box/fifo")).status().expect("mkfifo runs");
    assert!(made.success());
    drop(UnixListener::bind(site.at("box/socket")).expect("socket"));
    fs::write(site.outside().join("outside.txt"), "outside").expect("written");
    site
}

/// What lies below `dir`, without the policies, the bundles and the store: kind and content.
pub fn snapshot(dir: &Path) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    let mut todo = vec![dir.to_owned()];
    while let Some(folder) = todo.pop() {
        for entry in fs::read_dir(folder).expect("entries") {
            let path = entry.expect("entry").path();
            let name = path.strip_prefix(dir).expect("below").to_str().expect("UTF-8").to_owned();
            if [".unship", "policies", "bundles"].contains(&name.as_str()) {
                continue;
            }
            let kind = fs::symlink_metadata(&path).expect("metadata").file_type();
            let what = if kind.is_dir() {
                todo.push(path);
                "dir".to_owned()
            } else if kind.is_symlink() {
                format!("-> {}", fs::read_link(&path).expect("target").display())
            } else if kind.is_file() {
                let text = String::from_utf8_lossy(&fs::read(&path).expect("content")).into_owned();
                if text.is_empty() { "\0".to_owned() } else { text }
            } else {
                "special".to_owned()
            };
            all.insert(name, what);
        }
    }
    all
}

/// Gives the test's whole folder to `nobody`, so that a run as [`Who::Nobody`] meets its own site.
pub fn hand_over(site: &Site) {
    let given = Command::new("chown").args(["-hR", "65534:65534"]).arg(site.outside()).status().expect("chown runs");
    assert!(given.success());
}

/// Whether the tests can become somebody else.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

pub fn run(site: &Site, who: Who, args: &[&str]) -> Ran {
    let mut command = site.command(args);
    if who == Who::Nobody {
        command.uid(65534).gid(65534);
    }
    Ran::of(&mut command)
}

/// Makes the story `1` whose one step does `what`, holding `grants`.
pub fn story(site: &Site, what: Does, grants: &str) {
    match what {
        Std(operations) => site.probe("1", &operations.split(' ').collect::<Vec<_>>(), grants),
        Verbs(script) => {
            site.write("script", script);
            // The component imports every interface, so that the manifest must request each.
            let grants = match grants.split_once("files.read = [") {
                Some((before, after)) => format!("{before}files.read = [\"script\", {after}"),
                None => format!("files.read = [\"script\"]\n{grants}"),
            };
            let typed =
                ["replace", "set-aside", "clear", "edit"].iter().any(|verb| grants.contains(&format!("files.{verb}")));
            let interface = if typed { "" } else { "files.edit = { \"none.yaml\" = [\"/**\"] }\n" };
            let grants = format!(
                "{grants}\n{interface}flags.get = [\"f\"]\nprocesses.list = [\"p\"]\nservices.status = [\"s\"]\ncommands.run = [\"c\"]\n"
            );
            let names = "[flags]\nfile = \"flags.yaml\"\npointer = \"/{flag}\"\nvalues = { on = \"true\" }\n\
                [processes.p]\nexe = \"bin/p\"\ngrace = \"1s\"\n[commands.c]\nargv = [\"true\"]\ntimeout = \"1s\"\n\
                [services.s]\nmanager = \"pid-file\"\npid-file = \"p\"\nprocess = { exe = \"bin/p\", grace = \"1s\" }\n\
                start = [\"true\"]\nhealthy = [\"true\"]\ntimeout = \"1s\"\n";
            let manifest = format!(
                "story = \"1\"\nversion = \"1.0.0\"\ntitle = \"t\"\n[[step]]\nname = \"verbs\"\ntitle = \"t\"\n{grants}"
            );
            site.story("1", &guest("hostile.wasm"), &manifest, &format!("{names}[grants.verbs]\n{grants}"));
        }
    }
}

/// The effects of the lines of `plan --json`.
pub fn planned(ran: &Ran) -> Vec<Value> {
    let units = ran.json().into_iter().filter(|line| line["type"] == "unit");
    units.flat_map(|unit| unit["effects"].as_array().expect("effects").clone()).map(|e| e["effect"].clone()).collect()
}

/// The effects that `apply --json` journalled, with the run's id made symbolic as in the plan; and their images.
pub fn applied(ran: &Ran) -> Vec<(Value, Value)> {
    let run = ran.summary()["run"].as_str().expect("a run").to_owned();
    let mut all = Vec::new();
    for line in ran.json() {
        let what = &line["record"]["what"];
        if what["event"] == "effect-applied" {
            let text = what["effect"].to_string().replace(&run, "{run}");
            let n = what["n"].as_u64().expect("a number");
            all.push((n, serde_json::from_str(&text).expect("JSON"), what["image"].clone()));
        }
    }
    all.sort_by_key(|(n, ..)| *n);
    all.into_iter().map(|(_, effect, image)| (effect, image)).collect()
}

/// Plans and applies the story, and demands that the run's effects are the plan's. Answers what `apply` printed.
#[track_caller]
pub fn apply_as_planned(site: &Site, who: Who) -> Ran {
    let before = fingerprint(&site.path());
    let plan = run(site, who, &["plan", "1", "--json"]).exits(0);
    assert_eq!(before, fingerprint(&site.path()), "planning changed something");
    let digest = plan.summary()["plan_digest"].as_str().expect("a digest").to_owned();
    let ran = run(site, who, &["apply", "1", "--yes", "--json", "--expect", &digest]).exits(6);
    assert_eq!(ran.summary()["outcome"], "Succeeded", "{}", ran.stdout);
    let made: Vec<Value> = applied(&ran).into_iter().map(|(effect, _)| effect).collect();
    assert_eq!(planned(&plan), made, "the run did something else than the plan says");
    ran
}

/// One row of a table, on a tree of its own.
#[track_caller]
pub fn check(who: Who, case: &Case) {
    let (grants, what, expect) = case;
    let site = tree();
    story(&site, *what, grants);
    if who == Who::Nobody {
        hand_over(&site);
    }
    let mut wanted = snapshot(&site.path());
    match expect {
        Done(changes) => {
            let ran = apply_as_planned(&site, who);
            let id = ran.summary()["run"].as_str().expect("a run").to_owned();
            for (path, content) in *changes {
                let path = path.replace("{run}", &id);
                if content.is_empty() {
                    drop(wanted.remove(&path))
                } else {
                    drop(wanted.insert(path, (*content).to_owned()))
                }
            }
            assert_eq!(wanted, snapshot(&site.path()), "{case:?}");
        }
        Denied(denial) => {
            let refused = refused(&site, who, case);
            assert!(refused.stderr.contains("denied: "), "{case:?}: {}", refused.stderr);
            assert!(refused.stderr.contains(denial), "{case:?} lacks {denial:?}: {}", refused.stderr);
            let journal = run(&site, who, &["journal", "show"]).exits(0);
            let last = journal.stdout.lines().last().unwrap_or_default();
            assert!(last.contains("denied: ") && last.contains(denial), "the journal lacks {denial:?}: {last}");
        }
        Fails(why) => {
            let refused = refused(&site, who, case);
            assert!(refused.stderr.contains(why), "{case:?} lacks {why:?}: {}", refused.stderr);
            assert!(!refused.stderr.contains("denied: "), "{case:?}: {}", refused.stderr);
        }
    }
    assert_eq!(fs::read_to_string(site.outside().join("outside.txt")).expect("there"), "outside", "{case:?}");
    let _ = run(&site, who, &["journal", "verify"]).exits(0);
}

/// `apply` is refused when planning, and nothing has changed.
#[track_caller]
fn refused(site: &Site, who: Who, case: &Case) -> Ran {
    let before = fingerprint(&site.path());
    let refused = run(site, who, &["apply", "1", "--yes"]);
    assert_eq!(refused.status, Some(3), "{case:?}: {refused:?}");
    assert_eq!(before, fingerprint(&site.path()), "{case:?} changed something");
    refused
}

/// A whole table.
#[track_caller]
pub fn check_all(cases: &[Case]) {
    for case in cases {
        check(Who::Me, case);
    }
}
