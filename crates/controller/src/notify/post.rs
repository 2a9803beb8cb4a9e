//! Notices over HTTP: one POST, one deadline over all of it, no redirect followed, a bounded answer.

use super::secret::Secret;
use crate::http;
use serde_json::Value;
use std::{fs, io::Read as _, path::Path, time::Duration};
use unship_rollback::neutralise;
use ureq::{
    Agent,
    http::header::RETRY_AFTER,
    tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem},
};

/// Bytes of an answer that are read.
const ANSWER_BYTES_MAX: u64 = 64 << 10;
/// Characters of an answer that are told.
const SHOWN_CHARS_MAX: usize = 200;
/// Bytes of a file of authorities.
const AUTHORITIES_BYTES_MAX: u64 = 1 << 20;

/// Why a notice was not delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refused {
    /// It is tried again, and not before so long.
    Later { why: String, after: Option<Duration> },
    /// The message itself is refused: it is given up.
    Never(String),
}

impl Refused {
    pub fn later(why: impl Into<String>) -> Refused {
        Refused::Later { why: why.into(), after: None }
    }
}

/// A message for a URL.
pub(super) struct Post<'a> {
    /// What is said of it: a URL may be a secret.
    pub shown: &'a str,
    pub url: &'a str,
    pub bearer: Option<&'a Secret>,
    /// The same for each attempt at one notice.
    pub idempotency_key: &'a str,
    pub body: &'a Value,
    pub timeout: Duration,
    /// PEM.
    pub authorities: Option<&'a [u8]>,
}

/// The authorities that a policy names, as PEM.
///
/// # Errors
/// Why there are none.
pub(super) fn authorities(site: &Path, file: Option<&str>) -> Result<Option<Vec<u8>>, String> {
    let Some(file) = file else { return Ok(None) };
    let wrong = |why: String| format!("{file}: {why}");
    let opened = fs::File::open(site.join(file)).map_err(|e| wrong(e.to_string()))?;
    let mut bytes = Vec::new();
    opened.take(AUTHORITIES_BYTES_MAX).read_to_end(&mut bytes).map_err(|e| wrong(e.to_string()))?;
    certificates(&bytes).map_err(wrong)?;
    Ok(Some(bytes))
}

fn certificates(pem: &[u8]) -> Result<Vec<Certificate<'static>>, String> {
    let mut all = Vec::new();
    for item in parse_pem(pem) {
        match item {
            Ok(PemItem::Certificate(certificate)) => all.push(certificate),
            Ok(_) => return Err("it holds something else than certificates".to_owned()),
            Err(e) => return Err(format!("it is not PEM: {e}")),
        }
    }
    if all.is_empty() { Err("it holds no certificate".to_owned()) } else { Ok(all) }
}

impl Post<'_> {
    fn agent(&self) -> Result<Agent, Refused> {
        let mut config = http::config().timeout_global(Some(self.timeout));
        if let Some(pem) = self.authorities {
            let roots = RootCerts::from(certificates(pem).map_err(Refused::later)?);
            config = config.tls_config(TlsConfig::builder().root_certs(roots).build());
        }
        Ok(Agent::new_with_config(config.build()))
    }

    /// Sends it; the answer's body, of a status that says yes.
    ///
    /// # Errors
    /// [`Refused`]: whether it may be tried again. A status that finds fault with the message (400, 413, 422) is final; one that
    /// finds fault with us (401, 403, 404) can be mended at either end.
    pub fn send(&self) -> Result<Vec<u8>, Refused> {
        let mut request = self
            .agent()?
            .post(self.url)
            .header("content-type", "application/json; charset=utf-8")
            .header("idempotency-key", self.idempotency_key);
        if let Some(secret) = self.bearer {
            request = request.header("authorization", format!("Bearer {}", secret.text()));
        }
        let sent = request.send(self.body.to_string().as_bytes());
        let response = sent.map_err(|e| Refused::later(self.told(&e)))?;
        let status = response.status().as_u16();
        let after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()).and_then(retry_after);
        let mut body = Vec::new();
        let mut reader = response.into_body().into_with_config().limit(u64::MAX).reader().take(ANSWER_BYTES_MAX);
        if (200..300).contains(&status) {
            // It was taken; what is said beside that is of use to Slack's threads alone.
            let _ = reader.read_to_end(&mut body);
            return Ok(body);
        }
        let _ = reader.read_to_end(&mut body);
        let said: String = String::from_utf8_lossy(&body).chars().take(SHOWN_CHARS_MAX).collect();
        let said = self.bearer.map_or_else(|| said.clone(), |secret| secret.out_of(&said));
        let why = format!("{} answers {status}: {}", self.shown, neutralise(said.trim()));
        Err(if matches!(status, 400 | 413 | 422) { Refused::Never(why) } else { Refused::Later { why, after } })
    }

    /// Without the URL, which may be a secret.
    fn told(&self, e: &ureq::Error) -> String {
        match e {
            ureq::Error::Timeout(_) => {
                format!("{} does not answer within {} ms", self.shown, self.timeout.as_millis())
            }
            e => format!("{}: {}", self.shown, neutralise(&e.to_string()).replace(self.url, "…")),
        }
    }
}

/// `Retry-After`: seconds, or a date.
fn retry_after(value: &str) -> Option<Duration> {
    let value = value.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(value).ok()?;
    Duration::try_from(date.duration_since(jiff::Timestamp::now())).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        assert_eq!(retry_after("7"), Some(Duration::from_secs(7)));
        let date = jiff::Timestamp::now() + Duration::from_secs(3600);
        let date = jiff::fmt::rfc2822::to_string(&date.to_zoned(jiff::tz::TimeZone::UTC)).expect("a date");
        let after = retry_after(&date.replace("+0000", "GMT")).expect("a wait");
        assert!(after > Duration::from_secs(3500) && after <= Duration::from_secs(3600), "{after:?}");
        for bad in ["", "soon", "-5", "1.5", "Sun, 06 Nov 1994 08:49:37 GMT"] {
            assert_eq!(retry_after(bad), None, "{bad}");
        }
    }

    #[test]
    fn authorities_are_certificates_and_nothing_else() {
        let site = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str| fs::write(site.path().join(name), text).expect("written");
        write("none", "");
        write("text", "-----BEGIN CERTIFICATE-----\nnot base64!\n-----END CERTIFICATE-----\n");
        for (file, wanted) in [("none", "no certificate"), ("text", "not PEM"), ("gone", "No such file")] {
            let why = authorities(site.path(), Some(file)).expect_err(file);
            assert!(why.contains(file) && why.contains(wanted), "{why}");
        }
        assert_eq!(authorities(site.path(), None), Ok(None));
    }
}
