//! Plays samples to rules. Samples are written as `metric{label=value} SAMPLES…`, one series a line; the i-th sample is at
//! i times the step. `5` is a sample, `5*3` three of them, `5+2*3` are 5, 7 and 9, `_` is none and `_*3` are none three times;
//! `NaN`, `inf` and `-inf` are values.

use std::collections::BTreeMap;
use unship_rollback::{
    signal::{Millis, Sample, Series},
    trigger::{Evaluator, Lookup, Observed, Rule, Settings, Transition, TransitionKind, TriggerRule},
};

pub const MINUTE: i64 = 60_000;

pub type Samples = Vec<(Series, Sample)>;

/// The samples that `text` says.
pub fn samples(text: &str, step_ms: i64) -> Samples {
    let mut all = Vec::new();
    for line in text.lines().map(str::trim).filter(|l| !l.is_empty()) {
        let (name, values) = line.split_once(' ').expect("samples behind the name");
        let series = named(name);
        let mut at = 0;
        for word in values.split_whitespace() {
            let (value, times) = word.split_once('*').map_or((word, 1), |(v, n)| (v, n.parse().expect("a number")));
            let (first, more) = value.split_once('+').map_or((value, 0.0), |(v, m)| (v, m.parse().expect("a number")));
            for i in 0..times {
                if first != "_" {
                    let value = first.parse::<f64>().expect("a number") + more * f64::from(i);
                    all.push((series.clone(), Sample { at: Millis(at), value }));
                }
                at += step_ms;
            }
        }
    }
    all.sort_by_key(|(_, sample)| sample.at);
    all
}

fn named(name: &str) -> Series {
    let (metric, labels) = name.split_once('{').unwrap_or((name, "}"));
    let labels = labels.trim_end_matches('}').split(',').filter_map(|l| l.split_once('='));
    let labels: BTreeMap<String, String> = labels.map(|(l, v)| (l.to_owned(), v.to_owned())).collect();
    Series::new(metric, labels).expect("a series")
}

pub fn rule(when: &str) -> TriggerRule {
    TriggerRule::alone("rule", Rule::parse(when).unwrap_or_else(|e| panic!("{when}: {e}")))
}

/// Settings of a test: nothing comes late.
pub fn settings() -> Settings {
    Settings { lateness_ms: 0, ..Settings::since(Millis(0)) }
}

pub fn observe(evaluator: &mut Evaluator, samples: &[(Series, Sample)]) {
    for (series, sample) in samples {
        if let Lookup::Watched(key) = evaluator.series(series) {
            assert_eq!(evaluator.observe(key, *sample), Observed::Taken, "{series} {sample:?}");
        }
    }
}

/// What `rules` make of `samples`, with nothing after the last of them.
pub fn play(rules: &[TriggerRule], samples: &Samples) -> Vec<Transition> {
    let mut evaluator = Evaluator::new(rules.to_vec(), settings());
    observe(&mut evaluator, samples);
    let end = samples.last().map_or(Millis(0), |(_, s)| s.at);
    evaluator.advance(end)
}

/// The times of the transitions of this kind, in minutes.
pub fn minutes(changes: &[Transition], is_meant: impl Fn(&TransitionKind) -> bool) -> Vec<f64> {
    #[expect(clippy::cast_precision_loss, reason = "times of tests are small")]
    let minute = |t: &Transition| t.at.0 as f64 / MINUTE as f64;
    changes.iter().filter(|t| is_meant(&t.kind)).map(minute).collect()
}

pub fn fired(changes: &[Transition]) -> Vec<f64> {
    minutes(changes, |kind| matches!(kind, TransitionKind::Fired(_)))
}

/// When `when` fires, in minutes, for samples a minute apart.
pub fn fires(when: &str, text: &str) -> Vec<f64> {
    fired(&play(&[rule(when)], &samples(text, MINUTE)))
}
