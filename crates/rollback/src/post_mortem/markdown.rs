//! A post-mortem as Markdown. All foreign text is made harmless, for terminals and for what renders Markdown.

use super::{Change, PostMortem, Todo};
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
        "A draft, from the journal. What stands in it was written down while it happened; the rest is for people.\n"
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
    line("\n## Impact window\n".to_owned());
    line("- Harm began: unknown".to_owned());
    line(format!("- Rollback began: {}", time(of.began_ms)));
    match of.ended_ms {
        Some(ended_ms) => {
            let took_ms = ended_ms.saturating_sub(of.began_ms);
            line(format!("- Rollback ended: {} (after {}.{:03} s)", time(ended_ms), took_ms / 1000, took_ms % 1000));
        }
        None => line("- Rollback ended: unknown; the run was cut off".to_owned()),
    }
    for chart in &of.charts {
        line(format!("\n![What set it off]({})", chart.replace([' ', '(', ')', '<', '>'], "_")));
    }
    line("\n## Approvals\n".to_owned());
    if of.approvals.is_empty() {
        line("None was needed.".to_owned());
    }
    for approval in &of.approvals {
        line(format!("- {}", plain(approval)));
    }
    line("\n## Timeline\n".to_owned());
    line("| UTC | after | what |\n|---|---|---|".to_owned());
    for moment in &of.timeline {
        let after_ms = moment.at_ms.saturating_sub(of.began_ms);
        let after = format!("{}.{:03} s", after_ms / 1000, after_ms % 1000);
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
