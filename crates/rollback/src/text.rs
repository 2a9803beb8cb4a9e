//! Text that came from outside, made safe to show and to store: nothing in it can move a cursor, hide, turn the order of
//! what is read around, or forge a line of ours.

use std::fmt::Write as _;

/// Marks upon one letter that are shown as they are: no writing needs more, and a flood of them covers the lines around it.
const MARKS_MAX: usize = 4;

/// `text` on one line: every control character, line end and character that turns or hides text is made visible, as
/// `\n`, `\x1b` or `\u{202e}`, and so is what piles up on one letter. It is for eyes; it cannot be turned back, since a
/// backslash stays as it is.
pub fn neutralise(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for (c, is_safe) in judged(text) {
        // Writing to a `String` cannot fail.
        let _ = match c {
            c if is_safe => {
                shown.push(c);
                Ok(())
            }
            '\n' => write!(shown, "\\n"),
            '\r' => write!(shown, "\\r"),
            '\t' => write!(shown, "\\t"),
            c if c.is_ascii_control() => write!(shown, "\\x{:02x}", u32::from(c)),
            c => write!(shown, "\\u{{{:x}}}", u32::from(c)),
        };
    }
    shown
}

/// `json`, a JSON text on one line, with every such character in its strings as an escape of JSON (`\u202e`): the same
/// value to a program, and safe to look at.
pub fn neutralise_json(json: &str) -> String {
    let mut shown = String::with_capacity(json.len());
    for (c, is_safe) in judged(json) {
        if is_safe {
            shown.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(shown, "\\u{unit:04x}");
            }
        }
    }
    shown
}

/// `text` on one line of Markdown, as prose: neutralised, and unable to be a link, an image, code, HTML or an entity.
pub fn neutralise_markdown(text: &str) -> String {
    let text = neutralise(text);
    let mut shown = String::with_capacity(text.len());
    for (at, c) in text.char_indices() {
        let takes_next = || text[at + 1..].starts_with(|next: char| next.is_ascii_punctuation());
        if matches!(c, '<' | '[' | '&' | '`') || (c == '\\' && takes_next()) {
            shown.push('\\');
        }
        shown.push(c);
    }
    shown
}

/// Each character, and whether it may be shown as it is.
fn judged(text: &str) -> impl Iterator<Item = (char, bool)> {
    text.chars().scan(0, |marks, c| {
        *marks = if piles_up(c) { *marks + 1 } else { 0 };
        Some((c, !c.is_control() && !misleads(c) && *marks <= MARKS_MAX))
    })
}

/// Bidirectional controls, line separators, and what has no width or no ink: nobody sees that it is there.
fn misleads(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}'
        | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{e0fff}')
}

/// Marks that stand above, below or in the letter before them, as often as they are repeated.
fn piles_up(c: char) -> bool {
    matches!(c,
        '\u{300}'..='\u{36f}' | '\u{483}'..='\u{489}' | '\u{591}'..='\u{5bd}' | '\u{610}'..='\u{61a}'
        | '\u{64b}'..='\u{65f}' | '\u{e31}' | '\u{e34}'..='\u{e3a}' | '\u{e47}'..='\u{e4e}' | '\u{1ab0}'..='\u{1aff}'
        | '\u{1dc0}'..='\u{1dff}' | '\u{20d0}'..='\u{20ff}' | '\u{fe00}'..='\u{fe0f}' | '\u{fe20}'..='\u{fe2f}')
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
            ("plain, ünïcode, 日本, 🚀, ❤️, o\u{302}\u{323}", "plain, ünïcode, 日本, 🚀, ❤️, o\u{302}\u{323}"),
            ("\x1b[31mred\x1b]0;title\x07", "\\x1b[31mred\\x1b]0;title\\x07"),
            ("a\nb\r\nc\td", "a\\nb\\r\\nc\\td"),
            ("\0\x7f\u{9b}31m", "\\x00\\x7f\\u{9b}31m"),
            ("x\u{202e}gpj.exe\u{2066}\u{2069}", "x\\u{202e}gpj.exe\\u{2066}\\u{2069}"),
            ("\u{2028}\u{feff}\u{200b}", "\\u{2028}\\u{feff}\\u{200b}"),
            ("of\u{200d}f\u{200c}\u{ad}\u{e0041}\u{3164}", "of\\u{200d}f\\u{200c}\\u{ad}\\u{e0041}\\u{3164}"),
            ("z\u{300}\u{301}\u{302}\u{303}\u{304}\u{fe0f}!", "z\u{300}\u{301}\u{302}\u{303}\\u{304}\\u{fe0f}!"),
            ("C:\\new", "C:\\new"),
        ] {
            assert_eq!(neutralise(given), shown);
            assert_eq!(neutralise(shown), shown, "a second time changes nothing");
        }
        assert_eq!(neutralise_bytes(b"\xff\x1b"), "\u{fffd}\\x1b");
    }

    #[test]
    fn json_says_the_same_without_them() {
        let given = serde_json::json!({ "a\u{202e}": "\u{7f}\u{9b}1m\u{2066}\u{e0041}\n\\\"", "b": ["plain ü", 1] });
        let shown = neutralise_json(&given.to_string());
        assert_eq!(shown, r#"{"a\u202e":"\u007f\u009b1m\u2066\udb40\udc41\n\\\"","b":["plain ü",1]}"#);
        assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).expect("JSON"), given);
    }

    #[test]
    fn prose_in_markdown_stays_prose() {
        for (given, shown) in [
            ("clears `x`, 3 * 2 <b> a_b", r"clears \`x\`, 3 * 2 \<b> a_b"),
            ("[safe](https://example.org) ![](x) &#x202e;", r"\[safe](https://example.org) !\[](x) \&#x202e;"),
            (r"C:\new \[a] \\", r"C:\new \\\[a] \\\"),
            ("a\n# b\u{202e}", r"a\n# b\u{202e}"),
        ] {
            assert_eq!(neutralise_markdown(given), shown);
        }
    }

    #[test]
    fn no_control_character_comes_through() {
        let all: String = (0..=0x10_ffff).filter_map(char::from_u32).collect();
        for shown in [neutralise(&all), neutralise_json(&all), neutralise_markdown(&all)] {
            assert!(!shown.chars().any(|c| c.is_control() || misleads(c)));
        }
    }
}
