//! Newtypes for the names and ids that appear in files, on the command line and in paths.

pub use crate::meaning::Name;
use crate::meaning::stranger;
use std::fmt;

/// A story's id, such as `1.3` or `1.1.5`: numbers separated by dots, so that it can stand in a file's name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StoryId(String);

/// A story id that is not one.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
#[error(
    "{id:?} is not a story id: 1 to 6 numbers separated by dots, none of them with a zero before it, such as `1.3`{why}",
    id = .0,
    why = stranger(.0, |c| c.is_ascii_digit() || c == '.')
)]
pub struct BadStoryId(pub String);

impl StoryId {
    /// Checks `text`.
    ///
    /// # Errors
    /// [`BadStoryId`] for anything but 1 to 6 decimal numbers of at most 6 digits, separated by dots. `1.03` is none: it would
    /// be another story than `1.3`, and look the same.
    pub fn new(text: &str) -> Result<StoryId, BadStoryId> {
        let number = |part: &str| {
            (1..=6).contains(&part.len())
                && part.bytes().all(|b| b.is_ascii_digit())
                && (part == "0" || !part.starts_with('0'))
        };
        let parts: Vec<&str> = text.split('.').collect();
        if parts.len() <= 6 && parts.into_iter().all(number) {
            Ok(StoryId(text.to_owned()))
        } else {
            Err(BadStoryId(text.to_owned()))
        }
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for StoryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn story_ids_cannot_name_a_path() {
        for good in ["1.3", "1.1.5", "7", "1.0", "1.2.3.4.5.6"] {
            assert!(StoryId::new(good).is_ok(), "{good}");
        }
        let bad = [
            "",
            ".",
            "..",
            "../../x",
            "1/3",
            "1..3",
            "1.3.",
            "1.3\n",
            "1.x",
            "1.2.3.4.5.6.7",
            "1234567",
            "01.3",
            "1.03",
            "1.00",
        ];
        for bad in bad {
            assert!(StoryId::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn what_only_looks_like_a_story_id_is_told() {
        for (text, told) in [
            ("1.٣", "its character 3 is '٣' (U+0663), which is not of ASCII, whatever it looks like"),
            ("1․3", "its character 2 is '․' (U+2024), which is not of ASCII, whatever it looks like"),
            ("1.3\u{200b}", "\"1.3\\u{200b}\" is not a story id"),
            ("\u{202e}3.1", "its character 1 is '\\u{202e}' (U+202E), which may not be seen at all"),
        ] {
            let error = StoryId::new(text).expect_err("no id").to_string();
            assert!(error.contains(told), "{error}");
        }
    }

    #[test]
    fn what_only_looks_like_a_name_is_told() {
        for (text, told) in [
            ("r\u{435}start", "its character 2 is 'е' (U+0435), which is not of ASCII, whatever it looks like"),
            ("ｒestart", "its character 1 is 'ｒ' (U+FF52), which is not of ASCII, whatever it looks like"),
            ("\u{1d42b}estart", "(U+1D42B), which is not of ASCII"),
            ("re\u{301}start", "its character 3 is '\\u{301}' (U+0301), which may not be seen at all"),
            ("restart\u{202e}", "\"restart\\u{202e}\" is not a name"),
            ("re\u{2066}start", "its character 3 is '\\u{2066}' (U+2066), which may not be seen at all"),
            ("re\u{200d}start", "(U+200D), which may not be seen at all"),
            ("re\u{e0073}start", "(U+E0073), which may not be seen at all"),
            ("re\u{1b}start", "(U+001B), which may not be seen at all"),
            ("re start", "its character 3 is ' ' (U+0020)"),
            ("re/start", "its character 3 is '/' (U+002F)"),
        ] {
            let error = Name::new(text).expect_err("no name").to_string();
            assert!(error.contains(told), "{error}");
            assert!(!error.contains(['\u{202e}', '\u{2066}', '\u{200d}', '\u{e0073}', '\u{1b}']), "{error}");
        }
        // Nothing is to be said of a character where none is at fault.
        for text in ["", "-x", &"x".repeat(65)] {
            let error = Name::new(text).expect_err("no name").to_string();
            assert!(error.ends_with("the first one a letter or digit"), "{error}");
        }
    }
}
