//! `unship doctor`: what this machine offers, what is missing for this site, and what soon will be.
//!
//! It is called when something is wrong, so each check stands alone: one that fails is a finding, and the others go on. The
//! checks ask the code that a run asks; here is only what is said of the answers.

mod machine;
mod outside;
mod policies;
mod record;
mod trust;

use crate::{
    context::Context,
    error::{CliError, Result},
    exit::Exit,
    out::Out,
    site::Site,
};
use serde::Serialize;
use std::path::Path;
use unship_store::SiteStore;

/// Says what this machine offers and what is missing for this site: the kernel's features, file systems and free space, the
/// clock, policies and bundles, the trust root and how old its keys are, the journals, runs that were cut off, what is kept
/// of before, secret files, programs, services, feeds, the daemon. Nothing is changed, and a site that is broken is looked
/// at as far as it can be.
///
/// Each finding is ok, a warning, a fault or unknown, the last three with what to do next. Exit status 0 without a fault, 7
/// where a journal is not intact, 1 for all other faults. It asks pm2 for its services; it runs nothing else.
#[derive(clap::Args)]
pub struct Args {}

/// How a finding is to be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
enum State {
    Ok,
    /// It works now, and will not always, or not all of it does.
    Warning,
    /// Something that is wanted here does not work.
    Fault,
    /// It could not be found out.
    Unknown,
}

impl State {
    const ALL: [State; 4] = [State::Ok, State::Warning, State::Fault, State::Unknown];

    fn mark(self) -> &'static str {
        match self {
            State::Ok => "ok",
            State::Warning => "WARNING",
            State::Fault => "FAULT",
            State::Unknown => "UNKNOWN",
        }
    }
}

/// What was found of one thing.
#[derive(Debug)]
struct Finding {
    /// Which check, such as `secret`: a closed set of words.
    check: &'static str,
    /// Of what; empty where there is one alone.
    of: String,
    state: State,
    said: String,
    next: Option<String>,
}

/// All that was found, in order.
#[derive(Debug, Default)]
struct Findings {
    all: Vec<Finding>,
    is_journal_damaged: bool,
}

impl Findings {
    fn add(&mut self, state: State, check: &'static str, of: &str, said: impl Into<String>, next: Option<&str>) {
        let next = next.map(str::to_owned);
        self.all.push(Finding { check, of: of.to_owned(), state, said: said.into(), next });
    }

    fn ok(&mut self, check: &'static str, of: &str, said: impl Into<String>) {
        self.add(State::Ok, check, of, said, None);
    }

    fn warning(&mut self, check: &'static str, of: &str, said: impl Into<String>, next: &str) {
        self.add(State::Warning, check, of, said, Some(next));
    }

    fn fault(&mut self, check: &'static str, of: &str, said: impl Into<String>, next: &str) {
        self.add(State::Fault, check, of, said, Some(next));
    }

    fn unknown(&mut self, check: &'static str, of: &str, said: impl Into<String>, next: &str) {
        self.add(State::Unknown, check, of, said, Some(next));
    }

    /// What a verb would fail with is a fault here; its hint is what to do, or `next` where it has none.
    fn failed(&mut self, check: &'static str, of: &str, error: &CliError, next: &str) {
        self.is_journal_damaged |= error.exit == Exit::Journal as u8;
        self.fault(check, of, error.in_short(), error.advice().unwrap_or(next));
    }

    fn count(&self, state: State) -> usize {
        self.all.iter().filter(|finding| finding.state == state).count()
    }

    fn exit(&self) -> Exit {
        match self.count(State::Fault) {
            0 => Exit::Done,
            _ if self.is_journal_damaged => Exit::Journal,
            _ => Exit::User,
        }
    }

    fn tell(&self, out: Out) {
        let title = |finding: &Finding| match finding.of.as_str() {
            "" => finding.check.to_owned(),
            of => format!("{} {of}", finding.check),
        };
        // What is longer moves its own line alone.
        let width = self.all.iter().map(|f| title(f).chars().count()).filter(|width| *width <= 32).max().unwrap_or(0);
        for finding in &self.all {
            out.text(format!("{:<7}  {:<width$}  {}", finding.state.mark(), title(finding), finding.said));
            if let Some(next) = &finding.next {
                out.text(format!("{:9}next: {next}", ""));
            }
            out.object(&serde_json::json!({
                "type": "finding", "check": finding.check, "of": finding.of, "state": finding.state, "said": finding.said,
                "next": finding.next,
            }));
        }
    }
}

/// Runs the verb.
pub fn run(context: &Context, _: &Args) -> Result<Exit> {
    let mut findings = Findings::default();
    machine::look(&mut findings);
    let path = Site::locate(context.site.as_deref());
    if let Err(e) = &path {
        findings.failed("site", "", e, "name the site by `--site DIR`");
    }
    // Where its policy is not there, the rest of it may be.
    let named = context.site.as_deref().and_then(|dir| dir.canonicalize().ok());
    if let Some(path) = path.ok().or(named) {
        look(&mut findings, &path);
    }
    findings.tell(context.out);
    let [ok, warnings, faults, unknown] = State::ALL.map(|state| findings.count(state));
    context.out.text(format!("{ok} ok, {warnings} warnings, {faults} faults, {unknown} unknown"));
    context.out.summary(serde_json::json!({ "ok": ok, "warnings": warnings, "faults": faults, "unknown": unknown }));
    Ok(findings.exit())
}

/// Everything of one site.
fn look(findings: &mut Findings, path: &Path) {
    let site = Site::find(Some(path));
    match &site {
        Ok(site) => findings.ok("policy", "site.toml", format!("site {:?} at {}", site.policy.name, path.display())),
        Err(e) => findings.failed(
            "policy",
            "site.toml",
            e,
            "put policies/site.toml right; `unship policy check` shows the place",
        ),
    }
    let site = site.ok();
    machine::look_at_file_systems(findings, path, site.as_ref());
    let store = SiteStore::open(path);
    let history = match &store {
        Ok(store) => {
            findings.ok("store", "", format!("{} is this user's alone", store.path().display()));
            record::look(findings, store, site.as_ref())
        }
        Err(e) => {
            let error = CliError::user("`.unship/` cannot be used").because(e);
            findings.fault(
                "store",
                "",
                error.in_short(),
                "what it says; a backup has it, or `unship init` completes a new site",
            );
            None
        }
    };
    let memory = history.as_ref().map(|history| history.memory().clone()).unwrap_or_default();
    machine::look_at_clock(findings, &memory);
    let trust = store.as_ref().ok().and_then(|store| trust::look(findings, path, store, &memory));
    if let Some(site) = &site {
        policies::look(findings, site, store.as_ref().ok(), trust.as_ref());
        outside::look(findings, site);
    }
    if let Ok(store) = &store {
        record::look_at_daemon(findings, store, site.as_ref());
    }
}
