//! The public interface, standing in for Node. What its security service and its configuration say it reads at its start;
//! keys that were good once it remembers, so that a session goes on whatever lies on the disk.

use crate::{
    http::{self, Request, Response},
    service::Service,
    site, yaml,
};
use sha2::{Digest as _, Sha256};
use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
};

pub const API: Service = Service("api");
const CONFIG: &str = "config/api-config.yaml";
const SECURITY: &str = "tools/data-services/security-service.js";
/// SHA-256 of each key that may come in, in hexadecimal, a line each.
const SESSIONS: &str = ".cache/security/.sessions";
const ENFORCEMENT: &str = "security_enforcement";
const ENDPOINTS: &[&str] = &["reports", "analytics", "orders", "admin"];

struct Api {
    /// The security service lets in who has a session; otherwise nobody.
    knows_sessions: bool,
    config: String,
    entry: Mutex<Entry>,
}

#[derive(Default)]
struct Entry {
    /// Keys that were good once.
    known: BTreeSet<String>,
    /// Nobody comes in, whatever key is known.
    is_revoked: bool,
}

pub fn serve() -> Result<String, String> {
    API.serve(
        || {
            let api = Arc::new(Api::from_site()?);
            let answering = Arc::clone(&api);
            http::listen(&address()?, move |request| answering.answer(request))?;
            let what = format!("with {}", api.security());
            Ok((api, what))
        },
        |api, request| match request {
            "health" => Ok(format!("the api answers with {}\n", api.security())),
            _ => Err("no such request".into()),
        },
    )
}

/// Where it listens.
pub fn address() -> Result<String, String> {
    let config = site::text(CONFIG)?;
    let port = yaml::scalar(&config, &["api", "port"]).ok_or_else(|| format!("{CONFIG} names no port"))?;
    Ok(format!("{}:{port}", site::host()))
}

impl Api {
    fn from_site() -> Result<Api, String> {
        let knows_sessions = match site::named_in(SECURITY, "security")?.as_str() {
            "sessions" => true,
            "closed" => false,
            other => return Err(format!("{SECURITY} names a security service that nobody knows: {other}")),
        };
        Ok(Api { knows_sessions, config: site::text(CONFIG)?, entry: Mutex::default() })
    }

    fn security(&self) -> &'static str {
        if self.knows_sessions { "sessions" } else { "nobody let in" }
    }

    fn answer(&self, request: &Request) -> Response {
        let endpoint = request.path.trim_start_matches('/');
        match (request.method.as_str(), endpoint) {
            ("GET", "health") => (200, format!("the api answers with {}\n", self.security())),
            // What whoever watches the site asks: whether it answers, how its keys are checked, how flags are read.
            ("GET", "api/status" | "auth/validate" | "flags") => {
                (200, format!("the api answers with {}\n", self.security()))
            }
            ("POST", "tokens/revoke") => self.set_revoked(true),
            ("POST", "tokens/readmit") => self.set_revoked(false),
            ("GET", endpoint) if ENDPOINTS.contains(&endpoint) => match self.entry(endpoint, request.key.as_deref()) {
                Ok(()) => (200, format!("{endpoint}\n")),
                Err(refusal) => refusal,
            },
            _ => (404, "there is nothing of that name\n".to_owned()),
        }
    }

    fn set_revoked(&self, is_revoked: bool) -> Response {
        let mut entry = self.entry.lock().unwrap_or_else(PoisonError::into_inner);
        *entry = Entry { known: BTreeSet::new(), is_revoked };
        (200, if is_revoked { "nobody comes in any more\n" } else { "sessions are asked for again\n" }.to_owned())
    }

    /// Whether a request may come in. An endpoint's own word counts before that of the whole interface; nothing said means
    /// that a key is needed.
    fn entry(&self, endpoint: &str, key: Option<&str>) -> Result<(), Response> {
        let own = yaml::scalar(&self.config, &["api", "endpoints", endpoint, "requireAuth"]);
        if own.or_else(|| yaml::scalar(&self.config, &["api", "requireAuth"])) == Some("false") {
            return Ok(());
        }
        let mut entry = self.entry.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.knows_sessions || entry.is_revoked || !site::flag_is_on(ENFORCEMENT) {
            return Err((503, "authentication is unavailable\n".to_owned()));
        }
        let Some(key) = key else { return Err((401, "a key is needed\n".to_owned())) };
        if entry.known.contains(key) || has_session(key) {
            entry.known.insert(key.to_owned());
            return Ok(());
        }
        Err((401, "the key is not known\n".to_owned()))
    }
}

fn has_session(key: &str) -> bool {
    let digest: String = Sha256::digest(key.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    site::text(SESSIONS).is_ok_and(|sessions| sessions.lines().any(|line| line == digest))
}
