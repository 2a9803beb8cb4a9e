//! `unship triggers test [FILE…]`: unit tests of rules.

use crate::{
    context::Context,
    error::{CliError, Result},
    exit::Exit,
    site::{Site, read_text},
    triggers::{folder, of, owner_text},
};
use std::path::PathBuf;
use unship_policy::{FileError, TriggerTests};
use unship_rollback::{
    neutralise,
    signal::Millis,
    trigger::{Answer, Mismatch, duration, unit_test},
};

/// Runs the unit tests of rules: those of the files, or of every policies/triggers/*.test.toml. A test says which series a
/// trigger is fed with, in promtool's notation, and when it fires, clears, or answers what.
///
/// Exit status: 0 all hold · 1 one does not, or a file is at fault.
#[derive(clap::Args)]
pub struct Args {
    /// Files of unit tests
    files: Vec<PathBuf>,
}

/// Runs the verb.
pub fn run(context: &Context, args: &Args) -> Result<Exit> {
    let site = context.site()?;
    let files = if args.files.is_empty() { own(&site)? } else { args.files.clone() };
    let out = context.out;
    let (mut count, mut failed) = (0u64, 0u64);
    for file in &files {
        let text = read_text(file)?;
        let at_fault = |e: FileError| CliError::in_file(file, &text, e);
        let tests = TriggerTests::parse(&text).map_err(at_fault)?;
        let rules = of(&site, tests.story.as_ref())?;
        let owner = owner_text(tests.story.as_ref());
        for test in &tests.tests {
            let rule = rules.iter().find(|rule| rule.name == test.trigger.as_str());
            let rule = rule.ok_or_else(|| {
                let known: Vec<&str> = rules.iter().map(|rule| rule.name.as_str()).collect();
                at_fault(FileError {
                    message: format!("{owner} has no trigger `{}`", test.trigger),
                    span: Some(test.trigger_span.clone()),
                    help: Some(format!(
                        "it has {}",
                        if known.is_empty() { "none".to_owned() } else { known.join(", ") }
                    )),
                })
            })?;
            let mismatches = unit_test(rule, test, &text).map_err(at_fault)?;
            count += 1;
            failed += u64::from(!mismatches.is_empty());
            let word = if mismatches.is_empty() { "ok" } else { "FAILED" };
            out.text(format!("{word:<6} {owner} {}: {}", rule.name, neutralise(&test.name)));
            for mismatch in &mismatches {
                let (at, expected, got) = said(mismatch);
                out.text(format!("       {at}: expected {expected}, got {got}"));
            }
            let mismatches: Vec<_> = mismatches
                .iter()
                .map(said)
                .map(|(at, expected, got)| serde_json::json!({ "at": at, "expected": expected, "got": got }))
                .collect();
            out.object(&serde_json::json!({
                "type": "test", "file": file, "story": tests.story.as_ref().map(|s| s.as_str()), "trigger": rule.name,
                "name": test.name, "holds": mismatches.is_empty(), "mismatches": mismatches,
            }));
        }
    }
    let files = files.len();
    out.text(format!("{count} tests in {files} files, {failed} failed"));
    out.summary(serde_json::json!({ "files": files, "tests": count, "failed": failed }));
    Ok(if failed == 0 { Exit::Done } else { Exit::User })
}

/// The site's own files of tests. That there is none is an error: nothing tested is nothing known.
fn own(site: &Site) -> Result<Vec<PathBuf>> {
    let dir = site.path.join("policies/triggers");
    let files: Vec<PathBuf> =
        folder(&dir)?.into_iter().filter(|name| name.ends_with(".test.toml")).map(|name| dir.join(name)).collect();
    if files.is_empty() {
        return Err(CliError::user(format!("there is no unit test: {} holds no *.test.toml", dir.display()))
            .hint("write one, such as policies/triggers/1.3.test.toml, or name a file"));
    }
    Ok(files)
}

/// Where, what was expected, what came.
fn said(mismatch: &Mismatch) -> (String, String, String) {
    let times = |what: &str, all: &[Millis]| match all {
        [] => format!("it never {what}"),
        all => format!("it {what} at {}", all.iter().map(|at| time(*at)).collect::<Vec<_>>().join(", ")),
    };
    match mismatch {
        Mismatch::Times { what, expected, got } => ((*what).to_owned(), times(what, expected), times(what, got)),
        Mismatch::Answer { at, expected, got } => {
            (format!("at {}", time(*at)), answer(*expected).to_owned(), answer(*got).to_owned())
        }
    }
}

fn answer(answer: Answer) -> &'static str {
    match answer {
        Answer::Ok => "ok",
        Answer::Breach => "breach",
        Answer::NoData => "no-data",
        Answer::Error => "error",
    }
}

/// A time since the beginning, as a test writes it.
fn time(at: Millis) -> String {
    if at.0 == 0 { "0".to_owned() } else { duration(at.0) }
}
