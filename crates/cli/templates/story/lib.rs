//! The way back of story {id}, {title}.
//!
//! Write the forward direction only: whatever a step changes, the host can take back.

use std::fs;
use unship_step::{Context as _, Result, ensure, files, progress};

/// What the story brought, and what has to go. Name yours, here and in unship.toml.
const THING: &str = "replace-me";

unship_step::steps! {
    // Is there anything to do?
    "taken-back" => taken_back,
    // The way back, in order.
    "set-aside" => set_aside,
    // Is the system well again?
    "thing-gone" => thing_gone,
}

/// Nothing is left to do: what follows is verification alone.
fn taken_back() -> Result {
    thing_gone()
}

/// A step may run twice, so it looks before it acts.
fn set_aside() -> Result {
    if is_there()? {
        let kept = files::set_aside(THING)?;
        progress!("{THING} is kept as {kept}");
    }
    Ok(())
}

/// A failure is one sentence for the person on call.
fn thing_gone() -> Result {
    ensure!(!is_there()?, "{THING} is still there");
    Ok(())
}

fn is_there() -> Result<bool> {
    Ok(fs::exists(THING).context(format!("looking for {THING}"))?)
}
