//! The WebSocket endpoint: one task per connection, which alone reads and writes its socket, and one beside it, which
//! takes the charge point's calls one after another and waits for their answers.

use super::frame::{ErrorCode, Frame, MAX_FRAME_BYTES};
use super::messages::{self, Message, Refusal};
use super::points::{Ask, Link, Points};
use super::{FromPoint, SUBPROTOCOL};
use crate::signing::SignedReading;
use axum::Router;
use axum::extract::ws::{CloseFrame, Message as Packet, WebSocket, WebSocketUpgrade, close_code};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use optimizer::device::Context;
use optimizer::units::UnixTime;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

/// A charge point has one call under way (OCPP-J 1.6, 4.1.1). Those who do not keep to it may have a few.
const CALLS_WAITING: usize = 16;
/// A silent peer is pinged after this, and given up after three times as long: mobile networks drop links silently.
const PING_EVERY: Duration = Duration::from_secs(30);
/// A peer that takes no frame for this long is given up.
const SEND_TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Clone)]
struct Server {
    points: Points,
    events: mpsc::Sender<FromPoint>,
    /// Held while a connection enters or leaves and says so, so that `Disconnected` never overtakes `Connected`.
    order: Arc<Mutex<()>>,
}

/// The endpoint `/ocpp/{charge_point}`.
pub fn router(points: Points, events: mpsc::Sender<FromPoint>) -> Router {
    let server = Server { points, events, order: Arc::default() };
    Router::new().route("/ocpp/{charge_point}", get(connect)).with_state(server)
}

async fn connect(State(server): State<Server>, Path(point): Path<String>, upgrade: WebSocketUpgrade) -> Response {
    // OCPP-J 1.6, 3.1.1: an unknown identity gets a 404.
    if !server.points.is_known(&point) {
        return (StatusCode::NOT_FOUND, "unknown charge point").into_response();
    }
    let upgrade = upgrade.protocols([SUBPROTOCOL]).max_message_size(MAX_FRAME_BYTES).max_frame_size(MAX_FRAME_BYTES);
    let agreed = upgrade.selected_protocol().is_some();
    upgrade.on_upgrade(move |socket| async move {
        if agreed {
            server.serve(point, socket).await;
        } else {
            refuse(socket).await;
        }
    })
}

/// OCPP-J 1.6, 3.1.2: without a common subprotocol the handshake completes without one, then the connection closes.
async fn refuse(mut socket: WebSocket) {
    let frame = CloseFrame { code: close_code::PROTOCOL, reason: "expected subprotocol ocpp1.6".into() };
    // The peer may be gone already.
    let _ = socket.send(Packet::Close(Some(frame))).await;
}

impl Server {
    async fn serve(self, point: String, socket: WebSocket) {
        let (asks, asked) = mpsc::channel(1);
        let link = {
            let _order = self.order.lock().await;
            let link = self.points.enter(&point, asks);
            self.tell(FromPoint::Connected { point: point.clone() }).await;
            link
        };
        tracing::debug!(point, "connected");
        let (calls, waiting) = mpsc::channel(CALLS_WAITING);
        let (answers, answered) = mpsc::channel(CALLS_WAITING);
        let mut beside = JoinSet::new();
        let calls_of_point = Calls { server: self.clone(), point: point.clone(), begin: None, last: None };
        beside.spawn(calls_of_point.run(waiting, answers));
        Connection { socket, calls, asked, answered, under_way: None, heard: Instant::now() }.run(&link).await;
        beside.shutdown().await;
        let _order = self.order.lock().await;
        if self.points.leave(&point, &link) {
            tracing::debug!(point, "disconnected");
            self.tell(FromPoint::Disconnected { point }).await;
        }
    }

    /// False where nobody listens any more.
    async fn tell(&self, event: FromPoint) -> bool {
        self.events.send(event).await.is_ok()
    }
}

struct Call {
    id: String,
    action: String,
    payload: Value,
}

struct UnderWay {
    id: String,
    reply: oneshot::Sender<Result<Value, String>>,
}

struct Connection {
    socket: WebSocket,
    calls: mpsc::Sender<Call>,
    asked: mpsc::Receiver<Ask>,
    answered: mpsc::Receiver<Frame>,
    under_way: Option<UnderWay>,
    heard: Instant,
}

/// The connection is over.
struct Over;

impl Connection {
    async fn run(mut self, link: &Link) {
        while self.step(link).await.is_ok() {}
    }

    async fn step(&mut self, link: &Link) -> Result<(), Over> {
        let idle = self.under_way.is_none();
        tokio::select! {
            () = link.replaced.notified() => {
                let frame = CloseFrame { code: close_code::NORMAL, reason: "replaced by a newer connection".into() };
                let _ = self.socket.send(Packet::Close(Some(frame))).await;
                Err(Over)
            }
            packet = self.socket.recv() => match packet {
                Some(Ok(packet)) => self.receive(packet).await,
                Some(Err(_)) | None => Err(Over),
            },
            Some(frame) = self.answered.recv() => self.send(&frame).await,
            Some(ask) = self.asked.recv(), if idle => self.ask(ask).await,
            () = given_up(&mut self.under_way) => {
                self.under_way = None;
                Ok(())
            }
            () = tokio::time::sleep(PING_EVERY) => {
                if self.heard.elapsed() > 3 * PING_EVERY {
                    return Err(Over);
                }
                self.socket.send(Packet::Ping(Vec::new().into())).await.map_err(|_| Over)
            }
        }
    }

    async fn send(&mut self, frame: &Frame) -> Result<(), Over> {
        // A peer that reads nothing must not hold the connection against a newer one.
        let sent = timeout(SEND_TIMEOUT, self.socket.send(Packet::Text(frame.encode().into()))).await;
        sent.map_err(|_| Over)?.map_err(|_| Over)
    }

    async fn ask(&mut self, ask: Ask) -> Result<(), Over> {
        if ask.reply.is_closed() {
            return Ok(());
        }
        let Ask { id, action, payload, reply } = ask;
        self.under_way = Some(UnderWay { id: id.clone(), reply });
        self.send(&Frame::Call { id, action: action.to_owned(), payload }).await
    }

    async fn receive(&mut self, packet: Packet) -> Result<(), Over> {
        self.heard = Instant::now();
        let text = match packet {
            Packet::Text(text) => text,
            Packet::Binary(_) => {
                let answer = Frame::error("-1", ErrorCode::FormationViolation, "expected text frames");
                return self.send(&answer).await;
            }
            Packet::Ping(_) | Packet::Pong(_) => return Ok(()),
            Packet::Close(_) => return Err(Over),
        };
        match Frame::parse(&text) {
            Ok(Frame::Call { id, action, payload }) => self.take(Call { id, action, payload }).await,
            Ok(Frame::Result { id, payload }) => {
                self.answer(&id, Ok(payload));
                Ok(())
            }
            Ok(Frame::Error { id, code, description }) => {
                self.answer(&id, Err(format!("{code:?}: {description}")));
                Ok(())
            }
            Err(malformed) => {
                tracing::warn!(why = malformed.why, "malformed frame");
                match malformed.answer {
                    Some(answer) => self.send(&answer).await,
                    None => Ok(()),
                }
            }
        }
    }

    async fn take(&mut self, call: Call) -> Result<(), Over> {
        match self.calls.try_send(call) {
            Ok(()) => Ok(()),
            Err(mpsc::error::TrySendError::Full(call)) => {
                self.send(&Frame::error(&call.id, ErrorCode::InternalError, "too many calls under way")).await
            }
            Err(mpsc::error::TrySendError::Closed(_)) => Err(Over),
        }
    }

    /// An answer to nothing that is under way (too late, or sent twice) is dropped.
    fn answer(&mut self, id: &str, answer: Result<Value, String>) {
        if let Some(UnderWay { reply, .. }) = self.under_way.take_if(|u| u.id == id) {
            // Who asked may have given up.
            let _ = reply.send(answer);
        }
    }
}

async fn given_up(under_way: &mut Option<UnderWay>) {
    match under_way {
        Some(under_way) => under_way.reply.closed().await,
        None => std::future::pending().await,
    }
}

/// Takes the calls of one connection in turn.
struct Calls {
    server: Server,
    point: String,
    /// The signed reading that waits for its StartTransaction.
    begin: Option<(u32, SignedReading)>,
    /// The last answer: a call that is sent twice on one connection is taken once.
    last: Option<(String, Frame)>,
}

impl Calls {
    async fn run(mut self, mut waiting: mpsc::Receiver<Call>, answers: mpsc::Sender<Frame>) {
        while let Some(call) = waiting.recv().await {
            let frame = match &self.last {
                Some((id, frame)) if *id == call.id => frame.clone(),
                _ => self.answer(&call.id, &call.action, call.payload).await,
            };
            self.last = Some((call.id, frame.clone()));
            if answers.send(frame).await.is_err() {
                return;
            }
        }
    }

    async fn answer(&mut self, id: &str, action: &str, payload: Value) -> Frame {
        let answer = match Message::read(action, payload) {
            Ok(message) => self.take(message).await,
            Err(refusal) => Err(refusal),
        };
        match answer {
            Ok(payload) => Frame::Result { id: id.to_owned(), payload },
            Err(Refusal { code, why }) => {
                if code != ErrorCode::InternalError {
                    tracing::warn!(point = self.point, action, why, "refused a message");
                    let (point, action) = (self.point.clone(), action.to_owned());
                    self.server.tell(FromPoint::Refused { point, action, why: why.clone() }).await;
                }
                Frame::error(id, code, &why)
            }
        }
    }

    async fn take(&mut self, message: Message) -> Result<Value, Refusal> {
        let point = self.point.clone();
        match message {
            Message::Boot { vendor, model } => {
                self.tell(FromPoint::Boot { point, vendor, model }).await?;
                messages::boot_answer(self.server.points.now())
            }
            Message::Data => Ok(json!({"status": "UnknownVendorId"})),
            Message::Heartbeat => messages::heartbeat_answer(self.server.points.now()),
            Message::Status { connector, status, error, .. } => {
                self.tell(FromPoint::Status { point, connector, status, error }).await?;
                Ok(json!({}))
            }
            Message::Authorize { id_tag } => {
                let accepted = self.wait(|reply| FromPoint::Authorize { point, id_tag, reply }).await?;
                messages::authorize_answer(accepted)
            }
            Message::Start { connector, id_tag, meter_wh, time } => {
                let reading = self.begin_of(connector, meter_wh.0, time)?;
                let answer = self.wait(|reply| FromPoint::Start { point, connector, id_tag, reading, reply }).await?;
                messages::start_answer(answer)
            }
            Message::Meter { connector, transaction_id, readings } => {
                for reading in readings {
                    self.meter(connector, transaction_id, reading).await?;
                }
                Ok(json!({}))
            }
            Message::Stop { transaction_id, reason, reading } => {
                self.wait(|reply| FromPoint::Stop { point, transaction_id, reason, reading, reply }).await?;
                Ok(json!({}))
            }
        }
    }

    async fn meter(
        &mut self,
        connector: u32,
        transaction_id: Option<i32>,
        reading: SignedReading,
    ) -> Result<(), Refusal> {
        if reading.reading.context == Context::Begin {
            self.begin = Some((connector, reading));
            return Ok(());
        }
        let point = self.point.clone();
        self.wait(|reply| FromPoint::Meter { point, connector, transaction_id, reading, reply }).await
    }

    /// The held reading, if it is the one of this start. It stays, for the start may be repeated.
    fn begin_of(&self, connector: u32, meter_wh: i64, time: UnixTime) -> Result<SignedReading, Refusal> {
        let fits = |r: &SignedReading| r.reading.import_wh.0 == meter_wh && r.reading.time == time;
        match &self.begin {
            Some((at, reading)) if *at == connector && fits(reading) => Ok(reading.clone()),
            _ => Err(Refusal {
                code: ErrorCode::OccurenceConstraintViolation,
                why: "expected MeterValues of Transaction.Begin with the same register and time before".into(),
            }),
        }
    }

    async fn tell(&self, event: FromPoint) -> Result<(), Refusal> {
        if self.server.tell(event).await { Ok(()) } else { Err(not_taken()) }
    }

    async fn wait<T>(&self, event: impl FnOnce(oneshot::Sender<T>) -> FromPoint) -> Result<T, Refusal> {
        let (reply, answer) = oneshot::channel();
        self.tell(event(reply)).await?;
        answer.await.map_err(|_| not_taken())
    }
}

/// The one error after which a charge point repeats its message.
fn not_taken() -> Refusal {
    Refusal { code: ErrorCode::InternalError, why: "not taken: send it again".into() }
}
