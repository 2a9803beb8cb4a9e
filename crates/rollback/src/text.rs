//! Text that came from outside, made safe to show and to store.

use std::fmt::Write as _;

/// Makes control characters, escape sequences and bidirectional overrides visible; a tab and a line feed stay.
///
/// A guest's line could otherwise move the cursor, recolour the terminal or forge a line of ours.
pub fn neutralise(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        let bidi =
            matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}');
        if matches!(c, '\t' | '\n') || !(c.is_control() || bidi) {
            out.push(c);
        } else if (c as u32) < 0x100 {
            let _ = write!(out, "\\x{:02x}", c as u32);
        } else {
            let _ = write!(out, "\\u{{{:x}}}", c as u32);
        }
    }
    out
}

/// The same for text that must stay on its line: a line feed or tab inside is made visible too, so that nobody can forge
/// a line of ours.
pub fn one_line(text: &str) -> String {
    neutralise(text.trim_end()).replace('\n', "\\n").replace('\t', "\\t")
}

/// A path as text: bytes that are not UTF-8, control characters and backslashes appear as `\xNN`, so that two paths never
/// look alike.
pub fn path_text(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            if c == '\\' || c == '\n' || c == '\t' {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_moves_the_cursor() {
        assert_eq!(neutralise("a\x1b[2Jb\r\u{202e}c\td\u{9b}"), "a\\x1b[2Jb\\x0d\\u{202e}c\td\\x9b");
        assert_eq!(one_line("a\nINFO all is well\n"), "a\\nINFO all is well");
        assert_eq!(path_text(b"a\xff/b\nc\\x"), "a\\xff/b\\x0ac\\x5cx");
    }
}
