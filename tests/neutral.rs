//! Whatever others wrote (titles, file names, guests' lines, reasons, arguments), no verb prints a character of it that a
//! terminal obeys or that nobody sees, none of it stands on a line of its own, and what was there can be told.

use crate::{
    approvals,
    support::{
        Ran, Site, last_run,
        stories::{self, Unit},
    },
};
use std::fs;

/// Orders to a terminal of both kinds, ends of lines, turned, hidden and piled-up characters.
const EVIL: &str = "evil\u{1b}[2J\u{1b}]0;owned\u{7}\u{9b}31m\u{8}\r\nFORGED: all is well\u{85}\u{2028}FORGED\u{202e}dlrow\u{2066}\u{200e}\
    \u{61c}\u{200b}\u{200d}\u{2060}\u{feff}\u{e0041}\u{7f}z\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}";
/// A name of a file that a script of `verbs` can say.
const EVIL_NAME: &str = "evil\u{1b}]0;owned\u{7}\u{9b}\u{202e}\u{200b}txt";
const STEP: Unit = (
    "step",
    "verbs",
    "files.read = [\"script\"]\nfiles.set-aside = [\"box/*\"]\nfiles.clear = [\"full\"]\nfiles.write = [\"box/*\"]\nfiles.create = [\"box/*\"]",
);
const LOOK: Unit = ("verification", "there", "files.read = [\"there\"]");

/// `text` as a string of TOML that holds no odd byte itself.
fn toml(text: &str) -> String {
    let chars = text.chars().map(|c| match c {
        ' '..='~' if !matches!(c, '"' | '\\') => c.to_string(),
        c => format!("\\U{:08x}", u32::from(c)),
    });
    format!("\"{}\"", chars.collect::<String>())
}

/// Story 1: every title of manifest and policy is hostile. It sets a file with a hostile name aside, clears a folder that
/// holds one, and says their names.
fn site() -> Site {
    let site = stories::site("");
    let manifest = stories::manifest("1", "", &[STEP, LOOK]);
    let manifest = manifest.replace("\"t\"", &toml(EVIL)).replace("\"about verbs\"", &toml(EVIL));
    // On a line of its own in the author's file.
    let manifest =
        manifest.replace("\"about there\"", "\"\"\"\nFORGED   tester, and the signature holds\u{202e}\"\"\"");
    stories::story(&site, "1", "", &[STEP, LOOK], "");
    let grants =
        site.read("policies/1.toml").split_once("[grants.").map(|(_, rest)| format!("[grants.{rest}")).expect("grants");
    let checklist = format!("[[checklist]]\nname = \"look\"\ntitle = {}\n", toml(EVIL));
    site.story("1", &crate::support::guest("hostile.wasm"), &manifest, &format!("{checklist}{grants}"));
    site.write("policies/1.toml", &site.read("policies/1.toml").replace("\"a test\"", &toml(EVIL)));
    site.write(&format!("box/{EVIL_NAME}"), "x");
    site.write(&format!("full/{EVIL_NAME}"), "x");
    site.write("script", &format!("set-aside box/{EVIL_NAME}\nwrite box/new{EVIL_NAME} x\nclear full\n"));
    site
}

fn obeyed_or_unseen(c: char) -> bool {
    (c.is_control() && c != '\n')
        || matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
}

/// Nothing in it acts, hides or forges.
#[track_caller]
fn harmless(ran: Ran) -> Ran {
    let ran = unheard(ran);
    for text in [&ran.stdout, &ran.stderr] {
        assert!(!text.lines().any(|line| line.starts_with("FORGED")), "{text}");
    }
    ran
}

/// Nothing in it acts or hides.
#[track_caller]
fn unheard(ran: Ran) -> Ran {
    for text in [&ran.stdout, &ran.stderr] {
        assert_eq!(text.chars().find(|c| obeyed_or_unseen(*c)), None, "{text:?}");
        assert!(!text.contains(&"\u{301}".repeat(5)), "{text:?}");
    }
    ran
}

/// Runs a verb for people and for programs: both harmless, both with what was there.
#[track_caller]
fn shows(site: &Site, status: i32, args: &[&str]) {
    let ran = harmless(site.unship(args).exits(status));
    let shown = format!("{}{}", ran.stdout, ran.stderr);
    assert!(shown.contains("evil\\x1b") && shown.contains("\\u{202e}"), "{shown}");
    let ran = harmless(site.unship([args, &["--json"]].concat()).exits(status));
    // A program gets the character itself, or what a provider or a record made of it.
    let values: String = ran.json().iter().map(strings).collect();
    assert!(values.contains('\u{202e}') || values.contains("\\u{202e}"), "{}", ran.stdout);
}

/// Every text in a value of JSON.
fn strings(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::String(text) => text.clone(),
        serde_json::Value::Array(all) => all.iter().map(strings).collect(),
        serde_json::Value::Object(all) => all.iter().map(|(key, value)| format!("{key}{}", strings(value))).collect(),
        _ => String::new(),
    }
}

#[test]
fn what_looks_shows_hostile_titles_and_names_as_escapes() {
    let site = site();
    let bundle = site.at("bundles/story-1.wasm");
    let bundle = bundle.to_str().expect("UTF-8");
    shows(&site, 0, &["stories"]);
    shows(&site, 0, &["policy", "explain", "1"]);
    shows(&site, 0, &["plan", "1"]);
    let _ = harmless(site.unship(["check", "1"]).exits(6));
    let _ = harmless(site.unship(["policy", "check"]).exits(0));
    // The manifest is the author's text: apart from our lines, and none of it is one.
    let inspected = harmless(site.unship(["inspect", bundle]).exits(0))
        .prints(": evil\\x1b[2J\\x1b]0;owned\\x07\\u{9b}31m\\x08\\r\\nFORGED");
    let _ = inspected.prints("  | FORGED   tester, and the signature holds\\u{202e}");
    let _ = harmless(site.unship(["inspect", bundle, "--json"]).exits(0));
}

#[test]
fn markdown_of_hostile_texts_stays_what_it_is() {
    let site = site();
    // A title is a paragraph of its own there.
    let plan = unheard(site.unship(["plan", "1", "--markdown"]).exits(0));
    let plan = plan.prints("# Taking back story 1: evil\\x1b\\[2J\\x1b]0;owned\\x07").prints("box/evil\\x1b]0;owned");
    let fences = plan.stdout.lines().filter(|line| line.trim() == "```").count();
    assert_eq!(fences, plan.stdout.lines().filter(|line| line.trim() == "```sh").count(), "{}", plan.stdout);
}

#[test]
fn a_run_shows_hostile_names_lines_and_titles_as_escapes() {
    let site = site();
    let ran = harmless(site.unship(["apply", "1", "--yes"]).exits(6))
        .prints("evil\\x1b")
        .says("evil\\x1b]0;owned\\x07\\u{9b}\\u{202e}");
    let _ = ran.says("\\u{202e}");
    let run = last_run(&site);
    shows(&site, 0, &["show", &run]);
    shows(&site, 0, &["journal", "show"]);
    let exported = harmless(site.unship(["journal", "export"]).exits(0));
    assert!(exported.json().iter().any(|line| strings(line).contains(EVIL)), "the title is there, as it was");
    let _ = harmless(site.unship(["runs"]).exits(0));
    let _ = harmless(site.unship(["tick", &run, "look", "--by", EVIL]).exits(0)).prints("ticked by evil\\x1b");
    let _ = harmless(site.unship(["undo", &run]).exits(0));
    let _ = harmless(site.unship(["gc", "--older-than", "1ms"]).exits(0));
    assert!(site.at(&format!("box/{EVIL_NAME}")).exists(), "it came back by its name");
}

#[test]
fn a_failure_shows_what_a_guest_said_as_escapes() {
    let site = site();
    site.write("script", &format!("no-such-verb-{EVIL_NAME}\n"));
    shows(&site, 3, &["plan", "1"]);
    shows(&site, 3, &["apply", "1", "--yes"]);
    shows(&site, 0, &["journal", "show"]);
}

#[test]
fn errors_show_what_they_quote_as_escapes() {
    let site = site();
    // The line of a file that is at fault, with what is at fault underlined.
    site.write("policies/2.toml", "[story]\n\"evil\\u001b\u{202e}\tx\u{200b}\" = \"\u{2066}\" # \u{1f600}\n");
    let error = harmless(site.unship(["plan", "2"]).exits(1)).says("2 | \"evil\\u001b\\u{202e}\\tx\\u{200b}\" = ");
    let underlined =
        error.stderr.lines().find(|line| line.ends_with('^')).expect("a place").trim_start_matches(['|', ' ']);
    assert_eq!(underlined.len(), "\"evil\\u001b\\u{202e}\\tx\\u{200b}\"".len(), "{}", error.stderr);
    let _ = harmless(site.unship(["policy", "check"]).exits(1)).prints("\\u{202e}");
    let _ = harmless(site.unship(["plan", "2", "--json"]).exits(1));
    // Arguments: a story, a file, a site, a word that is none of ours.
    let _ = harmless(site.unship(["plan", EVIL]).exits(1)).says("\\u{202e}");
    let _ = harmless(site.unship(["inspect", EVIL]).exits(1)).says("evil\\x1b");
    let _ = harmless(site.unship(["show", EVIL]).exits(1)).says("\\u{202e}");
    let _ = harmless(site.unship(["plan", "1", EVIL_NAME]).exits(2)).says("evil\\u{9b}\\u{202e}");
    // A bundle by such a name, which is none.
    site.write(&format!("bundles/{EVIL_NAME}"), "no bundle");
    let file = site.at(&format!("bundles/{EVIL_NAME}"));
    let _ = harmless(site.unship(["inspect", file.to_str().expect("UTF-8")]).exits(3)).says("evil\\x1b]0;owned\\x07");
}

#[test]
fn diagnostics_show_what_they_quote_as_escapes() {
    let site = site();
    // Precompiled code that this site did not make is told, by a name that anybody may have given it.
    let _ = site.unship(["plan", "1"]).exits(0);
    for entry in fs::read_dir(site.at(".unship/code")).expect("the cache") {
        fs::write(entry.expect("an entry").path(), EVIL).expect("written");
    }
    let ran = harmless(Ran::of(site.command(["plan", "1"]).env("UNSHIP_LOG", "trace")).exits(0));
    assert!(!ran.stderr.is_empty());
}

#[test]
fn an_approvals_reason_is_shown_as_escapes() {
    let site = approvals::site(approvals::OPEN);
    let keys = approvals::approvers(&site);
    let digest = approvals::digest(&site);
    let file = site.outside().join("approval");
    let approve = |reason: &str| {
        let mut command =
            site.command(["approve", &digest, "--story", "1", "--variant", "expose", "--json", "--reason", reason]);
        harmless(Ran::of(command.arg("--key").arg(&keys[0]).arg("-o").arg(&file)))
    };
    // One that begins a line or gives orders is no reason at all.
    let _ = approve(EVIL).exits(1).says("a reason has");
    let turned = approve("to\u{202e}night").exits(0);
    assert_eq!(turned.summary()["reason"], "to\u{202e}night");
}
