//! Newtypes for the names and ids that appear in files, on the command line and in paths.

pub use crate::meaning::Name;
use std::fmt;

/// A story's id, such as `1.3` or `1.1.5`: numbers separated by dots, so that it can stand in a file's name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StoryId(String);

/// A story id that is not one.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
#[error("{0:?} is not a story id: 1 to 6 numbers separated by dots, such as `1.3`")]
pub struct BadStoryId(pub String);

impl StoryId {
    /// Checks `text`.
    ///
    /// # Errors
    /// [`BadStoryId`] for anything but 1 to 6 decimal numbers of at most 6 digits, separated by dots.
    pub fn new(text: &str) -> Result<StoryId, BadStoryId> {
        let number = |part: &str| (1..=6).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
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
        for good in ["1.3", "1.1.5", "7", "1.2.3.4.5.6"] {
            assert!(StoryId::new(good).is_ok(), "{good}");
        }
        for bad in ["", ".", "..", "../../x", "1/3", "1..3", "1.3.", "1.3\n", "1.x", "٣", "1.2.3.4.5.6.7", "1234567"] {
            assert!(StoryId::new(bad).is_err(), "{bad:?}");
        }
    }
}
