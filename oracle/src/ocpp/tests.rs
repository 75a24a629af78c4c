#![allow(clippy::unwrap_used, reason = "a test may panic")]

use super::*;
use crate::keys::Keyring;
use crate::signing::sign_reading;
use futures::{SinkExt, StreamExt};
use optimizer::device::{self, Context, Reading};
use optimizer::units::{UnixTime, WattHours, Watts};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message as Packet};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

const PATIENCE: Duration = Duration::from_secs(20);
const TIME: UnixTime = UnixTime(1_710_000_000);

fn signed(counter: u64, context: Context) -> SignedReading {
    let reading = Reading {
        asset: "DE*PVT*E1*1".into(),
        import_wh: WattHours(1200),
        export_wh: WattHours(7),
        time: TIME,
        counter,
        context,
    };
    sign_reading(&Keyring::local().unwrap().meter("DE*PVT*E1*1").unwrap(), reading).unwrap()
}

/// Random input by seed. (proptest would pull other features into every dependency, and so build them all twice.)
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[usize::try_from(self.below(of.len() as u64)).unwrap()]
    }

    fn text(&mut self, longest: u64) -> String {
        let signs: Vec<_> = "[]{}\",:\\\n 0123-e.aZ\u{e9}\u{1f50c}\0".chars().collect();
        (0..self.below(longest + 1)).map(|_| self.pick(&signs)).collect()
    }

    /// Any JSON, with a liking for what our readers look for.
    fn json(&mut self, depth: u64) -> Value {
        let names = [
            "connectorId",
            "idTag",
            "meterValue",
            "sampledValue",
            "timestamp",
            "value",
            "format",
            "data",
            "vendorId",
            "messageId",
            "csChargingProfiles",
            "chargingSchedule",
            "limit",
            "status",
            "x",
        ];
        let words = ["SignedData", "Raw", "W", "org.provolt", "Tick", "{}", "2024-03-09T16:00:00Z", "Accepted", ""];
        match self.below(if depth == 0 { 5 } else { 8 }) {
            0 => Value::Null,
            1 => json!(self.below(2) == 0),
            2 => json!(self.pick(&[0, 1, -1, i64::MAX, i64::MIN, 7])),
            3 => json!(self.pick(&words)),
            4 => json!(self.text(30)),
            5 => (0..self.below(4)).map(|_| self.json(depth - 1)).collect(),
            _ => Value::Object(
                (0..self.below(6)).map(|_| (self.pick(&names).to_owned(), self.json(depth - 1))).collect(),
            ),
        }
    }
}

/// Runs a property on many seeds; a failing one is printed.
fn for_seeds(property: impl Fn(&mut Random)) {
    for seed in 0..2000 {
        let run = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| property(&mut Random(seed))));
        assert!(run.is_ok(), "seed {seed}");
    }
}

#[test]
fn no_text_makes_the_parser_panic() {
    for_seeds(|random| {
        let _ = Frame::parse(&random.text(200));
    });
}

#[test]
fn answers_are_never_answered_and_nothing_is_but_by_an_error() {
    for_seeds(|random| {
        let kind = random.below(6);
        let mut parts = vec![json!(kind)];
        parts.extend((0..random.below(5)).map(|_| random.json(2)));
        if let Err(malformed) = Frame::parse(&Value::from(parts).to_string()) {
            match malformed.answer {
                Some(answer) => assert!(matches!(answer, Frame::Error { .. }) && kind != 3 && kind != 4),
                None => assert!(kind == 3 || kind == 4),
            }
        }
    });
}

#[test]
fn no_payload_makes_the_readers_panic() {
    let actions = [
        "BootNotification",
        "Heartbeat",
        "StatusNotification",
        "Authorize",
        "StartTransaction",
        "Reset",
        "MeterValues",
        "StopTransaction",
        "DataTransfer",
        "SetChargingProfile",
        "RemoteStopTransaction",
        "RemoteStartTransaction",
    ];
    let valid = [begin().write().unwrap(), start().write().unwrap()].map(|(_, payload)| payload);
    for_seeds(|random| {
        let action = random.pick(&actions);
        let mut payload = if random.below(2) == 0 {
            random.json(4)
        } else {
            valid[usize::try_from(random.below(2)).unwrap()].clone()
        };
        if let Some(fields) = payload.as_object_mut()
            && let Some(key) = fields.keys().next().cloned()
        {
            fields.insert(key, random.json(3));
        }
        let _ = Message::read(action, payload.clone());
        let _ = Command::read(action, payload);
    });
}

#[test]
fn frames_survive_the_wire() {
    for_seeds(|random| {
        let id = format!("i{}", random.text(35));
        let payload = json!({"x": random.json(3)});
        let call = Frame::Call { id: id.clone(), action: random.text(20), payload: payload.clone() };
        assert_eq!(Frame::parse(&call.encode()), Ok(call));
        let result = Frame::Result { id: id.clone(), payload };
        assert_eq!(Frame::parse(&result.encode()), Ok(result));
        let error = Frame::error(&id, ErrorCode::SecurityError, &random.text(400));
        assert_eq!(Frame::parse(&error.encode()), Ok(error));
    });
}

#[test]
fn orders_survive_the_wire() {
    for_seeds(|random| {
        let mut number = |bound: u64| i64::try_from(random.below(bound)).unwrap();
        let (from, span, power) = (UnixTime(number(4_000_000_000)), 1 + number(100_000), number(327_671));
        let connector = 1 + u32::try_from(number(1000)).unwrap();
        let command = device::Command { from, until: UnixTime(from.0 + span), power_w: Watts(power) };
        let feeding = device::Command { power_w: Watts(-power), ..command };
        for order in [
            Command::Tick { time: from },
            Command::Power { connector, command },
            Command::PowerSigned { connector, command: feeding },
            Command::Safe { connector, power_w: Watts(power) },
            Command::SafeSigned { connector, power_w: Watts(-power) },
            Command::Stop { transaction_id: i32::try_from(connector).unwrap() },
            Command::Start { connector, id_tag: "T1".into() },
        ] {
            let (action, payload) = order.write().unwrap();
            println!("{action} {payload}");
            assert_eq!(Command::read(action, payload), Ok(order));
        }
    });
}

#[test]
fn messages_survive_the_wire() {
    for message in [
        Message::Boot { vendor: "Provolt".into(), model: "Device".into() },
        Message::Heartbeat,
        Message::Data,
        Message::Status { connector: 0, status: "SuspendedEVSE".into(), error: "NoError".into(), time: Some(TIME) },
        Message::Authorize { id_tag: "T1".into() },
        Message::Start { connector: 2, id_tag: "T1".into(), meter_wh: WattHours(9), time: TIME },
        Message::Meter { connector: 2, transaction_id: Some(3), readings: vec![signed(1, Context::Interval)] },
        Message::Stop { transaction_id: 3, reason: "EVDisconnected".into(), reading: signed(2, Context::End) },
    ] {
        let (action, payload) = message.write().unwrap();
        println!("{action} {payload}");
        assert_eq!(Message::read(action, payload), Ok(message));
    }
}

#[test]
fn a_reading_that_contradicts_itself_is_refused() {
    let message = Message::Meter { connector: 2, transaction_id: None, readings: vec![signed(1, Context::Interval)] };
    let (action, payload) = message.write().unwrap();
    let sample = |n: usize| format!("/meterValue/0/sampledValue/{n}");
    for (path, value) in [
        (sample(1) + "/value", json!("1201")),
        (sample(1) + "/unit", json!("kWh")),
        (sample(0) + "/value", json!("{}")),
        (sample(0) + "/context", json!("Transaction.End")),
        (sample(0) + "/format", json!("Raw")),
        ("/meterValue/0/timestamp".into(), json!("2024-03-09T16:00:01Z")),
        ("/connectorId".into(), json!(0)),
    ] {
        let mut changed = payload.clone();
        *changed.pointer_mut(&path).unwrap() = value;
        let refusal = Message::read(action, changed).unwrap_err();
        assert_eq!(refusal.code, ErrorCode::PropertyConstraintViolation, "{path}: {refusal}");
    }
}

/// Orders that OCPP 1.6 cannot carry are found before they are sent.
#[test]
fn power_out_of_range_is_not_written() {
    let command = device::Command { from: TIME, until: UnixTime(TIME.0 + 900), power_w: Watts(-10) };
    assert!(Command::Power { connector: 1, command }.write().is_err());
    assert!(Command::Safe { connector: 1, power_w: Watts(327_680) }.write().is_err());
    assert!(Command::Start { connector: 1, id_tag: "A".repeat(21) }.write().is_err());
}

struct Oracle {
    address: std::net::SocketAddr,
    points: Points,
    events: mpsc::Receiver<FromPoint>,
}

impl Oracle {
    async fn start() -> Self {
        let points = Points::new(["CP1".to_owned()]);
        points.set_now(TIME);
        let (sender, events) = mpsc::channel(64);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = router(points.clone(), sender);
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { address, points, events }
    }

    async fn connect(&self, point: &str, protocol: &'static str) -> Result<Socket, Error> {
        let mut request = format!("ws://{}/ocpp/{point}", self.address).into_client_request()?;
        request.headers_mut().insert("sec-websocket-protocol", protocol.parse().unwrap());
        Ok(tokio_tungstenite::connect_async(request).await?.0)
    }

    async fn event(&mut self) -> FromPoint {
        timeout(PATIENCE, self.events.recv()).await.expect("an event in time").unwrap()
    }
}

async fn hear(socket: &mut Socket) -> Option<Frame> {
    loop {
        match timeout(PATIENCE, socket.next()).await.expect("a frame in time")? {
            Ok(Packet::Text(text)) => return Some(Frame::parse(&text).unwrap()),
            Ok(Packet::Close(_)) | Err(_) => return None,
            Ok(_) => {}
        }
    }
}

async fn say(socket: &mut Socket, text: impl Into<String>) {
    socket.send(Packet::Text(text.into().into())).await.unwrap();
}

async fn call(socket: &mut Socket, id: &str, message: &Message) {
    let (action, payload) = message.write().unwrap();
    say(socket, Frame::Call { id: id.into(), action: action.into(), payload }.encode()).await;
}

fn begin() -> Message {
    Message::Meter { connector: 1, transaction_id: None, readings: vec![signed(1, Context::Begin)] }
}

fn start() -> Message {
    Message::Start { connector: 1, id_tag: "T1".into(), meter_wh: WattHours(1200), time: TIME }
}

#[tokio::test]
async fn who_speaks_something_else_or_is_unknown_is_turned_away() {
    let oracle = Oracle::start().await;
    assert!(matches!(oracle.connect("CP1", "ocpp2.0.1").await, Err(Error::Protocol(_))));
    assert!(matches!(oracle.connect("CP2", SUBPROTOCOL).await, Err(Error::Http(answer)) if answer.status() == 404));
    assert!(oracle.points.connected().is_empty());
    oracle.connect("CP1", "ocpp2.0.1, ocpp1.6").await.unwrap();
}

#[tokio::test]
async fn broken_frames_are_answered_by_the_book() {
    let mut oracle = Oracle::start().await;
    let mut socket = oracle.connect("CP1", SUBPROTOCOL).await.unwrap();
    for (text, id, expected) in [
        ("hello", "-1", ErrorCode::FormationViolation),
        ("[2,\"7\",\"Heartbeat\"]", "7", ErrorCode::FormationViolation),
        ("[2,\"8\",\"Fly\",{}]", "8", ErrorCode::NotImplemented),
        ("[2,\"9\",\"Authorize\",{}]", "9", ErrorCode::FormationViolation),
        ("[9,\"10\",{}]", "10", ErrorCode::FormationViolation),
    ] {
        say(&mut socket, text).await;
        let Some(Frame::Error { id: to, code, .. }) = hear(&mut socket).await else {
            panic!("{text}: expected an error");
        };
        assert_eq!((to.as_str(), code), (id, expected), "{text}");
    }
    // Answers are never answered, and the connection lives on.
    say(&mut socket, "[3,\"77\"]").await;
    say(&mut socket, "[2,\"11\",\"Heartbeat\",{}]").await;
    let expected = Frame::Result { id: "11".into(), payload: json!({"currentTime": "2024-03-09T16:00:00Z"}) };
    assert_eq!(hear(&mut socket).await, Some(expected));
    assert!(matches!(oracle.event().await, FromPoint::Connected { .. }));
    assert!(matches!(oracle.event().await, FromPoint::Refused { .. }));
    // A frame past the limit ends it.
    say(&mut socket, format!("[2,\"12\",\"Heartbeat\",{{\"x\":\"{}\"}}]", "x".repeat(MAX_FRAME_BYTES))).await;
    assert_eq!(hear(&mut socket).await, None);
}

#[tokio::test]
async fn an_unacknowledged_start_comes_again_as_it_was() {
    let mut oracle = Oracle::start().await;
    let mut socket = oracle.connect("CP1", SUBPROTOCOL).await.unwrap();
    call(&mut socket, "1", &begin()).await;
    assert!(matches!(hear(&mut socket).await, Some(Frame::Result { .. })));
    call(&mut socket, "2", &start()).await;
    assert!(matches!(oracle.event().await, FromPoint::Connected { .. }));
    let FromPoint::Start { reading: first, reply: unanswered, .. } = oracle.event().await else {
        panic!("expected a start");
    };
    drop(socket);
    assert!(matches!(oracle.event().await, FromPoint::Disconnected { .. }));
    drop(unanswered);

    let mut socket = oracle.connect("CP1", SUBPROTOCOL).await.unwrap();
    // Without its first half the start is not taken.
    call(&mut socket, "1", &start()).await;
    let answer = hear(&mut socket).await;
    assert!(matches!(answer, Some(Frame::Error { code: ErrorCode::OccurenceConstraintViolation, .. })), "{answer:?}");
    call(&mut socket, "2", &begin()).await;
    hear(&mut socket).await.unwrap();
    call(&mut socket, "3", &start()).await;
    // Twice on one connection is once.
    call(&mut socket, "3", &start()).await;
    assert!(matches!(oracle.event().await, FromPoint::Connected { .. }));
    assert!(matches!(oracle.event().await, FromPoint::Refused { .. }));
    let FromPoint::Start { point, connector, id_tag, reading, reply } = oracle.event().await else {
        panic!("expected a start");
    };
    assert_eq!((point.as_str(), connector, id_tag.as_str(), &reading), ("CP1", 1, "T1", &first));
    reply.send(StartReply { transaction_id: 5, accepted: true }).unwrap();
    for _ in 0..2 {
        let Some(Frame::Result { id, payload }) = hear(&mut socket).await else { panic!("expected an answer") };
        assert_eq!(id, "3");
        let answer = read_start_answer(payload);
        assert_eq!(answer, Ok(StartReply { transaction_id: 5, accepted: true }));
    }
}

#[tokio::test]
async fn what_is_not_journalled_is_asked_for_again() {
    let mut oracle = Oracle::start().await;
    let mut socket = oracle.connect("CP1", SUBPROTOCOL).await.unwrap();
    assert!(matches!(oracle.event().await, FromPoint::Connected { .. }));
    let meter = Message::Meter { connector: 1, transaction_id: Some(5), readings: vec![signed(2, Context::Interval)] };
    call(&mut socket, "1", &meter).await;
    drop(oracle.event().await);
    assert!(matches!(hear(&mut socket).await, Some(Frame::Error { code: ErrorCode::InternalError, .. })));
    call(&mut socket, "2", &meter).await;
    let FromPoint::Meter { reading, transaction_id, reply, .. } = oracle.event().await else {
        panic!("expected a reading");
    };
    assert_eq!((reading, transaction_id), (signed(2, Context::Interval), Some(5)));
    reply.send(()).unwrap();
    assert_eq!(hear(&mut socket).await, Some(Frame::Result { id: "2".into(), payload: json!({}) }));
}

#[tokio::test]
async fn a_newer_connection_takes_the_place_of_an_older_one() {
    let mut oracle = Oracle::start().await;
    let mut older = oracle.connect("CP1", SUBPROTOCOL).await.unwrap();
    assert!(matches!(oracle.event().await, FromPoint::Connected { .. }));
    let mut newer = oracle.connect("CP1", SUBPROTOCOL).await.unwrap();
    assert!(matches!(oracle.event().await, FromPoint::Connected { .. }));
    assert_eq!(hear(&mut older).await, None);
    assert_eq!(oracle.points.connected(), ["CP1"]);
    newer.close(None).await.unwrap();
    assert!(matches!(oracle.event().await, FromPoint::Disconnected { .. }));
    assert!(oracle.points.connected().is_empty());
}

#[tokio::test]
async fn orders_go_one_by_one_and_outlive_a_lost_link() {
    let oracle = Oracle::start().await;
    let deadline = Instant::now() + Duration::from_millis(10);
    assert_eq!(oracle.points.wait_for(&["CP1".into()], deadline).await, Err(vec!["CP1".to_owned()]));
    let unknown = oracle.points.tick("CP2", TIME).await;
    assert_eq!(unknown, Err(CallError::Unknown("CP2".into())));

    let mut socket = oracle.connect("CP1", SUBPROTOCOL).await.unwrap();
    let points = oracle.points.clone();
    let tick = tokio::spawn(async move { points.tick("CP1", TIME).await });
    let Some(Frame::Call { id: first, action, .. }) = hear(&mut socket).await else { panic!("expected a call") };
    assert_eq!(action, "DataTransfer");
    let points = oracle.points.clone();
    let stop = tokio::spawn(async move { points.remote_stop("CP1", 5).await });
    drop(socket);

    let mut socket = oracle.connect("CP1", SUBPROTOCOL).await.unwrap();
    for _ in 0..2 {
        let Some(Frame::Call { id, action, .. }) = hear(&mut socket).await else { panic!("expected a call") };
        assert_ne!(id, first);
        // The next order waits for this answer; one to nothing at all does no harm.
        say(&mut socket, Frame::Result { id: first.clone(), payload: json!({"status": "Rejected"}) }.encode()).await;
        let status = if action == "DataTransfer" { "Accepted" } else { "Rejected" };
        say(&mut socket, Frame::Result { id, payload: json!({"status": status}) }.encode()).await;
    }
    assert_eq!(timeout(PATIENCE, tick).await.unwrap().unwrap(), Ok(()));
    assert!(matches!(timeout(PATIENCE, stop).await.unwrap().unwrap(), Err(CallError::Refused(_))));
}
