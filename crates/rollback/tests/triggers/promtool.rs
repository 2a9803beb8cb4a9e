//! Prometheus's own promtool as the oracle: random rules and series that both languages can say, and both say the same at
//! each sample. What is left out, because the two differ on purpose, stands in `docs/triggers.md` under "Beside Prometheus".

use crate::play::{MINUTE, observe, rule, samples, settings};
use std::{collections::BTreeSet, fmt::Write as _, fs, path::Path, process::Command};
use unship_rollback::{
    signal::Millis,
    trigger::{Answer, Evaluator},
};

const CASES: usize = 10_000;
/// Cases in one run of promtool.
const BATCH: usize = 500;
/// Samples of a series, a minute apart.
const STEPS: usize = 30;

/// xorshift64*, so that a case can be named by its number.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % n
    }

    fn pick<T: Copy>(&mut self, all: &[T]) -> T {
        all[usize::try_from(self.below(all.len() as u64)).expect("an index")]
    }
}

/// A sentence of ours, what it is in Prometheus's language, and its series: name, and each sample or none.
struct Case {
    ours: String,
    theirs: String,
    hold: Option<u64>,
    series: Vec<(String, Vec<Option<f64>>)>,
}

/// The kinds of sentences; each is drawn as often.
const KINDS: u64 = 9;

fn case(number: usize) -> Case {
    let mut random = Random(0x9E37_79B9_7F4A_7C15 ^ (number as u64 + 1).wrapping_mul(0x0DA3_E39C_B94B_95BD));
    let name = |metric: &str| format!("{metric}{number}");
    let kind = number as u64 % KINDS;
    let hold = (random.below(2) == 0).then(|| 1 + random.below(8));
    let cmp = random.pick(&[">", ">=", "<", "<="]);
    let window = 2 + random.below(9);
    let at = random.below(10);
    let range = format!("{}m59s999ms", window - 1);
    match kind {
        // The newest sample of several series, with gaps, NaN and infinities.
        0 | 1 => {
            let (m, cmp) = (name("m"), random.pick(&[">", ">=", "<", "<=", "=="]));
            let ours = format!("{m} {cmp} {at}");
            let count = 1 + random.below(3);
            let series = (0..count).map(|i| (format!("{m}{{s={i}}}"), gauge(&mut random, true, true))).collect();
            Case { theirs: ours.clone(), ours, hold, series }
        }
        // Aggregates. A threshold that no mean of whole numbers hits: the two add in another order.
        2 | 3 => {
            let m = name("m");
            let (ours, theirs, odd) = random.pick(&[
                ("avg", "avg_over_time(", true),
                ("sum", "sum_over_time(", true),
                ("min", "min_over_time(", false),
                ("max", "max_over_time(", false),
                ("p50", "quantile_over_time(0.5, ", false),
                ("p90", "quantile_over_time(0.9, ", false),
            ]);
            // In a gap a window moves on, and with it a `for` of Prometheus.
            let series = vec![(m.clone(), gauge(&mut random, hold.is_none(), odd))];
            let ours = format!("{ours}({m}) {cmp} {at}.0371 in {window}m");
            Case { ours, theirs: format!("{theirs}{m}[{range}]) {cmp} {at}.0371"), hold, series }
        }
        // Events.
        4 => {
            let e = name("e");
            let series = vec![(e.clone(), gauge(&mut random, hold.is_none(), false))];
            let at = at * 3;
            Case {
                ours: format!("count({e}) {cmp} {at} in {window}m"),
                theirs: format!("sum_over_time({e}[{range}]) {cmp} {at}"),
                hold,
                series,
            }
        }
        // A counter that only grows; its increase without extrapolation.
        5 => {
            let c = format!("c{number}_total");
            let series = vec![(c.clone(), counter(&mut random, 0))];
            Case {
                ours: format!("count({c}) {cmp} {at} in {window}m"),
                theirs: format!("{} {cmp} {at}", grown(&c, window)),
                hold,
                series,
            }
        }
        // One counter by another.
        6 => {
            let (a, b) = (format!("a{number}_total"), format!("b{number}_total"));
            let series = vec![(a.clone(), counter(&mut random, 0)), (b.clone(), counter(&mut random, 1))];
            let at = 10 + random.below(90);
            Case {
                ours: format!("count({a}) / count({b}) {cmp} {at}.371% in {window}m"),
                theirs: format!("{} / {} {cmp} 0.{at}371", grown(&a, window), grown(&b, window)),
                hold,
                series,
            }
        }
        // Occurrences, and rows.
        7 => {
            let q = name("q");
            let times = random.below(5);
            let series = vec![(q.clone(), gauge(&mut random, false, false))];
            if random.below(2) == 0 {
                let ours = format!("{q} > {at} occurring {cmp} {times} times in {window}m");
                let theirs = format!("sum_over_time(({q} > bool {at})[{range}:1m]) {cmp} {times}");
                Case { ours, theirs, hold, series }
            } else {
                let row = 1 + random.below(3);
                let series = vec![(q.clone(), flags(&mut random))];
                let theirs = format!("min_over_time({q}[{row}m]) > 0 and count_over_time({q}[{row}m]) > {row}");
                Case { ours: format!("consecutive({q}) > {row}"), theirs, hold, series }
            }
        }
        // Joined terms, `while`, `unresponsive` and `detected`.
        _ => joined(number, &mut random, hold),
    }
}

/// What a counter without a reset or a gap grew by.
fn grown(counter: &str, window: u64) -> String {
    format!("({counter} - min_over_time({counter}[{window}m]))")
}

fn joined(number: usize, random: &mut Random, hold: Option<u64>) -> Case {
    let names = ["x", "y", "z"].map(|m| format!("{m}{number}"));
    let series = names.iter().map(|m| (m.clone(), gauge(random, false, false))).collect();
    let mut terms = Vec::new();
    for m in &names {
        let (cmp, at) = (random.pick(&[">", ">=", "<", "<="]), random.below(10));
        terms.push((format!("{m} {cmp} {at}"), format!("({m} {cmp} bool {at})")));
    }
    let [(a, pa), (b, pb), (c, pc)] = terms.try_into().expect("three");
    let (ours, theirs) = match random.below(7) {
        0 => (format!("({a} and {b} or {c})"), format!("clamp_max({pa} * {pb} + {pc}, 1)")),
        1 => (format!("({a} or {b} and {c})"), format!("clamp_max({pa} + {pb} * {pc}, 1)")),
        2 => (format!("({a} and ({b} or not {c}))"), format!("{pa} * clamp_max({pb} + 1 - {pc}, 1)")),
        3 => (format!("(not ({a} or {b}))"), format!("1 - clamp_max({pa} + {pb}, 1)")),
        4 => {
            // `while` stands behind the `for`.
            let held = hold.map_or(String::new(), |d| format!(" for {d}m"));
            return Case {
                ours: format!("{a}{held} while {b} or {c}"),
                theirs: format!("{pa} * clamp_max({pb} + {pc}, 1) == 1"),
                hold: hold.map(|d| d | WRITTEN),
                series,
            };
        }
        5 => {
            let d = hold.unwrap_or(3);
            let x = names[0].clone();
            let series = vec![(x.clone(), flags(random))];
            let ours = format!("{x} unresponsive for {d}m");
            return Case { ours, theirs: format!("{x} == 0"), hold: Some(d | WRITTEN), series };
        }
        _ => {
            let x = names[0].clone();
            let series = vec![(x.clone(), flags(random))];
            return Case { ours: format!("{x} detected"), theirs: format!("{x} != 0"), hold, series };
        }
    };
    Case { ours, theirs: format!("{theirs} == 1"), hold, series }
}

/// The sentence has its `for` already.
const WRITTEN: u64 = 1 << 32;

impl Case {
    fn minutes(&self) -> Option<u64> {
        self.hold.map(|d| d & !WRITTEN)
    }

    fn sentence(&self) -> String {
        let unwritten = self.hold.filter(|d| d & WRITTEN == 0 && !self.ours.contains("detected"));
        match (unwritten, self.ours.ends_with("detected").then_some(self.minutes()).flatten()) {
            (Some(d), _) => format!("{} for {d}m", self.ours),
            (None, Some(d)) => format!("({}) for {d}m", self.ours),
            (None, None) => self.ours.clone(),
        }
    }

    /// The minutes at which every series has a sample: where the two are compared.
    fn compared(&self) -> impl Iterator<Item = usize> {
        (0..STEPS).filter(|i| self.series.iter().all(|(_, values)| values[*i].is_some()))
    }

    /// The minutes at which our rule holds.
    fn holds(&self) -> BTreeSet<usize> {
        let mut evaluator = Evaluator::new(vec![rule(&self.sentence())], settings());
        let text = self.series.iter().fold(String::new(), |mut text, (name, values)| {
            writeln!(text, "{name} {}", values.iter().copied().map(written).collect::<Vec<_>>().join(" "))
                .expect("a string");
            text
        });
        observe(&mut evaluator, &samples(&text, MINUTE));
        let mut holds = BTreeSet::new();
        for minute in 0..STEPS {
            evaluator.advance(Millis(i64::try_from(minute).expect("small") * MINUTE));
            if evaluator.state(0).is_some_and(|s| s.answer == Answer::Breach) {
                holds.insert(minute);
            }
        }
        holds
    }
}

fn written(value: Option<f64>) -> String {
    value.map_or_else(|| "_".to_owned(), |v| v.to_string())
}

/// Whole numbers below 11, in short stretches of high or low ones so that a `for` is met now and then.
#[expect(clippy::cast_precision_loss, reason = "small")]
fn gauge(random: &mut Random, gaps: bool, odd: bool) -> Vec<Option<f64>> {
    let mut low = 0;
    let mut gap = 0;
    let mut one = |i: usize| {
        if random.below(5) == 0 {
            low = random.below(8);
        }
        if gaps && gap == 0 && i > 0 && random.below(12) == 0 {
            gap = 1 + random.below(8);
        }
        if gap > 0 {
            gap -= 1;
            return None;
        }
        Some(match random.below(60) {
            0 if odd => f64::NAN,
            1 if odd => f64::INFINITY,
            2 if odd => f64::NEG_INFINITY,
            _ => (low + random.below(4)) as f64,
        })
    };
    let mut values: Vec<Option<f64>> = (0..STEPS).map(&mut one).collect();
    // No gap of five: between two samples six minutes apart it looks each minute, and never sees the first as too old.
    for i in 5..STEPS - 1 {
        let is_five =
            values[i - 4..=i].iter().all(Option::is_none) && values[i - 5].is_some() && values[i + 1].is_some();
        if is_five {
            values[i] = Some(3.0);
        }
    }
    values
}

fn flags(random: &mut Random) -> Vec<Option<f64>> {
    let mut flag = 0.0;
    let mut one = |_| {
        if random.below(4) == 0 {
            flag = 1.0 - flag;
        }
        Some(flag)
    };
    (0..STEPS).map(&mut one).collect()
}

#[expect(clippy::cast_precision_loss, reason = "small")]
fn counter(random: &mut Random, least: u64) -> Vec<Option<f64>> {
    let mut total = random.below(50);
    let mut one = |_| {
        total += least + random.below(4) * random.below(2);
        Some(total as f64)
    };
    (0..STEPS).map(&mut one).collect()
}

/// What promtool says: for each minute the cases whose alert fires.
fn oracle(dir: &Path, cases: &[(usize, Case)]) -> Vec<BTreeSet<usize>> {
    let alerts: Vec<_> = cases
        .iter()
        .map(|(number, case)| {
            let hold = format!("{}m", case.minutes().unwrap_or(0));
            serde_json::json!({ "alert": format!("A{number}"), "expr": case.theirs, "for": hold })
        })
        .collect();
    let input: Vec<_> = cases
        .iter()
        .flat_map(|(_, case)| &case.series)
        .map(|(name, values)| {
            let values: Vec<String> = values.iter().copied().map(|v| written(v).replace("inf", "Inf")).collect();
            let series = name.replace("s=", "s=\"").replace('}', "\"}");
            serde_json::json!({ "series": series, "values": values.join(" ") })
        })
        .collect();
    // Nothing is expected, so what fires is told.
    let asked: Vec<_> = (0..STEPS)
        .map(|minute| {
            let firing = "group by (alertname) (ALERTS{alertstate=\"firing\"})";
            serde_json::json!({ "expr": firing, "eval_time": format!("{minute}m"), "exp_samples": [] })
        })
        .collect();
    let rules = serde_json::json!({ "groups": [{ "name": "g", "rules": alerts }] });
    let test = serde_json::json!({
        "rule_files": ["rules.yml"], "evaluation_interval": "1m",
        "tests": [{ "interval": "1m", "input_series": input, "promql_expr_test": asked }],
    });
    fs::write(dir.join("rules.yml"), rules.to_string()).expect("written");
    fs::write(dir.join("test.yml"), test.to_string()).expect("written");
    let promtool = std::env::var_os("UNSHIP_PROMTOOL").unwrap_or_else(|| "promtool".into());
    let out = Command::new(promtool).args(["test", "rules", "test.yml"]).current_dir(dir).output().unwrap_or_else(|e| {
        panic!("this test needs promtool 2.42, of Debian's package `prometheus` ({e}): `cargo xtask test` fetches it, or put it on PATH")
    });
    firing(&String::from_utf8_lossy(&out.stdout), &String::from_utf8_lossy(&out.stderr))
}

fn firing(stdout: &str, stderr: &str) -> Vec<BTreeSet<usize>> {
    let said = format!("{stdout}\n{stderr}");
    assert!(said.contains("Unit Testing") && !said.contains("error"), "promtool took the files: {said}");
    let mut minutes = vec![BTreeSet::new(); STEPS];
    for part in said.split("time: ").skip(1) {
        let (time, rest) = part.split_once(',').expect("a time");
        // `1m`, or `0s`.
        let minute: usize = time.trim_end_matches(['m', 's']).parse().unwrap_or_else(|_| panic!("time {time}"));
        let got = rest.split_once("got:").map_or("", |(_, got)| got.lines().next().unwrap_or_default());
        for name in got.split("alertname=\"A").skip(1) {
            minutes[minute].insert(name.split('"').next().and_then(|n| n.parse().ok()).expect("a number"));
        }
    }
    minutes
}

#[test]
fn promtool_agrees_on_ten_thousand_random_cases() {
    let dir = tempfile::tempdir().expect("a folder");
    let (mut fired, mut wrong) = (0, Vec::new());
    for batch in 0..CASES / BATCH {
        let cases: Vec<(usize, Case)> = (batch * BATCH..(batch + 1) * BATCH).map(|n| (n, case(n))).collect();
        let theirs = oracle(dir.path(), &cases);
        for (number, case) in &cases {
            let holds = case.holds();
            let ours: BTreeSet<usize> = case.compared().filter(|m| holds.contains(m)).collect();
            let theirs: BTreeSet<usize> = case.compared().filter(|m| theirs[*m].contains(number)).collect();
            fired += usize::from(!ours.is_empty());
            if ours != theirs {
                let held = case.minutes();
                wrong.push(format!(
                    "{number}: `{}` at {ours:?}; `{}` for {held:?} at {theirs:?}; of {:?}",
                    case.sentence(),
                    case.theirs,
                    case.series
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {CASES} differ: {:#?}", wrong.len(), &wrong[..wrong.len().min(5)]);
    assert!((CASES / 3..CASES).contains(&fired), "some hold and some do not: {fired}");
}

/// Ours, theirs, minutes of `for`, series, the minutes at which ours holds and theirs fires.
struct Difference(
    &'static str,
    &'static str,
    u64,
    &'static [(&'static str, &'static str)],
    &'static [usize],
    &'static [usize],
);

const DIFFERENCES: &[Difference] = &[
    // A `for` ends at a sample, never in a gap.
    Difference("m > 5", "m > 5", 3, &[("m", "6 6 6 _ _ 6")], &[5, 6, 7, 8, 9, 10], &[3, 4, 5, 6, 7, 8, 9, 10]),
    // A gap is as long as it is, not as long as it looked at the evaluations.
    Difference(
        "m > 5",
        "m > 5",
        1,
        &[("m", "6 _ _ _ _ _ 6 6")],
        &[7, 8, 9, 10, 11, 12],
        &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12],
    ),
    // A counter that is born above zero.
    Difference(
        "count(m_total) > 3 in 10m",
        "increase(m_total[10m]) > 3",
        0,
        &[("m_total", "_ _ _ _ _ 4 4 4")],
        &[5, 6, 7, 8, 9, 10, 11, 12],
        &[],
    ),
    // Increase is extrapolated there: 3 within a part of the window are told as more than 3.
    Difference("count(m_total) > 3 in 5m", "increase(m_total[5m]) > 3", 0, &[("m_total", "0 0 0 3 3 3")], &[], &[6, 7]),
    // NaN is an error, not another number …
    Difference("m != 5", "m != 5", 0, &[("m", "5 NaN 5")], &[], &[1]),
    // … and no value of a maximum.
    Difference(
        "max(m) > 5 in 3m",
        "max_over_time(m[3m]) > 5",
        0,
        &[("m", "6 NaN 6 0 0")],
        &[0, 4, 5, 6, 7, 8, 9],
        &[0, 1, 2, 3, 4, 5],
    ),
    // Windows are open at their old end.
    Difference("sum(m) > 5 in 2m", "sum_over_time(m[2m]) > 5", 0, &[("m", "2 2 2")], &[], &[2]),
    // Something by nothing is no ratio.
    Difference(
        "count(m) / count(n) > 50% in 5m",
        "sum_over_time(m[5m]) / sum_over_time(n[5m]) > 0.5",
        0,
        &[("m", "1 1 1"), ("n", "0 0 0")],
        &[],
        &[0, 1, 2, 3, 4, 5, 6, 7],
    ),
];

/// Each is tested from both sides, so that none of them is only said.
#[test]
fn the_deliberate_differences_are_as_listed() {
    let some = |text: &str| -> Vec<Option<f64>> {
        text.split_whitespace().map(|w| w.parse().ok()).chain(std::iter::repeat(None)).take(STEPS).collect()
    };
    let dir = tempfile::tempdir().expect("a folder");
    let mut wrong = Vec::new();
    for Difference(ours, theirs, hold, series, ours_at, theirs_at) in DIFFERENCES {
        let series = series.iter().map(|(name, values)| ((*name).to_owned(), some(values))).collect();
        let hold = (*hold > 0).then_some(*hold);
        let case = Case { ours: (*ours).to_owned(), theirs: (*theirs).to_owned(), hold, series };
        let holds: Vec<usize> = case.holds().into_iter().collect();
        let fires = oracle(dir.path(), &[(1, case)]);
        let fires: Vec<usize> = (0..STEPS).filter(|minute| fires[*minute].contains(&1)).collect();
        if holds != *ours_at || fires != *theirs_at {
            wrong.push(format!("`{ours}` holds at {holds:?}, `{theirs}` fires at {fires:?}"));
        }
        assert_ne!(ours_at, theirs_at, "`{ours}`: no difference");
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
