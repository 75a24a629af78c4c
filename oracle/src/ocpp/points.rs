//! Orders to the charge points, by their OCPP identities.

use super::commands::Command;
use super::messages::is_accepted;
use optimizer::device;
use optimizer::units::{UnixTime, Watts};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::time::{Instant, timeout_at};

/// A charge point that has not answered an order by then is asked again. OCPP knows no figure; one fault-free answer
/// takes under a millisecond here, over a mobile network a few seconds.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// How often an order is sent over a link that stays up.
const ATTEMPTS: u32 = 3;
/// An order is given up after this, lost links and reconnections included.
const ORDER_TIMEOUT: Duration = Duration::from_secs(30);
/// The same for a tick, which waits until everything that happened is acknowledged: every meter's signature, the
/// driver's request on chain, and the journal.
const TICK_TIMEOUT: Duration = Duration::from_secs(120);

/// Why an order was not carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallError {
    /// No charge point of this identity is expected.
    Unknown(String),
    /// The order cannot be written in OCPP.
    Invalid(String),
    /// The charge point said no.
    Refused(String),
    /// The charge point was not connected, or did not answer, until the order was given up.
    NoAnswer(String),
}

impl std::fmt::Display for CallError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unknown(point) => write!(f, "{point}: unknown charge point"),
            Self::Invalid(why) => write!(f, "order: {why}"),
            Self::Refused(why) => write!(f, "refused: {why}"),
            Self::NoAnswer(point) => write!(f, "{point}: no answer"),
        }
    }
}

impl std::error::Error for CallError {}

/// The charge points: a handle, cheap to clone. One order at a time is under way to each, the others wait their turn;
/// so an order given during a tick arrives after it.
#[derive(Clone)]
pub struct Points {
    inner: Arc<Inner>,
}

struct Inner {
    known: BTreeSet<String>,
    links: Mutex<BTreeMap<String, Link>>,
    /// Counts connections and disconnections, for those who wait for one.
    changed: watch::Sender<u64>,
    now: AtomicI64,
    next: AtomicU64,
}

/// The present connection of a charge point.
#[derive(Clone)]
pub(super) struct Link {
    pub(super) number: u64,
    pub(super) asks: mpsc::Sender<Ask>,
    /// Tells the connection that a newer one took its place.
    pub(super) replaced: Arc<Notify>,
}

/// One call to send, and who waits for its answer. A dropped waiter frees the line.
pub(super) struct Ask {
    pub(super) id: String,
    pub(super) action: &'static str,
    pub(super) payload: Value,
    pub(super) reply: oneshot::Sender<Result<Value, String>>,
}

impl Points {
    /// A handle for charge points of these identities; others find no endpoint.
    pub fn new(known: impl IntoIterator<Item = String>) -> Self {
        Self {
            inner: Arc::new(Inner {
                known: known.into_iter().collect(),
                links: Mutex::default(),
                changed: watch::Sender::new(0),
                now: AtomicI64::new(0),
                next: AtomicU64::new(1),
            }),
        }
    }

    /// Sets the scenario time that charge points are told.
    pub fn set_now(&self, now: UnixTime) {
        self.inner.now.store(now.0, Ordering::Relaxed);
    }

    /// Identities of the charge points that are connected, sorted.
    pub fn connected(&self) -> Vec<String> {
        self.links().keys().cloned().collect()
    }

    /// Waits until all of `points` are connected; returns those that are not at the deadline.
    pub async fn wait_for(&self, points: &[String], deadline: Instant) -> Result<(), Vec<String>> {
        let mut changed = self.inner.changed.subscribe();
        loop {
            let missing: Vec<_> = {
                let links = self.links();
                points.iter().filter(|p| !links.contains_key(*p)).cloned().collect()
            };
            if missing.is_empty() {
                return Ok(());
            }
            if !matches!(timeout_at(deadline, changed.changed()).await, Ok(Ok(()))) {
                return Err(missing);
            }
        }
    }

    /// Moves a charge point on to `time`: returns when it has, and everything that happened there is acknowledged.
    /// Can be repeated.
    pub async fn tick(&self, point: &str, time: UnixTime) -> Result<(), CallError> {
        self.order(point, Command::Tick { time }, TICK_TIMEOUT).await
    }

    /// Orders power for an EVSE, in W and not negative.
    pub async fn set_power(
        &self,
        point: &str,
        connector: u32,
        from: UnixTime,
        until: UnixTime,
        limit: Watts,
    ) -> Result<(), CallError> {
        let command = device::Command { from, until, power_w: limit };
        self.order(point, Command::Power { connector, command }, ORDER_TIMEOUT).await
    }

    /// Orders power for a PV inverter or battery behind a gateway, signed.
    pub async fn set_power_signed(
        &self,
        point: &str,
        connector: u32,
        from: UnixTime,
        until: UnixTime,
        power: Watts,
    ) -> Result<(), CallError> {
        let command = device::Command { from, until, power_w: power };
        self.order(point, Command::PowerSigned { connector, command }, ORDER_TIMEOUT).await
    }

    /// Sets what may flow at an EVSE without an order, and so when the link is lost.
    pub async fn set_safe(&self, point: &str, connector: u32, power_w: Watts) -> Result<(), CallError> {
        self.order(point, Command::Safe { connector, power_w }, ORDER_TIMEOUT).await
    }

    /// The same for a PV inverter or battery behind a gateway, signed.
    pub async fn set_safe_signed(&self, point: &str, connector: u32, power_w: Watts) -> Result<(), CallError> {
        self.order(point, Command::SafeSigned { connector, power_w }, ORDER_TIMEOUT).await
    }

    /// Ends a transaction. The end itself arrives as a fact.
    pub async fn remote_stop(&self, point: &str, transaction_id: i32) -> Result<(), CallError> {
        self.order(point, Command::Stop { transaction_id }, ORDER_TIMEOUT).await
    }

    /// Begins a transaction. The beginning itself arrives as a fact.
    pub async fn remote_start(&self, point: &str, connector: u32, id_tag: &str) -> Result<(), CallError> {
        self.order(point, Command::Start { connector, id_tag: id_tag.to_owned() }, ORDER_TIMEOUT).await
    }

    /// Sends an order until it is answered: again after a lost link, and a few times where no answer comes. Every order
    /// can be repeated without harm.
    async fn order(&self, point: &str, command: Command, patience: Duration) -> Result<(), CallError> {
        if !self.is_known(point) {
            return Err(CallError::Unknown(point.to_owned()));
        }
        let (action, payload) = command.write().map_err(|e| CallError::Invalid(e.to_string()))?;
        let deadline = Instant::now() + patience;
        // A tick has all its time for one answer: asking again would only add to a queue that is being worked off.
        let answer_time = if matches!(command, Command::Tick { .. }) { patience } else { ANSWER_TIMEOUT };
        let answered = timeout_at(deadline, self.repeat(point, action, &payload, answer_time, deadline)).await;
        answered.unwrap_or_else(|_| Err(CallError::NoAnswer(point.to_owned())))
    }

    async fn repeat(
        &self,
        point: &str,
        action: &'static str,
        payload: &Value,
        answer_time: Duration,
        deadline: Instant,
    ) -> Result<(), CallError> {
        let mut attempts = 0;
        while attempts < ATTEMPTS && self.wait_for(&[point.to_owned()], deadline).await.is_ok() {
            match self.ask(point, action, payload.clone(), Instant::now() + answer_time).await {
                Answer::Said(Ok(answer)) if is_accepted(&answer) => return Ok(()),
                Answer::Said(Ok(answer)) => return Err(CallError::Refused(format!("{point}: {action}: {answer}"))),
                Answer::Said(Err(why)) => return Err(CallError::Refused(format!("{point}: {action}: {why}"))),
                Answer::Late => attempts += 1,
                Answer::LinkLost => {}
            }
        }
        Err(CallError::NoAnswer(point.to_owned()))
    }

    async fn ask(&self, point: &str, action: &'static str, payload: Value, deadline: Instant) -> Answer {
        let Some(link) = self.links().get(point).cloned() else {
            return Answer::LinkLost;
        };
        let (reply, answer) = oneshot::channel();
        let id = self.inner.next.fetch_add(1, Ordering::Relaxed).to_string();
        // The time in the line counts too; an order that was given up there is not sent.
        match timeout_at(deadline, link.asks.send(Ask { id, action, payload, reply })).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return self.lost(point, &link).await,
            Err(_) => return Answer::Late,
        }
        match timeout_at(deadline, answer).await {
            Ok(Ok(answer)) => Answer::Said(answer),
            Ok(Err(_)) => self.lost(point, &link).await,
            Err(_) => Answer::Late,
        }
    }

    /// The connection has ended, but may not have left the register yet: waits until it has.
    async fn lost(&self, point: &str, link: &Link) -> Answer {
        let mut changed = self.inner.changed.subscribe();
        while self.links().get(point).is_some_and(|l| l.number == link.number) {
            if changed.changed().await.is_err() {
                break;
            }
        }
        Answer::LinkLost
    }

    pub(super) fn is_known(&self, point: &str) -> bool {
        self.inner.known.contains(point)
    }

    pub(super) fn now(&self) -> UnixTime {
        UnixTime(self.inner.now.load(Ordering::Relaxed))
    }

    /// Enters a new connection in the place of an older one.
    pub(super) fn enter(&self, point: &str, asks: mpsc::Sender<Ask>) -> Link {
        let number = self.inner.next.fetch_add(1, Ordering::Relaxed);
        let link = Link { number, asks, replaced: Arc::new(Notify::new()) };
        let older = self.links().insert(point.to_owned(), link.clone());
        if let Some(older) = older {
            older.replaced.notify_one();
        }
        self.inner.changed.send_modify(|n| *n += 1);
        link
    }

    /// Removes a connection; `false` if a newer one has its place.
    pub(super) fn leave(&self, point: &str, link: &Link) -> bool {
        let mut links = self.links();
        let present = links.get(point).is_some_and(|l| l.number == link.number);
        if present {
            links.remove(point);
        }
        drop(links);
        self.inner.changed.send_modify(|n| *n += 1);
        present
    }

    fn links(&self) -> MutexGuard<'_, BTreeMap<String, Link>> {
        // No code panics while it holds this lock; a poisoned map would be whole all the same.
        self.inner.links.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

enum Answer {
    Said(Result<Value, String>),
    Late,
    LinkLost,
}
