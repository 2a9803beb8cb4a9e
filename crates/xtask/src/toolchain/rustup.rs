//! The second way: rustup adds the target.

use super::{
    TARGET, Toolchain, installed,
    process::{say, within},
};
use anyhow::{Context as _, Result};
use std::{process::Command, time::Duration};

/// On a closed network rustup may hang.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Has rustup add the target.
///
/// # Errors
/// When there is no rustup, or it fails or hangs.
pub fn toolchain() -> Result<Toolchain> {
    say(&format!("rustup target add {TARGET} (at most {} s)", TIMEOUT.as_secs()));
    within(TIMEOUT, Command::new("rustup").args(["target", "add", TARGET]))
        .with_context(|| format!("`rustup target add {TARGET}` must work"))?;
    Ok(Toolchain { origin: "added by rustup".to_owned(), ..installed::toolchain()? })
}
