//! Quantities as an operator writes them: `30s`, `2m`, `64 MiB`.

use std::time::Duration;

/// Reads a duration: a whole number and `ms`, `s`, `m`, `h` or `d`.
///
/// # Errors
/// A sentence that says what is accepted.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = split(text).ok_or_else(|| bad_duration(text))?;
    let factor_ms: u64 = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(bad_duration(text)),
    };
    let ms = number.checked_mul(factor_ms).filter(|&ms| ms > 0).ok_or_else(|| bad_duration(text))?;
    Ok(Duration::from_millis(ms))
}

fn bad_duration(text: &str) -> String {
    format!("{text:?} is not a duration: a whole number above 0 with `ms`, `s`, `m`, `h` or `d`, such as `30s`")
}

/// Reads an amount of bytes: a whole number and `B`, `KiB`, `MiB` or `GiB`.
///
/// # Errors
/// A sentence that says what is accepted.
pub fn parse_bytes(text: &str) -> Result<u64, String> {
    let bad = || {
        format!("{text:?} is not an amount of bytes: a whole number with `B`, `KiB`, `MiB` or `GiB`, such as `64 MiB`")
    };
    let (number, unit) = split(text).ok_or_else(bad)?;
    let shift = match unit {
        "B" => 0,
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        _ => return Err(bad()),
    };
    number.checked_mul(1 << shift).ok_or_else(bad)
}

fn split(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit())?;
    Some((text[..end].parse().ok()?, text[end..].trim_start_matches(' ')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities() {
        for (text, ms) in [("30s", Some(30_000)), ("2 m", Some(120_000)), ("15ms", Some(15)), ("1h", Some(3_600_000))] {
            assert_eq!(parse_duration(text).ok().map(|d| d.as_millis()), ms, "{text}");
        }
        for bad in ["", "s", "30", "0s", "-1s", "1.5s", "30 sec", "99999999999999999999s", "18446744073709551615h"] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
        assert_eq!(parse_bytes("64 MiB"), Ok(64 << 20));
        for bad in ["64", "64MB", "x", "99999999999 GiB"] {
            assert!(parse_bytes(bad).is_err(), "{bad}");
        }
    }
}
