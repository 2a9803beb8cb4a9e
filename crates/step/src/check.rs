//! What checks ask again and again. Each function answers `Ok` when it is so, and otherwise a failure that says what was
//! found and what was expected.
//!
//! ```no_run
//! use unship_step::check;
//!
//! fn search_is_out() -> unship_step::Result {
//!     check::flag("search", "off")?;
//!     check::same_bytes("search.js", "stubs/search.js")?;
//!     check::absent("index")?;
//!     check::healthy("search")
//! }
//! ```

use crate::{Context as _, Result, ensure, files, flags, http, processes, services};
use std::fs;

/// The flag has this value. Needs `flags.get`.
///
/// # Errors
/// When it has another, or cannot be read.
pub fn flag(flag: &str, value: &str) -> Result {
    let found = flags::get(flag)?;
    ensure!(found == value, "the flag {flag} is {found}, not {value}");
    Ok(())
}

/// Both files hold the same bytes. Needs `files.read` on both.
///
/// # Errors
/// When they differ, or one cannot be read.
pub fn same_bytes(path: &str, wanted: &str) -> Result {
    let found = fs::read(path).context(format!("reading {path}"))?;
    let bytes = fs::read(wanted).context(format!("reading {wanted}"))?;
    ensure!(found == bytes, "{path} is not {wanted}: {} bytes, not its {}", found.len(), bytes.len());
    Ok(())
}

/// `path` can take the place of something: a regular file, no symlink, that holds some text. Answers the text. Needs
/// `files.read`.
///
/// # Errors
/// When it is not there, something else, empty or not UTF-8.
pub fn replacement(path: &str) -> Result<String> {
    let kind = fs::symlink_metadata(path).context(format!("looking for {path}"))?.file_type();
    ensure!(kind.is_file(), "{path} is not a regular file");
    let text = fs::read_to_string(path).context(format!("reading {path}"))?;
    ensure!(!text.trim().is_empty(), "{path} is empty");
    Ok(text)
}

/// As [`replacement`], and no line of it requires a module whose name holds `module`: what takes the place must not bring
/// back `what` is to be taken out.
///
/// # Errors
/// As [`replacement`], and when a line does.
pub fn replacement_without(path: &str, module: &str, what: &str) -> Result {
    let text = replacement(path)?;
    let needs_it = text.lines().any(|line| line.contains("require(") && line.contains(module));
    ensure!(!needs_it, "{path} needs {what}, which is what is to be taken out");
    Ok(())
}

/// Nothing has this name, no dangling symlink either. Needs `files.read`.
///
/// # Errors
/// When something has it.
pub fn absent(path: &str) -> Result {
    ensure!(!files::present(path)?, "{path} is still in place");
    Ok(())
}

/// No live process is what the selector means. Needs `processes.list`.
///
/// # Errors
/// The command lines of those that live.
pub fn no_process(selector: &str) -> Result {
    let live = processes::list(selector)?;
    ensure!(live.is_empty(), "still alive: {}", processes::listed(&live));
    Ok(())
}

/// The service runs and answers as policy says it should. Needs `services.status`.
///
/// # Errors
/// What was seen instead.
pub fn healthy(service: &str) -> Result {
    let status = services::status(service)?;
    ensure!(status.running, "{service} does not run: {}", status.detail);
    ensure!(status.healthy, "{service} runs, but does not answer as it should: {}", status.detail);
    Ok(())
}

/// The call is answered with this HTTP status. Needs `http.get`.
///
/// # Errors
/// When it is answered with another, or not at all.
pub fn answers(call: &str, wanted: u16) -> Result {
    let status = http::get(call)?.status;
    ensure!(status == wanted, "{call} answers {status}, not {wanted}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder of each test's own: they run side by side.
    fn in_folder(test: &str, body: impl FnOnce(&dyn Fn(&str) -> String)) {
        let folder = std::env::temp_dir().join(format!("unship-step-check-{test}-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        body(&|name| folder.join(name).to_str().expect("UTF-8").to_owned());
        fs::remove_dir_all(folder).expect("removed");
    }

    #[test]
    fn what_is_not_so_is_told_with_what_was_found() {
        in_folder("told", |at| {
            let (a, b, gone) = (at("a"), at("b"), at("gone"));
            fs::write(&a, "one").expect("written");
            fs::write(&b, "three").expect("written");
            assert_eq!(same_bytes(&a, &a), Ok(()));
            let told = same_bytes(&a, &b).expect_err("they differ").to_string();
            assert_eq!(told, format!("{a} is not {b}: 3 bytes, not its 5"));
            let told = same_bytes(&gone, &a).expect_err("not there").to_string();
            assert!(told.starts_with(&format!("reading {gone}: ")), "{told}");

            assert_eq!(absent(&gone), Ok(()));
            assert_eq!(absent(&a).expect_err("there").to_string(), format!("{a} is still in place"));

            assert_eq!(replacement(&a).expect("text"), "one");
            fs::write(&b, " \n").expect("written");
            assert_eq!(replacement(&b).expect_err("empty").to_string(), format!("{b} is empty"));
            fs::write(&b, "let a = 1;\nconst db = require(\"duckdb\");\n").expect("written");
            assert_eq!(replacement_without(&b, "dbt", "dbt"), Ok(()));
            assert_eq!(
                replacement_without(&b, "duckdb", "DuckDB").expect_err("it needs it").to_string(),
                format!("{b} needs DuckDB, which is what is to be taken out")
            );
            let folder = at("folder");
            fs::create_dir(&folder).expect("a folder");
            assert_eq!(
                replacement(&folder).expect_err("no file").to_string(),
                format!("{folder} is not a regular file")
            );
            assert!(replacement(&gone).expect_err("not there").to_string().starts_with("looking for"));
        });
    }

    #[cfg(unix)]
    #[test]
    fn a_symlink_takes_no_place_and_is_there_though_it_dangles() {
        in_folder("link", |at| {
            let link = at("link");
            std::os::unix::fs::symlink("nowhere", &link).expect("linked");
            assert!(absent(&link).is_err());
            assert_eq!(replacement(&link).expect_err("a link").to_string(), format!("{link} is not a regular file"));
        });
    }
}
