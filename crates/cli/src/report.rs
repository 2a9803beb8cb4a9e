//! How a run is told: live progress, the list of what is and is not restored, the exit status.

use crate::{
    error::CliError,
    exit::Exit,
    out::{Out, time},
};
use unship_rollback::{
    AppliedEffect, Event, Image, JournalFailure, Outcome, Probe, Record, RunState, Standing, TrackedItem, Verdict,
};

/// Who started it, for the journal.
pub fn who() -> String {
    let uid = rustix::process::getuid().as_raw();
    let name = std::env::var("SUDO_USER").or_else(|_| std::env::var("USER")).unwrap_or_default();
    let name = unship_rollback::neutralise(&name);
    if name.is_empty() { format!("uid {uid}") } else { format!("{name} (uid {uid})") }
}

/// The journal failed: nothing that is not written down may be done.
pub fn cannot_write(e: &JournalFailure) -> CliError {
    CliError::user("the journal cannot be written, so nothing more is done")
        .because(e)
        .hint("see the disk of `.unship/`")
}

/// The status of a run that went forward.
pub fn exit_forward(state: &RunState) -> Exit {
    match state.ended().map(|(outcome, verdict, _)| (*outcome, *verdict)) {
        Some((Outcome::Succeeded, Some(Verdict::Recovered))) => Exit::Done,
        Some((Outcome::Succeeded, _)) => Exit::NotRecovered,
        Some((Outcome::Refused, _)) => Exit::Refused,
        Some((Outcome::Undone, _)) => Exit::Undone,
        Some((Outcome::Stuck, _)) | None => Exit::Stuck,
    }
}

/// The status of a run that was taken back because somebody asked for it.
pub fn exit_back(state: &RunState) -> Exit {
    match exit_forward(state) {
        Exit::Undone => Exit::Done,
        other => other,
    }
}

/// Where what was there before is, as a person finds it.
pub fn kept(image: Option<&Image>) -> String {
    match image {
        None => String::new(),
        Some(Image::Trash { at }) => format!("  [before: {at}]"),
        Some(Image::Ranges { at }) => format!("  [overwritten ranges: {at}]"),
        Some(Image::Value { was }) => format!("  [before: {was}]"),
    }
}

fn standing(applied: &AppliedEffect) -> String {
    match &applied.standing {
        Standing::Made if applied.seen == Some(Probe::Unknown) => "may have been made".to_owned(),
        Standing::Made if applied.seen == Some(Probe::Partial) => "begun".to_owned(),
        Standing::Made => "applied".to_owned(),
        Standing::Undone => "taken back".to_owned(),
        Standing::Left(why) => format!("STAYS: {why}"),
        Standing::Failed(why) => format!("NOT TAKEN BACK: {why}"),
    }
}

/// The exact list of what is applied and what is taken back, newest first, with where before-images lie.
pub fn list_effects(out: Out, state: &RunState) {
    let Some(run) = state.run() else { return };
    out.text(format!("Effects of run {run}, newest first:"));
    if state.applied().is_empty() {
        out.text("  none that a record speaks of");
    }
    for applied in state.applied().iter().rev() {
        let image = if applied.standing == Standing::Undone { String::new() } else { kept(applied.image.as_ref()) };
        out.text(format!("  {}: {} ({}){image}", applied.name(), applied.effect, standing(applied)));
        out.object(&json(applied));
    }
}

/// The checklist, with who looked at what.
pub fn list_items(out: Out, state: &RunState) {
    let items = state.checklist();
    if !items.is_empty() {
        let open = items.iter().filter(|tracked| tracked.tick.is_none()).count();
        out.text(format!("Checklist, {open} of {} open:", items.len()));
    }
    for TrackedItem { item, tick } in items {
        let mark = if tick.is_some() { "x" } else { " " };
        let who = tick.as_ref().map_or_else(String::new, |tick| {
            let noted = if tick.by == tick.noted_by { String::new() } else { format!(", noted by {}", tick.noted_by) };
            format!(" ({} by {}{noted})", time(tick.at_ms), tick.by)
        });
        out.text(format!("  [{mark}] {}: {}{who}", item.name, item.title));
        out.object(&serde_json::json!({
            "type": "item", "name": item.name, "title": item.title, "by": tick.as_ref().map(|tick| &tick.by),
            "noted_by": tick.as_ref().map(|tick| &tick.noted_by), "at": tick.as_ref().map(|tick| time(tick.at_ms)),
        }));
    }
}

/// One effect as JSON.
pub fn json(applied: &AppliedEffect) -> serde_json::Value {
    let (standing, reason) = match &applied.standing {
        Standing::Made => ("applied", None),
        Standing::Undone => ("undone", None),
        Standing::Left(why) => ("left", Some(why)),
        Standing::Failed(why) => ("undo-failed", Some(why)),
    };
    serde_json::json!({
        "type": "applied", "unit": applied.unit, "n": applied.n, "effect": applied.effect, "image": applied.image,
        "seen": applied.seen, "standing": standing, "reason": reason,
    })
}

/// Live progress on standard error; every record as it is written under `--json`.
pub fn progress(out: Out, record: &Record) {
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
        Event::RunResumed { found, .. } => {
            out.note(format!("run {} goes on; {} effects of the step in hand were begun", record.run, found.len()));
        }
        Event::UndoStarted { reason, .. } => out.note(format!("taking back what was done: {reason}")),
        Event::EffectUndone { unit, n, note } => {
            let note = note.as_ref().map_or_else(String::new, |note| format!(": {note}"));
            out.note(format!("    {unit}/{n} taken back{note}"));
        }
        Event::EffectLeft { unit, n, reason } => out.note(format!("    {unit}/{n} stays: {reason}")),
        Event::UndoFailed { unit, n, reason } => out.note(format!("    {unit}/{n} could NOT be taken back: {reason}")),
        Event::RunRefused { .. }
        | Event::ItemTicked { .. }
        | Event::AccessSummed { .. }
        | Event::DirectoriesChanged { .. }
        | Event::ImagesRemoved { .. }
        | Event::RunEnded { .. } => {}
    }
}
