//! The way back of story 1.8: tests and documentation are as they were at the commit that was recorded before the story.
//!
//! Nothing else is: branch, index and all other files stay. What somebody wrote there and did not commit would be lost, so
//! it is refused, with names.

use unship_step::{Result, ensure, git, progress};

/// What the operator's policy recorded: repository, commit, paths.
const POINT: &str = "qa";
/// So many names fit into a sentence.
const NAMED: usize = 5;

unship_step::steps! {
    // Is there anything to do, and can it be done?
    "taken-back" => as_recorded,
    "nothing-uncommitted" => nothing_uncommitted,
    // The way back.
    "restore-qa" => restore_qa,
    // Is it so?
    "as-recorded" => as_recorded,
}

/// Files that the story added go, too.
fn restore_qa() -> Result {
    let changed = git::restore(POINT)?;
    progress!("{changed} files are as recorded again");
    Ok(())
}

fn nothing_uncommitted() -> Result {
    let uncommitted = git::status(POINT)?.uncommitted;
    ensure!(
        uncommitted.is_empty(),
        "not committed, so it would be lost: {}; commit it, or move it away",
        named(&uncommitted)
    );
    Ok(())
}

fn as_recorded() -> Result {
    let differing = git::status(POINT)?.differing;
    ensure!(differing.is_empty(), "not as recorded: {}", named(&differing));
    Ok(())
}

fn named(paths: &[String]) -> String {
    let mut text = paths.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
    if let Some(more) = paths.len().checked_sub(NAMED).filter(|more| *more > 0) {
        text.push_str(&format!(" and {more} more"));
    }
    text
}
