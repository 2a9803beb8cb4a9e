//! Reads the tables of notices.

use super::{Channel, ChannelKind, NoticeEvent, NoticeRule, NoticesPolicy, SecretSource, SlackBy, SmtpTls};
use crate::{
    FileError, HttpUrl, Name,
    tables::{apart, bounded, name, named_file, relative_file},
};
use serde::Deserialize;
use std::{collections::BTreeMap, time::Duration};
use toml::Spanned;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct RawChannel {
    kind: Spanned<String>,
    url: Option<Spanned<String>>,
    routing_key: Option<Spanned<String>>,
    webhook: Option<Spanned<String>>,
    token: Option<Spanned<String>>,
    to: Option<Spanned<String>>,
    host: Option<Spanned<String>>,
    port: Option<Spanned<u16>>,
    tls: Option<Spanned<String>>,
    user: Option<Spanned<String>>,
    password: Option<Spanned<String>>,
    from: Option<Spanned<String>>,
    timeout: Option<Spanned<String>>,
    give_up: Option<Spanned<String>>,
    authorities: Option<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawNotice {
    events: Spanned<Vec<Spanned<String>>>,
    channel: Spanned<String>,
    recipients: Option<Spanned<Vec<Spanned<String>>>>,
    template: Option<Spanned<String>>,
    html: Option<Spanned<String>>,
}

/// The keys that each kind has: those that it needs, and those that it may have. `timeout`, `give-up` and `authorities` all have.
const KINDS: [(&str, &[&str], &[&str]); 4] = [
    ("pagerduty", &["routing-key"], &["url"]),
    ("slack", &[], &["webhook", "url", "token", "to"]),
    ("smtp", &["host", "from"], &["port", "tls", "user", "password"]),
    ("webhook", &["url"], &["token"]),
];

const PAGERDUTY: &str = "https://events.pagerduty.com/v2/enqueue";
const SLACK: &str = "https://slack.com/api/chat.postMessage";
const TIMEOUT: Duration = Duration::from_secs(10);
const TIMEOUTS: std::ops::RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(120);
const GIVE_UP: Duration = Duration::from_secs(24 * 3600);
const GIVE_UPS: std::ops::RangeInclusive<Duration> = Duration::from_secs(60)..=Duration::from_secs(7 * 24 * 3600);
const CHANNELS_MAX: usize = 20;
const ADDRESSES_MAX: usize = 50;
const ADDRESS_BYTES_MAX: usize = 254;
const TEMPLATE_BYTES_MAX: usize = 1000;

/// Who gets the mail that a site's own notices do not speak of: the seed's roles.
const TOLD_BY_MAIL: [&str; 3] = ["dev-team", "product-owner", "support-team"];

/// Reads the three tables.
pub(crate) fn notices(
    channels: &BTreeMap<Spanned<String>, RawChannel>,
    recipients: &BTreeMap<Spanned<String>, Spanned<Vec<Spanned<String>>>>,
    raw: &[Spanned<RawNotice>],
) -> Result<NoticesPolicy, FileError> {
    let mut policy = NoticesPolicy::default();
    apart(channels.keys())?;
    apart(recipients.keys())?;
    for (key, list) in recipients {
        policy.recipients.insert(name(key)?, addresses(list)?);
    }
    for (key, channel) in channels {
        if policy.channels.len() == CHANNELS_MAX {
            return Err(FileError::at(key.span(), format!("at most {CHANNELS_MAX} channels")));
        }
        policy.channels.insert(name(key)?, channel.parse()?);
    }
    for notice in raw {
        let notice = notice.get_ref().parse(&policy)?;
        policy.notices.push(notice);
    }
    if policy.notices.is_empty() {
        for (key, channel) in channels {
            let told = shipped(&name(key)?, &policy).map_err(|role| {
                FileError::at(channel.kind.span(), format!("this channel mails to the role `{role}`, and nobody is that"))
                    .help(format!("`[recipients]` maps it to addresses: `{role} = [\"name@example.org\"]`; or `[[notice]]` names whom you mean"))
            })?;
            policy.notices.extend(told);
        }
    }
    Ok(policy)
}

/// What a channel is told of where a site has no `[[notice]]`: the seed's three notices, and those that it lacks.
fn shipped(channel: &Name, policy: &NoticesPolicy) -> Result<Vec<NoticeRule>, &'static str> {
    use NoticeEvent as E;
    let all = || E::ALL.iter().map(|(event, _)| *event);
    let told = |events: Vec<E>, recipients: Vec<Name>| NoticeRule {
        events,
        channel: channel.clone(),
        recipients,
        template: None,
        html: None,
    };
    let role = |role: &'static str| {
        let found = policy.recipients.keys().find(|key| key.as_str() == role);
        found.cloned().ok_or(role)
    };
    Ok(match policy.channels.get(channel).map(|channel| &channel.kind) {
        None => Vec::new(),
        // What wakes people, and what lets them sleep again.
        Some(ChannelKind::PagerDuty { .. }) => {
            let left_out = [E::Progress, E::UsersAffected, E::PostMortemDue];
            vec![told(all().filter(|event| !left_out.contains(event)).collect(), Vec::new())]
        }
        Some(ChannelKind::Slack(_)) => {
            vec![told(all().filter(|event| *event != E::UsersAffected).collect(), Vec::new())]
        }
        Some(ChannelKind::Webhook { .. }) => vec![told(all().collect(), Vec::new())],
        Some(ChannelKind::Smtp { .. }) => {
            let [dev, owner, support] = TOLD_BY_MAIL;
            let everybody = vec![role(dev)?, role(owner)?, role(support)?];
            vec![
                told(vec![E::Complete, E::Failed, E::Stuck, E::NotRecovered], everybody),
                told(vec![E::UsersAffected], vec![role(support)?]),
                told(vec![E::ApprovalNeeded, E::Paged, E::PostMortemDue], vec![role(dev)?, role(owner)?]),
            ]
        }
    })
}

fn addresses(list: &Spanned<Vec<Spanned<String>>>) -> Result<Vec<String>, FileError> {
    let mut all: Vec<String> = Vec::new();
    for address in list.get_ref() {
        all.push(self::address(address)?);
    }
    if all.is_empty() || all.len() > ADDRESSES_MAX {
        return Err(FileError::at(list.span(), format!("1 to {ADDRESSES_MAX} addresses stand here")));
    }
    Ok(all)
}

/// `local@domain`; the mail library judges the rest.
fn address(raw: &Spanned<String>) -> Result<String, FileError> {
    let text = raw.get_ref();
    let is_plain = text.len() <= ADDRESS_BYTES_MAX
        && text.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'<' | b'>' | b',' | b';' | b':' | b'"'));
    let parts: Vec<&str> = text.split('@').collect();
    match parts[..] {
        [local, domain] if is_plain && !local.is_empty() && !domain.is_empty() => Ok(text.clone()),
        _ => Err(FileError::at(raw.span(), format!("{text:?} is no mail address such as `name@example.org`"))),
    }
}

fn secret(raw: &Spanned<String>) -> Result<SecretSource, FileError> {
    let text = raw.get_ref();
    let is_name = |name: &str| {
        !name.is_empty()
            && !name.starts_with(|c: char| c.is_ascii_digit())
            && name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
    };
    if let Some(path) = named_file(text) {
        return Ok(SecretSource::File(path.to_owned()));
    }
    match text.strip_prefix("env:") {
        Some(name) if is_name(name) => Ok(SecretSource::Env(name.to_owned())),
        _ => Err(FileError::at(
            raw.span(),
            "a secret does not stand in a policy: it is named as `file:PATH` or `env:NAME`",
        )
        .help("a file is relative to the site, mode 0600, with one line; a variable is in capitals")),
    }
}

/// Messages go over TLS, or to this machine.
fn url(raw: &Spanned<String>) -> Result<HttpUrl, FileError> {
    let url = HttpUrl::parse(raw.get_ref()).map_err(|e| FileError::at(raw.span(), e))?;
    if url.is_tls() || url.is_loopback() {
        return Ok(url);
    }
    Err(FileError::at(raw.span(), "notices leave this machine over https alone"))
}

fn shipped_url(text: &'static str, at: &Spanned<String>) -> Result<HttpUrl, FileError> {
    HttpUrl::parse(text).map_err(|e| FileError::at(at.span(), e))
}

impl RawChannel {
    fn parse(&self) -> Result<Channel, FileError> {
        self.keys_fit()?;
        Ok(Channel {
            kind: self.kind()?,
            timeout: bounded(self.timeout.as_ref(), TIMEOUT, TIMEOUTS)?,
            give_up: bounded(self.give_up.as_ref(), GIVE_UP, GIVE_UPS)?,
            authorities: self.authorities.as_ref().map(relative_file).transpose()?,
        })
    }

    /// The keys that are there, with their places.
    fn keys(&self) -> Vec<(&'static str, std::ops::Range<usize>)> {
        let text = [
            ("url", &self.url),
            ("routing-key", &self.routing_key),
            ("webhook", &self.webhook),
            ("token", &self.token),
            ("to", &self.to),
            ("host", &self.host),
            ("tls", &self.tls),
            ("user", &self.user),
            ("password", &self.password),
            ("from", &self.from),
        ];
        let text = text.iter().filter_map(|(key, value)| value.as_ref().map(|value| (*key, value.span())));
        text.chain(self.port.as_ref().map(|port| ("port", port.span()))).collect()
    }

    fn keys_fit(&self) -> Result<(), FileError> {
        let kind = self.kind.get_ref().as_str();
        let Some((_, needed, allowed)) = KINDS.iter().find(|(name, ..)| *name == kind) else {
            let kinds = KINDS.iter().map(|(name, ..)| format!("`{name}`")).collect::<Vec<_>>().join(", ");
            return Err(FileError::at(self.kind.span(), format!("unknown kind of channel {kind:?}"))
                .help(format!("the kinds of this version: {kinds}")));
        };
        let keys = self.keys();
        if let Some((key, span)) = keys.iter().find(|(key, _)| !needed.contains(key) && !allowed.contains(key)) {
            return Err(FileError::at(span.clone(), format!("a channel of the kind `{kind}` has no `{key}`")));
        }
        if let Some(key) = needed.iter().find(|needed| !keys.iter().any(|(key, _)| key == *needed)) {
            return Err(FileError::at(self.kind.span(), format!("a channel of the kind `{kind}` needs `{key}`")));
        }
        Ok(())
    }

    fn kind(&self) -> Result<ChannelKind, FileError> {
        let wanted = |key: &str| FileError::at(self.kind.span(), format!("this channel needs `{key}`"));
        match (self.kind.get_ref().as_str(), &self.url, &self.routing_key) {
            ("pagerduty", at, Some(key)) => Ok(ChannelKind::PagerDuty {
                url: at.as_ref().map_or_else(|| shipped_url(PAGERDUTY, key), url)?,
                routing_key: secret(key)?,
            }),
            ("slack", ..) => self.slack().map(ChannelKind::Slack),
            ("webhook", Some(at), _) => {
                Ok(ChannelKind::Webhook { url: url(at)?, token: self.token.as_ref().map(secret).transpose()? })
            }
            ("smtp", ..) => self.smtp(),
            (_, None, _) => Err(wanted("url")),
            (_, _, None) => Err(wanted("routing-key")),
            _ => Err(wanted("kind")),
        }
    }

    fn slack(&self) -> Result<SlackBy, FileError> {
        match (&self.webhook, &self.token, &self.to) {
            (Some(webhook), None, None) => match &self.url {
                None => Ok(SlackBy::Webhook { url: secret(webhook)? }),
                Some(url) => {
                    Err(FileError::at(url.span(), "the secret that `webhook` names is the URL: no `url` stands here"))
                }
            },
            (None, Some(token), Some(to)) => {
                let name = to.get_ref();
                if name.is_empty() || name.len() > 100 || name.chars().any(|c| c.is_control() || c.is_whitespace()) {
                    return Err(FileError::at(to.span(), "`to` is a conversation, such as `#rollbacks` or its id"));
                }
                Ok(SlackBy::Api {
                    url: self.url.as_ref().map_or_else(|| shipped_url(SLACK, token), url)?,
                    token: secret(token)?,
                    to: name.clone(),
                })
            }
            _ => Err(FileError::at(
                self.kind.span(),
                "Slack is told by its API, with `token` and `to`, or by an incoming `webhook`",
            )
            .help("only the API answers with what a thread hangs on")),
        }
    }

    fn smtp(&self) -> Result<ChannelKind, FileError> {
        let (Some(host), Some(from)) = (&self.host, &self.from) else {
            return Err(FileError::at(self.kind.span(), "mail needs `host` and `from`"));
        };
        let name = host.get_ref();
        let is_host = !name.is_empty()
            && name.len() <= 253
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.:".contains(&b));
        if !is_host {
            return Err(FileError::at(host.span(), format!("{name:?} is the name of no mail server")));
        }
        let tls = match self.tls.as_ref().map(|tls| (tls, tls.get_ref().as_str())) {
            None | Some((_, "starttls")) => SmtpTls::StartTls,
            Some((_, "implicit")) => SmtpTls::Implicit,
            Some((_, "none")) if matches!(name.as_str(), "127.0.0.1" | "::1" | "localhost") => SmtpTls::None,
            Some((tls, "none")) => return Err(FileError::at(tls.span(), "mail leaves this machine over TLS alone")),
            Some((tls, _)) => {
                return Err(FileError::at(tls.span(), "`tls` is `starttls`, `implicit` or, on this machine, `none`"));
            }
        };
        let login = match (&self.user, &self.password) {
            (None, None) => None,
            (Some(user), Some(password)) => Some((user.get_ref().clone(), secret(password)?)),
            (Some(one), None) | (None, Some(one)) => {
                return Err(FileError::at(one.span(), "`user` and `password` stand together"));
            }
        };
        let standard = match tls {
            SmtpTls::Implicit => 465,
            SmtpTls::StartTls => 587,
            SmtpTls::None => 25,
        };
        let port = self.port.as_ref().map_or(standard, |port| *port.get_ref());
        if port == 0 {
            return Err(FileError::at(self.kind.span(), "a port is 1 to 65535"));
        }
        Ok(ChannelKind::Smtp { host: name.clone(), port, tls, login, from: address(from)? })
    }
}

impl RawNotice {
    fn parse(&self, policy: &NoticesPolicy) -> Result<NoticeRule, FileError> {
        let Some((channel, told)) = policy.channels.iter().find(|(name, _)| name.as_str() == self.channel.get_ref())
        else {
            return Err(FileError::at(
                self.channel.span(),
                format!("there is no channel {:?}", self.channel.get_ref()),
            )
            .help("`[channels.NAME]` is one"));
        };
        let is_mail = matches!(told.kind, ChannelKind::Smtp { .. });
        if let (Some(html), false) = (&self.html, is_mail) {
            return Err(FileError::at(html.span(), "only mail has an HTML part"));
        }
        let html = self.html.as_ref().map(html).transpose()?;
        let template = self.template.as_ref().map(template).transpose()?;
        Ok(NoticeRule {
            events: self.events(policy, channel)?,
            channel: channel.clone(),
            recipients: self.recipients(policy, is_mail)?,
            template,
            html,
        })
    }

    fn events(&self, policy: &NoticesPolicy, channel: &Name) -> Result<Vec<NoticeEvent>, FileError> {
        let mut events = Vec::new();
        for event in self.events.get_ref() {
            let Some((found, _)) = NoticeEvent::ALL.iter().find(|(_, name)| *name == event.get_ref()) else {
                let names = NoticeEvent::ALL.map(|(_, name)| name).join(", ");
                return Err(FileError::at(event.span(), format!("there is no event {:?}", event.get_ref()))
                    .help(format!("there are: {names}")));
            };
            if events.contains(found) || policy.notice(channel.as_str(), *found).is_some() {
                let message = format!("`{channel}` is told of {found} already: once is enough");
                return Err(FileError::at(event.span(), message));
            }
            events.push(*found);
        }
        if events.is_empty() {
            return Err(FileError::at(self.events.span(), "a notice is of one event or more"));
        }
        Ok(events)
    }

    fn recipients(&self, policy: &NoticesPolicy, is_mail: bool) -> Result<Vec<Name>, FileError> {
        let raw = match (&self.recipients, is_mail) {
            (None, false) => return Ok(Vec::new()),
            (Some(raw), false) => return Err(FileError::at(raw.span(), "only mail has recipients")),
            (None, true) => return Err(FileError::at(self.channel.span(), "mail needs `recipients`")),
            (Some(raw), true) => raw,
        };
        let mut all = Vec::new();
        for role in raw.get_ref() {
            let Some((known, _)) = policy.recipients.iter().find(|(name, _)| name.as_str() == role.get_ref()) else {
                let message = format!("nobody is the role {:?}", role.get_ref());
                return Err(FileError::at(role.span(), message).help("`[recipients]` maps it to addresses"));
            };
            if all.contains(known) {
                return Err(FileError::at(role.span(), format!("`{known}` stands here twice")));
            }
            all.push(known.clone());
        }
        if all.is_empty() {
            return Err(FileError::at(raw.span(), "mail goes to one recipient or more"));
        }
        Ok(all)
    }
}

/// A file's name in `policies/notices/`.
fn html(raw: &Spanned<String>) -> Result<String, FileError> {
    let file = raw.get_ref();
    let is_plain = file.ends_with(".html")
        && !file.starts_with('.')
        && file.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    if is_plain {
        return Ok(file.clone());
    }
    Err(FileError::at(raw.span(), "`html` is a file in policies/notices/, such as `rollback_complete_email.html`"))
}

fn template(raw: &Spanned<String>) -> Result<String, FileError> {
    let text = raw.get_ref();
    if text.trim().is_empty() || text.len() > TEMPLATE_BYTES_MAX || text.chars().any(char::is_control) {
        return Err(FileError::at(raw.span(), format!("a template is one line of 1 to {TEMPLATE_BYTES_MAX} bytes")));
    }
    Ok(text.clone())
}
