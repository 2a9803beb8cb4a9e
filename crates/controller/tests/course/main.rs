//! The daemon's loop in one process: its clock is driven, who takes stories back and what policies say are scripted, book and
//! store are the real ones.

mod decisions;
mod gone;
mod people;
mod restarts;
mod runs;
mod series;
mod support;
#[path = "../../../policy/tests/policy/support.rs"]
#[expect(dead_code, reason = "the tests of policy use all of it")]
mod trust;
mod upkeep;
