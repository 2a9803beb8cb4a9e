//! From breach to firing and back: no data, hysteresis, latch and re-arming, cooldown, budget, silences, runs, the clock.

use crate::play::{MINUTE, fired, minutes, observe, play, rule, samples, settings};
use unship_policy::NoData;
use unship_rollback::{
    signal::{Millis, Sample, Series},
    trigger::{
        Answer, Evaluator, Lookup, Observed, Phase, Rule, Silence, Suppression, Transition, TransitionKind, TriggerRule,
    },
};

fn at(minute: i64) -> Millis {
    Millis(minute * MINUTE)
}

fn cleared(changes: &[Transition]) -> Vec<f64> {
    minutes(changes, |kind| *kind == TransitionKind::Cleared)
}

fn suppressed(changes: &[Transition]) -> Vec<(f64, Suppression)> {
    let told = |t: &Transition| match t.kind {
        TransitionKind::Suppressed(why) => Some((minutes(std::slice::from_ref(t), |_| true)[0], why)),
        _ => None,
    };
    changes.iter().filter_map(told).collect()
}

/// A rule that is armed again when it clears, without a rest.
fn eager(when: &str) -> TriggerRule {
    let mut rule = rule(when);
    rule.conduct.latch = false;
    rule.conduct.cooldown_ms = 1;
    rule.conduct.budget = 1000;
    rule
}

#[test]
fn flapping_at_the_threshold_acts_once() {
    let flapping = samples(&format!("m 0*2 {}", "6 4 ".repeat(100)), MINUTE);
    assert_eq!(fired(&play(&[rule("m > 5")], &flapping)), [2.0], "it is latched");
    let mut cooled = eager("m > 5");
    cooled.conduct.cooldown_ms = 300 * MINUTE;
    assert_eq!(fired(&play(&[cooled], &flapping)), [2.0], "it rests");
    let mut spent = eager("m > 5");
    spent.conduct.budget = 1;
    assert_eq!(fired(&play(&[spent], &flapping)), [2.0], "its budget is spent");
    let mut hysteresis = eager("m > 5");
    hysteresis.clear = Some(Rule::parse("m < 3 for 2m").expect("a rule"));
    let changes = play(&[hysteresis], &flapping);
    assert_eq!((fired(&changes), cleared(&changes)), (vec![2.0], vec![]), "it is not clear yet");
    assert_eq!(fired(&play(&[eager("m > 5")], &flapping)).len(), 100, "else it would act each time");
}

#[test]
fn it_clears_at_its_own_threshold() {
    let mut rule = eager("m > 5");
    rule.clear = Some(Rule::parse("m < 3 for 2m").expect("a rule"));
    let changes = play(&[rule], &samples("m 6 4*5 2*2 4 2*3 6", MINUTE));
    assert_eq!(fired(&changes), [0.0, 12.0]);
    assert_eq!(cleared(&changes), [11.0]);
}

#[test]
fn a_latched_trigger_waits_for_a_person() {
    let mut evaluator = Evaluator::new(vec![rule("m > 5")], settings());
    let all = samples("m 6 0 6 0 6 6", MINUTE);
    observe(&mut evaluator, &all);
    assert_eq!(fired(&evaluator.advance(at(3))), [0.0]);
    assert_eq!(evaluator.state(0).map(|s| s.phase), Some(Phase::Latched));
    assert_eq!(evaluator.rearm(0, at(3)).map(|t| t.kind), Some(TransitionKind::Rearmed));
    assert_eq!(evaluator.rearm(0, at(3)), None, "it is armed");
    // It fired four minutes ago: it rests for an hour, and then there is its budget.
    assert_eq!(suppressed(&evaluator.advance(at(5))), [(4.0, Suppression::Cooldown(at(60)))]);
    observe(&mut evaluator, &samples("m _*60 6*2", MINUTE));
    let day = 24 * 60;
    assert_eq!(suppressed(&evaluator.advance(at(61))), [(60.0, Suppression::Budget(at(day)))]);
    observe(&mut evaluator, &samples(&format!("m _*{} 6*2", day - 1), MINUTE));
    assert_eq!(fired(&evaluator.advance(at(day))), [24.0 * 60.0], "a day later it may again");
}

#[test]
fn no_data_means_what_policy_says() {
    let told = |no_data, text: &str| {
        let mut rule = rule("m > 5");
        rule.conduct.no_data = no_data;
        let mut evaluator = Evaluator::new(vec![rule], settings());
        observe(&mut evaluator, &samples(text, MINUTE));
        let changes = evaluator.advance(at(120));
        (fired(&changes), cleared(&changes))
    };
    let gone = 5.0 + 1.0 / 60_000.0;
    assert_eq!(told(NoData::Hold, "m 0"), (vec![], vec![]));
    assert_eq!(told(NoData::Hold, "m 6"), (vec![0.0], vec![]), "what fired stays fired");
    assert_eq!(told(NoData::Hold, ""), (vec![], vec![]));
    assert_eq!(told(NoData::Breach, "m 0"), (vec![gone], vec![]), "at the very end of what is not too old");
    assert_eq!(told(NoData::Breach, ""), (vec![gone], vec![]), "also when there never was any");
    assert_eq!(told(NoData::Ok, "m 6"), (vec![0.0], vec![gone]));
    assert_eq!(
        told(NoData::Breach, "m 0 NaN"),
        (vec![gone + 1.0], vec![]),
        "an error is held; only then there is no data"
    );
}

#[test]
fn a_silence_ends_and_what_still_breaches_fires_then() {
    let silence = |name: Option<&str>| Silence { rule: name.map(str::to_owned), from: at(1), until: at(4) };
    let told = |name: Option<&str>| {
        let mut evaluator = Evaluator::new(vec![rule("m > 5")], settings());
        evaluator.silence(silence(name));
        observe(&mut evaluator, &samples("m 0*2 6*9", MINUTE));
        let changes = evaluator.advance(at(10));
        (suppressed(&changes), fired(&changes))
    };
    assert_eq!(told(None), (vec![(2.0, Suppression::Silenced(at(4)))], vec![4.0]));
    assert_eq!(told(Some("rule")), told(None));
    assert_eq!(told(Some("other")), (vec![], vec![2.0]));
}

#[test]
fn what_is_seen_during_a_run_counts_for_nothing() {
    let told = |when: &str, text: &str| {
        let mut evaluator = Evaluator::new(vec![eager(when)], settings());
        evaluator.run_began(at(2));
        evaluator.run_ended(at(5));
        observe(&mut evaluator, &samples(text, MINUTE));
        (fired(&evaluator.advance(at(60))), evaluator.stats().inhibited)
    };
    assert_eq!(told("m > 5", "m 0*2 6*3 0*3"), (vec![], 3));
    assert_eq!(told("m > 5", "m 0*2 6*3 6"), (vec![5.0], 3), "what still breaches afterwards does count");
    assert_eq!(told("m > 5 for 3m", "m 6*9"), (vec![8.0], 3), "a `for` begins anew");
    assert_eq!(told("(m > 5) for 3m", "m 6*9"), (vec![8.0], 3));
    assert_eq!(
        told("count(m_total) > 3 in 10m", "m_total 0*2 5*7"),
        (vec![], 3),
        "restarts of the run are not counted"
    );
    assert_eq!(told("count(m_total) > 3 in 10m", "m_total 0*2 5*4 9"), (vec![6.0], 3));
    assert_eq!(told("consecutive(m) > 3", "m 1*8"), (vec![], 3));
}

#[test]
fn late_duplicate_and_out_of_order_samples() {
    let mut settings = settings();
    settings.lateness_ms = 2 * MINUTE;
    let mut evaluator = Evaluator::new(vec![eager("m > 5")], settings);
    let Lookup::Watched(key) = evaluator.series(&Series::new("m", [].into()).expect("a series")) else {
        panic!("a rule speaks of it");
    };
    let take = |evaluator: &mut Evaluator, minute, value| evaluator.observe(key, Sample { at: at(minute), value });
    assert_eq!(take(&mut evaluator, 3, 0.0), Observed::Taken);
    assert_eq!(take(&mut evaluator, 1, 6.0), Observed::Taken);
    assert_eq!(take(&mut evaluator, 3, 0.0), Observed::Taken);
    assert_eq!(take(&mut evaluator, 2, 0.0), Observed::Taken);
    assert_eq!(take(&mut evaluator, 2, 7.0), Observed::Taken);
    assert_eq!(fired(&evaluator.advance(at(3))), [1.0], "only what is older than the lateness is decided");
    assert_eq!(take(&mut evaluator, 1, 0.0), Observed::Late);
    let changes = evaluator.advance(at(5));
    assert_eq!(cleared(&changes), [3.0], "of two values of one time the greater counts");
    let stats = evaluator.stats();
    assert_eq!((stats.samples, stats.late, stats.duplicates, stats.conflicts), (3, 1, 2, 1));
}

#[test]
fn a_clock_that_goes_back_makes_everything_unknown_and_clears_nothing() {
    let mut settings = settings();
    settings.lateness_ms = 10_000;
    let mut evaluator = Evaluator::new(vec![rule("m > 5"), rule("m > 7 for 5m")], settings);
    let feed = |evaluator: &mut Evaluator, minute, value| {
        let Lookup::Watched(key) = evaluator.series(&Series::new("m", [].into()).expect("a series")) else {
            panic!("a rule speaks of it");
        };
        evaluator.observe(key, Sample { at: at(minute), value })
    };
    for minute in 100..=104 {
        feed(&mut evaluator, minute, 8.0);
    }
    assert_eq!(fired(&evaluator.advance(at(105))), [100.0]);
    assert!(evaluator.advance(Millis(at(105).0 - 5_000)).is_empty(), "a little is waited for");
    let changes = evaluator.advance(at(40));
    let backs = minutes(&changes, |kind| matches!(kind, TransitionKind::ClockSetBack { .. }));
    assert_eq!(backs, [40.0, 40.0]);
    assert_eq!(evaluator.state(0).map(|s| (s.answer, s.phase)), Some((Answer::NoData, Phase::Fired)));
    assert_eq!(evaluator.state(1).map(|s| (s.answer, s.pending_since)), Some((Answer::NoData, None)));
    assert_eq!(feed(&mut evaluator, 41, 8.0), Observed::Taken, "it goes on from the new time");
    for minute in 42..=46 {
        feed(&mut evaluator, minute, 8.0);
    }
    assert_eq!(fired(&evaluator.advance(at(47))), [46.0], "from there on the `for` counts anew");
    // Forward: what is in between is missing, no more.
    feed(&mut evaluator, 500, 8.0);
    assert_eq!(fired(&evaluator.advance(at(600))), [] as [f64; 0]);
}
