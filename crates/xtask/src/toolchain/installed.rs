//! The first way: the present rustc has the target's standard library already.

use super::{TARGET, Toolchain, host};
use anyhow::{Result, bail};

/// Finds it.
///
/// # Errors
/// When there is no rustc, or it lacks the target or the linkers.
pub fn toolchain() -> Result<Toolchain> {
    let libdir = host::target_libdir()?;
    if !host::has_std(&libdir) {
        bail!("{} holds no standard library of {TARGET}; `rustup target add {TARGET}` puts it there", libdir.display());
    }
    Ok(Toolchain {
        rustc: host::sysroot()?.join("bin/rustc"),
        linkers: host::linkers()?,
        origin: "installed".to_owned(),
    })
}
