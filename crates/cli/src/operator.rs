//! The daemon's hands: this very binary, started anew for each plan and each run, so that neither a crash of a run ends the
//! daemon nor the daemon's death a run. What became of a run is read from the site's journal, never from what a child said.

use crate::{error::CliError, history::History, site::Site};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Mutex, PoisonError},
    thread,
    time::{Duration, Instant, SystemTime},
};
use unship_controller::ports::{Exposed, Operator, Order, Planned, RunSummary};
use unship_policy::Digest;
use unship_rollback::{Outcome, PlannedEffect, RunId, RunState, neutralise};
use unship_store::SiteStore;

/// How often a lock that somebody has is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Somebody else's run may take so long; then a person is told.
const FREE_WITHIN: Duration = Duration::from_secs(15 * 60);
/// How often a run is begun or gone on with before a person is told.
const STARTS_MAX: u32 = 6;
const LAST_WORDS_CHARS_MAX: usize = 300;

/// See the module.
pub struct Children {
    binary: PathBuf,
    site: PathBuf,
    store: SiteStore,
    exposed: Mutex<Option<(SystemTime, Vec<Exposed>)>>,
}

/// What a child said.
struct Said {
    is_good: bool,
    lines: Vec<serde_json::Value>,
    /// The last of what it wrote for people, for when it died without an error that programs can read.
    last_words: String,
}

impl Said {
    fn summary(&self) -> Option<&serde_json::Value> {
        self.lines.iter().rev().find(|line| line["type"] == "summary")
    }

    /// Why it did not go well, in one line.
    fn why(&self) -> String {
        let error = self.lines.iter().find(|line| line["type"] == "error");
        let Some(error) = error else {
            return match self.last_words.as_str() {
                "" => "unship ended without saying why".to_owned(),
                words => format!("unship ended without saying why; its last words: {words}"),
            };
        };
        let message = error["message"].as_str().unwrap_or_default();
        let causes = error["causes"].as_array().into_iter().flatten().filter_map(serde_json::Value::as_str);
        neutralise(&std::iter::once(message).chain(causes).collect::<Vec<_>>().join(": "))
    }
}

/// The last line that says something, within bounds.
fn last_words(told: &str) -> String {
    let line = told.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
    neutralise(&line.trim().chars().take(LAST_WORDS_CHARS_MAX).collect::<String>())
}

fn shown(e: &CliError) -> String {
    neutralise(e.message())
}

impl Children {
    /// Of the site at `site`, by the binary that runs now.
    ///
    /// # Errors
    /// The binary or the store cannot be found.
    pub fn new(site: &Site) -> crate::error::Result<Children> {
        let binary =
            std::env::current_exe().map_err(|e| CliError::user("the program that runs cannot be found").because(&e))?;
        Ok(Children { binary, site: site.path.clone(), store: site.store()?, exposed: Mutex::default() })
    }

    fn start(&self, args: &[&str]) -> Result<Said, String> {
        let mut command = Command::new(&self.binary);
        command.args(args).arg("--json").arg("--site").arg(&self.site);
        // A group of its own: what a terminal sends to the daemon is not meant for a run.
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let out = command.stdin(Stdio::null()).stderr(Stdio::piped()).output();
        let out = out.map_err(|e| format!("{} cannot be started: {e}", self.binary.display()))?;
        let text = String::from_utf8_lossy(&out.stdout);
        let lines = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        let told = String::from_utf8_lossy(&out.stderr);
        let is_good = out.status.success();
        if !is_good {
            tracing::warn!(verb = args.first(), status = %out.status, told = %neutralise(&told), "a child did not end well");
        }
        Ok(Said { is_good, lines, last_words: last_words(&told) })
    }

    /// The run as the site's journal has it.
    fn look(&self, run: &RunId) -> Result<Option<RunState>, String> {
        let history = History::read(&self.store).map_err(|e| shown(&e))?;
        Ok(history.run(run.as_str()).ok().cloned())
    }

    fn is_locked(&self) -> Result<bool, String> {
        self.store.is_locked().map_err(|e| e.to_string())
    }

    fn wait_until_free(&self) -> Result<(), String> {
        let began = Instant::now();
        while self.is_locked()? {
            if began.elapsed() >= FREE_WITHIN {
                return Err("another run has been at work on the site for 15 minutes".to_owned());
            }
            thread::sleep(LOOK_EVERY);
        }
        Ok(())
    }
}

fn summary(state: &RunState) -> Option<RunSummary> {
    let (outcome, verdict, reason) = state.ended()?.clone();
    Some(RunSummary { outcome, verdict, reason })
}

impl Operator for Children {
    fn plan(&self, story: &str) -> Result<Planned, String> {
        let said = self.start(&["plan", story])?;
        if !said.is_good {
            return Err(said.why());
        }
        let odd = || "unship printed no plan".to_owned();
        let summary = said.summary().ok_or_else(odd)?;
        let digest = summary["plan_digest"].as_str().and_then(Digest::parse).ok_or_else(odd)?;
        let texts = |value: &serde_json::Value| {
            let all = value.as_array().into_iter().flatten();
            all.filter_map(|v| v.as_str().map(str::to_owned)).collect::<Vec<_>>()
        };
        let unmet = said.lines.iter().filter(|line| line["type"] == "need" && line["taken_back"] == false);
        let effects = said.lines.iter().filter(|line| line["type"] == "unit");
        let effects = effects.flat_map(|line| line["effects"].as_array().into_iter().flatten());
        let effects = effects.filter_map(|e| serde_json::from_value::<PlannedEffect>(e.clone()).ok());
        Ok(Planned {
            digest,
            already: summary["already"] == true,
            weakens: texts(&summary["weakens"]),
            manual_only: summary["manual_only"] == true,
            unmet: unmet.filter_map(|line| line["story"].as_str().map(str::to_owned)).collect(),
            effects: effects.map(|planned| planned.effect.to_string()).collect(),
        })
    }

    fn run(&self, order: &Order) -> Result<RunSummary, String> {
        let (run, digest) = (order.run.as_str(), order.digest.to_string());
        let mut why = String::new();
        for start in 0..STARTS_MAX {
            // An earlier child of this run may still be at work: the daemon died, and it did not.
            self.wait_until_free()?;
            let state = self.look(&order.run)?;
            if let Some(ended) = state.as_ref().and_then(summary) {
                return Ok(ended);
            }
            if state.is_none() {
                // One of somebody else's that was cut off stands in the way of any other.
                self.finish_cut_off()?;
            }
            let said = match state {
                None => self.start(&["apply", &order.story, "--yes", "--expect", &digest, "--run-id", run])?,
                Some(_) if start + 2 < STARTS_MAX => self.start(&["resume"])?,
                // It cannot go on; then the site is as it was before.
                Some(_) => self.start(&["resume", "--undo"])?,
            };
            if let Some(ended) = self.look(&order.run)?.as_ref().and_then(summary) {
                return Ok(ended);
            }
            why = said.why();
            if self.look(&order.run)?.is_none() && !self.is_locked()? && start > 0 {
                // It left no trace: nothing was begun, and nothing will be by trying again.
                return Ok(RunSummary { outcome: Outcome::Refused, verdict: None, reason: Some(why) });
            }
        }
        Err(why)
    }

    fn finish_cut_off(&self) -> Result<Option<(RunId, RunSummary)>, String> {
        let in_flight = || -> Result<Option<RunId>, String> {
            let history = History::read(&self.store).map_err(|e| shown(&e))?;
            Ok(history.in_flight().next().and_then(|state| state.run().cloned()))
        };
        if in_flight()?.is_none() {
            return Ok(None);
        }
        self.wait_until_free()?;
        let Some(run) = in_flight()? else { return Ok(None) };
        let said = self.start(&["resume"])?;
        let ended = self.look(&run)?.as_ref().and_then(summary);
        ended.map(|ended| Some((run, ended))).ok_or_else(|| said.why())
    }

    fn undo(&self, run: &RunId) -> Result<RunSummary, String> {
        self.wait_until_free()?;
        // One that was cut off is no run that has ended, which is what `undo` takes back.
        let is_cut_off = self.look(run)?.is_some_and(|state| state.ended().is_none());
        let said = if is_cut_off { self.start(&["resume", "--undo"])? } else { self.start(&["undo", run.as_str()])? };
        match self.look(run)?.as_ref().and_then(summary) {
            Some(ended) if ended.outcome == Outcome::Undone => Ok(ended),
            Some(ended) if said.is_good => Ok(ended),
            _ => Err(said.why()),
        }
    }

    fn is_busy(&self) -> bool {
        // What cannot be looked at is told by whoever wants to begin.
        self.is_locked().unwrap_or(false)
    }

    fn exposed(&self) -> Result<Vec<Exposed>, String> {
        let path = self.store.journal_path();
        let changed = fs::metadata(&path).and_then(|m| m.modified()).map_err(|e| unreadable(&path, &e))?;
        let mut known = self.exposed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, exposed)) = known.as_ref().filter(|(at, _)| *at == changed) {
            let _ = at;
            return Ok(exposed.clone());
        }
        let history = History::read(&self.store).map_err(|e| shown(&e))?;
        let exposed: Vec<Exposed> = history.runs().iter().filter_map(exposes).collect();
        *known = Some((changed, exposed.clone()));
        Ok(exposed)
    }
}

fn unreadable(path: &Path, e: &std::io::Error) -> String {
    format!("{} cannot be looked at: {e}", path.display())
}

/// What a run weakens as long as it is not taken back, and until when it may.
fn exposes(state: &RunState) -> Option<Exposed> {
    let (run, plan) = (state.run()?, state.plan()?);
    let lasts_ms = plan.weakens.iter().map(|weakening| weakening.lapses_after_ms).min()?;
    let stands = match state.ended() {
        None => true,
        Some((outcome, ..)) => matches!(outcome, Outcome::Succeeded | Outcome::Stuck),
    };
    let until_ms = state.started_ms().saturating_add(lasts_ms);
    stands.then(|| Exposed { run: run.clone(), story: state.story().to_owned(), until_ms })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_words_are_one_harmless_line_within_bounds() {
        assert_eq!(last_words(""), "");
        assert_eq!(last_words("one\nthread 'main' panicked\n\n"), "thread 'main' panicked");
        assert!(!last_words("\u{1b}[31mred").contains('\u{1b}'));
        assert_eq!(last_words(&"x".repeat(9000)).len(), LAST_WORDS_CHARS_MAX);
    }
}
