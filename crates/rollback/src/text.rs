//! Text that came from outside, made safe to show and to store: nothing in it can move a cursor, hide, turn the order of
//! what is read around, or forge a line of ours.

use std::fmt::Write as _;

/// `text` on one line: every control character, line end and character that turns or hides text is made visible, as
/// `\n`, `\x1b` or `\u{202e}`. It is for eyes; it cannot be turned back, since a backslash stays as it is.
pub fn neutralise(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        // Writing to a `String` cannot fail.
        let _ = match c {
            '\n' => write!(shown, "\\n"),
            '\r' => write!(shown, "\\r"),
            '\t' => write!(shown, "\\t"),
            c if c.is_ascii_control() => write!(shown, "\\x{:02x}", u32::from(c)),
            c if c.is_control() || misleads(c) => write!(shown, "\\u{{{:x}}}", u32::from(c)),
            c => {
                shown.push(c);
                Ok(())
            }
        };
    }
    shown
}

/// Bidirectional controls, line separators, and characters without width (the joiners, which scripts and emoji need, apart).
fn misleads(c: char) -> bool {
    matches!(c,
        '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Bytes that may not be UTF-8; see [`neutralise`].
pub fn neutralise_bytes(bytes: &[u8]) -> String {
    neutralise(&String::from_utf8_lossy(bytes))
}

/// Several lines, each neutralised, on one: for traces.
pub fn neutralise_lines(text: &str) -> String {
    let lines: Vec<String> = text.lines().map(|line| neutralise(line.trim())).filter(|line| !line.is_empty()).collect();
    lines.join("; ")
}

/// A path as text: bytes that are not UTF-8, control characters and backslashes appear as `\xNN`, so that two paths never
/// look alike; the brace of `{run}` does too, which in an effect stands for the run's id.
pub fn path_text(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        let valid = chunk.valid();
        for (at, c) in valid.char_indices() {
            if c == '\\' || c == '\n' || c == '\t' || (c == '{' && valid[at..].starts_with("{run}")) {
                let _ = write!(out, "\\x{:02x}", c as u32);
            } else {
                out.push_str(&neutralise(c.encode_utf8(&mut [0; 4])));
            }
        }
        for byte in chunk.invalid() {
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
    out
}

/// The path behind what [`path_text`] showed; `None` for a text that it never makes.
pub fn text_path(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        bytes.extend_from_slice(&rest.as_bytes()[..at]);
        let escape = &rest[at + 1..];
        let length = match escape.as_bytes().first()? {
            b'r' => {
                bytes.push(b'\r');
                1
            }
            b'x' => {
                bytes.push(u8::from_str_radix(escape.get(1..3)?, 16).ok()?);
                3
            }
            b'u' => {
                let hex = escape.strip_prefix("u{")?.split_once('}')?.0;
                let c = char::from_u32(u32::from_str_radix(hex, 16).ok()?)?;
                bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                hex.len() + 3
            }
            _ => return None,
        };
        rest = &escape[length..];
    }
    bytes.extend_from_slice(rest.as_bytes());
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn a_path_comes_back_from_its_text(bytes: Vec<u8>, text: String) {
            proptest::prop_assert_eq!(text_path(&path_text(&bytes)), Some(bytes));
            proptest::prop_assert_eq!(text_path(&path_text(text.as_bytes())), Some(text.clone().into_bytes()));
            let _ = text_path(&text);
        }
    }

    #[test]
    fn two_paths_never_look_alike() {
        assert_eq!(path_text(b"a\xff/b\nc\\x"), "a\\xff/b\\x0ac\\x5cx");
        // In an effect, `{run}` is the run's id.
        assert_eq!(path_text(b"{run}-{ru}"), "\\x7brun}-{ru}");
    }

    #[test]
    fn what_a_terminal_would_obey_is_shown() {
        for (given, shown) in [
            ("plain, ünïcode, 日本, 👩‍🚀", "plain, ünïcode, 日本, 👩‍🚀"),
            ("\x1b[31mred\x1b]0;title\x07", "\\x1b[31mred\\x1b]0;title\\x07"),
            ("a\nb\r\nc\td", "a\\nb\\r\\nc\\td"),
            ("\0\x7f\u{9b}31m", "\\x00\\x7f\\u{9b}31m"),
            ("x\u{202e}gpj.exe\u{2066}\u{2069}", "x\\u{202e}gpj.exe\\u{2066}\\u{2069}"),
            ("\u{2028}\u{feff}\u{200b}", "\\u{2028}\\u{feff}\\u{200b}"),
            ("C:\\new", "C:\\new"),
        ] {
            assert_eq!(neutralise(given), shown);
            assert_eq!(neutralise(shown), shown, "a second time changes nothing");
        }
        assert_eq!(neutralise_bytes(b"\xff\x1b"), "\u{fffd}\\x1b");
    }

    #[test]
    fn no_control_character_comes_through() {
        let all: String = (0..=0x2_ffff).filter_map(char::from_u32).collect();
        assert!(!neutralise(&all).chars().any(|c| c.is_control() || misleads(c)));
    }
}
