//! Path patterns of grants: which paths of a folder a right is about.
//!
//! `a/b` is exactly that path; `a/*.js` is a glob within one directory (`*`, `?`, `[…]` never cross a `/`); `a/**` is `a`
//! and all below it; `.` is the folder itself, `**` the folder and all below it. `name:a/b` speaks of the folder `name` instead of `site`. A file's grant
//! is never its directory's.

use globset::{GlobBuilder, GlobMatcher};
use std::{
    ffi::OsStr,
    fmt,
    os::unix::ffi::OsStrExt,
    path::{Component, Path},
};

/// Where something lies: a folder's name and the canonical path in it (empty for the folder itself).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The folder's name in the policy.
    pub folder: String,
    /// Relative, without `.` or `..`, bytes as the file system has them.
    pub path: std::path::PathBuf,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.folder != DEFAULT_FOLDER {
            write!(f, "{}:", self.folder)?;
        }
        if self.path.as_os_str().is_empty() { f.write_str(".") } else { write!(f, "{}", self.path.display()) }
    }
}

/// The folder that is meant when none is named.
pub const DEFAULT_FOLDER: &str = "site";

/// One pattern of a request or a grant.
#[derive(Clone)]
pub struct PathPattern {
    text: String,
    folder: String,
    parts: Vec<Part>,
    subtree: bool,
}

#[derive(Clone)]
enum Part {
    Literal(String),
    Glob(String, Box<GlobMatcher>),
}

/// A pattern that is not one.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
#[error("{pattern:?} is not a path pattern: {why}")]
pub struct BadPattern {
    /// What was written.
    pub pattern: String,
    /// Which rule it breaks.
    pub why: String,
}

impl PathPattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// [`BadPattern`] for an absolute or empty path, `.`, `..`, a `**` before the end, a broken glob, or a path below
    /// `.unship` or `policies`, which no grant ever reaches.
    pub fn new(text: &str) -> Result<PathPattern, BadPattern> {
        let bad = |why: &str| BadPattern { pattern: text.to_owned(), why: why.to_owned() };
        let (folder, path) = match text.split_once(':') {
            Some((folder, path)) => {
                (crate::Name::new(folder).map_err(|e| bad(&e.to_string()))?.as_str().to_owned(), path)
            }
            None => (DEFAULT_FOLDER.to_owned(), text),
        };
        if path.is_empty() {
            return Err(bad("it is empty"));
        }
        if path.contains('\0') || path.contains('\\') {
            return Err(bad("it holds a NUL or a backslash"));
        }
        if path.starts_with('/') {
            return Err(bad("it is absolute; patterns are relative to their folder"));
        }
        if path == "." {
            return Ok(PathPattern { text: text.to_owned(), folder, parts: Vec::new(), subtree: false });
        }
        let mut components: Vec<&str> = path.split('/').collect();
        let subtree = components.last() == Some(&"**");
        if subtree {
            components.pop();
        }
        let mut parts = Vec::with_capacity(components.len());
        for component in components {
            parts.push(match component {
                "" => return Err(bad("it has an empty component")),
                "." | ".." => return Err(bad("`.` and `..` are not allowed")),
                c if c.contains("**") => {
                    return Err(bad("`**` may only stand alone, as the last component"));
                }
                c if c.contains(['*', '?', '[', ']', '{', '}']) => {
                    let glob = GlobBuilder::new(c)
                        .literal_separator(true)
                        .backslash_escape(false)
                        .empty_alternates(false)
                        .build()
                        .map_err(|e| bad(&format!("the glob is broken: {}", e.kind())))?;
                    Part::Glob(c.to_owned(), Box::new(glob.compile_matcher()))
                }
                c => Part::Literal(c.to_owned()),
            });
        }
        if folder == DEFAULT_FOLDER
            && let Some(Part::Literal(first)) = parts.first()
            && PROTECTED.contains(&first.as_str())
        {
            return Err(bad("no grant reaches `.unship/` or `policies/`"));
        }
        Ok(PathPattern { text: text.to_owned(), folder, parts, subtree })
    }

    /// The pattern as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The name of its folder.
    pub fn folder(&self) -> &str {
        &self.folder
    }

    /// Whether `place` is meant.
    pub fn matches(&self, place: &Place) -> bool {
        if self.folder != place.folder {
            return false;
        }
        let names: Vec<&OsStr> = names(&place.path);
        let enough = if self.subtree { names.len() >= self.parts.len() } else { names.len() == self.parts.len() };
        enough && self.parts.iter().zip(&names).all(|(part, name)| part.matches(name))
    }

    /// Whether something below `place` may be meant, so that a step must be able to pass through it.
    pub fn lies_below(&self, place: &Place) -> bool {
        let names = names(&place.path);
        self.folder == place.folder
            && names.len() < self.parts.len()
            && self.parts.iter().zip(&names).all(|(part, name)| part.matches(name))
    }

    /// Whether every path that `asked` means is meant by this one too. Never wrongly true; a glob inside a different
    /// glob counts as not covered.
    pub fn covers(&self, asked: &PathPattern) -> bool {
        if self.folder != asked.folder || (asked.subtree && !self.subtree) {
            return false;
        }
        let enough =
            if self.subtree { asked.parts.len() >= self.parts.len() } else { asked.parts.len() == self.parts.len() };
        enough && self.parts.iter().zip(&asked.parts).all(|(mine, theirs)| mine.covers(theirs))
    }
}

/// What no grant reaches, at the top of the site.
pub const PROTECTED: [&str; 2] = [".unship", "policies"];

fn names(path: &Path) -> Vec<&OsStr> {
    path.components()
        .filter_map(|c| match c {
            Component::Normal(name) => Some(name),
            _ => None,
        })
        .collect()
}

impl Part {
    fn matches(&self, name: &OsStr) -> bool {
        match self {
            Part::Literal(text) => text.as_bytes() == name.as_bytes(),
            Part::Glob(_, matcher) => matcher.is_match(Path::new(name)),
        }
    }

    fn covers(&self, asked: &Part) -> bool {
        match (self, asked) {
            (part, Part::Literal(text)) => part.matches(OsStr::new(text)),
            (Part::Glob(mine, _), Part::Glob(theirs, _)) => mine == "*" || mine == theirs,
            (Part::Literal(_), Part::Glob(..)) => false,
        }
    }
}

impl fmt::Debug for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl PartialEq for PathPattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for PathPattern {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn place(path: &str) -> Place {
        Place { folder: "site".into(), path: path.into() }
    }

    #[test]
    fn what_a_pattern_means() {
        for (pattern, path, expect) in [
            ("a/b", "a/b", true),
            ("a/b", "a", false),
            ("a/b", "a/b/c", false),
            ("a/*.js", "a/x.js", true),
            ("a/*.js", "a/b/x.js", false),
            ("a/*.js", "a/.x.js", true),
            ("a/**", "a", true),
            ("a/**", "a/b/c", true),
            ("a/**", "ab", false),
            ("**", "", true),
            ("**", "x/y", true),
            ("*", "", false),
            (".", "", true),
            (".", "a", false),
            ("other:a", "a", false),
        ] {
            let got = PathPattern::new(pattern).expect("pattern").matches(&place(path));
            assert_eq!(got, expect, "{pattern} on {path}");
        }
    }

    #[test]
    fn what_is_not_a_pattern() {
        for bad in [
            "",
            "/",
            "/etc",
            "..",
            "a/../b",
            "./a",
            "a//b",
            "a/",
            "**/a",
            "a**",
            "[",
            "a\\b",
            "a\0",
            ".unship",
            ".unship/x",
            "policies/site.toml",
            ":a",
            "x y:a",
        ] {
            assert!(PathPattern::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn what_covers_what() {
        for (mine, asked, expect) in [
            ("a/**", "a/b", true),
            ("a/**", "a/b/**", true),
            ("a/**", "a", true),
            ("a/*", "a/b", true),
            ("a/*", "a/*.js", true),
            ("a/*.js", "a/*", false),
            ("a/b", "a/*", false),
            ("a/*", "a/**", false),
            ("a", "a", true),
            ("other:a", "a", false),
        ] {
            let pattern = |t| PathPattern::new(t).expect("pattern");
            assert_eq!(pattern(mine).covers(&pattern(asked)), expect, "{mine} covers {asked}");
        }
    }

    proptest! {
        /// Coverage is sound: a covered pattern never means a path that the covering one does not.
        #[test]
        fn coverage_is_sound(mine in "[ab*]{1,2}(/[ab*]{1}){0,2}(/\\*\\*)?", asked in "[ab*]{1,2}(/[ab*]{1}){0,2}(/\\*\\*)?", path in "[ab]{1,2}(/[ab]){0,3}") {
            if let (Ok(mine), Ok(asked)) = (PathPattern::new(&mine), PathPattern::new(&asked))
                && mine.covers(&asked) && asked.matches(&place(&path)) {
                prop_assert!(mine.matches(&place(&path)));
            }
        }
    }
}
