//! What is told over HTTP: `POST /v1/samples` and `POST /v1/alerts`.
//!
//! A route for which nobody has a credential is not there. Bodies are bounded and have to come within a time; what was taken
//! of one that was cut stays taken, and the answer says so.

use super::{Batch, Credential, Report, Sources};
use axum::{
    Router,
    body::{Body, Bytes, HttpBody as _},
    extract::State,
    http::{
        HeaderMap, HeaderValue, StatusCode,
        header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE},
    },
    response::{IntoResponse as _, Response},
    routing::post,
};
use serde::Serialize;
use std::{future::poll_fn, pin::Pin, sync::Arc, time::Duration};
use tokio::sync::Semaphore;

/// Bytes of a request with samples at most.
const SAMPLES_BYTES_MAX: u64 = 16 << 20;
/// Bytes of a webhook at most.
const ALERTS_BYTES_MAX: u64 = 4 << 20;
/// How long a request may take to come.
const BODY_WITHIN: Duration = Duration::from_secs(30);
/// Requests at a time.
const REQUESTS_MAX: usize = 16;

/// Who may tell what.
#[derive(Debug, Clone, Default)]
pub struct Access {
    /// Samples; without it nobody.
    pub samples: Option<Credential>,
    /// Alerts; without it nobody.
    pub alerts: Option<Credential>,
}

struct Desk {
    sources: Arc<Sources>,
    credential: Credential,
    room: Arc<Semaphore>,
    body_within: Duration,
}

/// The routes, to be merged into the daemon's own.
pub fn router(sources: &Arc<Sources>, access: Access) -> Router {
    routes(sources, access, BODY_WITHIN)
}

pub(super) fn routes(sources: &Arc<Sources>, access: Access, body_within: Duration) -> Router {
    let room = Arc::new(Semaphore::new(REQUESTS_MAX));
    let desk = |credential: Credential| {
        Arc::new(Desk { sources: sources.clone(), credential, room: room.clone(), body_within })
    };
    let mut router = Router::new();
    if let Some(credential) = access.samples {
        router = router.route("/v1/samples", post(samples).with_state(desk(credential)));
    }
    if let Some(credential) = access.alerts {
        router = router.route("/v1/alerts", post(alerts).with_state(desk(credential)));
    }
    router
}

/// A request as a whole that is refused: what failed, by which rule, and what to do next.
#[derive(Serialize)]
struct Refused<'a> {
    error: String,
    rule: &'static str,
    help: &'static str,
    /// What was taken of it all the same.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    report: Option<&'a Report>,
}

fn json(status: StatusCode, body: &impl Serialize) -> Response {
    let text = serde_json::to_string(body).unwrap_or_default();
    (status, [(CONTENT_TYPE, HeaderValue::from_static("application/json"))], text).into_response()
}

fn refused(status: StatusCode, rule: &'static str, error: impl Into<String>, help: &'static str) -> Response {
    json(status, &Refused { error: error.into(), rule, help, report: None })
}

fn later(mut response: Response, seconds: u64) -> Response {
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    response
}

/// Whether the request may come in, and has room.
fn admit(desk: &Desk, headers: &HeaderMap) -> Result<tokio::sync::OwnedSemaphorePermit, Response> {
    let shown = headers.get(AUTHORIZATION).map(HeaderValue::as_bytes);
    let is_shown = desk.credential.is_shown_by(shown).map_err(|why| {
        tracing::error!(why, "nobody can tell the daemon anything");
        let help = "whoever runs the daemon finds in its log why";
        refused(StatusCode::SERVICE_UNAVAILABLE, "credential", "the daemon has no secret to compare with", help)
    })?;
    if !is_shown {
        let help = "send `Authorization: Bearer` with the secret that policies/site.toml names under `[watch]`";
        let mut response = refused(StatusCode::UNAUTHORIZED, "credential", "the credential is missing or wrong", help);
        response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        return Err(response);
    }
    desk.room.clone().try_acquire_owned().map_err(|_| {
        let error = format!("{REQUESTS_MAX} requests are under way");
        later(refused(StatusCode::SERVICE_UNAVAILABLE, "requests", error, "send it again later"), 1)
    })
}

/// Why a body did not come.
enum Cut {
    TooLong(u64),
    TooSlow(Duration),
    Broken,
}

impl Cut {
    fn answer(&self, report: Option<&Report>) -> Response {
        let (status, rule, error, help) = match self {
            Cut::TooLong(max) => (
                StatusCode::PAYLOAD_TOO_LARGE,
                "body",
                format!("the body has more than {max} bytes"),
                "send it in several requests",
            ),
            Cut::TooSlow(within) => (
                StatusCode::REQUEST_TIMEOUT,
                "time",
                format!("the body did not come within {} s", within.as_secs_f64()),
                "send it in several requests",
            ),
            Cut::Broken => (StatusCode::BAD_REQUEST, "body", "the body broke off".to_owned(), "send it again"),
        };
        json(status, &Refused { error, rule, help, report })
    }
}

/// Hands the body over piece by piece.
async fn each_piece(body: Body, bytes_max: u64, within: Duration, mut take: impl FnMut(&[u8])) -> Result<(), Cut> {
    let mut body = body;
    let mut seen = 0;
    let all = async {
        while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
            let piece: Bytes = match frame.map(|frame| frame.into_data()) {
                Ok(Ok(piece)) => piece,
                // Trailers.
                Ok(Err(_)) => continue,
                Err(_) => return Err(Cut::Broken),
            };
            seen += piece.len() as u64;
            if seen > bytes_max {
                return Err(Cut::TooLong(bytes_max));
            }
            take(&piece);
        }
        Ok(())
    };
    tokio::time::timeout(within, all).await.unwrap_or(Err(Cut::TooSlow(within)))
}

async fn samples(State(desk): State<Arc<Desk>>, headers: HeaderMap, body: Body) -> Response {
    let _permit = match admit(&desk, &headers) {
        Ok(permit) => permit,
        Err(response) => return response,
    };
    let mut batch = Batch::new(desk.sources.clone());
    let whole = each_piece(body, SAMPLES_BYTES_MAX, desk.body_within, |piece| batch.push(piece)).await;
    match whole {
        Ok(()) => reported(&batch.finish()),
        // The line that was cut is none.
        Err(cut) => cut.answer(Some(&batch.finish_cut())),
    }
}

fn reported(report: &Report) -> Response {
    answered(report, report)
}

fn answered(report: &Report, body: &impl Serialize) -> Response {
    match report.retry_after_s {
        Some(seconds) => later(json(StatusCode::TOO_MANY_REQUESTS, body), seconds),
        None if report.refused > 0 => json(StatusCode::UNPROCESSABLE_ENTITY, body),
        None => json(StatusCode::OK, body),
    }
}

async fn alerts(State(desk): State<Arc<Desk>>, headers: HeaderMap, body: Body) -> Response {
    let _permit = match admit(&desk, &headers) {
        Ok(permit) => permit,
        Err(response) => return response,
    };
    let mut whole = Vec::new();
    let came = each_piece(body, ALERTS_BYTES_MAX, desk.body_within, |piece| whole.extend_from_slice(piece)).await;
    if let Err(cut) = came {
        return cut.answer(None);
    }
    match desk.sources.take_alerts(&whole) {
        Ok(all) => answered(&all.report, &all),
        Err(why) => {
            let help = "send what Alertmanager's `webhook_configs` sends";
            refused(StatusCode::BAD_REQUEST, "webhook", why, help)
        }
    }
}
