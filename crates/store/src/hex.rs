//! Lower-case hexadecimal, strict: the journal has exactly one spelling of each hash.

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// Appends two digits per byte.
pub(crate) fn push(out: &mut Vec<u8>, bytes: &[u8]) {
    for byte in bytes {
        out.push(DIGITS[usize::from(byte >> 4)]);
        out.push(DIGITS[usize::from(byte & 15)]);
    }
}

/// The digits as text.
pub(crate) fn text(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|byte| [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]])
        .map(char::from)
        .collect()
}

/// Reads exactly `2 * N` lower-case digits.
pub(crate) fn parse<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    if digits.len() != 2 * N {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = value(pair[0])? << 4 | value(pair[1])?;
    }
    Some(bytes)
}

/// Whether this is one of the sixteen digits.
pub(crate) fn is_digit(byte: u8) -> bool {
    value(byte).is_some()
}

fn value(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_spelling_only() {
        assert_eq!(text(&[0x00, 0xaf]), "00af");
        assert_eq!(parse::<2>(b"00af"), Some([0x00, 0xaf]));
        for bad in [&b"00AF"[..], b"00a", b"00afa", b"00ag", b"+0af", b""] {
            assert_eq!(parse::<2>(bad), None);
        }
    }
}
