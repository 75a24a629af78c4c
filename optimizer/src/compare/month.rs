//! A month of recorded sessions in a garage, under each algorithm: the set-up of the published ACN-Sim experiments.
//!
//! Time goes in quarter hours from local midnight. A car is there from the interval in which it came until the one in
//! which it left, for half a day at most, and takes what it was delivered then, if the stay has room for it at full
//! power. Its battery is ideal: it takes what it is given until it has what it wants. An algorithm learns of a car when
//! it comes; it is then told its real departure and energy, and of arrivals nothing. Lines carry complex currents, and
//! what they exceed is counted from them and not from the planner's rows.

use super::{Algorithm, Plans, Run, Served, Watch};
use crate::garage::{CAR_MA, Car, Facts, Garage};
use crate::heuristic;
use crate::import::{FieldSession, Station, Tariff, Topology};
use crate::report::{PowerSeries, mean_w};
use crate::rows::{Line, MICRO, cos_micro};
use crate::scenario::ScenarioError;
use crate::solve::Planner;
use crate::units::{GramsPerMwh, HORIZON, INTERVAL_S, Interval, MicroPerKw, MicroPerKwh, UnixTime, WattHours, Watts};
use chrono::{Datelike, Days, Months, NaiveDate, NaiveDateTime, NaiveTime};
use chrono_tz::Tz;

/// Longest stay that counts, intervals.
const STAY_MAX: u32 = 48;
/// Longest time for a plan, and for one of a whole month.
const LIMIT_MS: u32 = 10_000;
const MONTH_LIMIT_MS: u32 = 600_000;
/// µWh per Wh.
const MICRO_WH: i64 = 1_000_000;
/// A car with less to go has what it wants, as in ACN-Sim.
const FULL_WITHIN_UWH: i64 = MICRO_WH;
/// A kWh left out costs the plan with most energy this many times what drivers pay.
const ENERGY_FIRST: i64 = 100;
/// Nominal voltage between line and neutral below the transformers of ACN-Sim's sites, V.
const SECONDARY_V: i64 = 120;
/// Lines of a transformer begin with these words.
const TRANSFORMER: [&str; 2] = ["Secondary", "Primary"];
/// Currents and limits are whole mA.
const TOLERANCE_MA: i128 = 2;

/// What limits a garage.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// The transformer carries this instead of what the topology says: its lines are scaled.
    pub cap_w: Option<Watts>,
    /// Whether EVSEs know the topology's pilots only, or any current up to their most.
    pub discrete: bool,
}

/// What energy costs, and where.
#[derive(Debug, Clone, Copy)]
pub struct Tariffed<'a> {
    /// The grid's prices.
    pub tariff: &'a Tariff,
    /// What drivers pay.
    pub revenue: MicroPerKwh,
    /// Whose clock tells day and hour.
    pub zone: Tz,
}

/// A month, or some days of it.
#[derive(Debug, Clone)]
pub struct Month {
    pub(super) name: String,
    site: String,
    date: NaiveDate,
    first: Interval,
    days: Vec<usize>,
    stations: Vec<Station>,
    lines: Vec<Line>,
    voltage_mv: i64,
    limit_w: Option<Watts>,
    pub(super) stays: Vec<Stay>,
    /// From `first` on, a day longer than the month.
    import_price: Vec<MicroPerKwh>,
    demand_charge: MicroPerKw,
    revenue: MicroPerKwh,
    co2: Vec<GramsPerMwh>,
}

/// A car's stay.
#[derive(Debug, Clone)]
pub(super) struct Stay {
    session: String,
    lane: usize,
    /// First interval, and first after it, counted from the month's first.
    pub(super) from: usize,
    pub(super) until: usize,
    wanted_uwh: i64,
}

impl Month {
    /// `days` local days from `date` on (`None`: a calendar month) of the sessions at the stations of `topology`; others
    /// are left out.
    ///
    /// # Errors
    /// Stations of different voltages, a cap for a topology without a transformer, a day without prices or sessions.
    pub fn new(
        site: &str,
        topology: &Topology,
        sessions: &[FieldSession],
        tariffed: Tariffed<'_>,
        (date, days): (NaiveDate, Option<u64>),
        limits: Limits,
    ) -> Result<Self, ScenarioError> {
        let fail = |value: &str, expected: &str| ScenarioError::new(site, 0, "stations", value, expected);
        let voltage_mv = topology.stations.first().map_or(0, |station| station.connection.voltage_mv);
        let other = topology.stations.iter().find(|station| station.connection.voltage_mv != voltage_mv);
        if let Some(other) = other {
            return Err(fail(&other.id, "one voltage for all: a month is planned in currents"));
        }
        let end = match days {
            Some(days) => date.checked_add_days(Days::new(days)),
            None => date.checked_add_months(Months::new(1)),
        };
        let end = end.ok_or_else(|| ScenarioError::new("--days", 0, "days", "", "a date of the calendar"))?;
        let midnight =
            |date: NaiveDate| Interval::containing(UnixTime(local_s(date.and_time(NaiveTime::MIN), tariffed.zone)));
        let first = midnight(date);
        let dates: Vec<NaiveDate> = date.iter_days().take_while(|day| *day <= end).collect();
        let starts: Vec<usize> = dates.iter().filter_map(|day| midnight(*day).offset_from(first)).collect();
        let length = starts.last().copied().unwrap_or(0);
        let stays = stays(topology, sessions, first, length, voltage_mv);
        let intervals = stays.iter().map(|stay| stay.until).max().unwrap_or(0);
        if intervals == 0 {
            let expected = format!("sessions from {date} until {end} at stations of the topology");
            return Err(ScenarioError::new("--sessions", 0, "arrival", "", expected));
        }
        let mut topology = topology.clone();
        if let Some(cap_w) = limits.cap_w {
            scale_transformer(site, &mut topology.lines, cap_w)?;
        }
        for station in &mut topology.stations {
            station.min_ma = 0;
            if !limits.discrete {
                station.pilots_ma.clear();
            }
        }
        // Cars of the last evening leave on the next day.
        let mut bounds: Vec<usize> = starts.into_iter().filter(|start| *start < intervals).collect();
        bounds.push(intervals);
        let zone = tariffed.zone;
        Ok(Self {
            name: date.format("%Y-%m").to_string(),
            site: site.to_owned(),
            date,
            first,
            days: bounds,
            limit_w: transformer_w(&topology.lines),
            stations: topology.stations,
            lines: topology.lines,
            voltage_mv,
            stays,
            import_price: tariffed.tariff.prices(zone, first, intervals + HORIZON)?,
            demand_charge: tariffed.tariff.demand_charge(date)?,
            revenue: tariffed.revenue,
            co2: Vec::new(),
        })
    }

    /// First interval.
    pub fn first(&self) -> Interval {
        self.first
    }

    /// Number of intervals until the last car has left.
    pub fn intervals(&self) -> usize {
        self.days.last().copied().unwrap_or(0)
    }

    /// The days from Monday to Friday, counted from 0.
    pub fn weekdays(&self) -> impl Iterator<Item = usize> {
        let is_weekday = |(_, date): &(usize, NaiveDate)| date.weekday().num_days_from_monday() < 5;
        (0..self.days.len() - 1).zip(self.date.iter_days()).filter(is_weekday).map(|(day, _)| day)
    }

    /// With emissions: one entry per interval.
    #[must_use]
    pub fn with_co2(self, co2: Vec<GramsPerMwh>) -> Self {
        Self { co2, ..self }
    }

    /// First intervals of the local days, and the end.
    pub(super) fn days(&self) -> &[usize] {
        &self.days
    }

    /// A garage that knows nothing of the month.
    pub(super) fn garage(&self) -> Result<Garage, String> {
        let angles: Vec<i64> = self.stations.iter().map(|station| station.connection.angle_mdeg).collect();
        Garage::new(&angles, &self.lines)
    }

    /// What is known at interval `t`, with `cars`.
    pub(super) fn facts(&self, t: usize, horizon: usize, cars: Vec<Car>) -> Facts {
        Facts {
            now: self.first.plus(t),
            voltage_mv: self.voltage_mv,
            cars,
            import_price: self.import_price[t..(t + horizon).min(self.import_price.len())].to_vec(),
            demand_charge: self.demand_charge,
            peak_so_far_w: Watts::ZERO,
            revenue: self.revenue,
            shortfall: None,
        }
    }

    /// A car as seen from interval `t`, with `remaining_uwh` to go.
    pub(super) fn car(&self, stay: &Stay, t: usize, remaining_uwh: i64) -> Car {
        let station = &self.stations[stay.lane];
        Car {
            session: stay.session.clone(),
            lane: stay.lane,
            from: stay.from.saturating_sub(t),
            until: stay.until.saturating_sub(t),
            remaining_wh: wh(remaining_uwh),
            min_ma: station.min_ma,
            max_ma: station.max_ma,
            pilots_ma: station.pilots_ma.clone(),
        }
    }

    /// All cars that come in some intervals, as seen from the first of them: with foresight, and with any current.
    pub(super) fn foreseen(&self, range: std::ops::Range<usize>) -> Vec<Car> {
        let cars = self.stays.iter().filter(|stay| range.contains(&stay.from));
        cars.map(|stay| Car { pilots_ma: Vec::new(), ..self.car(stay, range.start, stay.wanted_uwh) }).collect()
    }

    /// The plan of the whole month that knows it, by EVSE and interval.
    fn foresee(&self, shortfall: MicroPerKwh, plans: &mut Plans, watch: Watch<'_>) -> Result<Vec<Vec<Watts>>, String> {
        let end = self.intervals();
        let facts = Facts { shortfall: Some(shortfall), ..self.facts(0, end, self.foreseen(0..end)) };
        let mut garage = self.garage()?;
        let (planned, took_us) = watch.timed(|| garage.plan(&facts, &mut Planner::new(), MONTH_LIMIT_MS));
        let (problem, schedule) = planned.map_err(|error| error.to_string())?;
        plans.note(&problem, &schedule, took_us);
        Ok(schedule.power_w)
    }
}

/// Seconds since 1970 when a clock in `zone` shows `time`; where it skips it, an hour later.
pub(super) fn local_s(time: NaiveDateTime, zone: Tz) -> i64 {
    let later = time + chrono::TimeDelta::hours(1);
    let found = time.and_local_timezone(zone).earliest().or_else(|| later.and_local_timezone(zone).earliest());
    found.map_or(0, |time| time.timestamp())
}

/// µWh as Wh, to the nearest.
fn wh(micro_wh: i64) -> WattHours {
    WattHours((micro_wh + MICRO_WH / 2).div_euclid(MICRO_WH))
}

/// By arrival; a car that comes before the one at its EVSE has left waits for it.
fn stays(topology: &Topology, sessions: &[FieldSession], first: Interval, length: usize, voltage_mv: i64) -> Vec<Stay> {
    let origin = first.start().0;
    let mut seen: Vec<(i64, i64, usize, &FieldSession)> = Vec::new();
    for session in sessions {
        let from = (session.arrival.timestamp() - origin).div_euclid(INTERVAL_S);
        let until = (session.departure.timestamp() - origin + INTERVAL_S - 1).div_euclid(INTERVAL_S);
        let lane = topology.stations.iter().position(|station| station.id == session.station);
        if let Some(lane) = lane.filter(|_| (0..length as i64).contains(&from)) {
            seen.push((from, until.min(from + i64::from(STAY_MAX)), lane, session));
        }
    }
    seen.sort_by_key(|(from, ..)| *from);
    let mut free_from = vec![0; topology.stations.len()];
    let mut stays = Vec::with_capacity(seen.len());
    for (from, until, lane, session) in seen {
        let from = from.max(free_from[lane]);
        if until <= from {
            continue;
        }
        free_from[lane] = until;
        let most_uw = topology.stations[lane].max_ma.min(CAR_MA) * voltage_mv;
        stays.push(Stay {
            session: session.id.clone(),
            lane,
            from: from as usize,
            until: until as usize,
            wanted_uwh: (session.delivered_wh.0 * MICRO_WH).min(most_uw / 4 * (until - from)),
        });
    }
    stays
}

fn of_transformer(line: &&Line) -> bool {
    TRANSFORMER.iter().any(|word| line.name.starts_with(word))
}

/// What the transformer carries: three phases at the voltage below it. `None` where the topology has none.
fn transformer_w(lines: &[Line]) -> Option<Watts> {
    let secondary = lines.iter().find(|line| line.name.starts_with(TRANSFORMER[0]))?;
    Some(Watts((3 * SECONDARY_V * secondary.limit_ma + 500) / 1000))
}

fn scale_transformer(site: &str, lines: &mut [Line], cap_w: Watts) -> Result<(), ScenarioError> {
    let expected = "lines that begin with Secondary, which a cap can scale";
    let now = transformer_w(lines).filter(|now| now.0 > 0);
    let now = now.ok_or_else(|| ScenarioError::new(site, 0, "constraint_ids", "", expected))?;
    for line in lines.iter_mut().filter(|line| of_transformer(&&**line)) {
        line.limit_ma = line.limit_ma * cap_w.0 / now.0;
    }
    Ok(())
}

/// Lines as complex coefficients.
struct Network {
    /// By line: limit, mA, and by EVSE real and imaginary part, millionths.
    lines: Vec<(i128, Vec<(i128, i128)>)>,
}

impl Network {
    fn of(month: &Month) -> Self {
        let line = |line: &Line| {
            let part = |(c, station): (&i64, &Station)| {
                let angle = station.connection.angle_mdeg;
                let part = |cosine: i64| i128::from(*c) * i128::from(cosine) / i128::from(MICRO);
                (part(cos_micro(angle)), part(cos_micro(angle - 90_000)))
            };
            let parts = line.coefficient_micro.iter().zip(&month.stations).map(part).collect();
            (i128::from(line.limit_ma), parts)
        };
        Self { lines: month.lines.iter().map(line).collect() }
    }

    /// How many lines carry more than their limit.
    fn exceeded(&self, current_ma: &[i64]) -> u32 {
        let over = |(limit, parts): &&(i128, Vec<(i128, i128)>)| {
            let sum = |part: fn(&(i128, i128)) -> i128| -> i128 {
                parts.iter().zip(current_ma).map(|(c, ma)| part(c) * i128::from(*ma)).sum()
            };
            let (re, im) = (sum(|c| c.0), sum(|c| c.1));
            re * re + im * im > ((limit + TOLERANCE_MA) * i128::from(MICRO)).pow(2)
        };
        u32::try_from(self.lines.iter().filter(over).count()).unwrap_or(u32::MAX)
    }
}

pub(super) fn run(month: &Month, algorithm: Algorithm, watch: Watch<'_>) -> Result<Run, String> {
    let fail = |error: String| format!("{}, {}: {error}", month.name, month.site);
    let mut plans = Plans::default();
    let ahead = match algorithm {
        Algorithm::Optimum => Some(month.revenue),
        Algorithm::MostEnergy => Some(MicroPerKwh(ENERGY_FIRST * month.revenue.0)),
        _ => None,
    };
    let ahead = ahead.map(|shortfall| month.foresee(shortfall, &mut plans, watch)).transpose().map_err(fail)?;
    let mut garage = month.garage().map_err(fail)?;
    let (network, mut planner) = (Network::of(month), Planner::with_memory());
    let mut remaining: Vec<i64> = month.stays.iter().map(|stay| stay.wanted_uwh).collect();
    let (mut energy_wh, mut violations, mut peak_uw) = (Vec::new(), Vec::new(), 0);
    for t in 0..month.intervals() {
        let there = |&i: &usize| (month.stays[i].from..month.stays[i].until).contains(&t);
        let mut cars: Vec<usize> = (0..month.stays.len()).filter(there).collect();
        cars.retain(|i| remaining[*i] > FULL_WITHIN_UWH);
        if algorithm == Algorithm::Ours {
            // As ACN-Sim lists them; rules of thumb take turns by arrival.
            cars.sort_by_key(|i| month.stays[*i].lane);
        }
        let mut current_ma = vec![0; month.stations.len()];
        let known = cars.iter().map(|i| month.car(&month.stays[*i], t, remaining[*i])).collect();
        let peak_so_far_w = Watts((peak_uw + MICRO / 2) / MICRO);
        let facts = Facts { peak_so_far_w, ..month.facts(t, HORIZON, known) };
        let column: Vec<Watts> = match (algorithm, &ahead) {
            (_, Some(ahead)) => ahead.iter().map(|row| row.get(t).copied().unwrap_or_default()).collect(),
            (Algorithm::Uncontrolled, _) => {
                cars.iter()
                    .for_each(|i| current_ma[month.stays[*i].lane] = month.stations[month.stays[*i].lane].max_ma);
                Vec::new()
            }
            _ if cars.is_empty() => Vec::new(),
            (Algorithm::Rule(rule), _) => {
                let problem = garage.problem(&facts);
                let (schedule, took_us) = watch.timed(|| heuristic::plan(&problem, rule, 1));
                plans.note(&problem, &schedule, took_us);
                schedule.column(0)
            }
            _ => {
                let (planned, took_us) = watch.timed(|| garage.plan(&facts, &mut planner, LIMIT_MS));
                let (problem, schedule) = planned.map_err(|error| fail(error.to_string()))?;
                plans.note(&problem, &schedule, took_us);
                schedule.column(0)
            }
        };
        current_ma.iter_mut().zip(&column).for_each(|(ma, power)| *ma = Garage::current_ma(*power));
        let mut total_uwh = 0;
        for i in cars {
            let ma = &mut current_ma[month.stays[i].lane];
            let taken = (*ma * month.voltage_mv / 4).min(remaining[i]);
            *ma = taken * 4 / month.voltage_mv;
            remaining[i] -= taken;
            total_uwh += taken;
        }
        peak_uw = peak_uw.max(4 * total_uwh);
        energy_wh.push(wh(total_uwh));
        violations.push(network.exceeded(&current_ma));
        (watch.done)(1);
    }
    let served = |(stay, remaining): (&Stay, &i64)| {
        let delivered_wh = wh(stay.wanted_uwh - remaining);
        Served {
            id: stay.session.clone(),
            arrival: month.first.plus(stay.from),
            wanted_wh: wh(stay.wanted_uwh),
            delivered_wh,
            paid: month.revenue.bill(delivered_wh),
        }
    };
    let power: Vec<Watts> = energy_wh.iter().map(|wh| mean_w(*wh)).collect();
    let zeros = vec![Watts::ZERO; power.len()];
    Ok(Run {
        case: month.name.clone(),
        date: month.date.to_string(),
        site: month.site.clone(),
        algorithm,
        first: month.first,
        days: month.days.clone(),
        limit_w: month.limit_w,
        power: PowerSeries {
            evse_w: power.clone(),
            base_w: zeros.clone(),
            battery_w: zeros.clone(),
            pv_w: zeros.clone(),
            net_w: power,
        },
        pv_offered_w: zeros.clone(),
        import_price: month.import_price[..month.intervals()].to_vec(),
        feed_in_price: vec![MicroPerKwh::ZERO; month.intervals()],
        demand_charge: Some(month.demand_charge),
        co2: month.co2.clone(),
        violations,
        sessions: month.stays.iter().zip(&remaining).map(served).collect(),
        stored_wh: WattHours::ZERO,
        plans,
    })
}
