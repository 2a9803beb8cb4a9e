//! Faults that a rehearsal injects into a run: `fail@STEP`, `kill@RECORD[.BOUNDARY]`, `undo-fail@STEP/N`, `repeat@STEP`.

use crate::error::{CliError, Result};
use std::{
    str::FromStr,
    sync::atomic::{AtomicU64, Ordering},
};
use unship_rollback::{Faults, Plan};

/// One fault, as written on the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The step does its work, then fails.
    Fail(String),
    /// The process is killed right after the record with this number within the run was taken (counted from 1, of those
    /// that this command takes), or at this boundary of an effect after it.
    Kill(u64, u64),
    /// Taking this effect back fails.
    UndoFail(String),
    /// The step is cut off at its end once, and runs again.
    Repeat(String),
}

impl FromStr for Fault {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Fault, String> {
        let bad =
            || format!("{text:?} is no fault: give fail@STEP, kill@RECORD[.BOUNDARY], undo-fail@STEP/N or repeat@STEP");
        let (kind, at) = text.split_once('@').filter(|(_, at)| !at.is_empty()).ok_or_else(bad)?;
        match kind {
            "fail" => Ok(Fault::Fail(at.to_owned())),
            "repeat" => Ok(Fault::Repeat(at.to_owned())),
            "undo-fail" if at.contains('/') => Ok(Fault::UndoFail(at.to_owned())),
            "kill" => {
                let (record, boundary) = at.split_once('.').unwrap_or((at, "0"));
                let record = record.parse().ok().filter(|record| *record > 0).ok_or_else(bad)?;
                Ok(Fault::Kill(record, boundary.parse().map_err(|_| bad())?))
            }
            _ => Err(bad()),
        }
    }
}

/// The faults of one command.
#[derive(Debug, Default)]
pub struct Injected {
    faults: Vec<Fault>,
    records: AtomicU64,
    boundaries: AtomicU64,
}

impl Injected {
    /// Takes the faults of the command line. They are refused on a site that is not for rehearsals.
    pub fn new(faults: &[Fault], is_rehearsal: bool) -> Result<Injected> {
        if !faults.is_empty() && !is_rehearsal {
            return Err(CliError::refused("faults are injected on a rehearsal site only, and this site is none")
                .hint("set `rehearsal = true` under `[site]` in the policies/site.toml of a copy of the site"));
        }
        Ok(Injected { faults: faults.to_vec(), ..Injected::default() })
    }

    /// Each fault must hit something of the plan: a rehearsal that cannot fail proves nothing.
    pub fn fit(&self, plan: &Plan) -> Result<()> {
        let steps: Vec<&str> = plan.units.iter().map(|unit| unit.name.as_str()).collect();
        let unknown = |what: &str, known: Vec<String>| {
            Err(CliError::user(format!("the plan has no {what} to inject a fault into"))
                .cause(format!("it has: {}", known.join(", "))))
        };
        for fault in &self.faults {
            match fault {
                Fault::Fail(step) | Fault::Repeat(step) if !steps.contains(&step.as_str()) => {
                    return unknown(&format!("step {step:?}"), steps.iter().map(ToString::to_string).collect());
                }
                Fault::UndoFail(effect) => {
                    let known = plan
                        .units
                        .iter()
                        .flat_map(|unit| (0..unit.effects.len()).map(move |n| format!("{}/{n}", unit.name)));
                    let known: Vec<String> = known.collect();
                    if !known.contains(effect) {
                        return unknown(&format!("effect {effect:?}"), known);
                    }
                }
                Fault::Fail(_) | Fault::Repeat(_) | Fault::Kill(..) => {}
            }
        }
        Ok(())
    }

    fn has(&self, wanted: &Fault) -> bool {
        self.faults.contains(wanted)
    }

    fn kill_here(&self) {
        let here = Fault::Kill(self.records.load(Ordering::Relaxed), self.boundaries.load(Ordering::Relaxed));
        if self.has(&here) {
            // As the kernel does it to a process that is in the way: no handler, no cleaning up.
            let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
        }
    }
}

impl Faults for Injected {
    fn recorded(&self) {
        self.records.fetch_add(1, Ordering::Relaxed);
        self.boundaries.store(0, Ordering::Relaxed);
        self.kill_here();
    }

    fn boundary(&self) {
        self.boundaries.fetch_add(1, Ordering::Relaxed);
        self.kill_here();
    }

    fn fails(&self, unit: &str) -> bool {
        self.has(&Fault::Fail(unit.to_owned()))
    }

    fn repeats(&self, unit: &str) -> bool {
        self.has(&Fault::Repeat(unit.to_owned()))
    }

    fn undo_fails(&self, effect: &str) -> bool {
        self.has(&Fault::UndoFail(effect.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_read_and_nothing_else_is() {
        let read = |text: &str| text.parse::<Fault>().ok();
        assert_eq!(read("fail@clear-cache"), Some(Fault::Fail("clear-cache".to_owned())));
        assert_eq!(read("repeat@a"), Some(Fault::Repeat("a".to_owned())));
        assert_eq!(read("undo-fail@a/0"), Some(Fault::UndoFail("a/0".to_owned())));
        assert_eq!(read("kill@7"), Some(Fault::Kill(7, 0)));
        assert_eq!(read("kill@7.2"), Some(Fault::Kill(7, 2)));
        for bad in ["", "fail", "fail@", "kill@0", "kill@x", "kill@1.x", "kill@-1", "undo-fail@a", "burn@a"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
