//! Waiting for something that nobody announces.

use crate::{Result, fail};
use std::{
    thread::sleep,
    time::{Duration, Instant},
};

/// Between two looks.
const POLL: Duration = Duration::from_millis(100);

/// Looks again and again until there is nothing left of what is waited for (`None`), at most for `longest`. `look` answers
/// what is still left, for the message.
///
/// ```no_run
/// use std::time::Duration;
/// use unship_step::{processes, wait};
///
/// wait::until_none("the index is still open: ", Duration::from_secs(5), || {
///     let holders = processes::holders("index")?;
///     Ok((!holders.is_empty()).then(|| processes::listed(&holders)))
/// })?;
/// # Ok::<(), unship_step::Failure>(())
/// ```
///
/// # Errors
/// `told`, and what is left after `longest`; and what `look` fails with.
pub fn until_none(told: &str, longest: Duration, mut look: impl FnMut() -> Result<Option<String>>) -> Result {
    let began = Instant::now();
    while let Some(left) = look()? {
        if began.elapsed() >= longest {
            fail!("{told}{left} (waited {} s)", longest.as_secs());
        }
        sleep(POLL);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_ends_when_nothing_is_left_and_gives_up_in_time() {
        let mut left = vec!["a", "b"];
        assert_eq!(until_none("left: ", Duration::from_secs(60), || Ok(left.pop().map(str::to_owned))), Ok(()));
        let told = until_none("left: ", Duration::ZERO, || Ok(Some("c".to_owned()))).expect_err("it gives up");
        assert_eq!(told.to_string(), "left: c (waited 0 s)");
        let told = until_none("left: ", Duration::ZERO, || Err("no look".into())).expect_err("it fails");
        assert_eq!(told.to_string(), "no look");
    }
}
