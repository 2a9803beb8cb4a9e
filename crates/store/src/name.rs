//! Names that may become one file name inside the store.

/// A run, effect or key name that cannot be a file name of the store.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "use the name {name:?} in the store: it must be 1 to 128 characters of A-Z a-z 0-9 . _ - and not begin with a dot"
)]
pub struct BadName {
    name: String,
}

/// Lets through what is one plain path component on every file system, and never hidden, `.` or `..`.
pub(crate) fn check(name: &str) -> Result<&str, BadName> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    if (1..=128).contains(&name.len()) && !name.starts_with('.') && name.bytes().all(plain) {
        Ok(name)
    } else {
        Err(BadName { name: name.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_components() {
        let long = "a".repeat(129);
        for bad in ["", ".", "..", ".x", "a/b", "../x", "a\0", "a b", "ä", long.as_str()] {
            assert!(check(bad).is_err(), "{bad:?}");
        }
        for good in ["1", "r-2026.x_Y", &long[..128]] {
            assert_eq!(check(good), Ok(good));
        }
    }
}
