//! Calls over HTTP: exactly the request that policy states, to its origin and nowhere else, within one deadline.
//!
//! - The host is looked up once; every connection of the call goes to those addresses (a name that is bound to another
//!   address in the meantime changes nothing). What is unencrypted goes to this machine only, unless policy says otherwise.
//! - GET and HEAD follow a few redirects within the origin. A call that changes something is made once: a redirect is its
//!   answer, for the policy's `expect` to judge.
//! - No proxy of the environment, no cookies, no compression, a fresh connection each time.
//! - What only the other end knows (`fill`) is asked first, by the call that policy names, and can be nothing but names.
//! - A secret is read from its file when the call is made, and stands in no error, journal or log.

use super::Deadline;
use std::{collections::BTreeMap, io::Read as _, net::SocketAddr, path::Path, sync::OnceLock, time::Duration};
use unship_policy::{HttpUrl, Name, is_header_value, meaning::HttpMeaning};
use ureq::{
    Agent, Error,
    config::{AutoHeaderValue, Config},
    http::{HeaderValue, Request, Response, Uri, header::LOCATION},
    tls::{PemItem, RootCerts, TlsConfig, parse_pem},
    unversioned::{
        resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver},
        transport::{DefaultConnector, NextTimeout},
    },
};

/// Redirects that one call follows.
const REDIRECTS_MAX: usize = 5;
/// Bytes of an answer's status line and headers together.
const HEADER_BYTES_MAX: usize = 64 << 10;
/// Bytes of a file with a secret, and of one with authorities.
const SECRET_BYTES_MAX: u64 = 8 << 10;
const AUTHORITIES_BYTES_MAX: u64 = 1 << 20;

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The whole body.
    pub body: Vec<u8>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what the fields are")]
pub enum HttpError {
    #[error("the file {file}, which the policy names for this call, cannot be used: {why}")]
    File { file: String, why: String },
    #[error("the host {host} has no address")]
    NoAddress { host: String },
    #[error(
        "{host} is {address}, another machine, which would be spoken to unencrypted; `plaintext = true` in the policy allows it"
    )]
    Plaintext { host: String, address: SocketAddr },
    #[error("the answer redirects to {to}: {why}")]
    Redirect { to: String, why: String },
    #[error("more than {REDIRECTS_MAX} redirects")]
    Redirects,
    #[error("the answer is longer than the {max} bytes that the policy allows (`answer`)")]
    TooLong { max: usize },
    #[error("the http call {from}, which it is filled from: {why}")]
    Filling { from: String, why: String },
    #[error("no whole answer within {} ms", .0.as_millis())]
    TimedOut(Duration),
    #[error("{0}")]
    Failed(String),
}

/// What stands in each place of a call's body, by the place's name.
pub type Values = BTreeMap<Name, Vec<String>>;

/// Asks for what the call's body has places for.
///
/// # Errors
/// [`HttpError`]: a call that it is filled from has no answer, not one that policy expects, or not what the pointer says.
pub fn values(
    site: &Path,
    calls: &BTreeMap<Name, HttpMeaning>,
    meaning: &HttpMeaning,
    deadline: Deadline,
) -> Result<Values, HttpError> {
    let mut all = Values::new();
    for (place, fill) in &meaning.fill {
        let wrong = |why: String| HttpError::Filling { from: fill.from.to_string(), why };
        let asked = calls.get(&fill.from).ok_or_else(|| wrong("no policy defines it".to_owned()))?;
        let answer = call(site, asked, deadline).map_err(|e| wrong(e.to_string()))?;
        if !asked.expect.contains(&answer.status) {
            return Err(wrong(format!("it answered {}, which the policy does not expect", answer.status)));
        }
        let answer = serde_json::from_slice(&answer.body).map_err(|e| wrong(format!("its answer is no JSON: {e}")))?;
        let found = fill.values(&answer).map_err(|why| wrong(unship_rollback::neutralise(&why)))?;
        all.insert(place.clone(), found);
    }
    Ok(all)
}

/// Whether a place of the body stays empty: then there is nothing that the call could be about, and it is not sent.
pub fn is_about_nothing(values: &Values) -> bool {
    values.values().any(Vec::is_empty)
}

/// Makes the call.
///
/// # Errors
/// [`HttpError`]. Any status is an answer.
pub fn call(site: &Path, meaning: &HttpMeaning, deadline: Deadline) -> Result<Answer, HttpError> {
    call_with(site, meaning, deadline, DefaultResolver::default())
}

pub(super) fn call_with(
    site: &Path,
    meaning: &HttpMeaning,
    deadline: Deadline,
    lookup: impl Resolver,
) -> Result<Answer, HttpError> {
    let deadline = deadline.min(meaning.timeout);
    let headers = headers(site, meaning)?;
    let pinned = Pinned { lookup, addresses: OnceLock::new(), local_only: !meaning.url.is_tls() && !meaning.plaintext };
    let agent = Agent::with_parts(config(site, meaning)?, DefaultConnector::new(), pinned);
    let mut url = meaning.url.clone();
    for _ in 0..=REDIRECTS_MAX {
        let response = send(&agent, meaning, &url, &headers, deadline).map_err(|e| told(e, meaning))?;
        match redirect(meaning, &url, &response)? {
            Some(next) => url = next,
            None => return answer(meaning, response),
        }
    }
    Err(HttpError::Redirects)
}

fn config(site: &Path, meaning: &HttpMeaning) -> Result<Config, HttpError> {
    let authorities = match &meaning.authorities {
        None => RootCerts::WebPki,
        Some(file) => RootCerts::from(authorities(site, file)?),
    };
    Ok(Config::builder()
        .https_only(meaning.url.is_tls())
        .tls_config(TlsConfig::builder().root_certs(authorities).build())
        .proxy(None)
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .max_idle_connections(0)
        .max_response_header_size(HEADER_BYTES_MAX)
        .user_agent(concat!("unship/", env!("CARGO_PKG_VERSION")))
        .accept_encoding(AutoHeaderValue::None)
        .build())
}

fn send(
    agent: &Agent,
    meaning: &HttpMeaning,
    url: &HttpUrl,
    headers: &[(&str, HeaderValue)],
    deadline: Deadline,
) -> Result<Response<ureq::Body>, Error> {
    let left = deadline.remaining();
    if left.is_zero() {
        return Err(Error::Timeout(ureq::Timeout::Global));
    }
    let mut request = Request::builder().method(meaning.method.as_str()).uri(url.to_string());
    for (name, value) in headers {
        request = request.header(*name, value);
    }
    if meaning.method.takes_body() {
        let request = request.body(meaning.body.as_deref().unwrap_or_default())?;
        agent.run(agent.configure_request(request).timeout_global(Some(left)).build())
    } else {
        agent.run(agent.configure_request(request.body(())?).timeout_global(Some(left)).build())
    }
}

/// Where to go on asking.
fn redirect(
    meaning: &HttpMeaning,
    url: &HttpUrl,
    response: &Response<ureq::Body>,
) -> Result<Option<HttpUrl>, HttpError> {
    let Some(location) = response.headers().get(LOCATION) else { return Ok(None) };
    if meaning.method.changes() || !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return Ok(None);
    }
    let to = unship_rollback::neutralise(&String::from_utf8_lossy(location.as_bytes()));
    let refused = |why: String| HttpError::Redirect { to: to.clone(), why };
    let next = location.to_str().map_err(|_| refused("it is no URL".to_owned()))?;
    let next = url.join(next).map_err(|why| refused(format!("it is no URL that a policy could name: {why}")))?;
    if !next.is_same_origin(&meaning.url) {
        return Err(refused("that is another origin than the policy's, so it is not followed".to_owned()));
    }
    Ok(Some(next))
}

fn answer(meaning: &HttpMeaning, response: Response<ureq::Body>) -> Result<Answer, HttpError> {
    let status = response.status().as_u16();
    let max = meaning.answer_bytes_max;
    let body = response.into_body();
    if meaning.method.has_answer_body() && body.content_length().is_some_and(|length| length > max as u64) {
        return Err(HttpError::TooLong { max });
    }
    let body = body.into_with_config().limit(max as u64).read_to_vec().map_err(|e| told(e, meaning))?;
    Ok(Answer { status, body })
}

fn told(error: Error, meaning: &HttpMeaning) -> HttpError {
    match error {
        Error::Timeout(_) => HttpError::TimedOut(meaning.timeout),
        Error::HostNotFound => HttpError::NoAddress { host: meaning.url.host().to_owned() },
        Error::BodyExceedsLimit(_) => HttpError::TooLong { max: meaning.answer_bytes_max },
        Error::Io(e) if e.kind() == std::io::ErrorKind::TimedOut => HttpError::TimedOut(meaning.timeout),
        Error::Other(e) => match e.downcast::<Elsewhere>() {
            Ok(elsewhere) => HttpError::Plaintext { host: meaning.url.host().to_owned(), address: elsewhere.0 },
            Err(e) => HttpError::Failed(unship_rollback::neutralise(&e.to_string())),
        },
        e => HttpError::Failed(unship_rollback::neutralise(&e.to_string())),
    }
}

/// Looks up once, and answers that from then on.
#[derive(Debug)]
struct Pinned<L> {
    lookup: L,
    addresses: OnceLock<Vec<SocketAddr>>,
    local_only: bool,
}

/// An address that is not this machine's, where only this machine is meant.
#[derive(Debug, thiserror::Error)]
#[error("{0} is another machine")]
struct Elsewhere(SocketAddr);

impl<L: Resolver> Resolver for Pinned<L> {
    fn resolve(&self, uri: &Uri, config: &Config, timeout: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
        let known = match self.addresses.get() {
            Some(known) => known,
            None => {
                let found = self.lookup.resolve(uri, config, timeout)?.to_vec();
                if let Some(other) = found.iter().find(|a| self.local_only && !a.ip().to_canonical().is_loopback()) {
                    return Err(Error::Other(Box::new(Elsewhere(*other))));
                }
                self.addresses.get_or_init(|| found)
            }
        };
        let mut addresses = self.empty();
        for address in known {
            addresses.push(*address);
        }
        Ok(addresses)
    }
}

/// The policy's headers, and those whose values lie in files.
fn headers<'m>(site: &Path, meaning: &'m HttpMeaning) -> Result<Vec<(&'m str, HeaderValue)>, HttpError> {
    let mut all = Vec::new();
    for (name, value) in &meaning.headers {
        let value = HeaderValue::from_str(value).map_err(|e| HttpError::Failed(format!("the header {name}: {e}")))?;
        all.push((name.as_str(), value));
    }
    for (name, file) in &meaning.secret_headers {
        let wrong = |why: &str| HttpError::File { file: file.clone(), why: why.to_owned() };
        let (bytes, mode) = read(site, file, SECRET_BYTES_MAX)?;
        if mode & 0o007 != 0 {
            return Err(wrong("others may read or write it, so it is no secret (chmod o=)"));
        }
        let text = std::str::from_utf8(&bytes).map_err(|_| wrong("it does not hold text"))?;
        let text = text.strip_suffix('\n').map_or(text, |line| line.strip_suffix('\r').unwrap_or(line));
        if !is_header_value(text) {
            return Err(wrong("it does not hold one line of visible ASCII, as a header's value is"));
        }
        let mut value = HeaderValue::from_str(text).map_err(|_| wrong("it does not hold a header's value"))?;
        value.set_sensitive(true);
        all.push((name.as_str(), value));
    }
    Ok(all)
}

fn authorities(site: &Path, file: &str) -> Result<Vec<ureq::tls::Certificate<'static>>, HttpError> {
    let wrong = |why: String| HttpError::File { file: file.to_owned(), why };
    let (bytes, _) = read(site, file, AUTHORITIES_BYTES_MAX)?;
    let mut certificates = Vec::new();
    for item in parse_pem(&bytes) {
        match item {
            Ok(PemItem::Certificate(certificate)) => certificates.push(certificate),
            Ok(_) => return Err(wrong("it holds something else than certificates".to_owned())),
            Err(e) => return Err(wrong(format!("it is not PEM: {e}"))),
        }
    }
    if certificates.is_empty() { Err(wrong("it holds no certificate".to_owned())) } else { Ok(certificates) }
}

/// The bytes and the mode of a small regular file.
fn read(site: &Path, file: &str, bytes_max: u64) -> Result<(Vec<u8>, u32), HttpError> {
    use rustix::fs::{FileType, Mode, OFlags, fstat, open};
    let wrong = |why: String| HttpError::File { file: file.to_owned(), why };
    let failed = |e: rustix::io::Errno| wrong(std::io::Error::from(e).to_string());
    // Without waiting for the other end of a FIFO.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let opened = open(site.join(file), flags, Mode::empty()).map_err(failed)?;
    let stat = fstat(&opened).map_err(failed)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(wrong("it is not a regular file".to_owned()));
    }
    let mut bytes = Vec::new();
    let read = std::fs::File::from(opened).take(bytes_max + 1).read_to_end(&mut bytes);
    read.map_err(|e| wrong(e.to_string()))?;
    if bytes.len() as u64 > bytes_max {
        return Err(wrong(format!("it has more than {bytes_max} bytes")));
    }
    Ok((bytes, stat.st_mode))
}
