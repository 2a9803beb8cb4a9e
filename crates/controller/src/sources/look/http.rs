//! Outbound HTTP for all kinds of feeds, and `http-probe`.
//!
//! One deadline over everything, no redirect followed (3xx is the answer), no proxy of the environment, no cookies, no
//! compression, a fresh connection each time, bounded headers and body.

use super::{Around, Look, Looked, tcp::probed};
use crate::{http, sources::Kept};
use std::{
    io::Read as _,
    sync::OnceLock,
    time::{Duration, Instant},
};
use unship_policy::ProbeValue;
use unship_rollback::neutralise;
use ureq::{Agent, http::header::CONTENT_TYPE};

/// Bytes of a probed answer that are waited for.
const PROBED_BYTES_MAX: u64 = 16 << 20;
/// Bytes taken from the body at a time.
const PIECE_BYTES: usize = 64 << 10;

fn agent() -> &'static Agent {
    static AGENT: OnceLock<Agent> = OnceLock::new();
    AGENT.get_or_init(|| Agent::new_with_config(http::config().build()))
}

/// The beginning of an answer.
pub struct Head {
    pub status: u16,
    /// What it says that its body is; empty when it says nothing.
    pub content_type: String,
}

/// Asks `url`, and hands over the body piece by piece, at most `bytes_max` of it and within `timeout` from now on.
/// `each` gets the head with each piece; an empty one first.
///
/// # Errors
/// Why there is no whole answer, or what `each` says.
pub fn get(
    url: &str,
    accept: &str,
    timeout: Duration,
    bytes_max: u64,
    mut each: impl FnMut(&Head, &[u8]) -> Result<(), String>,
) -> Result<(), String> {
    let request = agent().get(url).header("accept", accept).config().timeout_global(Some(timeout)).build();
    let response = request.call().map_err(|e| told(&e, timeout))?;
    let content_type = response.headers().get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let head = Head { status: response.status().as_u16(), content_type: content_type.to_owned() };
    each(&head, &[])?;
    let mut body = response.into_body().into_with_config().limit(u64::MAX).reader();
    let mut piece = vec![0; PIECE_BYTES];
    let mut seen = 0_u64;
    loop {
        let read = match body.read(&mut piece) {
            Ok(read) => read,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(told(&ureq::Error::from(e), timeout)),
        };
        if read == 0 {
            return Ok(());
        }
        seen += read as u64;
        if seen > bytes_max {
            return Err(format!("the answer is longer than {bytes_max} bytes"));
        }
        each(&head, &piece[..read])?;
    }
}

/// The whole body of an answer with status 200.
///
/// # Errors
/// As [`get`]; another status.
pub fn get_whole(url: &str, accept: &str, timeout: Duration, bytes_max: u64) -> Result<(u16, Vec<u8>), String> {
    let mut body = Vec::new();
    let mut status = 0;
    get(url, accept, timeout, bytes_max, |head, piece| {
        status = head.status;
        body.extend_from_slice(piece);
        Ok(())
    })?;
    Ok((status, body))
}

fn told(e: &ureq::Error, timeout: Duration) -> String {
    match e {
        ureq::Error::Timeout(_) => format!("no whole answer within {} ms", timeout.as_millis()),
        e => neutralise(&e.to_string()),
    }
}

/// Looks at one address.
pub struct HttpProbe {
    pub url: String,
    pub timeout: Duration,
    pub values: Vec<ProbeValue>,
}

impl Look for HttpProbe {
    fn look(&mut self, around: Around<'_>, _: Option<&Kept>) -> Looked {
        let begun = Instant::now();
        let mut status = None;
        let whole = get(&self.url, "*/*", self.timeout, PROBED_BYTES_MAX, |head, _| {
            status = Some(head.status);
            Ok(())
        });
        let taken = begun.elapsed().min(self.timeout);
        // A status that says yes is no answer yet: the rest of it has to come as well.
        let is_up = whole.is_ok() && status.is_some_and(|status| status < 400);
        probed(around, &self.values, whole.is_ok().then_some(taken), is_up, self.timeout)
    }
}
