//! Acceptance: the built binary against real trees, processes and signals. `cargo xtask test` runs it.

mod approvals;
mod bad_input;
mod checklist;
mod checkpoint;
mod cli;
mod code_cache;
mod elsewhere;
mod exec;
mod flags;
mod gate;
mod gc;
mod guide;
mod journal;
mod limits;
mod main_job;
mod needs_first;
mod new_story;
mod policy_verbs;
mod readme;
mod real;
mod recovery;
mod stories;
mod support;
mod triggers;
mod trust;
mod variants;
