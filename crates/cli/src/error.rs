//! The one error of the command line: what failed, why, what to do, and the place in a file if one is at fault.

use crate::{exit::Exit, out::neutral_lines};
use std::{error::Error, fmt, ops::Range, path::Path};
use unship_policy::FileError;
use unship_rollback::neutralise;

/// See the module.
#[derive(Debug)]
pub struct CliError {
    /// With which status the process ends.
    pub exit: u8,
    message: String,
    causes: Vec<String>,
    hint: Option<String>,
    /// What the hint speaks of, to be copied from beneath it: whole lines, whose end no foreign text may set.
    lines: Option<String>,
    place: Option<Box<Place>>,
    /// Under `--json`: the summary that follows the error, as the last line.
    summary: Option<Box<serde_json::Value>>,
}

#[derive(Debug)]
struct Place {
    file: String,
    text: String,
    len: usize,
    line: usize,
    column: usize,
}

/// What verbs give.
pub type Result<T> = std::result::Result<T, CliError>;

impl CliError {
    /// An error that ends with `exit`.
    pub fn new(exit: Exit, message: impl Into<String>) -> CliError {
        CliError {
            exit: exit as u8,
            message: message.into(),
            causes: Vec::new(),
            hint: None,
            lines: None,
            place: None,
            summary: None,
        }
    }

    /// A refusal (3).
    pub fn refused(message: impl Into<String>) -> CliError {
        CliError::new(Exit::Refused, message)
    }

    /// A user's or the configuration's fault (1).
    pub fn user(message: impl Into<String>) -> CliError {
        CliError::new(Exit::User, message)
    }

    /// With `error` and its sources as causes.
    pub fn because(mut self, error: &(dyn Error + 'static)) -> CliError {
        let mut next = Some(error);
        while let Some(cause) = next {
            let text = cause.to_string();
            // Transparent wrappers repeat their source's words.
            if self.causes.last() != Some(&text) {
                self.causes.push(text);
            }
            next = cause.source();
        }
        self
    }

    /// With a plain cause.
    pub fn cause(mut self, text: impl Into<String>) -> CliError {
        self.causes.push(text.into());
        self
    }

    /// With what to do next.
    pub fn hint(mut self, hint: impl Into<String>) -> CliError {
        self.hint = Some(hint.into());
        self
    }

    /// With lines beneath the hint, to be copied.
    pub fn lines(mut self, lines: impl Into<String>) -> CliError {
        self.lines = Some(lines.into());
        self
    }

    /// With the summary of what was refused.
    pub fn summary(mut self, summary: serde_json::Value) -> CliError {
        self.summary = Some(Box::new(summary));
        self
    }

    /// Answers under `--json`: the error, and the summary last.
    pub fn answer(&self, out: crate::out::Out) {
        out.object(&self.json());
        let mut summary = self.summary.as_deref().cloned().unwrap_or_else(|| serde_json::json!({}));
        summary["error"] = self.message.clone().into();
        summary["exit"] = self.exit.into();
        out.summary(summary);
    }

    /// With another status.
    pub fn exit(mut self, exit: u8) -> CliError {
        self.exit = exit;
        self
    }

    /// A file that a person wrote is at fault.
    pub fn in_file(path: &Path, text: &str, error: FileError) -> CliError {
        let mut this = CliError::user(format!("{} is not valid", path.display()));
        if let Some(span) = &error.span {
            this = this.at(path, text, span.clone());
        }
        this.hint = error.help;
        this.causes.push(error.message);
        this
    }

    /// What failed and why, in one sentence of another error.
    pub fn in_short(&self) -> String {
        std::iter::once(&self.message).chain(&self.causes).map(String::as_str).collect::<Vec<_>>().join(": ")
    }

    /// What to do next, as far as it is known.
    pub fn advice(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// What failed, without its causes.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// With the place in a file of which it speaks.
    pub fn at(mut self, path: &Path, text: &str, span: Range<usize>) -> CliError {
        let error = FileError { message: String::new(), span: Some(span.clone()), help: None };
        self.place = error.line_column(text).map(|(line, column)| {
            Box::new(Place {
                file: path.display().to_string(),
                text: text.to_owned(),
                len: span.end.saturating_sub(span.start),
                line,
                column,
            })
        });
        self
    }

    /// The error as a JSON object's fields.
    pub fn json(&self) -> serde_json::Value {
        let place = self.place.as_deref();
        let hint = self.hint.as_ref().map(|hint| {
            [Some(hint), self.lines.as_ref()].into_iter().flatten().cloned().collect::<Vec<_>>().join("\n")
        });
        serde_json::json!({
            "type": "error",
            "message": self.message,
            "causes": self.causes,
            "hint": hint,
            "file": place.map(|p| &p.file),
            "line": place.map(|p| p.line),
            "column": place.map(|p| p.column),
        })
    }
}

/// A secret key that was pasted where a public one belongs must not reach a terminal or a log.
fn hide_secret(line: &str) -> String {
    match line.split_once("unship-secret-") {
        Some((before, secret)) => {
            let hidden: String = secret.chars().map(|c| if c.is_ascii_hexdigit() { '*' } else { c }).collect();
            format!("{before}unship-secret-{hidden}")
        }
        None => line.to_owned(),
    }
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.rendered("Error"))
    }
}

impl CliError {
    /// As it is shown, with `word` in front: not all that is told of a file is an error. Each part is on its line and
    /// neutralised.
    pub fn rendered(&self, word: &str) -> String {
        let mut text = String::new();
        // Writing into a text cannot fail.
        let _ = self.render(&mut text, word);
        text
    }

    /// As it is shown, without a word in front and with no end of line: a part of what else is told.
    pub fn text(&self) -> String {
        let text = self.rendered("");
        text.trim_start_matches(": ").trim_end().to_owned()
    }

    fn render(&self, f: &mut String, word: &str) -> fmt::Result {
        use fmt::Write as _;
        writeln!(f, "{word}: {}", neutralise(&self.message))?;
        if let Some(place) = &self.place {
            // The place first, then the reason beneath it.
            let line = hide_secret(place.text.lines().nth(place.line - 1).unwrap_or_default());
            let gutter = place.line.to_string().len();
            let (before, from) =
                line.split_at(line.char_indices().nth(place.column - 1).map_or(line.len(), |(at, _)| at));
            // What is underlined is bytes of the file; a character of more is wholly at fault.
            let marked = from.char_indices().take_while(|(at, _)| *at < place.len).map(|(_, c)| c).collect::<String>();
            let width = |text: &str| neutralise(text).chars().count();
            let (indent, marks) = (" ".repeat(width(before)), "^".repeat(width(&marked).max(1)));
            let (file, line) = (neutralise(&place.file), neutralise(&line));
            writeln!(f, "{:gutter$} --> {file}:{}:{}", "", place.line, place.column)?;
            writeln!(f, "{:gutter$} |", "")?;
            writeln!(f, "{} | {line}", place.line)?;
            writeln!(f, "{:gutter$} | {indent}{marks}", "")?;
        }
        for cause in &self.causes {
            writeln!(f, "Caused by: {}", neutralise(cause))?;
        }
        if let Some(hint) = &self.hint {
            writeln!(f, "Hint: {}", neutralise(hint))?;
        }
        if let Some(lines) = &self.lines {
            writeln!(f, "{}", neutral_lines(lines))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pasted_secret_is_not_shown() {
        let shown = hide_secret("public = \"unship-secret-ed25519:0123abcd\" # mine");
        assert!(!shown.contains("0123abcd") && shown.starts_with("public = \"unship-secret-"), "{shown}");
        assert_eq!(shown.chars().count(), "public = \"unship-secret-ed25519:0123abcd\" # mine".len());
    }
}
