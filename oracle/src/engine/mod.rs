//! The engine: the one task that owns the state of a run, and the only place that knows two edges. It carries what
//! happens (charge points, drivers, chain, solver) into the controller as events, and what the controller wants out.
//!
//! Every event is in the journal before anything follows from it, and every transaction in the outbox before it is sent.
//! A killed engine folds its journal, finds what it had still to do, does it, and goes on in the day where it was.

mod act;
mod hear;
mod journal;

use crate::chain::Protocol;
use crate::chain::plans::CHALLENGE_WINDOW_S;
use crate::clock::Clock;
use crate::http::Ask;
use crate::keys::Keyring;
use crate::ocpp::{FromPoint, Points};
use crate::payout::{Due, PaidOut, hand_in, late_claims, outcomes, pay_out, releases};
use crate::signing::{self, SignedReading};
use crate::store::Store;
use alloy::primitives::Address;
use anyhow::{Context, Result, bail};
use journal::Entry;
use optimizer::controller::{Action, CUT_S, Controller, Event};
use optimizer::report::Report;
use optimizer::scenario::Scenario;
use optimizer::site::AssetKind;
use optimizer::units::{INTERVAL_S, Interval, Micro, MicroPerKwh, UnixTime};
use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

/// A charge point may take this long to reach the next stop of an accelerated clock, reconnects included.
const FOLLOW_DEADLINE: Duration = Duration::from_secs(60);
/// Sessions that were told to stop at the end of the day may take this long to end.
const STOP_DEADLINE: Duration = Duration::from_secs(60);
/// Where the store keeps the first block whose posts by others were not looked at yet.
const WATCHED: &str = "watched_block";
/// Intervals after which plans that nobody can challenge any more are released: a quarter of a day, because a claim that had
/// to wait for that has no more than half a day left.
const CATCH_UP: u32 = 24;
/// On a chain of its own a run looks that far ahead at its end: bills of a day can be disputed for two days after it.
const AFTERMATH_S: i64 = 4 * 86_400;

/// What the registry says of an asset, and where it is connected.
#[derive(Debug, Clone)]
struct Place {
    site: usize,
    lane: usize,
    point: String,
    connector: u32,
    /// Address of the meter's key.
    meter: Address,
    price: MicroPerKwh,
    is_evse: bool,
}

/// Everything an engine is wired to.
pub struct Edges {
    /// The contracts on their chain.
    pub protocol: Protocol,
    /// Journal and outbox.
    pub store: Store,
    /// Charge points, to talk to.
    pub points: Points,
    /// Charge points, to listen to.
    pub heard: mpsc::Receiver<FromPoint>,
    /// What drivers' phones ask.
    pub asks: mpsc::Receiver<Ask>,
    /// What pages show.
    pub live: watch::Sender<Arc<Report>>,
    /// Time.
    pub clock: Clock,
}

/// See the module.
pub struct Engine {
    scenario: Arc<Scenario>,
    controller: Controller,
    edges: Edges,
    /// By clear-text id of the asset.
    places: BTreeMap<String, Place>,
    /// Address of each site's owner.
    owners: Vec<Address>,
    memory: journal::Memory,
    /// What is still to be done, in order.
    outstanding: Vec<Action>,
    /// Scenario time.
    now: UnixTime,
    /// First block whose posts by others were not looked at yet.
    watched_block: u64,
}

/// A stop of the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stop {
    /// Facts for the interval are cut.
    Cut(Interval),
    /// The interval is over.
    End(Interval),
}

impl Stop {
    fn time(self) -> UnixTime {
        match self {
            Self::Cut(interval) => UnixTime(interval.start().0 - CUT_S),
            Self::End(interval) => interval.end(),
        }
    }

    fn event(self) -> Event {
        match self {
            Self::Cut(interval) => Event::Cut { interval },
            Self::End(interval) => Event::Ended { interval },
        }
    }
}

impl Engine {
    /// An engine on a registered scenario; folds what the journal already holds.
    pub fn new(scenario: Arc<Scenario>, edges: Edges, keyring: &Keyring) -> Result<Self> {
        let watched =
            edges.store.meta_get(WATCHED)?.map(|block| block.parse()).transpose().context("journal: a block")?;
        let mut engine = Self {
            controller: Controller::new((*scenario).clone()),
            places: places(&scenario, keyring)?,
            owners: scenario.sites.iter().map(|s| Ok(keyring.person(&s.owner)?.address())).collect::<Result<_>>()?,
            memory: journal::Memory::default(),
            outstanding: Vec::new(),
            now: UnixTime(scenario.signals.first.start().0 - CUT_S),
            watched_block: watched.unwrap_or(edges.protocol.deployment.block),
            scenario,
            edges,
        };
        for (_, _, entry) in engine.edges.store.journal::<Entry>()? {
            engine.fold(entry);
        }
        Ok(engine)
    }

    /// Runs the day from wherever it stands to its end. `progress` is called after every interval.
    pub async fn run(&mut self, mut progress: impl FnMut(&Report)) -> Result<Report> {
        self.meet_points().await?;
        self.finish_outstanding().await.context("resuming")?;
        for stop in self.stops_ahead() {
            self.go_to(stop).await.with_context(|| format!("{stop:?}"))?;
            let report = Arc::new(self.controller.report());
            if matches!(stop, Stop::End(_)) {
                progress(&report);
            }
            // Nobody has to be looking.
            let _ = self.edges.live.send(report);
        }
        if !self.memory.day_ended {
            self.happen(Entry::Event(Event::DayEnded))?;
        }
        self.finish_outstanding().await.context("ending the day")?;
        self.catch_up().await?;
        let report = self.controller.report();
        let _ = self.edges.live.send(Arc::new(report.clone()));
        if !self.controller.finished() {
            bail!("the day is over, but not every session came to its end; run again to resume");
        }
        Ok(report)
    }

    /// Leads a driven chain on past the day, until nobody can challenge its plans any more, and then nobody dispute its bills;
    /// does each time what is due, and returns what was paid out in the end, by site, and the day as it stands then.
    pub async fn pay_out(&mut self) -> Result<(Vec<PaidOut>, Report)> {
        let signals = &self.scenario.signals;
        let end = signals.first.plus(signals.len()).end();
        let chain = self.edges.protocol.chain.clone();
        let step_s = i64::from(CATCH_UP) * INTERVAL_S;
        for step in 1..=CHALLENGE_WINDOW_S / step_s {
            chain.mine_at(UnixTime(end.0 + step * step_s)).await?;
            self.catch_up().await?;
        }
        chain.mine_at(UnixTime(end.0 + AFTERMATH_S)).await?;
        let mut paid = Vec::new();
        for site in 0..self.scenario.sites.len() {
            paid.push(pay_out(&self.edges.protocol, &self.edges.store, site_id(&self.scenario, site)).await?);
        }
        Ok((paid, self.controller.report()))
    }

    /// Releases plans, and claims what had to wait for that. What was claimed is looked up on the chain, so that a kill in
    /// between loses nothing.
    async fn catch_up(&mut self) -> Result<()> {
        for site in 0..self.scenario.sites.len() {
            let site = site_id(&self.scenario, site);
            let protocol = self.edges.protocol.clone();
            let due = self.serving(async move { releases(&protocol, site).await }).await??;
            self.send(due).await.context("releasing plans")?;
            let protocol = self.edges.protocol.clone();
            let due = self.serving(async move { late_claims(&protocol, site).await }).await??;
            self.send(due).await.context("claiming flexibility")?;
        }
        for claimed in self.edges.protocol.flexibility_claimed().await? {
            let (session, reward) = (claimed.event.session.to_string(), Micro(claimed.event.bill.reward.try_into()?));
            if self.controller.reward(&session).is_some_and(|known| known != reward) {
                self.happen(Entry::Event(Event::FlexibilityClaimed { session, reward: Ok(reward) }))?;
            }
        }
        Ok(())
    }

    /// Marks the run as finished: there is nothing to resume.
    pub fn finish(&self) -> Result<()> {
        self.edges.store.meta_set("finished", "yes")
    }

    fn stops_ahead(&self) -> Vec<Stop> {
        let signals = &self.scenario.signals;
        let mut stops = vec![Stop::Cut(signals.first)];
        for k in 0..signals.len() {
            if k + 1 < signals.len() {
                stops.push(Stop::Cut(signals.first.plus(k + 1)));
            }
            stops.push(Stop::End(signals.first.plus(k)));
        }
        let done = self.memory.last_stop.and_then(|last| stops.iter().position(|s| *s == last)).map_or(0, |i| i + 1);
        stops.split_off(done)
    }

    async fn go_to(&mut self, stop: Stop) -> Result<()> {
        let clock = self.edges.clock;
        self.serving(clock.wait_until(stop.time())).await?;
        self.now = stop.time();
        self.edges.points.set_now(self.now);
        self.tick_all().await?;
        if let Stop::Cut(interval) = stop {
            self.look_for_others().await?;
            self.look_for_rules(interval).await?;
        }
        self.happen(Entry::Event(stop.event()))?;
        self.finish_outstanding().await?;
        match stop {
            Stop::End(interval) if interval.0 % CATCH_UP == 0 => self.catch_up().await,
            _ => Ok(()),
        }
    }

    /// Sends what is no action of the controller's; refused where somebody else was faster, nothing is lost.
    async fn send(&mut self, due: Vec<Due>) -> Result<()> {
        let (protocol, store) = (&self.edges.protocol, &self.edges.store);
        let hashes = hand_in(protocol, store, &due).await?;
        let chain = protocol.chain.clone();
        let outcomes = self.serving(async move { outcomes(&chain, &hashes).await }).await??;
        for ((key, _), outcome) in due.iter().zip(&outcomes) {
            self.edges.store.outbox_settle(key, outcome)?;
        }
        Ok(())
    }

    /// Every charge point of the scenario.
    fn point_ids(&self) -> Vec<String> {
        let mut ids: Vec<_> = self.places.values().map(|p| p.point.clone()).collect();
        ids.sort();
        ids.dedup();
        ids
    }

    async fn meet_points(&mut self) -> Result<()> {
        let points = self.edges.points.clone();
        points.set_now(self.now);
        let ids = self.point_ids();
        let deadline = Instant::now() + FOLLOW_DEADLINE;
        if let Err(missing) = self.serving(async move { points.wait_for(&ids, deadline).await }).await? {
            bail!(
                "{} charge points did not connect, the first: {}; if the devices of an interrupted run are gone, start \
                 afresh with --fresh",
                missing.len(),
                missing[0]
            );
        }
        self.set_safe_powers().await
    }

    /// What each EVSE may draw when the link is lost.
    async fn set_safe_powers(&mut self) -> Result<()> {
        let mut orders = Vec::new();
        for (index, site) in self.scenario.sites.iter().enumerate() {
            let safe = site.safe_w();
            let evses = self.places.values().filter(|p| p.site == index && p.is_evse);
            orders.extend(evses.map(|p| (p.point.clone(), p.connector, safe[p.lane])));
        }
        let points = self.edges.points.clone();
        let all = futures::future::try_join_all(orders.into_iter().map(move |(point, connector, power)| {
            let points = points.clone();
            async move { points.set_safe(&point, connector, power).await }
        }));
        match self.serving(all).await? {
            // At wall time a charge point may be away; it keeps the safe power that it was given before.
            Err(error) if !self.edges.clock.can_stand_still() => tracing::warn!("safe power: {error}"),
            other => drop(other?),
        }
        Ok(())
    }

    /// Lets every charge point advance to now; accelerated time stands still until all have.
    async fn tick_all(&mut self) -> Result<()> {
        let (points, now, patient) = (self.edges.points.clone(), self.now, self.edges.clock.can_stand_still());
        let ticks = self.point_ids().into_iter().map(move |id| {
            let points = points.clone();
            async move {
                let deadline = Instant::now() + FOLLOW_DEADLINE;
                while let Err(error) = points.tick(&id, now).await {
                    if !patient {
                        tracing::warn!("{id} does not follow: {error}; going on without it");
                        return Ok(());
                    }
                    if Instant::now() > deadline {
                        return Err(
                            anyhow::Error::new(error).context(format!("charge point {id} does not follow the clock"))
                        );
                    }
                    // Give it time to reconnect; the deadline above bounds the retries.
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                Ok(())
            }
        });
        self.serving(futures::future::try_join_all(ticks)).await??;
        Ok(())
    }

    /// Waits for `work` while charge points and drivers are served, and takes in what they said before it ended.
    async fn serving<T>(&mut self, work: impl Future<Output = T>) -> Result<T> {
        tokio::pin!(work);
        loop {
            tokio::select! {
                biased;
                Some(heard) = self.edges.heard.recv() => self.hear(heard)?,
                Some(ask) = self.edges.asks.recv() => self.answer(ask).await?,
                done = &mut work => return Ok(done),
            }
        }
    }

    /// Journals an entry, then lets it happen.
    fn happen(&mut self, entry: Entry) -> Result<()> {
        self.edges.store.append(self.now.0, &entry)?;
        self.fold(entry);
        Ok(())
    }

    fn fold(&mut self, entry: Entry) {
        let event = self.memory.remember(entry);
        if let Some(stop) = journal::stop_of(&event) {
            self.now = stop.time();
        }
        self.outstanding.retain(|action| !act::resolves(&event, action));
        let actions = self.controller.handle(event);
        self.outstanding.extend(actions);
    }

    fn signature_of(&self, reading: &optimizer::device::Reading) -> Option<&SignedReading> {
        self.memory.readings.get(&(reading.asset.clone(), reading.counter))
    }
}

fn places(scenario: &Scenario, keyring: &Keyring) -> Result<BTreeMap<String, Place>> {
    let mut places = BTreeMap::new();
    for (site_index, site) in scenario.sites.iter().enumerate() {
        for (lane, asset) in site.assets.iter().enumerate() {
            let (point, connector) = site.connection(lane);
            let price = if let AssetKind::Evse(evse) = &asset.kind { Some(evse.price) } else { None };
            let place = Place {
                site: site_index,
                lane,
                point,
                connector,
                meter: keyring.meter_address(&asset.id)?,
                price: price.unwrap_or_default(),
                is_evse: price.is_some(),
            };
            places.insert(asset.id.clone(), place);
        }
    }
    Ok(places)
}

/// 0x-hex of the on-chain site id.
fn site_id(scenario: &Scenario, site: usize) -> alloy::primitives::B256 {
    signing::id(&scenario.sites[site].id)
}
