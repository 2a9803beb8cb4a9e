//! Triggers: the rules that decide that something is wrong.
//!
//! A [`Rule`] is one sentence of a small language (`docs/triggers.md` has its grammar). [`compile`] makes [`TriggerRule`]s of a
//! policy's `[[trigger]]` tables, and an [`Evaluator`] runs them over samples: `series` gives a key, `observe` takes
//! samples, `advance` says what changed, each at the very sample that changed it. Nothing here knows a clock.

mod carry;
mod compile;
mod drawn;
mod evaluator;
mod lex;
mod lifecycle;
mod logic;
mod parse;
mod replay;
mod rule;
mod slot;
mod snapshot;
mod state;
mod unit_test;
mod units;
mod window;
mod words;

pub use compile::{Conduct, TriggerRule, compile};
pub use drawn::{Drawn, drawn};
pub use evaluator::{Evaluator, Lookup, Observed, SeriesKey};
pub use lifecycle::{Evidence, Inhibition, Phase, Silence, Suppression, Transition, TransitionKind};
pub use logic::Answer;
pub use replay::{Replay, metrics, replay};
pub use rule::{
    Agg, Cmp, DEPTH_MAX, Node, RULE_BYTES_MAX, Rule, RuleError, Selector, TERMS_MAX, Term, Threshold, Value,
};
pub use snapshot::RestoreError;
pub use state::{RuleState, Settings, Stats, TermState};
pub use unit_test::{Mismatch, VALUES_MAX, unit_test};
pub use words::{duration, unit, words};
