//! `unship doctor`: a site that is well, and each defect found by its name, with what to do; nothing is changed.

use crate::support::{Practice, Ran, Site, UNSHIP, fingerprint, guest, mounts::with_tmpfs};
use serde_json::Value;
use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::Command,
    time::{Duration, SystemTime},
};

/// Everything below the site, with its store.
fn bytes(site: &Site) -> Vec<String> {
    [fingerprint(&site.path()), fingerprint(&site.at(".unship"))].concat()
}

/// What it says under `--json`, having changed nothing.
fn doctor(site: &Site) -> (Ran, Vec<Value>) {
    let before = bytes(site);
    let ran = site.unship(["doctor", "--json"]);
    assert_eq!(before, bytes(site), "something was changed");
    let findings = ran.json();
    (ran, findings)
}

fn of<'a>(findings: &'a [Value], check: &str, of: &str) -> Vec<&'a Value> {
    findings.iter().filter(|f| f["type"] == "finding" && f["check"] == check && f["of"] == of).collect()
}

fn replace(site: &Site, from: &str, to: &str) {
    let policy = site.read("policies/site.toml");
    assert!(policy.contains(from), "{from:?} is in no policy");
    site.write("policies/site.toml", &policy.replacen(from, to, 1));
}

fn append(site: &Site, text: &str) {
    let policy = site.read("policies/site.toml");
    site.write("policies/site.toml", &(policy + text));
}

fn mode(site: &Site, path: &str, mode: u32) {
    fs::set_permissions(site.at(path), fs::Permissions::from_mode(mode)).expect("set");
}

/// The moment so many days from now, as a trust root has it.
fn in_days(days: u64) -> String {
    let at = SystemTime::now() + Duration::from_secs(days * 24 * 3600);
    unship_policy::Moment::from_ms(at.duration_since(SystemTime::UNIX_EPOCH).expect("later").as_millis() as u64)
        .to_string()
}

/// A command and a service of story 1.
const DEFINITIONS: &str = "[commands.look]\nargv = [\"bin/look\"]\ntimeout = \"1s\"\n\
    [services.core]\nmanager = \"pid-file\"\npid-file = \"run/core.pid\"\nprocess = { exe = \"bin/look\", grace = \"1s\" }\n\
    start = [\"bin/look\"]\nhealthy = [\"bin/look\"]\ntimeout = \"1s\"\n";

/// A rehearsal site with story 1, which writes one file; a secret; a service; a program.
fn site() -> Site {
    let definitions = "rehearsal = true\n[folders]\nsite = \".\"\n[watch]\nsamples-token = \"file:run/token\"\n";
    let site = Site::new(definitions);
    site.write("run/token", "s3cret\n");
    mode(&site, "run/token", 0o600);
    site.write("bin/look", "#!/bin/sh\n");
    mode(&site, "bin/look", 0o755);
    site.probe("1", &["write", "a", "x"], "files.read = [\"a\"]\nfiles.write = [\"a\"]\nfiles.create = [\"a\"]\n");
    let policy = site.read("policies/1.toml");
    site.write("policies/1.toml", &(policy + DEFINITIONS));
    site
}

/// What is expected of one defect.
struct Defect {
    name: &'static str,
    make: fn(&Site),
    check: &'static str,
    of: &'static str,
    state: &'static str,
    says: &'static str,
    exit: i32,
}

const fn fault(
    name: &'static str,
    make: fn(&Site),
    (check, of): (&'static str, &'static str),
    says: &'static str,
) -> Defect {
    Defect { name, make, check, of, state: "fault", says, exit: 1 }
}

const fn warning(
    name: &'static str,
    make: fn(&Site),
    (check, of): (&'static str, &'static str),
    says: &'static str,
) -> Defect {
    Defect { name, make, check, of, state: "warning", says, exit: 0 }
}

const fn damaged(name: &'static str, make: fn(&Site), says: &'static str) -> Defect {
    Defect { name, make, check: "journal", of: "", state: "fault", says, exit: 7 }
}

/// Takes the story back and changes the journal of that: `change` gets its records, one a line, without the room behind them.
fn rewrite_journal(site: &Site, change: impl FnOnce(&mut Vec<u8>)) {
    let _ = site.unship(["apply", "1", "--yes"]).exits(6);
    let path = site.at(".unship/journal");
    let mut bytes = fs::read(&path).expect("the journal");
    let end = bytes.iter().rposition(|b| *b == b'\n').expect("lines") + 1;
    bytes.truncate(end);
    change(&mut bytes);
    fs::write(path, bytes).expect("written");
}

/// The last record is gone.
fn cut(bytes: &mut Vec<u8>) {
    let end = bytes[..bytes.len() - 1].iter().rposition(|b| *b == b'\n').expect("lines") + 1;
    bytes.truncate(end);
}

/// One bit is another.
fn flip(bytes: &mut [u8]) {
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
}

const DEFECTS: &[Defect] = &[
    fault(
        "a root that has expired",
        |s| s.trust_until("2021-01-01T00:00:00Z", &s.trust_tables()),
        ("trust-root", ""),
        "it has expired",
    ),
    warning(
        "a root that expires soon",
        |s| s.trust_until(&in_days(10), &s.trust_tables()),
        ("trust-root", ""),
        "days are left",
    ),
    warning(
        "a key that expires soon",
        |s| {
            let other = s.outside().join("other");
            let public = s.unship(["keygen", other.to_str().expect("UTF-8")]).exits(0).stdout;
            let end = in_days(20);
            s.trust_also(&format!("[keys.ada]\npublic = \"{}\"\nnot-after = {end}\n", public.trim()));
        },
        ("key", "ada"),
        "days are left",
    ),
    fault(
        "no root",
        |s| fs::remove_dir_all(s.at("policies/trust")).expect("removed"),
        ("trust-root", ""),
        "no trust root",
    ),
    fault(
        "an altered root",
        |s| s.write("policies/trust/1.toml", &(s.read("policies/trust/1.toml") + "\n")),
        ("trust-root", ""),
        "not the one",
    ),
    fault(
        "no root accepted",
        |s| fs::remove_file(s.at(".unship/trust")).expect("removed"),
        ("trust-root", ""),
        "accepted no trust root",
    ),
    fault(
        "a clock that was set back",
        |s| s.trust_between(&in_days(30), &in_days(300), &s.trust_tables()),
        ("clock", "set back"),
        "the clock was set back",
    ),
    fault("a secret that others read", |s| mode(s, "run/token", 0o644), ("secret", "run/token"), "others may read"),
    fault(
        "a secret that is not there",
        |s| fs::remove_file(s.at("run/token")).expect("removed"),
        ("secret", "run/token"),
        "No such file",
    ),
    fault(
        "a program that is not there",
        |s| fs::remove_file(s.at("bin/look")).expect("removed"),
        ("programs", "1.toml"),
        "cannot run on this machine",
    ),
    fault(
        "a program that cannot be run",
        |s| mode(s, "bin/look", 0o644),
        ("programs", "1.toml"),
        "cannot run on this machine",
    ),
    fault(
        "a folder that is not there",
        |s| replace(s, "site = \".\"", "site = \"gone\""),
        ("places", "site.toml"),
        "where no folder is",
    ),
    fault(
        "site.toml that is no text",
        |s| fs::write(s.at("policies/site.toml"), [0xFF, 0xFE]).expect("written"),
        ("policy", "site.toml"),
        "not UTF-8",
    ),
    fault(
        "no site.toml",
        |s| fs::remove_file(s.at("policies/site.toml")).expect("removed"),
        ("site", ""),
        "is not a site",
    ),
    fault(
        "a key that nobody knows",
        |s| replace(s, "[folders]", "gravity = 9\n[folders]"),
        ("policy", "site.toml"),
        "gravity",
    ),
    fault(
        "a manager that nobody knows",
        |s| append(s, "[services.core]\nmanager = \"runit\"\ntimeout = \"1s\"\n"),
        ("policy", "site.toml"),
        "runit",
    ),
    fault("a story's policy that is none", |s| s.write("policies/1.toml", "[story]\n"), ("story", "1"), "not valid"),
    fault(
        "a bundle that is not there",
        |s| fs::remove_file(s.at("bundles/story-1.wasm")).expect("removed"),
        ("story", "1"),
        "cannot be read",
    ),
    fault("a bundle that nobody signed", unsign, ("story", "1"), "may not run"),
    fault(
        "triggers that are none",
        |s| s.write("policies/triggers/1.toml", "when = 1\n"),
        ("triggers", ""),
        "not valid",
    ),
    fault(
        "a person who may not approve",
        |s| replace(s, "[watch]", "[watch]\nlinks = \"https://site.example\"\napprovers = [\"ada\"]"),
        ("decision", "ada"),
        "no key of theirs",
    ),
    warning("nobody who may approve", |_| {}, ("decision", ""), "nobody may approve"),
    Defect {
        name: "fewer people than it takes",
        make: fewer_people,
        check: "decision",
        of: "",
        state: "warning",
        says: "it takes 2 people to approve, and 1 may now: ada",
        // The key that has ended is a fault of its own.
        exit: 1,
    },
    warning("nobody who is told", |_| {}, ("notices", ""), "there is no channel"),
    warning("no daemon", |_| {}, ("daemon", ""), "none has ever watched"),
    warning(
        "nobody who may push",
        |s| {
            replace(s, "samples-token = \"file:run/token\"", "");
            append(s, "[feeds.pushed]\nkind = \"push\"\nmetric = \"a\"\n");
        },
        ("watch", "samples-token"),
        "nobody may push",
    ),
    warning(
        "a feed whose program is not there",
        |s| {
            append(
                s,
                "[feeds.asked]\nkind = \"command\"\nmetric = \"a\"\nargv = [\"no-such-program\"]\ntimeout = \"1s\"\nvalue = \"failed\"\nevery = \"15s\"\n",
            )
        },
        ("feed", "asked"),
        "no-such-program",
    ),
    fault("a pid file that holds none", |s| s.write("run/core.pid", "core\n"), ("service", "core"), "run/core.pid"),
    fault("a store that others read", |s| mode(s, ".unship", 0o755), ("store", ""), "other users"),
    fault(
        "a store without its key",
        |s| fs::remove_file(s.at(".unship/key")).expect("removed"),
        ("store", ""),
        "key is missing",
    ),
    damaged("a journal that was cut", |s| rewrite_journal(s, cut), "not intact"),
    damaged("a journal with another bit", |s| rewrite_journal(s, |bytes| flip(bytes)), "not intact"),
];

/// Of the two whom it takes, one has a key that has ended.
fn fewer_people(site: &Site) {
    let key = |name: &str| {
        let file = site.outside().join(name);
        site.unship(["keygen", file.to_str().expect("UTF-8")]).exits(0).stdout.trim().to_owned()
    };
    let ada = format!("[keys.ada]\npublic = \"{}\"\nowner = \"ada\"\n", key("ada"));
    let ended = "not-after = 2021-01-01T00:00:00Z";
    let bob = format!("[keys.bob]\npublic = \"{}\"\nowner = \"bob\"\n{ended}\n", key("bob"));
    site.trust_also(&format!("{ada}{bob}[roles.approver]\nkeys = [\"ada\", \"bob\"]\nthreshold = 2\n"));
}

/// The same component and manifest, without a signature.
fn unsign(site: &Site) {
    let path = site.at("bundles/story-1.wasm");
    let bundle = unship_policy::Bundle::parse(fs::read(&path).expect("bundle").into()).expect("a bundle");
    let packed = unship_policy::pack(&fs::read(guest("fsprobe.wasm")).expect("guest"), bundle.manifest_text());
    let component = packed.or_else(|_| unship_policy::pack(bundle.component(), bundle.manifest_text()));
    fs::write(path, component.expect("a bundle")).expect("written");
}

#[test]
fn each_defect_is_found_by_name_with_what_to_do() {
    let wrong: Vec<String> = DEFECTS.iter().filter_map(|defect| judge(defect).err()).collect();
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), DEFECTS.len(), wrong.join("\n"));
}

/// Makes the defect; what is wrong with what is said of it.
fn judge(defect: &Defect) -> Result<(), String> {
    let site = site();
    (defect.make)(&site);
    let (ran, findings) = doctor(&site);
    let wrong = |why: &str| Err(format!("{}: {why}:\n{}{}", defect.name, ran.stdout, ran.stderr));
    let said = |finding: &Value| finding["said"].as_str().is_some_and(|said| said.contains(defect.says));
    let Some(hit) = of(&findings, defect.check, defect.of).into_iter().find(|f| said(f)) else {
        return wrong("not found");
    };
    if hit["state"] != defect.state || ran.status != Some(defect.exit) {
        return wrong("taken otherwise");
    }
    if hit["next"].as_str().is_none_or(|next| next.len() <= 10) {
        return wrong("without advice");
    }
    // For people the same stands there, with its mark.
    let shown = site.unship(["doctor"]);
    let is_it = |line: &&str| line.starts_with(&defect.state.to_uppercase()) && line.contains(defect.says);
    let mut lines = shown.stdout.lines().skip_while(|line| !is_it(line));
    match (lines.next(), lines.next()) {
        (Some(_), Some(next)) if next.trim_start().starts_with("next: ") => Ok(()),
        _ => Err(format!("{}: not told to people:\n{}", defect.name, shown.stdout)),
    }
}

#[test]
fn one_defect_does_not_hide_another() {
    let site = site();
    fs::write(site.at("policies/site.toml"), "[site").expect("written");
    mode(&site, "run/token", 0o644);
    fs::remove_dir_all(site.at("policies/trust")).expect("removed");
    let (ran, findings) = doctor(&site);
    assert_eq!(ran.status, Some(1));
    assert_eq!(of(&findings, "policy", "site.toml")[0]["state"], "fault");
    assert_eq!(of(&findings, "trust-root", "")[0]["state"], "fault");
    assert_eq!(of(&findings, "journal", "")[0]["state"], "ok");
    // Without a site the machine is looked at all the same.
    let elsewhere = Ran::of(Command::new(UNSHIP).args(["doctor", "--json", "--site", "/"]).env_clear()).exits(1).json();
    assert_eq!(of(&elsewhere, "site", "")[0]["state"], "fault");
    assert_eq!(of(&elsewhere, "kernel", "openat2")[0]["state"], "ok");
}

#[test]
fn a_run_that_was_cut_off_is_told_until_it_ended() {
    let site = site();
    let _ = site.unship(["apply", "1", "--yes", "--inject", "kill@3"]);
    let (ran, findings) = doctor(&site);
    let cut = findings.iter().find(|f| f["check"] == "run").unwrap_or_else(|| panic!("{}", ran.stdout));
    assert_eq!((cut["state"].as_str(), ran.status), (Some("fault"), Some(1)));
    assert!(cut["next"].as_str().is_some_and(|next| next.contains("unship resume")), "{cut}");
    let _ = site.unship(["resume", "--undo"]);
    let (_, findings) = doctor(&site);
    assert!(!findings.iter().any(|f| f["check"] == "run"), "{findings:?}");
}

#[test]
fn a_practice_site_is_well() {
    let site = Site::practice();
    let policy = site.read("policies/site.toml");
    site.write("policies/site.toml", &(policy + "\n[watch]\nsamples-token = \"file:run/samples.token\"\n"));
    site.write("run/samples.token", "s3cret\n");
    mode(&site, "run/samples.token", 0o600);
    let (ran, findings) = doctor(&site);
    let _ = ran.exits(0);
    // Only what this machine or nobody has: an approver, a channel, a daemon, pm2, a clock that is kept right.
    let known = ["clock", "notices", "feed", "decision", "daemon", "places", "programs", "file-system"];
    for finding in findings.iter().filter(|f| f["type"] == "finding") {
        let (state, check) = (finding["state"].as_str().expect("text"), finding["check"].as_str().expect("text"));
        assert!(state == "ok" || (state != "fault" && known.contains(&check)), "{finding}");
    }
    for (check, name) in [("story", "1.3"), ("service", "analytics"), ("secret", "run/samples.token"), ("journal", "")]
    {
        assert_eq!(of(&findings, check, name)[0]["state"], "ok", "{check} {name}");
    }
    let summary = findings.last().expect("a summary");
    assert_eq!((summary["type"].as_str(), summary["faults"].as_u64()), (Some("summary"), Some(0)));
}

#[test]
fn a_file_system_that_is_nearly_full_is_told() {
    let original = Site::practice();
    with_tmpfs("a disk that is nearly full", 48 << 20, |folder: &Path| {
        let site: Practice = original.copy_in(folder);
        let (ran, findings) = doctor(&site);
        let full = of(&findings, "file-system", "the site");
        assert_eq!((full[0]["state"].as_str(), ran.status), (Some("fault"), Some(1)), "{}", ran.stdout);
        assert!(full[0]["said"].as_str().is_some_and(|said| said.contains("tmpfs") && said.contains("nearly full")));
    });
}
