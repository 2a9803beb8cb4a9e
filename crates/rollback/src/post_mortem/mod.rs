//! What is told after a rollback: a run's records, and what the daemon wrote down of the harm that it was for, as the draft of its
//! post-mortem. Nothing is guessed; what nobody wrote down is said to be unknown.

mod calendar;
mod incident;
mod markdown;

pub use calendar::calendar;
pub use incident::{Cause, IncidentMaterial, IncidentTold, NoticeTold, charts};
pub use markdown::markdown;

use crate::{Event, Outcome, Record, RunState, Standing, Undo, UnitRole, Verdict};
use serde::Serialize;
use unship_policy::{ACTIONS, Digest, PostMortemPolicy};

/// What a post-mortem is made of.
#[derive(Debug, Clone, Copy)]
pub struct Material<'a> {
    /// The site's name.
    pub site: &'a str,
    /// The run.
    pub run: &'a RunState,
    /// Its records, in order.
    pub records: &'a [Record],
    /// The incident that it was for, where the daemon began it.
    pub incident: Option<IncidentMaterial<'a>>,
    /// What changed in files, by the effect's name (`step/n`), as far as that is known and may be shown.
    pub changes: &'a [(String, Change)],
    /// Charts of the trigger's series, by the files that they are in, relative to the post-mortem's.
    pub charts: &'a [String],
    /// Owners, and when it is due.
    pub policy: &'a PostMortemPolicy,
}

/// What became of a file's content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// As a unified diff, from before the run to now.
    Diff(String),
    /// Why no difference is shown.
    NotShown(String),
}

/// One moment of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Moment {
    /// Milliseconds since the epoch, by the host's clock.
    pub at_ms: u64,
    /// What happened.
    pub what: String,
}

/// One effect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Told {
    /// `step/n`.
    pub name: String,
    /// What was done.
    pub what: String,
    /// `made`, `taken back`, or why it stays.
    pub standing: String,
    /// How it can be taken back.
    pub undo: String,
    /// What became of the content.
    pub change: Option<Change>,
}

/// A verification, with what it said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verified {
    /// Its name.
    pub name: String,
    /// `holds`, `FAILS` or `unknown`; `did not run`.
    pub result: &'static str,
    /// Why not.
    pub reason: Option<String>,
    /// The lines that it logged.
    pub evidence: Vec<String>,
}

/// Something to be done, with its owner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Todo {
    /// Its name.
    pub name: &'static str,
    /// What is to be done.
    pub title: &'static str,
    /// At once.
    pub immediate: bool,
    /// Who; `None`: nobody is named.
    pub owner: Option<String>,
    /// Until when, in milliseconds since the epoch; `None`: no date follows from anything.
    pub due_ms: Option<u64>,
}

/// An item of the checklist.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Item {
    /// What is to be looked at.
    pub title: String,
    /// Who looked, and when.
    pub ticked: Option<(String, u64)>,
}

/// A run's post-mortem.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PostMortem {
    /// Version of this form.
    pub format: u32,
    /// The site's name.
    pub site: String,
    /// The run's id.
    pub run: String,
    /// The story.
    pub story: String,
    /// Its title; `None` for a run that was refused before it was planned.
    pub title: Option<String>,
    /// The variant of its rollback.
    pub variant: Option<String>,
    /// The plan's digest.
    pub plan: Option<Digest>,
    /// Who began it.
    pub by: Option<String>,
    /// When it began.
    pub began_ms: u64,
    /// When it ended; `None`: it was cut off and did not.
    pub ended_ms: Option<u64>,
    /// How.
    pub outcome: Option<Outcome>,
    /// What the verifications say.
    pub verdict: Option<Verdict>,
    /// Why.
    pub reason: Option<String>,
    /// Who signed, and what had expired.
    pub trust: Vec<String>,
    /// Who approved of what.
    pub approvals: Vec<String>,
    /// The harm that it was for, where the daemon began it.
    pub incident: Option<IncidentTold>,
    /// Charts of what set it off.
    pub charts: Vec<String>,
    /// What happened, in order.
    pub timeline: Vec<Moment>,
    /// What was changed.
    pub effects: Vec<Told>,
    /// What says that it is well again.
    pub verifications: Vec<Verified>,
    /// What is not as before though it was taken back, or cannot be taken back.
    pub not_restored: Vec<String>,
    /// What a person looks at.
    pub checklist: Vec<Item>,
    /// What comes after.
    pub actions: Vec<Todo>,
    /// What nobody wrote down.
    pub unknown: Vec<String>,
}

/// When the post-mortem of a run that ended then is due, in milliseconds since the epoch.
pub fn due(ended_ms: u64, policy: &PostMortemPolicy) -> u64 {
    ended_ms.saturating_add(u64::try_from(policy.due.as_millis()).unwrap_or(u64::MAX))
}

impl PostMortem {
    /// The present version of the form.
    pub const FORMAT: u32 = 1;

    /// Puts it together.
    pub fn of(material: Material<'_>) -> PostMortem {
        let Material { site, run, records, incident, changes, charts, policy } = material;
        let told = incident.map(IncidentTold::of);
        let plan = run.plan();
        let ended = run.ended();
        let ended_ms = ended.map(|_| run.ended_ms());
        let by = records.iter().find_map(|record| match &record.what {
            Event::RunStarted { by, .. } => Some(by.clone()),
            _ => None,
        });
        PostMortem {
            format: PostMortem::FORMAT,
            site: site.to_owned(),
            run: run.run().map_or_else(String::new, ToString::to_string),
            story: run.story().to_owned(),
            title: plan.map(|plan| plan.title.clone()),
            variant: plan.and_then(|plan| plan.variant.clone()),
            plan: plan.map(crate::Plan::digest),
            by,
            began_ms: run.started_ms(),
            ended_ms,
            outcome: ended.map(|(outcome, ..)| *outcome),
            verdict: ended.and_then(|(_, verdict, _)| *verdict),
            reason: ended.and_then(|(.., reason)| reason.clone()),
            trust: trust(run),
            approvals: approvals(run),
            charts: charts.to_vec(),
            timeline: timeline(records, incident),
            effects: effects(run, changes),
            verifications: verifications(run, records),
            not_restored: not_restored(run),
            checklist: run
                .checklist()
                .into_iter()
                .map(|tracked| Item {
                    title: tracked.item.title,
                    ticked: tracked.tick.map(|tick| (tick.by, tick.at_ms)),
                })
                .collect(),
            actions: actions(policy, ended_ms),
            unknown: unknown(run, told.as_ref(), charts),
            incident: told,
        }
    }
}

fn trust(run: &RunState) -> Vec<String> {
    let Some(used) = run.plan().and_then(|plan| plan.trust.as_ref()) else { return Vec::new() };
    let signed = format!(
        "signed by {} (tier {}), by version {} of the trust root",
        used.signers.join(", "),
        used.tier,
        used.root
    );
    [signed].into_iter().chain(used.lapses.iter().map(|lapse| format!("expired: {lapse}"))).collect()
}

fn approvals(run: &RunState) -> Vec<String> {
    let Some(given) = run.permission() else { return Vec::new() };
    let mut lines = Vec::new();
    if !given.allowed.is_empty() {
        lines.push(format!("the bundle was allowed by {}", given.allowed.join(" and ")));
    }
    if !given.weakening.is_empty() {
        lines.push(format!("that a safety property is weakened was approved by {}", given.weakening.join(" and ")));
    }
    if let Some(broken) = &given.break_glass {
        lines.push(format!(
            "that what had expired is accepted was approved by {}: {}",
            broken.people.join(" and "),
            broken.reason
        ));
    }
    lines
}

/// What happened before, in and after the run, in the order of time; at one time, what the run wrote comes first.
fn timeline(records: &[Record], incident: Option<IncidentMaterial<'_>>) -> Vec<Moment> {
    let mut all: Vec<Moment> = records.iter().filter_map(moment).collect();
    all.extend(incident.map(incident::moments).unwrap_or_default());
    all.sort_by_key(|moment| moment.at_ms);
    all
}

/// Reads and lookups are not worth a line; everything else of the journal is.
fn moment(record: &Record) -> Option<Moment> {
    let what = match &record.what {
        Event::RunRefused { reason, .. } => format!("refused: {reason}"),
        Event::RunStarted { by, digest, .. } => format!("the run began, by {by}, with the plan {digest}"),
        Event::UnitStarted { unit } => format!("{unit} began"),
        Event::EffectApplied { unit, n, effect, .. } => format!("{unit}/{n}: {effect}"),
        Event::AccessDenied { unit, what, rule } => format!("{unit} was denied {what}: {rule}"),
        Event::LineLogged { unit, line } => format!("{unit}, {}: {}", line.source, line.text),
        Event::UnitSucceeded { unit } => format!("{unit} ended well"),
        Event::UnitFailed { unit, reason, broken } => {
            let word = if *broken { "could not say" } else { "failed" };
            format!("{unit} {word}: {reason}")
        }
        Event::RunResumed { by, .. } => format!("the run was cut off; {by} went on with it"),
        Event::UndoStarted { by, reason, .. } => format!("the run turned back, by {by}: {reason}"),
        Event::EffectUndone { unit, n, note } => {
            format!("{unit}/{n} taken back{}", note.as_ref().map_or_else(String::new, |note| format!(" ({note})")))
        }
        Event::EffectLeft { unit, n, reason } => format!("{unit}/{n} stays: {reason}"),
        Event::UndoFailed { unit, n, reason } => format!("{unit}/{n} could not be taken back: {reason}"),
        Event::ImagesRemoved { .. } => "what was kept of before was removed by gc".to_owned(),
        Event::ItemTicked { item, by, .. } => format!("{by} looked at {item}"),
        Event::RunEnded { outcome, verdict, reason } => {
            let verdict = verdict.map_or_else(String::new, |verdict| format!(", {verdict}"));
            format!(
                "the run ended: {outcome}{verdict}{}",
                reason.as_ref().map_or_else(String::new, |r| format!(": {r}"))
            )
        }
        Event::DirectoriesChanged { .. } | Event::AccessSummed { .. } => return None,
    };
    Some(Moment { at_ms: record.at_ms, what })
}

fn effects(run: &RunState, changes: &[(String, Change)]) -> Vec<Told> {
    let told = |applied: &crate::AppliedEffect| {
        let name = applied.name();
        Told {
            what: applied.effect.to_string(),
            standing: match &applied.standing {
                Standing::Made => "made".to_owned(),
                Standing::Undone => "taken back".to_owned(),
                Standing::Left(why) => format!("stays: {why}"),
                Standing::Failed(why) => format!("not taken back: {why}"),
            },
            undo: match applied.effect.undo() {
                Undo::Automatic => "by itself".to_owned(),
                Undo::Cannot(why) => format!("cannot be taken back: {why}"),
                Undo::Command(argv) => format!("by the command {}", argv.join(" ")),
                Undo::Call(call) => format!("by the call {call}"),
                Undo::Service(service) => format!("when the service {service} starts"),
            },
            change: changes.iter().find(|(effect, _)| *effect == name).map(|(_, change)| change.clone()),
            name,
        }
    };
    run.applied().iter().map(told).collect()
}

fn verifications(run: &RunState, records: &[Record]) -> Vec<Verified> {
    let Some(plan) = run.plan() else { return Vec::new() };
    let units = plan.units.iter().filter(|unit| unit.role == UnitRole::Verification);
    let verified = |unit: &crate::PlannedUnit| {
        let (mut result, mut reason, mut evidence) = ("did not run", None, Vec::new());
        for record in records {
            match &record.what {
                Event::LineLogged { unit: of, line } if *of == unit.name => evidence.push(line.text.clone()),
                Event::UnitSucceeded { unit: of } if *of == unit.name => (result, reason) = ("holds", None),
                Event::UnitFailed { unit: of, reason: why, broken } if *of == unit.name => {
                    (result, reason) = (if *broken { "unknown" } else { "FAILS" }, Some(why.clone()));
                }
                _ => {}
            }
        }
        Verified { name: unit.name.clone(), result, reason, evidence }
    };
    units.map(verified).collect()
}

fn not_restored(run: &RunState) -> Vec<String> {
    let told = |applied: &crate::AppliedEffect| {
        let why = match (&applied.standing, applied.effect.undo()) {
            (Standing::Left(why) | Standing::Failed(why), _) => why.clone(),
            (Standing::Made, Undo::Cannot(why)) => format!("could not be taken back if that were asked for: {why}"),
            _ => return None,
        };
        Some(format!("{}: {}: {why}", applied.name(), applied.effect))
    };
    run.applied().iter().filter_map(told).collect()
}

/// The immediate ones are due at once, the post-mortem when policy says; no date follows for what comes out of it.
fn actions(policy: &PostMortemPolicy, ended_ms: Option<u64>) -> Vec<Todo> {
    let todo = |action: &unship_policy::Action| Todo {
        name: action.name,
        title: action.title,
        immediate: action.is_immediate,
        owner: policy.owners.get(action.name).cloned(),
        due_ms: match action.name {
            "post-mortem" => ended_ms.map(|ended_ms| due(ended_ms, policy)),
            _ if action.is_immediate => ended_ms,
            _ => None,
        },
    };
    ACTIONS.iter().map(todo).collect()
}

fn unknown(run: &RunState, incident: Option<&IncidentTold>, charts: &[String]) -> Vec<String> {
    let mut unknown = Vec::new();
    match incident.map(|told| (told.harm_began_ms(), &told.needed_by)) {
        None => unknown.push("since when users were affected: the journal knows the run and not the harm".to_owned()),
        Some((None, Some(other))) => {
            unknown.push(format!(
                "since when users were affected: that is known of the incident {other}, which needed this"
            ));
        }
        Some((None, None)) => {
            unknown.push("since when users were affected: no rule of its triggers says it".to_owned())
        }
        Some((Some(_), _)) => {}
    }
    unknown.push("which users were affected, and how".to_owned());
    if charts.is_empty() {
        unknown.push("how the trigger's series went: no recorded data was given (`--data`)".to_owned());
    }
    if run.ended().is_none() {
        unknown.push("how it ends: the run was cut off and nobody went on with it yet".to_owned());
    }
    if let Some(told) = incident.filter(|told| told.verdict.is_none()) {
        unknown.push(match told.is_stabilising {
            true => "whether it stays well: its triggers must stay clear for a while yet".to_owned(),
            false => "whether it is well: the daemon reached no verdict".to_owned(),
        });
    }
    unknown
}
