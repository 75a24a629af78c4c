//! The socket of a charge point: connects again for as long as the oracle may come back, and passes messages between it
//! and the [`Point`]. A message is told again after a lost connection, with the same content, until it is acknowledged.

use super::faults::{Fault, Faults};
use super::phone::Phone;
use super::point::{Next, Outcome, Point};
use super::{PAUSE_MAX, PAUSE_MIN, percent_encoded};
use crate::driver_api::Accepted;
use crate::ocpp::{Command, ErrorCode, Frame, MAX_FRAME_BYTES, Message, SUBPROTOCOL};
use anyhow::{Context, Result, bail};
use futures::future::BoxFuture;
use futures::{FutureExt, SinkExt, StreamExt};
use optimizer::session::Session;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Message as Packet, http::header::SEC_WEBSOCKET_PROTOCOL};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_with_config};

/// A connection that takes longer to come up is tried anew.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A connection on which an answer takes longer is taken for dead. The oracle answers when a fact is on disk and, for
/// Authorize, on chain.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// Pause before a message that the oracle could not take is sent again.
const AGAIN_AFTER: Duration = Duration::from_millis(200);

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;
type Asking = BoxFuture<'static, Result<Accepted>>;

pub(super) struct Settings {
    pub(super) url: String,
    pub(super) faults: Option<Faults>,
    pub(super) give_up: Duration,
}

/// Where the charge point `point` connects to.
pub(super) fn url(oracle: &str, point: &str) -> Result<String> {
    let host = oracle.strip_prefix("http://").with_context(|| format!("{oracle}: expected http://HOST:PORT"))?;
    Ok(format!("ws://{host}/ocpp/{}", percent_encoded(point)))
}

/// Runs a charge point until `stopped`. Fails when the oracle was out of reach for too long.
pub(super) async fn run(
    point: Point,
    settings: Settings,
    phone: Arc<Phone>,
    mut stopped: watch::Receiver<bool>,
) -> Result<()> {
    let Settings { url, faults, give_up } = settings;
    let mut link = Link { point, phone, faults, asking: None, last_id: 0, ticks: Vec::new() };
    let mut seen = Instant::now();
    let mut pause = PAUSE_MIN;
    loop {
        let connected = tokio::select! {
            connected = timeout(CONNECT_TIMEOUT, connect(&url)) => connected.context("too slow").flatten(),
            () = told(&mut stopped) => return Ok(()),
        };
        match connected {
            Ok(socket) => {
                let end = link.serve(socket, &mut stopped).await;
                let End::Lost(why) = end else { return Ok(()) };
                tracing::debug!(point = link.point.id(), why, "connection lost");
                seen = Instant::now();
                pause = PAUSE_MIN;
            }
            Err(error) if seen.elapsed() > give_up => {
                bail!("{url}: out of reach for {} s: {error:#}", give_up.as_secs());
            }
            Err(_) => pause = PAUSE_MAX.min(pause * 2),
        }
        tokio::select! {
            () = sleep(pause) => {}
            () = told(&mut stopped) => return Ok(()),
        }
    }
}

async fn connect(url: &str) -> Result<Socket> {
    let mut request = url.into_client_request()?;
    request.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL));
    let limits =
        WebSocketConfig::default().max_message_size(Some(MAX_FRAME_BYTES)).max_frame_size(Some(MAX_FRAME_BYTES));
    let (socket, _) = connect_async_with_config(request, Some(limits), true).await?;
    Ok(socket)
}

/// Why a connection is over.
enum End {
    Lost(&'static str),
    Stopped,
}

struct Link {
    point: Point,
    phone: Arc<Phone>,
    faults: Option<Faults>,
    /// The phone's call under way. It outlives connections.
    asking: Option<Asking>,
    last_id: u64,
    /// Ticks of this connection to be answered when the queue is empty.
    ticks: Vec<String>,
}

/// What one connection waits for.
#[derive(Default)]
struct Waiting {
    /// Id of the call under way, and until when its answer must be here.
    answer: Option<(String, Instant)>,
    /// Until when nothing new is sent.
    pause: Option<Instant>,
}

impl Link {
    async fn serve(&mut self, mut socket: Socket, stopped: &mut watch::Receiver<bool>) -> End {
        self.point.connected();
        self.ticks.clear();
        let mut waiting = Waiting::default();
        loop {
            if let Err(end) = self.step(&mut socket, &mut waiting, stopped).await {
                if matches!(end, End::Stopped) {
                    // The oracle may be gone already.
                    let _ = timeout(CONNECT_TIMEOUT, socket.close(None)).await;
                }
                return end;
            }
        }
    }

    async fn step(
        &mut self,
        socket: &mut Socket,
        waiting: &mut Waiting,
        stopped: &mut watch::Receiver<bool>,
    ) -> Result<(), End> {
        if waiting.answer.is_none() && waiting.pause.is_none() && self.asking.is_none() {
            self.go_on(socket, waiting).await?;
        }
        tokio::select! {
            packet = socket.next() => match packet {
                Some(Ok(Packet::Text(text))) => self.receive(socket, waiting, &text).await,
                Some(Ok(Packet::Close(_)) | Err(_)) | None => Err(End::Lost("closed")),
                Some(Ok(_)) => Ok(()),
            },
            answer = asked(&mut self.asking) => {
                self.asking = None;
                self.point.phoned(answer);
                Ok(())
            }
            () = until(waiting.answer.as_ref().map(|w| w.1)) => Err(End::Lost("no answer")),
            () = until(waiting.pause) => {
                waiting.pause = None;
                Ok(())
            }
            () = told(stopped) => Err(End::Stopped),
        }
    }

    async fn go_on(&mut self, socket: &mut Socket, waiting: &mut Waiting) -> Result<(), End> {
        match self.point.next() {
            Next::Send(message) => {
                let id = self.call(socket, &message).await?;
                waiting.answer = Some((id, Instant::now() + ANSWER_TIMEOUT));
            }
            Next::Phone(session) => self.asking = Some(ask(self.phone.clone(), session)),
            Next::Idle => {
                for id in std::mem::take(&mut self.ticks) {
                    self.send(socket, &Frame::Result { id, payload: json!({"status": "Accepted"}) }).await?;
                }
            }
        }
        Ok(())
    }

    async fn call(&mut self, socket: &mut Socket, message: &Message) -> Result<String, End> {
        self.last_id += 1;
        let id = self.last_id.to_string();
        let (action, payload) = message.write().map_err(|error| {
            tracing::error!(point = self.point.id(), %error, "message cannot be written");
            End::Lost("message cannot be written")
        })?;
        self.send(socket, &Frame::Call { id: id.clone(), action: action.to_owned(), payload }).await?;
        Ok(id)
    }

    async fn send(&mut self, socket: &mut Socket, frame: &Frame) -> Result<(), End> {
        let fault = self.faults.as_mut().and_then(Faults::next);
        let mut times = 1;
        match fault {
            Some(Fault::LostBefore) => return Err(End::Lost("fault: before sending")),
            Some(Fault::Late(delay)) => sleep(delay).await,
            Some(Fault::Twice) => times = 2,
            Some(Fault::LostAfter) | None => {}
        }
        for _ in 0..times {
            let packet = Packet::Text(frame.encode().into());
            socket.send(packet).await.map_err(|_| End::Lost("cannot send"))?;
        }
        if fault == Some(Fault::LostAfter) { Err(End::Lost("fault: before the answer")) } else { Ok(()) }
    }

    async fn receive(&mut self, socket: &mut Socket, waiting: &mut Waiting, text: &str) -> Result<(), End> {
        let (id, answer) = match Frame::parse(text) {
            Ok(Frame::Call { id, action, payload }) => return self.obey(socket, id, &action, payload).await,
            Ok(Frame::Result { id, payload }) => (id, Ok(payload)),
            Ok(Frame::Error { id, code, description }) => (id, Err((code, description))),
            Err(malformed) => {
                tracing::warn!(point = self.point.id(), why = malformed.why, "malformed frame");
                return match malformed.answer {
                    Some(answer) => self.send(socket, &answer).await,
                    None => Ok(()),
                };
            }
        };
        // A second answer to one call belongs to nothing.
        if waiting.answer.take_if(|w| w.0 == id).is_some() && self.point.answered(answer) == Outcome::Again {
            waiting.pause = Some(Instant::now() + AGAIN_AFTER);
        }
        Ok(())
    }

    async fn obey(&mut self, socket: &mut Socket, id: String, action: &str, payload: Value) -> Result<(), End> {
        let command = match Command::read(action, payload) {
            Ok(command) => command,
            Err(refusal) if action == "DataTransfer" && refusal.code == ErrorCode::NotSupported => {
                return self.send(socket, &Frame::Result { id, payload: json!({"status": "UnknownVendorId"}) }).await;
            }
            Err(refusal) => return self.send(socket, &Frame::error(&id, refusal.code, &refusal.why)).await,
        };
        let frame = match self.point.order(&command) {
            Ok(true) if matches!(command, Command::Tick { .. }) => {
                self.ticks.push(id);
                return Ok(());
            }
            Ok(accepted) => {
                let status = if accepted { "Accepted" } else { "Rejected" };
                Frame::Result { id, payload: json!({"status": status}) }
            }
            Err(error) => {
                tracing::error!(point = self.point.id(), error = format!("{error:#}"), "order failed");
                Frame::error(&id, ErrorCode::InternalError, "order failed")
            }
        };
        self.send(socket, &frame).await
    }
}

fn ask(phone: Arc<Phone>, session: Session) -> Asking {
    async move { phone.request(&session).await }.boxed()
}

async fn asked(asking: &mut Option<Asking>) -> Result<Accepted> {
    match asking {
        Some(asking) => asking.await,
        None => std::future::pending().await,
    }
}

/// Returns when the devices are told to end.
async fn told(stopped: &mut watch::Receiver<bool>) {
    // An error means that nobody is left to tell, which is the end too.
    let _ = stopped.wait_for(|stopped| *stopped).await.is_ok();
}

async fn until(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}
