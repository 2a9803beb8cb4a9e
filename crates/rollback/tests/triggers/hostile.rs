//! Input that means harm: a clear error or a bounded answer, and never a panic.

use crate::play::{MINUTE, fired, observe, rule, samples, settings};
use std::collections::BTreeMap;
use unship_rollback::{
    signal::{Millis, Sample, Series},
    trigger::{Answer, Evaluator, Lookup, Observed, RestoreError, Rule, TERMS_MAX},
};

fn numbered(i: u32) -> Series {
    Series::new("m", BTreeMap::from([("i".to_owned(), i.to_string())])).expect("a series")
}

#[test]
fn a_million_series_are_counted_and_the_answer_says_so() {
    let mut settings = settings();
    settings.series_max = 50_000;
    let mut evaluator = Evaluator::new(vec![rule("m > 5"), rule("n > 5")], settings);
    let mut kept = 0;
    for i in 0..1_000_000 {
        match evaluator.series(&numbered(i)) {
            Lookup::Watched(key) => {
                kept += 1;
                evaluator.observe(key, Sample { at: Millis(0), value: 0.0 });
            }
            found => assert_eq!(found, Lookup::Full),
        }
    }
    evaluator.advance(Millis(0));
    assert_eq!((kept, evaluator.stats().series_refused), (50_000, 950_000));
    assert_eq!(evaluator.state(0).map(|s| s.answer), Some(Answer::Error), "well is not what nobody looked at");
    assert_eq!(evaluator.state(1).map(|s| s.answer), Some(Answer::NoData));
    assert!(evaluator.bytes() < 50_000 * 400, "{} bytes", evaluator.bytes());
    // A breach of one that is kept is still seen.
    let Lookup::Watched(key) = evaluator.series(&numbered(7)) else { panic!("it is kept") };
    evaluator.observe(key, Sample { at: Millis(1), value: 6.0 });
    assert_eq!(fired(&evaluator.advance(Millis(1))).len(), 1);
}

#[test]
fn series_that_no_rule_speaks_of_take_no_room() {
    let mut evaluator = Evaluator::new(vec![rule("n > 5")], settings());
    for i in 0..100_000 {
        assert_eq!(evaluator.series(&numbered(i)), Lookup::Unwatched);
    }
    assert!(evaluator.bytes() < 1000, "{} bytes", evaluator.bytes());
}

#[test]
fn windows_and_what_waits_are_bounded() {
    let mut settings = settings();
    settings.points_max = 1000;
    settings.waiting_max = 5000;
    let mut evaluator = Evaluator::new(vec![rule("avg(m) > 5 in 1h")], settings);
    let Lookup::Watched(key) = evaluator.series(&numbered(0)) else { panic!("a rule speaks of it") };
    let taken =
        (0..10_000).filter(|i| evaluator.observe(key, Sample { at: Millis(*i), value: 6.0 }) == Observed::Taken);
    assert_eq!(taken.count(), 5000);
    assert_eq!(evaluator.stats().refused, 5000);
    evaluator.advance(Millis(10_000));
    assert_eq!(evaluator.state(0).map(|s| s.answer), Some(Answer::Error), "a mean of a part is no mean");
    assert!(evaluator.bytes() < 300_000, "{} bytes", evaluator.bytes());
    // Once the window has passed on, it is well again.
    evaluator.observe(key, Sample { at: Millis(62 * MINUTE), value: 4.0 });
    evaluator.advance(Millis(62 * MINUTE));
    assert_eq!(evaluator.state(0).map(|s| s.answer), Some(Answer::Ok));
}

#[test]
fn times_at_the_ends_of_the_scale_do_no_harm() {
    let sentences = [
        "m > 5 for 1m",
        "avg(m) > 5 in 366d for 366d",
        "count(m_total) > 5 in 1m",
        "m > 2x baseline",
        "(m > 5) for 1ms",
    ];
    let mut evaluator = Evaluator::new(sentences.map(rule).into(), settings());
    for time in [i64::MIN, i64::MIN + 1, -1, 0, 1, i64::MAX - 1, i64::MAX] {
        for metric in ["m", "m_total"] {
            let series = Series::new(metric, BTreeMap::new()).expect("a series");
            let Lookup::Watched(key) = evaluator.series(&series) else { panic!("a rule speaks of it") };
            for value in [f64::MAX, f64::MIN, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 6.0] {
                evaluator.observe(key, Sample { at: Millis(time), value });
            }
        }
        evaluator.advance(Millis(time));
    }
    for now in [i64::MIN, 0, i64::MAX, i64::MIN] {
        evaluator.advance(Millis(now));
    }
}

#[test]
fn a_rule_of_ten_thousand_terms_is_refused_and_one_of_the_most_works() {
    let joined = |n: usize, join: &str| vec!["m>1"; n].join(join);
    let error = Rule::parse(&joined(10_000, " or ")).expect_err("too long");
    assert_eq!(error.message, "a rule of 69996 bytes; at most 4096");
    assert_eq!(error.help.as_deref(), Some("split it into several triggers"));
    let most = joined(TERMS_MAX, " and ");
    let mut evaluator = Evaluator::new(vec![rule(&most)], settings());
    observe(&mut evaluator, &samples("m 1 2", MINUTE));
    assert_eq!(fired(&evaluator.advance(Millis(MINUTE))), [1.0]);
}

#[test]
fn a_state_that_is_not_ours_is_refused() {
    let rules = vec![rule("m > 5 for 5m"), rule("avg(n) > 5 in 5m")];
    let mut evaluator = Evaluator::new(rules.clone(), settings());
    observe(&mut evaluator, &samples("m 6*3\nn 6*3", MINUTE));
    evaluator.advance(Millis(2 * MINUTE));
    let good = evaluator.snapshot();
    let restore = |rules: Vec<_>, text: &str| Evaluator::restore(rules, settings(), text);
    assert!(restore(rules.clone(), &good).is_ok());
    let newer = good.replacen("\"version\":1", "\"version\":2", 1);
    assert_eq!(restore(rules.clone(), &newer).expect_err("newer"), RestoreError::Newer(2));
    let unknown = newer.replacen("\"state\"", "\"estate\"", 1);
    assert_eq!(restore(rules.clone(), &unknown).expect_err("newer"), RestoreError::Newer(2), "whatever else it holds");
    let mut others = rules.clone();
    others[1] = rule("avg(n) > 6 in 5m");
    assert_eq!(
        restore(others, &good).expect_err("other"),
        RestoreError::OtherRules("`rule` is new or changed".to_owned())
    );
    assert!(matches!(restore(rules[..1].to_vec(), &good), Err(RestoreError::OtherRules(_))));
    for end in 0..good.len() {
        assert!(matches!(restore(rules.clone(), &good[..end]), Err(RestoreError::Damaged(_))), "cut at {end}");
    }
    // Any digit changed: refused, or a state that can be gone on with.
    for (at, _) in good.match_indices(|c: char| c.is_ascii_digit()) {
        let mut text = good.clone();
        text.replace_range(at..=at, "9");
        if let Ok(mut evaluator) = restore(rules.clone(), &text) {
            observe_any(&mut evaluator);
        }
    }
}

fn observe_any(evaluator: &mut Evaluator) {
    for (series, sample) in samples("m _*3 6*9\nn _*3 6*9", MINUTE) {
        if let Lookup::Watched(key) = evaluator.series(&series) {
            evaluator.observe(key, sample);
        }
    }
    evaluator.advance(Millis(20 * MINUTE));
    let _ = (evaluator.state(0), evaluator.terms(0), evaluator.terms(1), evaluator.bytes());
}
