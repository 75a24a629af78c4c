//! The pages and the drivers' door, over HTTP. Knows no chain, charge point or database: it shows what the engine
//! publishes and passes on what drivers ask.
//!
//! Whoever reaches the address may look, so nothing here names a driver: a session is told by its id, an owner who is a
//! driver becomes `private host`, and `/api/scenario` leaves drivers and sessions out. Names are in the terminal's table
//! and in `report.html`, which stay with whoever ran the day.

use crate::driver_api::{Accepted, Offer, SignedRequest};
use anyhow::{Context, Result};
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, Query, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router, middleware};
use futures::stream::{self, Stream};
use optimizer::report::Report;
use optimizer::scenario::Scenario;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};

/// A signed request is below 1 KiB.
const BODY_BYTES_MAX: usize = 16 * 1024;
/// Pages that may watch at the same time.
const WATCHERS_MAX: usize = 64;
/// How long the engine may take to answer a driver.
const REPLY_TIMEOUT: Duration = Duration::from_secs(10);
/// Least time between two reports to one page: more is more than an eye can use, and an accelerated day makes hundreds.
const REPORT_GAP: Duration = Duration::from_millis(200);
/// Only what this server serves, and nobody may frame it.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
     img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// What a driver asks of the engine.
#[derive(Debug)]
pub enum Ask {
    /// What does this EVSE offer?
    Offer {
        /// Clear-text id of the EVSE.
        evse: String,
        /// Where the answer goes.
        reply: oneshot::Sender<Result<Offer, Refusal>>,
    },
    /// Here is my signed request.
    Request {
        /// The request.
        request: Box<SignedRequest>,
        /// Where the answer goes.
        reply: oneshot::Sender<Result<Accepted, Refusal>>,
    },
}

/// Why the engine says no.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What kind of no.
    pub kind: RefusalKind,
    /// What the driver reads.
    pub message: String,
}

/// What kind of no: the status of the HTTP answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalKind {
    /// 400: the request makes no sense.
    BadRequest,
    /// 403: the signature, the balance or the price does not allow it.
    Forbidden,
    /// 409: the EVSE is taken, or the nonce used.
    Conflict,
    /// 404: no such EVSE.
    NotFound,
}

impl Refusal {
    /// A refusal with its message.
    pub fn new(kind: RefusalKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }
}

/// The pages, and the drivers' door. `live` is watched, `asks` reach the engine. When the sender of `live` goes, every
/// open event stream ends.
pub fn router(live: watch::Receiver<Arc<Report>>, scenario: Arc<Scenario>, asks: mpsc::Sender<Ask>) -> Router {
    let shared = Shared { live, scenario, asks, watchers: Arc::new(Semaphore::new(WATCHERS_MAX)) };
    Router::new()
        .route("/", get(|| async { asset("text/html; charset=utf-8", include_str!("../web/index.html")) }))
        .route("/style.css", get(|| async { asset("text/css; charset=utf-8", crate::page::STYLE) }))
        .route("/plot.js", get(|| async { asset(JAVASCRIPT, crate::page::PLOT) }))
        .route("/charts.js", get(|| async { asset(JAVASCRIPT, crate::page::CHARTS) }))
        .route("/page.js", get(|| async { asset(JAVASCRIPT, crate::page::PAGE) }))
        .route("/live.js", get(|| async { asset(JAVASCRIPT, include_str!("../web/live.js")) }))
        .route("/api/report", get(report))
        .route("/api/events", get(events))
        .route("/api/scenario", get(scenario_without_people))
        .route("/api/offer", get(offer))
        .route("/api/requests", post(request))
        .route("/health", get(health))
        .fallback(|| async { Failure::new(StatusCode::NOT_FOUND, "no such page") })
        .method_not_allowed_fallback(|| async { Failure::new(StatusCode::METHOD_NOT_ALLOWED, "not this method") })
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(middleware::map_response(harden))
        .with_state(shared)
}

/// Serves until `stop` resolves and every connection has had its answer. Drop the sender of `live` before, or open
/// event streams keep it waiting.
pub async fn serve(
    listener: tokio::net::TcpListener,
    router: Router,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<()> {
    axum::serve(listener, router).with_graceful_shutdown(stop).await.context("http: the server stopped")
}

const JAVASCRIPT: &str = "text/javascript; charset=utf-8";

#[derive(Clone)]
struct Shared {
    live: watch::Receiver<Arc<Report>>,
    scenario: Arc<Scenario>,
    asks: mpsc::Sender<Ask>,
    watchers: Arc<Semaphore>,
}

#[derive(serde::Deserialize)]
struct OfferQuery {
    evse: String,
}

async fn report(State(shared): State<Shared>) -> Json<Report> {
    let report = shared.live.borrow().clone();
    Json(without_names(&report, &shared.scenario))
}

async fn scenario_without_people(State(shared): State<Shared>) -> Json<Scenario> {
    let (drivers, sessions, history) = (Vec::new(), Vec::new(), None);
    let mut scenario = Scenario { drivers, sessions, history, ..Scenario::clone(&shared.scenario) };
    for site in &mut scenario.sites {
        hide_owner(&mut site.owner, &shared.scenario);
    }
    Json(scenario)
}

async fn health(State(shared): State<Shared>) -> Result<Json<serde_json::Value>, Failure> {
    shared.live.has_changed().map_err(|_| Failure::engine_gone())?;
    let now = shared.live.borrow().now;
    Ok(Json(serde_json::json!({ "status": "ok", "now": now })))
}

async fn events(State(shared): State<Shared>) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Failure> {
    let permit = Arc::clone(&shared.watchers)
        .try_acquire_owned()
        .map_err(|_| Failure::new(StatusCode::SERVICE_UNAVAILABLE, "too many pages are watching"))?;
    let keep_alive = KeepAlive::new().interval(Duration::from_secs(15));
    Ok(Sse::new(report_events(shared.live, shared.scenario, permit)).keep_alive(keep_alive))
}

/// The current report at once, then each newer one. A slow page misses reports and never delays one: the channel
/// holds the latest only.
fn report_events(
    mut live: watch::Receiver<Arc<Report>>,
    scenario: Arc<Scenario>,
    permit: OwnedSemaphorePermit,
) -> impl Stream<Item = Result<Event, Infallible>> {
    live.mark_changed();
    stream::unfold((live, scenario, permit, Duration::ZERO), |(mut live, scenario, permit, pause)| async move {
        tokio::time::sleep(pause).await;
        live.changed().await.ok()?;
        let report = live.borrow_and_update().clone();
        let event = Event::default().event("report").json_data(without_names(&report, &scenario)).ok()?;
        Some((Ok(event), (live, scenario, permit, REPORT_GAP)))
    })
}

async fn offer(
    State(shared): State<Shared>,
    query: Result<Query<OfferQuery>, QueryRejection>,
) -> Result<Json<Offer>, Failure> {
    let Query(OfferQuery { evse }) = query.map_err(|e| Failure::new(e.status(), e.body_text()))?;
    ask(&shared.asks, |reply| Ask::Offer { evse, reply }).await
}

async fn request(
    State(shared): State<Shared>,
    body: Result<Json<SignedRequest>, JsonRejection>,
) -> Result<Json<Accepted>, Failure> {
    let Json(request) = body.map_err(|e| Failure::new(e.status(), e.body_text()))?;
    ask(&shared.asks, |reply| Ask::Request { request: Box::new(request), reply }).await
}

/// Puts a question to the engine and waits for its answer, but not for ever.
async fn ask<T>(
    asks: &mpsc::Sender<Ask>,
    question: impl FnOnce(oneshot::Sender<Result<T, Refusal>>) -> Ask,
) -> Result<Json<T>, Failure> {
    let (reply, answer) = oneshot::channel();
    let exchange = async {
        asks.send(question(reply)).await.ok()?;
        answer.await.ok()
    };
    let answer = tokio::time::timeout(REPLY_TIMEOUT, exchange).await.ok().flatten().ok_or_else(Failure::engine_gone)?;
    answer.map(Json).map_err(Failure::from)
}

/// The report as anyone may see it.
fn without_names(report: &Report, scenario: &Scenario) -> Report {
    let mut report = report.clone();
    for session in &mut report.sessions {
        session.driver.clear();
    }
    for site in &mut report.sites {
        hide_owner(&mut site.owner, scenario);
    }
    report
}

fn hide_owner(owner: &mut String, scenario: &Scenario) {
    if scenario.drivers.iter().any(|driver| driver.id == *owner) {
        *owner = "private host".into();
    }
}

fn asset(content_type: &'static str, text: &'static str) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, content_type)], text)
}

/// Headers that every answer carries.
async fn harden(mut response: Response) -> Response {
    let headers = [
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-cache"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ];
    for (name, value) in headers {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

/// An answer that is none: a status and one sentence.
struct Failure {
    status: StatusCode,
    message: String,
}

impl Failure {
    fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }

    fn engine_gone() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "the oracle does not answer; try again")
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        let status = match refusal.kind {
            RefusalKind::BadRequest => StatusCode::BAD_REQUEST,
            RefusalKind::Forbidden => StatusCode::FORBIDDEN,
            RefusalKind::Conflict => StatusCode::CONFLICT,
            RefusalKind::NotFound => StatusCode::NOT_FOUND,
        };
        Self::new(status, refusal.message)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        (self.status, Json(serde_json::json!({ "error": self.message }))).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake_report;
    use optimizer::session::Driver;
    use optimizer::signals::Signals;
    use optimizer::site::{Position, Site};
    use optimizer::units::{Interval, Micro};
    use serde_json::{Value, json};
    use std::collections::BTreeMap;

    struct Running {
        url: String,
        live: watch::Sender<Arc<Report>>,
        asks: mpsc::Receiver<Ask>,
    }

    fn scenario() -> Scenario {
        let site = Site {
            id: "DE*MIR*HOME".into(),
            owner: "mira".into(),
            time_zone: "Europe/Berlin".into(),
            position: Position::default(),
            groups: Vec::new(),
            assets: Vec::new(),
        };
        let (import_price, feed_in_price, power_w) = (Vec::new(), Vec::new(), BTreeMap::new());
        Scenario {
            name: "two-sites".into(),
            sites: vec![site],
            drivers: vec![Driver { id: "mira".into(), deposit: Micro(1), low_balance: Micro(0) }],
            sessions: Vec::new(),
            signals: Signals { first: Interval(0), import_price, feed_in_price, power_w },
            history: None,
        }
    }

    async fn start() -> Running {
        let (live, watching) = watch::channel(Arc::new(fake_report::report(40)));
        let (asking, asks) = mpsc::channel(1);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("its address"));
        let router = router(watching, Arc::new(scenario()), asking);
        tokio::spawn(serve(listener, router, std::future::pending()));
        Running { url, live, asks }
    }

    async fn get_json(url: String) -> (u16, Value) {
        let answer = reqwest::get(url).await.expect("an answer");
        (answer.status().as_u16(), answer.json().await.expect("JSON"))
    }

    #[tokio::test]
    async fn nothing_public_names_a_driver() {
        let running = start().await;
        for path in ["/api/report", "/api/scenario"] {
            let (status, json) = get_json(format!("{}{path}", running.url)).await;
            assert_eq!(status, 200, "{path}");
            for name in ["mira", "olga", "kim"] {
                assert!(!json.to_string().contains(&format!("\"{name}")), "{name} in {path}");
            }
            assert!(json.to_string().contains("private host"), "{path}");
        }
        let (_, json) = get_json(format!("{}/api/scenario", running.url)).await;
        assert!(serde_json::from_value::<Scenario>(json).expect("a scenario").drivers.is_empty());
    }

    #[tokio::test]
    async fn every_answer_is_hardened_and_fetches_nothing_from_elsewhere() {
        let running = start().await;
        for path in ["/", "/style.css", "/plot.js", "/charts.js", "/page.js", "/live.js", "/api/report", "/nowhere"] {
            let answer = reqwest::get(format!("{}{path}", running.url)).await.expect("an answer");
            assert_eq!(answer.status().as_u16(), if path == "/nowhere" { 404 } else { 200 }, "{path}");
            let policy = answer.headers()["content-security-policy"].to_str().expect("text").to_owned();
            assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
            let text = answer.text().await.expect("text");
            let foreign = text.replace("http://www.w3.org/2000/svg", "");
            assert!(!foreign.contains("http://") && !foreign.contains("https://"), "{path}");
        }
    }

    #[tokio::test]
    async fn slow_watchers_get_the_latest_report_and_the_stream_ends_with_the_engine() {
        let running = start().await;
        let mut answer = reqwest::get(format!("{}/api/events", running.url)).await.expect("a stream");
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        let mut text = String::new();
        while !text.contains("\n\n") {
            let chunk = answer.chunk().await.expect("a chunk").expect("not the end");
            text.push_str(&String::from_utf8_lossy(&chunk));
        }
        assert!(text.starts_with("event: report\ndata: {\"scenario\":\"two-sites\""), "{}", &text[..80]);
        for known in 41..60 {
            running.live.send_replace(Arc::new(fake_report::report(known)));
        }
        drop(running.live);
        let rest = answer.text().await.expect("the rest");
        assert_eq!(rest.matches("event: report").count(), 1, "coalesced");
        let now = fake_report::report(59).now;
        assert!(rest.contains(&format!("\"now\":{now}")), "the latest");
    }

    #[tokio::test]
    async fn drivers_reach_the_engine_and_read_why_it_refuses() {
        let mut running = start().await;
        let asks = running.asks;
        let engine = tokio::spawn(async move {
            let mut asks = asks;
            while let Some(Ask::Offer { evse, reply }) = asks.recv().await {
                let refusal = Refusal::new(RefusalKind::NotFound, format!("no EVSE {evse}"));
                reply.send(Err(refusal)).expect("somebody waits");
            }
        });
        let url = std::mem::take(&mut running.url);
        let (status, json) = get_json(format!("{url}/api/offer?evse=DE*PVT*E99*1")).await;
        assert_eq!((status, json), (404, json!({ "error": "no EVSE DE*PVT*E99*1" })));
        let (status, json) = get_json(format!("{url}/api/offer")).await;
        assert_eq!(status, 400);
        assert!(json["error"].as_str().expect("a sentence").contains("evse"), "{json}");
        engine.abort();
    }

    #[tokio::test]
    async fn a_gone_engine_is_503_and_a_bad_body_is_the_drivers_fault() {
        let Running { url, live, asks } = start().await;
        drop(asks);
        let (status, _) = get_json(format!("{url}/api/offer?evse=x")).await;
        assert_eq!(status, 503);
        assert_eq!(get_json(format!("{url}/health")).await.0, 200);
        drop(live);
        assert_eq!(get_json(format!("{url}/health")).await.0, 503);

        let post = |body: String| {
            let request = reqwest::Client::new().post(format!("{url}/api/requests"));
            request.header("content-type", "application/json").body(body).send()
        };
        for (body, status) in [("{".to_owned(), 400), ("{}".to_owned(), 422), ("x".repeat(BODY_BYTES_MAX + 1), 413)] {
            let answer = post(body).await.expect("an answer");
            assert_eq!(answer.status().as_u16(), status);
            assert!(answer.json::<Value>().await.expect("JSON")["error"].is_string());
        }
    }
}
