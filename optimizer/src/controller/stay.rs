//! A session as the controller knows it: what was asked, what was metered, and where it stands.

use super::{Asked, last_interval};
use crate::device::Reading;
use crate::flexibility::{self, Flexibility, Metered};
use crate::forecast::habit::Begun;
use crate::report::{SessionReport, SessionStage};
use crate::session::PastSession;
use crate::settlement::REWARD_CAP;
use crate::signals::Signals;
use crate::units::{INTERVAL_S, Interval, Micro, MicroPerKwh, WattHours, Watts};

/// Below this share (per cent) of its setpoint a car takes clearly less: meters and chargers are within a few per cent.
const CLEARLY_LESS_PERCENT: i64 = 90;
/// A car that takes less than it is given is planned with this share (per cent) of what it last took: so much that one
/// that takes the same again still takes clearly less, and so little that others get what it leaves.
const HEADROOM_PERCENT: i64 = 115;

#[derive(Debug, Clone)]
pub(super) struct Stay {
    pub(super) asked: Asked,
    pub(super) site: usize,
    pub(super) lane: usize,
    stage: SessionStage,
    open_sent: bool,
    start: Option<Reading>,
    stop: Option<Reading>,
    /// Energy by interval from that of the plug-in on, and the register up to which it is counted.
    energy_wh: Vec<WattHours>,
    counted_wh: WattHours,
    /// What the car last took, where that was clearly less than its setpoint: it tapers, or (0) has what it wants.
    takes_w: Option<Watts>,
    flexibility: Option<Flexibility>,
    receipt: Option<String>,
    paid: Micro,
    reward: Micro,
    refusal: Option<String>,
    /// A claim of its flexibility is under way.
    claims: bool,
    /// Why its flexibility earned nothing.
    unclaimed: Option<String>,
}

impl Stay {
    pub(super) fn new(asked: Asked, site: usize, lane: usize) -> Self {
        Self {
            asked,
            site,
            lane,
            stage: SessionStage::Requested,
            open_sent: false,
            start: None,
            stop: None,
            energy_wh: Vec::new(),
            counted_wh: WattHours::ZERO,
            takes_w: None,
            flexibility: None,
            receipt: None,
            paid: Micro::ZERO,
            reward: Micro::ZERO,
            refusal: None,
            claims: false,
            unclaimed: None,
        }
    }

    /// A repeated plug-in (a charge point that missed the answer) changes nothing.
    pub(super) fn plug(&mut self, reading: Reading) {
        if self.start.is_none() && self.stage == SessionStage::Requested {
            self.counted_wh = reading.import_wh;
            self.start = Some(reading);
            self.stage = SessionStage::Opening;
        }
    }

    /// A car that leaves before its session was sent to the chain leaves nothing to bill: it had no setpoint yet.
    pub(super) fn unplug(&mut self, reading: Reading, setpoint: Watts) {
        if !self.is_plugged() {
            return;
        }
        let interval = last_interval(&reading);
        self.observe(interval, reading.import_wh, setpoint, reading.time.0 - interval.start().0);
        self.stop = Some(reading);
        if !self.open_sent {
            self.refuse("left before the first plan".to_owned());
        } else if self.stage != SessionStage::Refused {
            self.stage = SessionStage::Ended;
        }
    }

    pub(super) fn was_seen(&self) -> bool {
        self.start.is_some()
    }

    pub(super) fn is_plugged(&self) -> bool {
        self.start.is_some() && self.stop.is_none()
    }

    pub(super) fn is_refused(&self) -> bool {
        self.stage == SessionStage::Refused
    }

    pub(super) fn is_final(&self) -> bool {
        !self.claims && matches!(self.stage, SessionStage::Settled | SessionStage::Refused | SessionStage::Requested)
    }

    pub(super) fn advance_to(&mut self, stage: SessionStage) {
        self.stage = self.stage.max(stage);
    }

    pub(super) fn refuse(&mut self, reason: String) {
        self.stage = SessionStage::Refused;
        self.refusal = Some(reason);
    }

    /// Returns what there is to claim, once.
    pub(super) fn settled(&mut self, receipt: String, paid: Micro) -> Option<Flexibility> {
        self.stage = SessionStage::Settled;
        self.paid = paid;
        let first = self.receipt.replace(receipt).is_none();
        let pays = self.asked.price > MicroPerKwh::ZERO;
        let earns = first && pays && self.unclaimed.is_none();
        let moved = self.flexibility.clone().filter(|flexibility| earns && flexibility.worth > Micro::ZERO)?;
        self.claims = true;
        Some(moved)
    }

    /// What came of the claim; a refused one leaves the bill as it is, and may be made again.
    pub(super) fn claimed(&mut self, reward: Result<Micro, String>) {
        self.claims = false;
        match reward {
            Ok(reward) => (self.reward, self.unclaimed) = (reward, None),
            Err(reason) => self.unclaimed = Some(reason),
        }
    }

    pub(super) fn reward(&self) -> Micro {
        self.reward
    }

    /// What is known of it while it runs; `None` before the plug-in.
    pub(super) fn begun(&self) -> Option<Begun<'_>> {
        Some(Begun {
            driver: &self.asked.driver,
            arrival: self.start.as_ref()?.time,
            departure: Some(self.asked.departure),
            energy_wh: Some(self.asked.energy_wh),
        })
    }

    /// What can be learned from it when it is over.
    pub(super) fn past(&self, site: &str) -> Option<PastSession> {
        let (begun, stop) = (self.begun()?, self.stop.as_ref()?);
        Some(PastSession {
            site: site.to_owned(),
            driver: begun.driver.to_owned(),
            arrival: begun.arrival,
            unplugged: stop.time,
            departure: begun.departure,
            energy_wh: begun.energy_wh,
            delivered_wh: self.delivered_wh(),
        })
    }

    /// Whether it goes to the chain now; asked once.
    pub(super) fn send_opening(&mut self) -> bool {
        let now = self.stage == SessionStage::Opening && !self.open_sent;
        self.open_sent |= now;
        now
    }

    pub(super) fn wants_settling(&self) -> bool {
        self.stage == SessionStage::Ended && self.flexibility.is_none()
    }

    /// Whether a plan should still give it energy.
    pub(super) fn wants_energy(&self) -> bool {
        self.is_plugged()
            && self.takes_w != Some(Watts::ZERO)
            && matches!(self.stage, SessionStage::Opening | SessionStage::Active)
            && self.delivered_wh() < self.asked.energy_wh
    }

    /// Energy up to the newest reading that was counted.
    pub(super) fn delivered_wh(&self) -> WattHours {
        self.energy_wh.iter().copied().sum()
    }

    /// Register at the plug-in.
    pub(super) fn start_wh(&self) -> WattHours {
        self.start.as_ref().map(|r| r.import_wh).unwrap_or_default()
    }

    fn first(&self) -> Interval {
        self.start.as_ref().map(|r| Interval::containing(r.time)).unwrap_or_default()
    }

    fn count(&mut self, interval: Interval, register: WattHours) {
        let Some(offset) = interval.offset_from(self.first()) else { return };
        if self.energy_wh.len() <= offset {
            self.energy_wh.resize(offset + 1, WattHours::ZERO);
        }
        self.energy_wh[offset] += register - self.counted_wh;
        self.counted_wh = register;
    }

    pub(super) fn interval_ended(&mut self, interval: Interval, register: WattHours, setpoint: Watts) {
        if self.is_plugged() {
            self.observe(interval, register, setpoint, INTERVAL_S);
        }
    }

    /// Counts energy of `interval`, of which `seconds` have passed, and learns what the car takes.
    fn observe(&mut self, interval: Interval, register: WattHours, setpoint: Watts, seconds: i64) {
        self.takes_w = self.takes_w(interval, register, setpoint, seconds);
        self.count(interval, register);
    }

    /// What the car takes, where that is clearly less than its setpoint, by a register `seconds` into `interval`. The
    /// first, partial interval tells nothing, for it has no setpoint; neither does one in which nothing was ordered.
    pub(super) fn takes_w(
        &self,
        interval: Interval,
        register: WattHours,
        setpoint: Watts,
        seconds: i64,
    ) -> Option<Watts> {
        let taken = register - self.counted_wh;
        let ordered = WattHours(setpoint.0 * seconds / 3600);
        if interval <= self.first() || ordered == WattHours::ZERO {
            return self.takes_w;
        }
        let less = (taken.0 + 1) * 100 < ordered.0 * CLEARLY_LESS_PERCENT;
        less.then(|| Watts(taken.0 * 3600 / seconds.max(1)))
    }

    /// Most power to plan for: what it `takes_w` where that is less than it could have, and some more, so that a car that
    /// takes more again is noticed. At least what the EVSE can hold.
    pub(super) fn expected_max_w(takes_w: Option<Watts>, most: Watts, least: Watts) -> Watts {
        let expected = takes_w.map_or(most, |w| Watts(w.0 * HEADROOM_PERCENT / 100).ceil_to_step());
        expected.min(most).max(least)
    }

    /// Measures what was moved off the baseline, over the whole intervals of the stay: in the first, partial one no plan
    /// could have given the car anything. Only what was certified from the first to the last interval earns anything.
    pub(super) fn assess(
        &mut self,
        max_w: Watts,
        signals: &Signals,
        node_price: impl Fn(Interval) -> Option<MicroPerKwh>,
        is_certified: impl Fn(Interval) -> bool,
    ) {
        let last = self.stop.as_ref().map_or(self.first(), |stop| Interval::containing(stop.time));
        let mut stay = (self.first().0..=last.0).map(Interval);
        self.unclaimed = stay.find(|t| !is_certified(*t)).map(|t| format!("interval {t} has no certified plan"));

        let metered = |(offset, energy_wh): (usize, &WattHours)| {
            let interval = self.first().plus(offset);
            let prices = signals.index(interval).map(|i| signals.import_price[i].min(signals.feed_in_price[i]));
            Metered { energy_wh: *energy_wh, node_price: node_price(interval), least_price: prices.unwrap_or_default() }
        };
        let stay: Vec<_> = self.energy_wh.iter().enumerate().skip(1).map(metered).collect();
        self.flexibility = Some(flexibility::measure(max_w, &stay, REWARD_CAP));
    }

    /// Start and stop of the bill.
    pub(super) fn bill(&self) -> Option<(Reading, Reading)> {
        self.start.clone().zip(self.stop.clone())
    }

    pub(super) fn report(&self, id: &str) -> SessionReport {
        let flex = self.flexibility.as_ref();
        let delivered_wh = self.delivered_wh();
        let missing = self.asked.energy_wh - delivered_wh;
        SessionReport {
            id: id.to_owned(),
            driver: self.asked.driver.clone(),
            evse: self.asked.evse.clone(),
            site: self.site,
            arrival: self.start.as_ref().map(|r| r.time).unwrap_or_default(),
            departure: self.asked.departure,
            unplugged: self.stop.as_ref().map(|r| r.time),
            energy_wh: self.asked.energy_wh,
            delivered_wh,
            shortfall_wh: if self.takes_w == Some(Watts::ZERO) {
                WattHours::ZERO
            } else {
                missing.max(WattHours::ZERO)
            },
            energy_by_interval_wh: self.energy_wh.clone(),
            first_interval: self.first(),
            // Aligned with the metered series, whose first, partial interval has no baseline.
            baseline_wh: flex.map(|f| [&[WattHours::ZERO], f.baseline_wh.as_slice()].concat()).unwrap_or_default(),
            price: self.asked.price,
            paid: self.paid,
            flex_activated_wh: flex.map(|f| f.activated_wh).unwrap_or_default(),
            flex_displaced_wh_intervals: flex.map(|f| f.displaced_wh_intervals).unwrap_or_default(),
            flex_worth: flex.map(|f| f.worth).unwrap_or_default(),
            flex_reward: self.reward,
            flex_refusal: self.unclaimed.clone(),
            receipt: self.receipt.clone(),
            refusal: self.refusal.clone(),
            state: self.stage,
        }
    }
}
