//! `policy check`, `explain` and `tighten`: what is wrong, what is permitted, what of it was never used.

use crate::support::{Practice, Ran, Site, guest};
use std::{
    fs,
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Command, Stdio},
};

const READER: &str = "story = \"1.1\"\nversion = \"1.0.0\"\ntitle = \"reader\"\nargv = [\"read\", \"data/a.txt\"]\n\n[[step]]\nname = \"probe\"\ntitle = \"Read\"\n";

/// A site with a story 1.1 that reads `data/a.txt`, requests `requests` and is granted `grants` (lines of the step's tables).
fn reader(definitions: &str, requests: &str, grants: &str) -> Site {
    let site = Site::new(definitions);
    site.write("data/a.txt", "a");
    site.write("data/b.txt", "b");
    let grants = format!("# What it may do.\n[grants.probe] # the only one\n{grants}\n");
    site.story("1.1", &guest("fsprobe.wasm"), &format!("{READER}{requests}\n"), &grants);
    site
}

/// Applies a diff in the site's folder, as an operator would.
#[track_caller]
fn patch(site: &Site, diff: &str) {
    let mut child = Command::new("patch")
        .args(["-p1", "--fuzz=0"])
        .current_dir(site.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("patch starts");
    child.stdin.take().expect("a pipe").write_all(diff.as_bytes()).expect("written");
    assert!(child.wait().expect("it ends").success(), "{diff}");
}

/// The effects of a story's plan.
fn effects(site: &Site, story: &str) -> Vec<serde_json::Value> {
    let lines = site.unship(["plan", story, "--json"]).exits(0).json();
    lines.into_iter().filter(|line| line["type"] == "unit").map(|unit| unit["effects"].clone()).collect()
}

#[test]
fn check_of_what_is_right_is_short() {
    let site = Practice(Site::laid_out(&[]));
    let _ = site.unship(["policy", "check"]).exits(0).prints("10 files checked: 0 errors, 0 refusals, 0 warnings");
    let _ = site.unship(["policy", "check", "1.3"]).exits(0);
    let _ = site.unship(["policy", "check", "9.9"]).exits(1).says("story 9.9 has no policy at this site");
    let _ = site.unship(["policy", "check", "../x"]).exits(1).says("is not a story id");
    let _ = site.unship(["policy"]).exits(2);
}

/// Of a trigger with no feed, or in a language that is none, at its place, wherever the story's triggers stand.
#[test]
fn check_refuses_a_trigger_without_a_feed() {
    let site = Site::practice();
    let file = "policies/triggers/1.3.toml";
    let good = site.read(file);
    let feed = good.lines().find(|line| line.starts_with("feed = ")).expect("a feed");
    for (bad, said) in
        [(good.replacen(feed, "", 1), "feed"), (good.replacen("when = \"", "when = \"> ", 1), "triggers/1.3.toml:")]
    {
        site.write(file, &bad);
        let _ = site.unship(["policy", "check", "1.3"]).exits(1).prints(said);
    }
}

#[test]
fn check_refuses_a_template_that_names_what_there_is_not() {
    let site = Site::practice();
    let policy = site.read("policies/site.toml");
    let channel = "[channels.hook]\nkind = \"webhook\"\nurl = \"https://example.org/\"\n[[notice]]\nevents = [\"paged\"]\nchannel = \"hook\"\n";
    site.write("policies/site.toml", &format!("{policy}\n{channel}template = \"{{{{ stroy }}}}\"\n"));
    let _ = site.unship(["policy", "check"]).exits(1).prints("undefined value");
    site.write("policies/site.toml", &format!("{policy}\n{channel}template = \"{{{{ story_id }}}}\"\n"));
    assert!(!site.unship(["policy", "check"]).stdout.contains("undefined value"));
}

#[test]
fn check_tells_all_that_is_wrong_at_once() {
    let site = Site::new(
        "[folders]\nsite = \".\"\nelsewhere = \"not/here\"\n[commands.gone]\nargv = [\"bin/gone\"]\ntimeout = \"1s\"\n\
         [commands.open]\nargv = [\"bin/open\"]\ntimeout = \"1s\"\n[commands.plain]\nargv = [\"bin/plain\"]\ntimeout = \"1s\"\n",
    );
    for (program, mode) in [("bin/open", 0o777), ("bin/plain", 0o644)] {
        site.write(program, "#!/bin/sh\n");
        fs::set_permissions(site.at(program), fs::Permissions::from_mode(mode)).expect("a mode");
    }
    let head =
        |id: &str| format!("[story]\nid = \"{id}\"\ntitle = \"t\"\nbundle = \"b.wasm\"\nsigned-by = [\"release\"]\n");
    site.write("policies/1.2.toml", "colour = 1\n");
    site.write("policies/1.3.toml", &format!("{}[grants.x]\nfiles.raed = []\n", head("1.3")));
    site.write(
        "policies/1.4.toml",
        &format!(
            "{}[services.api]\nmanager = \"pid-file\"\npid-file = \"run/api.pid\"\nprocess = {{ exe = \"bin/api\", grace = \"1s\" }}\n\
             start = [\"sh\"]\nhealthy = [\"bin/healthy\"]\ntimeout = \"1s\"\n[grants.x]\ncommands.run = [\"stop-it\"]\n\
             flags.set = {{ f = \"off\" }}\nfiles.read = [\"there:a\"]\n",
            head("1.4")
        ),
    );
    site.write("policies/notes.toml", "");
    let grants = "files.read = [\"data/a.txt\"]\nfiles.write = [\"data/a.txt\"]\n[grants.proeb]\nfiles.read = [\"a\"]";
    let requests = "files.read = [\"data/a.txt\", \"data/b.txt\"]\nfiles.list = [\".\"]";
    site.story("1.1", &guest("fsprobe.wasm"), &format!("{READER}{requests}\n"), &format!("[grants.probe]\n{grants}\n"));
    let ran = site.unship(["policy", "check"]).exits(1);
    let here = site.path().canonicalize().expect("the site").display().to_string();
    insta::assert_snapshot!("check_tells_all", ran.stdout.replace(&here, "SITE"));
    assert!(ran.stderr.is_empty(), "findings are the answer: {}", ran.stderr);
    // One story alone: the others' faults are not told.
    let alone = site.unship(["policy", "check", "1.2"]).exits(1);
    assert!(alone.stdout.contains("policies/1.2.toml:1:1") && !alone.stdout.contains("1.4.toml"), "{}", alone.stdout);
}

#[test]
fn the_status_of_check_tells_errors_refusals_and_warnings_apart() {
    let read = "files.read = [\"data/a.txt\"]";
    let warned = reader("", read, &format!("{read}\nfiles.list = [\".\"]"));
    let ran = warned.unship(["policy", "check", "--json"]).exits(0);
    let finding = ran.json().remove(0);
    assert_eq!((finding["type"].as_str(), finding["severity"].as_str()), (Some("finding"), Some("warning")));
    assert_eq!((finding["file"].as_str(), finding["line"].as_u64()), (Some("policies/1.1.toml"), Some(9)));
    assert_eq!(ran.summary()["warnings"], 1);
    let refused = reader("", &format!("{read}\nfiles.list = [\".\"]"), read);
    let _ = refused
        .unship(["policy", "check"])
        .exits(3)
        .prints("Refused: the step `probe` requests `files.list = [\".\"]`");
    let unsigned = reader("", read, read);
    unsigned.trust(&unsigned.trust_tables().replace("roles.release", "roles.other"));
    let _ = unsigned.unship(["policy", "check"]).exits(3).prints("may not run against this site");
    fs::remove_file(unsigned.at("bundles/story-1.1.wasm")).expect("removed");
    let _ = unsigned.unship(["policy", "check"]).exits(0).prints("Warning: bundles/story-1.1.wasm is not there");
    // What is wrong with site.toml does not hide what is wrong with the others.
    unsigned.write("policies/site.toml", "[site]\n");
    unsigned.write("policies/1.1.toml", "[story]\ncolour = 2\n");
    let _ = unsigned.unship(["policy", "check"]).exits(1).prints("site.toml:1:1").prints("1.1.toml:2:1");
}

#[test]
fn explain_says_in_words_what_the_shipped_story_may_do() {
    let site = Site::practice();
    insta::assert_snapshot!("explain_1_3", site.unship(["policy", "explain", "1.3"]).exits(0).stdout);
    let one = site.unship(["policy", "explain", "1.3", "stop-queries"]).exits(0).prints("2. stop-queries");
    assert!(!one.stdout.contains("disable-duckdb"), "{}", one.stdout);
    let _ = site
        .unship(["policy", "explain", "1.3", "nope"])
        .exits(1)
        .says("no step or check named \"nope\"")
        .says("flag-off");
    let _ = site.unship(["policy", "explain", "9.9"]).exits(1).says("has no policy");
    let _ = site.unship(["policy", "explain"]).exits(2);
}

#[test]
fn explain_does_not_call_permitted_what_is_not() {
    let read = "files.read = [\"data/a.txt\"]";
    let site = reader("", &format!("{read}\ncommands.run = [\"go\"]"), &format!("{read}\ncommands.run = [\"come\"]"));
    let _ = site
        .unship(["policy", "explain", "1.1"])
        .exits(0)
        .prints("asks for `commands.run = [\"go\"]`, which is NOT permitted");
    fs::remove_file(site.at("bundles/story-1.1.wasm")).expect("removed");
    let _ = (site.unship(["policy", "explain", "1.1"]).exits(0))
        .prints("Its bundle is not there: this is all that its policy would permit.")
        .prints("REFUSED: no policy says what that means");
}

#[test]
fn without_a_run_tighten_takes_away_what_nobody_requests_and_no_more() {
    let grants =
        "# The whole folder.\nfiles.read = [\n    \"data/**\", # for now\n    \"config\",\n]\nfiles.write = [\"w\"]";
    let site = reader("", "files.read = [\"data/*\"]", grants);
    let before = effects(&site, "1.1");
    let policy = site.read("policies/1.1.toml");
    let ran = site.unship(["policy", "tighten", "1.1"]).exits(0).says("No run of this bundle is recorded");
    assert_eq!(site.read("policies/1.1.toml"), policy, "nothing is written");
    patch(&site, &ran.stdout);
    let expect =
        policy.replace("    \"config\",\n", "").replace("files.write = [\"w\"]\n", "").replace("data/**", "data/*");
    assert_eq!(site.read("policies/1.1.toml"), expect, "comments stay");
    assert_eq!(effects(&site, "1.1"), before);
    let again = site.unship(["policy", "tighten", "1.1"]).exits(0).says("cannot be smaller");
    assert_eq!(again.stdout, "");
}

#[test]
fn what_runs_never_used_leaves_manifest_and_policy_together() {
    let powers = "files.read = [\"data/*\"]\nfiles.remove = [\"data/b.txt\"]";
    let site = reader("", powers, powers);
    let manifest = site.at("story.toml");
    site.write("story.toml", &format!("{READER}{powers}\n"));
    let tighten = |extra: &[&str]| {
        let args = ["policy", "tighten", "1.1", "--manifest", manifest.to_str().expect("UTF-8")];
        site.unship([&args[..], extra].concat()).exits(0)
    };
    let _ = site.unship(["apply", "1.1", "--yes"]).exits(6);
    // One run does not show what varies, so the pattern stays.
    let once = tighten(&[]).says("`files.remove = [\"data/b.txt\"]` is requested, and was never used");
    assert!(once.stdout.contains("-files.remove") && !once.stdout.contains("a.txt"), "{}", once.stdout);
    let _ = site.unship(["apply", "1.1", "--yes"]).exits(6);
    let twice = tighten(&["--runs", "2"]).says("By 2 recorded runs");
    let by_one = tighten(&["--runs", "1"]).says("By 1 recorded run of");
    assert_eq!(by_one.stdout, once.stdout);
    // By itself the policy keeps what the bundle requests: it would be refused otherwise.
    let alone = site.unship(["policy", "tighten", "1.1"]).exits(0).says("--manifest FILE takes it away in both");
    assert_eq!(alone.stdout, "");
    let lines = site.unship(["policy", "tighten", "1.1", "--json"]).exits(0).json();
    let standings: Vec<&str> = lines.iter().filter_map(|line| line["standing"].as_str()).collect();
    assert_eq!(standings, ["used", "unused"]);
    assert_eq!(lines.last().expect("a summary")["unused"], 1);

    let before = effects(&site, "1.1");
    patch(&site, &twice.stdout);
    for file in ["story.toml", "policies/1.1.toml"] {
        let text = site.read(file);
        assert!(text.contains("files.read = [\"data/a.txt\"]") && !text.contains("files.remove"), "{text}");
    }
    let _ = site.unship(["plan", "1.1"]).exits(3).says("does not permit");
    let new = site.outside().join("new.wasm");
    crate::support::forge(&site, &fs::read(guest("fsprobe.wasm")).expect("a guest"), &site.read("story.toml"), &new);
    fs::rename(new, site.at("bundles/story-1.1.wasm")).expect("renamed");
    assert_eq!(effects(&site, "1.1"), before);
    let _ = site.unship(["policy", "tighten", "1.1"]).exits(0).says("No run of this bundle is recorded");
}

#[test]
fn a_run_that_failed_judges_nothing() {
    let read = "files.read = [\"data/a.txt\"]";
    let site = reader(
        "",
        &format!("{read}\nfiles.remove = [\"data/b.txt\"]"),
        &format!("{read}\nfiles.remove = [\"data/b.txt\"]"),
    );
    let policy = site.read("policies/site.toml");
    site.write("policies/site.toml", &policy.replacen("[site]\n", "[site]\nrehearsal = true\n", 1));
    let _ = site.unship(["apply", "1.1", "--yes", "--inject", "fail@probe"]).exits(4);
    let ran = site
        .unship(["policy", "tighten", "1.1", "--json"])
        .exits(0)
        .says("probe: not judged: it failed each time (1 times)");
    assert!(ran.json().iter().filter(|line| line["type"] == "grant").all(|line| line["standing"] == "not-seen"));
    assert_eq!(ran.summary()["unused"], 0);
}

#[test]
fn every_grant_of_the_shipped_story_is_used_but_the_one_for_a_log_that_is_not_there() {
    let site = Site::practice();
    let summary = site.unship(["apply", "1.3", "--yes", "--json"]).exits(0).summary();
    let lines = site.unship(["policy", "tighten", "1.3", "--json"]).exits(0).json();
    let unused: Vec<String> = lines
        .iter()
        .filter(|line| line["standing"] == "unused")
        .map(|line| format!("{} {}", line["unit"].as_str().expect("a unit"), line["power"].as_str().expect("a power")))
        .collect();
    // On this site the database is a directory with its log inside.
    assert_eq!(unused, ["backup-data files.set-aside = [\".duckdb.wal\"]"]);
    assert_eq!(lines.last().expect("a summary")["runs"][0], summary["run"]);
}

#[test]
fn what_tighten_cannot_do_it_says() {
    let read = "files.read = [\"data/a.txt\"]";
    let site = reader("", read, read);
    site.write("other.toml", READER);
    let other = site.at("other.toml");
    let tighten = |args: &[&str]| -> Ran { site.unship([&["policy", "tighten"][..], args].concat()) };
    let path = |path: &Path| path.to_str().expect("UTF-8").to_owned();
    let _ = tighten(&["1.1", "--manifest", &path(&other)])
        .exits(1)
        .says("is not the manifest that the bundle was packed with");
    let _ = tighten(&["1.1", "--manifest", &path(&site.at("none.toml"))]).exits(1).says("none.toml");
    let _ = tighten(&["1.1", "--runs", "0"]).exits(2);
    let _ = tighten(&["9.9"]).exits(1).says("has no policy");
    let _ = tighten(&[]).exits(2);
    fs::remove_file(site.at("bundles/story-1.1.wasm")).expect("removed");
    let _ = tighten(&["1.1"]).exits(1).says("story-1.1.wasm");
}
