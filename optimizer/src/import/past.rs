//! Recorded sessions as the past of a replayed day.

use super::FieldSession;
use super::place::{clock_of, redated};
use crate::scenario::{STAY_MAX_S, Scenario};
use crate::session::PastSession;
use crate::units::{UnixTime, WattHours};
use chrono::NaiveDate;

/// The sessions that were over when the local `date` began, as the past of that day replayed on `template`
/// ([`super::place`]): as many days before its first day, at the same local times of day. Every site has all of them,
/// because nobody knows at which one they would have been. A declaration that came true to the second is none: files that
/// know of no declaration say what happened in its place.
pub fn past(sessions: &[FieldSession], template: &Scenario, date: NaiveDate) -> Vec<PastSession> {
    let zone = clock_of(template);
    let one = |field: &FieldSession| {
        let days = (date - field.arrival.date_naive()).num_days();
        let arrival = redated(template, zone, field, days).filter(|_| days > 0)?;
        let stay_s = (field.departure - field.arrival).num_seconds();
        let unplugged = UnixTime(arrival.0 + stay_s);
        let declared_s = field.declared_departure.map(|time| (time - field.arrival).num_seconds());
        let declared_s = declared_s.filter(|s| *s != stay_s && (1..=STAY_MAX_S).contains(s));
        let over = (1..=STAY_MAX_S).contains(&stay_s) && unplugged <= template.signals.first.start();
        over.then(|| PastSession {
            site: String::new(),
            driver: field.driver.clone().unwrap_or_default(),
            arrival,
            unplugged,
            departure: declared_s.map(|s| UnixTime(arrival.0 + s)),
            energy_wh: field.requested_wh.filter(|wh| declared_s.is_some() && *wh > WattHours::ZERO),
            delivered_wh: field.delivered_wh,
        })
    };
    let known: Vec<_> = sessions.iter().filter_map(one).collect();
    let at = |site: &crate::site::Site| {
        let id = site.id.clone();
        known.iter().cloned().map(move |past| PastSession { site: id.clone(), ..past })
    };
    template.sites.iter().flat_map(at).collect()
}
