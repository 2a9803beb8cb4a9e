//! Feature flags by name. Their values are spelled as the policy spells them: `on`, `off`, or another variant.

use crate::{HostError, bindings::unship::step::feature_flags as host};

/// The flag's value. Needs `flags.get`.
///
/// # Errors
/// [`HostError`]: `UnknownName` when the policy knows no such flag.
pub fn get(flag: &str) -> Result<String, HostError> {
    host::get(flag).map_err(HostError::from)
}

/// Sets the flag and reads it back. Does nothing when it has that value already. Needs `flags.set` for this flag and
/// this value.
///
/// # Errors
/// [`HostError`]: `UnknownName` when the policy knows no such flag or value, `Failed` when it does not read back.
pub fn set(flag: &str, value: &str) -> Result<(), HostError> {
    host::set(flag, value).map_err(HostError::from)
}
