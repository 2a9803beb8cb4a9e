//! Charts: what they look like (snapshots), that a breach is never lost by drawing, and that foreign text and any numbers
//! are harmless.

use proptest::prelude::*;
use std::ops::Range;
use unship_rollback::{
    chart::{Characters, Chart, LINES_MAX, Line, Mark, Threshold, Unit, svg, terminal},
    signal::{Millis, Sample},
};

const MINUTE: i64 = 60_000;

/// `YYYY-MM-DD hh:mm:ss` of the one day that these tests play on.
fn calendar(at: Millis) -> String {
    let seconds = at.0 / 1000;
    format!(
        "2026-03-{:02} {:02}:{:02}:{:02}",
        1 + seconds / 86400,
        seconds / 3600 % 24,
        seconds / 60 % 60,
        seconds % 60
    )
}

fn samples(values: &[f64], every: i64) -> Vec<Sample> {
    let at = |n: usize| Millis(12 * 60 * MINUTE + every * i64::try_from(n).expect("few"));
    values.iter().enumerate().map(|(n, v)| Sample { at: at(n), value: *v }).collect()
}

fn span(samples: &[Sample]) -> Range<Millis> {
    samples.first().expect("some").at..samples.last().expect("some").at
}

/// An error rate that goes over a quarter at 12:08 for good, and once before for a minute; minutes 15 to 18 are not known.
fn error_rate() -> Vec<Sample> {
    let rate = [4., 5., 3., 31., 6., 4., 7., 12., 28., 33., 41., 39., 37., 44., 52., 49., 51., 48., 47., 50., 46., 45.];
    let mut all = samples(&rate.map(|percent: f64| percent / 100.0), MINUTE);
    all.drain(15..18);
    all
}

fn chart(all: &[Sample]) -> Chart<'_> {
    let start = all[0].at;
    let minute = |n: i64| Millis(start.0 + n * MINUTE);
    Chart {
        title: "error-rate",
        rule: "error_rate > 25% for 5m",
        unit: Unit::Ratio,
        span: span(all),
        lines: vec![Line { name: "error_rate".into(), samples: all }],
        is_thinned: false,
        gap: Some(Millis(2 * MINUTE)),
        thresholds: vec![Threshold { value: 0.25, side: "above" }],
        windows: vec![minute(3)..minute(4), minute(8)..minute(13)],
        window_words: "the condition holds, not yet for long enough".into(),
        fired: vec![minute(13)],
        marks: vec![Mark { at: minute(14), what: "the rollback began".into() }],
        calendar,
    }
}

#[test]
fn a_chart_in_the_terminal() {
    let all = error_rate();
    let mut shown = terminal(&chart(&all), Characters::Unicode, 90, 12).join("\n");
    shown.push_str("\n\n");
    shown.push_str(&terminal(&chart(&all), Characters::Ascii, 72, 10).join("\n"));
    insta::assert_snapshot!("terminal", shown);
}

#[test]
fn a_chart_as_svg() {
    let all = error_rate();
    insta::assert_snapshot!("svg", svg(&chart(&all), "error-rate"));
}

/// Where the line of a picture goes: the heights in its path.
fn heights(picture: &str) -> Vec<f64> {
    let path =
        picture.split("<path class=\"line line-0\" d=\"").nth(1).and_then(|r| r.split('"').next()).expect("a line");
    let points = path.split(['M', 'L']).filter_map(|p| p.split(' ').nth(1));
    points.map(|y| y.trim_end_matches("h0").parse().expect("a number")).collect()
}

#[test]
fn of_a_million_samples_the_one_breach_is_drawn() {
    let mut values = vec![10.0; 1_000_000];
    values[654_321] = 90.0;
    values[123_456] = -5.0;
    let all = samples(&values, 1000);
    let chart = Chart { span: span(&all), windows: Vec::new(), fired: Vec::new(), gap: None, ..chart(&all) };
    let picture = svg(&chart, "big");
    assert!(picture.len() < 60_000, "{} bytes", picture.len());
    let heights = heights(&picture);
    let top = heights.iter().copied().fold(f64::INFINITY, f64::min);
    let bottom = heights.iter().copied().fold(0.0, f64::max);
    // The same as of a handful of samples with the same extremes.
    let few = samples(&[10.0, -5.0, 10.0, 90.0, 10.0], 1000);
    let small = Chart { span: span(&few), lines: vec![Line { name: "x".into(), samples: &few }], ..chart };
    let wanted = self::heights(&svg(&small, "small"));
    assert_eq!((top, bottom), (wanted[3], wanted[1]));
    // In the terminal it is a spike of its own: one column with a dot in the highest row that has any.
    let lines = terminal(
        &Chart { span: span(&all), lines: vec![Line { name: "x".into(), samples: &all }], ..small },
        Characters::Ascii,
        100,
        10,
    );
    let peak = lines[1..11].iter().find(|l| l.contains('*')).expect("a dot");
    assert_eq!(peak.matches('*').count(), 1, "{}", lines.join("\n"));
}

#[test]
fn however_much_is_drawn_the_picture_stays_small() {
    let values: Vec<f64> = (0..200_000).map(|n| if n % 2 == 0 { f64::NAN } else { f64::from(n % 100) }).collect();
    let all = samples(&values, 1000);
    let lines = (0..1000).map(|n| Line { name: format!("series {n}"), samples: &all[..2000] }).collect();
    let all_times: Vec<Millis> = all.iter().map(|s| s.at).collect();
    let windows = all.iter().map(|s| s.at..s.at).collect();
    let chart = Chart { span: span(&all), lines, windows, fired: all_times, ..chart(&all) };
    let picture = svg(&chart, "flap");
    assert!(picture.len() < 400_000, "{} bytes", picture.len());
    assert!(picture.contains(&format!("{} more series, not drawn", 1000 - LINES_MAX)));
    assert!(picture.contains("fires 200000 times, first at 2026-03-01 12:00:00 (UTC)"));
    assert!(picture.contains("and 199996 times more"));
    let shown = terminal(&chart, Characters::Unicode, usize::MAX, usize::MAX);
    assert!(shown.len() < 130 && shown.iter().all(|line| line.chars().count() <= 420), "{}", shown.len());
}

#[test]
fn nothing_is_drawn_of_nothing() {
    let empty = Chart {
        title: "none",
        rule: "x > 1",
        unit: Unit::Plain,
        span: Millis(0)..Millis(0),
        lines: vec![Line { name: "x".into(), samples: &[] }],
        is_thinned: false,
        gap: None,
        thresholds: Vec::new(),
        windows: Vec::new(),
        window_words: String::new(),
        fired: Vec::new(),
        marks: Vec::new(),
        calendar,
    };
    let picture = svg(&empty, "none");
    // Of its line there is the one in the legend alone.
    assert_eq!(picture.matches("class=\"line ").count(), 1, "{picture}");
    assert!(picture.contains("x: no data. It does not fire."), "{picture}");
    let shown = terminal(&empty, Characters::Ascii, 0, 0).join("\n");
    assert!(shown.contains("x: no data."), "{shown}");
}

#[test]
fn foreign_names_are_harmless() {
    let all = error_rate();
    let evil = "</title><script>alert(1)</script>\x1b[2J\u{202e}\"'&";
    let lines = vec![Line { name: evil.into(), samples: &all }];
    let chart = Chart { title: evil, rule: evil, lines, ..chart(&all) };
    let picture = svg(&chart, "\" onload=\"alert(1)");
    assert!(picture.contains("id=\"chart-onloadalert1\""), "{}", &picture[..200]);
    assert!(!picture.contains("<script") && !picture.contains(['\x1b', '\u{202e}']));
    assert_eq!(picture.matches("</title>").count(), 1);
    for characters in [Characters::Unicode, Characters::Ascii] {
        let shown = terminal(&chart, characters, 100, 10);
        assert!(shown.iter().all(|line| !line.contains(['\x1b', '\u{202e}', '\n'])));
        assert!(characters == Characters::Unicode || shown.iter().all(|line| line.is_ascii()), "{shown:?}");
    }
    let long = "long ".repeat(10_000);
    let chart = Chart { title: &long, rule: &long, ..chart };
    assert!(terminal(&chart, Characters::Ascii, 80, 10).iter().all(|line| line.len() < 400));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever the numbers, a picture comes out, all of it within its frame, and the extremes of what is finite in it.
    #[test]
    fn any_numbers_are_drawn(
        values in proptest::collection::vec(any::<f64>(), 0..300),
        threshold in any::<f64>(),
        start in any::<i64>(),
        every in 0i64..i64::MAX / 600,
        gap in proptest::option::of(any::<i64>()),
    ) {
        let start = start / 2;
        let at = |n: usize| Millis(start.saturating_add(every.saturating_mul(i64::try_from(n).expect("few"))));
        let all: Vec<Sample> = values.iter().enumerate().map(|(n, v)| Sample { at: at(n), value: *v }).collect();
        let chart = Chart {
            title: "any",
            rule: "any > x",
            unit: Unit::Seconds,
            span: at(0)..at(values.len()),
            lines: vec![Line { name: "any".into(), samples: &all }],
            is_thinned: false,
            gap: gap.map(Millis),
            thresholds: vec![Threshold { value: threshold, side: "below" }],
            windows: vec![at(3)..at(1), at(0)..at(2), Millis(i64::MIN)..Millis(i64::MAX)],
            window_words: "x".into(),
            fired: vec![at(1), Millis(i64::MAX), Millis(i64::MIN)],
            marks: vec![Mark { at: Millis(i64::MIN), what: "".into() }, Mark { at: at(1), what: "<b>".into() }],
            calendar: |at| at.0.to_string(),
        };
        let picture = svg(&chart, "any");
        prop_assert!(!picture.contains("inf ") && !picture.contains("NaN\""), "{picture}");
        if values.iter().any(|v| !v.is_nan()) {
            for y in heights(&picture) {
                prop_assert!((56.0..=296.0).contains(&y), "{y}");
            }
        }
        let _ = terminal(&chart, Characters::Unicode, 80, 10);
        let _ = terminal(&chart, Characters::Ascii, 80, 10);
    }
}
