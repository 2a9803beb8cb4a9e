//! What the answer must not depend on: how often anybody asks, in which order samples come, and whether the process is
//! another one now.

use crate::play::{rule, settings};
use proptest::prelude::*;
use std::collections::BTreeMap;
use unship_policy::NoData;
use unship_rollback::{
    signal::{Millis, Sample, Series},
    trigger::{Evaluator, Lookup, Rule, Transition, TriggerRule},
};

const SECOND: i64 = 1000;
const LATENESS_S: i64 = 30;

/// Sentences over `a`, `b` and the counters `c_total`, `d_total`, with windows of a length that random samples fill.
const SENTENCES: &[&str] = &[
    "a > 5",
    "a > 5 for 40s",
    "not a > 5 for 20s",
    "(a > 5 or b < 3) for 30s",
    "a > 5 for 30s while b > 2",
    "avg(a) > 5 in 60s",
    "p95(a) >= 7 in 90s for 10s",
    "max(a) < 6 in 45s",
    "count(a) > 20 in 60s",
    "count(c_total) > 3 in 60s",
    "count(c_total) / count(d_total) > 50% in 120s",
    "a > 6 occurring > 2 times in 90s",
    "consecutive(b) > 3",
    "b unresponsive for 20s",
    "a > 2x baseline for 10s",
    "a > 5 and count(c_total) > 1 in 60s or not b > 1",
];

fn rules() -> impl Strategy<Value = Vec<TriggerRule>> {
    let one = (
        0..SENTENCES.len(),
        proptest::option::of(0..SENTENCES.len()),
        prop_oneof![Just(NoData::Hold), Just(NoData::Breach), Just(NoData::Ok)],
        prop_oneof![Just(15), Just(60)],
        any::<bool>(),
        1..4_u32,
        (1..200_i64, 1..4_u32),
    );
    proptest::collection::vec(one, 1..4).prop_map(|all| {
        let made = |(when, clear, no_data, stale_s, latch, min_samples, (cooldown_s, budget)): (
            usize,
            Option<usize>,
            _,
            i64,
            _,
            _,
            (i64, _),
        )| {
            let mut rule = rule(SENTENCES[when]);
            rule.clear = clear.map(|clear| Rule::parse(SENTENCES[clear]).expect("a rule"));
            rule.conduct.no_data = no_data;
            rule.conduct.stale_after_ms = stale_s * SECOND;
            rule.conduct.latch = latch;
            rule.conduct.min_samples = min_samples;
            rule.conduct.cooldown_ms = cooldown_s * SECOND;
            rule.conduct.budget = budget;
            rule.conduct.baseline_over_ms = 48 * SECOND;
            rule.conduct.baseline_min_samples = 3;
            rule
        };
        all.into_iter().map(made).collect()
    })
}

/// Samples of eight series in 10 minutes, in the order of their times.
fn stream() -> impl Strategy<Value = Vec<(usize, Sample)>> {
    let value = prop_oneof![20 => (0..10_i32).prop_map(f64::from), 1 => Just(f64::NAN), 1 => Just(f64::INFINITY)];
    let sample = (0..8_usize, 0..600_i64, value)
        .prop_map(|(series, s, value)| (series, Sample { at: Millis(s * SECOND), value }));
    proptest::collection::vec(sample, 0..250).prop_map(|mut all| {
        all.sort_by_key(|(_, sample)| sample.at);
        all
    })
}

fn series(index: usize) -> Series {
    let metric = ["a", "b", "c_total", "d_total"][index % 4];
    let labels = BTreeMap::from([("half".to_owned(), (index / 4).to_string())]);
    Series::new(metric, labels).expect("a series")
}

fn evaluator(rules: &[TriggerRule], lateness_s: i64) -> Evaluator {
    let mut settings = settings();
    settings.lateness_ms = lateness_s * SECOND;
    settings.settling_ms = 20 * SECOND;
    Evaluator::new(rules.to_vec(), settings)
}

fn take(evaluator: &mut Evaluator, (index, sample): (usize, Sample)) {
    if let Lookup::Watched(key) = evaluator.series(&series(index)) {
        evaluator.observe(key, sample);
    }
}

const END: Millis = Millis(2000 * SECOND);

/// All at once.
fn plainly(rules: &[TriggerRule], stream: &[(usize, Sample)]) -> Vec<String> {
    let mut evaluator = evaluator(rules, 0);
    stream.iter().for_each(|one| take(&mut evaluator, *one));
    shown(&mut evaluator.advance(END))
}

/// By time, and then by rule: that is their order.
fn shown(changes: &mut [Transition]) -> Vec<String> {
    changes.sort_by_key(|t| (t.at, t.rule));
    changes.iter().map(|t| format!("{t:?}")).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn the_answer_does_not_depend_on_how_often_anybody_asks(rules in rules(), stream in stream(), every_s in 1..120_i64) {
        let expected = plainly(&rules, &stream);
        let mut evaluator = evaluator(&rules, 0);
        let mut changes = Vec::new();
        let mut next = stream.iter().peekable();
        for now in (0..).map(|i| Millis(i * every_s * SECOND)).take_while(|now| *now < END) {
            while let Some(one) = next.next_if(|(_, sample)| sample.at <= now) {
                take(&mut evaluator, *one);
            }
            changes.extend(evaluator.advance(now));
        }
        changes.extend(evaluator.advance(END));
        prop_assert_eq!(shown(&mut changes), expected);
    }

    #[test]
    fn nor_on_the_order_in_which_samples_come_within_the_lateness(
        rules in rules(),
        stream in stream(),
        delays in proptest::collection::vec(0..LATENESS_S, 250),
        every_s in 1..20_i64,
    ) {
        let expected = plainly(&rules, &stream);
        let mut arriving: Vec<(i64, (usize, Sample))> = stream.iter().zip(&delays).map(|(one, delay)| (one.1.at.0 + delay * SECOND, *one)).collect();
        arriving.sort_by_key(|(arrival, _)| *arrival);
        let mut evaluator = evaluator(&rules, LATENESS_S);
        let mut changes = Vec::new();
        let mut asked = 0;
        for (arrival, one) in arriving {
            while asked + every_s * SECOND <= arrival {
                asked += every_s * SECOND;
                changes.extend(evaluator.advance(Millis(asked)));
            }
            take(&mut evaluator, one);
        }
        changes.extend(evaluator.advance(END.plus(LATENESS_S * SECOND)));
        prop_assert_eq!(evaluator.stats().late, 0);
        prop_assert_eq!(shown(&mut changes), expected);
    }

    #[test]
    fn nor_on_a_restart_at_any_point(rules in rules(), stream in stream(), at in proptest::collection::vec(0..250_usize, 1..5)) {
        let expected = plainly(&rules, &stream);
        let mut now = evaluator(&rules, 5);
        let settings = crate::properties::evaluator(&rules, 5).settings().clone();
        let mut changes = Vec::new();
        for (index, one) in stream.iter().enumerate() {
            changes.extend(now.advance(one.1.at));
            take(&mut now, *one);
            if at.contains(&index) {
                let state = now.snapshot();
                now = Evaluator::restore(rules.clone(), settings.clone(), &state).expect("its own state");
                prop_assert_eq!(now.snapshot(), state, "read back it is the same to the last bit");
            }
        }
        changes.extend(now.advance(END.plus(5 * SECOND)));
        prop_assert_eq!(shown(&mut changes), expected);
    }
}
