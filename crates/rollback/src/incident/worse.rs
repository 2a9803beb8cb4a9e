//! Whether what is watched became worse: a value that is further from its threshold than when the trigger fired.

use crate::trigger::{Cmp, Term, TermState, Threshold};

/// Why it is worse, if it is: some series' value is beyond its threshold by more than it was when the trigger fired, by more
/// than `percent` hundredths of the threshold. `fired` is the value that made it fire.
///
/// A comparison for equality has no direction, and none of its values is worse than another.
pub fn worse(terms: &[Term], now: &[TermState], fired: f64, percent: u32) -> Option<String> {
    now.iter().find_map(|state| {
        let term = terms.get(state.term)?;
        let threshold = match term.threshold {
            Threshold::Fixed(threshold) => threshold,
            Threshold::Baseline(times) => times * state.baseline?,
        };
        let sign = match term.cmp {
            Cmp::Above | Cmp::AtLeast => 1.0,
            Cmp::Below | Cmp::AtMost => -1.0,
            Cmp::Equal | Cmp::Other => return None,
        };
        let beyond = |value: f64| (value - threshold) * sign;
        let (then, is) = (beyond(fired).max(0.0), beyond(state.value));
        let margin = threshold.abs() * f64::from(percent) / 100.0;
        (is > 0.0 && is > then + margin)
            .then(|| format!("{} is at {} now, and was at {fired} when it fired", state.series, state.value))
    })
}
