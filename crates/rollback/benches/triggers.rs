//! Samples per second, ingested and evaluated on one core, beside Prometheus' own rule evaluator (`promtool`) and a plain
//! node loop, on the same rules and series, by turns; and what a series of a 15-minute window takes in memory.
//!
//! `cargo bench -p unship-rollback --bench triggers -- [--hosts N] [--minutes N] [--rounds N]`. `promtool` (Debian's package
//! `prometheus`) and `node` are looked for on the PATH; what is not there is left out, and said. Times are computing times
//! (user and system), so that what else the machine does does not count.
//!
//! What each row does:
//! - `read`: OpenMetrics text into memory (unship, node) or into a block of a time series database (promtool, `tsdb
//!   create-blocks-from openmetrics`).
//! - `evaluate`: samples that are in memory already, through the rules (unship, node).
//! - `read and evaluate`: both. For promtool that is `test rules`, the one way to evaluate alerting rules offline: it reads
//!   the series in its own notation, loads them into its database and evaluates every 15 s.
//!
//! Each side has to find the same series in breach at the end.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    collections::BTreeSet,
    error::Error,
    fmt::Write as _,
    fs,
    path::Path,
    process::{Command, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};
use unship_rollback::{
    signal::{Dialect, Millis, ReadLimits, Recording, Sample, Series, TextReader},
    trigger::{Evaluator, Lookup, Rule, Settings, TransitionKind, TriggerRule, metrics, replay},
};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Between two samples of a series, and two evaluations.
const EVERY_S: u64 = 15;
const BEGIN_S: u64 = 1_700_000_000;
/// Of so many hosts one goes wrong.
const WRONG_EVERY: usize = 100;

/// The same three rules in both languages.
const RULES: [(&str, &str, &str); 3] = [
    ("error_rate > 25% for 5m", "error_rate > 0.25", "5m"),
    ("avg(error_rate) > 20% in 10m", "avg_over_time(error_rate[10m]) > 0.2", ""),
    ("count(crashes_total) > 3 in 10m", "increase(crashes_total[10m]) > 3", ""),
];

/// Counts what is allocated.
struct Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        HELD.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: see above.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: see above.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn main() -> Result<()> {
    let (mut hosts, mut minutes, mut rounds) = (500usize, 60u64, 5usize);
    let mut args = std::env::args().skip(1).filter(|arg| arg != "--bench");
    while let Some(arg) = args.next() {
        let value = args.next().ok_or("a number is missing")?;
        match arg.as_str() {
            "--hosts" => hosts = value.parse()?,
            "--minutes" => minutes = value.parse()?,
            "--rounds" => rounds = value.parse()?,
            _ => return Err(format!("unknown option {arg}").into()),
        }
    }
    if minutes < 50 || hosts < WRONG_EVERY || rounds == 0 {
        return Err("at least 50 minutes, 100 hosts and one round: something has to go wrong".into());
    }
    let folder = tempfile::tempdir()?;
    let data = Data::new(hosts, minutes);
    data.write(folder.path())?;
    let mut rows: Vec<(&str, Vec<f64>)> = Vec::new();
    let mut missing = BTreeSet::new();
    for round in 0..=rounds {
        for (name, side) in SIDES {
            match side(&data, folder.path())? {
                // The first round warms up.
                Some(_) if round == 0 => {}
                Some(time) => match rows.iter_mut().find(|(known, _)| known == name) {
                    Some((_, times)) => times.push(time.as_secs_f64()),
                    None => rows.push((name, vec![time.as_secs_f64()])),
                },
                None => {
                    missing.insert(*name);
                }
            }
        }
    }
    println!(
        "{} samples of {} series, one every {EVERY_S} s; {} rules; median of {rounds} rounds, one core\n",
        data.samples(),
        2 * hosts,
        RULES.len()
    );
    println!("{:<44} {:>12} {:>16}", "", "ms", "samples/s");
    for (name, times) in &mut rows {
        times.sort_by(f64::total_cmp);
        let median = times[times.len() / 2];
        println!("{name:<44} {:>12.1} {:>16.0}", median * 1e3, data.samples() as f64 / median);
    }
    for name in missing {
        println!("{name:<44} {:>12}", "not installed");
    }
    memory()
}

type Side = fn(&Data, &Path) -> Result<Option<Duration>>;

const SIDES: &[(&str, Side)] = &[
    ("unship: evaluate", evaluate),
    ("node loop: evaluate", |_, folder| node(folder, |told| told["evaluate_ms"].as_f64())),
    ("unship: read", |data, _| read(data).map(|(time, _)| Some(time))),
    ("promtool: read, into a block", block),
    ("node loop: read", |_, folder| node(folder, |told| told["ingest_ms"].as_f64())),
    ("unship: read and evaluate", read_and_evaluate),
    ("promtool: read and evaluate (test rules)", test_rules),
    ("node loop: read and evaluate", |_, folder| {
        node(folder, |told| Some(told["ingest_ms"].as_f64()? + told["evaluate_ms"].as_f64()?))
    }),
];

/// What is measured with.
struct Data {
    hosts: usize,
    steps: usize,
    text: String,
}

impl Data {
    fn new(hosts: usize, minutes: u64) -> Data {
        let steps = usize::try_from(minutes * 60 / EVERY_S).expect("few");
        let mut data = Data { hosts, steps, text: String::new() };
        let mut text = String::new();
        for (metric, kind) in [("error_rate", "gauge"), ("crashes_total", "counter")] {
            let _ = writeln!(text, "# TYPE {} {kind}", metric.trim_end_matches("_total"));
            for host in 0..hosts {
                for step in 0..steps {
                    let at = BEGIN_S + EVERY_S * step as u64;
                    let value = data.value(metric, host, step);
                    let _ = writeln!(text, "{metric}{{host=\"web-{host}\",job=\"api\"}} {value} {at}");
                }
            }
        }
        text.push_str("# EOF\n");
        data.text = text;
        data
    }

    fn samples(&self) -> usize {
        2 * self.hosts * self.steps
    }

    /// From the middle on, one host of a hundred fails much, and crashes once a minute.
    fn value(&self, metric: &str, host: usize, step: usize) -> f64 {
        let is_wrong = host.is_multiple_of(WRONG_EVERY) && step >= self.steps / 2;
        let noise = ((host * 7919 + step * 104_729) % 1000) as f64 / 10_000.0;
        match metric {
            "error_rate" if is_wrong => 0.3 + noise,
            "error_rate" => noise,
            _ if is_wrong => (step - self.steps / 2) as f64 / 4.0,
            _ => 0.0,
        }
        .floor_to(4)
    }

    /// The files of the other sides.
    fn write(&self, folder: &Path) -> Result<()> {
        fs::write(folder.join("data.om"), &self.text)?;
        fs::write(folder.join("loop.js"), include_str!("seed-loop.js"))?;
        let mut rules = format!("groups:\n- name: all\n  interval: {EVERY_S}s\n  rules:\n");
        for (n, (_, expr, sustained)) in RULES.iter().enumerate() {
            let _ = writeln!(rules, "  - alert: rule{n}\n    expr: {expr}");
            if !sustained.is_empty() {
                let _ = writeln!(rules, "    for: {sustained}");
            }
        }
        fs::write(folder.join("rules.yml"), rules)?;
        let mut tests = format!(
            "rule_files: [rules.yml]\nevaluation_interval: {EVERY_S}s\ntests:\n- interval: {EVERY_S}s\n  input_series:\n"
        );
        for metric in ["error_rate", "crashes_total"] {
            for host in 0..self.hosts {
                let values: Vec<String> = (0..self.steps).map(|s| self.value(metric, host, s).to_string()).collect();
                let _ = writeln!(tests, "  - series: '{metric}{{host=\"web-{host}\",job=\"api\"}}'");
                let _ = writeln!(tests, "    values: '{}'", values.join(" "));
            }
        }
        tests.push_str("  alert_rule_test:\n");
        for n in 0..RULES.len() {
            let at = EVERY_S * (self.steps as u64 - 1);
            let _ = writeln!(tests, "  - eval_time: {at}s\n    alertname: rule{n}\n    exp_alerts:");
            for host in (0..self.hosts).step_by(WRONG_EVERY) {
                let _ = writeln!(tests, "    - exp_labels: {{host: web-{host}, job: api}}");
            }
        }
        fs::write(folder.join("tests.yml"), tests)?;
        Ok(())
    }
}

trait FloorTo {
    fn floor_to(self, decimals: i32) -> f64;
}

impl FloorTo for f64 {
    fn floor_to(self, decimals: i32) -> f64 {
        let factor = 10f64.powi(decimals);
        (self * factor).floor() / factor
    }
}

fn rules() -> Vec<TriggerRule> {
    RULES.iter().map(|(rule, ..)| TriggerRule::alone("rule", Rule::parse(rule).expect("a rule"))).collect()
}

/// Computing time of this process so far, or of the children that ended.
fn computed(of: libc::c_int) -> Duration {
    // SAFETY: all zeros is a value of this structure.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: it is ours to be written to.
    let done = unsafe { libc::getrusage(of, &raw mut usage) };
    assert_eq!(done, 0);
    let time =
        |t: libc::timeval| Duration::new(t.tv_sec as u64, u32::try_from(t.tv_usec).expect("below a second") * 1000);
    time(usage.ru_utime) + time(usage.ru_stime)
}

fn own<T>(body: impl FnOnce() -> Result<T>) -> Result<(Duration, T)> {
    let begun = computed(libc::RUSAGE_SELF);
    let done = body()?;
    Ok((computed(libc::RUSAGE_SELF) - begun, done))
}

fn read(data: &Data) -> Result<(Duration, Recording)> {
    own(|| {
        let mut recording = Recording::new(metrics(&rules()), 1_000_000, 100_000_000);
        let mut reader = TextReader::new(Dialect::OpenMetrics, ReadLimits::default(), None, &mut recording);
        for chunk in data.text.as_bytes().chunks(64 << 10) {
            reader.push(chunk)?;
        }
        reader.finish()?;
        Ok(recording)
    })
}

/// All rules fired, and the right series are in breach at the end.
fn judge(data: &Data, recording: &mut Recording) -> Result<()> {
    let until = recording.span().ok_or("no data")?.end;
    let seen = replay(rules(), recording, until);
    if seen.samples != data.samples() as u64 {
        return Err(format!("{} samples were judged", seen.samples).into());
    }
    for (n, (rule, ..)) in RULES.iter().enumerate() {
        if seen.times(n, |kind| matches!(kind, TransitionKind::Fired(_))).count() != 1 {
            return Err(format!("{rule} did not fire once").into());
        }
    }
    Ok(())
}

fn evaluate(data: &Data, _: &Path) -> Result<Option<Duration>> {
    let (_, mut recording) = read(data)?;
    recording.sort();
    own(|| judge(data, &mut recording)).map(|(time, ())| Some(time))
}

fn read_and_evaluate(data: &Data, _: &Path) -> Result<Option<Duration>> {
    own(|| read(data).and_then(|(_, mut recording)| judge(data, &mut recording))).map(|(time, ())| Some(time))
}

/// The computing time of a program that succeeds, on one core, and what it printed; `None`: it is not installed.
fn other(folder: &Path, program: &str, args: &[&str]) -> Result<Option<(Duration, String)>> {
    let begun = computed(libc::RUSAGE_CHILDREN);
    let mut command = Command::new("taskset");
    command.args(["-c", "0", program]).args(args).env("GOMAXPROCS", "1").current_dir(folder).stdin(Stdio::null());
    let output = command.output()?;
    if output.status.code() == Some(127) {
        return Ok(None);
    }
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        return Err(format!("{program}: {}{told}{}", output.status, String::from_utf8_lossy(&output.stderr)).into());
    }
    Ok(Some((computed(libc::RUSAGE_CHILDREN) - begun, told)))
}

fn block(_: &Data, folder: &Path) -> Result<Option<Duration>> {
    let _ = fs::remove_dir_all(folder.join("blocks"));
    let args = ["tsdb", "create-blocks-from", "openmetrics", "--quiet", "data.om", "blocks"];
    let done = other(folder, "promtool", &args)?;
    if done.is_some() && fs::read_dir(folder.join("blocks"))?.count() == 0 {
        return Err("promtool made no block".into());
    }
    Ok(done.map(|(time, _)| time))
}

fn test_rules(_: &Data, folder: &Path) -> Result<Option<Duration>> {
    Ok(other(folder, "promtool", &["test", "rules", "tests.yml"])?.map(|(time, _)| time))
}

/// The loop tells its own computing time, without the start of node.
fn node(folder: &Path, time: fn(&serde_json::Value) -> Option<f64>) -> Result<Option<Duration>> {
    let Some((_, told)) = other(folder, "node", &["loop.js", "data.om"])? else { return Ok(None) };
    let told: serde_json::Value = serde_json::from_str(&told)?;
    let text = fs::read_to_string(folder.join("tests.yml"))?;
    let breaching = text.matches("exp_labels").count() / RULES.len();
    if told["breaching"] != serde_json::json!([breaching, breaching, breaching]) {
        return Err(format!("node found {}, not {breaching}", told["breaching"]).into());
    }
    Ok(Some(Duration::from_secs_f64(time(&told).ok_or("node told no time")? / 1e3)))
}

/// Bytes that one more series of a 15-minute window takes, as the allocator counts them.
fn memory() -> Result<()> {
    const SERIES: u32 = 10_000;
    println!("\nbytes a series, {SERIES} of them, a sample every {EVERY_S} s for an hour:");
    for rule in ["m > 25% for 15m", "avg(m) > 25% in 15m", "count(m_total) > 3 in 15m", "p95(m) > 5 in 15m"] {
        let metric = if rule.contains("m_total") { "m_total" } else { "m" };
        let alone = TriggerRule::alone("rule", Rule::parse(rule).expect("a rule"));
        let settings = Settings { lateness_ms: 0, ..Settings::since(Millis(0)) };
        let before = HELD.load(Ordering::Relaxed);
        let mut evaluator = Evaluator::new(vec![alone], settings);
        let mut keys = Vec::with_capacity(SERIES as usize);
        for n in 0..SERIES {
            let labels = [("host".to_owned(), format!("web-{n}")), ("job".to_owned(), "api".to_owned())];
            match evaluator.series(&Series::new(metric, labels.into())?) {
                Lookup::Watched(key) => keys.push(key),
                other => return Err(format!("{other:?}").into()),
            }
        }
        for step in 0..240i64 {
            let at = Millis(step * 15_000);
            for key in &keys {
                evaluator.observe(*key, Sample { at, value: step as f64 / 1000.0 });
            }
            evaluator.advance(at);
        }
        let held = HELD.load(Ordering::Relaxed) - before - keys.capacity() * size_of_val(&keys[0]);
        println!(
            "{rule:<44} {:>12} (windows and state alone: {})",
            held / SERIES as usize,
            evaluator.bytes() / SERIES as usize
        );
    }
    Ok(())
}
