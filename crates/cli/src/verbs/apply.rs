//! `unship apply STORY`: prints the plan, asks, does it, verifies.

use super::plan;
use crate::{
    consent,
    context::Context,
    error::{CliError, Result},
    exit::Exit,
    inject::Fault,
    needs::Conditions,
    permit::{Given, Permitted},
    plans,
    session::Session,
    trust,
    wiring::{SystemClock, free_bytes},
};
use std::{
    io::{BufRead as _, IsTerminal as _},
    path::PathBuf,
};
use unship_host::runner::{LinkedStory, PlanError};
use unship_policy::{Digest, StoryPolicy};
use unship_rollback::{Clock as _, Crew, Durability, Effect, Event, Outcome, Plan, Recorder, RunId, RunState, execute};

/// Bytes that must be free beside what the plan writes: journal, images' headers, directories, marks.
const FREE_BYTES_MIN: u64 = 4 << 20;

/// Takes a story back: prints the plan, asks, does it, verifies. What the plan does not name is not done.
///
/// When a step fails, what the run made is taken back, newest first. SIGINT and SIGTERM do the same once the effect in hand
/// is finished; a second one ends at once, and `resume` goes on from there.
///
/// Exit status: 0 Succeeded and Recovered (also when it was taken back already) · 3 refused · 4 failed and undone · 5 stuck,
/// with the list of what is and is not restored · 6 applied but not recovered, or unknown.
#[derive(clap::Args)]
pub struct Args {
    /// The story's id, such as 1.3
    story: String,
    /// A variant of the story, as `unship inspect` lists them
    #[arg(long, value_name = "NAME")]
    variant: Option<String>,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// Refuse unless the plan has this digest
    #[arg(long, value_name = "DIGEST")]
    expect: Option<String>,
    /// An approval of the plan, as `unship approve` makes it; once for each
    #[arg(long, value_name = "FILE")]
    approval: Vec<PathBuf>,
    /// Accept that the trust root, a key or a signature has expired, for this reason. Takes as many approvals of different people
    /// (`unship approve --break-glass`) as the trust root says, and stands in the journal as what it is. Never accepts a
    /// wrong or missing signature, or a revoked one
    #[arg(long, value_name = "REASON")]
    break_glass: Option<String>,
    /// The run's id, for whoever must know it before it begins
    #[arg(long, value_name = "RUN", hide = true)]
    run_id: Option<String>,
    /// On a rehearsal site: fail@STEP, kill@RECORD[.BOUNDARY], undo-fail@STEP/N or repeat@STEP
    #[arg(long, value_name = "FAULT")]
    inject: Vec<Fault>,
}

/// Runs the verb.
pub fn run(context: &Context, args: &Args) -> Result<Exit> {
    let expect = args.expect.as_deref().map(expected_digest).transpose()?;
    let mut session = Session::open(context, &args.inject)?;
    session.demand_nothing_in_flight()?;
    session.site.accept_expired = args.break_glass.is_some();
    let policy = session.site.story(&crate::site::story_id(&args.story)?)?;
    trust::warn(context.out, session.site.trust()?);
    let conditions = Conditions::look(&session.site, &policy, &session.history)?;
    let story = plan::load(&session.site, &session.store, &args.story, args.variant.as_deref())?;
    let clock_ms = SystemClock.now_ms();
    let run = match &args.run_id {
        Some(id) => given_id(&session, id)?,
        None => fresh_id(&session, clock_ms)?,
    };
    let apply = Apply { run, session: &session, story: &story, policy: &policy, clock_ms };
    apply.demand_needs(&conditions)?;
    let plan = apply.plan(&args.story)?;
    plan::show(context.out, &plan, &story, &conditions);
    session.faults.fit(&plan)?;
    apply.expect(&plan, expect)?;
    let given = Given { approvals: &args.approval, break_glass: args.break_glass.as_deref() };
    let permitted = apply.permit(&plan, given)?;
    apply.demand_space(&plan)?;
    if !args.yes && !plan.already {
        apply.ask(&plan)?;
    }
    apply.execute(&permitted)
}

/// An id that no run of the journal has: its random part alone leaves a chance.
fn fresh_id(session: &Session, clock_ms: u64) -> Result<RunId> {
    loop {
        let id = plan::run_id(clock_ms)?;
        if session.history.run(id.as_str()).is_err() {
            return Ok(id);
        }
    }
}

/// An id that was chosen before, which no run may have yet.
fn given_id(session: &Session, text: &str) -> Result<RunId> {
    let id = RunId::new(text).ok_or_else(|| CliError::user(format!("{text:?} is not a run's id")))?;
    match session.history.run(text) {
        Ok(_) => Err(CliError::refused(format!("there was a run {id} already"))),
        Err(_) => Ok(id),
    }
}

fn expected_digest(text: &str) -> Result<Digest> {
    Digest::parse(text).ok_or_else(|| {
        CliError::user(format!("{text:?} is not a plan's digest"))
            .hint("`unship plan` prints it: `sha256:` and 64 digits")
    })
}

struct Apply<'a> {
    run: RunId,
    session: &'a Session,
    story: &'a LinkedStory,
    policy: &'a StoryPolicy,
    clock_ms: u64,
}

impl Apply<'_> {
    /// Ends in a refusal that stands in the journal.
    fn refuse(&self, error: CliError, reason: &str, denials: Vec<String>) -> CliError {
        let story = self.story.resolved().bundle.manifest().story.to_string();
        let refused = Event::RunRefused { story: story.clone(), reason: reason.to_owned(), denials };
        let recorded = self.session.recorder(&self.run, RunState::default()).record(refused, Durability::Flushed);
        let error = error.summary(self.session.summary(&self.run, None, Outcome::Refused, None, &story));
        match recorded {
            Ok(()) => error,
            Err(failure) => error.cause(format!("and the refusal is not in the journal: {failure}")),
        }
    }

    /// Before planning: what is to be taken back first may be what a step would meet.
    fn demand_needs(&self, conditions: &Conditions) -> Result<()> {
        let unmet = conditions.unmet();
        if unmet.is_empty() {
            return Ok(());
        }
        let ids: Vec<&str> = unmet.iter().map(|need| need.story.as_str()).collect();
        let mut error = CliError::refused(format!("other stories must be taken back first: {}", ids.join(", ")));
        for need in &unmet {
            error = error.cause(format!("story {} is {}", need.story, need.words()));
        }
        let hint = format!("nothing was changed; `unship apply {}` first, or take it back by hand", ids[0]);
        let reason = format!("needs first: {}", ids.join(", "));
        Err(self.refuse(error.hint(hint), &reason, Vec::new()))
    }

    fn plan(&self, story: &str) -> Result<Plan> {
        plan::make(&self.session.site, self.story, &self.run, self.clock_ms).map_err(|e| {
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

    /// On every file system that the plan writes to: what is set aside or cleared costs nothing, what is written does.
    fn demand_space(&self, plan: &Plan) -> Result<()> {
        let site = &self.session.site.path;
        for (name, folder) in &self.story.resolved().definitions.folders {
            let lies_here = |path: &str| path.split_once(':').map_or("site", |(folder, _)| folder) == name;
            let content = |effect: &Effect| match effect {
                Effect::FileCreated { path, content: Some(content) }
                | Effect::FileWritten { path, content: Some(content) }
                    if lies_here(path) =>
                {
                    content.size
                }
                Effect::FileReplaced { path, content, .. } if lies_here(path) => content.size,
                _ => 0,
            };
            let writes: u64 = plan.effects().map(|(_, e)| content(e)).fold(0, u64::saturating_add);
            // The journal and the marks are the site's.
            let needed = if name == "site" { writes.saturating_add(FREE_BYTES_MIN) } else { writes };
            let free =
                free_bytes(&site.join(folder)).map_err(|e| CliError::user("free space is not known").because(&e))?;
            if free < needed {
                let reason =
                    format!("the disk of the folder {name:?} is full: {free} bytes are free, the run needs {needed}");
                return Err(self.refuse(
                    CliError::refused(reason.clone()).hint("make room, then apply again; nothing was changed"),
                    &reason,
                    Vec::new(),
                ));
            }
        }
        Ok(())
    }

    fn ask(&self, plan: &Plan) -> Result<()> {
        if !std::io::stdin().is_terminal() {
            let error = CliError::refused("nobody is there to say yes: standard input is not a terminal")
                .hint("look at the plan, then give --yes");
            return Err(self.refuse(error, "not confirmed: no terminal", Vec::new()));
        }
        let variant = plan.variant.as_ref().map_or_else(String::new, |variant| format!(", variant {variant}"));
        self.session.out.ask(&format!("Take back story {}{variant}? [y/N] ", plan.story));
        let mut answer = String::new();
        let read = std::io::stdin().lock().read_line(&mut answer);
        if read.is_ok() && matches!(answer.trim(), "y" | "Y" | "yes") {
            return Ok(());
        }
        Err(self.refuse(CliError::refused("not confirmed; nothing was changed"), "not confirmed", Vec::new()))
    }

    /// Whether it may be carried out, which it may not when it takes approval and has none.
    fn permit<'p>(&self, plan: &'p Plan, given: Given<'_>) -> Result<Permitted<'p>> {
        let consented = consent::of(&self.session.site, self.policy, &self.story.resolved().bundle);
        let permitted =
            consented.and_then(|allowed| Permitted::new(plan, &allowed, &self.session.site, given, self.clock_ms));
        permitted.map_err(|error| {
            let reason = error.message().to_owned();
            self.refuse(error, &reason, Vec::new())
        })
    }

    fn execute(&self, permitted: &Permitted<'_>) -> Result<Exit> {
        let go =
            |recorder: &Recorder, crew: Crew<'_>| execute(permitted.plan(), permitted.permission(), recorder, crew);
        self.session.go_forward(&self.run, permitted, RunState::default(), self.story, go)
    }
}
