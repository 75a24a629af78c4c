//! The protocol of an ACN-Sim experiment: one line per period with the cars that are plugged in, one line back with the
//! currents that they shall get. The constraint matrix is taken as it is; [`crate::garage`] plans.

use crate::garage::{Car, Facts, Garage};
use crate::import::json::{Decimal, number};
use crate::rows::Line;
use crate::solve::Planner;
use crate::units::{Interval, MicroPerKw, MicroPerKwh, WattHours, Watts};
use serde::Deserialize;
use serde_json::{Map, Value, json};

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
    /// What a kWh left out costs the plan, $; see [`Facts::shortfall`].
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

impl Place {
    fn garage(&self) -> Result<Garage, String> {
        if self.phase_deg.len() != self.evses.len() {
            return Err(format!("phase_deg: {} entries, expected {}", self.phase_deg.len(), self.evses.len()));
        }
        let line = |row: &LineLimit| {
            let coefficients = row.coef.iter().map(|c| c.scaled(&format!("row {}, coef", row.name), 6));
            let limit_ua = row.limit_a.scaled(&format!("row {}, limit_a", row.name), 6)?;
            let coefficient_micro = coefficients.collect::<Result<_, _>>()?;
            Ok::<_, String>(Line { name: row.name.clone(), coefficient_micro, limit_ma: limit_ua / 1000 })
        };
        let angles = self.phase_deg.iter().map(|angle| angle.scaled("phase_deg", 3)).collect::<Result<Vec<_>, _>>()?;
        let lines = self.rows.iter().map(line).collect::<Result<Vec<_>, _>>()?;
        Garage::new(&angles, &lines)
    }
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
    garage: Garage,
}

impl Simulated {
    /// Answers one period.
    pub(super) fn rates(&mut self, period: &Period, planner: &mut Planner) -> Result<String, String> {
        if period.minutes != 15 {
            return Err(format!("minutes: {}, expected 15", period.minutes));
        }
        if period.place != self.place {
            self.garage = period.place.garage()?;
            self.place = period.place.clone();
        }
        let facts = self.facts(period)?;
        let planned = self.garage.plan(&facts, planner, super::LIMIT_MS);
        let (problem, plan) = planned.map_err(|invalid| invalid.to_string())?;
        let mut rates = Map::new();
        for need in &problem.needs {
            if let Some(evse) = self.place.evses.get(need.lane) {
                let powers = plan.power_w[need.lane].iter().take(period.periods.unwrap_or(1));
                let amperes = powers.map(|power| Value::from(number(Garage::current_ma(*power), 3)));
                rates.insert(evse.clone(), amperes.collect());
            }
        }
        Ok(json!({ "rates_a": rates }).to_string())
    }

    fn facts(&self, period: &Period) -> Result<Facts, String> {
        let voltage_mv = period.voltage_v.scaled("voltage_v", 3)?;
        if voltage_mv <= 0 {
            return Err("voltage_v: expected above 0".to_owned());
        }
        if period.energy_price.is_empty() {
            return Err("energy_price: expected at least one price".to_owned());
        }
        let prices = period.energy_price.iter().map(|price| price.scaled("energy_price", 6).map(MicroPerKwh));
        let shortfall = period.shortfall.as_ref().map(|shortfall| shortfall.scaled("shortfall", 6));
        Ok(Facts {
            now: Interval(period.period),
            voltage_mv,
            cars: period.sessions.iter().map(|session| self.car(period, session)).collect::<Result<_, _>>()?,
            import_price: prices.collect::<Result<_, _>>()?,
            demand_charge: MicroPerKw(period.demand_charge.scaled("demand_charge", 6)?),
            peak_so_far_w: Watts(period.peak_so_far_kw.scaled("peak_so_far_kw", 3)?),
            revenue: MicroPerKwh(period.revenue.scaled("revenue", 6)?),
            shortfall: shortfall.transpose()?.map(MicroPerKwh),
        })
    }

    fn car(&self, period: &Period, session: &Plugged) -> Result<Car, String> {
        let name = |field: &str| format!("session {}, {field}", session.id);
        let lane = self.place.evses.iter().position(|evse| *evse == session.evse);
        let milli = |field: &str, value: &Decimal| value.scaled(&name(field), 3);
        let pilots = session.pilots_a.iter().flatten().map(|pilot| milli("pilots_a", pilot));
        Ok(Car {
            session: session.id.clone(),
            lane: lane.ok_or_else(|| format!("{} is not in evses", name("evse")))?,
            from: session.arrival.saturating_sub(period.period) as usize,
            until: session.departure.saturating_sub(period.period) as usize,
            remaining_wh: WattHours(milli("remaining_kwh", &session.remaining_kwh)?),
            min_ma: milli("min_a", &session.min_a)?,
            max_ma: milli("max_a", &session.max_a)?,
            pilots_ma: pilots.collect::<Result<_, _>>()?,
        })
    }
}
