//! What a rule says, as data: terms (each compares one value with a threshold) and how they are joined. The grammar stands
//! in `docs/triggers.md`.

use super::parse;
use crate::neutralise;
use std::{collections::BTreeMap, fmt, ops::Range};

/// Bytes of a rule's text at most.
pub const RULE_BYTES_MAX: usize = 4096;
/// Terms of a rule at most.
pub const TERMS_MAX: usize = 64;
/// Parentheses and `not`s inside one another at most.
pub const DEPTH_MAX: usize = 32;

/// A rule of the trigger language, as it was written and as it is meant.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    pub(super) text: String,
    pub(super) root: Node,
    pub(super) terms: Vec<Term>,
    pub(super) sustained: usize,
}

/// How terms are joined.
#[derive(Debug, Clone, PartialEq)]
pub enum Node {
    /// The term with this index in [`Rule::terms`].
    Term(usize),
    /// All of them.
    And(Vec<Node>),
    /// One of them at least.
    Or(Vec<Node>),
    /// The opposite; what is unknown stays unknown.
    Not(Box<Node>),
    /// Without interruption for `ms` milliseconds. `index` counts these nodes within the rule.
    For {
        /// What has to hold.
        node: Box<Node>,
        /// For how long.
        ms: i64,
        /// Which of the rule's [`Node::For`]s this is, from 0.
        index: usize,
    },
}

/// One comparison.
#[derive(Debug, Clone, PartialEq)]
pub struct Term {
    /// Where it stands in the rule's text.
    pub span: Range<usize>,
    /// What is compared.
    pub value: Value,
    /// How.
    pub cmp: Cmp,
    /// With what.
    pub threshold: Threshold,
    /// Every sample of the series has to compare so for this long, in milliseconds.
    pub for_ms: Option<i64>,
}

/// What a term compares.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// The newest sample.
    Last(Selector),
    /// An aggregate of the samples of the last `window_ms`.
    Over {
        /// Which aggregate.
        agg: Agg,
        /// Of which samples.
        selector: Selector,
        /// Milliseconds; the window is open at its old end and closed at its new one.
        window_ms: i64,
    },
    /// How many events there were in the last `window_ms`: increase of a counter (`…_total`), else the sum of the samples.
    Count {
        /// Which events.
        selector: Selector,
        /// Milliseconds.
        window_ms: i64,
    },
    /// One count by another, of the same labels.
    Ratio {
        /// Above the line.
        numerator: Selector,
        /// Below it.
        denominator: Selector,
        /// Milliseconds.
        window_ms: i64,
    },
    /// How many samples in a row, up to the newest, were not 0.
    Consecutive(Selector),
    /// How many samples of the last `window_ms` compared so.
    Occurring {
        /// Which samples.
        selector: Selector,
        /// How each is compared.
        cmp: Cmp,
        /// With what.
        threshold: f64,
        /// Milliseconds.
        window_ms: i64,
    },
}

/// An aggregate of a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Agg {
    /// Mean.
    Avg,
    /// Smallest.
    Min,
    /// Largest.
    Max,
    /// Sum.
    Sum,
    /// Percentile, 1 to 99, interpolated between the two nearest samples.
    Percentile(u8),
}

/// Which series: a metric, and labels that must be, or must not be, so. A label that is not there is the empty text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selector {
    /// The metric's name.
    pub metric: String,
    /// Label, whether it must be equal (else: must differ), value.
    pub labels: Vec<(String, bool, String)>,
}

/// How a value is compared with a threshold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cmp {
    /// `>`
    Above,
    /// `>=`
    AtLeast,
    /// `<`
    Below,
    /// `<=`
    AtMost,
    /// `==`
    Equal,
    /// `!=`
    Other,
}

/// What a value is compared with, in the metric's base unit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Threshold {
    /// This.
    Fixed(f64),
    /// This many times the series' baseline.
    Baseline(f64),
}

/// What is wrong with a rule's text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct RuleError {
    /// Bytes of the rule's text at fault.
    pub span: Range<usize>,
    /// One sentence: what is wrong.
    pub message: String,
    /// What would make it right.
    pub help: Option<String>,
}

impl RuleError {
    pub(super) fn at(span: Range<usize>, message: impl Into<String>) -> RuleError {
        RuleError { span, message: message.into(), help: None }
    }

    pub(super) fn help(mut self, help: impl Into<String>) -> RuleError {
        self.help = Some(help.into());
        self
    }
}

impl Rule {
    /// Reads a rule.
    ///
    /// # Errors
    /// [`RuleError`] with its place: not of the grammar, a unit that does not fit the metric, a duration that is none,
    /// more than [`RULE_BYTES_MAX`], [`TERMS_MAX`] or [`DEPTH_MAX`].
    pub fn parse(text: &str) -> Result<Rule, RuleError> {
        parse::rule(text)
    }

    /// As it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// How its terms are joined.
    pub fn root(&self) -> &Node {
        &self.root
    }

    /// Its terms, in the order in which they stand.
    pub fn terms(&self) -> &[Term] {
        &self.terms
    }

    /// The metrics that it speaks of, each once.
    pub fn metrics(&self) -> Vec<&str> {
        let mut all: Vec<&str> =
            self.terms.iter().flat_map(|t| t.value.selectors()).map(|s| s.metric.as_str()).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// How long before it holds what it is about has begun, in milliseconds: at least, and at most. It is what its `for`s say,
    /// and its windows look further back.
    pub fn begun_before_ms(&self) -> (i64, i64) {
        self.root.begun_before_ms(&self.terms)
    }

    /// Whether some threshold is a number of baselines.
    pub fn has_baseline(&self) -> bool {
        self.terms.iter().any(|t| matches!(t.threshold, Threshold::Baseline(_)))
    }

    /// Whether some term has a window or a `for`, or counts a row: whether `min-samples` means something.
    pub fn has_samples_to_count(&self) -> bool {
        self.terms.iter().any(|t| t.for_ms.is_some() || matches!(t.value, Value::Over { .. } | Value::Ratio { .. }))
    }
}

impl Node {
    fn begun_before_ms(&self, terms: &[Term]) -> (i64, i64) {
        let of = |nodes: &[Node], least: fn(i64, i64) -> i64| {
            let all = nodes.iter().map(|node| node.begun_before_ms(terms));
            all.reduce(|a, b| (least(a.0, b.0), a.1.max(b.1))).unwrap_or_default()
        };
        match self {
            Node::Term(n) => terms.get(*n).map_or((0, 0), |term| {
                let held_ms = term.for_ms.unwrap_or(0);
                (held_ms, held_ms.saturating_add(term.value.window_ms().unwrap_or(0)))
            }),
            Node::And(nodes) => of(nodes, i64::max),
            // Nobody knows which of them it was.
            Node::Or(nodes) => of(nodes, i64::min),
            Node::Not(node) => (0, node.begun_before_ms(terms).1),
            Node::For { node, ms, .. } => {
                let (least, most) = node.begun_before_ms(terms);
                (least.saturating_add(*ms), most.saturating_add(*ms))
            }
        }
    }
}

impl Value {
    /// The series that it is made of; two for a ratio.
    pub fn selectors(&self) -> Vec<&Selector> {
        match self {
            Value::Last(s) | Value::Consecutive(s) => vec![s],
            Value::Over { selector, .. } | Value::Count { selector, .. } | Value::Occurring { selector, .. } => {
                vec![selector]
            }
            Value::Ratio { numerator, denominator, .. } => vec![numerator, denominator],
        }
    }

    /// Whether it is made of two series.
    pub(super) fn selectors_are_two(&self) -> bool {
        matches!(self, Value::Ratio { .. })
    }

    /// How far back it looks, in milliseconds; `None` when only the newest samples count.
    pub fn window_ms(&self) -> Option<i64> {
        match self {
            Value::Last(_) | Value::Consecutive(_) => None,
            Value::Over { window_ms, .. }
            | Value::Count { window_ms, .. }
            | Value::Ratio { window_ms, .. }
            | Value::Occurring { window_ms, .. } => Some(*window_ms),
        }
    }
}

impl Selector {
    /// Whether it means the series with these labels.
    pub fn covers(&self, labels: &BTreeMap<String, String>) -> bool {
        let holds = |(label, equal, value): &(String, bool, String)| {
            (labels.get(label).map_or("", String::as_str) == value) == *equal
        };
        self.labels.iter().all(holds)
    }

    /// Whether its samples are the running total of a counter rather than values of their own: its name ends in `_total`,
    /// as OpenMetrics has it.
    pub fn is_counter(&self) -> bool {
        self.metric.ends_with("_total")
    }
}

impl Cmp {
    /// Whether `value` compares so with `threshold`. With NaN nothing does.
    pub fn holds(self, value: f64, threshold: f64) -> bool {
        if value.is_nan() || threshold.is_nan() {
            return false;
        }
        match self {
            Cmp::Above => value > threshold,
            Cmp::AtLeast => value >= threshold,
            Cmp::Below => value < threshold,
            Cmp::AtMost => value <= threshold,
            #[expect(clippy::float_cmp, reason = "`==` of the language means exactly this")]
            Cmp::Equal => value == threshold,
            #[expect(clippy::float_cmp, reason = "and `!=` its opposite")]
            Cmp::Other => value != threshold,
        }
    }
}

impl fmt::Display for Cmp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Cmp::Above => ">",
            Cmp::AtLeast => ">=",
            Cmp::Below => "<",
            Cmp::AtMost => "<=",
            Cmp::Equal => "==",
            Cmp::Other => "!=",
        })
    }
}

impl fmt::Display for Agg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Agg::Avg => f.write_str("avg"),
            Agg::Min => f.write_str("min"),
            Agg::Max => f.write_str("max"),
            Agg::Sum => f.write_str("sum"),
            Agg::Percentile(p) => write!(f, "p{p}"),
        }
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.metric)?;
        for (i, (label, equal, value)) in self.labels.iter().enumerate() {
            let before = if i == 0 { "{" } else { ", " };
            let sign = if *equal { "=" } else { "!=" };
            write!(f, "{before}{label}{sign}\"{}\"", neutralise(value))?;
        }
        if self.labels.is_empty() { Ok(()) } else { f.write_str("}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_holds_now_has_begun_between_two_times_before() {
        let minutes = |text: &str| {
            let (least, most) = Rule::parse(text).expect(text).begun_before_ms();
            (least / 60_000, most / 60_000)
        };
        for (text, wanted) in [
            ("queue_length > 3", (0, 0)),
            ("queue_length > 3 for 10m", (10, 10)),
            ("avg(queue_length) > 3 in 5m", (0, 5)),
            ("avg(queue_length) > 3 in 5m for 10m", (10, 15)),
            ("query_seconds > 2m occurring > 5 times in 1h", (0, 60)),
            ("queue_length > 3 for 10m and up == 0 for 2m", (10, 10)),
            ("queue_length > 3 for 10m or up == 0 for 2m", (2, 10)),
            ("(queue_length > 3 and up == 0 for 2m) for 3m", (5, 5)),
            ("not (queue_length > 3 for 10m)", (0, 10)),
        ] {
            assert_eq!(minutes(text), wanted, "{text}");
        }
    }
}
