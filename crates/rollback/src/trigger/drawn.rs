//! From what a rule did to its charts: one a term, with the values that the term compared, not only those that came in.

use super::{
    Conduct, Replay, Settings, Term, Threshold, TransitionKind, TriggerRule, Value, duration,
    replay::POINTS_MAX,
    slot::{Around, Atom, Slot},
    unit, words,
};
use crate::{
    chart::{Chart, LINES_MAX, Line, Mark, Threshold as Limit, Unit},
    signal::{Millis, Recording, Sample, Series},
};
use std::ops::Range;

/// What is drawn of one term.
#[derive(Debug, Clone)]
pub struct Drawn {
    title: String,
    rule: String,
    unit: Unit,
    lines: Vec<(String, Vec<Sample>)>,
    /// Series that are only counted.
    more: usize,
    thresholds: Vec<Limit>,
    windows: Vec<Range<Millis>>,
    window_words: String,
    fired: Vec<Millis>,
    marks: Vec<Mark>,
    is_thinned: bool,
    gap: Millis,
    span: Range<Millis>,
}

impl Drawn {
    /// With what else happened, for which the picture goes on as long as it must.
    #[must_use]
    pub fn marked(mut self, marks: Vec<Mark>) -> Drawn {
        self.span.end = marks.iter().map(|mark| mark.at).fold(self.span.end, Millis::max);
        self.marks = marks;
        self
    }

    /// Of samples of which only some were kept.
    #[must_use]
    pub fn thinned(self) -> Drawn {
        Drawn { is_thinned: true, ..self }
    }

    /// Its chart.
    pub fn chart(&self, calendar: fn(Millis) -> String) -> Chart<'_> {
        let mut lines: Vec<Line<'_>> =
            self.lines.iter().map(|(name, samples)| Line { name: name.clone(), samples }).collect();
        lines.resize_with(lines.len() + self.more, || Line { name: String::new(), samples: &[] });
        Chart {
            title: &self.title,
            rule: &self.rule,
            unit: self.unit,
            span: self.span.clone(),
            lines,
            gap: Some(self.gap),
            thresholds: self.thresholds.clone(),
            windows: self.windows.clone(),
            window_words: self.window_words.clone(),
            fired: self.fired.clone(),
            marks: self.marks.clone(),
            is_thinned: self.is_thinned,
            calendar,
        }
    }
}

/// The charts of a rule, with index `n` in `replay`: one for each term of its `when` of which there is data. `recording` is
/// in the order of time.
pub fn drawn(rule: &TriggerRule, n: usize, seen: &Replay, recording: &Recording) -> Vec<Drawn> {
    let Some(span) = recording.span() else { return Vec::new() };
    let terms = rule.when.terms();
    let one = |(index, term)| {
        let mut title = rule.name.clone();
        if terms.len() > 1 {
            title.push_str(&format!(" ({} of {})", index + 1, terms.len()));
        }
        draw(rule, term, title, n, seen, recording, &span)
    };
    terms.iter().enumerate().filter_map(one).collect()
}

fn draw(
    rule: &TriggerRule,
    term: &Term,
    title: String,
    n: usize,
    seen: &Replay,
    recording: &Recording,
    span: &Range<Millis>,
) -> Option<Drawn> {
    let fired: Vec<Millis> = seen.times(n, |kind| matches!(kind, TransitionKind::Fired(_))).collect();
    let evidence: Vec<&Series> = (seen.transitions.iter().filter(|t| t.rule == n))
        .filter_map(|t| match &t.kind {
            TransitionKind::Fired(Some(evidence)) => Some(&evidence.series),
            _ => None,
        })
        .collect();
    // The series that made it fire come first: they are drawn, whatever else is not.
    let selector = term.value.selectors().first().copied().cloned()?;
    let is_meant = |s: &Series| s.metric() == selector.metric && selector.covers(s.labels());
    let mut meant: Vec<usize> = (0..recording.series().len()).filter(|i| is_meant(&recording.series()[*i].0)).collect();
    meant.sort_by_key(|i| !evidence.contains(&&recording.series()[*i].0));
    if meant.is_empty() {
        return None;
    }
    let mut lines = Vec::new();
    let mut baseline = None;
    for i in meant.iter().take(LINES_MAX) {
        let traced = trace(rule, term, *i, recording, span.start, fired.first().copied());
        lines.push((recording.series()[*i].0.to_string(), traced.values));
        baseline = baseline.or(traced.baseline);
    }
    let (cmp, value) = match (&term.value, term.threshold) {
        (Value::Occurring { cmp, threshold, .. }, _) => (*cmp, Some(*threshold)),
        (_, Threshold::Fixed(number)) => (term.cmp, Some(number)),
        (_, Threshold::Baseline(factor)) => (term.cmp, baseline.map(|b| b * factor)),
    };
    let (windows, window_words) = windows(term, n, seen, &fired, span);
    Some(Drawn {
        title,
        rule: rule.when.text().to_owned(),
        // What is drawn of a count of samples is the samples.
        unit: match &term.value {
            Value::Occurring { selector, .. } => words::sample_unit(&rule.when, term, selector),
            _ => unit(&rule.when, term),
        },
        more: meant.len() - lines.len(),
        lines,
        thresholds: value.map(|value| Limit { value, side: words::compared(cmp) }).into_iter().collect(),
        windows,
        window_words,
        fired,
        marks: Vec::new(),
        is_thinned: false,
        gap: Millis(rule.conduct.stale_after_ms),
        span: span.clone(),
    })
}

/// What is shaded: where the term looks back, the time on which it looked back when it fired; else when it was pending.
fn windows(
    term: &Term,
    n: usize,
    seen: &Replay,
    fired: &[Millis],
    span: &Range<Millis>,
) -> (Vec<Range<Millis>>, String) {
    if let Some(window_ms) = term.value.window_ms()
        && term.for_ms.is_none()
    {
        let windows = fired.iter().map(|at| at.plus(-window_ms)..*at).collect();
        return (windows, format!("the last {} when it fires", duration(window_ms)));
    }
    let (mut windows, mut begun) = (Vec::new(), None);
    for transition in seen.transitions.iter().filter(|t| t.rule == n) {
        match transition.kind {
            TransitionKind::Pending => begun = Some(transition.at),
            TransitionKind::NotPending => windows.extend(begun.take().map(|begun| begun..transition.at)),
            _ => {}
        }
    }
    windows.extend(begun.map(|begun| begun..span.end));
    (windows, "the condition holds, not yet for long enough".to_owned())
}

struct Traced {
    values: Vec<Sample>,
    /// As it was when the rule first fired, or at the end.
    baseline: Option<f64>,
}

/// The values that a term compares on the series `i` (and, for a ratio, on its other side).
fn trace(
    rule: &TriggerRule,
    term: &Term,
    i: usize,
    recording: &Recording,
    since: Millis,
    fired: Option<Millis>,
) -> Traced {
    let (series, samples) = &recording.series()[i];
    let is_as_it_came = matches!(term.value, Value::Last(_) | Value::Occurring { .. } | Value::Consecutive(_));
    if is_as_it_came && matches!(term.threshold, Threshold::Fixed(_)) {
        return Traced { values: samples.clone(), baseline: None };
    }
    let settling_ms = Settings::since(since).settling_ms;
    let conduct: Conduct = rule.conduct.clone();
    let atom = Atom { rule: 0, term: term.clone(), conduct };
    let mut slot = Slot::new(0, 0, term);
    let mut all: Vec<(Sample, u8)> = samples.iter().map(|s| (*s, 0)).collect();
    if let Value::Ratio { denominator, .. } = &term.value {
        let is_other = |other: &&(Series, Vec<Sample>)| {
            other.0.metric() == denominator.metric && other.0.labels() == series.labels()
        };
        let other = recording.series().iter().find(is_other);
        all.extend(other.iter().flat_map(|(_, samples)| samples.iter().map(|s| (*s, 1))));
        all.sort_by_key(|(s, _)| s.at);
    }
    let (mut values, mut baseline, mut scratch) = (Vec::new(), None, Vec::new());
    for (k, (sample, side)) in all.iter().enumerate() {
        let at = sample.at.0;
        let around = Around {
            is_watching: at > since.0.saturating_add(settling_ms),
            was_interrupted: false,
            points_left: POINTS_MAX,
            is_quiet: fired.is_none_or(|fired| sample.at < fired),
        };
        slot.take(&atom, *side, at, sample.value, &around);
        // Both sides of a ratio that come at one time are judged together.
        if all.get(k + 1).is_some_and(|(next, other)| next.at == sample.at && other != side) {
            continue;
        }
        slot.judge(&atom, at, &around, &mut scratch);
        values.push(Sample { at: sample.at, value: slot.value() });
        if fired.is_none_or(|fired| sample.at <= fired) {
            baseline = slot.baseline(&atom);
        }
    }
    Traced { values, baseline }
}
