//! Incidents: one detected harm each, from the trigger that fired to its verdict.
//!
//! The daemon's journal holds [`Entry`]s of [`Fact`]s, in the order in which they became true. A [`Book`] is what they come to:
//! the same code takes a fact in before it is written and when the journal is read back, and a fact that cannot follow is an
//! [`IllegalFact`]. What is to be done is [`decide`]d from a policy's data and what is known; nothing here has a clock.

mod book;
mod decide;
mod fact;
mod open;
mod worse;

pub use book::{Book, Exposure, IllegalFact, Notice, NoticeStanding, PostMortem, RunNote};
pub use decide::{Decided, Known, Way, at_expiry, at_watch_end, decide};
pub use fact::{
    Closing, Decision, Entry, Evidence, Fact, IncidentId, NoticeId, Seen, Submission, SubmissionId,
    USERS_TEXT_BYTES_MAX, Wish,
};
pub use open::{CountedApproval, Incident, Joined, Link, Stage};
pub use unship_policy::NoticeEvent;
pub use worse::worse;
