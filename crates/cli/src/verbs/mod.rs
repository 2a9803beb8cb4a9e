//! One file per verb: its arguments, its long help, what it does.

pub mod allow;
pub mod apply;
pub mod approve;
pub mod check;
pub mod exec;
pub mod gc;
pub mod init;
pub mod inspect;
pub mod journal;
pub mod keygen;
pub mod new;
pub mod pack;
pub mod plan;
pub mod policy;
pub mod postmortem;
pub mod resume;
pub mod runs;
pub mod show;
pub mod sign;
pub mod stories;
pub mod tick;
pub mod triggers;
pub mod trust;
pub mod undo;
