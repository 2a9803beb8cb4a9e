//! From text to [`Rule`]: recursive descent, at most [`DEPTH_MAX`] deep.

use super::{
    lex::{Kind, Token, tokens},
    rule::{Agg, Cmp, DEPTH_MAX, Node, RULE_BYTES_MAX, Rule, RuleError, Selector, TERMS_MAX, Term, Threshold, Value},
    units::{self, DURATION_MS_MAX, DURATIONS, Dimension, PER, Quantity, THINGS},
};
use crate::{neutralise, signal::NAME_BYTES_MAX};
use std::ops::Range;

/// Words that are no metric's name in a rule.
const KEYWORDS: &[&str] =
    &["and", "or", "not", "while", "for", "in", "occurring", "times", "unresponsive", "detected", "x", "baseline"];
const FUNCTIONS: &str = "count, consecutive, avg, min, max, sum, or a percentile such as p95";

pub(super) fn rule(text: &str) -> Result<Rule, RuleError> {
    if text.len() > RULE_BYTES_MAX {
        let message = format!("a rule of {} bytes; at most {RULE_BYTES_MAX}", text.len());
        return Err(RuleError::at(0..text.len(), message).help("split it into several triggers"));
    }
    let mut parser = Parser::new(text)?;
    let mut root = parser.expression()?;
    if parser.takes_word("while") {
        let condition = parser.expression()?;
        root = parser.while_holds(root, condition);
    }
    if parser.peek() != Kind::End {
        return Err(parser.unexpected("the rule could end here"));
    }
    Ok(Rule { text: text.to_owned(), root, terms: parser.terms, sustained: parser.sustained })
}

/// A quantity alone, in the unit of `metric`.
pub(super) fn quantity(text: &str, metric: &str) -> Result<f64, RuleError> {
    let mut parser = Parser::new(text)?;
    let quantity = parser.quantity()?;
    if parser.peek() != Kind::End {
        return Err(parser.unexpected("the quantity could end here"));
    }
    units::fit(&quantity, metric)
}

struct Parser<'a> {
    tokens: Vec<Token<'a>>,
    at: usize,
    terms: Vec<Term>,
    /// How many [`Node::For`]s there are.
    sustained: usize,
    depth: usize,
}

impl<'a> Parser<'a> {
    fn new(text: &'a str) -> Result<Parser<'a>, RuleError> {
        Ok(Parser { tokens: tokens(text)?, at: 0, terms: Vec::new(), sustained: 0, depth: 0 })
    }

    fn peek(&self) -> Kind<'a> {
        self.tokens[self.at].kind
    }

    fn span(&self) -> Range<usize> {
        self.tokens[self.at].span.clone()
    }

    /// The token here; the end is never passed.
    fn next(&mut self) -> Token<'a> {
        let token = self.tokens[self.at].clone();
        self.at = (self.at + 1).min(self.tokens.len() - 1);
        token
    }

    fn takes(&mut self, kind: Kind<'_>) -> bool {
        let is_here = self.peek() == kind;
        if is_here {
            self.next();
        }
        is_here
    }

    fn takes_word(&mut self, word: &str) -> bool {
        self.takes(Kind::Word(word))
    }

    fn wants(&mut self, kind: Kind<'_>, what: &str) -> Result<(), RuleError> {
        if self.takes(kind) { Ok(()) } else { Err(self.unexpected(&format!("{what} is wanted here"))) }
    }

    /// An error at the token here.
    fn unexpected(&self, wanted: &str) -> RuleError {
        let found = match self.peek() {
            Kind::Word(word) => format!("`{}`", neutralise(word)),
            Kind::Number(number) => format!("`{number}`"),
            Kind::Text(text) => format!("\"{}\"", neutralise(text)),
            Kind::Sign(sign) => format!("`{sign}`"),
            Kind::End => "the end".to_owned(),
        };
        RuleError::at(self.span(), format!("{wanted}, not {found}"))
    }

    /// `a and b or c`: `and` binds closer.
    fn expression(&mut self) -> Result<Node, RuleError> {
        self.joined("or", Node::Or, |p| p.joined("and", Node::And, Parser::unary))
    }

    fn joined(
        &mut self,
        word: &str,
        join: fn(Vec<Node>) -> Node,
        part: impl Fn(&mut Self) -> Result<Node, RuleError>,
    ) -> Result<Node, RuleError> {
        let first = part(self)?;
        if self.peek() != Kind::Word(word) {
            return Ok(first);
        }
        let mut all = vec![first];
        while self.takes_word(word) {
            all.push(part(self)?);
        }
        Ok(join(all))
    }

    fn unary(&mut self) -> Result<Node, RuleError> {
        let span = self.span();
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(RuleError::at(span, format!("more than {DEPTH_MAX} parentheses inside one another")));
        }
        let node = if self.takes_word("not") {
            Node::Not(Box::new(self.unary()?))
        } else if self.takes(Kind::Sign("(")) {
            let node = self.expression()?;
            self.wants(Kind::Sign(")"), "`)`")?;
            if self.takes_word("for") {
                let ms = self.duration()?;
                self.sustain(node, ms)
            } else {
                node
            }
        } else {
            let term = self.term()?;
            if self.terms.len() == TERMS_MAX {
                return Err(RuleError::at(term.span, format!("a rule has at most {TERMS_MAX} terms"))
                    .help("split it into several triggers"));
            }
            self.terms.push(term);
            Node::Term(self.terms.len() - 1)
        };
        self.depth -= 1;
        Ok(node)
    }

    fn sustain(&mut self, node: Node, ms: i64) -> Node {
        self.sustained += 1;
        Node::For { node: Box::new(node), ms, index: self.sustained - 1 }
    }

    /// `A for D while P` holds when A and P together have held for D: a precondition that was not met interrupts.
    fn while_holds(&mut self, node: Node, condition: Node) -> Node {
        match node {
            Node::For { node, ms, index } => Node::For { node: Box::new(Node::And(vec![*node, condition])), ms, index },
            Node::Term(index) => match self.terms[index].for_ms.take() {
                Some(ms) => self.sustain(Node::And(vec![Node::Term(index), condition]), ms),
                None => Node::And(vec![Node::Term(index), condition]),
            },
            other => Node::And(vec![other, condition]),
        }
    }

    fn term(&mut self) -> Result<Term, RuleError> {
        let start = self.span().start;
        let Kind::Word(word) = self.peek() else { return Err(self.unexpected("a metric, `not` or `(`")) };
        let is_function = self.tokens.get(self.at + 1).is_some_and(|t| t.kind == Kind::Sign("("));
        let (value, cmp, threshold, for_ms) = if is_function { self.function(word)? } else { self.plain()? };
        Ok(Term { span: start..self.tokens[self.at - 1].span.end, value, cmp, threshold, for_ms })
    }

    /// What begins with a metric: `m > 2`, `m > 2 occurring …`, `m unresponsive for D`, `m detected`.
    fn plain(&mut self) -> Result<(Value, Cmp, Threshold, Option<i64>), RuleError> {
        let selector = self.selector()?;
        if self.takes_word("unresponsive") {
            self.wants(Kind::Word("for"), "`for`")?;
            let ms = self.duration()?;
            return Ok((Value::Last(selector), Cmp::Equal, Threshold::Fixed(0.0), Some(ms)));
        }
        if self.takes_word("detected") {
            return Ok((Value::Last(selector), Cmp::Other, Threshold::Fixed(0.0), None));
        }
        let cmp = self.cmp()?;
        let begin = self.span();
        let threshold = self.threshold(&selector.metric)?;
        if let Kind::Word("in") = self.peek() {
            let help = format!("a window needs an aggregate around the metric: {FUNCTIONS}");
            return Err(
                RuleError::at(self.span(), "how the samples of the window become one value is not said").help(help)
            );
        }
        if !self.takes_word("occurring") {
            let for_ms = self.optional_for()?;
            return Ok((Value::Last(selector), cmp, threshold, for_ms));
        }
        let Threshold::Fixed(threshold) = threshold else {
            return Err(RuleError::at(begin, "`occurring` counts samples beyond a fixed threshold, not a baseline"));
        };
        let times_cmp = self.cmp()?;
        let times = units::count(&self.quantity()?)?;
        self.wants(Kind::Word("times"), "`times`")?;
        let window_ms = self.window()?;
        let for_ms = self.optional_for()?;
        Ok((Value::Occurring { selector, cmp, threshold, window_ms }, times_cmp, Threshold::Fixed(times), for_ms))
    }

    /// What begins with a function: `count(m) > 3 in D`.
    fn function(&mut self, name: &str) -> Result<(Value, Cmp, Threshold, Option<i64>), RuleError> {
        let span = self.span();
        let agg = match name {
            "count" | "consecutive" => None,
            _ => Some(aggregate(name).ok_or_else(|| {
                let message = format!("there is no function `{}`", neutralise(name));
                RuleError::at(span, message).help(format!("the functions are {FUNCTIONS}"))
            })?),
        };
        let selector = self.argument()?;
        if name == "consecutive" {
            let cmp = self.cmp()?;
            let threshold = Threshold::Fixed(units::count(&self.quantity()?)?);
            let for_ms = self.optional_for()?;
            return Ok((Value::Consecutive(selector), cmp, threshold, for_ms));
        }
        if let Some(agg) = agg {
            let cmp = self.cmp()?;
            let threshold = self.threshold(&selector.metric)?;
            let window_ms = self.window()?;
            let for_ms = self.optional_for()?;
            return Ok((Value::Over { agg, selector, window_ms }, cmp, threshold, for_ms));
        }
        let denominator = if self.takes(Kind::Sign("/")) {
            if self.peek() != Kind::Word("count") {
                return Err(self.unexpected("`count(…)`, as a count is divided by a count,"));
            }
            Some(self.argument()?)
        } else {
            None
        };
        let cmp = self.cmp()?;
        let quantity = self.quantity()?;
        let number = if denominator.is_some() { units::ratio(&quantity)? } else { units::count(&quantity)? };
        let window_ms = self.window()?;
        let for_ms = self.optional_for()?;
        let value = match denominator {
            Some(denominator) => Value::Ratio { numerator: selector, denominator, window_ms },
            None => Value::Count { selector, window_ms },
        };
        Ok((value, cmp, Threshold::Fixed(number), for_ms))
    }

    /// `name(selector)`.
    fn argument(&mut self) -> Result<Selector, RuleError> {
        self.next();
        self.wants(Kind::Sign("("), "`(`")?;
        let selector = self.selector()?;
        self.wants(Kind::Sign(")"), "`)`")?;
        Ok(selector)
    }

    fn selector(&mut self) -> Result<Selector, RuleError> {
        let span = self.span();
        let metric = match self.peek() {
            Kind::Word(word) if !KEYWORDS.contains(&word) => word.to_owned(),
            _ => return Err(self.unexpected("a metric's name is wanted here")),
        };
        if metric.len() > NAME_BYTES_MAX {
            return Err(RuleError::at(span, format!("a metric's name has at most {NAME_BYTES_MAX} bytes")));
        }
        self.next();
        let mut labels = Vec::new();
        if self.takes(Kind::Sign("{")) {
            while !self.takes(Kind::Sign("}")) {
                if !labels.is_empty() {
                    self.wants(Kind::Sign(","), "`,` or `}`")?;
                }
                labels.push(self.label()?);
            }
        }
        Ok(Selector { metric, labels })
    }

    fn label(&mut self) -> Result<(String, bool, String), RuleError> {
        let Kind::Word(label) = self.peek() else { return Err(self.unexpected("a label's name is wanted here")) };
        self.next();
        let equal = self.takes(Kind::Sign("="));
        if !equal {
            self.wants(Kind::Sign("!="), "`=` or `!=`")?;
        }
        let Kind::Text(value) = self.peek() else { return Err(self.unexpected("a text in quotes is wanted here")) };
        self.next();
        Ok((label.to_owned(), equal, value.to_owned()))
    }

    fn cmp(&mut self) -> Result<Cmp, RuleError> {
        let cmp = match self.peek() {
            Kind::Sign(">") => Cmp::Above,
            Kind::Sign(">=") => Cmp::AtLeast,
            Kind::Sign("<") => Cmp::Below,
            Kind::Sign("<=") => Cmp::AtMost,
            Kind::Sign("==") => Cmp::Equal,
            Kind::Sign("!=") => Cmp::Other,
            _ => return Err(self.unexpected("a comparison (>, >=, <, <=, ==, !=) is wanted here")),
        };
        self.next();
        Ok(cmp)
    }

    /// A quantity that fits `metric`, or `N x baseline`.
    fn threshold(&mut self, metric: &str) -> Result<Threshold, RuleError> {
        let span = self.span();
        if let (Kind::Number(factor), Some(Kind::Word("x"))) =
            (self.peek(), self.tokens.get(self.at + 1).map(|t| t.kind))
        {
            self.next();
            self.next();
            self.wants(Kind::Word("baseline"), "`baseline`")?;
            if factor <= 0.0 {
                return Err(RuleError::at(span, "how many baselines is a number above 0"));
            }
            return Ok(Threshold::Baseline(factor));
        }
        Ok(Threshold::Fixed(units::fit(&self.quantity()?, metric)?))
    }

    /// A number and perhaps its unit.
    fn quantity(&mut self) -> Result<Quantity, RuleError> {
        let start = self.span();
        let Kind::Number(number) = self.peek() else { return Err(self.unexpected("a number is wanted here")) };
        self.next();
        let (number, dimension) = match self.peek() {
            Kind::Sign("%") => {
                self.next();
                (number / 100.0, Dimension::Ratio)
            }
            Kind::Sign("/") => (number, Dimension::Things),
            Kind::Word(unit) => {
                if let Some(measured) = units::measured(number, unit) {
                    self.next();
                    measured
                } else if THINGS.contains(&unit) {
                    self.next();
                    (number, Dimension::Things)
                } else if KEYWORDS.contains(&unit) {
                    (number, Dimension::Plain)
                } else {
                    let message = format!("there is no unit `{}`", neutralise(unit));
                    return Err(RuleError::at(self.span(), message).help(units::known()));
                }
            }
            _ => (number, Dimension::Plain),
        };
        let (number, dimension) = self.per(number, dimension)?;
        let span = start.start..self.tokens[self.at - 1].span.end;
        if !number.is_finite() {
            return Err(RuleError::at(span, "this quantity is too large"));
        }
        Ok(Quantity { number, dimension, span })
    }

    /// `/s` behind a number of things or bytes.
    fn per(&mut self, number: f64, dimension: Dimension) -> Result<(f64, Dimension), RuleError> {
        if !matches!(dimension, Dimension::Things | Dimension::Bytes) || !self.takes(Kind::Sign("/")) {
            return Ok((number, dimension));
        }
        let per = match self.peek() {
            Kind::Word(word) => PER.iter().find(|(name, _)| *name == word).map(|(_, seconds)| *seconds),
            _ => None,
        };
        let Some(seconds) = per else { return Err(self.unexpected("`s`, `m` or `h` is wanted behind `/`")) };
        self.next();
        Ok((number / seconds, Dimension::PerSecond))
    }

    fn window(&mut self) -> Result<i64, RuleError> {
        if !self.takes_word("in") {
            return Err(self.unexpected("`in` and how far back to look is wanted here"));
        }
        self.duration()
    }

    fn optional_for(&mut self) -> Result<Option<i64>, RuleError> {
        if self.takes_word("for") { self.duration().map(Some) } else { Ok(None) }
    }

    /// A duration in milliseconds.
    fn duration(&mut self) -> Result<i64, RuleError> {
        let start = self.span();
        let Kind::Number(number) = self.peek() else {
            return Err(self.unexpected("a duration such as `10m` is wanted here"));
        };
        self.next();
        let factor = match self.peek() {
            Kind::Word(unit) => DURATIONS.iter().find(|(name, _)| *name == unit).map(|(_, ms)| *ms),
            _ => None,
        };
        let Some(factor) = factor else {
            return Err(self.unexpected("a unit of time (ms, s, m, h, d) is wanted here"));
        };
        let span = start.start..self.next().span.end;
        let ms = number * factor;
        if ms <= 0.0 {
            return Err(RuleError::at(span, "a duration is longer than 0"));
        }
        if ms > DURATION_MS_MAX {
            return Err(RuleError::at(span, "a duration of a rule is at most 366 d"));
        }
        #[expect(clippy::float_cmp, reason = "a whole number of milliseconds, exactly")]
        let is_whole = ms.round() == ms;
        if !is_whole {
            return Err(RuleError::at(span, "a duration is a whole number of milliseconds"));
        }
        #[expect(clippy::cast_possible_truncation, reason = "whole, and below 366 d")]
        Ok(ms as i64)
    }
}

fn aggregate(name: &str) -> Option<Agg> {
    Some(match name {
        "avg" => Agg::Avg,
        "min" => Agg::Min,
        "max" => Agg::Max,
        "sum" => Agg::Sum,
        _ => {
            let digits = name.strip_prefix('p').filter(|d| !d.starts_with('0') && d.len() <= 2)?;
            Agg::Percentile(digits.parse().ok().filter(|p| (1..=99).contains(p))?)
        }
    })
}
