//! Unit tests of triggers: series in promtool's notation through the evaluator, and what it did beside what it should do.

use super::{Answer, TransitionKind, TriggerRule, metrics, replay};
use crate::signal::{Millis, Recording, STALE_BITS, Sample, Sink as _, parse_series, parse_values};
use std::{ops::Range, time::Duration};
use unship_policy::{FileError, Sentence, Times, TriggerTest};

/// Values of one unit test at most, all series together.
pub const VALUES_MAX: usize = 1_000_000;

/// What went otherwise than a test expects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mismatch {
    /// It fired, or cleared, at other times.
    Times {
        /// `fires` or `clears`.
        what: &'static str,
        /// By the test.
        expected: Vec<Millis>,
        /// By the rule.
        got: Vec<Millis>,
    },
    /// It answered otherwise.
    Answer {
        /// When.
        at: Millis,
        /// By the test.
        expected: Answer,
        /// By the rule.
        got: Answer,
    },
}

/// Runs a unit test of `rule`. `text` is that of the test's file. All went as expected: no mismatch.
///
/// # Errors
///
/// [`FileError`] with its place in `text`: a series or values that are not of the notation, an answer that is none, too
/// many values.
pub fn unit_test(rule: &TriggerRule, test: &TriggerTest, text: &str) -> Result<Vec<Mismatch>, FileError> {
    let metrics = metrics(std::slice::from_ref(rule));
    let mut recording = Recording::new(metrics, test.series.len(), VALUES_MAX);
    let (every, mut last) = (millis(test.every), Millis(0));
    for (series, values) in &test.series {
        last = last.max(read(&mut recording, series, values, every, text)?);
    }
    let mut rule = rule.clone();
    rule.conduct.baseline_until = test.shipped.map(millis).map(Millis);
    let until = test.until.map_or(last, |until| Millis(millis(until)));
    let seen = replay(vec![rule], &mut recording, until);

    let mut mismatches = Vec::new();
    let mut times = |what, expected: &Option<Times>, is_meant: fn(&TransitionKind) -> bool| {
        let Some(expected) = expected else { return };
        let expected: Vec<Millis> = expected.times.iter().map(|at| Millis(millis(*at))).collect();
        let got: Vec<Millis> = seen.times(0, is_meant).collect();
        if expected != got {
            mismatches.push(Mismatch::Times { what, expected, got });
        }
    };
    times("fires", &test.fires, |kind| matches!(kind, TransitionKind::Fired(_)));
    times("clears", &test.clears, |kind| matches!(kind, TransitionKind::Cleared));
    for (at, word) in &test.answers {
        let (at, expected) = (Millis(millis(*at)), answer(word)?);
        if at > until {
            let message = format!("the test ends at {}, before this", super::duration(until.0));
            return Err(fault(word.span.clone(), message, Some("say `until`".to_owned())));
        }
        let got = seen.answer(0, at);
        if expected != got {
            mismatches.push(Mismatch::Answer { at, expected, got });
        }
    }
    Ok(mismatches)
}

/// Records a series; gives the time of its last step.
fn read(
    recording: &mut Recording,
    series: &Sentence,
    values: &Sentence,
    every: i64,
    text: &str,
) -> Result<Millis, FileError> {
    let in_file = |sentence: &Sentence, at: Range<usize>, message| {
        // The place within, where the file has the very text, without an escape.
        let raw = text.get(sentence.span.clone()).unwrap_or_default();
        let inner = raw.find(&sentence.text).map(|quotes| sentence.span.start + quotes);
        let span = inner.map_or(sentence.span.clone(), |from| from + at.start..from + at.end.max(at.start + 1));
        fault(span, message, None)
    };
    let named = parse_series(&series.text).map_err(|(at, message)| in_file(series, at..at, message))?;
    let left = VALUES_MAX - recording.samples();
    let parsed = parse_values(&values.text, left).map_err(|e| in_file(values, e.at, e.message))?;
    if !recording.wants(named.metric()) {
        let message = format!("the rule does not speak of `{}`", named.metric());
        return Err(fault(series.span.clone(), message, None));
    }
    let refused = |e: crate::signal::Refused| fault(series.span.clone(), e.0, None);
    let mut recording = recording;
    let Some(key) = recording.series(&named).map_err(refused)? else { return Ok(Millis(0)) };
    let mut at = 0i64;
    for (n, value) in parsed.iter().enumerate() {
        at = i64::try_from(n).unwrap_or(i64::MAX).saturating_mul(every);
        // The end of a series is no value: from there on there is none, as with `_`.
        if let Some(value) = value.filter(|value| value.to_bits() != STALE_BITS) {
            recording.sample(key, Sample { at: Millis(at), value }).map_err(refused)?;
        }
    }
    Ok(Millis(at))
}

fn answer(word: &Sentence) -> Result<Answer, FileError> {
    match word.text.as_str() {
        "ok" => Ok(Answer::Ok),
        "breach" => Ok(Answer::Breach),
        "no-data" => Ok(Answer::NoData),
        "error" => Ok(Answer::Error),
        _ => Err(fault(
            word.span.clone(),
            "this is no answer",
            Some("the answers are ok, breach, no-data and error".to_owned()),
        )),
    }
}

fn fault(span: Range<usize>, message: impl Into<String>, help: Option<String>) -> FileError {
    FileError { message: message.into(), span: Some(span), help }
}

fn millis(length: Duration) -> i64 {
    i64::try_from(length.as_millis()).unwrap_or(i64::MAX)
}
