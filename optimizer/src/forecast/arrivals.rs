//! What cars to come will want: the mean of past days of the same kind.

use super::{DAY_S, at, clock, is_workday, time_of_day_s};
use crate::session::PastSession;
use crate::units::{INTERVAL_S, Interval, UnixTime, Watts};
use chrono::TimeDelta;
use chrono_tz::Tz;

/// Days that are remembered.
const DAYS: i64 = 28;

/// By interval from `first` on, the power that cars which arrive from then on would draw if every one of them charged at
/// `max_w` from its arrival until it has what such cars took: the mean over the days of the same kind (workday or not) among
/// the last four weeks that `past` knows of. Rounded down.
pub fn to_come<'a>(
    past: impl IntoIterator<Item = &'a PastSession>,
    first: Interval,
    horizon: usize,
    max_w: Watts,
    zone: Tz,
) -> Vec<Watts> {
    let today = clock(first.start(), zone).date_naive();
    let known: Vec<_> = past
        .into_iter()
        .map(|past| (clock(past.arrival, zone).date_naive(), past))
        .filter(|(date, _)| *date < today && (today - *date).num_days() <= DAYS)
        .collect();
    // A site that is younger than four weeks counts from its first day.
    let oldest = known.iter().map(|(date, _)| *date).min().unwrap_or(today);
    let days_like = |workday: bool| {
        oldest.iter_days().take_while(|day| *day < today).filter(|day| is_workday(*day) == workday).count() as i128
    };
    let mut drawn_ws = vec![0_i128; horizon];
    for ahead in 0..=horizon as i64 * INTERVAL_S / DAY_S + 1 {
        let date = today + TimeDelta::days(ahead);
        let workday = is_workday(date);
        let days = days_like(workday).max(1);
        for (_, past) in known.iter().filter(|(day, _)| is_workday(*day) == workday) {
            let arrival = at(date, time_of_day_s(past.arrival, zone), zone);
            if arrival >= first.start() && max_w > Watts::ZERO {
                draw(&mut drawn_ws, first, arrival, past.delivered_wh.0 * 3600, max_w, 1_000_000 / days);
            }
        }
    }
    let mean = |ws: i128| Watts(i64::try_from(ws / i128::from(INTERVAL_S) / 1_000_000).unwrap_or_default());
    drawn_ws.into_iter().map(mean).collect()
}

/// Adds a car that draws `energy_ws` at `max_w` from `arrival` on, each watt-second counting `share`.
fn draw(drawn_ws: &mut [i128], first: Interval, arrival: UnixTime, energy_ws: i64, max_w: Watts, share: i128) {
    let end = arrival.0 + energy_ws / max_w.0;
    for (k, drawn) in drawn_ws.iter_mut().enumerate() {
        let interval = first.plus(k);
        let seconds = (interval.end().0.min(end) - interval.start().0.max(arrival.0)).max(0);
        *drawn += i128::from(seconds * max_w.0) * share;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::{HORIZON, WattHours};

    fn past(day: i64, hour: i64) -> PastSession {
        let arrival = UnixTime((10_959 + day) * DAY_S + hour * 3600);
        PastSession {
            site: "site".to_owned(),
            driver: String::new(),
            arrival,
            unplugged: UnixTime(arrival.0 + 28_800),
            departure: None,
            energy_wh: None,
            delivered_wh: WattHours(2_000),
        }
    }

    #[test]
    fn tomorrow_is_expected_as_such_days_were() {
        // Two workweeks from Monday on; on every second workday a car at nine.
        let known: Vec<_> = (0..14).filter(|day| day % 7 < 5 && day % 2 == 0).map(|day| past(day, 9)).collect();
        let first = Interval::containing(UnixTime((10_959 + 14) * DAY_S + 8 * 3600));
        let power = to_come(&known, first, HORIZON, Watts(4_000), Tz::UTC);
        // Five cars on ten workdays: half a car, 4 kW for half an hour.
        assert_eq!(power[3..7], [0, 2_000, 2_000, 0].map(Watts));
        let later = to_come(&known, first.plus(6), HORIZON, Watts(4_000), Tz::UTC);
        assert_eq!(later[..40].iter().copied().sum::<Watts>(), Watts(0), "who came is no arrival any more");
        let weekend = to_come(&known, first.plus(5 * HORIZON), HORIZON, Watts(4_000), Tz::UTC);
        assert_eq!(weekend.iter().copied().sum::<Watts>(), Watts(0));
        assert_eq!(to_come(&[], first, 2, Watts(4_000), Tz::UTC), [Watts(0); 2]);
    }
}
