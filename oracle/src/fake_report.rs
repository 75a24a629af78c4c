//! A day that never was, for tests of pages and tables: two sites in Berlin, a depot and a private host, with every
//! kind of session. Always the same. Also compiled into the system tests.

use optimizer::forecast::score::Score;
use optimizer::report::{EvseReport, PlanNote, PowerSeries, Proof, Report, SessionReport, SessionStage, SiteReport};
use optimizer::units::{Interval, Micro, MicroPerKwh, UnixTime, WattHours, Watts};

/// 2025-06-17 00:00 in Berlin.
const FIRST: Interval = Interval(1_944_568);
const DAY: usize = 96;

/// The day as it is known after `known` intervals; 96 of them finish it.
pub(crate) fn report(known: usize) -> Report {
    let days = [Plant::depot().play(), Plant::host().play()];
    let mut sessions = Vec::new();
    for (index, day) in days.iter().enumerate() {
        sessions.extend(day.sessions.iter().map(|s| s.report(index, known)).filter(|s| s.arrival < at(known)));
    }
    sessions.sort_by(|a, b| (a.arrival, &a.id).cmp(&(b.arrival, &b.id)));
    let sites = days.iter().map(|day| day.report(known, &sessions)).collect();
    Report {
        scenario: "two-sites".into(),
        now: at(known),
        first: FIRST,
        intervals: DAY,
        finished: known == DAY,
        sites,
        sessions,
    }
}

fn at(interval: usize) -> UnixTime {
    FIRST.plus(interval).start()
}

fn index(n: i64) -> usize {
    usize::try_from(n).unwrap_or_default()
}

/// A site and what its day is made of.
struct Plant {
    id: &'static str,
    owner: &'static str,
    evses: usize,
    rated_w: i64,
    limit_w: i64,
    base_w: i64,
    pv_w: i64,
    battery_wh: i64,
    stays: Vec<Stay>,
}

/// A car's stay: EVSE, arrival and departure in quarter hours, what it wants.
struct Stay {
    driver: String,
    evse: usize,
    arrival: i64,
    departure: i64,
    energy_wh: i64,
    refused: bool,
    energy: Vec<i64>,
    baseline: Vec<i64>,
    name: String,
    price: i64,
}

/// A site's day, played.
struct Played {
    plant: Plant,
    power: PowerSeries,
    uncontrolled_w: Vec<i64>,
    content_wh: Vec<i64>,
    sessions: Vec<Stay>,
}

fn stay(driver: &str, evse: usize, arrival: i64, departure: i64, energy_wh: i64) -> Stay {
    let (energy, baseline) = (vec![0; DAY], vec![0; DAY]);
    let (driver, name) = (driver.to_owned(), String::new());
    Stay { driver, evse, arrival, departure, energy_wh, refused: false, energy, baseline, name, price: 390_000 }
}

impl Plant {
    fn depot() -> Self {
        let names = ["ada", "bela", "cem", "dora", "emil", "fatma", "gus", "hana", "ivo", "jana"];
        let mut dice = 7_u64;
        let mut roll = |below: i64| {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            i64::try_from((dice >> 33) % 1_000_003).unwrap_or(0) % below
        };
        let mut stays = Vec::new();
        for (evse, name) in names.iter().enumerate() {
            if evse % 2 == 0 {
                stays.push(stay(name, evse, 4 * roll(2), 22 + roll(5), 22_000 + 1_000 * roll(18)));
            }
            let day = 28 + roll(9);
            stays.push(stay(name, evse, day, day + 18 + roll(12), 14_000 + 1_000 * roll(30)));
            let evening = 66 + roll(9);
            stays.push(stay(name, evse, evening, (evening + 13 + roll(24)).min(95), 12_000 + 1_000 * roll(22)));
        }
        stays.push(stay("kim <k@example.org>", 10, 40, 43, 24_000));
        stays.push(Stay { refused: true, ..stay("lou", 11, 50, 60, 18_000) });
        let id = "DE*PVT*DEPOT";
        let plant =
            Self { id, owner: "pvt", evses: 12, rated_w: 22_000, limit_w: 95_000, base_w: 14_000, ..Self::bare() };
        Self { pv_w: 52_000, battery_wh: 60_000, stays, ..plant }
    }

    fn host() -> Self {
        let mut own = stay("mira", 0, 70, 110, 25_000);
        own.price = 0;
        let stays = vec![stay("nils", 1, 36, 62, 24_000), own, stay("olga", 1, 68, 92, 17_000)];
        let id = "DE*MIR*HOME";
        Self {
            id,
            owner: "mira",
            evses: 2,
            rated_w: 11_000,
            limit_w: 14_500,
            base_w: 900,
            pv_w: 8_200,
            stays,
            ..Self::bare()
        }
    }

    fn bare() -> Self {
        let (evses, rated_w, limit_w, base_w, pv_w, battery_wh) = (0, 0, 0, 0, 0, 0);
        Self { id: "", owner: "", evses, rated_w, limit_w, base_w, pv_w, battery_wh, stays: Vec::new() }
    }

    fn evse(&self, index: usize) -> String {
        format!("{}*E{:02}*1", &self.id[..6], index + 1)
    }

    /// Charges when power is cheap or time is short, inside the limit; a stand-in for the real planner.
    fn play(mut self) -> Played {
        let mut stays = std::mem::take(&mut self.stays);
        for (n, stay) in stays.iter_mut().enumerate() {
            let word = u64::try_from(100 * self.id.len() + n).unwrap_or(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            stay.name = format!("0x{word:016x}{:016x}{word:016x}{:016x}", word.rotate_left(17), word.rotate_left(41));
        }
        let mut day = Played {
            power: PowerSeries::default(),
            uncontrolled_w: Vec::new(),
            content_wh: Vec::new(),
            sessions: stays,
            plant: self,
        };
        for t in 0..DAY {
            day.step(t);
        }
        day
    }
}

impl Played {
    fn step(&mut self, t: usize) {
        let hour = i64::try_from(t).unwrap_or(0);
        let base = self.plant.base_w + self.plant.base_w * (20 - (hour - 50).abs()).max(0) / 20 + 10 * (hour * 37 % 61);
        let sun = (30 - (hour - 53).abs()).max(0);
        let cloud = if (44..48).contains(&hour) { 55 } else { 100 - hour * 13 % 9 };
        let pv = self.plant.pv_w * (900 - (30 - sun) * (30 - sun)) / 900 * cloud / 100;
        let before = self.content_wh.last().copied().unwrap_or(self.plant.battery_wh * 35 / 100);
        let uncontrolled = self.baseline(t);
        let discharge = if price(t) > 300_000 { (before * 4).min(18_000).min(base) } else { 0 };
        let evse = self.charge(t, self.plant.limit_w - base + pv + discharge);
        let surplus = (pv - base - evse).clamp(0, 25_000);
        let charge = surplus.min((self.plant.battery_wh - before) * 4);
        let battery = if charge > 0 { charge } else { -discharge.min((base + evse - pv).max(0)) };
        self.content_wh.push(before + if battery > 0 { battery / 4 * 95 / 100 } else { battery / 4 });
        self.power.base_w.push(Watts(base));
        self.power.pv_w.push(Watts(-pv));
        self.power.evse_w.push(Watts(evse));
        self.power.battery_w.push(Watts(battery));
        self.power.net_w.push(Watts(base - pv + evse + battery));
        self.uncontrolled_w.push(base - pv + uncontrolled);
    }

    fn charge(&mut self, t: usize, mut free_w: i64) -> i64 {
        let (now, rated) = (i64::try_from(t).unwrap_or(0), self.plant.rated_w);
        let cheap = price(t) < 260_000;
        let mut total = 0;
        for stay in self.sessions.iter_mut().filter(|s| !s.refused && s.arrival <= now && now < s.departure) {
            let need = stay.energy_wh - stay.energy.iter().sum::<i64>();
            let laxity = stay.departure - now - need * 4 / rated;
            if need <= 0 || !(cheap || laxity <= 4) {
                continue;
            }
            let power = rated.min(need * 4).min(free_w.max(0)) / 4 * 4;
            stay.energy[t] = power / 4;
            free_w -= power;
            total += power;
        }
        total
    }

    fn baseline(&mut self, t: usize) -> i64 {
        let now = i64::try_from(t).unwrap_or(0);
        let rated = self.plant.rated_w;
        let mut total = 0;
        for stay in self.sessions.iter_mut().filter(|s| !s.refused && s.arrival <= now && now < s.departure) {
            let need = stay.energy_wh - stay.baseline.iter().sum::<i64>();
            stay.baseline[t] = (rated / 4).min(need);
            total += stay.baseline[t] * 4;
        }
        total
    }

    fn report(&self, known: usize, sessions: &[SessionReport]) -> SiteReport {
        let finished = known == DAY;
        let cut = |from: usize, to: usize| PowerSeries {
            evse_w: self.power.evse_w[from..to].to_vec(),
            base_w: self.power.base_w[from..to].to_vec(),
            battery_w: self.power.battery_w[from..to].to_vec(),
            pv_w: self.power.pv_w[from..to].to_vec(),
            net_w: self.power.net_w[from..to].to_vec(),
        };
        let metered = cut(0, known);
        let uncontrolled: Vec<Watts> = self.uncontrolled_w.iter().map(|w| Watts(*w)).collect();
        let (import_wh, export_wh, cost) = bill(&metered.net_w);
        SiteReport {
            id: self.plant.id.into(),
            owner: self.plant.owner.into(),
            time_zone: "Europe/Berlin".into(),
            limit_import_w: Watts(self.plant.limit_w),
            capacity_wh: WattHours(self.plant.battery_wh),
            content_wh: self.content_wh[..known].iter().map(|e| WattHours(*e)).collect(),
            import_price: (0..DAY).map(|t| MicroPerKwh(price(t))).collect(),
            feed_in_price: vec![MicroPerKwh(82_000); DAY],
            plans: (0..known).map(note).collect(),
            proofs: (0..known).map(proof).collect(),
            refused_readings: Vec::new(),
            plan_first: FIRST.plus(known),
            plan: cut(known, DAY),
            evses: (0..self.plant.evses).map(|e| self.evse(e, known, sessions)).collect(),
            import_wh,
            export_wh,
            cost,
            cost_uncontrolled: if finished { bill(&uncontrolled).2 } else { Micro::ZERO },
            peak_w: metered.net_w.iter().copied().max().unwrap_or_default(),
            peak_uncontrolled_w: uncontrolled.iter().copied().max().filter(|_| finished).unwrap_or_default(),
            uncontrolled_net_w: if finished { uncontrolled } else { Vec::new() },
            metered,
            limit_violations: 0,
            pv_score: Score::default(),
            base_score: Score::default(),
        }
    }

    fn evse(&self, evse: usize, known: usize, sessions: &[SessionReport]) -> EvseReport {
        let id = self.plant.evse(evse);
        let power = |t: Option<usize>| {
            let energy = |t| self.sessions.iter().filter(|s| s.evse == evse).map(|s| s.energy[t]).sum::<i64>();
            Watts(t.filter(|t| *t < DAY).map_or(0, |t| energy(t) * 4))
        };
        let session = sessions.iter().rposition(|s| s.evse == id && s.unplugged.is_none());
        let (power_w, setpoint_w) = (power(known.checked_sub(1)), power(Some(known)));
        EvseReport { id, power_w, setpoint_w, rated_w: Watts(self.plant.rated_w), session }
    }
}

impl Stay {
    fn report(&self, site: usize, known: usize) -> SessionReport {
        let prefix = ["DE*PVT", "DE*MIR"][site];
        let arrival = index(self.arrival);
        let end = index(self.departure).min(DAY);
        let over = end <= known;
        let known_end = end.min(known).max(arrival);
        let delivered: i64 = self.energy[arrival..known_end].iter().sum();
        let flex: i64 = (arrival..known_end).map(|t| (self.baseline[t] - self.energy[t]).abs()).sum::<i64>() / 2;
        let worth = (arrival..known_end).map(|t| (self.baseline[t] - self.energy[t]) * price(t) / 1000).sum::<i64>();
        let settled = |n: i64| if over { n } else { 0 };
        SessionReport {
            id: self.name.clone(),
            driver: self.driver.clone(),
            evse: format!("{prefix}*E{:02}*1", self.evse + 1),
            site,
            arrival: UnixTime(at(arrival).0 + 60 * (self.arrival % 7)),
            departure: at(index(self.departure)),
            unplugged: over.then(|| UnixTime(at(end).0 - 60 * (self.arrival % 5))),
            energy_wh: WattHours(self.energy_wh),
            delivered_wh: WattHours(delivered),
            shortfall_wh: WattHours(settled(self.energy_wh - delivered)),
            energy_by_interval_wh: self.energy[arrival..known_end].iter().map(|e| WattHours(*e)).collect(),
            first_interval: FIRST.plus(arrival),
            baseline_wh: self.baseline[arrival..known_end].iter().map(|e| WattHours(*e)).filter(|_| over).collect(),
            price: MicroPerKwh(self.price),
            paid: Micro(settled(MicroPerKwh(self.price).bill(WattHours(delivered)).0)),
            flex_activated_wh: WattHours(settled(flex)),
            flex_displaced_wh_intervals: 9 * settled(flex),
            flex_worth: Micro(settled(worth)),
            flex_reward: Micro(settled((worth / 2).max(0))),
            flex_refusal: None,
            refusal: None,
            receipt: (over && !self.refused)
                .then(|| self.name.chars().rev().filter(|c| *c != 'x').collect::<String>())
                .map(|hex| format!("0x{}", &hex[..64])),
            state: self.stage(known, over),
        }
    }

    fn stage(&self, known: usize, over: bool) -> SessionStage {
        match (self.refused, over) {
            (true, _) => SessionStage::Refused,
            (false, true) => SessionStage::Settled,
            _ if index(self.arrival) + 1 >= known => SessionStage::Opening,
            _ => SessionStage::Active,
        }
    }
}

fn note(t: usize) -> PlanNote {
    match t {
        45 | 46 => PlanNote::Fallback("the solver ran out of its 5 s".into()),
        70 => PlanNote::Cpo,
        83 => PlanNote::Undispatched("the chain did not confirm in time".into()),
        _ => PlanNote::Optimal,
    }
}

fn proof(t: usize) -> Proof {
    match note(t) {
        PlanNote::Optimal if t == 30 => {
            Proof::Uncertified("12500 micro-credits above its bound, at most 10000 are tolerated".into())
        }
        PlanNote::Optimal | PlanNote::TimeLimit => {
            Proof::Certified { cost: Micro(41_000_000), gap: Micro(t as i64 * 37), gas: 310_000 }
        }
        PlanNote::Cpo => Proof::Uncertified("the CPO's own setpoints".into()),
        PlanNote::Fallback(reason) | PlanNote::Undispatched(reason) => Proof::Uncertified(reason),
    }
}

/// Day-ahead shape: a morning and an evening peak, a valley at noon.
fn price(t: usize) -> i64 {
    let hour = i64::try_from(t / 4).unwrap_or(0);
    let bump = |centre: i64, height: i64| height * (4 - (hour - centre).abs()).max(0) / 4;
    235_000 + bump(8, 90_000) + bump(19, 150_000) - bump(13, 120_000) - bump(3, 30_000)
}

fn bill(net: &[Watts]) -> (WattHours, WattHours, Micro) {
    let energy = |t: usize| net[t].0 / 4;
    let import = (0..net.len()).map(|t| energy(t).max(0)).sum();
    let export = (0..net.len()).map(|t| (-energy(t)).max(0)).sum();
    let cost = (0..net.len()).map(|t| energy(t).max(0) * price(t) / 1000 - (-energy(t)).max(0) * 82).sum();
    (WattHours(import), WattHours(export), Micro(cost))
}
