//! Random draws, in whole numbers.

use super::tables::{CLEAR_SKY, FLEET, Habit};
use chrono::{NaiveDate, TimeZone};
use optimizer::session::{Session, Vehicle};
use optimizer::site::Site;
use optimizer::units::{INTERVALS_PER_HOUR, Interval, MicroPerKwh, UnixTime, WattHours, Watts};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// A local day.
pub(crate) struct Day {
    /// Its first interval.
    pub(crate) first: Interval,
}

impl Day {
    /// The day of this date in `zone`, which must have a midnight then.
    pub(crate) fn new(zone: &str, year: i32, month: u32, day: u32) -> Self {
        let zone: chrono_tz::Tz = zone.parse().expect("an IANA zone");
        let date = NaiveDate::from_ymd_opt(year, month, day).expect("a date");
        let midnight = zone.from_local_datetime(&date.and_time(chrono::NaiveTime::MIN)).single().expect("a midnight");
        Self { first: Interval::containing(UnixTime(midnight.timestamp())) }
    }

    fn at(&self, minute: i64) -> UnixTime {
        UnixTime(self.first.start().0 + minute * 60)
    }
}

/// How the drivers of a kind come.
pub(crate) struct Stay {
    /// Their habit.
    pub(crate) habit: Habit,
    /// Hours of the day in which they come.
    pub(crate) come_h: std::ops::Range<i64>,
    /// They are gone by this hour.
    pub(crate) gone_h: i64,
    /// Least energy that is worth plugging in for.
    pub(crate) least_wh: i64,
    /// Largest part, per mille, of what the stay could give at full power.
    pub(crate) share: i64,
}

/// A session before it has a name.
#[derive(Clone)]
pub(crate) struct Visit {
    /// Who, where it matters.
    pub(crate) driver: Option<String>,
    /// Where.
    pub(crate) evse: String,
    /// When.
    pub(crate) arrival: UnixTime,
    departure: UnixTime,
    energy_wh: i64,
    price_ceiling: i64,
    vehicle: Vehicle,
}

impl Visit {
    /// With a name and a driver.
    pub(crate) fn session(self, id: String, driver: String) -> Session {
        let Self { evse, arrival, departure, energy_wh, price_ceiling, vehicle, .. } = self;
        let (energy_wh, price_ceiling) = (WattHours(energy_wh), MicroPerKwh(price_ceiling));
        Session { id, driver, evse, arrival, departure, energy_wh, price_ceiling, vehicle }
    }

    fn gone(&self) -> UnixTime {
        self.departure.max(self.vehicle.unplugged)
    }
}

/// A stream of draws.
pub(crate) struct Draw {
    rng: ChaCha8Rng,
}

impl Draw {
    /// The stream of one scenario: adding a scenario must not change the others.
    pub(crate) fn new(seed: u64, name: &str) -> Self {
        let salt = name.bytes().fold(0u64, |sum, byte| sum.wrapping_mul(257).wrapping_add(u64::from(byte)));
        Self { rng: ChaCha8Rng::seed_from_u64(seed ^ salt) }
    }

    /// From 0 to `end`, exclusive.
    pub(crate) fn below(&mut self, end: i64) -> i64 {
        self.rng.random_range(0..end)
    }

    fn chance(&mut self, percent: i64) -> bool {
        self.below(100) < percent
    }

    fn weighted(&mut self, weights: &[u32]) -> usize {
        let mut point = self.below(weights.iter().map(|w| i64::from(*w)).sum());
        weights
            .iter()
            .position(|weight| {
                point -= i64::from(*weight);
                point < 0
            })
            .unwrap_or(0)
    }

    /// A value whose quantiles at 0, 10, ... 90 and 98 % are these.
    fn quantile(&mut self, quantiles: &[i64; 11]) -> i64 {
        let point = self.below(980);
        let lower = usize::try_from(point / 100).unwrap_or(0);
        let (from, to) = (quantiles[lower], quantiles[lower + 1]);
        from + (to - from) * (point % 100) / if lower == 9 { 80 } else { 100 }
    }

    /// A load of this shape by quarter hour; `noise` is its spread, per mille.
    pub(crate) fn load(&mut self, hourly: &[i64; 24], peak_w: i64, noise: i64) -> Vec<Watts> {
        let quarter = |k: usize| (hourly[k / 4] * (4 - (k as i64 % 4)) + hourly[(k / 4 + 1) % 24] * (k as i64 % 4)) / 4;
        let mut power = |k| quarter(k) * peak_w / 1000 * (1000 - noise + self.below(2 * noise + 1)) / 1000;
        (0..96).map(|k| Watts(power(k)).ceil_to_step()).collect()
    }

    /// What a PV inverter could feed under clouds that come and go; `clear` is the share of clear quarter hours, per mille.
    pub(crate) fn sun(&mut self, rated_w: i64, clear: i64) -> Vec<Watts> {
        let mut sky = 1000;
        let mut power = |k: usize| {
            let hour = k as i64 % 4;
            let shape = (CLEAR_SKY[k / 4] * (4 - hour) + CLEAR_SKY[(k / 4 + 1) % 24] * hour) / 4;
            let target = if self.below(1000) < clear { 1000 } else { 300 + self.below(500) };
            // Half way each quarter hour: a cloud passes over a field, it does not switch it.
            sky = (sky + target) / 2;
            Watts(rated_w * shape / 1000 * sky / 1000).floor_to_step()
        };
        (0..96).map(&mut power).collect()
    }

    /// `count` visits at EVSEs that neither `taken` nor each other occupy.
    pub(crate) fn visits(&mut self, site: &Site, day: &Day, stay: &Stay, count: usize, taken: &[Visit]) -> Vec<Visit> {
        let mut all = taken.to_vec();
        // A draw whose hour finds every EVSE taken is drawn again; a site that is too small gets fewer visits.
        for _ in 0..count * 200 {
            if all.len() == taken.len() + count {
                break;
            }
            let visit = self.visit(site, day, stay, &all);
            all.extend(visit);
        }
        all.split_off(taken.len())
    }

    fn visit(&mut self, site: &Site, day: &Day, stay: &Stay, taken: &[Visit]) -> Option<Visit> {
        let hour = i64::try_from(self.weighted(&stay.habit.arrival)).ok()?;
        let arrival = hour * 60 + self.below(60);
        let length = self.quantile(&stay.habit.stay_min).max(45);
        let departure = ((arrival + length) / 5 * 5).min(stay.gone_h * 60 - self.below(12) * 5);
        if !stay.come_h.contains(&hour) || departure - arrival < 45 {
            return None;
        }
        let (from, until) = (day.at(arrival - 5), day.at(departure + 40));
        let busy = |id: &str| taken.iter().any(|v| v.evse == id && v.arrival < until && v.gone() > from);
        let free: Vec<&str> = site.evses().map(|(_, asset, _)| asset.id.as_str()).filter(|id| !busy(id)).collect();
        let evse = *free.get(usize::try_from(self.below(i64::try_from(free.len().max(1)).ok()?)).ok()?)?;
        let energy = self.energy(stay);
        let visit = self.at_evse(site, evse, (day.at(arrival), day.at(departure)), energy, stay.share)?;
        (visit.energy_wh >= stay.least_wh).then_some(visit)
    }

    /// From the part of the distribution above the least.
    fn energy(&mut self, stay: &Stay) -> i64 {
        let mut draws = (0..100).map(|_| self.quantile(&stay.habit.energy_wh));
        draws.find(|energy| *energy >= stay.least_wh).unwrap_or(stay.least_wh)
    }

    /// The owner's car at the first EVSE during these minutes of the day, give or take.
    pub(crate) fn own_visits(
        &mut self,
        site: &Site,
        day: &Day,
        owner: &str,
        windows: &[(i64, i64)],
        habit: &Habit,
    ) -> Vec<Visit> {
        let mut visits = Vec::new();
        for (from, until) in windows {
            let times = (day.at(from + self.below(5) * 10), day.at(until - self.below(4) * 10));
            let energy = self.quantile(&habit.energy_wh).clamp(5000, 25_000);
            let evse = site.evses().next().map_or("", |(_, asset, _)| asset.id.as_str());
            visits.extend(self.at_evse(site, evse, times, energy, 800));
        }
        for visit in &mut visits {
            visit.driver = Some(owner.to_owned());
        }
        visits
    }

    /// A car of the fleet that wants `energy`, or the `share` of what the stay can give if that is less.
    fn at_evse(
        &mut self,
        site: &Site,
        evse: &str,
        times: (UnixTime, UnixTime),
        energy: i64,
        share: i64,
    ) -> Option<Visit> {
        let (arrival, departure) = times;
        let (_, asset, outlet) = site.evses().find(|(_, asset, _)| asset.id == evse)?;
        let (_, capacity, max_w) = FLEET[self.weighted(&FLEET.map(|(weight, _, _)| weight))];
        let intervals = Interval::containing(departure).offset_from(Interval::starting_from(arrival)).unwrap_or(0);
        let fits = i64::try_from(intervals).ok()? * asset.rated_w.0.min(max_w) / INTERVALS_PER_HOUR;
        let energy_wh = energy.min(fits * share / 1000).min(capacity * 4 / 5) / 100 * 100;
        let room_percent = (energy_wh * 100 + capacity - 1) / capacity;
        let soc = (100 - room_percent - self.below(15)).max(3);
        let start = (capacity * soc + 50) / 100;
        let price_ceiling = outlet.price.0 + self.below(4) * 20_000;
        let unplugged = self.unplugged(arrival, departure);
        // Every fourth driver asks for more than the car takes; in field data nearly all do (data/README.md).
        let part = if self.chance(25) { 60 + self.below(35) } else { 100 };
        let vehicle = Vehicle {
            unplugged,
            takes_wh: WattHours((energy_wh * part / 100).min(capacity - start)),
            capacity_wh: WattHours(capacity),
            start_wh: WattHours(start),
            max_w: Watts(max_w),
        };
        Some(Visit { driver: None, evse: evse.to_owned(), arrival, departure, energy_wh, price_ceiling, vehicle })
    }

    /// Most leave when they said, some earlier, a few later.
    fn unplugged(&mut self, arrival: UnixTime, departure: UnixTime) -> UnixTime {
        let early = (departure.0 - arrival.0) / 60 / 8;
        match self.below(100) {
            0..12 => UnixTime(departure.0 - (5 + self.below(early.clamp(5, 45))) * 60),
            12..20 => UnixTime(departure.0 + (5 + self.below(25)) * 60),
            _ => departure,
        }
    }
}
