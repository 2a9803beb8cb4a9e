//! A chart in characters: braille where the terminal shows it, else ASCII.

use super::{
    Chart, LINES_MAX,
    columns::{column, columns, runs},
    scale::{Scale, time_label, times},
};
use crate::text::neutralise;

/// What a chart is drawn with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Characters {
    /// Braille, eight dots a character, and lines.
    Unicode,
    /// What every terminal, log and mail shows.
    Ascii,
}

/// The marks of one set of characters.
struct Marks {
    threshold: char,
    window: char,
    fired: char,
    mark: char,
    foot: char,
    axis: char,
    corner: char,
    floor: char,
    tick: char,
    /// Dots of a character, across and down.
    dots: (usize, usize),
}

const UNICODE: Marks = Marks {
    threshold: '─',
    window: '░',
    fired: '│',
    mark: '┊',
    foot: '▲',
    axis: '┤',
    corner: '└',
    floor: '─',
    tick: '┴',
    dots: (2, 4),
};

const ASCII: Marks = Marks {
    threshold: '-',
    window: '.',
    fired: '!',
    mark: ':',
    foot: '^',
    axis: '|',
    corner: '+',
    floor: '-',
    tick: '+',
    dots: (1, 1),
};

/// Characters of a name or rule at most.
const TEXT_CHARS_MAX: usize = 160;
const LABEL_CHARS: usize = 10;

/// A chart in lines of about `width` characters (at least 40), `height` of them (at least 4) for the picture itself.
pub fn terminal(chart: &Chart<'_>, characters: Characters, width: usize, height: usize) -> Vec<String> {
    let marks = match characters {
        Characters::Unicode => &UNICODE,
        Characters::Ascii => &ASCII,
    };
    // A screen has no more; what is drawn must not grow with what is asked for.
    let columns_count = width.clamp(40, 400) - LABEL_CHARS - 2;
    let height = height.clamp(4, 100);
    let scale = Scale::of(chart);
    let grid = picture(chart, marks, &scale, columns_count, height);
    let rows = |value: f64| row(&scale, value, height);

    // Value labels: thresholds first, since they matter most, then round values where there is room.
    let mut labels: Vec<Option<String>> = vec![None; height];
    for value in chart.thresholds.iter().map(|t| t.value).chain(scale.ticks(3)) {
        let at = rows(value);
        let is_free = (at.saturating_sub(1)..=(at + 1).min(height - 1)).all(|n| labels[n].is_none());
        if is_free {
            labels[at] = Some(chart.value(value));
        }
    }

    let mut lines = vec![format!("{}: {}", short(chart.title), short(chart.rule))];
    for (n, line) in grid.into_iter().enumerate() {
        let label = labels[n].take().unwrap_or_default();
        let shown: String = line.into_iter().collect();
        lines.push(format!("{label:>LABEL_CHARS$} {}{}", marks.axis, shown.trim_end()));
    }
    let (mut floor, mut below) = (vec![marks.floor; columns_count], vec![' '; columns_count + LABEL_CHARS]);
    let mut free_from = 0;
    for at in times(&chart.span, 6) {
        let Some(n) = column(at, &chart.span, columns_count) else { continue };
        floor[n] = marks.tick;
        let label = time_label(chart, at);
        let begin = n.saturating_sub(label.len() / 2);
        if begin >= free_from && begin + label.len() <= below.len() {
            for (k, c) in label.chars().enumerate() {
                below[begin + k] = c;
            }
            free_from = begin + label.len() + 1;
        }
    }
    for at in chart.fired.iter().filter_map(|at| column(*at, &chart.span, columns_count)) {
        floor[at] = marks.foot;
    }
    let indent = " ".repeat(LABEL_CHARS + 1);
    lines.push(format!("{indent}{}{}", marks.corner, floor.into_iter().collect::<String>()));
    lines.push(format!("{indent} {}", below.into_iter().collect::<String>().trim_end()));
    for words in chart.words() {
        lines.push(format!("{indent} {}", short(&words)));
    }
    if !chart.windows.is_empty() {
        lines.push(format!("{indent} {} {}", marks.window, short(&chart.window_words)));
    }
    for line in &mut lines {
        *line = neutralise(line);
        if characters == Characters::Ascii && !line.is_ascii() {
            *line = line
                .chars()
                .map(|c| if c.is_ascii() { c.to_string() } else { c.escape_unicode().to_string() })
                .collect();
        }
    }
    lines
}

fn short(text: &str) -> String {
    if text.chars().count() <= TEXT_CHARS_MAX {
        return text.to_owned();
    }
    text.chars().take(TEXT_CHARS_MAX - 3).chain("...".chars()).collect()
}

/// The row of a value, from the top.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "0 to height - 1"
)]
fn row(scale: &Scale, value: f64, height: usize) -> usize {
    ((1.0 - scale.place(value)) * (height - 1) as f64).round() as usize
}

/// The picture, row by row: what lies further down this function lies on top.
fn picture(chart: &Chart<'_>, marks: &Marks, scale: &Scale, width: usize, height: usize) -> Vec<Vec<char>> {
    let mut grid = vec![vec![' '; width]; height];
    for run in runs(&chart.windows, &chart.span, width) {
        for line in &mut grid {
            line[run.clone()].fill(marks.window);
        }
    }
    for threshold in &chart.thresholds {
        grid[row(scale, threshold.value, height)].fill(marks.threshold);
    }
    let others = chart.marks.iter().map(|mark| (mark.at, marks.mark));
    for (at, character) in others.chain(chart.fired.iter().map(|at| (*at, marks.fired))) {
        let Some(n) = column(at, &chart.span, width) else { continue };
        for line in &mut grid {
            line[n] = character;
        }
    }
    let (across, down) = marks.dots;
    let mut dots = Dots::new(width * across, height * down);
    for line in chart.lines.iter().take(LINES_MAX) {
        let mut before = None;
        for (x, column) in columns(line.samples, &chart.span, chart.gap, dots.width).iter().enumerate() {
            let Some(column) = column else { continue };
            let (least, most) = column.extremes();
            let (top, bottom) = (row(scale, most, dots.height), row(scale, least, dots.height));
            for y in top..=bottom {
                dots.set(x, y);
            }
            if let Some((from_x, from_y)) = before.filter(|_| !column.is_broken) {
                let values = column.values();
                dots.join(from_x, from_y, x, row(scale, values.first().copied().unwrap_or(most), dots.height));
            }
            before = column.values().last().map(|value| (x, row(scale, *value, dots.height)));
        }
    }
    for (y, line) in grid.iter_mut().enumerate() {
        for (x, cell) in line.iter_mut().enumerate() {
            *cell = dots.character(x, y, marks.dots).unwrap_or(*cell);
        }
    }
    grid
}

/// Dots that are set or not.
struct Dots {
    width: usize,
    height: usize,
    set: Vec<bool>,
}

impl Dots {
    fn new(width: usize, height: usize) -> Dots {
        Dots { width, height, set: vec![false; width * height] }
    }

    fn set(&mut self, x: usize, y: usize) {
        self.set[y * self.width + x] = true;
    }

    /// A straight line from one dot to another that does not lie before it.
    fn join(&mut self, from_x: usize, from_y: usize, to_x: usize, to_y: usize) {
        let (run, rise) = (to_x - from_x, to_y.abs_diff(from_y));
        let steps = run.max(rise).max(1);
        for n in 0..=steps {
            let part = (rise * n + steps / 2) / steps;
            let y = if to_y >= from_y { from_y + part } else { from_y - part };
            self.set(from_x + (run * n + steps / 2) / steps, y);
        }
    }

    /// The character of a cell of `dots`; nothing where none is set.
    fn character(&self, x: usize, y: usize, (across, down): (usize, usize)) -> Option<char> {
        let is_set = |dx: usize, dy: usize| self.set[(y * down + dy) * self.width + x * across + dx];
        if (across, down) == (1, 1) {
            return is_set(0, 0).then_some('*');
        }
        // Braille counts its dots down the left column, down the right one, and then the lowest two.
        const BITS: [[u32; 2]; 4] = [[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]];
        let mut bits = 0;
        for (dy, row) in BITS.iter().enumerate() {
            for (dx, bit) in row.iter().enumerate() {
                bits |= if is_set(dx, dy) { *bit } else { 0 };
            }
        }
        (bits != 0).then(|| char::from_u32(0x2800 + bits)).flatten()
    }
}
