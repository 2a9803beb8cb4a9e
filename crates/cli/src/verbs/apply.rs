//! `unship apply STORY`: prints the plan, asks, does it, verifies.

use super::plan;
use crate::{
    context::Context,
    error::{CliError, Result},
    exit::Exit,
    history::{History, not_intact},
    out::Out,
    plans,
    site::Site,
    wiring::{StoreImages, StoreJournal, SystemClock, free_bytes},
};
use std::{
    io::{BufRead as _, IsTerminal as _, Write as _},
    sync::Arc,
};
use unship_host::{
    gate::Images,
    runner::{LinkedStory, LiveRunner, PlanError, Setting},
};
use unship_policy::Digest;
use unship_rollback::{
    Clock as _, Durability, Effect, Event, JournalFailure, Outcome, Plan, Record, Recorder, RunId, RunState, Verdict,
    execute,
};
use unship_store::{Journal, LockError, SiteStore, SpaceLimit};

/// Bytes that must be free beside what the plan writes: journal, images' headers, directories.
const FREE_BYTES_MIN: u64 = 4 << 20;

/// Takes a story back: prints the plan, asks, does it, verifies. What the plan does not name is not done.
///
/// Exit status: 0 Succeeded and Recovered (also when it was taken back already) · 3 refused · 5 stuck, with the list of
/// what was applied · 6 applied but not recovered, or unknown.
#[derive(clap::Args)]
pub struct Args {
    /// The story's id, such as 1.3
    story: String,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// Refuse unless the plan has this digest
    #[arg(long, value_name = "DIGEST")]
    expect: Option<String>,
}

/// Runs the verb.
pub fn run(context: &Context, args: &Args) -> Result<Exit> {
    let expect = args.expect.as_deref().map(expected_digest).transpose()?;
    let site = context.site()?;
    let store = site.store()?;
    let _lock = store.try_lock().map_err(|e| match e {
        LockError::Locked { .. } => CliError::refused("another run is at work on this site").because(&e),
        LockError::Io(_) => CliError::user("the site cannot be locked").because(&e),
    })?;
    let mut history = History::default();
    let mut wrong = None;
    let journal = store.journal(&mut |record| {
        if wrong.is_none() {
            let parsed = serde_json::from_slice::<Record>(record.json).map_err(|e| e.to_string());
            wrong = parsed.and_then(|r| history.take(&r)).err().map(|why| (record.seq, why));
        }
    });
    let journal = Arc::new(journal.map_err(|e| not_intact(&e))?);
    if let Some((seq, why)) = wrong {
        return Err(CliError::new(
            Exit::Journal,
            format!("the journal is not intact: record {seq} cannot stand there"),
        )
        .cause(why));
    }
    give_up_dead_runs(context.out, &history, &journal)?;
    let story = plan::load(&site, &store, &args.story)?;
    let clock_ms = SystemClock.now_ms();
    let apply =
        Apply { context, run: plan::run_id(clock_ms)?, site: &site, store: &store, journal, story: &story, clock_ms };
    let plan = apply.plan(&args.story)?;
    plan::show(context.out, &plan, &story);
    apply.expect(&plan, expect)?;
    apply.demand_space(&plan)?;
    if !args.yes && !plan.already {
        apply.ask(&plan)?;
    }
    apply.execute(&plan)
}

fn expected_digest(text: &str) -> Result<Digest> {
    Digest::parse(text).ok_or_else(|| {
        CliError::user(format!("{text:?} is not a plan's digest"))
            .hint("`unship plan` prints it: `sha256:` and 64 digits")
    })
}

/// A run whose process died is closed as `Stuck`, once, with the list of what it applied; nothing else runs meanwhile.
fn give_up_dead_runs(out: Out, history: &History, journal: &Arc<Journal>) -> Result<()> {
    let mut dead = None;
    for state in history.in_flight() {
        let Some(run) = state.run() else { continue };
        let reason = "its process ended before the run did".to_owned();
        let record = Record { at_ms: SystemClock.now_ms(), run: run.clone(), what: Event::RunAbandoned { reason } };
        let mut port = StoreJournal(journal.clone());
        unship_rollback::JournalStore::append(&mut port, &[record], Durability::Flushed)
            .map_err(|e| cannot_write(&e))?;
        list_applied(out, state);
        dead = Some(run.clone());
    }
    match dead {
        None => Ok(()),
        Some(run) => {
            Err(CliError::new(Exit::Stuck, format!("run {run} was cut off in the middle; it is now closed as Stuck"))
                .hint(format!("look at `unship show {run}`, put right what must be, then apply again")))
        }
    }
}

struct Apply<'a> {
    context: &'a Context,
    run: RunId,
    site: &'a Site,
    store: &'a SiteStore,
    journal: Arc<Journal>,
    story: &'a LinkedStory,
    clock_ms: u64,
}

impl Apply<'_> {
    fn recorder(&self) -> Recorder {
        let out = self.context.out;
        let journal = Box::new(StoreJournal(self.journal.clone()));
        Recorder::new(self.run.clone(), journal, Box::new(SystemClock), Box::new(move |record| progress(out, record)))
    }

    /// Ends in a refusal that stands in the journal.
    fn refuse(&self, error: CliError, reason: &str, denials: Vec<String>) -> CliError {
        let story = self.story.resolved().bundle.manifest().story.to_string();
        let refused = Event::RunRefused { story: story.clone(), reason: reason.to_owned(), denials };
        let recorded = self.recorder().record(refused, Durability::Flushed);
        let error = error.summary(self.summary(None, Outcome::Refused, None, &story));
        match recorded {
            Ok(()) => error,
            Err(failure) => error.cause(format!("and the refusal is not in the journal: {failure}")),
        }
    }

    fn summary(
        &self,
        digest: Option<Digest>,
        outcome: Outcome,
        verdict: Option<Verdict>,
        story: &str,
    ) -> serde_json::Value {
        serde_json::json!({
            "story": story, "run": self.run, "plan_digest": digest, "outcome": outcome, "verdict": verdict,
            "flushes": self.journal.flushes(),
        })
    }

    fn plan(&self, story: &str) -> Result<Plan> {
        plan::make(self.site, self.story, &self.run, self.clock_ms).map_err(|e| {
            let denials = match &e {
                PlanError::Unit { denied, .. } => denied.iter().map(ToString::to_string).collect(),
                PlanError::World(_) => Vec::new(),
            };
            self.refuse(plan::refusal(story, &e), &e.to_string(), denials)
        })
    }

    fn expect(&self, plan: &Plan, expected: Option<Digest>) -> Result<()> {
        let Some(expected) = expected.filter(|expected| *expected != plan.digest()) else { return Ok(()) };
        let mut error = CliError::refused(format!("the plan is not the expected one ({expected})"))
            .hint("look at the plan above; if it is right, expect its digest");
        match plans::find(&expected) {
            Some(old) => {
                for line in old.difference(plan) {
                    error = error.cause(line);
                }
            }
            None => error = error.cause("the expected plan was not made here, so the difference is not known"),
        }
        let reason = format!("expected the plan {expected}, found {}", plan.digest());
        Err(self.refuse(error, &reason, Vec::new()))
    }

    fn demand_space(&self, plan: &Plan) -> Result<()> {
        let content = |effect: &Effect| match effect {
            Effect::FileCreated { content, .. } | Effect::FileWritten { content, .. } => {
                content.as_ref().map_or(0, |c| c.size)
            }
            Effect::FileReplaced { content, .. } => content.size,
            _ => 0,
        };
        let needed = plan.effects().map(|(_, e)| content(e)).fold(FREE_BYTES_MIN, u64::saturating_add);
        let free = free_bytes(&self.site.path).map_err(|e| CliError::user("free space is not known").because(&e))?;
        if free >= needed {
            return Ok(());
        }
        let reason = format!("the disk is full: {free} bytes are free, the run needs {needed}");
        Err(self.refuse(
            CliError::refused(reason.clone()).hint("make room, then apply again; nothing was changed"),
            &reason,
            Vec::new(),
        ))
    }

    fn ask(&self, plan: &Plan) -> Result<()> {
        if !std::io::stdin().is_terminal() {
            let error = CliError::refused("nobody is there to say yes: standard input is not a terminal")
                .hint("look at the plan, then give --yes");
            return Err(self.refuse(error, "not confirmed: no terminal", Vec::new()));
        }
        let mut stderr = std::io::stderr();
        let _ = write!(stderr, "Take back story {}? [y/N] ", plan.story).and_then(|()| stderr.flush());
        let mut answer = String::new();
        let read = std::io::stdin().lock().read_line(&mut answer);
        if read.is_ok() && matches!(answer.trim(), "y" | "Y" | "yes") {
            return Ok(());
        }
        Err(self.refuse(CliError::refused("not confirmed; nothing was changed"), "not confirmed", Vec::new()))
    }

    fn execute(&self, plan: &Plan) -> Result<Exit> {
        let recorder = self.recorder();
        let setting = Setting { site: &self.site.path, run: self.run.as_str(), clock_ms: self.clock_ms };
        let limit = Arc::new(SpaceLimit::new(self.story.resolved().limits.images_bytes_max, 0));
        let images = Box::new(|| match StoreImages::open(self.store, &self.run, limit.clone()) {
            Ok(images) => Box::new(images) as Box<dyn Images>,
            Err(why) => Box::new(NoImages(why)),
        });
        let mut runner = LiveRunner::new(self.story, setting, recorder.clone(), images)
            .map_err(|e| CliError::user("the site's folders cannot be used").because(&e))?;
        let report = execute(plan, &who(), &mut runner, &recorder).map_err(|e| {
            list_applied(self.context.out, &recorder.state());
            let summary = self.summary(Some(plan.digest()), Outcome::Stuck, None, &plan.story);
            let error = cannot_write(&e).summary(summary);
            if recorder.state().applied().is_empty() { error } else { error.exit(Exit::Stuck as u8) }
        })?;
        let Some((outcome, verdict, reason)) = report.state.ended().cloned() else {
            return Err(CliError::new(Exit::Stuck, "the run did not end"));
        };
        if outcome == Outcome::Stuck {
            list_applied(self.context.out, &report.state);
        }
        let mut line = format!("{outcome}{}", verdict.map_or_else(String::new, |v| format!(", {v}")));
        if let Some(reason) = &reason {
            line.push_str(&format!(": {reason}"));
        }
        self.context.out.text(format!(
            "{line} (run {}, {} effects, {} journal flushes)",
            self.run,
            report.state.applied().len(),
            self.journal.flushes()
        ));
        let mut summary = self.summary(Some(plan.digest()), outcome, verdict, &plan.story);
        summary["effects"] = report.state.applied().len().into();
        summary["reason"] = reason.into();
        self.context.out.summary(summary);
        Ok(match (outcome, verdict) {
            (Outcome::Succeeded, Some(Verdict::Recovered)) => Exit::Done,
            (Outcome::Succeeded, _) => Exit::NotRecovered,
            (Outcome::Refused, _) => Exit::Refused,
            (Outcome::Stuck | Outcome::Undone, _) => Exit::Stuck,
        })
    }
}

/// Who started the run, for the journal.
fn who() -> String {
    let uid = rustix::process::getuid().as_raw();
    let name = std::env::var("SUDO_USER").or_else(|_| std::env::var("USER")).unwrap_or_default();
    let name = unship_rollback::neutralise(&name);
    if name.is_empty() { format!("uid {uid}") } else { format!("{name} (uid {uid})") }
}

fn cannot_write(e: &JournalFailure) -> CliError {
    CliError::user("the journal cannot be written, so nothing more is done")
        .because(e)
        .hint("see the disk of `.unship/`")
}

/// The exact list of what was applied, newest first, with where its before-images lie.
fn list_applied(out: Out, state: &RunState) {
    let Some(run) = state.run() else { return };
    out.text(format!("Run {run} applied, newest first:"));
    if state.applied().is_empty() {
        out.text("  nothing");
    }
    for applied in state.applied().iter().rev() {
        let image = match &applied.image {
            None => String::new(),
            Some(unship_rollback::Image::Trash { at }) => format!("  (before: .unship/{at})"),
            Some(unship_rollback::Image::Ranges { at }) => format!("  (overwritten ranges: .unship/{at})"),
            Some(unship_rollback::Image::Value { was }) => format!("  (before: {was})"),
        };
        out.text(format!("  {}: {}{image}", applied.unit, applied.effect));
        out.object(&serde_json::json!({ "type": "applied", "unit": applied.unit, "effect": applied.effect, "image": applied.image }));
    }
}

/// Live progress on standard error; every record as it is written under `--json`.
fn progress(out: Out, record: &Record) {
    out.object(&serde_json::json!({ "type": "record", "record": record }));
    if out.json {
        return;
    }
    match &record.what {
        Event::RunStarted { .. } => out.note(format!("run {} begins", record.run)),
        Event::UnitStarted { unit } => out.note(format!("  {unit} …")),
        Event::EffectApplied { effect, .. } => out.note(format!("    {effect}")),
        Event::LineLogged { line, .. } => out.note(format!("    | {}", line.text)),
        Event::AccessDenied { what, rule, .. } => out.note(format!("    denied: {what}: {rule}")),
        Event::UnitSucceeded { unit } => out.note(format!("  {unit} done")),
        Event::UnitFailed { unit, reason, .. } => out.note(format!("  {unit} FAILED: {reason}")),
        Event::RunRefused { .. } | Event::AccessSummed { .. } | Event::RunEnded { .. } | Event::RunAbandoned { .. } => {
        }
    }
}

/// Stands where before-images cannot be kept: whatever needs one is not done.
struct NoImages(String);

impl Images for NoImages {
    fn trash(
        &mut self,
        _: u64,
        _: rustix::fd::BorrowedFd<'_>,
    ) -> std::result::Result<unship_host::tree::TrashSlot, String> {
        Err(self.0.clone())
    }

    fn ranges(
        &mut self,
        _: u64,
        _: &std::fs::File,
    ) -> std::result::Result<Box<dyn unship_host::gate::RangeImage>, String> {
        Err(self.0.clone())
    }

    fn flush(&mut self) -> std::result::Result<(), String> {
        Ok(())
    }
}
