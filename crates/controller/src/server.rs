//! The daemon's server: its health, its metrics, one-time links; what gives samples is merged into it.

use crate::{
    book::{self, WatchBook},
    clock::{WatchClock, calendar},
    daemon::{Request, Requests},
    link_page::{self, escape},
    links,
    metrics::{self, Metrics},
    sources::Sources,
};
use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    extract::{Path, Request as HttpRequest, State},
    http::{StatusCode, header},
    middleware::{Next, from_fn},
    response::{Html, IntoResponse, Response},
    routing::{get, post},
};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use std::{
    net::SocketAddr,
    pin::pin,
    sync::{
        Arc,
        mpsc::{RecvTimeoutError, channel, sync_channel},
    },
    time::Duration,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use unship_policy::Digest;
use unship_rollback::{incident::Incident, post_mortem::charts};

/// Bytes of a request at most, where nothing else is said.
const BODY_BYTES_MAX: usize = 4096;
/// How long the body of such a request may take to come.
const BODY_WITHIN: Duration = Duration::from_secs(10);
/// The daemon's thread answers within this time, or says later what it did.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// How long it may take until all that follows from a time has been done.
const CALM_WITHIN: Duration = Duration::from_secs(120);

/// What the routes look at.
#[derive(Clone)]
pub struct Desk {
    /// The book.
    pub book: WatchBook,
    /// Where requests go.
    pub requests: Arc<Requests>,
    /// The time.
    pub clock: Arc<dyn WatchClock>,
    /// What it counts.
    pub metrics: Arc<Metrics>,
    /// What gives samples, each of which is counted apart.
    pub sources: Arc<Sources>,
    /// On a rehearsal site the time can be set.
    pub is_driven: bool,
}

/// What one who is slow, or many at once, may take of the server.
#[derive(Debug, Clone)]
pub struct Bounds {
    /// Connections at a time; who comes then waits until one of them ends.
    pub connections_max: usize,
    /// How long the head of a request may take to come, and for how long a connection may say nothing.
    pub head_within: Duration,
    /// After so long a connection takes no new request. The one under way is answered within the longest that any takes.
    pub connection_for: Duration,
}

impl Default for Bounds {
    fn default() -> Bounds {
        Bounds { connections_max: 128, head_within: Duration::from_secs(10), connection_for: Duration::from_secs(300) }
    }
}

/// The daemon's own routes.
pub fn router(desk: Desk) -> Router {
    let is_driven = desk.is_driven;
    let mut router = Router::new()
        .route("/health", get(health))
        .route("/metrics", get(metrics))
        .route("/v1/link/link.css", get(style))
        .route("/v1/link/{token}", get(show_link).post(use_link))
        .route("/v1/link/{token}/chart/{n}", get(show_chart));
    if is_driven {
        router = router.route("/v1/clock", post(set_clock));
    }
    router.layer(from_fn(whole_body)).with_state(Arc::new(desk))
}

/// Nothing is done of a request before all of it is there, and nobody can hold it back for long.
async fn whole_body(request: HttpRequest, next: Next) -> Response {
    let (head, body) = request.into_parts();
    match tokio::time::timeout(BODY_WITHIN, to_bytes(body, BODY_BYTES_MAX)).await {
        Ok(Ok(bytes)) => next.run(HttpRequest::from_parts(head, Body::from(bytes))).await,
        Ok(Err(_)) => {
            let why = format!("the body has more than {BODY_BYTES_MAX} bytes, or it broke off");
            (StatusCode::PAYLOAD_TOO_LARGE, why).into_response()
        }
        Err(_) => {
            let why = format!("the body did not come within {} s", BODY_WITHIN.as_secs());
            (StatusCode::REQUEST_TIMEOUT, why).into_response()
        }
    }
}

/// A server that runs until it is dropped.
pub struct Server {
    /// Where it listens.
    pub address: SocketAddr,
    // Dropping it ends all its tasks.
    _runtime: tokio::runtime::Runtime,
}

impl Server {
    /// Listens at `address` and serves `router`.
    ///
    /// # Errors
    /// The address is taken, or not this machine's.
    pub fn start(address: SocketAddr, router: Router) -> std::io::Result<Server> {
        Server::start_within(address, router, &Bounds::default())
    }

    /// The same within other bounds.
    ///
    /// # Errors
    /// As [`Server::start`].
    pub fn start_within(address: SocketAddr, router: Router, bounds: &Bounds) -> std::io::Result<Server> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("server")
            .enable_io()
            .enable_time()
            .build()?;
        let listener = runtime.block_on(TcpListener::bind(address))?;
        let address = listener.local_addr()?;
        runtime.spawn(accept(listener, router, bounds.clone()));
        Ok(Server { address, _runtime: runtime })
    }
}

/// As `axum::serve`, which waits for a head for ever and takes as many connections as come, until the daemon has no file
/// descriptor left for a run.
async fn accept(listener: TcpListener, router: Router, bounds: Bounds) {
    let room = Arc::new(Semaphore::new(bounds.connections_max));
    while let Ok(permit) = room.clone().acquire_owned().await {
        match listener.accept().await {
            Ok((stream, _)) => {
                let (router, bounds) = (router.clone(), bounds.clone());
                tokio::spawn(async move {
                    converse(stream, router, &bounds).await;
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection is not taken");
                // It may be the system's limit of files, which does not pass at once.
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn converse(stream: TcpStream, router: Router, bounds: &Bounds) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(bounds.head_within);
    let mut connection = pin!(http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router)));
    let ended = match tokio::time::timeout(bounds.connection_for, connection.as_mut()).await {
        Ok(ended) => ended,
        Err(_) => {
            connection.as_mut().graceful_shutdown();
            tokio::time::timeout(CALM_WITHIN, connection).await.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection broke off");
    }
}

async fn health(State(desk): State<Arc<Desk>>) -> Response {
    let (open, paused) =
        desk.book.read(|book| (book.incidents().filter(|i| i.is_open()).count(), book.paused().is_some()));
    let body = serde_json::json!({ "watching": true, "open_incidents": open, "paused": paused });
    ([(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}

async fn metrics(State(desk): State<Arc<Desk>>) -> Response {
    let page = desk.book.read(|book| desk.metrics.page(book, desk.clock.now_ms()));
    let page = page + &metrics::of_sources(&desk.sources.counts());
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], page).into_response()
}

/// Everything that a person needs to decide, and a button; looking changes nothing, so a mail scanner may look.
async fn show_link(State(desk): State<Arc<Desk>>, Path(token): Path<String>) -> Response {
    let Some(link) = links::digest(&token) else { return no_link() };
    let found = desk.book.read(|book| book.link(&link).map(|(i, l)| (i.clone(), l.clone())));
    let Some((incident, made)) = found else { return no_link() };
    let charts = charts_of(&desk, incident.clone()).await.len();
    page(StatusCode::OK, &link_page::question(&incident, &made, &token, charts, desk.clock.now_ms()))
}

/// One of the pictures of that page. A picture brings its own style, and nothing else.
async fn show_chart(State(desk): State<Arc<Desk>>, Path((token, n)): Path<(String, usize)>) -> Response {
    let Some(link) = links::digest(&token) else { return no_link() };
    let found = desk.book.read(|book| book.link(&link).map(|(incident, _)| incident.clone()));
    let Some(incident) = found else { return no_link() };
    let mut charts = charts_of(&desk, incident).await.into_iter();
    let Some(chart) = n.checked_sub(1).and_then(|n| charts.nth(n)) else { return no_link() };
    let kind = [(header::CONTENT_TYPE, "image/svg+xml")];
    (guarded("default-src 'none'; style-src 'unsafe-inline'"), kind, chart).into_response()
}

/// What the daemon's journal has of an incident, as pictures; none where it cannot be read: the words are there all the same.
async fn charts_of(desk: &Arc<Desk>, incident: Incident) -> Vec<String> {
    let desk = desk.clone();
    let drawn = tokio::task::spawn_blocking(move || match book::read_facts(desk.book.store(), &incident.id) {
        Ok((_, facts)) => charts(&incident, &facts, calendar),
        Err(e) => {
            tracing::warn!(error = %e, "a link's page has no picture");
            Vec::new()
        }
    });
    drawn.await.unwrap_or_default()
}

async fn style() -> Response {
    ([(header::CONTENT_TYPE, "text/css")], link_page::STYLE).into_response()
}

async fn use_link(State(desk): State<Arc<Desk>>, Path(token): Path<String>, body: Bytes) -> Response {
    // What nobody made does not come to the daemon's thread, however often somebody guesses.
    let link = links::digest(&token).filter(|link| desk.book.read(|book| book.link(link).is_some()));
    let Some(link) = link else { return no_link() };
    let answer = match &body[..] {
        b"answer=yes" => Ok(()),
        b"answer=no" => Err("said no by a one-time link".to_owned()),
        _ => return page(StatusCode::BAD_REQUEST, "<p>The answer is yes or no.</p>"),
    };
    let said = tokio::task::spawn_blocking(move || give_link(&desk, link, answer)).await;
    match said {
        Ok(Ok(said)) => page(StatusCode::OK, &format!("<p>{}.</p>", escape(&said))),
        Ok(Err(why)) => page(StatusCode::CONFLICT, &format!("<p>Not counted: {}.</p>", escape(&why))),
        Err(_) => page(StatusCode::INTERNAL_SERVER_ERROR, "<p>It failed; look at the daemon's log.</p>"),
    }
}

fn give_link(desk: &Desk, link: Digest, answer: Result<(), String>) -> Result<String, String> {
    let (reply, said) = sync_channel(1);
    desk.requests.give(Request::Link { link, answer, reply });
    said.recv_timeout(ANSWER_WITHIN)
        .unwrap_or_else(|_| Err("the daemon does not answer; look at `unship incidents`".into()))
}

async fn set_clock(State(desk): State<Arc<Desk>>, body: String) -> Response {
    let Ok(now_ms) = body.trim().parse() else {
        return (StatusCode::BAD_REQUEST, "milliseconds since the epoch are wanted").into_response();
    };
    let calm = tokio::task::spawn_blocking(move || {
        let (reply, calm) = channel();
        desk.requests.give(Request::Clock { now_ms, reply });
        calm.recv_timeout(CALM_WITHIN)
    });
    match calm.await {
        Ok(Ok(())) => StatusCode::NO_CONTENT.into_response(),
        Ok(Err(RecvTimeoutError::Timeout)) => (StatusCode::GATEWAY_TIMEOUT, "it is not calm yet").into_response(),
        Ok(Err(RecvTimeoutError::Disconnected)) | Err(_) => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}

/// The same for a token that is none and one that nobody made: neither tells anything.
fn no_link() -> Response {
    page(StatusCode::NOT_FOUND, "<p>This link is none of this site's.</p>")
}

fn page(status: StatusCode, body: &str) -> Response {
    const POLICY: &str =
        "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; frame-ancestors 'none'";
    (status, guarded(POLICY), Html(link_page::html(body))).into_response()
}

/// What goes with all that only one person is to see.
fn guarded(policy: &'static str) -> [(header::HeaderName, &'static str); 3] {
    [
        (header::CACHE_CONTROL, "no-store"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CONTENT_SECURITY_POLICY, policy),
    ]
}
