//! Acceptance: the built binary against real trees, processes and signals. `cargo xtask test` runs it.

mod bad_input;
mod cli;
mod code_cache;
mod exec;
mod limits;
mod journal;
mod main_job;
mod readme;
mod support;
mod trust;
