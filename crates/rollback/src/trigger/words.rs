//! A rule in plain words, and what its values are.

use super::{
    Agg, Cmp, Node, Rule, Selector, Term, Threshold, Value,
    units::{Dimension, measured, suffix_of},
};
use crate::chart::Unit;

/// The rule as indented lines, for reading aloud.
pub fn words(rule: &Rule) -> Vec<String> {
    let mut lines = Vec::new();
    node(rule, rule.root(), 0, "", &mut lines);
    lines
}

fn node(rule: &Rule, it: &Node, depth: usize, before: &str, lines: &mut Vec<String>) {
    let mut say = |text: String| lines.push(format!("{}{before}{text}", "  ".repeat(depth)));
    match it {
        Node::Term(index) => say(term(rule, &rule.terms()[*index])),
        Node::And(all) | Node::Or(all) => {
            let is_and = matches!(it, Node::And(_));
            say(if is_and { "all of these hold:".into() } else { "at least one of these holds:".into() });
            for part in all {
                node(rule, part, depth + 1, "- ", lines);
            }
        }
        Node::Not(part) => {
            say("this does not hold (and is not unknown):".into());
            node(rule, part, depth + 1, "- ", lines);
        }
        Node::For { node: part, ms, .. } => {
            say(format!("for {} without interruption:", duration(*ms)));
            node(rule, part, depth + 1, "- ", lines);
        }
    }
}

fn term(rule: &Rule, term: &Term) -> String {
    let unit = unit(rule, term);
    let limit = match term.threshold {
        Threshold::Fixed(number) => unit.show(number),
        Threshold::Baseline(factor) => format!("{factor} times its baseline"),
    };
    let back = |ms: &i64| format!("in the last {}", duration(*ms));
    let compared = compared(term.cmp);
    let said = match &term.value {
        Value::Last(selector) if term.for_ms.is_some() => format!("every sample of {selector} is {compared} {limit}"),
        Value::Last(selector) => format!("the newest sample of {selector} is {compared} {limit}"),
        Value::Over { agg, selector, window_ms } => {
            format!("{} of the samples of {selector} {} is {compared} {limit}", aggregate(*agg), back(window_ms))
        }
        Value::Count { selector, window_ms } => {
            format!("the number of {} {} is {compared} {limit}", events(selector), back(window_ms))
        }
        Value::Ratio { numerator, denominator, window_ms } => {
            let window = back(window_ms);
            format!(
                "the number of {}, by that of {}, both {window}, is {compared} {limit}",
                events(numerator),
                events(denominator)
            )
        }
        Value::Consecutive(selector) => {
            format!(
                "the number of samples of {selector} in a row that are not 0, up to the newest, is {compared} {limit}"
            )
        }
        Value::Occurring { selector, cmp, threshold, window_ms } => {
            let each = self::compared(*cmp);
            let number = sample_unit(rule, term, selector).show(*threshold);
            format!("the number of samples of {selector} {each} {number} {} is {compared} {limit}", back(window_ms))
        }
    };
    match term.for_ms {
        Some(ms) => format!("{said}, for {} without one that is not", duration(ms)),
        None => said,
    }
}

fn events(selector: &Selector) -> String {
    if selector.is_counter() {
        format!("events that {selector} counts")
    } else {
        format!("events in {selector} (the sum of its samples)")
    }
}

fn aggregate(agg: Agg) -> String {
    match agg {
        Agg::Avg => "the average".to_owned(),
        Agg::Min => "the smallest".to_owned(),
        Agg::Max => "the largest".to_owned(),
        Agg::Sum => "the sum".to_owned(),
        Agg::Percentile(p) => format!("the {p}th percentile"),
    }
}

pub(super) fn compared(cmp: Cmp) -> &'static str {
    match cmp {
        Cmp::Above => "above",
        Cmp::AtLeast => "at least",
        Cmp::Below => "below",
        Cmp::AtMost => "at most",
        Cmp::Equal => "exactly",
        Cmp::Other => "other than",
    }
}

/// Milliseconds as a rule writes them: `10m`, `1h`, `90s`.
pub fn duration(ms: i64) -> String {
    let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1000, "s")];
    match units.into_iter().find(|(size, _)| ms != 0 && ms % size == 0) {
        Some((size, unit)) => format!("{}{unit}", ms / size),
        None => format!("{ms}ms"),
    }
}

/// What a term compares: its values' and its threshold's unit.
pub fn unit(rule: &Rule, term: &Term) -> Unit {
    match &term.value {
        Value::Count { .. } | Value::Consecutive(_) | Value::Occurring { .. } => Unit::Plain,
        Value::Ratio { .. } => Unit::Ratio,
        Value::Last(selector) | Value::Over { selector, .. } => sample_unit(rule, term, selector),
    }
}

/// What a sample of a metric is: its name says so, or else the quantity with which the rule compares it.
pub(super) fn sample_unit(rule: &Rule, term: &Term, selector: &Selector) -> Unit {
    if let Some(suffix) = suffix_of(&selector.metric) {
        return suffix.unit;
    }
    // Behind the comparison, up to what follows the quantity.
    let text = rule.text().get(term.span.clone()).unwrap_or_default();
    let quantity = text.rsplit_once(['>', '<', '=']).map_or("", |(_, rest)| rest);
    let text = match &term.value {
        Value::Occurring { .. } => text.split_once(['>', '<', '=']).map_or("", |(_, rest)| rest),
        _ => quantity,
    };
    let end = [" for ", " in ", " occurring "].iter().filter_map(|word| text.find(word)).min();
    let written: String = text[..end.unwrap_or(text.len())].chars().filter(|c| !c.is_whitespace()).collect();
    let unit = written.trim_start_matches(|c: char| c.is_ascii_digit() || "=.+-_eE".contains(c));
    match unit {
        "%" => Unit::Ratio,
        _ if unit.contains('/') => Unit::PerSecond,
        _ => match measured(1.0, unit) {
            Some((_, Dimension::Bytes)) => Unit::Bytes,
            Some(_) => Unit::Seconds,
            None => Unit::Plain,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> String {
        words(&Rule::parse(text).expect("a rule")).join("\n")
    }

    #[test]
    fn rules_are_said_in_words() {
        for (rule, wanted) in [
            ("error_rate > 25% for 5m", "every sample of error_rate is above 25%, for 5m without one that is not"),
            ("duckdb_memory > 8GB", "the newest sample of duckdb_memory is above 8 GB"),
            (
                "api_response_time > 5x baseline for 10m",
                "every sample of api_response_time is above 5 times its baseline, for 10m without one that is not",
            ),
            (
                "p95(page_load_seconds) >= 5 s in 90s",
                "the 95th percentile of the samples of page_load_seconds in the last 90s is at least 5 s",
            ),
            (
                "count(pyairbyte_crash) > 3 in 10m",
                "the number of events in pyairbyte_crash (the sum of its samples) in the last 10m is above 3",
            ),
            (
                "count(crashes_total{app=\"a\"}) > 3 in 1d",
                "the number of events that crashes_total{app=\"a\"} counts in the last 1d is above 3",
            ),
            (
                "count(a_total) / count(b_total) > 20% in 1h",
                "the number of events that a_total counts, by that of events that b_total counts, both in the last 1h, is above 20%",
            ),
            (
                "duckdb_query_seconds > 2m occurring > 5 times in 1h",
                "the number of samples of duckdb_query_seconds above 120 s in the last 1h is above 5",
            ),
            (
                "query_time > 2m occurring > 5 times in 1h",
                "the number of samples of query_time above 120 s in the last 1h is above 5",
            ),
            (
                "consecutive(evidence_build_failed) > 3",
                "the number of samples of evidence_build_failed in a row that are not 0, up to the newest, is above 3",
            ),
            ("web_ui unresponsive for 10m", "every sample of web_ui is exactly 0, for 10m without one that is not"),
            ("duckdb_corruption detected", "the newest sample of duckdb_corruption is other than 0"),
            (
                "rate < 100 records/s for 15m while backlog > 0",
                "for 15m without interruption:\n  - all of these hold:\n    - the newest sample of rate is below 100/s\n    - the newest sample of backlog is above 0",
            ),
            (
                "not (a > 1 or b < 250ms)",
                "this does not hold (and is not unknown):\n  - at least one of these holds:\n    - the newest sample of a is above 1\n    - the newest sample of b is below 0.25 s",
            ),
        ] {
            assert_eq!(said(rule), wanted, "{rule}");
        }
    }

    #[test]
    fn durations_are_written_as_rules_write_them() {
        let all = [0, 1, 1000, 90_000, 60_000, 3_600_000, 5_400_000, 86_400_000, 1_234_567];
        assert_eq!(all.map(duration), ["0ms", "1ms", "1s", "90s", "1m", "1h", "90m", "1d", "1234567ms"]);
    }
}
