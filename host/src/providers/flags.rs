//! Feature flags in one file of the site: what a value is called in policy, and how it is written there.
//!
//! Pure functions over the file's bytes. The gate reads the file and replaces it, so that a planned change takes the
//! same way through the overlay.

mod flagd;

use crate::edit::{self, EditError, Edited, Format};
use unship_policy::meaning::{FlagsFormat, FlagsMeaning, Name};

/// Why a flag can be neither read nor set. Each names the file and the flag's pointer in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what the fields are")]
pub enum FlagError {
    #[error("{file}: there is no flag `{flag}`: {source}")]
    Unknown { file: String, flag: Name, source: Box<EditError> },
    #[error("{file}: the flag `{flag}` cannot be read or set at {pointer}: {source}")]
    File { file: String, flag: Name, pointer: String, source: Box<EditError> },
    #[error("{file}: the flag `{flag}` is `{found}` at {pointer}; the policy knows {known}")]
    UnknownScalar { file: String, flag: Name, pointer: String, found: String, known: String },
    #[error("{file}: the flag `{flag}` ({pointer}) has no value `{value}`; the policy knows {known}")]
    UnknownValue { file: String, flag: Name, pointer: String, value: String, known: String },
    #[error("{file}: the flag `{flag}` cannot be read or set: {why}")]
    Flagd { file: String, flag: Name, why: String },
}

/// The value of `flag` as policy spells it.
///
/// # Errors
/// [`FlagError`].
pub fn read(meaning: &FlagsMeaning, bytes: &[u8], flag: &Name) -> Result<String, FlagError> {
    if meaning.format == FlagsFormat::Flagd {
        return flagd::read(meaning, bytes, flag);
    }
    let pointer = pointer_of(meaning, flag);
    let found = edit::get_scalar(format_of(meaning), bytes, &pointer).map_err(|e| wrong(meaning, flag, &pointer, e))?;
    match meaning.values.iter().find(|(_, written)| **written == found) {
        Some((value, _)) => Ok(value.clone()),
        None => Err(FlagError::UnknownScalar {
            file: meaning.file.clone(),
            flag: flag.clone(),
            pointer,
            found: unship_rollback::neutralise(&found),
            known: known(meaning),
        }),
    }
}

/// The file's new bytes, with `flag` at `value` (as policy spells it). The present scalar may be one that policy does not
/// know: whatever it is, the flag can be set to what it should be. [`Edited::before`] has it as written.
///
/// # Errors
/// [`FlagError`].
pub fn write(meaning: &FlagsMeaning, bytes: &[u8], flag: &Name, value: &str) -> Result<Edited, FlagError> {
    if meaning.format == FlagsFormat::Flagd {
        return flagd::write(meaning, bytes, flag, value);
    }
    let pointer = pointer_of(meaning, flag);
    let Some(written) = meaning.values.get(value) else {
        return Err(FlagError::UnknownValue {
            file: meaning.file.clone(),
            flag: flag.clone(),
            pointer,
            value: unship_rollback::neutralise(value),
            known: known(meaning),
        });
    };
    edit::set_scalar(format_of(meaning), bytes, &pointer, None, written).map_err(|e| wrong(meaning, flag, &pointer, e))
}

fn format_of(meaning: &FlagsMeaning) -> Format {
    edit::format_of(&meaning.file).unwrap_or(Format::Yaml)
}

/// A [`Name`] holds neither `/` nor `~`, so it needs no escaping in a pointer.
fn pointer_of(meaning: &FlagsMeaning, flag: &Name) -> String {
    meaning.pointer.replace("{flag}", flag.as_str())
}

fn known(meaning: &FlagsMeaning) -> String {
    let values: Vec<_> = meaning.values.iter().map(|(value, written)| format!("{value} (`{written}`)")).collect();
    values.join(", ")
}

fn wrong(meaning: &FlagsMeaning, flag: &Name, pointer: &str, source: EditError) -> FlagError {
    let (file, flag, source) = (meaning.file.clone(), flag.clone(), Box::new(source));
    match *source {
        EditError::Missing { .. } => FlagError::Unknown { file, flag, source },
        _ => FlagError::File { file, flag, pointer: pointer.to_owned(), source },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "# who may see what\nflags:\n  duckdb_analytics:   # story 1.3\n    enabled: true\n  other:\n    enabled: maybe\n";

    fn meaning() -> FlagsMeaning {
        FlagsMeaning {
            file: "config/feature-flags.yaml".into(),
            format: FlagsFormat::Scalars,
            pointer: "/flags/{flag}/enabled".into(),
            values: [("on", "true"), ("off", "false")].map(|(k, v)| (k.into(), v.into())).into(),
        }
    }

    fn name(text: &str) -> Name {
        Name::new(text).expect("a name")
    }

    #[test]
    fn a_flag_is_read_set_and_read_back() {
        let (meaning, flag) = (meaning(), name("duckdb_analytics"));
        assert_eq!(read(&meaning, FILE.as_bytes(), &flag).as_deref(), Ok("on"));
        let edited = write(&meaning, FILE.as_bytes(), &flag, "off").expect("can be set");
        assert_eq!((edited.before.as_str(), edited.changed), ("true", true));
        assert_eq!(String::from_utf8_lossy(&edited.bytes), FILE.replace("true", "false"));
        assert_eq!(read(&meaning, &edited.bytes, &flag).as_deref(), Ok("off"));
        let again = write(&meaning, &edited.bytes, &flag, "off").expect("can be set");
        assert!(!again.changed && again.bytes == edited.bytes);
        assert!(write(&meaning, FILE.as_bytes(), &name("other"), "off").expect("can be set").changed);
    }

    #[test]
    fn refusals_name_file_pointer_and_line() {
        let (meaning, flag) = (meaning(), name("duckdb_analytics"));
        let cases = [
            (
                read(&meaning, FILE.as_bytes(), &name("none")).map(drop),
                r#"config/feature-flags.yaml: there is no flag `none`: line 3, column 3: nothing at /flags/none/enabled: there is no "none" here"#,
            ),
            (
                read(&meaning, FILE.as_bytes(), &name("other")).map(drop),
                "config/feature-flags.yaml: the flag `other` is `maybe` at /flags/other/enabled; the policy knows off (`false`), on (`true`)",
            ),
            (
                write(&meaning, FILE.as_bytes(), &flag, "half").map(drop),
                "config/feature-flags.yaml: the flag `duckdb_analytics` (/flags/duckdb_analytics/enabled) has no value `half`; the policy knows off (`false`), on (`true`)",
            ),
            (
                read(&meaning, b"flags: [\n  1,\n", &flag).map(drop),
                "config/feature-flags.yaml: the flag `duckdb_analytics` cannot be read or set at /flags/duckdb_analytics/enabled: line 3, column 1: not well-formed: while parsing a node, did not find expected node content",
            ),
        ];
        for (result, message) in cases {
            assert_eq!(result.expect_err("is refused").to_string(), message);
        }
    }
}
