//! `unship journal show|verify|export`: the audit side. Nothing is written.

use crate::{
    context::Context,
    error::Result,
    exit::Exit,
    history::{History, for_each, not_intact},
    out::time,
    report,
};
use std::path::PathBuf;
use unship_rollback::{Event, Record};

/// Reads the journal: every record in its place in the hash chain.
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    /// Prints the records for people, oldest first
    Show {
        /// Only this run's
        #[arg(long)]
        run: Option<String>,
    },
    /// Checks the chain from end to end, that the records of each run can follow one another, and the signed checkpoint
    /// (7: not intact)
    Verify {
        /// Compare also with a checkpoint of this site that was kept elsewhere
        #[arg(long, value_name = "FILE")]
        checkpoint: Option<PathBuf>,
    },
    /// Prints every record as one JSON object a line, with its sequence number and hash
    Export,
}

/// Runs the verb.
pub fn run(context: &Context, args: &Args) -> Result<Exit> {
    let store = context.site()?.store()?;
    let out = context.out;
    match &args.what {
        What::Show { run } => {
            if let Some(run) = run {
                History::read(&store)?.run(run)?;
            }
            let (mut history, mut shown) = (History::default(), 0u64);
            for_each(&store, |entry, record| {
                history.take(record)?;
                if run.as_ref().is_none_or(|run| run == record.run.as_str()) {
                    out.text(format!("{:>5} {} {} {}", entry.seq, time(record.at_ms), record.run, line(record)));
                    out.object(&serde_json::json!({ "type": "record", "seq": entry.seq, "hash": hex(entry.hash), "record": record }));
                    shown += 1;
                }
                Ok(())
            })?;
            out.summary(serde_json::json!({ "records": shown }));
        }
        What::Verify { checkpoint } => {
            let verified = store.verify(checkpoint.as_deref()).map_err(|e| not_intact(&e))?;
            let (report, signed, newer) = (verified.report, verified.checkpoint.records, verified.newer);
            let history = History::read(&store)?;
            let open = history.in_flight().count();
            out.text(format!(
                "intact: {} records in {} runs, head {}",
                report.records,
                history.runs().len(),
                hex(report.head)
            ));
            let more = if newer > 0 { format!(", {newer} record(s) are newer") } else { String::new() };
            out.text(format!("checkpoint: signed at {signed} records{more}"));
            if report.tail != unship_store::Tail::Clean {
                out.text("the rest of an append that was cut off stands at the end; the next run removes it");
            }
            let watched = store.watched().map_err(|e| not_intact(&e))?;
            let watch = watched.as_ref().map(|watch| watch.verify().map_err(|e| not_intact(&e))).transpose()?;
            if let (Some(store), Some(verified)) = (&watched, &watch) {
                crate::watching::book(store)?;
                out.text(format!("the daemon's journal is intact too: {} records", verified.report.records));
            }
            if open > 0 {
                out.text(format!("{open} run(s) did not end; `unship resume` goes on with them"));
            }
            out.summary(serde_json::json!({
                "intact": true, "records": report.records, "head": hex(report.head), "in_flight": open,
                "checkpoint": { "records": signed, "newer": newer },
                "watch": watch.map(|watch| serde_json::json!({ "records": watch.report.records, "head": hex(watch.report.head) })),
            }));
        }
        What::Export => {
            let mut history = History::default();
            for_each(&store, |entry, record| {
                history.take(record)?;
                let object = serde_json::json!({ "seq": entry.seq, "hash": hex(entry.hash), "record": record });
                crate::out::Out { json: true }.object(&object);
                Ok(())
            })?
        }
    }
    Ok(Exit::Done)
}

fn hex(hash: unship_store::Hash) -> String {
    unship_policy::Digest::from_bytes(hash).hex()
}

/// A record in one line.
fn line(record: &Record) -> String {
    match &record.what {
        Event::RunRefused { story, reason, denials } => {
            let denials: String = denials.iter().map(|d| format!("; denied: {d}")).collect();
            format!("refused to take back {story}: {reason}{denials}")
        }
        Event::RunStarted { story, digest, by, plan, .. } => {
            format!("{by} takes back {story} by the plan {digest} ({} effects)", plan.effects().count())
        }
        Event::UnitStarted { unit } => format!("{unit} begins"),
        Event::EffectApplied { unit, n, effect, image } => {
            format!("{unit}/{n}: {effect}{}", report::kept(image.as_ref()))
        }
        Event::DirectoriesChanged { unit, directories } => {
            let paths: Vec<&str> = directories.iter().map(|d| d.path.as_str()).collect();
            format!("{unit}: entries changed in {}", paths.join(", "))
        }
        Event::AccessSummed { unit, right, place, count } => format!("{unit}: {right} {place} ×{count}"),
        Event::AccessDenied { unit, what, rule } => format!("{unit}: DENIED {what}: {rule}"),
        Event::LineLogged { unit, line } => format!("{unit} | {}", line.text),
        Event::UnitSucceeded { unit } => format!("{unit} succeeded"),
        Event::UnitFailed { unit, reason, .. } => format!("{unit} FAILED: {reason}"),
        Event::RunResumed { by, found } => {
            format!("{by} goes on with it; of the step in hand {} effects were begun", found.len())
        }
        Event::UndoStarted { by, reason, found, forced, .. } => {
            let forced = if forced.is_empty() { String::new() } else { format!(", by force: {}", forced.join(", ")) };
            format!("{by} takes it back: {reason} ({} effects without a record{forced})", found.len())
        }
        Event::EffectUndone { unit, n, note } => {
            let note = note.as_ref().map_or_else(String::new, |note| format!(": {note}"));
            format!("{unit}/{n} taken back{note}")
        }
        Event::EffectLeft { unit, n, reason } => format!("{unit}/{n} stays: {reason}"),
        Event::UndoFailed { unit, n, reason } => format!("{unit}/{n} NOT taken back: {reason}"),
        Event::ImagesRemoved { entries } => format!("its before-images were removed ({entries} entries)"),
        Event::ItemTicked { item, by, .. } => format!("{item} was looked at by {by}"),
        Event::RunEnded { outcome, verdict, reason } => {
            let verdict = verdict.map_or_else(String::new, |v| format!(", {v}"));
            let reason = reason.as_ref().map_or_else(String::new, |r| format!(": {r}"));
            format!("ended: {outcome}{verdict}{reason}")
        }
    }
}
