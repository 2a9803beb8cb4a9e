//! `policies/triggers/<story>.test.toml`: unit tests of triggers, as an operator writes them. What a series' values mean
//! and what a rule answers to them is for `unship-rollback` to say; here is who is tested with what.

use crate::{
    FileError, Name, StoryId,
    tables::{duration, name},
    trigger::Sentence,
};
use serde::Deserialize;
use std::{collections::BTreeMap, ops::Range, time::Duration};
use toml::Spanned;

/// A file of unit tests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TriggerTests {
    /// Whose triggers they test; `None`: the general ones of the site.
    pub story: Option<StoryId>,
    /// In the order of the file.
    pub tests: Vec<TriggerTest>,
}

/// One unit test: a rule is fed with these series and has to fire, and to answer, so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TriggerTest {
    /// One line for people.
    pub name: String,
    /// The trigger that is tested.
    pub trigger: Name,
    /// Where it is named.
    pub trigger_span: Range<usize>,
    /// The time from one value of a series to the next.
    pub every: Duration,
    /// Series and their values, both as text; they begin at 0.
    pub series: Vec<(Sentence, Sentence)>,
    /// When the story was shipped: from then on nothing teaches a baseline.
    pub shipped: Option<Duration>,
    /// How long the rule is watched; without it to the last value.
    pub until: Option<Duration>,
    /// When it fires, all of it.
    pub fires: Option<Times>,
    /// When it clears, all of it.
    pub clears: Option<Times>,
    /// What it answers, at which time.
    pub answers: Vec<(Duration, Sentence)>,
    /// Its table.
    pub span: Range<usize>,
}

/// Times since the beginning of a test, one after the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Times {
    /// Each later than the one before.
    pub times: Vec<Duration>,
    /// Where they stand.
    pub span: Range<usize>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTriggerTests {
    story: Option<Spanned<String>>,
    #[serde(default)]
    test: Vec<Spanned<RawTriggerTest>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTriggerTest {
    name: String,
    trigger: Spanned<String>,
    every: Option<Spanned<String>>,
    series: BTreeMap<Spanned<String>, Spanned<String>>,
    shipped: Option<Spanned<String>>,
    until: Option<Spanned<String>>,
    fires: Option<Spanned<Vec<Spanned<String>>>>,
    clears: Option<Spanned<Vec<Spanned<String>>>>,
    #[serde(default)]
    answers: BTreeMap<Spanned<String>, Spanned<String>>,
}

/// From one value of a series to the next, where a test does not say.
const EVERY: Duration = Duration::from_secs(60);

impl TriggerTests {
    /// Reads a file of unit tests.
    ///
    /// # Errors
    /// [`FileError`] with its place: not TOML, an unknown or missing key, a time that is none, times out of order, a test
    /// that expects nothing and so could not fail.
    pub fn parse(text: &str) -> Result<TriggerTests, FileError> {
        let raw: RawTriggerTests = toml::from_str(text).map_err(|e| FileError::from_toml(&e))?;
        let story = raw
            .story
            .as_ref()
            .map(|story| StoryId::new(story.get_ref()).map_err(|e| FileError::at(story.span(), e.to_string())));
        let tests = raw.test.iter().map(|test| test.get_ref().parse(test.span())).collect::<Result<_, _>>()?;
        Ok(TriggerTests { story: story.transpose()?, tests })
    }
}

impl RawTriggerTest {
    fn parse(&self, span: Range<usize>) -> Result<TriggerTest, FileError> {
        if self.fires.is_none() && self.clears.is_none() && self.answers.is_empty() {
            return Err(FileError::at(span, "this test expects nothing, so it cannot fail")
                .help("say when the trigger fires: `fires = [\"10m\"]`, or `fires = []` for never"));
        }
        let mut answers = Vec::new();
        for (at, answer) in &self.answers {
            answers.push((time(at)?, sentence(answer)));
        }
        answers.sort_by_key(|(at, _)| *at);
        Ok(TriggerTest {
            name: self.name.clone(),
            trigger: name(&self.trigger)?,
            trigger_span: self.trigger.span(),
            every: self.every.as_ref().map_or(Ok(EVERY), duration)?,
            series: self.series.iter().map(|(series, values)| (sentence(series), sentence(values))).collect(),
            shipped: self.shipped.as_ref().map(time).transpose()?,
            until: self.until.as_ref().map(time).transpose()?,
            fires: self.fires.as_ref().map(times).transpose()?,
            clears: self.clears.as_ref().map(times).transpose()?,
            answers,
            span,
        })
    }
}

fn sentence(raw: &Spanned<String>) -> Sentence {
    Sentence { text: raw.get_ref().clone(), span: raw.span() }
}

fn times(raw: &Spanned<Vec<Spanned<String>>>) -> Result<Times, FileError> {
    let mut times: Vec<Duration> = Vec::new();
    for text in raw.get_ref() {
        let at = time(text)?;
        if times.last().is_some_and(|before| *before >= at) {
            return Err(FileError::at(text.span(), "this time is not after the one before it"));
        }
        times.push(at);
    }
    Ok(Times { times, span: raw.span() })
}

/// A time since the beginning: `0`, `90s`, `1h30m`.
fn time(raw: &Spanned<String>) -> Result<Duration, FileError> {
    let text = raw.get_ref().as_str();
    let bad = || {
        let message = format!("{text:?} is no time since the beginning of the test");
        FileError::at(raw.span(), message).help("such as \"0\", \"90s\" or \"1h30m\"")
    };
    let (mut sum, mut rest) = (Duration::ZERO, text);
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let letters = rest[digits..].bytes().take_while(u8::is_ascii_alphabetic).count();
        let (part, behind) = rest.split_at(digits + letters);
        if digits == 0 {
            return Err(bad());
        }
        // A duration is above 0; here none at all is one.
        if part.bytes().take(digits).any(|b| b != b'0') {
            let more = crate::parse_duration(part).map_err(|_| bad())?;
            sum = sum.checked_add(more).filter(|sum| *sum <= TIME_MAX).ok_or_else(bad)?;
        } else if !["", "ms", "s", "m", "h", "d"].contains(&&part[digits..]) {
            return Err(bad());
        }
        rest = behind;
    }
    if text.is_empty() { Err(bad()) } else { Ok(sum) }
}

/// The latest time of a test.
const TIME_MAX: Duration = Duration::from_secs(366 * 24 * 3600);

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "story = \"1.3\"\n[[test]]\nname = \"x\"\ntrigger = \"slow\"\nevery = \"30s\"\n\
        series = { 'a{b=\"c\"}' = \"1x3\" }\nuntil = \"1h30m\"\nshipped = \"3h\"\nfires = [\"0\", \"90s\"]\nclears = []\n\
        answers = { \"2m\" = \"breach\", \"0s\" = \"ok\" }\n";

    #[test]
    fn a_file_is_read() {
        let file = TriggerTests::parse(GOOD).expect("it is valid");
        assert_eq!(file.story.expect("a story").as_str(), "1.3");
        let test = &file.tests[0];
        assert_eq!((test.trigger.as_str(), test.every.as_secs()), ("slow", 30));
        assert_eq!(test.until, Some(Duration::from_secs(5400)));
        assert_eq!(test.shipped, Some(Duration::from_secs(10_800)));
        assert_eq!(test.fires.as_ref().expect("times").times, [0, 90].map(Duration::from_secs));
        assert_eq!(test.clears.as_ref().expect("times").times, []);
        let answers: Vec<_> = test.answers.iter().map(|(at, answer)| (at.as_secs(), answer.text.as_str())).collect();
        assert_eq!(answers, [(0, "ok"), (120, "breach")]);
        assert_eq!(TriggerTests::parse("").expect("no tests").tests, []);
    }

    #[test]
    fn a_file_at_fault_is_pointed_at() {
        for (from, to, place, wanted) in [
            ("story = \"1.3\"", "story = \"../x\"", (1, 9), "\"../x\""),
            ("every = \"30s\"", "every = \"soon\"", (5, 9), "is not a duration"),
            ("every = \"30s\"", "often = \"30s\"", (5, 1), "unknown field `often`"),
            ("trigger = \"slow\"", "trigger = \"a b\"", (4, 11), "a b"),
            ("trigger = \"slow\"\n", "", (2, 1), "missing field `trigger`"),
            ("\"1h30m\"", "\"-1h\"", (7, 9), "\"-1h\" is no time since the beginning"),
            ("\"1h30m\"", "\"1h30\"", (7, 9), "is no time since"),
            ("\"1h30m\"", "\"\"", (7, 9), "is no time since"),
            ("\"1h30m\"", "\"0x\"", (7, 9), "is no time since"),
            ("\"1h30m\"", "\"367d\"", (7, 9), "is no time since"),
            ("\"1h30m\"", "\"99999999999999999999d\"", (7, 9), "is no time since"),
            ("[\"0\", \"90s\"]", "[\"90s\", \"1m30s\"]", (9, 17), "not after the one before"),
            ("\"1x3\"", "1", (6, 25), "invalid type: integer `1`, expected a string"),
        ] {
            let text = GOOD.replacen(from, to, 1);
            assert_ne!(text, GOOD);
            let error = TriggerTests::parse(&text).expect_err("it is at fault");
            assert!(error.message.contains(wanted), "{to}: {error}");
            assert_eq!(error.line_column(&text), Some(place), "{to}: {error}");
        }
        let error = TriggerTests::parse("[[test]]\nname = \"x\"\ntrigger = \"a\"\nseries = {}").expect_err("nothing");
        assert!(error.message.contains("expects nothing, so it cannot fail"), "{error}");
    }
}
