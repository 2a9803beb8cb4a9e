//! Which values of a structured file a grant to edit is about: RFC 6901 JSON pointers, each exact, or with `/**` at its
//! end for all that lies below it.

/// One pointer of `files.edit`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PointerPattern {
    text: String,
    /// The pointer without `/**`.
    base: String,
    below: bool,
}

/// A pointer that is not one.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
#[error(
    "{0:?} is not a pointer: it starts with `/`, such as `/api/requireAuth`; `~` is written `~0`, `/` in a key `~1`; `/**` at its end means all below"
)]
pub struct BadPointer(pub String);

impl PointerPattern {
    /// Reads one pointer.
    ///
    /// # Errors
    /// [`BadPointer`] when it does not start with `/`, when `~` is followed by neither `0` nor `1`, or when `**` stands
    /// anywhere but at the end.
    pub fn new(text: &str) -> Result<PointerPattern, BadPointer> {
        let bad = || BadPointer(text.to_owned());
        let (base, below) = match text.strip_suffix("/**") {
            Some(base) => (base, true),
            None => (text, false),
        };
        let starts = base.starts_with('/') || (below && base.is_empty());
        let escapes = base.split('~').skip(1).all(|after| after.starts_with(['0', '1']));
        if !starts || !escapes || base.split('/').any(|part| part == "**") {
            return Err(bad());
        }
        Ok(PointerPattern { text: text.to_owned(), base: base.to_owned(), below })
    }

    /// As written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether the value at `pointer` is meant.
    pub fn matches(&self, pointer: &str) -> bool {
        if self.below { self.is_above(pointer) } else { pointer == self.base }
    }

    /// Whether all that `asked` means is meant by this.
    pub fn covers(&self, asked: &PointerPattern) -> bool {
        match (self.below, asked.below) {
            (true, true) => self.base == asked.base || self.is_above(&asked.base),
            (true, false) => self.is_above(&asked.base),
            (false, false) => self.base == asked.base,
            (false, true) => false,
        }
    }

    fn is_above(&self, pointer: &str) -> bool {
        pointer.strip_prefix(self.base.as_str()).is_some_and(|rest| rest.starts_with('/'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pointer(text: &str) -> PointerPattern {
        PointerPattern::new(text).expect("a pointer")
    }

    #[test]
    fn a_pointer_means_one_value_or_all_below_one() {
        assert!(pointer("/api/requireAuth").matches("/api/requireAuth"));
        for other in ["/api", "/api/requireAuth/x", "/api/requireAuthX", "/admin/requireAuth", ""] {
            assert!(!pointer("/api/requireAuth").matches(other), "{other}");
        }
        assert!(pointer("/api/**").matches("/api/a/b") && pointer("/**").matches("/api"));
        assert!(!pointer("/api/**").matches("/api") && !pointer("/api/**").matches("/apiary"));
    }

    #[test]
    fn what_covers_what_among_pointers() {
        assert!(pointer("/a/**").covers(&pointer("/a/b")) && pointer("/a/**").covers(&pointer("/a/**")));
        assert!(pointer("/**").covers(&pointer("/a/**")) && pointer("/a").covers(&pointer("/a")));
        assert!(!pointer("/a").covers(&pointer("/a/**")) && !pointer("/a/**").covers(&pointer("/a")));
        assert!(!pointer("/a/b/**").covers(&pointer("/a/**")));
    }

    #[test]
    fn what_is_no_pointer_is_refused() {
        for text in ["", "a", "a/b", "/a~", "/a~2", "**", "/a/**/b"] {
            assert_eq!(PointerPattern::new(text), Err(BadPointer(text.to_owned())), "{text}");
        }
    }
}
