//! Who is told of what: `[channels.NAME]`, `[recipients]` and `[[notice]]` in `policies/site.toml`. The kinds of channels are a
//! closed set, and a key that a kind does not use is an error. A secret never stands in a policy: it is named as `file:PATH`
//! (relative to the site) or `env:NAME`, and read when a message is sent.

mod parse;

use crate::{HttpUrl, Name};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt, time::Duration};

pub(crate) use parse::{RawChannel, RawNotice, notices};

/// What a notice tells of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NoticeEvent {
    /// A rollback begins.
    Initiated,
    /// It goes on, or something else is known of the incident.
    Progress,
    /// People are asked.
    ApprovalNeeded,
    /// A person said yes or no: somebody has it.
    Answered,
    /// The rollback is done, and the verdict is Recovered.
    Complete,
    /// The run failed and was taken back, or was refused.
    Failed,
    /// The run is stuck: a person has to put something right.
    Stuck,
    /// It was taken back, and is not well again, or nobody can tell.
    NotRecovered,
    /// An incident is over, in another way than by a rollback that went well.
    Closed,
    /// A story could not be taken back now.
    NotReady,
    /// It could be again.
    Ready,
    /// Users are affected: a text that a person approved.
    UsersAffected,
    /// A person is needed now.
    Paged,
    /// A post-mortem is due.
    PostMortemDue,
}

impl NoticeEvent {
    /// All of them, with the names that policies call them by.
    pub const ALL: [(NoticeEvent, &str); 14] = [
        (NoticeEvent::Initiated, "initiated"),
        (NoticeEvent::Progress, "progress"),
        (NoticeEvent::ApprovalNeeded, "approval-needed"),
        (NoticeEvent::Answered, "answered"),
        (NoticeEvent::Complete, "complete"),
        (NoticeEvent::Failed, "failed"),
        (NoticeEvent::Stuck, "stuck"),
        (NoticeEvent::NotRecovered, "not-recovered"),
        (NoticeEvent::Closed, "closed"),
        (NoticeEvent::NotReady, "not-ready"),
        (NoticeEvent::Ready, "ready"),
        (NoticeEvent::UsersAffected, "users-affected"),
        (NoticeEvent::Paged, "paged"),
        (NoticeEvent::PostMortemDue, "post-mortem-due"),
    ];

    /// What policies call it.
    pub fn name(self) -> &'static str {
        NoticeEvent::ALL.iter().find(|(event, _)| *event == self).map_or("?", |(_, name)| name)
    }
}

impl fmt::Display for NoticeEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Where a secret is read from, when it is needed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// The one line of this file, relative to the site.
    File(String),
    /// This variable of the daemon's environment.
    Env(String),
}

/// Where Slack is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SlackBy {
    /// An incoming webhook: whoever knows its URL may post. It answers with no time stamp, so there are no threads.
    Webhook {
        /// The URL, which is the secret.
        url: SecretSource,
    },
    /// `chat.postMessage`, which answers with the time stamp that a thread hangs on.
    Api {
        /// Its URL.
        url: HttpUrl,
        /// The token of the bot.
        token: SecretSource,
        /// The conversation.
        to: String,
    },
}

/// How a connection to a mail server is kept from others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SmtpTls {
    /// TLS from the first byte (port 465).
    Implicit,
    /// The connection turns to TLS before anything is said (port 587). Without that nothing is sent.
    StartTls,
    /// In the clear: to this machine alone.
    None,
}

/// What a channel is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChannelKind {
    /// PagerDuty, Events API v2.
    PagerDuty {
        /// Where events go.
        url: HttpUrl,
        /// The key of the service's integration.
        routing_key: SecretSource,
    },
    /// Slack.
    Slack(SlackBy),
    /// E-mail.
    Smtp {
        /// The server's name, which its certificate has to bear.
        host: String,
        /// Its port.
        port: u16,
        /// How the connection is kept from others.
        tls: SmtpTls,
        /// The user and the password.
        login: Option<(String, SecretSource)>,
        /// Who the mail is from.
        from: String,
    },
    /// JSON to any URL.
    Webhook {
        /// Where to.
        url: HttpUrl,
        /// Shown as `Authorization: Bearer`.
        token: Option<SecretSource>,
    },
}

impl ChannelKind {
    /// What policies call it.
    pub fn name(&self) -> &'static str {
        match self {
            ChannelKind::PagerDuty { .. } => "pagerduty",
            ChannelKind::Slack(_) => "slack",
            ChannelKind::Smtp { .. } => "smtp",
            ChannelKind::Webhook { .. } => "webhook",
        }
    }
}

/// A channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Channel {
    /// What it is.
    pub kind: ChannelKind,
    /// How long one delivery may take.
    pub timeout: Duration,
    /// How long after it was queued a notice is given up.
    pub give_up: Duration,
    /// A PEM file, relative to the site, of the authorities that its certificate may come from; `None`: the public ones.
    pub authorities: Option<String>,
}

/// Events that a channel is told of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoticeRule {
    /// Which.
    pub events: Vec<NoticeEvent>,
    /// The channel.
    pub channel: Name,
    /// For mail: whom, by their names in `[recipients]`. Empty for other kinds.
    pub recipients: Vec<Name>,
    /// One line, in place of the shipped one.
    pub template: Option<String>,
    /// For mail: a file in `policies/notices/` for the HTML part, in place of the shipped one.
    pub html: Option<String>,
}

/// All that a site's policy says of notices.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NoticesPolicy {
    /// By name.
    pub channels: BTreeMap<Name, Channel>,
    /// Who gets mail: roles or people, with their addresses.
    pub recipients: BTreeMap<Name, Vec<String>>,
    /// What is told to whom, in order; the first that names an event and a channel counts for these.
    pub notices: Vec<NoticeRule>,
}

impl NoticesPolicy {
    /// The secrets that the channels need, with the names of these.
    pub fn secrets(&self) -> impl Iterator<Item = (&Name, &SecretSource)> {
        self.channels.iter().filter_map(|(name, channel)| {
            let secret = match &channel.kind {
                ChannelKind::PagerDuty { routing_key, .. } => Some(routing_key),
                ChannelKind::Slack(SlackBy::Webhook { url }) => Some(url),
                ChannelKind::Slack(SlackBy::Api { token, .. }) => Some(token),
                ChannelKind::Smtp { login, .. } => login.as_ref().map(|(_, password)| password),
                ChannelKind::Webhook { token, .. } => token.as_ref(),
            };
            secret.map(|secret| (name, secret))
        })
    }

    /// What `channel` is told of `event` by.
    pub fn notice(&self, channel: &str, event: NoticeEvent) -> Option<&NoticeRule> {
        self.notices.iter().find(|notice| notice.channel.as_str() == channel && notice.events.contains(&event))
    }
}
