//! `unship triggers backtest STORY|--all DATA…`: when each rule would have fired on recorded data.

use crate::{
    context::Context,
    error::{CliError, Result},
    exit::Exit,
    out::{Out, time},
    recorded::{self, Format, SAMPLES_MAX, SERIES_MAX},
    triggers::{meant, owner_text},
};
use std::path::{Path, PathBuf};
use unship_controller::clock::calendar;
use unship_policy::FileError;
use unship_rollback::{
    chart::{Characters, Unit, svg, terminal},
    neutralise,
    signal::{Millis, Recording},
    trigger::{Drawn, Replay, Rule, Suppression, TransitionKind, TriggerRule, drawn, metrics, replay},
};

/// Runs recorded data past the rules of a story, as if it had been observed live, and says when each would have fired,
/// with a chart of what it saw.
///
/// DATA is OpenMetrics text (.om), Prometheus text (.prom), the answer to a range query (.json) or a table (.csv); `-` is
/// standard input. A rule that fired fires again only when it has cleared and been armed again, as live.
#[derive(clap::Args)]
pub struct Args {
    /// A story's id, or `site` for the general triggers; with --all or --when it is left out
    story: String,
    /// Files of recorded data
    data: Vec<PathBuf>,
    /// All triggers of the site
    #[arg(long, conflicts_with_all = ["when", "trigger"])]
    all: bool,
    /// This trigger of the story alone
    #[arg(long, value_name = "NAME")]
    trigger: Option<String>,
    /// This sentence instead of a trigger of the site
    #[arg(long, value_name = "RULE", conflicts_with = "trigger")]
    when: Option<String>,
    /// The format of all DATA, where the names of the files do not say it
    #[arg(long)]
    format: Option<Format>,
    /// When the story was shipped, in RFC 3339: from then on nothing teaches a baseline
    #[arg(long, value_name = "TIME", value_parser = shipped)]
    shipped: Option<i64>,
    /// Writes the charts as SVG: one into a file named *.svg, or all into a folder
    #[arg(long, value_name = "FILE|DIR")]
    svg: Option<PathBuf>,
    /// Draws with ASCII alone, as without a UTF-8 locale
    #[arg(long)]
    ascii: bool,
    /// How many characters wide a chart is
    #[arg(long, value_name = "N", default_value_t = 100)]
    width: u16,
}

/// Lines of a chart in the terminal.
const HEIGHT: usize = 12;
/// Charts that a command draws at most; more is for nobody to look at.
const CHARTS_MAX: usize = 100;

/// Runs the verb.
pub fn run(context: &Context, args: &Args) -> Result<Exit> {
    let (mut rules, data) = given(context, args)?;
    for rule in &mut rules {
        rule.conduct.baseline_until = args.shipped.map(Millis);
    }
    let mut recording = Recording::new(metrics(&rules), SERIES_MAX, SAMPLES_MAX);
    for path in &data {
        recorded::load(path, args.format, &mut recording)?;
    }
    let Some(span) = recording.span() else {
        let asked: Vec<String> = metrics(&rules).into_iter().collect();
        return Err(CliError::user("the data has no sample of any metric that a rule asks for")
            .cause(format!("the rules ask for {}", if asked.is_empty() { "none".into() } else { asked.join(", ") })));
    };
    let seen = replay(rules.clone(), &mut recording, span.end);
    let out = context.out;
    let charts: Vec<Vec<Drawn>> = rules.iter().enumerate().map(|(n, rule)| drawn(rule, n, &seen, &recording)).collect();
    let count = charts.iter().map(Vec::len).sum();
    if count > CHARTS_MAX {
        return Err(CliError::user(format!("these are {count} charts; at most {CHARTS_MAX} are drawn"))
            .hint("name a story, and a trigger of it by `--trigger`"));
    }
    let mut fired = 0u64;
    for (n, (rule, charts)) in rules.iter().zip(&charts).enumerate() {
        let files = write(args.svg.as_deref(), rule, charts, count)?;
        fired += u64::from(tell(out, rule, n, &seen, charts.is_empty(), &files));
        let characters = characters(args.ascii);
        for chart in charts {
            let lines = terminal(&chart.chart(calendar), characters, usize::from(args.width), HEIGHT);
            // The heading was told already, unless there are several charts to tell apart.
            for line in lines.iter().skip(usize::from(charts.len() == 1)) {
                out.text(line.trim_end());
            }
        }
        out.text("");
    }
    let text = |at: Millis| time(u64::try_from(at.0).unwrap_or_default());
    out.text(format!(
        "{} of {} rules would have fired: {} samples of {} series from {} to {}",
        fired,
        rules.len(),
        recording.samples(),
        recording.series().len(),
        text(span.start),
        text(span.end)
    ));
    out.summary(serde_json::json!({
        "rules": rules.len(), "fired": fired, "samples": recording.samples(), "series": recording.series().len(),
        "from": text(span.start), "until": text(span.end),
    }));
    Ok(Exit::Done)
}

/// Which rules on which files.
fn given(context: &Context, args: &Args) -> Result<(Vec<TriggerRule>, Vec<PathBuf>)> {
    let is_story = !args.all && args.when.is_none();
    let mut data = args.data.clone();
    if !is_story {
        data.insert(0, PathBuf::from(&args.story));
    }
    if data.is_empty() {
        return Err(CliError::user("no recorded data is named").hint("`unship triggers backtest STORY DATA…`"));
    }
    let rules = match &args.when {
        Some(text) => vec![sentence(text)?],
        None => meant(&context.site()?, is_story.then_some(args.story.as_str()), args.trigger.as_deref())?,
    };
    if rules.is_empty() {
        return Err(CliError::user("no trigger is defined there"));
    }
    Ok((rules, data))
}

/// A rule from the command line.
fn sentence(text: &str) -> Result<TriggerRule> {
    let rule = Rule::parse(text).map_err(|e| {
        CliError::in_file(Path::new("--when"), text, FileError { message: e.message, span: Some(e.span), help: e.help })
    })?;
    Ok(TriggerRule::alone("rule", rule))
}

/// Says what a rule did; whether it fired.
fn tell(out: Out, rule: &TriggerRule, n: usize, seen: &Replay, is_unseen: bool, files: &[PathBuf]) -> bool {
    let owner = owner_text(rule.story.as_ref());
    let owner = if rule.trigger.is_some() { format!("{owner} ") } else { String::new() };
    out.text(format!("{owner}{}: {}", rule.name, neutralise(rule.when.text())));
    let (mut fired, mut pending) = (0u64, 0u64);
    for transition in seen.transitions.iter().filter(|t| t.rule == n) {
        let at = time(u64::try_from(transition.at.0).unwrap_or_default());
        let (kind, words, series, value) = match &transition.kind {
            TransitionKind::Fired(evidence) => {
                fired += 1;
                let series = evidence.as_ref().map(|e| e.series.to_string());
                let value = evidence.as_ref().map(|e| e.value);
                let shown = series
                    .as_ref()
                    .zip(value)
                    .map_or(String::new(), |(s, v)| format!(": {s} is {}", Unit::Plain.show(v)));
                ("fired", format!("fires{shown}"), series, value)
            }
            TransitionKind::Suppressed(why) => {
                ("suppressed", format!("would fire, but {}", suppression(*why)), None, None)
            }
            TransitionKind::Cleared => ("cleared", "clears".to_owned(), None, None),
            TransitionKind::Pending => {
                pending += 1;
                ("pending", String::new(), None, None)
            }
            TransitionKind::NotPending => ("not-pending", String::new(), None, None),
            TransitionKind::Answered { to, .. } => {
                out.object(&serde_json::json!({
                    "type": "answer", "story": rule.story.as_ref().map(|s| s.as_str()), "trigger": rule.name, "at": at,
                    "answer": to,
                }));
                continue;
            }
            TransitionKind::Rearmed | TransitionKind::ClockSetBack { .. } => continue,
        };
        if !words.is_empty() {
            out.text(format!("  {at} {words}"));
        }
        out.object(&serde_json::json!({
            "type": "transition", "story": rule.story.as_ref().map(|s| s.as_str()), "trigger": rule.name, "at": at,
            "kind": kind, "series": series, "value": value,
        }));
    }
    match (is_unseen, fired) {
        (true, _) => out.text("  no data: no sample of it is in the files"),
        (false, 0) if pending == 0 => out.text("  never fires"),
        (false, 0) => out.text(format!("  never fires: its condition held {pending}x, never for long enough")),
        _ => {}
    }
    for file in files {
        out.text(format!("  drawn in {}", file.display()));
    }
    out.object(&serde_json::json!({
        "type": "backtest", "story": rule.story.as_ref().map(|s| s.as_str()), "trigger": rule.name,
        "when": rule.when.text(), "fired": fired, "data": !is_unseen, "svg": files,
    }));
    fired > 0
}

fn suppression(why: Suppression) -> String {
    let until = |at: Millis| time(u64::try_from(at.0).unwrap_or_default());
    match why {
        Suppression::Silenced(at) => format!("is silenced until {}", until(at)),
        Suppression::Inhibited => "a run is under way".to_owned(),
        Suppression::Cooldown(at) => format!("fired not long ago: not again before {}", until(at)),
        Suppression::Budget(at) => format!("fired as often as it may in 24 h: not again before {}", until(at)),
    }
}

/// Writes a rule's charts, if that is asked for; `count` are all of the command.
fn write(to: Option<&Path>, rule: &TriggerRule, charts: &[Drawn], count: usize) -> Result<Vec<PathBuf>> {
    let Some(to) = to else { return Ok(Vec::new()) };
    let unwritable = |path: &Path, e: &std::io::Error| {
        CliError::user(format!("the chart cannot be written to {}", path.display())).because(e)
    };
    let is_file = to.extension().is_some_and(|extension| extension == "svg");
    if is_file && count > 1 {
        return Err(CliError::user(format!("these are {count} charts, and {} is one file", to.display()))
            .hint("name a folder, or one trigger by `--trigger`"));
    }
    if !is_file {
        std::fs::create_dir_all(to).map_err(|e| unwritable(to, &e))?;
    }
    let mut files = Vec::new();
    for (n, chart) in charts.iter().enumerate() {
        let term = if charts.len() > 1 { format!("-{}", n + 1) } else { String::new() };
        let name = format!("{}-{}{term}", owner_text(rule.story.as_ref()), rule.name);
        let file = if is_file { to.to_owned() } else { to.join(format!("{name}.svg")) };
        std::fs::write(&file, svg(&chart.chart(calendar), &name)).map_err(|e| unwritable(&file, &e))?;
        files.push(file);
    }
    Ok(files)
}

/// Braille where the locale is UTF-8.
fn characters(ascii: bool) -> Characters {
    let set = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    let locale = set("LC_ALL").or_else(|| set("LC_CTYPE")).or_else(|| set("LANG")).unwrap_or_default();
    let is_utf8 = ["UTF-8", "utf-8", "utf8", "UTF8"].iter().any(|name| locale.ends_with(name));
    if is_utf8 && !ascii { Characters::Unicode } else { Characters::Ascii }
}

fn shipped(text: &str) -> std::result::Result<i64, String> {
    recorded::moment(text).ok_or_else(|| format!("{text:?} is no time, such as 2026-03-01T12:00:00Z"))
}
