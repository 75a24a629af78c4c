//! The protocol of an ACN-Sim experiment: one line per period with the cars that are plugged in, one line back with the
//! currents that they shall get. The constraint matrix is taken as it is: EVSEs with the same column and phase angle form
//! a class, and every row becomes a polygon of rows.
//!
//! Currents are planned, not powers: an ampere counts as [`AMPERE_W`], so that whole and half amperes are whole steps and
//! pilots and limits are met exactly. Energies and prices are converted by the true voltage.

use super::decimal::{Decimal, number};
use crate::problem::{GroupLimit, Need, Peak, Problem};
use crate::rows::{MICRO, Phasor, polygon};
use crate::schedule::Schedule;
use crate::solve::Planner;
use crate::units::{HORIZON, Interval, MicroPerKw, MicroPerKwh, WattHours, Watts};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// What an ampere is planned as.
const AMPERE_W: i64 = 200;
/// Corners of the polygons: a multiple of 12, so that balanced loads on phases 30° apart give nothing away.
const SIDES: usize = 48;
/// Where an EVSE has no limit, what a car takes: 32 A, the most of a level-2 cable of its kind, and of the experiment's cars.
const CAR_W: Watts = Watts(32 * AMPERE_W);
/// More than any site.
const UNLIMITED: Watts = Watts(1_000_000_000);
/// Unmet need costs the plan this many times what the driver would pay. A demand charge is paid once for a month and a
/// plan sees one day of it: at 4 a car is left short only where serving it would take a peak that its site will hardly use
/// again; above 10 the day of the most cars alone sets the month's peak.
const PENALTY: i64 = 4;
/// A plan that would leave more than this share of what the cars of the last day wanted, in per cent, is no matter of one day:
/// unmet need then costs [`SCARCE_PENALTY`] times as much, and the site gets the peak that its drivers need.
const SCARCE_PERCENT: i64 = 25;
/// See [`SCARCE_PERCENT`].
const SCARCE_PENALTY: i64 = 25;
/// The peak that a month is expected to need anyway, per mille of what all EVSEs draw together: up to it power costs its
/// energy only, above it the whole demand charge. It is a prior and not a forecast; the peak so far takes over where it
/// is higher. A charge spread over the days left would grow stale: the peak of a day early in the month is used again on
/// every day after it. Measured: the Caltech garage needs 73 per mille with foresight, 85 to meet 99 % of cars.
const EXPECTED_PEAK_PER_MILLE: i64 = 86;
/// Power later is dearer by this for every interval, micro-dollars per kWh: cars to come will want it too. Small against
/// any tariff with a peak price, and more than a day's difference between shoulder and night.
const WAITING_MICRO: i64 = 1_000;

/// One period as the simulation tells it. See `bench/acn_month.py` for the fields; further ones are ignored.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Period {
    period: u32,
    minutes: i64,
    voltage_v: Decimal,
    peak_so_far_kw: Decimal,
    energy_price: Vec<Decimal>,
    demand_charge: Decimal,
    revenue: Decimal,
    sessions: Vec<Plugged>,
    /// How many periods of currents to answer; one where it is not given.
    periods: Option<usize>,
    /// What a kWh left out costs the plan, $; where it is not given, [`PENALTY`] times the revenue. With the revenue itself the
    /// plan maximises profit.
    shortfall: Option<Decimal>,
    #[serde(flatten)]
    place: Place,
}

/// What does not change from period to period.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
struct Place {
    evses: Vec<String>,
    phase_deg: Vec<Decimal>,
    rows: Vec<LineLimit>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct LineLimit {
    name: String,
    coef: Vec<Decimal>,
    limit_a: Decimal,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Plugged {
    id: String,
    evse: String,
    arrival: u32,
    departure: u32,
    remaining_kwh: Decimal,
    min_a: Decimal,
    max_a: Decimal,
    pilots_a: Option<Vec<Decimal>>,
}

/// What is known of a simulation that runs.
#[derive(Debug, Default)]
pub struct Simulated {
    place: Place,
    /// Group of each EVSE.
    class: Vec<usize>,
    /// Groups and rows alone.
    network: Problem,
    /// Cars of the last day: when they were first seen, and what they wanted then, Wh.
    wanted: BTreeMap<String, (u32, i64)>,
    plan: Option<Schedule>,
}

impl Simulated {
    /// Answers one period.
    pub(super) fn rates(&mut self, period: &Period, planner: &mut Planner) -> Result<String, String> {
        if period.minutes != 15 {
            return Err(format!("minutes: {}, expected 15", period.minutes));
        }
        if period.place != self.place {
            self.network = Problem::default();
            self.class = classes(&period.place, &mut self.network)?;
            self.place = period.place.clone();
        }
        let mut problem = self.problem(period)?;
        let mut plan = planned(planner, &problem)?;
        let missing: i64 = plan.shortfalls.iter().map(|short| short.energy_wh.0).sum();
        let wanted = self.wanted_wh(period, &problem);
        if period.shortfall.is_none() && 100 * missing > SCARCE_PERCENT * wanted {
            problem.shortfall_penalty.0 *= SCARCE_PENALTY;
            plan = planned(planner, &problem)?;
        }
        let mut rates = Map::new();
        for need in &problem.needs {
            if let Some(evse) = self.place.evses.get(need.lane) {
                let powers = plan.power_w[need.lane].iter().take(period.periods.unwrap_or(1));
                let amperes = powers.map(|power| Value::from(number(power.0 * 1000 / AMPERE_W, 3)));
                rates.insert(evse.clone(), amperes.collect());
            }
        }
        self.plan = Some(plan);
        Ok(json!({ "rates_a": rates }).to_string())
    }

    fn problem(&mut self, period: &Period) -> Result<Problem, String> {
        let voltage_mv = period.voltage_v.scaled("voltage_v", 3)?;
        if voltage_mv <= 0 {
            return Err("voltage_v: expected above 0".to_owned());
        }
        let first = Interval(period.period);
        // A true kWh is this many planned ones, as a fraction.
        let planned = |true_amount: i64| true_amount * AMPERE_W * 1000 / voltage_mv;
        let price = |per_true: i64| per_true * voltage_mv / (AMPERE_W * 1000);
        let most = period.energy_price.len().max(1);
        let mut needs = Vec::with_capacity(period.sessions.len());
        for session in &period.sessions {
            let name = |field: &str| format!("session {}, {field}", session.id);
            let lane = self.place.evses.iter().position(|evse| *evse == session.evse);
            let lane = lane.ok_or_else(|| format!("{} is not in evses", name("evse")))?;
            // Nobody tells of cars to come, except to have a whole month planned with foresight.
            let from = session.arrival.saturating_sub(period.period) as usize;
            let until = session.departure.saturating_sub(period.period) as usize;
            let remaining_wh = session.remaining_kwh.scaled(&name("remaining_kwh"), 3)?;
            let amperes =
                |field: &str, value: &Decimal| Ok::<_, String>(value.scaled(&name(field), 3)? * AMPERE_W / 1000);
            let pilots = session.pilots_a.iter().flatten().map(|a| amperes("pilots_a", a).map(Watts));
            let pilots_w = pilots.collect::<Result<Vec<_>, _>>()?;
            let max_w = Watts(amperes("max_a", &session.max_a)?).min(CAR_W);
            needs.push(Need {
                session: session.id.clone(),
                lane,
                group: self.class[lane],
                from: from.min(most),
                until: until.clamp(1, most),
                max_w: max_w.floor_to_step(),
                min_w: Watts(if pilots_w.is_empty() { amperes("min_a", &session.min_a)? } else { 0 }),
                pilots_w,
                energy_wh: WattHours(planned(remaining_wh)),
                running_w: self.running(lane, first),
                ..Need::default()
            });
        }
        let horizon = needs.iter().map(|need| need.until).max().unwrap_or(1);
        let mut import_price = Vec::with_capacity(horizon);
        for k in 0..horizon {
            let listed = period.energy_price.get(k).or(period.energy_price.last());
            let dollars = listed.ok_or("energy_price: expected at least one price")?.scaled("energy_price", 6)?;
            let waiting = if period.shortfall.is_some() { 0 } else { WAITING_MICRO * k as i64 };
            import_price.push(MicroPerKwh(price(dollars + waiting)));
        }
        let so_far = Watts(planned(period.peak_so_far_kw.scaled("peak_so_far_kw", 3)?));
        let charge = price(period.demand_charge.scaled("demand_charge", 6)?);
        let penalty = match &period.shortfall {
            Some(shortfall) => shortfall.scaled("shortfall", 6)?,
            None => period.revenue.scaled("revenue", 6)? * PENALTY,
        };
        // With foresight the month's peak needs no guess.
        let expected = if period.shortfall.is_some() { Watts::ZERO } else { self.expected_peak() };
        let peak = Peak { so_far_w: so_far.max(expected), price: MicroPerKw(charge) };
        Ok(Problem {
            site: "acn".to_owned(),
            first,
            horizon,
            lanes: self.place.evses.len(),
            needs,
            feed_in_price: vec![MicroPerKwh(0); horizon],
            import_price,
            peak: Some(peak),
            shortfall_penalty: MicroPerKwh(price(penalty)),
            ..self.network.clone()
        })
    }

    /// What the cars of the last day wanted when they came.
    fn wanted_wh(&mut self, period: &Period, problem: &Problem) -> i64 {
        self.wanted.retain(|_, (seen, _)| *seen + HORIZON as u32 > period.period);
        for need in &problem.needs {
            self.wanted.entry(need.session.clone()).or_insert((period.period, need.energy_wh.0));
        }
        self.wanted.values().map(|(_, energy)| energy).sum()
    }

    /// The month's peak before anything is known of the month.
    fn expected_peak(&self) -> Watts {
        Watts(CAR_W.0 * self.place.evses.len() as i64 * EXPECTED_PEAK_PER_MILLE / 1000)
    }

    fn running(&self, lane: usize, first: Interval) -> Vec<Watts> {
        let row = |plan: &Schedule| {
            let passed = first.offset_from(plan.first)?;
            Some(plan.power_w.get(lane)?.iter().skip(passed).copied().collect())
        };
        self.plan.as_ref().and_then(row).unwrap_or_default()
    }
}

fn planned(planner: &mut Planner, problem: &Problem) -> Result<Schedule, String> {
    planner.plan_or_fall_back(problem, super::LIMIT_MS).map_err(|invalid| invalid.to_string())
}

/// Makes groups and rows of `network` from a constraint matrix; the group of each EVSE.
fn classes(place: &Place, network: &mut Problem) -> Result<Vec<usize>, String> {
    let count = place.evses.len();
    if place.phase_deg.len() != count {
        return Err(format!("phase_deg: {} entries, expected {count}", place.phase_deg.len()));
    }
    let mut columns: Vec<Vec<i64>> = vec![Vec::with_capacity(place.rows.len() + 1); count];
    for (column, phase) in columns.iter_mut().zip(&place.phase_deg) {
        column.push(phase.scaled("phase_deg", 3)?);
    }
    // A coefficient of a row has a magnitude of at most 1; where the matrix has more, the row is divided by it.
    let mut scales = Vec::with_capacity(place.rows.len());
    for row in &place.rows {
        let field = format!("row {}, coef", row.name);
        if row.coef.len() != count {
            return Err(format!("{field}: {} entries, expected {count}", row.coef.len()));
        }
        let micro = row.coef.iter().map(|c| c.scaled(&field, 6)).collect::<Result<Vec<_>, _>>()?;
        let scale = micro.iter().map(|c| c.abs()).max().unwrap_or(0).max(MICRO);
        columns.iter_mut().zip(&micro).for_each(|(column, c)| column.push(c * MICRO / scale));
        scales.push(scale);
    }
    let mut distinct: Vec<&Vec<i64>> = columns.iter().collect();
    distinct.sort();
    distinct.dedup();
    let below = distinct.iter().map(|_| GroupLimit { parent: Some(0), import_w: UNLIMITED, ..GroupLimit::default() });
    network.groups = [GroupLimit { import_w: UNLIMITED, ..GroupLimit::default() }].into_iter().chain(below).collect();
    for (r, (row, scale)) in place.rows.iter().zip(scales).enumerate() {
        let limit_ma = row.limit_a.scaled(&format!("row {}, limit_a", row.name), 6)? / 1000;
        let limit_w = Watts(limit_ma * AMPERE_W / 1000 * MICRO / scale);
        let phasor = |(class, column): (usize, &&Vec<i64>)| Phasor {
            group: class + 1,
            angle_mdeg: column[0],
            factor_micro: column[r + 1],
        };
        let phasors: Vec<Phasor> = distinct.iter().enumerate().map(phasor).collect();
        network.rows.extend(polygon(&row.name, &phasors, limit_w, SIDES));
    }
    Ok(columns.iter().map(|column| distinct.binary_search(&column).map_or(0, |class| class + 1)).collect())
}
