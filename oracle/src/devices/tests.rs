#![allow(clippy::unwrap_used, reason = "a test may panic")]

use super::*;
use crate::driver_api::{Accepted, Offer, SignedRequest};
use crate::ocpp::{FromPoint, Points, StartReply, router};
use crate::signing::{self, SignedReading};
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use optimizer::device::{Command, Context as Why, Device, DeviceEvent, Reading};
use optimizer::session::{Driver, Session, Vehicle};
use optimizer::signals::Signals;
use optimizer::site::{Asset, AssetKind, Battery, Evse, Group, Position, Site};
use optimizer::units::{Interval, Micro, MicroPerKwh, UnixTime, WattHours, Watts};
use std::net::SocketAddr;
use std::sync::Mutex;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout};

const PATIENCE: Duration = Duration::from_secs(60);
const FIRST: Interval = Interval(1_900_000);
/// Ticks per interval.
const TICKS: i64 = 3;
/// A driver whom the oracle refuses.
const POOR: &str = "poor";
const SETTLEMENT: &str = "0x00000000000000000000000000000000000000aa";

async fn within<T>(what: impl Future<Output = T>) -> T {
    timeout(PATIENCE, what).await.expect("an end in time")
}

fn at(seconds: i64) -> UnixTime {
    UnixTime(FIRST.start().0 + seconds)
}

fn evse(point: &str, connector: u32) -> (String, AssetKind) {
    let kind =
        Evse { charge_point: point.into(), connector, min_w: Watts(1380), phases: 3, price: MicroPerKwh(350_000) };
    (format!("DE*PVT*{point}*{connector}"), AssetKind::Evse(kind))
}

fn session(id: &str, driver: &str, evse: &str, from: i64, until: i64) -> Session {
    Session {
        id: id.into(),
        driver: driver.into(),
        evse: format!("DE*PVT*{evse}"),
        arrival: at(from),
        departure: at(until + 300),
        energy_wh: WattHours(20_000),
        price_ceiling: MicroPerKwh(400_000),
        vehicle: Vehicle {
            unplugged: at(until),
            takes_wh: WattHours(30_000),
            capacity_wh: WattHours(40_000),
            start_wh: WattHours(31_000),
            max_w: Watts(11_040),
        },
    }
}

/// Two charge points, a gateway, and a car of every kind: one that stays, one after another at one EVSE, one that is
/// stopped from afar and one that is refused.
fn scenario() -> Scenario {
    let battery = Battery {
        capacity_wh: WattHours(10_000),
        start_wh: WattHours(4_000),
        charge_percent: 95,
        discharge_percent: 105,
    };
    let kinds = [
        evse("CP1", 1),
        evse("CP1", 2),
        ("PV".into(), AssetKind::Pv),
        evse("CP2", 1),
        ("BAT".into(), AssetKind::Battery(battery)),
        ("BASE".into(), AssetKind::BaseLoad),
    ];
    let asset = |(id, kind)| Asset { id, group: 0, rated_w: Watts(22_080), position: Position::default(), kind };
    let group = Group { id: "S".into(), parent: None, limit_import_w: Watts(60_000), limit_export_w: Watts(60_000) };
    let site = Site {
        id: "S".into(),
        owner: "owner".into(),
        time_zone: "Europe/Berlin".into(),
        position: Position::default(),
        groups: vec![group],
        assets: kinds.into_iter().map(asset).collect(),
    };
    let driver = |id: &str| Driver { id: id.into(), deposit: Micro(10_000_000), low_balance: Micro(0) };
    Scenario {
        name: "test".into(),
        sites: vec![site],
        drivers: ["ann", "bob", POOR].map(driver).into(),
        sessions: vec![
            session("s1", "ann", "CP1*1", 130, 1_000),
            session("s2", "bob", "CP1*2", 300, 3_500),
            session("s3", POOR, "CP2*1", 950, 2_000),
            session("s4", "ann", "CP1*1", 1_333, 9_000),
            session("s5", "bob", "CP2*1", 2_100, 2_900),
        ],
        signals: Signals {
            first: FIRST,
            import_price: vec![MicroPerKwh(1); 4],
            feed_in_price: vec![MicroPerKwh(0); 4],
            power_w: BTreeMap::from([
                ("PV".into(), vec![Watts(0), Watts(3_210), Watts(7_770), Watts(5_000)]),
                ("BASE".into(), vec![Watts(801), Watts(1_203), Watts(999), Watts(400)]),
            ]),
        },
        history: None,
    }
}

/// Power of the asset in `lane` in the interval `offset`: unequal everywhere, and with a pause.
fn power_w(lane: usize, kind: &AssetKind, offset: i64) -> Option<Watts> {
    let step = i64::try_from(lane).unwrap() + offset;
    match kind {
        AssetKind::Evse(_) => Some(Watts(if step % 4 == 3 { 0 } else { 2_310 * (1 + step % 4) })),
        AssetKind::Pv => Some(Watts(-4_000)),
        AssetKind::Battery(_) => Some(Watts(if offset % 2 == 0 { 2_500 } else { -6_000 })),
        AssetKind::BaseLoad => None,
    }
}

fn ticks() -> impl Iterator<Item = (i64, UnixTime)> {
    (0..4 * TICKS).map(|n| (n / TICKS, at((n + 1) * 900 / TICKS)))
}

/// The session that is stopped from afar, and when.
const STOPPED: (&str, i64) = ("DE*PVT*CP1*2", 1_800);

/// What the meters show when no socket is between.
fn in_process(scenario: &Scenario) -> BTreeMap<String, Vec<Reading>> {
    let mut shown = BTreeMap::new();
    for (lane, asset) in scenario.sites[0].assets.iter().enumerate() {
        let mut device = Device::new(scenario, asset);
        device.set_safe(Watts(1_400));
        let mut readings = Vec::new();
        let mut refused = None;
        for (offset, time) in ticks() {
            if let Some(power_w) = power_w(lane, &asset.kind, offset) {
                device.command(Command { from: at(offset * 900), until: at((offset + 1) * 900), power_w });
            }
            let mut events = device.advance(time);
            if (asset.id.as_str(), time) == (STOPPED.0, at(STOPPED.1)) {
                events.extend(device.stop());
            }
            for event in events {
                match event {
                    DeviceEvent::Plugged { session, .. } if session.driver == POOR => {
                        refused = Some(session.id);
                        device.refuse();
                    }
                    DeviceEvent::Unplugged { session, .. } if refused.as_ref() == Some(&session.id) => {}
                    DeviceEvent::Plugged { reading, .. }
                    | DeviceEvent::Unplugged { reading, .. }
                    | DeviceEvent::Metered(reading) => readings.push(reading),
                }
            }
        }
        shown.insert(asset.id.clone(), readings);
    }
    shown
}

/// What the engine would keep on disk.
#[derive(Default)]
struct Journal {
    facts: BTreeMap<String, Vec<SignedReading>>,
    /// By asset, as long as it runs.
    transactions: BTreeMap<String, i32>,
    /// Asset and reading's counter to number.
    starts: BTreeMap<(String, u64), i32>,
    connections: usize,
    boots: Vec<String>,
    refusals: Vec<String>,
    statuses: Vec<(String, u32, String)>,
}

impl Journal {
    fn write(&mut self, signed: &SignedReading) {
        let facts = self.facts.entry(signed.reading.asset.clone()).or_default();
        match facts.iter().find(|f| f.reading.counter == signed.reading.counter) {
            Some(known) => assert_eq!(known, signed, "a repeated fact differs"),
            None => facts.push(signed.clone()),
        }
    }

    fn start(&mut self, signed: &SignedReading) -> i32 {
        self.write(signed);
        let next = i32::try_from(self.starts.len()).unwrap() + 1;
        let asset = signed.reading.asset.clone();
        let number = *self.starts.entry((asset.clone(), signed.reading.counter)).or_insert(next);
        self.transactions.insert(asset, number);
        number
    }

    fn take(&mut self, event: FromPoint) {
        match event {
            FromPoint::Connected { .. } => self.connections += 1,
            FromPoint::Disconnected { .. } => {}
            FromPoint::Boot { point, .. } => self.boots.push(point),
            FromPoint::Status { point, connector, status, .. } => self.statuses.push((point, connector, status)),
            FromPoint::Refused { why, .. } => self.refusals.push(why),
            FromPoint::Authorize { reply, .. } => {
                let _ = reply.send(true);
            }
            FromPoint::Start { reading, reply, .. } => {
                let transaction_id = self.start(&reading);
                let _ = reply.send(StartReply { transaction_id, accepted: true });
            }
            FromPoint::Meter { transaction_id, reading, reply, .. } => {
                if transaction_id.is_some() {
                    assert_eq!(transaction_id, self.transactions.get(&reading.reading.asset).copied());
                }
                self.write(&reading);
                let _ = reply.send(());
            }
            FromPoint::Stop { transaction_id, reading, reply, .. } => {
                assert!(self.starts.values().any(|t| *t == transaction_id));
                self.write(&reading);
                let _ = reply.send(());
            }
        }
    }
}

/// The oracle's other side, as far as devices see it.
struct Engine {
    address: SocketAddr,
    points: Points,
    journal: Arc<Mutex<Journal>>,
}

impl Engine {
    /// Drops every `forget`-th event unanswered, as an engine does that fails to write it down.
    async fn start(address: &str, scenario: &Scenario, forget: usize) -> Self {
        let (points, events, address) = serve(address, scenario).await;
        let journal = Arc::new(Mutex::new(Journal::default()));
        tokio::spawn(keep(events, journal.clone(), forget));
        Self { address, points, journal }
    }

    fn config(&self, faults: Option<u64>) -> Config {
        config(self.address, faults)
    }
}

fn config(address: SocketAddr, faults: Option<u64>) -> Config {
    let keyring = Keyring::local().unwrap();
    Config { oracle: format!("http://{address}"), scenario: scenario(), keyring, faults, give_up: PATIENCE }
}

async fn keep(mut events: mpsc::Receiver<FromPoint>, journal: Arc<Mutex<Journal>>, forget: usize) {
    let mut count = 0;
    while let Some(event) = events.recv().await {
        count += 1;
        if forget == 0 || count % forget != 0 {
            journal.lock().unwrap().take(event);
        }
    }
}

async fn serve(address: &str, scenario: &Scenario) -> (Points, mpsc::Receiver<FromPoint>, SocketAddr) {
    let (sender, events) = mpsc::channel(64);
    let site = &scenario.sites[0];
    let points = Points::new((0..site.assets.len()).map(|lane| site.connection(lane).0));
    let api =
        Router::new().route("/api/offer", get(offer)).route("/api/requests", post(request)).with_state(points.clone());
    let listener = tokio::net::TcpListener::bind(address).await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = api.merge(router(points.clone(), sender));
    tokio::spawn(async move { axum::serve(listener, app).await });
    (points, events, address)
}

async fn offer(State(_): State<Points>, uri: axum::http::Uri) -> Json<Offer> {
    let evse = uri.query().and_then(|q| q.strip_prefix("evse=")).unwrap().replace("%2A", "*");
    let meter = signing::meter_id(Keyring::local().unwrap().meter_address(&evse).unwrap()).to_string();
    let tariff = (&signing::flat_tariff(350_000)).into();
    let settlement = SETTLEMENT.to_owned();
    Json(Offer { chain_id: 31337, settlement, evse, meter, tariff, now: at(0).0 })
}

async fn request(Json(signed): Json<SignedRequest>) -> Result<Json<Accepted>, (StatusCode, String)> {
    assert_eq!((signed.total_ceiling.as_str(), signed.valid_until), ("7000000", at(3600).0));
    let request = crate::abi::Request {
        driver: signed.driver.parse().unwrap(),
        evse: signing::id(&signed.evse),
        meter: signed.meter.parse().unwrap(),
        tariffHash: signed.tariff_hash.parse().unwrap(),
        energyWh: signed.energy_wh,
        departure: alloy::primitives::Uint::from(signed.departure.cast_unsigned()),
        priceCeiling: signed.price_ceiling,
        totalCeiling: signed.total_ceiling.parse().unwrap(),
        nonce: signed.nonce,
        validUntil: alloy::primitives::Uint::from(signed.valid_until.cast_unsigned()),
    };
    let digest = signing::request_digest(&request, 31337, SETTLEMENT.parse().unwrap());
    let expected = Keyring::local().unwrap().person(&signed.driver_name).unwrap().address();
    assert_eq!(signing::signer(&signed.signature, digest).unwrap(), expected);
    if signed.driver_name == POOR {
        return Err((StatusCode::PAYMENT_REQUIRED, "balance too low".into()));
    }
    Ok(Json(Accepted { session: digest.to_string(), id_tag: digest.to_string()[2..22].to_uppercase() }))
}

/// Drives the devices through the scenario over sockets; returns what was journalled.
async fn over_sockets(faults: Option<u64>, forget: usize) -> Journal {
    let scenario = scenario();
    let engine = Engine::start("127.0.0.1:0", &scenario, forget).await;
    let (stop, stopped) = oneshot::channel::<()>();
    let devices = tokio::spawn(run(engine.config(faults), async { drop(stopped.await) }));
    timeout(PATIENCE, drive(&engine, &scenario)).await.expect("the day in time");
    stop.send(()).unwrap();
    timeout(PATIENCE, devices).await.expect("the end in time").unwrap().unwrap();
    std::mem::take(&mut engine.journal.lock().unwrap())
}

async fn drive(engine: &Engine, scenario: &Scenario) {
    let site = &scenario.sites[0];
    let all: std::collections::BTreeSet<_> = (0..site.assets.len()).map(|lane| site.connection(lane).0).collect();
    let points = &engine.points;
    points.wait_for(&all.iter().cloned().collect::<Vec<_>>(), Instant::now() + PATIENCE).await.unwrap();
    for (lane, asset) in site.assets.iter().enumerate() {
        let (point, connector) = site.connection(lane);
        match asset.kind {
            AssetKind::Evse(_) => points.set_safe(&point, connector, Watts(1_400)).await.unwrap(),
            _ => points.set_safe_signed(&point, connector, Watts(1_400)).await.unwrap(),
        }
    }
    for (offset, time) in ticks() {
        for (lane, asset) in site.assets.iter().enumerate() {
            let (point, n) = site.connection(lane);
            let (from, until) = (at(offset * 900), at((offset + 1) * 900));
            match (power_w(lane, &asset.kind, offset), &asset.kind) {
                (Some(power), AssetKind::Evse(_)) => points.set_power(&point, n, from, until, power).await.unwrap(),
                (Some(power), _) => points.set_power_signed(&point, n, from, until, power).await.unwrap(),
                (None, _) => {}
            }
        }
        let together = all.iter().map(|point| points.tick(point, time));
        futures::future::try_join_all(together).await.unwrap();
        if time == at(STOPPED.1) {
            let transaction = engine.journal.lock().unwrap().transactions[STOPPED.0];
            points.remote_stop("CP1", transaction).await.unwrap();
            assert!(points.remote_stop("CP1", 999).await.is_err());
        }
    }
    // A time already reached is no news, but by then everything is told.
    futures::future::try_join_all(all.iter().map(|point| points.tick(point, at(0)))).await.unwrap();
}

fn check(journal: &Journal) {
    let keyring = Keyring::local().unwrap();
    for signed in journal.facts.values().flatten() {
        assert_eq!(signing::reading_signer(signed).unwrap(), keyring.meter_address(&signed.reading.asset).unwrap());
    }
    let readings = |facts: &Vec<SignedReading>| facts.iter().map(|f| f.reading.clone()).collect::<Vec<_>>();
    let metered: BTreeMap<_, _> = journal.facts.iter().map(|(asset, facts)| (asset.clone(), readings(facts))).collect();
    assert_eq!(metered, in_process(&scenario()));
    assert_eq!(journal.refusals, Vec::<String>::new());
    // Four of five cars got a transaction, three of which are over.
    assert_eq!(journal.starts.len(), 4);
    let ends = metered.values().flatten().filter(|r| r.context == Why::End).count();
    assert_eq!(ends, 3);
}

#[tokio::test]
async fn sockets_change_no_watt_hour() {
    let journal = over_sockets(None, 0).await;
    check(&journal);
    assert_eq!(journal.boots.len(), 3, "one boot each: {:?}", journal.boots);
    assert_eq!(journal.connections, 3);
    let told: Vec<_> = journal.statuses.iter().filter(|s| s.0 == "CP1" && s.1 == 1).map(|s| s.2.as_str()).collect();
    let first_car = ["Available", "Preparing", "Charging", "Finishing"];
    let second_car = ["Available", "Preparing", "Charging", "SuspendedEVSE", "Charging"];
    assert_eq!(told, [&first_car[..], &second_car].concat());
}

#[tokio::test]
async fn lost_doubled_and_late_messages_change_no_watt_hour() {
    for seed in [1, 2, 3] {
        println!("seed {seed}");
        let journal = over_sockets(Some(seed), 0).await;
        check(&journal);
        assert!(journal.connections > 3, "the faults lost no connection");
    }
}

#[tokio::test]
async fn an_engine_that_fails_to_write_loses_nothing() {
    check(&over_sockets(None, 7).await);
    check(&over_sockets(Some(4), 5).await);
}

/// The oracle dies between the start's arrival and its journal. Its successor, who knows nothing of the signed reading
/// that came before, gets both again.
#[test]
fn an_oracle_killed_within_a_start_loses_nothing() {
    let scenario = scenario();
    let first = tokio::runtime::Runtime::new().unwrap();
    let (points, mut events, address) = first.block_on(serve("127.0.0.1:0", &scenario));
    let ground = tokio::runtime::Runtime::new().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let devices = ground.spawn(run(config(address, None), async { drop(stopped.await) }));
    let lost = first.block_on(within(async {
        points.wait_for(&["CP1".into()], Instant::now() + PATIENCE).await.unwrap();
        tokio::spawn(async move { points.tick("CP1", at(300)).await });
        loop {
            match events.recv().await.unwrap() {
                FromPoint::Start { reading, .. } => return reading,
                FromPoint::Authorize { reply, .. } => reply.send(true).unwrap(),
                _ => {}
            }
        }
    }));
    first.shutdown_timeout(PATIENCE);

    let second = tokio::runtime::Runtime::new().unwrap();
    let journal = second.block_on(within(async {
        let engine = Engine::start(&address.to_string(), &scenario, 0).await;
        engine.points.wait_for(&["CP1".into()], Instant::now() + PATIENCE).await.unwrap();
        engine.points.tick("CP1", at(300)).await.unwrap();
        std::mem::take(&mut *engine.journal.lock().unwrap())
    }));
    assert!(journal.facts["DE*PVT*CP1*1"].contains(&lost));
    assert_eq!(journal.boots, Vec::<String>::new(), "a reconnection is no boot");
    stop.send(()).unwrap();
    ground.block_on(within(devices)).unwrap().unwrap();
}

#[tokio::test]
async fn an_oracle_out_of_reach_is_given_up() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let config = Config { give_up: Duration::from_millis(50), ..config(address, None) };
    let error = timeout(PATIENCE, run(config, std::future::pending())).await.unwrap().unwrap_err();
    assert!(error.to_string().contains("out of reach"), "{error:#}");
}
