//! A chart as SVG that stands alone: no script, no font or style from elsewhere, readable on light and dark, and nothing
//! told by colour alone.

use super::{
    Chart, LINES_MAX, NAMED_MAX,
    columns::{column, columns, runs},
    scale::{Scale, time_label, times},
};
use crate::{signal::Millis, text::neutralise};
use std::fmt::Write as _;

/// Pixels, of which each is a column of samples.
const PLOT_WIDTH: usize = 760;
const PLOT_HEIGHT: f64 = 240.0;
const LEFT: usize = 76;
const TOP: f64 = 56.0;
const WIDTH: usize = LEFT + PLOT_WIDTH + 24;
/// Between two lines of text.
const LEADING: f64 = 18.0;

/// A chart as an SVG document. `id` is its name in a page that shows several: letters, digits and `-`; what else it has
/// is left out.
pub fn svg(chart: &Chart<'_>, id: &str) -> String {
    let id: String = id.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
    let id = format!("chart-{id}");
    let scale = Scale::of(chart);
    let bottom = TOP + PLOT_HEIGHT;
    let words = chart.words();
    let legend = legend(chart);
    let height = bottom + 34.0 + LEADING * legend.len() as f64;
    let mut out = String::new();
    // Writing to a `String` cannot fail.
    let _ = writeln!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" id=\"{id}\" role=\"img\" aria-labelledby=\"{id}-title {id}-desc\" \
         viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\">"
    );
    let _ = writeln!(out, "<title id=\"{id}-title\">{}</title>", escaped(&format!("{}: {}", chart.title, chart.rule)));
    let _ = writeln!(out, "<desc id=\"{id}-desc\">{}</desc>", escaped(&words.join(" ")));
    out.push_str(&style(&id));
    let _ = writeln!(out, "<rect class=\"page\" width=\"{WIDTH}\" height=\"{height}\"/>");
    text(&mut out, "name", LEFT as f64, 22.0, "start", chart.title);
    text(&mut out, "", LEFT as f64, 42.0, "start", chart.rule);

    for run in runs(&chart.windows, &chart.span, PLOT_WIDTH) {
        let (x, width) = (LEFT + run.start, run.len());
        let _ =
            writeln!(out, "<rect class=\"window\" x=\"{x}\" y=\"{TOP}\" width=\"{width}\" height=\"{PLOT_HEIGHT}\"/>");
    }
    for value in scale.ticks(5) {
        let y = y(&scale, value);
        let _ = writeln!(out, "<path class=\"grid\" d=\"M{LEFT} {y:.1}h{PLOT_WIDTH}\"/>");
        text(&mut out, "axis", LEFT as f64 - 8.0, y + 4.0, "end", &chart.value(value));
    }
    for at in times(&chart.span, 7) {
        let Some(n) = column(at, &chart.span, PLOT_WIDTH) else { continue };
        let _ = writeln!(out, "<path class=\"grid\" d=\"M{} {bottom}v5\"/>", LEFT + n);
        text(&mut out, "axis", (LEFT + n) as f64, bottom + 18.0, "middle", &time_label(chart, at));
    }
    let _ = writeln!(out, "<path class=\"frame\" d=\"M{LEFT} {TOP}v{PLOT_HEIGHT}h{PLOT_WIDTH}\"/>");

    for (n, line) in chart.lines.iter().take(LINES_MAX).enumerate() {
        let path = path(chart, line.samples, &scale);
        if !path.is_empty() {
            let _ = writeln!(out, "<path class=\"line line-{n}\" d=\"{path}\"/>");
        }
    }
    for threshold in &chart.thresholds {
        let y = y(&scale, threshold.value);
        let _ = writeln!(out, "<path class=\"threshold\" d=\"M{LEFT} {y:.1}h{PLOT_WIDTH}\"/>");
    }
    for n in chart.marks.iter().filter_map(|mark| column(mark.at, &chart.span, PLOT_WIDTH)) {
        let _ = writeln!(out, "<path class=\"mark\" d=\"M{} {TOP}V{bottom}\"/>", LEFT + n);
    }
    fired(&mut out, chart, bottom);
    for (n, (class, what)) in legend.iter().enumerate() {
        let y = bottom + 42.0 + LEADING * n as f64;
        let _ = match class.as_str() {
            "window" => {
                writeln!(out, "<rect class=\"window\" x=\"{LEFT}\" y=\"{}\" width=\"26\" height=\"10\"/>", y - 9.0)
            }
            "fired" => writeln!(out, "<path class=\"fired-mark\" d=\"M{} {}l6 -9h-12z\"/>", LEFT + 13, y),
            class => writeln!(out, "<path class=\"{class}\" d=\"M{LEFT} {}h26\"/>", y - 4.0),
        };
        text(&mut out, "", LEFT as f64 + 34.0, y, "start", what);
    }
    out.push_str("</svg>\n");
    out
}

/// The moments at which it fires: a line down, with a mark at its top.
fn fired(out: &mut String, chart: &Chart<'_>, bottom: f64) {
    // One a column at most, however often it fires.
    let mut all: Vec<usize> = chart.fired.iter().filter_map(|at| column(*at, &chart.span, PLOT_WIDTH)).collect();
    all.dedup();
    for n in all {
        let x = LEFT + n;
        let _ = writeln!(out, "<path class=\"fired\" d=\"M{x} {TOP}V{bottom}\"/>");
        let _ = writeln!(out, "<path class=\"fired-mark\" d=\"M{x} {TOP}l6 -9h-12z\"/>");
    }
}

/// What each mark means: its class and words.
fn legend(chart: &Chart<'_>) -> Vec<(String, String)> {
    let mut all: Vec<(String, String)> = Vec::new();
    for (n, line) in chart.lines.iter().take(LINES_MAX).enumerate() {
        all.push((format!("line line-{n}"), line.name.clone()));
    }
    if chart.lines.len() > LINES_MAX {
        all.push(("grid".into(), format!("{} more series, not drawn", chart.lines.len() - LINES_MAX)));
    }
    for threshold in &chart.thresholds {
        all.push(("threshold".into(), format!("threshold: {} {}", threshold.side, chart.value(threshold.value))));
    }
    if !chart.windows.is_empty() {
        all.push(("window".into(), chart.window_words.clone()));
    }
    let time = |at: &Millis| (chart.calendar)(*at);
    match chart.fired.as_slice() {
        [] => {}
        few if few.len() <= NAMED_MAX => {
            let named: Vec<String> = few.iter().map(time).collect();
            all.push(("fired".into(), format!("fires at {} (UTC)", named.join(", "))));
        }
        many => {
            let first = many.first().map(time).unwrap_or_default();
            all.push(("fired".into(), format!("fires {} times, first at {first} (UTC)", many.len())));
        }
    }
    all.extend(chart.marks.iter().map(|mark| ("mark".into(), format!("{} at {} (UTC)", mark.what, time(&mark.at)))));
    all
}

/// A line through all columns.
fn path(chart: &Chart<'_>, samples: &[crate::signal::Sample], scale: &Scale) -> String {
    let mut path = String::new();
    for (n, column) in columns(samples, &chart.span, chart.gap, PLOT_WIDTH).iter().enumerate() {
        let Some(column) = column else { continue };
        for (k, value) in column.values().into_iter().enumerate() {
            let command = if k == 0 && column.is_broken { 'M' } else { 'L' };
            let _ = write!(path, "{command}{} {:.1}", LEFT + n, y(scale, value));
            if command == 'M' {
                // Round ends make a dot of a line without a length.
                path.push_str("h0");
            }
        }
    }
    path
}

fn y(scale: &Scale, value: f64) -> f64 {
    TOP + PLOT_HEIGHT * (1.0 - scale.place(value))
}

fn text(out: &mut String, class: &str, x: f64, y: f64, anchor: &str, what: &str) {
    let class = if class.is_empty() { String::new() } else { format!(" class=\"{class}\"") };
    let what = escaped(&short(what));
    let _ = writeln!(out, "<text{class} x=\"{x}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{what}</text>");
}

/// Characters that fit into the picture's width.
const TEXT_CHARS_MAX: usize = 104;

fn short(text: &str) -> String {
    if text.chars().count() <= TEXT_CHARS_MAX {
        return text.to_owned();
    }
    text.chars().take(TEXT_CHARS_MAX - 1).chain(['…']).collect()
}

/// Foreign text as XML's: harmless to a reader and to a parser.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in neutralise(text).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // The only characters that XML cannot have and `neutralise` leaves.
            '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// Colours of lines on light and on dark ground: Okabe and Ito's, which people who do not see all colours tell apart.
const COLOURS: [(&str, &str, &str); LINES_MAX] = [
    ("#0060a0", "#56b4e9", "none"),
    ("#a04b00", "#e69f00", "7 3"),
    ("#00704f", "#2fd0a0", "2 3"),
    ("#8a3a70", "#e09cc4", "9 3 2 3"),
    ("#333333", "#dddddd", "4 2"),
    ("#6a6400", "#f0e442", "1 2"),
    ("#4b3fa8", "#a9a0ff", "12 4"),
    ("#7a2f00", "#ff9a66", "6 2 2 2"),
];

/// Rules for this picture alone, wherever it is shown.
fn style(id: &str) -> String {
    let mut light = String::new();
    let mut dark = String::new();
    for (n, (on_light, on_dark, dashes)) in COLOURS.iter().enumerate() {
        let _ = write!(light, "#{id} .line-{n}{{stroke:{on_light};stroke-dasharray:{dashes}}}");
        let _ = write!(dark, "#{id} .line-{n}{{stroke:{on_dark}}}");
    }
    format!(
        "<style>\
         #{id} text{{font:13px system-ui,sans-serif;fill:#1b1b1b}}#{id} .name{{font-weight:600;font-size:15px}}\
         #{id} .axis{{font-size:11px;fill:#4a4a4a}}#{id} .page{{fill:#ffffff}}\
         #{id} path{{fill:none}}#{id} .grid{{stroke:#d9d9d9}}#{id} .frame{{stroke:#4a4a4a}}\
         #{id} .line{{stroke-width:1.6;stroke-linejoin:round;stroke-linecap:round}}\
         #{id} .threshold{{stroke:#b00020;stroke-width:1.4;stroke-dasharray:8 4}}\
         #{id} .window{{fill:#f2b705;fill-opacity:.28}}\
         #{id} .fired{{stroke:#b00020;stroke-width:1.6}}#{id} path.fired-mark{{fill:#b00020}}\
         #{id} .mark{{stroke:#00704f;stroke-width:1.6;stroke-dasharray:2 3}}{light}\
         @media (prefers-color-scheme:dark){{\
         #{id} text{{fill:#ececec}}#{id} .axis{{fill:#bdbdbd}}#{id} .page{{fill:#16181c}}\
         #{id} .grid{{stroke:#3a3d44}}#{id} .frame{{stroke:#bdbdbd}}\
         #{id} .threshold,#{id} .fired{{stroke:#ff6b7d}}#{id} path.fired-mark{{fill:#ff6b7d}}\
         #{id} .mark{{stroke:#2fd0a0}}#{id} .window{{fill:#f2b705;fill-opacity:.24}}{dark}}}\
         </style>\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_breaks_out() {
        let all: String = (0..=0x1_ffff).filter_map(char::from_u32).collect();
        let shown = escaped(&all);
        assert!(!shown.contains(['<', '>', '"', '\'', '\u{ffff}']) && !shown.chars().any(char::is_control));
        assert_eq!(escaped("</title><script>&amp;"), "&lt;/title&gt;&lt;script&gt;&amp;amp;");
    }
}
