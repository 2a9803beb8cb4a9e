//! The post-mortem's date as an iCalendar file (RFC 5545): one event, with an alarm a day before.

use super::PostMortem;
use crate::neutralise;

/// Octets of a line at most, its end not counted (RFC 5545, 3.1).
const LINE_OCTETS_MAX: usize = 75;

/// The file; `None` for a run that did not end, of which no date follows. `stamp` writes milliseconds since the epoch as
/// `20261123T091313Z`.
pub fn calendar(of: &PostMortem, stamp: fn(u64) -> String) -> Option<String> {
    let ended_ms = of.ended_ms?;
    let due_ms = of.actions.iter().find(|todo| todo.name == "post-mortem")?.due_ms?;
    let owner =
        of.actions.iter().find(|todo| todo.name == "post-mortem")?.owner.as_deref().unwrap_or("nobody is named");
    let lines = [
        "BEGIN:VCALENDAR".to_owned(),
        "VERSION:2.0".to_owned(),
        "PRODID:-//unship//post-mortem//EN".to_owned(),
        "BEGIN:VEVENT".to_owned(),
        format!("UID:{}@unship.invalid", of.run),
        // Of the run and not of this hour, so that the same run gives the same file.
        format!("DTSTAMP:{}", stamp(ended_ms)),
        format!("DTSTART:{}", stamp(due_ms)),
        "DURATION:PT1H".to_owned(),
        format!("SUMMARY:{}", text(&format!("Post-mortem of story {} is due", of.story))),
        format!("DESCRIPTION:{}", text(&format!("Run {} on the site {}. Owner: {owner}.", of.run, of.site))),
        "BEGIN:VALARM".to_owned(),
        "ACTION:DISPLAY".to_owned(),
        "TRIGGER:-P1D".to_owned(),
        "DESCRIPTION:A post-mortem is due tomorrow".to_owned(),
        "END:VALARM".to_owned(),
        "END:VEVENT".to_owned(),
        "END:VCALENDAR".to_owned(),
    ];
    Some(lines.iter().map(|line| folded(line)).collect())
}

/// A value of the type TEXT (RFC 5545, 3.3.11).
fn text(value: &str) -> String {
    let mut out = String::new();
    for c in neutralise(value).chars() {
        if matches!(c, '\\' | ';' | ',') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// A line with its end, folded between characters.
fn folded(line: &str) -> String {
    let mut out = String::new();
    let mut octets = 0;
    for c in line.chars() {
        if octets + c.len_utf8() > LINE_OCTETS_MAX {
            out.push_str("\r\n ");
            octets = 1;
        }
        out.push(c);
        octets += c.len_utf8();
    }
    out.push_str("\r\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_folded_at_75_octets_between_characters_and_unfold_to_what_they_were() {
        for line in
            ["short".to_owned(), "x".repeat(75), "x".repeat(76), "é".repeat(200), format!("{}🚀", "a".repeat(73))]
        {
            let folded = folded(&line);
            assert!(folded.ends_with("\r\n"));
            for part in folded.split_terminator("\r\n") {
                assert!(part.len() <= LINE_OCTETS_MAX, "{} octets", part.len());
            }
            assert_eq!(folded.replace("\r\n ", "").trim_end_matches("\r\n"), line);
        }
        assert_eq!(text("a,b;c\\d\ne"), "a\\,b\\;c\\\\d\\\\ne");
    }
}
