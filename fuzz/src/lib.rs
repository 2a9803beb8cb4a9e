//! What reads bytes that somebody else wrote, each with what must hold whatever these are. A target panics where it does not.
//!
//! Bytes alone hardly ever get past a signature or a chain of hashes. Where there is one, the first byte of the input says how
//! the rest is meant: as the file itself, as a list of [`Edits`] of a good one, or as content that is signed or chained here, by what
//! the format says, and then read.

mod bundles;
mod edits;
mod forge;
mod journals;
mod policies;
mod roots;

pub use bundles::{bundle, manifest, signature};
pub use edits::Edits;
pub use journals::{checkpoint, incidents, journal, records};
pub use policies::{approval, consent, site_policy, story_policy, triggers};
pub use roots::trust_root;

/// One target.
pub type Target = fn(&[u8]);

/// All of them, by the names of their binaries.
pub const TARGETS: [(&str, Target); 13] = [
    ("manifest", manifest),
    ("bundle", bundle),
    ("signature", signature),
    ("trust_root", trust_root),
    ("site_policy", site_policy),
    ("story_policy", story_policy),
    ("triggers", triggers),
    ("approval", approval),
    ("consent", consent),
    ("journal", journal),
    ("checkpoint", checkpoint),
    ("records", records),
    ("incidents", incidents),
];

/// An error points into the text that it is about, and a person can be told where.
fn points_inside(error: &unship_policy::FileError, text: &str) {
    assert!(!error.message.trim().is_empty(), "an error that says nothing");
    if let Some(span) = &error.span {
        assert!(span.start <= span.end && span.end <= text.len(), "{span:?} of {} bytes", text.len());
        assert!(error.line_column(text).is_some() || !text.is_char_boundary(span.start), "no place for {span:?}");
    }
}
