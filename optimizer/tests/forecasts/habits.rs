//! Habits against what is declared and against the site's plain quantile.

use crate::data::{self, LOS_ANGELES, Recorded};
use chrono_tz::Tz;
use optimizer::forecast::habit::{Begun, Habits};
use optimizer::forecast::score::pinball;
use optimizer::session::PastSession;
use optimizer::units::UnixTime;

/// Quantiles that are tested, per mille.
const QUANTILES: [i64; 4] = [100, 200, 500, 800];

/// Losses and coverage of one way to forecast, by quantile.
#[derive(Debug, Default, Clone, Copy)]
struct Losses {
    loss: [i64; 4],
    /// How often what came was not below the forecast.
    reached: [i64; 4],
    count: i64,
}

impl Losses {
    fn add(&mut self, forecast: impl Fn(i64) -> i64, came: i64) {
        self.count += 1;
        for (at, per_mille) in QUANTILES.into_iter().enumerate() {
            self.loss[at] += pinball(forecast(per_mille), came, per_mille) / 1000;
            self.reached[at] += i64::from(came >= forecast(per_mille));
        }
    }

    fn mean(&self) -> i64 {
        self.loss.iter().sum::<i64>() / self.count.max(1)
    }

    fn reached_percent(&self, at: usize) -> i64 {
        100 * self.reached[at] / self.count.max(1)
    }

    fn print(&self, what: &str) {
        let reached: Vec<_> = (0..QUANTILES.len()).map(|at| self.reached_percent(at)).collect();
        let loss: Vec<_> = self.loss.iter().map(|loss| loss / self.count.max(1)).collect();
        println!("{what:<44} n {:>5}  loss {loss:?} sum {:>5}  reached {reached:?} %", self.count, self.mean());
    }
}

/// The plain quantile of the last thousand values.
fn plain(values: &[i64], above: i64, per_mille: i64) -> Option<i64> {
    let mut known: Vec<i64> = values.iter().rev().take(1000).copied().filter(|value| *value > above).collect();
    known.sort_unstable();
    known.get((known.len() as i64 * per_mille / 1000) as usize).copied()
}

/// What [`walk`] measured.
#[derive(Debug, Default)]
struct Found {
    /// Stays, seconds: by habit, plain, declared.
    stay: [Losses; 3],
    /// The same of who is still here after three hours.
    later: [Losses; 3],
    /// Energy, Wh.
    energy: [Losses; 3],
}

/// Goes through `sessions` and forecasts every `step`-th after the first `known` from those that were over when it began.
fn walk(sessions: &[Recorded], zone: Tz, known: usize, step: usize) -> Found {
    let mut found = Found::default();
    let declared = sessions.iter().any(|recorded| recorded.past.departure.is_some());
    let mut over: Vec<&PastSession> = sessions.iter().map(|recorded| &recorded.past).collect();
    over.sort_by_key(|past| past.unplugged);
    let mut over = over.into_iter().peekable();
    let mut habits = Habits::learn(zone, []);
    let (mut stays, mut energies) = (Vec::new(), Vec::new());
    for (at, Recorded { past, .. }) in sessions.iter().enumerate() {
        while let Some(done) = over.next_if(|done| done.unplugged <= past.arrival) {
            habits.add(done);
            stays.push(done.unplugged.0 - done.arrival.0);
            energies.push(done.delivered_wh.0);
        }
        // Where declarations are the rule, sessions without one are not forecast: nothing could be compared.
        if at < known || at % step != 0 || (past.departure.is_none() && declared) {
            continue;
        }
        let begun = Begun::from(past);
        let came = past.unplugged.0 - past.arrival.0;
        for (stayed, losses) in [(0, &mut found.stay), (3 * 3600, &mut found.later)] {
            if came <= stayed {
                continue;
            }
            let now = UnixTime(past.arrival.0 + stayed);
            let next = stayed + 900;
            let habit = |q: i64| habits.departure(begun, now, q).map_or(next, |time| time.0 - past.arrival.0);
            losses[0].add(habit, came);
            losses[1].add(|q| plain(&stays, stayed, q).unwrap_or(next), came);
            if let Some(declared) = past.departure {
                losses[2].add(|_| (declared.0 - past.arrival.0).max(next), came);
            }
        }
        found.energy[0].add(|q| habits.energy(begun, q).0, past.delivered_wh.0);
        found.energy[1].add(|q| plain(&energies, -1, q).unwrap_or(0), past.delivered_wh.0);
        if let Some(declared) = past.energy_wh {
            found.energy[2].add(|_| declared.0, past.delivered_wh.0);
        }
    }
    for (what, rows) in [("stay, s", &found.stay), ("stay after 3 h, s", &found.later), ("energy, Wh", &found.energy)] {
        for (way, losses) in ["by habit", "plain", "declared"].iter().zip(rows).filter(|(_, losses)| losses.count > 0) {
            losses.print(&format!("  {what}, {way}"));
        }
    }
    found
}

/// The 20 % quantile is passed by four of five, within a band.
fn assert_covers(losses: &Losses, band: std::ops::RangeInclusive<i64>) {
    assert!(band.contains(&losses.reached_percent(1)), "{losses:?}");
}

#[test]
fn stays_and_energies_of_garages_are_foretold_better_than_they_are_declared() {
    for names in [
        &["caltech_2019-05-01_2019-08-31", "caltech_2019-09-01_2019-12-31"][..],
        &["jpl_2019-05-01_2019-08-31"],
        &["jpl_2021-05-01_2021-08-31"],
    ] {
        let Some(sessions) = data::acn(names) else { return };
        println!("{}", names[0]);
        let found = walk(&sessions, LOS_ANGELES, 200, 7);
        for losses in [&found.stay, &found.later, &found.energy] {
            assert_covers(&losses[0], 75..=85);
            let [habit, plain, declared] = losses.map(|losses| losses.mean());
            assert!(habit < plain && habit < declared, "{habit}, {plain}, {declared}");
        }
        let [habit, plain, declared] = found.stay.map(|losses| losses.mean());
        assert!(100 * habit < 90 * plain && 100 * habit < 90 * declared, "{habit}, {plain}, {declared}");
    }
}

#[test]
fn a_named_driver_is_known_better_than_a_site() {
    let Some(sessions) = data::workplaces() else { return };
    println!("workplaces of 85 drivers");
    let found = walk(&sessions, Tz::UTC, 100, 3);
    let nameless: Vec<_> = sessions
        .iter()
        .cloned()
        .map(|mut one| {
            one.past.driver.clear();
            one
        })
        .collect();
    println!("the same without their names");
    let without = walk(&nameless, Tz::UTC, 100, 3);
    for (named, nameless) in [(&found.stay, &without.stay), (&found.energy, &without.energy)] {
        assert_covers(&named[0], 74..=86);
        assert!(named[0].mean() < named[1].mean(), "{named:?}");
        assert!(named[0].mean() < nameless[0].mean(), "{named:?}");
    }
}
