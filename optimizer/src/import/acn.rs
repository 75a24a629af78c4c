//! ACN-Data as its API answers (ev.caltech.edu).

use super::{FieldSession, Recorded, json, mapping, samples, time};
use crate::scenario::ScenarioError;
use crate::scenario::table::foreign_name;
use chrono::{DateTime, FixedOffset, TimeDelta};
use chrono_tz::Tz;
use serde::Deserialize;

/// An answer is a page of items, or was stored as their bare list.
#[derive(Deserialize)]
#[serde(untagged)]
enum Answer {
    Page {
        #[serde(rename = "_items")]
        items: Vec<serde_json::Value>,
    },
    List(Vec<serde_json::Value>),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Item {
    #[serde(rename = "_id")]
    id: Option<String>,
    #[serde(rename = "sessionID")]
    session_id: Option<String>,
    #[serde(rename = "stationID")]
    station_id: String,
    connection_time: Option<serde_json::Value>,
    disconnect_time: Option<serde_json::Value>,
    #[serde(rename = "kWhDelivered")]
    kwh_delivered: serde_json::Number,
    timezone: String,
    #[serde(rename = "userID")]
    user_id: Option<serde_json::Value>,
    user_inputs: Option<Vec<UserInput>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct UserInput {
    #[serde(rename = "kWhRequested")]
    kwh_requested: Option<serde_json::Number>,
    requested_departure: Option<serde_json::Value>,
    minutes_available: Option<json::Decimal>,
    #[serde(rename = "userID")]
    user_id: Option<serde_json::Value>,
}

/// A name as text or as a number, which pandas writes with a decimal point where one of its column is missing.
fn name(value: &serde_json::Value) -> Option<String> {
    match value {
        serde_json::Value::String(text) => foreign_name(text),
        serde_json::Value::Number(number) => {
            let text = number.to_string();
            Some(text.strip_suffix(".0").map_or(text.clone(), str::to_owned))
        }
        _ => None,
    }
}

/// Where an item is at fault.
struct Place<'a> {
    file: &'a str,
    item: usize,
}

impl Place<'_> {
    fn fail(&self, field: &str, value: &str, expected: impl Into<String>) -> ScenarioError {
        ScenarioError::new(self.file, self.item, field, value, expected)
    }

    fn time(
        &self,
        field: &str,
        value: Option<&serde_json::Value>,
        zone: Tz,
    ) -> Result<DateTime<FixedOffset>, ScenarioError> {
        let text = value.and_then(name).unwrap_or_default();
        let text = DateTime::parse_from_rfc2822(&text).map_or(text, |time| time.to_rfc3339());
        let read = time::parse(&text, &time::Notation::default(), Some(zone));
        read.map_err(|_| self.fail(field, &text, "a time like Wed, 25 Apr 2018 11:08:04 GMT"))
    }

    fn energy(&self, field: &str, number: &serde_json::Number) -> Result<crate::units::WattHours, ScenarioError> {
        let text = number.to_string();
        mapping::energy(&text, 3).ok_or_else(|| self.fail(field, &text, mapping::ENERGY_EXPECTED))
    }
}

/// Reads sessions from ACN-Data JSON: an API answer, or the bare list of its items. Errors count items, from 1, instead
/// of lines. Of several declarations the last one counts. An item that is no session, such as that of a car that is still
/// there, is left out with a warning.
///
/// # Errors
/// The first fault, where the file or all of its items cannot be read.
pub fn acn_json(file: &str, bytes: &[u8]) -> Result<Recorded, ScenarioError> {
    let bytes = json::without_nan(&samples::unpacked(file, bytes)?);
    let answer: Answer = json::parse(file, &bytes, "a JSON list of sessions, or an object with _items")?;
    let (Answer::Page { items } | Answer::List(items)) = answer;
    let parse = |(index, value)| {
        let place = Place { file, item: index + 1 };
        let item = serde_json::from_value(value).map_err(|error| place.fail("", "", format!("a session: {error}")))?;
        session(&item, &place)
    };
    Recorded::of(file, "items", items.into_iter().enumerate().map(parse))
}

fn session(item: &Item, place: &Place<'_>) -> Result<FieldSession, ScenarioError> {
    let zone: Tz = item.timezone.parse().map_err(|_| place.fail("timezone", &item.timezone, "an IANA time zone"))?;
    let arrival = place.time("connectionTime", item.connection_time.as_ref(), zone)?;
    let departure = place.time("disconnectTime", item.disconnect_time.as_ref(), zone)?;
    if departure <= arrival {
        let text = item.disconnect_time.as_ref().and_then(name).unwrap_or_default();
        return Err(place.fail("disconnectTime", &text, "a time after connectionTime"));
    }
    let declared = item.user_inputs.as_ref().and_then(|inputs| inputs.last());
    let minutes = declared.and_then(|input| TimeDelta::try_minutes(input.minutes_available.as_ref()?.whole(0)?));
    let declared_departure = match declared.and_then(|input| input.requested_departure.as_ref()) {
        Some(value) => Some(place.time("requestedDeparture", Some(value), zone)?),
        None => minutes.and_then(|minutes| arrival.checked_add_signed(minutes)),
    };
    let requested = declared.and_then(|input| input.kwh_requested.as_ref());
    Ok(FieldSession {
        line: place.item,
        id: [&item.session_id, &item.id]
            .into_iter()
            .find_map(|id| foreign_name(id.as_ref()?))
            .unwrap_or_else(|| format!("item-{}", place.item)),
        station: item.station_id.clone(),
        driver: item.user_id.as_ref().and_then(name).or_else(|| declared?.user_id.as_ref().and_then(name)),
        arrival,
        departure,
        declared_departure,
        requested_wh: requested.map(|number| place.energy("kWhRequested", number)).transpose()?,
        delivered_wh: place.energy("kWhDelivered", &item.kwh_delivered)?,
    })
}
