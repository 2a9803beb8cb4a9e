//! `unship postmortem RUN`: the draft of a run's post-mortem, from the journal.

use crate::{
    context::Context,
    error::{CliError, Result},
    exit::Exit,
    files::write_whole,
    history::{History, for_each},
    out::time,
    recorded,
    site::{Site, story_id},
    told, triggers, watching,
};
use similar::TextDiff;
use std::{
    collections::BTreeSet,
    ffi::OsString,
    fs::File,
    io::Read as _,
    os::unix::ffi::OsStringExt as _,
    path::{Component, Path, PathBuf},
};
use unship_controller::clock::calendar as calendar_of;
use unship_policy::{Definitions, definitions};
use unship_rollback::{
    AppliedEffect, Image, RunId, RunState, Standing,
    chart::svg,
    incident::Wish,
    post_mortem::{self, Change, IncidentMaterial, Material, PostMortem, calendar, markdown},
    signal::Recording,
    text_path,
    trigger::{TriggerRule, drawn, metrics, replay},
};

/// Bytes of a file at most whose difference is shown.
const SHOWN_BYTES_MAX: u64 = 256 << 10;
/// Lines of a difference at most.
const DIFF_LINES_MAX: usize = 400;
/// Series and samples of recorded data, as `triggers backtest` reads them.
const SERIES_MAX: usize = 100_000;
const SAMPLES_MAX: usize = 50_000_000;

/// Writes what the journals know of a run as the draft of its post-mortem: RUN.md, RUN.json, RUN.ics (when it is due), and charts of the
/// triggers' series around it, from the daemon's journal or from recorded data. What nobody wrote down it says is unknown. Nothing of
/// the site is changed.
///
/// --written says that people have finished it: the daemon reminds nobody of it any more.
#[derive(clap::Args)]
pub struct Args {
    /// The run's id
    run: String,
    /// The folder that the files go into; it is made where it is not there
    #[arg(long, short, value_name = "DIR", default_value = ".")]
    out: PathBuf,
    /// Replace files of an earlier draft
    #[arg(long)]
    force: bool,
    /// Recorded samples, as `triggers backtest` reads them: draws the story's triggers by them, and not by what the daemon kept
    #[arg(long, value_name = "FILE")]
    data: Vec<PathBuf>,
    /// People have finished it: no draft is written, and the daemon reminds nobody of it any more
    #[arg(long, requires = "by", conflicts_with_all = ["out", "force", "data"])]
    written: bool,
    /// Who says so
    #[arg(long, value_name = "NAME", requires = "written")]
    by: Option<String>,
}

/// Runs the verb.
pub fn run(context: &Context, args: &Args) -> Result<Exit> {
    let site = context.site()?;
    let store = site.store()?;
    let history = History::read(&store)?;
    let state = history.run(&args.run)?;
    if let (true, Some(by), Some(run)) = (args.written, &args.by, state.run()) {
        return written(context, &site, run, by);
    }
    let known = state.run().map(|run| watching::incident_of(&site, run)).transpose()?.flatten();
    let incident = known.as_ref().zip(state.run()).and_then(|(known, run)| {
        let incident = known.book.incident(&known.id)?;
        Some(IncidentMaterial { book: &known.book, incident, facts: &known.facts, run, words: told::line })
    });
    let mut records = Vec::new();
    for_each(&store, |_, record| {
        if record.run.as_str() == args.run {
            records.push(record.clone());
        }
        Ok(())
    })?;
    let charts = match incident {
        Some(of) if args.data.is_empty() => post_mortem::charts(of.incident, of.facts, calendar_of),
        _ => charts(&site, state, &args.data)?,
    };
    let names: Vec<String> = (1..=charts.len()).map(|n| format!("{}-{n}.svg", args.run)).collect();
    let changes = changes(&site, state);
    let (policy, charted) = (&site.policy.post_mortem, &names);
    let draft = PostMortem::of(Material {
        site: &site.policy.name,
        run: state,
        records: &records,
        incident,
        changes: &changes,
        charts: charted,
        policy,
    });
    let json = serde_json::to_string_pretty(&draft)
        .map_err(|e| CliError::user("the post-mortem cannot be written as JSON").because(&e))?;
    let mut files =
        vec![(format!("{}.md", args.run), markdown(&draft, time)), (format!("{}.json", args.run), format!("{json}\n"))];
    files.extend(calendar(&draft, stamp).map(|text| (format!("{}.ics", args.run), text)));
    files.extend(names.iter().cloned().zip(charts));
    let written = write(&args.out, args.force, &files)?;
    for file in &written {
        context.out.text(format!("wrote {}", file.display()));
    }
    for unknown in &draft.unknown {
        context.out.text(format!("unknown: {unknown}"));
    }
    context.out.summary(serde_json::json!({
        "run": draft.run, "story": draft.story, "outcome": draft.outcome, "verdict": draft.verdict, "files": written,
        "incident": draft.incident.as_ref().map(|incident| &incident.id), "not_restored": draft.not_restored.len(),
        "unknown": draft.unknown,
    }));
    Ok(Exit::Done)
}

/// Hands in that people have finished it.
fn written(context: &Context, site: &Site, run: &RunId, by: &str) -> Result<Exit> {
    let book = watching::book(&watching::watched(site)?)?;
    match book.post_mortems().get(run) {
        Some(due) if due.written_ms.is_none() => {}
        Some(_) => {
            return Err(CliError::user(format!("that of run {run} is written already")).hint("nothing was changed"));
        }
        None => {
            return Err(CliError::user(format!("no post-mortem of run {run} is due"))
                .hint("the daemon reminds of those of the runs that it began"));
        }
    }
    watching::submit(context, site, by, Wish::PostMortem { run: run.clone() })?;
    Ok(Exit::Done)
}

/// All or none: what is there already is looked for before anything is written.
fn write(dir: &Path, force: bool, files: &[(String, String)]) -> Result<Vec<PathBuf>> {
    std::fs::create_dir_all(dir)
        .map_err(|e| CliError::user(format!("{} cannot be made", dir.display())).because(&e))?;
    let paths: Vec<PathBuf> = files.iter().map(|(name, _)| dir.join(name)).collect();
    for path in &paths {
        match path.symlink_metadata() {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            Err(e) => return Err(CliError::user(format!("{} cannot be looked at", path.display())).because(&e)),
            Ok(found) if !found.is_file() => {
                return Err(CliError::user(format!("{} is no regular file, and stays", path.display())));
            }
            Ok(_) if !force => {
                return Err(CliError::user(format!("{} is there already", path.display()))
                    .hint("--force replaces an earlier draft; what people wrote into it is lost then"));
            }
            Ok(_) => {}
        }
    }
    for (path, (_, text)) in paths.iter().zip(files) {
        write_whole(path, text.as_bytes())?;
    }
    Ok(paths)
}

/// `20261123T091313Z`.
fn stamp(ms: u64) -> String {
    time(ms).split('.').next().unwrap_or_default().replace(['-', ':'], "") + "Z"
}

/// The charts of the story's triggers in this data.
fn charts(site: &Site, state: &RunState, data: &[PathBuf]) -> Result<Vec<String>> {
    if data.is_empty() {
        return Ok(Vec::new());
    }
    let story = story_id(state.story())?;
    let rules: Vec<TriggerRule> = triggers::of(site, Some(&story))?;
    let mut recording = Recording::new(metrics(&rules), SERIES_MAX, SAMPLES_MAX);
    for path in data {
        recorded::load(path, None, &mut recording)?;
    }
    let Some(span) = recording.span() else {
        return Err(CliError::user("the data has no sample of any metric that the story's triggers ask for"));
    };
    let seen = replay(rules.clone(), &mut recording, span.end);
    let all = rules.iter().enumerate().flat_map(|(n, rule)| {
        let charts = drawn(rule, n, &seen, &recording);
        charts.into_iter().map(|chart| svg(&chart.chart(calendar_of), &rule.name)).collect::<Vec<_>>()
    });
    Ok(all.collect())
}

/// What became of the files that the run replaced, edited or removed and that still are as it left them.
fn changes(site: &Site, state: &RunState) -> Vec<(String, Change)> {
    let story = story_id(state.story()).ok().and_then(|id| site.story(&id).ok());
    let known = story.and_then(|story| definitions(&story, &site.policy).ok());
    let secret = known.as_ref().map(secrets).unwrap_or_default();
    let told = |applied: &AppliedEffect| Some((applied.name(), change(&site.path, applied, &secret)?));
    state.applied().iter().filter_map(told).collect()
}

/// The files that policy names as secrets, relative to the site.
fn secrets(definitions: &Definitions) -> BTreeSet<PathBuf> {
    let files = definitions.http.values().flat_map(|call| call.secret_headers.values());
    files.map(PathBuf::from).collect()
}

fn change(site: &Path, applied: &AppliedEffect, secret: &BTreeSet<PathBuf>) -> Option<Change> {
    let Some(Image::Trash { at }) = &applied.image else { return None };
    if applied.standing == Standing::Undone {
        return Some(Change::NotShown("it is as before".to_owned()));
    }
    let not_shown = |why: &str| Some(Change::NotShown(why.to_owned()));
    let path = applied.effect.path()?;
    if path.contains(':') {
        return not_shown("it lies in another folder than the site");
    }
    let path = PathBuf::from(OsString::from_vec(text_path(path)?));
    if !path.components().all(|part| matches!(part, Component::Normal(_))) {
        return None;
    }
    if secret.contains(&path) {
        return not_shown("a policy names it as a secret");
    }
    let before = match text_of(&site.join(at)) {
        Ok(text) => text,
        Err(why) => return not_shown(why),
    };
    let after = match text_of(&site.join(&path)) {
        Ok(text) => text,
        Err("it is not there any more") => String::new(),
        Err(why) => return not_shown(why),
    };
    let diff = TextDiff::from_lines(&before, &after).unified_diff().header("before", "now").to_string();
    let mut lines: Vec<&str> = diff.lines().collect();
    if lines.len() > DIFF_LINES_MAX {
        lines.truncate(DIFF_LINES_MAX);
        lines.push("… the rest is not shown");
    }
    Some(Change::Diff(lines.join("\n")))
}

fn text_of(path: &Path) -> std::result::Result<String, &'static str> {
    let found = path.symlink_metadata().map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => "it is not there any more",
        _ => "it cannot be looked at",
    })?;
    if !found.is_file() {
        return Err("it is no regular file");
    }
    if found.len() > SHOWN_BYTES_MAX {
        return Err("it is too large to be shown");
    }
    let file = File::open(path).map_err(|_| "it cannot be read")?;
    let mut bytes = Vec::new();
    file.take(SHOWN_BYTES_MAX).read_to_end(&mut bytes).map_err(|_| "it cannot be read")?;
    String::from_utf8(bytes).map_err(|_| "it is not text")
}
