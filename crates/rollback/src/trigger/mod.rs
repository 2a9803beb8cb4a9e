//! Triggers: the rules that decide that something is wrong.
//!
//! A [`Rule`] is one sentence of a small language (`docs/triggers.md` has its grammar).
mod compile;
mod lex;
mod parse;
mod rule;
mod units;

pub use compile::{Conduct, TriggerRule, compile};
pub use rule::{
    Agg, Cmp, DEPTH_MAX, Node, RULE_BYTES_MAX, Rule, RuleError, Selector, TERMS_MAX, Term, Threshold, Value,
};
