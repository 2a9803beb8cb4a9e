//! What a value is, and how a person reads it.

/// What a value is. The value itself is in base units: seconds, bytes, a ratio from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// A number of whatever.
    Plain,
    /// A part of 1, shown as a percentage.
    Ratio,
    /// A percentage already.
    Percent,
    /// A time in seconds.
    Seconds,
    /// A time in milliseconds.
    Milliseconds,
    /// An amount of bytes.
    Bytes,
    /// A number of something per second.
    PerSecond,
}

impl Unit {
    /// A value as a person reads it, with about four digits.
    pub fn show(self, value: f64) -> String {
        let scaled = |steps: &[(f64, &str)]| {
            let fits = steps.iter().rev().find(|(size, _)| value.abs() >= *size);
            let (size, unit) = fits.or(steps.first()).copied().unwrap_or((1.0, ""));
            format!("{} {unit}", number(value / size))
        };
        match self {
            Unit::Plain => number(value),
            Unit::Ratio => format!("{}%", number(value * 100.0)),
            Unit::Percent => format!("{}%", number(value)),
            Unit::Seconds => format!("{} s", number(value)),
            Unit::Milliseconds => format!("{} ms", number(value)),
            Unit::Bytes => scaled(&[(1.0, "B"), (1e3, "KB"), (1e6, "MB"), (1e9, "GB"), (1e12, "TB")]),
            Unit::PerSecond => format!("{}/s", number(value)),
        }
    }
}

/// A value with about four digits.
fn number(value: f64) -> String {
    let size = value.abs();
    if !value.is_finite() || value == 0.0 {
        // `-0` would be read as less.
        return if value == 0.0 { "0".to_owned() } else { value.to_string() };
    }
    if !(1e-3..1e7).contains(&size) {
        return format!("{value:.2e}");
    }
    let decimals = match size {
        1000.0.. => 0,
        100.0.. => 1,
        10.0.. => 2,
        1.0.. => 3,
        _ => 4,
    };
    let text = format!("{value:.decimals$}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_shown_as_a_person_reads_them() {
        for (unit, value, shown) in [
            (Unit::Plain, 0.0, "0"),
            (Unit::Plain, -0.0, "0"),
            (Unit::Plain, 1234.5678, "1235"),
            (Unit::Plain, -12.3456, "-12.35"),
            (Unit::Plain, 0.012_345, "0.0123"),
            (Unit::Plain, 1e300, "1.00e300"),
            (Unit::Plain, 1e-9, "1.00e-9"),
            (Unit::Plain, f64::INFINITY, "inf"),
            (Unit::Plain, f64::NAN, "NaN"),
            (Unit::Ratio, 0.25, "25%"),
            (Unit::Percent, 12.5, "12.5%"),
            (Unit::Seconds, 120.0, "120 s"),
            (Unit::Milliseconds, 3.0, "3 ms"),
            (Unit::Bytes, 999.0, "999 B"),
            (Unit::Bytes, 4e9, "4 GB"),
            (Unit::Bytes, -1.5e6, "-1.5 MB"),
            (Unit::Bytes, 0.0, "0 B"),
            (Unit::PerSecond, 100.0, "100/s"),
        ] {
            assert_eq!(unit.show(value), shown);
        }
    }
}
