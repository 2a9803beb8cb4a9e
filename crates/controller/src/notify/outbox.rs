//! What is queued: facts for the book, bounded for each channel.

use crate::ports::{About, Announcer};
use unship_rollback::{
    RunId,
    incident::{Book, Fact, IncidentId, Notice, NoticeEvent, NoticeId, NoticeStanding},
};

/// Notices that wait on one channel at most. What comes then takes the place of the oldest that can wait.
const WAITING_MAX: usize = 1000;

/// A notice to be queued with the facts that cause it.
pub(crate) struct Notify {
    pub event: NoticeEvent,
    pub incident: Option<IncidentId>,
    pub run: Option<RunId>,
    /// What it belongs to, where that is neither an incident nor a run.
    pub thread: Option<String>,
    pub detail: String,
    /// A channel that is not told.
    pub except: Option<String>,
}

impl Notify {
    pub fn of(event: NoticeEvent, incident: &IncidentId, detail: impl Into<String>) -> Notify {
        Notify { incident: Some(incident.clone()), ..Notify::alone(event, detail) }
    }

    /// Of no incident.
    pub fn alone(event: NoticeEvent, detail: impl Into<String>) -> Notify {
        Notify { event, incident: None, run: None, thread: None, detail: detail.into(), except: None }
    }

    pub fn with_run(mut self, run: &RunId) -> Notify {
        self.run = Some(run.clone());
        self
    }

    pub fn but_not(mut self, channel: &str) -> Notify {
        self.except = Some(channel.to_owned());
        self
    }

    pub fn in_thread(mut self, thread: impl Into<String>) -> Notify {
        self.thread = Some(thread.into());
        self
    }
}

/// The facts that queue notices on the channels that want them.
pub(crate) fn queued(book: &Book, announcer: &dyn Announcer, notices: Vec<Notify>) -> Vec<Fact> {
    let mut number = book.next_notice();
    let mut facts = Vec::new();
    for Notify { event, incident, run, thread, detail, except } in notices {
        let about = About {
            event,
            incident: incident.as_ref().and_then(|id| book.incident(id)),
            run: run.as_ref(),
            thread: thread.as_deref(),
        };
        let channels = announcer.channels(book, &about);
        for (channel, dedup) in channels.into_iter().filter(|(channel, _)| Some(channel) != except.as_ref()) {
            let Some(notice) = NoticeId::new(&format!("n{number}")) else { continue };
            number += 1;
            facts.extend(room(book, announcer, &channel, event));
            let (incident, run, detail) = (incident.clone(), run.clone(), detail.clone());
            facts.push(Fact::NoticeQueued { notice, incident, run, event, channel, dedup, detail });
        }
    }
    facts
}

/// What gives way where too many wait: the oldest that can, so that what matters still has a place.
fn room(book: &Book, announcer: &dyn Announcer, channel: &str, event: NoticeEvent) -> Option<Fact> {
    let waiting = || book.notices().filter(|n| n.channel == channel && n.standing == NoticeStanding::Queued);
    if waiting().count() < WAITING_MAX {
        return None;
    }
    let can_wait = |notice: &&Notice| announcer.can_wait(notice.event);
    let oldest = waiting().find(can_wait).or_else(|| waiting().next())?;
    let reason = format!("{WAITING_MAX} notices wait on this channel: it gave way to {event}");
    Some(Fact::NoticeFailed { notice: oldest.id.clone(), reason, attempts: 0 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use unship_rollback::incident::Entry;

    struct Everything;

    impl Announcer for Everything {
        fn channels(&self, _: &Book, about: &About<'_>) -> Vec<(String, String)> {
            vec![("dead".to_owned(), about.thread.unwrap_or("key").to_owned())]
        }

        fn can_wait(&self, event: NoticeEvent) -> bool {
            event == NoticeEvent::Progress
        }
    }

    /// Queues one, and says which gave way.
    fn queue(book: &mut Book, event: NoticeEvent) -> Option<String> {
        let facts = queued(book, &Everything, vec![Notify::alone(event, "it goes on")]);
        let gone = facts.iter().find_map(|fact| match fact {
            Fact::NoticeFailed { notice, .. } => Some(notice.as_str().to_owned()),
            _ => None,
        });
        book.advance(&Entry { at_ms: 1, facts }).expect("facts that can follow");
        gone
    }

    #[test]
    fn where_too_many_wait_what_can_wait_gives_way_and_what_matters_stays() {
        let mut book = Book::default();
        assert_eq!(queue(&mut book, NoticeEvent::Stuck), None);
        for _ in 1..WAITING_MAX - 1 {
            assert_eq!(queue(&mut book, NoticeEvent::Progress), None);
        }
        assert_eq!(queue(&mut book, NoticeEvent::Paged), None);
        assert_eq!(queue(&mut book, NoticeEvent::Paged).as_deref(), Some("n2"), "the oldest progress, not the oldest");
        for _ in 0..2 * WAITING_MAX {
            assert!(queue(&mut book, NoticeEvent::Failed).is_some());
        }
        let waiting = book.notices().filter(|notice| notice.standing == NoticeStanding::Queued).count();
        assert_eq!(waiting, WAITING_MAX);
    }
}
