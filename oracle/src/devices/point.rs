//! A charge point without its socket: what stands behind it, and the queue of what it has to tell.

use crate::driver_api::Accepted;
use crate::keys::Keyring;
use crate::ocpp::{self, Command, ErrorCode, Message};
use crate::signing::{SignedReading, sign_reading};
use alloy::signers::local::PrivateKeySigner;
use anyhow::Result;
use optimizer::device::{Device, DeviceEvent, Reading};
use optimizer::scenario::Scenario;
use optimizer::session::Session;
use optimizer::site::{Asset, AssetKind};
use optimizer::units::{UnixTime, Watts};
use serde_json::Value;
use std::collections::{BTreeMap, VecDeque};

const VENDOR: &str = "Provolt";
const MODEL: &str = "Device";
/// Furthest a tick leads: a longer one is a mistake, and would be stepped through minute by minute.
const TICK_MAX_S: i64 = 7 * 24 * 3600;

/// A charge point or gateway.
pub(super) struct Point {
    id: String,
    connectors: BTreeMap<u32, Connector>,
    booted: bool,
    /// To be said first on this connection.
    greeting: VecDeque<Message>,
    /// To be told in this order; the head is kept until it is acknowledged.
    queue: VecDeque<Task>,
}

struct Connector {
    device: Device,
    key: PrivateKeySigner,
    is_evse: bool,
    /// The car that stands here.
    session: Option<Session>,
    /// A remote stop ended its transaction.
    stopped: bool,
    transaction: Option<i32>,
    ended: Option<i32>,
    /// The last status told.
    status: &'static str,
}

enum Task {
    Status { connector: u32, status: &'static str, time: UnixTime },
    Plug { connector: u32, session: Session, reading: SignedReading, stage: Stage },
    Meter { connector: u32, reading: SignedReading },
    Stop { connector: u32, reading: SignedReading, reason: &'static str },
}

/// How far the beginning of a transaction has come.
#[derive(Clone)]
enum Stage {
    /// The phone asks.
    Request,
    /// The driver shows this tag.
    Authorize(String),
    /// The signed reading goes before...
    Begin(String),
    /// ...the start itself.
    Start(String),
}

/// What to do next.
pub(super) enum Next {
    /// Nothing: all is acknowledged.
    Idle,
    /// Send this and report the answer.
    Send(Message),
    /// Let the driver's phone ask for this session and report what it got.
    Phone(Session),
}

/// What an answer led to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Done,
    /// The same again, after a pause.
    Again,
}

impl Point {
    pub(super) fn new(
        id: String,
        assets: BTreeMap<u32, &Asset>,
        scenario: &Scenario,
        keyring: &Keyring,
    ) -> Result<Self> {
        let connector = |asset: &Asset| -> Result<Connector> {
            Ok(Connector {
                device: Device::new(scenario, asset),
                key: keyring.meter(&asset.id)?,
                is_evse: matches!(asset.kind, AssetKind::Evse(_)),
                session: None,
                stopped: false,
                transaction: None,
                ended: None,
                status: "",
            })
        };
        let connectors = assets.into_iter().map(|(n, asset)| Ok((n, connector(asset)?))).collect::<Result<_>>()?;
        Ok(Self { id, connectors, booted: false, greeting: VecDeque::new(), queue: VecDeque::new() })
    }

    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// A new connection is up. Only the first one follows a boot; later ones go on where the last one broke.
    pub(super) fn connected(&mut self) {
        self.greeting.clear();
        if !self.booted {
            self.greeting.push_back(Message::Boot { vendor: VENDOR.into(), model: MODEL.into() });
        }
        self.greeting.push_back(Message::Heartbeat);
        // The pair of a start travels on one connection.
        self.restart_pair();
    }

    fn restart_pair(&mut self) {
        if let Some(Task::Plug { stage, .. }) = self.queue.front_mut()
            && let Stage::Start(tag) = stage
        {
            *stage = Stage::Begin(std::mem::take(tag));
        }
    }

    /// What to do next. Asked again without an answer in between, it says the same.
    pub(super) fn next(&mut self) -> Next {
        if let Some(message) = self.greeting.front() {
            return Next::Send(message.clone());
        }
        while let Some(task) = self.queue.front() {
            if let Some(next) = self.step(task) {
                return next;
            }
            self.queue.pop_front();
        }
        Next::Idle
    }

    /// `None` where a task has become pointless.
    fn step(&self, task: &Task) -> Option<Next> {
        let message = match task {
            Task::Status { connector, status, time } => {
                let at = self.connectors.get(connector)?;
                let charging = matches!(*status, "Charging" | "SuspendedEVSE");
                if at.status == *status || (charging && at.transaction.is_none()) {
                    return None;
                }
                let (status, error) = ((*status).to_owned(), "NoError".to_owned());
                Message::Status { connector: *connector, status, error, time: Some(*time) }
            }
            Task::Plug { connector, session, reading, stage } => match stage {
                Stage::Request => return Some(Next::Phone(session.clone())),
                Stage::Authorize(id_tag) => Message::Authorize { id_tag: id_tag.clone() },
                Stage::Begin(_) => {
                    Message::Meter { connector: *connector, transaction_id: None, readings: vec![reading.clone()] }
                }
                Stage::Start(id_tag) => Message::Start {
                    connector: *connector,
                    id_tag: id_tag.clone(),
                    meter_wh: reading.reading.import_wh,
                    time: reading.reading.time,
                },
            },
            Task::Meter { connector, reading } => Message::Meter {
                connector: *connector,
                transaction_id: self.connectors.get(connector)?.transaction,
                readings: vec![reading.clone()],
            },
            Task::Stop { connector, reading, reason } => Message::Stop {
                transaction_id: self.connectors.get(connector)?.transaction?,
                reason: (*reason).to_owned(),
                reading: reading.clone(),
            },
        };
        Some(Next::Send(message))
    }

    /// What the phone got.
    pub(super) fn phoned(&mut self, answer: Result<Accepted>) {
        let Some(Task::Plug { stage, .. }) = self.queue.front_mut() else {
            return;
        };
        match answer {
            Ok(accepted) => *stage = Stage::Authorize(accepted.id_tag),
            Err(error) => self.refused(&format!("{error:#}")),
        }
    }

    /// The answer to the last message.
    pub(super) fn answered(&mut self, answer: Result<Value, (ErrorCode, String)>) -> Outcome {
        match answer {
            Ok(payload) if self.greeting.is_empty() => self.acknowledged(payload),
            Ok(payload) => {
                if matches!(self.greeting.front(), Some(Message::Boot { .. })) {
                    if !ocpp::is_accepted(&payload) {
                        return Outcome::Again;
                    }
                    self.boot_accepted();
                }
                self.greeting.pop_front();
                Outcome::Done
            }
            // The oracle could not write it down.
            Err((ErrorCode::InternalError, _)) => Outcome::Again,
            Err(_) if self.greeting.pop_front().is_some() => Outcome::Done,
            Err((code, why)) => self.rejected(code, &why),
        }
    }

    fn boot_accepted(&mut self) {
        self.booted = true;
        for (n, connector) in self.connectors.iter().rev() {
            let time = connector.device.now();
            self.queue.push_front(Task::Status { connector: *n, status: "Available", time });
        }
    }

    fn acknowledged(&mut self, payload: Value) -> Outcome {
        match self.queue.front_mut() {
            Some(Task::Plug { stage, connector, .. }) => {
                let connector = *connector;
                match stage.clone() {
                    Stage::Request => {}
                    Stage::Authorize(tag) => match ocpp::read_authorize_answer(payload) {
                        Ok(true) => *stage = Stage::Begin(tag),
                        Ok(false) => self.refused("the tag is not accepted"),
                        Err(refusal) => self.refused(&refusal.to_string()),
                    },
                    Stage::Begin(tag) => *stage = Stage::Start(tag),
                    Stage::Start(_) => match ocpp::read_start_answer(payload) {
                        Ok(answer) if answer.accepted => self.started(connector, answer.transaction_id),
                        Ok(_) => self.refused("the start is not accepted"),
                        Err(refusal) => self.refused(&refusal.to_string()),
                    },
                }
            }
            Some(Task::Status { connector, status, .. }) => {
                if let Some(connector) = self.connectors.get_mut(connector) {
                    connector.status = status;
                }
                self.queue.pop_front();
            }
            Some(Task::Stop { connector, .. }) => {
                if let Some(connector) = self.connectors.get_mut(connector) {
                    connector.ended = connector.transaction.take();
                }
                self.queue.pop_front();
            }
            Some(Task::Meter { .. }) | None => {
                self.queue.pop_front();
            }
        }
        Outcome::Done
    }

    /// The oracle found a fault in the message itself: sending it again would stop everything behind it for ever.
    fn rejected(&mut self, code: ErrorCode, why: &str) -> Outcome {
        if let Some(Task::Plug { stage, .. }) = self.queue.front() {
            // A new oracle process does not know the first half of the pair.
            if code == ErrorCode::OccurenceConstraintViolation && matches!(stage, Stage::Start(_)) {
                self.restart_pair();
                return Outcome::Again;
            }
            self.refused(why);
        } else {
            tracing::error!(point = self.id, ?code, why, "message given up");
            self.queue.pop_front();
        }
        Outcome::Done
    }

    fn started(&mut self, connector: u32, transaction_id: i32) {
        if let Some(connector) = self.connectors.get_mut(&connector) {
            connector.transaction = Some(transaction_id);
        }
        self.queue.pop_front();
    }

    /// The session at the head gets nothing. Its car may have left already, and another one stand there.
    fn refused(&mut self, why: &str) {
        if let Some(Task::Plug { connector, session, .. }) = self.queue.pop_front() {
            tracing::warn!(point = self.id, connector, session = session.id, why, "refused");
            if let Some(connector) = self.connectors.get_mut(&connector)
                && connector.session.as_ref().is_some_and(|s| s.id == session.id)
            {
                connector.device.refuse();
            }
        }
    }

    /// Carries out an order of the oracle; `false` refuses it. A tick is carried out when the queue is empty again.
    pub(super) fn order(&mut self, command: &Command) -> Result<bool> {
        match command {
            Command::Tick { time } => return self.tick(*time),
            Command::Power { connector, command } | Command::PowerSigned { connector, command } => {
                return Ok(self.with(*connector, |c| c.device.command(*command)));
            }
            Command::Safe { connector, power_w } | Command::SafeSigned { connector, power_w } => {
                let power_w: Watts = *power_w;
                return Ok(self.with(*connector, |c| c.device.set_safe(power_w)));
            }
            Command::Stop { transaction_id } => return self.stop(*transaction_id),
            // Here a transaction begins when a driver's phone asks for it, never from afar.
            Command::Start { .. } => {}
        }
        Ok(false)
    }

    fn with(&mut self, connector: u32, change: impl FnOnce(&mut Connector)) -> bool {
        self.connectors.get_mut(&connector).map(change).is_some()
    }

    fn tick(&mut self, time: UnixTime) -> Result<bool> {
        if self.connectors.values().any(|c| time.0.saturating_sub(c.device.now().0) > TICK_MAX_S) {
            return Ok(false);
        }
        for (n, connector) in &mut self.connectors {
            if connector.device.now() < time {
                let events = connector.device.advance(time);
                connector.tell(*n, events, &mut self.queue)?;
            }
        }
        Ok(true)
    }

    fn stop(&mut self, transaction_id: i32) -> Result<bool> {
        for (n, connector) in &mut self.connectors {
            if connector.transaction == Some(transaction_id) {
                if let Some(DeviceEvent::Unplugged { reading, .. }) = connector.device.stop() {
                    connector.stopped = true;
                    let time = reading.time;
                    self.queue.push_back(Task::Status { connector: *n, status: "Finishing", time });
                    let reading = connector.sign(reading)?;
                    self.queue.push_back(Task::Stop { connector: *n, reading, reason: "Remote" });
                }
                return Ok(true);
            }
        }
        // A repeated order finds its work done.
        Ok(self.connectors.values().any(|c| c.ended == Some(transaction_id)))
    }
}

impl Connector {
    fn sign(&self, reading: Reading) -> Result<SignedReading> {
        sign_reading(&self.key, reading)
    }

    fn tell(&mut self, n: u32, events: Vec<DeviceEvent>, queue: &mut VecDeque<Task>) -> Result<()> {
        let status = |status, time| Task::Status { connector: n, status, time };
        for event in events {
            match event {
                DeviceEvent::Plugged { session, reading } => {
                    queue.push_back(status("Preparing", reading.time));
                    let reading = self.sign(reading)?;
                    self.session = Some(session.clone());
                    self.stopped = false;
                    queue.push_back(Task::Plug { connector: n, session, reading, stage: Stage::Request });
                }
                DeviceEvent::Unplugged { reading, .. } => {
                    let time = reading.time;
                    self.session = None;
                    queue.push_back(status("Finishing", time));
                    let reading = self.sign(reading)?;
                    queue.push_back(Task::Stop { connector: n, reading, reason: "EVDisconnected" });
                    queue.push_back(status("Available", time));
                }
                DeviceEvent::Metered(reading) => {
                    let reading = self.sign(reading)?;
                    queue.push_back(Task::Meter { connector: n, reading });
                }
            }
        }
        if self.is_evse {
            queue.push_back(status(self.wanted_status(), self.device.now()));
        }
        Ok(())
    }

    fn wanted_status(&mut self) -> &'static str {
        // A refused or stopped car leaves without an event.
        self.session.take_if(|s| s.vehicle.unplugged <= self.device.now());
        match &self.session {
            None => "Available",
            Some(_) if self.stopped => "Finishing",
            Some(_) if self.device.power_w() > Watts::ZERO => "Charging",
            Some(_) => "SuspendedEVSE",
        }
    }
}
