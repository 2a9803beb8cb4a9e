//! What each sentence of the language means, to the sample; and what is said of a sentence that is none.

use crate::play::{MINUTE, fires, minutes, play, rule, samples};
use unship_rollback::trigger::{Answer, Rule, TransitionKind};

/// Rule, samples a minute apart, the minutes at which it fires.
#[test]
fn every_form_fires_at_its_sample() {
    let cases: &[(&str, &str, &[f64])] = &[
        // Comparisons are exact.
        ("m > 5", "m 5*3 5.001", &[3.0]),
        ("m >= 5", "m 4*3 5", &[3.0]),
        ("m < 5", "m 5*3 4", &[3.0]),
        ("m <= 5", "m 6*3 5", &[3.0]),
        ("m == 5", "m 6*3 5", &[3.0]),
        ("m != 5", "m 5*3 6", &[3.0]),
        ("m < -5", "m -5*3 -6", &[3.0]),
        // Units.
        ("r > 25%", "r 0.25*2 0.26", &[2.0]),
        ("r_percent > 25%", "r_percent 25*2 26", &[2.0]),
        ("t_seconds > 2m", "t_seconds 120*2 121", &[2.0]),
        ("t_ms > 2s", "t_ms 2000*2 2001", &[2.0]),
        ("b > 1 KB", "b 1000*2 1001", &[2.0]),
        ("b > 1 KiB", "b 1024*2 1025", &[2.0]),
        ("n < 600 records/m", "n 10*2 9", &[2.0]),
        ("n > 100 jobs", "n 100*2 101", &[2.0]),
        ("n > 1 MB/s", "n 1000000*2 1000001", &[2.0]),
        // `for`: each sample breaches, from the first to the one that is so much later.
        ("m > 5 for 3m", "m 0*2 6*4", &[5.0]),
        ("m > 5 for 3m", "m 0*2 6*3 5 6*3 5", &[]),
        ("m > 5 for 90s", "m 6*4", &[2.0]),
        // A gap up to the staleness is bridged, a larger one is not; what comes after counts anew.
        ("m > 5 for 6m", "m 6 _*4 6*2", &[6.0]),
        ("m > 5 for 6m", "m 6 _*5 6*6", &[]),
        ("m > 5 for 6m", "m 6 _*5 6*7", &[12.0]),
        // It never fires between samples.
        ("m > 5 for 3m", "m 6*3 _*1 6", &[4.0]),
        // Each series by itself.
        ("m > 5 for 3m", "m{a=1} 6 0 6 0 6 0\nm{a=2} 0 6 0 6 0 6", &[]),
        ("m > 5 for 3m", "m{a=1} 0*6\nm{a=2} 0*2 6*4", &[5.0]),
        ("m{a=\"1\"} > 5", "m{a=1} 0*4\nm{a=2} 6*4\nm 6*4", &[]),
        ("m{a!=\"1\"} > 5", "m{a=1} 6*4\nm 0*2 6", &[2.0]),
        // Windows are open at their old end.
        ("avg(m) > 5 in 2m", "m 0*2 10*2", &[3.0]),
        ("max(m) > 5 in 2m", "m 6 0*4", &[0.0]),
        ("min(m) > 5 in 3m", "m 0*2 6*3", &[4.0]),
        ("sum(m) > 5 in 2m", "m 3*4", &[1.0]),
        ("p50(m) > 5 in 3m", "m 0*3 6*2", &[4.0]),
        ("p95(m) > 5 in 10m", "m 0*9 6", &[]),
        ("avg(m) > 5 in 2m for 2m", "m 0*2 10*4", &[5.0]),
        // Events: each sample is so many.
        ("count(m) > 3 in 3m", "m 1*5", &[]),
        ("count(m) >= 3 in 3m", "m 1*5", &[2.0]),
        ("count(m) > 3 in 3m", "m 0*2 4", &[2.0]),
        // Counters: what the total grew by.
        ("count(m_total) > 3 in 10m", "m_total 100*4 103 104", &[5.0]),
        // One that was there when the evaluator began has a past.
        ("count(m_total) > 3 in 10m", "m_total 4*9", &[]),
        // One that is born above zero, while it is watched, has not.
        ("count(m_total) > 3 in 10m", "o 1*9\nm_total _*5 4", &[5.0]),
        ("count(m_total) > 3 in 10m", "m_total _*5 4", &[5.0]),
        // A reset is a birth.
        ("count(m_total) > 3 in 10m", "m_total 7*3 2 4", &[4.0]),
        ("count(m_total) > 3 in 10m", "m_total 7*3 0 3*5", &[]),
        // When the events of a gap happened is unknown.
        ("count(m_total) > 3 in 10m", "m_total 7 _*6 17*3", &[]),
        // A ratio needs both sides, and something below.
        ("count(f) / count(n) > 50% in 5m", "n 2*3 2\nf 1*3 2", &[3.0]),
        ("count(f) / count(n) > 50% in 5m", "f 1*3", &[]),
        ("count(f) / count(n) > 50% in 5m", "n 0*3\nf 1*3", &[]),
        ("count(f) / count(n) > 50% in 5m", "n{a=1} 1*3\nf{a=2} 1*3", &[]),
        ("count(f) / count(n) > 50% in 5m", "n{a=1} 1*3 0\nf{a=1} 0*3 2", &[3.0]),
        // Occurrences are samples.
        ("q > 2m occurring > 2 times in 5m", "q 121*2 120*3 121*2", &[]),
        ("q > 2m occurring > 2 times in 5m", "q 121*2 120 121", &[3.0]),
        ("q > 2m occurring >= 2 times in 5m", "q 121*2", &[1.0]),
        // More than three in a row is four.
        ("consecutive(b) > 3", "b 1*3 0 1*4", &[7.0]),
        ("consecutive(b) > 3", "b 1*3 0 1*3", &[]),
        ("up unresponsive for 3m", "up 1 0*4", &[4.0]),
        ("up unresponsive for 3m", "up 1 _*9", &[]),
        ("bad detected", "bad 0*2 1", &[2.0]),
        // Joined.
        ("m > 5 and n > 5", "m 6*5\nn 0*3 6", &[3.0]),
        ("m > 5 or n > 5", "m 0*5\nn 0*3 6", &[3.0]),
        ("not m > 5", "m 6*3 5", &[3.0]),
        ("not (m > 5 or n > 5)", "m 6*2 0*2\nn 6*3 0", &[3.0]),
        ("a > 1 or b > 1 and c > 1", "a 0*3\nb 2*3\nc 0*2 2", &[2.0]),
        ("(a > 1 or b > 1) and c > 1", "a 2*3\nb 0*3\nc 0*2 2", &[2.0]),
        ("(m > 5 and n > 5) for 3m", "m 6*6\nn 0 6*5", &[4.0]),
        ("(m > 5 and n > 5) for 3m", "m 6*6\nn 0 6*2 0 6*2", &[]),
        // A precondition interrupts.
        ("m < 100/s for 3m while backlog > 0", "m 5*9\nbacklog 1*2 0 1*4", &[6.0]),
        ("m < 100/s for 3m while backlog > 0", "m 5*9\nbacklog 0*9", &[]),
        ("m < 100/s while backlog > 0", "m 5*9\nbacklog 0*3 1", &[3.0]),
        // Infinity is a number, NaN is none.
        ("m > 5", "m 0*2 inf", &[2.0]),
        ("m < 5", "m 9*2 -inf", &[2.0]),
        ("m > 5", "m 0*2 NaN*5", &[]),
        ("not m > 5", "m 6*2 NaN*5", &[]),
        ("m > 5 for 3m", "m 6*2 NaN 6*3", &[]),
        ("avg(m) > 5 in 3m", "m 6*0 NaN 6*2 _*9", &[]),
        ("avg(m) > 5 in 3m", "m NaN 6*3", &[3.0]),
        ("avg(m) > 5 in 3m", "m inf -inf", &[0.0]),
        ("count(m_total) > 3 in 9m", "m_total 0 NaN 5", &[2.0]),
    ];
    let mut wrong = Vec::new();
    for (when, text, expected) in cases {
        let fired = fires(when, text);
        if fired != *expected {
            wrong.push(format!("`{when}` of {text:?} fires at {fired:?}, not at {expected:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The answers with their minutes.
fn answers(when: &str, text: &str) -> Vec<(f64, Answer)> {
    let changes = play(&[rule(when)], &samples(text, MINUTE));
    let mut all = Vec::new();
    for change in &changes {
        if let TransitionKind::Answered { to, .. } = change.kind {
            all.push((minutes(std::slice::from_ref(change), |_| true)[0], to));
        }
    }
    all
}

#[test]
fn there_are_four_answers_and_each_comes_at_its_time() {
    use Answer::{Breach, Error, NoData, Ok};
    // 5 minutes without a sample are borne, a millisecond more is no data.
    let gone = 60_000.0_f64.mul_add(7.0, 1.0) / 60_000.0;
    assert_eq!(answers("m > 5", "m 0*2 6 _*9\nother 0*12"), [(0.0, Ok), (2.0, Breach), (gone, NoData)]);
    assert_eq!(answers("m > 5 or o > 5", "m 0*2 6 _*9\no 0*12"), [(0.0, Ok), (2.0, Breach), (gone, NoData)]);
    assert_eq!(answers("m > 5", "m 0 NaN 0 6"), [(0.0, Ok), (1.0, Error), (2.0, Ok), (3.0, Breach)]);
    // One that is unknown does not matter where the other decides alone.
    assert_eq!(answers("m > 5 and o > 5", "m 6*3\no 0 NaN 6"), [(0.0, Ok), (1.0, Error), (2.0, Breach)]);
    assert_eq!(answers("m > 5 and o > 5", "m 0*3\no 0 NaN 6"), [(0.0, Ok)]);
    assert_eq!(answers("m > 5 or o > 5", "m 6*3"), [(0.0, Breach)]);
    assert_eq!(answers("m > 5 or o > 5", "m 0*3"), []);
    // A series that went away while it breached is not well, whatever the others are; one that was well is forgotten.
    assert_eq!(answers("m > 5", "m{a=1} 0*9\nm{a=2} 6 _*8"), [(0.0, Breach), (5.0 + 1.0 / 60_000.0, NoData)]);
    assert_eq!(answers("m > 5", "m{a=1} 0*9\nm{a=2} 0 _*8"), [(0.0, Ok)]);
}

#[test]
fn what_is_not_of_the_language_is_told_at_its_place() {
    let deep = format!("{}m > 1{}", "(".repeat(40), ")".repeat(40));
    let nots = format!("{}m > 1", "not ".repeat(500));
    let many = vec!["m > 1"; 65].join(" or ");
    for (text, at, message) in [
        ("", "", "a metric, `not` or `(`, not the end"),
        ("m", "", "a comparison (>, >=, <, <=, ==, !=) is wanted here, not the end"),
        ("m >", "", "a number is wanted here, not the end"),
        ("m > 5 5", "5", "the rule could end here, not `5`"),
        ("m > 5 for", "", "a duration such as `10m` is wanted here, not the end"),
        ("m > 5 for -5m", "-5m", "a duration is longer than 0"),
        ("m > 5 for 0s", "0s", "a duration is longer than 0"),
        ("m > 5 for 400d", "400d", "a duration of a rule is at most 366 d"),
        ("m > 5 for 0.5ms", "0.5ms", "a duration is a whole number of milliseconds"),
        ("m > 5 for 5 GB", "GB", "a unit of time (ms, s, m, h, d) is wanted here, not `GB`"),
        ("m > 5 for 5", "", "a unit of time (ms, s, m, h, d) is wanted here, not the end"),
        ("m > 5parsecs", "parsecs", "there is no unit `parsecs`"),
        ("m > 5 in 10m", "in", "how the samples of the window become one value is not said"),
        ("avg(m) > 5", "", "`in` and how far back to look is wanted here, not the end"),
        ("mean(m) > 5 in 1m", "mean", "there is no function `mean`"),
        ("p0(m) > 5 in 1m", "p0", "there is no function `p0`"),
        ("p100(m) > 5 in 1m", "p100", "there is no function `p100`"),
        ("count(m) > 5s in 1m", "5s", "this is a time, and a count is a number"),
        ("count(m) > 2x baseline in 1m", "x", "`in` and how far back to look is wanted here, not `x`"),
        ("count(a) / b > 5 in 1m", "b", "`count(…)`, as a count is divided by a count,, not `b`"),
        (
            "count(a) / count(b) > 5 GB in 1m",
            "5 GB",
            "this is an amount of bytes, and a ratio is a number or a percentage",
        ),
        ("t_seconds > 5 GB", "5 GB", "this is an amount of bytes, and `t_seconds` is measured in seconds"),
        ("t_seconds > 5%", "5%", "this is a percentage, and `t_seconds` is measured in seconds"),
        ("b_bytes > 5 records/s", "5 records/s", "this is a number per second, and `b_bytes` is measured in bytes"),
        ("m > 5 records/d", "d", "`s`, `m` or `h` is wanted behind `/`, not `d`"),
        ("m > 0x baseline", "0", "how many baselines is a number above 0"),
        ("m > 2x", "", "`baseline` is wanted here, not the end"),
        (
            "m > 2x baseline occurring > 2 times in 1h",
            "2",
            "`occurring` counts samples beyond a fixed threshold, not a baseline",
        ),
        ("m > 5 occurring > 2 in 1h", "in", "`times` is wanted here, not `in`"),
        ("(m > 5", "", "`)` is wanted here, not the end"),
        ("m > 5 and", "", "a metric, `not` or `(`, not the end"),
        ("for > 5", "for", "a metric's name is wanted here, not `for`"),
        ("m{a=b} > 5", "b", "a text in quotes is wanted here, not `b`"),
        ("m{a=\"b > 5", "\"b > 5", "this text has no closing quote"),
        ("m{a} > 5", "}", "`=` or `!=` is wanted here, not `}`"),
        ("m\u{1b}[31m > 5", "\u{1b}", "`\\x1b` has no meaning in a rule"),
        ("m > 5.", "5.", "a digit is missing behind the point"),
        ("ünde > 5", "ü", "`ü` has no meaning in a rule"),
        (&deep, "(", "more than 32 parentheses inside one another"),
        (&nots, "not", "more than 32 parentheses inside one another"),
        (&many, "m > 1", "a rule has at most 64 terms"),
    ] {
        let error = Rule::parse(text).expect_err(text);
        assert_eq!(error.message, message, "{text}");
        assert_eq!(&text[error.span], at, "{text}");
    }
    let huge = format!("m > {}", "9".repeat(400));
    assert_eq!(Rule::parse(&huge).expect_err("huge").message, "this number is too large");
    let large = format!("m > {} TB", "9".repeat(300));
    assert_eq!(Rule::parse(&large).expect_err("large").message, "this quantity is too large");
}

proptest::proptest! {
    #[test]
    fn no_text_makes_the_parser_panic(text: String, words in proptest::collection::vec("[a-z(){}>=<0-9 .,%/x\"]{1,6}|for|in|and|not|count|occurring|times|baseline|while", 0..40)) {
        let _ = Rule::parse(&text);
        if let Err(error) = Rule::parse(&words.join(" ")) {
            proptest::prop_assert!(words.join(" ").get(error.span).is_some());
        }
    }
}

/// Learning: a slice is 2 minutes of `over = 48m`.
fn learning(until: Option<i64>) -> unship_rollback::trigger::TriggerRule {
    let mut rule = rule("m > 2x baseline");
    rule.conduct.baseline_over_ms = 48 * MINUTE;
    rule.conduct.baseline_min_samples = 10;
    rule.conduct.baseline_until = until.map(|minute| unship_rollback::signal::Millis(minute * MINUTE));
    rule
}

#[test]
fn a_baseline_is_learned_of_what_is_well_before_the_story_was_shipped() {
    let fired = |until, text: &str| crate::play::fired(&play(&[learning(until)], &samples(text, MINUTE)));
    // Ten samples in slices that are over, then it is known; before, there is no data.
    assert_eq!(fired(None, "m 10*11 21"), [11.0]);
    assert_eq!(fired(None, "m 10*9 21*2"), [] as [f64; 0]);
    assert_eq!(fired(None, "m 10*11 20*20"), [] as [f64; 0]);
    // A release that makes it worse little by little would teach a worse baseline …
    assert_eq!(fired(None, "m 10*30 18*60 30"), [] as [f64; 0]);
    // … so what was seen since it was shipped teaches nothing.
    assert_eq!(fired(Some(30), "m 10*30 18*60 30"), [90.0]);
    // A baseline of 0 would make anything many times it.
    assert_eq!(fired(None, "m 0*11 21"), [] as [f64; 0]);
    let mut fixed = learning(None);
    fixed.conduct.baseline_fixed = Some(10.0);
    assert_eq!(crate::play::fired(&play(&[fixed], &samples("m 20 21", MINUTE))), [1.0]);
}

#[test]
fn every_sentence_of_the_documentation_is_one() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/triggers.md");
    let text = std::fs::read_to_string(path).expect("the documentation");
    let (_, table) = text.split_once("| sentence | holds when |\n|---|---|\n").expect("the table of sentences");
    let rows = table.lines().take_while(|line| line.starts_with("| `"));
    let sentences: Vec<&str> = rows.filter_map(|row| row.split('`').nth(1)).collect();
    assert!(sentences.len() >= 11, "{sentences:?}");
    for sentence in sentences {
        Rule::parse(sentence).unwrap_or_else(|e| panic!("{sentence}: {e}"));
    }
    // Every unit of the grammar is one.
    let (_, grammar) = text.split_once("time      =").expect("the grammar's units");
    let units = grammar.lines().take(3).flat_map(|line| line.split('"').skip(1).step_by(2));
    let units: Vec<&str> = units.collect();
    assert!(units.len() > 20, "{units:?}");
    for unit in units {
        Rule::parse(&format!("m > 5 {unit}")).unwrap_or_else(|e| panic!("{unit}: {e}"));
    }
}
