//! Power that cars to come will want, against the day before and the week before.

use crate::data::{self, LOS_ANGELES, Recorded};
use chrono::{NaiveDate, TimeZone};
use optimizer::forecast::arrivals::to_come;
use optimizer::forecast::score::Score;
use optimizer::units::{HORIZON, INTERVAL_S, Interval, UnixTime, Watts};

/// What the EVSEs of both garages give.
const EVSE_W: Watts = Watts(6_650);

/// First interval of a local day.
fn first(date: NaiveDate) -> Interval {
    let midnight = LOS_ANGELES.from_local_datetime(&date.and_time(chrono::NaiveTime::MIN)).unwrap();
    Interval::containing(UnixTime(midnight.timestamp()))
}

/// By interval of a day, what the cars that came on it would have drawn uncontrolled.
fn uncontrolled(sessions: &[Recorded], date: NaiveDate) -> Vec<Watts> {
    let first = first(date);
    let mut drawn_ws = [0; HORIZON];
    for Recorded { past, .. } in sessions {
        let end = past.arrival.0 + past.delivered_wh.0 * 3600 / EVSE_W.0;
        if past.arrival < first.start() || past.arrival >= first.plus(HORIZON).start() {
            continue;
        }
        for (k, drawn) in drawn_ws.iter_mut().enumerate() {
            let interval = first.plus(k);
            *drawn += (interval.end().0.min(end) - interval.start().0.max(past.arrival.0)).max(0) * EVSE_W.0;
        }
    }
    drawn_ws.iter().map(|ws| Watts(ws / INTERVAL_S)).collect()
}

#[test]
fn a_day_of_arrivals_is_foretold_better_than_by_one_day_like_it() {
    for names in [
        &["caltech_2019-05-01_2019-08-31", "caltech_2019-09-01_2019-12-31"][..],
        &["jpl_2019-05-01_2019-08-31"],
        &["jpl_2021-05-01_2021-08-31"],
    ] {
        let Some(sessions) = data::acn(names) else { return };
        let from: NaiveDate = names[0].split('_').nth(1).unwrap().parse().unwrap();
        let mut scores = [Score::default(); 3];
        for date in from.iter_days().skip(28).take(60) {
            let came = uncontrolled(&sessions, date);
            let known = sessions.iter().map(|recorded| &recorded.past).filter(|p| p.unplugged <= first(date).start());
            let expected = to_come(known, first(date), HORIZON, EVSE_W, LOS_ANGELES);
            let before = |days: u64| uncontrolled(&sessions, date - chrono::Days::new(days));
            for (score, forecast) in scores.iter_mut().zip([expected, before(1), before(7)]) {
                *score += Score::of(forecast.into_iter().zip(came.iter().copied()));
            }
        }
        for (way, score) in ["mean of such days", "yesterday", "a week ago"].iter().zip(&scores) {
            println!("{}, {way}: MAE {} W, bias {} W", names[0], score.mae_w(), score.bias_w());
        }
        let [mean, yesterday, week] = scores.map(|score| score.mae_w());
        assert!(mean < yesterday && mean < week, "{mean}, {yesterday}, {week}");
    }
}
