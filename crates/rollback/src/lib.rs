//! Plans, effects, runs and their records: what taking a story back *is*, without the world.
//!
//! Pure and synchronous. The world comes in through ports ([`JournalStore`], [`StepRunner`], [`Effects`], [`Clock`]); nothing here
//! touches a clock, an environment, a file or a socket. The [`RunState`] machine is the same code live (every record
//! passes through it before it is written) and when a journal is read back.

pub mod chart;
mod checklist;
mod effect;
mod execute;
pub mod incident;
pub mod machine;
mod permission;
mod plan;
mod ports;
pub mod post_mortem;
mod record;
mod run;
pub mod signal;
mod text;
pub mod trigger;
mod usage;
mod weakening;

pub use checklist::{Tick, TrackedItem};
pub use effect::{Content, Effect, ServiceAction, Undo};
pub use execute::{Crew, Recorder, Report, Watcher, changed_since, execute, resume, undo};
pub use permission::{BreakGlass, Permission, TrustUsed};
pub use plan::{Plan, PlannedEffect, PlannedUnit, UnitRole};
pub use ports::{
    Clock, Durability, Effects, Faults, JournalFailure, JournalStore, NoFaults, StepRunner, UndoError, UnitEnd,
};
pub use record::{
    DirectoryChange, DirectoryTime, Event, FoundEffect, Image, Line, Modified, Outcome, Probe, Record, RunId, Verdict,
};
pub use run::{AppliedEffect, IllegalTransition, Next, RunState, Standing, UndoItem};
pub use text::{
    neutralise, neutralise_bytes, neutralise_json, neutralise_lines, neutralise_markdown, path_text, text_path,
};
pub use usage::{UnitUsage, Usage};
pub use weakening::Weakening;
