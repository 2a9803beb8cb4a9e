//! A post-mortem as Markdown. All foreign text is made harmless, for terminals and for what renders Markdown.

use super::{Change, IncidentTold, PostMortem, Todo};
use crate::neutralise;
use std::fmt::Write as _;

/// The document. `time` writes milliseconds since the epoch for people.
pub fn markdown(of: &PostMortem, time: fn(u64) -> String) -> String {
    let mut text = String::new();
    let mut line = |line: String| {
        text.push_str(&line);
        text.push('\n');
    };
    let title = of.title.as_deref().map_or_else(String::new, |title| format!(", {}", plain(title)));
    line(format!("# Post-mortem: story {}{title}\n", plain(&of.story)));
    line(
        "A draft, from the journals. What stands in it was written down while it happened; the rest is for people.\n"
            .to_owned(),
    );
    line("## Summary\n".to_owned());
    let outcome = of.outcome.map_or_else(|| "not ended".to_owned(), |outcome| outcome.to_string());
    let verdict = of.verdict.map_or_else(|| "none".to_owned(), |verdict| verdict.to_string());
    line(format!("- Site: {}", plain(&of.site)));
    line(format!(
        "- Run: {}{}",
        code(&of.run),
        of.variant.as_ref().map_or_else(String::new, |v| format!(", variant {}", plain(v)))
    ));
    line(format!("- Outcome: **{outcome}**; verdict: **{verdict}**"));
    if let Some(reason) = &of.reason {
        line(format!("- Reason: {}", plain(reason)));
    }
    line(format!("- Begun by: {}", of.by.as_deref().map_or_else(|| "unknown".to_owned(), plain)));
    if let Some(plan) = of.plan {
        line(format!("- Plan: {}", code(&plan.to_string())));
    }
    for trust in &of.trust {
        line(format!("- Bundle: {}", plain(trust)));
    }
    line(format!("- {} effects; {} not restored", of.effects.len(), of.not_restored.len()));
    if let Some(told) = &of.incident {
        incident(told, &mut line);
    }
    line("\n## Impact window\n".to_owned());
    harm(of.incident.as_ref(), time, &mut line);
    line(format!("- Rollback began: {}", time(of.began_ms)));
    match of.ended_ms {
        Some(ended_ms) => {
            let took_ms = ended_ms.saturating_sub(of.began_ms);
            line(format!("- Rollback ended: {} (after {}.{:03} s)", time(ended_ms), took_ms / 1000, took_ms % 1000));
        }
        None => line("- Rollback ended: unknown; the run was cut off".to_owned()),
    }
    after(of.incident.as_ref(), time, &mut line);
    for chart in &of.charts {
        line(format!("\n![What set it off]({})", chart.replace([' ', '(', ')', '<', '>'], "_")));
    }
    line("\n## Approvals\n".to_owned());
    let answers = of.incident.iter().flat_map(|told| &told.answers);
    for answer in answers.clone() {
        line(format!("- {}: {}", time(answer.at_ms), plain(&answer.what)));
    }
    if of.approvals.is_empty() && answers.count() == 0 {
        line("None was needed.".to_owned());
    }
    for approval in &of.approvals {
        line(format!("- {}", plain(approval)));
    }
    line("\n## Timeline\n".to_owned());
    line("| UTC | after | what |\n|---|---|---|".to_owned());
    for moment in &of.timeline {
        let (sign, apart_ms) = match moment.at_ms.checked_sub(of.began_ms) {
            Some(apart_ms) => ("", apart_ms),
            None => ("-", of.began_ms - moment.at_ms),
        };
        let after = format!("{sign}{}.{:03} s", apart_ms / 1000, apart_ms % 1000);
        line(format!("| {} | {after} | {} |", time(moment.at_ms), plain(&moment.what)));
    }
    line("\n## Effects\n".to_owned());
    for effect in &of.effects {
        line(format!(
            "- {}: {} — {}; undo: {}",
            code(&effect.name),
            plain(&effect.what),
            plain(&effect.standing),
            plain(&effect.undo)
        ));
        match &effect.change {
            None => {}
            Some(Change::NotShown(why)) => line(format!("  - content: {}", plain(why))),
            Some(Change::Diff(diff)) => line(fenced(diff)),
        }
    }
    if of.effects.is_empty() {
        line("None.".to_owned());
    }
    line("\n## Verifications\n".to_owned());
    for verified in &of.verifications {
        let reason = verified.reason.as_ref().map_or_else(String::new, |reason| format!(": {}", plain(reason)));
        line(format!("- {}: **{}**{reason}", code(&verified.name), verified.result));
        for evidence in &verified.evidence {
            line(format!("  - {}", plain(evidence)));
        }
    }
    if of.verifications.is_empty() {
        line("The story has none, so nobody can say that it is well again.".to_owned());
    }
    line("\n## Not restored\n".to_owned());
    if of.not_restored.is_empty() {
        line("Nothing that the journal knows of.".to_owned());
    }
    for left in &of.not_restored {
        line(format!("- {}", plain(left)));
    }
    if let Some(told) = &of.incident {
        line("\n## Who was told\n".to_owned());
        line(match told.notices.as_slice() {
            [] => "Nobody: no `[[notice]]` of the site says who.".to_owned(),
            _ => "| UTC | of | where | what | |\n|---|---|---|---|---|".to_owned(),
        });
        for notice in &told.notices {
            line(format!(
                "| {} | {} | {} | {} | {} |",
                time(notice.at_ms),
                notice.event,
                plain(&notice.channel),
                plain(&notice.detail),
                plain(&notice.standing)
            ));
        }
    }
    line("\n## Checklist\n".to_owned());
    for item in &of.checklist {
        let (mark, who) = match &item.ticked {
            None => (" ", String::new()),
            Some((by, at_ms)) => ("x", format!(" ({}, {})", plain(by), time(*at_ms))),
        };
        line(format!("- [{mark}] {}{who}", plain(&item.title)));
    }
    if of.checklist.is_empty() {
        line("None.".to_owned());
    }
    for (heading, immediate) in [("Immediate actions", true), ("Follow-up actions", false)] {
        line(format!("\n## {heading}\n\n| action | owner | due |\n|---|---|---|"));
        for Todo { title, owner, due_ms, .. } in of.actions.iter().filter(|todo| todo.immediate == immediate) {
            let owner = owner.as_deref().map_or_else(|| "nobody is named".to_owned(), plain);
            line(format!("| {title} | {owner} | {} |", due_ms.map_or_else(|| "no date".to_owned(), time)));
        }
    }
    line("\n## Unknown\n".to_owned());
    for unknown in &of.unknown {
        line(format!("- {}", plain(unknown)));
    }
    text
}

/// What set it off, and what was decided.
fn incident(of: &IncidentTold, line: &mut impl FnMut(String)) {
    line(format!("- Incident: {}, {:?}", code(of.id.as_str()), of.severity));
    for cause in &of.causes {
        let at = match (&cause.series, cause.value) {
            (None, _) => String::new(),
            (Some(series), None) => format!("; {}", plain(series)),
            (Some(series), Some(value)) => format!("; {} at {value}", plain(series)),
        };
        line(format!("- Set off by: {}: {}{at}", plain(&cause.trigger), plain(&cause.rule)));
    }
    if let Some(other) = &of.needed_by {
        line(format!("- Taken back first for the incident {}, whose story needs that", code(other.as_str())));
    }
    if let Some(decision) = &of.decision {
        line(format!("- Decided: {}", plain(decision)));
    }
    if let (Some(verdict), Some(reason)) = (of.verdict, &of.verdict_reason) {
        line(format!("- In the end: **{verdict}**: {}", plain(reason)));
    }
    for other in &of.other_runs {
        line(format!("- Another run of the incident: {}", code(other.as_str())));
    }
}

/// Since when there was harm, by what the triggers tell.
fn harm(of: Option<&IncidentTold>, time: fn(u64) -> String, line: &mut impl FnMut(String)) {
    let shown = |ms: i64| time(u64::try_from(ms).unwrap_or(0));
    let Some((told, (from_ms, by_ms))) = of.and_then(|told| Some((told, told.harm_began_ms()?))) else {
        line("- Harm began: unknown".to_owned());
        return;
    };
    line(match from_ms == by_ms {
        true => format!("- Harm began: {}, by its triggers", shown(by_ms)),
        false => format!("- Harm began: between {} and {}, by its triggers", shown(from_ms), shown(by_ms)),
    });
    let opened_ms = i64::try_from(told.opened_ms).unwrap_or(i64::MAX);
    line(format!("- It was noticed: {} ({})", time(told.opened_ms), seconds(opened_ms, by_ms)));
}

/// What came after the run.
fn after(of: Option<&IncidentTold>, time: fn(u64) -> String, line: &mut impl FnMut(String)) {
    let Some(told) = of else { return };
    let ms = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX);
    match (told.harm_ended_ms, told.verdict_ms) {
        (Some(ended_ms), Some(verdict_ms)) => {
            let lasted = told
                .harm_began_ms()
                .map_or_else(String::new, |(_, by_ms)| format!("; {}", seconds(ms(ended_ms), by_ms)));
            line(format!(
                "- Harm ended: {}; its triggers stayed clear from then to {}{lasted}",
                time(ended_ms),
                time(verdict_ms)
            ));
        }
        _ => line("- Harm ended: not that anybody knows of".to_owned()),
    }
    if let Some(closed_ms) = told.closed_ms {
        line(format!("- The incident was over: {}", time(closed_ms)));
    }
}

/// How long after the harm began at the latest.
fn seconds(at_ms: i64, begun_ms: i64) -> String {
    let apart_ms = at_ms.saturating_sub(begun_ms).max(0);
    format!("{} s after it began at the latest", apart_ms / 1000)
}

/// One line, harmless, with everything escaped that Markdown or HTML would obey.
fn plain(text: &str) -> String {
    let mut out = String::new();
    for c in neutralise(text).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '(' | ')' | '#' | '!' | '|' | '~' => {
                let _ = write!(out, "\\{c}");
            }
            c => out.push(c),
        }
    }
    out
}

/// A name as code: nothing in it can end the code.
fn code(text: &str) -> String {
    format!("`{}`", neutralise(text).replace('`', "'"))
}

/// A block whose fence is longer than any run of backquotes in it.
fn fenced(diff: &str) -> String {
    let longest = diff.split(|c| c != '`').map(str::len).max().unwrap_or_default();
    let fence = "`".repeat(longest.max(2) + 1);
    let lines: Vec<String> = diff.lines().map(|line| format!("  {}", neutralise(line))).collect();
    format!("\n  {fence}diff\n{}\n  {fence}\n", lines.join("\n"))
}
