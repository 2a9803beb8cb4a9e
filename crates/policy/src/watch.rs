//! `[watch]` in `policies/site.toml`: how the daemon runs.

use crate::{
    FileError, HttpUrl,
    tables::{bounded, named_file},
};
use core::net::SocketAddr;
use serde::Deserialize;
use std::time::Duration;
use toml::Spanned;

/// How the daemon runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchPolicy {
    /// Where it listens.
    pub listen: SocketAddr,
    /// How people reach that address: what one-time links begin with. `None`: no links are made.
    pub links: Option<String>,
    /// Who one-time links are made for: each gets one of their own.
    pub approvers: Vec<String>,
    /// The file, relative to the site, of the secret that whoever pushes samples shows. `None`: nobody can.
    pub samples_token: Option<String>,
    /// The same for Alertmanager.
    pub alerts_token: Option<String>,
    /// How much later than others a sample may come before it is left out.
    pub lateness: Duration,
    /// How often every story is planned to see that it could be taken back.
    pub ready_every: Duration,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct RawWatch {
    listen: Option<Spanned<String>>,
    links: Option<Spanned<String>>,
    approvers: Option<Spanned<Vec<Spanned<String>>>>,
    samples_token: Option<Spanned<String>>,
    alerts_token: Option<Spanned<String>>,
    lateness: Option<Spanned<String>>,
    ready_every: Option<Spanned<String>>,
}

impl Default for WatchPolicy {
    fn default() -> WatchPolicy {
        WatchPolicy {
            listen: SocketAddr::from(([127, 0, 0, 1], 9465)),
            links: None,
            approvers: Vec::new(),
            samples_token: None,
            alerts_token: None,
            lateness: Duration::from_secs(10),
            ready_every: Duration::from_secs(24 * 3600),
        }
    }
}

/// A sample that is still later says nothing about now.
const LATENESS_MAX: Duration = Duration::from_secs(10 * 60);
const READY_EVERY: std::ops::RangeInclusive<Duration> = Duration::from_secs(60)..=Duration::from_secs(7 * 24 * 3600);
const APPROVERS_MAX: usize = 20;

impl RawWatch {
    pub(crate) fn parse(&self) -> Result<WatchPolicy, FileError> {
        let standard = WatchPolicy::default();
        let links = self.links.as_ref().map(links).transpose()?;
        if let (Some(approvers), None) = (&self.approvers, &links) {
            return Err(FileError::at(
                approvers.span(),
                "approvers get one-time links, and there are none without `links`",
            )
            .help("`links = \"https://…\"` says how people reach the daemon"));
        }
        Ok(WatchPolicy {
            listen: self.listen.as_ref().map_or(Ok(standard.listen), listen)?,
            links,
            approvers: self.approvers.as_ref().map_or(Ok(Vec::new()), approvers)?,
            samples_token: self.samples_token.as_ref().map(secret).transpose()?,
            alerts_token: self.alerts_token.as_ref().map(secret).transpose()?,
            lateness: bounded(self.lateness.as_ref(), standard.lateness, Duration::from_millis(1)..=LATENESS_MAX)?,
            ready_every: bounded(self.ready_every.as_ref(), standard.ready_every, READY_EVERY)?,
        })
    }
}

fn listen(raw: &Spanned<String>) -> Result<SocketAddr, FileError> {
    raw.get_ref().parse().map_err(|_| {
        FileError::at(raw.span(), "`listen` is an address and a port, such as `127.0.0.1:9465`")
            .help("port 0 takes a free one, which `.unship/watch/listen` then names")
    })
}

/// A secret stands in a file, never in a policy's text.
fn secret(raw: &Spanned<String>) -> Result<String, FileError> {
    named_file(raw.get_ref()).map(str::to_owned).ok_or_else(|| {
        FileError::at(raw.span(), "a secret stands in a file of the site, and is named `file:PATH`")
            .help("such as `file:run/samples.token`, mode 0600, with one line")
    })
}

/// A token follows it, so it ends where the path begins.
fn links(raw: &Spanned<String>) -> Result<String, FileError> {
    let text = raw.get_ref().trim_end_matches('/');
    let is_plain = !text.contains(['?', '#']);
    match HttpUrl::parse(text) {
        Ok(_) if is_plain => Ok(text.to_owned()),
        Ok(_) => Err(FileError::at(raw.span(), "a token follows it: no query stands here")),
        Err(e) => Err(FileError::at(raw.span(), e)),
    }
}

fn approvers(raw: &Spanned<Vec<Spanned<String>>>) -> Result<Vec<String>, FileError> {
    let mut people: Vec<String> = Vec::new();
    for person in raw.get_ref() {
        if person.get_ref().is_empty() || people.contains(person.get_ref()) {
            return Err(FileError::at(person.span(), "each approver is named once, as `owner` in policies/trust.toml"));
        }
        people.push(person.get_ref().clone());
    }
    if people.len() > APPROVERS_MAX {
        return Err(FileError::at(raw.span(), format!("at most {APPROVERS_MAX} approvers")));
    }
    Ok(people)
}
