//! Base load and sun against persistence, against yesterday, and against a forecast that was issued.

use crate::data;
use chrono::{DateTime, NaiveDateTime};
use chrono_tz::Tz;
use optimizer::forecast::power::{Fan, Metered, load, sun};
use optimizer::forecast::score::{Score, pinball};
use optimizer::units::{HORIZON, Interval, UnixTime, Watts};

/// Intervals ahead that are compared: a quarter hour, one, three, six hours and a day.
const AHEAD: [usize; 5] = [1, 4, 12, 24, 95];
/// From one forecast to the next: prime, so that all times of day have their turn.
const STEP: usize = 37;

/// A recorded power by interval.
struct Recorded {
    first: Interval,
    power_w: Vec<Option<Watts>>,
    zone: Tz,
}

impl Recorded {
    /// From (start, W) in the order of time, a sample holding for `intervals`.
    fn new(samples: &[(i64, Option<i64>)], intervals: usize, zone: Tz) -> Self {
        let first = Interval::containing(UnixTime(samples[0].0));
        let mut power_w = Vec::new();
        for (time, value) in samples {
            let at = Interval::containing(UnixTime(*time)).offset_from(first).unwrap();
            power_w.resize(power_w.len().max(at + intervals), None);
            power_w[at..at + intervals].fill(value.map(Watts));
        }
        Self { first, power_w, zone }
    }

    fn upto(&self, now: usize) -> Metered<'_> {
        Metered { first: self.first, power_w: &self.power_w[..=now], zone: self.zone }
    }
}

/// Fields of the lines of a CSV, as text.
fn rows(text: &str) -> impl Iterator<Item = Vec<&str>> {
    text.lines().skip(1).filter(|line| !line.is_empty()).map(|line| line.split(',').collect())
}

/// Whole watts; `None` where there is none. Nights have a little below zero.
fn watts(text: &str) -> Option<i64> {
    let whole = text.split('.').next()?.parse::<i64>().ok();
    whole.map(|watts| watts.max(0))
}

fn unix(text: &str) -> i64 {
    DateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%:z").unwrap().timestamp()
}

/// The house's load, its sun (dark where nothing was metered), and the forecast of its sun that was issued.
fn house() -> Option<[Recorded; 3]> {
    let text = data::text("load/emhass_home_load_pv_forecast_30min.csv.gz")?;
    let column = |at: usize, silent: Option<i64>| {
        let samples: Vec<_> = rows(&text).map(|row| (unix(row[0]), watts(row[at]).or(silent))).collect();
        Recorded::new(&samples, 2, Tz::Europe__Paris)
    };
    Some([column(1, None), column(2, Some(0)), column(3, None)])
}

fn steel() -> Option<Recorded> {
    let text = data::text("load/Steel_industry_data.csv.gz")?;
    let samples: Vec<_> = rows(&text)
        .map(|row| {
            let time = NaiveDateTime::parse_from_str(row[0], "%d/%m/%Y %H:%M").unwrap().and_utc().timestamp();
            let (whole, part) = row[1].split_once('.').unwrap_or((row[1], ""));
            let milli = format!("{whole}{part:0<3}")[..whole.len() + 3].parse::<i64>().unwrap();
            // kWh in a quarter hour.
            (time, Some(milli * 4))
        })
        .collect();
    // A day's last quarter hour is written as the first of the same day.
    let mut samples = samples;
    samples.sort_by_key(|(time, _)| *time);
    Some(Recorded::new(&samples, 1, Tz::UTC))
}

fn serf() -> Option<Recorded> {
    let text = data::text("pv/serf_east_15min_ac_power.csv")?;
    let samples: Vec<_> = rows(&text).map(|row| (unix(row[0]), watts(row[1]))).collect();
    Some(Recorded::new(&samples, 1, Tz::America__Denver))
}

/// One way to forecast: errors, pinball loss of the 10, 50 and 90 % quantiles, and how often the outer ones held.
#[derive(Debug, Default)]
struct Found {
    by_lead: [Score; AHEAD.len()],
    all: Score,
    loss: i64,
    below_90: i64,
    above_10: i64,
}

impl Found {
    fn add(&mut self, lead: usize, quantile: impl Fn(i64) -> Watts, came: Watts) {
        let score = Score::of([(quantile(500), came)]);
        self.by_lead[lead] += score;
        self.all += score;
        self.loss += [100, 500, 900].map(|q| pinball(quantile(q).0, came.0, q) / 1000).iter().sum::<i64>();
        self.below_90 += i64::from(came <= quantile(900));
        self.above_10 += i64::from(came >= quantile(100));
    }

    fn print(&self, what: &str) {
        let mae: Vec<i64> = self.by_lead.iter().map(|score| score.mae_w().0).collect();
        let n = self.all.samples.max(1);
        let (above, below) = (100 * self.above_10 / n, 100 * self.below_90 / n);
        println!(
            "{what:<28} n {n:>6}  MAE {:>6} W, ahead {AHEAD:?}: {mae:?}  bias {:>6} W  loss {:>6}  in {above} / {below} %",
            self.all.mae_w(),
            self.all.bias_w(),
            self.loss / n,
        );
    }
}

/// Forecasts from every [`STEP`]-th interval after `known` days: by fan, persistence, and yesterday. `counts` leaves out
/// what needs no forecast.
fn walk(
    what: &str,
    recorded: &Recorded,
    known: usize,
    fans: impl Fn(&Metered<'_>, usize) -> Vec<Fan>,
    counts: impl Fn(&Fan) -> bool,
) -> [Found; 3] {
    let mut found = [(); 3].map(|()| Found::default());
    let power = &recorded.power_w;
    for now in (known * HORIZON..power.len().saturating_sub(HORIZON)).step_by(STEP) {
        let fans = fans(&recorded.upto(now), HORIZON);
        for (lead, ahead) in AHEAD.into_iter().enumerate() {
            let fan = &fans[ahead - 1];
            let others = power[now].zip(power[now + ahead - HORIZON]);
            let (Some(came), Some((persists, yesterday))) = (power[now + ahead], others) else { continue };
            if fan.days() > 0 && counts(fan) {
                found[0].add(lead, |q| fan.quantile(q), came);
                found[1].add(lead, |_| persists, came);
                found[2].add(lead, |_| yesterday, came);
            }
        }
    }
    for (way, found) in ["fan", "persistence", "yesterday"].iter().zip(&found) {
        found.print(&format!("{what}, {way}"));
    }
    found
}

fn assert_better(found: &[Found; 3], inside: std::ops::RangeInclusive<i64>) {
    let [fan, persistence, yesterday] = found;
    for other in [persistence, yesterday] {
        assert!(fan.all.mae_w() < other.all.mae_w() && fan.loss < other.loss, "{fan:?} {other:?}");
    }
    let n = fan.all.samples;
    assert!(n > 500, "{n}");
    for held in [100 * fan.above_10 / n, 100 * fan.below_90 / n] {
        assert!(inside.contains(&held), "{held} %");
    }
}

#[test]
fn loads_follow_their_kind_of_day() {
    let (Some([house, ..]), Some(steel)) = (house(), steel()) else { return };
    assert_better(&walk("house", &house, 40, load, |_| true), 78..=95);
    assert_better(&walk("steel works", &steel, 40, load, |_| true), 78..=95);
}

/// Nights need no forecast: what counts is where a tenth of past days had sun.
fn by_day(fan: &Fan) -> bool {
    fan.quantile(900) > Watts(0)
}

#[test]
fn the_sun_follows_the_clear_days_before() {
    let (Some([_, house, _]), Some(serf)) = (house(), serf()) else { return };
    assert_better(&walk("sun on a house", &house, 60, sun, by_day), 78..=95);
    assert_better(&walk("sun on SERF East", &serf, 20, sun, by_day), 78..=95);
}

#[test]
fn a_day_ahead_the_past_is_compared_with_a_forecast_that_was_issued() {
    let Some([_, house, issued]) = house() else { return };
    let (mut ours, mut theirs) = (Score::default(), Score::default());
    for now in (30 * HORIZON..house.power_w.len() - HORIZON).step_by(STEP) {
        let fans = sun(&house.upto(now), HORIZON);
        for (ahead, fan) in fans.iter().enumerate().skip(HORIZON / 2) {
            let at = now + 1 + ahead;
            if let (Some(came), Some(Some(issued))) = (house.power_w[at], issued.power_w.get(at)) {
                ours += Score::of([(fan.median(), came)]);
                theirs += Score::of([(*issued, came)]);
            }
        }
    }
    for (whose, score) in [("from the past", ours), ("issued", theirs)] {
        println!("sun of tomorrow, {whose}: n {} MAE {} W, bias {} W", score.samples, score.mae_w(), score.bias_w());
    }
    assert!(ours.samples > 1_000 && ours.samples == theirs.samples);
}
