//! The couriers: a thread for each channel, which delivers what the book has queued there, in order. What cannot be delivered
//! now is tried again, later and later; what is refused for good, or is too old, is given up, and other channels are told.

use super::{
    Notices, Notify, body,
    mail::{Mail, Relay},
    post::{Post, Refused, authorities},
    queued,
    secret::Secret,
    told::Told,
};
use crate::{book::WatchBook, clock::WatchClock, links};
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};
use unship_policy::{Channel, ChannelKind, Name, NoticeRule, SecretSource, SlackBy};
use unship_rollback::incident::{Book, Fact, Link, Notice, NoticeEvent, NoticeStanding};

/// How long a courier sleeps at most.
const TICK: Duration = Duration::from_millis(500);
/// The first wait after a failure; each later one is twice as long, up to the last.
const BACKOFF_MS: u64 = 1000;
const BACKOFF_MS_MAX: u64 = 300_000;
/// What a receiver asks for counts up to this.
const RETRY_AFTER_MS_MAX: u64 = 3_600_000;
/// After so many failures in a row, other channels are told that this one fails.
const FAILURES_TOLD: u32 = 3;
/// How long couriers go on delivering while the daemon ends.
const LAST_WORDS: Duration = Duration::from_secs(10);
/// Begins the dedup key of notices about a channel: none follows from their failure.
const ABOUT_CHANNEL: &str = "channel/";
/// Begins the answer that a thread of Slack's hangs on.
const THREAD: &str = "thread ";

struct Shared {
    book: WatchBook,
    clock: Arc<dyn WatchClock>,
    site: PathBuf,
    name: String,
    notices: RwLock<Arc<Notices>>,
    is_over: AtomicBool,
}

/// See the module.
pub struct Couriers {
    shared: Arc<Shared>,
    threads: Mutex<Vec<(String, JoinHandle<()>)>>,
}

impl Couriers {
    /// Begins to deliver. `site`: its folder, which secrets' files are relative to; `name`: what people call it.
    ///
    /// # Errors
    /// The system has no threads for it.
    pub fn start(
        book: WatchBook,
        clock: Arc<dyn WatchClock>,
        site: &Path,
        name: &str,
        notices: Arc<Notices>,
    ) -> std::io::Result<Couriers> {
        let (site, name) = (site.to_owned(), name.to_owned());
        let notices = RwLock::new(notices);
        let shared = Arc::new(Shared { book, clock, site, name, notices, is_over: AtomicBool::new(false) });
        let couriers = Couriers { shared, threads: Mutex::default() };
        couriers.begin()?;
        Ok(couriers)
    }

    /// A thread for each channel that has none: of the policy, and of notices that wait for one that is gone.
    fn begin(&self) -> std::io::Result<()> {
        let mut wanted: BTreeSet<String> = self.shared.notices().policy.channels.keys().map(Name::to_string).collect();
        let is_waiting = |n: &&Notice| n.standing == NoticeStanding::Queued;
        wanted.extend(
            self.shared.book.read(|book| {
                book.notices().filter(is_waiting).map(|notice| notice.channel.clone()).collect::<Vec<_>>()
            }),
        );
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        threads.retain(|(_, thread)| !thread.is_finished());
        for channel in wanted {
            if threads.iter().any(|(name, _)| *name == channel) {
                continue;
            }
            let courier = Courier::new(self.shared.clone(), channel.clone());
            let thread = thread::Builder::new().name(format!("notices {channel}")).spawn(move || courier.run())?;
            threads.push((channel, thread));
        }
        Ok(())
    }

    /// The policies were read anew.
    ///
    /// # Errors
    /// As [`Couriers::start`].
    pub fn reload(&self, notices: Arc<Notices>) -> std::io::Result<()> {
        *self.shared.notices.write().unwrap_or_else(PoisonError::into_inner) = notices;
        self.shared.book.wake();
        self.begin()
    }

    /// Delivers what can be delivered at once, and ends. What waits is in the book, for the next daemon.
    pub fn stop(&self) {
        self.shared.is_over.store(true, Ordering::SeqCst);
        self.shared.book.wake();
        let began = Instant::now();
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        while began.elapsed() < LAST_WORDS && threads.iter().any(|(_, thread)| !thread.is_finished()) {
            self.shared.book.wait(Duration::from_millis(20));
        }
    }
}

impl Shared {
    fn notices(&self) -> Arc<Notices> {
        self.notices.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn secret(&self, source: &SecretSource) -> Result<Secret, Refused> {
        Secret::read(source, &self.site).map_err(Refused::later)
    }
}

/// A notice in hand.
struct Job {
    notice: Notice,
    told: Told,
    /// What its thread hangs on.
    thread: Option<String>,
    /// The links of those who may say yes or no now.
    links: Vec<(String, unship_policy::Digest)>,
}

/// One channel.
struct Courier {
    shared: Arc<Shared>,
    channel: String,
    /// Failures in a row.
    failures: u32,
    not_before_ms: u64,
    /// Of the notice in hand: how often it was tried, and who has it.
    attempts: u32,
    has_it: BTreeSet<String>,
}

/// What can be said yes or no to by link.
fn open_links(book: &Book, notice: &Notice, now_ms: u64) -> Vec<(String, unship_policy::Digest)> {
    if !matches!(notice.event, NoticeEvent::ApprovalNeeded | NoticeEvent::Paged | NoticeEvent::Progress) {
        return Vec::new();
    }
    let Some(incident) = notice.incident.as_ref().and_then(|id| book.incident(id)) else { return Vec::new() };
    let works = |link: &Link| !link.is_used && link.expires_ms > now_ms && incident.plan == Some(link.digest);
    incident.links.iter().filter(|(_, link)| works(link)).map(|(token, link)| (link.person.clone(), *token)).collect()
}

fn next(book: &Book, channel: &str, site: &str, now_ms: u64) -> Option<Job> {
    let mine = || book.notices().filter(|notice| notice.channel == channel);
    let notice = mine().find(|notice| notice.standing == NoticeStanding::Queued)?.clone();
    let thread = mine().filter(|other| other.dedup == notice.dedup).find_map(|other| match &other.standing {
        NoticeStanding::Delivered { answer } => answer.strip_prefix(THREAD).map(str::to_owned),
        NoticeStanding::Queued | NoticeStanding::Failed { .. } => None,
    });
    let (told, links) = (Told::of(book, site, &notice), open_links(book, &notice, now_ms));
    Some(Job { notice, told, thread, links })
}

impl Courier {
    fn new(shared: Arc<Shared>, channel: String) -> Courier {
        Courier { shared, channel, failures: 0, not_before_ms: 0, attempts: 0, has_it: BTreeSet::new() }
    }

    fn run(mut self) {
        loop {
            let (book, is_over) = (self.shared.book.clone(), self.shared.is_over.load(Ordering::SeqCst));
            let now_ms = self.shared.clock.now_ms();
            let is_gone = !self.shared.notices().policy.channels.keys().any(|name| name.as_str() == self.channel);
            let Some(job) = book.read(|book| next(book, &self.channel, &self.shared.name, now_ms)) else {
                if is_over || is_gone {
                    return;
                }
                let mine = |n: &Notice| n.channel == self.channel && n.standing == NoticeStanding::Queued;
                book.wait_until(TICK, |book| book.notices().rev().any(&mine));
                continue;
            };
            if now_ms < self.not_before_ms {
                if is_over {
                    return;
                }
                book.wait(TICK.min(Duration::from_millis(self.not_before_ms - now_ms)));
                continue;
            }
            self.attempts += 1;
            let refused = match self.deliver(&job) {
                Ok(answer) => {
                    self.failures = 0;
                    if !self.settled(vec![Fact::NoticeDelivered { notice: job.notice.id.clone(), answer }]) {
                        return;
                    }
                    continue;
                }
                Err(refused) => refused,
            };
            if !self.take_refusal(&job, refused) || is_over {
                return;
            }
        }
    }

    /// The notice in hand is dealt with. `false`: the book cannot be written.
    fn settled(&mut self, facts: Vec<Fact>) -> bool {
        self.attempts = 0;
        self.has_it.clear();
        self.not_before_ms = 0;
        let again = format!("channel {} delivers again", self.channel);
        let others = self.is_told().then_some((NoticeEvent::Closed, again));
        self.write(facts, others)
    }

    /// What notices about this channel belong to.
    fn thread(&self) -> String {
        format!("{ABOUT_CHANNEL}{}", self.channel)
    }

    /// Whether the last that others were told of this channel is that it fails.
    fn is_told(&self) -> bool {
        let thread = self.thread();
        let fails =
            |book: &Book| book.notices().rev().find(|n| n.dedup == thread).map(|n| n.event == NoticeEvent::Paged);
        self.shared.book.read(fails).unwrap_or(false)
    }

    /// Facts, and what other channels are told with them.
    fn write(&self, facts: Vec<Fact>, others: Option<(NoticeEvent, String)>) -> bool {
        let notices = self.shared.notices();
        let written = self.shared.book.append_made(self.shared.clock.now_ms(), |book| {
            let tell = |(event, detail)| Notify::alone(event, detail).in_thread(self.thread()).but_not(&self.channel);
            let told = queued(book, &*notices, others.map(tell).into_iter().collect());
            facts.into_iter().chain(told).collect()
        });
        if let Err(e) = &written {
            tracing::error!(channel = self.channel, error = %e, "what became of a notice cannot be written");
        }
        written.is_ok()
    }

    /// `false`: the book cannot be written.
    fn take_refusal(&mut self, job: &Job, refused: Refused) -> bool {
        let now_ms = self.shared.clock.now_ms();
        let notices = self.shared.notices();
        let channel = notices.policy.channels.iter().find(|(name, _)| name.as_str() == self.channel);
        let give_up_ms = channel.map_or(0, |(_, c)| u64::try_from(c.give_up.as_millis()).unwrap_or(u64::MAX));
        let is_old = now_ms >= job.notice.queued_ms.saturating_add(give_up_ms);
        self.failures = self.failures.saturating_add(1);
        let (why, after) = match refused {
            Refused::Never(why) => (why, None),
            Refused::Later { why, .. } if is_old => (why, None),
            Refused::Later { why, after } => (why, Some(after)),
        };
        let is_about_channel = job.notice.dedup.starts_with(ABOUT_CHANNEL);
        let Some(after) = after else {
            let (notice, event) = (job.notice.id.clone(), job.notice.event);
            tracing::error!(channel = self.channel, notice = %notice, why, "a notice was given up");
            let others = (!is_about_channel).then(|| {
                (NoticeEvent::Paged, format!("channel {}: notice {notice} ({event}) was given up: {why}", self.channel))
            });
            let failed = Fact::NoticeFailed { notice, reason: why, attempts: self.attempts };
            self.attempts = 0;
            self.has_it.clear();
            return self.write(vec![failed], others);
        };
        tracing::warn!(channel = self.channel, notice = %job.notice.id, failures = self.failures, why, "a notice waits");
        self.not_before_ms = now_ms.saturating_add(wait_ms(self.failures, after));
        if self.failures >= FAILURES_TOLD && !is_about_channel && !self.is_told() {
            let detail = format!("channel {} fails, and notices wait there: {why}", self.channel);
            return self.write(Vec::new(), Some((NoticeEvent::Paged, detail)));
        }
        true
    }

    fn deliver(&mut self, job: &Job) -> Result<String, Refused> {
        let notices = self.shared.notices();
        let Some((_, channel)) = notices.policy.channels.iter().find(|(name, _)| name.as_str() == self.channel) else {
            return Err(Refused::Never(format!("the policies have no channel {} any more", self.channel)));
        };
        let event = job.notice.event;
        let rule = notices.policy.notice(&self.channel, event);
        let line = notices.words.line(rule, event, &job.told);
        let line = line.map_err(|e| Refused::Never(e.to_string()))?;
        let authorities = authorities(&self.shared.site, channel.authorities.as_deref()).map_err(Refused::later)?;
        let pem = authorities.as_deref();
        match &channel.kind {
            ChannelKind::PagerDuty { url, routing_key } => {
                let key = self.shared.secret(routing_key)?;
                let body = body::pagerduty(key.text(), event, &line, &job.told);
                let sent = self.post(job, channel, &url.to_string(), None, &body, pem);
                sent.map(|_| "taken".to_owned()).map_err(|refused| without(&key, refused))
            }
            ChannelKind::Slack(SlackBy::Webhook { url }) => {
                let url = self.shared.secret(url)?;
                let body = body::slack(None, None, &line, &job.told);
                let sent = self.post(job, channel, url.text(), None, &body, pem);
                sent.map(|_| "taken".to_owned()).map_err(|refused| without(&url, refused))
            }
            ChannelKind::Slack(SlackBy::Api { url, token, to }) => {
                let token = self.shared.secret(token)?;
                let body = body::slack(Some(to), job.thread.as_deref(), &line, &job.told);
                slack_answer(&self.post(job, channel, &url.to_string(), Some(&token), &body, pem)?)
            }
            ChannelKind::Webhook { url, token } => {
                let token = token.as_ref().map(|token| self.shared.secret(token)).transpose()?;
                let body = body::webhook(&line, &job.told);
                self.post(job, channel, &url.to_string(), token.as_ref(), &body, pem).map(|_| "taken".to_owned())
            }
            ChannelKind::Smtp { host, port, tls, login, from } => {
                let password = login.as_ref().map(|(_, password)| self.shared.secret(password)).transpose()?;
                let login =
                    login.as_ref().zip(password.as_ref()).map(|((user, _), password)| (user.as_str(), password));
                let relay =
                    Relay { host, port: *port, tls: *tls, login, from, timeout: channel.timeout, authorities: pem };
                self.mail(job, &notices, &relay, &line)
            }
        }
    }

    fn post(
        &self,
        job: &Job,
        channel: &Channel,
        url: &str,
        bearer: Option<&Secret>,
        body: &serde_json::Value,
        authorities: Option<&[u8]>,
    ) -> Result<Vec<u8>, Refused> {
        let idempotency_key = format!("{}/{}", job.notice.dedup, job.notice.id);
        let shown = channel.kind.name();
        let timeout = channel.timeout;
        Post { shown, url, bearer, idempotency_key: &idempotency_key, body, timeout, authorities }.send()
    }

    /// A mail to each address. Those who have it do not get it again when another one has to wait; whoever may say yes or no by
    /// a link gets their own, and nobody else's.
    fn mail(&mut self, job: &Job, notices: &Notices, relay: &Relay<'_>, line: &str) -> Result<String, Refused> {
        let event = job.notice.event;
        let mut refused = None;
        let mut given_up = Vec::new();
        let rule = notices.policy.notice(&self.channel, event);
        for (role, address) in addresses(notices, rule, job) {
            if self.has_it.contains(&address) {
                continue;
            }
            let mut told = job.told.clone();
            told.link = self.link(job, notices, &role);
            let words = &notices.words;
            let text = words.text(&told).map_err(|e| Refused::Never(e.to_string()))?;
            let html = words.html(rule, event, &told);
            let html = html.map_err(|e| Refused::Never(e.to_string()))?;
            let (at_ms, site) = (job.notice.queued_ms, self.shared.name.as_str());
            let (notice, dedup) = (job.notice.id.as_str(), job.notice.dedup.as_str());
            match relay.send(&Mail { to: &address, subject: line, text, html, at_ms, site, notice, dedup }) {
                Ok(()) => {
                    self.has_it.insert(address);
                }
                // One address that is none keeps nobody else from theirs.
                Err(Refused::Never(why)) => {
                    self.has_it.insert(address);
                    given_up.push(why);
                }
                Err(later) => {
                    refused = Some(later);
                    break;
                }
            }
        }
        match (refused, given_up.is_empty()) {
            (Some(later), _) => Err(later),
            (None, false) => Err(Refused::Never(given_up.join("; "))),
            (None, true) => Ok(format!("mailed to {}", self.has_it.len())),
        }
    }

    fn link(&self, job: &Job, notices: &Notices, person: &str) -> String {
        let token = job.links.iter().find(|(owner, _)| owner == person);
        let token = token.and_then(|(_, link)| links::token(self.shared.book.store(), link).ok().flatten());
        match (&notices.links, token) {
            (Some(base), Some(token)) => format!("{base}/v1/link/{token}"),
            _ => String::new(),
        }
    }
}

/// Who gets a mail: the recipients of its rule, and whoever has a link of their own; by role or person, each address once.
fn addresses(notices: &Notices, rule: Option<&NoticeRule>, job: &Job) -> Vec<(String, String)> {
    let roles = rule.map(|rule| rule.recipients.iter().map(Name::to_string).collect::<Vec<_>>()).unwrap_or_default();
    // People with links first: an address that is listed under a role as well gets the mail with the link.
    let people = job.links.iter().map(|(person, _)| person.clone());
    let mut all: Vec<(String, String)> = Vec::new();
    for role in people.chain(roles) {
        let found = notices.policy.recipients.iter().find(|(name, _)| name.as_str() == role);
        for address in found.map(|(_, addresses)| addresses.as_slice()).unwrap_or_default() {
            if !all.iter().any(|(_, known)| known == address) {
                all.push((role.clone(), address.clone()));
            }
        }
    }
    all
}

fn without(secret: &Secret, refused: Refused) -> Refused {
    match refused {
        Refused::Never(why) => Refused::Never(secret.out_of(&why)),
        Refused::Later { why, after } => Refused::Later { why: secret.out_of(&why), after },
    }
}

/// Slack says 200 and then whether it is so.
fn slack_answer(body: &[u8]) -> Result<String, Refused> {
    #[derive(serde::Deserialize)]
    struct Answer {
        ok: bool,
        ts: Option<String>,
        error: Option<String>,
    }
    let answer: Answer = serde_json::from_slice(body)
        .map_err(|_| Refused::later("slack answers something that is none of its answers"))?;
    if answer.ok {
        let ts = answer.ts.filter(|ts| ts.len() <= 40 && ts.bytes().all(|b| b.is_ascii_digit() || b == b'.'));
        return Ok(ts.map_or_else(|| "taken".to_owned(), |ts| format!("{THREAD}{ts}")));
    }
    let error = unship_rollback::neutralise(answer.error.as_deref().unwrap_or("?"));
    let why = format!("slack says no: {error}");
    let is_final = matches!(error.as_str(), "msg_too_long" | "no_text" | "invalid_blocks" | "invalid_blocks_format");
    Err(if is_final { Refused::Never(why) } else { Refused::later(why) })
}

/// How long to wait after so many failures: somewhere between half of the wait and all of it, so that those who failed together do
/// not come back together; at least as long as the receiver asks for.
fn wait_ms(failures: u32, asked: Option<Duration>) -> u64 {
    let doubled = BACKOFF_MS.saturating_mul(1 << failures.saturating_sub(1).min(20)).min(BACKOFF_MS_MAX);
    let half = doubled / 2;
    let jitter = u64::from(getrandom::u32().unwrap_or(0)) % (half + 1);
    let asked = asked.map_or(0, |asked| u64::try_from(asked.as_millis()).unwrap_or(u64::MAX));
    (half + jitter).max(asked.min(RETRY_AFTER_MS_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_to_an_end_and_honour_what_is_asked_for() {
        for failures in 1..40 {
            let most = (BACKOFF_MS << (failures - 1).min(20)).min(BACKOFF_MS_MAX);
            for _ in 0..20 {
                let wait = wait_ms(failures, None);
                assert!(wait >= most / 2 && wait <= most, "{failures}: {wait}");
            }
        }
        assert!(wait_ms(1, Some(Duration::from_secs(90))) >= 90_000);
        assert_eq!(wait_ms(1, Some(Duration::MAX)), RETRY_AFTER_MS_MAX);
    }

    #[test]
    fn slack_says_whether_it_is_so_in_the_body() {
        assert_eq!(slack_answer(br#"{"ok":true,"ts":"1700000000.000100"}"#), Ok("thread 1700000000.000100".to_owned()));
        assert_eq!(slack_answer(br#"{"ok":true,"ts":"not a stamp"}"#), Ok("taken".to_owned()));
        assert!(matches!(slack_answer(br#"{"ok":false,"error":"msg_too_long"}"#), Err(Refused::Never(_))));
        for later in [&br#"{"ok":false,"error":"ratelimited"}"#[..], br#"{"ok":false}"#, b"ok", b"", b"{}"] {
            assert!(matches!(slack_answer(later), Err(Refused::Later { .. })), "{later:?}");
        }
    }
}
