//! Notices: what people and other systems are told. The outbox is the daemon's book: a notice is queued in the same record as
//! the fact that it tells of, and a [`Couriers`] thread for each channel delivers what is queued there, in order, until it is
//! delivered or given up, across restarts. A rollback never waits for any of that.
//!
//! A receiver may get a notice twice, when the daemon dies between its answer and the record of it. Both have the same dedup key
//! and the same notice id, by which PagerDuty, mail programs and whoever reads our webhook make one of them.

mod body;
mod courier;
mod mail;
mod outbox;
mod post;
mod secret;
mod told;
mod words;

pub use courier::Couriers;
pub(crate) use outbox::{Notify, queued};
pub use secret::Secret;
pub use words::{SHIPPED_MAIL, Words, WordsError};

use crate::ports::{About, Announcer};
use unship_policy::NoticesPolicy;
use unship_rollback::incident::{Book, NoticeEvent};

/// Who is told of what, in which words: a policy that was checked.
#[derive(Debug)]
pub struct Notices {
    policy: NoticesPolicy,
    words: Words,
    /// How people reach the daemon: what one-time links begin with.
    links: Option<String>,
}

impl Notices {
    /// Checks the policy's templates. `links`: what one-time links begin with; `html` reads a file of `policies/notices/`.
    ///
    /// # Errors
    /// [`WordsError`]: a template that is none, or that names what there is not.
    pub fn new(
        policy: &NoticesPolicy,
        links: Option<&str>,
        html: impl FnMut(&str) -> Result<String, String>,
    ) -> Result<Notices, WordsError> {
        let words = Words::new(policy, html)?;
        Ok(Notices { policy: policy.clone(), words, links: links.map(str::to_owned) })
    }
}

/// The key that makes all that is told of one thing one: the run's id where its beginning was the first that was told, the
/// incident's where people were asked before, so that the same alert is acknowledged and resolved.
fn dedup(book: &Book, channel: &str, about: &About<'_>) -> String {
    let before = about.incident.and_then(|incident| {
        let told =
            |n: &&unship_rollback::incident::Notice| n.channel == channel && n.incident.as_ref() == Some(&incident.id);
        book.notices().find(told).map(|notice| notice.dedup.clone())
    });
    let run = about.run.map(|run| run.as_str().to_owned());
    let thread = about.thread.map(str::to_owned);
    let incident = about.incident.map(|incident| incident.id.as_str().to_owned());
    before.or(thread).or(run).or(incident).unwrap_or_else(|| format!("event/{}", about.event))
}

impl Announcer for Notices {
    fn channels(&self, book: &Book, about: &About<'_>) -> Vec<(String, String)> {
        let told = self.policy.channels.keys().filter(|name| self.policy.notice(name.as_str(), about.event).is_some());
        told.map(|name| (name.to_string(), dedup(book, name.as_str(), about))).collect()
    }

    fn can_wait(&self, event: NoticeEvent) -> bool {
        matches!(event, NoticeEvent::Progress | NoticeEvent::Ready)
    }
}
