//! The macros of the SDK.

/// Names the steps and checks of a component, each with the function that does it, and exports them to the host. Once
/// per component, in its `cdylib`.
///
/// The function takes nothing and answers [`Result`](crate::Result); any expression that is such a function will do.
/// Names are those of `unship.toml`: 1 to 64 letters, digits, `-`, `_` or `.`, the first one a letter or digit, none
/// twice; another does not compile.
///
/// ```
/// fn nothing_to_do() -> unship_step::Result {
///     Ok(())
/// }
///
/// unship_step::steps! {
///     "disable-search" => || Ok(unship_step::flags::set("search", "off")?),
///     "nothing-to-do" => nothing_to_do,
/// }
/// # fn main() {}
/// ```
///
/// ```compile_fail
/// unship_step::steps! { "twice" => || Ok(()), "twice" => || Ok(()) }
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! steps {
    ($($name:literal => $function:expr),+ $(,)?) => {
        const _: () = $crate::__private::check_names(&[$($name),+]);

        #[doc(hidden)]
        struct UnshipSteps;

        impl $crate::__private::bindings::Guest for UnshipSteps {
            fn steps() -> ::std::vec::Vec<::std::string::String> {
                ::std::vec![$(::std::string::String::from($name)),+]
            }

            fn run(
                step: ::std::string::String,
            ) -> ::std::result::Result<(), $crate::__private::bindings::unship::step::types::Failure> {
                let result: $crate::Result = match step.as_str() {
                    $($name => ($function)(),)+
                    other => ::std::result::Result::Err($crate::__private::unknown_step(other)),
                };
                result.map_err(::std::convert::Into::into)
            }
        }

        $crate::__private::bindings::export!(UnshipSteps with_types_in $crate::__private::bindings);
    };
}

/// Ends the step with a failure unless the condition holds. The message is written as for [`format!`]; without one, the
/// condition itself is named.
///
/// ```
/// # fn check(engine: &[u8], stub: &[u8]) -> unship_step::Result {
/// unship_step::ensure!(engine == stub, "the engine is not the stub: {} bytes, {} expected", engine.len(), stub.len());
/// # Ok(()) }
/// # assert!(check(b"a", b"a").is_ok() && check(b"a", b"b").is_err());
/// ```
#[macro_export]
macro_rules! ensure {
    ($condition:expr $(,)?) => {
        $crate::ensure!($condition, "it does not hold that `{}`", ::std::stringify!($condition))
    };
    ($condition:expr, $($message:tt)+) => {
        if !$condition {
            $crate::fail!($($message)+);
        }
    };
}

/// Ends the step with a failure. The message is written as for [`format!`].
///
/// ```
/// fn refuse(holders: &[&str]) -> unship_step::Result {
///     unship_step::fail!("still held by {}", holders.join(", "));
/// }
/// # assert_eq!(refuse(&["node"]).unwrap_err().message(), "still held by node");
/// ```
#[macro_export]
macro_rules! fail {
    ($($message:tt)+) => {
        return ::std::result::Result::Err(::std::convert::From::from($crate::Failure::new(::std::format!($($message)+))))
    };
}

/// Shows the person on call a line of progress, written as for [`format!`]. Needs no grant.
#[macro_export]
macro_rules! progress {
    ($($message:tt)+) => { $crate::log::log($crate::log::Level::Info, &::std::format!($($message)+)) };
}

/// Shows the person on call a warning, written as for [`format!`]. Needs no grant; the step goes on.
#[macro_export]
macro_rules! warn {
    ($($message:tt)+) => { $crate::log::log($crate::log::Level::Warn, &::std::format!($($message)+)) };
}

/// Stops the compilation at a step's name that no manifest could hold, and at one that is listed twice.
#[doc(hidden)]
pub const fn check_names(names: &[&str]) {
    let mut i = 0;
    while i < names.len() {
        assert!(is_name(names[i].as_bytes()), "a step's name is 1 to 64 letters, digits, `-`, `_` or `.`");
        let mut j = 0;
        while j < i {
            assert!(!same(names[i].as_bytes(), names[j].as_bytes()), "two steps have the same name");
            j += 1;
        }
        i += 1;
    }
}

const fn is_name(name: &[u8]) -> bool {
    let mut i = 0;
    while i < name.len() {
        let punctuation = i > 0 && matches!(name[i], b'-' | b'_' | b'.');
        if !name[i].is_ascii_alphanumeric() && !punctuation {
            return false;
        }
        i += 1;
    }
    !name.is_empty() && name.len() <= 64
}

const fn same(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    let mut i = 0;
    while i < a.len() {
        if a[i] != b[i] {
            return false;
        }
        i += 1;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_manifests() {
        for good in ["a", "9", "backup-data", "a_b.c", &"x".repeat(64)] {
            assert!(is_name(good.as_bytes()), "{good:?}");
        }
        for bad in ["", "-a", ".", "a b", "a/b", "ä", "a\n", &"x".repeat(65)] {
            assert!(!is_name(bad.as_bytes()), "{bad:?}");
        }
    }

    #[test]
    #[should_panic(expected = "same name")]
    fn no_name_stands_twice() {
        check_names(&["a", "b", "a"]);
    }
}
